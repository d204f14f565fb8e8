//! Directly written features: values that are set, appended to and incremented by key. Each write is an event of the
//! feature's own source and goes through the engine like any other, so that history and training sets have it.
//!
//! ```text
//! write ─▶ selector ─▶ typed key and operand ─▶ change of the newest value ─▶ row ─▶ engine ─▶ acknowledged
//!                                                  ▲ in flight (pending), or applied (engine)
//! read  ─▶ selector ─▶ typed key ─▶ outputs of the feature's own view ─▶ answer
//! ```

mod change;
mod keys;
mod limits;
mod pending;
mod read;
mod row;
mod selector;
mod write;

use serde::Serialize;
use serde_json::Value as Json;

pub(crate) use pending::DirectWrites;
pub(crate) use read::{descriptor, descriptor_of, value_json};
pub(crate) use selector::{Selector, unknown};

/// What a write does to the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectOperation {
    /// Replaces a scalar or a whole list; adds to a window.
    Set,
    /// Adds an item to the end of a list.
    Append,
    /// Adds to a number, or to a window of numbers.
    Incr,
    /// Sets a scalar, appends to a list, adds to a window.
    Update,
}

impl DirectOperation {
    pub const ALL: [Self; 4] = [Self::Set, Self::Append, Self::Incr, Self::Update];

    /// As doors and people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Append => "append",
            Self::Incr => "incr",
            Self::Update => "update",
        }
    }
}

impl std::str::FromStr for DirectOperation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.name() == text)
            .ok_or_else(|| format!("there is no operation `{text}`; there are: set, append, incr, update"))
    }
}

/// A write of one value.
#[derive(Debug, Clone)]
pub struct DirectWrite {
    /// `namespace.name`.
    pub selector: String,
    /// The key columns of one entity, in the JSON forms of their types.
    pub keys: Vec<(String, Json)>,
    pub operation: DirectOperation,
    /// The value, the item or the number to add, in the JSON form of its type.
    pub value: Json,
    /// The event time in microseconds; none: the engine's clock.
    pub at: Option<i64>,
    /// A write that is sent again with its key is acknowledged again and counts once.
    pub idempotency_key: Option<String>,
}

/// A write that is durable, and that the next read sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectAck {
    /// Its place in the log.
    pub sequence: u64,
    /// The same write had been acknowledged before; nothing was written again.
    pub repeated: bool,
    /// Its event time in microseconds.
    pub at: i64,
}

/// What a feature was at a query time.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectAnswer {
    /// One, or of a windowed feature read as a whole one for each aggregation.
    pub values: Vec<DirectValue>,
    /// The query time in microseconds.
    pub as_of: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DirectValue {
    /// Of a windowed feature, which one.
    pub aggregation: Option<String>,
    /// In the JSON form of its type; null unless the status is `PRESENT`, or that of no input if it is `NOT_FOUND`.
    pub value: Json,
    /// `PRESENT`, `NULL`, `NOT_FOUND`, `STALE` or `ERROR`.
    pub status: &'static str,
    /// When the newest write behind it happened, in microseconds.
    pub event_time: Option<i64>,
}

/// What a directly written feature is. Lengths of time are written as in definitions (`1h30m`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DirectDescriptor {
    /// `namespace.name`.
    pub selector: String,
    pub namespace: String,
    pub name: String,
    pub entity: String,
    /// The columns that name one entity.
    pub keys: Vec<DirectKey>,
    /// `int`, `float`, `string`, `bool` or `timestamp`, in brackets where it is a list of them.
    pub primitive: String,
    /// Empty unless it is windowed.
    pub aggregations: Vec<String>,
    /// The window.
    pub over: Option<String>,
    /// How many values before the newest can be read.
    pub keep_previous: u32,
    pub freshness: Option<String>,
    pub staleness: Option<String>,
    pub timeout: Option<String>,
    /// Whether its value is fetched from a service when a read finds it too old.
    pub fetch: bool,
}

/// A key column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DirectKey {
    pub name: String,
    #[serde(rename = "type")]
    pub data_type: String,
}
