//! Queries on `sessions`. The two on the hottest roads are one statement each.

use diesel::prelude::*;

use super::accounts;
use super::dialect::RotateSession;
use super::lock::Lock;
use super::schema::{accounts as a, identities, sessions};
use super::work::Work;
use crate::account::Account;
use crate::clock::Timestamp;
use crate::device::{Device, network_of};
use crate::error::Result;
use crate::id::{AccountId, DeviceId, IdentityId, SessionId};
use crate::page::Paging;
use crate::profile::Kept;
use crate::secret::RefreshToken;
use crate::session::{EndReason, Session};
use crate::settings::{Method, Settings};

type Columns = (
    sessions::id,
    sessions::account_id,
    sessions::epoch,
    sessions::method,
    sessions::device_id,
    sessions::device_knows,
    sessions::counter,
    sessions::created_at,
    sessions::authenticated_at,
    sessions::rotated_at,
    sessions::ended_at,
);
const COLUMNS: Columns = (
    sessions::id,
    sessions::account_id,
    sessions::epoch,
    sessions::method,
    sessions::device_id,
    sessions::device_knows,
    sessions::counter,
    sessions::created_at,
    sessions::authenticated_at,
    sessions::rotated_at,
    sessions::ended_at,
);

#[derive(Queryable)]
struct Row {
    id: SessionId,
    account_id: AccountId,
    epoch: i64,
    method: Method,
    device_id: DeviceId,
    device_knows: bool,
    counter: i64,
    created_at: Timestamp,
    authenticated_at: Timestamp,
    rotated_at: Timestamp,
    ended_at: Option<Timestamp>,
}

impl From<Row> for Session {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            account_id: row.account_id,
            epoch: row.epoch,
            method: row.method,
            device_id: row.device_id,
            device_knows: row.device_knows,
            counter: row.counter,
            created_at: row.created_at,
            authenticated_at: row.authenticated_at,
            rotated_at: row.rotated_at,
            ended_at: row.ended_at,
        }
    }
}

/// A session, its account and that account's primary address, in one query.
pub fn find_with_account(work: &mut Work<'_>, id: SessionId) -> Result<Option<(Session, Account)>> {
    let found = sessions::table
        .inner_join(a::table.on(a::id.eq(sessions::account_id)))
        .left_join(identities::table.on(identities::account_id.eq(a::id).and(identities::is_primary.eq(true))))
        .filter(sessions::id.eq(id))
        .select((COLUMNS, accounts::COLUMNS, identities::subject.nullable()))
        .get_result::<(Row, accounts::Row, Option<String>)>(work.conn)
        .optional()?;
    Ok(found.map(|(session, account, email)| (session.into(), account.with_email(email))))
}

/// [`find_with_account`] with all that is kept of the profile.
pub fn find_with_profile(work: &mut Work<'_>, id: SessionId) -> Result<Option<(Session, Kept)>> {
    let found = sessions::table
        .inner_join(a::table.on(a::id.eq(sessions::account_id)))
        .left_join(identities::table.on(identities::account_id.eq(a::id).and(identities::is_primary.eq(true))))
        .filter(sessions::id.eq(id))
        .select((COLUMNS, accounts::kept_columns()))
        .get_result::<(Row, accounts::KeptRow)>(work.conn)
        .optional()?;
    found.map(|(session, kept)| Ok((session.into(), kept.read()?))).transpose()
}

/// Rotates a session's refresh token if everything about it is as it should be, the settings' version included;
/// changes nothing otherwise.
pub fn rotate(work: &mut Work<'_>, token: RefreshToken, settings: &Settings) -> Result<Option<(Session, Account)>> {
    let now = work.now();
    let rotate = RotateSession {
        id: token.session,
        counter: token.counter,
        now,
        idle_since: now - settings.session_idle(),
        created_since: now - settings.session_absolute(),
        settings_version: settings.version,
    };
    if !rotate.run(work)? {
        return Ok(None);
    }
    // PostgreSQL may let another unit in between: what it made of the session is not for who has shown this token
    let next = token.counter.checked_add(1);
    Ok(find_with_account(work, token.session)?.filter(|(session, _)| Some(session.counter) == next))
}

