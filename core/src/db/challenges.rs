//! Queries on `challenges`.

use diesel::prelude::*;

use super::dialect::Spelled;
use super::lock::Lock;
use super::schema::challenges;
use super::types::Json;
use super::work::Work;
use crate::challenge::{Challenge, ChallengeDetail, ChallengePurpose, ChallengeState};
use crate::clock::Timestamp;
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::id::{AccountId, ChallengeId, FlowId, SessionId};
use crate::identity::IdentityKey;

/// Live, as the indexes over live challenges want it said.
const LIVE: Spelled = Spelled(ChallengeState::Live.as_str());
/// Of a challenge that no secret is good for any more: no code has this MAC.
pub(super) const NO_CODE: [u8; 32] = [0; 32];

type Columns = (
    challenges::id,
    challenges::purpose,
    challenges::address,
    challenges::state,
    challenges::account_id,
    challenges::session_id,
    challenges::flow_id,
    challenges::epoch,
    challenges::code_mac,
    challenges::code_tries,
    challenges::code_expires_at,
    challenges::expires_at,
    challenges::detail,
);
const COLUMNS: Columns = (
    challenges::id,
    challenges::purpose,
    challenges::address,
    challenges::state,
    challenges::account_id,
    challenges::session_id,
    challenges::flow_id,
    challenges::epoch,
    challenges::code_mac,
    challenges::code_tries,
    challenges::code_expires_at,
    challenges::expires_at,
    challenges::detail,
);

#[derive(Queryable)]
struct Row {
    id: ChallengeId,
    purpose: ChallengePurpose,
    address: String,
    state: ChallengeState,
    account_id: Option<AccountId>,
    session_id: Option<SessionId>,
    flow_id: Option<FlowId>,
    epoch: Option<i64>,
    code_mac: Vec<u8>,
    code_tries: i64,
    code_expires_at: Timestamp,
    expires_at: Timestamp,
    detail: Json,
}

impl TryFrom<Row> for Challenge {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id,
            purpose: row.purpose,
            address: EmailAddress::stored(&row.address)?,
            state: row.state,
            account_id: row.account_id,
            session: row.session_id,
            flow: row.flow_id,
            epoch: row.epoch,
            code_mac: row.code_mac,
            code_tries: row.code_tries,
            code_expires_at: row.code_expires_at,
            expires_at: row.expires_at,
            detail: row.detail.read()?,
        })
    }
}

pub struct NewChallenge<'a> {
    pub id: ChallengeId,
    pub purpose: ChallengePurpose,
    pub address: &'a EmailAddress,
    pub account: Option<(AccountId, i64)>,
    pub session: Option<SessionId>,
    pub flow: Option<FlowId>,
    pub token_hash: Option<[u8; 32]>,
    pub code_mac: [u8; 32],
    pub code_expires_at: Timestamp,
    pub expires_at: Timestamp,
    pub detail: &'a ChallengeDetail,
}

pub fn insert(work: &mut Work<'_>, new: &NewChallenge<'_>) -> Result<()> {
    work.must_hold(Lock::Identity(&IdentityKey::email(new.address)))?;
    let now = work.now();
    diesel::insert_into(challenges::table)
        .values((
            challenges::id.eq(new.id),
            challenges::purpose.eq(new.purpose),
            challenges::address.eq(new.address.as_str()),
            challenges::state.eq(ChallengeState::Live),
            challenges::account_id.eq(new.account.map(|(id, _)| id)),
            challenges::epoch.eq(new.account.map(|(_, epoch)| epoch)),
            challenges::token_hash.eq(new.token_hash.as_ref().map(<[u8; 32]>::as_slice)),
            challenges::session_id.eq(new.session),
            challenges::flow_id.eq(new.flow),
            challenges::code_mac.eq(new.code_mac.as_slice()),
            challenges::code_tries.eq(0_i64),
            challenges::code_expires_at.eq(new.code_expires_at),
            challenges::expires_at.eq(new.expires_at),
            challenges::detail.eq(Json::of(new.detail)?),
            challenges::created_at.eq(now),
        ))
        .execute(work.conn)?;
    Ok(())
}

