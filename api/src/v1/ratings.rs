//! Ratings: what customers think of how a conversation went.

use actix_web::{HttpResponse, post};
use doorstep_core::Error;
use doorstep_core::clock::Timestamp;
use doorstep_core::id::ConversationId;
use doorstep_core::rating::{self, Rating, Score};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::conversations::ConversationBody;
use crate::caller::Customer;
use crate::extract::{Body, Id};
use crate::problem::Problem;

/// The rating of a conversation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rating, example = json!({
    "offered": true, "score": 5, "comment": "It was out in a minute.", "rated_at": "2026-01-02T04:24:05Z"
}))]
pub struct RatingBody {
    /// Whether its customer may rate it now, or change what they said.
    pub offered: bool,
    /// From 1, the worst, to 5; null until it is rated.
    #[schema(minimum = 1, maximum = 5)]
    pub score: Option<i16>,
    pub comment: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub rated_at: Option<Timestamp>,
}

impl RatingBody {
    /// None where there was never anything to rate.
    pub fn of(rating: Rating) -> Option<Self> {
        let offered = rating.offered_at.is_some();
        match rating.given {
            None if !offered => None,
            None => Some(Self { offered, score: None, comment: None, rated_at: None }),
            Some(given) => Some(Self {
                offered,
                score: Some(given.score.number()),
                comment: given.comment,
                rated_at: Some(given.at),
            }),
        }
    }
}

/// What I think of how it went.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"score": 5, "comment": "It was out in a minute."}))]
pub struct NewRating {
    /// From 1, the worst, to 5. Two buttons are 1 and 5.
    #[schema(minimum = 1, maximum = 5)]
    pub score: i16,
    /// At most 2,000 characters.
    #[schema(max_length = 2000)]
    pub comment: Option<String>,
}

/// Rate a conversation
///
/// Where support has asked for it: `rating.offered` of the conversation says so. Sent again, it takes the place of what I
/// said before, the comment too; the same again changes nothing.
#[utoipa::path(
    tag = "Conversations", operation_id = "rate_conversation",
    params(("id" = Uuid, Path, description = "The conversation's id")),
    request_body = NewRating,
    responses((status = 200, description = "Rated", body = ConversationBody)),
    extensions(("x-problems" = json!(["not_found", "rating_not_offered", "too_many_requests"]))),
)]
#[post("/v1/me/conversations/{id}/rating")]
pub async fn rate_conversation(
    customer: Customer,
    Id(id): Id<ConversationId>,
    body: Body<NewRating>,
) -> Result<HttpResponse, Problem> {
    let NewRating { score, comment } = body.value;
    let score = Score::new(score).ok_or_else(|| Error::invalid("/score", "out_of_range", "Rate it by 1 to 5."))?;
    let rated = customer.write(move |work, who| rating::rate(work, who, id, score, comment.as_deref())).await?;
    Ok(HttpResponse::Ok().json(ConversationBody::from(rated)))
}
