//! `thalweg keys`: who may come in, and for what. Without an address it works on the data directory itself, beside a
//! running server or before there is one: who may write there needs no key.

use super::client::{Client, Credentials, encode};
use super::output::{print, print_json, table_of, warn};
use super::{Failure, Outcome};
use crate::access::{Audit, Event, KeyRequest, METADATA_FILE, create, list, new_id, revoke, rotate};
use crate::error::ServerError;
use crate::session::Operation;
use crate::settings::Settings;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use thalweg_store::{Disk, Metadata, RealDisk};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  thalweg keys create --name ci --namespaces payments --scopes read --expires 90d\n  \
    thalweg keys create --name ops --namespaces '*' --scopes admin\n  thalweg keys list\n  \
    thalweg keys rotate 4f1c0a9b22de --grace 1h\n  thalweg keys revoke 4f1c0a9b22de\n\n\
    As soon as there is a key, every request needs one."
)]
pub struct KeysArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a key; standard output gets it, this once
    Create(CreateArguments),
    /// List the keys, without their secrets
    List {
        #[command(flatten)]
        place: Place,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a key back for good
    Revoke {
        /// The key's id
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Give a key a new secret; standard output gets it, this once
    Rotate {
        /// The key's id
        id: String,
        /// How long the old secret still works, such as 1h [default: not at all]
        #[arg(long, value_name = "TIME")]
        grace: Option<String>,
        #[command(flatten)]
        place: Place,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct CreateArguments {
    /// Who or what uses the key
    #[arg(long)]
    name: String,
    /// The namespaces it is for, separated by commas; `*` is all
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    namespaces: Vec<String>,
    /// What it allows, separated by commas: read, write, admin (which includes both)
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', required = true)]
    scopes: Vec<String>,
    /// After how long it ends, such as 90d [default: never]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// How many requests it may send, such as 100/s [default: any number]
    #[arg(long, value_name = "RATE")]
    rate: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

// Where the keys and the audit log are. The environment's THALWEG_URL is left alone: whether these commands go to a
// directory or to a server is said by name.
#[derive(Args)]
pub struct Place {
    /// The data directory to work on [default: as `thalweg serve` would find it]
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    data: Option<PathBuf>,
    /// The address of a server to ask instead
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    credentials: Credentials,
}

/// A directory to work on, or a server to ask.
pub enum Reached {
    Directory(PathBuf),
    Server(Client),
}

impl Place {
    pub fn reach(&self) -> Result<Reached, Failure> {
        if let Some(url) = &self.url {
            return Ok(Reached::Server(Client::new(url, &self.credentials)?));
        }
        let data = match &self.data {
            Some(data) => data.clone(),
            None => Settings::resolve(None, &[]).map_err(|why| Failure::misuse(format!("thalweg: {why}")))?.data,
        };
        Ok(Reached::Directory(data))
    }
}

pub fn keys(arguments: &KeysArguments) -> Outcome {
    match &arguments.action {
        Action::Create(arguments) => make(arguments),
        Action::List { place, json } => show(place, *json),
        Action::Revoke { id, place } => {
            let revoked = match place.reach()? {
                Reached::Server(client) => client.delete(&format!("/v1/keys/{}", encode(id)))?,
                Reached::Directory(data) => change(&opened(&data)?, &data, id, |metadata| revoke(metadata, id))?,
            };
            print(format!("{}: revoked", titled(&revoked)));
            Ok(0)
        }
        Action::Rotate { id, grace, place, json } => {
            let issued = match place.reach()? {
                Reached::Server(client) => {
                    let body = json!({ "grace": grace }).to_string().into_bytes();
                    client.post(&format!("/v1/keys/{}/rotate", encode(id)), &[], body)?
                }
                Reached::Directory(data) => {
                    let work = |metadata: &Metadata| rotate(metadata, id, grace.as_deref());
                    change(&opened(&data)?, &data, id, work)?
                }
            };
            tell(&issued, *json);
            Ok(0)
        }
    }
}

fn make(arguments: &CreateArguments) -> Outcome {
    let request = KeyRequest {
        name: arguments.name.clone(),
        namespaces: arguments.namespaces.iter().map(|name| name.trim().to_owned()).collect(),
        scopes: arguments.scopes.clone(),
        expires: arguments.expires.clone(),
        rate: arguments.rate.clone(),
    };
    let issued = match arguments.place.reach()? {
        Reached::Server(client) => client.post("/v1/keys", &[], json!(request).to_string().into_bytes())?,
        Reached::Directory(data) => {
            // The first key may come before the first start of a server.
            RealDisk.create_dir_all(&data).map_err(|error| Failure::failed(format!("{}: {error}", data.display())))?;
            let metadata = Metadata::open(&data.join(METADATA_FILE)).map_err(|error| failure(error.into()))?;
            let id = new_id().map_err(failure)?;
            change(&metadata, &data, &id, |metadata| create(metadata, &id, &request))?
        }
    };
    tell(&issued, arguments.json);
    Ok(0)
}

fn show(place: &Place, json: bool) -> Outcome {
    let all = match place.reach()? {
        Reached::Server(client) => client.get("/v1/keys")?,
        Reached::Directory(data) => json!(list(&opened(&data)?).map_err(failure)?),
    };
    if json {
        print_json(&all);
        return Ok(0);
    }
    let mut keys = all.as_array().cloned().unwrap_or_default();
    if keys.is_empty() {
        print("there are no keys, and none is asked for: who is at the server's machine may do everything");
        return Ok(0);
    }
    for key in &mut keys {
        for member in ["namespaces", "scopes"] {
            key[member] = joined(&key[member]).into();
        }
    }
    print(table_of(&keys, &["id", "name", "namespaces", "scopes", "rate", "state", "expires_at"]));
    Ok(0)
}

/// The key alone to standard output, so that a script can take it; what it is for, beside.
fn tell(issued: &Json, json: bool) {
    if json {
        return print_json(issued);
    }
    let text = |name: &str| issued[name].as_str();
    let mut line = format!(
        "{}: namespaces {}; scopes {}",
        titled(issued),
        joined(&issued["namespaces"]),
        joined(&issued["scopes"])
    );
    for (what, value) in [("rate", text("rate")), ("until", text("expires_at"))] {
        if let Some(value) = value {
            line.push_str(&format!("; {what} {value}"));
        }
    }
    if let Some(until) = text("previous_until") {
        line.push_str(&format!("; its old secret works until {until}"));
    }
    warn(format!("{line}\nit is shown this once:"));
    print(text("key").unwrap_or_default());
}

fn titled(key: &Json) -> String {
    let text = |name: &str| key[name].as_str().unwrap_or_default();
    format!("key {} (`{}`)", text("id"), text("name"))
}

fn joined(names: &Json) -> String {
    let names = names.as_array().into_iter().flatten().filter_map(Json::as_str);
    names.collect::<Vec<_>>().join(",")
}

/// The metadata of a data directory that is there.
fn opened(data: &Path) -> Result<Metadata, Failure> {
    let path = data.join(METADATA_FILE);
    if !path.exists() {
        let data = data.display();
        let mend = "name one with --data, or a server with --url";
        return Err(Failure::misuse(format!("{data} is not the data directory of a server: {mend}")));
    }
    Metadata::open(&path).map_err(|error| failure(error.into()))
}

/// Changes the keys of a data directory, with a line in its audit log.
fn change<T: Serialize>(
    metadata: &Metadata,
    data: &Path,
    id: &str,
    work: impl FnOnce(&Metadata) -> Result<T, ServerError>,
) -> Result<Json, Failure> {
    let outcome = work(metadata);
    let operation = Operation::ChangeKeys.name();
    let event = Event { door: "command", operation, object: id, key: None, name: None, peer: None };
    let code = outcome.as_ref().err().map(ServerError::code);
    if let Err(error) = Audit::of(data).change(&event, code) {
        warn(format!("a line of the audit log could not be written: {error}"));
    }
    Ok(json!(outcome.map_err(failure)?))
}

fn failure(error: ServerError) -> Failure {
    match error.code() {
        "INVALID" | "NOT_FOUND" => Failure::misuse(error.to_string()),
        _ => Failure::failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::AuditQuery;

    #[test]
    fn keys_of_a_directory_are_changed_and_audited() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        assert!(opened(data).is_err());
        let metadata = Metadata::open(&data.join(METADATA_FILE)).unwrap();
        let request = KeyRequest {
            name: "ci".to_owned(),
            namespaces: vec!["*".to_owned()],
            scopes: vec!["admin".to_owned()],
            expires: None,
            rate: None,
        };
        let id = "0123456789ab";
        let issued = change(&metadata, data, id, |metadata| create(metadata, id, &request)).ok().unwrap();
        assert!(issued["key"].as_str().unwrap().starts_with("tw_0123456789ab_"));
        assert_eq!(titled(&issued), "key 0123456789ab (`ci`)");
        let failed = change(&metadata, data, "nobody", |metadata| revoke(metadata, "nobody")).err().unwrap();
        assert_eq!(failed.code, super::super::MISUSE);
        let query = AuditQuery { limit: 10, before: None, denied: false };
        let entries = Audit::of(data).page(&query).unwrap().entries;
        let told: Vec<_> = entries.iter().map(|entry| (&entry["object"], &entry["outcome"])).collect();
        assert_eq!(told, [(&json!("nobody"), &json!("failed")), (&json!(id), &json!("ok"))]);
    }
}
