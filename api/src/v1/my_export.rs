//! My export: everything held about me, as one JSON document that is written while it is read, a page at a time.

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, get};
use doorstep_core::clock::Timestamp;
use doorstep_core::conversation::{self, Filter};
use doorstep_core::id::ConversationId;
use doorstep_core::page::{Cursor, Limit, Page, PageAsk};
use doorstep_core::{activity, linked, own_emails, own_sessions, profile};
use futures_util::stream;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::conversations::{ConversationBody, MessageBody};
use super::identities::IdentityBody;
use super::me::ProfileBody;
use super::my_activity::ActivityBody;
use super::my_emails::EmailBody;
use super::my_sessions::{MySessionBody, PastSessionBody};
use crate::caller::{Customer, FreshCustomer};
use crate::problem::Problem;

/// Everything held about me.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyExport, example = json!({
    "exported_at": "2026-01-02T03:34:05Z",
    "account": {"id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11", "role": "customer", "full_name": "Ada Lovelace",
        "primary_email": null, "locale": "en", "time_zone": "Europe/London", "phone": null, "avatar_url": null,
        "notifications": {"conversation_replies": true, "rating_requests": true, "announcements": false},
        "custom": {"tier": "gold"}, "created_at": "2026-01-02T03:04:05Z", "claimed_at": "2026-01-02T03:14:05Z",
        "updated_at": "2026-01-02T03:14:05Z"},
    "emails": [],
    "identities": [{"id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b12", "kind": "twitter", "provider": "twitter",
        "label": "ada", "name": "Ada Lovelace", "proven_at": "2026-01-02T03:14:05Z", "usable": true,
        "opened_this_session": true, "last_way_in": true}],
    "sessions": [{"id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b13", "current": true, "device": "Firefox on Linux",
        "network": "203.0.113.0/24", "method": "provider", "provider": "twitter", "created_at": "2026-01-02T03:14:05Z",
        "authenticated_at": "2026-01-02T03:14:05Z", "last_used_at": "2026-01-02T03:24:05Z",
        "expires_at": "2026-01-16T03:24:05Z"}],
    "past_sessions": [],
    "activity": [{"id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b50", "at": "2026-01-02T03:34:05Z",
        "action": "account.exported", "by": "me", "network": "203.0.113.0/24", "detail": {}}],
    "conversations": [{
        "conversation": {"id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20", "subject": "Printer on fire", "channel": "twitter",
            "status": "open", "follow_up_of": null, "unread_count": 0, "rating": null, "created_at": "2026-01-02T03:04:05Z",
            "last_message_at": "2026-01-02T03:04:05Z"},
        "messages": [{"id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b30",
            "conversation_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20", "author": "requester", "author_name": "Ada",
            "body_text": "My printer is on fire.", "body_html": null, "attachments": [],
            "sent_at": "2026-01-02T03:04:05Z"}]}]
}))]
pub struct ExportBody {
    #[schema(value_type = String, format = DateTime)]
    pub exported_at: Timestamp,
    pub account: ProfileBody,
    pub emails: Vec<EmailBody>,
    pub identities: Vec<IdentityBody>,
    pub sessions: Vec<MySessionBody>,
    /// Those that have ended, for as long as they are kept.
    pub past_sessions: Vec<PastSessionBody>,
    pub activity: Vec<ActivityBody>,
    pub conversations: Vec<ExportedConversation>,
}

/// One of my conversations, with what of it I may see.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "conversation": {"id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20", "subject": "Printer on fire", "channel": "email",
        "status": "open", "follow_up_of": null, "unread_count": 1, "rating": null, "created_at": "2026-01-02T03:04:05Z",
        "last_message_at": "2026-01-02T03:24:05Z"},
    "messages": [{"id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b30",
        "conversation_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20", "author": "agent", "author_name": "Grace",
        "body_text": "Please unplug it first.", "body_html": null, "attachments": [], "sent_at": "2026-01-02T03:24:05Z"}]
}))]
pub struct ExportedConversation {
    pub conversation: ConversationBody,
    pub messages: Vec<MessageBody>,
}

/// What comes next of the document.
enum Part {
    /// One of the lists; `true` where something stands in it already.
    Sessions(Option<Cursor>, bool),
    PastSessions(Option<Cursor>, bool),
    Activity(Option<Cursor>, bool),
    Conversations(Option<Cursor>, bool),
    /// Conversations of a page that are still to be written, and the page after it.
    Conversation(Vec<ConversationBody>, Option<Cursor>, bool),
    Messages(ConversationId, Option<Cursor>, bool, Box<Part>),
    End,
}

struct Writer {
    customer: Customer,
    next: Option<Part>,
}

const WHOLE_PAGE: u64 = 100;

fn ask(after: Option<Cursor>) -> PageAsk {
    PageAsk::new(Limit::new(WHOLE_PAGE), after)
}

/// The items of a page as they stand in a list, and what comes next: the next page, or the end of the list and `then`.
fn listed<T, U: Serialize + From<T>>(
    page: Page<T>,
    begun: bool,
    more: impl FnOnce(Option<Cursor>, bool) -> Part,
    then: (&str, Part),
) -> Result<(String, Part), Problem> {
    let mut text = String::new();
    let mut begun = begun;
    for item in page.items {
        text.push_str(if begun { "," } else { "" });
        text.push_str(&json(&U::from(item))?);
        begun = true;
    }
    if page.next.is_some() {
        return Ok((text, more(page.next, begun)));
    }
    text.push_str(then.0);
    Ok((text, then.1))
}

