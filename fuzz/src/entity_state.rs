//! The stored form of an entity: what decodes can be read at any time, and is stored again as the same bytes.

use crate::input::Input;
use crate::plans;
use thalweg_aggregate::{Answer, EntityState, ViewPlan};
use thalweg_engine::limits::TIMES;

/// Query times at which every entity is read besides those of the input.
const AT: [i64; 4] = [*TIMES.start(), 0, 1_710_500_000_000_000, *TIMES.end()];

/// A plan, a query time and a cut, then the state.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let plan = input.pick(plans::all());
    let (q, cut) = (input.i64().clamp(*TIMES.start(), *TIMES.end()), input.i64());
    check(plan, input.rest(), q, cut);
}

/// The accumulators of a base, as postcard; around them is a state without rows.
pub fn accumulators(data: &[u8]) {
    let mut state = vec![1];
    state.extend([0; 8]);
    state.extend(i64::MIN.to_le_bytes());
    // Folded up to time 0, of rows that had arrived by then.
    let base = [[0, 0].as_slice(), data].concat();
    state.extend((base.len() as u32).to_le_bytes());
    state.extend(base);
    state.extend(0u32.to_le_bytes());
    check(plans::folded(), &state, 1, 1);
}

fn check(plan: &ViewPlan, bytes: &[u8], q: i64, cut: i64) {
    let Ok(state) = EntityState::decode(plan, bytes) else { return };
    let told = read(plan, &state, q, cut);
    let mut stored = Vec::new();
    state.encode(&mut stored);
    let again = EntityState::decode(plan, &stored).expect("what was stored is read");
    assert_eq!(read(plan, &again, q, cut), told, "what was stored says something else");
    assert_eq!(again.applied, state.applied);
    let mut rows = 0;
    state.for_each_row(plan, |row| {
        rows += 1;
        for slot in 0..plan.slots.len() {
            let _ = row.cell(slot);
        }
    });
    assert!(rows * plan.layout.width() * 8 <= bytes.len(), "{rows} rows came out of {} bytes", bytes.len());
    // What it cannot see any more goes, and the rest is read as before.
    let mut old = state;
    old.expire(plan, q);
    let _ = read(plan, &old, q, cut);
    let mut stored = Vec::new();
    old.encode(&mut stored);
    EntityState::decode(plan, &stored).expect("what is left is read");
}

fn read(plan: &ViewPlan, state: &EntityState, q: i64, cut: i64) -> Vec<Vec<Answer>> {
    let _ = (state.oldest(plan), state.newest(plan), state.bytes());
    let times = AT.iter().map(|time| (*time, i64::MAX)).chain([(q, cut), (q, i64::MAX)]);
    times.map(|(q, cut)| state.read(plan, q, cut)).collect()
}
