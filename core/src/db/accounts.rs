//! Queries on `accounts`.

use diesel::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::dialect::Spelled;
use super::lock::Lock;
use super::schema::{accounts, identities, settings};
use super::types::Json;
use super::work::Work;
use crate::account::{Account, AccountState, Role};
use crate::clock::Timestamp;
use crate::custom_values::CustomValues;
use crate::error::{Error, Result};
use crate::id::AccountId;
use crate::profile::Kept;

/// An account's columns, in the order of [`Row`].
pub(super) type Columns = (
    accounts::id,
    accounts::state,
    accounts::role,
    accounts::security_epoch,
    accounts::version,
    accounts::full_name,
    accounts::locale,
    accounts::time_zone,
    accounts::phone,
    accounts::avatar_url,
    accounts::created_at,
    accounts::updated_at,
    accounts::claimed_at,
);
pub(super) const COLUMNS: Columns = (
    accounts::id,
    accounts::state,
    accounts::role,
    accounts::security_epoch,
    accounts::version,
    accounts::full_name,
    accounts::locale,
    accounts::time_zone,
    accounts::phone,
    accounts::avatar_url,
    accounts::created_at,
    accounts::updated_at,
    accounts::claimed_at,
);

#[derive(Queryable)]
pub(super) struct Row {
    id: AccountId,
    state: AccountState,
    role: Role,
    security_epoch: i64,
    version: i64,
    full_name: Option<String>,
    locale: Option<String>,
    time_zone: Option<String>,
    phone: Option<String>,
    avatar_url: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
    claimed_at: Option<Timestamp>,
}

impl Row {
    pub(super) fn with_email(self, primary_email: Option<String>) -> Account {
        Account {
            id: self.id,
            state: self.state,
            role: self.role,
            security_epoch: self.security_epoch,
            version: self.version,
            full_name: self.full_name,
            locale: self.locale,
            time_zone: self.time_zone,
            phone: self.phone,
            avatar_url: self.avatar_url,
            primary_email,
            created_at: self.created_at,
            updated_at: self.updated_at,
            claimed_at: self.claimed_at,
        }
    }
}

pub fn find(work: &mut Work<'_>, id: AccountId) -> Result<Option<Account>> {
    let found = accounts::table
        .left_join(identities::table.on(identities::account_id.eq(accounts::id).and(identities::is_primary.eq(true))))
        .filter(accounts::id.eq(id))
        .select((COLUMNS, identities::subject.nullable()))
        .get_result::<(Row, Option<String>)>(work.conn)
        .optional()?;
    Ok(found.map(|(row, email)| row.with_email(email)))
}

/// An account's columns with those of its profile, where identities are joined for the primary address.
type KeptColumns = (
    Columns,
    diesel::dsl::Nullable<identities::subject>,
    accounts::notifications,
    accounts::custom,
    diesel::dsl::SingleValue<diesel::dsl::Select<settings::table, settings::custom_fields_version>>,
);

pub(super) fn kept_columns() -> KeptColumns {
    let version = settings::table.select(settings::custom_fields_version).single_value();
    (COLUMNS, identities::subject.nullable(), accounts::notifications, accounts::custom, version)
}

#[derive(Queryable)]
pub(super) struct KeptRow {
    account: Row,
    primary_email: Option<String>,
    notifications: Json,
    custom: Json,
    fields_version: Option<i64>,
}

impl KeptRow {
    pub(super) fn read(self) -> Result<Kept> {
        Ok(Kept {
            account: self.account.with_email(self.primary_email),
            chosen: self.notifications.read()?,
            custom: self.custom.read()?,
            fields_version: self.fields_version.unwrap_or_default(),
        })
    }
}

/// An account with all that is kept of its profile.
pub fn find_kept(work: &mut Work<'_>, id: AccountId) -> Result<Option<Kept>> {
    let found = accounts::table
        .left_join(identities::table.on(identities::account_id.eq(accounts::id).and(identities::is_primary.eq(true))))
        .filter(accounts::id.eq(id))
        .select(kept_columns())
        .get_result::<KeptRow>(work.conn)
        .optional()?;
    found.map(KeptRow::read).transpose()
}

pub fn get_kept(work: &mut Work<'_>, id: AccountId) -> Result<Kept> {
    find_kept(work, id)?.ok_or_else(|| Error::Broken(format!("account {id} is gone")))
}

/// Where an account has gone, if it has.
pub fn find_merged_into(work: &mut Work<'_>, id: AccountId) -> Result<Option<AccountId>> {
    let found = accounts::table.filter(accounts::id.eq(id)).select(accounts::merged_into);
    Ok(found.get_result::<Option<AccountId>>(work.conn).optional()?.flatten())
}

