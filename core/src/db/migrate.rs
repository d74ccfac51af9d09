//! Migrations: the twins under `migrations/`, run at start under a lock, never downwards.

use std::fs::{File, OpenOptions};
use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::conn::{Conn, MultiBackend};
use super::manager::{Location, Use, connect};
use crate::error::{Error, Result};

const SQLITE: EmbeddedMigrations = embed_migrations!("../migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("../migrations/postgres");

/// What [`migrate`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// Versions that were applied now, oldest first.
    pub applied: Vec<String>,
    /// The version the database now has.
    pub version: String,
}

/// Brings a database up to this program's schema. Two processes at once: one does it, the other waits.
/// A database that a newer program has migrated is refused and left as it is.
pub fn migrate(location: &Location) -> Result<Migrated> {
    let _guard = match location {
        Location::Sqlite(path) => Some(lock_file(path)?),
        Location::Postgres(_) => None,
    };
    let mut conn = connect(location, Use::Write)?;
    if let Conn::Pg(pg) = &mut conn {
        // the lock is the session's: it goes with the connection, whatever happens
        pg.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0; SELECT pg_advisory_lock(7305442871)")?;
    }
    match location {
        Location::Sqlite(_) => run(&mut conn, SQLITE),
        Location::Postgres(_) => run(&mut conn, POSTGRES),
    }
}

fn run(conn: &mut Conn, source: EmbeddedMigrations) -> Result<Migrated> {
    let known = versions(&source)?;
    let applied = MigrationHarness::applied_migrations(conn).map_err(failed)?;
    if let Some(newer) = applied.iter().map(ToString::to_string).find(|version| !known.contains(version)) {
        return Err(Error::Unavailable(format!(
            "the database has the migration {newer}, which this version of Doorstep does not know: \
             start the version that made it, or a newer one"
        )));
    }
    let applied = MigrationHarness::run_pending_migrations(conn, source).map_err(failed)?;
    Ok(Migrated {
        applied: applied.iter().map(ToString::to_string).collect(),
        version: known.last().cloned().unwrap_or_default(),
    })
}

/// Undoes and redoes the last migration, for the test of the twins; or all down to one, by the beginning of its version.
pub fn redo_last(location: &Location, down_to: Option<&str>) -> Result<()> {
    let mut conn = connect(location, Use::Write)?;
    loop {
        let source = match location {
            Location::Sqlite(_) => SQLITE,
            Location::Postgres(_) => POSTGRES,
        };
        let undone = MigrationHarness::revert_last_migration(&mut conn, source).map_err(failed)?.to_string();
        if down_to.is_none_or(|version| undone.starts_with(version)) {
            break;
        }
    }
    drop(conn);
    migrate(location).map(drop)
}

fn versions(source: &EmbeddedMigrations) -> Result<Vec<String>> {
    let migrations: Vec<Box<dyn Migration<MultiBackend>>> = source.migrations().map_err(failed)?;
    let mut versions: Vec<MigrationVersion<'static>> =
        migrations.iter().map(|migration| migration.name().version().as_owned()).collect();
    versions.sort();
    Ok(versions.iter().map(ToString::to_string).collect())
}

/// SQLite has no advisory locks; the operating system's file lock ends with the process that holds it.
fn lock_file(database: &Path) -> Result<File> {
    let path = database.with_extension("lock");
    let locked = OpenOptions::new().create(true).truncate(false).write(true).open(&path).and_then(|file| {
        file.lock()?;
        Ok(file)
    });
    locked.map_err(|error| Error::Unavailable(format!("cannot lock {}: {error}", path.display())))
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Unavailable(format!("the migration failed: {error}"))
}
