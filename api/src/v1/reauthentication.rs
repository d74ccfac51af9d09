//! My session becomes fresh again, by whoever shows once more that they are me.

use actix_web::{HttpResponse, post, web};
use doorstep_core::clock::Timestamp;
use doorstep_core::id::{FlowId, IdentityId};
use doorstep_core::reauthentication::{self, Asked};
use doorstep_core::session::Issued;
use doorstep_core::social_flow::{self, For};
use doorstep_core::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;
use zeroize::Zeroizing;

use super::identities::Given;
use super::sessions::SessionBody;
use super::social::{self, Asks, FlowBegun, FlowRequest};
use crate::caller::Customer;
use crate::extract::{Body, OptionalBody};
use crate::flows;
use crate::problem::Problem;
use crate::providers::NativeToken;
use crate::round_trips;
use crate::state::State;

/// Shows that the session's holder is the account's owner, in one of four ways.
///
/// Exactly one of: `{"password": "…"}`, `{"mailed_code": "…"}`, what a browser brought back from a provider
/// (`{"code": "…", "code_verifier": "…"}`), or a token of its SDK (`{"flow_id": "…", "id_token": "…"}`).
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "correct horse battery staple"}))]
pub struct Reauthentication {
    #[schema(nullable = false, format = Password, max_length = 256)]
    pub password: Option<String>,
    /// The code of the mail that was asked for, in any case, with or without its dash. It is good for 10 minutes and five
    /// tries.
    #[schema(nullable = false)]
    pub mailed_code: Option<String>,
    /// What the browser brought back, with `code_verifier`.
    #[schema(nullable = false)]
    pub code: Option<String>,
    #[validate(length(min = 43, max = 128))]
    #[schema(nullable = false, min_length = 43, max_length = 128)]
    pub code_verifier: Option<String>,
    /// Of a native flow, with `id_token`.
    #[schema(nullable = false)]
    pub flow_id: Option<Uuid>,
    /// Made for the flow's nonce. An access token is not taken here: it may have been made long ago.
    #[schema(nullable = false)]
    pub id_token: Option<String>,
}

/// One of the ways.
enum Way {
    Password(String),
    MailedCode(String),
    Provider(Given),
}

impl Reauthentication {
    fn way(self) -> Result<Way> {
        let Self { password, mailed_code, code, code_verifier, flow_id, id_token } = self;
        match (password, mailed_code, (code, code_verifier), (flow_id, id_token)) {
            (Some(password), None, (None, None), (None, None)) => Ok(Way::Password(password)),
            (None, Some(code), (None, None), (None, None)) => Ok(Way::MailedCode(code)),
            (None, None, (Some(code), Some(verifier)), (None, None)) => {
                Ok(Way::Provider(Given::Code { code, verifier }))
            }
            (None, None, (None, None), (Some(flow), Some(token))) => {
                let token = NativeToken::IdToken(Zeroizing::new(token));
                Ok(Way::Provider(Given::Native { flow: FlowId(flow), token }))
            }
            _ => Err(not_one()),
        }
    }
}

fn not_one() -> Error {
    let detail = "Send one of: password; mailed_code; code and code_verifier; flow_id and id_token.";
    Error::invalid("", "one_way", detail)
}

/// Make my session fresh
///
/// The same session goes on, with the tokens of the answer: `auth_time` is now, and for ten minutes what changes the ways
/// in may be done with them, and not with the access tokens of before. A refresh token of before ends the session; if the
/// answer was lost, ask again with the access token. A provider counts by whom the account is signed in to with: another
/// is 409 `not_linked`, and nothing is linked. Its round trip is begun with `POST /v1/me/reauthenticate/{provider}`, and finished by the same session.
#[utoipa::path(
    tag = "Sessions", operation_id = "reauthenticate",
    request_body = Reauthentication,
    responses((status = 200, description = "The session is fresh; go on with these tokens", body = SessionBody)),
    extensions(("x-problems" = json!(["method_disabled", "secret_not_found", "flow_not_found", "flow_expired",
        "not_linked", "native_not_supported", "provider_refused", "provider_failed", "provider_timeout",
        "provider_busy", "too_many_requests"]))),
)]
#[post("/v1/me/reauthenticate")]
pub async fn reauthenticate(
    state: web::Data<State>,
    customer: Customer,
    body: Body<Reauthentication>,
) -> Result<HttpResponse, Problem> {
    let issued = match body.value.way()? {
        Way::Password(text) => {
            // one that is too long to be a password is none, and tells nobody more
            let password = flows::password(&text)?;
            flows::reauthenticate(&state, &customer, password).await?
        }
        Way::MailedCode(code) => {
            customer.write_by(move |work, claims| reauthentication::by_code(work, claims, &code)).await?
        }
        Way::Provider(given) => by_provider(&state, &customer, given).await?,
    };
    Ok(HttpResponse::Ok().json(SessionBody::of(&state, &issued)?))
}

