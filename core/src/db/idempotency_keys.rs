//! Queries on `idempotency_keys`.

use diesel::prelude::*;
use uuid::Uuid;

use super::lock::Lock;
use super::schema::idempotency_keys;
use super::work::Work;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::RowId;
use crate::idempotency::IdempotencyKey;
use crate::limits;

/// What was made with a key, and of what request, while it is remembered.
pub fn find(work: &mut Work<'_>, key: &IdempotencyKey) -> Result<Option<(Vec<u8>, Uuid)>> {
    let since = work.now() - limits::IDEMPOTENCY_LIFE;
    let theirs = idempotency_keys::caller
        .eq(&key.caller)
        .and(idempotency_keys::route.eq(key.route))
        .and(idempotency_keys::key.eq(&key.key));
    diesel::delete(idempotency_keys::table.filter(theirs).filter(idempotency_keys::created_at.lt(since)))
        .execute(work.conn)?;
    let theirs = idempotency_keys::caller
        .eq(&key.caller)
        .and(idempotency_keys::route.eq(key.route))
        .and(idempotency_keys::key.eq(&key.key));
    let found = idempotency_keys::table
        .filter(theirs)
        .select((idempotency_keys::fingerprint, idempotency_keys::result_id))
        .get_result::<(Vec<u8>, RowId)>(work.conn)
        .optional()?;
    Ok(found.map(|(fingerprint, id)| (fingerprint, id.0)))
}

pub fn insert(work: &mut Work<'_>, key: &IdempotencyKey, result: Uuid) -> Result<()> {
    work.must_hold(Lock::Idempotency(key))?;
    let now = work.now();
    diesel::insert_into(idempotency_keys::table)
        .values((
            idempotency_keys::caller.eq(&key.caller),
            idempotency_keys::route.eq(key.route),
            idempotency_keys::key.eq(&key.key),
            idempotency_keys::fingerprint.eq(key.fingerprint.as_slice()),
            idempotency_keys::result_id.eq(RowId(result)),
            idempotency_keys::created_at.eq(now),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// Deletes keys that are not remembered any more.
pub fn delete_before(work: &mut Work<'_>, before: Timestamp) -> Result<usize> {
    Ok(diesel::delete(idempotency_keys::table.filter(idempotency_keys::created_at.lt(before))).execute(work.conn)?)
}

/// Forgets all that a caller has sent.
pub fn delete_of(work: &mut Work<'_>, caller: &str) -> Result<()> {
    diesel::delete(idempotency_keys::table.filter(idempotency_keys::caller.eq(caller))).execute(work.conn)?;
    Ok(())
}
