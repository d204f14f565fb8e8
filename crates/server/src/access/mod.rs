//! Who may do what: API keys with their scopes, namespaces and rates, and the audit log of what was changed and
//! refused.
//!
//! ```text
//! presented key ─▶ authenticate ─▶ Caller ─▶ authorize (still valid, rate, scope, reach) ─▶ the work ─▶ changed
//!                       └───────── refused ──────┴──────────────▶ audit/ ◀─────────────────────────────────┘
//! ```
//! As long as no key was ever made, none is asked for, and who is at this machine may do everything. The keys are in
//! the metadata database; here they are held in a map that is replaced as a whole, so that a request takes no lock.

mod admin;
mod audit;
mod key;
mod limits;
mod rate;

use crate::error::ServerError;
use crate::session::{Door, Operation};
use crate::settings::Settings;
use crate::ticker::Ticker;
use arc_swap::ArcSwap;
use key::{Key, Keys, SecretHash, Standing, parse};
use limits::KEYS_POLL;
use parking_lot::Mutex;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;
use thalweg_store::Metadata;

pub use admin::{IssuedKey, KeyInfo, KeyRequest, create, list, revoke, rotate};
pub use audit::{Audit, AuditPage, AuditQuery, Event, Position};
pub use key::new_id;
pub use limits::{AUDIT_PAGE, AUDIT_PAGE_DEFAULT};

/// The name of the metadata database in the data directory.
pub const METADATA_FILE: &str = "metadata.sqlite";

/// No version of the metadata.
const UNREAD: i64 = -1;

/// What a key allows. `Admin` includes the others; `Write` does not include `Read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Read,
    Write,
    Admin,
}

impl Scope {
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scope = [Self::Read, Self::Write, Self::Admin].into_iter().find(|scope| scope.name() == text);
        scope.ok_or_else(|| format!("`{text}` is not a scope: write read, write or admin"))
    }
}

/// What an operation touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach<'a> {
    /// Nothing of anybody's: any key will do.
    Anywhere,
    Namespace(&'a str),
    Namespaces(Vec<&'a str>),
    /// All namespaces.
    Everything,
}

/// Who asks: the key that was presented, or nobody in particular where none is asked for.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    held: Option<Held>,
    peer: Option<IpAddr>,
    /// The process in which the instance is embedded needs no key.
    owner: bool,
}

/// A key, and the secret with which it was opened: that one may end before the key does.
#[derive(Clone)]
struct Held {
    key: Arc<Key>,
    secret: SecretHash,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.key, f)
    }
}

impl Caller {
    /// The process in which the instance is embedded.
    pub fn owner() -> Self {
        Self { owner: true, ..Self::default() }
    }

    /// Whether the caller's key is for this namespace.
    pub fn may_reach(&self, namespace: &str) -> bool {
        self.held.as_ref().is_none_or(|held| held.key.reaches(namespace))
    }

    /// Whether the caller's key is for all namespaces.
    pub fn may_reach_everything(&self) -> bool {
        self.held.as_ref().is_none_or(|held| held.key.reaches_everything())
    }
}

/// The keys of an instance and what they allow.
pub struct Access {
    shared: Arc<Shared>,
    /// Follows what commands change in the metadata, and ends the minutes of the audit log.
    _ticker: Ticker,
}

struct Shared {
    metadata: Arc<Metadata>,
    keys: ArcSwap<Keys>,
    /// The version of the metadata that the keys were read at; held while they are read.
    read_at: Mutex<i64>,
    audit: Audit,
    /// Without keys, whoever reaches the server may do everything.
    insecure: bool,
    began: Instant,
}

impl Access {
    pub fn open(settings: &Settings, metadata: Arc<Metadata>) -> Result<Self, ServerError> {
        let shared = Arc::new(Shared {
            metadata,
            keys: ArcSwap::default(),
            read_at: Mutex::default(),
            audit: Audit::of(&settings.data),
            insecure: settings.insecure_listen,
            began: Instant::now(),
        });
        shared.read_keys(&mut shared.read_at.lock())?;
        let followed = shared.clone();
        let mut failing = false;
        let ticker = Ticker::start("thalweg-keys", KEYS_POLL, move || {
            let outcome = followed.follow();
            if let (Err(error), false) = (&outcome, failing) {
                tracing::error!("the API keys cannot be read, and stay as they were: {error}");
            }
            failing = outcome.is_err();
            followed.noted(followed.audit.fold(now_us()));
        })?;
        Ok(Self { shared, _ticker: ticker })
    }

