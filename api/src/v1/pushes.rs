//! What a push says: the bodies.

use doorstep_core::clock::Timestamp;
use doorstep_core::conversation::{Channel, Status};
use doorstep_core::identity::IdentityKind;
use doorstep_core::interaction::{Direction, Dmarc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::words::{ConversationStatus, DmarcResult, PushDirection};

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
    #[schema(value_type = PushDirection)]
    pub direction: Direction,
    /// Who wrote; always there when inbound.
    #[validate(nested)]
    #[schema(nullable = false)]
    pub from: Option<PartyBody>,
    /// Whom it went to. When outbound, the first `to` is the person; of all others nothing is kept.
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
#[schema(as = PushedChannel)]
pub enum ChannelWord {
    Email,
    Messenger,
    Twitter,
    Facebook,
    Phone,
    External,
}

impl ChannelWord {
    pub const fn channel(self) -> Channel {
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
    pub const fn identity(self) -> IdentityKind {
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

/// Somebody, by the identities that a push may name; what else is known of them comes first. serde's `flatten` would
/// take unknown fields.
macro_rules! people {
    ($($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $kind:ty),* })*) => {$(
        #[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
        $(#[$about])*
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$doc])* pub $field: $kind,)*
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
            /// E.164; only ever a contact point, but for the channel `phone`.
            #[schema(nullable = false, example = "+441632960961")]
            pub phone: Option<String>,
            #[validate(length(max = 200))]
            #[schema(nullable = false, max_length = 200)]
            pub name: Option<String>,
        }

        impl $name {
            pub fn identities(self) -> Identities {
                Identities {
                    email: self.email,
                    twitter: self.twitter,
                    facebook_page: self.facebook_page,
                    messenger: self.messenger,
                    external: self.external,
                    phone: self.phone,
                    name: self.name,
                }
            }
        }
    )*};
}

people! {
    /// A person, by at least the identity of the channel; more of them are contact points.
    #[schema(as = Party, example = json!({"email": "Ada@Example.org", "name": "Ada Lovelace"}))]
    PartyBody {}
    /// Who it went to.
    #[schema(as = Recipient, example = json!({"email": "help@shop.example", "role": "to"}))]
    RecipientBody { role: RecipientRole }
}

/// Who a party or a recipient is.
#[derive(Debug, Clone)]
pub struct Identities {
    pub email: Option<String>,
    pub twitter: Option<TwitterBody>,
    pub facebook_page: Option<FacebookPageBody>,
    pub messenger: Option<MessengerBody>,
    pub external: Option<ExternalBody>,
    pub phone: Option<String>,
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

/// The conversation it belongs to: by your id, or by ours to answer what a customer started here. Exactly one of
/// `external_id` and `id`.
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
    #[schema(value_type = Option<ConversationStatus>, nullable = false)]
    pub status: Option<Status>,
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
#[schema(as = PushedAttachment, example = json!({"name": "fire.jpg", "content_type": "image/jpeg", "size": 52133, "url": "https://desk.shop.example/files/1"}))]
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
    #[schema(value_type = DmarcResult)]
    pub dmarc: Dmarc,
}
