//! A unit of work: one connection, one single now, and who asked.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::{Builder, Uuid};

use super::conn::Conn;
use super::store::Shared;
use crate::clock::Timestamp;
use crate::keyring::Keyring;

/// Where a request came from, for the audit trail and the limits.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    pub request_id: Option<Arc<str>>,
    /// The caller's address as the limits count it: IPv6 by its /64.
    pub address: Option<IpAddr>,
    pub user_agent: Option<Arc<str>>,
}

/// What every use case and query is given. Its transaction is the store's business.
pub struct Work<'c> {
    pub(crate) conn: &'c mut Conn,
    now: Timestamp,
    pub(crate) shared: &'c Shared,
    pub(crate) origin: &'c Origin,
    pub(crate) posted: bool,
}

impl<'c> Work<'c> {
    pub(crate) fn new(conn: &'c mut Conn, shared: &'c Shared, origin: &'c Origin) -> Self {
        Self { conn, now: shared.clock.now(), shared, origin, posted: false }
    }

    /// The one instant at which all of this unit happens.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    #[must_use]
    pub fn keyring(&self) -> &'c Keyring {
        &self.shared.keyring
    }

    #[must_use]
    pub const fn origin(&self) -> &'c Origin {
        self.origin
    }

    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        self.shared.chance.bytes()
    }

    /// A new `UUIDv7` made of this unit's now.
    #[must_use]
    pub fn new_id<I: From<Uuid>>(&self) -> I {
        let millis = u64::try_from(self.now.as_micros() / 1000).unwrap_or(0);
        Builder::from_unix_timestamp_millis(millis, &self.random()).into_uuid().into()
    }
}
