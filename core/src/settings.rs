//! Security > Authentication: what an admin sets at run time, and the one place that decides whether a method
//! may be used now (rule 14).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::account::AccountState;
use crate::db::types::words;
use crate::db::{self, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::identity::IdentityKind;
pub use crate::method::Method;
use crate::password::PasswordPolicy;
use crate::provider::ProviderName;

words! {
    /// Who may make an account by sign-up.
    pub enum SignUpPolicy {
        /// Anybody who can read mail at an address.
        Open = "open",
        /// Only people whom support already knows.
        KnownOnly = "known_only",
    }
}

words! {
    /// What becomes of a push from somebody support has never met.
    pub enum UnknownRequesters {
        Accept = "accept",
        /// Kept, and shown to nobody until the desk releases it.
        Hold = "hold",
    }
}

/// The floor under an admin's choice of password length (NIST SP 800-63B-4, section 3.1.1.2).
pub const LEAST_PASSWORD_LENGTH: u16 = 8;

/// What an admin sets of one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSettings {
    pub enabled: bool,
    /// People whom nobody has met may make an account by it.
    pub may_create_accounts: bool,
    /// An address that it vouches for needs no mailed code. Google alone may have this (rule 7).
    pub email_counts: bool,
}

impl ProviderSettings {
    /// What holds of a provider that no admin has touched.
    #[must_use]
    pub fn unset(name: &ProviderName) -> Self {
        Self { enabled: true, may_create_accounts: true, email_counts: name.kind() == IdentityKind::Google }
    }
}

/// What was stored before a setting existed has it as it is by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Authentication {
    pub sign_up: SignUpPolicy,
    pub password_sign_in: bool,
    /// Signing in with providers as a whole.
    pub social_sign_on: bool,
    /// Only those that an admin has touched.
    pub providers: BTreeMap<ProviderName, ProviderSettings>,
    pub password_min_length: u16,
    pub session_idle_seconds: u64,
    pub session_absolute_seconds: u64,
    /// Where not empty, only these domains may make or claim an account.
    pub allowed_domains: Vec<String>,
    /// These may not, unless allowed.
    pub blocked_domains: Vec<String>,
    pub unknown_requesters: UnknownRequesters,
}

impl Default for Authentication {
    fn default() -> Self {
        Self {
            sign_up: SignUpPolicy::Open,
            password_sign_in: true,
            social_sign_on: true,
            providers: BTreeMap::new(),
            password_min_length: 15,
            session_idle_seconds: 14 * 86_400,
            session_absolute_seconds: 30 * 86_400,
            allowed_domains: Vec::new(),
            blocked_domains: Vec::new(),
            unknown_requesters: UnknownRequesters::Accept,
        }
    }
}

/// The settings and the number of their last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub version: i64,
    pub authentication: Authentication,
}

impl Settings {
    /// Rule 14: whether an account may use a method now. An account in no state to sign in may use none.
    pub fn may_use(&self, method: &Method, account: AccountState) -> Result<()> {
        self.offers(method)?;
        match account {
            AccountState::Claimed => Ok(()),
            AccountState::Unclaimed | AccountState::Disabled | AccountState::Merged | AccountState::Deleted => {
                Err(Error::AccountClosed)
            }
        }
    }

    /// Whether a method is offered to anybody at all.
    pub fn offers(&self, method: &Method) -> Result<()> {
        let off = match method {
            // what sign-up makes is a password: without password sign-in it leads nowhere
            Method::Password | Method::SignUp => !self.authentication.password_sign_in,
            Method::Provider(name) => !self.authentication.social_sign_on || !self.provider(name).enabled,
        };
        if off { Err(Error::MethodOff(method.clone())) } else { Ok(()) }
    }

    /// What an admin has set of a provider, or what holds where nobody has.
    #[must_use]
    pub fn provider(&self, name: &ProviderName) -> ProviderSettings {
        self.authentication.providers.get(name).copied().unwrap_or_else(|| ProviderSettings::unset(name))
    }

    /// Whether an address may become an account's. Allow beats block.
    #[must_use]
    pub fn admits(&self, address: &EmailAddress) -> bool {
        let listed = |list: &[String]| list.iter().any(|domain| domain == address.domain());
        let Authentication { allowed_domains, blocked_domains, .. } = &self.authentication;
        if !allowed_domains.is_empty() {
            return listed(allowed_domains);
        }
        !listed(blocked_domains)
    }

    /// Characters that a new password must have.
    #[must_use]
    pub fn least_password_length(&self) -> usize {
        usize::from(self.authentication.password_min_length.max(LEAST_PASSWORD_LENGTH))
    }

