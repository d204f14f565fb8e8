//! Every type there and back, to the last bit, and what is refused.

use super::*;
use crate::grpc::v1::ValueColumn;
use crate::grpc::v1::value_column::{
    Dates, Decimals, Doubles, Floats, Int32s, Int64s, Lists, Maps, Strings, Timestamps, Values, Vectors,
};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float32Type, Float64Type};
use prost::Message;
use thalweg_aggregate::{Value, array_from_values};
use thalweg_definition::DataType;

/// Through the bytes of a message.
fn sent(column: &ValueColumn) -> ValueColumn {
    ValueColumn::decode(column.encode_to_vec().as_slice()).unwrap()
}

fn there_and_back(values: &[Value], data_type: &DataType) {
    let array = array_from_values(values.iter(), data_type);
    let column = sent(&write_column(&array, data_type));
    let back = read_column(&column, data_type).unwrap_or_else(|why| panic!("{data_type}: {why}"));
    assert_eq!(back.data_type(), array.data_type());
    assert_eq!(back.to_data(), array.to_data(), "{data_type}");
    // A part of a column is that part, wherever it lies in memory.
    if values.len() > 1 {
        let part = array.slice(1, values.len() - 1);
        let back = read_column(&sent(&write_column(&part, data_type)), data_type).unwrap();
        assert_eq!(&back, &array_from_values(values[1..].iter(), data_type), "a part of {data_type}");
    }
}

fn text(text: &str) -> Value {
    Value::Bytes(text.as_bytes().into())
}

fn vector(elements: [f32; 2]) -> Value {
    Value::Bytes(elements.iter().flat_map(|element| element.to_le_bytes()).collect())
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Box::new(item))
}

#[test]
fn every_type_comes_back_as_it_was() {
    let null = Value::Null;
    there_and_back(&[Value::Bool(true), null.clone(), Value::Bool(false)], &DataType::Bool);
    there_and_back(&[Value::Int(i32::MIN.into()), null.clone(), Value::Int(i32::MAX.into())], &DataType::Int32);
    there_and_back(&[Value::Int(i64::MIN), null.clone(), Value::Int(i64::MAX)], &DataType::Int64);
    there_and_back(&[Value::Float(0.1f32.into()), null.clone(), Value::Float(-0.0)], &DataType::Float32);
    there_and_back(&[Value::Float(1e300), null.clone(), Value::Float(5e-324)], &DataType::Float64);
    there_and_back(&[Value::Decimal(-105), null.clone(), Value::Decimal(0)], &DataType::Decimal(10, 2));
    let largest = 10i128.pow(38) - 1;
    there_and_back(&[Value::Decimal(largest), Value::Decimal(-largest)], &DataType::Decimal(38, 10));
    there_and_back(&[text("\u{fc}\0\""), null.clone(), text("")], &DataType::String);
    there_and_back(&[Value::Bytes([0, 255].into()), null.clone(), Value::Bytes(Box::default())], &DataType::Bytes);
    there_and_back(&[Value::Int(-1), null.clone(), Value::Int(20_000)], &DataType::Date);
    there_and_back(&[Value::Int(-1), null.clone(), Value::Int(i64::MAX)], &DataType::Timestamp);
    there_and_back(&[vector([1.5, -0.0]), null.clone(), vector([0.0, f32::MAX])], &DataType::Vector(2));
    let list = |items: &[Value]| Value::List(items.to_vec());
    let ints = list(&[Value::Int(1), Value::Null, Value::Int(3)]);
    there_and_back(&[ints, null.clone(), list(&[]), list(&[Value::Int(4)])], &list_of(DataType::Int64));
    there_and_back(&[list(&[text("a")]), null], &list_of(DataType::String));
    there_and_back(&[list(&[Value::Decimal(7)])], &list_of(DataType::Decimal(5, 1)));
    there_and_back(&[], &DataType::Int64);
    there_and_back(&[], &list_of(DataType::Int64));
}

#[test]
fn floats_keep_their_bits() {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE / 8.0];
    let values: Vec<Value> = odd.iter().map(|value| Value::Float(*value)).collect();
    let column = sent(&write_column(&array_from_values(values.iter(), &DataType::Float64), &DataType::Float64));
    let back = read_column(&column, &DataType::Float64).unwrap();
    let bits: Vec<u64> = back.as_primitive::<Float64Type>().values().iter().map(|value| value.to_bits()).collect();
    assert_eq!(bits, odd.map(f64::to_bits));
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::MIN_POSITIVE / 8.0];
    let column = ValueColumn { nulls: Vec::new(), values: Some(Values::Floats(Floats { values: odd.to_vec() })) };
    let back = read_column(&sent(&column), &DataType::Float32).unwrap();
    let bits: Vec<u32> = back.as_primitive::<Float32Type>().values().iter().map(|value| value.to_bits()).collect();
    assert_eq!(bits, odd.map(f32::to_bits));
}

#[test]
fn maps_are_written_by_entry() {
    let map =
        |pairs: &[(&str, i64)]| Value::Map(pairs.iter().map(|(key, value)| (text(key), Value::Int(*value))).collect());
    let data_type = DataType::Map(Box::new(DataType::String), Box::new(DataType::Int64));
    let values = [map(&[("x", 9)]), map(&[("a", 1), ("b", 2)]), Value::Null, map(&[("c", 3)])];
    let array = array_from_values(values.iter(), &data_type);
    let column = sent(&write_column(&array.slice(1, 3), &data_type));
    assert_eq!(column.nulls, [false, true, false]);
    let Some(Values::Maps(maps)) = column.values else { panic!("a map is written as `maps`") };
    let Maps { lengths, keys, values } = *maps;
    assert_eq!(lengths, [2, 0, 1]);
    let strings = Strings { values: ["a", "b", "c"].map(str::to_owned).to_vec() };
    assert_eq!(keys.unwrap().values, Some(Values::Strings(strings)));
    assert_eq!(values.unwrap().values, Some(Values::Int64s(Int64s { values: vec![1, 2, 3] })));
}

