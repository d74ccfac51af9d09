//! Pushes: the help desk tells what happened on a channel.

use actix_web::{HttpResponse, post};
use doorstep_core::email::EmailAddress;
use doorstep_core::error::Fault;
use doorstep_core::html::Html;
use doorstep_core::id::ConversationId;
use doorstep_core::identity::{IdentityKey, IdentityKind, NotAnIdentity};
use doorstep_core::interaction::{self, Direction, Party, Push, PushOutcome, Pushed, SeenKey, Thread};
use doorstep_core::{Error, Result, line};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::pushes::{Identities, InteractionBody, RecipientRole};
use crate::caller::{Machine, PushInteractions};
use crate::extract::{Body, LARGE};
use crate::problem::Problem;
use crate::words::PushedOutcome;

/// What became of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
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
    #[schema(value_type = PushedOutcome)]
    pub outcome: PushOutcome,
}

impl From<Pushed> for InteractionPushed {
    fn from(pushed: Pushed) -> Self {
        Self {
            interaction_id: pushed.interaction_id.0,
            account_id: pushed.account_id.0,
            conversation_id: pushed.conversation_id.0,
            message_id: pushed.message_id.0,
            outcome: pushed.outcome,
        }
    }
}

/// Push an interaction
///
/// Makes an account of whoever wrote, if there is none, and keeps what they said with it; never a way in. The
/// same `source` and `external_id` again change nothing. Its body may have 1 MiB.
#[utoipa::path(
    tag = "Help desk", operation_id = "push_interaction", security(("api_key" = ["interactions:write"])),
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
    pub(super) fn into_push(self) -> Result<Push> {
        let mut faults = Faults::default();
        self.check_lines(&mut faults);
        if self.says_nothing() {
            faults.add("/message/body_text", "required", "Send a text, HTML, an attachment or a subject.");
        }
        let kind = self.channel.identity();
        let people: Vec<_> = self.recipients.into_iter().map(|one| (one.role, one.identities())).collect();
        let from = self.from.map(|from| from.identities().party(kind, "/from", &mut faults));
        let inbound = self.direction == Direction::Inbound;
        if inbound && from.as_ref().is_none_or(|party| party.keys.first().is_none_or(|seen| seen.key.kind != kind)) {
            faults.add(
                &format!("/from/{kind}"),
                "required",
                "An inbound push names its sender by the channel's identity.",
            );
        }
        let to = people
            .into_iter()
            .enumerate()
            .filter(|(_, (role, _))| !inbound && *role == RecipientRole::To)
            .map(|(index, (_, who))| who.party(kind, &format!("/recipients/{index}"), &mut faults))
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
            direction: self.direction,
            from: from.filter(|_| inbound),
            to,
            agent_name: self.agent.and_then(|agent| line::cleaned(&agent.name)),
            thread: thread.ok_or_else(|| Error::invalid("/conversation", "required", "Name the conversation."))?,
            subject: self.conversation.subject,
            status: self.conversation.status,
            body_text: self.message.body_text,
            html: self.message.body_html.map(Html::of),
            internal: self.message.internal,
            sent_at: self.message.sent_at,
            attachments: json!(self.message.attachments),
            dmarc: self.authentication.map(|authentication| authentication.dmarc),
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

impl Identities {
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
            let handle = twitter.handle.filter(|handle| line::is_line(handle, 64));
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
        let name = self.name.as_deref().and_then(line::cleaned);
        Party { keys, name }
    }
}
