//! Columns of gRPC messages: what is taken for a type is written as that type's own member, and read back the same.

use crate::input::Input;
use arrow::array::Array;
use prost::Message;
use thalweg_definition::DataType;
use thalweg_server::fuzzing::{
    DirectGetRequest, DirectWriteRequest, GetFeaturesRequest, PushRequest, ValueColumn, read_column, write_column,
};

const PLAIN: [DataType; 12] = [
    DataType::Bool,
    DataType::Int32,
    DataType::Int64,
    DataType::Float32,
    DataType::Float64,
    DataType::Decimal(10, 2),
    DataType::Decimal(38, 38),
    DataType::String,
    DataType::Bytes,
    DataType::Date,
    DataType::Timestamp,
    DataType::Vector(2),
];

/// The type, then the message.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let what = input.byte();
    let plain = PLAIN[usize::from(what & 0x7f) % PLAIN.len()].clone();
    let is_list = what & 0x80 != 0 && !matches!(plain, DataType::Vector(_));
    let data_type = if is_list { DataType::List(Box::new(plain)) } else { plain };
    let bytes = input.rest();
    requests(bytes);
    let Ok(column) = ValueColumn::decode(bytes) else { return };
    let Ok(array) = read_column(&column, &data_type) else { return };
    let written = write_column(&array, &data_type);
    let sent = ValueColumn::decode(written.encode_to_vec().as_slice()).expect("our own message");
    let back = read_column(&sent, &data_type).unwrap_or_else(|why| panic!("{data_type}: {why}"));
    assert_eq!(back.to_data(), array.to_data(), "{data_type}");
}

/// The messages that are read before anybody looks at them: none is larger than its bytes allow.
fn requests(bytes: &[u8]) {
    let decoded = [
        GetFeaturesRequest::decode(bytes).map(|message| message.encoded_len()),
        PushRequest::decode(bytes).map(|message| message.encoded_len()),
        DirectGetRequest::decode(bytes).map(|message| message.encoded_len()),
        DirectWriteRequest::decode(bytes).map(|message| message.encoded_len()),
    ];
    // Numbers may have been packed where they were not, and defaults left out; keys of maps are written again.
    for length in decoded.into_iter().flatten() {
        assert!(length <= 8 * bytes.len() + 8, "{} bytes became {length}", bytes.len());
    }
}