/// The next accounts after one, with what they have of custom fields.
pub fn list_custom_after(
    work: &mut Work<'_>,
    after: Option<AccountId>,
    limit: i64,
) -> Result<Vec<(AccountId, CustomValues)>> {
    let after = after.unwrap_or(AccountId(Uuid::nil()));
    let rows = accounts::table
        .filter(accounts::id.gt(after))
        .order(accounts::id)
        .limit(limit)
        .select((accounts::id, accounts::custom))
        .load::<(AccountId, Json)>(work.conn)?;
    rows.into_iter().map(|(id, custom)| Ok((id, custom.read()?))).collect()
}

pub fn get(work: &mut Work<'_>, id: AccountId) -> Result<Account> {
    find(work, id)?.ok_or_else(|| Error::Broken(format!("account {id} is gone")))
}

/// A person seen in traffic.
pub fn insert_unclaimed(work: &mut Work<'_>, full_name: Option<&str>) -> Result<Account> {
    insert(work, AccountState::Unclaimed, full_name)
}

/// A person who comes with a proof.
pub fn insert_claimed(work: &mut Work<'_>, full_name: Option<&str>) -> Result<Account> {
    insert(work, AccountState::Claimed, full_name)
}

fn insert(work: &mut Work<'_>, state: AccountState, full_name: Option<&str>) -> Result<Account> {
    let now = work.now();
    let new = Account {
        id: work.new_id(),
        state,
        role: Role::Customer,
        security_epoch: 1,
        version: 1,
        full_name: full_name.map(str::to_owned),
        locale: None,
        time_zone: None,
        phone: None,
        avatar_url: None,
        primary_email: None,
        created_at: now,
        updated_at: now,
        claimed_at: (state == AccountState::Claimed).then_some(now),
    };
    diesel::insert_into(accounts::table)
        .values((
            accounts::id.eq(new.id),
            accounts::state.eq(state),
            accounts::role.eq(new.role),
            accounts::security_epoch.eq(new.security_epoch),
            accounts::version.eq(new.version),
            accounts::full_name.eq(full_name),
            accounts::custom.eq(Json(json!({}))),
            accounts::notifications.eq(Json(json!({}))),
            accounts::created_at.eq(now),
            accounts::updated_at.eq(now),
            accounts::claimed_at.eq(new.claimed_at),
        ))
        .execute(work.conn)?;
    work.hold_new(new.id);
    Ok(new)
}

/// An unclaimed account becomes its owner's.
pub fn claim(work: &mut Work<'_>, id: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(id))?;
    let now = work.now();
    let claimed = diesel::update(accounts::table)
        .filter(accounts::id.eq(id).and(accounts::state.eq(AccountState::Unclaimed)))
        .set((
            accounts::state.eq(AccountState::Claimed),
            accounts::claimed_at.eq(now),
            accounts::updated_at.eq(now),
            accounts::version.eq(accounts::version + 1),
        ))
        .execute(work.conn)?;
    if claimed == 1 { Ok(()) } else { Err(Error::Broken(format!("account {id} was not unclaimed"))) }
}

