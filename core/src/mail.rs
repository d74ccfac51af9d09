//! What a mail says, before anybody has put it into words.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::Timestamp;

/// A mail on its way: sealed in the outbox until it is sent, then forgotten.
#[derive(Clone, Serialize, Deserialize)]
pub struct Mail {
    /// The canonical address it goes to.
    pub to: String,
    /// The account's locale, or what the asker said, as a BCP 47 tag.
    pub locale: Option<String>,
    pub content: MailContent,
}

/// A link's token and a code, either of which proves that its reader has the mailbox.
#[derive(Clone, Serialize, Deserialize)]
pub struct MailedSecret {
    pub token: Zeroizing<String>,
    pub code: Zeroizing<String>,
    pub link_minutes: u64,
    pub code_minutes: u64,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "template", rename_all = "snake_case")]
pub enum MailContent {
    /// Sign-up was asked for: choose a password (a new account, or one that support already keeps).
    SignUp { secret: MailedSecret },
    /// Sign-up was asked for with an address that has an account. No secret.
    AlreadyRegistered,
    /// Forgot password, for an account that is claimed.
    PasswordReset { secret: MailedSecret },
    /// Forgot password, for an account that support keeps and nobody has claimed.
    Claim { secret: MailedSecret },
    /// Forgot password, for an address that nobody has: an account can be made.
    SignUpInstead { secret: MailedSecret },
    /// An operator invites to be an admin.
    AdminInvitation { secret: MailedSecret },
    /// The password was set; to every proven address.
    PasswordSet { at: Timestamp },
}

impl MailContent {
    /// The name of its template.
    #[must_use]
    pub const fn template(&self) -> &'static str {
        match self {
            Self::SignUp { .. } => "sign_up",
            Self::AlreadyRegistered => "already_registered",
            Self::PasswordReset { .. } => "password_reset",
            Self::Claim { .. } => "claim",
            Self::SignUpInstead { .. } => "sign_up_instead",
            Self::AdminInvitation { .. } => "admin_invitation",
            Self::PasswordSet { .. } => "password_set",
        }
    }

    #[must_use]
    pub const fn secret(&self) -> Option<&MailedSecret> {
        match self {
            Self::SignUp { secret }
            | Self::PasswordReset { secret }
            | Self::Claim { secret }
            | Self::SignUpInstead { secret }
            | Self::AdminInvitation { secret } => Some(secret),
            Self::AlreadyRegistered | Self::PasswordSet { .. } => None,
        }
    }
}
