//! What the commands that read say of what was found.

use super::commands::Read;
use super::direct::{is_there as direct_is_there, write_item, write_value_of};
use super::errors::{NO_INTEGER, WRONGTYPE};
use super::face::{Aspect, ServiceFace};
use super::gather::{Ask, Found};
use super::parse::number;
use super::reply::Reply;
use super::values;
use serde_json::Value as Json;
use std::ops::Range;
use thalweg_aggregate::Status;
use thalweg_engine::literal::timestamp_text;
use thalweg_engine::{FeatureResponse, FeatureResult};

/// Answers a command by what was found of each of its keys.
pub fn write(reply: &mut Reply, ask: &Ask<'_>, found: &[Found<'_>]) {
    match (ask.read, found) {
        (Read::MGet, found) => {
            reply.array(found.len());
            found.iter().for_each(|found| write_get(reply, found));
        }
        (Read::Exists, found) => {
            let there = found.iter().filter(|found| is_there(found)).count();
            reply.integer(i64::try_from(there).unwrap_or(i64::MAX));
        }
        (Read::Get, [found]) => write_get(reply, found),
        (Read::Type, [found]) => reply.simple(type_of(found)),
        (Read::LRange, [Found::Direct(_, _, answer)]) => {
            let ends = (number(ask.command.get(2)), number(ask.command.get(3)));
            let (Some(start), Some(stop)) = ends else { return reply.error(NO_INTEGER) };
            let value = answer.values.first().filter(|value| value.status == Status::Present.name());
            let items: Option<&[Json]> = value.and_then(|value| value.value.as_array()).map(Vec::as_slice);
            let items = items.unwrap_or_default();
            let part = &items[range(items.len(), start, stop)];
            reply.array(part.len());
            part.iter().for_each(|item| write_item(reply, item));
        }
        (_, [Found::Row(face, response, row)]) => write_hash(reply, ask, face, response, *row),
        _ => reply.error(WRONGTYPE),
    }
}

fn write_hash(reply: &mut Reply, ask: &Ask<'_>, face: &ServiceFace, response: &FeatureResponse, row: usize) {
    match ask.read {
        Read::HGetAll => {
            reply.map(present(response, row).count());
            for result in present(response, row) {
                reply.bulk(result.name.as_bytes());
                values::write(reply, &result.values, row, &result.data_type);
            }
        }
        Read::HKeys => {
            reply.array(present(response, row).count());
            present(response, row).for_each(|result| reply.bulk(result.name.as_bytes()));
        }
        Read::HLen => reply.integer(i64::try_from(present(response, row).count()).unwrap_or(i64::MAX)),
        Read::HExists => reply.integer(i64::from(shown(face, response, row, ask.command.get(2)).is_some())),
        Read::HGet => write_shown(reply, shown(face, response, row, ask.command.get(2)), row),
        Read::HMGet => {
            reply.array(ask.command.count() - 2);
            for field in ask.command.words(2) {
                write_shown(reply, shown(face, response, row, field), row);
            }
        }
        Read::Get | Read::MGet | Read::Exists | Read::Type | Read::LRange => reply.error(WRONGTYPE),
    }
}

/// The features of an entity that have a value.
fn present(response: &FeatureResponse, row: usize) -> impl Iterator<Item = &FeatureResult> {
    response.results.iter().filter(move |result| result.statuses[row] == Status::Present)
}

/// What a field shows, where there is something to show.
enum Shown<'r> {
    Value(&'r FeatureResult),
    Status(Status),
    Error(&'r str),
    EventTime(i64),
}

fn shown<'r>(face: &ServiceFace, response: &'r FeatureResponse, row: usize, field: &[u8]) -> Option<Shown<'r>> {
    let (feature, aspect) = face.field(field)?;
    let name = face.features[feature].as_str();
    // Mostly in its place; elsewhere where the definitions have changed in between.
    let result = response.results.get(feature).filter(|result| result.name == name);
    let result = result.or_else(|| response.results.iter().find(|result| result.name == name))?;
    let status = result.statuses[row];
    match aspect {
        Aspect::Value => (status == Status::Present).then_some(Shown::Value(result)),
        Aspect::Status => Some(Shown::Status(status)),
        Aspect::Error => result.errors.iter().find(|(own, _)| *own == row).map(|(_, why)| Shown::Error(why)),
        Aspect::EventTime => result.event_times[row].map(Shown::EventTime),
    }
}

fn write_shown(reply: &mut Reply, shown: Option<Shown<'_>>, row: usize) {
    match shown {
        None => reply.nil(),
        Some(Shown::Value(result)) => values::write(reply, &result.values, row, &result.data_type),
        Some(Shown::Status(status)) => reply.bulk(status.name().as_bytes()),
        Some(Shown::Error(why)) => reply.bulk(why.as_bytes()),
        Some(Shown::EventTime(time)) => reply.bulk(timestamp_text(time).as_bytes()),
    }
}

fn write_get(reply: &mut Reply, found: &Found<'_>) {
    match found {
        Found::Row(_, response, row) if is_there(found) => values::write_object(reply, response, *row),
        Found::Direct(face, address, answer) => write_value_of(reply, face, address, answer),
        Found::Row(..) | Found::Nothing => reply.nil(),
    }
}

/// As in Redis, what has no value is not there.
fn is_there(found: &Found<'_>) -> bool {
    match found {
        Found::Row(_, response, row) => present(response, *row).next().is_some(),
        Found::Direct(_, _, answer) => direct_is_there(answer),
        Found::Nothing => false,
    }
}

fn type_of(found: &Found<'_>) -> &'static str {
    match found {
        found if !is_there(found) => "none",
        Found::Row(..) => "hash",
        Found::Direct(face, ..) if face.primitive.list => "list",
        Found::Direct(..) | Found::Nothing => "string",
    }
}

/// From the first to the last place, both of them in; negative ones count from the end.
fn range(length: usize, start: i64, stop: i64) -> Range<usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let from_start = |place: i64| if place < 0 { place + length } else { place };
    let (from, to) = (from_start(start).max(0), from_start(stop).min(length - 1));
    if from > to {
        return 0..0;
    }
    // Both are within the length.
    from as usize..to as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_redis() {
        assert_eq!(range(3, 0, -1), 0..3);
        assert_eq!(range(3, -2, -1), 1..3);
        assert_eq!(range(3, 1, 1), 1..2);
        assert_eq!(range(3, -100, 100), 0..3);
        assert_eq!(range(3, 2, 1), 0..0);
        assert_eq!(range(3, 5, 9), 0..0);
        assert_eq!(range(0, 0, -1), 0..0);
        assert_eq!(range(3, i64::MIN, i64::MIN), 0..0);
    }
}
