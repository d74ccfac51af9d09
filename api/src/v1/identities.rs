//! My identities: what I sign in with. Linking and unlinking take a fresh session.

use actix_web::{HttpResponse, delete, get, post, web};
use doorstep_core::clock::Timestamp;
use doorstep_core::id::{FlowId, IdentityId};
use doorstep_core::linked::{self, LinkedIdentity};
use doorstep_core::page::Page;
use doorstep_core::social_flow::{self, For, Presented};
use doorstep_core::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::pages;
use super::social::{self, Asks, FlowBegun, FlowRequest};
use crate::caller::{Customer, FreshCustomer};
use crate::extract::{Body, Id};
use crate::problem::Problem;
use crate::providers::NativeToken;
use crate::round_trips;
use crate::state::State;
use crate::words::IdentityKindWord;

/// One of my identities.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyIdentity, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b12", "kind": "twitter", "provider": "twitter", "label": "ada",
    "name": "Ada Lovelace", "proven_at": "2026-01-02T03:14:05Z", "usable": true, "opened_this_session": false, "last_way_in": false
}))]
pub struct IdentityBody {
    pub id: Uuid,
    #[schema(value_type = IdentityKindWord)]
    pub kind: &'static str,
    /// What it is signed in with; null where that is not configured here, or it is no way in.
    pub provider: Option<String>,
    /// A handle or an address, to be shown. It may change.
    pub label: Option<String>,
    pub name: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub proven_at: Timestamp,
    /// It can be signed in with now.
    pub usable: bool,
    /// This session was opened with it: unlinking it signs this session out.
    pub opened_this_session: bool,
    /// It cannot be unlinked: nothing that may be used now would be left.
    pub last_way_in: bool,
}

impl From<LinkedIdentity> for IdentityBody {
    fn from(linked: LinkedIdentity) -> Self {
        Self {
            id: linked.identity.id.0,
            kind: linked.identity.key.kind.as_str(),
            provider: linked.provider.map(|name| name.to_string()),
            name: linked.identity.name.clone(),
            label: linked.identity.shown_label(),
            proven_at: linked.proven_at,
            usable: linked.usable,
            opened_this_session: linked.opened_this_session,
            last_way_in: linked.last_way_in,
        }
    }
}

pages! {
    /// My identities; all of them stand on one page.
    MyIdentityPage of IdentityBody;
}

/// List my identities
///
/// What I sign in with, and what support knows me by: addresses included.
#[utoipa::path(
    tag = "Identities", operation_id = "list_my_identities",
    responses((status = 200, description = "My identities", body = MyIdentityPage)),
)]
#[get("/v1/me/identities")]
pub async fn list_my_identities(customer: Customer) -> Result<HttpResponse, Problem> {
    let items = customer.read(linked::list).await?;
    Ok(HttpResponse::Ok().json(MyIdentityPage::from(Page { items, next: None })))
}

/// Begin to link
///
/// As beginning to sign in, with a fresh session: one whose holder has signed in (by a password, a provider, sign-up's
/// confirmation) or shown again who they are within the last 10 minutes; a refresh makes none fresh. The same session finishes it, also after a
/// refresh: keep it across the redirect, refresh before the code is spent, and remember under the `flow_id` that this was
/// to link. The browser comes back as it does from signing in.
#[utoipa::path(
    tag = "Identities", operation_id = "begin_linking",
    params(("identity" = String, Path, description = "The provider's name", example = "google")),
    request_body = FlowRequest,
    responses((status = 201, description = "Begun; it lasts 10 minutes", body = FlowBegun)),
    extensions(("x-problems" = json!(["reauth_required", "method_disabled", "not_found", "native_not_supported",
        "too_many_requests", "provider_failed", "provider_timeout", "provider_busy"]))),
)]
#[post("/v1/me/identities/{identity}")]
pub async fn begin_linking(
    state: web::Data<State>,
    customer: FreshCustomer,
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
    let flow = customer.write(move |work, who| social_flow::begin(work, &name, app.clone(), For::Link(who))).await?;
    Ok(HttpResponse::Created().json(social::begun(&state, &provider, flow, Asks { native, anew: false }).await?))
}

