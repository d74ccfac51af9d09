//! `SQLite`: readers side by side, and one writer thread with group commit.
//!
//! Group commit buys throughput: one fsync carries up to [`GROUP`] units, each in its own savepoint, and nobody
//! is answered before it is done. One writer also means no unit ever meets "database is locked".

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::{Connection, SqliteConnection};

use super::conn::Conn;
use super::manager::{Location, Manager, Use, connect};
use super::store::Shared;
use super::work::{Origin, Work};
use crate::error::{Error, Result};

/// Units that share one commit at most.
const GROUP: usize = 64;
/// Units that may wait for the writer; beyond, the answer is 503.
const QUEUE: usize = 1024;

pub(super) struct Sqlite {
    readers: r2d2::Pool<Manager>,
    writer: Sender<Box<dyn Unit>>,
    shared: Arc<Shared>,
}

impl Sqlite {
    pub fn open(location: &Location, readers: u32, shared: Arc<Shared>) -> Result<Self> {
        let conn = connect(location, Use::Write)?;
        let (writer, jobs) = bounded(QUEUE);
        let with = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || write_in_groups(conn, &jobs, &with))
            .map_err(|error| Error::Unavailable(format!("cannot start a thread: {error}")))?;
        let manager = Manager::new(location.clone(), Use::Read, Arc::new(AtomicU64::new(0)));
        let readers = r2d2::Pool::builder()
            .max_size(readers)
            .min_idle(Some(0))
            .max_lifetime(None)
            .idle_timeout(None)
            .test_on_check_out(false)
            .connection_timeout(Duration::from_secs(3))
            .build_unchecked(manager);
        Ok(Self { readers, writer, shared })
    }

    pub fn read<T>(&self, origin: &Origin, reads: &mut impl FnMut(&mut Work<'_>) -> Result<T>) -> Result<T> {
        let mut pooled = self.readers.get().map_err(|error| Error::Unavailable(error.to_string()))?;
        reads(&mut Work::new(&mut pooled.conn, &self.shared, origin))
    }

    /// Queues a unit for the writer; `done` hears of it after the commit.
    pub fn submit<T: Send + 'static>(
        &self,
        origin: Origin,
        writes: impl FnMut(&mut Work<'_>) -> Result<T> + Send + 'static,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        let unit = Box::new(Waiting { origin, writes, done, result: None });
        if let Err(TrySendError::Full(unit) | TrySendError::Disconnected(unit)) = self.writer.try_send(unit) {
            unit.finish(Err(Error::Busy { what: "the database's writer", retry_after: Duration::from_secs(1) }));
        }
    }
}

/// A unit of work in the writer's queue.
trait Unit: Send {
    /// Does the work; `false` where it is to be rolled back.
    fn run(&mut self, conn: &mut Conn, shared: &Shared) -> Ran;
    /// Tells the asker, once it is known whether the group was committed.
    fn finish(self: Box<Self>, committed: Result<()>);
}

struct Ran {
    keep: bool,
    posted: bool,
}

struct Waiting<T, F, D> {
    origin: Origin,
    writes: F,
    done: D,
    result: Option<Result<T>>,
}

impl<T, F, D> Unit for Waiting<T, F, D>
where
    T: Send,
    F: FnMut(&mut Work<'_>) -> Result<T> + Send,
    D: FnOnce(Result<T>) + Send,
{
    fn run(&mut self, conn: &mut Conn, shared: &Shared) -> Ran {
        let mut work = Work::new(conn, shared, &self.origin);
        let result = catch_unwind(AssertUnwindSafe(|| (self.writes)(&mut work)))
            .unwrap_or_else(|_| Err(Error::Broken("a unit of work panicked".into())));
        let ran = Ran { keep: matches!(result, Ok(_) | Err(Error::Kept(_))), posted: work.posted };
        self.result = Some(match result {
            Err(Error::Kept(error)) => Err(*error),
            other => other,
        });
        ran
    }

    fn finish(self: Box<Self>, committed: Result<()>) {
        let result = match (committed, self.result) {
            (Err(error), None | Some(Ok(_))) => Err(error),
            (_, Some(result)) => result,
            (Ok(()), None) => Err(Error::Broken("a unit of work was never run".into())),
        };
        (self.done)(result);
    }
}

/// The writer's life: take what waits, do it, commit once, answer. Ends when the store is gone.
fn write_in_groups(mut conn: Conn, jobs: &Receiver<Box<dyn Unit>>, shared: &Shared) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        let committed = write_group(&mut conn, &mut group, jobs, shared);
        if matches!(committed, Ok(true)) {
            shared.bell.ring();
        }
        let broken = committed.err().map(|error| {
            tracing::error!(%error, units = group.len(), "a group of writes was not committed");
            error.to_string()
        });
        for unit in group {
            unit.finish(broken.clone().map_or(Ok(()), |error| Err(Error::Unavailable(error))));
        }
    }
}

/// Runs a group in one transaction; says whether something was posted to the outbox.
fn write_group(
    conn: &mut Conn,
    group: &mut Vec<Box<dyn Unit>>,
    jobs: &Receiver<Box<dyn Unit>>,
    shared: &Shared,
) -> Result<bool> {
    AnsiTransactionManager::begin_transaction_sql(sqlite(conn)?, "BEGIN IMMEDIATE")?;
    let mut posted = false;
    let mut next = 0;
    let mut ran = Ok(());
    while let Some(unit) = group.get_mut(next) {
        ran = write_one(conn, unit.as_mut(), shared).map(|p| posted |= p);
        if ran.is_err() {
            break;
        }
        next += 1;
        if next == group.len() && next < GROUP {
            group.extend(jobs.try_recv().ok());
        }
    }
    match ran.and_then(|()| Ok(<Conn as Connection>::TransactionManager::commit_transaction(conn)?)) {
        Ok(()) => Ok(posted),
        Err(error) => {
            if let Err(error) = <Conn as Connection>::TransactionManager::rollback_transaction(conn) {
                tracing::debug!(%error, "nothing to roll back");
            }
            Err(error)
        }
    }
}

/// Runs one unit in a savepoint of its own.
fn write_one(conn: &mut Conn, unit: &mut dyn Unit, shared: &Shared) -> Result<bool> {
    type Manager = <Conn as Connection>::TransactionManager;
    Manager::begin_transaction(conn)?;
    let ran = unit.run(conn, shared);
    if ran.keep {
        Manager::commit_transaction(conn)?;
    } else {
        Manager::rollback_transaction(conn)?;
    }
    Ok(ran.keep && ran.posted)
}

fn sqlite(conn: &mut Conn) -> Result<&mut SqliteConnection> {
    match conn {
        Conn::Sqlite(conn) => Ok(conn),
        Conn::Pg(_) => Err(Error::Broken("the SQLite writer has another connection".into())),
    }
}
