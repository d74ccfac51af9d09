//! `Idempotency-Key`: a creating request sent twice creates once.

use uuid::Uuid;

use crate::db::{self, Lock, Work};
use crate::error::{Error, Result};

/// A key as its caller sent it, and what it was sent with.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// Who sent it: keys of two callers never meet.
    pub caller: String,
    /// The operation it was sent to.
    pub route: &'static str,
    pub key: String,
    /// The SHA-256 of the request's path and body.
    pub fingerprint: [u8; 32],
}

impl IdempotencyKey {
    /// Reads the header's value.
    pub fn check(value: &str) -> Result<()> {
        let good = (1..=255).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic());
        if good {
            return Ok(());
        }
        let detail = "An Idempotency-Key has 1 to 255 visible ASCII characters; a random UUID does well.";
        Err(Error::invalid("/Idempotency-Key", "idempotency_key_invalid", detail))
    }
}

/// Makes something once: a second request with the same key is given the id of what the first made.
pub fn once<I: From<Uuid>>(
    work: &mut Work<'_>,
    key: Option<&IdempotencyKey>,
    make: impl FnOnce(&mut Work<'_>) -> Result<Uuid>,
) -> Result<I> {
    let Some(key) = key else { return make(work).map(I::from) };
    work.hold(&[Lock::Idempotency(key)])?;
    if let Some((fingerprint, made)) = db::idempotency_keys::find(work, key)? {
        return if fingerprint == key.fingerprint { Ok(made.into()) } else { Err(Error::KeyReused) };
    }
    let made = make(work)?;
    db::idempotency_keys::insert(work, key, made)?;
    Ok(made.into())
}