async fn by_provider(state: &State, customer: &Customer, given: Given) -> Result<Issued, Problem> {
    let (presented, token) = match given {
        Given::Code { code, verifier } => {
            let shown = customer
                .write(move |work, who| social_flow::present_code(work, &code, &verifier, For::Reauthenticate(who)));
            (shown.await?, None)
        }
        Given::Native { flow, token } => {
            let find = customer.write(move |work, who| social_flow::find_for(work, flow, For::Reauthenticate(who)));
            social::takes_native(state, &find.await?.provider, Some(&token))?;
            let shown = customer
                .write(move |work, who| social_flow::present_native(work, flow, None, For::Reauthenticate(who)));
            (shown.await?, Some(token))
        }
    };
    let arrival = round_trips::ask(state, &presented, token).await?;
    let flow = presented.flow;
    customer.write_by(move |work, claims| reauthentication::by_provider(work, claims, flow, &arrival)).await
}

/// Asks for a code to one of my addresses. It may be left out.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct ReauthenticationCodeRequest {
    /// The id of the address; the primary one where it is left out.
    #[schema(nullable = false)]
    pub email_id: Option<Uuid>,
}

/// A code is on its way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"email": "ada@example.org", "expires_at": "2026-01-02T03:14:05Z"}))]
pub struct ReauthenticationCodeAsked {
    pub email: String,
    /// Until when the code is good.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

impl From<Asked> for ReauthenticationCodeAsked {
    fn from(asked: Asked) -> Self {
        Self { email: asked.address.to_string(), expires_at: asked.expires_at }
    }
}

/// Ask for a code to make my session fresh
///
/// Mails a code, and no link, to an address that was proven. It is good in this session alone, for ten minutes and five
/// tries; asked again, the older one is void. An address gets 3 such mails at once and then one an hour; beyond that the
/// answer is the same and no mail is sent: the last code that came stays good.
#[utoipa::path(
    tag = "Sessions", operation_id = "ask_for_reauthentication_code",
    request_body = Option<ReauthenticationCodeRequest>,
    responses((status = 202, description = "A mail is on its way, within the limits", body = ReauthenticationCodeAsked)),
    extensions(("x-problems" = json!(["method_disabled", "not_found", "address_needed"]))),
)]
#[post("/v1/me/reauthenticate/mail")]
pub async fn ask_for_reauthentication_code(
    customer: Customer,
    body: OptionalBody<ReauthenticationCodeRequest>,
) -> Result<HttpResponse, Problem> {
    let named = body.0.email_id.map(IdentityId);
    let asked = customer.write_by(move |work, claims| reauthentication::ask_for_code(work, claims, named)).await?;
    Ok(HttpResponse::Accepted().json(ReauthenticationCodeAsked::from(asked)))
}

/// Begin to make my session fresh by a provider
///
/// As beginning to sign in; the same session finishes it with `POST /v1/me/reauthenticate`. The provider is asked to have
/// the person sign in anew, where it can. Natively the SDK's id token is taken, and no access token.
#[utoipa::path(
    tag = "Sessions", operation_id = "begin_reauthentication",
    params(("provider" = String, Path, description = "The provider's name", example = "google")),
    request_body = FlowRequest,
    responses((status = 201, description = "Begun; it lasts 10 minutes", body = FlowBegun)),
    extensions(("x-problems" = json!(["method_disabled", "not_found", "native_not_supported", "too_many_requests",
        "provider_failed", "provider_timeout", "provider_busy"]))),
)]
#[post("/v1/me/reauthenticate/{provider}")]
pub async fn begin_reauthentication(
    state: web::Data<State>,
    customer: Customer,
    path: web::Path<String>,
    body: Body<FlowRequest>,
) -> Result<HttpResponse, Problem> {
    let provider = social::provider(&path)?;
    let native = body.value.native;
    let app = body.value.app(&state)?;
    if native {
        social::takes_native(&state, &provider, None)?;
    }
    let name = provider.clone();
    let flow =
        customer.write(move |work, who| social_flow::begin(work, &name, app.clone(), For::Reauthenticate(who))).await?;
    Ok(HttpResponse::Created().json(social::begun(&state, &provider, flow, Asks { native, anew: true }).await?))
}
