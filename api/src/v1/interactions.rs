//! Pushes: the help desk tells what happened on a channel.

use actix_web::{HttpResponse, post};
use doorstep_core::clock::Timestamp;
use doorstep_core::conversation::{Channel, Status};
use doorstep_core::email::EmailAddress;
use doorstep_core::error::Fault;
use doorstep_core::html::Html;
use doorstep_core::id::ConversationId;
use doorstep_core::identity::{IdentityKey, IdentityKind, NotAnIdentity};
use doorstep_core::interaction::{self, Direction, Dmarc, Party, Push, PushOutcome, Pushed, SeenKey, Thread};
use doorstep_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::caller::{Machine, PushInteractions};
use crate::extract::{Body, LARGE};
use crate::problem::Problem;

/// One thing that happened on a channel.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "source": "desk", "external_id": "msg-991", "channel": "email", "direction": "inbound",
    "from": {"email": "Ada@Example.org", "name": "Ada Lovelace"},
    "recipients": [{"email": "help@shop.example", "role": "to"}],
    "conversation": {"external_id": "case-17", "subject": "Printer on fire", "status": "open"},
    "message": {"body_text": "It is on fire.", "sent_at": "2026-01-02T03:04:05Z"},
    "authentication": {"dmarc": "pass"}
}))]
pub struct InteractionBody {
    /// Which of your systems says so. With `external_id` it tells a repeated push.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    pub source: String,
    /// Your id of this one message.
    #[validate(length(min = 1, max = 255))]
    #[schema(min_length = 1, max_length = 255)]
    pub external_id: String,
    pub channel: ChannelWord,
    pub direction: DirectionWord,
    /// Who wrote; always there when inbound.
    #[validate(nested)]
    #[schema(nullable = false)]
    pub from: Option<PartyBody>,
    #[serde(default)]
    #[validate(nested, length(max = 100))]
    #[schema(max_items = 100)]
    pub recipients: Vec<RecipientBody>,
    /// The agent who wrote, when outbound.
    #[validate(nested)]
    #[schema(nullable = false)]
    pub agent: Option<AgentBody>,
    #[validate(nested)]
    pub conversation: ThreadBody,
    #[validate(nested)]
    pub message: PushedMessageBody,
    #[schema(nullable = false)]
    pub authentication: Option<MailAuthentication>,
}

/// The channel it came by.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PushChannel)]
pub enum ChannelWord {
    Email,
    Messenger,
    Twitter,
    Facebook,
    Phone,
    External,
}

impl ChannelWord {
    const fn channel(self) -> Channel {
        match self {
            Self::Email => Channel::Email,
            Self::Messenger => Channel::Messenger,
            Self::Twitter => Channel::Twitter,
            Self::Facebook => Channel::Facebook,
            Self::Phone => Channel::Phone,
            Self::External => Channel::External,
        }
    }

