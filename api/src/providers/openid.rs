//! Google and any other OpenID Connect provider: discovery, keys, and who arrives by an id token.

use doorstep_core::clock::Timestamp;
use doorstep_core::identity::{IdentityKey, IdentityKind};
use doorstep_core::provider::{Arrival, Provider, ProviderEmail, shown};
use oauth2::AuthType;
use oauth2::url::Url;
use serde::Deserialize;
use serde_json::Value;

use super::ProviderError;
use super::cached::Cached;
use super::exchange::{Ourselves, Redemption, Tokens};
use super::id_token::{Claims, Expected, Keys, Why, verify};
use super::line::Talk;
use crate::config::providers::is_safe;

pub struct OpenId {
    kind: IdentityKind,
    issuer: String,
    discovery: Url,
    native_client_ids: Vec<String>,
    metadata: Cached<Metadata>,
    keys: KeyStore,
}

/// The part of a discovery document (OpenID Connect Discovery, section 3) that is of use here.
#[derive(Debug, Clone, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    userinfo_endpoint: Option<Url>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// A discovery document that was checked.
#[derive(Debug)]
pub struct Metadata {
    pub authorization: Url,
    token: Url,
    keys: Url,
    userinfo: Option<Url>,
    auth_type: AuthType,
}

impl OpenId {
    pub fn new(provider: &Provider, native_client_ids: Vec<String>) -> Result<Self, String> {
        let issuer = provider.namespace.clone();
        let discovery = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let discovery =
            Url::parse(&discovery).map_err(|error| format!("providers.{}.issuer: {error}", provider.name))?;
        Ok(Self {
            kind: provider.kind,
            issuer,
            discovery,
            native_client_ids,
            metadata: Cached::default(),
            keys: KeyStore::default(),
        })
    }

    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub async fn metadata(&self, talk: &Talk) -> Result<std::sync::Arc<Metadata>, ProviderError> {
        self.metadata.get(talk.now(), talk.limits().renew, || self.discover(talk)).await
    }

    async fn discover(&self, talk: &Talk) -> Result<Metadata, ProviderError> {
        let document: Document = talk.get(self.discovery.clone(), None).await?.read()?;
        let failed = |cause: &str| ProviderError::Failed(format!("its discovery document {cause}"));
        if document.issuer != self.issuer {
            return Err(failed("is another issuer's"));
        }
        // what is said in clear on this machine is for a provider on this machine
        let clear = self.discovery.scheme() == "http";
        let good = |url: &Url| is_safe(url) && (clear || url.scheme() == "https") && url.fragment().is_none();
        let Document { authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint, .. } = document;
        if ![&authorization_endpoint, &token_endpoint, &jwks_uri].into_iter().chain(&userinfo_endpoint).all(good) {
            return Err(failed("names an endpoint without TLS"));
        }
        // where it says nothing, it takes Basic (OpenID Connect Core, section 9)
        let methods = document.token_endpoint_auth_methods_supported.unwrap_or_default();
        let has = |name: &str| methods.iter().any(|method| method == name);
        let by_body = has("client_secret_post") && !has("client_secret_basic");
        Ok(Metadata {
            authorization: authorization_endpoint,
            token: token_endpoint,
            keys: jwks_uri,
            userinfo: userinfo_endpoint,
            auth_type: if by_body { AuthType::RequestBody } else { AuthType::BasicAuth },
        })
    }

    pub async fn redeem(&self, talk: &Talk, us: &Ourselves, redemption: &Redemption) -> Result<Arrival, ProviderError> {
        let metadata = self.metadata(talk).await?;
        let tokens = us.exchange(talk, &metadata.token, metadata.auth_type.clone(), redemption).await?;
        let id_token = tokens.id_token.as_ref();
        let id_token = id_token.ok_or_else(|| ProviderError::Failed("it gave no id token".to_owned()))?;
        let expected = Expected {
            issuer: &self.issuer,
            client_id: &us.client_id,
            native_client_ids: &[],
            nonce: &redemption.nonce,
            access_token: Some(&tokens.access_token),
            now: talk.now(),
        };
        let claims = self.keys.verify(talk, &metadata.keys, id_token, &expected).await?;
        let mut arrival = self.arrival(&claims)?;
        if claims.get("email").is_null() {
            self.ask_for_email(talk, &metadata, &tokens, &claims, &mut arrival).await;
        }
        Ok(arrival)
    }

