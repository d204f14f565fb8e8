//! All targets, those that need DataFusion among them, under libFuzzer. `THALWEG_FUZZ_TARGET` names the one to run.
#![no_main]
// libFuzzer calls functions by name, which the macro makes.
#![allow(unsafe_code)]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: { thalweg_fuzz::chosen(); }, |data: &[u8]| {
    thalweg_fuzz::feed(thalweg_fuzz::chosen(), data);
});
