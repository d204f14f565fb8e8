//! The objectives: what was promised, what was measured, and since when the one holds the other or not. Measuring is
//! done elsewhere; here is decided.

use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use thalweg_engine::literal::timestamp_text;

/// Requests that have to be in the window before a share or a quantile of them counts as a breach.
const ENOUGH_REQUESTS: u64 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Objective {
    /// The share of reads and writes that did not fail by the server's own fault.
    Availability,
    /// How quick 99 of 100 reads are.
    LatencyP99,
    /// How soon what was written can be read; for a view that declares it, the age of its newest event.
    Freshness,
    /// The share of recorded answers that the check finds again in history.
    Agreement,
}

impl Objective {
    pub fn name(self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::LatencyP99 => "latency_p99",
            Self::Freshness => "freshness",
            Self::Agreement => "agreement",
        }
    }

    pub fn unit(self) -> &'static str {
        match self {
            Self::Availability | Self::Agreement => "ratio",
            Self::LatencyP99 | Self::Freshness => "seconds",
        }
    }

    /// A share has to reach its target, a length of time must not pass it.
    fn holds(self, measured: f64, target: f64) -> bool {
        match self {
            Self::Availability | Self::Agreement => measured >= target,
            Self::LatencyP99 | Self::Freshness => measured <= target,
        }
    }

    /// Samples below which nothing counts as a breach.
    fn enough(self) -> u64 {
        match self {
            Self::Availability | Self::LatencyP99 => ENOUGH_REQUESTS,
            Self::Freshness | Self::Agreement => 1,
        }
    }
}

/// One objective, measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub objective: Objective,
    /// The view that declares it; none for the server's own.
    pub view: Option<String>,
    /// A share, or seconds.
    pub target: f64,
    /// None where there is nothing to measure.
    pub measured: Option<f64>,
    pub samples: u64,
}

/// How an objective stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Nothing was measured, or too little to speak of a breach.
    #[default]
    NoData,
    Met,
    Breached,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::NoData => "no_data",
            Self::Met => "met",
            Self::Breached => "breached",
        }
    }
}

/// An objective as last measured, and since when it stands so.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    pub reading: Reading,
    pub state: State,
    /// By the machine's clock, in microseconds.
    pub since: i64,
}

/// The server's own objective, or that of a view.
pub type Subject = (Objective, Option<String>);

impl Standing {
    pub fn subject(&self) -> Subject {
        (self.reading.objective, self.reading.view.clone())
    }

    pub fn json(&self) -> Json {
        let Reading { objective, view, target, measured, samples } = &self.reading;
        json!({
            "objective": objective.name(),
            "view": view,
            "unit": objective.unit(),
            "target": target,
            "measured": measured,
            "samples": samples,
            "state": self.state.name(),
            "since": timestamp_text(self.since),
        })
    }
}

/// How all objectives stand.
#[derive(Debug, Default)]
pub struct Standings {
    by_subject: BTreeMap<Subject, Standing>,
}

impl Standings {
    /// Takes in new readings at a time; each change of state is written to the log. Objectives that are not read any
    /// more are forgotten.
    pub fn update(&mut self, readings: Vec<Reading>, now: i64) -> Vec<Standing> {
        let mut before = std::mem::take(&mut self.by_subject);
        for reading in readings {
            let subject = (reading.objective, reading.view.clone());
            let old = before.remove(&subject);
            let (old_state, old_since) = old.map_or((State::NoData, now), |old| (old.state, old.since));
            let state = decide(old_state, &reading);
            let since = if state == old_state { old_since } else { now };
            let standing = Standing { reading, state, since };
            if state != old_state {
                tell(old_state, &standing);
            }
            self.by_subject.insert(subject, standing);
        }
        self.by_subject.values().cloned().collect()
    }
}

fn decide(before: State, reading: &Reading) -> State {
    let Some(measured) = reading.measured.filter(|_| reading.samples > 0) else { return State::NoData };
    if reading.objective.holds(measured, reading.target) {
        return State::Met;
    }
    if reading.samples >= reading.objective.enough() { State::Breached } else { before }
}

fn tell(before: State, standing: &Standing) {
    let Reading { objective, view, target, measured, samples } = &standing.reading;
    let (objective, view, promised) = (objective.name(), view.as_deref().unwrap_or_default(), target);
    match (before, standing.state) {
        (_, State::Breached) => {
            tracing::warn!(objective, view, promised, measured, samples, "an objective is breached");
        }
        (State::Breached, _) => {
            tracing::info!(objective, view, promised, measured, samples, "an objective has recovered")
        }
        _ => tracing::debug!(objective, view, promised, measured, samples, "an objective is measured"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(measured: f64, samples: u64) -> Vec<Reading> {
        let measured = Some(measured);
        vec![Reading { objective: Objective::LatencyP99, view: None, target: 0.01, measured, samples }]
    }

    #[test]
    fn a_breach_needs_samples_and_lasts_until_it_is_measured_away() {
        let mut standings = Standings::default();
        let mut at = |readings, now| {
            let all = standings.update(readings, now);
            (all[0].state, all[0].since)
        };
        assert_eq!(at(latency(0.5, 99), 1), (State::NoData, 1));
        assert_eq!(at(latency(0.5, 100), 2), (State::Breached, 2));
        // Fewer samples take no breach back.
        assert_eq!(at(latency(0.5, 3), 3), (State::Breached, 2));
        assert_eq!(at(latency(0.001, 3), 4), (State::Met, 4));
        assert_eq!(at(latency(0.5, 3), 5), (State::Met, 4));
        assert_eq!(at(latency(0.0, 0), 6), (State::NoData, 6));
    }

    #[test]
    fn shares_are_met_from_below_and_times_from_above() {
        assert!(Objective::Availability.holds(0.999, 0.999) && !Objective::Availability.holds(0.998, 0.999));
        assert!(Objective::Freshness.holds(299.0, 300.0) && !Objective::Freshness.holds(301.0, 300.0));
    }

    #[test]
    fn what_is_not_read_any_more_is_forgotten() {
        let mut standings = Standings::default();
        standings.update(latency(0.001, 100), 1);
        assert!(standings.update(Vec::new(), 2).is_empty());
    }
}
