//! Signing in with a provider: begin, come back, exchange; and the address that a provider did not give.

use actix_web::http::header::{HeaderValue, LOCATION};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, get, post, web};
use doorstep_core::clock::Timestamp;
use doorstep_core::db::{Origin, Work};
use doorstep_core::id::FlowId;
use doorstep_core::provider::{Arrival, ProviderName};
use doorstep_core::social_flow::{self, App, BackToApp, Begun, CodeChallenge, For};
use doorstep_core::social_sign_in::{self, Continue, Finished};
use doorstep_core::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;
use zeroize::Zeroizing;

use super::sessions::SessionBody;
use crate::caller::Asker;
use crate::envelope::AskedByHead;
use crate::extract::Body;
use crate::flows::together;
use crate::problem::Problem;
use crate::problem_code::Code;
use crate::providers::{NO_NATIVE, NativeToken, ProviderError, Round};
use crate::redirect_uris::RedirectUri;
use crate::round_trips;
use crate::state::State;
use crate::words::EmailRequiredStatus;

/// Begins a flow: for a browser, or (`native`) for a token that the provider's own SDK will give.
///
/// Either `{"redirect_uri": "…", "code_challenge": "…"}` or `{"native": true}`, and not both.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "redirect_uri": "https://help.shop.example/signed-in", "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
}))]
pub struct FlowRequest {
    /// Where the browser is to come back to: one of those the operator allows, to the letter. An entry
    /// `http://127.0.0.1/…` without a port allows any port.
    #[schema(nullable = false)]
    pub redirect_uri: Option<String>,
    /// The base64url of the SHA-256 of a verifier that the app keeps (PKCE, RFC 7636, S256).
    #[schema(nullable = false, min_length = 43, max_length = 43)]
    pub code_challenge: Option<String>,
    /// No browser: the app will send a token. False where it is left out.
    #[serde(default)]
    pub native: bool,
}

impl FlowRequest {
    /// How the app will get its answer, with everything that is wrong with what it sent.
    pub fn app(self, state: &State) -> Result<App> {
        match (self.native, self.redirect_uri, self.code_challenge) {
            (true, None, None) => Ok(App::Native),
            (false, Some(uri), Some(challenge)) => {
                let allowed = state.redirect_uris.find(&uri).map(|_| uri).ok_or_else(|| {
                    let detail = "The operator allows no such redirect URI (social.redirect_uris); it is compared to the letter.";
                    Error::invalid("/redirect_uri", "not_allowed", detail)
                });
                let challenge = CodeChallenge::parse(&challenge).ok_or_else(|| {
                    let detail = "Send the base64url of the SHA-256 of the verifier: 43 characters (PKCE, S256).";
                    Error::invalid("/code_challenge", "invalid", detail)
                });
                let (redirect_uri, challenge) = together(allowed, challenge)?;
                Ok(App::Redirect { redirect_uri, challenge })
            }
            _ => {
                let detail = "Send either redirect_uri and code_challenge, or native.";
                Err(Error::invalid("", "redirect_or_native", detail))
            }
        }
    }
}

/// A flow has begun.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "flow_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b40", "expires_at": "2026-01-02T03:14:05Z",
    "authorization_url": "https://accounts.google.com/o/oauth2/v2/auth?client_id=…", "nonce": null
}))]
pub struct FlowBegun {
    /// Comes back with the browser: keep the PKCE verifier under it.
    pub flow_id: Uuid,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Send the browser there. Null for a native flow.
    pub authorization_url: Option<String>,
    /// Give it to the provider's SDK, which puts it into the id token. Null for a browser's flow.
    pub nonce: Option<String>,
}

/// What is asked of the provider.
#[derive(Debug, Clone, Copy)]
pub struct Asks {
    /// Nothing: its own SDK is.
    pub native: bool,
    /// To have the person sign in there anew, where it can.
    pub anew: bool,
}

