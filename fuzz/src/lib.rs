//! Hostile input: every decoder is fed with arbitrary bytes, and more is asked of it than that it does not panic.
//!
//! ```text
//! libFuzzer ─▶ fuzz_targets/light, heavy ─┐                 ┌─ no panic in our own code, caught or not
//! corpus/, crashes/ ─▶ tests/corpus.rs ───┴▶ feed ─▶ target ┼─ memory within a multiple of the input
//!                                                           └─ what the target promises: a round trip, two ways agree
//! ```
//! A target is a function over bytes, so that an ordinary test can replay what a fuzzer has found.

mod definition_texts;
mod disk;
mod entity_state;
mod input;
mod log_segment;
mod logged_batch;
mod manifest;
mod memory;
mod panics;
mod plans;
mod push;
#[cfg(feature = "libfuzzer")]
mod stack;
mod state_store;
mod typed_values;

#[cfg(feature = "heavy")]
mod heavy;

use std::panic::{catch_unwind, resume_unwind};
#[cfg(feature = "libfuzzer")]
use std::sync::OnceLock;

/// One decoder, and what may become of the bytes that it is fed with.
pub struct Target {
    pub name: &'static str,
    run: fn(&[u8]),
    /// Bytes of memory that may be held at one time for each byte of input, besides [`FREE_BYTES`].
    bytes_each: usize,
}

/// Memory that an input may take whatever its length: windows of files, tables of a sketch, a buffer of a connection.
const FREE_BYTES: usize = 8 << 20;

const LIGHT: &[Target] = &[
    Target { name: "accumulators", run: entity_state::accumulators, bytes_each: 1024 },
    Target { name: "definition_texts", run: definition_texts::run, bytes_each: 1024 },
    Target { name: "entity_state", run: entity_state::run, bytes_each: 1024 },
    Target { name: "json_push", run: push::json, bytes_each: 512 },
    Target { name: "log_segment", run: log_segment::run, bytes_each: 256 },
    Target { name: "log_torn", run: log_segment::torn, bytes_each: 256 },
    Target { name: "logged_batch", run: logged_batch::run, bytes_each: 512 },
    Target { name: "manifest_json", run: manifest::json, bytes_each: 4096 },
    Target { name: "manifest_protobuf", run: manifest::protobuf, bytes_each: 4096 },
    Target { name: "ndjson_push", run: push::lines, bytes_each: 512 },
    Target { name: "state_store", run: state_store::run, bytes_each: 256 },
    Target { name: "typed_values", run: typed_values::run, bytes_each: 1024 },
];

/// Every target that this build has.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    #[cfg(feature = "heavy")]
    let heavy = heavy::TARGETS;
    #[cfg(not(feature = "heavy"))]
    let heavy: &[Target] = &[];
    LIGHT.iter().chain(heavy)
}

/// The target that `THALWEG_FUZZ_TARGET` names, made ready.
#[cfg(feature = "libfuzzer")]
pub fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("THALWEG_FUZZ_TARGET").unwrap_or_default();
        let Some(target) = targets().find(|target| target.name == name) else {
            let names: Vec<&str> = targets().map(|target| target.name).collect();
            panic!("THALWEG_FUZZ_TARGET is `{name}`: name one of {}", names.join(", "));
        };
        stack::serve_signals();
        make_ready(target);
        target
    })
}

/// Makes what a target needs once, so that it does not count as memory of an input.
pub fn make_ready(target: &Target) {
    panics::watch();
    (target.run)(&[]);
}

/// Removes what targets have left in files.
pub fn clean_up() {
    #[cfg(feature = "heavy")]
    heavy::clean_up();
}

/// Feeds a target; panics where a promise is broken.
pub fn feed(target: &Target, data: &[u8]) {
    let _watched = panics::watched();
    let (outcome, peak) = memory::peak(|| catch_unwind(|| (target.run)(data)));
    let panics = panics::take();
    if let Err(payload) = outcome {
        eprintln!("{} broke: {}", target.name, panics.all.join("\n"));
        resume_unwind(payload);
    }
    assert!(panics.own.is_empty(), "{}: a panic was caught on its way: {}", target.name, panics.own.join("\n"));
    let most = FREE_BYTES + data.len() * target.bytes_each;
    assert!(peak <= most, "{}: {} bytes took {peak} bytes of memory, more than {most}", target.name, data.len());
}
