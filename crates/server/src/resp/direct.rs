//! Direct features: strings and lists that are written here, and read.

use super::commands::Change;
use super::errors::{NO_FLOAT, NO_INTEGER, SYNTAX, WRONGTYPE, invalid, line};
use super::face::{DirectFace, Face, Finder};
use super::key::{Key, unescape_text};
use super::limits::MAX_APPENDED;
use super::parse::{Command, number};
use super::reply::Reply;
use super::typed::{float, to_json};
use super::work;
use crate::error::ServerError;
use crate::instance::{DirectAnswer, DirectOperation, DirectWrite};
use crate::session::Session;
use serde_json::{Map, Value as Json};
use std::fmt::Write;
use thalweg_aggregate::Status;
use thalweg_definition::{DataType, Scalar};

/// One entity of a direct feature, and what of it.
#[derive(Debug, Clone)]
pub struct Address {
    /// As the engine's interface has it: `namespace.name`, `namespace.name+mean`, `namespace.name@-1`.
    pub selector: String,
    keys: Vec<(String, Json)>,
    /// The query time, or the time of a write, in microseconds.
    at: Option<i64>,
}

impl Address {
    pub fn of(face: &DirectFace, key: Key<'_>) -> Result<Self, String> {
        if key.has_query() {
            return Err(format!("`{}` takes no request values: leave out what follows the `?`", face.selector));
        }
        let (points, parts) = key.split(face.keys.len())?;
        let keys = face.keys.iter().zip(parts).map(|((name, data_type), part)| {
            let value = unescape_text(part).and_then(|text| to_json(&text, data_type));
            Ok((name.clone(), value.map_err(|why| format!("key column `{name}`: {why}"))?))
        });
        let mut selector = String::from_utf8_lossy(key.name).into_owned();
        if let Some(back) = points.previous {
            selector.push_str(&format!("@-{back}"));
        }
        Ok(Self { selector, keys: keys.collect::<Result<_, String>>()?, at: points.as_of })
    }

    /// The values, or why there are none, in this door's words.
    pub fn get(&self, session: &Session) -> Result<DirectAnswer, String> {
        session.direct_get(&self.selector, &self.keys, self.at).map_err(|error| line(&error))
    }
}

/// The name of a key without the aggregation that it asks for.
pub fn base(name: &[u8]) -> &[u8] {
    match name.iter().position(|byte| *byte == b'+') {
        Some(at) => &name[..at],
        None => name,
    }
}

/// Writes a direct feature, and answers when that is durable.
pub async fn change(
    session: &Session,
    finder: &mut Finder<'_>,
    change: Change,
    command: Command<'_>,
    reply: &mut Reply,
) -> Result<(), String> {
    let key = Key::of(command.get(1));
    let face = match finder.find(base(key.name)) {
        Some(Face::Direct(face)) => face,
        Some(Face::Service(face)) => {
            let mend = "push rows to its sources, or write a direct feature as namespace.name:key";
            return Err(invalid(format!("`{}` is computed and cannot be written: {mend}", face.name)));
        }
        None => return Err(invalid(finder.unknown(base(key.name)))),
    };
    let address = Address::of(&face, key).map_err(invalid)?;
    if address.selector != face.selector {
        let part = &address.selector;
        return Err(invalid(format!("`{part}` is a part of `{}`: write to that as a whole", face.selector)));
    }
    let (operation, operands) = operands(&face, change, command)?;
    let write = move |session: &Session| write_all(session, &address, operation, operands, change);
    let after = work(session, true, write).await?;
    answer(reply, change, after.as_ref());
    Ok(())
}

