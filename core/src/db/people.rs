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
