//! Security > Authentication: what an admin sets at run time, and the one place that decides whether a method
//! may be used now (rule 14).

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::account::AccountState;
use crate::db::types::words;
use crate::db::{self, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::password::PasswordPolicy;

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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authentication {
    pub sign_up: SignUpPolicy,
    pub password_sign_in: bool,
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

words! {
    /// A way to sign in.
    pub enum Method {
        Password = "password",
        /// Sign-up's confirmation signs in by the mailed secret it spends.
        SignUp = "sign_up",
    }
}

impl Settings {
    /// Rule 14: whether an account may use a method now. An account in no state to sign in may use none.
    pub fn may_use(&self, method: Method, account: AccountState) -> Result<()> {
        self.offers(method)?;
        match account {
            AccountState::Claimed => Ok(()),
            AccountState::Unclaimed | AccountState::Disabled | AccountState::Merged | AccountState::Deleted => {
                Err(Error::SessionEnded)
            }
        }
    }

    /// Whether a method is offered to anybody at all.
    pub fn offers(&self, method: Method) -> Result<()> {
        match method {
            // what sign-up makes is a password: without password sign-in it leads nowhere
            Method::Password | Method::SignUp if !self.authentication.password_sign_in => {
                Err(Error::MethodOff("password sign-in"))
            }
            Method::Password | Method::SignUp => Ok(()),
        }
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

    #[must_use]
    pub fn password_policy(&self, site_name: &str) -> PasswordPolicy {
        PasswordPolicy {
            min_length: usize::from(self.authentication.password_min_length.max(LEAST_PASSWORD_LENGTH)),
            site_name: site_name.to_owned(),
        }
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
            let may = settings.may_use(Method::Password, *state).is_ok();
            assert_eq!(may, *state == AccountState::Claimed, "{state}");
        }
    }

    #[test]
    fn a_method_that_is_off_is_off_for_all() {
        let settings = settings(|s| s.password_sign_in = false);
        for method in Method::ALL {
            assert!(matches!(settings.may_use(*method, AccountState::Claimed), Err(Error::MethodOff(_))));
        }
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
