//! Making, listing, rotating and revoking keys, in the metadata database: for the server and for the command that works
//! on the data directory itself.

use super::key::{EVERY_NAMESPACE, new_key};
use super::limits::{KEY_NAME_BYTES, MAX_KEYS, MAX_NAMESPACES, MAX_RATE, NAMESPACE_BYTES};
use super::{Scope, now_us};
use crate::error::ServerError;
use serde::{Deserialize, Serialize};
use std::fmt;
use thalweg_definition::Duration;
use thalweg_engine::literal::timestamp_text;
use thalweg_store::{ApiKeyRecord, Metadata};

/// The key that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// For people: who or what uses it.
    pub name: String,
    /// `*` alone is all.
    pub namespaces: Vec<String>,
    /// Of `read`, `write` and `admin`.
    pub scopes: Vec<String>,
    /// After how long it ends, such as `90d`; left out, never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Such as `100/s`; left out, without a bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
}

/// A key as it is listed: all but its secret. Times are ISO 8601.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    pub id: String,
    pub name: String,
    pub namespaces: Vec<String>,
    pub scopes: Vec<String>,
    pub rate: Option<String>,
    /// `active`, `expired` or `revoked`.
    pub state: &'static str,
    pub created_at: String,
    pub expires_at: Option<String>,
    pub revoked_at: Option<String>,
    /// Until when the secret before the last rotation works.
    pub previous_until: Option<String>,
}

/// A key with its secret, which is never seen again.
#[derive(Serialize)]
pub struct IssuedKey {
    #[serde(flatten)]
    pub info: KeyInfo,
    pub key: String,
}

impl fmt::Debug for IssuedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedKey").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Makes a key of an id from [`super::new_id`].
pub fn create(metadata: &Metadata, id: &str, request: &KeyRequest) -> Result<IssuedKey, ServerError> {
    let now = now_us();
    if metadata.api_keys()?.len() >= MAX_KEYS {
        return Err(invalid(format!("there are {MAX_KEYS} keys already, and more are not kept: rotate one of them")));
    }
    let (key, hash) = new_key(id)?;
    let record = ApiKeyRecord {
        id: id.to_owned(),
        name: checked_name(&request.name)?,
        secret_hash: hash.to_vec(),
        namespaces: checked_namespaces(&request.namespaces)?,
        scopes: checked_scopes(&request.scopes)?,
        rate_per_second: request.rate.as_deref().map(rate).transpose()?,
        created_at_us: now,
        expires_at_us: request.expires.as_deref().map(|text| expiry(text, now)).transpose()?,
        revoked_at_us: None,
        previous: None,
    };
    metadata.add_api_key(&record)?;
    Ok(IssuedKey { info: info(record, now), key })
}

/// All keys, the oldest first.
pub fn list(metadata: &Metadata) -> Result<Vec<KeyInfo>, ServerError> {
    let now = now_us();
    Ok(metadata.api_keys()?.into_iter().map(|record| info(record, now)).collect())
}

/// Takes a key back for good. One that had been taken back stays so.
pub fn revoke(metadata: &Metadata, id: &str) -> Result<KeyInfo, ServerError> {
    metadata.revoke_api_key(id, now_us())?;
    Ok(info(found(metadata, id)?, now_us()))
}

/// Gives a key a new secret; the one it has works for as long as `grace` says (left out: no longer).
pub fn rotate(metadata: &Metadata, id: &str, grace: Option<&str>) -> Result<IssuedKey, ServerError> {
    let now = now_us();
    let grace = grace.map_or(Ok(Duration::default()), str::parse::<Duration>);
    let grace = grace.map_err(|why| invalid(format!("`grace`: {why}")))?;
    let before = info(found(metadata, id)?, now);
    let (key, hash) = new_key(id)?;
    if before.state != "active" || !metadata.rotate_api_key(id, &hash, now + grace.micros())? {
        let (name, state) = (before.name, if before.state == "active" { "revoked" } else { before.state });
        return Err(invalid(format!("key {id} (`{name}`) is {state}, and no secret opens it again: create another")));
    }
    Ok(IssuedKey { info: info(found(metadata, id)?, now), key })
}

fn found(metadata: &Metadata, id: &str) -> Result<ApiKeyRecord, ServerError> {
    let found = metadata.api_key(id)?;
    found.ok_or_else(|| ServerError::NotFound(format!("there is no key `{id}`: `thalweg keys list` shows the ids")))
}

fn info(record: ApiKeyRecord, now: i64) -> KeyInfo {
    let list = |text: &str| text.split(',').map(str::to_owned).collect();
    KeyInfo {
        namespaces: list(&record.namespaces),
        scopes: list(&record.scopes),
        rate: record.rate_per_second.map(|rate| format!("{rate}/s")),
        state: match (record.revoked_at_us, record.expires_at_us) {
            (Some(_), _) => "revoked",
            (None, Some(at)) if at <= now => "expired",
            _ => "active",
        },
        created_at: timestamp_text(record.created_at_us),
        expires_at: record.expires_at_us.map(timestamp_text),
        revoked_at: record.revoked_at_us.map(timestamp_text),
        previous_until: record.previous.map(|(_, until)| timestamp_text(until)),
        id: record.id,
        name: record.name,
    }
}

fn checked_name(name: &str) -> Result<String, ServerError> {
    let name = name.trim();
    if name.is_empty() || name.len() > KEY_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(invalid(format!(
            "a key's name is one line of 1 to {KEY_NAME_BYTES} bytes: say who or what uses it"
        )));
    }
    Ok(name.to_owned())
}

