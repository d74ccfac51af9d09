//! Providers that people sign in with: where they are sent, and who they are when they come back.

mod breaker;
mod cached;
mod exchange;
mod facebook;
mod id_token;
mod line;
mod openid;
mod outbound;
mod twitter;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use doorstep_core::clock::Clock;
use doorstep_core::identity::IdentityKind;
use doorstep_core::provider::{Arrival, Provider, ProviderName, Providers};
use oauth2::url::Url;
use thiserror::Error;
use zeroize::Zeroizing;

use self::exchange::{Ourselves, Redemption};
use self::facebook::Facebook;
use self::line::{Line, Talk};
use self::openid::OpenId;
pub use self::outbound::Limits;
use self::outbound::Outbound;
use self::twitter::Twitter;
use crate::config::Config;
use crate::config::providers::{Known, Road};

/// Why a provider did not say who somebody is. No cause holds a token, a code, a secret or an address's query.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProviderError {
    #[error("it took too long")]
    TimedOut,
    /// It cannot be reached, or answers what nobody can use; the cause is for the log, where it already is.
    #[error("{0}")]
    Failed(String),
    /// It, or we for it, asks to come again later.
    #[error("it wants to be left alone for {} s", retry_after.as_secs())]
    Busy { retry_after: Duration },
    /// It, or the check of what it gave, says no.
    #[error("{0}")]
    Refused(String),
    /// An app's token of this kind cannot be checked here.
    #[error("{0}")]
    NativeUnsupported(&'static str),
}

/// What a sign-in in a browser begins with. It is for the caller to keep, and to forget.
#[derive(Clone, Copy)]
pub struct Round<'a> {
    pub state: &'a str,
    pub nonce: &'a str,
    /// S256 of the verifier (RFC 7636).
    pub pkce_challenge: &'a str,
    /// Our callback.
    pub redirect_uri: &'a str,
    /// The person is to sign in there anew.
    pub anew: bool,
}

/// What an app got from a provider's SDK.
pub enum NativeToken {
    IdToken(Zeroizing<String>),
    AccessToken(Zeroizing<String>),
}

/// What is said of a provider whose tokens are not taken at all.
pub const NO_NATIVE: &str = "This provider's tokens do not say for whom they were made: use a browser.";

/// No access token is longer.
const LONGEST_ACCESS_TOKEN: usize = 4096;

/// All providers that are configured, and the thread that speaks to them.
#[derive(Clone, Default)]
pub struct Registry {
    clients: Arc<[Arc<Client>]>,
    providers: Providers,
    /// None where there is nobody to speak to.
    outbound: Option<Arc<Outbound>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.providers).finish()
    }
}

impl Registry {
    /// Starts the thread of what is configured; nobody is spoken to before somebody wants to sign in.
    pub fn start(config: &Config, clock: &Clock, limits: Limits) -> Result<Self, String> {
        let known = config.providers.resolve()?;
        let providers = Providers::new(known.iter().map(|known| known.provider.clone()).collect());
        if known.is_empty() {
            return Ok(Self { clients: Arc::from([]), providers, outbound: None });
        }
        let outbound = Arc::new(Outbound::start(limits, config.social.roots()?)?);
        let client = |known| Client::new(known, clock, &outbound).map(Arc::new);
        let clients = known.into_iter().map(client).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { clients: clients.into(), providers, outbound: Some(outbound) })
    }

    /// Who is configured, in the order people see them in.
    #[must_use]
    pub fn providers(&self) -> Providers {
        self.providers.clone()
    }

    #[must_use]
    pub fn get(&self, name: &ProviderName) -> Option<Arc<Client>> {
        self.clients.iter().find(|client| client.provider.name == *name).map(Arc::clone)
    }

    /// Ends the thread, and with it every conversation.
    pub fn stop(&self) {
        if let Some(outbound) = &self.outbound {
            outbound.stop();
        }
    }
}

/// One provider.
pub struct Client {
    provider: Provider,
    us: Ourselves,
    service: Service,
    line: Arc<Line>,
}

enum Service {
    OpenId(OpenId),
    Facebook(Facebook),
    Twitter(Twitter),
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.provider).finish()
    }
}

impl Client {
    fn new(known: Known, clock: &Clock, outbound: &Arc<Outbound>) -> Result<Self, String> {
        let Known { provider, client_id, client_secret, scopes, road } = known;
        let service = match road {
            Road::OpenId { native_client_ids } => Service::OpenId(OpenId::new(&provider, native_client_ids)?),
            Road::Facebook { authorization_url, graph_url, limited_issuer, limited_jwks_url } => {
                Service::Facebook(Facebook::new(authorization_url, graph_url, limited_issuer, limited_jwks_url))
            }
            Road::Twitter { authorization_url, api_url } => {
                Service::Twitter(Twitter { authorization: authorization_url, api: api_url })
            }
        };
        let line = Arc::new(Line::new(provider.name.clone(), clock.clone(), Arc::clone(outbound)));
        Ok(Self { provider, us: Ourselves { client_id, client_secret, scopes }, service, line })
    }

