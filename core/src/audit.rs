//! The audit trail: one event per change, with who, when and from where, and never a secret (I8).

use serde_json::Value;
use uuid::Uuid;

use crate::activity::Recorded;
use crate::clock::Timestamp;
use crate::db::types::words;
use crate::db::{self, Work};
use crate::error::Result;
use crate::id::{AccountId, ApiKeyId};
use crate::page::{List, Page, PageAsk};

words! {
    pub enum ActorKind {
        /// Somebody who showed a mailed secret, or nothing at all.
        Nobody = "nobody",
        Account = "account",
        ApiKey = "api_key",
        Operator = "operator",
        System = "system",
    }
}

words! {
    /// What was done. What of it its account's owner is told, [`crate::activity::told`] says.
    pub enum Action {
        SessionCreated = "session.created",
        SessionReauthenticated = "session.reauthenticated",
        SessionNewDevice = "session.new_device",
        SessionEnded = "session.ended",
        AccountCreated = "account.created",
        AccountClaimed = "account.claimed",
        AccountRecovered = "account.recovered",
        AccountUpdated = "account.updated",
        AccountCustomUpdated = "account.custom_updated",
        AccountRoleChanged = "account.role_changed",
        AccountMerged = "account.merged",
        AccountExported = "account.exported",
        AccountDeleted = "account.deleted",
        AccountDisabled = "account.disabled",
        AccountEnabled = "account.enabled",
        ResetSent = "reset.sent",
        SessionsEnded = "sessions.ended",
        DeletionAsked = "deletion.asked",
        PasswordSet = "password.set",
        PasswordChanged = "password.changed",
        EmailAdded = "email.added",
        EmailMadePrimary = "email.made_primary",
        EmailRemoved = "email.removed",
        EmailUndone = "email.undone",
        IdentityLinked = "identity.linked",
        IdentityUnlinked = "identity.unlinked",
        IdentityObserved = "identity.observed",
        IdentityMoved = "identity.moved",
        ConversationStarted = "conversation.started",
        ConversationStatusChanged = "conversation.status_changed",
        ConversationSubjectChanged = "conversation.subject_changed",
        MessageCreated = "message.created",
        MessageReleased = "message.released",
        RatingOffered = "rating.offered",
        RatingWithdrawn = "rating.withdrawn",
        RatingReceived = "rating.received",
        CustomFieldCreated = "custom_field.created",
        CustomFieldUpdated = "custom_field.updated",
        CustomFieldDeleted = "custom_field.deleted",
        ApiKeyCreated = "api_key.created",
        ApiKeyRevoked = "api_key.revoked",
        SigningKeyRotated = "signing_key.rotated",
        AdminInvited = "admin.invited",
        SettingsChanged = "settings.changed",
    }
}

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    Nobody,
    Account(AccountId),
    ApiKey(ApiKeyId),
    /// The command line.
    Operator,
    System,
}

impl Actor {
    pub(crate) const fn parts(self) -> (ActorKind, Option<Uuid>) {
        match self {
            Self::Nobody => (ActorKind::Nobody, None),
            Self::Account(id) => (ActorKind::Account, Some(id.0)),
            Self::ApiKey(id) => (ActorKind::ApiKey, Some(id.0)),
            Self::Operator => (ActorKind::Operator, None),
            Self::System => (ActorKind::System, None),
        }
    }
}

/// Writes an event down, in the transaction of the change it tells of. In a detail `method` is by what somebody showed who
/// they are, with the `provider` where it was one; `reason` is why something happened that nobody asked for as such.
pub fn record(
    work: &mut Work<'_>,
    action: Action,
    actor: Actor,
    account: Option<AccountId>,
    detail: &Value,
) -> Result<()> {
    db::audit_events::insert(work, action, actor, account, detail)
}

/// What the trail is narrowed to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    pub account: Option<AccountId>,
    pub action: Option<Action>,
    pub actor: Option<Uuid>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// What was done, the latest first, for an admin.
pub fn list(work: &mut Work<'_>, filter: Filter, ask: PageAsk) -> Result<Page<Recorded>> {
    let ask = ask.of(List::named("audit events"))?;
    let rows = db::audit_events::list(work, filter, ask)?;
    Ok(ask.page(rows, |row| (row.at, row.id.0)))
}
