//! What becomes of the accounts of somebody who leaves.

use diesel::prelude::*;

use super::lock::Lock;
use super::schema::accounts;
use super::work::Work;
use crate::account::{AccountState, Role};
use crate::error::Result;
use crate::id::AccountId;

/// Accounts that have become part of one, by way of others too.
pub fn list_merged_into(work: &mut Work<'_>, id: AccountId) -> Result<Vec<AccountId>> {
    let (mut found, mut edge) = (Vec::new(), vec![id]);
    while !edge.is_empty() {
        let into = accounts::merged_into.eq_any(&edge);
        edge = accounts::table.filter(into).select(accounts::id).load::<AccountId>(work.conn)?;
        found.extend(&edge);
    }
    Ok(found)
}

/// Nothing is left of what a person is called and where they are.
pub fn forget(work: &mut Work<'_>, id: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(id))?;
    let (now, nothing) = (work.now(), None::<&str>);
    diesel::update(accounts::table.filter(accounts::id.eq(id)))
        .set((
            accounts::full_name.eq(nothing),
            accounts::locale.eq(nothing),
            accounts::time_zone.eq(nothing),
            accounts::phone.eq(nothing),
            accounts::avatar_url.eq(nothing),
            accounts::updated_at.eq(now),
            accounts::version.eq(accounts::version + 1),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// Its owner has deleted it.
pub fn mark_deleted(work: &mut Work<'_>, id: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(id))?;
    diesel::update(accounts::table.filter(accounts::id.eq(id)))
        .set((accounts::state.eq(AccountState::Deleted), accounts::role.eq(Role::Customer)))
        .execute(work.conn)?;
    Ok(())
}
