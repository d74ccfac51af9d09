//! My activity: what has happened to my account.

use std::borrow::Cow;

use actix_web::{HttpResponse, get};
use doorstep_core::activity::{self, Activity};
use doorstep_core::audit::Action;
use doorstep_core::clock::Timestamp;
use doorstep_core::page::PageAsk;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use super::conversations::PageQuery;
use super::pages;
use crate::caller::Customer;
use crate::extract::Query;
use crate::problem::Problem;
use crate::words::{AccountRole, ActivityActor, ActivityMethod, ActivityReason, IdentityKindWord};

/// Something that has happened to my account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyActivity, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b50", "at": "2026-01-02T03:14:05Z", "action": "email.added", "by": "me",
    "network": "203.0.113.0/24", "detail": {"identity_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b12", "method": "mailed_code"}
}))]
pub struct ActivityBody {
    pub id: Uuid,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    #[schema(value_type = ActivityAction)]
    pub action: &'static str,
    #[schema(value_type = ActivityActor)]
    pub by: &'static str,
    /// The network it came from: a /24, or a /48 of IPv6. Null where it is nobody's business, or not known.
    pub network: Option<String>,
    #[schema(value_type = ActivityDetail)]
    pub detail: Map<String, Value>,
}

impl From<Activity> for ActivityBody {
    fn from(activity: Activity) -> Self {
        Self {
            id: activity.id.0,
            at: activity.at,
            action: activity.action.as_str(),
            by: activity.by.as_str(),
            network: activity.network,
            detail: activity.detail,
        }
    }
}

/// What has happened. Its list is core's own, with what of each is told.
#[derive(Debug)]
pub enum ActivityAction {}

impl PartialSchema for ActivityAction {
    fn schema() -> RefOr<Schema> {
        let of_one = |(action, fields): (Action, &[&str])| {
            let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
            let fields = if fields.is_empty() { String::new() } else { format!(" ({})", fields.join(", ")) };
            format!("- `{action}`: {}{fields}", about(action))
        };
        let list: Vec<String> = activity::all_told().map(of_one).collect();
        let text = format!(
            "What it was, and what `detail` may say of it. New words may come: show one that you do not know as something \
             that has happened.\n\n{}",
            list.join("\n")
        );
        let words = activity::all_told().map(|(action, _)| action.as_str());
        ObjectBuilder::new().schema_type(Type::String).description(Some(text)).enum_values(Some(words)).into()
    }
}

impl ToSchema for ActivityAction {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("ActivityAction")
    }
}

/// What an action is, to its owner; empty where that is not told.
const fn about(action: Action) -> &'static str {
    match action {
        Action::SessionCreated => "somebody signed in",
        Action::SessionReauthenticated => "a session was made fresh",
        Action::SessionNewDevice => "a sign-in from a device that the account did not know",
        Action::SessionEnded => "a session ended",
        Action::AccountCreated => "the account was made by a sign-up",
        Action::AccountClaimed => "the account that support kept became mine",
        Action::AccountRecovered => "forgot password set a new password, and everything older ended",
        Action::AccountUpdated => "the profile was changed",
        Action::AccountRoleChanged => "the account has another role",
        Action::AccountMerged => "another account, or what support kept, became part of this one",
        Action::AccountDisabled => "an admin closed the account, and all sessions ended",
        Action::AccountEnabled => "an admin opened the account again",
        Action::ResetSent => "an admin had the mail of forgot password sent",
        Action::SessionsEnded => "an admin ended all sessions",
        Action::AccountExported => "everything held was handed out",
        Action::DeletionAsked => "a mail went out that confirms the account's deletion",
        Action::PasswordSet => "a first password was set, and all other sessions ended",
        Action::PasswordChanged => "the password was changed, and all other sessions ended",
        Action::EmailAdded => "an address was proven and added",
        Action::EmailMadePrimary => "an address became the primary one",
        Action::EmailRemoved => "an address was removed",
        Action::EmailUndone => "the ways in went back to what they were",
        Action::IdentityLinked => "an identity was linked, or came back",
        Action::IdentityUnlinked => "an identity was unlinked, or dropped",
        _ => "",
    }
}

/// What more there is to say of it. Which of these an action has stands with the actions; one of which there is nothing to
/// say is left out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is for the document alone: the values are core's")]
#[schema(example = json!({"session_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b13", "method": "provider", "provider": "google", "known_device": true}))]
pub struct ActivityDetail {
    #[schema(nullable = false)]
    pub session_id: Option<Uuid>,
    /// It stays the id of an identity or address that is gone.
    #[schema(nullable = false)]
    pub identity_id: Option<Uuid>,
    #[schema(nullable = false, value_type = Option<IdentityKindWord>)]
    pub kind: Option<&'static str>,
    #[schema(nullable = false, value_type = Option<ActivityMethod>)]
    pub method: Option<&'static str>,
    /// The provider's name, where it was by one.
    #[schema(nullable = false, example = "google")]
    pub provider: Option<String>,
    /// The device has shown a `device_token` of the account.
    #[schema(nullable = false)]
    pub known_device: Option<bool>,
    /// In a few words, by what its program said.
    #[schema(nullable = false, example = "Firefox on Linux")]
    pub device: Option<String>,
    /// A /24, or a /48 of IPv6.
    #[schema(nullable = false, example = "203.0.113.0/24")]
    pub network: Option<String>,
    /// How many sessions it ended.
    #[schema(nullable = false)]
    pub sessions_ended: Option<u32>,
    /// How many ways in it dropped.
    #[schema(nullable = false)]
    pub ways_in_dropped: Option<u32>,
    /// The account has no password since.
    #[schema(nullable = false)]
    pub password_removed: Option<bool>,
    #[schema(nullable = false, value_type = Option<ActivityReason>)]
    pub reason: Option<&'static str>,
    /// The ways in went back to what they were right before this instant.
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub back_to: Option<Timestamp>,
    /// Names of what was changed; of a custom field, its key behind `custom.`.
    #[schema(nullable = false, example = json!(["full_name"]))]
    pub fields: Option<Vec<String>>,
    #[schema(nullable = false, value_type = Option<AccountRole>)]
    pub role: Option<&'static str>,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What core tells is what the document describes: no action without a sentence, no field without a schema.
    #[test]
    fn all_that_is_told_is_described() {
        let document = crate::openapi::document();
        let described = document.pointer("/components/schemas/ActivityDetail/properties").unwrap().as_object().unwrap();
        let described: BTreeSet<&str> = described.keys().map(String::as_str).collect();
        let told: BTreeSet<&str> = activity::all_told().flat_map(|(_, fields)| fields).copied().collect();
        assert_eq!(described, told);
        for action in Action::ALL {
            assert_eq!(about(*action).is_empty(), activity::told(*action).is_none(), "{action}");
        }
    }
}
