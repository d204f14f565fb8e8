//! `thalweg load`: files of events to a source, in batches that are each acknowledged before the next is sent.
//!
//! Every batch has an idempotency key made from the file and its place in it, and the server remembers keys. So there
//! is nothing to resume from but the files: the same command again sends what was acknowledged once more, and none of
//! it counts twice.

mod batches;
mod progress;

use super::client::{Body, Client, ClientError, encode};
use super::interrupt::Interrupt;
use super::output::{count, print, warn};
use super::{FAILED, Failure, Outcome, ServerFlag};
use batches::{Batch, read_files};
use clap::Args;
use progress::Progress;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Args)]
#[command(after_help = "Examples:\n  thalweg load departures flights-2013.parquet\n  \
    thalweg load clicks 'logs/*.ndjson.gz' --live\n\n\
    Rows are history unless --live is given: where the source has no column of arrival times, each arrived at its\n\
    event time. After Ctrl-C or a lost connection the same command goes on, and counts nothing twice.")]
pub struct LoadArguments {
    /// The source
    source: String,
    /// Parquet, CSV or JSON files (an object a line, or one array), also as .gz; patterns such as 'logs/*.ndjson'
    #[arg(required = true)]
    files: Vec<String>,
    #[command(flatten)]
    server: ServerFlag,
    /// The rows are history (the default)
    #[arg(long)]
    backfill: bool,
    /// The rows arrive now
    #[arg(long, conflicts_with = "backfill")]
    live: bool,
}

/// Tries for one batch while the server cannot be reached, and the first wait between them.
const TRIES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Reasons of quarantine that are printed.
const REASONS: usize = 5;

pub fn load(arguments: &LoadArguments) -> Outcome {
    let files = expand(&arguments.files)?;
    let client = arguments.server.client()?;
    let interrupt = Interrupt::watch();
    let mut progress = Progress::start(&arguments.source, batches::total_rows(&files));
    let mut totals = Totals::default();
    let load = Load { client: &client, arguments, interrupt: &interrupt };
    let outcome = load.send_all(&files, &mut progress, &mut totals);
    progress.finish();
    totals.print(&arguments.source);
    outcome.map(|()| if totals.read == 0 { warn_empty() } else { 0 })
}

fn warn_empty() -> i32 {
    warn("there were no rows in these files");
    FAILED
}

struct Load<'a> {
    client: &'a Client,
    arguments: &'a LoadArguments,
    interrupt: &'a Interrupt,
}

impl Load<'_> {
    fn send_all(&self, files: &[PathBuf], progress: &mut Progress, totals: &mut Totals) -> Result<(), Failure> {
        for batch in read_files(&self.arguments.source, files) {
            let batch = batch.map_err(|why| Failure::failed(format!("{why}; {}", again())))?;
            if self.interrupt.is_asked() {
                return Err(Failure::interrupted(format!("stopped; {}", again())));
            }
            let rows = batch.rows;
            let (file, first_row) = (batch.file.clone(), batch.first_row);
            let ack = self.send(batch, progress)?;
            totals.add(&ack, &file, first_row);
            progress.add(rows);
        }
        Ok(())
    }

    /// Sends a batch until it is acknowledged or refused for good.
    fn send(&self, batch: Batch, progress: &Progress) -> Result<Json, Failure> {
        let path = format!("/v1/sources/{}/events", encode(&self.arguments.source));
        let query: &[(&str, &str)] = if self.arguments.live { &[] } else { &[("backfill", "true")] };
        let place = format!("{}, row {}", batch.file.display(), batch.first_row);
        let body =
            Body { content_type: batch.content_type, bytes: batch.bytes, idempotency_key: Some(batch.key.as_str()) };
        let mut lost = 0;
        loop {
            let error = match self.client.post_body(&path, query, &body) {
                Ok(ack) => return Ok(ack),
                Err(error) => error,
            };
            let wait = match self.wait(&error, &mut lost) {
                Some(wait) => wait,
                None => return Err(Failure { message: format!("{place}: {error}; {}", again()), ..error.into() }),
            };
            progress.note(&format!("waiting: {error}"));
            self.interrupt.sleep(wait);
            if self.interrupt.is_asked() {
                return Err(Failure::interrupted(format!("stopped; {}", again())));
            }
        }
    }

    /// How long until the next try; none where there is no use in one.
    fn wait(&self, error: &ClientError, lost: &mut u32) -> Option<Duration> {
        if error.is_overload() {
            return Some(error.retry_after.unwrap_or(FIRST_WAIT));
        }
        *lost += 1;
        (error.is_lost() && *lost < TRIES).then(|| FIRST_WAIT * 2u32.pow(*lost))
    }
}

fn again() -> &'static str {
    "what was acknowledged is kept: the same command again goes on, and counts nothing twice"
}

/// The files meant by paths and patterns, in order, each once.
fn expand(patterns: &[String]) -> Result<Vec<PathBuf>, Failure> {
    let mut files: Vec<PathBuf> = Vec::new();
    for pattern in patterns {
        if Path::new(pattern).is_file() {
            files.push(pattern.into());
            continue;
        }
        let found = glob::glob(pattern)
            .map_err(|error| Failure::misuse(format!("`{pattern}` is not a pattern of files: {error}")))?;
        let mut found: Vec<PathBuf> = found.filter_map(Result::ok).filter(|path| path.is_file()).collect();
        if found.is_empty() {
            return Err(Failure::misuse(format!("there is no file {pattern}")));
        }
        found.sort();
        files.append(&mut found);
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

/// The acknowledgements so far, as one.
#[derive(Default)]
struct Totals {
    read: u64,
    applied: u64,
    deduplicated: u64,
    filtered: u64,
    quarantined: u64,
    /// Rows that an earlier load had brought.
    before: u64,
    arrival_time: String,
    reasons: Vec<String>,
}

impl Totals {
    fn add(&mut self, ack: &Json, file: &Path, first_row: u64) {
        let number = |name: &str| ack[name].as_u64().unwrap_or_default();
        self.read += number("read");
        self.applied += number("applied");
        self.deduplicated += number("deduplicated");
        self.filtered += number("filtered");
        self.quarantined += number("quarantined");
        if ack["repeated"] == Json::Bool(true) {
            self.before += number("read");
        }
        if let Some(kind) = ack["arrival_time"].as_str() {
            kind.clone_into(&mut self.arrival_time);
        }
        for error in ack["errors"].as_array().into_iter().flatten() {
            if self.reasons.len() == REASONS {
                break;
            }
            let row = first_row + error["row"].as_u64().unwrap_or_default();
            let column = error["column"].as_str().map(|column| format!("`{column}`: ")).unwrap_or_default();
            let reason = error["reason"].as_str().unwrap_or_default();
            self.reasons.push(format!("  {}, row {row}: {column}{reason}", file.display()));
        }
    }

    fn print(&self, source: &str) {
        if self.read == 0 {
            return;
        }
        print(format!(
            "{source}: {} rows read = {} applied + {} deduplicated + {} filtered + {} quarantined",
            count(self.read),
            count(self.applied),
            count(self.deduplicated),
            count(self.filtered),
            count(self.quarantined)
        ));
        if self.before > 0 {
            print(format!("{} of them had been taken by an earlier load, and count once", count(self.before)));
        }
        if self.arrival_time == "event_time" {
            print("each row counts as arrived at its event time: these files do not say when they arrived");
        }
        if !self.reasons.is_empty() {
            print("in quarantine, among others:");
            self.reasons.iter().for_each(print);
            print(format!("see them with `thalweg quarantine {source}`"));
        }
    }
}
