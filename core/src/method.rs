//! The ways to sign in, as a session remembers the one it was opened by.

use std::fmt;
use std::str::FromStr;

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;
use serde::{Serialize, Serializer};

use crate::provider::ProviderName;

/// A way to sign in. Its word is `password`, `sign_up`, or the name of a provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub enum Method {
    Password,
    /// Sign-up's confirmation signs in by the mailed secret it spends.
    SignUp,
    Provider(ProviderName),
}

impl Method {
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Password => "password",
            Self::SignUp => "sign_up",
            Self::Provider(name) => name.as_str(),
        }
    }
}

impl Method {
    /// The word without the provider's name, which [`Self::provider`] gives.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::SignUp => "sign_up",
            Self::Provider(_) => "provider",
        }
    }

    #[must_use]
    pub const fn provider(&self) -> Option<&ProviderName> {
        match self {
            Self::Provider(name) => Some(name),
            Self::Password | Self::SignUp => None,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "password" => Ok(Self::Password),
            "sign_up" => Ok(Self::SignUp),
            name => name.parse().map(Self::Provider),
        }
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<DB: Backend> ToSql<Text, DB> for Method
where
    str: ToSql<Text, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        self.as_str().to_sql(out)
    }
}

impl<DB: Backend> FromSql<Text, DB> for Method
where
    String: FromSql<Text, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(String::from_sql(value)?.parse()?)
    }
}
