//! Me: the signed-in customer's account.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, patch};
use doorstep_core::account::{Account, Change, Role};
use doorstep_core::clock::Timestamp;
use doorstep_core::custom_values::ShownValues;
use doorstep_core::error::{Error, Fault};
use doorstep_core::notifications::{NotificationChange, Notifications};
use doorstep_core::profile::{self, Profile, ProfileChange};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::custom_fields::{CustomChange, CustomValues};
use crate::caller::Customer;
use crate::etag::{IfMatch, IfNoneMatch, tagged};
use crate::extract::PartialBody;
use crate::problem::Problem;
use crate::words::AccountRole;

/// An account, as its owner sees it. `GET /v1/me` has more of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11", "role": "customer", "full_name": "Ada Lovelace",
    "primary_email": "ada@example.org", "locale": "en", "time_zone": "Europe/London", "phone": null,
    "avatar_url": null, "created_at": "2026-01-02T03:04:05Z", "claimed_at": "2026-01-02T03:14:05Z",
    "updated_at": "2026-01-02T03:14:05Z"
}))]
pub struct AccountBody {
    pub id: Uuid,
    #[schema(value_type = AccountRole)]
    pub role: Role,
    pub full_name: Option<String>,
    /// Null where there is none: an account may have come by another channel.
    pub primary_email: Option<String>,
    /// A language tag (BCP 47).
    pub locale: Option<String>,
    /// A time zone name (IANA).
    pub time_zone: Option<String>,
    /// E.164.
    pub phone: Option<String>,
    pub avatar_url: Option<String>,
    /// When support first met this person, or when they signed up.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the account became its owner's.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub claimed_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl From<Account> for AccountBody {
    fn from(account: Account) -> Self {
        Self {
            id: account.id.0,
            role: account.role,
            full_name: account.full_name,
            primary_email: account.primary_email,
            locale: account.locale,
            time_zone: account.time_zone,
            phone: account.phone,
            avatar_url: account.avatar_url,
            created_at: account.created_at,
            claimed_at: account.claimed_at,
            updated_at: account.updated_at,
        }
    }
}

/// What its owner wants mail about. Mail that tells of a change to the ways into the account is no choice.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Notifications, example = json!({
    "conversation_replies": true, "rating_requests": true, "announcements": false
}))]
pub struct NotificationsBody {
    /// Support has answered one of my conversations.
    pub conversation_replies: bool,
    /// Support asks how it was.
    pub rating_requests: bool,
    /// News; only to who asks for it.
    pub announcements: bool,
}

impl From<Notifications> for NotificationsBody {
    fn from(now: Notifications) -> Self {
        Self {
            conversation_replies: now.conversation_replies,
            rating_requests: now.rating_requests,
            announcements: now.announcements,
        }
    }
}

/// My account, all of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyAccount, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11", "role": "customer", "full_name": "Ada Lovelace",
    "primary_email": "ada@example.org", "locale": "en", "time_zone": "Europe/London", "phone": null,
    "avatar_url": null,
    "notifications": {"conversation_replies": true, "rating_requests": true, "announcements": false},
    "custom": {"shoe_size": 38.5, "tier": "gold"}, "created_at": "2026-01-02T03:04:05Z",
    "claimed_at": "2026-01-02T03:14:05Z", "updated_at": "2026-01-02T03:14:05Z"
}))]
pub struct ProfileBody {
    pub id: Uuid,
    #[schema(value_type = AccountRole)]
    pub role: Role,
    pub full_name: Option<String>,
    /// Null where there is none: an account may have come by another channel.
    pub primary_email: Option<String>,
    /// A language tag (BCP 47).
    pub locale: Option<String>,
    /// A time zone name (IANA).
    pub time_zone: Option<String>,
    /// E.164.
    pub phone: Option<String>,
    pub avatar_url: Option<String>,
    pub notifications: NotificationsBody,
    /// Every field that support shows to customers, null where nothing is set (`GET /v1/me/custom-fields`).
    #[schema(value_type = CustomValues)]
    pub custom: ShownValues,
    /// When support first met this person, or when they signed up.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the account became its owner's.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub claimed_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl From<Profile> for ProfileBody {
    fn from(profile: Profile) -> Self {
        let account = AccountBody::from(profile.account);
        Self {
            id: account.id,
            role: account.role,
            full_name: account.full_name,
            primary_email: account.primary_email,
            locale: account.locale,
            time_zone: account.time_zone,
            phone: account.phone,
            avatar_url: account.avatar_url,
            notifications: profile.notifications.into(),
            custom: profile.custom,
            created_at: account.created_at,
            claimed_at: account.claimed_at,
            updated_at: account.updated_at,
        }
    }
}

/// Read my account
#[utoipa::path(
    tag = "Me", operation_id = "get_me",
    params(("If-None-Match" = Option<String>, Header, description = "ETags that I have: what has one of them is not sent again")),
    responses(
        (status = 200, description = "My account; ETag changes with it", body = ProfileBody,
            headers(("ETag" = String, description = "Send it as If-Match with a change"))),
        (status = 304, description = "It is what `If-None-Match` names",
            headers(("ETag" = String, description = "Send it as If-Match with a change"))),
    ),
)]
#[get("/v1/me")]
pub async fn get_me(customer: Customer, known: IfNoneMatch) -> Result<HttpResponse, Problem> {
    let profile = customer.read_by(profile::mine).await?;
    known.answer(&ProfileBody::from(profile))
}

