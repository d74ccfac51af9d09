//! The few queries that the two databases must be told in their own words, or that diesel would not keep prepared.

use diesel::backend::Backend;
use diesel::expression::{AppearsOnTable, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Binary, Bool, HasSqlType, Text};
use diesel::sqlite::Sqlite;

use super::conn::Both;
use super::schema::outbox;
use super::types::{Moment, Uid};
use super::work::Work;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::{OutboxId, SessionId};
use crate::throttle::Counted;

/// Rotates a session's refresh token where counter, lifetimes, epoch, account and settings are as expected.
/// Diesel never keeps an `UPDATE` prepared; this one is on the hottest writing road.
#[derive(Debug, Clone, QueryId)]
pub(super) struct RotateSession {
    pub id: SessionId,
    pub counter: i64,
    pub now: Timestamp,
    pub idle_since: Timestamp,
    pub created_since: Timestamp,
    pub settings_version: i64,
}

impl Query for RotateSession {
    type SqlType = Uid;
}

impl RotateSession {
    fn walk<'b, DB>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()>
    where
        DB: Backend + HasSqlType<Uid> + HasSqlType<Moment> + HasSqlType<BigInt>,
        SessionId: ToSql<Uid, DB>,
        Timestamp: ToSql<Moment, DB>,
        i64: ToSql<BigInt, DB>,
    {
        out.push_sql("UPDATE sessions SET counter = counter + 1, rotated_at = ");
        out.push_bind_param::<Moment, _>(&self.now)?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<Uid, _>(&self.id)?;
        out.push_sql(" AND counter = ");
        out.push_bind_param::<BigInt, _>(&self.counter)?;
        out.push_sql(" AND ended_at IS NULL AND rotated_at > ");
        out.push_bind_param::<Moment, _>(&self.idle_since)?;
        out.push_sql(" AND created_at > ");
        out.push_bind_param::<Moment, _>(&self.created_since)?;
        out.push_sql(
            " AND epoch = (SELECT security_epoch FROM accounts \
             WHERE accounts.id = sessions.account_id AND accounts.state = 'claimed') \
             AND (SELECT version FROM settings) = ",
        );
        out.push_bind_param::<BigInt, _>(&self.settings_version)?;
        out.push_sql(" RETURNING id");
        Ok(())
    }

    /// Whether it was rotated.
    pub fn run(&self, work: &mut Work<'_>) -> Result<bool> {
        Ok(Both(self.clone()).get_result::<SessionId>(work.conn).optional()?.is_some())
    }
}

impl QueryFragment<Pg> for RotateSession {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.walk(out)
    }
}

impl QueryFragment<Sqlite> for RotateSession {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.walk(out)
    }
}

/// Sets a counter of the limits; kept prepared like [`RotateSession`], as two of these come with every sign-in.
#[derive(Debug, Clone, QueryId)]
pub(super) struct PutCounter {
    pub key: Vec<u8>,
    pub counted: Counted,
}

impl Query for PutCounter {
    type SqlType = Binary;
}

impl PutCounter {
    fn walk<'b, DB>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()>
    where
        DB: Backend + HasSqlType<Binary> + HasSqlType<Moment> + HasSqlType<BigInt>,
        Vec<u8>: ToSql<Binary, DB>,
        Timestamp: ToSql<Moment, DB>,
        i64: ToSql<BigInt, DB>,
    {
        out.push_sql("INSERT INTO throttles (key, failures, next_at, updated_at) VALUES (");
        out.push_bind_param::<Binary, _>(&self.key)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&self.counted.failures)?;
        for at in [&self.counted.next_at, &self.counted.updated_at] {
            out.push_sql(", ");
            out.push_bind_param::<Moment, _>(at)?;
        }
        out.push_sql(
            ") ON CONFLICT (key) DO UPDATE SET failures = excluded.failures, next_at = excluded.next_at, \
             updated_at = excluded.updated_at RETURNING key",
        );
        Ok(())
    }

    pub fn run(&self, work: &mut Work<'_>) -> Result<()> {
        Both(self.clone()).get_result::<Vec<u8>>(work.conn)?;
        Ok(())
    }
}

impl QueryFragment<Pg> for PutCounter {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.walk(out)
    }
}

