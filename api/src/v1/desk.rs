//! The help desk's view of conversations: what customers started and answered, for one that polls, and what it changes.

use actix_web::{HttpResponse, get, patch};
use doorstep_core::clock::Timestamp;
use doorstep_core::conversation::{Author, Channel, Conversation, Message, Status, Visibility};
use doorstep_core::desk_conversation::{self, Change, Filter};
use doorstep_core::id::{ConversationId, MessageId};
use doorstep_core::page::{Cursor, Limit, PageAsk};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::attachments::{self, Attachment};
use super::conversations::PageQuery;
use super::pages;
use super::ratings::RatingBody;
use crate::caller::{Machine, ReadConversations, WriteConversations};
use crate::extract::{Body, Id, Query};
use crate::problem::Problem;
use crate::words::{ConversationChannel, ConversationStatus, DmarcResult, MessageAuthor, MessageVisibility};

/// A conversation, as the help desk sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Conversation, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20", "account_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11",
    "source": "desk", "external_id": "case-17", "channel": "email", "subject": "Printer on fire", "status": "open",
    "follow_up_of": null, "started_by_customer": false, "rating": null, "created_at": "2026-01-02T03:04:05Z",
    "updated_at": "2026-01-02T03:24:05Z"
}))]
pub struct DeskConversationBody {
    /// Name it in a push (`conversation.id`) to answer.
    pub id: Uuid,
    pub account_id: Uuid,
    pub source: Option<String>,
    /// The desk's own id; null where the customer started it here.
    pub external_id: Option<String>,
    #[schema(value_type = ConversationChannel)]
    pub channel: Channel,
    pub subject: String,
    #[schema(value_type = ConversationStatus)]
    pub status: Status,
    /// The closed conversation that this one goes on with.
    pub follow_up_of: Option<Uuid>,
    pub started_by_customer: bool,
    /// Null where its customer was never asked to rate it.
    pub rating: Option<RatingBody>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl From<Conversation> for DeskConversationBody {
    fn from(conversation: Conversation) -> Self {
        Self {
            id: conversation.id.0,
            account_id: conversation.account_id.0,
            source: conversation.source,
            external_id: conversation.external_id,
            channel: conversation.channel,
            subject: conversation.subject,
            status: conversation.status,
            follow_up_of: conversation.follow_up_of.map(|id| id.0),
            started_by_customer: conversation.started_by.is_some(),
            rating: RatingBody::of(conversation.rating),
            created_at: conversation.created_at,
            updated_at: conversation.updated_at,
        }
    }
}

/// A message, as the help desk sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Message, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b30", "conversation_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20",
    "author": "requester", "visibility": "shown", "author_account_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11",
    "author_name": "Ada Lovelace", "body_text": "It is out now.", "body_html": null, "dmarc": null,
    "attachments": [], "sent_at": "2026-01-02T03:24:05Z", "created_at": "2026-01-02T03:24:05Z", "released_at": null
}))]
pub struct DeskMessageBody {
    pub id: Uuid,
    pub conversation_id: Uuid,
    #[schema(value_type = MessageAuthor)]
    pub author: Author,
    #[schema(value_type = MessageVisibility)]
    pub visibility: Visibility,
    /// Null where an agent wrote.
    pub author_account_id: Option<Uuid>,
    pub author_name: Option<String>,
    pub body_text: String,
    /// As it was pushed: sanitise it before it is shown.
    pub body_html: Option<String>,
    /// The verdict that was pushed with it.
    #[schema(value_type = Option<DmarcResult>)]
    pub dmarc: Option<String>,
    pub attachments: Vec<Attachment>,
    #[schema(value_type = String, format = DateTime)]
    pub sent_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When you let its requester see it; null where it was never held, or still is.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub released_at: Option<Timestamp>,
}

impl From<Message> for DeskMessageBody {
    fn from(message: Message) -> Self {
        Self {
            id: message.id.0,
            conversation_id: message.conversation_id.0,
            author: message.author,
            visibility: message.visibility,
            author_account_id: message.author_account_id.map(|id| id.0),
            author_name: message.author_name,
            body_text: message.body_text,
            body_html: message.html.map(|html| html.pushed),
            dmarc: message.dmarc,
            attachments: attachments::of(message.attachments),
            sent_at: message.sent_at,
            created_at: message.created_at,
            released_at: message.released_at,
        }
    }
}

pages! {
    /// A page of conversations, the oldest change first.
    ConversationPage of DeskConversationBody;
    /// A page of messages, oldest first.
    MessagePage of DeskMessageBody;
}

/// What has changed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConversationQuery {
    /// Only what changed at or after this time (RFC 3339). Ask with the latest `updated_at` you have seen, less ten
    /// seconds: a change may become visible a little after its time. What comes twice is the same.
    #[param(value_type = Option<String>, format = DateTime)]
    pub updated_since: Option<Timestamp>,
    /// Only those with messages that wait for your release (`true`), or only those without.
    pub held: Option<bool>,
    /// How many rows a page has at most.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 25)]
    pub limit: Option<Limit>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    pub cursor: Option<Cursor>,
}

