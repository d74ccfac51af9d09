//! Queries on `merge_suggestions`.

use diesel::prelude::*;

use super::conn::Both;
use super::lock::Lock;
use super::schema::merge_suggestions;
use super::work::Work;
use crate::error::Result;
use crate::id::{AccountId, RowId};

/// Notes that two accounts may be one person; once, whichever way round.
pub fn insert(work: &mut Work<'_>, one: AccountId, other: AccountId, reason: &str) -> Result<()> {
    let (id, now) = (work.new_id::<RowId>(), work.now());
    let insert = diesel::insert_into(merge_suggestions::table)
        .values((
            merge_suggestions::id.eq(id),
            merge_suggestions::account_id.eq(one.min(other)),
            merge_suggestions::other_id.eq(one.max(other)),
            merge_suggestions::reason.eq(reason.to_owned()),
            merge_suggestions::created_at.eq(now),
        ))
        .on_conflict((merge_suggestions::account_id, merge_suggestions::other_id))
        .do_nothing();
    Both(insert).execute(work.conn)?;
    Ok(())
}

/// Deletes all that name an account.
pub fn delete_all(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    let named = merge_suggestions::account_id.eq(account).or(merge_suggestions::other_id.eq(account));
    diesel::delete(merge_suggestions::table.filter(named)).execute(work.conn)?;
    Ok(())
}