/// An account whose all has gone to another: its id points there from now on.
pub fn mark_merged(work: &mut Work<'_>, id: AccountId, into: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(id))?;
    work.must_hold(Lock::Account(into))?;
    let now = work.now();
    diesel::update(accounts::table.filter(accounts::id.eq(id)))
        .set((
            accounts::state.eq(AccountState::Merged),
            accounts::merged_into.eq(into),
            accounts::updated_at.eq(now),
            accounts::version.eq(accounts::version + 1),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// Closed to its owner since then, or open again, in this state.
pub fn set_disabled(work: &mut Work<'_>, id: AccountId, since: Option<Timestamp>, state: AccountState) -> Result<()> {
    work.must_hold(Lock::Account(id))?;
    let now = work.now();
    diesel::update(accounts::table.filter(accounts::id.eq(id)))
        .set((
            accounts::state.eq(state),
            accounts::disabled_at.eq(since),
            accounts::updated_at.eq(now),
            accounts::version.eq(accounts::version + 1),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// What is shown of an account has changed elsewhere: its version is another.
pub fn touch(work: &mut Work<'_>, id: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(id))?;
    let now = work.now();
    diesel::update(accounts::table.filter(accounts::id.eq(id)))
        .set((accounts::updated_at.eq(now), accounts::version.eq(accounts::version + 1)))
        .execute(work.conn)?;
    Ok(())
}

/// What is shown of an account stays as it is.
pub fn raise_epoch(work: &mut Work<'_>, id: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(id))?;
    let now = work.now();
    diesel::update(accounts::table)
        .filter(accounts::id.eq(id))
        .set((accounts::security_epoch.eq(accounts::security_epoch + 1), accounts::epoch_began_at.eq(now)))
        .execute(work.conn)?;
    Ok(())
}

/// When the account's security epoch was raised last.
pub fn epoch_began(work: &mut Work<'_>, id: AccountId) -> Result<Option<Timestamp>> {
    let began = accounts::table.filter(accounts::id.eq(id)).select(accounts::epoch_began_at);
    Ok(began.get_result(work.conn)?)
}

/// Sets a name that was given.
pub fn set_name(work: &mut Work<'_>, id: AccountId, full_name: &str) -> Result<()> {
    work.must_hold(Lock::Account(id))?;
    let now = work.now();
    diesel::update(accounts::table.filter(accounts::id.eq(id)))
        .set((
            accounts::full_name.eq(full_name),
            accounts::updated_at.eq(now),
            accounts::version.eq(accounts::version + 1),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// Sets the language that a person was shown when they gave proof.
pub fn set_locale(work: &mut Work<'_>, id: AccountId, locale: &str) -> Result<()> {
    work.must_hold(Lock::Account(id))?;
    let now = work.now();
    diesel::update(accounts::table.filter(accounts::id.eq(id)))
        .set((accounts::locale.eq(locale), accounts::updated_at.eq(now), accounts::version.eq(accounts::version + 1)))
        .execute(work.conn)?;
    Ok(())
}

pub fn set_role(work: &mut Work<'_>, id: AccountId, role: Role) -> Result<()> {
    work.must_hold(Lock::Account(id))?;
    let now = work.now();
    diesel::update(accounts::table)
        .filter(accounts::id.eq(id))
        .set((accounts::role.eq(role), accounts::updated_at.eq(now), accounts::version.eq(accounts::version + 1)))
        .execute(work.conn)?;
    Ok(())
}

/// Stores the fields an owner may change, and the values that they may see.
pub fn update_profile(work: &mut Work<'_>, kept: &Kept) -> Result<()> {
    let Kept { account, chosen, custom, .. } = kept;
    work.must_hold(Lock::Account(account.id))?;
    let now = work.now();
    diesel::update(accounts::table)
        .filter(accounts::id.eq(account.id))
        .set((
            accounts::full_name.eq(&account.full_name),
            accounts::locale.eq(&account.locale),
            accounts::time_zone.eq(&account.time_zone),
            accounts::phone.eq(&account.phone),
            accounts::avatar_url.eq(&account.avatar_url),
            accounts::notifications.eq(Json::of(chosen)?),
            accounts::custom.eq(Json::of(custom)?),
            accounts::updated_at.eq(now),
            accounts::version.eq(accounts::version + 1),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// Stores custom values of which the account's owner sees no change.
pub fn store_custom(work: &mut Work<'_>, id: AccountId, custom: &CustomValues) -> Result<()> {
    work.must_hold(Lock::Account(id))?;
    diesel::update(accounts::table.filter(accounts::id.eq(id)))
        .set(accounts::custom.eq(Json::of(custom)?))
        .execute(work.conn)?;
    Ok(())
}

/// Nothing is left of notification choices and custom values.
pub fn forget_choices(work: &mut Work<'_>, id: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(id))?;
    diesel::update(accounts::table.filter(accounts::id.eq(id)))
        .set((accounts::custom.eq(Json(json!({}))), accounts::notifications.eq(Json(json!({})))))
        .execute(work.conn)?;
    Ok(())
}

/// An admin, as the index over admins wants it said.
const ADMIN: Spelled = Spelled(Role::Admin.as_str());

/// Whether anybody is an admin yet.
pub fn has_admin(work: &mut Work<'_>) -> Result<bool> {
    let admins = accounts::table.filter(accounts::role.eq(ADMIN));
    Ok(diesel::select(diesel::dsl::exists(admins)).get_result(work.conn)?)
}

/// The claimed accounts of all other admins.
pub fn list_other_admins(work: &mut Work<'_>, id: AccountId) -> Result<Vec<AccountId>> {
    let admins = accounts::role.eq(ADMIN).and(accounts::state.eq(AccountState::Claimed));
    Ok(accounts::table.filter(admins.and(accounts::id.ne(id))).select(accounts::id).load(work.conn)?)
}
