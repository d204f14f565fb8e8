//! The audit log: who changed what, and who was refused what, as JSON lines in `audit/` of the data directory. What it
//! takes of the disk is bounded: by the size and number of its files, and by counting floods of denials.

mod fold;
mod read;

use super::limits::{AUDIT_FIELD_BYTES, AUDIT_FILE_BYTES, AUDIT_FILES};
use super::now_us;
use fold::Folds;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thalweg_engine::literal::timestamp_text;
use thalweg_store::{Disk, RealDisk};

pub use read::{AuditPage, AuditQuery, Position};

/// The directory of the audit log in the data directory.
pub const AUDIT_DIRECTORY: &str = "audit";
/// The end of its files' names.
const SUFFIX: &str = ".jsonl";

/// What is noted: of callers, only what they brought.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    pub door: &'a str,
    pub operation: &'a str,
    pub object: &'a str,
    /// The id of the key.
    pub key: Option<&'a str>,
    /// The key's name.
    pub name: Option<&'a str>,
    pub peer: Option<IpAddr>,
}

/// The writing side, and where it reads from.
pub struct Audit {
    directory: PathBuf,
    bounds: Bounds,
    current: Mutex<Option<Current>>,
    folds: Mutex<Folds>,
}

#[derive(Clone, Copy)]
struct Bounds {
    file_bytes: u64,
    files: u64,
}

/// The file that is written to.
struct Current {
    file: Arc<File>,
    number: u64,
    size: u64,
}

impl Audit {
    /// The audit log of a data directory. Nothing is made before there is something to write.
    pub fn of(data: &Path) -> Self {
        Self::bounded(data.join(AUDIT_DIRECTORY), Bounds { file_bytes: AUDIT_FILE_BYTES, files: AUDIT_FILES })
    }

    fn bounded(directory: PathBuf, bounds: Bounds) -> Self {
        Self { directory, bounds, current: Mutex::default(), folds: Mutex::default() }
    }

    /// Notes a change, and the code with which it failed; returns when the line is durable. Blocks.
    pub fn change(&self, event: &Event<'_>, error: Option<&'static str>) -> io::Result<()> {
        let outcome = if error.is_some() { "failed" } else { "ok" };
        self.write(&line(event, outcome, error), true)
    }

    /// Notes that something was refused, or counts it where there were many.
    pub fn denial(&self, event: &Event<'_>, code: &'static str) -> io::Result<()> {
        if self.folds.lock().admit(event.peer, code, now_us()) {
            self.write(&line(event, "denied", Some(code)), false)?;
        }
        Ok(())
    }

    /// Writes down what was counted in the minutes that are over.
    pub fn fold(&self, now_us: i64) -> io::Result<()> {
        let ended = self.folds.lock().ended(now_us);
        ended.iter().try_for_each(|folded| {
            let line = json!({
                "at": timestamp_text(super::now_us()),
                "door": null,
                "operation": null,
                "object": null,
                "key": null,
                "name": null,
                "peer": folded.peer.map(|peer| peer.to_string()),
                "outcome": "denied",
                "code": folded.code,
                "folded": folded.count,
            });
            self.write(&line, false)
        })
    }

    /// Lines, the newest first.
    pub fn page(&self, query: &AuditQuery) -> io::Result<AuditPage> {
        read::page(&self.directory, query)
    }

    fn write(&self, line: &Json, durable: bool) -> io::Result<()> {
        let text = format!("{line}\n");
        let file = {
            let mut current = self.current.lock();
            let to = self.current_for(&mut current, text.len() as u64)?;
            // One write a line: another process may append as well.
            let written = (&*to.file).write_all(text.as_bytes());
            if let Err(error) = written {
                // What was written of it ends when the file is opened again.
                *current = None;
                return Err(error);
            }
            to.size += text.len() as u64;
            to.file.clone()
        };
        // Without the lock, so that a denial does not wait for the disk.
        if durable { file.sync_data() } else { Ok(()) }
    }

    /// The file that has room for so many bytes.
    fn current_for<'a>(&self, current: &'a mut Option<Current>, bytes: u64) -> io::Result<&'a mut Current> {
        let full = |current: &Current| current.size > 0 && current.size + bytes > self.bounds.file_bytes;
        let mut open = match current.take() {
            Some(open) => open,
            None => self.open(self.newest()?.unwrap_or(1))?,
        };
        while full(&open) {
            open = self.open(open.number + 1)?;
            self.remove_old(open.number)?;
        }
        Ok(current.insert(open))
    }

    fn newest(&self) -> io::Result<Option<u64>> {
        Ok(numbered_files(&self.directory)?.into_iter().map(|(number, _)| number).max())
    }

    fn open(&self, number: u64) -> io::Result<Current> {
        RealDisk.create_dir_all(&self.directory)?;
        let path = self.directory.join(format!("{number:08}{SUFFIX}"));
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let mut size = file.metadata()?.len();
        if size == 0 {
            File::open(&self.directory)?.sync_all()?;
        } else {
            let mut last = [0];
            file.read_exact_at(&mut last, size - 1)?;
            if last != *b"\n" {
                (&file).write_all(b"\n")?;
                size += 1;
            }
        }
        Ok(Current { file: Arc::new(file), number, size })
    }

    fn remove_old(&self, newest: u64) -> io::Result<()> {
        for (number, path) in numbered_files(&self.directory)? {
            if number + self.bounds.files <= newest {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// The files of the log with their numbers, in no order; none where there is no log yet.
fn numbered_files(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)?.parse().ok());
        if let Some(number) = number {
            files.push((number, entry.path()));
        }
    }
    Ok(files)
}

