//! Queries on `settings`: one row.

use diesel::prelude::*;

use super::lock::Lock;
use super::schema::settings;
use super::types::Json;
use super::work::Work;
use crate::error::Result;
use crate::settings::{Authentication, Settings};

/// The number of the last change: where it is known, the settings are.
pub fn version(work: &mut Work<'_>) -> Result<i64> {
    Ok(settings::table.select(settings::version).get_result(work.conn)?)
}

pub fn get(work: &mut Work<'_>) -> Result<Settings> {
    let (version, authentication) =
        settings::table.select((settings::version, settings::authentication)).get_result::<(i64, Json)>(work.conn)?;
    Ok(Settings { version, authentication: authentication.read()? })
}

/// Puts the defaults where there is nothing yet.
pub fn ensure(work: &mut Work<'_>) -> Result<()> {
    work.must_hold(Lock::House)?;
    let rows: i64 = settings::table.count().get_result(work.conn)?;
    if rows == 0 {
        let now = work.now();
        diesel::insert_into(settings::table)
            .values((
                settings::id.eq(1_i16),
                settings::version.eq(1_i64),
                settings::authentication.eq(Json::of(&Authentication::default())?),
                settings::updated_at.eq(now),
                settings::custom_fields_version.eq(1_i64),
            ))
            .execute(work.conn)?;
    }
    Ok(())
}

pub fn replace(work: &mut Work<'_>, authentication: &Authentication) -> Result<()> {
    work.must_hold(Lock::House)?;
    let now = work.now();
    diesel::update(settings::table)
        .set((
            settings::version.eq(settings::version + 1),
            settings::authentication.eq(Json::of(authentication)?),
            settings::updated_at.eq(now),
        ))
        .execute(work.conn)?;
    Ok(())
}
