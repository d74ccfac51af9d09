//! The API keys of help desks and other back ends.

use actix_web::{HttpResponse, delete, get, post};
use doorstep_core::api_key::{self, ApiKey, Scope};
use doorstep_core::audit::Actor;
use doorstep_core::clock::Timestamp;
use doorstep_core::id::ApiKeyId;
use doorstep_core::page::PageAsk;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::conversations::{PageQuery, created};
use super::pages;
use crate::caller::{Admin, FreshAdmin};
use crate::extract::{Body, Id, Query};
use crate::problem::Problem;
use crate::words::ApiKeyScope;

/// An API key, without the key itself: that is shown once, when it is made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b60", "name": "desk", "scopes": ["interactions:write", "conversations:read"],
    "created_at": "2026-01-02T03:04:05Z", "expires_at": null
}))]
pub struct ApiKeyBody {
    pub id: Uuid,
    pub name: String,
    #[schema(value_type = Vec<ApiKeyScope>)]
    pub scopes: Vec<Scope>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// From then on it is refused; null where it lasts until it is revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

impl From<ApiKey> for ApiKeyBody {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.0,
            name: key.name,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
        }
    }
}

/// A key that has just been made.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "key": "dsk_…",
    "api_key": {"id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b60", "name": "desk", "scopes": ["interactions:write"],
        "created_at": "2026-01-02T03:04:05Z", "expires_at": null}
}))]
pub struct ApiKeyCreated {
    /// Shown this once: what is stored is a hash.
    pub key: String,
    pub api_key: ApiKeyBody,
}

/// A key to make.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "desk", "scopes": ["interactions:write", "conversations:read"], "expires_at": "2027-01-01T00:00:00Z"}))]
pub struct NewApiKey {
    /// What it is for.
    #[validate(length(min = 1, max = 100))]
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    #[validate(length(min = 1, max = 20))]
    #[schema(value_type = Vec<ApiKeyScope>, min_items = 1, max_items = 20)]
    pub scopes: Vec<Scope>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

pages! {
    /// A page of API keys, the oldest first.
    ApiKeyPage of ApiKeyBody;
}

/// List the API keys
///
/// Those that nobody has revoked, expired ones too.
#[utoipa::path(
    tag = "Admin", operation_id = "list_api_keys", params(PageQuery),
    responses((status = 200, description = "The keys, the oldest first", body = ApiKeyPage)),
    extensions(("x-problems" = json!(["admin_required", "admin_password_required"]))),
)]
#[get("/v1/admin/api-keys")]
pub async fn list_api_keys(admin: Admin, Query(query): Query<PageQuery>) -> Result<HttpResponse, Problem> {
    let ask = PageAsk::new(query.limit, query.cursor);
    let page = admin.read(move |work, _| api_key::list(work, ask)).await?;
    Ok(HttpResponse::Ok().json(ApiKeyPage::from(page)))
}

/// Make an API key
///
/// With a fresh session. `key` is in this answer and nowhere else. To replace one, make another, and revoke the old one once
/// nobody uses it: both are good meanwhile.
#[utoipa::path(
    tag = "Admin", operation_id = "create_api_key",
    request_body = NewApiKey,
    responses((status = 201, description = "Made", body = ApiKeyCreated,
        headers(("Location" = String, description = "Where it is revoked")))),
    extensions(("x-problems" = json!(["admin_required", "admin_password_required", "reauth_required"]))),
)]
#[post("/v1/admin/api-keys")]
pub async fn create_api_key(admin: FreshAdmin, body: Body<NewApiKey>) -> Result<HttpResponse, Problem> {
    let NewApiKey { name, scopes, expires_at } = body.value;
    let made =
        admin.write(move |work, who| api_key::create(work, Actor::Account(who.account.id), &name, &scopes, expires_at));
    let (made, plain) = made.await?;
    let location = format!("/v1/admin/api-keys/{}", made.id);
    Ok(created(&location, &ApiKeyCreated { key: plain.reveal().to_string(), api_key: made.into() }))
}

/// Revoke an API key
///
/// With a fresh session. The next request with it is refused.
#[utoipa::path(
    tag = "Admin", operation_id = "revoke_api_key",
    params(("api_key" = Uuid, Path, description = "The key's id")),
    responses((status = 204, description = "Revoked")),
    extensions(("x-problems" = json!(["admin_required", "admin_password_required", "reauth_required", "not_found"]))),
)]
#[delete("/v1/admin/api-keys/{api_key}")]
pub async fn revoke_api_key(admin: FreshAdmin, Id(id): Id<ApiKeyId>) -> Result<HttpResponse, Problem> {
    admin.write(move |work, who| api_key::revoke(work, Actor::Account(who.account.id), id)).await?;
    Ok(HttpResponse::NoContent().finish())
}