pub fn find_by_token(work: &mut Work<'_>, hash: &[u8; 32]) -> Result<Option<Challenge>> {
    let found = challenges::table
        .filter(challenges::token_hash.eq(hash.as_slice()))
        .select(COLUMNS)
        .get_result::<Row>(work.conn)
        .optional()?;
    found.map(Challenge::try_from).transpose()
}

pub fn get(work: &mut Work<'_>, id: ChallengeId) -> Result<Challenge> {
    let found =
        challenges::table.filter(challenges::id.eq(id)).select(COLUMNS).get_result::<Row>(work.conn).optional()?;
    found.ok_or_else(|| Error::Broken(format!("challenge {id} is gone")))?.try_into()
}

/// The live challenges of an address, the youngest first.
pub fn list_live(work: &mut Work<'_>, address: &EmailAddress) -> Result<Vec<Challenge>> {
    let rows = challenges::table
        .filter(challenges::address.eq(address.as_str()).and(challenges::state.eq(LIVE)))
        .order(challenges::id.desc())
        .select(COLUMNS)
        .load::<Row>(work.conn)?;
    rows.into_iter().map(Challenge::try_from).collect()
}

/// The live challenges whose codes are good with a flow's continuation.
pub fn list_live_of_flow(work: &mut Work<'_>, flow: FlowId) -> Result<Vec<Challenge>> {
    let rows = challenges::table
        .filter(challenges::flow_id.eq(flow).and(challenges::state.eq(LIVE)))
        .order(challenges::id.desc())
        .select(COLUMNS)
        .load::<Row>(work.conn)?;
    rows.into_iter().map(Challenge::try_from).collect()
}

/// The live challenges of an account for a purpose, the oldest first.
pub fn list_live_of_account(
    work: &mut Work<'_>,
    account: AccountId,
    purpose: ChallengePurpose,
) -> Result<Vec<Challenge>> {
    let now = work.now();
    let live = challenges::account_id.eq(account).and(challenges::state.eq(LIVE));
    let rows = challenges::table
        .filter(live.and(challenges::purpose.eq(purpose)).and(challenges::expires_at.gt(now)))
        .order(challenges::id)
        .select(COLUMNS)
        .load::<Row>(work.conn)?;
    rows.into_iter().map(Challenge::try_from).collect()
}

pub fn count_try(work: &mut Work<'_>, address: &EmailAddress, id: ChallengeId) -> Result<()> {
    work.must_hold(Lock::Identity(&IdentityKey::email(address)))?;
    diesel::update(challenges::table.filter(challenges::id.eq(id)))
        .set(challenges::code_tries.eq(challenges::code_tries + 1))
        .execute(work.conn)?;
    Ok(())
}

/// Spends a live challenge; `false` where somebody was faster or it is too old.
pub fn spend(work: &mut Work<'_>, id: ChallengeId) -> Result<bool> {
    let now = work.now();
    let live = challenges::id.eq(id).and(challenges::state.eq(LIVE)).and(challenges::expires_at.gt(now));
    let spent = diesel::update(challenges::table.filter(live))
        .set((challenges::state.eq(ChallengeState::Spent), challenges::ended_at.eq(now)))
        .execute(work.conn)?;
    Ok(spent == 1)
}

/// Voids one challenge, if it is live.
pub fn void(work: &mut Work<'_>, id: ChallengeId) -> Result<()> {
    let now = work.now();
    diesel::update(challenges::table.filter(challenges::id.eq(id).and(challenges::state.eq(LIVE))))
        .set((challenges::state.eq(ChallengeState::Void), challenges::ended_at.eq(now)))
        .execute(work.conn)?;
    Ok(())
}

/// Voids every live challenge of an account but the undo, which outlives a purge (rule 13).
pub fn void_of_account(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    let now = work.now();
    let theirs = challenges::account_id.eq(account).and(challenges::state.eq(LIVE));
    let theirs = theirs.and(challenges::purpose.ne(ChallengePurpose::EmailUndo));
    diesel::update(challenges::table.filter(theirs))
        .set((challenges::state.eq(ChallengeState::Void), challenges::ended_at.eq(now)))
        .execute(work.conn)?;
    Ok(())
}

