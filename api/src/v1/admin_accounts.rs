//! People, for an admin.

use actix_web::{HttpResponse, delete, get, post};
use doorstep_core::account::{Account, AccountState, Role};
use doorstep_core::clock::Timestamp;
use doorstep_core::desk_account;
use doorstep_core::id::{AccountId, IdentityId};
use doorstep_core::page::{Cursor, Limit, PageAsk};
use doorstep_core::people::{self, Filter};
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::accounts::DeskAccountBody;
use super::conversations::PageQuery;
use super::my_sessions::MySessionPage;
use super::pages;
use crate::caller::Admin;
use crate::etag::IfNoneMatch;
use crate::extract::{Id, Pair, Query};
use crate::problem::Problem;
use crate::words::{AccountRole, AccountStateWord};

/// A person, in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Person, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11", "state": "claimed", "role": "customer", "full_name": "Ada Lovelace",
    "primary_email": "ada@example.org", "created_at": "2026-01-02T03:04:05Z", "claimed_at": "2026-01-02T03:14:05Z",
    "updated_at": "2026-01-02T03:14:05Z"
}))]
pub struct PersonBody {
    pub id: Uuid,
    #[schema(value_type = AccountStateWord)]
    pub state: AccountState,
    #[schema(value_type = AccountRole)]
    pub role: Role,
    pub full_name: Option<String>,
    /// Null while nobody has claimed it.
    pub primary_email: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub claimed_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl From<Account> for PersonBody {
    fn from(account: Account) -> Self {
        Self {
            id: account.id.0,
            state: account.state,
            role: account.role,
            full_name: account.full_name,
            primary_email: account.primary_email,
            created_at: account.created_at,
            claimed_at: account.claimed_at,
            updated_at: account.updated_at,
        }
    }
}

pages! {
    /// A page of people, the newest first.
    PersonPage of PersonBody;
}

/// Whom to look for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PersonQuery {
    /// What stands in a name, an address or a handle. `a` to `z` are found in any case, other letters as they are written.
    #[serde(default, deserialize_with = "text")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 200)]
    pub text: Option<String>,
    /// Only those in this state.
    #[param(value_type = Option<AccountStateWord>)]
    pub state: Option<AccountState>,
    /// How many rows a page has at most.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 25)]
    pub limit: Option<Limit>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    pub cursor: Option<Cursor>,
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    let good = (1..=200).contains(&text.chars().count()) && !text.contains('\0');
    if good { Ok(Some(text)) } else { Err(de::Error::custom("Search for 1 to 200 characters, without U+0000.")) }
}

/// Search people
///
/// All there are, also those that nobody has claimed, the newest first. What has become part of another account, or was
/// deleted, is not among them.
#[utoipa::path(
    tag = "Admin", operation_id = "list_people", params(PersonQuery),
    responses((status = 200, description = "People, the newest first", body = PersonPage)),
    extensions(("x-problems" = json!(["admin_required", "admin_password_required"]))),
)]
#[get("/v1/admin/accounts")]
pub async fn list_people(admin: Admin, Query(query): Query<PersonQuery>) -> Result<HttpResponse, Problem> {
    let ask = PageAsk::new(query.limit, query.cursor);
    let filter = Filter { text: query.text, state: query.state };
    let page = admin.search(move |work, _| people::list(work, &filter, ask)).await?;
    Ok(HttpResponse::Ok().json(PersonPage::from(page)))
}

/// Read a person
///
/// What the help desk knows of them, with every identity and when it was proven.
#[utoipa::path(
    tag = "Admin", operation_id = "get_person",
    params(
        ("account" = Uuid, Path, description = "The account's id"),
        ("If-None-Match" = Option<String>, Header, description = "ETags that I have: what has one of them is not sent again"),
    ),
    responses(
        (status = 200, description = "The account", body = DeskAccountBody,
            headers(("ETag" = String, description = "Of what is answered"))),
        (status = 304, description = "It is what `If-None-Match` names",
            headers(("ETag" = String, description = "Of what is answered"))),
    ),
    extensions(("x-problems" = json!(["admin_required", "admin_password_required", "not_found", "account_merged", "account_deleted"]))),
)]
#[get("/v1/admin/accounts/{account}")]
pub async fn get_person(admin: Admin, Id(id): Id<AccountId>, known: IfNoneMatch) -> Result<HttpResponse, Problem> {
    let account = admin.read(move |work, _| desk_account::get(work, id)).await?;
    known.answer(&DeskAccountBody::from(account))
}

