//! Migrations: twins that go up, down and up, and never backwards by themselves.

use std::collections::{BTreeMap, BTreeSet};

use diesel::sql_types::{Bool, Text};
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _, SqliteConnection, sql_query};
use doorstep_core::db::{Conn, Location, migrate, redo_last};
use doorstep_tests::postgres;
use doorstep_tests::process::Installation;
use doorstep_tests::{App, Db, Setup, on_both};

const DOORSTEP: &str = env!("CARGO_BIN_EXE_doorstep-under-test");

/// Table and column, and whether it may be null.
#[derive(QueryableByName, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Column {
    #[diesel(sql_type = Text)]
    in_table: String,
    #[diesel(sql_type = Text)]
    named: String,
    #[diesel(sql_type = Bool)]
    nullable: bool,
}

/// Columns that are unique together, with the condition of a partial index.
#[derive(QueryableByName, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Unique {
    #[diesel(sql_type = Text)]
    in_table: String,
    #[diesel(sql_type = Text)]
    columns: String,
    #[diesel(sql_type = Bool)]
    partial: bool,
}

const SQLITE_COLUMNS: &str = "SELECT m.name AS in_table, c.name AS named, (c.\"notnull\" = 0 AND c.pk = 0) AS nullable \
    FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\'";
const POSTGRES_COLUMNS: &str = "SELECT table_name::text AS in_table, column_name::text AS named, \
    is_nullable = 'YES' AS nullable FROM information_schema.columns \
    WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%'";
const SQLITE_INDEXES: &str = "SELECT m.name AS in_table, l.partial <> 0 AS partial, \
    (SELECT group_concat(i.name, ',') FROM (SELECT name FROM pragma_index_info(l.name) ORDER BY UNIQUE_ORDER) i) AS columns \
    FROM sqlite_schema m JOIN pragma_index_list(m.name) l \
    WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND UNIQUE_ONLY \
    UNION SELECT m.name, 0, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c \
    WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND c.type = 'INTEGER' AND c.pk = 1 AND INTEGER_KEYS";
const POSTGRES_INDEXES: &str = "SELECT t.relname::text AS in_table, i.indpred IS NOT NULL AS partial, \
    (SELECT string_agg(a.attname, ',' ORDER BY COLUMN_ORDER) FROM unnest(i.indkey) WITH ORDINALITY AS k(n, ord) \
     JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.n)::text AS columns \
    FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace \
    WHERE n.nspname = 'public' AND t.relname NOT LIKE '\\_\\_%' AND (UNIQUE_ONLY)";

fn columns(conn: &mut Conn) -> Vec<Column> {
    let sql = if matches!(conn, Conn::Pg(_)) { POSTGRES_COLUMNS } else { SQLITE_COLUMNS };
    let mut columns = sql_query(sql).load::<Column>(conn).unwrap();
    columns.sort();
    columns
}

/// The sets of columns that are unique: in any order, for that is no part of being unique.
fn unique_sets(conn: &mut Conn) -> BTreeSet<Unique> {
    let (sql, name, only) = match conn {
        Conn::Pg(_) => (POSTGRES_INDEXES, "a.attname", "i.indisunique"),
        Conn::Sqlite(_) => (SQLITE_INDEXES, "name", "l.\"unique\""),
    };
    let sql = sql.replace("UNIQUE_ONLY", only).replace("INTEGER_KEYS", "1");
    let sql = sql.replace("UNIQUE_ORDER", name).replace("COLUMN_ORDER", name);
    sql_query(sql).load::<Unique>(conn).unwrap().into_iter().collect()
}

/// The columns of every other index, in their order, for that is what they are good for.
fn indexes(conn: &mut Conn) -> BTreeSet<Unique> {
    let (sql, order, only) = match conn {
        Conn::Pg(_) => (POSTGRES_INDEXES, "k.ord", "NOT i.indisunique"),
        Conn::Sqlite(_) => (SQLITE_INDEXES, "seqno", "NOT l.\"unique\""),
    };
    let sql = sql.replace("UNIQUE_ONLY", only).replace("INTEGER_KEYS", "0");
    let sql = sql.replace("UNIQUE_ORDER", order).replace("COLUMN_ORDER", order);
    sql_query(sql).load::<Unique>(conn).unwrap().into_iter().collect()
}

/// A migrated database of each kind; none where there is no PostgreSQL.
fn twins(dir: &std::path::Path) -> Option<[(Location, Conn, Option<postgres::Database>); 2]> {
    let database = postgres::server()?.create_database(None);
    let sqlite = Location::in_directory(dir);
    let pg = Location::from_url(database.url()).unwrap();
    for location in [&sqlite, &pg] {
        migrate(location).unwrap();
    }
    let file = dir.join("doorstep.db");
    let conn = Conn::Sqlite(SqliteConnection::establish(file.to_str().unwrap()).unwrap());
    let other = Conn::Pg(PgConnection::establish(database.url()).unwrap());
    Some([(sqlite, conn, None), (pg, other, Some(database))])
}

