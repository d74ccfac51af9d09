//! My other account becomes part of this one.

use actix_web::{HttpResponse, post, web};
use doorstep_core::Error;
use doorstep_core::identity::Identity;
use doorstep_core::merge::{self, Merge};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::me::AccountBody;
use crate::caller::FreshCustomer;
use crate::extract::{Body, Query};
use crate::problem::Problem;
use crate::state::State;
use crate::words::IdentityKindWord;

/// Shows that the other account is mine too.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"access_token": "eyJ0eXAiOiJhdCtqd3Qi…"}))]
pub struct MergeRequest {
    /// An access token of a fresh session of the other account.
    pub access_token: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MergeQuery {
    /// Say what would move, and change nothing.
    #[serde(default)]
    #[param(value_type = Option<bool>, default = false)]
    pub preview: bool,
}

/// What has moved, or would.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "merged": true, "source_account_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b21",
    "account": {"id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11", "role": "customer", "full_name": "Ada Lovelace",
        "primary_email": "ada@example.org", "locale": "en", "time_zone": null, "phone": null, "avatar_url": null,
        "created_at": "2026-01-02T03:04:05Z", "claimed_at": "2026-01-02T03:14:05Z", "updated_at": "2026-01-02T03:14:05Z"},
    "identities": [{"kind": "twitter", "provider": "twitter", "label": "ada"}], "conversations": 3, "sessions_ended": 1
}))]
pub struct MergeBody {
    /// False for a preview.
    pub merged: bool,
    /// The account that goes: its sessions end, its password is void, and its id points to mine.
    pub source_account_id: Uuid,
    /// My account, as it is now.
    pub account: AccountBody,
    /// What comes with it that can be signed in with.
    pub identities: Vec<MergedIdentity>,
    pub conversations: i64,
    /// Sessions of the other account that ended, or would.
    pub sessions_ended: usize,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"kind": "twitter", "provider": "twitter", "label": "ada"}))]
pub struct MergedIdentity {
    #[schema(value_type = IdentityKindWord)]
    pub kind: &'static str,
    /// The provider's name, where it is one of those that are offered here.
    pub provider: Option<String>,
    /// The address or handle, for people.
    pub label: Option<String>,
}

impl MergeBody {
    fn of(state: &State, merge: Merge) -> Self {
        let providers = state.providers.providers();
        let identity = |identity: Identity| MergedIdentity {
            kind: identity.key.kind.as_str(),
            provider: providers.of(&identity.key).map(|provider| provider.name.to_string()),
            label: identity.shown_label(),
        };
        Self {
            merged: merge.done,
            source_account_id: merge.source.0,
            account: merge.account.into(),
            identities: merge.identities.into_iter().map(identity).collect(),
            conversations: merge.conversations,
            sessions_ended: merge.sessions_ended,
        }
    }
}

/// Merge my other account into this one
///
/// Takes a fresh session of each: this one's in `Authorization`, the other's in the body. Identities, conversations,
/// and what I wrote and read come along; the other account's password and sessions do not. Ask with `preview=true` first.
///
/// Every proven address of both is told, and may undo it for 72 hours: then the two are parted, and each has what it had
/// before. Until then the account is not deleted (`merge_undoable`), and goes into no other.
#[utoipa::path(
    tag = "Identities", operation_id = "merge_my_accounts",
    params(MergeQuery),
    request_body = MergeRequest,
    responses((status = 200, description = "What has moved, or would", body = MergeBody)),
    extensions(("x-problems" = json!(["reauth_required", "merge_refused"]))),
)]
#[post("/v1/me/merges")]
pub async fn merge_my_accounts(
    state: web::Data<State>,
    customer: FreshCustomer,
    query: Query<MergeQuery>,
    body: Body<MergeRequest>,
) -> Result<HttpResponse, Problem> {
    let preview = query.0.preview;
    let other = state.tokens.verify(&body.value.access_token, state.now()).map_err(|_| {
        Error::invalid(
            "/access_token",
            "invalid",
            "It is no access token that is good now: sign in to the other account.",
        )
    })?;
    let merged = customer.write_by(move |work, claims| merge::merge(work, claims, &other, preview)).await?;
    Ok(HttpResponse::Ok().json(MergeBody::of(&state, merged)))
}
