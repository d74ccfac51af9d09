//! Forgot password, which is also how an account that support keeps is claimed.

use actix_web::{HttpResponse, post, web};
use doorstep_core::linking::{Ask, Desk};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::me::AccountBody;
use super::secrets::{self, Accepted, OutcomeWord, SecretInspected, SecretPresented, SecretRequest, WayInBody};
use crate::caller::Asker;
use crate::extract::Body;
use crate::flows::{self, Confirmation};
use crate::problem::Problem;
use crate::state::State;

/// Ask for a new password
///
/// Mails a link and a code to the address, whether its account is claimed or only kept by support. Where nobody
/// has the address and sign-up is open, the mail offers that. The answer is the same for all of them. The link leads to
/// the app's page (`[links] reset`, or `sign_up`) and ends in `#token=…`; it is good for 30 minutes, its code for 10
/// minutes and five tries.
///
/// An address gets 3 mails at once and then one an hour, and a caller may ask for 20 an hour. Beyond that the answer is
/// the same and no mail is sent: let a button to send it again wait.
#[utoipa::path(
    tag = "Forgot password", operation_id = "ask_for_password_reset", security(()),
    request_body = SecretRequest,
    responses((status = 202, description = "A mail is on its way, if there is one to send", body = Accepted)),
)]
#[post("/v1/password-resets")]
pub async fn ask_for_password_reset(
    state: web::Data<State>,
    Asker(origin): Asker,
    body: Body<SecretRequest>,
) -> Result<HttpResponse, Problem> {
    secrets::ask(&state, &origin, Ask::PasswordReset, body).await
}

/// Look at a reset's secret
///
/// Says what the link or code would do and which ways in would remain, and spends nothing.
#[utoipa::path(
    tag = "Forgot password", operation_id = "inspect_password_reset", security(()),
    request_body = SecretPresented,
    responses((status = 200, description = "What it would do", body = SecretInspected)),
    extensions(("x-problems" = json!(["secret_not_found", "secret_expired", "too_many_requests"]))),
)]
#[post("/v1/password-resets/inspect")]
pub async fn inspect_password_reset(
    state: web::Data<State>,
    Asker(origin): Asker,
    body: Body<SecretPresented>,
) -> Result<HttpResponse, Problem> {
    secrets::inspect(&state, &origin, Desk::PasswordReset, body).await
}

/// Presents a reset's secret with the new password.
///
/// By either `token`, or `email` and `code`, and not both: `{"token": "…", "password": "…"}` or `{"email": "ada@example.org", "code": "ABCD-EFGH", "password": "…"}`.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@example.org", "code": "ABCD-EFGH", "password": "correct horse battery staple"}))]
pub struct PasswordResetConfirmation {
    /// What stands behind `#token=` in the mail's link. It is good for 30 minutes.
    #[schema(nullable = false)]
    pub token: Option<String>,
    #[schema(nullable = false)]
    pub email: Option<String>,
    /// The mail's code, in any case, with or without its dash. It is good for 10 minutes and five tries.
    #[schema(nullable = false)]
    pub code: Option<String>,
    /// At least as many characters as `password_min_length` of `GET /v1/sign-in-options` says.
    #[schema(format = Password, max_length = 256)]
    pub password: String,
    /// The language the person was shown (BCP 47): kept where the account has none yet, or is made or claimed by this.
    #[schema(nullable = false, max_length = 35, pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", example = "en")]
    pub locale: Option<String>,
    /// Drop every other way in: what a stranger may have linked. False where it is left out.
    #[serde(default)]
    pub unlink_others: bool,
}

/// The password is set.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "outcome": "claim",
    "account": {"id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11", "role": "customer", "full_name": "Ada Lovelace",
        "primary_email": "ada@example.org", "locale": "en", "time_zone": null, "phone": null, "avatar_url": null,
        "created_at": "2026-01-02T03:04:05Z", "claimed_at": "2026-01-02T03:14:05Z", "updated_at": "2026-01-02T03:14:05Z"},
    "ways_in": [{"method": "password", "provider": null, "identity_id": null, "label": null},
        {"method": "email", "provider": null, "identity_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b12", "label": "ada@example.org"}],
    "device_token": "ddt1_…"
}))]
pub struct PasswordResetConfirmed {
    pub outcome: OutcomeWord,
    pub account: AccountBody,
    /// Every way into the account there is now.
    pub ways_in: Vec<WayInBody>,
    /// Keep it and send it with the next sign-in: it lets this device through while somebody else guesses.
    pub device_token: String,
}

/// Set a new password
///
/// Spends the secret and sets the password. An account that support kept is claimed by it, with its history; of a
/// claimed one every session and other secret ends, and with `unlink_others` every other way in. Nobody is signed in by this. A refused password spends
/// nothing.
///
/// A sign-up's secret is taken here as well (a mail of forgot password may have offered sign-up): `outcome` is then
/// `create`, or `claim` where support kept the account. Never the reverse: this secret does not sign up.
#[utoipa::path(
    tag = "Forgot password", operation_id = "confirm_password_reset", security(()),
    request_body = PasswordResetConfirmation,
    responses((status = 200, description = "The password is set", body = PasswordResetConfirmed)),
    extensions(("x-problems" = json!(["weak_password", "secret_not_found", "secret_expired", "too_many_requests"]))),
)]
#[post("/v1/password-resets/confirm")]
pub async fn confirm_password_reset(
    state: web::Data<State>,
    Asker(origin): Asker,
    body: Body<PasswordResetConfirmation>,
) -> Result<HttpResponse, Problem> {
    let PasswordResetConfirmation { token, email, code, password, locale, unlink_others } = body.value;
    let presented = secrets::presented(token, email.as_deref(), code);
    let locale = secrets::locale(locale.as_deref());
    let asked = Confirmation { desk: Desk::PasswordReset, presented, password, full_name: None, locale, unlink_others };
    let confirmed = flows::confirm(&state, &origin, asked).await?;
    Ok(HttpResponse::Ok().json(PasswordResetConfirmed {
        outcome: confirmed.outcome.into(),
        account: confirmed.account.into(),
        ways_in: confirmed.ways_in.into_iter().map(WayInBody::from).collect(),
        device_token: confirmed.device_token.to_string(),
    }))
}
