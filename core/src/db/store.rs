//! The store: reads and writes as units of work, on either database.

use std::sync::{Arc, RwLock};

use super::bell::Bell;
use super::manager::Location;
use super::postgres::Postgres;
use super::searcher::Searcher;
use super::sqlite::Sqlite;
use super::work::{Origin, Work};
use crate::chance::Chance;
use crate::clock::Clock;
use crate::custom_field::CustomFields;
use crate::error::{Error, Result};
use crate::keyring::Keyring;
use crate::provider::Providers;
use crate::settings::Settings;

pub struct StoreOptions {
    pub location: Location,
    /// Connections to `PostgreSQL`, and threads that use them; readers of `SQLite`.
    pub connections: u32,
    pub clock: Clock,
    pub chance: Chance,
    pub keyring: Keyring,
    pub providers: Providers,
}

/// What the commit of a unit promises to whoever is answered after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// It survives a power cut.
    Lasting,
    /// It survives our end, and not always the machine's: for a counted try, or a mail on lease, which does no
    /// harm if it is forgotten then. It costs no fsync.
    Forgettable,
}

/// What all units of work of a process have in common.
pub(crate) struct Shared {
    pub clock: Clock,
    pub chance: Chance,
    pub keyring: Keyring,
    pub providers: Providers,
    pub bell: Bell,
    /// The settings as last read: a guess that the fast path of a refresh has the database confirm.
    pub settings: RwLock<Option<Arc<Settings>>>,
    /// The custom fields as last read; their version says whether they are still so.
    pub custom_fields: RwLock<Option<Arc<CustomFields>>>,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Store {
    engine: Engine,
    searcher: Arc<Searcher<Engine>>,
    shared: Arc<Shared>,
}

#[derive(Clone)]
enum Engine {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
}

impl Engine {
    fn read<T>(&self, origin: &Origin, reads: &mut impl FnMut(&mut Work<'_>) -> Result<T>) -> Result<T> {
        match self {
            Self::Sqlite(sqlite) => sqlite.read(origin, reads),
            Self::Postgres(postgres) => postgres.read(origin, reads),
        }
    }
}

impl Store {
    /// Opens a database that [`super::migrate`] has brought up to date.
    pub fn open(options: StoreOptions) -> Result<Self> {
        let shared = Arc::new(Shared {
            clock: options.clock,
            chance: options.chance,
            keyring: options.keyring,
            providers: options.providers,
            bell: Bell::default(),
            settings: RwLock::default(),
            custom_fields: RwLock::default(),
        });
        let engine = match &options.location {
            Location::Sqlite(_) => {
                Engine::Sqlite(Arc::new(Sqlite::open(&options.location, options.connections, Arc::clone(&shared))?))
            }
            Location::Postgres(_) => {
                Engine::Postgres(Arc::new(Postgres::open(&options.location, options.connections, Arc::clone(&shared))?))
            }
        };
        let searcher = Arc::new(Searcher::start(engine.clone(), Arc::clone(&shared))?);
        Ok(Self { engine, searcher, shared })
    }

    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.shared.keyring
    }

    /// Rings when something was put into the outbox here.
    #[must_use]
    pub fn bell(&self) -> &Bell {
        &self.shared.bell
    }

    /// Reads, on this thread. What it sees is not one snapshot where it takes several queries.
    pub fn read<T>(&self, origin: &Origin, mut reads: impl FnMut(&mut Work<'_>) -> Result<T>) -> Result<T> {
        self.engine.read(origin, &mut reads)
    }

    /// Leaves nothing of what was erased in the log of `SQLite`, where a reader is not in the way; says whether that was done.
    /// `PostgreSQL` sees to its own.
    pub fn empty_log(&self) -> Result<bool> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.empty_log(),
            Engine::Postgres(_) => Ok(true),
        }
    }

    /// Like [`Store::submit_read`], for a read that may take long: it holds up none but others of its kind.
    pub fn submit_search<T: Send + 'static>(
        &self,
        origin: Origin,
        mut reads: impl FnMut(&mut Work<'_>) -> Result<T> + Send + 'static,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        self.searcher.submit(move |engine| done(engine.and_then(|engine| engine.read(&origin, &mut reads))));
    }

    /// Writes in one durable transaction, and waits for it. May run `writes` again when another was in the way.
    pub fn write<T: Send + 'static>(
        &self,
        origin: &Origin,
        writes: impl FnMut(&mut Work<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.engine {
            Engine::Postgres(postgres) => {
                let mut writes = writes;
                postgres.write(origin, Promise::Lasting, &mut writes)
            }
            Engine::Sqlite(sqlite) => {
                let (send, answer) = crossbeam_channel::bounded(1);
                sqlite.submit(origin.clone(), Promise::Lasting, writes, move |result| drop(send.send(result)));
                answer.recv().unwrap_or_else(|_| Err(Error::Broken("the writer went away".into())))
            }
        }
    }

    /// Like [`Store::read`], for a caller that must not wait: `done` gets the result, on this thread where the
    /// read is short work (`SQLite`), else on one of the store's.
    pub fn submit_read<T: Send + 'static>(
        &self,
        origin: Origin,
        mut reads: impl FnMut(&mut Work<'_>) -> Result<T> + Send + 'static,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        match &self.engine {
            Engine::Sqlite(sqlite) => done(sqlite.read(&origin, &mut reads)),
            Engine::Postgres(postgres) => {
                postgres.submit_read(move |postgres| done(postgres.and_then(|pg| pg.read(&origin, &mut reads))));
            }
        }
    }

    /// Like [`Store::write`], for a caller that must not wait.
    pub fn submit_write<T: Send + 'static>(
        &self,
        origin: Origin,
        promise: Promise,
        mut writes: impl FnMut(&mut Work<'_>) -> Result<T> + Send + 'static,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.submit(origin, promise, writes, done),
            Engine::Postgres(postgres) => {
                postgres.submit_write(move |postgres| {
                    done(postgres.and_then(|pg| pg.write(&origin, promise, &mut writes)));
                });
            }
        }
    }

    /// One writing statement that is its own transaction: on `PostgreSQL` that saves two round trips.
    pub fn submit_statement<T: Send + 'static>(
        &self,
        origin: Origin,
        mut writes: impl FnMut(&mut Work<'_>) -> Result<T> + Send + 'static,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.submit(origin, Promise::Lasting, writes, done),
            Engine::Postgres(postgres) => {
                postgres.submit_write(move |postgres| done(postgres.and_then(|pg| pg.read(&origin, &mut writes))));
            }
        }
    }
}
