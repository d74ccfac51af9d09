//! A thread of its own for reads whose work grows with what somebody has written: however many search, nobody else
//! waits for them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError, bounded};

use super::store::Shared;
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// Searches that may wait; beyond, the answer is 503.
const QUEUE: usize = 32;
/// One that has waited so long is not begun: its asker has gone, or is about to.
const PATIENCE: Duration = Duration::from_secs(5);

type Job<E> = Box<dyn FnOnce(Result<&E>) + Send>;

pub(super) struct Searcher<E> {
    jobs: Sender<(Timestamp, Job<E>)>,
    shared: Arc<Shared>,
}

impl<E: Send + 'static> Searcher<E> {
    /// Starts the thread, which reads by `engine`; it ends with the last searcher.
    pub fn start(engine: E, shared: Arc<Shared>) -> Result<Self> {
        let (jobs, waiting) = bounded::<(Timestamp, Job<E>)>(QUEUE);
        let clock = Arc::clone(&shared);
        let work = move || {
            while let Ok((since, job)) = waiting.recv() {
                let late = clock.clock.now().since(since) > PATIENCE;
                let job = AssertUnwindSafe(|| job(if late { Err(too_busy()) } else { Ok(&engine) }));
                if catch_unwind(job).is_err() {
                    tracing::error!("a search panicked");
                }
            }
        };
        std::thread::Builder::new()
            .name("searcher".into())
            .spawn(work)
            .map_err(|error| Error::Unavailable(format!("cannot start a thread: {error}")))?;
        Ok(Self { jobs, shared })
    }

    pub fn submit(&self, job: impl FnOnce(Result<&E>) + Send + 'static) {
        let job: Job<E> = Box::new(job);
        if let Err(TrySendError::Full((_, job)) | TrySendError::Disconnected((_, job))) =
            self.jobs.try_send((self.shared.clock.now(), job))
        {
            job(Err(too_busy()));
        }
    }
}

fn too_busy() -> Error {
    Error::Busy { what: "search", retry_after: Duration::from_secs(2) }
}