    /// Whether keys are asked for: since one was made for the first time.
    pub fn is_keyed(&self) -> bool {
        self.shared.keys.load().any()
    }

    /// The caller behind the key that was presented.
    pub fn authenticate(
        &self,
        door: Door,
        presented: Option<&str>,
        peer: Option<IpAddr>,
    ) -> Result<Caller, ServerError> {
        let peer = peer.map(|peer| peer.to_canonical());
        let given = presented.and_then(parse);
        let error = match self.shared.open_with(presented.is_some(), given, peer) {
            Ok(held) => return Ok(Caller { held, peer, owner: false }),
            Err(error) => error,
        };
        let key = given.map(|(id, _)| id);
        let event = Event { door: door.name(), operation: "authenticate", object: "", key, name: None, peer };
        self.shared.noted(self.shared.audit.denial(&event, error.code()));
        Err(error)
    }

    /// Whether the caller may do this; a denial is audited.
    pub fn authorize(
        &self,
        door: Door,
        caller: &Caller,
        operation: Operation,
        object: &str,
        reach: &Reach<'_>,
    ) -> Result<(), ServerError> {
        let outcome = self.shared.permit(caller, operation, reach);
        if let Err(error) = &outcome {
            let event = event(door, caller, operation, object);
            self.shared.noted(self.shared.audit.denial(&event, error.code()));
        }
        outcome
    }

    /// Writes a change to the audit log; `error` is the code with which it failed. Blocks until it is durable.
    pub fn changed(
        &self,
        door: Door,
        caller: &Caller,
        operation: Operation,
        object: &str,
        error: Option<&'static str>,
    ) {
        self.shared.noted(self.shared.audit.change(&event(door, caller, operation, object), error));
    }

    /// Changes the keys by one of the functions [`create`], [`revoke`], [`rotate`]; it counts at once.
    pub fn change<T>(&self, work: impl FnOnce(&Metadata) -> Result<T, ServerError>) -> Result<T, ServerError> {
        let done = work(&self.shared.metadata);
        let mut read_at = self.shared.read_at.lock();
        // The version tells of others' changes only: until this one is read, the ticker tries again.
        *read_at = UNREAD;
        let read = self.shared.read_keys(&mut read_at);
        let done = done?;
        read.map(|()| done)
    }

    /// All keys, without their secrets.
    pub fn keys(&self) -> Result<Vec<KeyInfo>, ServerError> {
        list(&self.shared.metadata)
    }

    /// A page of the audit log.
    pub fn audit(&self, query: &AuditQuery) -> Result<AuditPage, ServerError> {
        let page = self.shared.audit.page(query);
        page.map_err(|error| ServerError::Internal(format!("the audit log cannot be read: {error}")))
    }
}

impl Drop for Access {
    /// What was counted of a flood is not lost.
    fn drop(&mut self) {
        self.shared.noted(self.shared.audit.fold(i64::MAX));
    }
}

impl Shared {
    /// What a request is let in with: a key, or nothing where no key is asked for.
    fn open_with(
        &self,
        presented: bool,
        given: Option<(&str, SecretHash)>,
        peer: Option<IpAddr>,
    ) -> Result<Option<Held>, ServerError> {
        let keys = self.keys.load();
        if !keys.any() {
            return match peer.is_none_or(|peer| peer.is_loopback()) || self.insecure {
                true => Ok(None),
                false => Err(no_key()),
            };
        }
        if !presented {
            return Err(no_key());
        }
        let found = given.and_then(|(id, secret)| Some(Held { key: keys.get(id)?.clone(), secret }));
        let standing = found.as_ref().map_or(Standing::Unknown, |held| held.key.standing(&held.secret, now_us()));
        match standing.refusal() {
            None => Ok(found),
            Some(error) => Err(error),
        }
    }

