//! The reads of a pipeline, gathered: those of one service at one time are one request with many entities, so that a
//! pipeline costs little more than its longest answer. They are answered in the order in which they came.

use super::commands::Read;
use super::direct::{Address, base};
use super::errors::{WRONGTYPE, invalid};
use super::face::{DirectFace, Face, Finder, ServiceFace};
use super::key::{Key, unescape_text};
use super::limits::{DIRECT_ON_THE_SPOT, GROUPS_LOOKED_AT, MAX_KEYS, MAX_VALUES, ROWS_ON_THE_SPOT};
use super::parse::Command;
use super::reply::Reply;
use super::typed::to_value;
use super::{answers, work};
use crate::instance::DirectAnswer;
use crate::session::Session;
use arrow::array::ArrayRef;
use std::borrow::Cow;
use std::sync::Arc;
use thalweg_aggregate::{Value, array_from_values};
use thalweg_definition::DataType;
use thalweg_engine::{FeatureRequest, FeatureResponse, Runtime, Wanted};

/// Reads that wait for each other. `'a` is the input in which their commands are.
#[derive(Default)]
pub struct Gathered<'a> {
    groups: Vec<Group>,
    direct: Vec<DirectRead>,
    /// Where the answer of each key is.
    places: Vec<Place>,
    asks: Vec<Ask<'a>>,
    /// The key under way.
    row: Vec<Value>,
}

/// A command.
pub struct Ask<'a> {
    pub read: Read,
    pub command: Command<'a>,
    first: usize,
    last: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Of which group, and which of its rows.
    Row(usize, usize),
    Direct(usize),
    /// There is nothing of that name, or nothing of a kind that the command shows.
    Nothing,
}

/// Entities of one service at one time.
struct Group {
    face: Arc<ServiceFace>,
    as_of: Option<i64>,
    /// The key columns, and after them the request values.
    columns: Vec<Vec<Value>>,
    rows: usize,
    answer: Result<FeatureResponse, String>,
}

struct DirectRead {
    face: Arc<DirectFace>,
    address: Address,
    answer: Result<DirectAnswer, String>,
}

/// What was found of a key.
pub enum Found<'g> {
    Row(&'g ServiceFace, &'g FeatureResponse, usize),
    Direct(&'g DirectFace, &'g Address, &'g DirectAnswer),
    Nothing,
}

impl<'a> Gathered<'a> {
    pub fn is_empty(&self) -> bool {
        self.asks.is_empty()
    }

    /// How many entities are waiting to be read.
    pub fn keys(&self) -> usize {
        self.places.len()
    }

    /// Takes a command in, unless it cannot be answered; then the error says why, in this door's words.
    pub fn add(&mut self, finder: &mut Finder<'_>, read: Read, command: Command<'a>) -> Result<(), String> {
        let first = self.places.len();
        let keys = if matches!(read, Read::MGet | Read::Exists) { command.count() - 1 } else { 1 };
        if keys > MAX_KEYS {
            return Err(invalid(format!("{keys} keys are more than {MAX_KEYS}: ask for them in parts")));
        }
        let mut values = 0;
        for key in command.words(1).take(keys) {
            match self.place(finder, read, Key::of(key)) {
                Ok((place, size)) => {
                    self.places.push(place);
                    values += size;
                }
                Err(why) => {
                    self.places.truncate(first);
                    return Err(why);
                }
            }
        }
        if values > MAX_VALUES {
            self.places.truncate(first);
            return Err(invalid(format!("{values} values are more than {MAX_VALUES}: ask for fewer keys at a time")));
        }
        self.asks.push(Ask { read, command, first, last: self.places.len() });
        Ok(())
    }

    /// Where a key will be answered, and how many values that takes.
    fn place(&mut self, finder: &mut Finder<'_>, read: Read, key: Key<'_>) -> Result<(Place, usize), String> {
        let name = base(key.name);
        match finder.find(name) {
            Some(Face::Service(_)) if read == Read::LRange => Err(WRONGTYPE.to_owned()),
            Some(Face::Service(face)) => {
                let as_of = self.read_row(&face, key).map_err(invalid)?;
                Ok((self.enter(&face, as_of), face.features.len()))
            }
            Some(Face::Direct(face)) => self.enter_direct(face, read, key),
            None if matches!(read, Read::Exists | Read::Type) => Ok((Place::Nothing, 0)),
            None => Err(invalid(finder.unknown(name))),
        }
    }

    /// Reads the entity and the request values of a key into the row under way; returns the time that the key says.
    fn read_row(&mut self, face: &ServiceFace, key: Key<'_>) -> Result<Option<i64>, String> {
        self.row.clear();
        let (points, parts) = key.split(face.keys.len())?;
        for ((name, data_type), part) in face.keys.iter().zip(parts) {
            let value = unescape_text(part).and_then(|text| to_value(&text, data_type));
            self.row.push(value.map_err(|why| format!("key column `{name}`: {why}"))?);
        }
        if face.request.is_empty() {
            let none = format!("`{}` takes no request values: leave out what follows the `?`", face.name);
            return if key.has_query() { Err(none) } else { Ok(points.as_of) };
        }
        for (name, data_type) in &face.request {
            let value = request_value(key, name)?.ok_or_else(|| {
                format!("`{}` needs the request value `{name}`: write `?{name}=…` at the end of the key", face.name)
            })?;
            let value = to_value(&value, data_type).map_err(|why| format!("request value `{name}`: {why}"))?;
            self.row.push(value);
        }
        all_are_known(face, key)?;
        Ok(points.as_of)
    }

