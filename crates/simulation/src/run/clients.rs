//! Clients and the network between them and the engine: requests and answers are lost, doubled, delayed and overtaken.
//! Who hears nothing sends again, with the same idempotency key, or without one where the source knows duplicates.

use super::{Checking, Run};
use crate::model::Push;
use crate::promises::Promise;
use crate::random::Random;
use crate::rows::{DELETE, Fault, INSERT, Row, STATUSES, UPDATE};
use std::sync::Arc;
use thalweg_definition::{DAY, HOUR, MINUTE, SECOND};
use thalweg_engine::{Clock, Input, PushRequest, Ticket};

/// Requests and answers on their way at once.
const MOST_MESSAGES: usize = 40;
/// Ids of a change source's rows.
const CHANGED_IDS: u64 = 12;

/// A push as its client keeps it until it hears that it was taken.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) source: usize,
    pub(super) rows: Arc<Vec<Row>>,
    pub(super) key: Option<String>,
    pub(super) backfill: bool,
    /// One row a line instead of an array.
    lines: bool,
    pub(super) heard: bool,
}

/// On its way, about the client's push with this number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Message {
    Request(usize),
    Answer(usize),
}

/// A push that the engine took and has not answered yet.
pub(super) struct Waiting {
    pub(super) client: usize,
    pub(super) ticket: Ticket,
    /// None where it is a repeat of another.
    pub(super) push: Option<Push>,
}

impl Sent {
    fn body(&self) -> String {
        let rows: Vec<String> = self.rows.iter().map(Row::json).collect();
        if self.lines { rows.join("\n") } else { format!("[{}]", rows.join(",")) }
    }
}

impl Run {
    /// A client sends a new push.
    pub(super) fn send(&mut self, random: &mut Random) -> Checking {
        let source = random.index(self.model.sources.len());
        let spec = self.model.sources[source].spec.clone();
        let many = if random.chance(1, 12) { 10 + random.below(40) } else { random.below(5) };
        let rows: Vec<Row> = (0..many).map(|_| self.row(source, random)).collect();
        let keyed = random.chance(2, 3);
        let client = self.clients.len();
        self.clients.push(Sent {
            source,
            rows: Arc::new(rows),
            key: keyed.then(|| format!("push {client}")),
            backfill: spec.backfills && random.chance(1, 3),
            lines: random.chance(1, 2),
            heard: false,
        });
        self.request(client, random)
    }

    /// Most requests arrive at once; the others are on their way, and some do not arrive.
    fn request(&mut self, client: usize, random: &mut Random) -> Checking {
        if random.chance(1, 2) {
            return self.take_request(client);
        }
        let copies = match random.below(10) {
            0 => 0,
            1..3 if self.may_repeat(client) => 2,
            _ => 1,
        };
        for _ in 0..copies {
            self.put(Message::Request(client), random);
        }
        Ok(())
    }

    /// Whether sending it twice may count it once only.
    pub(super) fn may_repeat(&self, client: usize) -> bool {
        let sent = &self.clients[client];
        sent.key.is_some() || self.model.sources[sent.source].spec.dedup_within().is_some()
    }

    pub(super) fn put(&mut self, message: Message, random: &mut Random) {
        if self.network.len() >= MOST_MESSAGES {
            let lost = random.index(self.network.len());
            self.network.swap_remove(lost);
        }
        self.network.push(message);
    }

    /// Something that is on its way arrives, whichever was sent first.
    pub(super) fn deliver(&mut self, random: &mut Random) -> Checking {
        if self.network.is_empty() {
            return Ok(());
        }
        let next = random.index(self.network.len());
        match self.network.swap_remove(next) {
            Message::Request(client) => self.take_request(client),
            Message::Answer(client) => {
                self.clients[client].heard = true;
                Ok(())
            }
        }
    }

    /// A client that has heard nothing sends its push again.
    pub(super) fn send_again(&mut self, random: &mut Random) -> Checking {
        // One that hears late sends again what was acknowledged long ago.
        let all = random.chance(1, 4);
        let unheard: Vec<usize> =
            (0..self.clients.len()).filter(|c| (all || !self.clients[*c].heard) && self.may_repeat(*c)).collect();
        if unheard.is_empty() {
            return Ok(());
        }
        let client = *random.pick(&unheard);
        self.request(client, random)
    }

