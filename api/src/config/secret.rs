//! Secrets in the configuration.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use zeroize::Zeroizing;

/// A secret that we share with somebody: never shown again, in no error and no log.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        // an error about another type would repeat the value
        match toml::Value::deserialize(input) {
            Ok(toml::Value::String(text)) => Ok(Self(Zeroizing::new(text))),
            _ => Err(de::Error::custom("a secret is text in quotes")),
        }
    }
}
