//! The audit trail: one event per change, with who, when and from where, and never a secret (I8).

use serde_json::Value;
use uuid::Uuid;

use crate::db::types::words;
use crate::db::{self, Work};
use crate::error::Result;
use crate::id::{AccountId, ApiKeyId};

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

/// Writes an event down, in the transaction of the change it tells of.
pub fn record(
    work: &mut Work<'_>,
    action: &str,
    actor: Actor,
    account: Option<AccountId>,
    detail: &Value,
) -> Result<()> {
    db::audit_events::insert(work, action, actor, account, detail)
}
