//! My conversations.

use std::str::FromStr;

use actix_web::http::header::{HeaderValue, LOCATION};
use actix_web::{HttpResponse, get, post};
use doorstep_core::clock::Timestamp;
use doorstep_core::conversation::{self, Filter, Message, Overview, Start, Status};
use doorstep_core::id::ConversationId;
use doorstep_core::page::PageAsk;
use doorstep_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::pages;
use crate::caller::Customer;
use crate::extract::{Body, Id, Idempotency, Query};
use crate::problem::Problem;

/// One of my conversations.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyConversation, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20", "subject": "Printer on fire", "channel": "email", "status": "open",
    "follow_up_of": null, "unread_count": 1, "created_at": "2026-01-02T03:04:05Z",
    "updated_at": "2026-01-02T03:24:05Z", "last_message_at": "2026-01-02T03:24:05Z"
}))]
pub struct ConversationBody {
    pub id: Uuid,
    pub subject: String,
    /// `email`, `messenger`, `twitter`, `facebook`, `phone`, `external`, or `web` for one I started here.
    pub channel: &'static str,
    /// `open`, `pending` (support waits for me), `solved` (a reply opens it again) or `closed` (a reply begins a
    /// follow-up).
    pub status: &'static str,
    /// The closed conversation that this one goes on with.
    pub follow_up_of: Option<Uuid>,
    /// Messages of others since I last read it.
    pub unread_count: u32,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub last_message_at: Timestamp,
}

impl From<Overview> for ConversationBody {
    fn from(overview: Overview) -> Self {
        let conversation = overview.conversation;
        Self {
            id: conversation.id.0,
            subject: conversation.subject,
            channel: conversation.channel.as_str(),
            status: conversation.status.as_str(),
            follow_up_of: conversation.follow_up_of.map(|id| id.0),
            unread_count: overview.unread_count,
            created_at: conversation.created_at,
            updated_at: conversation.updated_at,
            last_message_at: conversation.shown_at.unwrap_or(conversation.updated_at),
        }
    }
}

/// A message of one of my conversations.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyMessage, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b30", "conversation_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20",
    "author": "agent", "author_name": "Grace", "body_text": "Please unplug it first.", "body_html": null,
    "attachments": [], "sent_at": "2026-01-02T03:24:05Z"
}))]
pub struct MessageBody {
    pub id: Uuid,
    pub conversation_id: Uuid,
    /// `requester` (me), `agent`, or `stranger`: somebody else whose message support let through.
    pub author: &'static str,
    pub author_name: Option<String>,
    pub body_text: String,
    /// Sanitised: nothing in it acts or loads.
    pub body_html: Option<String>,
    /// As support keeps them: name, content type, size and URL.
    #[schema(value_type = Vec<Object>)]
    pub attachments: Value,
    #[schema(value_type = String, format = DateTime)]
    pub sent_at: Timestamp,
}

impl From<Message> for MessageBody {
    fn from(message: Message) -> Self {
        Self {
            id: message.id.0,
            conversation_id: message.conversation_id.0,
            author: message.author.as_str(),
            author_name: message.author_name,
            body_text: message.body_text,
            body_html: message.html.and_then(|html| html.shown),
            attachments: message.attachments,
            sent_at: message.sent_at,
        }
    }
}

pages! {
    /// A page of my conversations, latest first.
    MyConversationPage of ConversationBody;
    /// A page of messages, oldest first.
    MyMessagePage of MessageBody;
}

/// What a list is narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MyConversationQuery {
    /// `open`, `pending`, `solved` or `closed`.
    pub status: Option<String>,
    /// `email`, `messenger`, `twitter`, `facebook`, `phone`, `external` or `web`.
    pub channel: Option<String>,
    /// Words of the subject or of a message.
    pub text: Option<String>,
    /// Only those with unread messages.
    pub unread: Option<bool>,
    /// 1 to 100; 25 where it is left out.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// 1 to 100; 25 where it is left out.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Reads a word of a query.
