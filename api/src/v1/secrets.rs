//! What sign-up and forgot password have in common: asking for a mailed secret, looking at it, and presenting it.

use actix_web::HttpResponse;
use doorstep_core::challenge::Presented;
use doorstep_core::clock::Timestamp;
use doorstep_core::db::Origin;
use doorstep_core::email::EmailAddress;
use doorstep_core::linking::{Ask, Desk, Outcome};
use doorstep_core::mailed_secret::{self, Inspection};
use doorstep_core::ways_in::WayIn;
use doorstep_core::{Error, Result, account};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::extract::Body;
use crate::flows::together;
use crate::problem::Problem;
use crate::state::State;
use crate::words::{RequestStatus, WayInMethod};

/// Asks for a mail with a link and a code.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@example.org", "locale": "en"}))]
pub struct SecretRequest {
    #[schema(example = "ada@example.org")]
    pub email: String,
    /// The language of the mail (BCP 47), for an address whose account has none.
    #[schema(nullable = false, max_length = 35, pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", example = "en")]
    pub locale: Option<String>,
}

/// Always the same, whoever has the address.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "accepted"}))]
pub struct Accepted {
    #[schema(value_type = RequestStatus, example = "accepted")]
    pub status: &'static str,
}

/// Asks for a secret; the answer is the same whatever comes of it.
pub async fn ask(
    state: &State,
    origin: &Origin,
    what: Ask,
    body: Body<SecretRequest>,
) -> Result<HttpResponse, Problem> {
    let (address, locale) = together(address(&body.value.email), locale(body.value.locale.as_deref()))?;
    state.write(origin, move |work| mailed_secret::ask(work, what, &address, locale.as_deref())).await?;
    Ok(HttpResponse::Accepted().json(Accepted { status: "accepted" }))
}

/// Looks at a secret and spends nothing.
pub async fn inspect(
    state: &State,
    origin: &Origin,
    desk: Desk,
    body: Body<SecretPresented>,
) -> Result<HttpResponse, Problem> {
    let SecretPresented { token, email, code } = body.value;
    let presented = presented(token, email.as_deref(), code)?;
    let inspection =
        state.write_forgettably(origin, move |work| mailed_secret::inspect(work, desk, &presented)).await?;
    Ok(HttpResponse::Ok().json(SecretInspected::from(inspection)))
}

/// Reads an address of a body.
pub fn address(text: &str) -> Result<EmailAddress> {
    EmailAddress::parse(text).map_err(|why| {
        let why = why.to_string();
        let mut letters = why.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase()).unwrap_or_default();
        Error::invalid("/email", "invalid_email", format!("{first}{}.", letters.as_str()))
    })
}

/// Reads a language tag of a body, as it is kept.
pub fn locale(text: Option<&str>) -> Result<Option<String>> {
    match text.and_then(account::not_a_locale) {
        Some(why) => Err(Error::invalid("/locale", "invalid", why)),
        None => Ok(text.map(account::canonical_locale)),
    }
}

/// Presents a mailed secret: the link's token, or the address and the mail's code.
///
/// Either `token`, or `email` and `code`, and not both: `{"token": "…"}` or `{"email": "ada@example.org", "code": "ABCD-EFGH"}`.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@example.org", "code": "ABCD-EFGH"}))]
pub struct SecretPresented {
    /// What stands behind `#token=` in the mail's link. It is good for 30 minutes.
    #[schema(nullable = false)]
    pub token: Option<String>,
    #[schema(nullable = false)]
    pub email: Option<String>,
    /// The mail's code, in any case, with or without its dash. It is good for 10 minutes and five tries.
    #[schema(nullable = false)]
    pub code: Option<String>,
}

/// Either a token, or an address and a code, and not both.
pub fn presented(token: Option<String>, email: Option<&str>, code: Option<String>) -> Result<Presented> {
    match (token, email, code) {
        (Some(token), None, None) => Ok(Presented::Token(token)),
        (None, Some(email), Some(code)) => Ok(Presented::Code { address: address(email)?, code }),
        _ => Err(Error::invalid("", "token_or_code", "Send either token, or email and code.")),
    }
}

/// What a secret would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "email": "ada@example.org", "outcome": "claim", "expires_at": "2026-01-02T03:34:05Z",
    "password_min_length": 15, "ways_in": []
}))]
pub struct SecretInspected {
    /// The address it was mailed to.
    pub email: String,
    pub outcome: OutcomeWord,
    /// Until when the link is good. The code is good for 10 minutes.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Characters that a new password must have.
    #[schema(example = 15)]
    pub password_min_length: usize,
    /// The ways in that remain unless `unlink_others` is sent.
    pub ways_in: Vec<WayInBody>,
}

impl From<Inspection> for SecretInspected {
    fn from(inspection: Inspection) -> Self {
        Self {
            email: inspection.address.to_string(),
            outcome: inspection.outcome.into(),
            expires_at: inspection.expires_at,
            password_min_length: inspection.password_min_length,
            ways_in: inspection.ways_in.into_iter().map(WayInBody::from).collect(),
        }
    }
}

/// What presenting the secret does: make an account, claim the one support already keeps, or recover a claimed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SecretOutcome)]
pub enum OutcomeWord {
    Create,
    Claim,
    Recover,
}

impl From<Outcome> for OutcomeWord {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Create => Self::Create,
            Outcome::Claim | Outcome::ClaimPart => Self::Claim,
            Outcome::Recover | Outcome::Refuse => Self::Recover,
        }
    }
}

/// One way into an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WayIn, example = json!({"method": "email", "provider": null, "identity_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11", "label": "ada@example.org"}))]
pub struct WayInBody {
    #[schema(value_type = WayInMethod)]
    pub method: &'static str,
    /// The provider's name, where it is one of those that are offered here.
    pub provider: Option<String>,
    /// Null for the password.
    pub identity_id: Option<Uuid>,
    /// The address or handle, for people.
    pub label: Option<String>,
}

impl From<WayIn> for WayInBody {
    fn from(way: WayIn) -> Self {
        Self {
            method: way.method,
            provider: way.provider.map(|name| name.to_string()),
            identity_id: way.identity_id.map(|id| id.0),
            label: way.label,
        }
    }
}
