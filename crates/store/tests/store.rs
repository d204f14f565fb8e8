//! The store against a disk that crashes, tears, fills up and decays. Every run of chance is a
//! seed; a failure prints it.

#[path = "store/formats.rs"]
mod formats;
#[path = "store/log.rs"]
mod log;
#[path = "store/log_crash.rs"]
mod log_crash;
#[path = "store/metadata.rs"]
mod metadata;
#[path = "store/segments.rs"]
mod segments;
#[path = "store/segments_crash.rs"]
mod segments_crash;

use thalweg_store::StoreError;

/// The error of something that must be refused.
fn refused<T>(result: Result<T, StoreError>) -> StoreError {
    match result {
        Ok(_) => panic!("this was to be refused"),
        Err(error) => error,
    }
}

/// SplitMix64, so that a seed is all a test depends on.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let length = self.below(most + 1);
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}

/// Tells which seed a panic came from.
struct SeedNote(u64);

impl Drop for SeedNote {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}
