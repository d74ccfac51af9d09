//! Conversations: what a customer and the desk see of a support case.

use serde_json::json;

use crate::audit::{self, Action, Actor};
use crate::clock::Timestamp;
use crate::db::types::words;
use crate::db::{self, Work};
use crate::error::{Error, Result};
use crate::html::Html;
use crate::id::{AccountId, ConversationId, IdentityId, MessageId};
use crate::idempotency::{self, IdempotencyKey};
use crate::outbox;
use crate::page::{List, Page, PageAsk};
use crate::rating::Rating;
use crate::session::SignedIn;
use crate::throttle;

words! {
    pub enum Channel {
        Email = "email",
        Messenger = "messenger",
        Twitter = "twitter",
        Facebook = "facebook",
        Phone = "phone",
        External = "external",
        /// Started by a signed-in customer.
        Web = "web",
    }
}

words! {
    pub enum Status {
        Open = "open",
        /// The desk waits for the customer.
        Pending = "pending",
        /// Done; a reply opens it again.
        Solved = "solved",
        /// Done for good; a reply begins a follow-up.
        Closed = "closed",
    }
}

words! {
    pub enum Author {
        Requester = "requester",
        Agent = "agent",
        /// Somebody who wrote into another's conversation.
        Stranger = "stranger",
    }
}

words! {
    pub enum Visibility {
        Shown = "shown",
        /// Kept from the requester until the desk releases it.
        Held = "held",
        /// A note among agents; it never leaves the desk.
        Internal = "internal",
    }
}

/// A conversation as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    pub id: ConversationId,
    pub account_id: AccountId,
    pub requester_id: Option<IdentityId>,
    pub started_by: Option<AccountId>,
    pub channel: Channel,
    pub source: Option<String>,
    pub external_id: Option<String>,
    pub follow_up_of: Option<ConversationId>,
    pub subject: String,
    pub status: Status,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The instant of the latest message its requester may see; none where there is none yet.
    pub shown_at: Option<Timestamp>,
    pub rating: Rating,
}

/// A message as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub id: MessageId,
    pub conversation_id: ConversationId,
    pub author: Author,
    pub visibility: Visibility,
    pub author_account_id: Option<AccountId>,
    pub author_identity_id: Option<IdentityId>,
    pub author_name: Option<String>,
    pub body_text: String,
    pub html: Option<Html>,
    /// The desk's DMARC verdict on the mail.
    pub dmarc: Option<String>,
    pub attachments: serde_json::Value,
    pub sent_at: Timestamp,
    pub created_at: Timestamp,
    /// When the desk let its requester see it, where it had been held.
    pub released_at: Option<Timestamp>,
}

/// A row of the customer's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    pub conversation: Conversation,
    pub unread_count: u32,
}

/// What the customer's list is narrowed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub status: Option<Status>,
    pub channel: Option<Channel>,
    pub text: SearchWords,
    pub unread: bool,
}

/// Words of which each must occur in the subject or in a message that is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchWords(Vec<String>);

impl SearchWords {
    /// At most this many: each is a look through all that was said.
    pub const MOST: usize = 8;

    /// Reads what somebody searches for; nothing but spaces narrows nothing.
    ///
    /// # Errors
    /// Why it cannot be searched for.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.chars().count() > 200 || text.contains('\0') {
            return Err("Search for at most 200 characters, without U+0000.");
        }
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if words.len() > Self::MOST { Err("Search for at most 8 words.") } else { Ok(Self(words)) }
    }

    /// Whether nothing is searched for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Characters of a subject.
pub const LONGEST_SUBJECT: usize = 255;
/// Characters of what a customer writes. With a subject it fits a body of 64 KiB however many octets a character has.
pub const LONGEST_BODY: usize = 16_000;

/// A subject is one line: some desk will make a mail's header of it.
pub(crate) fn check_subject(text: &str, longest: usize) -> Result<()> {
    check(("/subject", text), longest, char::is_control)
}

fn check_body(pointer: &str, text: &str) -> Result<()> {
    check_text(pointer, text, LONGEST_BODY)
}

