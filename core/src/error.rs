//! One error type: what a rule refuses (the caller's to know) and what broke (the log's to know).

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use crate::id::AccountId;
use crate::method::Method;
use crate::password::PasswordFault;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One thing wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// JSON Pointer (RFC 6901) into the request's body, or `/name` of a query parameter or header.
    pub pointer: String,
    /// A stable word for programs.
    pub code: &'static str,
    /// A sentence for people.
    pub detail: String,
}

impl Fault {
    #[must_use]
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// A JSON Pointer (RFC 6901, section 4) to a field of what another points to.
#[must_use]
pub fn pointer(to: &str, name: &str) -> String {
    format!("{to}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Why a use case did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} field(s) are not valid", .0.len())]
    Invalid(Vec<Fault>),
    #[error("the password is refused")]
    WeakPassword(Vec<PasswordFault>),
    #[error("no such mailed secret")]
    SecretUnknown,
    /// Of several codes the one at this pointer.
    #[error("the code at {0} is not right")]
    CodeWrong(&'static str),
    #[error("the mailed secret was used, replaced, or is too old")]
    SecretGone,
    #[error("the address or the password is wrong")]
    CredentialsWrong,
    #[error("the session has ended")]
    SessionEnded,
    /// What makes it fresh: see [`crate::reauthentication::ways`].
    #[error("the session is not fresh enough for this")]
    Stale { methods: Vec<String> },
    #[error("the other session is not fresh enough for this")]
    OtherStale,
    #[error("the access token is not valid: {0}")]
    AccessTokenInvalid(&'static str),
    #[error("the API key is not valid")]
    ApiKeyInvalid,
    #[error("the API key lacks the scope {0}")]
    ScopeMissing(crate::api_key::Scope),
    #[error("this takes the role admin")]
    NotAdmin,
    #[error("an admin needs a password, as long as new ones are")]
    AdminNeedsPassword,
    #[error("sign-in by {0} is turned off")]
    MethodOff(Method),
    #[error("no such code, continuation or state of a flow")]
    FlowUnknown,
    #[error("the flow was finished, given up, or is too old")]
    FlowGone,
    #[error("an account has the address already: sign in, then link")]
    LinkRequired,
    #[error("the account is closed to its owner")]
    AccountClosed,
    #[error("the identity belongs to another account")]
    IdentityTaken,
    #[error("the identity is none of the account's")]
    NotLinked,
    #[error("the provider's user has not signed in there anew")]
    NotAnew,
    #[error("this needs a proven address")]
    AddressNeeded,
    #[error("an address is not unlinked")]
    AddressStays,
    #[error("the primary address stays while there are others")]
    PrimaryStays,
    #[error("the account has as many addresses as it may")]
    TooManyAddresses,
    #[error("it is the last admin's account")]
    LastAdmin,
    #[error("the admin could not sign in any more")]
    AdminLeftOut,
    #[error("it is the last way in")]
    LastWayIn,
    #[error("the accounts cannot become one: {0}")]
    MergeRefused(&'static str),
    #[error("the account's addresses came too lately to delete it by them")]
    AddressTooNew,
    #[error("the account has become part of another: {0}")]
    AccountMerged(AccountId),
    #[error("the account was deleted")]
    AccountDeleted,
    #[error("the desk has not asked for a rating")]
    RatingNotOffered,
    #[error("there are as many custom fields as there may be")]
    TooManyFields,
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("it has changed since it was read")]
    Changed,
    /// Another unit of work came between looking and holding; the store does the work anew.
    #[error("another unit of work was faster")]
    Overtaken,
    #[error("the idempotency key came with another request before")]
    KeyReused,
    #[error("too many attempts")]
    TooMany { retry_after: Duration },
    /// A bounded queue is full.
    #[error("too busy: {what}")]
    Busy { what: &'static str, retry_after: Duration },
    /// A part we need is away.
    #[error("unavailable: {0}")]
    Unavailable(String),
    #[error("database: {0}")]
    Database(DieselError),
    #[error("broken: {0}")]
    Broken(String),
    /// Refused, but what was written until then (a counted try, an ended session) is to stay.
    /// Only the store sees this; a caller gets the error inside.
    #[error("{0}")]
    Kept(Box<Error>),
}

impl Error {
    /// Refuses, and still commits what the unit of work has written.
    #[must_use]
    pub fn and_keep(self) -> Self {
        match self {
            Self::Kept(_) => self,
            other => Self::Kept(Box::new(other)),
        }
    }

    /// One faulty field.
    #[must_use]
    pub fn invalid(pointer: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Fault::new(pointer, code, detail)])
    }

    /// All faults of several checks at once; any other error as it is.
    ///
    /// # Errors
    /// Where one of the checks failed.
    pub fn all(checks: impl IntoIterator<Item = Result<()>>) -> Result<()> {
        let mut faults = Vec::new();
        for check in checks {
            match check {
                Ok(()) => {}
                Err(Self::Invalid(found)) => faults.extend(found),
                Err(other) => return Err(other),
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Self::Invalid(faults)) }
    }

    /// Another transaction was in the way, and the same work may well succeed when it is done anew.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Overtaken => true,
            Self::Database(DieselError::DatabaseError(kind, info)) => {
                matches!(kind, DatabaseErrorKind::SerializationFailure) || info.message().contains("deadlock detected")
            }
            _ => false,
        }
    }
}

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        match &error {
            DieselError::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
                _,
            ) => Self::Unavailable(error.to_string()),
            // the connection is good: it need not be made anew, nor the same wait be waited again
            DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) if is_timeout(info.message()) => {
                Self::Busy { what: "the database (a statement took too long)", retry_after: Duration::from_secs(1) }
            }
            DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) if is_outage(info.message()) => {
                Self::Unavailable(error.to_string())
            }
            _ => Self::Database(error),
        }
    }
}

/// What `statement_timeout` and `lock_timeout` end in.
fn is_timeout(message: &str) -> bool {
    ["statement", "lock"].iter().any(|what| message.contains(&format!("canceling statement due to {what} timeout")))
}

/// Messages by which the databases say that they, not our statement, are in trouble.
fn is_outage(message: &str) -> bool {
    const SIGNS: [&str; 11] = [
        "server closed the connection",
        "terminating connection",
        "connection to server",
        "could not connect",
        "the database system is",
        "no connection to the server",
        "SSL SYSCALL error",
        "database or disk is full",
        "disk I/O error",
        "could not extend file",
        "attempt to write a readonly database",
    ];
    SIGNS.iter().any(|sign| message.contains(sign))
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Broken(format!("JSON: {error}"))
    }
}

impl From<aws_lc_rs::error::Unspecified> for Error {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Broken("cryptography: unspecified".to_owned())
    }
}
