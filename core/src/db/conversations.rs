//! Queries on `conversations`.

use diesel::dsl::{exists, not};
use diesel::prelude::*;

use super::dialect::{Contains, Spelled};
use super::lock::Lock;
use super::messages::coalesce;
use super::schema::{conversations, interactions, messages, read_marks};
use super::work::Work;
use crate::clock::Timestamp;
use crate::conversation::{Channel, Conversation, Filter, Status, Visibility};
use crate::error::{Error, Result};
use crate::id::{AccountId, ConversationId, IdentityId};
use crate::page::Paging;
use crate::rating::{Given, Rating, Score};

type Columns = (
    conversations::id,
    conversations::account_id,
    conversations::requester_id,
    conversations::started_by,
    conversations::channel,
    conversations::source,
    conversations::external_id,
    conversations::follow_up_of,
    conversations::subject,
    conversations::status,
    conversations::created_at,
    conversations::updated_at,
    conversations::shown_at,
    conversations::rating_offered_at,
    conversations::rating_score,
    conversations::rating_comment,
    conversations::rated_at,
);
const COLUMNS: Columns = (
    conversations::id,
    conversations::account_id,
    conversations::requester_id,
    conversations::started_by,
    conversations::channel,
    conversations::source,
    conversations::external_id,
    conversations::follow_up_of,
    conversations::subject,
    conversations::status,
    conversations::created_at,
    conversations::updated_at,
    conversations::shown_at,
    conversations::rating_offered_at,
    conversations::rating_score,
    conversations::rating_comment,
    conversations::rated_at,
);

#[derive(Queryable)]
struct Row {
    id: ConversationId,
    account_id: AccountId,
    requester_id: Option<IdentityId>,
    started_by: Option<AccountId>,
    channel: Channel,
    source: Option<String>,
    external_id: Option<String>,
    follow_up_of: Option<ConversationId>,
    subject: String,
    status: Status,
    created_at: Timestamp,
    updated_at: Timestamp,
    shown_at: Option<Timestamp>,
    rating_offered_at: Option<Timestamp>,
    rating_score: Option<i16>,
    rating_comment: Option<String>,
    rated_at: Option<Timestamp>,
}

impl From<Row> for Conversation {
    fn from(row: Row) -> Self {
        let given = row.rating_score.and_then(Score::new).zip(row.rated_at);
        let given = given.map(|(score, at)| Given { score, comment: row.rating_comment, at });
        Self {
            id: row.id,
            account_id: row.account_id,
            requester_id: row.requester_id,
            started_by: row.started_by,
            channel: row.channel,
            source: row.source,
            external_id: row.external_id,
            follow_up_of: row.follow_up_of,
            subject: row.subject,
            status: row.status,
            created_at: row.created_at,
            updated_at: row.updated_at,
            shown_at: row.shown_at,
            rating: Rating { offered_at: row.rating_offered_at, given },
        }
    }
}

pub fn find(work: &mut Work<'_>, id: ConversationId) -> Result<Option<Conversation>> {
    let found = conversations::table
        .filter(conversations::id.eq(id))
        .select(COLUMNS)
        .get_result::<Row>(work.conn)
        .optional()?;
    Ok(found.map(Conversation::from))
}

pub fn get(work: &mut Work<'_>, id: ConversationId) -> Result<Conversation> {
    find(work, id)?.ok_or_else(|| Error::Broken(format!("conversation {id} is gone")))
}

pub fn find_external(work: &mut Work<'_>, source: &str, external_id: &str) -> Result<Option<Conversation>> {
    let found = conversations::table
        .filter(conversations::source.eq(source).and(conversations::external_id.eq(external_id)))
        .select(COLUMNS)
        .get_result::<Row>(work.conn)
        .optional()?;
    Ok(found.map(Conversation::from))
}

/// Whether an account has anything that its owner may see.
pub fn any_shown(work: &mut Work<'_>, account: AccountId) -> Result<bool> {
    let shown =
        conversations::table.filter(conversations::account_id.eq(account).and(conversations::shown_at.is_not_null()));
    Ok(diesel::select(exists(shown)).get_result(work.conn)?)
}

