//! What keeps an engine going beside pushes and reads: checkpoints, tidying, history, and definitions that change.

use super::{Checking, Run};
use crate::definitions;
use crate::promises::{Broken, Promise};
use crate::random::Random;
use crate::tables::Interrupted;
use std::cell::RefCell;
use std::sync::Arc;
use thalweg_engine::{AppliedManifest, Engine, EngineError, NewManifest, ViewRuntime, fill_view};

/// Everything that the log may be cut to.
const KEEP_BYTES: u64 = 0;
const KEEP_SINCE: i64 = i64::MIN;

impl Run {
    /// An operation may fail for a reason, and else not.
    fn went(&mut self, what: &str, outcome: Result<&(), &EngineError>) -> Checking {
        self.note(format_args!("{what}: {outcome:?}"));
        let right = outcome.is_ok() || self.in_trouble();
        self.tally.hold(Promise::NothingRefusedWithoutFault, right, || format!("{what} failed: {outcome:?}"))
    }

    /// A checkpoint, between whose entities other things happen.
    pub(super) fn checkpoint(&mut self, random: &mut Random) -> Checking {
        let engine = self.engine();
        let mut broken = None;
        let mut own = random.fork();
        let outcome = engine.checkpoint_stepping(&mut || {
            if broken.is_none() && own.chance(1, 4) {
                broken = self.meanwhile(&mut own).err();
            }
        });
        if let Some(broken) = broken {
            return Err(broken);
        }
        if let Ok(outcome) = &outcome {
            let right = outcome.position <= self.model.next_sequence;
            self.tally.hold(Promise::Durable, right, || format!("a checkpoint is ahead of the log: {outcome:?}"))?;
        }
        self.went("a checkpoint", outcome.map(drop).as_ref())
    }

    pub(super) fn tidy(&mut self) -> Checking {
        let outcome = self.engine().tidy();
        self.tidied_at = self.now()?;
        self.went("tidying", outcome.as_ref())
    }

    /// The log is cut as far as history and the older checkpoint allow.
    pub(super) fn truncate_log(&mut self) -> Checking {
        let engine = self.engine();
        let Ok(runtime) = engine.runtime() else { return Ok(()) };
        let history = self.writer.least(&runtime).unwrap_or(1);
        let outcome = engine.truncate_log(history, KEEP_BYTES, KEEP_SINCE);
        self.went("cutting the log", outcome.map(drop).as_ref())
    }

    pub(super) fn write_history(&mut self) -> Checking {
        let outcome = self.bring_to_history();
        self.went("writing history", outcome.as_ref())
    }

    pub(super) fn bring_to_history(&mut self) -> Result<(), EngineError> {
        let engine = self.engine();
        self.writer.write(&engine, &*self.tables, engine.applied_until())
    }

    /// The store of tables fails: whatever its answer was, nothing is lost or written twice.
    pub(super) fn fail_history(&mut self, random: &mut Random) -> Checking {
        self.tables.fail_next_append(random.chance(1, 2));
        let outcome = self.bring_to_history();
        self.tables.mend();
        self.note(format_args!("writing history while its store fails: {outcome:?}"));
        self.audit_history()
    }

    /// Fills a view from history, while other things happen.
    pub(super) fn fill(&mut self, random: &mut Random) -> Checking {
        let building = self.life.building.iter().map(|(name, until)| (name.clone(), *until));
        let building: Vec<(String, u64)> = building.collect();
        if building.is_empty() {
            return Ok(());
        }
        let (name, mut until) = random.pick(&building).clone();
        let engine = self.engine();
        let runtime = engine.runtime().map_err(|error| Broken {
            promise: Promise::NothingRefusedWithoutFault,
            what: format!("nothing is in force: {error}"),
        })?;
        let Some(view) = runtime.views.get(&name).cloned() else { return Ok(()) };
        if self.life.half_filled.contains(&name) {
            match engine.fill_again(&view) {
                Ok(again) => until = again,
                Err(error) => return self.went("beginning a view anew", Err(&error)),
            }
            self.life.building.insert(name.clone(), until);
            self.life.half_filled.remove(&name);
        }
        let outcome = self.bring_to_history();
        if outcome.is_err() {
            return self.went("writing history", outcome.as_ref());
        }
        let fails = random.chance(1, 8);
        if fails {
            self.tables.fail_next_read(random.below(4));
        }
        let outcome = self.fill_meanwhile(&engine, &view, until, random)?;
        self.tables.mend();
        match outcome {
            Ok(()) => {
                self.note(format_args!("{name} is filled up to {until}"));
                self.life.building.remove(&name);
                self.ready.insert(name);
                self.read_all()
            }
            Err(error) => {
                self.life.half_filled.insert(name);
                if fails { Ok(()) } else { self.went("filling a view", Err(&error)) }
            }
        }
    }

