//! Pushes: what happened on a channel becomes accounts, identities, conversations and messages, and never a way
//! in (rules 1 and 11).

use serde_json::{Value, json};

use crate::account::{Account, AccountState};
use crate::api_key::ApiKey;
use crate::audit::{self, Action, Actor};
use crate::clock::Timestamp;
use crate::conversation::{Author, Channel, Conversation, Message, Status, Visibility};
use crate::db::types::words;
use crate::db::{self, Lock, Work};
use crate::error::{Error, Result};
use crate::html::Html;
use crate::id::{AccountId, ConversationId, IdentityId, InteractionId, MessageId};
use crate::identity::{Identity, IdentityKey, IdentityKind};
use crate::linking::{self, Sender, Shown};
use crate::outbox;
use crate::rating::Rating;
use crate::settings::{self, UnknownRequesters};

words! {
    pub enum Direction {
        /// From a person to the desk.
        Inbound = "inbound",
        /// From an agent to a person.
        Outbound = "outbound",
    }
}

words! {
    pub enum Stored {
        Created = "created",
        /// Kept from the requester until the desk releases it.
        Held = "held",
    }
}

words! {
    /// The desk's verdict on a mail's `From:` (RFC 8601, section 2.7.1, and DMARC, RFC 7489).
    pub enum Dmarc {
        Pass = "pass",
        Fail = "fail",
        None = "none",
        TempError = "temperror",
        PermError = "permerror",
    }
}

/// Somebody on a channel: the identity of the channel first, then what else the desk knows them by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    pub keys: Vec<SeenKey>,
    pub name: Option<String>,
}

/// An identity as it was seen, with the spelling or handle to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenKey {
    pub key: IdentityKey,
    pub label: Option<String>,
}

/// Which conversation a push belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thread {
    /// By the desk's own id.
    External(String),
    /// By ours: an answer to what a customer started here.
    Ours(ConversationId),
}

/// One thing that happened on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    pub source: String,
    pub external_id: String,
    pub channel: Channel,
    pub direction: Direction,
    /// Who wrote: for an inbound push always there.
    pub from: Option<Party>,
    /// The first person an outbound push goes to.
    pub to: Option<Party>,
    pub agent_name: Option<String>,
    pub thread: Thread,
    pub subject: Option<String>,
    pub status: Option<Status>,
    pub body_text: String,
    pub html: Option<Html>,
    pub internal: bool,
    pub sent_at: Option<Timestamp>,
    pub attachments: Value,
    pub dmarc: Option<Dmarc>,
}

