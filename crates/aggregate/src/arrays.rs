//! Between Arrow arrays and values: one mapping of types, one reader, one builder.

use crate::cell::{Cell, Value};
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast_with_options;
use arrow::datatypes::{DataType as ArrowType, Field, Fields, TimeUnit};
use arrow::error::ArrowError;
use std::sync::Arc;
use thalweg_definition::DataType;

/// The Arrow type that holds values of a type.
pub fn arrow_type(data_type: &DataType) -> ArrowType {
    match data_type {
        DataType::Bool => ArrowType::Boolean,
        DataType::Int32 => ArrowType::Int32,
        DataType::Int64 => ArrowType::Int64,
        DataType::Float32 => ArrowType::Float32,
        DataType::Float64 => ArrowType::Float64,
        DataType::Decimal(precision, scale) => ArrowType::Decimal128(*precision, *scale as i8),
        DataType::String => ArrowType::Utf8,
        DataType::Bytes => ArrowType::Binary,
        DataType::Date => ArrowType::Date32,
        DataType::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::List(item) => ArrowType::List(Arc::new(Field::new("item", arrow_type(item), true))),
        DataType::Vector(length) => {
            ArrowType::FixedSizeList(Arc::new(Field::new("item", ArrowType::Float32, true)), *length as i32)
        }
        DataType::Map(key, value) => {
            let entries = Fields::from(vec![
                Field::new("keys", arrow_type(key), false),
                Field::new("values", arrow_type(value), true),
            ]);
            ArrowType::Map(Arc::new(Field::new("entries", ArrowType::Struct(entries), false)), true)
        }
    }
}

/// A nullable Arrow field.
pub fn arrow_field(name: &str, data_type: &DataType) -> Field {
    Field::new(name, arrow_type(data_type), true)
}

/// The type whose values an Arrow type holds, where there is one. Narrower and differently laid out types map to
/// the next of ours (int16 to int32, large strings to strings, milliseconds to microseconds).
pub fn data_type_of(arrow: &ArrowType) -> Option<DataType> {
    Some(match arrow {
        ArrowType::Boolean => DataType::Bool,
        ArrowType::Int8 | ArrowType::Int16 | ArrowType::Int32 | ArrowType::UInt8 | ArrowType::UInt16 => DataType::Int32,
        ArrowType::Int64 | ArrowType::UInt32 | ArrowType::UInt64 => DataType::Int64,
        ArrowType::Float16 | ArrowType::Float32 => DataType::Float32,
        ArrowType::Float64 => DataType::Float64,
        ArrowType::Decimal32(p, s) | ArrowType::Decimal64(p, s) | ArrowType::Decimal128(p, s) if *s >= 0 => {
            DataType::Decimal(*p, *s as u8)
        }
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => DataType::String,
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_) => {
            DataType::Bytes
        }
        ArrowType::Date32 | ArrowType::Date64 => DataType::Date,
        ArrowType::Timestamp(..) => DataType::Timestamp,
        ArrowType::Dictionary(_, value) => data_type_of(value)?,
        ArrowType::List(item) | ArrowType::LargeList(item) => DataType::List(Box::new(data_type_of(item.data_type())?)),
        ArrowType::FixedSizeList(item, length) if item.data_type() == &ArrowType::Float32 => {
            DataType::Vector(u32::try_from(*length).ok()?)
        }
        _ => return None,
    })
}

/// Reads an array's values as cells.
#[derive(Debug)]
pub enum ColumnReader {
    Bool(BooleanArray),
    Int32(Int32Array),
    Int64(Int64Array),
    Float32(Float32Array),
    Float64(Float64Array),
    Decimal(Decimal128Array),
    Date(Date32Array),
    Timestamp(TimestampMicrosecondArray),
    Text(StringArray),
    Bytes(BinaryArray),
}

