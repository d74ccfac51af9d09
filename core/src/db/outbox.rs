//! Queries on `outbox`.

use diesel::prelude::*;

use super::challenges::NO_CODE;
use super::dialect::{Spelled, due_mail};
use super::lock::Lock;
use super::schema::{challenges, outbox};
use super::types::words;
use super::work::Work;
use crate::challenge::ChallengeState;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::{AccountId, ChallengeId, OutboxId};

words! {
    pub enum Kind {
        Mail = "mail",
        Event = "event",
    }
}

words! {
    pub enum State {
        Waiting = "waiting",
        Done = "done",
        /// It was of no use any more, or refused for good.
        Expired = "expired",
    }
}

/// Waiting, as the index over what waits wants it said.
const WAITING: Spelled = Spelled(State::Waiting.as_str());

pub struct NewEntry {
    pub kind: Kind,
    pub topic: &'static str,
    pub account_id: Option<AccountId>,
    pub challenge_id: Option<ChallengeId>,
    /// Without it there is nothing to send, and the entry is done.
    pub sealed: Option<Vec<u8>>,
    pub expires_at: Timestamp,
}

pub fn insert(work: &mut Work<'_>, new: &NewEntry) -> Result<()> {
    let (id, now) = (work.new_id::<OutboxId>(), work.now());
    let done = new.sealed.is_none();
    diesel::insert_into(outbox::table)
        .values((
            outbox::id.eq(id),
            outbox::kind.eq(new.kind),
            outbox::topic.eq(new.topic),
            outbox::state.eq(if done { State::Done } else { State::Waiting }),
            outbox::account_id.eq(new.account_id),
            outbox::challenge_id.eq(new.challenge_id),
            outbox::sealed_payload.eq(new.sealed.as_deref()),
            outbox::attempts.eq(0_i64),
            outbox::due_at.eq(now),
            outbox::expires_at.eq(new.expires_at),
            outbox::created_at.eq(now),
            outbox::finished_at.eq(done.then_some(now)),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// A mail to be sent.
pub struct Entry {
    pub id: OutboxId,
    pub sealed: Vec<u8>,
    pub attempts: i64,
    pub expires_at: Timestamp,
}

/// Takes the mail that has been due longest; nobody else gets it before `until`.
pub fn lease(work: &mut Work<'_>, until: Timestamp) -> Result<Option<Entry>> {
    let now = work.now();
    let Some((id, sealed, attempts, expires_at)) = due_mail(work, now)? else { return Ok(None) };
    diesel::update(outbox::table.filter(outbox::id.eq(id)))
        .set((outbox::due_at.eq(until), outbox::attempts.eq(attempts + 1)))
        .execute(work.conn)?;
    Ok(Some(Entry { id, sealed, attempts, expires_at }))
}

/// Whether an entry waits, and its challenge, if it has one, is live and has a secret.
pub fn is_wanted(work: &mut Work<'_>, id: OutboxId) -> Result<bool> {
    let state = outbox::table
        .left_join(challenges::table.on(outbox::challenge_id.eq(challenges::id.nullable())))
        .filter(outbox::id.eq(id))
        .select((outbox::state, challenges::state.nullable(), challenges::code_mac.nullable()))
        .get_result::<(State, Option<ChallengeState>, Option<Vec<u8>>)>(work.conn)
        .optional()?;
    Ok(state.is_some_and(|(state, challenge, code)| {
        let good = challenge.is_none_or(|challenge| challenge == ChallengeState::Live);
        state == State::Waiting && good && code.is_none_or(|code| code != NO_CODE)
    }))
}

/// Ends a waiting entry and forgets what it said; gives the challenge it carried.
pub fn finish(work: &mut Work<'_>, id: OutboxId, state: State, why: Option<&str>) -> Result<Option<ChallengeId>> {
    let now = work.now();
    let challenge = diesel::update(outbox::table.filter(outbox::id.eq(id).and(outbox::state.eq(State::Waiting))))
        .set((
            outbox::state.eq(state),
            outbox::sealed_payload.eq(None::<Vec<u8>>),
            outbox::last_error.eq(why),
            outbox::finished_at.eq(now),
        ))
        .returning(outbox::challenge_id)
        .get_result::<Option<ChallengeId>>(work.conn)
        .optional()?;
    Ok(challenge.flatten())
}

pub fn postpone(work: &mut Work<'_>, id: OutboxId, due: Timestamp, why: &str) -> Result<()> {
    diesel::update(outbox::table.filter(outbox::id.eq(id).and(outbox::state.eq(State::Waiting))))
        .set((outbox::due_at.eq(due), outbox::last_error.eq(why)))
        .execute(work.conn)?;
    Ok(())
}

/// Lets go of what waits and whose time is over.
pub fn expire(work: &mut Work<'_>, kind: Kind) -> Result<()> {
    let now = work.now();
    let over = outbox::state
        .eq(WAITING)
        .and(outbox::kind.eq(kind))
        .and(outbox::due_at.le(now))
        .and(outbox::expires_at.le(now));
    diesel::update(outbox::table.filter(over))
        .set((
            outbox::state.eq(State::Expired),
            outbox::sealed_payload.eq(None::<Vec<u8>>),
            outbox::finished_at.eq(now),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// When the next mail is due, if there is any.
pub fn next_due(work: &mut Work<'_>) -> Result<Option<Timestamp>> {
    let due = outbox::table
        .filter(outbox::state.eq(WAITING).and(outbox::kind.eq(Kind::Mail)))
        .order(outbox::due_at)
        .select(outbox::due_at)
        .limit(1)
        .get_result::<Timestamp>(work.conn)
        .optional()?;
    Ok(due)
}

/// Deletes what was finished before an instant, at most so many rows.
pub fn delete_before(work: &mut Work<'_>, before: Timestamp, at_most: i64) -> Result<usize> {
    let old = diesel::alias!(outbox as old);
    let ids = old.filter(old.field(outbox::finished_at).lt(before)).select(old.field(outbox::id)).limit(at_most);
    Ok(diesel::delete(outbox::table.filter(outbox::id.eq_any(ids))).execute(work.conn)?)
}

/// Deletes every mail of an account: what waits of them is not sent.
pub fn delete_mail_of(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    let theirs = outbox::account_id.eq(account).and(outbox::kind.eq(Kind::Mail));
    diesel::delete(outbox::table.filter(theirs)).execute(work.conn)?;
    // what proves an address that was nobody's yet
    let asked = challenges::table.filter(challenges::account_id.eq(account)).select(challenges::id.nullable());
    diesel::delete(outbox::table.filter(outbox::challenge_id.eq_any(asked))).execute(work.conn)?;
    Ok(())
}

/// Deletes the mails that carry these challenges, sent or not.
pub fn delete_mail_with(work: &mut Work<'_>, ids: &[ChallengeId]) -> Result<()> {
    diesel::delete(outbox::table.filter(outbox::challenge_id.eq_any(ids))).execute(work.conn)?;
    Ok(())
}
