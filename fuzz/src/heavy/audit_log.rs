//! The files of the audit log with any bytes in them: every whole line is shown once, the newest first, on however many
//! pages.

use super::world::scratch;
use crate::input::Input;
use serde_json::Value as Json;
use thalweg_server::fuzzing::{Audit, AuditQuery, Position};

/// How many lines a page has, then the file.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = 1 + usize::from(input.byte() % 8);
    let text = input.rest();
    if let Ok(place) = std::str::from_utf8(text).unwrap_or_default().parse::<Position>() {
        let again: Position = place.to_string().parse().expect("a place is read as it is written");
        assert_eq!(again, place);
    }
    let data = scratch();
    let directory = data.join("audit");
    std::fs::create_dir_all(&directory).expect("a folder of its own");
    std::fs::write(directory.join("00000001.jsonl"), text).expect("a file of its own");
    let audit = Audit::of(&data);
    let mut shown = Vec::new();
    let mut before = None;
    loop {
        let page = audit.page(&AuditQuery { limit, before, denied: false }).expect("the file is there");
        assert!(page.entries.len() <= limit, "{} lines of {limit}", page.entries.len());
        shown.extend(page.entries);
        assert!(shown.len() <= text.len(), "the pages do not end");
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    let lines = text.split(|byte| *byte == b'\n').rev();
    let whole: Vec<Json> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(shown, whole);
}
