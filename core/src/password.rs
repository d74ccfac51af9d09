//! Passwords: what one is, which are refused, and why (NIST SP 800-63B-4, section 3.1.1).

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::email::EmailAddress;

/// Refused and never cut; the bound also keeps argon2 from being fed gigabytes.
const MAX_CHARS: usize = 256;
const MAX_BYTES: usize = 1024;
/// Below so many guesses (zxcvbn's estimate, as a power of ten) a password is common.
const COMMON_BELOW: f64 = 8.0;
/// Signs that may stand for letters (`p4ssw0rd`). The estimate tries all readings: with many of them a second goes by.
const SIGNS: &str = "4@8({[<369&#!1|0$5+7%2";
const MANY_SIGNS: usize = 12;
/// Of a password with many signs it gets only the two ends, of which one must do.
const END: usize = 18;
/// What must be left of a password when the words a stranger knows are taken out.
const LEFT_OVER: usize = 8;

/// A password in Normalization Form C.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// One reason why a password is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordFault {
    TooShort { least: usize },
    TooLong,
    ControlCharacters,
    Common,
    ContainsEmail,
    ContainsSiteName,
}

impl PasswordFault {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooShort { .. } => "too_short",
            Self::TooLong => "too_long",
            Self::ControlCharacters => "control_characters",
            Self::Common => "common",
            Self::ContainsEmail => "contains_email",
            Self::ContainsSiteName => "contains_site_name",
        }
    }

    /// A sentence for people.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::TooShort { least } => format!("Use at least {least} characters; a few words with spaces do well."),
            Self::TooLong => format!("Use at most {MAX_CHARS} characters and {MAX_BYTES} bytes."),
            Self::ControlCharacters => "Leave out control characters, such as tabs and line breaks.".to_owned(),
            Self::Common => "This is among the first that somebody would guess.".to_owned(),
            Self::ContainsEmail => "This is little more than the email address.".to_owned(),
            Self::ContainsSiteName => "This is little more than the name of this site.".to_owned(),
        }
    }
}

impl Password {
    /// Takes what a person typed; only its length is looked at, so that any password that was ever set is taken.
    pub fn parse(text: &str) -> Result<Self, PasswordFault> {
        if text.len() > MAX_BYTES {
            return Err(PasswordFault::TooLong);
        }
        let normal = Zeroizing::new(text.nfc().collect::<String>());
        if normal.len() > MAX_BYTES || normal.chars().count() > MAX_CHARS {
            return Err(PasswordFault::TooLong);
        }
        Ok(Self(normal))
    }

    /// How many it has.
    #[must_use]
    pub fn characters(&self) -> usize {
        self.0.chars().count()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// What a new password must satisfy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordPolicy {
    pub min_length: usize,
    pub site_name: String,
}

fn is_common(text: &str, site: &[&str]) -> bool {
    let guessed = |part: &str| zxcvbn::zxcvbn(part, site).guesses_log10() < COMMON_BELOW;
    if SIGNS.chars().filter(|sign| text.contains(*sign)).count() <= MANY_SIGNS {
        return guessed(text);
    }
    let start: String = text.chars().take(END).collect();
    let end: String = text.chars().skip(text.chars().count().saturating_sub(END)).collect();
    guessed(&start) && guessed(&end)
}

impl PasswordPolicy {
    /// Every reason against a password, whoever it is for; none means it will do. Takes some milliseconds.
    #[must_use]
    pub fn faults(&self, password: &Password) -> Vec<PasswordFault> {
        let mut faults = Vec::new();
        let text = password.0.as_str();
        if text.chars().count() < self.min_length {
            faults.push(PasswordFault::TooShort { least: self.min_length });
        }
        if text.chars().any(char::is_control) {
            faults.push(PasswordFault::ControlCharacters);
        }
        let site: Vec<&str> =
            std::iter::once(self.site_name.as_str()).chain(self.site_name.split_whitespace()).collect();
        if is_little_more_than(text, &site) {
            faults.push(PasswordFault::ContainsSiteName);
        }
        if is_common(text, &site) {
            faults.push(PasswordFault::Common);
        }
        faults
    }

    /// The reasons that depend on whose it will be: whoever has these addresses.
    #[must_use]
    pub fn faults_for(&self, password: &Password, emails: &[EmailAddress]) -> Vec<PasswordFault> {
        // the whole ones first: what is left of one without its local part says nothing
        let whole = emails.iter().map(EmailAddress::as_str);
        let words: Vec<&str> = whole.chain(emails.iter().map(EmailAddress::local_part)).collect();
        let own = is_little_more_than(&password.0, &words);
        if own { vec![PasswordFault::ContainsEmail] } else { Vec::new() }
    }
}

/// Whether taking the words out leaves next to nothing; words of under four letters are nobody's name.
fn is_little_more_than(password: &str, words: &[&str]) -> bool {
    let password = Zeroizing::new(password.to_lowercase());
    let mut left = password.clone();
    for word in words.iter().filter(|word| word.chars().count() >= 4) {
        left = Zeroizing::new(left.replace(&word.to_lowercase(), ""));
    }
    left.len() < password.len() && left.chars().count() < LEFT_OVER
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<&'static str> {
        let policy = PasswordPolicy { min_length: 15, site_name: "Shop Help".into() };
        let email = EmailAddress::parse("ada.lovelace@example.org").unwrap();
        match Password::parse(text) {
            Ok(password) => {
                let faults = policy
                    .faults(&password)
                    .into_iter()
                    .chain(policy.faults_for(&password, std::slice::from_ref(&email)));
                faults.map(|fault| fault.code()).collect()
            }
            Err(fault) => vec![fault.code()],
        }
    }

    #[test]
    fn says_every_reason() {
        assert!(codes("correct horse battery staple").is_empty());
        assert!(codes("unwahrscheinlich süß").is_empty());
        assert_eq!(codes("tulip"), ["too_short", "common"]);
        assert_eq!(codes("passwordpassword"), ["common"]);
        assert_eq!(codes("aaaaaaaaaaaaaaaaaaaa"), ["common"]);
        assert_eq!(codes("123456789012345678"), ["common"]);
        assert!(codes("Ada.Lovelace@Example.org").contains(&"contains_email"));
        assert!(codes("ada.lovelace2026!").contains(&"contains_email"));
        assert!(codes("ShopHelpShop123").contains(&"contains_site_name"));
        assert_eq!(codes("correct horse\nbattery staple"), ["control_characters"]);
        assert_eq!(codes(&"password".repeat(20)), ["common"]);
        // of one with many signs one end must do
        let signs = "4@8({[<369&#!1|";
        assert_eq!(codes(&format!("aaaaaaaaaaaaaaaaaa{signs}111111111111111111")), ["common"]);
        assert!(codes(&format!("aaaaaaaaaaaaaaaaaa{signs}correct horse battery")).is_empty());
        assert!(codes(&format!("correct horse battery{signs}aaaaaaaaaaaaaaaaaa")).is_empty());
    }

    #[test]
    fn length_counts_characters_and_is_never_cut() {
        assert!(codes(&"ß→q-".repeat(64)).iter().all(|code| *code != "too_long"));
        assert_eq!(codes(&"x".repeat(257)), ["too_long"]);
        assert_eq!(codes(&"語".repeat(400)), ["too_long"]);
    }

    #[test]
    fn two_spellings_of_a_letter_are_one_password() {
        let composed = Password::parse("caf\u{e9}").unwrap();
        let decomposed = Password::parse("cafe\u{301}").unwrap();
        assert_eq!(composed.as_bytes(), decomposed.as_bytes());
    }
}
