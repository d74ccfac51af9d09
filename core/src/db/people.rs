//! Looking for people.

use diesel::dsl::exists;
use diesel::prelude::*;

use super::accounts::{COLUMNS, Row};
use super::dialect::Contains;
use super::schema::{accounts, identities};
use super::work::Work;
use crate::account::{Account, AccountState};
use crate::error::Result;
use crate::id::AccountId;
use crate::identity::IdentityKind;
use crate::page::Paging;
use crate::people::Filter;

/// Accounts that are there, the newest first. Ids are in the order of time (UUIDv7).
pub fn search(work: &mut Work<'_>, filter: &Filter, ask: Paging) -> Result<Vec<Account>> {
    let primary = identities::table
        .filter(identities::account_id.eq(accounts::id).and(identities::is_primary.eq(true)))
        .select(identities::subject)
        .single_value();
    let mut query = accounts::table
        .filter(accounts::state.ne_all([AccountState::Merged, AccountState::Deleted]))
        .order(accounts::id.desc())
        .select((COLUMNS, primary))
        .limit(ask.rows())
        .into_boxed();
    if let Some(cursor) = ask.after {
        query = query.filter(accounts::id.lt(AccountId(cursor.id)));
    }
    if let Some(state) = filter.state {
        query = query.filter(accounts::state.eq(state));
    }
    if let Some(text) = &filter.text {
        let theirs = || identities::table.filter(identities::account_id.eq(accounts::id));
        let address = exists(theirs().filter(Contains::new(identities::subject, text)));
        let handle = exists(theirs().filter(Contains::new(identities::label.assume_not_null(), text)));
        query = query.filter(Contains::new(accounts::full_name.assume_not_null(), text).or(address).or(handle));
    }
    let rows = query.load::<(Row, Option<String>)>(work.conn)?;
    Ok(rows.into_iter().map(|(row, email)| row.with_email(email)).collect())
}

/// How many owners have one of some ways in, and none of others; `most` where there are more.
pub fn count_left_out(
    work: &mut Work<'_>,
    lost: &[(IdentityKind, String)],
    left: &[(IdentityKind, String)],
    most: usize,
) -> Result<usize> {
    if lost.is_empty() {
        return Ok(0);
    }
    // a kind and a namespace that stand in one list are each other's: an issuer is one provider's
    let (kinds, namespaces) = split(lost);
    let losing = identities::kind.eq_any(kinds).and(identities::namespace.eq_any(namespaces));
    let (kinds, namespaces) = split(left);
    let staying = identities::kind.eq_any(kinds).and(identities::namespace.eq_any(namespaces));
    let holders = || identities::table.select(identities::account_id);
    let rows: Vec<AccountId> = accounts::table
        .filter(accounts::state.eq(AccountState::Claimed))
        .filter(accounts::id.eq_any(holders().filter(losing)))
        .filter(accounts::id.ne_all(holders().filter(staying)))
        .select(accounts::id)
        .limit(i64::try_from(most).unwrap_or(i64::MAX))
        .load(work.conn)?;
    Ok(rows.len())
}

fn split(ways: &[(IdentityKind, String)]) -> (Vec<IdentityKind>, Vec<&str>) {
    ways.iter().map(|(kind, namespace)| (*kind, namespace.as_str())).unzip()
}
