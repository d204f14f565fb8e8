//! Stored states that no rows have made are refused, whatever they hold: read back, they are added to and merged by
//! code that relies on what rows make.

use crate::support::{feature, plan, plan_of, text, view};
use serde::Serialize;
use thalweg_aggregate::{DecodeError, EntityState, Value, ViewPlan};
use thalweg_definition::{Aggregation, Window};

/// As `docs/formats.md` describes it: the base, then words and heap of each chunk.
fn state(base: &[u8], chunks: &[(&[u64], &[u8])]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(0u64.to_le_bytes());
    bytes.extend(i64::MIN.to_le_bytes());
    bytes.extend((base.len() as u32).to_le_bytes());
    bytes.extend(base);
    bytes.extend((chunks.len() as u32).to_le_bytes());
    for (words, heap) in chunks {
        bytes.extend((words.len() as u32).to_le_bytes());
        bytes.extend((heap.len() as u32).to_le_bytes());
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(*heap);
    }
    bytes
}

/// A base with one accumulator, which is its newest event time, the number of its kind, and its fields.
fn base(kind: u32, fields: impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(&(0i64, 0i64, 1u32, 0i64, kind, fields)).expect("plain data")
}

fn is_read(plan: &ViewPlan, base: &[u8]) {
    let state = EntityState::decode(plan, &state(base, &[])).expect("rows could have made it");
    assert_eq!(state.read(plan, 1, 1).len(), 1);
}

fn is_refused(plan: &ViewPlan, base: &[u8], what: &str) {
    let found = EntityState::decode(plan, &state(base, &[])).err();
    assert_eq!(found, Some(DecodeError::Malformed), "{what}");
}

/// An exact sum without a big integer.
fn exact(mantissa: i128, exponent: i32) -> (i128, i32, Option<u8>) {
    (mantissa, exponent, None)
}

/// Accumulators were taken as they stood: one of another kind, or past the ends of its numbers, ended in a panic at the
/// next read or the next push.
#[test]
fn counts_and_sums_that_no_rows_made_are_refused() {
    let rows = plan_of(Aggregation::Count, None);
    is_read(&rows, &base(0, 3u64));
    is_refused(&rows, &base(0, u64::MAX), "more rows than there are");
    is_refused(&rows, &base(1, (2u64, -7i128)), "a sum in place of a count");
    is_refused(&rows, &[base(0, 3u64), vec![0]].concat(), "something behind the base");

    let total = plan_of(Aggregation::Sum, Some("whole"));
    is_read(&total, &base(1, (2u64, -7i128)));
    is_read(&total, &base(1, (1u64, i128::from(i64::MIN))));
    is_refused(&total, &base(1, (1u64, i128::MAX)), "more than an int64");

    let price = plan_of(Aggregation::Sum, Some("price"));
    is_read(&price, &base(2, (2u64, exact(700, 0))));
    for exponent in [-1, 1, i32::MIN] {
        is_refused(&price, &base(2, (1u64, exact(5, exponent))), "a decimal is a whole number of its last place");
    }

    let real = plan_of(Aggregation::Sum, Some("real"));
    let float = |mantissa: i128, exponent: i32| base(3, (2u64, 0u32, 0u32, 0u32, exact(mantissa, exponent)));
    for exponent in [-1074, -1, 1023] {
        is_read(&real, &float(1, exponent));
    }
    for exponent in [i32::MIN, -1075, 1024, i32::MAX] {
        is_refused(&real, &float(1, exponent), "no double has this exponent");
    }
    is_refused(&real, &float(i128::MAX, 1023), "no doubles have this sum");

    let skew = plan_of(Aggregation::Skew, Some("real"));
    let powers = |third: i32| base(4, (2u64, 0u64, exact(5, -1), exact(5, -2), exact(5, third), exact(0, 0)));
    is_read(&skew, &powers(-3 * 1074));
    is_refused(&skew, &powers(-3 * 1074 - 1), "no cube of a double has this exponent");
}

#[test]
fn values_that_no_rows_left_are_refused() {
    let words = plan_of(Aggregation::LastK { k: 2 }, Some("word"));
    let word = |time: i64| (time, 1u64, text("a"));
    is_read(&words, &base(5, vec![word(1), word(2)]));
    is_refused(&words, &base(5, vec![word(2), word(1)]), "not in the order of events");
    is_refused(&words, &base(5, vec![word(1), word(2), word(3)]), "more than are kept");
    is_refused(&words, &base(5, vec![(1i64, 1u64, Value::Int(1))]), "no text");
    is_refused(&words, &base(5, vec![(1i64, 1u64, Value::Null)]), "null is not taken");
    is_read(&plan_of(Aggregation::Latest, Some("word")), &base(5, vec![(1i64, 1u64, Value::Null)]));

    let top = plan_of(Aggregation::TopK { k: 2 }, Some("whole"));
    let number = |value: i64| (Value::Int(value), 1i64, 1u64);
    is_read(&top, &base(6, vec![number(9), number(1)]));
    is_refused(&top, &base(6, vec![number(1), number(9)]), "not the best first");
    let dearest = plan_of(Aggregation::Max, Some("price"));
    let price = |value: i128| base(6, vec![(Value::Decimal(value), 1i64, 1u64)]);
    is_read(&dearest, &price(10i128.pow(38) - 1));
    is_refused(&dearest, &price(10i128.pow(38)), "a decimal of 39 digits");

    let counts = plan_of(Aggregation::ValueCounts, Some("word"));
    is_read(&counts, &base(7, vec![(text("a"), 2u64)]));
    is_refused(&counts, &base(7, vec![(text("a"), u64::MAX)]), "more rows than there are");
    is_refused(&counts, &base(7, vec![(Value::Bool(true), 2u64)]), "no text");
}

