//! `thalweg audit`: who changed what, and who was refused what.

use super::client::encode;
use super::keys::{Place, Reached};
use super::output::{plain, print, print_json};
use super::{Failure, Outcome};
use crate::access::{AUDIT_PAGE, Audit, AuditQuery, Position};
use clap::Args;
use serde_json::Value as Json;

#[derive(Args)]
#[command(after_help = "Examples:\n  thalweg audit\n  thalweg audit --denied --limit 5\n  \
    thalweg audit --data /var/lib/thalweg\n  thalweg audit --url https://features.example:8765 --json")]
pub struct AuditArguments {
    #[command(flatten)]
    place: Place,
    /// Only what was refused
    #[arg(long)]
    denied: bool,
    /// How many lines to show, the newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn audit(arguments: &AuditArguments) -> Outcome {
    let place = arguments.place.reach()?;
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let mut entries = Vec::new();
    let mut before = None;
    loop {
        let wanted = (limit - entries.len()).min(AUDIT_PAGE);
        let (page, next) = page(&place, wanted, before.as_deref(), arguments.denied)?;
        entries.extend(page);
        before = next;
        if entries.len() >= limit || before.is_none() {
            break;
        }
    }
    if arguments.json {
        print_json(&Json::Array(entries));
        return Ok(0);
    }
    if entries.is_empty() {
        print("nothing was changed or refused yet");
    }
    for entry in &entries {
        print(line(entry));
    }
    Ok(0)
}

/// A page, and where the next begins.
fn page(
    place: &Reached,
    limit: usize,
    before: Option<&str>,
    denied: bool,
) -> Result<(Vec<Json>, Option<String>), Failure> {
    match place {
        Reached::Server(client) => {
            let before = before.map(|before| format!("&before={}", encode(before))).unwrap_or_default();
            let answer = client.get(&format!("/v1/audit?limit={limit}&denied={denied}{before}"))?;
            let entries = answer["entries"].as_array().cloned().unwrap_or_default();
            Ok((entries, answer["next_before"].as_str().map(str::to_owned)))
        }
        Reached::Directory(data) => {
            let before = before.map(str::parse::<Position>).transpose().map_err(Failure::failed)?;
            let page = Audit::of(data).page(&AuditQuery { limit, before, denied });
            let page = page.map_err(|error| Failure::failed(format!("{}: {error}", data.display())))?;
            Ok((page.entries, page.next.map(|next| next.to_string())))
        }
    }
}

/// An entry on one line; what it does not have is left out.
fn line(entry: &Json) -> String {
    let text = |name: &str| plain(&entry[name]);
    let mut line = format!("{}  {}", text("at"), text("outcome"));
    let mut add = |part: String| {
        if !part.is_empty() {
            line.push_str("  ");
            // What callers brought may hold anything, and a terminal would obey it.
            line.extend(part.chars().map(|c| if c.is_control() { '?' } else { c }));
        }
    };
    add(text("code"));
    add(text("operation"));
    add(text("object"));
    let key = text("key");
    if !key.is_empty() {
        add(format!("key {key} {}", text("name")).trim_end().to_owned());
    }
    add(text("door"));
    add(text("peer"));
    if let Some(folded) = entry["folded"].as_u64() {
        add(format!("{folded} times more"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_has_what_there_is_and_no_control_characters() {
        let entry = json!({"at": "T", "door": "http", "operation": "push", "object": "a\u{1b}[2Jb", "key": "0123",
            "name": "ci", "peer": "::1", "outcome": "denied", "code": "FORBIDDEN"});
        assert_eq!(line(&entry), "T  denied  FORBIDDEN  push  a?[2Jb  key 0123 ci  http  ::1");
        let folded = json!({"at": "T", "door": null, "peer": "::1", "outcome": "denied", "code": "FORBIDDEN",
            "folded": 400});
        assert_eq!(line(&folded), "T  denied  FORBIDDEN  ::1  400 times more");
    }
}
