//! Queries on `signing_keys`.

use diesel::prelude::*;

use super::lock::Lock;
use super::schema::signing_keys;
use super::types::Json;
use super::work::Work;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::signing_key::StoredKey;

#[derive(Queryable)]
struct Row {
    kid: String,
    sealed_private: Vec<u8>,
    public_jwk: Json,
    created_at: Timestamp,
    signs_from: Timestamp,
    verifies_until: Option<Timestamp>,
}

/// The keys that verify now, the oldest first.
pub fn list_usable(work: &mut Work<'_>) -> Result<Vec<StoredKey>> {
    let now = work.now();
    let rows = signing_keys::table
        .filter(signing_keys::verifies_until.is_null().or(signing_keys::verifies_until.gt(now)))
        .order((signing_keys::signs_from, signing_keys::kid))
        .select((
            signing_keys::kid,
            signing_keys::sealed_private,
            signing_keys::public_jwk,
            signing_keys::created_at,
            signing_keys::signs_from,
            signing_keys::verifies_until,
        ))
        .load::<Row>(work.conn)?;
    let key = |row: Row| StoredKey {
        kid: row.kid,
        sealed_private: row.sealed_private,
        public_jwk: row.public_jwk.0,
        created_at: row.created_at,
        signs_from: row.signs_from,
        verifies_until: row.verifies_until,
    };
    Ok(rows.into_iter().map(key).collect())
}

pub fn insert(work: &mut Work<'_>, key: &StoredKey) -> Result<()> {
    work.must_hold(Lock::House)?;
    diesel::insert_into(signing_keys::table)
        .values((
            signing_keys::kid.eq(&key.kid),
            signing_keys::algorithm.eq("EdDSA"),
            signing_keys::sealed_private.eq(&key.sealed_private),
            signing_keys::public_jwk.eq(Json(key.public_jwk.clone())),
            signing_keys::created_at.eq(key.created_at),
            signing_keys::signs_from.eq(key.signs_from),
            signing_keys::verifies_until.eq(key.verifies_until),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// Sets the end of every key that has none.
pub fn retire_all(work: &mut Work<'_>, verifies_until: Timestamp) -> Result<()> {
    work.must_hold(Lock::House)?;
    diesel::update(signing_keys::table.filter(signing_keys::verifies_until.is_null()))
        .set(signing_keys::verifies_until.eq(verifies_until))
        .execute(work.conn)?;
    Ok(())
}

/// Deletes keys that no live token can name.
pub fn delete_retired(work: &mut Work<'_>) -> Result<usize> {
    let now = work.now();
    Ok(diesel::delete(signing_keys::table.filter(signing_keys::verifies_until.lt(now))).execute(work.conn)?)
}