/// What an account may see, the latest first.
pub fn list_shown(work: &mut Work<'_>, account: AccountId, filter: &Filter, ask: Paging) -> Result<Vec<Conversation>> {
    let mut query = conversations::table
        .filter(conversations::account_id.eq(account).and(conversations::shown_at.is_not_null()))
        .order((conversations::shown_at.desc(), conversations::id.desc()))
        .select(COLUMNS)
        .limit(ask.rows())
        .into_boxed();
    if let Some(cursor) = ask.after {
        let id = ConversationId(cursor.id);
        let before = conversations::shown_at.lt(cursor.at);
        let tied = conversations::shown_at.eq(cursor.at).and(conversations::id.lt(id));
        query = query.filter(before.or(tied).assume_not_null());
    }
    if let Some(status) = filter.status {
        query = query.filter(conversations::status.eq(status));
    }
    if let Some(channel) = filter.channel {
        query = query.filter(conversations::channel.eq(channel));
    }
    for word in filter.text.iter() {
        let said = messages::table
            .filter(messages::conversation_id.eq(conversations::id).and(messages::visibility.eq(Visibility::Shown)))
            .filter(Contains::new(messages::body_text, word));
        query = query.filter(Contains::new(conversations::subject, word).or(exists(said)));
    }
    if filter.unread {
        let read = read_marks::table
            .filter(read_marks::account_id.eq(account).and(read_marks::conversation_id.eq(conversations::id)))
            .filter(read_marks::read_at.ge(coalesce(messages::released_at, messages::created_at)));
        let unread = messages::table
            .filter(messages::conversation_id.eq(conversations::id).and(messages::visibility.eq(Visibility::Shown)))
            .filter(messages::author_account_id.is_null().or(messages::author_account_id.ne(account).assume_not_null()))
            .filter(not(exists(read)));
        query = query.filter(exists(unread));
    }
    let rows = query.load::<Row>(work.conn)?;
    Ok(rows.into_iter().map(Conversation::from).collect())
}

const HELD: Spelled = Spelled(Visibility::Held.as_str());

/// What has changed, the oldest change first; all, or only those with something held, or without.
pub fn list_updated(
    work: &mut Work<'_>,
    since: Option<Timestamp>,
    held: Option<bool>,
    ask: Paging,
) -> Result<Vec<Conversation>> {
    let mut query = conversations::table
        .order((conversations::updated_at, conversations::id))
        .select(COLUMNS)
        .limit(ask.rows())
        .into_boxed();
    if let Some(since) = since {
        query = query.filter(conversations::updated_at.ge(since));
    }
    let waiting = || messages::table.filter(messages::visibility.eq(HELD)).select(messages::conversation_id);
    query = match held {
        Some(true) => query.filter(conversations::id.eq_any(waiting())),
        Some(false) => query.filter(conversations::id.ne_all(waiting())),
        None => query,
    };
    if let Some(cursor) = ask.after {
        let id = ConversationId(cursor.id);
        let tied = conversations::updated_at.eq(cursor.at).and(conversations::id.gt(id));
        query = query.filter(conversations::updated_at.gt(cursor.at).or(tied));
    }
    let rows = query.load::<Row>(work.conn)?;
    Ok(rows.into_iter().map(Conversation::from).collect())
}