fn json(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|error| doorstep_core::Error::from(error).into())
}

impl Writer {
    async fn write(&self, part: Part) -> Result<(String, Option<Part>), Problem> {
        let customer = &self.customer;
        let (text, next) = match part {
            Part::Sessions(after, begun) => {
                let page = customer.search(move |work, who| own_sessions::list(work, who, ask(after))).await?;
                let then = ("],\"past_sessions\":[", Part::PastSessions(None, false));
                listed::<_, MySessionBody>(page, begun, Part::Sessions, then)?
            }
            Part::PastSessions(after, begun) => {
                let page = customer.search(move |work, who| own_sessions::list_past(work, who, ask(after))).await?;
                let then = ("],\"activity\":[", Part::Activity(None, false));
                listed::<_, PastSessionBody>(page, begun, Part::PastSessions, then)?
            }
            Part::Activity(after, begun) => {
                let page = customer.search(move |work, who| activity::list(work, who, ask(after))).await?;
                let then = ("],\"conversations\":[", Part::Conversations(None, false));
                listed::<_, ActivityBody>(page, begun, Part::Activity, then)?
            }
            Part::Conversations(after, begun) => {
                let all = Filter::default();
                let page = customer.search(move |work, who| conversation::list(work, who, &all, ask(after))).await?;
                let mut bodies: Vec<ConversationBody> = page.items.into_iter().map(ConversationBody::from).collect();
                bodies.reverse();
                (String::new(), Part::Conversation(bodies, page.next, begun))
            }
            Part::Conversation(mut left, next, begun) => match (left.pop(), next) {
                (Some(body), next) => {
                    let id = ConversationId(body.id);
                    let comma = if begun { "," } else { "" };
                    let text = format!("{comma}{{\"conversation\":{},\"messages\":[", json(&body)?);
                    (text, Part::Messages(id, None, false, Box::new(Part::Conversation(left, next, true))))
                }
                (None, Some(next)) => (String::new(), Part::Conversations(Some(next), begun)),
                (None, None) => ("]}\n".to_owned(), Part::End),
            },
            Part::Messages(id, after, begun, then) => {
                let messages =
                    customer.search(move |work, who| conversation::list_messages(work, who, id, ask(after))).await?;
                let more = messages.next;
                let ends = if more.is_none() { "]}" } else { "" };
                let (text, _) = listed::<_, MessageBody>(
                    Page { next: None, ..messages },
                    begun,
                    |_, _| Part::End,
                    (ends, Part::End),
                )?;
                let begun = begun || !text.is_empty();
                (text, if more.is_some() { Part::Messages(id, more, begun, then) } else { *then })
            }
            Part::End => return Ok((String::new(), None)),
        };
        Ok((text, Some(next)))
    }
}

/// Export everything held about me
///
/// Takes a fresh session. One JSON document with my account, addresses, identities, sessions, activity, and my
/// conversations with the messages that I may see. It is written while it is read: where it breaks off, it is not whole,
/// and not valid JSON. What it says is of the moment that each part was read. No secret stands in it.
#[utoipa::path(
    tag = "Me", operation_id = "export_me",
    responses((status = 200, description = "Everything held about me", body = ExportBody,
        headers(("Content-Disposition" = String, description = "`attachment`, with a name for the file")))),
    extensions(("x-problems" = json!(["reauth_required"]))),
)]
#[get("/v1/me/export")]
pub async fn export_me(customer: FreshCustomer) -> Result<HttpResponse, Problem> {
    let now = customer.write(own_sessions::begin_export).await?;
    let customer = customer.into_customer();
    let account = ProfileBody::from(customer.read_by(profile::mine).await?);
    let emails: Vec<EmailBody> = customer.read(own_emails::list).await?.into_iter().map(EmailBody::from).collect();
    let identities: Vec<IdentityBody> =
        customer.read(linked::list).await?.into_iter().map(IdentityBody::from).collect();
    let head = format!(
        "{{\"exported_at\":{},\"account\":{},\"emails\":{},\"identities\":{},\"sessions\":[",
        json(&now)?,
        json(&account)?,
        json(&emails)?,
        json(&identities)?
    );
    let id: Uuid = account.id;
    let writer = Writer { customer, next: Some(Part::Sessions(None, false)) };
    let rest = stream::unfold((Some(head), writer), async |(head, mut writer)| {
        if let Some(head) = head {
            return Some((Ok::<_, actix_web::Error>(Bytes::from(head)), (None, writer)));
        }
        let part = writer.next.take()?;
        match writer.write(part).await {
            Ok((text, next)) => {
                writer.next = next;
                Some((Ok(Bytes::from(text)), (None, writer)))
            }
            // what has been sent cannot be taken back: the connection breaks, and the document is not whole
            Err(problem) => Some((Err(problem.into()), (None, writer))),
        }
    });
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"account-{id}.json\"")))
        .streaming(rest))
}
