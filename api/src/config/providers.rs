//! `[providers.NAME]`: whom people sign in with, read from the file and then checked as a whole.

use std::fmt;

use doorstep_core::identity::IdentityKind;
use doorstep_core::provider::{self, Provider, ProviderName};
use oauth2::url::{Host, Url};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::secret::Secret;

/// `[providers]` as it is written.
#[derive(Debug, Clone, Default)]
pub struct Providers(Vec<(ProviderName, Written)>);

#[derive(Debug, Clone)]
enum Written {
    OpenId(OpenId),
    Facebook(Facebook),
    Twitter(Twitter),
}

/// Google, or any other OpenID Connect provider.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OpenId {
    title: Option<String>,
    issuer: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    native_client_ids: Vec<String>,
    scopes: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Facebook {
    client_id: Option<String>,
    client_secret: Option<Secret>,
    authorization_url: String,
    graph_url: String,
    limited_issuer: String,
    limited_jwks_url: String,
    scopes: Option<Vec<String>>,
}

impl Default for Facebook {
    fn default() -> Self {
        Self {
            client_id: None,
            client_secret: None,
            authorization_url: "https://www.facebook.com/v26.0/dialog/oauth".to_owned(),
            graph_url: "https://graph.facebook.com/v26.0".to_owned(),
            // the tokens of Limited Login name another host than the one that publishes their keys
            limited_issuer: "https://www.facebook.com".to_owned(),
            limited_jwks_url: "https://limited.facebook.com/.well-known/oauth/openid/jwks/".to_owned(),
            scopes: None,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Twitter {
    client_id: Option<String>,
    client_secret: Option<Secret>,
    authorization_url: String,
    api_url: String,
    scopes: Option<Vec<String>>,
}

impl Default for Twitter {
    fn default() -> Self {
        Self {
            client_id: None,
            client_secret: None,
            authorization_url: "https://x.com/i/oauth2/authorize".to_owned(),
            api_url: "https://api.x.com/2".to_owned(),
            scopes: None,
        }
    }
}

impl<'de> Deserialize<'de> for Providers {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Tables;

        impl<'de> Visitor<'de> for Tables {
            type Value = Providers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table for each provider, such as [providers.google]")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Providers, M::Error> {
                let mut providers = Vec::new();
                while let Some(name) = map.next_key::<ProviderName>()? {
                    let written = match name.kind() {
                        IdentityKind::Facebook => Written::Facebook(map.next_value()?),
                        IdentityKind::Twitter => Written::Twitter(map.next_value()?),
                        _ => Written::OpenId(map.next_value()?),
                    };
                    providers.push((name, written));
                }
                Ok(Providers(providers))
            }
        }

        input.deserialize_map(Tables)
    }
}

/// A provider whose settings are complete and sound.
#[derive(Debug, Clone)]
pub struct Known {
    pub provider: Provider,
    pub client_id: String,
    pub client_secret: Secret,
    pub scopes: Vec<String>,
    pub road: Road,
}

/// How it is spoken to.
#[derive(Debug, Clone)]
pub enum Road {
    /// The issuer is the provider's namespace.
    OpenId {
        native_client_ids: Vec<String>,
    },
    Facebook {
        authorization_url: Url,
        graph_url: Url,
        limited_issuer: String,
        limited_jwks_url: Url,
    },
    Twitter {
        authorization_url: Url,
        api_url: Url,
    },
}

impl Providers {
    /// All that are configured, checked, in the order people see them in.
    pub fn resolve(&self) -> Result<Vec<Known>, String> {
        let mut known = self.0.iter().map(|(name, written)| written.resolve(name)).collect::<Result<Vec<_>, _>>()?;
        known.sort_by_key(|known| {
            let place = match known.provider.kind {
                IdentityKind::Google => 0,
                IdentityKind::Facebook => 1,
                IdentityKind::Twitter => 2,
                _ => 3,
            };
            (place, known.provider.name.clone())
        });
        for (at, one) in known.iter().enumerate() {
            let twin = known.iter().skip(at + 1).find(|other| {
                (other.provider.kind, &other.provider.namespace) == (one.provider.kind, &one.provider.namespace)
            });
            if let Some(twin) = twin {
                return Err(format!(
                    "providers.{} and providers.{} have one issuer: people would be known by two names of it. Leave one out",
                    one.provider.name, twin.provider.name
                ));
            }
        }
        Ok(known)
    }
}

impl Providers {
    /// What core knows of them.
    pub fn known(&self) -> Result<provider::Providers, String> {
        Ok(provider::Providers::new(self.resolve()?.into_iter().map(|known| known.provider).collect()))
    }
}

impl Written {
    fn resolve(&self, name: &ProviderName) -> Result<Known, String> {
        match self {
            Self::OpenId(written) => written.resolve(name),
            Self::Facebook(written) => written.resolve(name),
            Self::Twitter(written) => written.resolve(name),
        }
    }
}

impl OpenId {
    fn resolve(&self, name: &ProviderName) -> Result<Known, String> {
        let google = name.kind() == IdentityKind::Google;
        let default = google.then(|| "https://accounts.google.com".to_owned());
        let issuer = self.issuer.clone().or(default);
        let issuer = issuer.ok_or_else(|| missing(name, "issuer", "such as https://login.shop.example"))?;
        endpoint(&format!("providers.{name}.issuer"), &issuer)?;
        let title = self.title.clone().unwrap_or_else(|| if google { "Google".to_owned() } else { name.to_string() });
        if title.trim().is_empty() || title.chars().count() > 60 || title.chars().any(char::is_control) {
            return Err(format!("providers.{name}.title = {title:?}: use 1 to 60 characters on one line"));
        }
        if self.native_client_ids.iter().any(|id| !visible(id)) {
            return Err(format!("providers.{name}.native_client_ids: an id has no spaces and is not empty"));
        }
        let scopes = scopes(name, self.scopes.as_ref(), &["openid", "email", "profile"])?;
        if !scopes.iter().any(|scope| scope == "openid") {
            return Err(format!("providers.{name}.scopes: without openid there is no id token to sign in with"));
        }
        Ok(Known {
            provider: provider(name, issuer, title),
            client_id: client_id(name, self.client_id.as_ref())?,
            client_secret: client_secret(name, self.client_secret.as_ref())?,
            scopes,
            road: Road::OpenId { native_client_ids: self.native_client_ids.clone() },
        })
    }
}

impl Facebook {
    fn resolve(&self, name: &ProviderName) -> Result<Known, String> {
        let app_id = client_id(name, self.client_id.as_ref())?;
        if app_id.len() > 32 || !app_id.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("providers.{name}.client_id = {app_id:?}: Facebook's app id is a number"));
        }
        endpoint(&format!("providers.{name}.limited_issuer"), &self.limited_issuer)?;
        Ok(Known {
            provider: provider(name, app_id.clone(), "Facebook".to_owned()),
            client_id: app_id,
            client_secret: client_secret(name, self.client_secret.as_ref())?,
            scopes: scopes(name, self.scopes.as_ref(), &["public_profile", "email"])?,
            road: Road::Facebook {
                authorization_url: endpoint(&format!("providers.{name}.authorization_url"), &self.authorization_url)?,
                graph_url: endpoint(&format!("providers.{name}.graph_url"), &self.graph_url)?,
                limited_issuer: self.limited_issuer.clone(),
                limited_jwks_url: endpoint(&format!("providers.{name}.limited_jwks_url"), &self.limited_jwks_url)?,
            },
        })
    }
}

