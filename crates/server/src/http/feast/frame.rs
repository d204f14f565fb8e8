//! From the data frame of a push, which comes column by column, to the source's rows.
//!
//! A column is a list, an object of values by row label (as `DataFrame.to_dict()` writes it), or one value for all
//! rows. Columns that the source has not are passed over, as Feast does it.

use super::errors::Refused;
use super::form::Members;
use super::limits::MAX_ROWS_BYTES;
use super::values::plain;
use crate::http::json::write_text;
use serde_json::value::RawValue;
use std::collections::HashMap;
use thalweg_definition::DataType;
use thalweg_engine::limits::MAX_BATCH_ROWS;

/// The event time by the name under which Feast's client sends it, whatever the column is called.
const EVENT_TIMESTAMP: &str = "event_timestamp";

/// The source that the rows are for.
pub struct Target<'a> {
    pub source: &'a str,
    pub columns: &'a [(String, DataType)],
    /// The column of the event time.
    pub timestamp: &'a str,
}

/// A column of the source that the frame has.
struct Column<'a> {
    /// Its name as JSON, with the colon.
    member: String,
    data_type: &'a DataType,
    cells: Cells<'a>,
}

impl Column<'_> {
    /// Its name as JSON.
    fn name(&self) -> &str {
        self.member.trim_end_matches(':')
    }
}

