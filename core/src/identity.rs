//! Identities: one address of a person, unique over all accounts.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::db::types::words;
use crate::email::EmailAddress;
use crate::id::{AccountId, ChallengeId, FlowId, IdentityId};

words! {
    pub enum IdentityKind {
        Email = "email",
        Google = "google",
        Facebook = "facebook",
        Twitter = "twitter",
        FacebookPage = "facebook_page",
        Messenger = "messenger",
        Oidc = "oidc",
        Phone = "phone",
        External = "external",
    }
}

words! {
    /// How its owner has shown that they control an identity.
    pub enum ProofMethod {
        MailedLink = "mailed_link",
        MailedCode = "mailed_code",
        Provider = "provider",
        Signature = "signature",
    }
}

/// How an identity was proven, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    pub method: ProofMethod,
    pub challenge: Option<ChallengeId>,
    pub flow: Option<FlowId>,
}

/// Kind, namespace and unchanging subject: what makes an identity that one and no other (rule 6).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IdentityKey {
    pub kind: IdentityKind,
    pub namespace: String,
    pub subject: String,
}

/// Why something is no identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnIdentity(pub String);

impl IdentityKey {
    #[must_use]
    pub fn email(address: &EmailAddress) -> Self {
        Self { kind: IdentityKind::Email, namespace: String::new(), subject: address.as_str().to_owned() }
    }

    /// A Twitter (X) user: the numeric id as text, never the handle.
    pub fn twitter(id: &str) -> Result<Self, NotAnIdentity> {
        let good = (1..=19).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit()) && !all_zero(id);
        Self::checked(good, IdentityKind::Twitter, "", id, "a Twitter id is a number of 1 to 19 digits, as text")
    }

    /// Somebody who wrote to a Facebook page, by the id they have for that page.
    pub fn facebook_page(page_id: &str, id: &str) -> Result<Self, NotAnIdentity> {
        let good = numeric(page_id) && numeric(id);
        Self::checked(
            good,
            IdentityKind::FacebookPage,
            page_id,
            id,
            "Facebook's page and user ids are numbers, as text",
        )
    }

    /// A Google account, by its `sub` (OpenID Connect Core, section 2): never its address, which changes.
    pub fn google(issuer: &str, sub: &str) -> Result<Self, NotAnIdentity> {
        Self::openid(IdentityKind::Google, issuer, sub)
    }

    /// An account of an OpenID provider that the operator added.
    pub fn oidc(issuer: &str, sub: &str) -> Result<Self, NotAnIdentity> {
        Self::openid(IdentityKind::Oidc, issuer, sub)
    }

    fn openid(kind: IdentityKind, issuer: &str, sub: &str) -> Result<Self, NotAnIdentity> {
        let good = !issuer.is_empty() && (1..=255).contains(&sub.len()) && opaque(sub) && !nothing(sub);
        Self::checked(good, kind, issuer, sub, "a sub has 1 to 255 visible ASCII characters")
    }

    /// A Facebook user, by the id they have for an app.
    pub fn facebook(app_id: &str, id: &str) -> Result<Self, NotAnIdentity> {
        let good = numeric(app_id) && numeric(id);
        Self::checked(good, IdentityKind::Facebook, app_id, id, "Facebook's app and user ids are numbers, as text")
    }

    pub fn messenger(device_id: &str) -> Result<Self, NotAnIdentity> {
        let good = (8..=128).contains(&device_id.len()) && opaque(device_id) && !all_zero(device_id);
        Self::checked(good, IdentityKind::Messenger, "", device_id, "a device id has 8 to 128 visible ASCII characters")
    }

    pub fn external(service: &str, id: &str) -> Result<Self, NotAnIdentity> {
        let service_good = (1..=64).contains(&service.len())
            && service.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
        let good = service_good && (1..=255).contains(&id.len()) && opaque(id) && !nothing(id);
        let why =
            "a service is named in lower-case letters, digits, and . _ -; an id has 1 to 255 visible ASCII characters";
        Self::checked(good, IdentityKind::External, service, id, why)
    }

    /// A phone number in E.164: observed only.
    pub fn phone(number: &str) -> Result<Self, NotAnIdentity> {
        let digits = number.strip_prefix('+').unwrap_or_default();
        let good =
            (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        Self::checked(
            good,
            IdentityKind::Phone,
            "",
            number,
            "use an international number such as +441632960961 (E.164)",
        )
    }

    fn checked(
        good: bool,
        kind: IdentityKind,
        namespace: &str,
        subject: &str,
        why: &str,
    ) -> Result<Self, NotAnIdentity> {
        if !good {
            return Err(NotAnIdentity(why.to_owned()));
        }
        Ok(Self { kind, namespace: namespace.to_owned(), subject: subject.to_owned() })
    }
}

fn numeric(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) && !all_zero(text)
}

fn opaque(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

fn all_zero(text: &str) -> bool {
    text.bytes().all(|b| b == b'0')
}

/// What programs write where they have no id.
fn nothing(text: &str) -> bool {
    all_zero(text) || matches!(text.to_ascii_lowercase().as_str(), "null" | "nil" | "none" | "undefined" | "nan")
}

/// An identity as stored, with the proof its account has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub id: IdentityId,
    pub account_id: AccountId,
    pub key: IdentityKey,
    /// The address as it was first written, or a handle: to be shown, never to be compared.
    pub label: Option<String>,
    /// The name it was seen with.
    pub name: Option<String>,
    pub is_primary: bool,
    pub observed_at: Timestamp,
    /// Since when it has been its owner's, by a proof; nothing while it is only observed.
    pub owned_since: Option<Timestamp>,
}

impl Identity {
    /// What a person knows it by: a handle, or the address as it was first written.
    #[must_use]
    pub fn shown_label(self) -> Option<String> {
        shown_label(&self.key, self.label)
    }
}

/// What a person knows an identity by.
#[must_use]
pub fn shown_label(key: &IdentityKey, label: Option<String>) -> Option<String> {
    label.or_else(|| (key.kind == IdentityKind::Email).then(|| key.subject.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_6_a_subject_is_never_missing_zero_or_a_handle() {
        for wrong in ["", "0", "00", "ada", "@ada", "12.0", "-1", "1e5", " 12", "null", "12345678901234567890"] {
            assert!(IdentityKey::twitter(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(IdentityKey::twitter("12").unwrap().subject, "12");
        assert!(IdentityKey::facebook_page("7", "99").is_ok());
        for (page, id) in [("", "99"), ("7", ""), ("7", "0"), ("x", "99")] {
            assert!(IdentityKey::facebook_page(page, id).is_err());
        }
        for wrong in ["", "null", "undefined", "0", "a b", "ü", "a\0"] {
            assert!(IdentityKey::external("shop", wrong).is_err(), "{wrong:?}");
            assert!(IdentityKey::google("https://accounts.google.com", wrong).is_err(), "{wrong:?}");
            assert!(IdentityKey::oidc("https://login.example", wrong).is_err(), "{wrong:?}");
            assert!(IdentityKey::facebook("7", wrong).is_err(), "{wrong:?}");
        }
        assert!(IdentityKey::google("https://accounts.google.com", "110169484474386276334").is_ok());
        assert!(IdentityKey::external("Shop", "u1").is_err());
        assert!(IdentityKey::external("shop", "u1").is_ok());
        assert!(IdentityKey::messenger("0000000000").is_err());
        assert!(IdentityKey::phone("+441632960961").is_ok());
    }
}