    /// The identity by which somebody is known on the channel.
    const fn identity(self) -> IdentityKind {
        match self {
            Self::Email => IdentityKind::Email,
            Self::Messenger => IdentityKind::Messenger,
            Self::Twitter => IdentityKind::Twitter,
            Self::Facebook => IdentityKind::FacebookPage,
            Self::Phone => IdentityKind::Phone,
            Self::External => IdentityKind::External,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Direction)]
pub enum DirectionWord {
    /// From a person to you.
    Inbound,
    /// From an agent to a person.
    Outbound,
}

/// A person, by at least the identity of the channel; more of them are contact points.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Party, example = json!({"email": "Ada@Example.org", "name": "Ada Lovelace"}))]
pub struct PartyBody {
    #[schema(nullable = false)]
    pub email: Option<String>,
    #[schema(nullable = false)]
    pub twitter: Option<TwitterBody>,
    #[schema(nullable = false)]
    pub facebook_page: Option<FacebookPageBody>,
    #[schema(nullable = false)]
    pub messenger: Option<MessengerBody>,
    #[schema(nullable = false)]
    pub external: Option<ExternalBody>,
    /// E.164; only ever a contact point.
    #[schema(nullable = false, example = "+441632960961")]
    pub phone: Option<String>,
    #[validate(length(max = 200))]
    #[schema(nullable = false, max_length = 200)]
    pub name: Option<String>,
}

/// A Twitter (X) user: the id never changes, the handle may.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TwitterParty, example = json!({"id": "12", "handle": "ada"}))]
pub struct TwitterBody {
    /// The numeric id, as text.
    pub id: String,
    #[schema(nullable = false)]
    pub handle: Option<String>,
}

/// Somebody who wrote to a Facebook page, by the id they have for that page.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FacebookPageParty, example = json!({"page_id": "7", "id": "99"}))]
pub struct FacebookPageBody {
    pub page_id: String,
    pub id: String,
}

/// A browser or app with the messenger widget.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MessengerParty, example = json!({"device_id": "5f0c8d1e-3b1a"}))]
pub struct MessengerBody {
    pub device_id: String,
}

/// A user of another of your systems.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ExternalParty, example = json!({"service": "shop", "id": "u1"}))]
pub struct ExternalBody {
    pub service: String,
    pub id: String,
}

/// Who it went to.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Recipient, example = json!({"email": "help@shop.example", "role": "to"}))]
pub struct RecipientBody {
    pub role: RecipientRole,
    #[schema(nullable = false)]
    pub email: Option<String>,
    #[schema(nullable = false)]
    pub twitter: Option<TwitterBody>,
    #[schema(nullable = false)]
    pub facebook_page: Option<FacebookPageBody>,
    #[schema(nullable = false)]
    pub messenger: Option<MessengerBody>,
    #[schema(nullable = false)]
    pub external: Option<ExternalBody>,
    #[schema(nullable = false)]
    pub phone: Option<String>,
    #[validate(length(max = 200))]
    #[schema(nullable = false, max_length = 200)]
    pub name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecipientRole {
    To,
    /// Copied; this gives no access to the conversation.
    Cc,
    Bcc,
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Agent, example = json!({"name": "Grace"}))]
pub struct AgentBody {
    #[validate(length(max = 200))]
    #[schema(max_length = 200)]
    pub name: String,
}

/// The conversation it belongs to: by your id, or by ours to answer what a customer started here.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PushConversation, example = json!({"external_id": "case-17", "subject": "Printer on fire", "status": "open"}))]
pub struct ThreadBody {
    #[schema(nullable = false)]
    pub id: Option<Uuid>,
    #[validate(length(min = 1, max = 255))]
    #[schema(nullable = false, min_length = 1, max_length = 255)]
    pub external_id: Option<String>,
    /// Kept from the first message.
    #[validate(length(max = 1000))]
    #[schema(nullable = false, max_length = 1000)]
    pub subject: Option<String>,
    /// Where it is said, it holds from now on.
    #[schema(nullable = false)]
    pub status: Option<StatusWord>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ConversationStatus)]
pub enum StatusWord {
    Open,
    Pending,
    Solved,
    Closed,
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PushedMessage, example = json!({"body_text": "It is on fire.", "sent_at": "2026-01-02T03:04:05Z"}))]
pub struct PushedMessageBody {
    /// May be empty where there is HTML, an attachment, or the conversation's subject to go by: a mail of nothing
    /// but a file or a subject is real. A message of nothing at all is refused.
    pub body_text: String,
    #[schema(nullable = false)]
    pub body_html: Option<String>,
    /// Now where it is left out, and never later than now.
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub sent_at: Option<Timestamp>,
    /// A note among agents: customers never see it.
    #[serde(default)]
    #[schema(default = false)]
    pub internal: bool,
    #[serde(default)]
    #[validate(nested, length(max = 50))]
    #[schema(max_items = 50)]
    pub attachments: Vec<AttachmentBody>,
}

/// A file that you keep; it is never fetched from here.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Attachment, example = json!({"name": "fire.jpg", "content_type": "image/jpeg", "size": 52133, "url": "https://desk.shop.example/files/1"}))]
pub struct AttachmentBody {
    #[validate(length(min = 1, max = 255))]
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
    #[validate(length(max = 127))]
    #[schema(nullable = false, max_length = 127)]
    pub content_type: Option<String>,
    /// Bytes.
    #[schema(nullable = false)]
    pub size: Option<u64>,
    #[validate(length(max = 2048), custom(function = https_url))]
    #[schema(nullable = false, max_length = 2048)]
    pub url: Option<String>,
}

fn https_url(url: &str) -> Result<(), validator::ValidationError> {
    if url.starts_with("https://") && url.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(());
    }
    Err(validator::ValidationError::new("url").with_message("Use an https:// URL.".into()))
}

/// What you found out about the sender of a mail.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"dmarc": "pass"}))]
pub struct MailAuthentication {
    pub dmarc: DmarcWord,
}

