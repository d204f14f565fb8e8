//! `thalweg training-set`, `training-sets` and `describe-set`: made on the server, watched, fetched as Parquet.

use super::client::{ARROW, Body, Client, JSON, encode};
use super::interrupt::Interrupt;
use super::output::{count, outline, print, print_json, table_of, warn};
use super::{AskArguments, Failure, Outcome, ServerFlag};
use arrow_ipc::writer::StreamWriter;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value as Json, json};
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    thalweg training-set card_risk --spine labels.parquet --timestamp asked_at --out train.parquet\n  \
    thalweg training-set card_risk --spine 'SELECT card, amount, paid_at FROM payments' --timestamp paid_at \\\n    \
    --out train.parquet --as-of arrival --statuses\n\nCtrl-C cancels it on the server as well.")]
pub struct TrainingSetArguments {
    /// The service
    service: String,
    /// The rows: a Parquet or CSV file with the key columns, or SQL over history, where each source is a table
    #[arg(long, value_name = "FILE|SQL")]
    spine: String,
    /// The column of the spine with each row's query time
    #[arg(long, value_name = "COLUMN", default_value = "timestamp")]
    timestamp: String,
    /// The Parquet file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Which rows count: all that happened before, or of those the ones that had arrived
    #[arg(long, default_value = "event_time", value_parser = ["event_time", "arrival"])]
    as_of: String,
    /// Add a status column for each feature
    #[arg(long)]
    statuses: bool,
    /// A version of the definitions other than that in force
    #[arg(long, value_name = "N")]
    manifest_version: Option<u64>,
    #[command(flatten)]
    server: ServerFlag,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Rows of a spine in one batch.
const BATCH_ROWS: usize = 65_536;
const FIRST_POLL: Duration = Duration::from_millis(20);
const LAST_POLL: Duration = Duration::from_secs(1);

pub fn make(arguments: &TrainingSetArguments) -> Outcome {
    let spine = spine(&arguments.spine)?;
    let client = arguments.server.client()?;
    let interrupt = Interrupt::watch();
    let version = arguments.manifest_version.map(|version| version.to_string());
    let mut query = vec![
        ("service", arguments.service.as_str()),
        ("timestamp", arguments.timestamp.as_str()),
        ("as_of", arguments.as_of.as_str()),
        ("statuses", if arguments.statuses { "true" } else { "false" }),
    ];
    query.extend(version.as_deref().map(|version| ("manifest_version", version)));
    let started = client.post_body("/v1/training-sets", &query, &spine)?;
    let id = started["id"].as_str().unwrap_or_default();
    let place = format!("/v1/training-sets/{}", encode(id));
    let state = watch(&client, &place, &arguments.service, &interrupt)?;
    if state["state"] != "done" {
        let why = state["error"].as_str().unwrap_or("the server gives no reason");
        return Err(Failure::failed(format!("the training set {}: {why}", super::output::plain(&state["state"]))));
    }
    fetch(&client, &place, &arguments.out)?;
    let report = &state["report"];
    if arguments.json {
        print_json(report);
    } else {
        show(report, &arguments.out);
    }
    Ok(0)
}

fn spine(given: &str) -> Result<Body<'static>, Failure> {
    let first = given.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    if (first == "select" || first == "with") && !Path::new(given).is_file() {
        let bytes = json!({ "sql": given }).to_string().into_bytes();
        return Ok(Body { content_type: JSON, bytes, idempotency_key: None });
    }
    let unreadable = |error: &dyn std::fmt::Display| Failure::misuse(format!("the spine {given}: {error}"));
    let batches = thalweg_lake::read_file(Path::new(given), BATCH_ROWS).map_err(|error| unreadable(&error))?;
    let mut writer = None;
    for batch in batches {
        let batch = batch.map_err(|error| unreadable(&error))?;
        if writer.is_none() {
            let opened = StreamWriter::try_new(Vec::new(), batch.schema_ref());
            writer = Some(opened.map_err(|error| unreadable(&error))?);
        }
        if let Some(writer) = &mut writer {
            writer.write(&batch).map_err(|error| unreadable(&error))?;
        }
    }
    let writer = writer.ok_or_else(|| unreadable(&"it has no rows"))?;
    let bytes = writer.into_inner().map_err(|error| unreadable(&error))?;
    Ok(Body { content_type: ARROW, bytes, idempotency_key: None })
}

