//! Sign-up: an address and nothing else, then a password by whoever reads its mail.

use actix_web::{HttpResponse, post, web};
use doorstep_core::linking::{Ask, Desk};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::secrets::{self, Accepted, SecretInspected, SecretPresented, SecretRequest};
use super::sessions::SessionBody;
use crate::caller::Asker;
use crate::extract::Body;
use crate::flows::{self, Confirmation};
use crate::problem::Problem;
use crate::problem_code::Code;
use crate::state::State;

/// Ask for sign-up
///
/// Mails a link and a code to a new address, or to one whose account support keeps and nobody has claimed; tells
/// the owner of a claimed account that somebody tried. The answer is the same for all of them. The link leads to the
/// app's page (`[links] sign_up`) and ends in `#token=…`; it is good for 30 minutes, its code for 10 minutes and five tries.
///
/// An address gets 3 mails at once and then one an hour, and a caller may ask for 20 an hour. Beyond that the answer is
/// the same and no mail is sent: let a button to send it again wait.
#[utoipa::path(
    tag = "Sign-up", operation_id = "ask_for_sign_up", security(()),
    request_body = SecretRequest,
    responses((status = 202, description = "A mail is on its way, if there is one to send", body = Accepted)),
)]
#[post("/v1/sign-ups")]
pub async fn ask_for_sign_up(
    state: web::Data<State>,
    Asker(origin): Asker,
    body: Body<SecretRequest>,
) -> Result<HttpResponse, Problem> {
    secrets::ask(&state, &origin, Ask::SignUp, body).await
}

/// Look at a sign-up's secret
///
/// Says what the link or code would do, and spends nothing.
#[utoipa::path(
    tag = "Sign-up", operation_id = "inspect_sign_up", security(()),
    request_body = SecretPresented,
    responses((status = 200, description = "What it would do", body = SecretInspected)),
    extensions(("x-problems" = json!(["secret_not_found", "secret_expired", "too_many_requests"]))),
)]
#[post("/v1/sign-ups/inspect")]
pub async fn inspect_sign_up(
    state: web::Data<State>,
    Asker(origin): Asker,
    body: Body<SecretPresented>,
) -> Result<HttpResponse, Problem> {
    secrets::inspect(&state, &origin, Desk::SignUp, body).await
}

/// Presents sign-up's secret with a password.
///
/// By either `token`, or `email` and `code`, and not both: `{"token": "…", "password": "…"}` or `{"email": "ada@example.org", "code": "ABCD-EFGH", "password": "…"}`.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "email": "ada@example.org", "code": "ABCD-EFGH", "password": "correct horse battery staple",
    "full_name": "Ada Lovelace"
}))]
pub struct SignUpConfirmation {
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
    /// Not of spaces alone, and without control characters.
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    pub full_name: Option<String>,
    /// The language the person was shown (BCP 47): kept where the account has none yet, or is made or claimed by this.
    #[schema(nullable = false, max_length = 35, pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", example = "en")]
    pub locale: Option<String>,
}

/// Finish sign-up
///
/// Spends the secret, sets the password, makes the account (or hands over the one support keeps, with its
/// history), and signs in. A refused password spends nothing. This secret is also taken by
/// `POST /v1/password-resets/confirm`, which does the same but for signing in: `outcome` is then `create` or `claim`.
/// A password reset's secret is never taken here.
#[utoipa::path(
    tag = "Sign-up", operation_id = "confirm_sign_up", security(()),
    request_body = SignUpConfirmation,
    responses((status = 201, description = "Signed in", body = SessionBody)),
    extensions(("x-problems" = json!(["weak_password", "secret_not_found", "secret_expired", "too_many_requests"]))),
)]
#[post("/v1/sign-ups/confirm")]
pub async fn confirm_sign_up(
    state: web::Data<State>,
    Asker(origin): Asker,
    body: Body<SignUpConfirmation>,
) -> Result<HttpResponse, Problem> {
    let SignUpConfirmation { token, email, code, password, full_name, locale } = body.value;
    let presented = secrets::presented(token, email.as_deref(), code);
    let locale = secrets::locale(locale.as_deref());
    let asked = Confirmation { desk: Desk::SignUp, presented, password, full_name, locale, unlink_others: false };
    let confirmed = flows::confirm(&state, &origin, asked).await?;
    let issued = confirmed.session.ok_or_else(|| Problem::new(Code::InternalError))?;
    Ok(HttpResponse::Created().json(SessionBody::of(&state, &issued)?))
}
