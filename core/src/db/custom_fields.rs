//! Queries on `custom_fields`.

use diesel::prelude::*;

use super::lock::Lock;
use super::schema::{custom_fields, settings};
use super::types::Json;
use super::work::Work;
use crate::clock::Timestamp;
use crate::custom_field::{CustomField, FieldType, VisibleTo};
use crate::error::Result;
use crate::id::{AccountId, CustomFieldId};

/// The number of the last change: where it is known, the fields are.
pub fn version(work: &mut Work<'_>) -> Result<i64> {
    Ok(settings::table.select(settings::custom_fields_version).get_result(work.conn)?)
}

#[derive(Queryable)]
struct Row {
    id: CustomFieldId,
    key: String,
    title: String,
    kind: FieldType,
    choices: Json,
    visible_to: VisibleTo,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Row {
    fn read(self) -> Result<CustomField> {
        Ok(CustomField {
            id: self.id,
            key: self.key,
            title: self.title,
            kind: self.kind,
            choices: self.choices.read()?,
            visible_to: self.visible_to,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

/// Every field that there is, in the order they were made.
pub fn list(work: &mut Work<'_>) -> Result<Vec<CustomField>> {
    let rows = custom_fields::table
        .filter(custom_fields::deleted_at.is_null())
        .order(custom_fields::id)
        .select((
            custom_fields::id,
            custom_fields::key,
            custom_fields::title,
            custom_fields::kind,
            custom_fields::choices,
            custom_fields::visible_to,
            custom_fields::created_at,
            custom_fields::updated_at,
        ))
        .load::<Row>(work.conn)?;
    rows.into_iter().map(Row::read).collect()
}

pub fn insert(work: &mut Work<'_>, field: &CustomField) -> Result<()> {
    work.must_hold(Lock::House)?;
    diesel::insert_into(custom_fields::table)
        .values((
            custom_fields::id.eq(field.id),
            custom_fields::key.eq(&field.key),
            custom_fields::title.eq(&field.title),
            custom_fields::kind.eq(field.kind),
            custom_fields::choices.eq(Json::of(&field.choices)?),
            custom_fields::visible_to.eq(field.visible_to),
            custom_fields::created_at.eq(field.created_at),
            custom_fields::updated_at.eq(field.updated_at),
        ))
        .execute(work.conn)?;
    changed(work)
}

/// Stores what may change of a field.
pub fn update(work: &mut Work<'_>, field: &CustomField) -> Result<()> {
    work.must_hold(Lock::House)?;
    diesel::update(custom_fields::table.filter(custom_fields::id.eq(field.id)))
        .set((
            custom_fields::title.eq(&field.title),
            custom_fields::choices.eq(Json::of(&field.choices)?),
            custom_fields::visible_to.eq(field.visible_to),
            custom_fields::updated_at.eq(field.updated_at),
        ))
        .execute(work.conn)?;
    changed(work)
}

/// A field is there no more; its row stays until its values are erased.
pub fn mark_deleted(work: &mut Work<'_>, id: CustomFieldId) -> Result<()> {
    work.must_hold(Lock::House)?;
    let now = work.now();
    diesel::update(custom_fields::table.filter(custom_fields::id.eq(id)))
        .set(custom_fields::deleted_at.eq(now))
        .execute(work.conn)?;
    changed(work)
}

fn changed(work: &mut Work<'_>) -> Result<()> {
    diesel::update(settings::table)
        .set(settings::custom_fields_version.eq(settings::custom_fields_version + 1))
        .execute(work.conn)?;
    Ok(())
}

/// A field deleted before an instant whose values are still to be erased, and the last account that was looked at.
pub fn find_to_erase(work: &mut Work<'_>, before: Timestamp) -> Result<Option<(CustomFieldId, Option<AccountId>)>> {
    let found = custom_fields::table
        .filter(custom_fields::deleted_at.lt(before).assume_not_null())
        .order(custom_fields::id)
        .limit(1)
        .select((custom_fields::id, custom_fields::erased_to));
    Ok(found.get_result(work.conn).optional()?)
}

/// Remembers how far a field's values are erased.
pub fn erased_to(work: &mut Work<'_>, id: CustomFieldId, account: AccountId) -> Result<()> {
    work.must_hold(Lock::House)?;
    diesel::update(custom_fields::table.filter(custom_fields::id.eq(id)))
        .set(custom_fields::erased_to.eq(account))
        .execute(work.conn)?;
    Ok(())
}

/// Nothing is left of a deleted field.
pub fn delete(work: &mut Work<'_>, id: CustomFieldId) -> Result<()> {
    work.must_hold(Lock::House)?;
    let gone = custom_fields::id.eq(id).and(custom_fields::deleted_at.is_not_null());
    diesel::delete(custom_fields::table.filter(gone)).execute(work.conn)?;
    Ok(())
}
