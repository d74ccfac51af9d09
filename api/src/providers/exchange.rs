//! The OAuth 2 part of a sign-in: the address people are sent to, and a code's exchange for tokens.

use std::pin::Pin;

use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::url::Url;
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, ExtraTokenFields,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, StandardRevocableToken, StandardTokenResponse,
    TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::line::Talk;
use super::outbound::Carrier;
use super::{ProviderError, Round};
use crate::config::secret::Secret;

/// What OpenID Connect adds to the answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct WithIdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for WithIdToken {}

type OAuth = Client<
    BasicErrorResponse,
    StandardTokenResponse<WithIdToken, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

/// Who we are at a provider.
#[derive(Debug, Clone)]
pub struct Ourselves {
    pub client_id: String,
    pub client_secret: Secret,
    pub scopes: Vec<String>,
}

impl Ourselves {
    /// Where a person is sent to sign in: by code, with PKCE, and with a nonce where an id token will carry it.
    pub fn authorization_url(
        &self,
        endpoint: &Url,
        round: &Round<'_>,
        asks: Vec<(&'static str, &str)>,
    ) -> Result<String, ProviderError> {
        let oauth = OAuth::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(endpoint.clone()))
            .set_redirect_uri(redirect_url(round.redirect_uri)?);
        let state = round.state.to_owned();
        let mut request = oauth
            .authorize_url(|| CsrfToken::new(state))
            .add_scopes(self.scopes.iter().cloned().map(Scope::new))
            .add_extra_param("code_challenge", round.pkce_challenge)
            .add_extra_param("code_challenge_method", "S256");
        for (name, value) in asks {
            request = request.add_extra_param(name, value);
        }
        let (url, _) = request.url();
        Ok(url.into())
    }

    /// Exchanges a code.
    pub async fn exchange(
        &self,
        talk: &Talk,
        endpoint: &Url,
        auth_type: AuthType,
        redemption: &Redemption,
    ) -> Result<Tokens, ProviderError> {
        let oauth = OAuth::new(ClientId::new(self.client_id.clone()))
            .set_client_secret(ClientSecret::new(self.client_secret.expose().to_owned()))
            .set_auth_type(auth_type)
            .set_token_uri(TokenUrl::from_url(endpoint.clone()))
            .set_redirect_uri(redirect_url(&redemption.redirect_uri)?);
        let carrier = Carrier(talk.clone());
        let asked = oauth
            .exchange_code(AuthorizationCode::new(redemption.code.to_string()))
            .set_pkce_verifier(PkceCodeVerifier::new(redemption.pkce_verifier.to_string()))
            .request_async(&carrier);
        // as one type: the compiler cannot tell of the whole that it may change threads
        let asked: Pin<Box<dyn Future<Output = Result<_, _>> + Send + '_>> = Box::pin(asked);
        let answer = asked.await.map_err(explain)?;
        Ok(Tokens {
            access_token: Zeroizing::new(answer.access_token().secret().clone()),
            id_token: answer.extra_fields().id_token.clone().map(Zeroizing::new),
        })
    }
}

/// A code that came back, and what belongs to its flow.
pub struct Redemption {
    pub code: Zeroizing<String>,
    pub pkce_verifier: Zeroizing<String>,
    pub nonce: Zeroizing<String>,
    pub redirect_uri: String,
}

/// What a code was exchanged for.
pub struct Tokens {
    pub access_token: Zeroizing<String>,
    pub id_token: Option<Zeroizing<String>>,
}

fn redirect_url(text: &str) -> Result<RedirectUrl, ProviderError> {
    RedirectUrl::new(text.to_owned()).map_err(|_| ProviderError::Failed("our own callback is no address".to_owned()))
}

/// What an answer without tokens means: a code that is refused is the caller's affair, all else is not.
fn explain(error: RequestTokenError<ProviderError, BasicErrorResponse>) -> ProviderError {
    match error {
        RequestTokenError::Request(error) => error,
        RequestTokenError::ServerResponse(answer) => {
            use BasicErrorResponseType::{InvalidClient, InvalidScope, UnauthorizedClient, UnsupportedGrantType};
            let word = word(answer.error().as_ref());
            match answer.error() {
                InvalidClient | InvalidScope | UnauthorizedClient | UnsupportedGrantType => ProviderError::Failed(
                    format!("the token endpoint says {word}: look at the client's id, secret and settings there"),
                ),
                BasicErrorResponseType::Extension(_) if matches!(word, "server_error" | "temporarily_unavailable") => {
                    ProviderError::Failed(format!("the token endpoint says {word}"))
                }
                _ => ProviderError::Refused(format!("the token endpoint says {word}")),
            }
        }
        // Facebook's errors are objects of its own
        RequestTokenError::Parse(_, body) => match serde_json::from_slice::<Value>(&body) {
            Ok(answer) if answer.get("error").is_some() => super::facebook::explain(&answer),
            _ => ProviderError::Failed("the token endpoint's answer is not what was expected".to_owned()),
        },
        RequestTokenError::Other(_) => ProviderError::Failed("the token endpoint answered nothing of use".to_owned()),
    }
}

/// A word out of an answer, as far as it is one: nothing else of an answer goes into the log.
fn word(text: &str) -> &str {
    let good = (1..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if good { text } else { "something else" }
}
