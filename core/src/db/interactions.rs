//! Queries on `interactions`.

use diesel::prelude::*;
use serde_json::json;

use super::lock::Lock;
use super::schema::interactions;
use super::types::Json;
use super::work::Work;
use crate::error::Result;
use crate::id::{AccountId, ConversationId, InteractionId, MessageId};
use crate::interaction::{Push, PushOutcome, Pushed, Stored};

pub fn find(work: &mut Work<'_>, source: &str, external_id: &str) -> Result<Option<Pushed>> {
    let found = interactions::table
        .filter(interactions::source.eq(source).and(interactions::external_id.eq(external_id)))
        .select((
            interactions::id,
            interactions::account_id,
            interactions::conversation_id,
            interactions::message_id,
            interactions::outcome,
        ))
        .get_result::<(InteractionId, AccountId, ConversationId, MessageId, Stored)>(work.conn)
        .optional()?;
    Ok(found.map(|(interaction_id, account_id, conversation_id, message_id, outcome)| Pushed {
        interaction_id,
        account_id,
        conversation_id,
        message_id,
        outcome: match outcome {
            Stored::Created => PushOutcome::Created,
            Stored::Held => PushOutcome::Held,
        },
    }))
}

pub fn insert(work: &mut Work<'_>, push: &Push, pushed: &Pushed) -> Result<()> {
    work.must_hold(Lock::Interaction(&push.source, &push.external_id))?;
    let now = work.now();
    let outcome = if pushed.outcome == PushOutcome::Held { Stored::Held } else { Stored::Created };
    diesel::insert_into(interactions::table)
        .values((
            interactions::id.eq(pushed.interaction_id),
            interactions::source.eq(&push.source),
            interactions::external_id.eq(&push.external_id),
            interactions::channel.eq(push.channel),
            interactions::direction.eq(push.direction),
            interactions::outcome.eq(outcome),
            interactions::account_id.eq(pushed.account_id),
            interactions::conversation_id.eq(pushed.conversation_id),
            interactions::message_id.eq(pushed.message_id),
            interactions::detail.eq(Json(json!({ "dmarc": push.dmarc }))),
            interactions::created_at.eq(now),
        ))
        .execute(work.conn)?;
    Ok(())
}
