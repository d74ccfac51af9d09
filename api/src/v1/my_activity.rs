//! My activity: what has happened to my account.

use actix_web::{HttpResponse, get};
use doorstep_core::activity::{self, Activity};
use doorstep_core::clock::Timestamp;
use doorstep_core::page::PageAsk;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::conversations::PageQuery;
use super::pages;
use crate::caller::Customer;
use crate::extract::Query;
use crate::problem::Problem;
use crate::words::ActivityActor;

/// Something that has happened to my account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyActivity, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b50", "at": "2026-01-02T03:14:05Z", "action": "email.added", "by": "me",
    "network": "203.0.113.0/24", "detail": {"identity_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b12", "proof": "mailed_code"}
}))]
pub struct ActivityBody {
    pub id: Uuid,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What it was, such as `session.created` or `email.removed`. New words may come.
    pub action: String,
    #[schema(value_type = ActivityActor)]
    pub by: &'static str,
    /// The network it came from: a /24, or a /48 of IPv6. Null where it is nobody's business, or not known.
    pub network: Option<String>,
    /// What more there is to say of it; names and values are those of the action.
    #[schema(value_type = Object)]
    pub detail: Map<String, Value>,
}

impl From<Activity> for ActivityBody {
    fn from(activity: Activity) -> Self {
        Self {
            id: activity.id.0,
            at: activity.at,
            action: activity.action,
            by: activity.by.as_str(),
            network: activity.network,
            detail: activity.detail,
        }
    }
}

pages! {
    /// A page of what has happened, the latest first.
    MyActivityPage of ActivityBody;
}

/// List what has happened to my account
///
/// Since it is mine: sign-ins, devices, and every change of the ways in and of the profile. No address of anybody stands in
/// it, and nothing of what is said in conversations.
#[utoipa::path(
    tag = "Me", operation_id = "list_my_activity",
    params(PageQuery),
    responses((status = 200, description = "A page of it, the latest first", body = MyActivityPage)),
)]
#[get("/v1/me/activity")]
pub async fn list_my_activity(customer: Customer, query: Query<PageQuery>) -> Result<HttpResponse, Problem> {
    let ask = PageAsk::new(query.0.limit, query.0.cursor);
    let page = customer.read(move |work, who| activity::list(work, who, ask)).await?;
    Ok(HttpResponse::Ok().json(MyActivityPage::from(page)))
}
