//! Queries on `instance`: one row, which says what secret the database belongs to.

use diesel::prelude::*;

use super::manager::{Location, Use, connect};
use super::schema::instance;
use super::work::Work;
use crate::error::Result;

/// Whether a migrated database belongs to a secret already. It is asked before there is a store, which takes one.
pub fn exists(location: &Location) -> Result<bool> {
    let mut conn = connect(location, Use::Read)?;
    Ok(instance::table.select(instance::id).get_result::<i16>(&mut conn).optional()?.is_some())
}

pub fn find_secret_check(work: &mut Work<'_>) -> Result<Option<Vec<u8>>> {
    Ok(instance::table.select(instance::secret_check).get_result(work.conn).optional()?)
}

pub fn insert(work: &mut Work<'_>, secret_check: &[u8]) -> Result<()> {
    let now = work.now();
    diesel::insert_into(instance::table)
        .values((instance::id.eq(1_i16), instance::secret_check.eq(secret_check), instance::created_at.eq(now)))
        .execute(work.conn)?;
    Ok(())
}
