//! Identifiers: `UUIDv7` (RFC 9562), a type for each kind of thing, so that they cannot be mixed up.
//! An id is never a secret.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;

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

        impl $name {
            /// The least id that could have been made at an instant.
            #[must_use]
            pub fn earliest(at: Timestamp) -> Self {
                let millis = u64::try_from(at.as_micros() / 1000).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid())
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
    FlowId,
    ConversationId,
    MessageId,
    InteractionId,
    ApiKeyId,
    CustomFieldId,
    AuditEventId,
    OutboxId,
    /// An id of a table whose rows nobody names.
    RowId,
}
