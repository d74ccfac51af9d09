//! Queries on `read_marks`.

use diesel::prelude::*;

use super::conn::Both;
use super::lock::Lock;
use super::schema::read_marks;
use super::work::Work;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::{AccountId, ConversationId};

/// Everything up to an instant has been read.
pub fn put(work: &mut Work<'_>, account: AccountId, conversation: ConversationId, read_at: Timestamp) -> Result<()> {
    let upsert = diesel::insert_into(read_marks::table)
        .values((
            read_marks::account_id.eq(account),
            read_marks::conversation_id.eq(conversation),
            read_marks::read_at.eq(read_at),
        ))
        .on_conflict((read_marks::account_id, read_marks::conversation_id))
        .do_update()
        .set(read_marks::read_at.eq(read_at));
    Both(upsert).execute(work.conn)?;
    Ok(())
}

/// What one account has read, another has; where both have, the other's own mark stays.
pub fn move_all(work: &mut Work<'_>, from: AccountId, to: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(from))?;
    work.must_hold(Lock::Account(to))?;
    let theirs = diesel::alias!(read_marks as theirs);
    let also =
        theirs.filter(theirs.field(read_marks::account_id).eq(to)).select(theirs.field(read_marks::conversation_id));
    let of_both = read_marks::account_id.eq(from).and(read_marks::conversation_id.eq_any(also));
    diesel::delete(read_marks::table.filter(of_both)).execute(work.conn)?;
    diesel::update(read_marks::table.filter(read_marks::account_id.eq(from)))
        .set(read_marks::account_id.eq(to))
        .execute(work.conn)?;
    Ok(())
}

pub fn delete_all(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    diesel::delete(read_marks::table.filter(read_marks::account_id.eq(account))).execute(work.conn)?;
    Ok(())
}