fn line(event: &Event<'_>, outcome: &str, code: Option<&'static str>) -> Json {
    json!({
        "at": timestamp_text(now_us()),
        "door": event.door,
        "operation": event.operation,
        "object": bounded(event.object),
        "key": event.key.map(bounded),
        "name": event.name.map(bounded),
        "peer": event.peer.map(|peer| peer.to_string()),
        "outcome": outcome,
        "code": code,
    })
}

/// As much as a line holds of what a caller brought.
fn bounded(text: &str) -> String {
    if text.len() <= AUDIT_FIELD_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(AUDIT_FIELD_BYTES);
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::limits::AUDIT_SINGLE_DENIALS;

    fn event(object: &str) -> Event<'_> {
        let peer = Some(IpAddr::from([127, 0, 0, 1]));
        Event { door: "http", operation: "apply", object, key: Some("0123456789ab"), name: Some("ci"), peer }
    }

    fn all(audit: &Audit, denied: bool) -> Vec<Json> {
        let mut entries = Vec::new();
        let mut before = None;
        loop {
            let page = audit.page(&AuditQuery { limit: 7, before, denied }).unwrap();
            entries.extend(page.entries);
            match page.next {
                Some(next) => before = Some(next.to_string().parse().unwrap()),
                None => return entries,
            }
        }
    }

    #[test]
    fn lines_come_back_newest_first() {
        let directory = tempfile::tempdir().unwrap();
        let audit = Audit::of(directory.path());
        assert!(all(&audit, false).is_empty());
        for number in 0..20 {
            audit.change(&event(&format!("object {number}")), None).unwrap();
        }
        audit.change(&event("\"\n\u{1}"), Some("BREAKING")).unwrap();
        audit.denial(&event(&"é".repeat(1000)), "FORBIDDEN").unwrap();
        let entries = all(&audit, false);
        assert_eq!(entries.len(), 22);
        assert_eq!(entries[0]["outcome"], "denied");
        assert!(entries[0]["object"].as_str().unwrap().len() <= AUDIT_FIELD_BYTES + 3);
        assert_eq!((&entries[1]["object"], &entries[1]["outcome"]), (&json!("\"\n\u{1}"), &json!("failed")));
        assert_eq!((&entries[1]["code"], &entries[1]["peer"]), (&json!("BREAKING"), &json!("127.0.0.1")));
        assert_eq!((&entries[2]["object"], &entries[2]["outcome"]), (&json!("object 19"), &json!("ok")));
        assert_eq!(entries[21]["object"], "object 0");
        assert_eq!(all(&audit, true).len(), 1);
    }

    #[test]
    fn files_are_rotated_and_the_newest_kept() {
        let directory = tempfile::tempdir().unwrap();
        let audit = Audit::bounded(directory.path().join("audit"), Bounds { file_bytes: 2000, files: 3 });
        for number in 0..200 {
            audit.change(&event(&number.to_string()), None).unwrap();
        }
        let mut files = numbered_files(&directory.path().join("audit")).unwrap();
        files.sort_unstable();
        assert_eq!(files.len(), 3);
        assert!(files.iter().all(|(_, path)| path.metadata().unwrap().len() <= 2000));
        let entries = all(&audit, false);
        let kept: Vec<String> = entries.iter().map(|entry| entry["object"].as_str().unwrap().to_owned()).collect();
        let expected: Vec<String> = (0..200).rev().take(kept.len()).map(|number: u32| number.to_string()).collect();
        assert!(kept.len() > 20);
        assert_eq!(kept, expected);
        // Opened again it goes on in the newest file.
        let again = Audit::bounded(directory.path().join("audit"), Bounds { file_bytes: 2000, files: 3 });
        again.change(&event("200"), None).unwrap();
        assert_eq!(all(&again, false)[0]["object"], "200");
    }

    #[test]
    fn a_line_that_a_crash_cut_off_spoils_no_other() {
        let directory = tempfile::tempdir().unwrap();
        Audit::of(directory.path()).change(&event("whole"), None).unwrap();
        let path = directory.path().join("audit/00000001.jsonl");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"at\":\"20").unwrap();
        let audit = Audit::of(directory.path());
        audit.change(&event("after"), None).unwrap();
        let objects: Vec<Json> = all(&audit, false).into_iter().map(|entry| entry["object"].clone()).collect();
        assert_eq!(objects, ["after", "whole"]);
    }

    #[test]
    fn a_flood_of_denials_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let audit = Audit::of(directory.path());
        for _ in 0..AUDIT_SINGLE_DENIALS + 400 {
            audit.denial(&event("x"), "UNAUTHENTICATED").unwrap();
        }
        audit.fold(i64::MAX).unwrap();
        let entries = all(&audit, true);
        assert_eq!(entries.len() as u64, AUDIT_SINGLE_DENIALS + 1);
        assert_eq!((&entries[0]["folded"], &entries[0]["peer"]), (&json!(400), &json!("127.0.0.1")));
    }
}
