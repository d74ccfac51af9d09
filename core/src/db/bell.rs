//! Wakes the threads that carry the outbox when something was put into it.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Rung after a commit that posted something; a ring that nobody waits for is kept.
#[derive(Debug, Default)]
pub struct Bell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    pub fn ring(&self) {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        *rings = rings.wrapping_add(1);
        self.rung.notify_all();
    }

    /// How often it has rung; give it to [`Bell::wait`] to miss nothing in between.
    #[must_use]
    pub fn count(&self) -> u64 {
        *self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it has rung since `seen`, at most so long.
    pub fn wait(&self, seen: u64, at_most: Duration) {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.rung.wait_timeout_while(rings, at_most, |rings| *rings == seen);
        drop(waited);
    }
}
