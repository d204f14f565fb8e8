//! From an Arrow column to a column of a message.

use crate::grpc::v1::ValueColumn;
use crate::grpc::v1::value_column::{
    Binaries, Bools, Dates, Decimals, Doubles, Floats, Int32s, Int64s, Lists, Maps, Strings, Timestamps, Values,
    Vectors,
};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use thalweg_definition::DataType;

/// The column of an Arrow array that holds values of this type.
pub fn write_column(array: &dyn Array, data_type: &DataType) -> ValueColumn {
    let values = match data_type {
        DataType::Bool => {
            Values::Bools(Bools { values: array.as_boolean().iter().map(Option::unwrap_or_default).collect() })
        }
        DataType::Int32 => Values::Int32s(Int32s { values: plain::<Int32Type>(array) }),
        DataType::Int64 => Values::Int64s(Int64s { values: plain::<Int64Type>(array) }),
        DataType::Float32 => Values::Floats(Floats { values: plain::<Float32Type>(array) }),
        DataType::Float64 => Values::Doubles(Doubles { values: plain::<Float64Type>(array) }),
        DataType::Date => Values::Dates(Dates { values: plain::<Date32Type>(array) }),
        DataType::Timestamp => Values::Timestamps(Timestamps { values: plain::<TimestampMicrosecondType>(array) }),
        DataType::Decimal(..) => Values::Decimals(Decimals { values: decimals(array) }),
        DataType::String => {
            let texts = array.as_string::<i32>().iter();
            Values::Strings(Strings { values: texts.map(|text| text.unwrap_or_default().to_owned()).collect() })
        }
        DataType::Bytes => {
            let bytes = array.as_binary::<i32>().iter();
            Values::Binaries(Binaries { values: bytes.map(|bytes| bytes.unwrap_or_default().to_vec()).collect() })
        }
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let items = part(list.values(), list.value_offsets());
            let items = Some(Box::new(write_column(&items, item)));
            Values::Lists(Box::new(Lists { lengths: lengths(list.value_offsets()), items }))
        }
        DataType::Vector(length) => {
            let elements = array.as_fixed_size_list().values();
            Values::Vectors(Vectors { dimension: *length, values: plain::<Float32Type>(elements) })
        }
        DataType::Map(key, value) => {
            let map = array.as_map();
            let (keys, values) = (part(map.keys(), map.value_offsets()), part(map.values(), map.value_offsets()));
            Values::Maps(Box::new(Maps {
                lengths: lengths(map.value_offsets()),
                keys: Some(Box::new(write_column(&keys, key))),
                values: Some(Box::new(write_column(&values, value))),
            }))
        }
    };
    let nulls = match array.null_count() {
        0 => Vec::new(),
        _ => (0..array.len()).map(|row| array.is_null(row)).collect(),
    };
    ValueColumn { nulls, values: Some(values) }
}

fn plain<T: ArrowPrimitiveType>(array: &dyn Array) -> Vec<T::Native> {
    array.as_primitive::<T>().iter().map(Option::unwrap_or_default).collect()
}

fn decimals(array: &dyn Array) -> Vec<String> {
    let array = array.as_primitive::<Decimal128Type>();
    let text = |row| if array.is_null(row) { String::new() } else { array.value_as_string(row) };
    (0..array.len()).map(text).collect()
}

/// What the rows of a list or a map hold, without what lies before and behind them.
fn part(values: &ArrayRef, offsets: &[i32]) -> ArrayRef {
    let (first, last) = (offsets[0] as usize, offsets[offsets.len() - 1] as usize);
    values.slice(first, last - first)
}

fn lengths(offsets: &[i32]) -> Vec<u32> {
    offsets.windows(2).map(|edges| (edges[1] - edges[0]) as u32).collect()
}
