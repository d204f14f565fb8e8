//! What a write makes of the value before it. Decided from values alone, so that it can be decided again.

use super::DirectOperation;
use super::limits::{MAX_LIST_ITEMS, MAX_ROW_BYTES};
use serde_json::Value as Json;
use thalweg_aggregate::Value;
use thalweg_definition::{DataType, DirectFeature};
use thalweg_engine::literal::from_json;

/// A write, typed by its feature.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Set(Value),
    Append(Value),
    Incr(Value),
    /// One more value in the window.
    Add(Value),
}

/// What a key has before a write. Lists are [`Value::List`] here.
#[derive(Debug, Clone, PartialEq)]
pub struct Base {
    pub value: Value,
    /// The values before it, newest first.
    pub previous: Vec<Value>,
    /// The event time of the newest write; none where there was none.
    pub time: Option<i64>,
}

/// What a write puts down.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub value: Value,
    pub operation: &'static str,
    /// What was appended or added.
    pub operand: Value,
    /// The values before it, newest first, as many as the feature keeps.
    pub previous: Vec<Value>,
}

impl Base {
    /// That of a key which was never written.
    pub fn nothing() -> Self {
        Self { value: Value::Null, previous: Vec::new(), time: None }
    }
}

impl Step {
    /// Types an operand; the error says what the feature takes.
    pub fn of(feature: &DirectFeature, operation: DirectOperation, operand: &Json) -> Result<Self, String> {
        let name = feature.selector();
        let read = |data_type: &DataType| from_json(operand, data_type).map_err(|why| format!("`{name}`: {why}"));
        let present = |value: Value, what: &str| match value {
            Value::Null => Err(format!("`{name}`: {what} is null: send a value")),
            value => Ok(value),
        };
        let (item, list) = (feature.primitive.item_type(), feature.primitive.list);
        let counts = !list && matches!(item, DataType::Int64 | DataType::Float64);
        match operation {
            DirectOperation::Incr if !counts => Err(format!(
                "`{name}` holds {}, and only an int or a float can be incremented: use set",
                feature.primitive
            )),
            DirectOperation::Append if feature.is_windowed() => Err(format!(
                "`{name}` is windowed and has no list to append to: use set, incr or update, which add to the window"
            )),
            DirectOperation::Append if !list => {
                Err(format!("`{name}` holds {}, and only a list can be appended to: use set", feature.primitive))
            }
            _ if feature.is_windowed() => {
                Ok(Self::Add(present(read(&feature.primitive.data_type())?, "what is added to the window")?))
            }
            DirectOperation::Incr => Ok(Self::Incr(present(read(&item)?, "what is added")?)),
            DirectOperation::Append => Ok(Self::Append(present(read(&item)?, "the item")?)),
            DirectOperation::Update if list => Ok(Self::Append(present(read(&item)?, "the item")?)),
            DirectOperation::Set | DirectOperation::Update => match read(&feature.primitive.data_type())? {
                Value::List(items) if items.len() > MAX_LIST_ITEMS => Err(format!(
                    "`{name}`: a list of {} items is longer than {MAX_LIST_ITEMS}: set a shorter one",
                    items.len()
                )),
                value => Ok(Self::Set(value)),
            },
        }
    }

    /// Whether it may lie before the newest write: it then changes what was, and not what is.
    pub fn may_be_late(&self, feature: &DirectFeature) -> bool {
        match self {
            Self::Add(_) => true,
            Self::Set(_) => feature.keep_previous == 0,
            Self::Append(_) | Self::Incr(_) => false,
        }
    }

