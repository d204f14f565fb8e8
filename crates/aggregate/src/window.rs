//! The edges of windows in time.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use thalweg_definition::{DAY, Duration, Window};

/// The event times a window covers: `start <= t < end`, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: i64,
    pub end: i64,
}

/// The stretch that `window` covers at query time `q`. Units of whole days are aligned to midnights of `zone`,
/// all others to the epoch.
pub fn span(window: &Window, q: i64, zone: Tz) -> Span {
    match *window {
        Window::Unbounded => Span { start: i64::MIN, end: q },
        Window::Sliding { over, hop: None } => Span { start: q.saturating_sub(over.micros()), end: q },
        Window::Sliding { over, hop: Some(hop) } => {
            Span { start: floor(q.saturating_sub(over.micros()), hop, zone), end: q }
        }
        Window::ToDate { over } => Span { start: floor(q, over, zone), end: q },
        Window::Tumbling { over } => {
            let end = floor(q, over, zone);
            Span { start: before(end, over, zone), end }
        }
    }
}

/// The last boundary at or before `t` of units of length `unit`.
pub fn floor(t: i64, unit: Duration, zone: Tz) -> i64 {
    let size = unit.micros();
    if !unit.is_whole_days() || zone == Tz::UTC {
        return t.saturating_sub(t.rem_euclid(size));
    }
    // Near the ends of the calendar there is no local time.
    let utc = if t.unsigned_abs() < LOCAL_TIMES { DateTime::<Utc>::from_timestamp_micros(t) } else { None };
    let Some(local) = utc.map(|at| at.with_timezone(&zone)) else {
        return t.saturating_sub(t.rem_euclid(size));
    };
    let days = i64::from(local.date_naive().num_days_from_ce()) - EPOCH_DAY;
    let begun = days - days.rem_euclid(size / DAY);
    // Where clocks are put back over midnight, the day before goes on by its name: its end has been all the same.
    let next = midnight(begun + size / DAY, zone);
    if next <= t { next } else { midnight(begun, zone) }
}

/// The boundary one unit before the boundary `at`.
fn before(at: i64, unit: Duration, zone: Tz) -> i64 {
    if unit.is_whole_days() && zone != Tz::UTC {
        // Any moment of the unit before has that unit's first boundary as its floor.
        return floor(at.saturating_sub(1), unit, zone);
    }
    at.saturating_sub(unit.micros())
}

/// Within so many microseconds of the epoch every time has a local one.
const LOCAL_TIMES: u64 = 8_000_000_000_000_000_000;
/// Days from the first day of the common era to the epoch.
const EPOCH_DAY: i64 = 719_163;

/// The first moment of a day, counted from the epoch, in a time zone. Where clocks are put forward over
/// midnight, the day begins when they have been.
fn midnight(day: i64, zone: Tz) -> i64 {
    let date = i32::try_from(day + EPOCH_DAY).ok().and_then(NaiveDate::from_num_days_from_ce_opt);
    let Some(local) = date.and_then(|date| date.and_hms_opt(0, 0, 0)) else {
        return day.saturating_mul(DAY);
    };
    match zone.from_local_datetime(&local).earliest() {
        Some(at) => at.timestamp_micros(),
        None => after_gap(local, zone),
    }
}

fn after_gap(local: NaiveDateTime, zone: Tz) -> i64 {
    // The offset in force just before the gap maps the missing midnight to the moment of the change.
    let earlier = local - chrono::TimeDelta::hours(3);
    let offset =
        zone.offset_from_local_datetime(&earlier).earliest().map_or(0, |offset| offset.fix().local_minus_utc());
    (local.and_utc().timestamp() - i64::from(offset)) * 1_000_000
}
