//! Problems (RFC 9457): every error a caller can meet, with a stable code.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LINK, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use doorstep_core::error::{Error, Fault};
use doorstep_core::id::AccountId;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem_code::Code;
use crate::words::{FieldCode, ProblemCode};

/// A problem on its way to the caller; the envelope gives it its type's URL and the request's id.
#[derive(Debug, Clone)]
pub struct Problem {
    pub code: Code,
    pub detail: Option<String>,
    pub errors: Vec<Fault>,
    pub retry_after: Option<Duration>,
    pub more: More,
}

/// What only a problem of one kind says.
#[derive(Debug, Clone)]
pub enum More {
    Nothing,
    /// Where an account has gone.
    Survivor(AccountId),
    /// What makes a session fresh.
    Methods(Vec<String>),
    /// How many have no other way in.
    People(usize),
}

/// A problem details object (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "https://auth.shop.example/problems/secret-expired",
    "title": "The link was used, replaced, or is too old",
    "status": 410,
    "code": "secret_expired",
    "detail": "Ask for a new mail.",
    "request_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11"
}))]
pub struct ProblemBody<'a> {
    /// A page about this kind of problem.
    pub r#type: String,
    pub title: &'a str,
    pub status: u16,
    #[schema(value_type = ProblemCode)]
    pub code: &'a str,
    /// A sentence for people.
    pub detail: &'a str,
    /// Tell it to the operator.
    pub request_id: &'a str,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldError<'a>>,
    /// The account that another has become part of (`account_merged`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub survivor_id: Option<Uuid>,
    /// What makes this session fresh (`reauth_required`): `password`, `mail` (a code to one of its addresses), and the
    /// names of linked providers. Empty where nothing does but to sign in again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, example = json!(["password", "mail", "google"]))]
    pub methods: Option<&'a [String]>,
    /// How many would have no way to sign in any more (`people_left_out`); 1000 where there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, example = 12)]
    pub people: Option<usize>,
}

/// What is wrong with one field.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FieldError)]
pub struct FieldError<'a> {
    /// A JSON Pointer (RFC 6901) into the body, or `/name` of a query parameter or of a header (`/Idempotency-Key`).
    #[schema(example = "/password")]
    pub pointer: &'a str,
    #[schema(value_type = FieldCode, example = "too_short")]
    pub code: &'a str,
    #[schema(example = "Use at least 15 characters; a few words with spaces do well.")]
    pub detail: &'a str,
}

impl Problem {
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self { code, detail: None, errors: Vec::new(), retry_after: None, more: More::Nothing }
    }

    #[must_use]
    pub fn with_detail(code: Code, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(code) }
    }

    #[must_use]
    pub fn body<'a>(&'a self, public_url: &str, request_id: &'a str) -> ProblemBody<'a> {
        ProblemBody {
            r#type: format!("{public_url}/problems/{}", self.code.slug()),
            title: self.code.title(),
            status: self.code.status(),
            code: self.code.as_str(),
            detail: self.detail.as_deref().unwrap_or_else(|| self.code.cure()),
            request_id,
            errors: self
                .errors
                .iter()
                .map(|fault| FieldError { pointer: &fault.pointer, code: fault.code, detail: &fault.detail })
                .collect(),
            survivor_id: if let More::Survivor(id) = &self.more { Some(id.0) } else { None },
            methods: if let More::Methods(methods) = &self.more { Some(methods) } else { None },
            people: if let More::People(people) = self.more { Some(people) } else { None },
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.as_str())
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.http_status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status_code());
        if let Some(wait) = self.retry_after {
            // whole seconds (RFC 9110, section 10.2.3), never zero
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        // what has taken its place (RFC 5829, section 3.4)
        if let More::Survivor(id) = self.more
            && let Ok(link) = HeaderValue::from_str(&format!("</v1/accounts/{id}>; rel=\"successor-version\""))
        {
            response.headers_mut().insert(LINK, link);
        }
        // every 401 has one (RFC 9110, section 11.6.1)
        if self.code.status() == 401 || self.code == Code::InsufficientScope {
            let challenge = match self.code {
                Code::InsufficientScope => "Bearer error=\"insufficient_scope\"",
                // RFC 6750, section 3.1: nothing more to one who showed nothing
                _ if self.detail.is_some() => "Bearer error=\"invalid_token\"",
                _ => "Bearer",
            };
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response.extensions_mut().insert(self.clone());
        response
    }
}

/// How long who meets a missing part is asked to wait.
const OUTAGE: Duration = Duration::from_secs(2);

