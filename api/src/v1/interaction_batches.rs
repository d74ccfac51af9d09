//! Many pushes in one request, each with an answer of its own.

use actix_web::{HttpResponse, post, web};
use doorstep_core::interaction::{self, PushOutcome};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::{Validate, ValidationError, ValidationErrors};

use super::interactions::InteractionPushed;
use super::pushes::InteractionBody;
use crate::caller::{Machine, PushInteractions};
use crate::extract::{self, Body, LARGE};
use crate::problem::{Problem, ProblemBody};
use crate::state::State;
use crate::strict::Node;

/// Several interactions, taken in their order.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"items": [
    {"source": "desk", "external_id": "msg-991", "channel": "email", "direction": "inbound",
     "from": {"email": "Ada@Example.org", "name": "Ada Lovelace"},
     "conversation": {"external_id": "case-17", "subject": "Printer on fire"},
     "message": {"body_text": "It is on fire."}, "authentication": {"dmarc": "pass"}},
    {"source": "desk", "external_id": "msg-992", "channel": "twitter", "direction": "inbound",
     "from": {"twitter": {"id": "12", "handle": "ada"}},
     "conversation": {"external_id": "case-18"}, "message": {"body_text": "Is anybody there?"}}
]}))]
pub struct InteractionBatch {
    #[schema(value_type = Vec<InteractionBody>, min_items = 1, max_items = 100)]
    pub items: Vec<Node>,
}

/// So many at most.
const MOST: usize = 100;

impl Validate for InteractionBatch {
    fn validate(&self) -> Result<(), ValidationErrors> {
        let mut errors = ValidationErrors::new();
        if !(1..=MOST).contains(&self.items.len()) {
            let mut wrong = ValidationError::new("length");
            wrong.add_param("min".into(), &1);
            wrong.add_param("max".into(), &MOST);
            errors.add("items", wrong);
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

/// What became of each, in the order they were sent in.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": [
    {"status": 201, "interaction": {
        "interaction_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b40", "account_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11",
        "conversation_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20", "message_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b30",
        "outcome": "created"}},
    {"status": 422, "problem": {
        "type": "https://auth.shop.example/problems/validation-failed", "title": "Some fields are not valid", "status": 422,
        "code": "validation_failed", "detail": "Each entry of errors points to a field and says what is wrong with it.",
        "request_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11",
        "errors": [{"pointer": "/from/twitter", "code": "invalid", "detail": "A Twitter id is 1 to 19 digits."}]}}
]}))]
pub struct BatchAnswered<'a> {
    pub items: Vec<ItemAnswered<'a>>,
}

/// What became of one.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": 200, "interaction": {
    "interaction_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b40", "account_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11",
    "conversation_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20", "message_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b30",
    "outcome": "repeated"}}))]
pub struct ItemAnswered<'a> {
    /// What it would have been answered with if it had been pushed by itself.
    pub status: u16,
    /// Where it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub interaction: Option<InteractionPushed>,
    /// Where it was not; pointers begin at the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub problem: Option<ProblemBody<'a>>,
}

/// Push several interactions
///
/// Takes up to 100 in their order, in a body of at most 1 MiB, and answers each as if it had been pushed by itself: what is
/// wrong with one is no matter of the others. Where a part of the service is away (503), all that follow are answered the
/// same, untried. Sent again as a whole, what was taken before is `repeated`, and nothing is taken twice.
#[utoipa::path(
    tag = "Help desk", operation_id = "push_interactions", security(("api_key" = ["interactions:write"])),
    request_body = InteractionBatch,
    responses((status = 200, description = "What became of each", body = BatchAnswered<'_>)),
)]
#[post("/v1/interactions/batch")]
pub async fn push_interactions(
    state: web::Data<State>,
    desk: Machine<PushInteractions>,
    body: Body<InteractionBatch, LARGE>,
) -> Result<HttpResponse, Problem> {
    // who may not push gets one answer
    desk.read(|_, _| Ok(())).await?;
    let mut answers: Vec<Result<InteractionPushed, Problem>> = Vec::with_capacity(body.value.items.len());
    let mut away = None;
    for item in body.value.items {
        let answer = match &away {
            Some(problem) => Err(Problem::clone(problem)),
            None => take(&desk, item).await,
        };
        away = answer.as_ref().err().filter(|problem| problem.code.status() >= 500).cloned();
        answers.push(answer);
    }
    let request_id = desk.origin.request_id.as_deref().unwrap_or_default();
    let items = answers.iter().map(|answer| match answer {
        Ok(pushed) => {
            let status = if pushed.outcome == PushOutcome::Repeated { 200 } else { 201 };
            ItemAnswered { status, interaction: Some(pushed.clone()), problem: None }
        }
        Err(problem) => ItemAnswered {
            status: problem.code.status(),
            interaction: None,
            problem: Some(problem.body(&state.public_url, request_id)),
        },
    });
    Ok(HttpResponse::Ok().json(BatchAnswered { items: items.collect() }))
}

async fn take(desk: &Machine<PushInteractions>, item: Node) -> Result<InteractionPushed, Problem> {
    let push = extract::read::<InteractionBody>(item)?.into_push()?;
    let pushed = desk.write(move |work, key| interaction::push(work, key, &push)).await?;
    Ok(InteractionPushed::from(pushed))
}
