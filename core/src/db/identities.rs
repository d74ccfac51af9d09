//! Queries on `identities`.

use diesel::prelude::*;

use super::accounts as account_rows;
use super::lock::Lock;
use super::schema::{accounts, identities, proofs};
use super::work::Work;
use crate::account::Account;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::{AccountId, IdentityId};
use crate::identity::{Identity, IdentityKey, IdentityKind};

type Columns = (
    identities::id,
    identities::account_id,
    identities::kind,
    identities::namespace,
    identities::subject,
    identities::label,
    identities::name,
    identities::is_primary,
    identities::observed_at,
    identities::owned_since,
);
const COLUMNS: Columns = (
    identities::id,
    identities::account_id,
    identities::kind,
    identities::namespace,
    identities::subject,
    identities::label,
    identities::name,
    identities::is_primary,
    identities::observed_at,
    identities::owned_since,
);

#[derive(Queryable)]
struct Row {
    id: IdentityId,
    account_id: AccountId,
    kind: IdentityKind,
    namespace: String,
    subject: String,
    label: Option<String>,
    name: Option<String>,
    is_primary: bool,
    observed_at: Timestamp,
    owned_since: Option<Timestamp>,
}

impl From<Row> for Identity {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            account_id: row.account_id,
            key: IdentityKey { kind: row.kind, namespace: row.namespace, subject: row.subject },
            label: row.label,
            name: row.name,
            is_primary: row.is_primary,
            observed_at: row.observed_at,
            owned_since: row.owned_since,
        }
    }
}

pub fn find(work: &mut Work<'_>, key: &IdentityKey) -> Result<Option<Identity>> {
    let found = identities::table
        .filter(identities::kind.eq(key.kind))
        .filter(identities::namespace.eq(&key.namespace))
        .filter(identities::subject.eq(&key.subject))
        .select(COLUMNS)
        .get_result::<Row>(work.conn)
        .optional()?;
    Ok(found.map(Identity::from))
}

/// Who holds an identity, and how many identities they have in all: one query, whoever it is, so that it takes as
/// long for everybody (I7).
pub fn find_holder(work: &mut Work<'_>, key: &IdentityKey) -> Result<Option<(Identity, Account, usize)>> {
    let all = diesel::alias!(identities as all);
    let count = all.filter(all.field(identities::account_id).eq(accounts::id)).count().single_value();
    let found = identities::table
        .inner_join(accounts::table.on(accounts::id.eq(identities::account_id)))
        .filter(identities::kind.eq(key.kind))
        .filter(identities::namespace.eq(&key.namespace))
        .filter(identities::subject.eq(&key.subject))
        .select((COLUMNS, account_rows::COLUMNS, count))
        .get_result::<(Row, account_rows::Row, Option<i64>)>(work.conn)
        .optional()?;
    Ok(found.map(|(identity, account, count)| {
        let count = usize::try_from(count.unwrap_or(0)).unwrap_or(0);
        (identity.into(), account.with_email(None), count)
    }))
}

pub fn list(work: &mut Work<'_>, account: AccountId) -> Result<Vec<Identity>> {
    let rows = identities::table
        .filter(identities::account_id.eq(account))
        .order(identities::id)
        .select(COLUMNS)
        .load::<Row>(work.conn)?;
    Ok(rows.into_iter().map(Identity::from).collect())
}

/// The identities whose owner has proven them to the account.
pub fn list_proven(work: &mut Work<'_>, account: AccountId) -> Result<Vec<Identity>> {
    let proven = proofs::table.filter(proofs::account_id.eq(account)).filter(proofs::identity_id.eq(identities::id));
    let rows = identities::table
        .filter(identities::account_id.eq(account))
        .filter(diesel::dsl::exists(proven))
        .order(identities::id)
        .select(COLUMNS)
        .load::<Row>(work.conn)?;
    Ok(rows.into_iter().map(Identity::from).collect())
}

/// The proven identities of an account, each with when it was last proven.
pub fn list_with_proof(work: &mut Work<'_>, account: AccountId) -> Result<Vec<(Identity, Timestamp)>> {
    let all = list_with_any_proof(work, account)?.into_iter();
    Ok(all.filter_map(|(identity, proven_at)| Some((identity, proven_at?))).collect())
}

/// All identities of an account, each with when it was last proven, if ever.
pub fn list_with_any_proof(work: &mut Work<'_>, account: AccountId) -> Result<Vec<(Identity, Option<Timestamp>)>> {
    let last = proofs::table
        .filter(proofs::account_id.eq(account))
        .filter(proofs::identity_id.eq(identities::id))
        .select(diesel::dsl::max(proofs::proven_at))
        .single_value();
    let rows = identities::table
        .filter(identities::account_id.eq(account))
        .order(identities::id)
        .select((COLUMNS, last))
        .load::<(Row, Option<Timestamp>)>(work.conn)?;
    Ok(rows.into_iter().map(|(row, proven_at)| (Identity::from(row), proven_at)).collect())
}