    #[must_use]
    pub fn password_policy(&self, site_name: &str) -> PasswordPolicy {
        PasswordPolicy { min_length: self.least_password_length(), site_name: site_name.to_owned() }
    }

    #[must_use]
    pub const fn session_idle(&self) -> Duration {
        Duration::from_secs(self.authentication.session_idle_seconds)
    }

    #[must_use]
    pub const fn session_absolute(&self) -> Duration {
        Duration::from_secs(self.authentication.session_absolute_seconds)
    }
}

/// The settings as they are in this transaction.
pub fn current(work: &mut Work<'_>) -> Result<Arc<Settings>> {
    let version = db::settings::version(work)?;
    if let Some(known) = last_seen(work).filter(|known| known.version == version) {
        return Ok(known);
    }
    let settings = Arc::new(db::settings::get(work)?);
    let mut cached = work.shared.settings.write().unwrap_or_else(PoisonError::into_inner);
    *cached = Some(Arc::clone(&settings));
    Ok(settings)
}

/// The settings as this process last saw them: for a caller that has the database confirm their version.
#[must_use]
pub fn last_seen(work: &Work<'_>) -> Option<Arc<Settings>> {
    work.shared.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Replaces the settings, in a unit that holds the house; every process sees them in its next transaction.
pub fn replace(work: &mut Work<'_>, authentication: &Authentication) -> Result<Arc<Settings>> {
    db::settings::replace(work, authentication)?;
    current(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(change: impl FnOnce(&mut Authentication)) -> Settings {
        let mut authentication = Authentication::default();
        change(&mut authentication);
        Settings { version: 1, authentication }
    }

    #[test]
    fn only_a_claimed_account_may_use_a_method() {
        let settings = settings(|_| ());
        for state in AccountState::ALL {
            let may = settings.may_use(&Method::Password, *state).is_ok();
            assert_eq!(may, *state == AccountState::Claimed, "{state}");
        }
    }

    #[test]
    fn a_method_that_is_off_is_off_for_all() {
        let settings = settings(|s| s.password_sign_in = false);
        let google = Method::Provider("google".parse().unwrap());
        for method in [Method::Password, Method::SignUp] {
            assert!(matches!(settings.may_use(&method, AccountState::Claimed), Err(Error::MethodOff(_))));
        }
        assert!(settings.may_use(&google, AccountState::Claimed).is_ok());
    }

    #[test]
    fn ad_01_a_provider_is_off_alone_or_with_all_of_them() {
        let name = |text: &str| text.parse::<ProviderName>().unwrap();
        let of = |text| Method::Provider(name(text));
        let one_off = settings(|s| {
            let google = ProviderSettings { enabled: false, ..ProviderSettings::unset(&name("google")) };
            s.providers.insert(name("google"), google);
        });
        assert!(matches!(one_off.offers(&of("google")), Err(Error::MethodOff(_))));
        assert!(one_off.offers(&of("twitter")).is_ok());
        let all_off = settings(|s| s.social_sign_on = false);
        for provider in ["google", "facebook", "twitter", "acme"] {
            assert!(matches!(all_off.offers(&of(provider)), Err(Error::MethodOff(_))), "{provider}");
        }
        assert!(all_off.offers(&Method::Password).is_ok());
    }

    #[test]
    fn rule_7_by_default_googles_addresses_alone_count() {
        let settings = settings(|_| ());
        for (provider, counts) in [("google", true), ("facebook", false), ("twitter", false), ("acme", false)] {
            assert_eq!(settings.provider(&provider.parse().unwrap()).email_counts, counts, "{provider}");
        }
    }

    #[test]
    fn ft_30_settings_of_an_earlier_version_are_read_with_what_they_lack() {
        let earlier = r#"{"sign_up":"known_only","password_sign_in":true,"password_min_length":12}"#;
        let read: Authentication = serde_json::from_str(earlier).unwrap();
        let expected =
            Authentication { sign_up: SignUpPolicy::KnownOnly, password_min_length: 12, ..Authentication::default() };
        assert_eq!(read, expected);
    }

    #[test]
    fn allow_beats_block() {
        let address = EmailAddress::parse("ada@example.org").unwrap();
        let list = || vec!["example.org".to_owned()];
        assert!(settings(|_| ()).admits(&address));
        assert!(!settings(|s| s.blocked_domains = list()).admits(&address));
        assert!(
            settings(|s| {
                s.blocked_domains = list();
                s.allowed_domains = list();
            })
            .admits(&address)
        );
        assert!(!settings(|s| s.allowed_domains = vec!["example.com".into()]).admits(&address));
    }

    #[test]
    fn the_floor_under_the_password_length_holds() {
        assert_eq!(settings(|s| s.password_min_length = 1).password_policy("x").min_length, 8);
    }
}
