//! Values as JSON and as text, read by their type: what is taken is what the columns hold, never another value.

use crate::input::Input;
use arrow::array::{Array, ArrayRef};
use serde_json::Value as Json;
use thalweg_aggregate::{ColumnReader, Value, array_from_values, encode_key};
use thalweg_definition::DataType;
use thalweg_engine::literal::{from_json, from_text};

/// The type, then the value.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let data_type = type_of(&mut input);
    let rest = input.rest();
    if let Ok(json) = serde_json::from_slice::<Json>(rest)
        && let Ok(value) = from_json(&json, &data_type)
    {
        held(&value, &data_type);
        assert_eq!(json.is_null(), value.is_null(), "{json} as {data_type}");
        if let (DataType::Vector(_), Value::Bytes(elements)) = (&data_type, &value) {
            let mut floats = elements.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four")));
            let said = json.to_string().contains("Infinity") || json.to_string().contains("NaN");
            assert!(said || floats.all(f32::is_finite), "an element of {json} became infinite");
        }
    }
    if let Ok(text) = std::str::from_utf8(rest)
        && let Ok(value) = from_text(text, &data_type)
    {
        held(&value, &data_type);
    }
}

fn type_of(input: &mut Input<'_>) -> DataType {
    let plain = [
        DataType::Bool,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal(10, 2),
        DataType::Decimal(38, 0),
        DataType::Decimal(38, 38),
        DataType::String,
        DataType::Bytes,
        DataType::Date,
        DataType::Timestamp,
    ];
    let what = input.byte();
    let item = plain[usize::from(what & 0x3f) % plain.len()].clone();
    match what >> 6 {
        0 | 1 => item,
        2 => DataType::List(Box::new(item)),
        _ => DataType::Vector(2),
    }
}

/// A column of the value holds it, as the engine reads columns.
fn held(value: &Value, data_type: &DataType) {
    let column = array_from_values(std::iter::once(value), data_type);
    assert_eq!((column.len(), column.is_null(0)), (1, value.is_null()), "{value:?} as {data_type}");
    let reader = ColumnReader::new(&column, data_type).expect("a column of the type");
    let back = reader.cell(0).to_value();
    match data_type {
        // Lists are read as the bytes of their items, which make the same column again.
        DataType::List(_) => {
            let again: ArrayRef = array_from_values(std::iter::once(&back), data_type);
            assert_eq!(again.to_data(), column.to_data(), "{value:?} as {data_type}");
        }
        // There is one NaN.
        _ if matches!(value, Value::Float(number) if number.is_nan()) => {
            assert!(matches!(back, Value::Float(number) if number.is_nan()), "{back:?}");
        }
        _ => assert_eq!(&back, value, "as {data_type}"),
    }
    if data_type.is_key() && !value.is_null() {
        let (mut key, mut again) = (Vec::new(), Vec::new());
        encode_key(value.as_cell(), &mut key);
        encode_key(back.as_cell(), &mut again);
        assert_eq!(key, again, "{value:?} is another key once it was in a column");
    }
}
