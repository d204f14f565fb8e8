//! The state store's promise under power loss: the last acknowledged checkpoint, or one that was
//! being made, whole.

use crate::{Random, SeedNote};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use thalweg_store::{FaultyDisk, SegmentSettings, StateStore, StoreError};

const SEEDS: u64 = 200;

type State = BTreeMap<Vec<u8>, Vec<u8>>;

fn open(disk: &Arc<FaultyDisk>) -> (StateStore, Option<Vec<u8>>) {
    let settings = SegmentSettings { segment_bytes: 700 };
    let opened = StateStore::open(disk.clone(), Path::new("/state"), settings);
    let (store, loaded) = opened.expect("a crash never keeps the store from opening");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    (store, loaded.checkpoint.map(|checkpoint| checkpoint.header))
}

fn load(store: &StateStore) -> State {
    let mut state = State::new();
    store
        .load(&mut |_, key, value, _, put| {
            if put {
                state.insert(key.to_vec(), value.to_vec());
            } else {
                state.remove(key);
            }
            Ok(())
        })
        .expect("the store loads");
    state
}

/// One change or commit. Every commit's header is the number of its state in `history`.
fn step(
    store: &StateStore,
    random: &mut Random,
    state: &mut State,
    history: &mut Vec<State>,
) -> Result<Option<usize>, StoreError> {
    let key = vec![random.below(20) as u8];
    let choice = random.below(10);
    match choice {
        0..6 => {
            let value = random.bytes(120);
            store.put(1, &key, &value)?;
            state.insert(key, value);
            return Ok(None);
        }
        6 => {
            store.delete(1, &key)?;
            state.remove(&key);
            return Ok(None);
        }
        _ => {}
    }
    history.push(state.clone());
    let number = history.len() - 1;
    let header = (number as u64).to_le_bytes();
    if choice < 9 {
        store.commit(&header)?;
    } else {
        store.begin_rewrite()?;
        for (key, value) in state.iter() {
            store.put(1, key, value)?;
        }
        store.commit_rewrite(&header)?;
    }
    Ok(Some(number))
}

#[test]
fn a_crash_keeps_the_last_checkpoint_whole() {
    println!("seeds 0 to {}", SEEDS - 1);
    for seed in 0..SEEDS {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let disk = Arc::new(FaultyDisk::new());
        let mut history = vec![State::new()];
        let mut acknowledged = 0;
        for round in 0..3 {
            let (store, _) = open(&disk);
            let mut state = load(&store);
            disk.power_off_after(random.below(150));
            for _ in 0..80 {
                match step(&store, &mut random, &mut state, &mut history) {
                    Ok(Some(number)) => acknowledged = number,
                    Ok(None) => {}
                    Err(_) => break,
                }
            }
            drop(store);
            disk.crash(seed * 10 + round);

            let (store, header) = open(&disk);
            let found = match header {
                Some(header) => u64::from_le_bytes(header.try_into().unwrap()) as usize,
                None => 0,
            };
            assert!(found >= acknowledged, "an acknowledged checkpoint is gone");
            assert_eq!(load(&store), history[found]);
            acknowledged = found;
        }
    }
}