/// Disable an account
///
/// With a fresh session. Its owner cannot sign in by any way, all its sessions end at once, and every mailed secret is void. To
/// everybody else it looks as any other. Doing it again changes nothing. The last admin who can sign in stays (409
/// `last_admin`).
#[utoipa::path(
    tag = "Admin", operation_id = "disable_person",
    params(("account" = Uuid, Path, description = "The account's id")),
    responses((status = 204, description = "Disabled")),
    extensions(("x-problems" = json!(["admin_required", "admin_password_required", "reauth_required", "not_found", "account_merged",
        "account_deleted", "last_admin"]))),
)]
#[post("/v1/admin/accounts/{account}/disable")]
pub async fn disable_person(admin: Admin, Id(id): Id<AccountId>) -> Result<HttpResponse, Problem> {
    admin.write_by(move |work, claims| people::disable(work, claims, id)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Enable an account
///
/// With a fresh session. It is as it was: its owner's, who signs in as before, or nobody's. One that is not disabled stays as
/// it is.
#[utoipa::path(
    tag = "Admin", operation_id = "enable_person",
    params(("account" = Uuid, Path, description = "The account's id")),
    responses((status = 204, description = "Enabled")),
    extensions(("x-problems" = json!(["admin_required", "admin_password_required", "reauth_required", "not_found", "account_merged",
        "account_deleted"]))),
)]
#[post("/v1/admin/accounts/{account}/enable")]
pub async fn enable_person(admin: Admin, Id(id): Id<AccountId>) -> Result<HttpResponse, Problem> {
    admin.write_by(move |work, claims| people::enable(work, claims, id)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Send a reset
///
/// With a fresh session. Mails to the primary address (of an account that nobody has claimed: to one that support has met,
/// of a domain that is admitted) what forgot password mails. Nobody but its reader chooses a password.
#[utoipa::path(
    tag = "Admin", operation_id = "send_reset_to_person",
    params(("account" = Uuid, Path, description = "The account's id")),
    responses((status = 202, description = "A mail is on its way")),
    extensions(("x-problems" = json!(["admin_required", "admin_password_required", "reauth_required", "not_found", "account_merged",
        "account_deleted", "account_closed", "method_disabled", "address_needed", "too_many_requests"]))),
)]
#[post("/v1/admin/accounts/{account}/send-reset")]
pub async fn send_reset_to_person(admin: Admin, Id(id): Id<AccountId>) -> Result<HttpResponse, Problem> {
    admin.write_by(move |work, claims| people::send_reset(work, claims, id)).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// List a person's sessions
#[utoipa::path(
    tag = "Admin", operation_id = "list_sessions_of_person",
    params(("account" = Uuid, Path, description = "The account's id"), PageQuery),
    responses((status = 200, description = "The open ones, the newest first", body = MySessionPage)),
    extensions(("x-problems" = json!(["admin_required", "admin_password_required", "not_found", "account_merged", "account_deleted"]))),
)]
#[get("/v1/admin/accounts/{account}/sessions")]
pub async fn list_sessions_of_person(
    admin: Admin,
    Id(id): Id<AccountId>,
    Query(query): Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let ask = PageAsk::new(query.limit, query.cursor);
    let page = admin.read(move |work, _| people::list_sessions(work, id, ask)).await?;
    Ok(HttpResponse::Ok().json(MySessionPage::from(page)))
}

/// How many there were.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PersonSessionsEnded, example = json!({"ended": 2}))]
pub struct SessionsEndedBody {
    pub ended: usize,
}

/// End a person's sessions
///
/// All of them, with a fresh session. They sign in again as before.
#[utoipa::path(
    tag = "Admin", operation_id = "end_sessions_of_person",
    params(("account" = Uuid, Path, description = "The account's id")),
    responses((status = 200, description = "Ended", body = SessionsEndedBody)),
    extensions(("x-problems" = json!(["admin_required", "admin_password_required", "reauth_required", "not_found", "account_merged",
        "account_deleted"]))),
)]
#[delete("/v1/admin/accounts/{account}/sessions")]
pub async fn end_sessions_of_person(admin: Admin, Id(id): Id<AccountId>) -> Result<HttpResponse, Problem> {
    let ended = admin.write_by(move |work, claims| people::end_sessions(work, claims, id)).await?;
    Ok(HttpResponse::Ok().json(SessionsEndedBody { ended }))
}

/// Remove an identity of a person
///
/// With a fresh session. It is nobody's then, history that it opened stays, and sessions that it opened end; the owner is told.
/// An address that its owner has proven stays (409 `address_stays`), and so does their last way in (409 `last_way_in`).
#[utoipa::path(
    tag = "Admin", operation_id = "remove_identity_of_person",
    params(
        ("account" = Uuid, Path, description = "The account's id"),
        ("identity" = Uuid, Path, description = "The identity's id"),
    ),
    responses((status = 204, description = "Removed")),
    extensions(("x-problems" = json!(["admin_required", "admin_password_required", "reauth_required", "not_found", "account_merged",
        "account_deleted", "address_stays", "last_way_in"]))),
)]
#[delete("/v1/admin/accounts/{account}/identities/{identity}")]
pub async fn remove_identity_of_person(
    admin: Admin,
    Pair(account, identity): Pair<AccountId, IdentityId>,
) -> Result<HttpResponse, Problem> {
    admin.write_by(move |work, claims| people::remove_identity(work, claims, account, identity)).await?;
    Ok(HttpResponse::NoContent().finish())
}
