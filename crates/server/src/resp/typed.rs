//! From the text of keys and values to what it is by its type, in the forms that the JSON requests have.

use super::parse::number;
use serde_json::Value as Json;
use thalweg_aggregate::Value;
use thalweg_definition::DataType;
use thalweg_engine::literal::from_json;

/// A value as the engine has it. What keys mostly are goes without a detour through JSON.
pub fn to_value(text: &str, data_type: &DataType) -> Result<Value, String> {
    match data_type {
        DataType::String => Ok(Value::Bytes(text.as_bytes().into())),
        data_type => from_json(&to_json(text, data_type)?, data_type),
    }
}

/// A value in the JSON form of its type.
pub fn to_json(text: &str, data_type: &DataType) -> Result<Json, String> {
    let bad = || format!("`{}` is not a {data_type}", text.escape_debug());
    match data_type {
        DataType::Int32 | DataType::Int64 => number(text.as_bytes()).map(Json::from).ok_or_else(bad),
        DataType::Timestamp => Ok(number(text.as_bytes()).map_or_else(|| Json::from(text), Json::from)),
        DataType::Float32 | DataType::Float64 => text.parse().map(float).map_err(|_| bad()),
        DataType::Bool => text.parse().map(Json::Bool).map_err(|_| format!("{}: write true or false", bad())),
        DataType::List(_) | DataType::Vector(_) | DataType::Map(..) => {
            serde_json::from_str(text).map_err(|_| format!("{}: write it as JSON", bad()))
        }
        DataType::String | DataType::Bytes | DataType::Date | DataType::Decimal(..) => Ok(Json::from(text)),
    }
}

/// A number, or the word of one that JSON has no form for.
pub fn float(value: f64) -> Json {
    if value.is_nan() {
        return Json::from("NaN");
    }
    match value {
        f64::INFINITY => Json::from("Infinity"),
        f64::NEG_INFINITY => Json::from("-Infinity"),
        value => Json::from(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_its_type_says() {
        let list = DataType::List(Box::new(DataType::Int64));
        let read = |text: &str, data_type: &DataType| to_value(text, data_type);
        assert_eq!(read("7", &DataType::Int64), Ok(Value::Int(7)));
        assert_eq!(read("7", &DataType::String), Ok(Value::Bytes(b"7".as_slice().into())));
        assert_eq!(read("1.5", &DataType::Float64), Ok(Value::Float(1.5)));
        assert_eq!(read("-inf", &DataType::Float64), Ok(Value::Float(f64::NEG_INFINITY)));
        assert_eq!(read("true", &DataType::Bool), Ok(Value::Bool(true)));
        assert_eq!(read("1.50", &DataType::Decimal(10, 2)), Ok(Value::Decimal(150)));
        assert_eq!(read("17", &DataType::Timestamp), Ok(Value::Int(17)));
        assert_eq!(read("1970-01-01T00:00:01Z", &DataType::Timestamp), Ok(Value::Int(1_000_000)));
        assert_eq!(read("1970-01-02", &DataType::Date), Ok(Value::Int(1)));
        assert_eq!(read("aGk=", &DataType::Bytes), Ok(Value::Bytes(b"hi".as_slice().into())));
        assert_eq!(read("[1,2]", &list), Ok(Value::List(vec![Value::Int(1), Value::Int(2)])));
    }

    #[test]
    fn text_that_is_not_is_refused() {
        assert_eq!(to_value("x", &DataType::Int64).unwrap_err(), "`x` is not a int64");
        assert!(to_value("3000000000", &DataType::Int32).unwrap_err().contains("range of int32"));
        assert!(to_value("yes", &DataType::Bool).unwrap_err().contains("true or false"));
        assert!(to_value("soon", &DataType::Timestamp).unwrap_err().contains("ISO 8601"));
    }
}