enum Cells<'a> {
    Rows(Vec<&'a RawValue>),
    Labelled(Vec<(String, &'a RawValue)>),
    Same(&'a RawValue),
}

/// The rows as a JSON array of objects.
pub fn rows(target: &Target<'_>, df: &Members<'_>) -> Result<String, Refused> {
    let mut columns = columns(target, df)?;
    let rows = align(&mut columns)?;
    if columns.is_empty() && !df.0.is_empty() {
        let names: Vec<&str> = target.columns.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(", ");
        return Err(Refused::wrong(format!("`df` has no column of source `{}`: send {names}", target.source)));
    }
    if rows > MAX_BATCH_ROWS {
        return Err(Refused::wrong(format!("a push of {rows} rows is more than {MAX_BATCH_ROWS}: send it in parts")));
    }
    write(&columns, rows)
}

fn columns<'a>(target: &Target<'a>, df: &Members<'a>) -> Result<Vec<Column<'a>>, Refused> {
    let mut columns = Vec::with_capacity(target.columns.len());
    for (name, data_type) in target.columns {
        let feasts = (name == target.timestamp).then_some(EVENT_TIMESTAMP);
        let Some(value) = df.get(name).or_else(|| df.get(feasts?)) else { continue };
        let cells = cells(value).map_err(|why| Refused::wrong(format!("`df`, column `{name}`: {why}")))?;
        let mut member = String::new();
        write_text(&mut member, name);
        member.push(':');
        columns.push(Column { member, data_type, cells });
    }
    Ok(columns)
}

fn cells(value: &RawValue) -> Result<Cells<'_>, String> {
    let broken = |error: serde_json::Error| error.to_string();
    match value.get().as_bytes().first() {
        Some(b'[') => serde_json::from_str(value.get()).map(Cells::Rows).map_err(broken),
        Some(b'{') => {
            let Members(labelled) = serde_json::from_str(value.get()).map_err(broken)?;
            Ok(Cells::Labelled(labelled))
        }
        _ => Ok(Cells::Same(value)),
    }
}

/// Brings all columns to one order of rows; returns how many there are.
fn align(columns: &mut [Column<'_>]) -> Result<usize, Refused> {
    let labels: Option<Vec<String>> = columns.iter().find_map(|column| match &column.cells {
        Cells::Labelled(values) => Some(values.iter().map(|(label, _)| label.clone()).collect()),
        _ => None,
    });
    if let Some(labels) = labels {
        for column in columns.iter_mut().filter(|column| !matches!(column.cells, Cells::Same(_))) {
            column.cells = by_label(column, &labels)?;
        }
    }
    let mut first: Option<(&str, usize)> = None;
    for column in columns.iter() {
        let Cells::Rows(values) = &column.cells else { continue };
        let (name, rows) = *first.get_or_insert((column.name(), values.len()));
        if values.len() != rows {
            let (other, others) = (column.name(), values.len());
            return Err(Refused::wrong(format!(
                "`df`: column {name} has {rows} values and {other} has {others}: send one of each per row"
            )));
        }
    }
    match first {
        Some((_, rows)) => Ok(rows),
        None if columns.is_empty() => Ok(0),
        None => Err(Refused::wrong("`df` has single values only: write each column as a list, one value per row")),
    }
}

fn by_label<'a>(column: &Column<'a>, labels: &[String]) -> Result<Cells<'a>, Refused> {
    let wrong = |why: &str| Refused::wrong(format!("`df`, column {}: {why}", column.name()));
    let Cells::Labelled(values) = &column.cells else {
        return Err(wrong("it is a list, and others have row labels: write all of them one way"));
    };
    let by_label: HashMap<&str, &'a RawValue> = values.iter().map(|(label, value)| (label.as_str(), *value)).collect();
    let found: Vec<&'a RawValue> = labels.iter().filter_map(|label| by_label.get(label.as_str()).copied()).collect();
    if found.len() != labels.len() || by_label.len() != labels.len() {
        return Err(wrong("its row labels are not those of the other columns"));
    }
    Ok(Cells::Rows(found))
}

fn write(columns: &[Column<'_>], rows: usize) -> Result<String, Refused> {
    let mut out = String::with_capacity(2 + rows.min(1024) * columns.len() * 24);
    out.push('[');
    for row in 0..rows {
        out.push_str(if row == 0 { "{" } else { ",{" });
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(&column.member);
            let value: &RawValue = match &column.cells {
                Cells::Rows(values) => values[row],
                Cells::Same(value) => value,
                // Aligned before, so that there is none; a null would be refused where it is not allowed.
                Cells::Labelled(_) => RawValue::NULL,
            };
            out.push_str(&plain(value.get(), column.data_type));
        }
        out.push('}');
        if out.len() > MAX_ROWS_BYTES {
            return Err(Refused::wrong(format!(
                "`df` is more than {MAX_ROWS_BYTES} bytes once it is written as rows: send it in parts"
            )));
        }
    }
    out.push(']');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn written(df: Json) -> Result<Json, String> {
        let text = df.to_string();
        let members: Members<'_> = serde_json::from_str(&text).unwrap();
        let columns = [("card", DataType::Int64), ("city", DataType::String), ("paid_at", DataType::Timestamp)];
        let columns = columns.map(|(name, data_type)| (name.to_owned(), data_type));
        let target = Target { source: "payments", columns: &columns, timestamp: "paid_at" };
        let rows = rows(&target, &members).map_err(|refused| format!("{refused:?}"))?;
        Ok(serde_json::from_str(&rows).unwrap_or_else(|error| panic!("{error}: {rows}")))
    }

    #[test]
    fn columns_become_rows() {
        let rows =
            written(json!({"card": [1, "2"], "city": ["a", 7], "event_timestamp": [60, null], "created": [0, 0]}));
        assert_eq!(
            rows.unwrap(),
            json!([
                {"card": 1, "city": "a", "paid_at": 60_000_000},
                {"card": 2, "city": "7", "paid_at": null},
            ])
        );
        assert_eq!(written(json!({})).unwrap(), json!([]));
        assert_eq!(written(json!({"card": []})).unwrap(), json!([]));
    }

    #[test]
    fn the_columns_own_name_comes_before_feasts() {
        let rows = written(json!({"paid_at": ["2024-05-01"], "event_timestamp": [60]}));
        assert_eq!(rows.unwrap(), json!([{"paid_at": "2024-05-01"}]));
    }

    #[test]
    fn labels_say_which_values_are_of_one_row() {
        let rows = written(json!({"card": {"0": 1, "1": 2}, "city": {"1": "b", "0": "a"}, "paid_at": "2024-05-01"}));
        assert_eq!(
            rows.unwrap(),
            json!([
                {"card": 1, "city": "a", "paid_at": "2024-05-01"},
                {"card": 2, "city": "b", "paid_at": "2024-05-01"},
            ])
        );
    }

    #[test]
    fn frames_that_do_not_fit_are_refused() {
        let error = |df: Json| written(df).unwrap_err();
        assert!(error(json!({"card": [1, 2], "city": ["a"]})).contains("one of each per row"));
        assert!(error(json!({"card": 1})).contains("single values only"));
        assert!(error(json!({"crd": [1]})).contains("no column of source `payments`: send card, city, paid_at"));
        assert!(error(json!({"card": {"0": 1}, "city": ["a"]})).contains("write all of them one way"));
        assert!(error(json!({"card": {"0": 1}, "city": {"1": "a"}})).contains("row labels"));
    }
}
