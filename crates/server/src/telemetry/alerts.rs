//! Breaches and recoveries, told to a webhook: at most one breach per objective in a while, a recovery only where its
//! breach was told, a bounded queue, and a sender of its own that tries again.

use super::counts::Count;
use super::objectives::{Standing, State, Subject};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use thalweg_engine::literal::timestamp_text;

/// Between two breaches told of one objective.
const QUIET: Duration = Duration::from_secs(300);
/// Alerts that wait to be sent; what comes past them is counted and written to the log.
const QUEUE: usize = 64;
/// How long one attempt may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// The waits between attempts; after the last the alert is given up.
const BACKOFF: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];
/// How often the sender looks whether it is told to stop.
const TICK: Duration = Duration::from_millis(100);

/// What became of alerts.
#[derive(Debug, Default)]
pub struct AlertCounts {
    pub delivered: Count,
    pub failed: Count,
    /// The queue was full.
    pub dropped: Count,
}

/// Decides what is to be told.
#[derive(Debug, Default)]
pub struct Announcer {
    told: HashMap<Subject, Told>,
}

#[derive(Debug)]
struct Told {
    /// When a breach was last told.
    at: Instant,
    /// Whether its recovery is still to be told.
    open: bool,
}

impl Announcer {
    /// The standings whose breach or recovery is to be told now.
    pub fn due(&mut self, now: Instant, standings: &[Standing]) -> Vec<Standing> {
        let quiet = |told: &Told| now.saturating_duration_since(told.at) < QUIET;
        let stands = |subject: &Subject| standings.iter().any(|standing| standing.subject() == *subject);
        self.told.retain(|subject, told| quiet(told) || (told.open && stands(subject)));
        let mut due = Vec::new();
        for standing in standings {
            let subject = standing.subject();
            let (open, recent) = self.told.get(&subject).map_or((false, false), |told| (told.open, quiet(told)));
            match standing.state {
                State::Breached if !open && !recent => {
                    self.told.insert(subject, Told { at: now, open: true });
                    due.push(standing.clone());
                }
                State::Met | State::NoData if open => {
                    if let Some(told) = self.told.get_mut(&subject) {
                        told.open = false;
                    }
                    due.push(standing.clone());
                }
                _ => {}
            }
        }
        due
    }
}

/// The way to the sender.
pub struct Alerts {
    queue: SyncSender<Json>,
    /// Which server tells, for whoever hears many.
    server: String,
}

impl Alerts {
    /// A queue, and its end, for [`deliver`].
    pub fn open(server: String) -> (Self, Receiver<Json>) {
        let (queue, receiver) = sync_channel(QUEUE);
        (Self { queue, server }, receiver)
    }

    /// Puts an alert in the queue; `now` is the machine's clock in microseconds.
    pub fn tell(&self, standing: &Standing, now: i64, counts: &AlertCounts) {
        if self.queue.try_send(body(&self.server, standing, now)).is_err() {
            counts.dropped.add(1);
            let objective = standing.reading.objective.name();
            tracing::warn!(objective, "an alert is dropped: {QUEUE} wait for the webhook already");
        }
    }
}

fn body(server: &str, standing: &Standing, now: i64) -> Json {
    let mut body = standing.json();
    let event = if standing.state == State::Breached { "breached" } else { "recovered" };
    let of = standing.reading.view.as_ref().map(|view| format!(" of view {view}")).unwrap_or_default();
    let (name, unit) = (standing.reading.objective.name(), standing.reading.objective.unit());
    let measured = standing.reading.measured.map_or("nothing".to_owned(), |measured| measured.to_string());
    let text = format!(
        "thalweg at {server}: {name}{of} {event}: {measured} measured, {} promised ({unit})",
        standing.reading.target
    );
    body["event"] = json!(event);
    body["server"] = json!(server);
    body["at"] = json!(timestamp_text(now));
    body["text"] = json!(text);
    body
}

/// Sends what comes through the queue until `stopping`. Blocks.
pub fn deliver(url: &str, queue: &Receiver<Json>, counts: &AlertCounts, stopping: impl Fn() -> bool) {
    let agent = agent(url);
    while !stopping() {
        match queue.recv_timeout(TICK) {
            Ok(alert) => deliver_one(&agent, url, &alert, counts, &stopping),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn agent(url: &str) -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(SEND_TIMEOUT));
    // A proxy from the environment would look for this machine's loopback on its own.
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let here = ["127.", "localhost", "[::1]"].iter().any(|start| host.starts_with(start));
    let config = if here { config.proxy(None) } else { config };
    config.build().new_agent()
}

fn deliver_one(agent: &ureq::Agent, url: &str, alert: &Json, counts: &AlertCounts, stopping: &impl Fn() -> bool) {
    let mut waits = BACKOFF.iter();
    loop {
        let error = match agent.post(url).send_json(alert) {
            Ok(_) => return counts.delivered.add(1),
            Err(error) => error,
        };
        let wait = waits.next().filter(|_| may_pass(&error));
        let Some(wait) = wait.filter(|wait| pause(**wait, stopping)) else {
            counts.failed.add(1);
            // The address may hold a secret, and is not repeated.
            let objective = alert["objective"].as_str();
            return tracing::error!(objective, "an alert could not be sent to the webhook: {error}");
        };
        tracing::debug!("the webhook was not reached, tried again after {} s: {error}", wait.as_secs());
    }
}

/// Whether trying again may help.
fn may_pass(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::StatusCode(status) => *status >= 500 || matches!(status, 408 | 429),
        _ => true,
    }
}

/// Waits; false where it is to stop.
fn pause(wait: Duration, stopping: &impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < wait {
        if stopping() {
            return false;
        }
        std::thread::sleep(TICK.min(wait));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::objectives::{Objective, Reading};
    use super::*;

    fn standing(state: State) -> Standing {
        let (measured, view) = (Some(0.5), Some("spend".to_owned()));
        let reading = Reading { objective: Objective::Freshness, view, target: 0.1, measured, samples: 7 };
        Standing { reading, state, since: 0 }
    }

    #[test]
    fn a_breach_is_told_once_in_a_while_and_its_recovery_once() {
        let (mut announcer, begin) = (Announcer::default(), Instant::now());
        let mut told =
            |second: u64, state| announcer.due(begin + Duration::from_secs(second), &[standing(state)]).len();
        assert_eq!(told(0, State::Met), 0, "what was never breached does not recover");
        assert_eq!(told(1, State::Breached), 1);
        assert_eq!(told(2, State::Breached), 0);
        assert_eq!(told(3, State::Met), 1);
        assert_eq!(told(4, State::Met), 0);
        assert_eq!(told(5, State::Breached), 0, "too soon after the one before");
        assert_eq!(told(6, State::Met), 0, "nor is its recovery told");
        assert_eq!(told(302, State::Breached), 1);
        assert_eq!(told(999, State::Breached), 0, "it still stands");
    }

    #[test]
    fn the_body_says_what_is_promised_and_measured() {
        let body = body("h:1", &standing(State::Breached), 0);
        assert_eq!((&body["event"], &body["view"], &body["samples"]), (&json!("breached"), &json!("spend"), &json!(7)));
        assert_eq!(
            body["text"],
            "thalweg at h:1: freshness of view spend breached: 0.5 measured, 0.1 promised (seconds)"
        );
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (alerts, _receiver) = Alerts::open("h:1".to_owned());
        let counts = AlertCounts::default();
        (0..QUEUE + 2).for_each(|_| alerts.tell(&standing(State::Breached), 0, &counts));
        assert_eq!(counts.dropped.get(), 2);
    }
}
