//! Where the database is, and how a connection to it is made and set up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diesel::connection::SimpleConnection;
use diesel::r2d2::R2D2Connection;
use diesel::{Connection, PgConnection, SqliteConnection};

use super::conn::Conn;
use crate::error::{Error, Result};

/// Where a store keeps its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Location {
    /// `postgres://…` or `postgresql://…`; anything else is refused.
    pub fn from_url(url: &str) -> Result<Self, String> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        Err("expected postgres://user:password@host/database (SQLite is used where no URL is set)".to_owned())
    }

    #[must_use]
    pub fn in_directory(data_dir: &Path) -> Self {
        Self::Sqlite(data_dir.join("doorstep.db"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Write,
    Read,
}

/// A pooled connection that knows whether it may be handed out again.
pub(super) struct Pooled {
    pub conn: Conn,
    pub broken: bool,
    made_in: u64,
}

/// Makes connections for r2d2. A generation ends when a connection is found dead: those made before it are
/// not handed out again, so one restart of the database costs one failed checkout and not one per connection.
#[derive(Debug)]
pub(super) struct Manager {
    location: Location,
    what_for: Use,
    generation: Arc<AtomicU64>,
}

impl Pooled {
    /// The generation it was made in.
    pub const fn made_in(&self) -> u64 {
        self.made_in
    }
}

impl Manager {
    pub fn new(location: Location, what_for: Use, generation: Arc<AtomicU64>) -> Self {
        Self { location, what_for, generation }
    }
}

impl r2d2::ManageConnection for Manager {
    type Connection = Pooled;
    type Error = Error;

    fn connect(&self) -> Result<Pooled> {
        let made_in = self.generation.load(Ordering::Acquire);
        Ok(Pooled { conn: connect(&self.location, self.what_for)?, broken: false, made_in })
    }

    fn is_valid(&self, pooled: &mut Pooled) -> Result<()> {
        Ok(pooled.conn.ping()?)
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        pooled.broken || pooled.made_in != self.generation.load(Ordering::Acquire) || pooled.conn.is_broken()
    }
}

/// Opens one connection and sets it up.
pub(super) fn connect(location: &Location, what_for: Use) -> Result<Conn> {
    match location {
        Location::Sqlite(path) => {
            let file =
                path.to_str().ok_or_else(|| Error::Unavailable("the data directory's name is not UTF-8".into()))?;
            let mut conn = SqliteConnection::establish(file)
                .map_err(|error| Error::Unavailable(format!("cannot open {file}: {error}")))?;
            conn.batch_execute(match what_for {
                Use::Write => SQLITE_WRITER,
                Use::Read => SQLITE_READER,
            })?;
            Ok(Conn::Sqlite(conn))
        }
        Location::Postgres(url) => {
            let mut conn = PgConnection::establish(&with_timeouts(url))
                .map_err(|error| Error::Unavailable(format!("cannot connect to PostgreSQL: {error}")))?;
            conn.batch_execute(POSTGRES_SESSION)?;
            Ok(Conn::Pg(conn))
        }
    }
}

// WAL is a property of the file and set once, by the writer; FULL makes what was answered survive a power cut. What is
// deleted is overwritten, in pages that are not used any more as well (FAST would leave those).
const SQLITE_WRITER: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;";
const SQLITE_READER: &str = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON; PRAGMA cache_size = -4096; \
    PRAGMA mmap_size = 268435456; PRAGMA temp_store = MEMORY;";
const POSTGRES_SESSION: &str = "SET statement_timeout = '5s'; SET lock_timeout = '4s'; \
    SET idle_in_transaction_session_timeout = '10s'; SET TIME ZONE 'UTC'";

/// A server that is gone without a word (its cable is cut) is noticed, unless the URL says otherwise. In seconds,
/// and what was sent and not acknowledged in milliseconds.
fn with_timeouts(url: &str) -> String {
    let wanted = [("connect_timeout", 3), ("keepalives_idle", 10), ("tcp_user_timeout", 10_000)];
    let missing = wanted.into_iter().filter(|(name, _)| !url.contains(&format!("{name}=")));
    missing.fold(url.to_owned(), |url, (name, value)| {
        let separator = if url.contains('?') { '&' } else { '?' };
        format!("{url}{separator}{name}={value}")
    })
}
