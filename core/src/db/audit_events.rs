//! Queries on `audit_events`.

use diesel::prelude::*;
use serde_json::Value;

use super::lock::Lock;
use super::schema::audit_events;
use super::types::Json;
use super::work::Work;
use crate::activity::Recorded;
use crate::audit::{Action, Actor, ActorKind, Filter};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::{AccountId, AuditEventId, RowId};
use crate::page::Paging;

pub fn insert(
    work: &mut Work<'_>,
    action: Action,
    actor: Actor,
    account: Option<AccountId>,
    detail: &Value,
) -> Result<()> {
    let (id, now, origin) = (work.new_id::<AuditEventId>(), work.now(), work.origin());
    let (kind, actor_id) = actor.parts();
    diesel::insert_into(audit_events::table)
        .values((
            audit_events::id.eq(id),
            audit_events::action.eq(action),
            audit_events::actor.eq(kind),
            audit_events::actor_id.eq(actor_id.map(RowId)),
            audit_events::account_id.eq(account),
            audit_events::request_id.eq(origin.request_id.as_deref()),
            audit_events::address.eq(origin.address.map(|address| address.to_string())),
            audit_events::detail.eq(Json(detail.clone())),
            audit_events::created_at.eq(now),
        ))
        .execute(work.conn)?;
    Ok(())
}

type Columns = (
    audit_events::id,
    audit_events::created_at,
    audit_events::action,
    audit_events::actor,
    audit_events::actor_id,
    audit_events::account_id,
    audit_events::request_id,
    audit_events::address,
    audit_events::detail,
);
const COLUMNS: Columns = (
    audit_events::id,
    audit_events::created_at,
    audit_events::action,
    audit_events::actor,
    audit_events::actor_id,
    audit_events::account_id,
    audit_events::request_id,
    audit_events::address,
    audit_events::detail,
);

#[derive(Queryable)]
struct Row {
    id: AuditEventId,
    at: Timestamp,
    action: Action,
    actor: ActorKind,
    actor_id: Option<RowId>,
    account: Option<AccountId>,
    request_id: Option<String>,
    address: Option<String>,
    detail: Json,
}

impl From<Row> for Recorded {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            at: row.at,
            action: row.action,
            actor: row.actor,
            actor_id: row.actor_id.map(|id| id.0),
            account: row.account,
            request_id: row.request_id,
            address: row.address,
            detail: row.detail.0,
        }
    }
}

/// What was done, the latest first. Ids are in the order of time (UUIDv7).
pub fn list(work: &mut Work<'_>, filter: Filter, ask: Paging) -> Result<Vec<Recorded>> {
    let mut query = audit_events::table.order(audit_events::id.desc()).select(COLUMNS).limit(ask.rows()).into_boxed();
    if let Some(cursor) = ask.after {
        query = query.filter(audit_events::id.lt(AuditEventId(cursor.id)));
    }
    if let Some(account) = filter.account {
        query = query.filter(audit_events::account_id.eq(account));
    }
    if let Some(action) = filter.action {
        query = query.filter(audit_events::action.eq(action));
    }
    if let Some(actor) = filter.actor {
        query = query.filter(audit_events::actor_id.eq(RowId(actor)));
    }
    if let Some(since) = filter.since {
        query = query.filter(audit_events::created_at.ge(since));
    }
    if let Some(until) = filter.until {
        query = query.filter(audit_events::created_at.lt(until));
    }
    Ok(query.load::<Row>(work.conn)?.into_iter().map(Recorded::from).collect())
}

/// Events of an account since then, of these kinds, the latest first.
pub fn list_of_account(
    work: &mut Work<'_>,
    account: AccountId,
    actions: &[Action],
    since: Timestamp,
    ask: Paging,
) -> Result<Vec<Recorded>> {
    let mut query = audit_events::table
        .filter(audit_events::account_id.eq(account).and(audit_events::created_at.ge(since)))
        .filter(audit_events::action.eq_any(actions))
        .order(audit_events::id.desc())
        .select(COLUMNS)
        .limit(ask.rows())
        .into_boxed();
    if let Some(cursor) = ask.after {
        query = query.filter(audit_events::id.lt(AuditEventId(cursor.id)));
    }
    Ok(query.load::<Row>(work.conn)?.into_iter().map(Recorded::from).collect())
}

/// Nothing is left of where an account's owner was, and on what device.
pub fn forget(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    let theirs = audit_events::account_id.eq(account);
    diesel::update(audit_events::table.filter(theirs))
        .set(audit_events::address.eq(None::<&str>))
        .execute(work.conn)?;
    diesel::update(audit_events::table.filter(theirs.and(audit_events::action.eq(Action::SessionNewDevice))))
        .set(audit_events::detail.eq(Json(serde_json::json!({}))))
        .execute(work.conn)?;
    Ok(())
}
