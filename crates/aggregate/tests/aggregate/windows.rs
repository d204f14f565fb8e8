//! The edges of windows: to the microsecond, before the epoch, and where clocks are put forward or back.

use crate::support::{Random, SeedNote, days, hours, micros};
use chrono::DateTime;
use chrono_tz::Tz;
use thalweg_aggregate::{Span, floor, span};
use thalweg_definition::{DAY, Duration, HOUR, MINUTE, Window};

fn at(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).expect("a time").timestamp_micros()
}

fn between(start: &str, end: &str) -> Span {
    Span { start: at(start), end: at(end) }
}

fn zone(name: &str) -> Tz {
    name.parse().expect("a time zone")
}

const TUMBLING_DAY: Window = Window::Tumbling { over: Duration::from_micros(DAY) };
const DAY_TO_DATE: Window = Window::ToDate { over: Duration::from_micros(DAY) };

#[test]
fn sliding_windows_are_exact() {
    let q = at("2024-03-10T12:34:56.789012Z");
    assert_eq!(span(&days(7), q, Tz::UTC), Span { start: q - 7 * DAY, end: q });
    // A length is a length: no zone moves it.
    assert_eq!(span(&days(7), q, zone("America/New_York")), Span { start: q - 7 * DAY, end: q });
    assert_eq!(span(&Window::Unbounded, q, Tz::UTC), Span { start: i64::MIN, end: q });
}

#[test]
fn a_hop_moves_the_tail_back_to_a_boundary() {
    let window = Window::Sliding { over: micros(2 * HOUR), hop: Some(micros(HOUR)) };
    let boundary = at("2024-01-01T10:00:00Z");
    for (q, start) in [
        (boundary - 1, boundary - 3 * HOUR),
        (boundary, boundary - 2 * HOUR),
        (boundary + 1, boundary - 2 * HOUR),
        (boundary + HOUR - 1, boundary - 2 * HOUR),
        (boundary + HOUR, boundary - HOUR),
    ] {
        assert_eq!(span(&window, q, Tz::UTC), Span { start, end: q });
    }
}

#[test]
fn tumbling_and_to_date_change_at_the_boundary() {
    let midnight = at("2024-01-02T00:00:00Z");
    let day = |q| span(&TUMBLING_DAY, q, Tz::UTC);
    assert_eq!(day(midnight - 1), Span { start: midnight - 2 * DAY, end: midnight - DAY });
    assert_eq!(day(midnight), Span { start: midnight - DAY, end: midnight });
    assert_eq!(day(midnight + DAY - 1), Span { start: midnight - DAY, end: midnight });
    let to_date = |q| span(&DAY_TO_DATE, q, Tz::UTC);
    assert_eq!(to_date(midnight - 1), Span { start: midnight - DAY, end: midnight - 1 });
    assert_eq!(to_date(midnight), Span { start: midnight, end: midnight });
    assert_eq!(to_date(midnight + 1), Span { start: midnight, end: midnight + 1 });
}

#[test]
fn boundaries_go_on_before_the_epoch() {
    assert_eq!(floor(-1, micros(HOUR), Tz::UTC), -HOUR);
    assert_eq!(floor(0, micros(HOUR), Tz::UTC), 0);
    assert_eq!(floor(-HOUR, micros(HOUR), Tz::UTC), -HOUR);
    assert_eq!(floor(-HOUR - 1, micros(HOUR), Tz::UTC), -2 * HOUR);
    assert_eq!(floor(-1, micros(7 * DAY), Tz::UTC), -7 * DAY);
    assert_eq!(span(&TUMBLING_DAY, -1, Tz::UTC), Span { start: -2 * DAY, end: -DAY });
    // New York was five hours behind.
    assert_eq!(floor(-1, micros(DAY), zone("America/New_York")), -DAY + 5 * HOUR);
    assert_eq!(floor(-20 * HOUR, micros(7 * DAY), zone("America/New_York")), -7 * DAY + 5 * HOUR);
}

#[test]
fn units_of_less_than_whole_days_ignore_the_zone() {
    for unit in [MINUTE, HOUR, 36 * HOUR] {
        let t = at("2024-03-10T07:30:00Z");
        assert_eq!(floor(t, micros(unit), zone("Asia/Kolkata")), floor(t, micros(unit), Tz::UTC));
    }
    let kolkata = at("2024-03-10T18:30:00Z");
    assert_eq!(floor(kolkata, micros(DAY), zone("Asia/Kolkata")), kolkata);
    assert_eq!(floor(kolkata - 1, micros(DAY), zone("Asia/Kolkata")), kolkata - DAY);
}

