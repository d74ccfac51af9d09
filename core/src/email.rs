//! Email addresses: one parser, and one canonical form before look-up, uniqueness, limits and sending.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use unicode_normalization::UnicodeNormalization;

/// A canonical address: lower case, the domain in A-labels, at most 254 bytes (RFC 5321, section 4.5.3.1.3).
/// Dots and plus signs of the local part stay: whether they matter is its host's business.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailAddress {
    canonical: String,
    at: usize,
}

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAddress {
    #[error("an address looks like ada@example.org")]
    Malformed,
    #[error("an address has no control characters, spaces or look-alike characters")]
    Forbidden,
    #[error("an address has at most 254 bytes, 64 of them before the @")]
    TooLong,
    #[error("the part after the @ is not a domain name")]
    Domain,
}

impl EmailAddress {
    /// Reads an address as people type it. Quoted local parts, comments, routes, display names and address
    /// literals are refused: help desks meet none, and every one has been used to smuggle something.
    pub fn parse(text: &str) -> Result<Self, NotAnAddress> {
        if text.len() > 254 * 2 {
            return Err(NotAnAddress::TooLong);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || is_invisible(c)) || !text.nfkc().eq(text.chars())
        {
            return Err(NotAnAddress::Forbidden);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(NotAnAddress::Malformed)?;
        let local = canonical_local(local)?;
        let domain = canonical_domain(domain)?;
        if local.len() > 64 || local.len() + 1 + domain.len() > 254 {
            return Err(NotAnAddress::TooLong);
        }
        let at = local.len();
        Ok(Self { canonical: format!("{local}@{domain}"), at })
    }

    /// An address that was canonical when it was stored.
    pub(crate) fn stored(canonical: &str) -> crate::error::Result<Self> {
        Self::parse(canonical)
            .ok()
            .filter(|address| address.canonical == canonical)
            .ok_or_else(|| crate::error::Error::Broken("a stored address is not canonical".into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.canonical
    }

    #[must_use]
    pub fn local_part(&self) -> &str {
        self.canonical.get(..self.at).unwrap_or_default()
    }

    #[must_use]
    pub fn domain(&self) -> &str {
        self.canonical.get(self.at + 1..).unwrap_or_default()
    }
}

/// Format characters that nobody sees (Unicode's `Default_Ignorable_Code_Point` and its kin): with one of them an
/// address looks like another's.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A dot-atom (RFC 5322, section 3.2.3) or its international form (RFC 6532).
fn canonical_local(local: &str) -> Result<String, NotAnAddress> {
    let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii();
    if local.is_empty() || local.split('.').any(|part| part.is_empty() || !part.chars().all(atom)) {
        return Err(NotAnAddress::Malformed);
    }
    // a letter whose lower case is ASCII but which is not (Kelvin sign, dotted I) would become its ASCII twin
    let twin =
        |c: char| !c.is_ascii() && (c.to_lowercase().any(|l| l.is_ascii()) || c.to_uppercase().any(|u| u.is_ascii()));
    let lower = local.to_lowercase();
    if local.chars().chain(lower.chars()).any(twin) {
        return Err(NotAnAddress::Forbidden);
    }
    // a capital and a mark may have no form in one, where the small letter has
    let canonical = lower.nfkc().eq(lower.chars());
    if canonical { Ok(lower) } else { Err(NotAnAddress::Forbidden) }
}

fn canonical_domain(domain: &str) -> Result<String, NotAnAddress> {
    let ascii = idna::domain_to_ascii_strict(domain).map_err(|_| NotAnAddress::Domain)?;
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let labels: Vec<&str> = ascii.split('.').collect();
    let numeric = labels.last().is_some_and(|top| top.bytes().all(|b| b.is_ascii_digit()));
    if labels.len() < 2 || numeric || !labels.iter().all(|l| label(l)) {
        return Err(NotAnAddress::Domain);
    }
    Ok(ascii)
}

impl Serialize for EmailAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.canonical)
    }
}