pub fn insert(work: &mut Work<'_>, new: &Conversation) -> Result<()> {
    work.must_hold(Lock::Account(new.account_id))?;
    if let (Some(source), Some(external_id)) = (&new.source, &new.external_id) {
        work.must_hold(Lock::Thread(source, external_id))?;
    }
    diesel::insert_into(conversations::table)
        .values((
            conversations::id.eq(new.id),
            conversations::account_id.eq(new.account_id),
            conversations::requester_id.eq(new.requester_id),
            conversations::started_by.eq(new.started_by),
            conversations::channel.eq(new.channel),
            conversations::source.eq(&new.source),
            conversations::external_id.eq(&new.external_id),
            conversations::follow_up_of.eq(new.follow_up_of),
            conversations::subject.eq(&new.subject),
            conversations::status.eq(new.status),
            conversations::created_at.eq(new.created_at),
            conversations::updated_at.eq(new.updated_at),
            conversations::shown_at.eq(new.shown_at),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// Something happened in it: a message that is shown, another status, or just something.
pub fn touch(
    work: &mut Work<'_>,
    conversation: &Conversation,
    shown_at: Option<Timestamp>,
    status: Option<Status>,
) -> Result<()> {
    work.must_hold(Lock::Account(conversation.account_id))?;
    let now = work.now();
    let shown = shown_at.map(|at| conversations::shown_at.eq(at));
    let status = status.map(|status| conversations::status.eq(status));
    diesel::update(conversations::table.filter(conversations::id.eq(conversation.id)))
        .set((conversations::updated_at.eq(now), shown, status))
        .execute(work.conn)?;
    Ok(())
}

/// What it is called from now on.
pub fn set_subject(work: &mut Work<'_>, conversation: &Conversation, subject: &str) -> Result<()> {
    work.must_hold(Lock::Account(conversation.account_id))?;
    let now = work.now();
    diesel::update(conversations::table.filter(conversations::id.eq(conversation.id)))
        .set((conversations::updated_at.eq(now), conversations::subject.eq(subject)))
        .execute(work.conn)?;
    Ok(())
}

/// Whether its customer is asked what they think of it, and what they have said.
pub fn set_rating(work: &mut Work<'_>, conversation: &Conversation, rating: &Rating) -> Result<()> {
    work.must_hold(Lock::Account(conversation.account_id))?;
    let now = work.now();
    let given = rating.given.as_ref();
    diesel::update(conversations::table.filter(conversations::id.eq(conversation.id)))
        .set((
            conversations::updated_at.eq(now),
            conversations::rating_offered_at.eq(rating.offered_at),
            conversations::rating_score.eq(given.map(|given| given.score.number())),
            conversations::rating_comment.eq(given.and_then(|given| given.comment.as_deref())),
            conversations::rated_at.eq(given.map(|given| given.at)),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// A person has gone from what they have, and from what they wrote in, which may be another's. That one's account is not
/// held, so nothing goes back to before what somebody else did there.
pub fn touch_all_of(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    let (now, before) = (work.now(), conversations::updated_at.lt(work.now()));
    diesel::update(conversations::table.filter(before.and(conversations::account_id.eq(account))))
        .set(conversations::updated_at.eq(now))
        .execute(work.conn)?;
    let written = messages::table.filter(messages::author_account_id.eq(account)).select(messages::conversation_id);
    diesel::update(conversations::table.filter(before.and(conversations::id.eq_any(written))))
        .set(conversations::updated_at.eq(now))
        .execute(work.conn)?;
    Ok(())
}

/// The conversations of one requester, and what they wrote, go from one account to another.
pub fn move_with_requester(work: &mut Work<'_>, requester: IdentityId, from: AccountId, to: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(from))?;
    work.must_hold(Lock::Account(to))?;
    let now = work.now();
    let theirs = conversations::table
        .filter(conversations::requester_id.eq(requester).and(conversations::account_id.eq(from).assume_not_null()))
        .select(conversations::id);
    let moved: Vec<ConversationId> = theirs.load(work.conn)?;
    diesel::update(interactions::table)
        .filter(interactions::account_id.eq(from).and(interactions::conversation_id.eq_any(&moved)))
        .set(interactions::account_id.eq(to))
        .execute(work.conn)?;
    diesel::update(messages::table.filter(messages::author_identity_id.eq(requester)))
        .set(messages::author_account_id.eq(to))
        .execute(work.conn)?;
    diesel::update(conversations::table.filter(conversations::id.eq_any(&moved)))
        .set((conversations::account_id.eq(to), conversations::updated_at.eq(now)))
        .execute(work.conn)?;
    Ok(())
}

/// How many conversations an account has.
pub fn count_of(work: &mut Work<'_>, account: AccountId) -> Result<i64> {
    Ok(conversations::table.filter(conversations::account_id.eq(account)).count().get_result(work.conn)?)
}

/// Everything that one account has, started or wrote is another's from now on.
pub fn move_all(work: &mut Work<'_>, from: AccountId, to: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(from))?;
    work.must_hold(Lock::Account(to))?;
    let now = work.now();
    diesel::update(interactions::table.filter(interactions::account_id.eq(from)))
        .set(interactions::account_id.eq(to))
        .execute(work.conn)?;
    diesel::update(messages::table.filter(messages::author_account_id.eq(from)))
        .set(messages::author_account_id.eq(to))
        .execute(work.conn)?;
    diesel::update(conversations::table.filter(conversations::started_by.eq(from)))
        .set(conversations::started_by.eq(to))
        .execute(work.conn)?;
    diesel::update(conversations::table.filter(conversations::account_id.eq(from)))
        .set((conversations::account_id.eq(to), conversations::updated_at.eq(now)))
        .execute(work.conn)?;
    Ok(())
}
