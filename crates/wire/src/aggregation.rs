//! Aggregations and windows: one enum each in the definition, flat fields on the wire.

use crate::v1;
use thalweg_definition::{Aggregation, DEFAULT_LG_K, DEFAULT_RELATIVE_ERROR, Duration, Window};

/// The aggregation of a feature; a parameter that is left out takes its default.
pub(crate) fn aggregation(feature: &v1::Feature) -> Result<Aggregation, String> {
    let v1::Feature { k, ddof, .. } = *feature;
    let found = match feature.aggregation.as_str() {
        "count" => Aggregation::Count,
        "sum" => Aggregation::Sum,
        "mean" => Aggregation::Mean,
        "min" => Aggregation::Min,
        "max" => Aggregation::Max,
        "var" => Aggregation::Var { ddof },
        "std" => Aggregation::Std { ddof },
        "skew" => Aggregation::Skew,
        "kurtosis" => Aggregation::Kurtosis,
        "first" => Aggregation::First,
        "last" => Aggregation::Last,
        "first_k" => Aggregation::FirstK { k },
        "last_k" => Aggregation::LastK { k },
        "top_k" => Aggregation::TopK { k },
        "bottom_k" => Aggregation::BottomK { k },
        "distinct_count" => Aggregation::DistinctCount,
        "value_counts" => Aggregation::ValueCounts,
        "approx_distinct" => {
            Aggregation::ApproxDistinct { lg_k: if feature.lg_k == 0 { DEFAULT_LG_K } else { feature.lg_k } }
        }
        "approx_quantile" => {
            let given = feature.relative_error;
            let relative_error = if given == 0.0 { DEFAULT_RELATIVE_ERROR } else { given };
            Aggregation::ApproxQuantile { quantile: feature.quantile, relative_error }
        }
        "latest" => Aggregation::Latest,
        other => return Err(format!("unknown aggregation `{other}`")),
    };
    Ok(found)
}

/// An aggregation of a direct feature, which is a name alone.
pub(crate) fn of_direct(name: &str) -> Result<Aggregation, String> {
    match name {
        "count" => Ok(Aggregation::Count),
        "sum" => Ok(Aggregation::Sum),
        "mean" => Ok(Aggregation::Mean),
        "min" => Ok(Aggregation::Min),
        "max" => Ok(Aggregation::Max),
        other => Err(format!("a direct feature has no aggregation `{other}`")),
    }
}

/// Writes the name and the parameters of an aggregation into the feature.
pub(crate) fn put_aggregation(aggregation: &Aggregation, feature: &mut v1::Feature) {
    feature.aggregation = aggregation.name().to_owned();
    match *aggregation {
        Aggregation::Var { ddof } | Aggregation::Std { ddof } => feature.ddof = ddof,
        Aggregation::FirstK { k } | Aggregation::LastK { k } | Aggregation::TopK { k } | Aggregation::BottomK { k } => {
            feature.k = k;
        }
        Aggregation::ApproxDistinct { lg_k } => feature.lg_k = lg_k,
        Aggregation::ApproxQuantile { quantile, relative_error } => {
            feature.quantile = quantile;
            feature.relative_error = relative_error;
        }
        _ => {}
    }
}

pub(crate) fn window(window: &v1::Window) -> Result<Window, String> {
    let over = || window.over.parse::<Duration>();
    if window.kind != "sliding" && !window.hop.is_empty() {
        return Err(format!("a `{}` window has no hop", window.kind));
    }
    match window.kind.as_str() {
        "sliding" => {
            let hop = if window.hop.is_empty() { None } else { Some(window.hop.parse::<Duration>()?) };
            Ok(Window::Sliding { over: over()?, hop })
        }
        "tumbling" => Ok(Window::Tumbling { over: over()? }),
        "to_date" => Ok(Window::ToDate { over: over()? }),
        "unbounded" if window.over.is_empty() => Ok(Window::Unbounded),
        "unbounded" => Err("an `unbounded` window has no length".to_owned()),
        other => Err(format!("unknown kind of window `{other}`")),
    }
}

pub(crate) fn window_to_proto(window: &Window) -> v1::Window {
    let (kind, over, hop) = match window {
        Window::Sliding { over, hop } => ("sliding", Some(over), hop.as_ref()),
        Window::Tumbling { over } => ("tumbling", Some(over), None),
        Window::ToDate { over } => ("to_date", Some(over), None),
        Window::Unbounded => ("unbounded", None, None),
    };
    let text = |duration: Option<&Duration>| duration.map(Duration::to_string).unwrap_or_default();
    v1::Window { kind: kind.to_owned(), over: text(over), hop: text(hop) }
}