/// A DMARC result (RFC 8601). A message that failed is held: its `From:` may be anybody's.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DmarcResult)]
pub enum DmarcWord {
    Pass,
    Fail,
    None,
    TempError,
    PermError,
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "interaction_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b40", "account_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11",
    "conversation_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20", "message_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b30",
    "outcome": "created"
}))]
pub struct InteractionPushed {
    pub interaction_id: Uuid,
    /// The account of who wrote; of the conversation where an agent did.
    pub account_id: Uuid,
    pub conversation_id: Uuid,
    pub message_id: Uuid,
    /// `created`, `repeated` (pushed before; nothing has changed), or `held` (kept from the requester).
    pub outcome: &'static str,
}

impl From<Pushed> for InteractionPushed {
    fn from(pushed: Pushed) -> Self {
        Self {
            interaction_id: pushed.interaction_id.0,
            account_id: pushed.account_id.0,
            conversation_id: pushed.conversation_id.0,
            message_id: pushed.message_id.0,
            outcome: pushed.outcome.as_str(),
        }
    }
}

/// Push an interaction
///
/// Makes an account of whoever wrote, if there is none, and keeps what they said with it; never a way in. The
/// same `source` and `external_id` again change nothing.
#[utoipa::path(
    tag = "Help desk", operation_id = "push_interaction", security(("api_key" = [])),
    request_body = InteractionBody,
    responses(
        (status = 201, description = "Kept", body = InteractionPushed),
        (status = 200, description = "It had been pushed before", body = InteractionPushed),
    ),
    extensions(("x-problems" = json!(["not_found"]))),
)]
#[post("/v1/interactions")]
pub async fn push_interaction(
    desk: Machine<PushInteractions>,
    body: Body<InteractionBody, LARGE>,
) -> Result<HttpResponse, Problem> {
    let push = body.value.into_push()?;
    let pushed = desk.write(move |work, key| interaction::push(work, key, &push)).await?;
    let mut response = match pushed.outcome {
        PushOutcome::Repeated => HttpResponse::Ok(),
        PushOutcome::Created | PushOutcome::Held => HttpResponse::Created(),
    };
    Ok(response.json(InteractionPushed::from(pushed)))
}

impl InteractionBody {
    /// What is one line wherever it is shown holds no control characters.
    fn check_lines(&self, faults: &mut Faults) {
        let mut check = |pointer: &str, text: Option<&String>| {
            if text.is_some_and(|text| text.chars().any(char::is_control)) {
                faults.add(pointer, "control_characters", "Leave out control characters.");
            }
        };
        check("/source", Some(&self.source));
        check("/external_id", Some(&self.external_id));
        check("/conversation/external_id", self.conversation.external_id.as_ref());
        check("/conversation/subject", self.conversation.subject.as_ref());
        check("/agent/name", self.agent.as_ref().map(|agent| &agent.name));
        for (index, file) in self.message.attachments.iter().enumerate() {
            check(&format!("/message/attachments/{index}/name"), Some(&file.name));
            check(&format!("/message/attachments/{index}/content_type"), file.content_type.as_ref());
        }
    }

    fn says_nothing(&self) -> bool {
        let blank = |text: Option<&String>| text.is_none_or(|text| text.trim().is_empty());
        let texts =
            [Some(&self.message.body_text), self.message.body_html.as_ref(), self.conversation.subject.as_ref()];
        self.message.attachments.is_empty() && texts.into_iter().all(blank)
    }

    /// Reads every identity and bound of a push, or says all that is wrong with it.
    fn into_push(self) -> Result<Push> {
        let mut faults = Faults::default();
        self.check_lines(&mut faults);
        if self.says_nothing() {
            faults.add("/message/body_text", "required", "Send a text, HTML, an attachment or a subject.");
        }
        let kind = self.channel.identity();
        let recipients = json!(self.recipients.iter().map(RecipientBody::label).collect::<Vec<_>>());
        let from = self.from.map(|from| from.party(kind, "/from", &mut faults));
        let inbound = self.direction == DirectionWord::Inbound;
        if inbound && from.as_ref().is_none_or(|party| party.keys.first().is_none_or(|seen| seen.key.kind != kind)) {
            faults.add(
                &format!("/from/{kind}"),
                "required",
                "An inbound push names its sender by the channel's identity.",
            );
        }
        let to = self
            .recipients
            .into_iter()
            .enumerate()
            .filter(|(_, recipient)| !inbound && recipient.role == RecipientRole::To)
            .map(|(index, recipient)| recipient.party().party(kind, &format!("/recipients/{index}"), &mut faults))
            .find(|party| party.keys.first().is_some_and(|seen| seen.key.kind == kind));
        let thread = match (self.conversation.id, self.conversation.external_id) {
            (Some(id), None) => Some(Thread::Ours(ConversationId(id))),
            (None, Some(id)) => Some(Thread::External(id)),
            _ => None,
        };
        if thread.is_none() {
            faults.add("/conversation", "id_or_external_id", "Name the conversation by either id or external_id.");
        }
        faults.into_result()?;
        Ok(Push {
            source: self.source,
            external_id: self.external_id,
            channel: self.channel.channel(),
            direction: if inbound { Direction::Inbound } else { Direction::Outbound },
            from: from.filter(|_| inbound),
            to,
            agent_name: self.agent.map(|agent| agent.name),
            thread: thread.ok_or_else(|| Error::invalid("/conversation", "required", "Name the conversation."))?,
            subject: self.conversation.subject,
            status: self.conversation.status.map(StatusWord::status),
            body_text: self.message.body_text,
            html: self.message.body_html.map(Html::of),
            internal: self.message.internal,
            sent_at: self.message.sent_at,
            attachments: json!(self.message.attachments),
            dmarc: self.authentication.map(|authentication| authentication.dmarc.verdict()),
            recipients,
        })
    }
}