fn checked_namespaces(namespaces: &[String]) -> Result<String, ServerError> {
    let mend = "write `--namespaces payments,users`, or `--namespaces '*'` for all";
    if namespaces.is_empty() || namespaces.len() > MAX_NAMESPACES {
        return Err(invalid(format!("a key is for 1 to {MAX_NAMESPACES} namespaces: {mend}")));
    }
    if namespaces == [EVERY_NAMESPACE] {
        return Ok(EVERY_NAMESPACE.to_owned());
    }
    let is_name = |name: &String| {
        let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        !name.is_empty() && name.len() <= NAMESPACE_BYTES && letters
    };
    if let Some(bad) = namespaces.iter().find(|name| !is_name(name)) {
        return Err(invalid(format!("`{bad}` is not the name of a namespace: {mend}")));
    }
    Ok(once(namespaces.iter().map(String::as_str)))
}

fn checked_scopes(scopes: &[String]) -> Result<String, ServerError> {
    if scopes.is_empty() {
        return Err(invalid("a key without scopes opens nothing: write `--scopes read,write`"));
    }
    let scopes = scopes.iter().map(|scope| scope.trim().parse::<Scope>()).collect::<Result<Vec<_>, _>>();
    Ok(once(scopes.map_err(invalid)?.into_iter().map(Scope::name)))
}

/// Each once, in the order of first sight, separated by commas.
fn once<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen.join(",")
}

/// `100/s`, or `100`.
fn rate(text: &str) -> Result<u32, ServerError> {
    let number = text.trim().strip_suffix("/s").unwrap_or(text).trim();
    match number.parse::<u32>() {
        Ok(rate) if (1..=MAX_RATE).contains(&rate) => Ok(rate),
        _ => Err(invalid(format!("`{text}` is not a rate: write requests a second, from 1/s to {MAX_RATE}/s"))),
    }
}

fn expiry(text: &str, now: i64) -> Result<i64, ServerError> {
    let length = text.parse::<Duration>().map_err(|why| invalid(format!("`expires`: {why}")))?;
    match length.micros() {
        0 => Err(invalid("`expires`: a key that has ended opens nothing: write a longer time, such as 90d")),
        length => Ok(now + length),
    }
}

fn invalid(why: impl Into<String>) -> ServerError {
    ServerError::Invalid(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> KeyRequest {
        KeyRequest {
            name: " ci ".to_owned(),
            namespaces: vec!["a".to_owned(), "b".to_owned(), "a".to_owned()],
            scopes: vec!["read".to_owned(), "write".to_owned()],
            expires: Some("90d".to_owned()),
            rate: Some("100/s".to_owned()),
        }
    }

    #[test]
    fn a_key_is_made_as_it_was_asked_for() {
        let metadata = Metadata::in_memory().unwrap();
        let issued = create(&metadata, "0123456789ab", &request()).unwrap();
        let info = &issued.info;
        assert_eq!((info.name.as_str(), info.state, info.rate.as_deref()), ("ci", "active", Some("100/s")));
        assert_eq!((info.namespaces.join(","), info.scopes.join(",")), ("a,b".to_owned(), "read,write".to_owned()));
        let kept = metadata.api_key("0123456789ab").unwrap().unwrap();
        assert_eq!(kept.expires_at_us.unwrap() - kept.created_at_us, 90 * 24 * 3600 * 1_000_000);
        let secret = issued.key.rsplit('_').next().unwrap();
        assert!(!serde_json::to_string(&list(&metadata).unwrap()).unwrap().contains(secret));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_mend() {
        let metadata = Metadata::in_memory().unwrap();
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (bad, part) in [
            (KeyRequest { name: " ".into(), ..request() }, "who or what uses it"),
            (KeyRequest { namespaces: list(&[]), ..request() }, "--namespaces '*'"),
            (KeyRequest { namespaces: list(&["a b"]), ..request() }, "`a b`"),
            (KeyRequest { namespaces: list(&["a", "*"]), ..request() }, "`*`"),
            (KeyRequest { scopes: list(&[]), ..request() }, "--scopes read,write"),
            (KeyRequest { scopes: list(&["reed"]), ..request() }, "`reed`"),
            (KeyRequest { rate: Some("0/s".into()), ..request() }, "1/s"),
            (KeyRequest { rate: Some("5/m".into()), ..request() }, "requests a second"),
            (KeyRequest { expires: Some("0s".into()), ..request() }, "90d"),
            (KeyRequest { expires: Some("soon".into()), ..request() }, "`soon`"),
        ] {
            let error = create(&metadata, "0123456789ab", &bad).unwrap_err();
            assert_eq!(error.code(), "INVALID");
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(metadata.api_keys().unwrap().is_empty());
    }

    #[test]
    fn a_revoked_key_stays_so_and_is_not_rotated() {
        let metadata = Metadata::in_memory().unwrap();
        create(&metadata, "0123456789ab", &request()).unwrap();
        let rotated = rotate(&metadata, "0123456789ab", Some("1h")).unwrap();
        assert!(rotated.info.previous_until.is_some());
        let revoked = revoke(&metadata, "0123456789ab").unwrap();
        assert_eq!(revoke(&metadata, "0123456789ab").unwrap(), revoked);
        let error = rotate(&metadata, "0123456789ab", None).unwrap_err();
        assert!(error.to_string().contains("is revoked"), "{error}");
        assert_eq!(revoke(&metadata, "nobody").unwrap_err().code(), "NOT_FOUND");
    }
}
