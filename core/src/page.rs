//! Pages: keyset cursors, so that a page costs the same wherever it is and nothing is skipped or seen twice. A cursor
//! is good in its own list alone: in another it would be a place that nobody meant.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::keyring::sha256;

pub const DEFAULT_LIMIT: u32 = 25;
pub const MAX_LIMIT: u32 = 100;

/// A list, by its name and what it is a part of. Cursors know it by four octets of a hash: no secret, and short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List([u8; 4]);

impl List {
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(sha256(name.as_bytes()).first_chunk().copied().unwrap_or_default())
    }

    /// A list that each of many things has.
    #[must_use]
    pub fn within(name: &str, id: Uuid) -> Self {
        Self::named(&format!("{name} {id}"))
    }
}

/// Where the last page of a list ended: an instant and the id that breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    list: List,
    pub at: Timestamp,
    pub id: Uuid,
}

const BAD_CURSOR: &str = "Use next_cursor of the page before, as it is.";

impl Cursor {
    #[must_use]
    pub fn encode(self) -> String {
        let bytes = [self.list.0.as_slice(), &self.at.as_micros().to_be_bytes(), self.id.as_bytes()].concat();
        BASE64URL_NOPAD.encode(&bytes)
    }

    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (list, rest) = bytes.split_first_chunk()?;
        let (at, id) = rest.split_first_chunk()?;
        Some(Self {
            list: List(*list),
            at: Timestamp::from_micros(i64::from_be_bytes(*at)),
            id: Uuid::from_slice(id).ok()?,
        })
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::decode(&text).ok_or_else(|| de::Error::custom(BAD_CURSOR))
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
    after: Option<Cursor>,
}

impl PageAsk {
    #[must_use]
    pub fn new(limit: Option<Limit>, after: Option<Cursor>) -> Self {
        Self { limit: limit.unwrap_or_default().0, after }
    }

    /// Which list was asked.
    ///
    /// # Errors
    /// Where the cursor is another list's.
    pub fn of(self, list: List) -> Result<Paging> {
        match self.after {
            Some(cursor) if cursor.list != list => Err(Error::invalid("/cursor", "invalid", BAD_CURSOR)),
            after => Ok(Paging { limit: self.limit, after, list }),
        }
    }
}

/// What is to be read of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    limit: u32,
    pub after: Option<Cursor>,
    list: List,
}

impl Paging {
    /// How many rows to ask for: one more than a page has, to know whether there is another.
    #[must_use]
    pub fn rows(self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Cuts what was read down to a page, by what rows are ordered by.
    #[must_use]
    pub fn page<T>(self, mut rows: Vec<T>, key: impl FnOnce(&T) -> (Timestamp, Uuid)) -> Page<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = if more { rows.last().map(key) } else { None };
        let next = last.map(|(at, id)| Cursor { list: self.list, at, id });
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
        fn a_cursor_survives_the_trip(list: [u8; 4], micros: i64, id: u128) {
            let cursor = Cursor { list: List(list), at: Timestamp::from_micros(micros), id: Uuid::from_u128(id) };
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
        let list = List::named("numbers");
        let ask = PageAsk::new(Limit::new(2), None).of(list).unwrap();
        let key = |n: &u128| (Timestamp::from_micros(0), Uuid::from_u128(*n));
        assert_eq!(ask.page(vec![1, 2], key).next, None);
        let page = ask.page(vec![1, 2, 3], key);
        let next = Cursor { list, at: Timestamp::from_micros(0), id: Uuid::from_u128(2) };
        assert_eq!((page.items, page.next), (vec![1, 2], Some(next)));
        assert_eq!(PageAsk::new(None, None).of(list).unwrap().rows(), 26);
        assert_eq!(
            [0, 1, 100, 101, u64::MAX].map(|rows| Limit::new(rows).is_some()),
            [false, true, true, false, false]
        );
        assert_eq!(Cursor::decode("x"), None);
    }

    #[test]
    fn a_cursor_is_good_in_its_own_list_alone() {
        let [one, other] = [1, 2].map(|id| List::within("messages", Uuid::from_u128(id)));
        let next = Cursor { list: one, at: Timestamp::from_micros(7), id: Uuid::from_u128(7) };
        let asked = PageAsk::new(None, Some(next));
        assert_eq!(asked.of(one).unwrap().after, Some(next));
        for list in [other, List::named("messages"), List::named("notes")] {
            assert!(matches!(asked.of(list), Err(Error::Invalid(_))));
        }
    }
}