/// Everything wrong with one push.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, pointer: &str, code: &'static str, detail: &str) {
        self.0.push(Fault::new(pointer, code, detail));
    }

    fn into_result(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}

impl PartyBody {
    /// The identities it names, the channel's first.
    fn party(self, first: IdentityKind, at: &str, faults: &mut Faults) -> Party {
        let mut keys = Vec::new();
        let mut add = |field: &str, key: Result<IdentityKey, String>, label: Option<String>| match key {
            Ok(key) => keys.push(SeenKey { key, label }),
            Err(why) => faults.add(&format!("{at}/{field}"), "invalid", &why),
        };
        if let Some(email) = self.email {
            let address = EmailAddress::parse(&email).map_err(|why| why.to_string());
            add("email", address.map(|address| IdentityKey::email(&address)), Some(email));
        }
        let plain = |NotAnIdentity(why)| why;
        if let Some(twitter) = self.twitter {
            let handle =
                twitter.handle.filter(|handle| handle.chars().count() <= 64 && !handle.chars().any(char::is_control));
            add("twitter", IdentityKey::twitter(&twitter.id).map_err(plain), handle);
        }
        if let Some(page) = self.facebook_page {
            add("facebook_page", IdentityKey::facebook_page(&page.page_id, &page.id).map_err(plain), None);
        }
        if let Some(messenger) = self.messenger {
            add("messenger", IdentityKey::messenger(&messenger.device_id).map_err(plain), None);
        }
        if let Some(external) = self.external {
            add("external", IdentityKey::external(&external.service, &external.id).map_err(plain), None);
        }
        if let Some(phone) = self.phone {
            add("phone", IdentityKey::phone(&phone).map_err(plain), None);
        }
        keys.sort_by_key(|seen| seen.key.kind != first);
        let name = self.name.filter(|name| doorstep_core::account::not_a_name(name).is_none());
        Party { keys, name }
    }
}

impl RecipientBody {
    fn party(self) -> PartyBody {
        PartyBody {
            email: self.email,
            twitter: self.twitter,
            facebook_page: self.facebook_page,
            messenger: self.messenger,
            external: self.external,
            phone: self.phone,
            name: self.name,
        }
    }

    /// What is kept of a recipient: who it was, in words.
    fn label(&self) -> serde_json::Value {
        let twitter = self.twitter.as_ref().map(|twitter| twitter.id.clone());
        let page = self.facebook_page.as_ref().map(|page| page.id.clone());
        let device = self.messenger.as_ref().map(|messenger| messenger.device_id.clone());
        let external = self.external.as_ref().map(|external| external.id.clone());
        let who = self.email.clone().or(twitter).or(page).or(device).or(external).or_else(|| self.phone.clone());
        json!({ "role": self.role, "who": who, "name": self.name })
    }
}

impl StatusWord {
    const fn status(self) -> Status {
        match self {
            Self::Open => Status::Open,
            Self::Pending => Status::Pending,
            Self::Solved => Status::Solved,
            Self::Closed => Status::Closed,
        }
    }
}

impl DmarcWord {
    const fn verdict(self) -> Dmarc {
        match self {
            Self::Pass => Dmarc::Pass,
            Self::Fail => Dmarc::Fail,
            Self::None => Dmarc::None,
            Self::TempError => Dmarc::TempError,
            Self::PermError => Dmarc::PermError,
        }
    }
}
