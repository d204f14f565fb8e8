//! How far a load is: a bar on a terminal, a plain line now and then elsewhere.

use super::super::output::{count, warn};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Between plain lines.
const EVERY: Duration = Duration::from_secs(5);

pub struct Progress {
    what: String,
    bar: Option<ProgressBar>,
    rows: u64,
    total: Option<u64>,
    began: Instant,
    said: Instant,
}

impl Progress {
    pub fn start(what: &str, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(what, total));
        let now = Instant::now();
        Self { what: what.to_owned(), bar, rows: 0, total, began: now, said: now }
    }

    pub fn add(&mut self, rows: u64) {
        self.rows += rows;
        match &self.bar {
            Some(bar) => {
                bar.set_message("");
                bar.set_position(self.rows);
            }
            None if self.said.elapsed() >= EVERY => self.say(),
            None => {}
        }
    }

    /// Something that holds the load up.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => warn(text),
        }
    }

    pub fn finish(&mut self) {
        match self.bar.take() {
            Some(bar) => bar.finish_and_clear(),
            None => self.say(),
        }
    }

    fn say(&mut self) {
        self.said = Instant::now();
        let per_second = self.rows as f64 / self.began.elapsed().as_secs_f64().max(1e-3);
        let of = self.total.map(|total| format!(" of {}", count(total))).unwrap_or_default();
        warn(format!("{}: {}{of} rows, {} rows/s", self.what, count(self.rows), count(per_second as u64)));
    }
}

fn bar(what: &str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{prefix} [{bar:30}] {human_pos} of {human_len} rows, {per_sec}, {eta} left {msg}",
        ),
        None => (ProgressBar::no_length(), "{prefix} {spinner} {human_pos} rows, {per_sec} {msg}"),
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.with_prefix(what.to_owned())
}