/// What is written, one after the other.
fn operands(face: &DirectFace, change: Change, command: Command<'_>) -> Result<(DirectOperation, Vec<Json>), String> {
    let primitive = face.primitive;
    if change == Change::Set {
        if command.count() > 3 {
            return Err(SYNTAX.to_owned());
        }
        let data_type = if face.windowed { primitive.item_type() } else { primitive.data_type() };
        return Ok((DirectOperation::Set, vec![value(command.get(2), &data_type)?]));
    }
    if face.windowed {
        return Err(invalid(format!("`{}` is windowed: SET adds a value to its window", face.selector)));
    }
    if change == Change::RPush {
        if !primitive.list {
            return Err(WRONGTYPE.to_owned());
        }
        if command.count() - 2 > MAX_APPENDED {
            return Err(invalid(format!("RPUSH appends at most {MAX_APPENDED} values at a time: send them in parts")));
        }
        let data_type = primitive.item_type();
        let items = command.words(2).map(|item| value(item, &data_type)).collect::<Result<_, String>>()?;
        return Ok((DirectOperation::Append, items));
    }
    if primitive.list {
        return Err(WRONGTYPE.to_owned());
    }
    let operand = match (change, primitive.item) {
        (Change::Incr, Scalar::Int) => Json::from(1),
        (Change::IncrBy, Scalar::Int) => Json::from(number(command.get(2)).ok_or(NO_INTEGER)?),
        (Change::IncrByFloat, Scalar::Int | Scalar::Float) => {
            let text = std::str::from_utf8(command.get(2)).map_err(|_| NO_FLOAT)?;
            let added = text.parse::<f64>().ok().filter(|added| added.is_finite());
            float(added.ok_or(NO_FLOAT)?)
        }
        (Change::IncrByFloat, _) => return Err(NO_FLOAT.to_owned()),
        _ => return Err(NO_INTEGER.to_owned()),
    };
    Ok((DirectOperation::Incr, vec![operand]))
}

fn value(bytes: &[u8], data_type: &DataType) -> Result<Json, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("the value is not UTF-8"))?;
    to_json(text, data_type).map_err(invalid)
}

/// Writes each, and reads what came of it where the answer is to say so.
fn write_all(
    session: &Session,
    address: &Address,
    operation: DirectOperation,
    operands: Vec<Json>,
    change: Change,
) -> Result<Option<DirectAnswer>, ServerError> {
    for value in operands {
        session.direct_write(DirectWrite {
            selector: address.selector.clone(),
            keys: address.keys.clone(),
            operation,
            value,
            at: address.at,
            idempotency_key: None,
        })?;
    }
    if change == Change::Set {
        return Ok(None);
    }
    session.direct_get(&address.selector, &address.keys, None).map(Some)
}

fn answer(reply: &mut Reply, change: Change, after: Option<&DirectAnswer>) {
    let value = after.and_then(|after| after.values.first()).map(|value| &value.value);
    match (change, value) {
        (Change::Set, _) => reply.ok(),
        (Change::Incr | Change::IncrBy, Some(Json::Number(number))) if number.is_i64() => {
            reply.integer(number.as_i64().unwrap_or_default());
        }
        (Change::RPush, Some(Json::Array(items))) => reply.integer(i64::try_from(items.len()).unwrap_or(i64::MAX)),
        (Change::IncrByFloat, Some(value)) => write_item(reply, value),
        _ => reply.nil(),
    }
}

/// Whether a direct feature has a value.
pub fn is_there(answer: &DirectAnswer) -> bool {
    answer.values.iter().any(|value| value.status == Status::Present.name())
}

/// The value; of a windowed feature as a whole its aggregations as one JSON object, null where there is none.
pub fn write_value_of(reply: &mut Reply, face: &DirectFace, address: &Address, answer: &DirectAnswer) {
    if !is_there(answer) {
        return reply.nil();
    }
    let mut values = answer.values.iter().map(|value| {
        let there = value.status == Status::Present.name();
        (value.aggregation.as_deref().unwrap_or_default(), if there { value.value.clone() } else { Json::Null })
    });
    if face.windowed && address.selector == face.selector {
        let object: Map<String, Json> = values.map(|(name, value)| (name.to_owned(), value)).collect();
        return reply.shown(Json::Object(object));
    }
    match values.next() {
        Some((_, value)) => write_item(reply, &value),
        None => reply.nil(),
    }
}

/// One value that came as JSON: text as it is, and numbers with the digits that a service's features have.
pub fn write_item(reply: &mut Reply, value: &Json) {
    match value {
        Json::Null => reply.nil(),
        Json::String(text) => reply.bulk(text.as_bytes()),
        value => match value.as_f64().filter(|_| value.is_f64()) {
            Some(float) => reply.written(|text| write!(text, "{float:?}").expect("text takes text")),
            None => reply.shown(value),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_those_of_services() {
        let mut reply = Reply::default();
        for value in [0.00001, -0.0, 1e16, 2.5] {
            write_item(&mut reply, &float(value));
        }
        write_item(&mut reply, &Json::from(i64::MIN));
        let expected = "$4\r\n1e-5\r\n$4\r\n-0.0\r\n$4\r\n1e16\r\n$3\r\n2.5\r\n$20\r\n-9223372036854775808\r\n";
        assert_eq!(&reply.out[..], expected.as_bytes());
    }
}
