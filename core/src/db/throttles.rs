//! Queries on `throttles`.

use diesel::prelude::*;

use super::dialect::PutCounter;
use super::lock::Lock;
use super::schema::throttles;
use super::work::Work;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::throttle::Counted;

pub fn find(work: &mut Work<'_>, key: &[u8]) -> Result<Option<Counted>> {
    let found = throttles::table
        .filter(throttles::key.eq(key))
        .select((throttles::failures, throttles::next_at, throttles::updated_at))
        .get_result::<(i64, Timestamp, Timestamp)>(work.conn)
        .optional()?;
    Ok(found.map(|(failures, next_at, updated_at)| Counted { failures, next_at, updated_at }))
}

pub fn put(work: &mut Work<'_>, key: &[u8], counted: Counted) -> Result<()> {
    work.must_hold(Lock::Counter(key))?;
    PutCounter { key: key.to_vec(), counted }.run(work)
}

pub fn delete(work: &mut Work<'_>, key: &[u8]) -> Result<()> {
    diesel::delete(throttles::table.filter(throttles::key.eq(key))).execute(work.conn)?;
    Ok(())
}

/// Deletes what nobody touched since an instant, at most so many rows.
pub fn delete_before(work: &mut Work<'_>, before: Timestamp, at_most: i64) -> Result<usize> {
    let old = diesel::alias!(throttles as old);
    let keys = old.filter(old.field(throttles::updated_at).lt(before)).select(old.field(throttles::key)).limit(at_most);
    Ok(diesel::delete(throttles::table.filter(throttles::key.eq_any(keys))).execute(work.conn)?)
}