pub fn insert(work: &mut Work<'_>, session: &Session, identity: Option<IdentityId>) -> Result<()> {
    work.must_hold(Lock::Account(session.account_id))?;
    let origin = work.origin();
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(session.id),
            sessions::account_id.eq(session.account_id),
            sessions::epoch.eq(session.epoch),
            sessions::method.eq(&session.method),
            sessions::identity_id.eq(identity),
            sessions::device_id.eq(session.device_id),
            sessions::device_knows.eq(session.device_knows),
            sessions::counter.eq(session.counter),
            sessions::created_at.eq(session.created_at),
            sessions::authenticated_at.eq(session.authenticated_at),
            sessions::rotated_at.eq(session.rotated_at),
            sessions::device.eq(Device::of(origin.user_agent.as_deref()).name()),
            sessions::network.eq(origin.address.map(network_of)),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// Stores a rotation that [`crate::session::turn`] allowed.
pub fn store_rotation(work: &mut Work<'_>, session: &Session) -> Result<()> {
    work.must_hold(Lock::Account(session.account_id))?;
    diesel::update(sessions::table.filter(sessions::id.eq(session.id)))
        .set((sessions::counter.eq(session.counter), sessions::rotated_at.eq(session.rotated_at)))
        .execute(work.conn)?;
    Ok(())
}

/// Takes a live session into a new epoch, as it is to be then; gives its new counter. It is counted in the database, for
/// a refresh holds no account, and by two, so that no token of before is the predecessor of a new one.
pub fn carry_over(work: &mut Work<'_>, session: &Session) -> Result<Option<i64>> {
    work.must_hold(Lock::Account(session.account_id))?;
    let counter = diesel::update(sessions::table.filter(sessions::id.eq(session.id).and(sessions::ended_at.is_null())))
        .set((
            sessions::epoch.eq(session.epoch),
            sessions::counter.eq(sessions::counter + 2),
            sessions::authenticated_at.eq(session.authenticated_at),
            sessions::rotated_at.eq(session.rotated_at),
        ))
        .returning(sessions::counter)
        .get_result::<i64>(work.conn)
        .optional()?;
    Ok(counter)
}

/// Stores that presence was proven anew; gives the counter of the next refresh token. It is counted in the database, and by
/// two, as in [`carry_over`]: whoever has copied a token of before gets no fresh one for it.
pub fn freshen(work: &mut Work<'_>, session: &Session) -> Result<Option<i64>> {
    work.must_hold(Lock::Account(session.account_id))?;
    let now = work.now();
    let counter = diesel::update(sessions::table.filter(sessions::id.eq(session.id).and(sessions::ended_at.is_null())))
        .set((
            sessions::authenticated_at.eq(now),
            sessions::counter.eq(sessions::counter + 2),
            sessions::rotated_at.eq(now),
        ))
        .returning(sessions::counter)
        .get_result::<i64>(work.conn)
        .optional()?;
    Ok(counter)
}

/// Ends a live session.
pub fn end(work: &mut Work<'_>, session: &Session, reason: EndReason) -> Result<()> {
    work.must_hold(Lock::Account(session.account_id))?;
    let now = work.now();
    diesel::update(sessions::table.filter(sessions::id.eq(session.id).and(sessions::ended_at.is_null())))
        .set((sessions::ended_at.eq(now), sessions::end_reason.eq(reason.as_str())))
        .execute(work.conn)?;
    Ok(())
}

/// Deletes sessions that began before an instant, at most so many rows. A `UUIDv7` begins with its instant.
pub fn delete_before(work: &mut Work<'_>, before: Timestamp, at_most: i64) -> Result<usize> {
    let first = SessionId::earliest(before);
    let old = diesel::alias!(sessions as old);
    let ids = old.filter(old.field(sessions::id).lt(first)).select(old.field(sessions::id)).limit(at_most);
    Ok(diesel::delete(sessions::table.filter(sessions::id.eq_any(ids))).execute(work.conn)?)
}

/// Ends every live session that an identity has opened; gives how many there were.
pub fn end_of_identity(
    work: &mut Work<'_>,
    account: AccountId,
    identity: IdentityId,
    reason: EndReason,
) -> Result<usize> {
    work.must_hold(Lock::Account(account))?;
    let now = work.now();
    let live = sessions::account_id.eq(account).and(sessions::ended_at.is_null());
    Ok(diesel::update(sessions::table.filter(live.and(sessions::identity_id.eq(identity).assume_not_null())))
        .set((sessions::ended_at.eq(now), sessions::end_reason.eq(reason.as_str())))
        .execute(work.conn)?)
}

/// How many live sessions an account has.
pub fn count_live(work: &mut Work<'_>, account: AccountId) -> Result<usize> {
    let live = sessions::account_id.eq(account).and(sessions::ended_at.is_null());
    let count = sessions::table.filter(live).count().get_result::<i64>(work.conn)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// The identity that a session was opened with.
pub fn identity_of(work: &mut Work<'_>, id: SessionId) -> Result<Option<IdentityId>> {
    let found = sessions::table.filter(sessions::id.eq(id)).select(sessions::identity_id);
    Ok(found.get_result::<Option<IdentityId>>(work.conn).optional()?.flatten())
}

/// A session with what is known of its device and network.
pub type Seen = (Session, Option<String>, Option<String>);

/// Live sessions of an account with what is known of each one's device and network, the newest first. `since`: when they
/// must have been used, and begun, to be good still.
pub fn list_live(
    work: &mut Work<'_>,
    account: &Account,
    since: (Timestamp, Timestamp),
    ask: Paging,
) -> Result<Vec<Seen>> {
    let mut query = sessions::table
        .filter(sessions::account_id.eq(account.id).and(sessions::ended_at.is_null()))
        .filter(sessions::epoch.eq(account.security_epoch))
        .filter(sessions::rotated_at.gt(since.0).and(sessions::created_at.gt(since.1)))
        .order(sessions::id.desc())
        .select((COLUMNS, sessions::device, sessions::network))
        .limit(ask.rows())
        .into_boxed();
    if let Some(cursor) = ask.after {
        query = query.filter(sessions::id.lt(SessionId(cursor.id)));
    }
    let rows = query.load::<(Row, Option<String>, Option<String>)>(work.conn)?;
    Ok(rows.into_iter().map(|(row, device, network)| (row.into(), device, network)).collect())
}

/// Sessions of an account that are not among [`list_live`], the newest first.
pub fn list_past(
    work: &mut Work<'_>,
    account: &Account,
    since: (Timestamp, Timestamp),
    ask: Paging,
) -> Result<Vec<Seen>> {
    let over = sessions::ended_at
        .is_not_null()
        .or(sessions::epoch.ne(account.security_epoch))
        .or(sessions::rotated_at.le(since.0))
        .or(sessions::created_at.le(since.1));
    let mut query = sessions::table
        .filter(sessions::account_id.eq(account.id).and(over))
        .order(sessions::id.desc())
        .select((COLUMNS, sessions::device, sessions::network))
        .limit(ask.rows())
        .into_boxed();
    if let Some(cursor) = ask.after {
        query = query.filter(sessions::id.lt(SessionId(cursor.id)));
    }
    let rows = query.load::<(Row, Option<String>, Option<String>)>(work.conn)?;
    Ok(rows.into_iter().map(|(row, device, network)| (row.into(), device, network)).collect())
}

/// A live session of an account: see [`list_live`].
pub fn find_live(
    work: &mut Work<'_>,
    account: &Account,
    since: (Timestamp, Timestamp),
    id: SessionId,
) -> Result<Option<Session>> {
    let found = sessions::table
        .filter(sessions::id.eq(id).and(sessions::account_id.eq(account.id)).and(sessions::ended_at.is_null()))
        .filter(sessions::epoch.eq(account.security_epoch))
        .filter(sessions::rotated_at.gt(since.0).and(sessions::created_at.gt(since.1)))
        .select(COLUMNS)
        .get_result::<Row>(work.conn)
        .optional()?;
    Ok(found.map(Session::from))
}

/// Every session of the same account that has not ended, but this one.
pub fn list_others(work: &mut Work<'_>, session: &Session) -> Result<Vec<Session>> {
    let rows = sessions::table
        .filter(sessions::account_id.eq(session.account_id).and(sessions::ended_at.is_null()))
        .filter(sessions::id.ne(session.id))
        .order(sessions::id)
        .select(COLUMNS)
        .load::<Row>(work.conn)?;
    Ok(rows.into_iter().map(Session::from).collect())
}

/// Ends every live session of an account but this one; gives how many there were.
pub fn end_others(work: &mut Work<'_>, session: &Session, reason: EndReason) -> Result<usize> {
    work.must_hold(Lock::Account(session.account_id))?;
    let now = work.now();
    let live = sessions::account_id.eq(session.account_id).and(sessions::ended_at.is_null());
    Ok(diesel::update(sessions::table.filter(live.and(sessions::id.ne(session.id))))
        .set((sessions::ended_at.eq(now), sessions::end_reason.eq(reason.as_str())))
        .execute(work.conn)?)
}

/// Ends every live session of an account; gives how many there were.
pub fn end_all(work: &mut Work<'_>, account: AccountId, reason: EndReason) -> Result<usize> {
    work.must_hold(Lock::Account(account))?;
    let now = work.now();
    let live = sessions::account_id.eq(account).and(sessions::ended_at.is_null());
    Ok(diesel::update(sessions::table.filter(live))
        .set((sessions::ended_at.eq(now), sessions::end_reason.eq(reason.as_str())))
        .execute(work.conn)?)
}

/// Deletes every session that an account has, or had.
pub fn delete_all(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    diesel::delete(sessions::table.filter(sessions::account_id.eq(account))).execute(work.conn)?;
    Ok(())
}
