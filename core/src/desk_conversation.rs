//! The help desk's view of conversations: all there is of them, and what it changes.

use serde_json::{Value, json};

use crate::api_key::ApiKey;
use crate::audit::{self, Action, Actor};
use crate::clock::Timestamp;
use crate::conversation::{self, Conversation, Message, Status, Visibility};
use crate::db::{self, Lock, Work};
use crate::error::{Error, Fault, Result};
use crate::id::{ConversationId, MessageId};
use crate::page::{List, Page, PageAsk};
use crate::rating::Rating;

/// What the desk's list is narrowed to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    pub updated_since: Option<Timestamp>,
    /// Only those with messages that wait for their release, or only those without.
    pub held: Option<bool>,
}

/// The desk's list: everything changed since, oldest change first.
pub fn list(work: &mut Work<'_>, filter: Filter, ask: PageAsk) -> Result<Page<Conversation>> {
    let ask = ask.of(List::named("conversations"))?;
    let rows = db::conversations::list_updated(work, filter.updated_since, filter.held, ask)?;
    Ok(ask.page(rows, |row| (row.updated_at, row.id.0)))
}

pub fn get(work: &mut Work<'_>, id: ConversationId) -> Result<Conversation> {
    db::conversations::find(work, id)?.ok_or(Error::NotFound("conversation"))
}

/// All messages of a conversation, notes and held ones included.
pub fn list_messages(work: &mut Work<'_>, id: ConversationId, ask: PageAsk) -> Result<Page<Message>> {
    get(work, id)?;
    let ask = ask.of(List::within("messages", id.0))?;
    let rows = db::messages::list(work, id, None, ask)?;
    Ok(ask.page(rows, |row| (row.sent_at, row.id.0)))
}

/// What the desk changes of a conversation; what is left out stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub status: Option<Status>,
    pub subject: Option<String>,
    /// Messages that were held, and that its requester may see from now on.
    pub release: Vec<MessageId>,
    pub offer_rating: Option<bool>,
}

/// Characters of a subject, as in a push.
const LONGEST_SUBJECT: usize = 1_000;

/// Changes a conversation, all of it or nothing. Doing what is done already changes nothing.
pub fn change(work: &mut Work<'_>, by: &ApiKey, id: ConversationId, change: &Change) -> Result<Conversation> {
    if let Some(subject) = &change.subject {
        conversation::check_subject(subject, LONGEST_SUBJECT)?;
    }
    let before = hold(work, id)?;
    if let Some(status) = change.status.filter(|status| *status != before.status) {
        db::conversations::touch(work, &before, None, Some(status))?;
        record(work, by, &before, Action::ConversationStatusChanged, json!({ "status": status }))?;
    }
    if let Some(subject) = change.subject.as_deref().filter(|subject| *subject != before.subject) {
        db::conversations::set_subject(work, &before, subject)?;
        record(work, by, &before, Action::ConversationSubjectChanged, json!({}))?;
    }
    release(work, by, &before, &change.release)?;
    if let Some(offer) = change.offer_rating.filter(|offer| *offer != before.rating.offered_at.is_some()) {
        let offered_at = offer.then(|| work.now());
        db::conversations::set_rating(work, &before, &Rating { offered_at, ..before.rating.clone() })?;
        let action = if offer { Action::RatingOffered } else { Action::RatingWithdrawn };
        record(work, by, &before, action, json!({}))?;
    }
    db::conversations::get(work, id)
}

/// The conversation as it is while its account is held.
fn hold(work: &mut Work<'_>, id: ConversationId) -> Result<Conversation> {
    let seen = get(work, id)?;
    work.hold(&[Lock::Account(seen.account_id)])?;
    // a claim may have taken it to another account before we held this one
    let now = get(work, id)?;
    if now.account_id == seen.account_id { Ok(now) } else { Err(Error::Overtaken) }
}

/// Lets its requester see what was held (rule 11).
fn release(work: &mut Work<'_>, by: &ApiKey, conversation: &Conversation, ids: &[MessageId]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let messages = db::messages::list_of(work, conversation.id, ids)?;
    let wrong = ids.iter().enumerate().filter_map(|(index, id)| {
        let fault = |code, why| Some(Fault::new(format!("/release/{index}"), code, why));
        match messages.iter().find(|message| message.id == *id).map(|message| message.visibility) {
            None => fault("unknown", "This conversation has no such message."),
            Some(Visibility::Internal) => fault("internal", "A note among agents is not shown to customers."),
            Some(Visibility::Held | Visibility::Shown) => None,
        }
    });
    let wrong: Vec<Fault> = wrong.collect();
    if !wrong.is_empty() {
        return Err(Error::Invalid(wrong));
    }
    let mut shown_at = conversation.shown_at;
    for message in messages.iter().filter(|message| message.visibility == Visibility::Held) {
        db::messages::release(work, message.id)?;
        shown_at = shown_at.max(Some(message.sent_at));
        record(work, by, conversation, Action::MessageReleased, json!({ "message_id": message.id }))?;
    }
    if messages.iter().any(|message| message.visibility == Visibility::Held) {
        db::conversations::touch(work, conversation, shown_at, None)?;
    }
    Ok(())
}

fn record(work: &mut Work<'_>, by: &ApiKey, of: &Conversation, action: Action, mut detail: Value) -> Result<()> {
    if let Value::Object(fields) = &mut detail {
        fields.insert("conversation_id".to_owned(), json!(of.id));
    }
    audit::record(work, action, Actor::ApiKey(by.id), Some(of.account_id), &detail)
}
