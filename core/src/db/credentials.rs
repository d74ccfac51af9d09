//! Queries on `credentials`.

use diesel::prelude::*;

use super::lock::Lock;
use super::schema::{accounts, credentials, identities};
use super::types::words;
use super::work::Work;
use crate::error::Result;
use crate::hashing::PasswordHash;
use crate::id::{AccountId, CredentialId};
use crate::identity::IdentityKey;

words! {
    pub enum CredentialKind {
        Password = "password",
        Passkey = "passkey",
        Totp = "totp",
    }
}

/// A password that an address could sign in with.
pub struct Found {
    pub account_id: AccountId,
    pub epoch: i64,
    pub hash: PasswordHash,
}

/// From an address to the password of its account, in one query.
pub fn find_for_sign_in(work: &mut Work<'_>, key: &IdentityKey) -> Result<Option<Found>> {
    let found = identities::table
        .inner_join(accounts::table.on(accounts::id.eq(identities::account_id)))
        .inner_join(credentials::table.on(credentials::account_id.eq(identities::account_id)))
        .filter(identities::kind.eq(key.kind))
        .filter(identities::namespace.eq(&key.namespace))
        .filter(identities::subject.eq(&key.subject))
        .filter(credentials::kind.eq(CredentialKind::Password))
        .select((accounts::id, accounts::security_epoch, credentials::secret_hash))
        .get_result::<(AccountId, i64, String)>(work.conn)
        .optional()?;
    Ok(found.map(|(account_id, epoch, hash)| Found { account_id, epoch, hash: PasswordHash::stored(hash) }))
}

pub fn find_password(work: &mut Work<'_>, account: AccountId) -> Result<Option<PasswordHash>> {
    let found = credentials::table
        .filter(credentials::account_id.eq(account).and(credentials::kind.eq(CredentialKind::Password)))
        .select(credentials::secret_hash)
        .get_result::<String>(work.conn)
        .optional()?;
    Ok(found.map(PasswordHash::stored))
}

/// Sets or replaces the one password of an account.
pub fn put_password(work: &mut Work<'_>, account: AccountId, hash: &PasswordHash) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    let (id, now) = (work.new_id::<CredentialId>(), work.now());
    let target = credentials::account_id.eq(account).and(credentials::kind.eq(CredentialKind::Password));
    let replaced = diesel::update(credentials::table.filter(target))
        .set((credentials::secret_hash.eq(hash.as_str()), credentials::updated_at.eq(now)))
        .execute(work.conn)?;
    if replaced == 0 {
        diesel::insert_into(credentials::table)
            .values((
                credentials::id.eq(id),
                credentials::account_id.eq(account),
                credentials::kind.eq(CredentialKind::Password),
                credentials::secret_hash.eq(hash.as_str()),
                credentials::created_at.eq(now),
                credentials::updated_at.eq(now),
            ))
            .execute(work.conn)?;
    }
    Ok(())
}

/// An account's secrets are no way in any more.
pub fn delete_all(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    diesel::delete(credentials::table.filter(credentials::account_id.eq(account))).execute(work.conn)?;
    Ok(())
}
