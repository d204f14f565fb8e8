//! What a key looks like, and the keys there are, made for looking one up with every request.
//!
//! A key is `tw_<id>_<secret>`: 12 hexadecimal digits that are no secret, and 64 that are. Only the secret's SHA-256 is
//! kept. The secret is 256 random bits, so that no slower hash would make it harder to guess.

use super::Scope;
use super::rate::Bucket;
use crate::error::ServerError;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use thalweg_engine::literal::timestamp_text;
use thalweg_store::ApiKeyRecord;

const PREFIX: &str = "tw_";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
/// For all namespaces.
pub const EVERY_NAMESPACE: &str = "*";

/// SHA-256 of a secret.
pub type SecretHash = [u8; 32];

/// An identifier for a new key.
pub fn new_id() -> Result<String, ServerError> {
    Ok(hexadecimal(&random::<ID_BYTES>()?))
}

/// A key of that id with a new secret, as it is shown once, and the hash that is kept.
pub fn new_key(id: &str) -> Result<(String, SecretHash), ServerError> {
    let secret = hexadecimal(&random::<SECRET_BYTES>()?);
    let hash = hash_of(&secret);
    Ok((format!("{PREFIX}{id}_{secret}"), hash))
}

/// The id of what was presented, and the hash of its secret; none where it has not the form of a key.
pub fn parse(presented: &str) -> Option<(&str, SecretHash)> {
    let (id, secret) = presented.strip_prefix(PREFIX)?.split_once('_')?;
    let is_hexadecimal = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let formed = id.len() == 2 * ID_BYTES && secret.len() == 2 * SECRET_BYTES;
    (formed && is_hexadecimal(id) && is_hexadecimal(secret)).then(|| (id, hash_of(secret)))
}

fn hash_of(secret: &str) -> SecretHash {
    Sha256::digest(secret.as_bytes()).into()
}

fn random<const N: usize>() -> Result<[u8; N], ServerError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| ServerError::Internal(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text takes text");
        text
    })
}

/// A key as requests are held against it.
pub struct Key {
    pub id: String,
    pub name: String,
    pub rate: Option<Arc<Bucket>>,
    scopes: Vec<Scope>,
    /// None: all.
    namespaces: Option<Vec<String>>,
    secret: SecretHash,
    /// The secret before the last rotation, and until when it works, in microseconds since the epoch.
    previous: Option<(SecretHash, i64)>,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
}

/// Whether a secret opens a key, at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Good,
    /// It is not the key's secret.
    Unknown,
    /// It was the key's secret; its grace ended then.
    Replaced(i64),
    Revoked(i64),
    Expired(i64),
}

impl Key {
    /// `before` is the same key as it was known until now: its rate goes on.
    fn of(record: &ApiKeyRecord, before: Option<&Key>) -> Result<Self, String> {
        let hash = |bytes: &[u8]| SecretHash::try_from(bytes).map_err(|_| "its hash is not 32 bytes".to_owned());
        let rate = record.rate_per_second.map(|per_second| {
            let going_on = before.and_then(|key| key.rate.clone()).filter(|bucket| bucket.per_second == per_second);
            going_on.unwrap_or_else(|| Arc::new(Bucket::new(per_second)))
        });
        let every = record.namespaces == EVERY_NAMESPACE;
        Ok(Self {
            id: record.id.clone(),
            name: record.name.clone(),
            rate,
            scopes: record.scopes.split(',').map(str::parse::<Scope>).collect::<Result<Vec<_>, _>>()?,
            namespaces: (!every).then(|| record.namespaces.split(',').map(str::to_owned).collect()),
            secret: hash(&record.secret_hash)?,
            previous: match &record.previous {
                Some((bytes, until)) => Some((hash(bytes)?, *until)),
                None => None,
            },
            expires_at: record.expires_at_us,
            revoked_at: record.revoked_at_us,
        })
    }

    /// How the key stands for whoever has a secret of that hash. That it is revoked or expired is told only to those
    /// who have the right one.
    pub fn standing(&self, hash: &SecretHash, now: i64) -> Standing {
        let equal = |secret: &SecretHash| bool::from(secret.as_slice().ct_eq(hash.as_slice()));
        let is_current = equal(&self.secret);
        let previous = self.previous.as_ref().map(|(secret, until)| (equal(secret), *until));
        match previous {
            _ if is_current => {}
            Some((true, until)) if now < until => {}
            Some((true, until)) => return Standing::Replaced(until),
            _ => return Standing::Unknown,
        }
        match (self.revoked_at, self.expires_at) {
            (Some(at), _) => Standing::Revoked(at),
            (None, Some(at)) if at <= now => Standing::Expired(at),
            _ => Standing::Good,
        }
    }

    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    pub fn reaches(&self, namespace: &str) -> bool {
        self.namespaces.as_ref().is_none_or(|own| own.iter().any(|name| name == namespace))
    }

    pub fn reaches_everything(&self) -> bool {
        self.namespaces.is_none()
    }

    /// The scopes, for people.
    pub fn scopes_text(&self) -> String {
        self.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ")
    }

    /// The namespaces, for people.
    pub fn namespaces_text(&self) -> String {
        self.namespaces.as_ref().map_or_else(|| "all".to_owned(), |own| own.join(", "))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {} (`{}`)", self.id, self.name)
    }
}

