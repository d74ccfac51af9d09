//! My other account becomes part of this one.

use std::sync::Arc;

use actix_web::{HttpResponse, post, web};
use doorstep_core::Error;
use doorstep_core::access_token::AccessClaims;
use doorstep_core::clock::Timestamp;
use doorstep_core::identity::Identity;
use doorstep_core::merge::{self, Codes, Merge};
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

/// Shows it by what was mailed.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"access_token": "eyJ0eXAiOiJhdCtqd3Qi…", "code": "ABCD-EFGH", "other_code": "JKMN-PQRS"}))]
pub struct MergeConfirmation {
    /// An access token of the same session of the other account as was asked with.
    pub access_token: String,
    /// What was mailed for this account; nothing where `sent_to` was null.
    pub code: Option<String>,
    /// What was mailed for the other one.
    pub other_code: Option<String>,
}

/// Where the codes went.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "sent_to": "ada@example.org", "other_sent_to": "ada@work.example", "expires_at": "2026-01-02T03:24:05Z"
}))]
pub struct MergeAsked {
    /// For this account, whoever was there first; null where the account has no address, and its owner has just shown anew
    /// that they are there.
    pub sent_to: Option<String>,
    /// For the other one.
    pub other_sent_to: Option<String>,
    /// Until when the codes are good.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
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

/// Ask to merge my other account into this one
///
/// Takes a fresh session of each: this one's in `Authorization`, the other's in the body. Identities, conversations, ratings
/// and what I wrote and read come along; the other account's password and sessions do not. With `preview=true` it says what
/// would move, and asks nothing.
///
/// A merge cannot be taken back, so a code is mailed for each of the two, to whoever was there first: to the primary address,
/// or to the one that can still undo a change of the addresses. An account without an address takes a session that was made
/// fresh again within the last minute (403 `reauth_required`).
#[utoipa::path(
    tag = "Identities", operation_id = "ask_to_merge_accounts",
    params(MergeQuery),
    request_body = MergeRequest,
    responses(
        (status = 200, description = "A preview", body = MergeBody),
        (status = 202, description = "Codes are on their way", body = MergeAsked),
    ),
    extensions(("x-problems" = json!(["reauth_required", "merge_refused", "address_too_new"]))),
)]
#[post("/v1/me/merges")]
pub async fn ask_to_merge_accounts(
    state: web::Data<State>,
    customer: FreshCustomer,
    query: Query<MergeQuery>,
    body: Body<MergeRequest>,
) -> Result<HttpResponse, Problem> {
    let other = verified(&state, &body.value.access_token)?;
    if query.0.preview {
        let would = customer.write_by(move |work, claims| merge::preview(work, claims, &other)).await?;
        return Ok(HttpResponse::Ok().json(MergeBody::of(&state, would)));
    }
    let asked = customer.write_by(move |work, claims| merge::ask(work, claims, &other)).await?;
    Ok(HttpResponse::Accepted().json(MergeAsked {
        sent_to: asked.survivor.map(|address| address.to_string()),
        other_sent_to: asked.source.map(|address| address.to_string()),
        expires_at: asked.expires_at,
    }))
}

fn verified(state: &State, token: &str) -> Result<Arc<AccessClaims>, Error> {
    state.tokens.verify(token, state.now()).map_err(|_| {
        let detail = "It is no access token that is good now: sign in to the other account.";
        Error::invalid("/access_token", "invalid", detail)
    })
}

/// Merge my other account into this one
///
/// With the two codes that were mailed, in the two sessions that asked, still fresh. The other account's id points to this one
/// from then on (410 `account_merged`). Every proven address of both is told. What could be undone of either can be undone no
/// more.
#[utoipa::path(
    tag = "Identities", operation_id = "merge_my_accounts",
    request_body = MergeConfirmation,
    responses((status = 200, description = "What has moved", body = MergeBody)),
    extensions(("x-problems" = json!(["reauth_required", "merge_refused", "address_too_new", "secret_not_found",
        "too_many_requests"]))),
)]
#[post("/v1/me/merges/confirm")]
pub async fn merge_my_accounts(
    state: web::Data<State>,
    customer: FreshCustomer,
    body: Body<MergeConfirmation>,
) -> Result<HttpResponse, Problem> {
    let MergeConfirmation { access_token, code, other_code } = body.value;
    let other = verified(&state, &access_token)?;
    let merged = customer.write_by(move |work, claims| {
        let codes = Codes { survivor: code.as_deref(), source: other_code.as_deref() };
        merge::merge(work, claims, &other, codes)
    });
    Ok(HttpResponse::Ok().json(MergeBody::of(&state, merged.await?)))
}
