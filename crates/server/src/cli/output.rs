//! What commands print: lines, tables, outlines. A reader who closes the pipe early ends nothing with an error.

use serde_json::Value as Json;
use std::fmt::Display;
use std::io::{self, Write};

/// A line of the answer.
pub fn print(text: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// A line about the work, which is no part of the answer.
pub fn warn(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

pub fn print_json(value: &Json) {
    print(serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string()));
}

/// Rows below a heading, in columns.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([heading[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let mut lines = Vec::with_capacity(rows.len() + 1);
    if heading.iter().any(|name| !name.is_empty()) {
        lines.push(padded(heading.iter().copied(), &widths));
    }
    lines.extend(rows.iter().map(|row| padded(row.iter().map(String::as_str), &widths)));
    lines.join("\n")
}

fn padded<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let cells = cells.zip(widths).map(|(cell, width)| format!("{cell:<width$}", width = *width));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// Objects of one shape as a table of the named members.
pub fn table_of(objects: &[Json], members: &[&str]) -> String {
    let rows: Vec<Vec<String>> =
        objects.iter().map(|object| members.iter().map(|name| plain(&object[*name])).collect()).collect();
    table(members, &rows)
}

/// A value on one line, text without quotes.
pub fn plain(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Number(number) => number.as_u64().map_or_else(|| number.to_string(), count),
        other => other.to_string(),
    }
}

/// A whole number with its thousands apart.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Any JSON as an indented outline: members a line each, lists of flat objects as tables.
pub fn outline(value: &Json) -> String {
    let mut lines = Vec::new();
    outline_into(value, 0, &mut lines);
    lines.join("\n")
}

fn outline_into(value: &Json, depth: usize, lines: &mut Vec<String>) {
    let space = "  ".repeat(depth);
    match value {
        Json::Object(members) => {
            for (name, member) in members {
                match member {
                    Json::Null => {}
                    Json::String(text) if text.is_empty() => {}
                    Json::Object(inner) if inner.is_empty() => {}
                    Json::Array(items) if items.is_empty() => {}
                    Json::Object(_) | Json::Array(_) => {
                        lines.push(format!("{space}{name}:"));
                        outline_into(member, depth + 1, lines);
                    }
                    _ => lines.push(format!("{space}{name}: {}", plain(member))),
                }
            }
        }
        Json::Array(items) => match flat_members(items) {
            Some(members) => lines.extend(table_of(items, &members).lines().map(|line| format!("{space}{line}"))),
            None => {
                for item in items {
                    match item {
                        Json::Object(_) | Json::Array(_) => outline_into(item, depth, lines),
                        _ => lines.push(format!("{space}{}", plain(item))),
                    }
                }
            }
        },
        _ => lines.push(format!("{space}{}", plain(value))),
    }
}

/// The members of objects that hold nothing but plain values.
fn flat_members(items: &[Json]) -> Option<Vec<&str>> {
    let first = items.first()?.as_object()?;
    let flat =
        |item: &Json| item.as_object().is_some_and(|members| !members.values().any(|v| v.is_object() || v.is_array()));
    items.iter().all(flat).then(|| first.keys().map(String::as_str).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1000, 1234567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(table(&["name", "n"], &rows), "name  n\na     1\nlong");
    }

    #[test]
    fn an_outline_shows_lists_of_objects_as_tables() {
        let value = json!({"name": "s", "empty": null, "columns": [{"name": "a", "type": "int64"}], "n": {"x": 1}});
        assert_eq!(outline(&value), "name: s\ncolumns:\n  name  type\n  a     int64\nn:\n  x: 1");
    }
}