pub fn word<T: FromStr<Err = String>>(pointer: &str, text: Option<&str>) -> Result<Option<T>> {
    text.map(|text| text.parse().map_err(|why: String| Error::invalid(pointer, "invalid", format!("{why}."))))
        .transpose()
}

/// List my conversations
#[utoipa::path(
    tag = "Conversations", operation_id = "list_my_conversations", params(MyConversationQuery),
    responses((status = 200, description = "My conversations, latest first", body = MyConversationPage)),
)]
#[get("/v1/me/conversations")]
pub async fn list_my_conversations(
    customer: Customer,
    Query(query): Query<MyConversationQuery>,
) -> Result<HttpResponse, Problem> {
    let ask = PageAsk::parse(query.limit, query.cursor.as_deref())?;
    let text = query.text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    if text.as_ref().is_some_and(|text| text.chars().count() > 200 || text.contains('\0')) {
        return Err(Error::invalid("/text", "invalid", "Search for at most 200 characters.").into());
    }
    let filter = Filter {
        status: word("/status", query.status.as_deref())?,
        channel: word("/channel", query.channel.as_deref())?,
        text,
        unread: query.unread.unwrap_or(false),
    };
    let page = if filter.text.is_some() {
        customer.search(move |work, who| conversation::list(work, who, &filter, ask)).await?
    } else {
        customer.read(move |work, who| conversation::list(work, who, &filter, ask)).await?
    };
    Ok(HttpResponse::Ok().json(MyConversationPage::from(page)))
}

/// A conversation to start.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"subject": "Where is my order?", "message": {"body_text": "It was to come on Monday."}}))]
pub struct ConversationStart {
    #[schema(max_length = 255)]
    pub subject: String,
    pub message: NewMessage,
}

/// What I write.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"body_text": "It was to come on Monday."}))]
pub struct NewMessage {
    #[schema(max_length = 60_000)]
    pub body_text: String,
}

/// Start a conversation
#[utoipa::path(
    tag = "Conversations", operation_id = "start_conversation",
    request_body = ConversationStart,
    params(("Idempotency-Key" = Option<String>, Header, description = "Sent again with the same body, it starts nothing new")),
    responses((status = 201, description = "Started", body = ConversationBody,
        headers(("Location" = String, description = "Where it is")))),
    extensions(("x-problems" = json!(["idempotency_key_reused", "too_many_requests"]))),
)]
#[post("/v1/me/conversations")]
pub async fn start_conversation(
    customer: Customer,
    idempotency: Idempotency,
    body: Body<ConversationStart>,
) -> Result<HttpResponse, Problem> {
    let key = idempotency.key(customer.name(), "start_conversation", body.fingerprint);
    let start = Start { subject: body.value.subject, body_text: body.value.message.body_text };
    let started = customer
        .write(move |work, who| {
            let started = conversation::start(work, who, &start, key.as_ref())?;
            conversation::get(work, who, started.id)
        })
        .await?;
    let location = format!("/v1/me/conversations/{}", started.conversation.id);
    Ok(created(&location, &ConversationBody::from(started)))
}

/// 201 with the place of what was made.
pub fn created(location: &str, body: &impl Serialize) -> HttpResponse {
    let mut response = HttpResponse::Created().json(body);
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Read one of my conversations
#[utoipa::path(
    tag = "Conversations", operation_id = "get_my_conversation",
    params(("id" = Uuid, Path, description = "The conversation's id")),
    responses((status = 200, description = "The conversation", body = ConversationBody)),
    extensions(("x-problems" = json!(["not_found"]))),
)]
#[get("/v1/me/conversations/{id}")]
pub async fn get_my_conversation(customer: Customer, Id(id): Id<ConversationId>) -> Result<HttpResponse, Problem> {
    let overview = customer.read(move |work, who| conversation::get(work, who, id)).await?;
    Ok(HttpResponse::Ok().json(ConversationBody::from(overview)))
}

