//! `PostgreSQL`: a pool, and threads of its own for callers that must not wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select};
use diesel::Connection;
use diesel::connection::{AnsiTransactionManager, TransactionManager};

use super::conn::Conn;
use super::manager::{Location, Manager, Pooled, Use};
use super::store::{Promise, Shared};
use super::work::{Origin, Work};
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// Jobs that may wait for a thread; beyond, the answer is 503.
const QUEUE: usize = 512;
/// A job that has waited so long is not begun: its caller has gone, or is about to.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a transaction that met another is done anew.
const TRIES: u32 = 5;

/// A job for one of the store's threads; it is told when it cannot be done.
type Job = Box<dyn FnOnce(Result<&Inner>) + Send>;
type Queue = Receiver<(Timestamp, Job)>;

pub(super) struct Postgres {
    inner: Arc<Inner>,
    reads: Sender<(Timestamp, Job)>,
    writes: Sender<(Timestamp, Job)>,
}

pub(super) struct Inner {
    pool: r2d2::Pool<Manager>,
    generation: Arc<AtomicU64>,
    shared: Arc<Shared>,
}

impl std::ops::Deref for Postgres {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl Postgres {
    pub fn open(location: &Location, connections: u32, shared: Arc<Shared>) -> Result<Self> {
        let generation = Arc::new(AtomicU64::new(0));
        let manager = Manager::new(location.clone(), Use::Write, Arc::clone(&generation));
        let pool = r2d2::Pool::builder()
            .max_size(connections)
            .min_idle(Some(0))
            .max_lifetime(None)
            .idle_timeout(None)
            .test_on_check_out(false)
            .connection_timeout(Duration::from_secs(3))
            .error_handler(Box::new(Quiet))
            .build_unchecked(manager);
        let inner = Arc::new(Inner { pool, generation, shared });
        let (reads, to_read) = bounded::<(Timestamp, Job)>(QUEUE);
        let (writes, to_write) = bounded::<(Timestamp, Job)>(QUEUE);
        for number in 0..connections {
            let inner = Arc::clone(&inner);
            let (to_read, to_write) = (to_read.clone(), to_write.clone());
            let turn = match number {
                0 if connections > 1 => Turn::Reads,
                1 if connections > 2 => Turn::Writes,
                _ => Turn::Any,
            };
            let live = move || {
                while let Some((since, job)) = next(&to_read, &to_write, turn) {
                    inner.begin(since, job);
                }
            };
            std::thread::Builder::new()
                .name(format!("postgres-{number}"))
                .spawn(live)
                .map_err(|error| Error::Unavailable(format!("cannot start a thread: {error}")))?;
        }
        Ok(Self { inner, reads, writes })
    }

    /// Hands a short read to the store's threads: it goes before what writes, so that nobody who looks waits for those
    /// who sign in.
    pub fn submit_read(&self, job: impl FnOnce(Result<&Inner>) + Send + 'static) {
        self.submit(&self.reads, Box::new(job));
    }

    pub fn submit_write(&self, job: impl FnOnce(Result<&Inner>) + Send + 'static) {
        self.submit(&self.writes, Box::new(job));
    }

    fn submit(&self, queue: &Sender<(Timestamp, Job)>, job: Job) {
        let now = self.shared.clock.now();
        if let Err(TrySendError::Full((_, job)) | TrySendError::Disconnected((_, job))) = queue.try_send((now, job)) {
            job(Err(too_busy()));
        }
    }
}

/// What a thread takes: one is there for each kind alone, so that neither ever waits for the other to run dry.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Reads,
    Writes,
    /// A read if there is one.
    Any,
}

/// What a thread does next; nothing more once the store is gone.
fn next(to_read: &Queue, to_write: &Queue, turn: Turn) -> Option<(Timestamp, Job)> {
    match turn {
        Turn::Reads => to_read.recv().ok(),
        Turn::Writes => to_write.recv().ok(),
        Turn::Any => to_read.try_recv().ok().or_else(|| {
            select! {
                recv(to_read) -> job => job.ok(),
                recv(to_write) -> job => job.ok(),
            }
        }),
    }
}

fn too_busy() -> Error {
    Error::Busy { what: "the database", retry_after: Duration::from_secs(1) }
}

impl Inner {
    fn begin(&self, since: Timestamp, job: Job) {
        let waited = self.shared.clock.now().since(since);
        let job = AssertUnwindSafe(|| job(if waited > PATIENCE { Err(too_busy()) } else { Ok(self) }));
        if catch_unwind(job).is_err() {
            tracing::error!("a database job panicked");
        }
    }

