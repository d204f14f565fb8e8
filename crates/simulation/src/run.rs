//! One run: a world drawn from the seed, and steps, each of which draws what it does from numbers of its own. So a
//! step that is left out changes nothing for the others but what it did.

mod accepting;
mod auditing;
mod clients;
mod faults;
mod lives;
mod quarantine;
mod reading;
mod upkeep;

use crate::definitions::{self, Version};
use crate::machine::{Machine, NEW_YEAR};
use crate::model::{Model, Push};
use crate::promises::{Broken, Checked, Promise};
use crate::random::Random;
use crate::rows::USERS;
use crate::tables::SimulatedTables;
use crate::trace::Trace;
use clients::{Message, Sent, Waiting};
use reading::Given;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use thalweg_engine::{Ack, Clock, ClockMode, Engine, HistoryWriter};

/// Steps of a run: this many, and up to as many more.
const LEAST_STEPS: u64 = 150;
/// The streams of chance that belong to no step.
const WORLD: u64 = u64::MAX;
const TABLES: u64 = u64::MAX - 1;
const END: u64 = u64::MAX - 2;
const NOBODY: &str = "nobody";

pub(crate) type Checking = Result<(), Broken>;

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub steps: u64,
    pub crashes: u64,
    pub values: u64,
    pub checked: Checked,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub seed: u64,
    pub tally: Tally,
    /// A hash over everything that the run did and saw.
    pub trace: u64,
    /// The step at which a promise broke, and which.
    pub broken: Option<(u64, Broken)>,
}

/// What is known of the process that is running.
#[derive(Default)]
struct Life {
    /// The engine was seen to have stopped writing.
    stopped: bool,
    /// The disk has no room.
    full: bool,
    /// Views to be filled from history, and up to which sequence.
    building: BTreeMap<String, u64>,
    /// Views whose filling failed, so that it has to begin anew.
    half_filled: BTreeSet<String>,
}

pub(crate) struct Run {
    seed: u64,
    step: u64,
    machine: Machine,
    engine: Option<Arc<Engine>>,
    tables: Arc<SimulatedTables>,
    writer: HistoryWriter,
    model: Model,
    users: Vec<&'static str>,
    clients: Vec<Sent>,
    network: Vec<Message>,
    waiting: Vec<Waiting>,
    /// Pushes that were answered with an error and may yet have become durable.
    unsure: Vec<Push>,
    /// What was acknowledged under each source and key.
    acked: BTreeMap<(usize, String), Ack>,
    /// Which of the machine's versions is in force.
    version: usize,
    /// Views that answer.
    ready: BTreeSet<String>,
    given: Vec<Given>,
    life: Life,
    /// The newest query time answered.
    newest_q: i64,
    /// The query time right after the last tidying: nothing newer was let go.
    tidied_at: i64,
    next_id: i64,
    tally: Tally,
    trace: Trace,
}

impl Tally {
    /// Counts a check, and says so where it fails.
    fn hold(&mut self, promise: Promise, holds: bool, what: impl FnOnce() -> String) -> Checking {
        self.checked.once_more(promise);
        if holds { Ok(()) } else { Err(Broken { promise, what: what() }) }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.values += other.values;
        self.checked.add(&other.checked);
    }
}

/// How many steps a seed has.
pub fn steps_of(seed: u64) -> u64 {
    LEAST_STEPS + Random::of(seed, WORLD).below(LEAST_STEPS + 1)
}

/// Runs a seed: all its steps, or only those with these numbers. `at` shows which step is under way, also to who
/// catches a panic.
pub fn run(seed: u64, only: Option<&[u64]>, verbose: bool, at: &Cell<u64>) -> Report {
    let mut run = match Run::new(seed, verbose) {
        Ok(run) => run,
        Err(broken) => {
            return Report { seed, tally: Tally::default(), trace: 0, broken: Some((0, broken)) };
        }
    };
    let all: Vec<u64>;
    let steps: &[u64] = match only {
        Some(only) => only,
        None => {
            all = (1..=steps_of(seed)).collect();
            &all
        }
    };
    let mut outcome = run.begin();
    for step in steps {
        if outcome.is_err() {
            break;
        }
        at.set(*step);
        run.step = *step;
        outcome = run.take_step();
    }
    if outcome.is_ok() {
        let end = steps.last().map_or(1, |last| last + 1);
        at.set(end);
        run.step = end;
        outcome = run.end();
    }
    Report { seed, trace: run.trace.hash(), broken: outcome.err().map(|broken| (run.step, broken)), tally: run.tally }
}

