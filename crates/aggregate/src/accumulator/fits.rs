//! Whether an accumulator that was stored is one that rows could have made: what is read back is added to and merged
//! by code that relies on it.

use super::{Accumulator, AccumulatorSpec, Kind, State};
use crate::cell::Value;
use crate::layout::SlotKind;
use crate::view_plan::Slot;
use thalweg_definition::DataType;

/// More rows than any log holds, and few enough that counts can be added up.
pub(super) const MAX_ROWS: u64 = 1 << 56;

impl Accumulator {
    /// Whether this could be an accumulator of the spec, over rows with these slots.
    pub(crate) fn fits(&self, spec: &AccumulatorSpec, slots: &[Slot]) -> bool {
        match (&self.state, spec.by) {
            (State::By(map), Some(by)) => {
                let key = &slots[by].data_type;
                map.iter().all(|(value, inner)| value_fits(value, key) && inner.state_fits(spec, slots))
            }
            (_, by) => by.is_none() && self.state_fits(spec, slots),
        }
    }

    fn state_fits(&self, spec: &AccumulatorSpec, slots: &[Slot]) -> bool {
        let input = spec.input.map(|slot| &slots[slot].data_type);
        match (&self.state, spec.kind) {
            (State::Count(count), Kind::Count) => *count <= MAX_ROWS,
            (State::IntSum(sum), Kind::IntSum) => sum.fits(),
            (State::DecimalSum(sum), Kind::DecimalSum) => sum.fits(),
            (State::FloatSum(sum), Kind::FloatSum) => sum.fits(),
            (State::Powers(powers), Kind::Powers(_)) => powers.fits(input.is_some_and(DataType::is_float)),
            (State::Ends(ends), Kind::First(_) | Kind::Last(_) | Kind::Latest) => {
                input.is_some_and(|input| ends.fits(spec.kind, input))
            }
            (State::Ranked(ranked), Kind::Min | Kind::Max | Kind::Top(_) | Kind::Bottom(_)) => {
                input.is_some_and(|input| ranked.fits(spec.kind, input))
            }
            (State::Distinct(distinct), Kind::Distinct) => input.is_some_and(|input| distinct.fits(input)),
            (State::HyperLogLog(registers), Kind::HyperLogLog(lg_k)) => registers.fits(lg_k),
            (State::DdSketch(sketch), Kind::DdSketch(error)) => sketch.fits(error),
            _ => false,
        }
    }
}

/// Whether a value is one of the type, not null.
pub(super) fn value_fits(value: &Value, data_type: &DataType) -> bool {
    match (SlotKind::of(data_type), value) {
        (SlotKind::Bool, Value::Bool(_)) | (SlotKind::Float, Value::Float(_)) | (SlotKind::Bytes, Value::Bytes(_)) => {
            true
        }
        (SlotKind::Int, Value::Int(value)) => {
            !matches!(data_type, DataType::Int32 | DataType::Date) || i32::try_from(*value).is_ok()
        }
        (SlotKind::Decimal, Value::Decimal(value)) => match data_type {
            DataType::Decimal(precision, _) => value.unsigned_abs() < 10u128.pow(u32::from(*precision)),
            _ => false,
        },
        _ => false,
    }
}
