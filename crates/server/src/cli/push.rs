//! `thalweg push`: a few rows, typed on the command line or piped in, into a source. For files there is `load`.

use super::client::{Body, JSON, LINES, encode};
use super::output::{plain, print, print_json, warn};
use super::{FAILED, Failure, Outcome, ServerFlag};
use clap::Args;
use serde_json::{Map, Value as Json};
use std::io::Read;

#[derive(Args)]
#[command(after_help = "Examples:\n  thalweg push payments id=p1 card=c1 amount=40 paid_at=2024-05-01T10:00:00Z\n  \
    thalweg push payments --json-rows '[{\"id\": \"p1\", \"card\": \"c1\", \"amount\": 40.0}]'\n  \
    tail -n 100 payments.ndjson | thalweg push payments -\n\n\
    When it returns, the rows are durable, and the next read sees them. Exit code 1: rows went to quarantine.")]
pub struct PushArguments {
    /// The source
    source: String,
    /// One row as COLUMN=VALUE; or `-`: rows from standard input, an object a line
    #[arg(value_name = "COLUMN=VALUE", required_unless_present = "json_rows", conflicts_with = "json_rows")]
    values: Vec<String>,
    /// Rows as JSON: a list of objects, or one object
    #[arg(long, value_name = "JSON")]
    json_rows: Option<String>,
    /// Names this push, so that sending it again counts once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// The rows are history: without a column of arrival times, each arrived at its event time
    #[arg(long)]
    backfill: bool,
    #[command(flatten)]
    server: ServerFlag,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Bytes of standard input at most; longer input is for `thalweg load`.
const MAX_INPUT: u64 = 64 << 20;

pub fn push(arguments: &PushArguments) -> Outcome {
    let client = arguments.server.client()?;
    let path = format!("/v1/sources/{}", encode(&arguments.source));
    let (content_type, bytes) = match (&arguments.json_rows, arguments.values.as_slice()) {
        (Some(rows), _) => (JSON, rows.clone().into_bytes()),
        (None, [only]) if only == "-" => (LINES, standard_input()?),
        (None, values) => (JSON, row(&client.get(&path)?, values)?.to_string().into_bytes()),
    };
    let query: &[(&str, &str)] = if arguments.backfill { &[("backfill", "true")] } else { &[] };
    let body = Body { content_type, bytes, idempotency_key: arguments.idempotency_key.as_deref() };
    let ack = client.post_body(&format!("{path}/events"), query, &body)?;
    if arguments.json {
        print_json(&ack);
    } else {
        let parts = ["read", "applied", "deduplicated", "filtered", "quarantined"];
        let parts: Vec<String> = parts.iter().map(|name| format!("{} {name}", plain(&ack[*name]))).collect();
        print(format!("{}: {}", arguments.source, parts.join(", ")));
    }
    for error in ack["errors"].as_array().into_iter().flatten() {
        warn(format!("row {}: {}", plain(&error["row"]), plain(&error["reason"])));
    }
    Ok(if ack["quarantined"].as_u64().unwrap_or(0) > 0 { FAILED } else { 0 })
}

fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::failed(format!("standard input cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_INPUT {
        let most = MAX_INPUT >> 20;
        return Err(Failure::misuse(format!("standard input has more than {most} MiB: use `thalweg load` with files")));
    }
    Ok(bytes)
}

/// One row, each value as its column's type makes it. What it cannot be is sent as text, so that the server says why.
fn row(source: &Json, values: &[String]) -> Result<Json, Failure> {
    let mut row = Map::new();
    for given in values {
        let (name, text) = given
            .split_once('=')
            .ok_or_else(|| Failure::misuse(format!("`{given}` has no `=`: write column=value, such as amount=40")))?;
        let columns = source["columns"].as_array().into_iter().flatten();
        let column = columns.clone().find(|column| column["name"] == name);
        let Some(column) = column else {
            let names: Vec<&str> = columns.filter_map(|column| column["name"].as_str()).collect();
            return Err(Failure::misuse(format!("there is no column `{name}`; there are: {}", names.join(", "))));
        };
        let as_text = matches!(column["type"].as_str(), Some("string" | "bytes" | "date" | "timestamp"));
        let parsed = if as_text { None } else { serde_json::from_str(text).ok() };
        if row.insert(name.to_owned(), parsed.unwrap_or_else(|| text.into())).is_some() {
            return Err(Failure::misuse(format!("column `{name}` is given twice")));
        }
    }
    Ok(Json::Array(vec![Json::Object(row)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_of_their_columns_types() {
        let source = json!({"columns": [{"name": "id", "type": "string"}, {"name": "amount", "type": "float64"}]});
        let values = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let made = row(&source, &values(&["id=7", "amount=7"])).map_err(|failure| failure.message).unwrap();
        assert_eq!(made, json!([{"id": "7", "amount": 7}]));
        let wrong = row(&source, &values(&["amont=7"])).unwrap_err();
        assert!(wrong.message.contains("id, amount"), "{}", wrong.message);
        assert!(row(&source, &values(&["id"])).is_err());
        assert!(row(&source, &values(&["id=1", "id=2"])).is_err());
    }
}
