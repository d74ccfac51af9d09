//! What goes on without being asked: following settings and keys, tidying, carrying mail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use doorstep_core::access_token::AccessTokens;
use doorstep_core::db::Store;
use doorstep_core::house;

/// How often a process looks for what another has changed; a setting, a key or a revocation is to be seen within
/// a second.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// Looks between two rounds of tidying.
const LOOKS_PER_TIDY: u32 = 120;

/// Tells threads to stop, and wakes those that wait.
#[derive(Debug, Default)]
pub struct Stop {
    stopped: AtomicBool,
    lock: Mutex<()>,
    told: Condvar,
}

impl Stop {
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub fn tell(&self) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.stopped.store(true, Ordering::Release);
        self.told.notify_all();
    }

    /// Waits so long, or until told; whether it was told.
    pub fn wait(&self, at_most: Duration) -> bool {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.told.wait_timeout_while(guard, at_most, |()| !self.is_told()));
        self.is_told()
    }
}

/// Starts the thread that follows what other processes change, and tidies up.
pub fn start(store: Store, tokens: Arc<AccessTokens>, stop: Arc<Stop>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("follower".into()).spawn(move || {
        let mut looks = 0_u32;
        while !stop.wait(FOLLOW_EVERY) {
            match house::follow(&store, &tokens.keys()) {
                Ok(Some(keys)) => {
                    tokens.replace_keys(keys);
                    tracing::info!("following new signing keys");
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "cannot look for changes"),
            }
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(LOOKS_PER_TIDY) {
                tidy(&store, &stop);
            }
        }
    })
}

fn tidy(store: &Store, stop: &Stop) {
    loop {
        match house::tidy(store) {
            Ok(true) if !stop.is_told() => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "cannot tidy up");
                return;
            }
        }
    }
}