/// List the messages of one of my conversations
#[utoipa::path(
    tag = "Conversations", operation_id = "list_my_messages",
    params(("id" = Uuid, Path, description = "The conversation's id"), PageQuery),
    responses((status = 200, description = "Its messages, oldest first", body = MyMessagePage)),
    extensions(("x-problems" = json!(["not_found"]))),
)]
#[get("/v1/me/conversations/{id}/messages")]
pub async fn list_my_messages(
    customer: Customer,
    Id(id): Id<ConversationId>,
    Query(query): Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let ask = PageAsk::parse(query.limit, query.cursor.as_deref())?;
    let page = customer.read(move |work, who| conversation::list_messages(work, who, id, ask)).await?;
    Ok(HttpResponse::Ok().json(MyMessagePage::from(page)))
}

/// Reply
///
/// A solved conversation opens again. A closed one stays closed: the message begins a follow-up, whose id is in
/// the answer.
#[utoipa::path(
    tag = "Conversations", operation_id = "reply",
    request_body = NewMessage,
    params(
        ("id" = Uuid, Path, description = "The conversation's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent again with the same body, it adds nothing"),
    ),
    responses((status = 201, description = "Added", body = MessageBody,
        headers(("Location" = String, description = "The messages of the conversation it is in")))),
    extensions(("x-problems" = json!(["not_found", "idempotency_key_reused", "too_many_requests"]))),
)]
#[post("/v1/me/conversations/{id}/messages")]
pub async fn reply(
    customer: Customer,
    Id(id): Id<ConversationId>,
    idempotency: Idempotency,
    body: Body<NewMessage>,
) -> Result<HttpResponse, Problem> {
    let key = idempotency.key(customer.name(), "reply", body.fingerprint);
    let text = body.value.body_text;
    let message = customer.write(move |work, who| conversation::reply(work, who, id, &text, key.as_ref())).await?;
    let location = format!("/v1/me/conversations/{}/messages", message.conversation_id);
    Ok(created(&location, &MessageBody::from(message)))
}

/// Mark as read
#[utoipa::path(
    tag = "Conversations", operation_id = "mark_conversation_read",
    params(("id" = Uuid, Path, description = "The conversation's id")),
    responses((status = 204, description = "Read up to now")),
    extensions(("x-problems" = json!(["not_found"]))),
)]
#[post("/v1/me/conversations/{id}/read")]
pub async fn mark_conversation_read(customer: Customer, Id(id): Id<ConversationId>) -> Result<HttpResponse, Problem> {
    customer.write(move |work, who| conversation::mark_read(work, who, id)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Close
#[utoipa::path(
    tag = "Conversations", operation_id = "close_conversation",
    params(("id" = Uuid, Path, description = "The conversation's id")),
    responses((status = 200, description = "Closed", body = ConversationBody)),
    extensions(("x-problems" = json!(["not_found"]))),
)]
#[post("/v1/me/conversations/{id}/close")]
pub async fn close_conversation(customer: Customer, Id(id): Id<ConversationId>) -> Result<HttpResponse, Problem> {
    let overview = customer.write(move |work, who| conversation::set_status(work, who, id, Status::Closed)).await?;
    Ok(HttpResponse::Ok().json(ConversationBody::from(overview)))
}

/// Reopen
#[utoipa::path(
    tag = "Conversations", operation_id = "reopen_conversation",
    params(("id" = Uuid, Path, description = "The conversation's id")),
    responses((status = 200, description = "Open again", body = ConversationBody)),
    extensions(("x-problems" = json!(["not_found"]))),
)]
#[post("/v1/me/conversations/{id}/reopen")]
pub async fn reopen_conversation(customer: Customer, Id(id): Id<ConversationId>) -> Result<HttpResponse, Problem> {
    let overview = customer.write(move |work, who| conversation::set_status(work, who, id, Status::Open)).await?;
    Ok(HttpResponse::Ok().json(ConversationBody::from(overview)))
}
