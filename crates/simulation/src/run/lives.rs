//! Lives of an engine: its beginning, its end by a loss of power or kill -9, and what has to hold when it opens again.

use super::{Checking, END, Life, Run};
use crate::promises::{Broken, Promise};
use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thalweg_definition::SECOND;
use thalweg_engine::{Clock, Engine, EngineError, HistoryWriter, Recovered};

/// An engine that has opened, and what it said.
type Opened = (Engine, Recovered);

/// What may be otherwise than after a mere crash.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Damage {
    None,
    /// A byte was damaged, and the engine went on with a warning.
    Warned,
}

impl Run {
    /// The first life: definitions in force before anything is pushed.
    pub(super) fn begin(&mut self) -> Checking {
        let opened = self.machine.open().map_err(cannot_open)?;
        self.engine = Some(Arc::new(opened.0));
        let applied = self.put_in_force(0).map_err(|error| Broken {
            promise: Promise::NothingRefusedWithoutFault,
            what: format!("the first definitions were refused: {error}"),
        })?;
        self.take_up(&applied)?;
        let (settings, users) = (&self.machine.settings, &self.users);
        self.trace.note(0, format_args!("it begins with {settings:?}, {users:?} and {:?}", self.ready));
        Ok(())
    }

    /// The last life: all is mended, everything sent again arrives, and all has to be as it was promised.
    pub(super) fn end(&mut self) -> Checking {
        let mut random = Random::of(self.seed, END);
        self.machine.set_latency(0);
        self.machine.disk.set_capacity(None);
        self.life.full = false;
        self.crash(&mut random)?;
        self.machine.disk.power_off_after(u64::MAX);
        self.machine.disk.fail_sync_after(u64::MAX);
        self.network.clear();
        for client in 0..self.clients.len() {
            if !self.clients[client].heard && self.may_repeat(client) {
                self.take_request(client)?;
            }
        }
        self.commit()?;
        while !self.life.building.is_empty() {
            self.fill(&mut random)?;
        }
        self.write_history()?;
        self.tidy()?;
        self.audit_everything()
    }

    /// Power loss and restart of the machine.
    pub(super) fn crash(&mut self, random: &mut Random) -> Checking {
        self.end_life();
        self.lose_power(random);
        self.reopen(random)
    }

    fn lose_power(&mut self, random: &mut Random) {
        self.machine.disk.crash(random.draw());
        self.tally.crashes += 1;
        self.note(format_args!("power is lost"));
    }

    /// The process ends at once and the machine goes on: what it had written is read by the next one, synced or not.
    pub(super) fn kill(&mut self, random: &mut Random) -> Checking {
        if self.is_doomed() {
            return self.crash(random);
        }
        // What was still to go wrong does not; of the disk nothing is lost.
        self.machine.disk.power_off_after(u64::MAX);
        self.machine.disk.fail_sync_after(u64::MAX);
        self.end_life();
        self.note(format_args!("the process is killed"));
        self.reopen(random)
    }

    fn end_life(&mut self) {
        self.waiting.clear();
        self.engine = None;
        self.writer = HistoryWriter::default();
        self.tables.mend();
        self.machine.disk.set_capacity(None);
        self.life = Life::default();
    }

    /// Opens again, at times cut off while it does so, at times with a damaged byte.
    fn reopen(&mut self, random: &mut Random) -> Checking {
        self.machine.pass(1 + random.micros(SECOND));
        // A machine whose clock went back over its restart, behind what it had answered, is outside of the promise.
        if !self.by_events() && self.machine.clock.now() <= self.newest_q {
            self.machine.clock.set(self.newest_q + 1);
        }
        let tries = if random.chance(1, 3) { 1 + random.below(3) } else { 0 };
        for _ in 0..tries {
            if random.chance(3, 4) {
                self.machine.disk.power_off_after(random.below(12));
            } else {
                self.machine.disk.fail_sync_after(random.below(4));
            }
            match self.machine.open() {
                Ok(opened) if !self.is_doomed() => return self.adopt(opened, Damage::None),
                Ok(_) => {}
                Err(error) => {
                    let doomed = self.is_doomed();
                    self.note(format_args!("opening fails: {error}"));
                    self.tally.hold(Promise::OpensAgain, doomed, || format!("it does not open: {error}"))?;
                }
            }
            self.lose_power(random);
        }
        if random.chance(1, 8) {
            return self.reopen_damaged(random);
        }
        let opened = self.machine.open().map_err(cannot_open)?;
        self.adopt(opened, Damage::None)
    }

