//! The aggregations: their names, parameters, what they take and what they yield.

use crate::types::DataType;

/// What is computed over the rows in a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregation {
    /// Rows, or non-null values where there is an input.
    Count,
    Sum,
    Mean,
    Min,
    Max,
    /// `ddof` is 1 (sample) unless said otherwise.
    Var {
        ddof: u32,
    },
    Std {
        ddof: u32,
    },
    /// Population skewness.
    Skew,
    /// Population excess kurtosis (0 for a normal distribution).
    Kurtosis,
    First,
    Last,
    FirstK {
        k: u32,
    },
    LastK {
        k: u32,
    },
    TopK {
        k: u32,
    },
    BottomK {
        k: u32,
    },
    DistinctCount,
    ValueCounts,
    /// HyperLogLog with 2^lg_k registers; relative standard error about 1.04 / sqrt(2^lg_k).
    ApproxDistinct {
        lg_k: u32,
    },
    /// DDSketch: within `relative_error` of the value at the quantile.
    ApproxQuantile {
        quantile: f64,
        relative_error: f64,
    },
    /// The value in the newest row, null included: the row is read, nothing is aggregated.
    Latest,
}

/// Bounds of the parameters, together.
pub const MAX_K: u32 = 10_000;
pub const LG_K: std::ops::RangeInclusive<u32> = 4..=18;
pub const DEFAULT_LG_K: u32 = 12;
pub const DEFAULT_RELATIVE_ERROR: f64 = 0.01;

impl Aggregation {
    pub const NAMES: [&str; 20] = [
        "count",
        "sum",
        "mean",
        "min",
        "max",
        "var",
        "std",
        "skew",
        "kurtosis",
        "first",
        "last",
        "first_k",
        "last_k",
        "top_k",
        "bottom_k",
        "distinct_count",
        "value_counts",
        "approx_distinct",
        "approx_quantile",
        "latest",
    ];

    pub fn name(&self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Max => "max",
            Self::Var { .. } => "var",
            Self::Std { .. } => "std",
            Self::Skew => "skew",
            Self::Kurtosis => "kurtosis",
            Self::First => "first",
            Self::Last => "last",
            Self::FirstK { .. } => "first_k",
            Self::LastK { .. } => "last_k",
            Self::TopK { .. } => "top_k",
            Self::BottomK { .. } => "bottom_k",
            Self::DistinctCount => "distinct_count",
            Self::ValueCounts => "value_counts",
            Self::ApproxDistinct { .. } => "approx_distinct",
            Self::ApproxQuantile { .. } => "approx_quantile",
            Self::Latest => "latest",
        }
    }

    /// The type of the value over an input of type `input` (none: `count(*)`), or why there is none.
    pub fn output(&self, input: Option<&DataType>) -> Result<DataType, String> {
        let Some(input) = input else {
            return match self {
                Self::Count => Ok(DataType::Int64),
                _ => Err(format!("`{}` needs an input: name a column or an expression", self.name())),
            };
        };
        let refuse = |needs: &str| Err(format!("`{}` takes {needs}, not {input}", self.name()));
        match self {
            Self::Count => Ok(DataType::Int64),
            Self::Sum => match input {
                DataType::Int32 | DataType::Int64 => Ok(DataType::Int64),
                DataType::Float32 | DataType::Float64 => Ok(DataType::Float64),
                DataType::Decimal(_, scale) => Ok(DataType::Decimal(38, *scale)),
                _ => refuse("a number"),
            },
            Self::Mean
            | Self::Var { .. }
            | Self::Std { .. }
            | Self::Skew
            | Self::Kurtosis
            | Self::ApproxQuantile { .. } => {
                if input.is_numeric() {
                    Ok(DataType::Float64)
                } else {
                    refuse("a number")
                }
            }
            Self::Min | Self::Max => {
                if input.is_ordered() {
                    Ok(input.clone())
                } else {
                    refuse("an ordered value")
                }
            }
            Self::First | Self::Last | Self::Latest => Ok(input.clone()),
            Self::FirstK { .. } | Self::LastK { .. } => match input {
                DataType::List(_) | DataType::Vector(_) => refuse("a plain value"),
                _ => Ok(DataType::List(Box::new(input.clone()))),
            },
            Self::TopK { .. } | Self::BottomK { .. } => {
                if input.is_ordered() {
                    Ok(DataType::List(Box::new(input.clone())))
                } else {
                    refuse("an ordered value")
                }
            }
            Self::DistinctCount | Self::ApproxDistinct { .. } => {
                if input.is_key() {
                    Ok(DataType::Int64)
                } else {
                    refuse("a plain value")
                }
            }
            Self::ValueCounts => {
                if input.is_key() {
                    Ok(DataType::Map(Box::new(input.clone()), Box::new(DataType::Int64)))
                } else {
                    refuse("a plain value")
                }
            }
        }
    }

    /// Why rows cannot be taken back from this aggregation, where they cannot: the registers of a
    /// HyperLogLog hold maxima over hashes and forget what they were made of.
    pub fn refuses_retraction(&self) -> Option<&'static str> {
        match self {
            Self::ApproxDistinct { .. } => Some("a HyperLogLog cannot forget a row; use distinct_count"),
            _ => None,
        }
    }
}