/// Says where the browser goes, or which nonce the provider's SDK is to be given.
pub async fn begun(state: &State, provider: &ProviderName, begun: Begun, asks: Asks) -> Result<FlowBegun, Problem> {
    let client = state.providers.get(provider).ok_or(Error::NotFound("provider"))?;
    if asks.native {
        let (flow_id, expires_at) = (begun.id.0, begun.expires_at);
        return Ok(FlowBegun { flow_id, expires_at, authorization_url: None, nonce: Some(begun.nonce) });
    }
    let callback = round_trips::callback_url(state, provider);
    let round = Round {
        state: &begun.state,
        nonce: &begun.nonce,
        pkce_challenge: &begun.pkce_challenge,
        redirect_uri: &callback,
        anew: asks.anew,
    };
    let url = client.authorization_url(round).await?;
    Ok(FlowBegun { flow_id: begun.id.0, expires_at: begun.expires_at, authorization_url: Some(url), nonce: None })
}

/// Whether a provider's own tokens can be taken: any, or one of this kind.
pub fn takes_native(state: &State, provider: &ProviderName, token: Option<&NativeToken>) -> Result<(), Problem> {
    let client = state.providers.get(provider).ok_or(Error::NotFound("provider"))?;
    match token {
        Some(token) => Ok(client.takes(token)?),
        None if client.takes_native() => Ok(()),
        None => Err(ProviderError::NativeUnsupported(NO_NATIVE).into()),
    }
}

/// Reads a provider's name in a path.
pub fn provider(text: &str) -> Result<ProviderName, Problem> {
    text.parse().map_err(|_| Error::NotFound("provider").into())
}

/// Begin to sign in with a provider
///
/// For a browser: keep the PKCE verifier under the `flow_id`, and send the browser to `authorization_url`. It comes back
/// to `redirect_uri` with `code` and `flow_id`, or with `error` (`cancelled`, `refused`) and `flow_id`. Then exchange
/// the code within 60 seconds.
///
/// For an app with the provider's own SDK: give it the `nonce`, and send the token it gives.
#[utoipa::path(
    tag = "Social sign-in", operation_id = "begin_social_sign_in", security(()),
    params(("provider" = String, Path, description = "`google`, `facebook`, `twitter`, or one that the operator added", example = "google")),
    request_body = FlowRequest,
    responses((status = 201, description = "Begun; it lasts 10 minutes", body = FlowBegun)),
    extensions(("x-problems" = json!(["method_disabled", "not_found", "native_not_supported", "too_many_requests",
        "provider_failed", "provider_timeout", "provider_busy"]))),
)]
#[post("/v1/social/{provider}/flows")]
pub async fn begin_social_sign_in(
    state: web::Data<State>,
    Asker(origin): Asker,
    path: web::Path<String>,
    body: Body<FlowRequest>,
) -> Result<HttpResponse, Problem> {
    let provider = provider(&path)?;
    let native = body.value.native;
    let app = body.value.app(&state)?;
    if native {
        takes_native(&state, &provider, None)?;
    }
    let name = provider.clone();
    let flow = state.write(&origin, move |work| social_flow::begin(work, &name, app.clone(), For::SignIn)).await?;
    Ok(HttpResponse::Created().json(begun(&state, &provider, flow, Asks { native, anew: false }).await?))
}

/// Come back from a provider
///
/// Where the provider sends the browser; no app calls this. It changes nothing and signs nobody in: it sends the browser
/// on to the app with a one-time code that is good with the app's PKCE verifier alone. Register it with the provider as
/// `{public_url}/v1/social/{provider}/callback`.
#[utoipa::path(
    tag = "Social sign-in", operation_id = "come_back_from_provider", security(()),
    params(
        ("provider" = String, Path, description = "The provider's name", example = "google"),
        ("state" = String, Query, description = "What the flow gave the provider"),
        ("code" = Option<String>, Query, description = "What the provider gives"),
        ("error" = Option<String>, Query, description = "Why it gives none (RFC 6749, section 4.1.2.1)"),
        ("iss" = Option<String>, Query, description = "Who says so (RFC 9207)"),
    ),
    responses((status = 303, description = "On to the app's `redirect_uri`, with `code` and `flow_id`, or `error` and `flow_id`",
        headers(("Location" = String, description = "The app's `redirect_uri`, with what is added to it")))),
    extensions(("x-problems" = json!(["flow_not_found", "flow_expired", "not_found"]))),
)]
#[get("/v1/social/{provider}/callback")]
pub async fn come_back_from_provider(
    state: web::Data<State>,
    Asker(origin): Asker,
    path: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    // whoever only looks takes no flow along
    if request.extensions().contains::<AskedByHead>() {
        return Ok(HttpResponse::NoContent().finish());
    }
    let provider = provider(&path)?;
    let client = state.providers.get(&provider).ok_or(Error::NotFound("provider"))?;
    let query = round_trips::Callback::read(request.query_string()).ok_or(Error::FlowUnknown)?;
    let brought = query.brought(client.issuer());
    let flow_state = query.state;
    let back = state.write(&origin, move |work| social_flow::come_back(work, &provider, &flow_state, &brought)).await?;
    let location = HeaderValue::from_str(&back_to(back)).map_err(|_| Problem::new(Code::InternalError))?;
    Ok(HttpResponse::SeeOther().insert_header((LOCATION, location)).finish())
}