    /// A request reaches the engine.
    pub(super) fn take_request(&mut self, client: usize) -> Checking {
        let sent = self.clients[client].clone();
        let before: Vec<&Push> = self.waiting.iter().filter_map(|waiting| waiting.push.as_ref()).collect();
        if self.model.unsure_of_duplicates(sent.source, &sent.rows, &before) {
            return Ok(());
        }
        let engine = self.engine();
        let name = self.model.sources[sent.source].spec.definition.name.clone();
        let known = sent.key.as_ref().is_some_and(|key| self.knows(sent.source, key));
        let fates = self.model.fates(sent.source, &sent.rows, &before);
        let body = sent.body();
        let input = if sent.lines { Input::Lines(body.as_bytes()) } else { Input::Json(body.as_bytes()) };
        let request = PushRequest { source: &name, input, idempotency_key: sent.key.clone(), backfill: sent.backfill };
        let stopped = engine.has_failed();
        match engine.submit(request) {
            Ok(ticket) => {
                self.note(format_args!("push {client} to {name}: {} rows, {known}", sent.rows.len()));
                self.tally.hold(Promise::FailedSyncStopsWriting, !stopped, || {
                    format!("push {client} was taken though a write had failed")
                })?;
                let repeated = ticket.is_repeated();
                self.tally.hold(Promise::CountsOnce, repeated == known, || {
                    format!("push {client} was sent before: {known}; it was taken as a repeat: {repeated}")
                })?;
                self.model.sent(sent.source, &sent.rows);
                let Sent { source, key, rows, backfill, .. } = sent;
                let push = Push { source, key, rows, backfill, fates, asked: self.newest_q };
                self.waiting.push(Waiting { client, ticket, push: (!known).then_some(push) });
                Ok(())
            }
            Err(error) => {
                self.note(format_args!("push {client} to {name} is refused: {error}"));
                self.tally.hold(Promise::NothingRefusedWithoutFault, stopped, || {
                    format!("push {client} to {name} was refused: {error}")
                })
            }
        }
    }

    /// Whether a push with this key was acknowledged or is waiting.
    fn knows(&self, source: usize, key: &str) -> bool {
        let same = |push: &Push| push.source == source && push.key.as_deref() == Some(key);
        self.acked.contains_key(&(source, key.to_owned()))
            || self.waiting.iter().any(|waiting| waiting.push.as_ref().is_some_and(same))
    }

    pub(super) fn pass_time(&mut self, random: &mut Random) -> Checking {
        let micros = match random.below(12) {
            0 => -random.micros(DAY),
            1 => random.micros(3 * DAY),
            2..5 => random.micros(5 * HOUR),
            5 => 0,
            _ => random.micros(10 * MINUTE),
        };
        self.machine.pass(micros);
        let now = self.machine.clock.now();
        self.note(format_args!("{micros} microseconds pass: it is {now}"));
        Ok(())
    }

    fn row(&mut self, source: usize, random: &mut Random) -> Row {
        let spec = self.model.sources[source].spec.clone();
        let changes = spec.definition.is_change();
        let at = self.event_time(random);
        let mut row = Row {
            user: Some(*random.pick(&self.users)),
            id: if changes { random.below(CHANGED_IDS) as i64 } else { self.next_id },
            at: Some(at),
            amount: random.chance(9, 10).then(|| random.below(400) as f64 / 8.0 - 5.0),
            units: random.chance(9, 10).then(|| random.below(12) as i64 - 3),
            status: random.chance(8, 10).then(|| *random.pick(&STATUSES)),
            came: spec.definition.arrival_time.is_some().then(|| at + random.micros(2 * HOUR)),
            operation: None,
            fault: None,
        };
        self.next_id += 1;
        if changes {
            row.operation = Some(match random.below(10) {
                0..4 => INSERT,
                4..8 => UPDATE,
                _ => DELETE,
            });
            if row.is_delete() && random.chance(1, 3) {
                row.at = None;
            }
        } else if let Some(earlier) = self.earlier_row(source, random) {
            // Sent twice by mistake, a little later perhaps, or another row under the same id.
            row.id = earlier.id;
            row.at = earlier.at.map(|at| at + random.micros(2 * MINUTE) - MINUTE);
            row.user = earlier.user;
        }
        if random.chance(1, 14) {
            row.fault = Some(fault(&row, random));
        }
        row
    }

    fn earlier_row(&self, source: usize, random: &mut Random) -> Option<Row> {
        let mut latest = self.clients.iter().rev().filter(|sent| sent.source == source).take(8);
        if !random.chance(1, 8) {
            return None;
        }
        let sent = latest.nth(random.index(8))?;
        if sent.rows.is_empty() { None } else { Some(random.pick(&sent.rows).clone()) }
    }

    /// In time or late, by seconds to months; sometimes from the future, at the same moment as others, or on an edge.
    fn event_time(&self, random: &mut Random) -> i64 {
        let present = self.present();
        let at = match random.below(40) {
            0..24 => present - 1 - random.micros(HOUR),
            24..32 => present - 1 - random.micros(2 * DAY),
            32..36 => present - 1 - random.micros(9 * DAY),
            36 => present - 1 - random.micros(60 * DAY),
            37 => present + random.micros(2 * HOUR),
            _ if self.by_events() => present + random.micros(HOUR),
            _ => present - 1,
        };
        match random.below(10) {
            0 => at - at.rem_euclid(HOUR),
            1..4 => at - at.rem_euclid(SECOND),
            _ => at,
        }
    }
}

fn fault(row: &Row, random: &mut Random) -> Fault {
    if row.is_delete() {
        return *random.pick(&[Fault::NoObject, Fault::OddOperation]);
    }
    let mut faults = vec![Fault::NoObject, Fault::TextInUnits, Fault::NoUser, Fault::LowUnits, Fault::NoTime];
    if row.came.is_some() {
        faults.push(Fault::NoArrival);
    }
    if row.operation.is_some() {
        faults.push(Fault::OddOperation);
    }
    *random.pick(&faults)
}