    /// What is to be written, or why it cannot be.
    pub fn apply(&self, feature: &DirectFeature, base: &Base) -> Result<Row, String> {
        let (operation, value, operand) = match self {
            Self::Set(value) => ("set", value.clone(), Value::Null),
            Self::Add(value) => ("add", value.clone(), value.clone()),
            Self::Append(item) => ("append", appended(&base.value, item), item.clone()),
            Self::Incr(by) => ("incr", sum(&base.value, by), by.clone()),
        };
        let name = feature.selector();
        match (&value, self) {
            (Value::List(items), Self::Append(_)) if items.len() > MAX_LIST_ITEMS => {
                return Err(format!(
                    "`{name}`: the list has {MAX_LIST_ITEMS} items, as many as a list may have: set a shorter one"
                ));
            }
            (Value::Null, Self::Incr(Value::Int(_))) => {
                return Err(format!("`{name}`: the sum is past the int64 range; nothing was written: set it anew"));
            }
            (Value::Null, Self::Incr(_)) => {
                return Err(format!("`{name}`: the sum is not finite; nothing was written: set it anew"));
            }
            _ => {}
        }
        let null = Value::Null;
        let before = std::iter::once(&base.value).chain(&base.previous).chain(std::iter::repeat(&null));
        let previous: Vec<Value> = before.take(feature.keep_previous as usize).cloned().collect();
        let row = Row { value, operation, operand, previous };
        let bytes = row.bytes();
        if bytes > MAX_ROW_BYTES {
            return Err(format!(
                "`{name}`: with the values before it the write has {bytes} bytes, more than {MAX_ROW_BYTES}: write less"
            ));
        }
        Ok(row)
    }
}

/// The list with one more item; no list is an empty one.
fn appended(base: &Value, item: &Value) -> Value {
    let mut items = match base {
        Value::List(items) => items.clone(),
        _ => Vec::new(),
    };
    items.push(item.clone());
    Value::List(items)
}

/// The sum, where nothing counts as zero; null where it does not fit.
fn sum(base: &Value, by: &Value) -> Value {
    match (base, by) {
        (Value::Int(base), Value::Int(by)) => base.checked_add(*by).map_or(Value::Null, Value::Int),
        (Value::Float(base), Value::Float(by)) => {
            Some(base + by).filter(|sum| sum.is_finite()).map_or(Value::Null, Value::Float)
        }
        (_, Value::Float(by)) if !by.is_finite() => Value::Null,
        (_, by) => by.clone(),
    }
}