fn bare(values: Values) -> ValueColumn {
    ValueColumn { nulls: Vec::new(), values: Some(values) }
}

#[test]
fn what_loses_nothing_is_taken_for_another_type() {
    let same = |values: Values, data_type: DataType, expected: Value| {
        let back = read_column(&bare(values), &data_type).unwrap_or_else(|why| panic!("{data_type}: {why}"));
        assert_eq!(&back, &array_from_values([expected].iter(), &data_type), "{data_type}");
    };
    let int32 = || Values::Int32s(Int32s { values: vec![7] });
    let int64 = || Values::Int64s(Int64s { values: vec![7] });
    let strings = |text: &str| Values::Strings(Strings { values: vec![text.to_owned()] });
    same(int64(), DataType::Int32, Value::Int(7));
    same(int32(), DataType::Int64, Value::Int(7));
    same(int32(), DataType::Float64, Value::Float(7.0));
    same(int64(), DataType::Float32, Value::Float(7.0));
    same(int64(), DataType::Decimal(5, 2), Value::Decimal(700));
    same(int64(), DataType::Timestamp, Value::Int(7));
    same(Values::Doubles(Doubles { values: vec![0.1] }), DataType::Float32, Value::Float(0.1f32.into()));
    same(strings("1.5"), DataType::Decimal(5, 2), Value::Decimal(150));
    same(strings("1970-01-02"), DataType::Date, Value::Int(1));
    same(strings("1970-01-01T00:00:01Z"), DataType::Timestamp, Value::Int(1_000_000));
    same(Values::Dates(Dates { values: vec![3] }), DataType::Date, Value::Int(3));
    same(Values::Timestamps(Timestamps { values: vec![3] }), DataType::Timestamp, Value::Int(3));
}

#[test]
fn what_does_not_fit_is_refused_with_the_mend() {
    let error = |column: ValueColumn, data_type: DataType| read_column(&column, &data_type).unwrap_err();
    let int64 = |value: i64| Values::Int64s(Int64s { values: vec![value] });
    assert!(error(bare(int64(1 << 40)), DataType::Int32).starts_with("value 0: 1099511627776 is not in the range"));
    assert_eq!(error(bare(int64(1)), DataType::String), "it came as `int64s`: send string values as `strings`");
    assert_eq!(error(ValueColumn::default(), DataType::Bool), "no values: send bool values as `bools`");
    let doubles = Values::Doubles(Doubles { values: vec![1e300] });
    assert!(error(bare(doubles), DataType::Float32).contains("range of float32"));
    let decimals = Values::Decimals(Decimals { values: vec!["1.005".to_owned()] });
    assert!(error(bare(decimals), DataType::Decimal(5, 2)).contains("is not a decimal(5,2)"));
    let nulls = ValueColumn { nulls: vec![true], values: Some(Values::Int64s(Int64s { values: vec![1, 2] })) };
    assert!(error(nulls, DataType::Int64).contains("`nulls` has 1 values for 2 rows"));
    let vectors = Values::Vectors(Vectors { dimension: 3, values: vec![0.0; 3] });
    assert!(error(bare(vectors), DataType::Vector(2)).contains("send 2 of them a row"));
    let items = Some(Box::new(bare(int64(1))));
    let lists = Values::Lists(Box::new(Lists { lengths: vec![2], items }));
    assert!(error(bare(lists), list_of(DataType::Int64)).contains("add up to 2, and there are 1 items"));
    let bools = crate::grpc::v1::value_column::Bools { values: vec![true; 100_001] };
    assert!(error(bare(Values::Bools(bools)), DataType::Bool).contains("more than 100000"));
}

/// Rows were counted once they had all been made values, so that a message took many times its size before it was
/// refused.
#[test]
fn too_many_rows_are_refused_before_they_are_read() {
    let unreadable = vec!["no decimal".to_owned(); 100_001];
    let lists_of = |lengths: Vec<u32>, values: Vec<String>| {
        let items = Some(Box::new(bare(Values::Strings(Strings { values }))));
        Values::Lists(Box::new(Lists { lengths, items }))
    };
    let refused = |values: Values, data_type: DataType| read_column(&bare(values), &data_type).unwrap_err();
    let rows = refused(Values::Decimals(Decimals { values: unreadable.clone() }), DataType::Decimal(5, 2));
    assert_eq!(rows, "100001 values are more than 100000: ask in parts");
    let empty = refused(lists_of(vec![0; 100_001], vec![]), list_of(DataType::Decimal(5, 2)));
    assert_eq!(empty, "100001 values are more than 100000: ask in parts");
    let items = refused(lists_of(vec![1], unreadable), list_of(DataType::Decimal(5, 2)));
    assert_eq!(items, "the lengths add up to 1, and there are 100001 items: send as many");
    let vectors = Values::Vectors(Vectors { dimension: 2, values: vec![0.0; 200_002] });
    assert_eq!(refused(vectors, DataType::Vector(2)), "100001 values are more than 100000: ask in parts");
}

#[test]
fn a_null_needs_no_readable_value() {
    let decimals = Values::Decimals(Decimals { values: vec![String::new(), "2".to_owned()] });
    let column = ValueColumn { nulls: vec![true, false], values: Some(decimals) };
    let back = read_column(&column, &DataType::Decimal(5, 2)).unwrap();
    assert_eq!(&back, &array_from_values([Value::Null, Value::Decimal(200)].iter(), &DataType::Decimal(5, 2)));
}
