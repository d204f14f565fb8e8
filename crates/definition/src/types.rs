//! The types a column or a feature can have, and their written form (`list<decimal(10,2)>`).

use std::fmt;
use std::str::FromStr;

/// The type of a column, a key or a feature value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DataType {
    Bool,
    Int32,
    Int64,
    Float32,
    Float64,
    /// Precision (1 to 38) and scale (0 to precision).
    Decimal(u8, u8),
    String,
    Bytes,
    /// Days since the epoch.
    Date,
    /// UTC microseconds since the epoch.
    Timestamp,
    List(Box<DataType>),
    /// A fixed number of float32.
    Vector(u32),
    /// What `by=` and `value_counts` yield; never the type of a column.
    Map(Box<DataType>, Box<DataType>),
}

/// Most elements a vector may have.
pub const MAX_VECTOR: u32 = 65_536;

impl DataType {
    pub fn is_integer(&self) -> bool {
        matches!(self, Self::Int32 | Self::Int64)
    }

    pub fn is_float(&self) -> bool {
        matches!(self, Self::Float32 | Self::Float64)
    }

    pub fn is_numeric(&self) -> bool {
        self.is_integer() || self.is_float() || matches!(self, Self::Decimal(..))
    }

    /// Whether values have a total order, so that `min`, `max` and `top_k` mean something.
    pub fn is_ordered(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Vector(_) | Self::Map(..))
    }

    /// Whether values can be compared for equality as keys of a map, an entity or a distinct count.
    pub fn is_key(&self) -> bool {
        self.is_ordered()
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int32 => f.write_str("int32"),
            Self::Int64 => f.write_str("int64"),
            Self::Float32 => f.write_str("float32"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal(p, s) => write!(f, "decimal({p},{s})"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::List(item) => write!(f, "list<{item}>"),
            Self::Vector(n) => write!(f, "vector<float32,{n}>"),
            Self::Map(k, v) => write!(f, "map<{k},{v}>"),
        }
    }
}

impl FromStr for DataType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let inner = |prefix: &str, close: char| {
            text.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(close)).map(str::trim)
        };
        let plain = match text {
            "bool" => Some(Self::Bool),
            "int32" => Some(Self::Int32),
            "int64" => Some(Self::Int64),
            "float32" => Some(Self::Float32),
            "float64" => Some(Self::Float64),
            "string" => Some(Self::String),
            "bytes" => Some(Self::Bytes),
            "date" => Some(Self::Date),
            "timestamp" => Some(Self::Timestamp),
            _ => None,
        };
        if let Some(plain) = plain {
            return Ok(plain);
        }
        if let Some(arguments) = inner("decimal(", ')') {
            return decimal(arguments)
                .ok_or_else(|| format!("`{text}`: decimal(P,S) takes 1 <= P <= 38 and 0 <= S <= P"));
        }
        if let Some(item) = inner("list<", '>') {
            return match item.parse()? {
                Self::List(_) | Self::Map(..) | Self::Vector(_) => {
                    Err(format!("`{text}`: a list holds plain values, not lists, maps or vectors"))
                }
                item => Ok(Self::List(Box::new(item))),
            };
        }
        if let Some(arguments) = inner("vector<", '>') {
            return vector(arguments)
                .ok_or_else(|| format!("`{text}`: vector<float32,N> takes 1 <= N <= {MAX_VECTOR}"));
        }
        Err(format!(
            "`{text}` is not a type: use bool, int32, int64, float32, float64, decimal(P,S), string, bytes, \
             date, timestamp, list<T> or vector<float32,N>"
        ))
    }
}

fn decimal(arguments: &str) -> Option<DataType> {
    let (precision, scale) = arguments.split_once(',')?;
    let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    ((1..=38).contains(&precision) && scale <= precision).then_some(DataType::Decimal(precision, scale))
}

fn vector(arguments: &str) -> Option<DataType> {
    let (item, length) = arguments.split_once(',')?;
    let length = length.trim().parse().ok()?;
    (item.trim() == "float32" && (1..=MAX_VECTOR).contains(&length)).then_some(DataType::Vector(length))
}
