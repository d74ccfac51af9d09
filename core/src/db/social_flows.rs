//! Queries on `social_flows`.

use diesel::prelude::*;

use super::schema::social_flows;
use super::work::Work;
use crate::error::Result;
use crate::id::AccountId;

/// Voids every open flow of an account.
pub fn void_all(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    let now = work.now();
    let open = social_flows::account_id.eq(account).and(social_flows::ended_at.is_null());
    diesel::update(social_flows::table.filter(open))
        .set((social_flows::state.eq("void"), social_flows::ended_at.eq(now)))
        .execute(work.conn)?;
    Ok(())
}
