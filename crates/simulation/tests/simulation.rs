//! The simulation over the seeds that once broke a promise and over new ones; and what it promises of itself.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};
use thalweg_simulation::{Budget, Campaign, Promise, guarded, list_of, read_list, run, steps_of};

/// Seeds that are run always: a seed that broke a promise is added here with the fault that it found.
const RECORDED: [u64; 12] = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144];
/// New seeds, unless `THALWEG_SIMULATION_SEEDS` says how many.
const NEW: u64 = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a whole number")))
}

fn assert_holds(seed: u64) {
    let report = guarded(seed, None, false);
    if let Some((step, broken)) = report.broken {
        panic!("{broken} (step {step}); repeat it with: simulate --seed {seed} --runs 1");
    }
}

#[test]
fn what_is_promised_holds_on_recorded_seeds() {
    RECORDED.into_iter().for_each(assert_holds);
}

#[test]
fn what_is_promised_holds_on_new_seeds() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let first = number("THALWEG_SEED").unwrap_or(since.as_micros() as u64);
    let seeds = number("THALWEG_SIMULATION_SEEDS").unwrap_or(NEW);
    println!("seeds {first} and the {seeds} from it on");
    let budget = Budget { runs: Some(seeds), ..Budget::default() };
    let campaign = Campaign::go(first, budget, false, |so_far, _| so_far.failures.is_empty());
    let broken: Vec<String> = campaign.failures.iter().map(|failure| failure.text()).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    if seeds >= NEW {
        // A promise that is never looked at would hold whatever happens.
        let looked_at =
            |promise: &Promise| *promise == Promise::NeverPanics || campaign.tally.checked.count(*promise) > 0;
        let missed: Vec<Promise> = Promise::ALL.into_iter().filter(|promise| !looked_at(promise)).collect();
        assert!(missed.is_empty(), "never checked: {missed:?}");
        assert!(campaign.tally.crashes > seeds, "{} crashes in {seeds} runs", campaign.tally.crashes);
    }
}

/// A seed that does not repeat its run is of no use.
#[test]
fn a_seed_repeats_its_run() {
    for seed in 1000..1012 {
        let again: Vec<_> = (0..2).map(|_| run(seed, None, false, &Cell::new(0))).collect();
        assert_eq!(again[0], again[1], "seed {seed}");
    }
}

#[test]
fn steps_can_be_left_out() {
    let all: Vec<u64> = (1..=steps_of(7)).collect();
    let half: Vec<u64> = all.iter().copied().filter(|step| step % 2 == 0).collect();
    let whole = guarded(7, Some(&all), false);
    assert_eq!(whole, guarded(7, None, false));
    let part = guarded(7, Some(&half), false);
    assert_eq!((part.broken, part.tally.steps), (None, half.len() as u64));
}

#[test]
fn lists_of_steps_are_read_as_they_are_written() {
    let steps = [1, 2, 3, 7, 9, 10];
    assert_eq!(list_of(&steps), "1-3,7,9-10");
    assert_eq!(read_list("1-3,7,9-10"), Ok(steps.to_vec()));
    assert_eq!(read_list(""), Ok(Vec::new()));
    assert!(read_list("1-x").is_err());
}
