//! Identifiers: `UUIDv7` (RFC 9562), a type for each kind of thing, so that they cannot be mixed up.
//! An id is never a secret.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            diesel::expression::AsExpression, diesel::deserialize::FromSqlRow,
        )]
        #[diesel(sql_type = crate::db::types::Uid)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        crate::db::types::uid_columns!($name);
    )*};
}

ids! {
    AccountId,
    IdentityId,
    ProofId,
    CredentialId,
    SessionId,
    /// A browser or app that has signed in before.
    DeviceId,
    ChallengeId,
    ConversationId,
    MessageId,
    InteractionId,
    ApiKeyId,
    AuditEventId,
    OutboxId,
    /// An id of a table whose rows nobody names.
    RowId,
}
