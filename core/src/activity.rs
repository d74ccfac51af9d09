//! What has happened to an account, for its owner: of the audit trail what is theirs to know, and no more.

use serde_json::{Map, Value};

use crate::audit::{Action, ActorKind};
use crate::clock::Timestamp;
use crate::db::{self, Work};
use crate::device;
use crate::error::Result;
use crate::id::{AccountId, AuditEventId};
use crate::page::{List, Page, PageAsk};
use crate::session::SignedIn;

/// An event of the audit trail as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub id: AuditEventId,
    pub at: Timestamp,
    pub action: Action,
    pub actor: ActorKind,
    pub actor_id: Option<uuid::Uuid>,
    pub account: Option<AccountId>,
    pub request_id: Option<String>,
    pub address: Option<String>,
    pub detail: Value,
}

/// Who did something, as its owner is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Me,
    /// Whoever showed what was mailed to one of the owner's addresses, or arrived by a provider, without being signed in.
    Unsigned,
    /// The help desk, with an API key.
    Support,
    /// Somebody of the house.
    Operator,
    System,
}

impl By {
    pub const ALL: [Self; 5] = [Self::Me, Self::Unsigned, Self::Support, Self::Operator, Self::System];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Me => "me",
            Self::Unsigned => "unsigned",
            Self::Support => "support",
            Self::Operator => "operator",
            Self::System => "system",
        }
    }
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    pub id: AuditEventId,
    pub at: Timestamp,
    pub action: Action,
    pub by: By,
    /// The network that it came from.
    pub network: Option<String>,
    pub detail: Map<String, Value>,
}

/// What of an action's detail the owner of its account is told; `None` where it is the house's own.
#[must_use]
pub const fn told(action: Action) -> Option<&'static [&'static str]> {
    Some(match action {
        Action::AccountCreated => &["method", "provider"],
        Action::AccountClaimed => &["method", "provider", "sessions_ended", "ways_in_dropped"],
        Action::AccountRecovered => &["method", "sessions_ended", "ways_in_dropped"],
        Action::AccountRoleChanged => &["role"],
        Action::AccountUpdated => &["fields"],
        Action::AccountDisabled | Action::SessionsEnded => &["sessions_ended"],
        Action::AccountEnabled | Action::ResetSent => &[],
        Action::AccountExported | Action::AccountMerged | Action::DeletionAsked => &[],
        Action::EmailAdded => &["identity_id", "method"],
        Action::EmailMadePrimary => &["identity_id"],
        Action::EmailRemoved => &["identity_id", "sessions_ended", "password_removed"],
        Action::EmailUndone => &["back_to", "sessions_ended", "ways_in_dropped", "password_removed"],
        Action::IdentityLinked => &["kind", "provider", "identity_id", "reason"],
        Action::IdentityUnlinked => &["kind", "sessions_ended", "reason"],
        Action::PasswordChanged | Action::PasswordSet => &["sessions_ended"],
        Action::SessionCreated => &["session_id", "method", "provider", "known_device"],
        Action::SessionEnded => &["session_id", "reason"],
        Action::SessionNewDevice => &["session_id", "device", "network"],
        Action::SessionReauthenticated => &["session_id", "method", "provider"],
        Action::AccountCustomUpdated
        | Action::AccountDeleted
        | Action::AdminInvited
        | Action::ApiKeyCreated
        | Action::ApiKeyRevoked
        | Action::ConversationStarted
        | Action::ConversationStatusChanged
        | Action::ConversationSubjectChanged
        | Action::CustomFieldCreated
        | Action::CustomFieldDeleted
        | Action::CustomFieldUpdated
        | Action::IdentityMoved
        | Action::IdentityObserved
        | Action::MessageCreated
        | Action::MessageReleased
        | Action::RatingOffered
        | Action::RatingReceived
        | Action::RatingWithdrawn
        | Action::SettingsChanged
        | Action::SigningKeyRotated => return None,
    })
}

/// All that owners are told of, with what of each.
pub fn all_told() -> impl Iterator<Item = (Action, &'static [&'static str])> {
    Action::ALL.iter().filter_map(|action| Some((*action, told(*action)?)))
}

/// What has happened since the account is its owner's, the latest first.
pub fn list(work: &mut Work<'_>, who: &SignedIn, ask: PageAsk) -> Result<Page<Activity>> {
    let ask = ask.of(List::named("my activity"))?;
    let since = who.account.claimed_at.unwrap_or(who.account.created_at);
    let actions: Vec<Action> = all_told().map(|(action, _)| action).collect();
    let rows = db::audit_events::list_of_account(work, who.account.id, &actions, since, ask)?;
    let page = ask.page(rows, |row| (row.at, row.id.0));
    Ok(page.map(|row| tell(row, who.account.id)))
}

fn tell(event: Recorded, account: AccountId) -> Activity {
    let by = match event.actor {
        ActorKind::Account if event.actor_id == Some(account.0) => By::Me,
        ActorKind::Nobody => By::Unsigned,
        ActorKind::ApiKey => By::Support,
        ActorKind::Operator | ActorKind::Account => By::Operator,
        ActorKind::System => By::System,
    };
    let fields = told(event.action).unwrap_or_default();
    let is_told = |name: &String, value: &Value| fields.contains(&name.as_str()) && !value.is_null();
    let detail = match event.detail {
        Value::Object(all) => all.into_iter().filter(|(name, value)| is_told(name, value)).collect(),
        _ => Map::new(),
    };
    let address = event.address.filter(|_| matches!(by, By::Me | By::Unsigned));
    let network = address.and_then(|address| address.parse().ok()).map(device::network_of);
    Activity { id: event.id, at: event.at, action: event.action, by, network, detail }
}