    pub fn read<T>(&self, origin: &Origin, reads: &mut impl FnMut(&mut Work<'_>) -> Result<T>) -> Result<T> {
        self.with_connection(|conn| {
            reads(&mut Work::new(conn, &self.shared, origin)).map_err(|error| (error, Again::Safe))
        })
    }

    pub fn write<T>(
        &self,
        origin: &Origin,
        promise: Promise,
        writes: &mut impl FnMut(&mut Work<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut attempt = 0;
        loop {
            let tried = self.with_connection(|conn| self.transaction(conn, origin, promise, writes));
            match tried {
                Err(error) if error.is_transient() && attempt + 1 < TRIES => {
                    attempt += 1;
                    self.pause(attempt);
                }
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, tries = TRIES, "a transaction kept meeting others");
                    return Err(too_busy());
                }
                other => return other,
            }
        }
    }

    /// Jittered and growing, so that two who met do not meet again at once.
    #[expect(clippy::disallowed_methods, reason = "a database thread may wait, and holds no connection meanwhile")]
    fn pause(&self, attempt: u32) {
        let [random] = self.shared.chance.bytes::<1>();
        std::thread::sleep(Duration::from_micros((u64::from(random) + 32) * 8 * (1 << attempt.min(7))));
    }

    fn transaction<T>(
        &self,
        conn: &mut Conn,
        origin: &Origin,
        promise: Promise,
        writes: &mut impl FnMut(&mut Work<'_>) -> Result<T>,
    ) -> Result<T, (Error, Again)> {
        type Manager = <Conn as Connection>::TransactionManager;
        begin(conn, promise).map_err(|error| (error, Again::Safe))?;
        let mut work = Work::new(conn, &self.shared, origin);
        let result = catch_unwind(AssertUnwindSafe(|| writes(&mut work)))
            .unwrap_or_else(|_| Err(Error::Broken("a unit of work panicked".into())));
        let posted = work.posted;
        let result = match result {
            Ok(value) => Ok(value),
            Err(Error::Kept(error)) => Err(*error),
            Err(error) => {
                if let Err(error) = Manager::rollback_transaction(conn) {
                    tracing::debug!(%error, "could not roll back");
                }
                return Err((error, Again::Safe));
            }
        };
        if let Err(error) = Manager::commit_transaction(conn) {
            if let Err(error) = Manager::rollback_transaction(conn) {
                tracing::debug!(%error, "could not roll back");
            }
            return Err((error.into(), Again::Unknown));
        }
        if posted {
            self.shared.bell.ring();
        }
        result.map_err(|error| (error, Again::Unknown))
    }

    /// Runs on a pooled connection; where that turns out to be dead, once more on a new one if that is safe.
    fn with_connection<T>(&self, mut run: impl FnMut(&mut Conn) -> Result<T, (Error, Again)>) -> Result<T> {
        let mut last = Error::Unavailable("no connection".into());
        for _ in 0..2 {
            let mut pooled = self.checkout()?;
            match run(&mut pooled.conn) {
                Ok(value) => return Ok(value),
                Err((error @ Error::Unavailable(_), again)) => {
                    pooled.broken = true;
                    self.generation.fetch_add(1, Ordering::AcqRel);
                    if again == Again::Unknown {
                        return Err(error);
                    }
                    last = error;
                }
                Err((error, _)) => return Err(error),
            }
        }
        Err(last)
    }

    fn checkout(&self) -> Result<r2d2::PooledConnection<Manager>> {
        loop {
            let pooled: r2d2::PooledConnection<Manager> =
                self.pool.get().map_err(|_| Error::Unavailable("PostgreSQL cannot be reached".into()))?;
            if !self.is_stale(&pooled) {
                return Ok(pooled);
            }
        }
    }

    fn is_stale(&self, pooled: &Pooled) -> bool {
        pooled.made_in() != self.generation.load(Ordering::Acquire)
    }
}

/// Whether work that lost its connection may be done again: not once its commit was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Safe,
    Unknown,
}

/// READ COMMITTED, whatever the server's default: a statement after a lock must see what its last holder did.
fn begin(conn: &mut Conn, promise: Promise) -> Result<()> {
    const LASTING: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
    // both in one round trip
    const FORGETTABLE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off";
    match conn {
        Conn::Pg(conn) => Ok(AnsiTransactionManager::begin_transaction_sql(
            conn,
            if promise == Promise::Lasting { LASTING } else { FORGETTABLE },
        )?),
        Conn::Sqlite(_) => Err(Error::Broken("the PostgreSQL pool has another connection".into())),
    }
}

/// r2d2 tells of failed connection attempts; the request that wanted one tells it better.
#[derive(Debug)]
struct Quiet;

impl r2d2::HandleError<Error> for Quiet {
    fn handle_error(&self, error: Error) {
        tracing::warn!(%error, "no connection to PostgreSQL");
    }
}
