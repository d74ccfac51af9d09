//! Access tokens: short-lived JWTs (typed as RFC 9068 does) that any service can verify by our JWKS.

use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::chance::Chance;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::{AccountId, SessionId};
use crate::keyring::sha256;
use crate::limits;
use crate::session::Issued;
use crate::signing_key::KeySet;

/// What an access token says. Every claim is required, and of its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    pub iss: String,
    pub aud: String,
    pub sub: AccountId,
    pub sid: SessionId,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    pub jti: Uuid,
    /// The account's security epoch: a claim or recovery makes every older token void.
    pub epoch: i64,
    /// When presence was last proven (OpenID Connect Core, section 2); a refresh does not renew it.
    pub auth_time: i64,
}

/// The `typ` of an access token (RFC 9068, section 2.1), so that no other token of ours passes for one.
const TYP: &str = "at+jwt";
/// Verified tokens remembered at most.
const REMEMBERED: usize = 16_384;
/// No token of ours is longer.
const LONGEST: usize = 2048;

/// Makes and verifies access tokens. Verified ones are remembered by their SHA-256, since the signature is most
/// of the cost of a read; this never stands in for the session row.
pub struct AccessTokens {
    issuer: String,
    audience: String,
    keys: RwLock<Arc<KeySet>>,
    verified: Cache<[u8; 32], Arc<AccessClaims>>,
    chance: Chance,
}

impl AccessTokens {
    #[must_use]
    pub fn new(issuer: String, audience: String, keys: KeySet, chance: Chance) -> Self {
        Self { issuer, audience, keys: RwLock::new(Arc::new(keys)), verified: Cache::new(REMEMBERED), chance }
    }

    #[must_use]
    pub fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows a rotation; what was verified by the former keys is looked at anew.
    pub fn replace_keys(&self, keys: KeySet) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        self.verified.clear();
    }

    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The access token of a session that was just opened or refreshed.
    pub fn mint(&self, issued: &Issued) -> Result<Zeroizing<String>> {
        let now = issued.issued_at.as_seconds();
        let life = i64::try_from(limits::ACCESS_TOKEN_LIFE.as_secs()).unwrap_or(0);
        let claims = AccessClaims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: issued.account.id,
            sid: issued.session.id,
            iat: now,
            nbf: now,
            exp: now + life,
            jti: uuid::Builder::from_random_bytes(self.chance.bytes()).into_uuid(),
            epoch: issued.session.epoch,
            auth_time: issued.session.authenticated_at.as_seconds(),
        };
        let keys = self.keys();
        let key = keys.signing_key(issued.issued_at)?;
        let header = Header { typ: Some(TYP.to_owned()), kid: Some(key.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        let token = encode(&header, &claims, &key.encoding).map_err(|error| Error::Broken(format!("JWT: {error}")))?;
        Ok(Zeroizing::new(token))
    }

    /// Verifies a token as of `now`. Whether its session still lives is for [`crate::session::authenticate`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<AccessClaims>> {
        if token.len() > LONGEST {
            return Err(Error::AccessTokenInvalid("too long"));
        }
        let hash = sha256(token.as_bytes());
        let claims = match self.verified.get(&hash) {
            Some(claims) => claims,
            None => {
                let claims = Arc::new(self.check(token)?);
                self.verified.insert(hash, Arc::clone(&claims));
                claims
            }
        };
        let (now, leeway) = (now.as_seconds(), i64::try_from(limits::CLOCK_LEEWAY.as_secs()).unwrap_or(0));
        if now > claims.exp.saturating_add(leeway) {
            return Err(Error::AccessTokenInvalid("expired"));
        }
        if claims.nbf.saturating_sub(leeway) > now || claims.iat.saturating_sub(leeway) > now {
            return Err(Error::AccessTokenInvalid("not yet valid"));
        }
        Ok(claims)
    }

    /// Signature, header, issuer, audience and the types of all claims: what does not change with time.
    fn check(&self, token: &str) -> Result<AccessClaims> {
        let header = decode_header(token).map_err(|_| Error::AccessTokenInvalid("not a JWT"))?;
        if header.typ.as_deref() != Some(TYP) || header.alg != Algorithm::EdDSA {
            return Err(Error::AccessTokenInvalid("not an access token"));
        }
        let kid = header.kid.ok_or(Error::AccessTokenInvalid("no key is named"))?;
        let keys = self.keys();
        let key = keys.verifying_key(&kid).ok_or(Error::AccessTokenInvalid("the key is not known"))?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        // the times are compared above, with the clock that everything here goes by
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let data = decode::<AccessClaims>(token, key, &validation).map_err(|error| {
            Error::AccessTokenInvalid(match error.kind() {
                ErrorKind::InvalidSignature => "the signature is wrong",
                ErrorKind::InvalidIssuer => "another issuer's",
                ErrorKind::InvalidAudience => "for another audience",
                ErrorKind::Json(_) | ErrorKind::MissingRequiredClaim(_) => "a claim is missing or of another type",
                _ => "it is cut or damaged",
            })
        })?;
        Ok(data.claims)
    }
}