/// Finishes linking: with what the browser brought, or with a token of the provider's SDK.
///
/// Exactly one of: `{"code": "…", "code_verifier": "…"}`, `{"flow_id": "…", "id_token": "…"}` or
/// `{"flow_id": "…", "access_token": "…"}`.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "dfc1_…", "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}))]
pub struct LinkExchange {
    #[schema(nullable = false)]
    pub code: Option<String>,
    #[validate(length(min = 43, max = 128))]
    #[schema(nullable = false, min_length = 43, max_length = 128)]
    pub code_verifier: Option<String>,
    #[schema(nullable = false)]
    pub flow_id: Option<Uuid>,
    #[schema(nullable = false)]
    pub id_token: Option<String>,
    #[schema(nullable = false)]
    pub access_token: Option<String>,
}

/// What a provider's round trip has brought.
pub enum Given {
    Code { code: String, verifier: String },
    Native { flow: FlowId, token: NativeToken },
}

impl LinkExchange {
    fn given(self) -> Result<Given> {
        match (self.code, self.code_verifier, self.flow_id) {
            (Some(code), Some(verifier), None) if self.id_token.is_none() && self.access_token.is_none() => {
                Ok(Given::Code { code, verifier })
            }
            (None, None, Some(flow)) => {
                let token = social::native_token(self.id_token, self.access_token)?;
                Ok(Given::Native { flow: FlowId(flow), token })
            }
            _ => {
                let detail = "Send either code and code_verifier, or flow_id and a token.";
                Err(Error::invalid("", "code_or_token", detail))
            }
        }
    }
}

/// Finish linking
///
/// By the very session that began, still fresh. The identity is mine from now on, with the conversations that came by
/// it. What another account owns stays there (409 `identity_taken`). Every proven address is told.
#[utoipa::path(
    tag = "Identities", operation_id = "finish_linking",
    request_body = LinkExchange,
    responses((status = 200, description = "It is linked", body = IdentityBody)),
    extensions(("x-problems" = json!(["flow_not_found", "flow_expired", "reauth_required", "method_disabled", "identity_taken",
        "native_not_supported", "provider_refused", "provider_failed", "provider_timeout", "provider_busy",
        "too_many_requests"]))),
)]
#[post("/v1/me/identities/exchange")]
pub async fn finish_linking(
    state: web::Data<State>,
    customer: FreshCustomer,
    body: Body<LinkExchange>,
) -> Result<HttpResponse, Problem> {
    let (presented, token) = match body.value.given()? {
        Given::Code { code, verifier } => {
            let shown =
                customer.write(move |work, who| social_flow::present_code(work, &code, &verifier, For::Link(who)));
            (shown.await?, None)
        }
        Given::Native { flow, token } => {
            let begun = customer.write(move |work, who| social_flow::find_for(work, flow, For::Link(who))).await?;
            social::takes_native(&state, &begun.provider, Some(&token))?;
            let shown = customer.write(move |work, who| social_flow::present_native(work, flow, None, For::Link(who)));
            (shown.await?, Some(token))
        }
    };
    let Presented { flow, .. } = presented;
    let arrival = round_trips::ask(&state, &presented, token).await?;
    let linked = customer.write_by(move |work, claims| linked::link(work, claims, flow, &arrival)).await?;
    Ok(HttpResponse::Ok().json(IdentityBody::from(linked)))
}

/// Unlink
///
/// Takes a fresh session. It is nobody's then, and is not linked again by itself; history that it opened stays. Sessions
/// that were opened with it end, this one too if it was. The last way in that may be used now stays (409 `last_way_in`), and
/// so does an address (409 `address_stays`): see My emails.
#[utoipa::path(
    tag = "Identities", operation_id = "unlink_identity",
    params(("identity" = Uuid, Path, description = "The identity's id")),
    responses((status = 204, description = "Unlinked")),
    extensions(("x-problems" = json!(["reauth_required", "not_found", "last_way_in", "address_stays"]))),
)]
#[delete("/v1/me/identities/{identity}")]
pub async fn unlink_identity(customer: FreshCustomer, id: Id<IdentityId>) -> Result<HttpResponse, Problem> {
    let id = id.0;
    customer.write_by(move |work, claims| linked::unlink(work, claims, id)).await?;
    Ok(HttpResponse::NoContent().finish())
}