#[test]
fn days_of_23_and_of_25_hours() {
    let new_york = zone("America/New_York");
    let cases = [
        ("2024-03-10T12:00:00Z", "2024-03-09T05:00:00Z", "2024-03-10T05:00:00Z"),
        ("2024-03-11T03:59:59.999999Z", "2024-03-09T05:00:00Z", "2024-03-10T05:00:00Z"),
        ("2024-03-11T04:00:00Z", "2024-03-10T05:00:00Z", "2024-03-11T04:00:00Z"),
        ("2024-11-04T04:59:59.999999Z", "2024-11-02T04:00:00Z", "2024-11-03T04:00:00Z"),
        ("2024-11-04T05:00:00Z", "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z"),
    ];
    for (q, start, end) in cases {
        assert_eq!(span(&TUMBLING_DAY, at(q), new_york), between(start, end), "tumbling at {q}");
        assert_eq!(span(&DAY_TO_DATE, at(q), new_york), between(end, q), "to date at {q}");
    }
    let hop = Window::Sliding { over: micros(DAY), hop: Some(micros(DAY)) };
    let q = "2024-03-11T12:00:00Z";
    assert_eq!(span(&hop, at(q), new_york), between("2024-03-10T05:00:00Z", q));
}

#[test]
fn a_day_that_was_skipped_does_not_exist() {
    // Samoa went from 29 to 31 December 2011.
    let apia = zone("Pacific/Apia");
    let change = "2011-12-30T10:00:00Z";
    assert_eq!(floor(at(change), micros(DAY), apia), at(change));
    assert_eq!(floor(at(change) - 1, micros(DAY), apia), at("2011-12-29T10:00:00Z"));
    assert_eq!(span(&TUMBLING_DAY, at(change), apia), between("2011-12-29T10:00:00Z", change));
    assert_eq!(span(&TUMBLING_DAY, at(change) + HOUR, apia), between("2011-12-29T10:00:00Z", change));
    let next = "2011-12-31T10:00:00Z";
    assert_eq!(span(&TUMBLING_DAY, at(next), apia), between(change, next));
}

#[test]
fn a_day_begins_when_its_missing_midnight_is_over() {
    // In São Paulo 4 November 2018 began at one o'clock.
    let zone = zone("America/Sao_Paulo");
    let begin = at("2018-11-04T03:00:00Z");
    assert_eq!(floor(begin, micros(DAY), zone), begin);
    assert_eq!(floor(begin + HOUR, micros(DAY), zone), begin);
    assert_eq!(floor(begin - 1, micros(DAY), zone), begin - DAY);
    assert_eq!(span(&TUMBLING_DAY, begin + 23 * HOUR, zone), Span { start: begin, end: begin + 23 * HOUR });
}

#[test]
fn a_midnight_that_comes_twice_counts_once() {
    // In Havana the first hour of 5 November 2023 was repeated.
    let havana = zone("America/Havana");
    let first = at("2023-11-05T04:00:00Z");
    for t in [first, first + HOUR - 1, first + HOUR, first + 25 * HOUR - 1] {
        assert_eq!(floor(t, micros(DAY), havana), first);
    }
    assert_eq!(floor(first + 25 * HOUR, micros(DAY), havana), first + 25 * HOUR);
}

const ZONES: [&str; 11] = [
    "UTC",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "America/St_Johns",
    "Europe/London",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
];

#[test]
fn every_boundary_is_a_local_midnight_within_reach() {
    let from = at("1970-01-05T00:00:00Z");
    let until = at("2037-12-01T00:00:00Z");
    for name in ZONES {
        let zone = zone(name);
        let date = |t: i64| DateTime::from_timestamp_micros(t).expect("in range").with_timezone(&zone).date_naive();
        for seed in 0..1000 {
            let _note = SeedNote(seed);
            let mut random = Random(seed);
            let t = random.between(from, until);
            let day = floor(t, micros(DAY), zone);
            assert!(day <= t, "{name}: the day of {t} begins after it");
            assert_eq!(date(day), date(t), "{name}: the day of {t}");
            let unit = micros((1 + random.below(10) as i64) * DAY);
            let boundary = floor(t, unit, zone);
            assert!(boundary <= t, "{name}: {t} in units of {unit}");
            assert_eq!(floor(boundary, unit, zone), boundary, "{name}: {t} in units of {unit}");
            for window in [Window::Tumbling { over: unit }, Window::ToDate { over: unit }, hours(5)] {
                let span = span(&window, t, zone);
                let reach = window.reach().expect("the window has an end").micros();
                assert!(span.start <= span.end && span.end <= t, "{name}: {window} at {t}");
                assert!(t - span.start <= reach, "{name}: {window} at {t} reaches further than it says");
            }
        }
    }
}

/// The least time there is has no positive counterpart: the edge of a window before it overflowed.
#[test]
fn windows_end_where_time_does() {
    for name in ["UTC", "America/New_York", "Pacific/Apia"] {
        for q in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
            let window = Window::Sliding { over: micros(3 * DAY), hop: Some(micros(DAY)) };
            for window in [window, TUMBLING_DAY, DAY_TO_DATE, days(300_000)] {
                let span = span(&window, q, zone(name));
                assert!(span.start <= span.end && span.end <= q, "{window} at {q} in {name}: {span:?}");
            }
        }
    }
}