impl Run {
    fn new(seed: u64, verbose: bool) -> Result<Self, Broken> {
        let mut random = Random::of(seed, WORLD);
        // The first number is the number of steps.
        let _ = random.below(LEAST_STEPS + 1);
        let settings = definitions::settings(&mut random);
        let sources = definitions::sources(&mut random);
        let views = definitions::first_views(&mut random, &sources);
        let refused = |what: String| Broken { promise: Promise::NothingRefusedWithoutFault, what };
        let first = definitions::version(&sources, views).map_err(refused)?;
        let mut machine = Machine::new(settings).map_err(refused)?;
        machine.versions.push(Arc::new(first));
        let tables = Arc::new(SimulatedTables::new(machine.disk.clone(), Random::of(seed, TABLES)));
        Ok(Self {
            seed,
            step: 0,
            machine,
            engine: None,
            tables,
            writer: HistoryWriter::default(),
            model: Model::new(sources),
            users: USERS[..1 + random.index(USERS.len())].to_vec(),
            clients: Vec::new(),
            network: Vec::new(),
            waiting: Vec::new(),
            unsure: Vec::new(),
            acked: BTreeMap::new(),
            version: 0,
            ready: BTreeSet::new(),
            given: Vec::new(),
            life: Life::default(),
            newest_q: i64::MIN,
            tidied_at: i64::MIN,
            next_id: 1,
            tally: Tally::default(),
            trace: Trace::new(verbose),
        })
    }

    fn take_step(&mut self) -> Checking {
        self.tally.steps += 1;
        let mut random = Random::of(self.seed, self.step);
        self.act(&mut random)?;
        self.settle_life(&mut random)?;
        self.audit(&mut random)
    }

    fn act(&mut self, random: &mut Random) -> Checking {
        match random.below(100) {
            0..21 => self.send(random),
            21..40 => self.deliver(random),
            40..51 => self.commit(),
            51..60 => self.read_now(random),
            60..64 => self.read_as_of(random),
            64..69 => self.ask_again(random),
            69..74 => self.pass_time(random),
            74..77 => self.send_again(random),
            77..80 => self.checkpoint(random),
            80..83 => self.tidy(),
            83 => self.truncate_log(),
            84..86 => self.write_history(),
            86..89 => self.fill(random),
            89 => self.apply(random),
            90 => self.replay_quarantine(random),
            _ => self.fault(random),
        }
    }

    /// What may happen while another operation is under way: nothing that takes a checkpoint or ends a life.
    fn meanwhile(&mut self, random: &mut Random) -> Checking {
        for _ in 0..1 + random.below(3) {
            match random.below(10) {
                0..2 => self.send(random)?,
                2..5 => self.deliver(random)?,
                5..7 => self.commit()?,
                7..9 => self.read_now(random)?,
                _ => self.pass_time(random)?,
            }
        }
        Ok(())
    }

    fn note(&mut self, line: std::fmt::Arguments<'_>) {
        self.trace.note(self.step, line);
    }

    /// The engine that is running; there is one between any two steps.
    fn engine(&self) -> Arc<Engine> {
        self.engine.clone().expect("an engine is running")
    }

    fn version(&self) -> Arc<Version> {
        self.machine.versions[self.version].clone()
    }

    fn by_events(&self) -> bool {
        self.machine.settings.clock == ClockMode::Events
    }

    /// The time that rows are about.
    fn present(&self) -> i64 {
        if self.by_events() { self.model.newest_time.max(NEW_YEAR) } else { self.machine.clock.now() }
    }

    /// Whether something may fail for a reason.
    fn in_trouble(&self) -> bool {
        self.life.full || self.is_doomed()
    }

    /// Whether only a restart of the machine helps.
    fn is_doomed(&self) -> bool {
        let disk = &self.machine.disk;
        let failed = self.engine.as_ref().is_some_and(|engine| engine.has_failed());
        disk.power_is_off() || disk.syncs_failed() > 0 || failed
    }
}
