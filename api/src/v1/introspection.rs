//! Whether an access token is still good, for services that must know it of the session and not only of the signature.

use actix_web::{HttpResponse, post, web};
use doorstep_core::access_token::AccessClaims;
use doorstep_core::{Error, session};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::caller::{IntrospectTokens, Machine};
use crate::extract::Body;
use crate::problem::Problem;
use crate::state::State;

/// A token to ask about.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSJ9.…"}))]
pub struct TokenIntrospection {
    /// An access token.
    pub token: String,
}

/// What is known of it, in the words of RFC 7662, section 2.2: of a token that is not good nothing but that.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "active": true, "sub": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11", "sid": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b50",
    "iss": "https://auth.shop.example", "aud": "https://auth.shop.example", "iat": 1_767_323_045, "exp": 1_767_323_345,
    "auth_time": 1_767_322_000, "jti": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b51"
}))]
pub struct TokenIntrospected {
    /// Its signature, its times, its session and its account are as they should be now.
    pub active: bool,
    /// The account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub sub: Option<Uuid>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub sid: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub aud: Option<String>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub exp: Option<i64>,
    /// When its holder last showed who they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub jti: Option<Uuid>,
}

impl TokenIntrospected {
    fn of(claims: Option<&AccessClaims>) -> Self {
        Self {
            active: claims.is_some(),
            sub: claims.map(|claims| claims.sub.0),
            sid: claims.map(|claims| claims.sid.0),
            iss: claims.map(|claims| claims.iss.clone()),
            aud: claims.map(|claims| claims.aud.clone()),
            iat: claims.map(|claims| claims.iat),
            exp: claims.map(|claims| claims.exp),
            auth_time: claims.map(|claims| claims.auth_time),
            jti: claims.map(|claims| claims.jti),
        }
    }
}

/// Ask about an access token
///
/// For a service that verifies tokens by `/.well-known/jwks.json` and must also know of a session that has just ended: an
/// access token lives five minutes, and its session may not.
#[utoipa::path(
    tag = "Sessions", operation_id = "introspect_token", security(("api_key" = ["tokens:introspect"])),
    request_body = TokenIntrospection,
    responses((status = 200, description = "Whether it is good", body = TokenIntrospected)),
)]
#[post("/v1/tokens/introspect")]
pub async fn introspect_token(
    state: web::Data<State>,
    service: Machine<IntrospectTokens>,
    body: Body<TokenIntrospection>,
) -> Result<HttpResponse, Problem> {
    let claims = state.tokens.verify(&body.value.token, state.now()).ok();
    let shown = claims.clone();
    let active = service
        .read(move |work, _| match shown.as_deref().map(|claims| session::authenticate(work, claims)) {
            Some(Ok(_)) => Ok(true),
            None | Some(Err(Error::SessionEnded)) => Ok(false),
            Some(Err(other)) => Err(other),
        })
        .await?;
    Ok(HttpResponse::Ok().json(TokenIntrospected::of(claims.as_deref().filter(|_| active))))
}
