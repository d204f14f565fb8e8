//! `simulate`: runs the simulation from a seed on, shows how far it is, and ends with 1 where a promise broke.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use thalweg_simulation::{Budget, Campaign, Failure, Report, guarded, keep_panics_quiet, list_of, read_list, shrink};

const USAGE: &str = "simulate [--seed N] [--seconds S | --runs N | --crashes N] [--steps LIST] [--verbose]

  --seed N      the first seed; one is chosen and printed where it is left out
  --seconds S   runs seeds for so long
  --runs N      runs so many seeds (1, where nothing else says when to end)
  --crashes N   runs seeds until so many crashes have happened
  --steps LIST  only these steps of the one seed, as in 1-20,33
  --verbose     shows what every step does and sees";
/// Runs that broke a promise, after which there is no use in going on.
const MOST_FAILURES: usize = 5;
/// For how long a failure is shrunk.
const SHRINKING: Duration = Duration::from_secs(20);

struct Asked {
    seed: u64,
    budget: Budget,
    steps: Option<Vec<u64>>,
    verbose: bool,
}

fn main() -> ExitCode {
    let asked = match asked(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!("{why}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    keep_panics_quiet();
    eprintln!("simulate: seed {}", asked.seed);
    let campaign = match &asked.steps {
        Some(steps) => one(&asked, steps),
        None => many(&asked),
    };
    for failure in &campaign.failures {
        eprintln!("BROKEN {}", failure.text());
    }
    println!("{}", campaign.as_json());
    if campaign.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The one seed with a part of its steps.
fn one(asked: &Asked, steps: &[u64]) -> Campaign {
    let report = guarded(asked.seed, Some(steps), asked.verbose);
    let line = format!("simulate --seed {} --steps {}", asked.seed, list_of(steps));
    let failures = if report.broken.is_some() { vec![Failure { report: report.clone(), line }] } else { Vec::new() };
    Campaign { seed_first: asked.seed, runs: 1, tally: report.tally, failures }
}

fn many(asked: &Asked) -> Campaign {
    let began = Instant::now();
    let mut told = Duration::ZERO;
    let mut campaign = Campaign::go(asked.seed, asked.budget, asked.verbose, |so_far, _: &Report| {
        if began.elapsed() >= told + Duration::from_secs(1) {
            told = began.elapsed();
            let rate = so_far.tally.crashes as f64 / told.as_secs_f64();
            eprintln!(
                "simulate: {} runs, {} steps, {} crashes ({rate:.0} a second), {} values compared, {} broken",
                so_far.runs,
                so_far.tally.steps,
                so_far.tally.crashes,
                so_far.tally.values,
                so_far.failures.len()
            );
        }
        so_far.failures.len() < MOST_FAILURES
    });
    for failure in &mut campaign.failures {
        let steps = shrink(&failure.report, Instant::now() + SHRINKING);
        failure.line += &format!("; fewer steps: simulate --seed {} --steps {}", failure.report.seed, list_of(&steps));
    }
    campaign
}

fn asked(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut seed = None;
    let mut asked = Asked { seed: 0, budget: Budget::default(), steps: None, verbose: false };
    while let Some(argument) = arguments.next() {
        if argument == "--verbose" {
            asked.verbose = true;
            continue;
        }
        let known = ["--seed", "--seconds", "--runs", "--crashes", "--steps"];
        if !known.contains(&argument.as_str()) {
            return Err(format!("`{argument}` is not known"));
        }
        let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
        let whole = || value.parse::<u64>().map_err(|_| format!("{argument} {value}: give a whole number"));
        match argument.as_str() {
            "--seed" => seed = Some(whole()?),
            "--runs" => asked.budget.runs = Some(whole()?),
            "--crashes" => asked.budget.crashes = Some(whole()?),
            "--steps" => asked.steps = Some(read_list(&value)?),
            _ => {
                let seconds = value.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
                asked.budget.seconds = Some(seconds.ok_or_else(|| format!("--seconds {value}: give a number"))?);
            }
        }
    }
    asked.seed = seed.unwrap_or_else(chosen);
    Ok(asked)
}

/// A seed from the time: any will do, as it is printed.
fn chosen() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ (since.as_secs() << 20)
}
