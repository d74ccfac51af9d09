//! What a unit of work holds until it ends, so that what it has looked at stays as it is while it decides by it.
//!
//! On `PostgreSQL` these are advisory locks of the transaction, and a statement sees everything that was committed
//! by whoever held them before (READ COMMITTED). `SQLite` has one writer, and nobody to wait for. On both a unit
//! remembers what it holds, and a query that changes something asks for it: a forgotten lock is an error in every
//! test, and not a race in one installation.
//!
//! They are taken in the order of [`Lock`]'s variants, and those of one call in the order of their numbers, so
//! that two units do not wait for each other. What is counted of an account alone is counted by who holds the account.
//! To take the house after anything else is an error.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{Array, BigInt};

use super::conn::Conn;
use crate::error::Result;
use crate::id::AccountId;
use crate::idempotency::IdempotencyKey;
use crate::identity::IdentityKey;
use crate::keyring::sha256;

/// One thing that one unit of work at a time may look at and change.
#[derive(Debug, Clone, Copy)]
pub enum Lock<'a> {
    /// The row of settings, the signing keys and the custom fields.
    House,
    /// A counter of the limits, by its key.
    Counter(&'a [u8]),
    Idempotency(&'a IdempotencyKey),
    /// A push, by its `(source, external_id)`.
    Interaction(&'a str, &'a str),
    /// The conversation that a desk calls by this `(source, external_id)`.
    Thread(&'a str, &'a str),
    /// Whether an identity exists, and whose it is; of an address also what was mailed to it.
    Identity(&'a IdentityKey),
    /// An account with all that hangs on it: its state, credentials, proofs, sessions and conversations.
    Account(AccountId),
}

impl Lock<'_> {
    /// The number `PostgreSQL` knows it by. Two that share one would only wait for each other without need.
    pub(super) fn number(&self) -> i64 {
        let parts: &[&[u8]] = match self {
            Self::House => &[],
            Self::Counter(key) => &[*key],
            Self::Idempotency(key) => &[key.caller.as_bytes(), key.route.as_bytes(), key.key.as_bytes()],
            Self::Interaction(source, id) | Self::Thread(source, id) => &[source.as_bytes(), id.as_bytes()],
            Self::Identity(key) => &[key.kind.as_str().as_bytes(), key.namespace.as_bytes(), key.subject.as_bytes()],
            Self::Account(id) => &[id.0.as_bytes()],
        };
        let mut name = format!("doorstep {}", self.kind()).into_bytes();
        for part in parts {
            name.push(0);
            name.extend(part.len().to_be_bytes());
            name.extend_from_slice(part);
        }
        let hash = sha256(&name);
        hash.first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
    }

    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::House => "house",
            Self::Counter(_) => "counter",
            Self::Idempotency(_) => "idempotency key",
            Self::Interaction(..) => "interaction",
            Self::Thread(..) => "thread",
            Self::Identity(_) => "identity",
            Self::Account(_) => "account",
        }
    }
}

/// Waits for locks and takes them, in the order given.
pub(super) fn take(conn: &mut Conn, numbers: &[i64]) -> Result<()> {
    if let Conn::Pg(conn) = conn {
        TakeLocks { numbers: numbers.to_vec() }.execute(conn)?;
    }
    Ok(())
}

/// A query of its own, so that diesel keeps it prepared.
#[derive(Debug, QueryId)]
struct TakeLocks {
    numbers: Vec<i64>,
}

impl Query for TakeLocks {
    type SqlType = BigInt;
}

impl RunQueryDsl<PgConnection> for TakeLocks {}

impl QueryFragment<Pg> for TakeLocks {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT pg_advisory_xact_lock(number) FROM unnest(");
        out.push_bind_param::<Array<BigInt>, _>(&self.numbers)?;
        out.push_sql("::bigint[]) AS number");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::email::EmailAddress;

    #[test]
    fn every_lock_has_a_number_of_its_own() {
        let ada = IdentityKey::email(&EmailAddress::parse("ada@example.org").unwrap());
        let id = AccountId(uuid::Uuid::from_u128(1));
        let numbers = [
            Lock::House,
            Lock::Counter(b"a"),
            Lock::Interaction("a", "bc"),
            Lock::Interaction("ab", "c"),
            Lock::Thread("a", "bc"),
            Lock::Identity(&ada),
            Lock::Account(id),
        ]
        .map(|lock: Lock<'_>| lock.number());
        let mut distinct = numbers.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), numbers.len());
        assert_eq!(Lock::Account(id).number(), Lock::Account(id).number());
    }
}
