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
    let unmarked = reading_grants::account_id.eq(from).and(reading_grants::came_with.is_null());
    diesel::update(reading_grants::table.filter(unmarked))
        .set(reading_grants::came_with.eq(from))
        .execute(work.conn)?;
    diesel::update(reading_grants::table.filter(reading_grants::account_id.eq(from)))
        .set(reading_grants::account_id.eq(to))
        .execute(work.conn)?;
    Ok(())
}

/// What came with accounts leaves the account that it came to.
pub fn move_back(work: &mut Work<'_>, came_with: &[AccountId], from: AccountId, to: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(to))?;
    let came = reading_grants::account_id.eq(from).and(reading_grants::came_with.eq_any(came_with).assume_not_null());
    diesel::update(reading_grants::table.filter(came)).set(reading_grants::account_id.eq(to)).execute(work.conn)?;
    let own = reading_grants::account_id.eq(to).and(reading_grants::came_with.eq(to).assume_not_null());
    diesel::update(reading_grants::table.filter(own))
        .set(reading_grants::came_with.eq(None::<AccountId>))
        .execute(work.conn)?;
    Ok(())
}

pub fn delete_all(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    diesel::delete(reading_grants::table.filter(reading_grants::account_id.eq(account))).execute(work.conn)?;
    Ok(())
}