/// Waits until the training set is no longer running; its last state.
fn watch(client: &Client, place: &str, service: &str, interrupt: &Interrupt) -> Result<Json, Failure> {
    let bar = bar(service);
    let mut wait = FIRST_POLL;
    loop {
        let state = client.get(place)?;
        if let Some(total) = state["total"].as_u64().filter(|total| *total > 0) {
            bar.set_length(total);
            bar.set_position(state["done"].as_u64().unwrap_or_default());
        }
        if state["state"] != "running" {
            bar.finish_and_clear();
            return Ok(state);
        }
        interrupt.sleep(wait);
        if interrupt.is_asked() {
            bar.finish_and_clear();
            client.delete(place)?;
            return Err(Failure::interrupted("cancelled, on the server as well; nothing is written"));
        }
        wait = (wait * 3 / 2).min(LAST_POLL);
    }
}

/// Hidden where nobody watches.
fn bar(service: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {percent}%, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(1).with_style(style.progress_chars("=> ")).with_prefix(format!("training set of {service}"))
}

/// Writes beside the target first, so that a file of that name is always whole.
fn fetch(client: &Client, place: &str, out: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", out.display()));
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = out.with_file_name(name);
    let mut file = BufWriter::new(File::create(&partial).map_err(failed)?);
    let fetched = client.download(&format!("{place}/data"), &[("format", "parquet")], &mut file);
    if let Err(error) = fetched {
        let _ = std::fs::remove_file(&partial);
        return Err(error.into());
    }
    file.flush().map_err(failed)?;
    std::fs::rename(&partial, out).map_err(failed)
}

fn show(report: &Json, out: &Path) {
    let rows = report["rows"].as_u64().unwrap_or_default();
    let seconds = report["seconds"].as_f64().unwrap_or_default();
    print(format!(
        "{}: {} rows in {seconds:.1} s, id {}",
        out.display(),
        count(rows),
        super::output::plain(&report["id"])
    ));
    let features = report["features"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !features.is_empty() {
        print(table_of(features, &["name", "nulls", "defaults", "mean", "min", "max", "late_changed"]));
    }
    let late = features.iter().filter_map(|feature| feature["late_changed"].as_u64()).max().unwrap_or_default();
    if late > 0 {
        warn(format!(
            "in up to {} rows a feature depends on events that had not arrived: compare with --as-of arrival",
            count(late)
        ));
    }
}

pub fn list(arguments: &AskArguments) -> Outcome {
    let sets = arguments.server.client()?.get("/v1/training-sets")?;
    if arguments.json {
        print_json(&sets);
        return Ok(0);
    }
    match sets.as_array().map(Vec::as_slice) {
        Some(sets) if !sets.is_empty() => print(table_of(sets, &["created_at", "service", "as_of", "rows", "id"])),
        _ => print("no training set was made yet: see `thalweg training-set --help`"),
    }
    Ok(0)
}

#[derive(Args)]
#[command(after_help = "Examples:\n  thalweg describe-set 3fa9c1    # the beginning of the id is enough")]
pub struct DescribeArguments {
    /// Its id, as `thalweg training-sets` lists it, or the beginning of it
    id: String,
    #[command(flatten)]
    server: ServerFlag,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn describe(arguments: &DescribeArguments) -> Outcome {
    let sets = arguments.server.client()?.get("/v1/training-sets")?;
    let sets = sets.as_array().into_iter().flatten();
    let begins = |set: &&Json| set["id"].as_str().is_some_and(|id| id.starts_with(&arguments.id));
    let mut found: Vec<&Json> = sets.filter(begins).collect();
    found.dedup_by(|a, b| a["id"] == b["id"]);
    match found.as_slice() {
        [] => {
            let mend = "list them with `thalweg training-sets`";
            Err(Failure::misuse(format!("there is no training set `{}`: {mend}", arguments.id)))
        }
        [set] if arguments.json => {
            print_json(set);
            Ok(0)
        }
        [set] => {
            print(outline(set));
            Ok(0)
        }
        many => Err(Failure::misuse(format!("`{}` begins {} ids: write more of it", arguments.id, many.len()))),
    }
}
