//! What goes wrong, and how long the run lives with it.

use super::{Checking, Run};
use crate::promises::Promise;
use crate::random::Random;
use thalweg_definition::SECOND;

impl Run {
    pub(super) fn fault(&mut self, random: &mut Random) -> Checking {
        // What is off cannot go off again.
        if self.is_doomed() {
            return self.crash(random);
        }
        let disk = self.machine.disk.clone();
        match random.below(16) {
            0..6 => {
                let changes = random.below(40);
                disk.power_off_after(changes);
                self.note(format_args!("the power goes after {changes} changes"));
                Ok(())
            }
            6..8 => self.crash(random),
            8 => self.kill(random),
            9 | 10 => {
                let syncs = random.below(5);
                disk.fail_sync_after(syncs);
                self.note(format_args!("a sync fails after {syncs}"));
                Ok(())
            }
            11 | 12 => {
                let room = random.below(4000);
                disk.set_capacity(Some(disk.used() + room));
                self.life.full = true;
                self.note(format_args!("the disk has {room} bytes left"));
                Ok(())
            }
            13 => {
                let micros = if random.chance(1, 2) { 0 } else { random.micros(SECOND) };
                self.machine.set_latency(micros);
                self.note(format_args!("an operation of the disk takes {micros} microseconds"));
                Ok(())
            }
            _ => self.fail_history(random),
        }
    }

    /// A run lives on for a while with what went wrong; then it is mended, or the machine starts again.
    pub(super) fn settle_life(&mut self, random: &mut Random) -> Checking {
        let disk = &self.machine.disk;
        if self.life.full && !disk.power_is_off() && disk.syncs_failed() == 0 {
            let stopped = self.engine().has_failed();
            self.tally.hold(Promise::FullDiskRecovers, !stopped, || {
                "the engine stopped writing because the disk was full".to_owned()
            })?;
        }
        if self.is_doomed() {
            return if random.chance(1, 3) { self.crash(random) } else { Ok(()) };
        }
        if self.life.full && random.chance(1, 4) { self.make_room(random) } else { Ok(()) }
    }

    /// The disk has room again: the engine goes on, as if what it refused had never been.
    pub(super) fn make_room(&mut self, random: &mut Random) -> Checking {
        self.machine.disk.set_capacity(None);
        self.life.full = false;
        self.note(format_args!("the disk has room"));
        // A push that fails now is refused without a fault.
        self.send(random)?;
        self.commit()
    }
}