    fn fill_meanwhile(
        &mut self,
        engine: &Engine,
        view: &Arc<ViewRuntime>,
        until: u64,
        random: &mut Random,
    ) -> Result<Result<(), EngineError>, Broken> {
        let tables = self.tables.clone();
        let mut broken = None;
        let mut own = random.fork();
        let outcome = {
            let mut between = || {
                if broken.is_none() && own.chance(1, 3) {
                    broken = self.meanwhile(&mut own).err();
                }
                if broken.is_none() && own.chance(1, 12) {
                    // One of a view that is half filled; it may fail where the disk does.
                    let outcome = engine.checkpoint().map(|_| ());
                    broken = self.went("a checkpoint", outcome.as_ref()).err();
                }
            };
            let between: &mut dyn FnMut() = &mut between;
            let interrupted = Interrupted { tables: &tables, between: RefCell::new(between) };
            fill_view(engine, &interrupted, view, until)
        };
        match broken {
            Some(broken) => Err(broken),
            None => Ok(outcome),
        }
    }

    /// New definitions: views that changed their state are filled, the others go on.
    pub(super) fn apply(&mut self, random: &mut Random) -> Checking {
        let old = self.version();
        let specs: Vec<_> = self.model.sources.iter().map(|source| source.spec.clone()).collect();
        let views = definitions::changed_views(random, &specs, old.views());
        let new = definitions::version(&specs, views).map_err(|what| Broken {
            promise: Promise::NothingRefusedWithoutFault,
            what: format!("the simulation's own definitions are refused: {what}"),
        })?;
        self.machine.versions.push(Arc::new(new));
        let number = self.machine.versions.len() - 1;
        match self.put_in_force(number) {
            Ok(applied) => {
                self.note(format_args!("version {number} is in force: {applied:?}"));
                let meant = self.made_anew(number);
                let right = sorted(&applied.to_build) == meant;
                self.tally.hold(Promise::FilledLaterIsTheSame, right, || {
                    format!("{:?} are to be built, and {meant:?} have to", applied.to_build)
                })?;
                self.version = number;
                self.take_up(&applied)
            }
            Err(error) => self.went("applying definitions", Err(&error)),
        }
    }

    pub(super) fn put_in_force(&self, number: usize) -> Result<AppliedManifest, EngineError> {
        let version = &self.machine.versions[number];
        self.engine().apply_manifest(NewManifest {
            checked: version.checked.clone(),
            hash: number.to_string(),
            json: "{}".to_owned(),
            protobuf: Vec::new(),
            note: String::new(),
            state_keys: version.state_keys.clone(),
        })
    }

    /// The views of a version whose state cannot be that of the version in force.
    pub(super) fn made_anew(&self, number: usize) -> Vec<String> {
        let (old, new) = (&self.machine.versions[self.version], &self.machine.versions[number]);
        let names = new.views().iter().map(|view| &view.name);
        names.filter(|name| old.state_keys.get(*name) != new.state_keys.get(*name)).cloned().collect()
    }

    /// Which views answer after an apply, and which are to be filled.
    pub(super) fn take_up(&mut self, applied: &AppliedManifest) -> Checking {
        let version = self.version();
        let made = &applied.to_build;
        let stays = |name: &String| version.view(name).is_some() && !made.contains(name);
        self.ready.retain(stays);
        self.life.building.retain(|name, _| stays(name));
        self.life.half_filled.retain(stays);
        if applied.history_until > 1 {
            self.life.building.extend(made.iter().map(|name| (name.clone(), applied.history_until)));
            return Ok(());
        }
        // Nothing was ever pushed: there is nothing to fill them with.
        let engine = self.engine();
        let runtime = engine.runtime();
        let views: Vec<Arc<ViewRuntime>> = match &runtime {
            Ok(runtime) => made.iter().filter_map(|name| runtime.views.get(name).cloned()).collect(),
            Err(_) => Vec::new(),
        };
        let outcome = engine.finish_builds(&views);
        match &outcome {
            Ok(()) => self.ready.extend(made.iter().cloned()),
            Err(_) => self.life.building.extend(made.iter().map(|name| (name.clone(), 1))),
        }
        self.went("declaring views built", outcome.as_ref())
    }
}

fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names
}
