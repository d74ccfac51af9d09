//! What the sessions of an account tell of its devices, as long as their rows are kept.

use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::schema::sessions;
use super::work::Work;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::DeviceId;
use crate::limits;
use crate::secret::DeviceToken;
use crate::session::{EndReason, Session};

/// Whether a device has signed in to its account in its epoch, or was given its token lately, and was not disowned.
pub fn is_known(work: &mut Work<'_>, token: &DeviceToken) -> Result<bool> {
    // whoever sets a password by mail is given a token before there is a session; that of a session is kept longer than this
    let lately = token.device >= DeviceId::earliest(work.now() - limits::DEVICE_REMEMBERED);
    let there = || {
        sessions::table
            .filter(sessions::account_id.eq(token.account).and(sessions::epoch.eq(token.epoch)))
            .filter(sessions::device_id.eq(token.device))
    };
    let disowned = there().filter(sessions::end_reason.eq_any(words()).assume_not_null());
    let there = exists(there()).or(lately.into_sql::<Bool>());
    Ok(diesel::select(there.and(not(exists(disowned)))).get_result::<bool>(work.conn)?)
}

/// Whether the account has, or had, another session than this in its epoch.
pub fn has_others(work: &mut Work<'_>, session: &Session) -> Result<bool> {
    let others = sessions::table
        .filter(sessions::account_id.eq(session.account_id).and(sessions::epoch.eq(session.epoch)))
        .filter(sessions::id.ne(session.id));
    Ok(diesel::select(exists(others)).get_result::<bool>(work.conn)?)
}

/// Whether another of the account's sessions of its epoch was used since then on such a device, which may be one that did
/// not say what it is, in such a network; and none of those devices was disowned.
pub fn is_like_known(
    work: &mut Work<'_>,
    session: &Session,
    (device, network): (Option<&str>, Option<&str>),
    since: Timestamp,
) -> Result<bool> {
    let Some(network) = network else { return Ok(false) };
    let gone = diesel::alias!(sessions as gone);
    let disowned = gone
        .filter(gone.field(sessions::account_id).eq(session.account_id))
        .filter(gone.field(sessions::epoch).eq(session.epoch))
        .filter(gone.field(sessions::end_reason).eq_any(words()).assume_not_null())
        .select(gone.field(sessions::device_id));
    let seen = sessions::table
        .filter(sessions::account_id.eq(session.account_id).and(sessions::epoch.eq(session.epoch)))
        .filter(sessions::id.ne(session.id).and(sessions::rotated_at.gt(since)))
        .filter(sessions::network.eq(network).assume_not_null())
        .select((sessions::device, sessions::device_id.eq_any(disowned)))
        .distinct()
        .load::<(Option<String>, bool)>(work.conn)?;
    let mut like = seen.iter().filter(|(name, _)| name.as_deref() == device).peekable();
    Ok(like.peek().is_some() && like.all(|(_, disowned)| !disowned))
}

fn words() -> Vec<&'static str> {
    EndReason::DISOWNS.iter().map(|reason| reason.as_str()).collect()
}