/// The app's redirect URI with what it is to know.
fn back_to(back: BackToApp) -> String {
    let flow = back.flow.to_string();
    let said = match &back.code {
        Ok(code) => ("code", code.as_str()),
        Err(error) => ("error", *error),
    };
    RedirectUri::of_flow(back.redirect_uri).with(&[said, ("flow_id", &flow)])
}

/// Exchanges what the browser brought to the app.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "dfc1_…", "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}))]
pub struct Exchange {
    pub code: String,
    /// What `code_challenge` was made of: 43 to 128 characters (RFC 7636, section 4.1).
    #[validate(length(min = 43, max = 128))]
    #[schema(min_length = 43, max_length = 128)]
    pub code_verifier: String,
    /// The `device_token` of an earlier session on this device: its owner is not mailed about a new device.
    #[schema(nullable = false)]
    pub device_token: Option<String>,
}

/// A session, or what is still missing to one: `status` says which.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum SocialAnswer {
    SignedIn(Box<SessionBody>),
    EmailRequired(EmailRequired),
}

/// The provider gave no address that proves anything: ask the person for one, and prove it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "status": "email_required", "continuation": "dft1_…", "expires_at": "2026-01-02T03:34:05Z", "provider": "twitter",
    "handle": "ada", "email_hint": null
}))]
pub struct EmailRequired {
    #[schema(value_type = EmailRequiredStatus)]
    pub status: &'static str,
    /// Goes with the address, and again with the code that is mailed there. Keep it in the app.
    pub continuation: String,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    #[schema(example = "twitter")]
    pub provider: String,
    /// What the person is called there, to be shown.
    pub handle: Option<String>,
    /// An address to fill into the field: the provider's, which proves nothing.
    pub email_hint: Option<String>,
}

impl From<Continue> for EmailRequired {
    fn from(go_on: Continue) -> Self {
        Self {
            status: "email_required",
            continuation: go_on.continuation.to_string(),
            expires_at: go_on.expires_at,
            provider: go_on.provider.to_string(),
            handle: go_on.handle,
            email_hint: go_on.email_hint.map(|address| address.to_string()),
        }
    }
}

pub fn answer(state: &State, finished: Finished) -> Result<HttpResponse, Problem> {
    let answer = match finished {
        Finished::SignedIn(issued) => SocialAnswer::SignedIn(Box::new(SessionBody::of(state, &issued)?)),
        Finished::EmailRequired(go_on) => SocialAnswer::EmailRequired(go_on.into()),
    };
    Ok(HttpResponse::Ok().json(answer))
}