/// List the conversations of all customers
///
/// Those that have changed, the oldest change first: poll it with `updated_since`. Whoever deletes their account changes all
/// that they had, or wrote in.
#[utoipa::path(
    tag = "Help desk", operation_id = "list_desk_conversations", security(("api_key" = ["conversations:read"])), params(ConversationQuery),
    responses((status = 200, description = "Conversations, the oldest change first", body = ConversationPage)),
)]
#[get("/v1/conversations")]
pub async fn list_desk_conversations(
    desk: Machine<ReadConversations>,
    Query(query): Query<ConversationQuery>,
) -> Result<HttpResponse, Problem> {
    let ask = PageAsk::new(query.limit, query.cursor);
    let filter = Filter { updated_since: query.updated_since, held: query.held };
    let page = desk.read(move |work, _| desk_conversation::list(work, filter, ask)).await?;
    Ok(HttpResponse::Ok().json(ConversationPage::from(page)))
}

/// Read any conversation
#[utoipa::path(
    tag = "Help desk", operation_id = "get_desk_conversation", security(("api_key" = ["conversations:read"])),
    params(("id" = Uuid, Path, description = "The conversation's id")),
    responses((status = 200, description = "The conversation", body = DeskConversationBody)),
    extensions(("x-problems" = json!(["not_found"]))),
)]
#[get("/v1/conversations/{id}")]
pub async fn get_desk_conversation(
    desk: Machine<ReadConversations>,
    Id(id): Id<ConversationId>,
) -> Result<HttpResponse, Problem> {
    let conversation = desk.read(move |work, _| desk_conversation::get(work, id)).await?;
    Ok(HttpResponse::Ok().json(DeskConversationBody::from(conversation)))
}

/// A change of a conversation by the desk (JSON Merge Patch, RFC 7396): what is left out stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"status": "solved", "release": ["0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b30"], "offer_rating": true}))]
pub struct ConversationChange {
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<ConversationStatus>, nullable = false)]
    pub status: Option<Status>,
    /// One line.
    #[serde(default, deserialize_with = "said")]
    #[schema(nullable = false, min_length = 1, max_length = 1000)]
    pub subject: Option<String>,
    /// Ids of held messages: their requester sees them from now on, as unread ones. There is no way back.
    #[serde(default)]
    #[validate(length(max = 100))]
    #[schema(max_items = 100)]
    pub release: Vec<Uuid>,
    /// Whether its customer may rate it. Taken back, a rating that was given stays, and cannot be changed any more.
    #[serde(default, deserialize_with = "said")]
    #[schema(nullable = false)]
    pub offer_rating: Option<bool>,
}

/// What is said is said: null would clear it, and nothing here can be cleared.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Change a conversation
///
/// Its status, its subject, whether its customer may rate it; and what was held is released, so that its requester sees it.
/// All of it is done, or nothing. What is so already changes nothing, so that it may be sent again.
#[utoipa::path(
    tag = "Help desk", operation_id = "change_desk_conversation", security(("api_key" = ["conversations:write"])),
    params(("id" = Uuid, Path, description = "The conversation's id")),
    request_body = ConversationChange,
    responses((status = 200, description = "The conversation as it is now", body = DeskConversationBody)),
    extensions(("x-problems" = json!(["not_found"]))),
)]
#[patch("/v1/conversations/{id}")]
pub async fn change_desk_conversation(
    desk: Machine<WriteConversations>,
    Id(id): Id<ConversationId>,
    body: Body<ConversationChange>,
) -> Result<HttpResponse, Problem> {
    let change = Change {
        status: body.value.status,
        subject: body.value.subject,
        release: body.value.release.into_iter().map(MessageId).collect(),
        offer_rating: body.value.offer_rating,
    };
    let changed = desk.write(move |work, by| desk_conversation::change(work, by, id, &change)).await?;
    Ok(HttpResponse::Ok().json(DeskConversationBody::from(changed)))
}

/// List all messages of a conversation
///
/// Oldest first, internal notes and held messages as well.
#[utoipa::path(
    tag = "Help desk", operation_id = "list_desk_messages", security(("api_key" = ["conversations:read"])),
    params(("id" = Uuid, Path, description = "The conversation's id"), PageQuery),
    responses((status = 200, description = "Its messages, oldest first", body = MessagePage)),
    extensions(("x-problems" = json!(["not_found"]))),
)]
#[get("/v1/conversations/{id}/messages")]
pub async fn list_desk_messages(
    desk: Machine<ReadConversations>,
    Id(id): Id<ConversationId>,
    Query(query): Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let ask = PageAsk::new(query.limit, query.cursor);
    let page = desk.read(move |work, _| desk_conversation::list_messages(work, id, ask)).await?;
    Ok(HttpResponse::Ok().json(MessagePage::from(page)))
}
