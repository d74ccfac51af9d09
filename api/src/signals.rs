//! The signals that end a server. The log says which came, and how long the end took.

use std::io;
use std::sync::{Arc, OnceLock};

use actix_web::dev::ServerHandle;
use doorstep_core::clock::{Clock, Timestamp};
use tokio::signal::unix::{SignalKind, signal};

/// When a server was asked to stop.
#[derive(Debug, Clone)]
pub struct Signals {
    clock: Clock,
    asked: Arc<OnceLock<Timestamp>>,
}

impl Signals {
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, asked: Arc::default() }
    }

    /// Stops a server at the first signal, from now on. To be called on the server's own thread.
    pub fn listen(&self, server: &ServerHandle) -> io::Result<()> {
        // requests in flight are finished where nobody is in a hurry
        let kinds = [
            ("SIGTERM", SignalKind::terminate(), true),
            ("SIGINT", SignalKind::interrupt(), false),
            ("SIGQUIT", SignalKind::quit(), false),
        ];
        for (name, kind, finish) in kinds {
            let mut signals = signal(kind)?;
            let (this, server) = (self.clone(), server.clone());
            actix_web::rt::spawn(async move {
                while signals.recv().await.is_some() {
                    if this.asked.set(this.clock.now()).is_ok() {
                        tracing::info!(signal = name, finish_requests = finish, "asked to stop");
                    }
                    // the future only waits; what stops the server is the call
                    drop(server.stop(finish));
                }
            });
        }
        Ok(())
    }

    /// To be called when nothing of the server runs any more.
    pub fn say_stopped(&self) {
        if let Some(asked) = self.asked.get() {
            let took_ms = u64::try_from(self.clock.now().since(*asked).as_millis()).unwrap_or(u64::MAX);
            tracing::info!(took_ms, "stopped");
        }
    }
}
