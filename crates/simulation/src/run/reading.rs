//! Reads, of now and as of other times, each compared with the model; and answers that are asked for again.

use super::{Checking, NOBODY, Run};
use crate::definitions::service_of;
use crate::model::{Question, bounds, longest_reach, retention};
use crate::promises::{Broken, Promise};
use crate::random::Random;
use crate::rows::column;
use crate::values::{Told, Val, status};
use arrow::array::StringArray;
use std::sync::Arc;
use thalweg_definition::{DAY, FeatureView, HOUR, Window};
use thalweg_engine::{FeatureRequest, FeatureResponse, Wanted};

/// Answers kept to be asked for again.
const KEPT_ANSWERS: usize = 24;

/// An answer that was given, to be asked for again.
pub(super) struct Given {
    view: String,
    /// The definitions in force when it was given.
    version: usize,
    answer: Answer,
}

#[derive(Debug, Clone)]
pub(super) struct Answer {
    q: i64,
    cut: i64,
    /// By user, then by output.
    told: Vec<Vec<Told>>,
}

impl Run {
    pub(super) fn read_now(&mut self, random: &mut Random) -> Checking {
        let version = self.version();
        let view = random.pick(version.views());
        let answer = self.ask(view, None)?;
        self.check(view, &answer, None)?;
        if self.ready.contains(&view.name) && random.chance(1, 3) {
            if self.given.len() >= KEPT_ANSWERS {
                let dropped = random.index(self.given.len());
                self.given.swap_remove(dropped);
            }
            self.given.push(Given { view: view.name.clone(), version: self.version, answer });
        }
        Ok(())
    }

    /// Every view, now.
    pub(super) fn read_all(&mut self) -> Checking {
        let version = self.version();
        for view in version.views() {
            let answer = self.ask(view, None)?;
            self.check(view, &answer, None)?;
        }
        Ok(())
    }

    /// As of a time in the past, or sometimes in the future.
    pub(super) fn read_as_of(&mut self, random: &mut Random) -> Checking {
        let version = self.version();
        let view = random.pick(version.views());
        let now = self.now()?;
        let row = self.any_time(random);
        let q = match random.below(8) {
            0 => now + random.micros(2 * DAY),
            1..4 => now - random.micros(12 * HOUR),
            4 | 5 => now - random.micros(10 * DAY),
            _ => row.map_or(now, |time| time + random.micros(3) - 1),
        };
        if q < 0 {
            return Ok(());
        }
        let answer = self.ask(view, Some(q))?;
        self.check(view, &answer, Some(now))
    }

    /// The event time or the arrival time of some row.
    fn any_time(&self, random: &mut Random) -> Option<i64> {
        let source = random.pick(&self.model.sources);
        let row = (!source.rows.is_empty()).then(|| random.index(source.rows.len()))?;
        let row = &source.rows[row];
        Some(if random.chance(1, 2) { row.time } else { row.arrival })
    }

    pub(super) fn ask_again(&mut self, random: &mut Random) -> Checking {
        if self.given.is_empty() {
            return Ok(());
        }
        let which = random.index(self.given.len());
        self.ask_for(which)
    }

    /// The newest answers that are kept, up to so many.
    pub(super) fn ask_all_again(&mut self, most: usize) -> Checking {
        for which in (0..self.given.len()).rev().take(most) {
            self.ask_for(which)?;
        }
        Ok(())
    }

    /// The answer that was given is given again, where the view is still the same.
    fn ask_for(&mut self, which: usize) -> Checking {
        let now = self.now()?;
        let (version, given) = (self.version(), &self.given[which]);
        let before = self.machine.versions[given.version].view(&given.view);
        let view = version.view(&given.view).filter(|view| Some(*view) == before);
        let Some(view) = view else {
            self.given.swap_remove(which);
            return Ok(());
        };
        if given.answer.q < 0 || !self.ready.contains(&given.view) {
            return Ok(());
        }
        let first = given.answer.clone();
        let again = self.ask(view, Some(first.q))?;
        self.check(view, &again, Some(now))?;
        let claims = |name: &String| self.model.source(name).is_none_or(|source| !source.spec.own_arrivals());
        if view.sources.iter().any(claims) {
            return Ok(());
        }
        for (first, again) in first.told.iter().flatten().zip(again.told.iter().flatten()) {
            // Where it may be an error was checked against the model.
            let same = first == again || again.status == status::ERROR;
            let q = again_at(&view.name, &self.given[which]);
            self.tally.hold(Promise::SameAnswerLater, same, || format!("{q}: first {first:?}, now {again:?}"))?;
        }
        Ok(())
    }

    /// The time that a read of now has.
    pub(super) fn now(&mut self) -> Result<i64, Broken> {
        let version = self.version();
        let response = self.respond(&version.views()[0], &[NOBODY], None)?;
        Ok(response.as_of)
    }