impl Twitter {
    fn resolve(&self, name: &ProviderName) -> Result<Known, String> {
        Ok(Known {
            provider: provider(name, String::new(), "Twitter (X)".to_owned()),
            client_id: client_id(name, self.client_id.as_ref())?,
            client_secret: client_secret(name, self.client_secret.as_ref())?,
            scopes: scopes(name, self.scopes.as_ref(), &["users.read", "tweet.read", "users.email"])?,
            road: Road::Twitter {
                authorization_url: endpoint(&format!("providers.{name}.authorization_url"), &self.authorization_url)?,
                api_url: endpoint(&format!("providers.{name}.api_url"), &self.api_url)?,
            },
        })
    }
}

fn provider(name: &ProviderName, namespace: String, title: String) -> Provider {
    Provider { name: name.clone(), kind: name.kind(), namespace, title }
}

fn missing(name: &ProviderName, key: &str, cure: &str) -> String {
    let variable = format!("DOORSTEP_PROVIDERS_{name}_{key}").to_ascii_uppercase();
    format!("providers.{name}.{key} ({variable}) is not set: {cure}")
}

fn client_id(name: &ProviderName, written: Option<&String>) -> Result<String, String> {
    let id = written.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| missing(name, "client_id", "it is what the provider calls this service"))?;
    if visible(id) { Ok(id.clone()) } else { Err(format!("providers.{name}.client_id = {id:?}: an id has no spaces")) }
}

fn client_secret(name: &ProviderName, written: Option<&Secret>) -> Result<Secret, String> {
    let secret = written.filter(|secret| !secret.expose().is_empty());
    let secret = secret.ok_or_else(|| missing(name, "client_secret", "the provider gave it along with the id"))?;
    if secret.expose().chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("providers.{name}.client_secret has a space or a line break in it"));
    }
    Ok(secret.clone())
}

fn scopes(name: &ProviderName, written: Option<&Vec<String>>, default: &[&str]) -> Result<Vec<String>, String> {
    let scopes = written.cloned().unwrap_or_else(|| default.iter().map(|scope| (*scope).to_owned()).collect());
    match scopes.iter().find(|scope| !visible(scope)) {
        Some(scope) => Err(format!("providers.{name}.scopes: {scope:?} is no scope; they are items of a list")),
        None => Ok(scopes),
    }
}

fn visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// An address of a provider: nobody on the way may read or change what is said there.
fn endpoint(key: &str, text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| url.query().is_none() && url.fragment().is_none() && is_safe(url));
    url.ok_or_else(|| {
        // somebody may have put a password into it
        let shown = if text.contains('@') { "…" } else { text };
        format!("{key} = {shown:?}: expected an https:// address without a query (http:// only on this machine)")
    })
}

/// Whether it is `https`, or on this machine, and carries no password.
#[must_use]
pub fn is_safe(url: &Url) -> bool {
    let here = match url.host() {
        Some(Host::Ipv4(ip)) => ip == std::net::Ipv4Addr::LOCALHOST,
        Some(Host::Ipv6(ip)) => ip == std::net::Ipv6Addr::LOCALHOST,
        Some(Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    (url.scheme() == "https" || (url.scheme() == "http" && here))
        && url.username().is_empty()
        && url.password().is_none()
}

#[cfg(test)]
#[path = "providers_tests.rs"]
mod tests;