impl Row {
    fn bytes(&self) -> usize {
        size(&self.value) + size(&self.operand) + self.previous.iter().map(size).sum::<usize>()
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.len() + 4,
        Value::List(items) => 4 + items.iter().map(size).sum::<usize>(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use thalweg_definition::{About, Aggregation, Duration, Primitive, Scalar};

    fn feature(item: Scalar, list: bool, keep_previous: u32) -> DirectFeature {
        DirectFeature {
            name: "clicks".into(),
            entity: "user".into(),
            primitive: Primitive { item, list },
            keep_previous,
            aggregations: vec![],
            over: None,
            freshness: None,
            staleness: None,
            timeout: None,
            fetch: None,
            about: About { namespace: "users".into(), ..About::default() },
        }
    }

    fn windowed(item: Scalar) -> DirectFeature {
        let over = Some(Duration::from_micros(thalweg_definition::HOUR));
        DirectFeature { aggregations: vec![Aggregation::Sum], over, ..feature(item, false, 0) }
    }

    fn base(value: Value, previous: Vec<Value>) -> Base {
        Base { value, previous, time: Some(0) }
    }

    fn step(feature: &DirectFeature, operation: DirectOperation, operand: Json) -> Result<Step, String> {
        Step::of(feature, operation, &operand)
    }

    #[test]
    fn each_operation_takes_what_it_can_work_on() {
        use DirectOperation::{Append, Incr, Set, Update};
        let int = Value::Int(2);
        for (item, list) in [(Scalar::Int, false), (Scalar::Int, true)] {
            let feature = feature(item, list, 0);
            let own = if list { json!([2]) } else { json!(2) };
            let value = if list { Value::List(vec![int.clone()]) } else { int.clone() };
            assert_eq!(step(&feature, Set, own), Ok(Step::Set(value)));
            assert_eq!(step(&feature, Append, json!(2)).is_ok(), list);
            assert_eq!(step(&feature, Incr, json!(2)).is_ok(), !list);
            let update = if list { Step::Append(int.clone()) } else { Step::Set(int.clone()) };
            assert_eq!(step(&feature, Update, json!(2)), Ok(update));
            let windowed = windowed(item);
            for operation in [Set, Incr, Update] {
                assert_eq!(step(&windowed, operation, json!(2)), Ok(Step::Add(int.clone())));
            }
            assert!(step(&windowed, Append, json!(2)).unwrap_err().contains("no list to append to"));
        }
        for item in [Scalar::String, Scalar::Bool, Scalar::Timestamp] {
            let error = step(&feature(item, false, 0), Incr, json!(1)).unwrap_err();
            assert!(error.contains("only an int or a float"), "{error}");
        }
    }

    #[test]
    fn operands_are_typed_as_columns_are() {
        let int = feature(Scalar::Int, false, 0);
        assert_eq!(step(&int, DirectOperation::Set, json!(2.0)), Ok(Step::Set(Value::Int(2))));
        assert!(step(&int, DirectOperation::Set, json!(2.5)).unwrap_err().contains("expected a whole number"));
        assert_eq!(step(&int, DirectOperation::Set, json!(null)), Ok(Step::Set(Value::Null)));
        assert!(step(&int, DirectOperation::Incr, json!(null)).unwrap_err().contains("is null"));
        assert!(step(&windowed(Scalar::Int), DirectOperation::Set, json!(null)).is_err());
        let long = Json::from(vec![1; MAX_LIST_ITEMS + 1]);
        assert!(step(&feature(Scalar::Int, true, 0), DirectOperation::Set, long).unwrap_err().contains("4096"));
    }

    #[test]
    fn values_before_the_newest_move_back_by_one() {
        let feature = feature(Scalar::Int, false, 3);
        let first = Step::Set(Value::Int(1)).apply(&feature, &Base::nothing()).unwrap();
        assert_eq!(first.previous, vec![Value::Null, Value::Null, Value::Null]);
        let row = Step::Incr(Value::Int(5)).apply(&feature, &base(Value::Int(9), vec![Value::Int(8)])).unwrap();
        assert_eq!((row.value, row.operation, row.operand), (Value::Int(14), "incr", Value::Int(5)));
        assert_eq!(row.previous, vec![Value::Int(9), Value::Int(8), Value::Null]);
    }

    #[test]
    fn sums_begin_at_zero_and_stay_in_range() {
        let (int, float) = (feature(Scalar::Int, false, 0), feature(Scalar::Float, false, 0));
        assert_eq!(Step::Incr(Value::Int(-3)).apply(&int, &Base::nothing()).unwrap().value, Value::Int(-3));
        let full = base(Value::Int(i64::MAX), vec![]);
        assert!(Step::Incr(Value::Int(1)).apply(&int, &full).unwrap_err().contains("past the int64 range"));
        let huge = base(Value::Float(f64::MAX), vec![]);
        assert!(Step::Incr(Value::Float(f64::MAX)).apply(&float, &huge).unwrap_err().contains("not finite"));
        assert!(Step::Incr(Value::Float(f64::NAN)).apply(&float, &Base::nothing()).is_err());
    }

    #[test]
    fn lists_and_rows_are_bounded() {
        let ints = feature(Scalar::Int, true, 0);
        let full = base(Value::List(vec![Value::Int(0); MAX_LIST_ITEMS]), vec![]);
        assert!(Step::Append(Value::Int(1)).apply(&ints, &full).unwrap_err().contains("4096 items"));
        let text = feature(Scalar::String, false, 2);
        let half = Value::Bytes(vec![b'x'; MAX_ROW_BYTES / 2].into());
        assert!(Step::Set(half.clone()).apply(&text, &Base::nothing()).is_ok());
        assert!(Step::Set(half.clone()).apply(&text, &base(half, vec![])).unwrap_err().contains("write less"));
    }
}