#[test]
fn both_databases_end_with_the_same_tables_columns_nullability_and_unique_sets() {
    let dir = tempfile::tempdir().unwrap();
    let Some([(_, mut sqlite, _), (_, mut pg, _database)]) = twins(dir.path()) else { return };
    let by_table = |columns: Vec<Column>| {
        let mut tables: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
        columns.into_iter().for_each(|c| tables.entry(c.in_table).or_default().push((c.named, c.nullable)));
        tables
    };
    let (ours, theirs) = (by_table(columns(&mut sqlite)), by_table(columns(&mut pg)));
    assert!(ours.len() >= 15 && ours.contains_key("accounts"), "{:?}", ours.keys());
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (table, columns) in &ours {
        assert_eq!(columns, &theirs[table], "{table}");
    }
    let unique = unique_sets(&mut sqlite);
    let key = |named: &str| Unique { in_table: "identities".into(), columns: named.into(), partial: false };
    assert!(unique.contains(&key("kind,namespace,subject")), "I1");
    assert_eq!(unique, unique_sets(&mut pg));
    assert_eq!(indexes(&mut sqlite), indexes(&mut pg));
}

#[test]
fn each_migration_goes_up_down_and_up() {
    let dir = tempfile::tempdir().unwrap();
    let Some(twins) = twins(dir.path()) else { return };
    for (location, mut conn, _database) in twins {
        let before = (columns(&mut conn), unique_sets(&mut conn), indexes(&mut conn));
        redo_last(&location, Some("20261125000001")).unwrap();
        assert_eq!(before, (columns(&mut conn), unique_sets(&mut conn), indexes(&mut conn)));
        assert_eq!(migrate(&location).unwrap().applied, Vec::<String>::new());
    }
}

on_both! {
    fn whom_older_pushes_went_to_is_dropped(app) {
        app.emails_support("ada@example.org");
        let before = r#"{"dmarc": "pass", "recipients": [{"role": "cc", "who": "eve@example.org", "name": "Eve"}]}"#;
        app.sql(&format!("UPDATE interactions SET detail = '{before}'"));
        app.emails_support("grace@example.org");
        redo_last(&app.config.location().unwrap(), Some("20261127000001")).unwrap();
        let with = |text: &str| app.count(&format!("SELECT count(*) AS n FROM interactions WHERE CAST(detail AS TEXT) LIKE '%{text}%'"));
        assert_eq!((with("eve"), with("recipients"), with("dmarc"), with("pass")), (0, 0, 2, 2));
    }

    fn a_database_of_a_newer_version_is_refused_and_left_as_it_is(app) {
        let before = columns(&mut app.connection());
        app.sql("INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')");
        let location = app.config.location().unwrap();
        let error = migrate(&location).unwrap_err().to_string();
        assert!(error.contains("29991231000000") && error.contains("newer"), "{error}");
        assert_eq!(columns(&mut app.connection()), before);
        assert_eq!(app.count("SELECT count(*) AS n FROM __diesel_schema_migrations WHERE version = '29991231000000'"), 1);
        app.sql("DELETE FROM __diesel_schema_migrations WHERE version = '29991231000000'");
        migrate(&location).unwrap();
    }
}

/// The binary, killed at one moment after another from its start to its end.
fn ft_03_killed_while_it_migrates(db: Db) {
    const KILLS: u32 = 24;
    let Some(home) = Installation::new(DOORSTEP, db) else { return };
    let clock = doorstep_core::clock::Clock::System;
    let began = clock.now();
    home.runs(&["migrate"]);
    let whole = clock.now().since(began);
    let complete = columns(&mut home.connection());
    for kill in 0..KILLS {
        let Some(home) = Installation::new(DOORSTEP, db) else { return };
        let process = home.start(&["migrate"]);
        let moment = clock.now() + whole * kill / KILLS;
        while clock.now() < moment {
            std::thread::yield_now();
        }
        process.kill();
        home.runs(&["migrate"]);
        assert_eq!(columns(&mut home.connection()), complete, "killed at {kill}/{KILLS}");
        assert_eq!(home.count("SELECT count(*) AS n FROM instance"), 1);
        assert_eq!(home.count("SELECT count(*) AS n FROM signing_keys"), 1);
    }
}

#[test]
fn ft_03_killed_while_it_migrates_sqlite_the_next_start_completes_it() {
    ft_03_killed_while_it_migrates(Db::Sqlite);
}

#[test]
fn ft_03_killed_while_it_migrates_postgres_the_next_start_completes_it() {
    ft_03_killed_while_it_migrates(Db::Postgres);
}

#[test]
fn the_servers_of_a_newer_version_keep_an_older_one_from_starting() {
    let app = App::start(Db::Sqlite, Setup::default()).unwrap();
    app.sql("INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')");
    let options = doorstep_api::server::Options::default();
    let error = doorstep_api::server::Server::start(&app.config, &options).err().unwrap();
    assert!(error.contains("29991231000000"), "{error}");
}
