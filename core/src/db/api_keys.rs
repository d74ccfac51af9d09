//! Queries on `api_keys`.

use diesel::prelude::*;

use super::schema::api_keys;
use super::types::Json;
use super::work::Work;
use crate::api_key::ApiKey;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::ApiKeyId;
use crate::page::Paging;

#[derive(Queryable)]
struct Row {
    id: ApiKeyId,
    name: String,
    scopes: Json,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

impl Row {
    fn read(self) -> Result<ApiKey> {
        Ok(ApiKey {
            id: self.id,
            name: self.name,
            scopes: self.scopes.read()?,
            created_at: self.created_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
        })
    }
}

type Columns =
    (api_keys::id, api_keys::name, api_keys::scopes, api_keys::created_at, api_keys::expires_at, api_keys::revoked_at);
const COLUMNS: Columns =
    (api_keys::id, api_keys::name, api_keys::scopes, api_keys::created_at, api_keys::expires_at, api_keys::revoked_at);

pub fn find_by_hash(work: &mut Work<'_>, hash: &[u8; 32]) -> Result<Option<ApiKey>> {
    let found = api_keys::table
        .filter(api_keys::secret_hash.eq(hash.as_slice()))
        .select(COLUMNS)
        .get_result::<Row>(work.conn)
        .optional()?;
    found.map(Row::read).transpose()
}

/// Those that nobody has revoked, the oldest first.
pub fn list(work: &mut Work<'_>, ask: Paging) -> Result<Vec<ApiKey>> {
    let mut query = api_keys::table
        .filter(api_keys::revoked_at.is_null())
        .order((api_keys::created_at, api_keys::id))
        .select(COLUMNS)
        .limit(ask.rows())
        .into_boxed();
    if let Some(cursor) = ask.after {
        let tied = api_keys::created_at.eq(cursor.at).and(api_keys::id.gt(ApiKeyId(cursor.id)));
        query = query.filter(api_keys::created_at.gt(cursor.at).or(tied));
    }
    query.load::<Row>(work.conn)?.into_iter().map(Row::read).collect()
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