impl ColumnReader {
    /// A reader of `array` as values of `data_type`, cast where needed.
    pub fn new(array: &ArrayRef, data_type: &DataType) -> Result<Self, ArrowError> {
        let wanted = arrow_type(data_type);
        let array = if array.data_type() == &wanted {
            array.clone()
        } else {
            let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
            cast_with_options(array, &wanted, &options)?
        };
        Ok(match data_type {
            DataType::Bool => Self::Bool(array.as_boolean().clone()),
            DataType::Int32 => Self::Int32(array.as_primitive().clone()),
            DataType::Int64 => Self::Int64(array.as_primitive().clone()),
            DataType::Float32 => Self::Float32(array.as_primitive().clone()),
            DataType::Float64 => Self::Float64(array.as_primitive().clone()),
            DataType::Decimal(..) => Self::Decimal(array.as_primitive().clone()),
            DataType::Date => Self::Date(array.as_primitive().clone()),
            DataType::Timestamp => Self::Timestamp(array.as_primitive().clone()),
            DataType::String => Self::Text(array.as_string().clone()),
            DataType::Bytes => Self::Bytes(array.as_binary().clone()),
            DataType::List(item) => Self::Bytes(encode_lists(array.as_list(), item)?),
            DataType::Vector(_) => Self::Bytes(encode_vectors(array.as_fixed_size_list())),
            DataType::Map(..) => {
                return Err(ArrowError::NotYetImplemented("maps are results, never inputs".to_owned()));
            }
        })
    }

    #[inline]
    pub fn cell(&self, row: usize) -> Cell<'_> {
        if self.array().is_null(row) {
            return Cell::Null;
        }
        match self {
            Self::Bool(array) => Cell::Bool(array.value(row)),
            Self::Int32(array) => Cell::Int(array.value(row).into()),
            Self::Int64(array) => Cell::Int(array.value(row)),
            Self::Float32(array) => float(array.value(row).into()),
            Self::Float64(array) => float(array.value(row)),
            Self::Decimal(array) => Cell::Decimal(array.value(row)),
            Self::Date(array) => Cell::Int(array.value(row).into()),
            Self::Timestamp(array) => Cell::Int(array.value(row)),
            Self::Text(array) => Cell::Bytes(array.value(row).as_bytes()),
            Self::Bytes(array) => Cell::Bytes(array.value(row)),
        }
    }

    /// How many values are NaN or infinite.
    pub fn non_finite(&self) -> u64 {
        match self {
            Self::Float32(array) => array.iter().flatten().filter(|value| !value.is_finite()).count() as u64,
            Self::Float64(array) => array.iter().flatten().filter(|value| !value.is_finite()).count() as u64,
            _ => 0,
        }
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.array().is_null(row)
    }

    fn array(&self) -> &dyn Array {
        match self {
            Self::Bool(array) => array,
            Self::Int32(array) => array,
            Self::Int64(array) => array,
            Self::Float32(array) => array,
            Self::Float64(array) => array,
            Self::Decimal(array) => array,
            Self::Date(array) => array,
            Self::Timestamp(array) => array,
            Self::Text(array) => array,
            Self::Bytes(array) => array,
        }
    }
}

/// One NaN, whatever its sign and payload were.
fn float(value: f64) -> Cell<'static> {
    Cell::Float(if value.is_nan() { f64::NAN } else { value })
}

/// Vectors as their little-endian floats.
fn encode_vectors(array: &FixedSizeListArray) -> BinaryArray {
    let mut builder = BinaryBuilder::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        let values = array.value(row);
        let values: &Float32Array = values.as_primitive();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.unwrap_or(f32::NAN).to_le_bytes()).collect();
        builder.append_value(bytes);
    }
    builder.finish()
}

/// Lists as postcard of their values, which is what [`decode_list`] reads.
fn encode_lists(array: &ListArray, item: &DataType) -> Result<BinaryArray, ArrowError> {
    let items = ColumnReader::new(array.values(), item)?;
    let mut builder = BinaryBuilder::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        let (from, to) = (array.value_offsets()[row] as usize, array.value_offsets()[row + 1] as usize);
        let values: Vec<Value> = (from..to).map(|index| items.cell(index).to_value()).collect();
        builder.append_value(postcard::to_allocvec(&values).expect("plain data"));
    }
    Ok(builder.finish())
}

fn decode_list(bytes: &[u8]) -> Vec<Value> {
    postcard::from_bytes(bytes).unwrap_or_default()
}

