//! Queries on `api_keys`.

use diesel::prelude::*;

use super::schema::api_keys;
use super::types::Json;
use super::work::Work;
use crate::api_key::ApiKey;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::ApiKeyId;

#[derive(Queryable)]
struct Row {
    id: ApiKeyId,
    name: String,
    scopes: Json,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

pub fn find_by_hash(work: &mut Work<'_>, hash: &[u8; 32]) -> Result<Option<ApiKey>> {
    let found = api_keys::table
        .filter(api_keys::secret_hash.eq(hash.as_slice()))
        .select((
            api_keys::id,
            api_keys::name,
            api_keys::scopes,
            api_keys::created_at,
            api_keys::expires_at,
            api_keys::revoked_at,
        ))
        .get_result::<Row>(work.conn)
        .optional()?;
    let key = |row: Row| {
        Ok(ApiKey {
            id: row.id,
            name: row.name,
            scopes: row.scopes.read()?,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
        })
    };
    found.map(key).transpose()
}

pub fn insert(work: &mut Work<'_>, key: &ApiKey, hash: &[u8; 32]) -> Result<()> {
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(key.id),
            api_keys::name.eq(&key.name),
            api_keys::secret_hash.eq(hash.as_slice()),
            api_keys::scopes.eq(Json::of(&key.scopes)?),
            api_keys::created_at.eq(key.created_at),
            api_keys::expires_at.eq(key.expires_at),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// Revokes a key at once.
pub fn revoke(work: &mut Work<'_>, id: ApiKeyId) -> Result<bool> {
    let now = work.now();
    let live = api_keys::id.eq(id).and(api_keys::revoked_at.is_null());
    let revoked = diesel::update(api_keys::table.filter(live)).set(api_keys::revoked_at.eq(now)).execute(work.conn)?;
    Ok(revoked == 1)
}

/// Whether there is any key at all.
pub fn exist(work: &mut Work<'_>) -> Result<bool> {
    Ok(diesel::select(diesel::dsl::exists(api_keys::table.select(api_keys::id))).get_result(work.conn)?)
}
