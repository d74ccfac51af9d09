//! My sessions: the devices that I am signed in on.

use actix_web::{HttpResponse, delete, get};
use doorstep_core::Error;
use doorstep_core::clock::Timestamp;
use doorstep_core::id::SessionId;
use doorstep_core::own_sessions::{self, OwnSession, PastSession};
use doorstep_core::page::PageAsk;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::conversations::PageQuery;
use super::pages;
use crate::caller::Customer;
use crate::extract::{Id, Query};
use crate::problem::Problem;
use crate::words::SessionMethod;

/// One of my sessions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MySession, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b13", "current": true, "device": "Firefox on Linux",
    "network": "203.0.113.0/24", "method": "password", "provider": null, "created_at": "2026-01-02T03:04:05Z",
    "authenticated_at": "2026-01-02T03:04:05Z", "last_used_at": "2026-01-02T04:04:05Z", "expires_at": "2026-01-16T04:04:05Z"
}))]
pub struct MySessionBody {
    pub id: Uuid,
    /// It is the one that asks.
    pub current: bool,
    /// What it is, in a few words, by what its program said when it signed in. Null where that said nothing.
    pub device: Option<String>,
    /// The network it signed in from: a /24, or a /48 of IPv6. Null where that is not known.
    pub network: Option<String>,
    /// How it signed in.
    #[schema(value_type = SessionMethod)]
    pub method: &'static str,
    /// The provider's name, where it was by one.
    pub provider: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its holder last showed who they are.
    #[schema(value_type = String, format = DateTime)]
    pub authenticated_at: Timestamp,
    /// When its tokens were last refreshed: an app in use does so every few minutes.
    #[schema(value_type = String, format = DateTime)]
    pub last_used_at: Timestamp,
    /// When it ends if it is not used before.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// One of my sessions that is over.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyPastSession, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b14", "device": "Safari on iPhone", "network": "198.51.100.0/24",
    "method": "provider", "provider": "google", "created_at": "2026-01-01T03:04:05Z",
    "last_used_at": "2026-01-01T04:04:05Z", "ended_at": "2026-01-01T05:04:05Z"
}))]
pub struct PastSessionBody {
    pub id: Uuid,
    pub device: Option<String>,
    pub network: Option<String>,
    #[schema(value_type = SessionMethod)]
    pub method: &'static str,
    pub provider: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub last_used_at: Timestamp,
    /// Null where it ran out.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

impl From<PastSession> for PastSessionBody {
    fn from(past: PastSession) -> Self {
        let method = &past.session.method;
        Self {
            id: past.session.id.0,
            device: past.device,
            network: past.network,
            method: method.kind(),
            provider: method.provider().map(ToString::to_string),
            created_at: past.session.created_at,
            last_used_at: past.session.rotated_at,
            ended_at: past.session.ended_at,
        }
    }
}

impl From<OwnSession> for MySessionBody {
    fn from(own: OwnSession) -> Self {
        let method = &own.session.method;
        Self {
            id: own.session.id.0,
            current: own.current,
            device: own.device,
            network: own.network,
            method: method.kind(),
            provider: method.provider().map(ToString::to_string),
            created_at: own.session.created_at,
            authenticated_at: own.session.authenticated_at,
            last_used_at: own.session.rotated_at,
            expires_at: own.expires_at,
        }
    }
}

pages! {
    /// A page of my sessions, the newest first.
    MySessionPage of MySessionBody;
}

/// List my sessions
///
/// The devices that I am signed in on, and nothing that has ended.
#[utoipa::path(
    tag = "Sessions", operation_id = "list_my_sessions",
    params(PageQuery),
    responses((status = 200, description = "A page of my sessions", body = MySessionPage)),
)]
#[get("/v1/me/sessions")]
pub async fn list_my_sessions(customer: Customer, query: Query<PageQuery>) -> Result<HttpResponse, Problem> {
    let ask = PageAsk::new(query.0.limit, query.0.cursor);
    let page = customer.read(move |work, who| own_sessions::list(work, who, ask)).await?;
    Ok(HttpResponse::Ok().json(MySessionPage::from(page)))
}

/// End one of my sessions
///
/// Its tokens are worth nothing from then on; this one is signed out by it as well. One that has ended is not there.
#[utoipa::path(
    tag = "Sessions", operation_id = "end_my_session",
    params(("session" = Uuid, Path, description = "The session's id")),
    responses((status = 204, description = "It has ended")),
    extensions(("x-problems" = json!(["not_found"]))),
)]
#[delete("/v1/me/sessions/{session}")]
pub async fn end_my_session(customer: Customer, id: Id<SessionId>) -> Result<HttpResponse, Problem> {
    let id = id.0;
    customer.write(move |work, who| own_sessions::end(work, who, id)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Which sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OthersQuery {
    /// All but this one. It must be said, and be `true`.
    #[serde(default, deserialize_with = "is_true")]
    #[param(value_type = bool, required = true)]
    pub others: Option<bool>,
}

/// Anything else is no, and the answer to that says what to send.
fn is_true<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    Ok(Some(String::deserialize(from)? == "true"))
}

/// How many there were.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"ended": 2}))]
pub struct SessionsEnded {
    pub ended: usize,
}

/// End all my other sessions
///
/// Signs out every other device; this one goes on. Sessions that have run out are not counted, and their devices are known
/// no more either.
#[utoipa::path(
    tag = "Sessions", operation_id = "end_my_other_sessions",
    params(OthersQuery),
    responses((status = 200, description = "They have ended", body = SessionsEnded)),
)]
#[delete("/v1/me/sessions")]
pub async fn end_my_other_sessions(customer: Customer, query: Query<OthersQuery>) -> Result<HttpResponse, Problem> {
    if query.0.others != Some(true) {
        let code = if query.0.others.is_none() { "required" } else { "not_one_of" };
        let detail = "Send others=true. To end this session, use DELETE /v1/sessions/current.";
        return Err(Error::invalid("/others", code, detail).into());
    }
    let ended = customer.write(own_sessions::end_others).await?;
    Ok(HttpResponse::Ok().json(SessionsEnded { ended }))
}
