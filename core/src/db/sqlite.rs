//! `SQLite`: readers side by side, and one writer thread with group commit.
//!
//! Group commit buys throughput: one fsync carries up to [`GROUP`] units, each in its own savepoint, and nobody
//! is answered before it is done. One writer also means no unit ever meets "database is locked". A group of units
//! that may be forgotten goes without the fsync, which is half of what a sign-in costs beside its hash.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select};
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::sql_types::Integer;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection};

use super::conn::Conn;
use super::manager::{Location, Manager, Use, connect};
use super::store::{Promise, Shared};
use super::work::{Origin, Work};
use crate::error::{Error, Result};

/// Units that share one commit at most.
const GROUP: usize = 64;
/// Units that may wait for the writer; beyond, the answer is 503.
const QUEUE: usize = 1024;

pub(super) struct Sqlite {
    readers: r2d2::Pool<Manager>,
    writer: Sender<Box<dyn Unit>>,
    emptier: Sender<Sender<Result<bool>>>,
    shared: Arc<Shared>,
}

impl Sqlite {
    pub fn open(location: &Location, readers: u32, shared: Arc<Shared>) -> Result<Self> {
        let conn = connect(location, Use::Write)?;
        let (writer, jobs) = bounded(QUEUE);
        let (emptier, emptyings) = bounded(1);
        let with = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || write_in_groups(conn, &jobs, &emptyings, &with))
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
        Ok(Self { readers, writer, emptier, shared })
    }

    pub fn read<T>(&self, origin: &Origin, reads: &mut impl FnMut(&mut Work<'_>) -> Result<T>) -> Result<T> {
        let mut pooled = self.readers.get().map_err(|error| Error::Unavailable(error.to_string()))?;
        reads(&mut Work::new(&mut pooled.conn, &self.shared, origin))
    }

    /// Empties the log between two groups of units; says whether no reader was in the way.
    pub fn empty_log(&self) -> Result<bool> {
        let (send, answer) = bounded(1);
        let gone = || Error::Broken("the writer went away".into());
        self.emptier.send(send).map_err(|_| gone())?;
        answer.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Queues a unit for the writer; `done` hears of it after the commit.
    pub fn submit<T: Send + 'static>(
        &self,
        origin: Origin,
        promise: Promise,
        writes: impl FnMut(&mut Work<'_>) -> Result<T> + Send + 'static,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        let unit = Box::new(Waiting { origin, promise, writes, done, result: None });
        if let Err(TrySendError::Full(unit) | TrySendError::Disconnected(unit)) = self.writer.try_send(unit) {
            unit.finish(Err(Error::Busy { what: "the database's writer", retry_after: Duration::from_secs(1) }));
        }
    }
}

/// A unit of work in the writer's queue.
trait Unit: Send {
    fn promise(&self) -> Promise;
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
    promise: Promise,
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
    fn promise(&self) -> Promise {
        self.promise
    }

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
fn write_in_groups(
    mut conn: Conn,
    jobs: &Receiver<Box<dyn Unit>>,
    emptyings: &Receiver<Sender<Result<bool>>>,
    shared: &Shared,
) {
    let mut left = None;
    let mut set_to = Promise::Lasting;
    while let Some(first) = left.take().or_else(|| next_unit(&mut conn, jobs, emptyings)) {
        let mut group = Group { units: vec![first], left: None, promise: Promise::Forgettable };
        group.units.extend(jobs.try_iter().take(GROUP - 1));
        if group.units.iter().any(|unit| unit.promise() == Promise::Lasting) {
            group.promise = Promise::Lasting;
        }
        let committed =
            keep(&mut conn, &mut set_to, group.promise).and_then(|()| write_group(&mut conn, &mut group, jobs, shared));
        left = group.left;
        let group = group.units;
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

/// Waits for the next unit, and empties the log for whoever wants that meanwhile.
fn next_unit(
    conn: &mut Conn,
    jobs: &Receiver<Box<dyn Unit>>,
    emptyings: &Receiver<Sender<Result<bool>>>,
) -> Option<Box<dyn Unit>> {
    loop {
        select! {
            recv(jobs) -> unit => return unit.ok(),
            recv(emptyings) -> asker => match asker {
                Ok(asker) => drop(asker.send(empty_log(conn))),
                Err(_) => return jobs.recv().ok(),
            },
        }
    }
}

#[derive(QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = Integer)]
    busy: i32,
}

/// Copies the log into the database's file and cuts it off: it has pages as they were before something was erased. It
/// waits for readers a moment at most, for no unit is written meanwhile.
fn empty_log(conn: &mut Conn) -> Result<bool> {
    let conn = sqlite(conn)?;
    conn.batch_execute("PRAGMA busy_timeout = 50")?;
    let done = diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result::<Checkpoint>(conn);
    conn.batch_execute("PRAGMA busy_timeout = 5000")?;
    Ok(done?.busy == 0)
}

/// Units that share a commit.
struct Group {
    units: Vec<Box<dyn Unit>>,
    /// One that came while the group was written, and wants more of a commit than this one gives.
    left: Option<Box<dyn Unit>>,
    promise: Promise,
}

impl Group {
    /// Lets one more in that has come meanwhile.
    fn admit(&mut self, jobs: &Receiver<Box<dyn Unit>>) {
        if self.units.len() >= GROUP || self.left.is_some() {
            return;
        }
        match jobs.try_recv() {
            Ok(unit) if unit.promise() == Promise::Lasting && self.promise == Promise::Forgettable => {
                self.left = Some(unit);
            }
            Ok(unit) => self.units.push(unit),
            Err(_) => {}
        }
    }
}

/// Sets what the next commit waits for.
fn keep(conn: &mut Conn, set_to: &mut Promise, promise: Promise) -> Result<()> {
    if *set_to != promise {
        sqlite(conn)?.batch_execute(match promise {
            Promise::Lasting => "PRAGMA synchronous = FULL",
            Promise::Forgettable => "PRAGMA synchronous = NORMAL",
        })?;
        *set_to = promise;
    }
    Ok(())
}

/// Runs a group in one transaction; says whether something was posted to the outbox.
fn write_group(conn: &mut Conn, group: &mut Group, jobs: &Receiver<Box<dyn Unit>>, shared: &Shared) -> Result<bool> {
    AnsiTransactionManager::begin_transaction_sql(sqlite(conn)?, "BEGIN IMMEDIATE")?;
    let mut posted = false;
    let mut next = 0;
    let mut ran = Ok(());
    while let Some(unit) = group.units.get_mut(next) {
        ran = write_one(conn, unit.as_mut(), shared).map(|p| posted |= p);
        if ran.is_err() {
            break;
        }
        next += 1;
        if next == group.units.len() {
            group.admit(jobs);
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
