//! `thalweg quarantine`: the rows that were set aside, why, and sending them again.

use super::client::encode;
use super::output::{count, plain, print, print_json};
use super::{Outcome, ServerFlag};
use clap::Args;
use serde_json::Value as Json;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  thalweg quarantine departures\n  thalweg quarantine departures --limit 5 --json\n  \
    thalweg quarantine departures --replay    # after the definition was mended"
)]
pub struct QuarantineArguments {
    /// The source
    source: String,
    #[command(flatten)]
    server: ServerFlag,
    /// Send the rows again
    #[arg(long, conflicts_with_all = ["limit", "offset"])]
    replay: bool,
    /// How many rows to show
    #[arg(long, default_value_t = 20)]
    limit: u64,
    /// How many rows to skip
    #[arg(long, default_value_t = 0)]
    offset: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn quarantine(arguments: &QuarantineArguments) -> Outcome {
    let client = arguments.server.client()?;
    let place = format!("/v1/sources/{}/quarantine", encode(&arguments.source));
    if arguments.replay {
        let ack = client.post(&format!("{place}/replay"), &[], b"{}".to_vec())?;
        if arguments.json {
            print_json(&ack);
        } else {
            let number = |name: &str| count(ack[name].as_u64().unwrap_or_default());
            print(format!(
                "{} rows sent again: {} applied, {} deduplicated, {} filtered, {} back in quarantine",
                number("read"),
                number("applied"),
                number("deduplicated"),
                number("filtered"),
                number("quarantined")
            ));
        }
        return Ok(0);
    }
    let page = client.get(&format!("{place}?limit={}&offset={}", arguments.limit, arguments.offset))?;
    if arguments.json {
        print_json(&page);
        return Ok(0);
    }
    show(&page, &arguments.source);
    Ok(0)
}

/// Of a raw row, what fits a terminal.
const SHOWN: usize = 160;

fn show(page: &Json, source: &str) {
    let rows = page["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return print(format!("no rows of {source} are in quarantine here"));
    }
    for row in rows {
        let replayed = if row["replayed"] == Json::Bool(true) { " (sent again since)" } else { "" };
        let column = row["column"].as_str().map(|column| format!("`{column}`: ")).unwrap_or_default();
        print(format!("{} at {}{replayed}: {column}{}", plain(&row["id"]), plain(&row["at"]), plain(&row["reason"])));
        let raw = row["raw"].as_str().or(row["raw_base64"].as_str()).unwrap_or_default();
        let cut: String = raw.chars().take(SHOWN).collect();
        print(format!("    {cut}{}", if cut.len() < raw.len() { " ..." } else { "" }));
    }
    if let Some(next) = page["next_offset"].as_u64() {
        print(format!("there are more: --offset {next}"));
    }
}
