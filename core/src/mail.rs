//! What a mail says, before anybody has put it into words.

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::device::Device;
use crate::email::EmailAddress;
use crate::identity::{IdentityKey, IdentityKind};
use crate::provider::{Arrival, Providers};

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

/// A link's token that takes an account's ways in back to what they were.
#[derive(Clone, Serialize, Deserialize)]
pub struct MailedUndo {
    pub token: Zeroizing<String>,
    pub minutes: u64,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "template", rename_all = "snake_case")]
pub enum MailContent {
    /// Sign-up was asked for: choose a password (a new account, or one that support already keeps).
    SignUp {
        secret: MailedSecret,
    },
    /// Sign-up was asked for with an address that has an account. No secret.
    AlreadyRegistered,
    /// Forgot password, for an account that is claimed.
    PasswordReset {
        secret: MailedSecret,
    },
    /// Forgot password, for an account that support keeps and nobody has claimed.
    Claim {
        secret: MailedSecret,
    },
    /// Forgot password, for an address that nobody has: an account can be made.
    SignUpInstead {
        secret: MailedSecret,
    },
    /// An operator invites to be an admin.
    AdminInvitation {
        secret: MailedSecret,
    },
    /// The password was set; to every proven address.
    PasswordSet {
        at: Timestamp,
    },
    /// Somebody who signed in with a provider says that this is their address: a code, and what would be attached.
    SocialEmail {
        code: Zeroizing<String>,
        code_minutes: u64,
        named: Named,
    },
    /// The same for an address whose account has an owner. No code.
    LinkNotice {
        named: Named,
    },
    /// The account is its owner's now, by a provider.
    ClaimedByProvider {
        named: Named,
        at: Timestamp,
    },
    IdentityLinked {
        named: Named,
        at: Timestamp,
    },
    IdentityUnlinked {
        named: Named,
        at: Timestamp,
    },
    /// What was said in the messenger on a device has come to the account.
    MessengerLinked {
        at: Timestamp,
    },
    MessengerUnlinked {
        at: Timestamp,
    },
    /// A session wants to make two accounts one: a code, by which its reader agrees. `other` is an address of the other one.
    MergeAccounts {
        code: Zeroizing<String>,
        code_minutes: u64,
        other: Option<String>,
        /// The reader's account is the one that remains.
        remains: bool,
    },
    /// Two accounts have become one; to every proven address of both.
    AccountsMerged {
        at: Timestamp,
    },
    /// An owner is to confirm that their account is deleted.
    DeleteAccount {
        secret: MailedSecret,
    },
    /// It was deleted; to every address that was proven.
    AccountDeleted {
        at: Timestamp,
    },
    /// Somebody has signed in from a device that the account does not know.
    NewDevice {
        at: Timestamp,
        device: Device,
        /// The network it came from.
        network: Option<String>,
        /// What people call the provider, where it was by one.
        provider: Option<String>,
    },
    /// A session's holder is to show that they are the owner.
    Reauthenticate {
        code: Zeroizing<String>,
        code_minutes: u64,
    },
    /// Somebody who is signed in says that this is their address too.
    AddEmail {
        secret: MailedSecret,
        /// What the link names beside its token.
        id: Uuid,
    },
    /// The same for an address that is another account's. No secret.
    AddEmailNotice,
    /// An address was added; to those that were there before.
    EmailAdded {
        /// Where its form lets it say nothing else; so in the two below.
        address: Option<String>,
        at: Timestamp,
        undo: MailedUndo,
    },
    /// Another address is the primary one; to the one that was, with an undo, and to all others.
    PrimaryEmailChanged {
        address: Option<String>,
        at: Timestamp,
        undo: Option<MailedUndo>,
    },
    /// An address was removed; to itself, with an undo unless somebody who was there before did it, and to all others.
    EmailRemoved {
        address: Option<String>,
        at: Timestamp,
        undo: Option<MailedUndo>,
    },
    /// The changes were undone; to every proven address.
    EmailChangesUndone {
        at: Timestamp,
    },
}

/// An identity as a mail may name it. Its owner chose the handle, so it is said only where its form lets it say
/// nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// What people call the provider.
    pub provider: String,
    /// A Twitter handle with its `@`, or an address.
    pub handle: Option<String>,
}

impl Named {
    /// Whoever has just arrived. An address is said only where the provider says that it is verified: anybody may have
    /// typed the reader's.
    #[must_use]
    pub fn of_arrival(providers: &Providers, arrival: &Arrival) -> Self {
        let verified = arrival.email.as_ref().filter(|email| email.verified).map(|email| email.address.as_str());
        let twitter = arrival.key.kind == IdentityKind::Twitter;
        Self::of(providers, &arrival.key, if twitter { arrival.label.as_deref() } else { verified })
    }

    #[must_use]
    pub fn of(providers: &Providers, key: &IdentityKey, label: Option<&str>) -> Self {
        let title = providers.of(key).map(|provider| provider.title.clone());
        let handle = match (key.kind, label) {
            (IdentityKind::Twitter, Some(handle)) if is_handle(handle) => Some(format!("@{handle}")),
            (IdentityKind::Twitter, _) | (_, None) => None,
            (_, Some(label)) => EmailAddress::parse(label).ok().as_ref().and_then(plain),
        };
        Self { provider: title.unwrap_or_else(|| key.kind.to_string()), handle }
    }
}

