//! What a read has to answer: visible rows, windows, statuses, each from scratch.

use super::aggregate::{aggregate, no_input};
use super::{Accepted, Model};
use crate::expressions::condition;
use crate::values::{Told, Val, status};
use thalweg_definition::{Feature, FeatureView, HOUR, Window};

/// A read: of one view for one entity, at `q`, of what had arrived before `cut`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) view: &'a FeatureView,
    pub(crate) user: &'a str,
    pub(crate) q: i64,
    pub(crate) cut: i64,
}

impl Accepted {
    fn visible(&self, q: i64, cut: i64) -> bool {
        let reached = |(time, arrival): (i64, i64)| time < q && arrival < cut;
        !self.row.is_delete() && reached((self.time, self.arrival)) && !self.retracted.is_some_and(reached)
    }
}

impl Model {
    /// Whether a row of the entity that is not older than `since` is visible.
    pub(crate) fn sees_since(&self, asked: Question<'_>, since: i64) -> bool {
        self.visible(asked).iter().any(|row| row.time >= since)
    }

    /// Every row of the entity, seen or not, for whoever looks for what went wrong.
    pub(crate) fn known_rows(&self, asked: Question<'_>) -> Vec<String> {
        let sources = asked.view.sources.iter().filter_map(|name| self.source(name));
        let rows = sources.flat_map(|source| &source.rows).filter(|row| row.row.user == Some(asked.user));
        let shown = |row: &Accepted| {
            let (seen, Accepted { sequence, time, arrival, retracted, .. }) = (row.visible(asked.q, asked.cut), row);
            format!(
                "{sequence}: at {time}, arrived {arrival}, taken back {retracted:?}, seen {seen}, {}",
                row.row.json()
            )
        };
        rows.map(shown).collect()
    }

    fn visible(&self, asked: Question<'_>) -> Vec<&Accepted> {
        let filter = condition(asked.view.filter.as_ref());
        asked
            .view
            .sources
            .iter()
            .filter_map(|name| self.source(name))
            .flat_map(|source| &source.rows)
            .filter(|row| row.visible(asked.q, asked.cut) && row.row.user == Some(asked.user))
            .filter(|row| row.row.passes(filter.as_ref()))
            .collect()
    }

    /// The answers to all outputs of the view, in their order.
    pub(crate) fn answers(&self, asked: Question<'_>) -> Vec<Told> {
        let mut rows = self.visible(asked);
        rows.sort_by_key(|row| (row.time, row.sequence));
        let kept = retention(asked.view);
        let seen = rows.iter().any(|row| kept.is_none_or(|kept| row.time >= asked.q - kept));
        let outputs = asked.view.features.iter().flat_map(|feature| {
            let windows = feature.windows.iter();
            windows.map(move |window| (feature, window))
        });
        outputs.map(|(feature, window)| answer(asked, feature, window, &rows, seen)).collect()
    }
}

fn answer(asked: Question<'_>, feature: &Feature, window: &Window, rows: &[&Accepted], seen: bool) -> Told {
    if !seen {
        return Told { value: no_input(feature), event_time: None, status: status::NOT_FOUND };
    }
    let (from, until) = bounds(window, asked.q);
    let filter = condition(feature.filter.as_ref());
    let inside: Vec<&Accepted> = rows
        .iter()
        .copied()
        .filter(|row| from.is_none_or(|from| row.time >= from) && row.time < until)
        .filter(|row| row.row.passes(filter.as_ref()))
        .collect();
    let (value, event_time) = value(feature, &inside);
    let limit = asked.view.staleness.map(|staleness| staleness.micros());
    if let (Some(limit), Some(time)) = (limit, event_time)
        && asked.q - time > limit
    {
        return Told { value: Val::Null, event_time, status: status::STALE };
    }
    let status = if value.is_null() { status::NULL } else { status::PRESENT };
    Told { value, event_time, status }
}

/// The value, and the newest event time among the rows that counted.
fn value(feature: &Feature, rows: &[&Accepted]) -> (Val, Option<i64>) {
    let newest = |rows: &[&Accepted]| rows.iter().map(|row| row.time).max();
    let Some(by) = &feature.by else {
        let (value, counted) = aggregate(feature, rows);
        return (value, newest(&counted));
    };
    let mut groups: Vec<(Val, Vec<&Accepted>)> = Vec::new();
    for row in rows.iter().copied() {
        let key = row.row.column(by);
        if key.is_null() {
            continue;
        }
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    let mut entries = Vec::new();
    let mut time: Option<i64> = None;
    for (key, group) in groups {
        let (value, counted) = aggregate(feature, &group);
        if !counted.is_empty() {
            time = time.max(newest(&counted));
            entries.push((key, value));
        }
    }
    (Val::map(entries), time)
}

/// From when (none: the beginning) until before when a window reaches.
pub(crate) fn bounds(window: &Window, q: i64) -> (Option<i64>, i64) {
    match *window {
        Window::Unbounded => (None, q),
        Window::Sliding { over, hop: None } => (Some(q - over.micros()), q),
        Window::Sliding { over, hop: Some(hop) } => (Some(floor(q - over.micros(), hop.micros())), q),
        Window::ToDate { over } => (Some(floor(q, over.micros())), q),
        Window::Tumbling { over } => {
            let end = floor(q, over.micros());
            (Some(end - over.micros()), end)
        }
    }
}

fn floor(time: i64, unit: i64) -> i64 {
    time - time.rem_euclid(unit)
}

/// How far back a window can ever look; none where it has no end. A local day can last longer than 24 hours.
fn reach(window: &Window) -> Option<i64> {
    let slack = |unit: i64| unit + if unit % thalweg_definition::DAY == 0 { 2 * HOUR } else { 0 };
    match *window {
        Window::Unbounded => None,
        Window::Sliding { over, hop } => Some(over.micros() + hop.map_or(0, |hop| slack(hop.micros()))),
        Window::Tumbling { over } => Some(over.micros() + slack(over.micros())),
        Window::ToDate { over } => Some(slack(over.micros())),
    }
}

/// How far back an entity counts as seen, and its rows stay; none: for ever.
pub(crate) fn retention(view: &FeatureView) -> Option<i64> {
    if let Some(declared) = view.declared_retention {
        return Some(declared.micros());
    }
    let mut longest = 0;
    for window in view.features.iter().flat_map(|feature| &feature.windows) {
        longest = longest.max(reach(window)?);
    }
    Some(longest)
}

/// The longest reach of the windows that have an end.
pub(crate) fn longest_reach(view: &FeatureView) -> i64 {
    view.features.iter().flat_map(|feature| &feature.windows).filter_map(reach).max().unwrap_or(0)
}