/// What may have several lines.
pub(crate) fn check_text(pointer: &str, text: &str, longest: usize) -> Result<()> {
    check((pointer, text), longest, |c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

/// Checks what somebody wrote.
fn check((pointer, text): (&str, &str), longest: usize, odd: impl Fn(char) -> bool) -> Result<()> {
    if text.trim().is_empty() {
        return Err(Error::invalid(pointer, "required", "Write something."));
    }
    if text.chars().any(odd) {
        return Err(Error::invalid(pointer, "control_characters", "Leave out control characters."));
    }
    if text.chars().count() > longest {
        return Err(Error::invalid(pointer, "too_long", format!("Use at most {longest} characters.")));
    }
    Ok(())
}

/// The customer's conversations, latest first.
pub fn list(work: &mut Work<'_>, who: &SignedIn, filter: &Filter, ask: PageAsk) -> Result<Page<Overview>> {
    let ask = ask.of(List::named("my conversations"))?;
    let rows = db::conversations::list_shown(work, who.account.id, filter, ask)?;
    let page = ask.page(rows, |row| (row.shown_at.unwrap_or(row.updated_at), row.id.0));
    let ids: Vec<ConversationId> = page.items.iter().map(|row| row.id).collect();
    let unread = db::messages::count_unread(work, who.account.id, &ids)?;
    let count = |id| unread.iter().find(|(with, _)| *with == id).map_or(0, |(_, count)| *count);
    Ok(page.map(|conversation| Overview { unread_count: count(conversation.id), conversation }))
}

/// One of the customer's conversations; another's is as absent as one that never was.
pub fn get(work: &mut Work<'_>, who: &SignedIn, id: ConversationId) -> Result<Overview> {
    let conversation = visible(work, who, id)?;
    let unread = db::messages::count_unread(work, who.account.id, &[id])?;
    Ok(Overview { conversation, unread_count: unread.first().map_or(0, |(_, count)| *count) })
}

/// I4, in one place: whose a conversation is.
pub(crate) fn visible(work: &mut Work<'_>, who: &SignedIn, id: ConversationId) -> Result<Conversation> {
    db::conversations::find(work, id)?
        .filter(|conversation| conversation.account_id == who.account.id && conversation.shown_at.is_some())
        .ok_or(Error::NotFound("conversation"))
}

/// The messages a customer may see of a conversation, oldest first.
pub fn list_messages(work: &mut Work<'_>, who: &SignedIn, id: ConversationId, ask: PageAsk) -> Result<Page<Message>> {
    visible(work, who, id)?;
    let ask = ask.of(List::within("my messages", id.0))?;
    let rows = db::messages::list(work, id, Some(Visibility::Shown), ask)?;
    Ok(ask.page(rows, |row| (row.sent_at, row.id.0)))
}

/// A conversation a customer starts.
#[derive(Debug, Clone)]
pub struct Start {
    pub subject: String,
    pub body_text: String,
}

/// Starts a conversation; the desk hears of it by an event and by polling.
pub fn start(work: &mut Work<'_>, who: &SignedIn, start: &Start, key: Option<&IdempotencyKey>) -> Result<Conversation> {
    Error::all([check_subject(&start.subject, LONGEST_SUBJECT), check_body("/message/body_text", &start.body_text)])?;
    let id: ConversationId = idempotency::once(work, key, |work| {
        let conversation = insert_started(work, who, &start.subject, None)?;
        say(work, who, &conversation, &start.body_text)?;
        Ok(conversation.id.0)
    })?;
    db::conversations::get(work, id)
}

fn insert_started(
    work: &mut Work<'_>,
    who: &SignedIn,
    subject: &str,
    follow_up_of: Option<ConversationId>,
) -> Result<Conversation> {
    let now = work.now();
    let conversation = Conversation {
        id: work.new_id(),
        account_id: who.account.id,
        requester_id: None,
        started_by: Some(who.account.id),
        channel: Channel::Web,
        source: None,
        external_id: None,
        follow_up_of,
        subject: subject.to_owned(),
        status: Status::Open,
        created_at: now,
        updated_at: now,
        shown_at: Some(now),
        rating: Rating::default(),
    };
    db::conversations::insert(work, &conversation)?;
    let detail = json!({ "conversation_id": conversation.id });
    let actor = Actor::Account(who.account.id);
    audit::record(work, Action::ConversationStarted, actor, Some(who.account.id), &detail)?;
    outbox::post_event(work, "conversation.started", who.account.id, &detail)?;
    Ok(conversation)
}

/// Adds what the owner wrote, and tells the desk.
fn say(work: &mut Work<'_>, who: &SignedIn, into: &Conversation, body_text: &str) -> Result<MessageId> {
    throttle::before_message(work, who.account.id)?;
    let (id, now) = (into.id, work.now());
    let message = Message {
        id: work.new_id(),
        conversation_id: id,
        author: Author::Requester,
        visibility: Visibility::Shown,
        author_account_id: Some(who.account.id),
        author_identity_id: None,
        author_name: who.account.full_name.clone(),
        body_text: body_text.to_owned(),
        html: None,
        dmarc: None,
        attachments: json!([]),
        sent_at: now,
        created_at: now,
        released_at: None,
    };
    db::messages::insert(work, &message)?;
    db::conversations::touch(work, into, Some(now), None)?;
    db::read_marks::put(work, who.account.id, id, now)?;
    let detail = json!({ "conversation_id": id, "message_id": message.id });
    let actor = Actor::Account(who.account.id);
    audit::record(work, Action::MessageCreated, actor, Some(who.account.id), &detail)?;
    outbox::post_event(work, "message.created", who.account.id, &detail)?;
    Ok(message.id)
}

/// Answers in a conversation. A solved one opens again; of a closed one it makes a follow-up, in which the
/// message then is.
pub fn reply(
    work: &mut Work<'_>,
    who: &SignedIn,
    id: ConversationId,
    body_text: &str,
    key: Option<&IdempotencyKey>,
) -> Result<Message> {
    check_body("/body_text", body_text)?;
    let message: MessageId = idempotency::once(work, key, |work| {
        let conversation = visible(work, who, id)?;
        let into = match conversation.status {
            Status::Closed => insert_started(work, who, &conversation.subject, Some(id))?,
            Status::Solved | Status::Pending => {
                db::conversations::touch(work, &conversation, None, Some(Status::Open))?;
                conversation
            }
            Status::Open => conversation,
        };
        Ok(say(work, who, &into, body_text)?.0)
    })?;
    db::messages::get(work, message)
}

/// Marks everything up to now as read.
pub fn mark_read(work: &mut Work<'_>, who: &SignedIn, id: ConversationId) -> Result<()> {
    visible(work, who, id)?;
    let now = work.now();
    db::read_marks::put(work, who.account.id, id, now)
}

/// Closes or reopens, as the owner wishes. Doing what is done already is no error.
pub fn set_status(work: &mut Work<'_>, who: &SignedIn, id: ConversationId, status: Status) -> Result<Overview> {
    let before = visible(work, who, id)?;
    let already = match status {
        Status::Open => matches!(before.status, Status::Open | Status::Pending),
        other => before.status == other,
    };
    if !already {
        db::conversations::touch(work, &before, None, Some(status))?;
        let detail = json!({ "conversation_id": id, "status": status });
        let actor = Actor::Account(who.account.id);
        audit::record(work, Action::ConversationStatusChanged, actor, Some(who.account.id), &detail)?;
        outbox::post_event(work, "conversation.status_changed", who.account.id, &detail)?;
    }
    get(work, who, id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_checked() {
        let subject = |text: &str| check_subject(text, LONGEST_SUBJECT);
        assert!(check_body("/x", "Grüße\n\tAda").is_ok() && subject("Grüße, Ada").is_ok());
        for wrong in ["", " \n", "a\0b", "\u{1b}[31m"] {
            assert!(check_body("/x", wrong).is_err() && subject(wrong).is_err(), "{wrong:?}");
        }
        assert!(subject("a\nb").is_err());
        assert!(subject(&"x".repeat(LONGEST_SUBJECT)).is_ok() && subject(&"x".repeat(256)).is_err());
        assert!(check_body("/x", &"x".repeat(LONGEST_BODY)).is_ok());
        assert!(check_body("/x", &"x".repeat(LONGEST_BODY + 1)).is_err());
    }
}