impl<'de> Deserialize<'de> for EmailAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> Option<String> {
        EmailAddress::parse(text).ok().map(|address| address.to_string())
    }

    #[test]
    fn em_01_case_is_one() {
        assert_eq!(canonical("V@Example.ORG").as_deref(), Some("v@example.org"));
        assert_eq!(canonical("V@Example.ORG"), canonical("v@example.org"));
    }

    #[test]
    fn em_02_ph_14_no_letter_turns_into_an_ascii_twin() {
        for other in
            ["mıke@example.org", "ſam@example.org", "\u{212a}im@example.org", "ｍike@example.org", "ﬁne@example.org"]
        {
            let address = canonical(other);
            assert!(address.as_deref().is_none_or(|a| !a.is_ascii()), "{other} became {address:?}");
        }
        assert_eq!(canonical("strasse@example.org").as_deref(), Some("strasse@example.org"));
        assert_ne!(canonical("straße@example.org"), canonical("strasse@example.org"));
        assert_ne!(canonical("mikе@example.org"), canonical("mike@example.org"), "the e is Cyrillic");
        assert_eq!(EmailAddress::parse("MİKE@example.org"), Err(NotAnAddress::Forbidden));
    }

    #[test]
    fn what_is_canonical_stays_as_it_is() {
        for capital_and_mark in ["H\u{331}", "T\u{308}", "J\u{30c}", "W\u{30a}", "Y\u{30a}"] {
            let address = EmailAddress::parse(&format!("{capital_and_mark}om@example.org"));
            assert_eq!(address, Err(NotAnAddress::Forbidden), "{capital_and_mark}");
        }
        for c in (0x80..0x3_0000).filter_map(char::from_u32) {
            for text in [format!("{c}@example.org"), format!("x{c}\u{308}@example.org")] {
                let once = canonical(&text);
                assert_eq!(once.as_deref().and_then(canonical), once, "{text:?}");
            }
        }
    }

    #[test]
    fn em_05_domains_become_a_labels() {
        assert_eq!(canonical("a@bücher.example"), canonical("a@xn--bcher-kva.example"));
        assert_eq!(canonical("a@BÜCHER.example").as_deref(), Some("a@xn--bcher-kva.example"));
        for wrong in [
            "a@xn--example-.org",
            "a@example.org.",
            "a@xn--a",
            "a@-x.org",
            "a@x..org",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@localhost",
            "a@",
            "a@exam_ple.org",
        ] {
            assert_eq!(canonical(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn em_07_nothing_is_smuggled() {
        let long = format!("{}@example.org", "a".repeat(65));
        let longer = format!("a@{}.org", "abcdefgh.".repeat(30));
        for wrong in [
            "\"v@x\r\nBcc: a\"@example.org",
            "v\0@example.org",
            "<v@example.org>",
            "v@example.org\n",
            " v@example.org",
            "v@example.org,a@example.org",
            "v a@example.org",
            "\"v\"@example.org",
            "v(comment)@example.org",
            "@a.example:v@example.org",
            "Ada <v@example.org>",
            "v@example.org;a@example.org",
            "v",
            "",
            "@",
            "a@@b.org",
            ".v@example.org",
            "v.@example.org",
            "v..v@example.org",
            &long,
            &longer,
        ] {
            assert_eq!(canonical(wrong), None, "{wrong:?}");
        }
        assert_eq!(canonical("first.last+tag@example.org").as_deref(), Some("first.last+tag@example.org"));
    }

    proptest! {
        #[test]
        fn a_canonical_address_is_its_own_canonical_form(text in "\\PC{0,40}@\\PC{0,40}|[a-zA-Z.+]{1,12}@[a-zA-Zü.]{1,12}\\.org") {
            if let Ok(address) = EmailAddress::parse(&text) {
                prop_assert_eq!(EmailAddress::parse(address.as_str()), Ok(address.clone()));
                prop_assert!(address.as_str().len() <= 254);
                prop_assert_eq!(format!("{}@{}", address.local_part(), address.domain()), address.as_str());
            }
        }
    }
}
