//! What is to leave the house: mail now, events for those who ask for them later. It is put here in the
//! transaction of its cause, so it goes out if and only if the cause happened.

use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::db::{self, Work};
use crate::error::Result;
use crate::id::{AccountId, ChallengeId, OutboxId};
use crate::limits;
use crate::mail::Mail;

/// The place a sealed mail belongs to.
const MAIL: &str = "outbox mail";
/// The place a sealed event belongs to: it may carry what somebody wrote.
const EVENT: &str = "outbox event";

/// A mail on lease: ours to send until the lease ends.
pub struct Leased {
    pub id: OutboxId,
    pub mail: Mail,
    pub attempts: i64,
    pub expires_at: Timestamp,
}

/// How long whoever took a mail may try, before another may.
const LEASE: Duration = Duration::from_secs(60);

/// Puts a mail into the outbox; `until` when it is of no use any more. It goes no more once its account is deleted.
pub fn post_mail(
    work: &mut Work<'_>,
    mail: &Mail,
    account: Option<AccountId>,
    challenge: Option<ChallengeId>,
    until: Timestamp,
) -> Result<()> {
    let plain = Zeroizing::new(serde_json::to_vec(mail)?);
    let sealed = work.keyring().seal(MAIL, &plain)?;
    db::outbox::insert(
        work,
        &db::outbox::NewEntry {
            kind: db::outbox::Kind::Mail,
            topic: mail.content.template(),
            account_id: account,
            challenge_id: challenge,
            sealed: Some(sealed),
            expires_at: until,
        },
    )?;
    work.posted = true;
    Ok(())
}

/// The same work as [`post_mail`] with nothing to send, so that both take as long (I7).
pub fn post_nothing(work: &mut Work<'_>, challenge: ChallengeId) -> Result<()> {
    drop(work.keyring().seal(MAIL, &[0; 400])?);
    db::outbox::insert(
        work,
        &db::outbox::NewEntry {
            kind: db::outbox::Kind::Mail,
            topic: "nothing",
            account_id: None,
            challenge_id: Some(challenge),
            sealed: None,
            expires_at: work.now(),
        },
    )
}

/// Puts an event into the outbox, for webhooks to carry.
pub fn post_event(work: &mut Work<'_>, topic: &'static str, account: AccountId, data: &Value) -> Result<()> {
    let sealed = work.keyring().seal(EVENT, data.to_string().as_bytes())?;
    let expires_at = work.now() + limits::EVENT_LIFE;
    db::outbox::insert(
        work,
        &db::outbox::NewEntry {
            kind: db::outbox::Kind::Event,
            topic,
            account_id: Some(account),
            challenge_id: None,
            sealed: Some(sealed),
            expires_at,
        },
    )
}

/// Whether there is mail to be taken.
pub fn is_mail_due(work: &mut Work<'_>) -> Result<bool> {
    let now = work.now();
    Ok(db::outbox::next_due(work)?.is_some_and(|due| due <= now))
}

/// Takes the next mail that is due, for a minute. Mail that has outlived its use is let go.
pub fn lease_mail(work: &mut Work<'_>) -> Result<Option<Leased>> {
    db::outbox::expire(work, db::outbox::Kind::Mail)?;
    let until = work.now() + LEASE;
    let Some(entry) = db::outbox::lease(work, until)? else { return Ok(None) };
    let plain = work.keyring().open(MAIL, &entry.sealed)?;
    let mail = serde_json::from_slice(&plain)?;
    Ok(Some(Leased { id: entry.id, mail, attempts: entry.attempts, expires_at: entry.expires_at }))
}

/// Whether a leased mail is still of use: not once its secret was replaced by a newer one that went out before.
pub fn is_wanted(work: &mut Work<'_>, id: OutboxId) -> Result<bool> {
    db::outbox::is_wanted(work, id)
}

/// The mail is of no use any more.
pub fn mail_dropped(work: &mut Work<'_>, id: OutboxId) -> Result<()> {
    db::outbox::finish(work, id, db::outbox::State::Expired, None).map(drop)
}

/// The mail is out: it is forgotten, and if it carried a secret, older ones of its kind are void now.
pub fn mail_sent(work: &mut Work<'_>, id: OutboxId) -> Result<()> {
    let Some(challenge) = db::outbox::finish(work, id, db::outbox::State::Done, None)? else { return Ok(()) };
    db::challenges::void_older(work, challenge)
}

/// The mail could not be sent; it is tried again unless that is of no use.
pub fn mail_failed(work: &mut Work<'_>, leased_attempts: i64, id: OutboxId, why: &str, permanent: bool) -> Result<()> {
    if permanent {
        db::outbox::finish(work, id, db::outbox::State::Expired, Some(why)).map(drop)
    } else {
        let due = work.now() + backoff(leased_attempts);
        db::outbox::postpone(work, id, due, why)
    }
}

/// 5 s, 10 s, 20 s … at most 15 minutes.
fn backoff(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.clamp(0, 8)).unwrap_or(8);
    Duration::from_secs((5_u64 << doublings).min(900))
}