/// Exchange a code
///
/// Asks the provider who has arrived. They are signed in where that identity is known, or nobody owns the account yet
/// and the provider's address counts; else an address is to be proven (`email_required`), or they are to sign in by the
/// way they have and link (409 `link_required`, which says nothing of whose the address is).
///
/// A code is good once, for 60 seconds, with the verifier. When the provider fails (502, 503, 504) begin a new flow.
#[utoipa::path(
    tag = "Social sign-in", operation_id = "exchange_social_code", security(()),
    request_body = Exchange,
    responses((status = 200, description = "Signed in, or an address is to be proven", body = SocialAnswer)),
    extensions(("x-problems" = json!(["flow_not_found", "flow_expired", "method_disabled", "link_required", "account_closed",
        "provider_refused", "provider_failed", "provider_timeout", "provider_busy", "too_many_requests"]))),
)]
#[post("/v1/social/exchange")]
pub async fn exchange_social_code(
    state: web::Data<State>,
    Asker(origin): Asker,
    body: Body<Exchange>,
) -> Result<HttpResponse, Problem> {
    let Exchange { code, code_verifier, device_token } = body.value;
    let presented =
        state.write(&origin, move |work| social_flow::present_code(work, &code, &code_verifier, For::SignIn)).await?;
    let arrival = round_trips::ask(&state, &presented, None).await?;
    finish(&state, &origin, presented.flow, arrival, device_token).await
}

async fn finish(
    state: &State,
    origin: &Origin,
    flow: FlowId,
    arrival: Arrival,
    device_token: Option<String>,
) -> Result<HttpResponse, Problem> {
    let finish = move |work: &mut Work<'_>| social_sign_in::finish(work, flow, &arrival, device_token.as_deref());
    answer(state, state.write(origin, finish).await?)
}

/// A token of a provider's own SDK.
///
/// By `{"flow_id": "…", "id_token": "…"}` or `{"flow_id": "…", "access_token": "…"}`.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"flow_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b40", "id_token": "eyJhbGciOiJSUzI1NiIs…"}))]
pub struct NativeSignIn {
    pub flow_id: Uuid,
    /// Google's, Facebook's (Limited Login) or an OpenID provider's, made for the flow's nonce.
    #[schema(nullable = false)]
    pub id_token: Option<String>,
    /// Facebook's, made for our app.
    #[schema(nullable = false)]
    pub access_token: Option<String>,
    /// The `device_token` of an earlier session on this device.
    #[schema(nullable = false)]
    pub device_token: Option<String>,
}

/// Either token, and not both.
pub fn native_token(id_token: Option<String>, access_token: Option<String>) -> Result<NativeToken> {
    match (id_token, access_token) {
        (Some(token), None) => Ok(NativeToken::IdToken(Zeroizing::new(token))),
        (None, Some(token)) => Ok(NativeToken::AccessToken(Zeroizing::new(token))),
        _ => Err(Error::invalid("", "id_token_or_access_token", "Send either id_token or access_token.")),
    }
}

/// Sign in with a provider's token
///
/// For mobile apps with the provider's SDK. The token must be made for us: for one of our client ids and this flow's
/// nonce (id tokens), or for our app (Facebook's access tokens). Twitter's tokens cannot be told to be; use a browser.
/// The answer is that of the exchange of a code.
#[utoipa::path(
    tag = "Social sign-in", operation_id = "sign_in_with_provider_token", security(()),
    params(("provider" = String, Path, description = "The provider's name", example = "google")),
    request_body = NativeSignIn,
    responses((status = 200, description = "Signed in, or an address is to be proven", body = SocialAnswer)),
    extensions(("x-problems" = json!(["flow_not_found", "flow_expired", "method_disabled", "link_required", "account_closed",
        "native_not_supported", "provider_refused", "provider_failed", "provider_timeout", "provider_busy", "not_found"]))),
)]
#[post("/v1/social/{provider}/tokens")]
pub async fn sign_in_with_provider_token(
    state: web::Data<State>,
    Asker(origin): Asker,
    path: web::Path<String>,
    body: Body<NativeSignIn>,
) -> Result<HttpResponse, Problem> {
    let provider = provider(&path)?;
    let NativeSignIn { flow_id, id_token, access_token, device_token } = body.value;
    let token = native_token(id_token, access_token)?;
    takes_native(&state, &provider, Some(&token))?;
    let presented = state
        .write(&origin, move |work| social_flow::present_native(work, FlowId(flow_id), Some(&provider), For::SignIn))
        .await?;
    let arrival = round_trips::ask(&state, &presented, Some(token)).await?;
    finish(&state, &origin, presented.flow, arrival, device_token).await
}
