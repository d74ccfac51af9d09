//! The address that a provider did not give: somebody says it, and proves it by a mailed code.

use actix_web::{HttpResponse, post, web};
use doorstep_core::social_sign_in;
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::secrets::{self, Accepted};
use super::sessions::SessionBody;
use super::social;
use crate::caller::Asker;
use crate::extract::Body;
use crate::flows::together;
use crate::problem::Problem;
use crate::state::State;

/// The address that somebody says is theirs.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"continuation": "dft1_…", "email": "ada@example.org", "locale": "en"}))]
pub struct SocialEmail {
    pub continuation: String,
    #[schema(example = "ada@example.org")]
    pub email: String,
    /// The language of the mail (BCP 47), for an address whose account has none.
    #[schema(nullable = false, max_length = 35, pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", example = "en")]
    pub locale: Option<String>,
}

/// Give the address that the provider did not
///
/// Mails a code there, which is good for 10 minutes and five tries. The answer is the same whoever has the address. Where its account has an owner already, the mail
/// has no code: it says to sign in, and to link on the profile.
///
/// An address gets 3 mails at once and then one an hour, and a caller may ask for 20 an hour; beyond that the answer is
/// the same and no mail is sent: let a button to send it again wait. A newer code voids the older ones of the same
/// continuation and address.
#[utoipa::path(
    tag = "Social sign-in", operation_id = "give_social_email", security(()),
    request_body = SocialEmail,
    responses((status = 202, description = "A mail is on its way, if there is one to send", body = Accepted)),
    extensions(("x-problems" = json!(["flow_not_found", "flow_expired", "method_disabled", "too_many_requests"]))),
)]
#[post("/v1/social/email")]
pub async fn give_social_email(
    state: web::Data<State>,
    Asker(origin): Asker,
    body: Body<SocialEmail>,
) -> Result<HttpResponse, Problem> {
    let SocialEmail { continuation, email, locale } = body.value;
    let (address, locale) = together(secrets::address(&email), secrets::locale(locale.as_deref()))?;
    state
        .write(&origin, move |work| social_sign_in::ask_email(work, &continuation, &address, locale.as_deref()))
        .await?;
    Ok(HttpResponse::Accepted().json(Accepted { status: "accepted" }))
}

/// The code that was mailed, with the continuation that it is good with.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"continuation": "dft1_…", "code": "ABCD-EFGH"}))]
pub struct SocialEmailConfirmation {
    pub continuation: String,
    /// The mail's code, in any case, with or without its dash. It is good for 10 minutes and five tries.
    pub code: String,
}

/// Prove the address
///
/// Makes the account: what support kept of the address, or a new one, with the provider's identity linked. Neither the
/// code nor the continuation does anything without the other. Five wrong codes spend a code; ask for another then.
#[utoipa::path(
    tag = "Social sign-in", operation_id = "confirm_social_email", security(()),
    request_body = SocialEmailConfirmation,
    responses((status = 200, description = "Signed in", body = SessionBody)),
    extensions(("x-problems" = json!(["flow_not_found", "flow_expired", "secret_not_found", "secret_expired",
        "method_disabled", "too_many_requests"]))),
)]
#[post("/v1/social/email/confirm")]
pub async fn confirm_social_email(
    state: web::Data<State>,
    Asker(origin): Asker,
    body: Body<SocialEmailConfirmation>,
) -> Result<HttpResponse, Problem> {
    let SocialEmailConfirmation { continuation, code } = body.value;
    let finished = state.write(&origin, move |work| social_sign_in::confirm_email(work, &continuation, &code)).await?;
    social::answer(&state, finished)
}
