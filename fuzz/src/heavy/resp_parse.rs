//! The parser of the Redis protocol: it does not matter where the bytes are cut, and whoever is not known yet is told
//! the same as anybody, or that he has to say who he is.

use crate::input::Input;
use thalweg_server::fuzzing::{Bounds, Parser, Violation};

type Words = Vec<Vec<u8>>;

/// How the bytes are cut, then the bytes.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let cuts: Vec<usize> = input.take(8).iter().map(|byte| usize::from(*byte)).collect();
    let bytes = input.rest();
    for known in [true, false] {
        let whole = read(&[bytes], 256, known);
        assert!(whole.0.iter().flatten().map(Vec::len).sum::<usize>() <= bytes.len(), "words came out of nothing");
        assert_eq!(read(&pieces(bytes, &cuts), 256, known), whole, "cut at {cuts:?}");
        assert_eq!(read(&pieces(bytes, &cuts), 1, known), whole, "cut at {cuts:?}, one command at a time");
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single, 3, known), whole, "byte by byte");
    }
}

/// The bytes in parts, whose lengths are taken in turn.
pub fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let (mut rest, mut parts) = (bytes, Vec::new());
    for cut in cuts.iter().cycle() {
        if rest.is_empty() || cuts.iter().all(|cut| *cut == 0) {
            break;
        }
        let (part, after) = rest.split_at((*cut).min(rest.len()));
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

/// The commands, and what broke the protocol.
pub fn read(parts: &[&[u8]], most: usize, known: bool) -> (Vec<Words>, Option<Violation>) {
    let bounds = Bounds::of(known);
    let (mut parser, mut input, mut commands) = (Parser::default(), Vec::new(), Vec::new());
    for part in parts {
        input.extend_from_slice(part);
        loop {
            parser.parse(&input, most, bounds);
            let batch = parser.batch(&input);
            let count = batch.count();
            commands.extend((0..count).map(|index| batch.command(index).words(0).map(<[u8]>::to_vec).collect()));
            if let Some(violation) = parser.violation() {
                return (commands, Some(violation));
            }
            input.drain(..parser.finish());
            if count < most {
                break;
            }
        }
    }
    (commands, None)
}
