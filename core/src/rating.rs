//! What customers think of how a conversation went, where the desk asks.

use serde_json::json;

use crate::audit::{self, Action, Actor};
use crate::clock::Timestamp;
use crate::conversation::{self, Overview};
use crate::db::{self, Work};
use crate::error::{Error, Result};
use crate::id::ConversationId;
use crate::outbox;
use crate::session::SignedIn;
use crate::throttle;

/// How good it was, from 1, the worst, to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Score(i16);

impl Score {
    #[must_use]
    pub const fn new(number: i16) -> Option<Self> {
        if matches!(number, 1..=5) { Some(Self(number)) } else { None }
    }

    #[must_use]
    pub const fn number(self) -> i16 {
        self.0
    }
}

/// The rating of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rating {
    /// Since when its customer may rate it; none where they may not, or not any more.
    pub offered_at: Option<Timestamp>,
    pub given: Option<Given>,
}

/// What a customer has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub score: Score,
    pub comment: Option<String>,
    pub at: Timestamp,
}

/// Characters of a comment.
pub const LONGEST_COMMENT: usize = 2_000;

/// Rates a conversation, or says another thing of it than before. The same again changes nothing.
pub fn rate(
    work: &mut Work<'_>,
    who: &SignedIn,
    id: ConversationId,
    score: Score,
    comment: Option<&str>,
) -> Result<Overview> {
    let comment = comment.map(str::trim).filter(|text| !text.is_empty());
    if let Some(text) = comment {
        conversation::check_text("/comment", text, LONGEST_COMMENT)?;
    }
    let before = conversation::visible(work, who, id)?;
    let Some(offered_at) = before.rating.offered_at else { return Err(Error::RatingNotOffered) };
    let same = |given: &Given| given.score == score && given.comment.as_deref() == comment;
    if !before.rating.given.as_ref().is_some_and(same) {
        throttle::before_message(work, who.account.id)?;
        let given = Given { score, comment: comment.map(str::to_owned), at: work.now() };
        db::conversations::set_rating(work, &before, &Rating { offered_at: Some(offered_at), given: Some(given) })?;
        tell(work, who, id, score)?;
    }
    conversation::get(work, who, id)
}

fn tell(work: &mut Work<'_>, who: &SignedIn, id: ConversationId, score: Score) -> Result<()> {
    let detail = json!({ "conversation_id": id, "score": score.number() });
    let actor = Actor::Account(who.account.id);
    audit::record(work, Action::RatingReceived, actor, Some(who.account.id), &detail)?;
    outbox::post_event(work, "rating.received", who.account.id, &detail)
}