    pub async fn check_id_token(
        &self,
        talk: &Talk,
        us: &Ourselves,
        token: &str,
        nonce: &str,
    ) -> Result<Arrival, ProviderError> {
        let metadata = self.metadata(talk).await?;
        let expected = Expected {
            issuer: &self.issuer,
            client_id: &us.client_id,
            native_client_ids: &self.native_client_ids,
            nonce,
            access_token: None,
            now: talk.now(),
        };
        self.arrival(&self.keys.verify(talk, &metadata.keys, token, &expected).await?)
    }

    fn arrival(&self, claims: &Claims) -> Result<Arrival, ProviderError> {
        let key = match self.kind {
            IdentityKind::Google => IdentityKey::google(&self.issuer, &claims.sub),
            _ => IdentityKey::oidc(&self.issuer, &claims.sub),
        };
        let key = key.map_err(|why| ProviderError::Refused(why.0))?;
        let email = ProviderEmail::read(claims.get("email"), claims.get("email_verified"), claims.get("hd"));
        let label = email.as_ref().map(|email| email.address.as_str().to_owned());
        let label = label.or_else(|| shown(claims.get("preferred_username")));
        let signed_in_at = match claims.get("auth_time") {
            Value::Null => None,
            // what is no time was no sign-in of late
            time => Some(Timestamp::from_seconds(seconds(time).unwrap_or(0))),
        };
        Ok(Arrival { key, label, name: shown(claims.get("name")), email, signed_in_at })
    }

    /// Asks for what the id token does not say. It is never more than a hint: nobody signed it for us.
    async fn ask_for_email(
        &self,
        talk: &Talk,
        metadata: &Metadata,
        tokens: &Tokens,
        claims: &Claims,
        arrival: &mut Arrival,
    ) {
        let Some(endpoint) = &metadata.userinfo else { return };
        let asked = async { talk.get(endpoint.clone(), Some(&tokens.access_token)).await?.read::<Value>() };
        let asked = tokio::time::timeout(talk.limits().renew, asked).await.unwrap_or(Err(ProviderError::TimedOut));
        match asked {
            Ok(info) if info.get("sub").and_then(Value::as_str) == Some(&claims.sub) => {
                let claim = |name: &str| info.get(name).unwrap_or(&Value::Null);
                arrival.email = ProviderEmail::read(claim("email"), &Value::Bool(false), &Value::Null);
                let address = arrival.email.as_ref().map(|email| email.address.as_str().to_owned());
                let label = address.or_else(|| shown(claim("preferred_username")));
                arrival.label = arrival.label.take().or(label);
                arrival.name = arrival.name.take().or_else(|| shown(claim("name")));
            }
            Ok(_) => tracing::warn!(issuer = self.issuer, "its userinfo is about somebody else: left aside"),
            Err(error) => tracing::warn!(issuer = self.issuer, %error, "its userinfo was not to be had"),
        }
    }
}

/// A `NumericDate` (RFC 7519, section 2), which may have a fraction.
fn seconds(time: &Value) -> Option<i64> {
    time.as_number()?.to_string().split('.').next()?.parse().ok()
}

/// The keys of one issuer, fetched when they are needed.
#[derive(Debug, Default)]
pub struct KeyStore {
    keys: Cached<Keys>,
}

impl KeyStore {
    /// Verifies an id token; where it names a key that is not known, newer keys are looked for, seldom.
    pub async fn verify(
        &self,
        talk: &Talk,
        url: &Url,
        token: &str,
        expected: &Expected<'_>,
    ) -> Result<Claims, ProviderError> {
        let patience = talk.limits().renew;
        let keys = self.keys.get(expected.now, patience, || fetch(talk, url)).await?;
        let mut verified = verify(token, &keys, expected);
        if verified == Err(Why::UnknownKey)
            && let Some(newer) = self.keys.newer(&keys, expected.now, patience, || fetch(talk, url)).await
        {
            verified = verify(token, &newer, expected);
        }
        verified.map_err(|why| ProviderError::Refused(why.to_string()))
    }
}

async fn fetch(talk: &Talk, url: &Url) -> Result<Keys, ProviderError> {
    let document = talk.get(url.clone(), None).await?.read::<Value>()?;
    Keys::read(&document).ok_or_else(|| ProviderError::Failed("it publishes no keys that are known here".to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_is_a_number_of_seconds_with_or_without_a_fraction() {
        for good in [json!(1_767_323_045), json!(1_767_323_045.75)] {
            assert_eq!(seconds(&good), Some(1_767_323_045), "{good}");
        }
        for none in [json!("1767323045"), json!(true), json!([1_767_323_045]), json!({}), json!(null), json!(1e300)] {
            assert_eq!(seconds(&none), None, "{none}");
        }
    }
}