/// An array of values of one type. Values that are not of the type become null.
pub fn array_from_values<'a>(
    values: impl ExactSizeIterator<Item = &'a Value> + Clone,
    data_type: &DataType,
) -> ArrayRef {
    let int = |value: &Value| if let Value::Int(value) = value { Some(*value) } else { None };
    let float = |value: &Value| if let Value::Float(value) = value { Some(*value) } else { None };
    match data_type {
        DataType::Bool => Arc::new(
            values
                .map(|value| if let Value::Bool(value) = value { Some(*value) } else { None })
                .collect::<BooleanArray>(),
        ),
        DataType::Int32 => Arc::new(values.map(|value| int(value).map(|v| v as i32)).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(values.map(int).collect::<Int64Array>()),
        DataType::Date => Arc::new(values.map(|value| int(value).map(|v| v as i32)).collect::<Date32Array>()),
        DataType::Timestamp => Arc::new(values.map(int).collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        DataType::Float32 => Arc::new(values.map(|value| float(value).map(|v| v as f32)).collect::<Float32Array>()),
        DataType::Float64 => Arc::new(values.map(float).collect::<Float64Array>()),
        DataType::Decimal(precision, scale) => Arc::new(
            values
                .map(|value| if let Value::Decimal(value) = value { Some(*value) } else { None })
                .collect::<Decimal128Array>()
                .with_precision_and_scale(*precision, *scale as i8)
                .expect("validated precision and scale"),
        ),
        DataType::String => Arc::new(
            values.map(|value| bytes(value).and_then(|bytes| std::str::from_utf8(bytes).ok())).collect::<StringArray>(),
        ),
        DataType::Bytes => Arc::new(values.map(bytes).collect::<BinaryArray>()),
        DataType::List(item) => list_array(values, item),
        DataType::Vector(length) => vector_array(values, *length),
        DataType::Map(key, value) => map_array(values, key, value),
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    if let Value::Bytes(value) = value { Some(value) } else { None }
}

fn list_array<'a>(values: impl ExactSizeIterator<Item = &'a Value> + Clone, item: &DataType) -> ArrayRef {
    let mut items: Vec<Value> = Vec::new();
    let mut offsets = vec![0i32];
    let mut valid = Vec::with_capacity(values.len());
    for value in values {
        match value {
            Value::List(list) => items.extend(list.iter().cloned()),
            // A whole list that was one input (`last` of a list column).
            Value::Bytes(encoded) => items.extend(decode_list(encoded)),
            _ => {}
        }
        valid.push(!value.is_null());
        offsets.push(items.len() as i32);
    }
    let field = Arc::new(arrow_field("item", item));
    let items = array_from_values(items.iter(), item);
    Arc::new(ListArray::new(field, OffsetBuffer::new(offsets.into()), items, Some(NullBuffer::from(valid))))
}

fn vector_array<'a>(values: impl ExactSizeIterator<Item = &'a Value>, length: u32) -> ArrayRef {
    let mut floats: Vec<f32> = Vec::with_capacity(values.len() * length as usize);
    let mut valid = Vec::with_capacity(values.len());
    for value in values {
        match bytes(value) {
            Some(bytes) if bytes.len() == length as usize * 4 => {
                floats.extend(bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four"))));
                valid.push(true);
            }
            _ => {
                floats.extend(std::iter::repeat_n(0.0, length as usize));
                valid.push(false);
            }
        }
    }
    let field = Arc::new(Field::new("item", ArrowType::Float32, true));
    let floats = Arc::new(Float32Array::from(floats));
    Arc::new(FixedSizeListArray::new(field, length as i32, floats, Some(NullBuffer::from(valid))))
}

fn map_array<'a>(
    values: impl ExactSizeIterator<Item = &'a Value> + Clone,
    key: &DataType,
    value: &DataType,
) -> ArrayRef {
    let (mut keys, mut items): (Vec<&Value>, Vec<&Value>) = (Vec::new(), Vec::new());
    let mut offsets = vec![0i32];
    let mut valid = Vec::with_capacity(values.len());
    for entry in values {
        if let Value::Map(entries) = entry {
            for (key, item) in entries {
                keys.push(key);
                items.push(item);
            }
        }
        valid.push(!entry.is_null());
        offsets.push(keys.len() as i32);
    }
    let ArrowType::Map(entries, sorted) = arrow_type(&DataType::Map(Box::new(key.clone()), Box::new(value.clone())))
    else {
        unreachable!("a map is a map")
    };
    let ArrowType::Struct(fields) = entries.data_type().clone() else { unreachable!("entries are structs") };
    let columns = vec![array_from_values(keys.into_iter(), key), array_from_values(items.into_iter(), value)];
    let structs = StructArray::new(fields, columns, None);
    Arc::new(MapArray::new(entries, OffsetBuffer::new(offsets.into()), structs, Some(NullBuffer::from(valid)), sorted))
}
