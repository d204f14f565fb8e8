//! Reading the audit log: the newest line first, page by page, from the ends of the files backwards.

use super::numbered_files;
use crate::access::limits::{AUDIT_BLOCK_BYTES, AUDIT_SCAN_BYTES};
use serde_json::Value as Json;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::str::FromStr;

/// Where a line begins: the number of its file, and the byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    file: u64,
    offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.file, self.offset)
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('-').and_then(|(file, offset)| Some((file.parse().ok()?, offset.parse().ok()?)));
        let (file, offset) =
            parts.ok_or_else(|| format!("`{text}` is no place in the audit log: take `next_before` of an answer"))?;
        Ok(Self { file, offset })
    }
}

/// What is wanted of the audit log.
#[derive(Debug, Clone, Copy)]
pub struct AuditQuery {
    pub limit: usize,
    /// Only lines before this one.
    pub before: Option<Position>,
    /// Only denials.
    pub denied: bool,
}

/// Lines of the audit log, the newest first.
#[derive(Debug)]
pub struct AuditPage {
    pub entries: Vec<Json>,
    /// Where older lines go on; none at the end of the log.
    pub next: Option<Position>,
}

/// Reads a page. One that had to look through much before it was full comes with fewer lines, and with where to go on.
pub fn page(directory: &Path, query: &AuditQuery) -> io::Result<AuditPage> {
    let mut entries = Vec::new();
    let mut scanned = 0;
    let mut files = numbered_files(directory)?;
    files.sort_unstable_by(|a, b| b.cmp(a));
    for (number, path) in files {
        let end = match query.before {
            Some(before) if number > before.file => continue,
            Some(before) if number == before.file => before.offset,
            _ => u64::MAX,
        };
        let mut lines = match Backwards::open(&path, end) {
            // It was the oldest, and went in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        let began = lines.unread;
        while let Some((offset, line)) = lines.previous()? {
            let wanted = |entry: &Json| !query.denied || entry["outcome"] == "denied";
            // A line that was cut off by a crash is none.
            entries.extend(serde_json::from_slice::<Json>(&line).ok().filter(wanted));
            if entries.len() >= query.limit || scanned + (began - lines.unread) >= AUDIT_SCAN_BYTES {
                return Ok(AuditPage { entries, next: Some(Position { file: number, offset }) });
            }
        }
        scanned += began;
    }
    Ok(AuditPage { entries, next: None })
}

/// The lines of a file from its end to its beginning.
struct Backwards {
    file: File,
    /// Bytes before `block` that were not read yet.
    unread: u64,
    /// What follows them, up to the line that was given last.
    block: Vec<u8>,
}

impl Backwards {
    fn open(path: &Path, end: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let unread = file.metadata()?.len().min(end);
        Ok(Self { file, unread, block: Vec::new() })
    }

    /// The line before, and where it begins.
    fn previous(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        loop {
            let text = self.block.strip_suffix(b"\n").unwrap_or(&self.block);
            if let Some(end) = text.iter().rposition(|byte| *byte == b'\n') {
                let line = text[end + 1..].to_vec();
                self.block.truncate(end + 1);
                return Ok(Some((self.unread + end as u64 + 1, line)));
            }
            if self.unread == 0 {
                let line = text.to_vec();
                self.block.clear();
                return Ok((!line.is_empty()).then_some((0, line)));
            }
            if self.block.len() as u64 > AUDIT_BLOCK_BYTES {
                // No line is that long: what is there is none, and is not carried along.
                self.block.clear();
            }
            let more = self.unread.min(AUDIT_BLOCK_BYTES);
            let mut block = vec![0; more as usize];
            self.file.read_exact_at(&mut block, self.unread - more)?;
            block.append(&mut self.block);
            self.block = block;
            self.unread -= more;
        }
    }
}
