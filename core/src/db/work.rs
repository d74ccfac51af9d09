//! A unit of work: one connection, one single now, and who asked.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use uuid::{Builder, Uuid};

use super::conn::Conn;
use super::lock::{self, Lock};
use super::store::Shared;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::AccountId;
use crate::keyring::Keyring;
use crate::provider::Providers;

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
    held: Vec<i64>,
    /// The number of the next id, once there is one.
    next_id: Cell<Option<u64>>,
}

impl<'c> Work<'c> {
    pub(crate) fn new(conn: &'c mut Conn, shared: &'c Shared, origin: &'c Origin) -> Self {
        Self {
            conn,
            now: shared.clock.now(),
            shared,
            origin,
            posted: false,
            held: Vec::new(),
            next_id: Cell::new(None),
        }
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

    /// The providers that are configured here.
    #[must_use]
    pub fn providers(&self) -> &'c Providers {
        &self.shared.providers
    }

    #[must_use]
    pub const fn origin(&self) -> &'c Origin {
        self.origin
    }

    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        self.shared.chance.bytes()
    }

    /// Takes locks that last until this unit ends, and waits for them. What was read before may have changed.
    pub fn hold(&mut self, locks: &[Lock<'_>]) -> Result<()> {
        let mut wanted: Vec<i64> = locks.iter().map(Lock::number).collect();
        wanted.retain(|number| !self.held.contains(number));
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(());
        }
        if !self.held.is_empty() && wanted.contains(&Lock::House.number()) {
            return Err(Error::Broken("the house was to be held after something else".to_owned()));
        }
        lock::take(self.conn, &wanted)?;
        self.held.append(&mut wanted);
        Ok(())
    }

    /// An account that this unit has made: nobody else can know it yet.
    pub(super) fn hold_new(&mut self, account: AccountId) {
        self.held.push(Lock::Account(account).number());
    }

    #[must_use]
    pub fn holds(&self, lock: Lock<'_>) -> bool {
        self.held.contains(&lock.number())
    }

    /// What changes something asks for its lock: without it, two units could decide by the same facts.
    pub(super) fn must_hold(&self, lock: Lock<'_>) -> Result<()> {
        if self.holds(lock) { Ok(()) } else { Err(Error::Broken(format!("changed without its lock: {}", lock.kind()))) }
    }

    /// A new `UUIDv7` made of this unit's now. Those of one unit are in the order they were made in: after the milliseconds
    /// comes a counter of 12 bits that begins anywhere in its lower half (RFC 9562, section 6.2, method 1).
    #[must_use]
    pub fn new_id<I: From<Uuid>>(&self) -> I {
        let mut random: [u8; 10] = self.random();
        let [first, second, ..] = random;
        let number = self.next_id.get().unwrap_or_else(|| u64::from(u16::from_be_bytes([first, second]) & 0x7ff));
        self.next_id.set(Some(number + 1));
        let millis = u64::try_from(self.now.as_micros() / 1000).unwrap_or(0) + (number >> 12);
        let [.., high, low] = (number & 0xfff).to_be_bytes();
        let [first, second, ..] = &mut random;
        (*first, *second) = (high, low);
        Builder::from_unix_timestamp_millis(millis, &random).into_uuid().into()
    }
}