impl Standing {
    /// Why a key does not open, for the one who presented it.
    pub fn refusal(self) -> Option<ServerError> {
        let mend = "`thalweg keys create` makes one";
        let why = match self {
            Self::Good => return None,
            Self::Unknown => format!("this is not a key that is known here: check that it is whole; {mend}"),
            Self::Replaced(at) => {
                let at = timestamp_text(at);
                format!("this key was rotated, and its old secret ended at {at}: use the new one")
            }
            Self::Revoked(at) => format!("this key was revoked at {}: use another; {mend}", timestamp_text(at)),
            Self::Expired(at) => format!("this key expired at {}: use another; {mend}", timestamp_text(at)),
        };
        Some(ServerError::Unauthenticated(why))
    }
}

/// All keys there are, by their ids.
#[derive(Default)]
pub struct Keys {
    by_id: HashMap<String, Arc<Key>>,
    /// Of keys that cannot be read too: a door is never opened by damage.
    any: bool,
}

impl Keys {
    pub fn of(records: &[ApiKeyRecord], before: &Self) -> Self {
        let mut by_id = HashMap::with_capacity(records.len());
        for record in records {
            match Key::of(record, before.get(&record.id).map(Arc::as_ref)) {
                Ok(key) => {
                    by_id.insert(record.id.clone(), Arc::new(key));
                }
                Err(why) => tracing::error!(key = record.id, "this API key opens nothing, as it cannot be read: {why}"),
            }
        }
        Self { by_id, any: !records.is_empty() }
    }

    /// Whether any key was ever made.
    pub fn any(&self) -> bool {
        self.any
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Key>> {
        self.by_id.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, hash: SecretHash) -> ApiKeyRecord {
        ApiKeyRecord {
            id: id.to_owned(),
            name: "ci".to_owned(),
            secret_hash: hash.to_vec(),
            namespaces: "a,b".to_owned(),
            scopes: "write".to_owned(),
            rate_per_second: Some(1),
            created_at_us: 0,
            expires_at_us: Some(1000),
            revoked_at_us: None,
            previous: None,
        }
    }

    #[test]
    fn a_key_is_read_as_it_was_made_and_nothing_else_is() {
        let id = new_id().unwrap();
        let (key, hash) = new_key(&id).unwrap();
        assert_eq!(parse(&key), Some((id.as_str(), hash)));
        assert_eq!((id.len(), key.len()), (12, 3 + 12 + 1 + 64));
        assert_ne!(new_key(&id).unwrap().1, hash);
        let upper = key.to_uppercase();
        for bad in ["", "tw_", "tw__", &key[1..], &key[..key.len() - 1], &format!("{key}0"), &upper, "tw_é_x"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_a_key_includes() {
        let key = Key::of(&record("k", [1; 32]), None).unwrap();
        assert!(key.allows(Scope::Write) && !key.allows(Scope::Read) && !key.allows(Scope::Admin));
        assert!(key.reaches("a") && !key.reaches("c") && !key.reaches_everything());
        let all = ApiKeyRecord { scopes: "admin".into(), namespaces: "*".into(), ..record("k", [1; 32]) };
        let all = Key::of(&all, None).unwrap();
        assert!(all.allows(Scope::Read) && all.allows(Scope::Write) && all.reaches("c") && all.reaches_everything());
    }

    #[test]
    fn its_end_is_told_only_to_who_has_the_secret() {
        let (right, wrong) = ([1; 32], [2; 32]);
        let key = Key::of(&record("k", right), None).unwrap();
        assert_eq!(key.standing(&right, 999), Standing::Good);
        assert_eq!(key.standing(&right, 1000), Standing::Expired(1000));
        assert_eq!(key.standing(&wrong, 1000), Standing::Unknown);
        let revoked = Key::of(&ApiKeyRecord { revoked_at_us: Some(5), ..record("k", right) }, None).unwrap();
        assert_eq!(revoked.standing(&right, 1), Standing::Revoked(5));
        assert_eq!(revoked.standing(&wrong, 1), Standing::Unknown);
        // The two differ in the last byte only, which a comparison that ends early would have to reach as well.
        let mut near = right;
        near[31] = 0;
        assert_eq!(key.standing(&near, 1), Standing::Unknown);
    }

    #[test]
    fn the_secret_before_a_rotation_works_for_its_grace() {
        let rotated = ApiKeyRecord { previous: Some((vec![1; 32], 500)), ..record("k", [2; 32]) };
        let key = Key::of(&rotated, None).unwrap();
        assert_eq!(key.standing(&[2; 32], 600), Standing::Good);
        assert_eq!(key.standing(&[1; 32], 499), Standing::Good);
        assert_eq!(key.standing(&[1; 32], 500), Standing::Replaced(500));
        assert_eq!(key.standing(&[3; 32], 1), Standing::Unknown);
    }

    #[test]
    fn a_rate_goes_on_when_the_keys_are_read_again_and_damage_opens_nothing() {
        let first = Keys::of(&[record("k", [1; 32])], &Keys::default());
        let take = |keys: &Keys| keys.get("k").unwrap().rate.as_ref().unwrap().take(7_000_000_000);
        assert_eq!(take(&first), Ok(()));
        let again = Keys::of(&[record("k", [1; 32])], &first);
        assert_eq!(take(&again), Err(1000));
        let damaged = Keys::of(&[ApiKeyRecord { scopes: "everything".into(), ..record("k", [1; 32]) }], &again);
        assert!(damaged.any() && damaged.get("k").is_none());
    }
}
