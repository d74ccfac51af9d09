//! Accounts, as the help desk sees them.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, patch};
use doorstep_core::account::{AccountState, Role};
use doorstep_core::clock::Timestamp;
use doorstep_core::custom_values::ShownValues;
use doorstep_core::desk_account::{self, DeskAccount};
use doorstep_core::id::AccountId;
use doorstep_core::identity::Identity;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::custom_fields::{CustomChange, CustomValues};
use super::me::NotificationsBody;
use crate::caller::{Machine, ReadAccounts, WriteAccounts};
use crate::etag::{IfMatch, IfNoneMatch, tagged};
use crate::extract::{Body, Id};
use crate::problem::Problem;
use crate::words::{AccountRole, AccountStateWord, IdentityKindWord};

/// An account, as the help desk sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeskAccount, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11", "state": "claimed", "role": "customer", "full_name": "Ada Lovelace",
    "primary_email": "ada@example.org", "locale": "en", "time_zone": "Europe/London", "phone": null, "avatar_url": null,
    "notifications": {"conversation_replies": true, "rating_requests": true, "announcements": false},
    "custom": {"shoe_size": 38.5, "tier": "gold", "vip_note": null}, "custom_withheld": [],
    "identities": [{"id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b12", "kind": "email", "namespace": "",
        "subject": "ada@example.org", "label": "Ada@Example.org", "name": "Ada Lovelace", "is_primary": true,
        "observed_at": "2026-01-02T03:04:05Z", "proven_at": "2026-01-02T03:14:05Z"}],
    "created_at": "2026-01-02T03:04:05Z", "claimed_at": "2026-01-02T03:14:05Z", "updated_at": "2026-01-02T03:14:05Z"
}))]
pub struct DeskAccountBody {
    pub id: Uuid,
    #[schema(value_type = AccountStateWord)]
    pub state: AccountState,
    #[schema(value_type = AccountRole)]
    pub role: Role,
    pub full_name: Option<String>,
    /// Null while nobody has claimed it: see `identities`.
    pub primary_email: Option<String>,
    /// A language tag (BCP 47).
    pub locale: Option<String>,
    /// A time zone name (IANA).
    pub time_zone: Option<String>,
    /// E.164.
    pub phone: Option<String>,
    pub avatar_url: Option<String>,
    /// Ask here before you mail what its owner may not want.
    pub notifications: NotificationsBody,
    /// Every custom field, null where nothing is set.
    #[schema(value_type = CustomValues)]
    pub custom: ShownValues,
    /// Keys of fields that customers see, of which this one's owner does not see what you said: it was said of several
    /// identities, and not all of them came to the same owner. Say it again where it is about this person.
    pub custom_withheld: Vec<String>,
    /// By what you, or their owner, are known to be met.
    pub identities: Vec<DeskIdentityBody>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub claimed_at: Option<Timestamp>,
    /// When its owner last saw a change of it.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// One identity of an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeskIdentity, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b12", "kind": "twitter", "namespace": "", "subject": "12", "label": "ada",
    "name": null, "is_primary": false, "observed_at": "2026-01-02T03:04:05Z", "proven_at": null
}))]
pub struct DeskIdentityBody {
    pub id: Uuid,
    #[schema(value_type = IdentityKindWord)]
    pub kind: &'static str,
    /// Where the subject is one: an issuer, an app, a page, a service. Empty for addresses and for Twitter.
    pub namespace: String,
    /// The address or id.
    pub subject: String,
    /// As it was spelled, or a handle. It may change.
    pub label: Option<String>,
    pub name: Option<String>,
    pub is_primary: bool,
    #[schema(value_type = String, format = DateTime)]
    pub observed_at: Timestamp,
    /// When its owner last proved it; null where nobody has.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub proven_at: Option<Timestamp>,
}

