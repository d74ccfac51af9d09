//! What a provider publishes, kept for a while: fetched by one at a time, and usable long after it could be renewed.

use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use doorstep_core::clock::Timestamp;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::ProviderError;

/// It is renewed after so long.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// Where it cannot be renewed, it is used for so long.
const USABLE: Duration = Duration::from_secs(24 * 60 * 60);
/// Nobody makes us ask again sooner.
const PAUSE: Duration = Duration::from_secs(5 * 60);

#[derive(Debug)]
pub struct Cached<T> {
    kept: RwLock<Option<Kept<T>>>,
    turn: Mutex<Turn>,
}

#[derive(Debug)]
struct Kept<T> {
    value: Arc<T>,
    at: Timestamp,
}

/// When it was last asked for in vain, each for its own reason.
#[derive(Debug, Default)]
struct Turn {
    renewed: Option<Timestamp>,
    missed: Option<Timestamp>,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self { kept: RwLock::new(None), turn: Mutex::new(Turn::default()) }
    }
}

impl<T> Cached<T> {
    /// What is kept, or is fetched now. Those who come while it is renewed go on with what is kept.
    pub async fn get<F: Future<Output = Result<T, ProviderError>>>(
        &self,
        now: Timestamp,
        patience: Duration,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<T>, ProviderError> {
        if let Some((value, age)) = self.kept(now).filter(|(_, age)| *age < USABLE) {
            if age >= FRESH
                && let Ok(mut turn) = self.turn.try_lock()
                && is_due(&mut turn.renewed, now)
                && let Some(newer) = self.renew(now, patience, fetch).await
            {
                return Ok(newer);
            }
            return Ok(value);
        }
        let _turn = self.turn.lock().await;
        // somebody may have fetched it while this one waited
        if let Some((value, _)) = self.kept(now).filter(|(_, age)| *age < FRESH) {
            return Ok(value);
        }
        Ok(self.keep(fetch().await?, now))
    }

    /// Something newer than what was `seen` and does not suffice: at most one fetch in five minutes, whoever asks.
    pub async fn newer<F: Future<Output = Result<T, ProviderError>>>(
        &self,
        seen: &Arc<T>,
        now: Timestamp,
        patience: Duration,
        fetch: impl FnOnce() -> F,
    ) -> Option<Arc<T>> {
        let mut turn = self.turn.lock().await;
        if let Some((value, _)) = self.kept(now).filter(|(value, _)| !Arc::ptr_eq(value, seen)) {
            return Some(value);
        }
        if !is_due(&mut turn.missed, now) {
            return None;
        }
        self.renew(now, patience, fetch).await
    }

    fn kept(&self, now: Timestamp) -> Option<(Arc<T>, Duration)> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map(|kept| (Arc::clone(&kept.value), now.since(kept.at)))
    }

    fn keep(&self, value: T, now: Timestamp) -> Arc<T> {
        let value = Arc::new(value);
        let kept = Kept { value: Arc::clone(&value), at: now };
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        value
    }

    async fn renew<F: Future<Output = Result<T, ProviderError>>>(
        &self,
        now: Timestamp,
        patience: Duration,
        fetch: impl FnOnce() -> F,
    ) -> Option<Arc<T>> {
        match timeout(patience, fetch()).await.unwrap_or(Err(ProviderError::TimedOut)) {
            Ok(value) => Some(self.keep(value, now)),
            Err(error) => {
                tracing::warn!(%error, "cannot renew what a provider publishes; what was kept is used");
                None
            }
        }
    }
}

/// Whether enough has passed since the last time; it counts as done from now on.
fn is_due(last: &mut Option<Timestamp>, now: Timestamp) -> bool {
    let due = last.is_none_or(|last| now.since(last) >= PAUSE || now < last);
    if due {
        *last = Some(now);
    }
    due
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    const fn at(minutes: i64) -> Timestamp {
        Timestamp::from_micros(minutes * 60_000_000)
    }

    /// Answers with how often it was asked, while it is up.
    #[derive(Default)]
    struct Source {
        asked: Cell<u32>,
        down: Cell<bool>,
    }

    impl Source {
        fn fetch(&self) -> std::future::Ready<Result<u32, ProviderError>> {
            self.asked.set(self.asked.get() + 1);
            std::future::ready(if self.down.get() { Err(ProviderError::TimedOut) } else { Ok(self.asked.get()) })
        }

        async fn get(&self, cached: &Cached<u32>, now: Timestamp) -> Result<u32, ProviderError> {
            cached.get(now, PATIENCE, || self.fetch()).await.map(|value| *value)
        }
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
    }

    #[test]
    fn it_is_fetched_once_an_hour() {
        run(async {
            let (source, cached) = (Source::default(), Cached::default());
            for (minute, expected) in [(0, 1), (1, 1), (59, 1), (60, 2), (61, 2), (119, 2), (120, 3)] {
                assert_eq!(source.get(&cached, at(minute)).await, Ok(expected), "{minute}");
            }
        });
    }

    #[test]
    fn what_cannot_be_renewed_is_used_for_a_day() {
        run(async {
            let (source, cached) = (Source::default(), Cached::default());
            assert_eq!(source.get(&cached, at(0)).await, Ok(1));
            source.down.set(true);
            assert_eq!(source.get(&cached, at(60)).await, Ok(1));
            assert_eq!(source.get(&cached, at(61)).await, Ok(1));
            assert_eq!(source.asked.get(), 2, "it is left alone for five minutes");
            assert_eq!(source.get(&cached, at(24 * 60 - 1)).await, Ok(1));
            assert_eq!(source.get(&cached, at(24 * 60)).await, Err(ProviderError::TimedOut));
            source.down.set(false);
            assert!(source.get(&cached, at(24 * 60)).await.is_ok());
        });
    }

    #[test]
    fn oa_29_nobody_makes_us_ask_more_than_once_in_five_minutes() {
        run(async {
            let (source, cached) = (Source::default(), Cached::default());
            for minute in 0..10 {
                for _ in 0..100 {
                    let seen = cached.get(at(minute), PATIENCE, || source.fetch()).await.unwrap();
                    cached.newer(&seen, at(minute), PATIENCE, || source.fetch()).await;
                }
            }
            assert_eq!(source.asked.get(), 1 + 2);
        });
    }

    #[test]
    fn who_has_seen_something_older_gets_what_another_fetched() {
        run(async {
            let (source, cached) = (Source::default(), Cached::default());
            let seen = cached.get(at(0), PATIENCE, || source.fetch()).await.unwrap();
            let newer = cached.newer(&seen, at(0), PATIENCE, || source.fetch()).await.unwrap();
            let again = cached.newer(&seen, at(0), PATIENCE, || source.fetch()).await.unwrap();
            assert_eq!((*newer, *again), (2, 2));
            assert_eq!(cached.newer(&newer, at(0), PATIENCE, || source.fetch()).await, None);
        });
    }
}
