//! Queries on `audit_events`.

use diesel::prelude::*;
use serde_json::Value;

use super::schema::audit_events;
use super::types::Json;
use super::work::Work;
use crate::audit::Actor;
use crate::error::Result;
use crate::id::{AccountId, AuditEventId, RowId};

pub fn insert(
    work: &mut Work<'_>,
    action: &str,
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
