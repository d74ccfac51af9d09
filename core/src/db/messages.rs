//! Queries on `messages`.

use diesel::dsl::{exists, not};
use diesel::prelude::*;

use super::lock::Lock;
use super::schema::{messages, read_marks};
use super::types::{Json, Moment};
use super::work::Work;
use crate::clock::Timestamp;
use crate::conversation::{Author, Message, Visibility};
use crate::error::{Error, Result};
use crate::html::Html;
use crate::id::{AccountId, ConversationId, IdentityId, MessageId};
use crate::page::Paging;

type Columns = (
    messages::id,
    messages::conversation_id,
    messages::author,
    messages::visibility,
    messages::author_account_id,
    messages::author_identity_id,
    messages::author_name,
    messages::body_text,
    messages::body_html,
    messages::shown_html,
    messages::dmarc,
    messages::attachments,
    messages::sent_at,
    messages::created_at,
    messages::released_at,
);
const COLUMNS: Columns = (
    messages::id,
    messages::conversation_id,
    messages::author,
    messages::visibility,
    messages::author_account_id,
    messages::author_identity_id,
    messages::author_name,
    messages::body_text,
    messages::body_html,
    messages::shown_html,
    messages::dmarc,
    messages::attachments,
    messages::sent_at,
    messages::created_at,
    messages::released_at,
);

diesel::define_sql_function! {
    /// Since when a message can be read: its release, where it was held.
    fn coalesce(released_at: diesel::sql_types::Nullable<Moment>, created_at: Moment) -> Moment;
}

#[derive(Queryable)]
struct Row {
    id: MessageId,
    conversation_id: ConversationId,
    author: Author,
    visibility: Visibility,
    author_account_id: Option<AccountId>,
    author_identity_id: Option<IdentityId>,
    author_name: Option<String>,
    body_text: String,
    body_html: Option<String>,
    shown_html: Option<String>,
    dmarc: Option<String>,
    attachments: Json,
    sent_at: Timestamp,
    created_at: Timestamp,
    released_at: Option<Timestamp>,
}

impl From<Row> for Message {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            conversation_id: row.conversation_id,
            author: row.author,
            visibility: row.visibility,
            author_account_id: row.author_account_id,
            author_identity_id: row.author_identity_id,
            author_name: row.author_name,
            body_text: row.body_text,
            html: row.body_html.map(|pushed| Html { pushed, shown: row.shown_html }),
            dmarc: row.dmarc,
            attachments: row.attachments.0,
            sent_at: row.sent_at,
            created_at: row.created_at,
            released_at: row.released_at,
        }
    }
}

pub fn get(work: &mut Work<'_>, id: MessageId) -> Result<Message> {
    let found = messages::table.filter(messages::id.eq(id)).select(COLUMNS).get_result::<Row>(work.conn).optional()?;
    found.map(Message::from).ok_or_else(|| Error::Broken(format!("message {id} is gone")))
}

/// Those of a conversation that have one of the ids.
pub fn list_of(work: &mut Work<'_>, conversation: ConversationId, ids: &[MessageId]) -> Result<Vec<Message>> {
    let rows = messages::table
        .filter(messages::conversation_id.eq(conversation).and(messages::id.eq_any(ids)))
        .select(COLUMNS)
        .load::<Row>(work.conn)?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// The messages of a conversation, oldest first; all of them, or those of one visibility.
pub fn list(
    work: &mut Work<'_>,
    conversation: ConversationId,
    only: Option<Visibility>,
    ask: Paging,
) -> Result<Vec<Message>> {
    let mut query = messages::table
        .filter(messages::conversation_id.eq(conversation))
        .order((messages::sent_at, messages::id))
        .select(COLUMNS)
        .limit(ask.rows())
        .into_boxed();
    if let Some(visibility) = only {
        query = query.filter(messages::visibility.eq(visibility));
    }
    if let Some(cursor) = ask.after {
        let tied = messages::sent_at.eq(cursor.at).and(messages::id.gt(MessageId(cursor.id)));
        query = query.filter(messages::sent_at.gt(cursor.at).or(tied));
    }
    let rows = query.load::<Row>(work.conn)?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// How many messages of others an account has not read, by conversation; those without any are left out.
pub fn count_unread(
    work: &mut Work<'_>,
    account: AccountId,
    conversations: &[ConversationId],
) -> Result<Vec<(ConversationId, u32)>> {
    let read = read_marks::table
        .filter(read_marks::account_id.eq(account).and(read_marks::conversation_id.eq(messages::conversation_id)))
        .filter(read_marks::read_at.ge(coalesce(messages::released_at, messages::created_at)));
    let counts = messages::table
        .filter(messages::conversation_id.eq_any(conversations).and(messages::visibility.eq(Visibility::Shown)))
        .filter(messages::author_account_id.is_null().or(messages::author_account_id.ne(account).assume_not_null()))
        .filter(not(exists(read)))
        .group_by(messages::conversation_id)
        .select((messages::conversation_id, diesel::dsl::count_star()))
        .load::<(ConversationId, i64)>(work.conn)?;
    Ok(counts.into_iter().map(|(id, count)| (id, u32::try_from(count).unwrap_or(u32::MAX))).collect())
}

pub fn insert(work: &mut Work<'_>, new: &Message) -> Result<()> {
    diesel::insert_into(messages::table)
        .values((
            messages::id.eq(new.id),
            messages::conversation_id.eq(new.conversation_id),
            messages::author.eq(new.author),
            messages::visibility.eq(new.visibility),
            messages::author_account_id.eq(new.author_account_id),
            messages::author_identity_id.eq(new.author_identity_id),
            messages::author_name.eq(&new.author_name),
            messages::body_text.eq(&new.body_text),
            messages::body_html.eq(new.html.as_ref().map(|html| &html.pushed)),
            messages::shown_html.eq(new.html.as_ref().and_then(|html| html.shown.as_ref())),
            messages::dmarc.eq(&new.dmarc),
            messages::attachments.eq(Json(new.attachments.clone())),
            messages::sent_at.eq(new.sent_at),
            messages::created_at.eq(new.created_at),
            messages::released_at.eq(new.released_at),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// A message that was held is shown from now on. Its conversation's account is held, so that nobody else has done it.
pub fn release(work: &mut Work<'_>, id: MessageId) -> Result<()> {
    let now = work.now();
    diesel::update(messages::table.filter(messages::id.eq(id)))
        .set((messages::visibility.eq(Visibility::Shown), messages::released_at.eq(now)))
        .execute(work.conn)?;
    Ok(())
}

/// What an account's owner wrote stays, and no longer says what they are called.
pub fn forget_author(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    diesel::update(messages::table.filter(messages::author_account_id.eq(account)))
        .set(messages::author_name.eq(None::<&str>))
        .execute(work.conn)?;
    Ok(())
}