/// An identity, where it is this account's.
pub fn find_of(work: &mut Work<'_>, account: AccountId, id: IdentityId) -> Result<Option<Identity>> {
    let found = identities::table
        .filter(identities::id.eq(id).and(identities::account_id.eq(account)))
        .select(COLUMNS)
        .get_result::<Row>(work.conn)
        .optional()?;
    Ok(found.map(Identity::from))
}

/// A new identity of an account; gives it as it was stored.
pub fn insert(
    work: &mut Work<'_>,
    account: AccountId,
    key: &IdentityKey,
    label: Option<&str>,
    name: Option<&str>,
) -> Result<Identity> {
    work.must_hold(Lock::Identity(key))?;
    work.must_hold(Lock::Account(account))?;
    let new = Identity {
        id: work.new_id(),
        account_id: account,
        key: key.clone(),
        label: label.map(str::to_owned),
        name: name.map(str::to_owned),
        is_primary: false,
        observed_at: work.now(),
        owned_since: None,
    };
    diesel::insert_into(identities::table)
        .values((
            identities::id.eq(new.id),
            identities::account_id.eq(account),
            identities::kind.eq(key.kind),
            identities::namespace.eq(&key.namespace),
            identities::subject.eq(&key.subject),
            identities::label.eq(label),
            identities::name.eq(name),
            identities::is_primary.eq(false),
            identities::observed_at.eq(new.observed_at),
            identities::last_seen_at.eq(new.observed_at),
        ))
        .execute(work.conn)?;
    Ok(new)
}

/// Refreshes what is only shown: the handle or spelling, and the name.
pub fn see_again(work: &mut Work<'_>, identity: &Identity, label: Option<&str>, name: Option<&str>) -> Result<()> {
    work.must_hold(Lock::Identity(&identity.key))?;
    let now = work.now();
    diesel::update(identities::table.filter(identities::id.eq(identity.id)))
        .set((
            identities::label.eq(label.or(identity.label.as_deref())),
            identities::name.eq(name.or(identity.name.as_deref())),
            identities::last_seen_at.eq(now),
        ))
        .execute(work.conn)?;
    Ok(())
}

/// Makes an address its account's primary one, in place of any other.
pub fn make_primary(work: &mut Work<'_>, account: AccountId, id: IdentityId) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    diesel::update(identities::table.filter(identities::account_id.eq(account).and(identities::is_primary.eq(true))))
        .set(identities::is_primary.eq(false))
        .execute(work.conn)?;
    diesel::update(identities::table.filter(identities::id.eq(id).and(identities::kind.eq(IdentityKind::Email))))
        .set(identities::is_primary.eq(true))
        .execute(work.conn)?;
    account_rows::touch(work, account)
}

pub fn move_to(work: &mut Work<'_>, identity: &Identity, account: AccountId) -> Result<()> {
    work.must_hold(Lock::Identity(&identity.key))?;
    work.must_hold(Lock::Account(identity.account_id))?;
    work.must_hold(Lock::Account(account))?;
    diesel::update(identities::table.filter(identities::id.eq(identity.id)))
        .set((identities::account_id.eq(account), identities::is_primary.eq(false)))
        .execute(work.conn)?;
    Ok(())
}

/// Since when it has been its account's, where that is not since its proof.
pub fn set_owned_since(work: &mut Work<'_>, account: AccountId, id: IdentityId, since: Timestamp) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    diesel::update(identities::table.filter(identities::id.eq(id).and(identities::account_id.eq(account))))
        .set(identities::owned_since.eq(since))
        .execute(work.conn)?;
    Ok(())
}

/// [`move_to`] with what was proven of it: both accounts are the same person's.
pub fn move_with_proofs(work: &mut Work<'_>, identity: &Identity, account: AccountId) -> Result<()> {
    move_to(work, identity, account)?;
    diesel::update(proofs::table.filter(proofs::identity_id.eq(identity.id)))
        .set(proofs::account_id.eq(account))
        .execute(work.conn)?;
    Ok(())
}

/// Frees an identity; its proofs go with it.
pub fn delete(work: &mut Work<'_>, identity: &Identity) -> Result<()> {
    work.must_hold(Lock::Identity(&identity.key))?;
    work.must_hold(Lock::Account(identity.account_id))?;
    diesel::delete(identities::table.filter(identities::id.eq(identity.id))).execute(work.conn)?;
    Ok(())
}