    /// Reads all of a view for all users.
    fn ask(&mut self, view: &FeatureView, as_of: Option<i64>) -> Result<Answer, Broken> {
        let users: Vec<&str> = self.users.iter().copied().chain([NOBODY]).collect();
        let response = self.respond(view, &users, as_of)?;
        let told = (0..users.len())
            .map(|row| {
                let told = |result: &thalweg_engine::FeatureResult| Told {
                    value: Val::of(&*result.values, row),
                    event_time: result.event_times[row],
                    status: result.statuses[row].name(),
                };
                response.results.iter().map(told).collect()
            })
            .collect();
        let answer = Answer { q: response.as_of, cut: response.cut, told };
        self.note(format_args!("{} answers {answer:?}", view.name));
        Ok(answer)
    }

    /// A read, and what holds of its times.
    fn respond(&mut self, view: &FeatureView, users: &[&str], as_of: Option<i64>) -> Result<FeatureResponse, Broken> {
        let request = FeatureRequest {
            wanted: Wanted::Service(service_of(&view.name)),
            entities: vec![(column::USER.to_owned(), Arc::new(StringArray::from(users.to_vec())))],
            request: Vec::new(),
            as_of,
        };
        let response = self.engine().read_features(request).map_err(|error| Broken {
            promise: Promise::NothingRefusedWithoutFault,
            what: format!("a read of {} as of {as_of:?} was refused: {error}", view.name),
        })?;
        self.hear_outcomes()?;
        let (q, cut) = (response.as_of, response.cut);
        match as_of {
            Some(asked) => {
                self.tally.hold(Promise::Values, q == asked && cut <= q, || {
                    format!("asked as of {asked}, {} answered as of {q} with a cut at {cut}", view.name)
                })?;
                self.newest_q = self.newest_q.max(if cut < q { cut } else { self.newest_q });
            }
            None => self.answered_now(q, cut)?,
        }
        Ok(response)
    }

    fn answered_now(&mut self, q: i64, cut: i64) -> Checking {
        let before = self.newest_q;
        self.tally.hold(Promise::TimeNeverGoesBack, q >= before && cut == q, || {
            format!("a read of now had {q} with a cut at {cut}, after one that had {before}")
        })?;
        self.newest_q = q;
        let newest = if self.by_events() { self.model.newest_time } else { self.model.newest_given };
        // After a failed write time stands still where it was in flight, by the events' clock perhaps at the very moment
        // of what was acknowledged.
        let stands = self.by_events() && self.engine().has_failed();
        self.tally.hold(Promise::VisibleAtOnce, stands || q > newest, || {
            format!("a read of now had {q}, and a row of {newest} had been acknowledged")
        })
    }

    /// Compares an answer with the model; `now` is the present time where it is not one of now.
    fn check(&mut self, view: &FeatureView, answer: &Answer, now: Option<i64>) -> Checking {
        let windows: Vec<&Window> = view.features.iter().flat_map(|feature| &feature.windows).collect();
        let names: Vec<String> = view.outputs().map(|(_, _, name)| format!("{}.{name}", view.name)).collect();
        if !self.ready.contains(&view.name) {
            let all = answer.told.iter().flatten().all(|told| told.status == status::ERROR && told.value.is_null());
            return self.tally.hold(Promise::FilledLaterIsTheSame, all, || {
                format!("{} is being filled and answered {answer:?}", view.name)
            });
        }
        let users: Vec<&str> = self.users.iter().copied().chain([NOBODY]).collect();
        for (user, told) in users.into_iter().zip(&answer.told) {
            let asked = Question { view, user, q: answer.q, cut: answer.cut };
            let meant = self.model.answers(asked);
            self.tally.values += meant.len() as u64;
            let count = told.len() == windows.len() && meant.len() == windows.len();
            self.tally.hold(Promise::Values, count, || format!("{} has other outputs: {told:?}", view.name))?;
            for (index, (told, meant)) in told.iter().zip(&meant).enumerate() {
                let error = told.status == status::ERROR;
                let right = if error { self.is_out_of_reach(asked, windows[index], now) } else { told == meant };
                if !right {
                    let rows = self.model.known_rows(asked);
                    self.note(format_args!("the model's rows of {user}: {rows:#?}"));
                }
                self.tally.hold(Promise::Values, right, || {
                    let (name, Answer { q, cut, .. }) = (&names[index], answer);
                    format!("{name} of {user} at ({q}, {cut}) was answered {told:?} and has to be {meant:?}")
                })?;
            }
        }
        Ok(())
    }

    /// Whether the state need not reach back to what a window sees at a past `q`, or to the rows by which the entity
    /// counts as seen.
    fn is_out_of_reach(&self, asked: Question<'_>, window: &Window, now: Option<i64>) -> bool {
        let Some(now) = now else { return false };
        let kept = retention(asked.view);
        if kept.is_some_and(|kept| asked.q < now && !self.model.sees_since(asked, now - kept)) {
            return true;
        }
        // Of rows that are folded nobody knows any more which had arrived, so whether the entity had been seen.
        let recent = now - longest_reach(asked.view);
        if kept.is_none() && asked.q <= self.tidied_at && !self.model.sees_since(asked, recent) {
            return true;
        }
        match bounds(window, asked.q).0 {
            Some(from) => from < now - kept.unwrap_or_else(|| longest_reach(asked.view)),
            None => asked.q <= self.tidied_at,
        }
    }
}

fn again_at(view: &str, given: &Given) -> String {
    format!("{view} at {}", given.answer.q)
}
