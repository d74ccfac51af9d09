//! Queries on `social_flows`. A flow goes from state to state by one conditional statement, so that of all who try
//! exactly one takes it along.

use diesel::prelude::*;

use super::lock::Lock;
use super::schema::{sessions, social_flows};
use super::work::Work;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::{AccountId, FlowId, SessionId};
use crate::social_flow::{Flow, FlowPurpose, FlowState};

type Columns = (
    social_flows::id,
    social_flows::provider,
    social_flows::purpose,
    social_flows::state,
    social_flows::session_id,
    social_flows::account_id,
    social_flows::epoch,
    social_flows::redirect_uri,
    social_flows::app_challenge,
    social_flows::sealed,
    social_flows::code_expires_at,
    social_flows::expires_at,
    social_flows::ended_at,
);
const COLUMNS: Columns = (
    social_flows::id,
    social_flows::provider,
    social_flows::purpose,
    social_flows::state,
    social_flows::session_id,
    social_flows::account_id,
    social_flows::epoch,
    social_flows::redirect_uri,
    social_flows::app_challenge,
    social_flows::sealed,
    social_flows::code_expires_at,
    social_flows::expires_at,
    social_flows::ended_at,
);

#[derive(Queryable)]
struct Row {
    id: FlowId,
    provider: String,
    purpose: FlowPurpose,
    state: FlowState,
    session_id: Option<SessionId>,
    account_id: Option<AccountId>,
    epoch: Option<i64>,
    redirect_uri: Option<String>,
    app_challenge: Option<String>,
    sealed: Option<Vec<u8>>,
    code_expires_at: Option<Timestamp>,
    expires_at: Timestamp,
    ended_at: Option<Timestamp>,
}

impl TryFrom<Row> for Flow {
    type Error = crate::error::Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id,
            provider: row.provider.parse().map_err(crate::error::Error::Broken)?,
            purpose: row.purpose,
            state: row.state,
            session_id: row.session_id,
            account: row.account_id.zip(row.epoch),
            app: row.redirect_uri.zip(row.app_challenge),
            sealed: row.sealed,
            code_expires_at: row.code_expires_at,
            expires_at: row.expires_at,
            ended_at: row.ended_at,
        })
    }
}

pub fn insert(work: &mut Work<'_>, new: &Flow) -> Result<()> {
    let now = work.now();
    diesel::insert_into(social_flows::table)
        .values((
            social_flows::id.eq(new.id),
            social_flows::provider.eq(new.provider.as_str()),
            social_flows::purpose.eq(new.purpose),
            social_flows::state.eq(new.state),
            social_flows::session_id.eq(new.session_id),
            social_flows::account_id.eq(new.account.map(|(id, _)| id)),
            social_flows::epoch.eq(new.account.map(|(_, epoch)| epoch)),
            social_flows::redirect_uri.eq(new.app.as_ref().map(|(uri, _)| uri)),
            social_flows::app_challenge.eq(new.app.as_ref().map(|(_, challenge)| challenge)),
            social_flows::expires_at.eq(new.expires_at),
            social_flows::created_at.eq(now),
        ))
        .execute(work.conn)?;
    Ok(())
}

pub fn find(work: &mut Work<'_>, id: FlowId) -> Result<Option<Flow>> {
    let found =
        social_flows::table.filter(social_flows::id.eq(id)).select(COLUMNS).get_result::<Row>(work.conn).optional()?;
    found.map(Flow::try_from).transpose()
}

/// The browser came back: what the provider gave is kept until the code for it runs out.
pub fn mark_returned(work: &mut Work<'_>, id: FlowId, sealed: &[u8], code_expires_at: Timestamp) -> Result<bool> {
    let flow = social_flows::id.eq(id).and(social_flows::state.eq(FlowState::Started));
    let moved = diesel::update(social_flows::table.filter(flow))
        .set((
            social_flows::state.eq(FlowState::Returned),
            social_flows::sealed.eq(sealed),
            social_flows::code_expires_at.eq(code_expires_at),
        ))
        .execute(work.conn)?;
    Ok(moved == 1)
}

/// The app has shown what it got; nobody else can any more, and what the provider gave is forgotten here.
pub fn mark_presented(work: &mut Work<'_>, id: FlowId, from: FlowState) -> Result<bool> {
    let flow = social_flows::id.eq(id).and(social_flows::state.eq(from));
    let moved = diesel::update(social_flows::table.filter(flow))
        .set((social_flows::state.eq(FlowState::Presented), social_flows::sealed.eq(None::<Vec<u8>>)))
        .execute(work.conn)?;
    Ok(moved == 1)
}

/// An address is to be proven: who arrived is kept until then.
pub fn mark_email_required(work: &mut Work<'_>, id: FlowId, sealed: &[u8], expires_at: Timestamp) -> Result<bool> {
    let flow = social_flows::id.eq(id).and(social_flows::state.eq(FlowState::Presented));
    let moved = diesel::update(social_flows::table.filter(flow))
        .set((
            social_flows::state.eq(FlowState::EmailRequired),
            social_flows::sealed.eq(sealed),
            social_flows::expires_at.eq(expires_at),
        ))
        .execute(work.conn)?;
    Ok(moved == 1)
}

/// The flow is over; `session` is the one it opened.
pub fn end(
    work: &mut Work<'_>,
    id: FlowId,
    from: FlowState,
    to: FlowState,
    session: Option<SessionId>,
) -> Result<bool> {
    let now = work.now();
    let flow = social_flows::id.eq(id).and(social_flows::state.eq(from));
    let opened = session.map(|session| social_flows::session_id.eq(session));
    let moved = diesel::update(social_flows::table.filter(flow))
        .set((
            social_flows::state.eq(to),
            social_flows::sealed.eq(None::<Vec<u8>>),
            social_flows::ended_at.eq(now),
            opened,
        ))
        .execute(work.conn)?;
    Ok(moved == 1)
}

/// Voids every open flow of an account.
pub fn void_all(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    let now = work.now();
    let open = social_flows::account_id.eq(account).and(social_flows::ended_at.is_null());
    diesel::update(social_flows::table.filter(open))
        .set((
            social_flows::state.eq(FlowState::Void),
            social_flows::sealed.eq(None::<Vec<u8>>),
            social_flows::ended_at.eq(now),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// Deletes what ran out before an instant, at most so many rows.
pub fn delete_before(work: &mut Work<'_>, before: Timestamp, at_most: i64) -> Result<usize> {
    let old = diesel::alias!(social_flows as old);
    let ids =
        old.filter(old.field(social_flows::expires_at).lt(before)).select(old.field(social_flows::id)).limit(at_most);
    Ok(diesel::delete(social_flows::table.filter(social_flows::id.eq_any(ids))).execute(work.conn)?)
}

/// Deletes every flow of an account, and of its sessions.
pub fn delete_all(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    let theirs = sessions::table.filter(sessions::account_id.eq(account)).select(sessions::id.nullable());
    diesel::delete(social_flows::table.filter(social_flows::account_id.eq(account))).execute(work.conn)?;
    diesel::delete(social_flows::table.filter(social_flows::session_id.eq_any(theirs))).execute(work.conn)?;
    Ok(())
}
