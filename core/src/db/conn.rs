//! One connection type for both databases, and what makes any query that each can render usable on it.

use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping};
use diesel::pg::{Pg, PgConnection};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::RunQueryDsl;
use diesel::result::QueryResult;
use diesel::sqlite::{Sqlite, SqliteConnection};

#[derive(diesel::MultiConnection)]
pub enum Conn {
    Pg(PgConnection),
    Sqlite(SqliteConnection),
}

/// Lets a query or expression that each database renders by itself run on [`Conn`]
/// (`ON CONFLICT`, for one, which the derive refuses).
#[derive(Debug, Clone, Copy)]
pub struct Both<T>(pub T);

impl<T> QueryFragment<MultiBackend> for Both<T>
where
    T: QueryFragment<Pg> + QueryFragment<Sqlite>,
{
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        MultiBackend::walk_variant_ast(&self.0, pass)
    }
}

// inside a larger query each database meets it by itself
impl<T: QueryFragment<Pg>> QueryFragment<Pg> for Both<T> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }
}

impl<T: QueryFragment<Sqlite>> QueryFragment<Sqlite> for Both<T> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }
}

impl<T: QueryId> QueryId for Both<T> {
    type QueryId = Both<T::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = T::HAS_STATIC_QUERY_ID;
}

impl<T: Query> Query for Both<T> {
    type SqlType = T::SqlType;
}

impl<T> RunQueryDsl<Conn> for Both<T> {}

impl<T: Expression> Expression for Both<T> {
    type SqlType = T::SqlType;
}

impl<T, QS> AppearsOnTable<QS> for Both<T> where T: AppearsOnTable<QS> {}
impl<T, QS> SelectableExpression<QS> for Both<T> where T: SelectableExpression<QS> {}

impl<T, GB> ValidGrouping<GB> for Both<T>
where
    T: ValidGrouping<GB>,
{
    type IsAggregate = T::IsAggregate;
}
