//! Signing keys: Ed25519, sealed in the database, rotated on schedule and by command, followed by every process.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::audit::{self, Action, Actor};
use crate::clock::Timestamp;
use crate::db::types::Json;
use crate::db::{self, Lock, Work};
use crate::error::{Error, Result};
use crate::limits;

/// A key as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    pub kid: String,
    pub sealed_private: Vec<u8>,
    pub public_jwk: Value,
    pub created_at: Timestamp,
    pub signs_from: Timestamp,
    /// Set once a successor is made; then it is gone.
    pub verifies_until: Option<Timestamp>,
}

pub struct SigningKey {
    pub kid: String,
    pub(crate) encoding: EncodingKey,
    decoding: DecodingKey,
    public_jwk: Value,
    signs_from: Timestamp,
}

/// All keys that may verify now, and the one that signs.
pub struct KeySet {
    keys: Vec<SigningKey>,
}

impl KeySet {
    /// The youngest key whose time has come.
    pub fn signing_key(&self, now: Timestamp) -> Result<&SigningKey> {
        let started = self.keys.iter().filter(|key| key.signs_from <= now).max_by_key(|key| key.signs_from);
        started.or_else(|| self.keys.first()).ok_or_else(|| Error::Broken("there is no signing key".into()))
    }

    #[must_use]
    pub fn verifying_key(&self, kid: &str) -> Option<&DecodingKey> {
        self.keys.iter().find(|key| key.kid == kid).map(|key| &key.decoding)
    }

    /// Whether it holds the same keys as another.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.keys.iter().map(|key| &key.kid).eq(other.keys.iter().map(|key| &key.kid))
    }

    /// The JSON Web Key Set (RFC 7517, section 5).
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.keys.iter().map(|key| key.public_jwk.clone()).collect::<Vec<_>>() })
    }
}

fn place(kid: &str) -> String {
    format!("signing key {kid}")
}

/// Reads the keys that may verify now.
pub fn load(work: &mut Work<'_>) -> Result<KeySet> {
    let stored = db::signing_keys::list_usable(work)?;
    let keys = stored.into_iter().map(|key| open(work, key)).collect::<Result<Vec<_>>>()?;
    Ok(KeySet { keys })
}

fn open(work: &Work<'_>, stored: StoredKey) -> Result<SigningKey> {
    let private = work.keyring().open(&place(&stored.kid), &stored.sealed_private)?;
    let jwk: Jwk = serde_json::from_value(stored.public_jwk.clone())?;
    Ok(SigningKey {
        encoding: EncodingKey::from_ed_der(&private),
        decoding: DecodingKey::from_jwk(&jwk).map_err(broken)?,
        kid: stored.kid,
        public_jwk: stored.public_jwk,
        signs_from: stored.signs_from,
    })
}

/// Makes the first key, or the next one when the youngest is old. Says whether it made one.
pub fn ensure(work: &mut Work<'_>) -> Result<bool> {
    work.hold(&[Lock::House])?;
    let youngest = db::signing_keys::list_usable(work)?.into_iter().max_by_key(|key| key.signs_from);
    match youngest {
        Some(key) if work.now().since(key.signs_from) < limits::KEY_AGE => Ok(false),
        Some(_) => rotate(work, Actor::System).map(|_| true),
        None => {
            make(work, work.now())?;
            Ok(true)
        }
    }
}

/// Makes a new key, which signs once every process has had time to see it; the others go on verifying until
/// what they signed is dead. Gives the new key's id and when it begins to sign.
pub fn rotate(work: &mut Work<'_>, actor: Actor) -> Result<(String, Timestamp)> {
    work.hold(&[Lock::House])?;
    let signs_from = work.now() + limits::KEY_LEAD;
    db::signing_keys::retire_all(work, signs_from + limits::KEY_AFTERLIFE)?;
    let kid = make(work, signs_from)?;
    audit::record(work, Action::SigningKeyRotated, actor, None, &json!({ "kid": kid }))?;
    Ok((kid, signs_from))
}

fn make(work: &mut Work<'_>, signs_from: Timestamp) -> Result<String> {
    let seed = Zeroizing::new(work.random::<32>());
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(broken)?;
    let private = pair.to_pkcs8v1().map_err(broken)?;
    let encoding = EncodingKey::from_ed_der(private.as_ref());
    let mut jwk = Jwk::from_encoding_key(&encoding, Algorithm::EdDSA).map_err(broken)?;
    let kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(broken)?;
    jwk.common.key_id = Some(kid.clone());
    jwk.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Signature);
    if !matches!(jwk.algorithm, AlgorithmParameters::OctetKeyPair(_)) {
        return Err(Error::Broken("an Ed25519 key became another kind of JWK".into()));
    }
    let sealed_private = work.keyring().seal(&place(&kid), private.as_ref())?;
    let key = StoredKey {
        kid: kid.clone(),
        sealed_private,
        public_jwk: Json::of(&jwk)?.0,
        created_at: work.now(),
        signs_from,
        verifies_until: None,
    };
    db::signing_keys::insert(work, &key)?;
    Ok(kid)
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::Broken(format!("signing key: {error}"))
}
