//! The types a column or a feature can have, and their written form (`list<decimal(10,2)>`).

use std::borrow::Cow;
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
/// Most characters of a text that a message repeats.
const SHOWN: usize = 60;

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
        let Some(item) = arguments(text, "list<", '>') else { return not_in_a_list(text) };
        // What is in the brackets is never read as a list itself: there may be as many as a text can hold.
        if item.starts_with("list<") {
            return Err(no_nesting(text));
        }
        match not_in_a_list(item)? {
            Self::Vector(_) => Err(no_nesting(text)),
            item => Ok(Self::List(Box::new(item))),
        }
    }
}

/// Every type but a list.
fn not_in_a_list(text: &str) -> Result<DataType, String> {
    let plain = match text {
        "bool" => Some(DataType::Bool),
        "int32" => Some(DataType::Int32),
        "int64" => Some(DataType::Int64),
        "float32" => Some(DataType::Float32),
        "float64" => Some(DataType::Float64),
        "string" => Some(DataType::String),
        "bytes" => Some(DataType::Bytes),
        "date" => Some(DataType::Date),
        "timestamp" => Some(DataType::Timestamp),
        _ => None,
    };
    if let Some(plain) = plain {
        return Ok(plain);
    }
    let shown = shown(text);
    if let Some(arguments) = arguments(text, "decimal(", ')') {
        return decimal(arguments).ok_or_else(|| format!("`{shown}`: decimal(P,S) takes 1 <= P <= 38 and 0 <= S <= P"));
    }
    if let Some(arguments) = arguments(text, "vector<", '>') {
        return vector(arguments).ok_or_else(|| format!("`{shown}`: vector<float32,N> takes 1 <= N <= {MAX_VECTOR}"));
    }
    Err(format!(
        "`{shown}` is not a type: use bool, int32, int64, float32, float64, decimal(P,S), string, bytes, \
         date, timestamp, list<T> or vector<float32,N>"
    ))
}

fn no_nesting(text: &str) -> String {
    format!("`{}`: a list holds plain values, not lists, maps or vectors", shown(text))
}

/// What stands between a prefix and the closing bracket at the end.
fn arguments<'t>(text: &'t str, prefix: &str, close: char) -> Option<&'t str> {
    text.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(close)).map(str::trim)
}

/// A text as a message shows it.
fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
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
