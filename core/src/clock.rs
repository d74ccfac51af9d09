//! Instants and the one place that reads the machine's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant in UTC with microseconds, which is what both databases keep.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    diesel::expression::AsExpression,
    diesel::deserialize::FromSqlRow,
)]
#[diesel(sql_type = crate::db::types::Moment)]
pub struct Timestamp(i64);

impl Timestamp {
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Of a Unix time; one that is out of range is as far as there is.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Whole seconds since 1970, as a JWT's `NumericDate` wants them (RFC 7519, section 2).
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Reads RFC 3339 with any offset; nothing outside the years 1970 to 9999.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let time = DateTime::parse_from_rfc3339(text).ok()?;
        let micros = time.timestamp_micros();
        (0..=253_402_300_799_999_999).contains(&micros).then_some(Self(micros))
    }

    /// How long from `earlier` to `self`; zero where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = DateTime::<Utc>::from_timestamp_micros(self.0).unwrap_or_default();
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("Use an RFC 3339 time such as 2026-01-02T03:04:05Z."))
    }
}

/// Tells the time: the machine's, or one that a test moves.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    #[default]
    System,
    /// The machine's time plus so many microseconds.
    Moved(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that runs with the machine's until [`Clock::advance`] moves it.
    #[must_use]
    pub fn movable() -> Self {
        Self::Moved(Arc::new(AtomicI64::new(0)))
    }

    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the clock is the one place that reads the clock")]
    pub fn now(&self) -> Timestamp {
        let now = Utc::now().timestamp_micros();
        match self {
            Self::System => Timestamp(now),
            Self::Moved(offset) => Timestamp(now.saturating_add(offset.load(Ordering::Relaxed))),
        }
    }

    /// Moves a movable clock forward; does nothing to the machine's.
    pub fn advance(&self, by: Duration) {
        if let Self::Moved(offset) = self {
            offset.fetch_add(micros(by), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_rfc_3339() {
        let time = Timestamp::parse("2026-01-02T04:04:05.000007+01:00").unwrap();
        assert_eq!(time.to_string(), "2026-01-02T03:04:05.000007Z");
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        assert_eq!(Timestamp::parse("2026-01-02T03:04:05Z").unwrap().to_string(), "2026-01-02T03:04:05Z");
        for wrong in ["", "2026-01-02", "1969-12-31T23:59:59Z", "2026-13-02T03:04:05Z", "yesterday"] {
            assert_eq!(Timestamp::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn moves_only_when_movable() {
        let moved = Clock::movable();
        let before = moved.now();
        moved.advance(Duration::from_secs(3600));
        assert!(moved.now().since(before) >= Duration::from_secs(3600));
        Clock::System.advance(Duration::from_secs(3600));
        assert!(Clock::System.now() < moved.now());
    }
}