    fn permit(&self, caller: &Caller, operation: Operation, reach: &Reach<'_>) -> Result<(), ServerError> {
        let keys = self.keys.load();
        let Some(held) = &caller.held else {
            // A connection that came in before there were keys needs one now.
            return if keys.any() && !caller.owner { Err(no_key()) } else { Ok(()) };
        };
        // As it stands now: it may have been revoked since the caller came in.
        let Some(key) = keys.get(&held.key.id) else {
            return Standing::Unknown.refusal().map_or(Ok(()), Err);
        };
        if let Some(error) = key.standing(&held.secret, now_us()).refusal() {
            return Err(error);
        }
        if let Some(bucket) = &key.rate {
            let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX / 2);
            bucket.take(now).map_err(|retry_after_ms| {
                let what = format!("{key} may send {} requests a second, and has", bucket.per_second);
                ServerError::RateLimited { what, retry_after_ms }
            })?;
        }
        within(key, operation, reach)
    }

    /// Looks whether another process has changed the keys.
    fn follow(&self) -> Result<(), ServerError> {
        let mut read_at = self.read_at.lock();
        if self.metadata.data_version()? != *read_at {
            self.read_keys(&mut read_at)?;
        }
        Ok(())
    }

    fn read_keys(&self, read_at: &mut i64) -> Result<(), ServerError> {
        // The version first, so that a change made in between is seen the next time.
        let version = self.metadata.data_version()?;
        let keys = Keys::of(&self.metadata.api_keys()?, &self.keys.load());
        self.keys.store(Arc::new(keys));
        *read_at = version;
        Ok(())
    }

    /// A line that could not be written is told in the log of the process: nobody is served worse for it.
    fn noted(&self, outcome: std::io::Result<()>) {
        if let Err(error) = outcome {
            tracing::error!("a line of the audit log could not be written: {error}");
        }
    }
}

/// Whether the key's scopes and namespaces are enough.
fn within(key: &Key, operation: Operation, reach: &Reach<'_>) -> Result<(), ServerError> {
    let (name, scope) = (operation.name(), operation.scope());
    if !key.allows(scope) {
        let (need, have) = (scope.name(), key.scopes_text());
        return Err(ServerError::Forbidden(format!(
            "`{name}` needs the scope {need}, and {key} has {have}: `thalweg keys create --scopes {need}` makes one"
        )));
    }
    let missing = match reach {
        Reach::Anywhere => None,
        Reach::Namespace(namespace) => Some(*namespace).filter(|namespace| !key.reaches(namespace)),
        Reach::Namespaces(all) => all.iter().copied().find(|namespace| !key.reaches(namespace)),
        Reach::Everything => Some(key::EVERY_NAMESPACE).filter(|_| !key.reaches_everything()),
    };
    let Some(missing) = missing else { return Ok(()) };
    let have = key.namespaces_text();
    let what = match missing {
        key::EVERY_NAMESPACE => "touches all namespaces".to_owned(),
        namespace => format!("touches the namespace `{namespace}`"),
    };
    Err(ServerError::Forbidden(format!(
        "`{name}` {what}, and {key} is for {have}: `thalweg keys create --namespaces '{missing}'` makes one"
    )))
}

fn no_key() -> ServerError {
    ServerError::Unauthenticated(
        "no API key was presented, and this server asks for one: over HTTP and gRPC send \
         `Authorization: Bearer <key>`, over the Redis protocol `AUTH <key>`; `thalweg keys create` makes one"
            .to_owned(),
    )
}

fn event<'a>(door: Door, caller: &'a Caller, operation: Operation, object: &'a str) -> Event<'a> {
    let key = caller.held.as_ref().map(|held| &held.key);
    Event {
        door: door.name(),
        operation: operation.name(),
        object,
        key: key.map(|key| key.id.as_str()),
        name: key.map(|key| key.name.as_str()),
        peer: caller.peer,
    }
}

/// Whether a key was ever made in a data directory, be it in use or not.
pub fn any_key(data: &Path) -> Result<bool, ServerError> {
    let path = data.join(METADATA_FILE);
    if !path.exists() {
        return Ok(false);
    }
    Ok(!Metadata::open(&path)?.api_keys()?.is_empty())
}

/// Microseconds since the epoch, by the machine's clock: keys end by it, whatever clock the events have.
fn now_us() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

#[cfg(test)]
mod tests;