impl From<(Identity, Option<Timestamp>)> for DeskIdentityBody {
    fn from((identity, proven_at): (Identity, Option<Timestamp>)) -> Self {
        Self {
            id: identity.id.0,
            kind: identity.key.kind.as_str(),
            namespace: identity.key.namespace,
            subject: identity.key.subject,
            label: identity.label,
            name: identity.name,
            is_primary: identity.is_primary,
            observed_at: identity.observed_at,
            proven_at,
        }
    }
}

impl From<DeskAccount> for DeskAccountBody {
    fn from(desk: DeskAccount) -> Self {
        let account = desk.account;
        Self {
            id: account.id.0,
            state: account.state,
            role: account.role,
            full_name: account.full_name,
            primary_email: account.primary_email,
            locale: account.locale,
            time_zone: account.time_zone,
            phone: account.phone,
            avatar_url: account.avatar_url,
            notifications: desk.notifications.into(),
            custom: desk.custom,
            custom_withheld: desk.withheld,
            identities: desk.identities.into_iter().map(Into::into).collect(),
            created_at: account.created_at,
            claimed_at: account.claimed_at,
            updated_at: account.updated_at,
        }
    }
}

/// Read an account
///
/// Also one that nobody has claimed. One that has become part of another is 410 `account_merged`, with the survivor's id
/// in `survivor_id` and a `Link` to it.
#[utoipa::path(
    tag = "Accounts", operation_id = "get_account", security(("api_key" = ["accounts:read"])),
    params(
        ("id" = Uuid, Path, description = "The account's id"),
        ("If-None-Match" = Option<String>, Header, description = "ETags that I have: what has one of them is not sent again"),
    ),
    responses(
        (status = 200, description = "The account", body = DeskAccountBody,
            headers(("ETag" = String, description = "Send it as If-Match with a change"))),
        (status = 304, description = "It is what `If-None-Match` names",
            headers(("ETag" = String, description = "Send it as If-Match with a change"))),
    ),
    extensions(("x-problems" = json!(["not_found", "account_merged", "account_deleted"]))),
)]
#[get("/v1/accounts/{id}")]
pub async fn get_account(
    desk: Machine<ReadAccounts>,
    Id(id): Id<AccountId>,
    known: IfNoneMatch,
) -> Result<HttpResponse, Problem> {
    let account = desk.read(move |work, _| desk_account::get(work, id)).await?;
    known.answer(&DeskAccountBody::from(account))
}

/// A change of an account by the desk (JSON Merge Patch, RFC 7396): what is left out stays, null clears.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"custom": {"tier": "gold", "vip_note": null}}))]
pub struct DeskAccountChange {
    #[serde(default)]
    #[schema(value_type = CustomValues, required = false)]
    pub custom: CustomChange,
}

/// Change an account
///
/// Its custom fields; all else is its owner's. Send `If-Match` with what you say of an account that nobody has claimed:
/// the `ETag` changes when one of its identities goes to an owner of its own, and then what you say may be of somebody
/// else. Its owner does not learn of a change in fields of the desk alone, not even by their own `ETag`.
#[utoipa::path(
    tag = "Accounts", operation_id = "change_account", security(("api_key" = ["accounts:write"])),
    params(
        ("id" = Uuid, Path, description = "The account's id"),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read: change only that version"),
    ),
    request_body = DeskAccountChange,
    responses((status = 200, description = "The account as it is now", body = DeskAccountBody,
        headers(("ETag" = String, description = "Send it as If-Match with the next change")))),
    extensions(("x-problems" = json!(["not_found", "account_merged", "account_deleted", "precondition_failed"]))),
)]
#[patch("/v1/accounts/{id}")]
pub async fn change_account(
    desk: Machine<WriteAccounts>,
    Id(id): Id<AccountId>,
    only: IfMatch,
    body: Body<DeskAccountChange>,
) -> Result<HttpResponse, Problem> {
    let change = body.value.custom.0;
    let changed = desk.write(move |work, by| {
        let may = |now: &DeskAccount| only.allows(|| Some(DeskAccountBody::from(now.clone())));
        desk_account::change(work, by, id, &change, may)
    });
    tagged(StatusCode::OK, &DeskAccountBody::from(changed.await?))
}
