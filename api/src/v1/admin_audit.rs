//! The audit trail, for an admin: who did what.

use actix_web::{HttpResponse, get};
use doorstep_core::activity::Recorded;
use doorstep_core::audit::{self, Action, ActorKind, Filter};
use doorstep_core::clock::Timestamp;
use doorstep_core::id::AccountId;
use doorstep_core::page::{Cursor, Limit, PageAsk};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::pages;
use crate::caller::Admin;
use crate::extract::Query;
use crate::problem::Problem;
use crate::words::{AuditActionWord, AuditActorWord};

/// Something that was done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEvent, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b70", "at": "2026-01-02T03:04:05Z", "action": "account.disabled", "actor": "account",
    "actor_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b01", "account_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11",
    "request_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b71", "address": "203.0.113.7", "detail": {"sessions_ended": 2}
}))]
pub struct AuditEventBody {
    pub id: Uuid,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    #[schema(value_type = AuditActionWord)]
    pub action: Action,
    #[schema(value_type = AuditActorWord)]
    pub actor: ActorKind,
    /// The account or API key that did it; null for all others.
    pub actor_id: Option<Uuid>,
    /// Whose account it was done to; null where it was to none.
    pub account_id: Option<Uuid>,
    /// `X-Request-Id` of the request.
    pub request_id: Option<String>,
    /// Where it came from; null by the command line, and once the account's owner has deleted it.
    pub address: Option<String>,
    /// What more there is to say, by action; never a secret, and no address of mail.
    #[schema(value_type = Object)]
    pub detail: Value,
}

impl From<Recorded> for AuditEventBody {
    fn from(event: Recorded) -> Self {
        Self {
            id: event.id.0,
            at: event.at,
            action: event.action,
            actor: event.actor,
            actor_id: event.actor_id,
            account_id: event.account.map(|id| id.0),
            request_id: event.request_id,
            address: event.address,
            detail: event.detail,
        }
    }
}

pages! {
    /// A page of the audit trail, the latest first.
    AuditEventPage of AuditEventBody;
}

/// What to look for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Only what was done to this account.
    pub account_id: Option<Uuid>,
    /// Only this.
    #[param(value_type = Option<AuditActionWord>)]
    pub action: Option<Action>,
    /// Only by this account or API key.
    pub actor_id: Option<Uuid>,
    /// Only at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Only before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// How many rows a page has at most.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 25)]
    pub limit: Option<Limit>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    pub cursor: Option<Cursor>,
}

/// List the audit trail
///
/// Who did what, the latest first: one event for each change.
#[utoipa::path(
    tag = "Admin", operation_id = "list_audit_events", params(AuditQuery),
    responses((status = 200, description = "What was done, the latest first", body = AuditEventPage)),
    extensions(("x-problems" = json!(["admin_required", "admin_password_required"]))),
)]
#[get("/v1/admin/audit-events")]
pub async fn list_audit_events(admin: Admin, Query(query): Query<AuditQuery>) -> Result<HttpResponse, Problem> {
    let ask = PageAsk::new(query.limit, query.cursor);
    let filter = Filter {
        account: query.account_id.map(AccountId),
        action: query.action,
        actor: query.actor_id,
        since: query.since,
        until: query.until,
    };
    let page = admin.search(move |work, _| audit::list(work, filter, ask)).await?;
    Ok(HttpResponse::Ok().json(AuditEventPage::from(page)))
}