/// A change of the profile (JSON Merge Patch, RFC 7396): what is left out stays, null clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "full_name": "Ada King", "time_zone": null, "notifications": {"announcements": true}, "custom": {"shoe_size": 38.5}
}))]
pub struct MeChange {
    #[serde(default, deserialize_with = "given")]
    /// Not of spaces alone, and without control characters.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    pub full_name: Change<String>,
    #[serde(default, deserialize_with = "given")]
    /// A language tag (BCP 47), in any case; kept as `en-US`.
    #[schema(value_type = Option<String>, max_length = 35, pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", example = "en")]
    pub locale: Change<String>,
    #[serde(default, deserialize_with = "given")]
    /// A name of the IANA time zone database, in any case; kept as it is spelled there.
    #[schema(value_type = Option<String>, example = "Europe/London")]
    pub time_zone: Change<String>,
    #[serde(default, deserialize_with = "given")]
    /// An international number (E.164), without spaces.
    #[schema(value_type = Option<String>, pattern = r"^\+[1-9][0-9]{6,14}$", example = "+441632960961")]
    pub phone: Change<String>,
    #[serde(default, deserialize_with = "given")]
    /// An `https:` URL of visible ASCII characters.
    #[schema(value_type = Option<String>, max_length = 2048, pattern = "^https://[!-.0-~][!-~]*$", example = "https://img.shop.example/ada.png")]
    pub avatar_url: Change<String>,
    #[serde(default)]
    #[schema(required = false)]
    pub notifications: NotificationsChange,
    /// Values of the fields that I may edit; null clears one.
    #[serde(default)]
    #[schema(value_type = CustomValues, required = false)]
    pub custom: CustomChange,
}

/// A change of what I want mail about: null goes back to what holds by default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "Send an object of the choices to change; null goes back to the default of one, as in {\"announcements\": null}."
)]
#[schema(example = json!({"announcements": true}))]
pub struct NotificationsChange {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<bool>)]
    pub conversation_replies: Change<bool>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<bool>)]
    pub rating_requests: Change<bool>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<bool>)]
    pub announcements: Change<bool>,
}

impl From<MeChange> for ProfileChange {
    fn from(change: MeChange) -> Self {
        Self {
            full_name: change.full_name,
            locale: change.locale,
            time_zone: change.time_zone,
            phone: change.phone,
            avatar_url: change.avatar_url,
            notifications: NotificationChange {
                conversation_replies: change.notifications.conversation_replies,
                rating_requests: change.notifications.rating_requests,
                announcements: change.notifications.announcements,
            },
            custom: change.custom.0,
            faults: Vec::new(),
        }
    }
}

/// What is shown and not changed here, and what changes it.
const READ_ONLY: [(&str, &str); 6] = [
    ("/claimed_at", "Nothing changes it: the account was claimed then."),
    ("/created_at", "Nothing changes it."),
    ("/id", "Nothing changes it."),
    ("/primary_email", "POST /v1/me/emails/{id}/make-primary changes it, with an address of GET /v1/me/emails."),
    ("/role", "The operator alone changes it."),
    ("/updated_at", "Every change sets it."),
];

/// A field that `GET` shows is known, and not to be changed.
fn explain(fault: Fault) -> Fault {
    match READ_ONLY.iter().find(|(pointer, _)| *pointer == fault.pointer) {
        Some((_, how)) if fault.code == "unknown_field" => Fault::new(fault.pointer, "read_only", *how),
        _ => fault,
    }
}

/// A field that is there: null clears, anything else sets.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Change<T>, D::Error> {
    Option::deserialize(deserializer).map(|value| value.map_or(Change::Clear, Change::Set))
}

/// Change my account
///
/// What is left out stays as it is, and `null` clears. With `If-Match` (the `ETag` of an answer, or `*`) the change is
/// made only to that version, and is 412 otherwise; without it, to whatever is there. A change of nothing changes
/// nothing, its `ETag` included. The id, the address, the role and the times are not to be changed here (`read_only`).
/// All that is wrong with a change is said at once.
#[utoipa::path(
    tag = "Me", operation_id = "change_me",
    request_body = MeChange,
    params(("If-Match" = Option<String>, Header, description = "The ETag that was read: change only that version")),
    responses((status = 200, description = "My account as it is now", body = ProfileBody,
        headers(("ETag" = String, description = "Send it as If-Match with the next change")))),
    extensions(("x-problems" = json!(["precondition_failed"]))),
)]
#[patch("/v1/me")]
pub async fn change_me(
    customer: Customer,
    only: IfMatch,
    body: PartialBody<MeChange>,
) -> Result<HttpResponse, Problem> {
    let faults: Vec<Fault> = body.faults.into_iter().map(explain).collect();
    let Some(change) = body.value else { return Err(Error::Invalid(faults).into()) };
    let change = ProfileChange { faults, ..change.into() };
    let changed = customer.write(move |work, who| {
        profile::change(work, who, &change, |now| only.allows(|| Some(ProfileBody::from(now.clone()))))
    });
    tagged(StatusCode::OK, &ProfileBody::from(changed.await?))
}