impl QueryFragment<Sqlite> for PutCounter {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.walk(out)
    }
}

/// A select whose rows are ours until the transaction ends; rows that are another's are passed over.
/// `SQLite` has one writer and nothing to lock.
#[derive(Debug, Clone, Copy, QueryId)]
struct SkipLocked<T>(T);

impl<T: Query> Query for SkipLocked<T> {
    type SqlType = T::SqlType;
}

impl<T: QueryFragment<Pg>> QueryFragment<Pg> for SkipLocked<T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(" FOR UPDATE SKIP LOCKED");
        Ok(())
    }
}

impl<T: QueryFragment<Sqlite>> QueryFragment<Sqlite> for SkipLocked<T> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}

/// A word that stands in the statement itself. An index over the rows of one state (`WHERE state = 'live'`) serves
/// only a statement that says so: what is bound, the planner does not know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spelled(pub &'static str);

impl Expression for Spelled {
    type SqlType = Text;
}

impl<DB: Backend> QueryFragment<DB> for Spelled {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        for piece in ["'", self.0, "'"] {
            out.push_sql(piece);
        }
        Ok(())
    }
}

impl QueryId for Spelled {
    type QueryId = ();
    // the word is no part of the type
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<QS> diesel::expression::AppearsOnTable<QS> for Spelled {}
impl<QS> SelectableExpression<QS> for Spelled {}
impl<GB> diesel::expression::ValidGrouping<GB> for Spelled {
    type IsAggregate = diesel::expression::is_aggregate::Never;
}

/// Id, sealed mail, attempts so far, and until when it is of use.
pub(super) type DueMail = (OutboxId, Vec<u8>, i64, Timestamp);

/// The waiting mail that has been due longest.
pub(super) fn due_mail(work: &mut Work<'_>, now: Timestamp) -> Result<Option<DueMail>> {
    let due = outbox::table
        .filter(outbox::state.eq(Spelled("waiting")).and(outbox::kind.eq("mail")))
        .filter(outbox::due_at.le(now).and(outbox::sealed_payload.is_not_null()))
        .order(outbox::due_at)
        .select((outbox::id, outbox::sealed_payload.assume_not_null(), outbox::attempts, outbox::expires_at))
        .limit(1);
    Ok(Both(SkipLocked(due)).get_result(work.conn).optional()?)
}

/// Whether a text contains a term, in any case of its ASCII letters and of no others: `SQLite`'s `LIKE` folds just
/// these, PostgreSQL's `ILIKE` would fold by its locale, and `lower` of the collation `C` does not.
#[derive(Debug, Clone, QueryId)]
pub(super) struct Contains<C> {
    column: C,
    pattern: String,
}

impl<C> Contains<C> {
    pub fn new(column: C, term: &str) -> Both<Self> {
        let escaped = term.to_ascii_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        Both(Self { column, pattern: format!("%{escaped}%") })
    }

    fn walk<'b, DB>(&'b self, around: [&'static str; 2], mut out: AstPass<'_, 'b, DB>) -> QueryResult<()>
    where
        DB: Backend + HasSqlType<Text>,
        C: QueryFragment<DB>,
        String: ToSql<Text, DB>,
    {
        let [before, operator] = around;
        out.push_sql(before);
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(operator);
        out.push_bind_param::<Text, _>(&self.pattern)?;
        out.push_sql(" ESCAPE '\\'");
        Ok(())
    }
}

impl<C: QueryFragment<Pg>> QueryFragment<Pg> for Contains<C> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.walk(["lower(", " COLLATE \"C\") LIKE "], out)
    }
}

impl<C: QueryFragment<Sqlite>> QueryFragment<Sqlite> for Contains<C> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.walk(["", " LIKE "], out)
    }
}

impl<C: Expression> Expression for Contains<C> {
    type SqlType = Bool;
}
impl<C, QS> AppearsOnTable<QS> for Contains<C> where C: AppearsOnTable<QS> {}
impl<C, QS> SelectableExpression<QS> for Contains<C> where C: SelectableExpression<QS> {}
impl<C, GB> ValidGrouping<GB> for Contains<C> {
    type IsAggregate = is_aggregate::No;
}