fn is_handle(text: &str) -> bool {
    (1..=30).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// An address as a mail may say it to somebody else.
#[must_use]
pub fn plain(address: &EmailAddress) -> Option<String> {
    Some(address).filter(|address| is_plain(address)).map(ToString::to_string)
}

/// An address that no mail program takes for a link, and that is too short to say anything.
fn is_plain(address: &EmailAddress) -> bool {
    let local = address.local_part();
    let letters = local.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b));
    letters && !local.starts_with("www.") && address.as_str().len() <= 64
}

impl MailContent {
    /// The code that somebody is to type, where it has one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::SocialEmail { code, .. } | Self::Reauthenticate { code, .. } | Self::MergeAccounts { code, .. } => {
                Some(code)
            }
            other => other.secret().map(|secret| secret.code.as_str()),
        }
    }

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
            Self::SocialEmail { .. } => "social_email",
            Self::LinkNotice { .. } => "link_notice",
            Self::ClaimedByProvider { .. } => "claimed_by_provider",
            Self::IdentityLinked { .. } => "identity_linked",
            Self::IdentityUnlinked { .. } => "identity_unlinked",
            Self::MessengerLinked { .. } => "messenger_linked",
            Self::MessengerUnlinked { .. } => "messenger_unlinked",
            Self::AccountsMerged { .. } => "accounts_merged",
            Self::MergeAccounts { .. } => "merge_accounts",
            Self::DeleteAccount { .. } => "delete_account",
            Self::AccountDeleted { .. } => "account_deleted",
            Self::NewDevice { .. } => "new_device",
            Self::Reauthenticate { .. } => "reauthenticate",
            Self::AddEmail { .. } => "add_email",
            Self::AddEmailNotice => "add_email_notice",
            Self::EmailAdded { .. } => "email_added",
            Self::PrimaryEmailChanged { .. } => "primary_email_changed",
            Self::EmailRemoved { .. } => "email_removed",
            Self::EmailChangesUndone { .. } => "email_changes_undone",
        }
    }

    /// The link's token and the code, where it has both.
    #[must_use]
    pub const fn secret(&self) -> Option<&MailedSecret> {
        match self {
            Self::SignUp { secret }
            | Self::PasswordReset { secret }
            | Self::Claim { secret }
            | Self::SignUpInstead { secret }
            | Self::AdminInvitation { secret }
            | Self::DeleteAccount { secret }
            | Self::AddEmail { secret, .. } => Some(secret),
            Self::AlreadyRegistered
            | Self::PasswordSet { .. }
            | Self::SocialEmail { .. }
            | Self::LinkNotice { .. }
            | Self::ClaimedByProvider { .. }
            | Self::IdentityLinked { .. }
            | Self::IdentityUnlinked { .. }
            | Self::MessengerLinked { .. }
            | Self::MessengerUnlinked { .. }
            | Self::AccountsMerged { .. }
            | Self::MergeAccounts { .. }
            | Self::AccountDeleted { .. }
            | Self::NewDevice { .. }
            | Self::Reauthenticate { .. }
            | Self::AddEmailNotice
            | Self::EmailAdded { .. }
            | Self::PrimaryEmailChanged { .. }
            | Self::EmailRemoved { .. }
            | Self::EmailChangesUndone { .. } => None,
        }
    }

    /// What undoes that of which it tells.
    #[must_use]
    pub const fn undo(&self) -> Option<&MailedUndo> {
        match self {
            Self::EmailAdded { undo, .. } => Some(undo),
            Self::PrimaryEmailChanged { undo, .. } | Self::EmailRemoved { undo, .. } => undo.as_ref(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Provider, ProviderEmail};

    #[test]
    fn an_address_that_somebody_typed_at_a_provider_is_not_said_to_its_reader() {
        let email = |verified| ProviderEmail::read(&"v@example.org".into(), &verified, &serde_json::Value::Null);
        let arrival = |verified: bool| Arrival {
            key: IdentityKey::oidc("https://login.example", "666").unwrap(),
            label: Some("v@example.org".to_owned()),
            name: Some("V".to_owned()),
            email: email(verified.into()),
            signed_in_at: None,
        };
        let handle = |verified| Named::of_arrival(&Providers::default(), &arrival(verified)).handle;
        assert_eq!(handle(false), None);
        assert_eq!(handle(true), Some("v@example.org".to_owned()));
    }

    #[test]
    fn rl_14_a_handle_can_say_nothing_but_a_handle() {
        let twitter = IdentityKey::twitter("12").unwrap();
        let google = IdentityKey::google("https://accounts.google.com", "1").unwrap();
        let title = |key: &IdentityKey, title: &str| Provider {
            name: title.to_lowercase().parse().unwrap(),
            kind: key.kind,
            namespace: key.namespace.clone(),
            title: title.to_owned(),
        };
        let providers = Providers::new(vec![title(&twitter, "Twitter"), title(&google, "Google")]);
        let handle = |key, label| Named::of(&providers, key, Some(label)).handle;
        assert_eq!(handle(&twitter, "ada_l"), Some("@ada_l".to_owned()));
        assert_eq!(handle(&google, "Ada@Example.org"), Some("ada@example.org".to_owned()));
        let strangers = [
            "you have won http://evil.example",
            "a b",
            "",
            "ada\nBcc: x",
            "x.evil",
            "www.evil.example/prize@evil.example",
            "www.evil@evil.example",
            "a=b@evil.example",
            &"a".repeat(31),
            &format!("{}@evil.example", "a".repeat(60)),
        ];
        for stranger in strangers {
            assert_eq!(handle(&twitter, stranger), None, "{stranger:?}");
            assert_eq!(handle(&google, stranger), None, "{stranger:?}");
        }
        assert_eq!(Named::of(&providers, &google, None).provider, "Google");
        assert_eq!(Named::of(&Providers::default(), &google, None).provider, "google");
    }
}
