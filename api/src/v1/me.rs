//! Me: the signed-in customer's account.

use actix_web::http::header::{ETAG, HeaderValue, IF_MATCH};
use actix_web::{HttpRequest, HttpResponse, get, patch};
use doorstep_core::account::{self, Account, Change, ProfileChange, Role};
use doorstep_core::clock::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::caller::Customer;
use crate::extract::Body;
use crate::problem::{Code, Problem};
use crate::words::AccountRole;

/// An account, as its owner sees it.
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

fn answer(account: Account) -> HttpResponse {
    let tag = format!("\"{}\"", account.version);
    let mut response = HttpResponse::Ok().json(AccountBody::from(account));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// Read my account
#[utoipa::path(
    tag = "Me", operation_id = "get_me",
    responses((status = 200, description = "My account; ETag changes with it", body = AccountBody,
        headers(("ETag" = String, description = "Send it as If-Match with a change")))),
)]
#[get("/v1/me")]
pub async fn get_me(customer: Customer) -> Result<HttpResponse, Problem> {
    // the account came with the session, in the one query that looked it up
    customer.read(|_, who| Ok(who.account.clone())).await.map(answer)
}

/// A change of the profile (JSON Merge Patch, RFC 7396): what is left out stays, null clears.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"full_name": "Ada King", "time_zone": null}))]
pub struct MeChange {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 200)]
    pub full_name: Change<String>,
    #[serde(default, deserialize_with = "given")]
    /// A language tag (BCP 47), in any case; kept as `en-US`.
    #[schema(value_type = Option<String>, max_length = 35, example = "en")]
    pub locale: Change<String>,
    #[serde(default, deserialize_with = "given")]
    /// A name of the IANA time zone database, in any case; kept as it is spelled there.
    #[schema(value_type = Option<String>, example = "Europe/London")]
    pub time_zone: Change<String>,
    #[serde(default, deserialize_with = "given")]
    /// E.164.
    #[schema(value_type = Option<String>, example = "+441632960961")]
    pub phone: Change<String>,
    #[serde(default, deserialize_with = "given")]
    /// An `https:` URL.
    #[schema(value_type = Option<String>, max_length = 2048, example = "https://img.shop.example/ada.png")]
    pub avatar_url: Change<String>,
}

/// A field that is there: null clears, anything else sets.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Change<String>, D::Error> {
    Option::deserialize(deserializer).map(|value| value.map_or(Change::Clear, Change::Set))
}

/// Change my account
///
/// What is left out stays as it is, and `null` clears. With `If-Match` (the `ETag` of an answer, or `*`) the change is
/// made only to that version, and is 412 otherwise; without it, to whatever is there. A change of nothing changes
/// nothing, its `ETag` included. The address, the role and the times are not to be changed here.
#[utoipa::path(
    tag = "Me", operation_id = "change_me",
    request_body = MeChange,
    params(("If-Match" = Option<String>, Header, description = "The ETag that was read: change only that version")),
    responses((status = 200, description = "My account as it is now", body = AccountBody,
        headers(("ETag" = String, description = "Send it as If-Match with the next change")))),
    extensions(("x-problems" = json!(["precondition_failed"]))),
)]
#[patch("/v1/me")]
pub async fn change_me(
    customer: Customer,
    request: HttpRequest,
    body: Body<MeChange>,
) -> Result<HttpResponse, Problem> {
    let only_version = if_match(&request)?;
    let change = ProfileChange {
        full_name: body.value.full_name,
        locale: body.value.locale,
        time_zone: body.value.time_zone,
        phone: body.value.phone,
        avatar_url: body.value.avatar_url,
    };
    let account = customer.write(move |work, who| account::change_profile(work, who, &change, only_version)).await?;
    Ok(answer(account))
}

/// The version that `If-Match` names; a tag that is none of ours matches nothing.
fn if_match(request: &HttpRequest) -> Result<Option<i64>, Problem> {
    let Some(value) = request.headers().get(IF_MATCH) else { return Ok(None) };
    let tag = value.to_str().unwrap_or_default().trim();
    if tag == "*" {
        return Ok(None);
    }
    let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(|tag| tag.parse().ok());
    version.map(Some).ok_or_else(|| Problem::new(Code::PreconditionFailed))
}
