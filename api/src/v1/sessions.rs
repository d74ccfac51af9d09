//! Sessions: sign in, refresh, sign out.

use actix_web::{HttpResponse, delete, post, web};
use doorstep_core::clock::Timestamp;
use doorstep_core::session::{self, Issued};
use doorstep_core::sign_in::SignInAsk;
use doorstep_core::{Error, limits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::me::AccountBody;
use super::secrets;
use crate::caller::{Asker, Customer};
use crate::extract::Body;
use crate::flows;
use crate::problem::Problem;
use crate::problem_code::Code;
use crate::state::State;
use crate::words::{SessionStatus, TokenType};

/// Signs in with an address and a password.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@example.org", "password": "correct horse battery staple"}))]
pub struct SignIn {
    pub email: String,
    #[schema(format = Password, max_length = 256)]
    pub password: String,
    /// The `device_token` of an earlier session on this device.
    #[schema(nullable = false)]
    pub device_token: Option<String>,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session, example = json!({
    "status": "signed_in", "access_token": "eyJ0eXAiOiJhdCtqd3Qi…", "token_type": "Bearer", "expires_in": 300,
    "refresh_token": "drt1_…", "refresh_expires_at": "2026-01-16T03:04:05Z",
    "session_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b13", "device_token": "ddt1_…",
    "account": {"id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11", "role": "customer", "full_name": "Ada Lovelace",
        "primary_email": "ada@example.org", "locale": "en", "time_zone": null, "phone": null, "avatar_url": null,
        "created_at": "2026-01-02T03:04:05Z", "claimed_at": "2026-01-02T03:14:05Z", "updated_at": "2026-01-02T03:14:05Z"}
}))]
pub struct SessionBody {
    #[schema(value_type = SessionStatus)]
    pub status: &'static str,
    /// A JWT for `Authorization: Bearer`.
    pub access_token: String,
    #[schema(value_type = TokenType)]
    pub token_type: &'static str,
    /// Seconds for which the access token is good.
    pub expires_in: u64,
    /// Good once, for the next pair of tokens. If the answer is lost, send it again within 30 seconds.
    pub refresh_token: String,
    /// When it ends if it is not used before.
    #[schema(value_type = String, format = DateTime)]
    pub refresh_expires_at: Timestamp,
    pub session_id: Uuid,
    /// Keep it on this device, also when signed out, and send it with the next sign-in.
    pub device_token: String,
    pub account: AccountBody,
}

impl SessionBody {
    pub fn of(state: &State, issued: &Issued) -> Result<Self, Problem> {
        Ok(Self {
            status: "signed_in",
            access_token: state.tokens.mint(issued)?.to_string(),
            token_type: "Bearer",
            expires_in: limits::ACCESS_TOKEN_LIFE.as_secs(),
            refresh_token: issued.refresh_token.to_string(),
            refresh_expires_at: issued.refresh_expires_at,
            session_id: issued.session.id.0,
            device_token: issued.device_token.to_string(),
            account: issued.account.clone().into(),
        })
    }
}

const SLOWED: &str = "Wait for as many seconds as Retry-After says. A device that has signed in with the password before gets \
                      through with its device_token.";

/// Sign in
///
/// The answer to a wrong password is the same, and takes as long, as that for an address without an account.
#[utoipa::path(
    tag = "Sessions", operation_id = "sign_in", security(()),
    request_body = SignIn,
    responses((status = 201, description = "Signed in", body = SessionBody)),
    extensions(("x-problems" = json!(["invalid_credentials", "method_disabled", "admin_password_required",
        "too_many_requests"]))),
)]
#[post("/v1/sessions")]
pub async fn sign_in(
    state: web::Data<State>,
    Asker(origin): Asker,
    body: Body<SignIn>,
) -> Result<HttpResponse, Problem> {
    let SignIn { email, password, device_token } = body.value;
    let (address, password) = flows::together(secrets::address(&email), flows::password(&password))?;
    let ask = SignInAsk { address, device_token, characters: password.characters() };
    let signed_in = flows::sign_in(&state, &origin, ask, password).await;
    let issued = signed_in.map_err(|error| match error {
        slowed @ Error::TooMany { .. } => Problem { detail: Some(SLOWED.to_owned()), ..slowed.into() },
        other => other.into(),
    })?;
    Ok(HttpResponse::Created().json(SessionBody::of(&state, &issued)?))
}

/// Presents a refresh token.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh_token": "drt1_…"}))]
pub struct Refresh {
    pub refresh_token: String,
}

/// Refresh a session
///
/// Gives a new pair of tokens; the refresh token that was sent is used up. Sent again within 30 seconds, its
/// successor unused, it gives the same successor: a lost answer, or two tabs. Anything older ends the session.
#[utoipa::path(
    tag = "Sessions", operation_id = "refresh_session", security(()),
    request_body = Refresh,
    responses((status = 200, description = "The next pair of tokens", body = SessionBody)),
    extensions(("x-problems" = json!(["session_ended"]))),
)]
#[post("/v1/sessions/refresh")]
pub async fn refresh_session(
    state: web::Data<State>,
    Asker(origin): Asker,
    body: Body<Refresh>,
) -> Result<HttpResponse, Problem> {
    let issued = flows::refresh(&state, &origin, &body.value.refresh_token).await.map_err(|error| match error {
        Error::SessionEnded => Problem::new(Code::SessionEnded),
        other => other.into(),
    })?;
    Ok(HttpResponse::Ok().json(SessionBody::of(&state, &issued)?))
}

/// Sign out
///
/// Ends the session: its refresh token and its access tokens are void at once. It takes an access token that is
/// still good: where it has run out, refresh first. A 401 means that it has run out, or that the session has ended.
#[utoipa::path(
    tag = "Sessions", operation_id = "sign_out",
    responses((status = 204, description = "Signed out")),
)]
#[delete("/v1/sessions/current")]
pub async fn sign_out(customer: Customer) -> Result<HttpResponse, Problem> {
    customer.write(session::sign_out).await?;
    Ok(HttpResponse::NoContent().finish())
}
