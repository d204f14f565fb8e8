//! The log's promise under power loss: what was synced is there, and what is there was written.

use crate::{Random, SeedNote};
use std::path::Path;
use std::sync::Arc;
use thalweg_store::{FaultyDisk, Log, LogSettings, Record, StoreError};

const SEEDS: u64 = 200;

fn open(disk: &Arc<FaultyDisk>) -> (Log, u64) {
    let settings = LogSettings { segment_bytes: 3000 };
    let opened = Log::open(disk.clone(), Path::new("/log"), settings, 1);
    let (log, recovery) = opened.expect("a crash never keeps the log from opening");
    (log, recovery.next_sequence)
}

/// Appends and syncs until the power goes, and returns all it wrote.
fn write_until_the_power_goes(log: &mut Log, random: &mut Random, written: &mut Vec<Record>) {
    for _ in 0..60 {
        let span = random.below(4) as u32 + 1;
        let kind = random.below(256) as u8;
        let payload = match random.below(3) {
            // Zeros in the payload must not pass for lost sectors.
            0 => vec![0; random.below(2000) as usize],
            _ => random.bytes(400),
        };
        let record = |first_sequence| Record { first_sequence, span, kind, payload: payload.clone() };
        match log.append(span, kind, &payload) {
            Ok(first_sequence) => written.push(record(first_sequence)),
            Err(_) => {
                // Half of it may have reached the disk, or all.
                written.push(record(log.next_sequence()));
                return;
            }
        }
        if random.below(5) == 0 && log.sync().is_err() {
            return;
        }
    }
}

#[test]
fn a_crash_keeps_every_synced_record_and_makes_up_none() {
    println!("seeds 0 to {}", SEEDS - 1);
    for seed in 0..SEEDS {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let disk = Arc::new(FaultyDisk::new());
        let mut written: Vec<Record> = Vec::new();
        for round in 0..3 {
            let (mut log, _) = open(&disk);
            if random.below(2) == 0 {
                disk.power_off_after(random.below(100));
            }
            write_until_the_power_goes(&mut log, &mut random, &mut written);
            let durable = log.durable_sequence();
            drop(log);
            disk.crash(seed * 10 + round);

            let (log, next_sequence) = open(&disk);
            assert!(next_sequence >= durable, "synced records are gone");
            written.retain(|record| record.first_sequence < next_sequence);
            let read: Result<Vec<Record>, StoreError> = log.reader(1).collect();
            assert_eq!(read.expect("the log reads"), written);
        }
    }
}