    #[must_use]
    pub const fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Whose name the `iss` of a callback must be, where it has one (RFC 9207); none where the provider has no issuer.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        match &self.service {
            Service::OpenId(openid) => Some(openid.issuer()),
            Service::Facebook(_) | Service::Twitter(_) => None,
        }
    }

    /// Where to send a person. An OpenID provider may have to be asked first where that is.
    pub async fn authorization_url(self: &Arc<Self>, round: Round<'_>) -> Result<String, ProviderError> {
        match &self.service {
            Service::Facebook(facebook) => self.us.authorization_url(&facebook.authorization, &round, self.asks(round)),
            Service::Twitter(twitter) => self.us.authorization_url(&twitter.authorization, &round, self.asks(round)),
            Service::OpenId(_) => {
                let client = Arc::clone(self);
                let asked = async move |talk: Talk| match &client.service {
                    Service::OpenId(openid) => {
                        openid.metadata(&talk).await.map(|metadata| metadata.authorization.clone())
                    }
                    _ => Err(ProviderError::Failed("it is no OpenID provider".to_owned())),
                };
                let endpoint = self.line.converse(asked).await?;
                self.us.authorization_url(&endpoint, &round, self.asks(round))
            }
        }
    }

    /// What is asked of it beside what OAuth 2.0 has: a nonce in the id token, and that the person sign in there anew,
    /// in the words that each has for that. Google and X have none; Google lets people choose another account.
    fn asks<'a>(&self, round: Round<'a>) -> Vec<(&'static str, &'a str)> {
        let anew: &[(&str, &str)] = match &self.service {
            Service::OpenId(_) if self.provider.kind == IdentityKind::Google => &[("prompt", "select_account")],
            Service::OpenId(_) => &[("prompt", "login"), ("max_age", "0")],
            Service::Facebook(_) => &[("auth_type", "reauthenticate")],
            Service::Twitter(_) => &[],
        };
        let nonce = matches!(self.service, Service::OpenId(_)).then_some(("nonce", round.nonce));
        nonce.into_iter().chain(anew.iter().copied().filter(|_| round.anew)).collect()
    }

    /// Exchanges the code that a callback brought, and says who that is. All four belong to one flow.
    pub async fn redeem(
        self: &Arc<Self>,
        code: &str,
        pkce_verifier: &str,
        nonce: &str,
        redirect_uri: &str,
    ) -> Result<Arrival, ProviderError> {
        let secret = |text: &str| Zeroizing::new(text.to_owned());
        let redemption = Redemption {
            code: secret(code),
            pkce_verifier: secret(pkce_verifier),
            nonce: secret(nonce),
            redirect_uri: redirect_uri.to_owned(),
        };
        let client = Arc::clone(self);
        let said = async move |talk: Talk| match &client.service {
            Service::OpenId(openid) => openid.redeem(&talk, &client.us, &redemption).await,
            Service::Facebook(facebook) => facebook.redeem(&talk, &client.us, &redemption).await,
            Service::Twitter(twitter) => twitter.redeem(&talk, &client.us, &redemption).await,
        };
        self.line.converse(said).await
    }

    /// Whether an app may sign people in with a token of the provider's SDK.
    #[must_use]
    pub const fn takes_native(&self) -> bool {
        !matches!(self.service, Service::Twitter(_))
    }

    /// Whether it may with a token of this kind.
    pub fn takes(&self, token: &NativeToken) -> Result<(), ProviderError> {
        match (&self.service, token) {
            (Service::Twitter(_), _) => Err(ProviderError::NativeUnsupported(NO_NATIVE)),
            (Service::OpenId(_), NativeToken::AccessToken(_)) => Err(ProviderError::NativeUnsupported(
                "An access token of this provider does not say for whom it was made: send the id token.",
            )),
            _ => Ok(()),
        }
    }

    /// Checks a token that an app got, made for us and (where it is an id token) for this nonce, and says whose it is.
    pub async fn check_native(self: &Arc<Self>, token: NativeToken, nonce: &str) -> Result<Arrival, ProviderError> {
        self.takes(&token)?;
        if let NativeToken::AccessToken(token) = &token
            && !is_plain(token)
        {
            return Err(ProviderError::Refused("that is no access token".to_owned()));
        }
        let (client, nonce) = (Arc::clone(self), nonce.to_owned());
        let said = async move |talk: Talk| match (&client.service, &token) {
            (Service::OpenId(openid), NativeToken::IdToken(token)) => {
                openid.check_id_token(&talk, &client.us, token, &nonce).await
            }
            (Service::Facebook(facebook), NativeToken::IdToken(token)) => {
                facebook.check_id_token(&talk, &client.us, token, &nonce).await
            }
            (Service::Facebook(facebook), NativeToken::AccessToken(token)) => {
                facebook.check_access_token(&talk, &client.us, token).await
            }
            _ => Err(ProviderError::NativeUnsupported("its tokens cannot be checked")),
        };
        self.line.converse(said).await
    }
}

fn is_plain(token: &str) -> bool {
    (1..=LONGEST_ACCESS_TOKEN).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic())
}

/// An address under a base, which may have a path of its own.
fn under(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path.split('/'));
    }
    url
}

#[cfg(test)]
mod graph_tests;
#[cfg(test)]
mod outbound_tests;
#[cfg(test)]
mod provider_tests;
#[cfg(test)]
mod stand_in;