#[test]
fn sketches_that_no_rows_made_are_refused() {
    let many = plan_of(Aggregation::ApproxDistinct { lg_k: 6 }, Some("word"));
    is_read(&many, &base(8, (0u32, vec![(3u32, 5u8), (9, 63)])));
    is_refused(&many, &base(8, (0u32, vec![(64u32, 5u8)])), "a register past the last");
    is_refused(&many, &base(8, (0u32, vec![(9u32, 5u8), (3, 5)])), "registers out of order");
    is_refused(&many, &base(8, (0u32, vec![(3u32, 64u8)])), "more leading zeros than a hash has");
    is_read(&many, &base(8, (1u32, vec![5u8; 64])));
    is_refused(&many, &base(8, (1u32, vec![5u8])), "a sketch that is cut off");
    is_refused(&many, &base(8, (1u32, vec![64u8; 64])), "more leading zeros than a hash has");

    let half = plan_of(Aggregation::ApproxQuantile { quantile: 0.5, relative_error: 0.02 }, Some("real"));
    let sketch = |positive: Vec<(i32, u64)>| base(9, (Vec::<(i32, u64)>::new(), 0u64, positive, 0u64, 0u64, 0u64));
    is_read(&half, &sketch(vec![(100, 4)]));
    is_refused(&half, &sketch(vec![(1, u64::MAX), (2, u64::MAX)]), "counts that overflow together");
    is_refused(&half, &sketch(vec![(i32::MIN, 1)]), "a bin of no double");
}

/// The decoder went down one level for each map or list within another, so that a stored state of 100 KB overflowed the
/// stack and ended the process.
#[test]
fn values_within_values_are_refused_however_deep_they_are() {
    let mut keyed = feature("f", Aggregation::Sum, Some("whole"), vec![Window::Unbounded]);
    keyed.by = Some("word".to_owned());
    let by_word = plan(&view(vec![keyed]), false);
    let inner = (0i64, 1u32, 1u64, 5i128);
    is_read(&by_word, &base(10, vec![(text("a"), inner)]));
    is_refused(&by_word, &base(10, vec![(Value::Int(1), inner)]), "a key that is no text");
    is_refused(&by_word, &base(10, vec![(text("a"), (0i64, 10u32, vec![(text("b"), inner)]))]), "a map in a map");
    // One map after the other, each with one key, which is null; at the bottom a count.
    let maps = [vec![0u8, 0, 1, 0, 10, 1], [0, 0, 10, 1].repeat(50_000), vec![0, 0, 0, 0]].concat();
    is_refused(&by_word, &maps, "maps in maps");

    let words = plan_of(Aggregation::LastK { k: 2 }, Some("word"));
    let lists = [vec![0u8, 0, 1, 0, 5, 1, 0, 0], [6, 1].repeat(50_000), vec![0]].concat();
    is_refused(&words, &lists, "lists in lists");
    let list = Value::List(vec![Value::Map(vec![(text("a"), Value::Null)])]);
    is_refused(&words, &base(5, vec![(1i64, 1u64, list)]), "a list in place of a text");
}

/// A row's text was looked for wherever the row said, so that a read of it could end in a panic; and rows out of order
/// were found or not by chance.
#[test]
fn rows_that_were_never_packed_are_refused() {
    let plan = plan_of(Aggregation::Latest, Some("word"));
    let row = |time: u64, null: u64, place: u64| [time, time, time, null, place];
    let found = |chunks: &[(&[u64], &[u8])]| EntityState::decode(&plan, &state(&[], chunks)).err();
    let whole = row(1, 0, 1 << 32 | 2);
    assert_eq!(found(&[(&whole, b"abc")]), None);
    assert_eq!(found(&[(&row(1, 1, u64::MAX), b"")]), None, "nobody looks at what is null");
    for place in [1 << 32 | 3, 3 << 32 | 1, u64::MAX, 4 << 32] {
        assert_eq!(found(&[(&row(1, 0, place), b"abc")]), Some(DecodeError::Malformed), "{place:x}");
    }
    let (early, late) = (row(1, 1, 0), row(2, 1, 0));
    let both = |first: [u64; 5], second: [u64; 5]| [first, second].concat();
    assert_eq!(found(&[(&both(early, late), b"")]), None);
    assert_eq!(found(&[(&both(late, early), b"")]), Some(DecodeError::Malformed), "in one chunk");
    assert_eq!(found(&[(&late, b""), (&early, b"")]), Some(DecodeError::Malformed), "from one chunk to the next");

    let dearest = plan_of(Aggregation::Max, Some("price"));
    let price = |value: i128| [1, 1, 1, 0, value as u64, (value >> 64) as u64];
    let found = |value: i128| EntityState::decode(&dearest, &state(&[], &[(&price(value), b"")])).err();
    assert_eq!(found(1 - 10i128.pow(38)), None);
    assert_eq!(found(-(10i128.pow(38))), Some(DecodeError::Malformed), "a decimal of 39 digits");
}
