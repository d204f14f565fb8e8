//! The small texts of definitions and requests: what is read is written so that it is read again, and what validation
//! takes for a literal is one to the engine.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use thalweg_definition::{DataType, Duration, Primitive, parse_literal_ok};
use thalweg_engine::limits::TIMES;
use thalweg_engine::literal::{from_text, timestamp, timestamp_text};

/// Types that a column with bounds or allowed values can have.
const TYPES: [DataType; 11] = [
    DataType::Bytes,
    DataType::Bool,
    DataType::Int32,
    DataType::Int64,
    DataType::Float32,
    DataType::Float64,
    DataType::Decimal(10, 2),
    DataType::Decimal(38, 38),
    DataType::String,
    DataType::Date,
    DataType::Timestamp,
];

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    comes_back::<Duration>(text);
    comes_back::<DataType>(text);
    comes_back::<Primitive>(text);
    for data_type in TYPES.iter().filter(|data_type| parse_literal_ok(data_type, text)) {
        if let Err(why) = from_text(text, data_type) {
            panic!("validation takes {text:?} for a {data_type}, and the engine does not: {why}");
        }
    }
    if let Some(micros) = timestamp(text).filter(|micros| TIMES.contains(micros)) {
        assert_eq!(timestamp(&timestamp_text(micros)), Some(micros), "{text:?}");
    }
}

fn comes_back<T: FromStr<Err = String> + Display + PartialEq + Debug>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        let written = read.to_string();
        assert_eq!(written.parse::<T>(), Ok(read), "{text:?} is written as {written:?}");
    }
}
