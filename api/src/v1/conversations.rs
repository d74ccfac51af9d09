//! My conversations.

use actix_web::http::header::{HeaderValue, LOCATION};
use actix_web::{HttpResponse, get, post};
use doorstep_core::clock::Timestamp;
use doorstep_core::conversation::{self, Author, Channel, Filter, Message, Overview, SearchWords, Start, Status};
use doorstep_core::id::ConversationId;
use doorstep_core::page::{Cursor, Limit, PageAsk};
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::attachments::{self, Attachment};
use super::pages;
use super::ratings::RatingBody;
use crate::caller::Customer;
use crate::extract::{Body, Id, Idempotency, Query};
use crate::problem::Problem;
use crate::words::{ConversationChannel, ConversationStatus, MessageAuthor};

/// One of my conversations.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyConversation, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20", "subject": "Printer on fire", "channel": "email", "status": "open",
    "follow_up_of": null, "unread_count": 1, "rating": null, "created_at": "2026-01-02T03:04:05Z",
    "last_message_at": "2026-01-02T03:24:05Z"
}))]
pub struct ConversationBody {
    pub id: Uuid,
    pub subject: String,
    #[schema(value_type = ConversationChannel)]
    pub channel: Channel,
    #[schema(value_type = ConversationStatus)]
    pub status: Status,
    /// The closed conversation that this one goes on with.
    pub follow_up_of: Option<Uuid>,
    /// Messages that others wrote and I may see, since I last wrote here or marked it as read.
    pub unread_count: u32,
    /// Null where support never asked for one.
    pub rating: Option<RatingBody>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the latest message was sent that I may see.
    #[schema(value_type = String, format = DateTime)]
    pub last_message_at: Timestamp,
}

impl From<Overview> for ConversationBody {
    fn from(overview: Overview) -> Self {
        let conversation = overview.conversation;
        Self {
            id: conversation.id.0,
            subject: conversation.subject,
            channel: conversation.channel,
            status: conversation.status,
            follow_up_of: conversation.follow_up_of.map(|id| id.0),
            unread_count: overview.unread_count,
            rating: RatingBody::of(conversation.rating),
            created_at: conversation.created_at,
            last_message_at: conversation.shown_at.unwrap_or(conversation.created_at),
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
    #[schema(value_type = MessageAuthor)]
    pub author: Author,
    pub author_name: Option<String>,
    pub body_text: String,
    /// Sanitised: nothing in it acts or loads.
    pub body_html: Option<String>,
    pub attachments: Vec<Attachment>,
    #[schema(value_type = String, format = DateTime)]
    pub sent_at: Timestamp,
}

impl From<Message> for MessageBody {
    fn from(message: Message) -> Self {
        Self {
            id: message.id.0,
            conversation_id: message.conversation_id.0,
            author: message.author,
            author_name: message.author_name,
            body_text: message.body_text,
            body_html: message.html.and_then(|html| html.shown),
            attachments: attachments::of(message.attachments),
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
    /// Only those of this status.
    #[param(value_type = Option<ConversationStatus>)]
    pub status: Option<Status>,
    /// Only those of this channel.
    #[param(value_type = Option<ConversationChannel>)]
    pub channel: Option<Channel>,
    /// Up to 8 words, each of which stands in the subject or in a message, also as a part of another word. `a` to `z`
    /// are found in any case, other letters as they are written.
    #[serde(default, deserialize_with = "search")]
    #[param(value_type = Option<String>, max_length = 200)]
    pub text: SearchWords,
    /// Only those with unread messages.
    pub unread: Option<bool>,
    /// How many rows a page has at most.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 25)]
    pub limit: Option<Limit>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    pub cursor: Option<Cursor>,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many rows a page has at most.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 25)]
    pub limit: Option<Limit>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    pub cursor: Option<Cursor>,
}

fn search<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SearchWords, D::Error> {
    SearchWords::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// List my conversations
///
/// The one with the latest message that I may see comes first. `unread_count` counts messages of others that I have not
/// read; what support notes for itself counts nowhere and moves nothing.
#[utoipa::path(
    tag = "Conversations", operation_id = "list_my_conversations", params(MyConversationQuery),
    responses((status = 200, description = "My conversations, latest first", body = MyConversationPage)),
)]
#[get("/v1/me/conversations")]
pub async fn list_my_conversations(
    customer: Customer,
    Query(query): Query<MyConversationQuery>,
) -> Result<HttpResponse, Problem> {
    let ask = PageAsk::new(query.limit, query.cursor);
    let filter = Filter {
        status: query.status,
        channel: query.channel,
        text: query.text,
        unread: query.unread.unwrap_or(false),
    };
    let page = if filter.text.is_empty() {
        customer.read(move |work, who| conversation::list(work, who, &filter, ask)).await?
    } else {
        customer.search(move |work, who| conversation::list(work, who, &filter, ask)).await?
    };
    Ok(HttpResponse::Ok().json(MyConversationPage::from(page)))
}

/// A conversation to start.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"subject": "Where is my order?", "message": {"body_text": "It was to come on Monday."}}))]
pub struct ConversationStart {
    #[schema(min_length = 1, max_length = 255)]
    pub subject: String,
    pub message: NewMessage,
}

/// What I write.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"body_text": "It was to come on Monday."}))]
pub struct NewMessage {
    #[schema(min_length = 1, max_length = 16_000)]
    pub body_text: String,
}

/// Start a conversation
#[utoipa::path(
    tag = "Conversations", operation_id = "start_conversation",
    request_body = ConversationStart,
    params(("Idempotency-Key" = Option<String>, Header, description = "Sent again with the same body, it starts nothing new",
        min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
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
    let ask = PageAsk::new(query.limit, query.cursor);
    let page = customer.read(move |work, who| conversation::list_messages(work, who, id, ask)).await?;
    Ok(HttpResponse::Ok().json(MyMessagePage::from(page)))
}

/// Reply to a conversation
///
/// A solved conversation opens again. A closed one stays closed: the message begins a follow-up, whose id is in
/// the answer.
#[utoipa::path(
    tag = "Conversations", operation_id = "reply_to_conversation",
    request_body = NewMessage,
    params(
        ("id" = Uuid, Path, description = "The conversation's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent again with the same body, it adds nothing",
            min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    responses((status = 201, description = "Added", body = MessageBody,
        headers(("Location" = String, description = "The messages of the conversation it is in")))),
    extensions(("x-problems" = json!(["not_found", "idempotency_key_reused", "too_many_requests"]))),
)]
#[post("/v1/me/conversations/{id}/messages")]
pub async fn reply_to_conversation(
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

/// Mark a conversation as read
///
/// Everything up to now. Done again, it does no harm.
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

/// Close a conversation
///
/// Closing a closed one changes nothing and answers the same. Its owner may reopen it; a reply begins a follow-up.
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

/// Reopen a conversation
///
/// A solved or closed one is open again. One that is open or pending stays as it is, and the answer is the same.
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
