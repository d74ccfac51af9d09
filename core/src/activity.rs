//! What has happened to an account, for its owner: of the audit trail what is theirs to know, and no more.

use serde_json::{Map, Value};

use crate::audit::ActorKind;
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
    pub action: String,
    pub actor: ActorKind,
    pub actor_id: Option<uuid::Uuid>,
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
    pub action: String,
    pub by: By,
    /// The network that it came from.
    pub network: Option<String>,
    pub detail: Map<String, Value>,
}

/// What an owner is told of, and what of each: everything else is the house's own.
const TOLD: [(&str, &[&str]); 22] = [
    ("account.created", &["proof", "provider"]),
    ("account.claimed", &["proof", "provider", "sessions_ended", "ways_in_dropped"]),
    ("account.exported", &[]),
    ("account.merged", &["identities", "conversations"]),
    ("account.parted", &[]),
    ("account.recovered", &["proof", "sessions_ended", "ways_in_dropped"]),
    ("account.role_changed", &["role"]),
    ("account.updated", &["fields"]),
    ("deletion.asked", &[]),
    ("email.added", &["identity_id", "proof"]),
    ("email.made_primary", &["identity_id"]),
    ("email.removed", &["identity_id", "sessions_ended", "password_removed"]),
    ("email.undone", &["back_to", "sessions_ended", "ways_in_dropped", "password"]),
    ("identity.linked", &["kind", "provider", "identity_id", "why"]),
    ("identity.unlinked", &["kind", "sessions_ended", "why"]),
    ("password.changed", &["sessions_ended"]),
    ("password.set", &["sessions_ended"]),
    ("session.created", &["session_id", "method", "known_device"]),
    ("session.ended", &["session_id", "reason"]),
    ("session.new_device", &["session_id", "device", "network"]),
    ("session.reauthenticated", &["session_id", "how"]),
    ("session.revoked", &["reason"]),
];

/// What has happened since the account is its owner's, the latest first.
pub fn list(work: &mut Work<'_>, who: &SignedIn, ask: PageAsk) -> Result<Page<Activity>> {
    let ask = ask.of(List::named("my activity"))?;
    let since = who.account.claimed_at.unwrap_or(who.account.created_at);
    let actions: Vec<&str> = TOLD.iter().map(|(action, _)| *action).collect();
    let rows = db::audit_events::list_of_account(work, who.account.id, &actions, since, ask)?;
    let page = ask.page(rows, |row| (row.at, row.id.0));
    Ok(page.map(|row| told(row, who.account.id)))
}

fn told(event: Recorded, account: AccountId) -> Activity {
    let by = match event.actor {
        ActorKind::Account if event.actor_id == Some(account.0) => By::Me,
        ActorKind::Nobody => By::Unsigned,
        ActorKind::ApiKey => By::Support,
        ActorKind::Operator | ActorKind::Account => By::Operator,
        ActorKind::System => By::System,
    };
    let fields = TOLD.iter().find(|(action, _)| *action == event.action).map_or(&[][..], |(_, fields)| fields);
    let detail = match event.detail {
        Value::Object(all) => all.into_iter().filter(|(name, _)| fields.contains(&name.as_str())).collect(),
        _ => Map::new(),
    };
    let address = event.address.filter(|_| matches!(by, By::Me | By::Unsigned));
    let network = address.and_then(|address| address.parse().ok()).map(device::network_of);
    Activity { id: event.id, at: event.at, action: event.action, by, network, detail }
}
