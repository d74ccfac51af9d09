//! Queries on `read_marks`.

use diesel::prelude::*;

use super::conn::Both;
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