    /// A byte decays between two lives: it is named and refused, survived with a warning, or not needed.
    fn reopen_damaged(&mut self, random: &mut Random) -> Checking {
        let places = self.machine.may_decay(self.model.last_push);
        if places.is_empty() {
            let opened = self.machine.open().map_err(cannot_open)?;
            return self.adopt(opened, Damage::None);
        }
        let (path, end) = random.pick(&places).clone();
        let offset = random.below(end);
        let copy = self.machine.disk.files();
        self.machine.disk.damage(&path, offset);
        self.note(format_args!("byte {offset} of {} decays", path.display()));
        match self.machine.open() {
            Err(error) => {
                self.note(format_args!("it is refused: {error}"));
                self.refused_damage(&path, &error)?;
                let there = self.mend(&path, offset, &copy);
                self.tally.hold(Promise::DamageIsNamed, there, || {
                    format!("{} was refused as damaged, and is not there as it was", path.display())
                })?;
                let opened = self.machine.open().map_err(cannot_open)?;
                self.adopt(opened, Damage::None)
            }
            Ok((engine, recovered)) if recovered.warnings.is_empty() => {
                // Nobody needed the byte so far, and what was read without it is checked.
                self.mend(&path, offset, &copy);
                self.adopt((engine, recovered), Damage::None)
            }
            Ok((engine, recovered)) => {
                let named = recovered.warnings.iter().any(|warning| warning.contains(&file_name(&path)));
                let warnings = recovered.warnings.clone();
                self.tally.hold(Promise::DamageIsNamed, named, || {
                    format!("{} was damaged, and the warnings are {warnings:?}", path.display())
                })?;
                self.note(format_args!("it is survived: {warnings:?}"));
                let lost = warnings.iter().any(|warning| warning.contains("no checkpoint reaches the log"));
                if !lost && (recovered.checkpoint.is_some() || recovered.build_until <= 1) {
                    self.mend(&path, offset, &copy);
                    return self.adopt((engine, recovered), Damage::Warned);
                }
                // Every checkpoint was lost to it, and the log is cut. It said so; the files come back from a copy.
                drop(engine);
                self.machine.disk.restore(&copy);
                let opened = self.machine.open().map_err(cannot_open)?;
                self.adopt(opened, Damage::Warned)
            }
        }
    }

    fn refused_damage(&mut self, path: &Path, error: &EngineError) -> Checking {
        let told = error.to_string();
        let named = told.contains(&file_name(path)) && told.contains("byte");
        self.tally.hold(Promise::DamageIsNamed, named, || {
            format!("{} was damaged, and it was refused with: {told}", path.display())
        })
    }

    /// Takes the byte from the copy, if its file is still there and as it was; whether it is.
    fn mend(&self, path: &Path, offset: u64, copy: &BTreeMap<PathBuf, Vec<u8>>) -> bool {
        let files = self.machine.disk.files();
        let byte = |files: &BTreeMap<PathBuf, Vec<u8>>| files.get(path)?.get(offset as usize).copied();
        let (now, good) = (byte(&files), byte(copy));
        let damaged = now.is_some() && now == good.map(|good| !good);
        if damaged {
            self.machine.disk.damage(path, offset);
        }
        damaged
    }

    /// An engine has opened: what it says of itself, what became of the pushes that nobody was told about, and then
    /// everything else.
    fn adopt(&mut self, (engine, recovered): Opened, damage: Damage) -> Checking {
        self.engine = Some(Arc::new(engine));
        self.note(format_args!("it opens: {recovered:?}"));
        let quiet = recovered.warnings.is_empty() || damage == Damage::Warned;
        let warnings = recovered.warnings.clone();
        self.tally.hold(Promise::OpensAgain, quiet, || format!("it opens and warns: {warnings:?}"))?;
        self.learn_version()?;
        self.learn_views(&recovered, damage)?;
        self.learn_log()?;
        if !self.is_doomed() {
            self.learn_replays()?;
        }
        self.audit_opened()
    }

    /// An apply that was cut off is in force or not.
    fn learn_version(&mut self) -> Checking {
        let current = self.machine.current().map_err(cannot_open)?;
        let number = current.unwrap_or(0);
        let (made, before) = (self.made_anew(number), self.version);
        let last = self.machine.versions.len() - 1;
        self.tally.hold(Promise::WholeOrNotAtAll, number == before || number == last, || {
            format!("definitions {number} are in force, {before} were, and {last} may be")
        })?;
        if number != before {
            self.version = number;
            let version = self.version();
            self.ready.retain(|name| version.view(name).is_some() && !made.contains(name));
        }
        Ok(())
    }

    /// Views that had been filled are, and the others are to be filled.
    fn learn_views(&mut self, recovered: &Recovered, damage: Damage) -> Checking {
        let to_build: BTreeSet<String> = recovered.to_build.iter().cloned().collect();
        let again: Vec<&String> = self.ready.intersection(&to_build).collect();
        let kept = again.is_empty() || damage == Damage::Warned;
        self.tally.hold(Promise::FilledLaterIsTheSame, kept, || format!("{again:?} had been filled, and are not"))?;
        let version = self.version();
        let views: BTreeSet<String> = version.views().iter().map(|view| view.name.clone()).collect();
        self.ready = views.difference(&to_build).cloned().collect();
        let until = recovered.build_until;
        self.life.building = views.intersection(&to_build).map(|name| (name.clone(), until)).collect();
        Ok(())
    }

    /// Pushes that were answered with an error are in the log, whole and in their order, or not at all.
    fn learn_log(&mut self) -> Checking {
        let mut unsure = VecDeque::from(std::mem::take(&mut self.unsure));
        for logged in self.logged_from(self.model.next_sequence, usize::MAX)? {
            let mut seen = Vec::new();
            let found = loop {
                let Some(push) = unsure.pop_front() else { break None };
                match self.difference(&push, &logged.batch) {
                    None => break Some(push),
                    Some(difference) => seen.push(difference),
                }
            };
            let (first, next) = (logged.first, self.model.next_sequence);
            let header = &logged.batch.header;
            self.tally.hold(Promise::WholeOrNotAtAll, found.is_some() && first == next, || {
                format!("the log has {header:?} at {first} where {next} is due; of what may be there: {seen:?}")
            })?;
            if let Some(push) = found {
                self.accept(push, &logged)?;
            }
        }
        let (until, next) = (self.engine().applied_until(), self.model.next_sequence);
        self.tally.hold(Promise::Durable, until == next, || {
            format!("the log ends before sequence {until}, and {next} is what has to be next")
        })
    }
}

fn cannot_open(error: EngineError) -> Broken {
    Broken { promise: Promise::OpensAgain, what: format!("it does not open: {error}") }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
