//! `[messenger]`: what the desk's server signs with, for the widget's history to find its owner.

use doorstep_core::messenger::Secrets;
use serde::Deserialize;

use super::secret::Secret;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Messenger {
    pub secret: Option<Secret>,
    /// Good as well, while the secret is replaced.
    pub previous_secret: Option<Secret>,
}

/// As many bytes as the hash has (RFC 2104, section 3).
const SHORTEST: usize = 32;

impl Messenger {
    pub(super) fn check(&self) -> Result<(), String> {
        for (key, secret) in [("secret", &self.secret), ("previous_secret", &self.previous_secret)] {
            if secret.as_ref().is_some_and(|secret| secret.expose().len() < SHORTEST) {
                return Err(format!(
                    "messenger.{key} has fewer than {SHORTEST} characters. Make one with: openssl rand -base64 32"
                ));
            }
        }
        if self.secret.is_none() && self.previous_secret.is_some() {
            return Err("messenger.previous_secret is set, and messenger.secret is not".to_owned());
        }
        Ok(())
    }

    #[must_use]
    pub fn secrets(&self) -> Secrets {
        Secrets::new(self.secret.iter().chain(&self.previous_secret).map(Secret::expose))
    }
}