/// Voids what an account's owner has asked for to one purpose.
pub fn void_of_purpose(work: &mut Work<'_>, account: AccountId, purpose: ChallengePurpose) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    let now = work.now();
    let theirs = challenges::account_id.eq(account).and(challenges::state.eq(LIVE));
    diesel::update(challenges::table.filter(theirs.and(challenges::purpose.eq(purpose))))
        .set((challenges::state.eq(ChallengeState::Void), challenges::ended_at.eq(now)))
        .execute(work.conn)?;
    Ok(())
}

/// Voids every live challenge of an address but the undo. Whoever has asked to add it goes on to see that they have, as they
/// would if there had never been anything to void (I7): their secret is good for nothing any more.
pub fn void_of_address(work: &mut Work<'_>, address: &EmailAddress) -> Result<()> {
    let now = work.now();
    let theirs = || challenges::address.eq(address.as_str()).and(challenges::state.eq(LIVE));
    let kept = [ChallengePurpose::EmailUndo, ChallengePurpose::AddEmail];
    diesel::update(challenges::table.filter(theirs().and(challenges::purpose.ne_all(kept))))
        .set((challenges::state.eq(ChallengeState::Void), challenges::ended_at.eq(now)))
        .execute(work.conn)?;
    diesel::update(challenges::table.filter(theirs().and(challenges::purpose.eq(ChallengePurpose::AddEmail))))
        .set((challenges::token_hash.eq(None::<&[u8]>), challenges::code_mac.eq(NO_CODE.as_slice())))
        .execute(work.conn)?;
    Ok(())
}

/// Voids what was mailed before for the same address and purpose, now that the newer one is on its way; of a flow or
/// a session, what was mailed for that one, so that nobody voids another's.
pub fn void_older(work: &mut Work<'_>, than: ChallengeId) -> Result<()> {
    let newer = get(work, than)?;
    let now = work.now();
    let older = challenges::state.eq(LIVE).and(challenges::id.lt(than)).and(challenges::purpose.eq(newer.purpose));
    // whether a newer one went to another address must not be seen by the fate of this one (I7)
    let older = challenges::table.filter(older.and(challenges::address.eq(newer.address.as_str())));
    let void = (challenges::state.eq(ChallengeState::Void), challenges::ended_at.eq(now));
    match (newer.flow, newer.session) {
        (Some(flow), _) => diesel::update(older.filter(challenges::flow_id.eq(flow))).set(void).execute(work.conn)?,
        (None, Some(session)) => {
            diesel::update(older.filter(challenges::session_id.eq(session))).set(void).execute(work.conn)?
        }
        (None, None) => diesel::update(older).set(void).execute(work.conn)?,
    };
    Ok(())
}

/// Deletes what ended or ran out before an instant, at most so many rows.
pub fn delete_before(work: &mut Work<'_>, before: Timestamp, at_most: i64) -> Result<usize> {
    let old = diesel::alias!(challenges as old);
    let ids = old.filter(old.field(challenges::expires_at).lt(before)).select(old.field(challenges::id)).limit(at_most);
    Ok(diesel::delete(challenges::table.filter(challenges::id.eq_any(ids))).execute(work.conn)?)
}

/// Deletes all that were ever made for an account. Nothing in the outbox names them any more.
pub fn delete_all(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    diesel::delete(challenges::table.filter(challenges::account_id.eq(account))).execute(work.conn)?;
    Ok(())
}

/// Forgets what was mailed to an address while it was nobody's: the address is no longer in it.
pub fn delete_unbound(work: &mut Work<'_>, address: &EmailAddress) -> Result<()> {
    work.must_hold(Lock::Identity(&IdentityKey::email(address)))?;
    let unbound = challenges::address.eq(address.as_str()).and(challenges::account_id.is_null());
    let ids = challenges::table.filter(unbound).select(challenges::id).load::<ChallengeId>(work.conn)?;
    if ids.is_empty() {
        return Ok(());
    }
    super::outbox::delete_mail_with(work, &ids)?;
    diesel::delete(challenges::table.filter(challenges::id.eq_any(&ids))).execute(work.conn)?;
    Ok(())
}