    /// Puts the row under way with those of its service and time.
    fn enter(&mut self, face: &Arc<ServiceFace>, as_of: Option<i64>) -> Place {
        let from = self.groups.len().saturating_sub(GROUPS_LOOKED_AT);
        let mut recent = self.groups[from..].iter();
        let like = recent.position(|group| group.as_of == as_of && Arc::ptr_eq(&group.face, face));
        let group = match like {
            Some(like) => from + like,
            None => {
                self.groups.push(Group {
                    face: face.clone(),
                    as_of,
                    columns: vec![Vec::new(); self.row.len()],
                    rows: 0,
                    answer: Err(String::new()),
                });
                self.groups.len() - 1
            }
        };
        let own = &mut self.groups[group];
        for (column, value) in own.columns.iter_mut().zip(self.row.drain(..)) {
            column.push(value);
        }
        own.rows += 1;
        Place::Row(group, own.rows - 1)
    }

    fn enter_direct(&mut self, face: Arc<DirectFace>, read: Read, key: Key<'_>) -> Result<(Place, usize), String> {
        let is_list = face.primitive.list;
        match read {
            Read::MGet if is_list => return Ok((Place::Nothing, 0)),
            Read::Get if is_list => return Err(WRONGTYPE.to_owned()),
            Read::LRange if !is_list => return Err(WRONGTYPE.to_owned()),
            Read::HGetAll | Read::HGet | Read::HMGet | Read::HKeys | Read::HLen | Read::HExists => {
                return Err(WRONGTYPE.to_owned());
            }
            Read::Get | Read::MGet | Read::LRange | Read::Exists | Read::Type => {}
        }
        let address = Address::of(&face, key).map_err(invalid)?;
        self.direct.push(DirectRead { face, address, answer: Err(String::new()) });
        Ok((Place::Direct(self.direct.len() - 1), 1))
    }

    /// Reads everything that was taken in.
    pub async fn run(&mut self, session: &Session, runtime: &Runtime) {
        for group in &mut self.groups {
            group.run(session, runtime).await;
        }
        if self.direct.is_empty() {
            return;
        }
        let addresses: Vec<Address> = self.direct.iter().map(|read| read.address.clone()).collect();
        let blocks =
            addresses.len() > DIRECT_ON_THE_SPOT || self.direct.iter().any(|read| runtime.may_block(&read.face.wanted));
        let answers: Result<Vec<Result<DirectAnswer, String>>, String> =
            work(session, blocks, move |session| Ok(addresses.iter().map(|address| address.get(session)).collect()))
                .await;
        match answers {
            Ok(answers) => self.direct.iter_mut().zip(answers).for_each(|(read, answer)| read.answer = answer),
            Err(why) => self.direct.iter_mut().for_each(|read| read.answer = Err(why.clone())),
        }
    }

    /// Writes the answers, and forgets them.
    pub fn write(&mut self, reply: &mut Reply) {
        for ask in &self.asks {
            let found: Result<Vec<Found<'_>>, &str> =
                self.places[ask.first..ask.last].iter().map(|place| self.found(*place)).collect();
            match found {
                Ok(found) => answers::write(reply, ask, &found),
                Err(why) => reply.error(why),
            }
        }
        self.asks.clear();
        self.places.clear();
        self.groups.clear();
        self.direct.clear();
    }

    fn found(&self, place: Place) -> Result<Found<'_>, &str> {
        match place {
            Place::Nothing => Ok(Found::Nothing),
            Place::Row(group, row) => {
                let group = &self.groups[group];
                group.answer.as_ref().map(|answer| Found::Row(&group.face, answer, row)).map_err(String::as_str)
            }
            Place::Direct(index) => {
                let read = &self.direct[index];
                let answer = read.answer.as_ref().map_err(String::as_str)?;
                Ok(Found::Direct(&read.face, &read.address, answer))
            }
        }
    }
}

/// A request value of a key as text, by its name.
fn request_value<'k>(key: Key<'k>, name: &str) -> Result<Option<Cow<'k, str>>, String> {
    for pair in key.query() {
        let (given, value) = pair?;
        if unescape_text(given)? == name {
            return unescape_text(value).map(Some);
        }
    }
    Ok(None)
}

/// Refuses a request value that the service does not have.
fn all_are_known(face: &ServiceFace, key: Key<'_>) -> Result<(), String> {
    for pair in key.query() {
        let given = unescape_text(pair?.0)?;
        if !face.request.iter().any(|(name, _)| *name == given) {
            let names: Vec<&str> = face.request.iter().map(|(name, _)| name.as_str()).collect();
            return Err(format!("`{}` has no request value `{given}`; it has {}", face.name, names.join(", ")));
        }
    }
    Ok(())
}

impl Group {
    async fn run(&mut self, session: &Session, runtime: &Runtime) {
        let (keys, request) = self.columns.split_at(self.face.keys.len());
        let request = FeatureRequest {
            wanted: Wanted::Service(self.face.name.clone()),
            entities: arrays(&self.face.keys, keys),
            request: arrays(&self.face.request, request),
            as_of: self.as_of,
        };
        let blocks = self.rows > ROWS_ON_THE_SPOT || runtime.may_block(&request.wanted);
        self.answer = work(session, blocks, move |session| session.read(request)).await;
    }
}

fn arrays(names: &[(String, DataType)], columns: &[Vec<Value>]) -> Vec<(String, ArrayRef)> {
    let columns = names.iter().zip(columns);
    columns.map(|((name, data_type), column)| (name.clone(), array_from_values(column.iter(), data_type))).collect()
}