words! {
    pub enum PushOutcome {
        Created = "created",
        /// It had been pushed before; the answer is that of the first time.
        Repeated = "repeated",
        Held = "held",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    pub interaction_id: InteractionId,
    pub account_id: AccountId,
    pub conversation_id: ConversationId,
    pub message_id: MessageId,
    pub outcome: PushOutcome,
}

/// Takes a push. The same `(source, external_id)` again changes nothing.
pub fn push(work: &mut Work<'_>, by: &ApiKey, push: &Push) -> Result<Pushed> {
    hold_names(work, push)?;
    if let Some(before) = db::interactions::find(work, &push.source, &push.external_id)? {
        return Ok(Pushed { outcome: PushOutcome::Repeated, ..before });
    }
    let known = find_thread(work, push)?;
    let party = match (push.direction, &push.from, &push.to) {
        (Direction::Inbound, Some(from), _) => Some(believed(from, push.dmarc)),
        (Direction::Outbound, _, Some(to)) if known.is_none() => Some(to.clone()),
        _ => None,
    };
    let known = hold_accounts(work, push, known, party.as_ref())?;
    let person = party.map(|party| meet(work, &party, by)).transpose()?;
    let conversation = match (known, &person) {
        (Some(conversation), _) => conversation,
        (None, Some(person)) => begin(work, push, &person.identity)?,
        (None, None) => {
            let detail = "A conversation we have not seen needs a person: from for inbound, a recipient for outbound.";
            return Err(Error::invalid("/recipients", "required", detail));
        }
    };
    let author = writer(work, push, &conversation, person.as_ref())?;
    let message = write(work, push, &conversation, &author)?;
    let account = author.account.unwrap_or(conversation.account_id);
    let pushed = Pushed {
        interaction_id: work.new_id(),
        account_id: account,
        conversation_id: conversation.id,
        message_id: message,
        outcome: if author.visibility == Visibility::Held { PushOutcome::Held } else { PushOutcome::Created },
    };
    db::interactions::insert(work, push, &pushed)?;
    Ok(pushed)
}

/// Holds everything a push is known by: what it says of these is nobody else's to decide meanwhile.
fn hold_names(work: &mut Work<'_>, push: &Push) -> Result<()> {
    let mut locks = vec![Lock::Interaction(&push.source, &push.external_id)];
    if let Thread::External(id) = &push.thread {
        locks.push(Lock::Thread(&push.source, id));
    }
    let parties = [&push.from, &push.to].into_iter().flatten();
    locks.extend(parties.flat_map(|party| &party.keys).map(|seen| Lock::Identity(&seen.key)));
    work.hold(&locks)
}

fn find_thread(work: &mut Work<'_>, push: &Push) -> Result<Option<Conversation>> {
    match &push.thread {
        Thread::Ours(id) => db::conversations::find(work, *id)?.ok_or(Error::NotFound("conversation")).map(Some),
        Thread::External(id) => db::conversations::find_external(work, &push.source, id),
    }
}

/// Holds the accounts of all concerned; gives the conversation as it then is.
fn hold_accounts(
    work: &mut Work<'_>,
    push: &Push,
    known: Option<Conversation>,
    party: Option<&Party>,
) -> Result<Option<Conversation>> {
    let mut accounts: Vec<AccountId> = known.iter().map(|conversation| conversation.account_id).collect();
    for seen in party.iter().flat_map(|party| &party.keys) {
        accounts.extend(db::identities::find(work, &seen.key)?.map(|identity| identity.account_id));
    }
    let locks: Vec<Lock<'_>> = accounts.into_iter().map(Lock::Account).collect();
    work.hold(&locks)?;
    let Some(before) = known else { return Ok(None) };
    // a claim may have taken it to another account before we held this one
    let known = find_thread(work, push)?.filter(|conversation| conversation.account_id == before.account_id);
    known.map(Some).ok_or(Error::Overtaken)
}

/// What is believed of a sender: a `From:` that failed DMARC may be anybody's, so that it names nobody and adds no
/// contact point (rule 11).
fn believed(from: &Party, dmarc: Option<Dmarc>) -> Party {
    if dmarc != Some(Dmarc::Fail) {
        return from.clone();
    }
    let key = |seen: &SeenKey| SeenKey { key: seen.key.clone(), label: None };
    Party { keys: from.keys.first().map(key).into_iter().collect(), name: None }
}

/// Somebody on a channel, as we know them.
struct Person {
    identity: Identity,
    /// Where nobody owns their account, it is as it was before this push.
    account: Account,
}

/// Finds or makes the person. The first key is the channel's; the others are contact points, added only to an
/// account that nobody owns and only where they are nobody's (rule 11).
fn meet(work: &mut Work<'_>, party: &Party, by: &ApiKey) -> Result<Person> {
    let (first, others) = party
        .keys
        .split_first()
        .ok_or_else(|| Error::invalid("/from", "required", "Name the person by the identity of the channel."))?;
    let person = match db::identities::find(work, &first.key)? {
        Some(identity) => meet_again(work, identity, first, party)?,
        None => {
            let account = home_for(work, first, others, party, by)?;
            Person { identity: observe(work, account.id, first, party, by)?, account }
        }
    };
    for other in others {
        add_contact_point(work, &person.account, other, party, by)?;
    }
    if let (AccountState::Unclaimed, None, Some(name)) = (person.account.state, &person.account.full_name, &party.name)
    {
        db::accounts::set_name(work, person.account.id, name)?;
    }
    Ok(person)
}

fn meet_again(work: &mut Work<'_>, identity: Identity, seen: &SeenKey, party: &Party) -> Result<Person> {
    let account = db::accounts::get(work, identity.account_id)?;
    let owned = account.state == AccountState::Claimed;
    // how a sender spells an address is no matter of its owner's; a handle is what its holder made it
    let label = seen.label.as_deref().filter(|_| !owned || identity.key.kind != IdentityKind::Email);
    db::identities::see_again(work, &identity, label, party.name.as_deref().filter(|_| !owned))?;
    Ok(Person { identity, account })
}

/// The account an unknown person joins: an unclaimed one that another of their keys belongs to, or a new one.
fn home_for(work: &mut Work<'_>, first: &SeenKey, others: &[SeenKey], party: &Party, by: &ApiKey) -> Result<Account> {
    for other in others {
        let Some(identity) = db::identities::find(work, &other.key)? else { continue };
        let account = db::accounts::get(work, identity.account_id)?;
        if account.state == AccountState::Unclaimed && may_join(work, account.id, &first.key)? {
            return Ok(account);
        }
    }
    make_account(work, party.name.as_deref(), by)
}

fn make_account(work: &mut Work<'_>, name: Option<&str>, by: &ApiKey) -> Result<Account> {
    let account = db::accounts::insert_unclaimed(work, name)?;
    audit::record(work, Action::AccountCreated, Actor::ApiKey(by.id), Some(account.id), &json!({ "by": "push" }))?;
    outbox::post_event(work, "account.created", account.id, &json!({}))?;
    Ok(account)
}

/// Two different `external` ids are two people, whatever else they share (rule 15).
fn may_join(work: &mut Work<'_>, account: AccountId, key: &IdentityKey) -> Result<bool> {
    if key.kind != IdentityKind::External {
        return Ok(true);
    }
    let identities = db::identities::list(work, account)?;
    Ok(!identities.iter().any(|identity| identity.key.kind == IdentityKind::External))
}

fn add_contact_point(work: &mut Work<'_>, account: &Account, seen: &SeenKey, party: &Party, by: &ApiKey) -> Result<()> {
    if let Some(identity) = db::identities::find(work, &seen.key)? {
        if identity.account_id == account.id {
            return Ok(());
        }
        return db::merge_suggestions::insert(work, account.id, identity.account_id, "named_together");
    }
    let home = if account.state == AccountState::Unclaimed && may_join(work, account.id, &seen.key)? {
        account.id
    } else {
        let other = make_account(work, party.name.as_deref(), by)?.id;
        db::merge_suggestions::insert(work, account.id, other, "named_together")?;
        other
    };
    observe(work, home, seen, party, by).map(drop)
}

/// An identity that nobody had seen, on the account of whoever it may be.
fn observe(work: &mut Work<'_>, account: AccountId, seen: &SeenKey, party: &Party, by: &ApiKey) -> Result<Identity> {
    let new = db::identities::insert(work, account, &seen.key, seen.label.as_deref(), party.name.as_deref())?;
    let detail = json!({ "identity_id": new.id, "kind": seen.key.kind });
    audit::record(work, Action::IdentityObserved, Actor::ApiKey(by.id), Some(account), &detail)?;
    Ok(new)
}

/// A conversation we have not seen: its requester is the person of its first message.
fn begin(work: &mut Work<'_>, push: &Push, requester: &Identity) -> Result<Conversation> {
    let Thread::External(external_id) = &push.thread else { return Err(Error::NotFound("conversation")) };
    let now = work.now();
    let conversation = Conversation {
        id: work.new_id(),
        account_id: requester.account_id,
        requester_id: Some(requester.id),
        started_by: None,
        channel: push.channel,
        source: Some(push.source.clone()),
        external_id: Some(external_id.clone()),
        follow_up_of: None,
        subject: push.subject.clone().unwrap_or_default(),
        status: push.status.unwrap_or(Status::Open),
        created_at: now,
        updated_at: now,
        shown_at: None,
        rating: Rating::default(),
    };
    db::conversations::insert(work, &conversation)?;
    Ok(conversation)
}

/// Whose a pushed message is, and who may see it.
struct Writer {
    author: Author,
    visibility: Visibility,
    account: Option<AccountId>,
    identity: Option<IdentityId>,
    name: Option<String>,
}

fn writer(work: &mut Work<'_>, push: &Push, conversation: &Conversation, person: Option<&Person>) -> Result<Writer> {
    let (Direction::Inbound, Some(Person { identity, account })) = (push.direction, person) else {
        let visibility = if push.internal { Visibility::Internal } else { Visibility::Shown };
        let name = push.agent_name.clone();
        return Ok(Writer { author: Author::Agent, visibility, account: None, identity: None, name });
    };
    let hold_unknown = settings::current(work)?.authentication.unknown_requesters == UnknownRequesters::Hold;
    let (author, shown) = linking::reception(Sender {
        is_requester: conversation.requester_id == Some(identity.id),
        is_owner: account.id == conversation.account_id && account.state == AccountState::Claimed,
        spoofed: push.dmarc == Some(Dmarc::Fail),
        unknown_and_held: hold_unknown && is_unknown(work, account)?,
    });
    let visibility = match shown {
        _ if push.internal => Visibility::Internal,
        Shown::Yes => Visibility::Shown,
        Shown::Held => Visibility::Held,
    };
    let author = match author {
        linking::Author::Requester => Author::Requester,
        linking::Author::Stranger => Author::Stranger,
    };
    let name = push.from.as_ref().and_then(|from| from.name.clone());
    Ok(Writer { author, visibility, account: Some(identity.account_id), identity: Some(identity.id), name })
}

/// Nobody at the desk has let anything of this person through yet.
fn is_unknown(work: &mut Work<'_>, account: &Account) -> Result<bool> {
    Ok(account.state != AccountState::Claimed && !db::conversations::any_shown(work, account.id)?)
}

fn write(work: &mut Work<'_>, push: &Push, conversation: &Conversation, writer: &Writer) -> Result<MessageId> {
    let now = work.now();
    // a clock that runs ahead must not keep a message on top for ever
    let sent_at = push.sent_at.unwrap_or(now).min(now);
    let message = Message {
        id: work.new_id(),
        conversation_id: conversation.id,
        author: writer.author,
        visibility: writer.visibility,
        author_account_id: writer.account,
        author_identity_id: writer.identity,
        author_name: writer.name.clone(),
        body_text: push.body_text.clone(),
        html: push.html.clone(),
        dmarc: push.dmarc.map(|verdict| verdict.as_str().to_owned()),
        attachments: push.attachments.clone(),
        sent_at,
        created_at: now,
        released_at: None,
    };
    db::messages::insert(work, &message)?;
    let shown_at =
        (message.visibility == Visibility::Shown).then(|| conversation.shown_at.map_or(sent_at, |at| at.max(sent_at)));
    db::conversations::touch(work, conversation, shown_at, push.status)?;
    Ok(message.id)
}