impl From<Error> for Problem {
    #[expect(clippy::too_many_lines, reason = "a line for each error, and no other place where they meet")]
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(errors) => Self { errors, ..Self::new(Code::ValidationFailed) },
            Error::WeakPassword(faults) => Self {
                errors: faults.iter().map(|fault| Fault::new("/password", fault.code(), fault.detail())).collect(),
                ..Self::new(Code::WeakPassword)
            },
            Error::SecretUnknown => Self::new(Code::SecretNotFound),
            Error::SecretGone => Self::new(Code::SecretExpired),
            Error::CredentialsWrong => Self::new(Code::InvalidCredentials),
            Error::SessionEnded => Self::with_detail(
                Code::Unauthorized,
                "The access token is a good one, but its session has ended, or goes on with newer tokens: refresh once, \
                 and sign in where that is refused.",
            ),
            Error::AccessTokenInvalid(why) => {
                Self::with_detail(Code::Unauthorized, format!("The access token is not valid: {why}."))
            }
            Error::ApiKeyInvalid => Self::with_detail(Code::Unauthorized, "The API key is not valid."),
            Error::ScopeMissing(scope) => {
                Self::with_detail(Code::InsufficientScope, format!("The API key lacks the scope {scope}."))
            }
            Error::MethodOff(method) => {
                Self::with_detail(Code::MethodDisabled, format!("The admin has turned sign-in by {method} off."))
            }
            Error::Stale { methods } => Self { more: More::Methods(methods), ..Self::new(Code::ReauthRequired) },
            Error::OtherStale => {
                let why = "The other account's session is not fresh enough: sign in to it again, or, where that account has \
                           no address, make it fresh within the last minute, and send that access token.";
                let errors = vec![Fault::new("/access_token", "stale", why)];
                Self { errors, ..Self::with_detail(Code::ReauthRequired, why) }
            }
            Error::FlowUnknown => Self::new(Code::FlowNotFound),
            Error::FlowGone => Self::new(Code::FlowExpired),
            Error::LinkRequired => Self::new(Code::LinkRequired),
            Error::AccountClosed => Self::new(Code::AccountClosed),
            Error::IdentityTaken => Self::new(Code::IdentityTaken),
            Error::NotLinked => Self::new(Code::NotLinked),
            Error::NotAnew => Self::with_detail(
                Code::ProviderRefused,
                "The provider says that its user has signed in there long ago: it must ask them anew.",
            ),
            Error::AddressNeeded => Self::new(Code::AddressNeeded),
            Error::AddressStays => Self::new(Code::AddressStays),
            Error::PrimaryStays => Self::new(Code::PrimaryStays),
            Error::TooManyAddresses => Self::new(Code::TooManyAddresses),
            Error::LastAdmin => Self::new(Code::LastAdmin),
            Error::LastWayIn => Self::new(Code::LastWayIn),
            Error::AddressTooNew => Self::new(Code::AddressTooNew),
            Error::RatingNotOffered => Self::new(Code::RatingNotOffered),
            Error::MergeRefused(why) => Self::with_detail(Code::MergeRefused, why),
            Error::NotFound(what) => Self::with_detail(Code::NotFound, format!("There is no such {what}.")),
            Error::AccountMerged(id) => Self { more: More::Survivor(id), ..Self::new(Code::AccountMerged) },
            Error::AccountDeleted => Self::new(Code::AccountDeleted),
            Error::TooManyFields => Self::new(Code::TooManyCustomFields),
            Error::Changed => Self::new(Code::PreconditionFailed),
            Error::KeyReused => Self::new(Code::IdempotencyKeyReused),
            Error::TooMany { retry_after } => {
                Self { retry_after: Some(retry_after), ..Self::new(Code::TooManyRequests) }
            }
            Error::Busy { what, retry_after } => {
                tracing::warn!(what, "a bounded queue is full");
                Self { retry_after: Some(retry_after), ..Self::new(Code::Overloaded) }
            }
            Error::Unavailable(cause) => {
                tracing::error!(cause, "unavailable");
                Self { retry_after: Some(OUTAGE), ..Self::new(Code::Unavailable) }
            }
            Error::Kept(inner) => Self::from(*inner),
            Error::NotAdmin => Self::new(Code::AdminRequired),
            Error::CodeWrong(pointer) => Self {
                errors: vec![Fault::new(
                    pointer,
                    "wrong_code",
                    "It is not the code that was mailed, or is good no more.",
                )],
                ..Self::new(Code::SecretNotFound)
            },
            Error::AdminNeedsPassword => Self::new(Code::AdminPasswordRequired),
            Error::AdminLeftOut => Self::new(Code::AdminLeftOut),
            Error::Overtaken | Error::Database(_) | Error::Broken(_) => {
                tracing::error!(cause = %error, "internal error");
                Self::new(Code::InternalError)
            }
        }
    }
}

#[cfg(test)]
#[path = "problem_tests.rs"]
mod tests;
