//! Providers people sign in with: what each is called, and what it says of whoever arrives by it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::email::EmailAddress;
use crate::identity::{IdentityKey, IdentityKind};
use crate::line;

/// What a provider is called in paths, settings and configuration: `google`, `facebook`, `twitter`, or what the
/// operator calls an OpenID provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderName(Arc<str>);

/// Words that stand in the same places of paths or sessions and mean something else there.
const TAKEN: [&str; 12] = [
    "email",
    "exchange",
    "external",
    "mail",
    "mailed_code",
    "messenger",
    "password",
    "passkey",
    "phone",
    "merges",
    "operator",
    "signup",
];

impl ProviderName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind that its name alone makes it; any other is an OpenID provider that the operator added.
    #[must_use]
    pub fn kind(&self) -> IdentityKind {
        match self.as_str() {
            "google" => IdentityKind::Google,
            "facebook" => IdentityKind::Facebook,
            "twitter" => IdentityKind::Twitter,
            _ => IdentityKind::Oidc,
        }
    }
}

impl FromStr for ProviderName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let letters = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let good =
            (2..=32).contains(&text.len()) && letters(text) && text.starts_with(|c: char| c.is_ascii_lowercase());
        if !good {
            return Err(format!(
                "{text:?}: a provider is named by 2 to 32 lower-case letters and digits, a letter first"
            ));
        }
        if TAKEN.contains(&text) {
            return Err(format!("{text:?} means something else here: give the provider another name"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ProviderName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ProviderName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A provider that is configured here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    pub name: ProviderName,
    pub kind: IdentityKind,
    /// The namespace of its identities: an issuer, an app id, or nothing.
    pub namespace: String,
    /// What people call it: `Google`, `Twitter (X)`.
    pub title: String,
}

/// All that are configured here, in the order they are shown in.
#[derive(Debug, Clone, Default)]
pub struct Providers(Arc<[Provider]>);

impl Providers {
    #[must_use]
    pub fn new(providers: Vec<Provider>) -> Self {
        Self(providers.into())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.0.iter()
    }

    #[must_use]
    pub fn find(&self, name: &ProviderName) -> Option<&Provider> {
        self.iter().find(|provider| provider.name == *name)
    }

    /// The provider that an identity is signed in with.
    #[must_use]
    pub fn of(&self, key: &IdentityKey) -> Option<&Provider> {
        self.iter().find(|provider| (provider.kind, &provider.namespace) == (key.kind, &key.namespace))
    }
}

/// Who a provider says has just signed in there. It is kept with the flow, sealed, and dies with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    pub key: IdentityKey,
    /// The handle, or an address: to be shown, never to be compared.
    pub label: Option<String>,
    pub name: Option<String>,
    pub email: Option<ProviderEmail>,
    /// When they last showed the provider who they are, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_in_at: Option<Timestamp>,
}

/// The address a provider gave. Whether it counts as proof is for [`crate::linking`] to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderEmail {
    pub address: EmailAddress,
    /// The claim `email_verified` was there, and the boolean `true`.
    pub verified: bool,
    /// Google's `hd`: the Workspace domain that the account belongs to.
    pub hosted_domain: Option<String>,
}

impl ProviderEmail {
    /// Reads an address as a provider gave it; anything that is none is as if it were not there.
    #[must_use]
    pub fn read(email: &Value, verified: &Value, hosted_domain: &Value) -> Option<Self> {
        let address = EmailAddress::parse(email.as_str()?).ok()?;
        let hosted_domain = hosted_domain.as_str().map(str::to_ascii_lowercase);
        Some(Self { address, verified: *verified == Value::Bool(true), hosted_domain })
    }
}

/// A name or handle as it may be shown: one line of at most 200 characters, or nothing.
#[must_use]
pub fn shown(text: &Value) -> Option<String> {
    line::cleaned(text.as_str()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_provider_has_a_name_that_can_stand_anywhere() {
        for good in ["google", "acme", "a1"] {
            assert_eq!(good.parse::<ProviderName>().unwrap().as_str(), good);
        }
        for wrong in ["", "a", "Google", "1a", "a-b", "a_b", "a/b", "exchange", "email", "password", &"a".repeat(33)] {
            assert!(wrong.parse::<ProviderName>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn oa_17_an_address_that_is_none_is_not_there() {
        let long = format!("{}@example.org", "a".repeat(2048));
        let none = [
            json!(null),
            json!(["v@example.org"]),
            json!({ "email": "v@example.org" }),
            json!(1),
            json!(true),
            json!(""),
            json!(long),
            json!("v@example.org\r\nBcc: a@example.org"),
            json!("v\u{0}@example.org"),
            json!("v"),
            json!("v@example.org,a@example.org"),
            json!("<v@example.org>"),
        ];
        for email in none {
            assert_eq!(ProviderEmail::read(&email, &json!(true), &json!(null)), None, "{email}");
        }
    }

    #[test]
    fn ph_07_only_the_boolean_true_is_verified() {
        let read = |verified| ProviderEmail::read(&json!("v@example.org"), &verified, &json!(null)).unwrap().verified;
        assert!(read(json!(true)));
        for wrong in [json!(false), json!("true"), json!(1), json!(null), json!([true]), json!({})] {
            assert!(!read(wrong.clone()), "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_is_one_line() {
        assert_eq!(shown(&json!("  Ada\r\nLovelace ")), Some("AdaLovelace".to_owned()));
        assert_eq!(shown(&json!("x".repeat(300))).unwrap().len(), 200);
        for nothing in [json!(null), json!(""), json!(" \n"), json!(["Ada"]), json!(12)] {
            assert_eq!(shown(&nothing), None, "{nothing}");
        }
    }
}
