//! Queries on `reading_grants`.

use diesel::prelude::*;

use super::lock::Lock;
use super::schema::reading_grants;
use super::work::Work;
use crate::error::Result;
use crate::id::AccountId;

/// What one account was let read, another is from now on.
pub fn move_all(work: &mut Work<'_>, from: AccountId, to: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(to))?;
    diesel::update(reading_grants::table.filter(reading_grants::account_id.eq(from)))
        .set(reading_grants::account_id.eq(to))
        .execute(work.conn)?;
    Ok(())
}

pub fn delete_all(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    diesel::delete(reading_grants::table.filter(reading_grants::account_id.eq(account))).execute(work.conn)?;
    Ok(())
}
