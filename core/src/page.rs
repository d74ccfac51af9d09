//! Pages: keyset cursors, so that a page costs the same wherever it is and nothing is skipped or seen twice.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};
use uuid::Uuid;

use crate::clock::Timestamp;

pub const DEFAULT_LIMIT: u32 = 25;
pub const MAX_LIMIT: u32 = 100;

/// Where the last page ended: an instant and the id that breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub at: Timestamp,
    pub id: Uuid,
}

impl Cursor {
    #[must_use]
    pub fn encode(self) -> String {
        let bytes = [self.at.as_micros().to_be_bytes().as_slice(), self.id.as_bytes()].concat();
        BASE64URL_NOPAD.encode(&bytes)
    }

    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (at, id) = bytes.split_at_checked(8)?;
        Some(Self {
            at: Timestamp::from_micros(i64::from_be_bytes(at.try_into().ok()?)),
            id: Uuid::from_slice(id).ok()?,
        })
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::decode(&text).ok_or_else(|| de::Error::custom("Use next_cursor of the page before, as it is."))
    }
}

/// How many rows a page may have: 1 to [`MAX_LIMIT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u32);

impl Limit {
    #[must_use]
    pub fn new(rows: u64) -> Option<Self> {
        u32::try_from(rows).ok().filter(|rows| (1..=MAX_LIMIT).contains(rows)).map(Self)
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT_LIMIT)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u32(Rows)
    }
}

struct Rows;

impl Visitor<'_> for Rows {
    type Value = Limit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Use a limit of 1 to {MAX_LIMIT}.")
    }

    fn visit_u64<E: de::Error>(self, rows: u64) -> Result<Limit, E> {
        Limit::new(rows).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(rows), &self))
    }
}

/// What a list was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageAsk {
    limit: u32,
    pub after: Option<Cursor>,
}

impl PageAsk {
    #[must_use]
    pub fn new(limit: Option<Limit>, after: Option<Cursor>) -> Self {
        Self { limit: limit.unwrap_or_default().0, after }
    }

    /// How many rows to ask for: one more than a page has, to know whether there is another.
    #[must_use]
    pub fn rows(self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Cuts what was read down to a page.
    #[must_use]
    pub fn page<T>(self, mut rows: Vec<T>, cursor: impl FnOnce(&T) -> Cursor) -> Page<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(cursor) } else { None };
        Page { items: rows, next }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    #[must_use]
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_survives_the_trip(micros: i64, id: u128) {
            let cursor = Cursor { at: Timestamp::from_micros(micros), id: Uuid::from_u128(id) };
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn any_other_text_is_refused_or_another_cursor(text in "\\PC{0,64}") {
            if let Some(cursor) = Cursor::decode(&text) {
                prop_assert_eq!(cursor.encode(), text);
            }
        }
    }

    #[test]
    fn a_page_knows_whether_there_is_another() {
        let ask = PageAsk::new(Limit::new(2), None);
        let cursor = |n: &u128| Cursor { at: Timestamp::from_micros(0), id: Uuid::from_u128(*n) };
        assert_eq!(ask.page(vec![1, 2], cursor).next, None);
        let page = ask.page(vec![1, 2, 3], cursor);
        assert_eq!((page.items, page.next), (vec![1, 2], Some(cursor(&2))));
        assert_eq!(PageAsk::new(None, None).rows(), 26);
        assert_eq!(
            [0, 1, 100, 101, u64::MAX].map(|rows| Limit::new(rows).is_some()),
            [false, true, true, false, false]
        );
        assert_eq!(Cursor::decode("x"), None);
    }
}
