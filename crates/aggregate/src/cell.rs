//! Values: [`Cell`], one borrowed from a packed row, and [`Value`], one that is owned.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// One value of a row. Strings, bytes, lists and vectors are bytes here; the type tells them apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    Null,
    Bool(bool),
    /// Integers, dates (days) and timestamps (microseconds).
    Int(i64),
    Float(f64),
    /// The unscaled integer.
    Decimal(i128),
    Bytes(&'a [u8]),
}

/// An owned value, as features and map keys have.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Decimal(i128),
    Bytes(Box<[u8]>),
    List(#[serde(deserialize_with = "crate::nesting::bounded")] Vec<Value>),
    /// Sorted by key.
    Map(#[serde(deserialize_with = "crate::nesting::bounded")] Vec<(Value, Value)>),
}

impl<'a> Cell<'a> {
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub fn is_non_finite(&self) -> bool {
        matches!(self, Self::Float(value) if !value.is_finite())
    }

    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Float(value) => Value::Float(value),
            Self::Decimal(value) => Value::Decimal(value),
            Self::Bytes(value) => Value::Bytes(value.into()),
        }
    }

    /// The form in which values are compared as keys: one zero.
    pub fn as_key(self) -> Self {
        match self {
            Self::Float(0.0) => Self::Float(0.0),
            other => other,
        }
    }

    /// The order of values of one type: NaN above everything, -0.0 below 0.0, text by its bytes.
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Decimal(a), Self::Decimal(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int(_) => 2,
            Self::Float(_) => 3,
            Self::Decimal(_) => 4,
            Self::Bytes(_) => 5,
        }
    }
}

impl Value {
    /// The value as a cell; lists and maps are never compared and have none.
    pub fn as_cell(&self) -> Cell<'_> {
        match self {
            Self::Bool(value) => Cell::Bool(*value),
            Self::Int(value) => Cell::Int(*value),
            Self::Float(value) => Cell::Float(*value),
            Self::Decimal(value) => Cell::Decimal(*value),
            Self::Bytes(value) => Cell::Bytes(value),
            Self::Null | Self::List(_) | Self::Map(_) => Cell::Null,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// Equal to the last bit, so that NaN equals NaN and -0.0 does not equal 0.0.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            (Self::List(_) | Self::Map(_), _) | (_, Self::List(_) | Self::Map(_)) => false,
            (a, b) => a.as_cell().order(&b.as_cell()).is_eq(),
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    /// Equal values have equal fingerprints; what is never a key hashes to nothing.
    fn hash<H: Hasher>(&self, state: &mut H) {
        // An odd constant spreads small numbers over all bits.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let spread = |bits: u64| (bits ^ (bits >> 32)).wrapping_mul(SPREAD);
        state.write_u64(match self.as_cell() {
            Cell::Bool(value) => spread(u64::from(value)),
            Cell::Int(value) => spread(value as u64),
            Cell::Float(value) => spread(value.to_bits()),
            Cell::Decimal(value) => spread(value as u64 ^ (value >> 64) as u64),
            Cell::Bytes(value) => xxhash_rust::xxh3::xxh3_64(value),
            Cell::Null => 0,
        });
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_cell().order(&other.as_cell())
    }
}
