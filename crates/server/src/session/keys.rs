//! What administrators do through a session: the API keys, and reading the audit log.

use super::{Operation, Session};
use crate::access::{AuditPage, AuditQuery, IssuedKey, KeyInfo, KeyRequest, Reach, create, new_id, revoke, rotate};
use crate::error::ServerError;

impl Session {
    /// All keys, the oldest first, without their secrets.
    pub fn keys(&self) -> Result<Vec<KeyInfo>, ServerError> {
        self.perform(Operation::Keys, "", Reach::Everything, |_| 0, || self.instance.access().keys())
    }

    /// Makes a key; its secret is in the answer, and nowhere else. Blocks.
    pub fn create_key(&self, request: &KeyRequest) -> Result<IssuedKey, ServerError> {
        let id = new_id()?;
        self.change_keys(&id, || self.instance.access().change(|metadata| create(metadata, &id, request)))
    }

    /// Takes a key back for good. Blocks.
    pub fn revoke_key(&self, id: &str) -> Result<KeyInfo, ServerError> {
        self.change_keys(id, || self.instance.access().change(|metadata| revoke(metadata, id)))
    }

    /// Gives a key a new secret; the one before works for `grace` (such as `1h`; none: no longer). Blocks.
    pub fn rotate_key(&self, id: &str, grace: Option<&str>) -> Result<IssuedKey, ServerError> {
        self.change_keys(id, || self.instance.access().change(|metadata| rotate(metadata, id, grace)))
    }

    /// A page of the audit log, the newest lines first. Blocks.
    pub fn audit(&self, query: &AuditQuery) -> Result<AuditPage, ServerError> {
        let size = |page: &AuditPage| page.entries.len() as u64;
        self.perform(Operation::Audit, "", Reach::Everything, size, || self.instance.access().audit(query))
    }

    fn change_keys<T>(&self, id: &str, work: impl FnOnce() -> Result<T, ServerError>) -> Result<T, ServerError> {
        self.perform(Operation::ChangeKeys, id, Reach::Everything, |_| 0, work)
    }
}
