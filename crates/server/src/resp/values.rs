//! Values in the text that the JSON answers have, as bulk strings: text as it is, numbers and words without quotes,
//! lists, vectors and maps as JSON.

use super::reply::Reply;
use crate::http::json::{plain_text, write_text, write_value};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use std::fmt::Write;
use thalweg_aggregate::Status;
use thalweg_definition::DataType;
use thalweg_engine::FeatureResponse;

/// One value that is not null. What features mostly are goes without a detour through text of its own.
pub fn write(reply: &mut Reply, column: &dyn Array, row: usize, data_type: &DataType) {
    match data_type {
        DataType::Int64 => reply.shown(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            if value.is_finite() {
                reply.written(|text| write!(text, "{value:?}").expect("text takes text"));
            } else {
                reply.bulk(plain_text(column, row, data_type).as_bytes());
            }
        }
        DataType::String => reply.bulk(column.as_string::<i32>().value(row).as_bytes()),
        DataType::List(_) | DataType::Vector(_) | DataType::Map(..) => {
            reply.written(|text| write_value(text, column, row, data_type));
        }
        _ => reply.bulk(plain_text(column, row, data_type).as_bytes()),
    }
}

/// All features of an entity as one JSON object; those that are not present are null.
pub fn write_object(reply: &mut Reply, response: &FeatureResponse, row: usize) {
    reply.written(|text| {
        for (index, result) in response.results.iter().enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            write_text(text, &result.name);
            text.push(':');
            if result.statuses[row] == Status::Present {
                write_value(text, &result.values, row, &result.data_type);
            } else {
                text.push_str("null");
            }
        }
        text.push('}');
    });
}
