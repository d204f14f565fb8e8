//! Who may do what: API keys and their scopes, their rates, and the audit log.

use crate::error::ServerError;
use crate::session::{Door, Operation};
use std::net::IpAddr;

/// What a key allows. `Admin` includes the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Read,
    Write,
    Admin,
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

/// Who asks.
#[derive(Debug, Clone, Default)]
pub struct Caller {}

impl Caller {
    /// Whether the caller's key is for this namespace.
    pub fn may_reach(&self, _namespace: &str) -> bool {
        true
    }
}

/// The keys of an instance and what they allow.
#[derive(Default)]
pub struct Access {}

impl Access {
    /// The caller behind the key that was presented.
    pub fn authenticate(
        &self,
        _door: Door,
        _presented: Option<&str>,
        _peer: Option<IpAddr>,
    ) -> Result<Caller, ServerError> {
        Ok(Caller::default())
    }

    /// Whether the caller may do this; a denial is audited.
    pub fn authorize(
        &self,
        _door: Door,
        _caller: &Caller,
        _operation: Operation,
        _object: &str,
        _reach: &Reach<'_>,
    ) -> Result<(), ServerError> {
        Ok(())
    }

    /// Writes a change to the audit log; `error` is the code with which it failed.
    pub fn changed(
        &self,
        _door: Door,
        _caller: &Caller,
        _operation: Operation,
        _object: &str,
        _error: Option<&'static str>,
    ) {
    }
}
