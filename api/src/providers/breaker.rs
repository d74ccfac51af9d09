//! A breaker: a provider that does not answer is left alone for a while, so that nobody waits for it in vain.

use std::time::Duration;

use doorstep_core::clock::Timestamp;

/// Failures in a row after which it is left alone.
const FAILURES: u32 = 5;
/// How long it is left alone, then one conversation tries again.
pub const REST: Duration = Duration::from_secs(10);
/// The longest it is left alone, whatever it asks for.
pub const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    /// Nobody speaks to it before; none while all is well.
    until: Option<Timestamp>,
}

impl Breaker {
    /// Whether to speak to it now; otherwise how long to wait.
    pub fn ask(&mut self, now: Timestamp) -> Result<(), Duration> {
        let Some(until) = self.until else { return Ok(()) };
        let wait = until.since(now);
        // a wait beyond the longest is a clock that was set back
        if !wait.is_zero() && wait <= LONGEST {
            return Err(wait);
        }
        // this one tries; the next may when it has not come back after another rest
        self.until = Some(now + REST);
        Ok(())
    }

    pub const fn succeeded(&mut self) {
        self.failures = 0;
        self.until = None;
    }

    /// Whether it is left alone from now on, and was not before.
    pub fn failed(&mut self, now: Timestamp) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES {
            return false;
        }
        self.until = Some(now + REST);
        self.failures == FAILURES
    }

    /// It said itself when to come again.
    pub fn told_to_wait(&mut self, now: Timestamp, wait: Duration) {
        self.until = Some(now + wait.min(LONGEST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert_eq!(breaker.ask(at(0)), Ok(()));
            breaker.failed(at(0));
        }
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_for_ten_seconds() {
        let mut breaker = opened();
        assert_eq!(breaker.ask(at(0)), Err(Duration::from_secs(10)));
        assert_eq!(breaker.ask(at(9)), Err(Duration::from_secs(1)));
        assert_eq!(breaker.ask(at(10)), Ok(()));
    }

    #[test]
    fn only_failures_in_a_row_count() {
        let mut breaker = Breaker::default();
        for _ in 0..20 {
            for _ in 1..FAILURES {
                assert!(!breaker.failed(at(0)));
            }
            breaker.succeeded();
        }
        assert_eq!(breaker.ask(at(0)), Ok(()));
    }

    #[test]
    fn one_tries_and_the_others_wait_for_how_it_ends() {
        let mut breaker = opened();
        assert_eq!(breaker.ask(at(10)), Ok(()));
        assert!(breaker.ask(at(10)).is_err());
        assert!(!breaker.failed(at(12)), "it was left alone before");
        assert_eq!(breaker.ask(at(21)), Err(Duration::from_secs(1)));
        assert_eq!(breaker.ask(at(22)), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.ask(at(22)), Ok(()));
        assert_eq!(breaker.ask(at(22)), Ok(()));
        // one that never comes back does not keep it shut
        let mut breaker = opened();
        assert_eq!(breaker.ask(at(10)), Ok(()));
        assert_eq!(breaker.ask(at(20)), Ok(()));
    }

    #[test]
    fn it_waits_as_long_as_it_was_told_and_no_longer_than_a_minute() {
        let mut breaker = Breaker::default();
        breaker.told_to_wait(at(0), Duration::from_secs(7));
        assert_eq!(breaker.ask(at(0)), Err(Duration::from_secs(7)));
        assert_eq!(breaker.ask(at(7)), Ok(()));
        breaker.told_to_wait(at(7), Duration::from_secs(86_400));
        assert_eq!(breaker.ask(at(7)), Err(LONGEST));
        assert_eq!(breaker.ask(at(67)), Ok(()));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_keep_it_shut() {
        let mut breaker = Breaker::default();
        breaker.told_to_wait(at(10_000), LONGEST);
        assert_eq!(breaker.ask(at(0)), Ok(()));
    }
}
