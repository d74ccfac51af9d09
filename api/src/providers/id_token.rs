//! The check of an id token (OpenID Connect Core, section 3.1.3.7; RFC 8725): pure, with the time as an argument.

use std::fmt;

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;
use doorstep_core::clock::Timestamp;
use doorstep_core::keyring::same;
use doorstep_core::limits;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde_json::{Map, Value};

/// No id token is longer.
const LONGEST: usize = 16 * 1024;
/// Public keys only: what is published signs nothing (RFC 8725, section 2.1).
const ALGORITHMS: [Algorithm; 4] = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];

/// Keys that a provider publishes (RFC 7517).
#[derive(Debug)]
pub struct Keys(Vec<Jwk>);

impl Keys {
    /// Reads a JWKS; keys of a kind that is not known here are left out, and so are shared secrets.
    #[must_use]
    pub fn read(document: &Value) -> Option<Self> {
        let keys = document.get("keys")?.as_array()?.iter();
        let keys = keys.filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
        let public = |jwk: &Jwk| {
            use AlgorithmParameters::{EllipticCurve, OctetKeyPair, RSA};
            matches!(jwk.algorithm, EllipticCurve(_) | OctetKeyPair(_) | RSA(_))
        };
        let keys: Vec<Jwk> = keys.filter(public).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The one key that a token was signed with, as far as its header says.
    fn find(&self, header: &Header) -> Result<&Jwk, Why> {
        let named = |jwk: &&Jwk| header.kid.is_none() || jwk.common.key_id == header.kid;
        if !self.0.iter().any(|jwk| named(&jwk)) {
            return Err(Why::UnknownKey);
        }
        let mut fitting = self.0.iter().filter(named).filter(|jwk| fits(jwk, header.alg));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => Err(Why::Key),
            (Some(_), Some(_)) => Err(Why::WhichKey),
        }
    }
}

/// Whether a key is meant for signatures of this algorithm.
fn fits(jwk: &Jwk, algorithm: Algorithm) -> bool {
    let kind = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256 | Algorithm::PS256) => true,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    let own = match (jwk.common.key_algorithm, algorithm) {
        (None, _)
        | (Some(KeyAlgorithm::RS256), Algorithm::RS256)
        | (Some(KeyAlgorithm::PS256), Algorithm::PS256)
        | (Some(KeyAlgorithm::ES256), Algorithm::ES256)
        | (Some(KeyAlgorithm::EdDSA), Algorithm::EdDSA) => true,
        (Some(_), _) => false,
    };
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let verifies = jwk.common.key_operations.as_ref().is_none_or(|may| may.contains(&KeyOperations::Verify));
    kind && own && signs && verifies
}

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    /// Apps of ours whose tokens are taken too; none where the token came by a code.
    pub native_client_ids: &'a [String],
    pub nonce: &'a str,
    /// The access token that came with it, which `at_hash` names.
    pub access_token: Option<&'a str>,
    pub now: Timestamp,
}

/// What a verified token says; nothing but `sub` was checked for more than who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    pub sub: String,
    all: Map<String, Value>,
}

impl Claims {
    /// A claim, or null.
    #[must_use]
    pub fn get(&self, name: &str) -> &Value {
        self.all.get(name).unwrap_or(&Value::Null)
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    TooLong,
    Damaged,
    Typ,
    Algorithm,
    /// No key of that name is known; there may be newer ones.
    UnknownKey,
    Key,
    WhichKey,
    Signature,
    Issuer,
    Audience,
    Party,
    Expired,
    Expiry,
    FromTheFuture,
    IssuedAt,
    Nonce,
    AccessToken,
    Subject,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the id token is too long",
            Self::Damaged => "the id token is no signed JWT with JSON claims",
            Self::Typ => "it is a token of another type",
            Self::Algorithm => "the id token's algorithm is not allowed",
            Self::UnknownKey => "the id token names a key that the provider does not publish",
            Self::Key => "the id token's algorithm is not its key's",
            Self::WhichKey => "the id token does not say which key it was signed with",
            Self::Signature => "the id token's signature is wrong",
            Self::Issuer => "the id token is another issuer's",
            Self::Audience => "the id token is for another client",
            Self::Party => "the id token was made for another party",
            Self::Expired => "the id token has expired",
            Self::Expiry => "the id token has no exp",
            Self::FromTheFuture => "the id token is not valid yet",
            Self::IssuedAt => "the id token has no iat",
            Self::Nonce => "the id token's nonce is not this flow's",
            Self::AccessToken => "the id token belongs to another access token",
            Self::Subject => "the id token has no sub",
        })
    }
}

/// Verifies a token: signature, header and every claim that says for whom and when it is good.
pub fn verify(token: &str, keys: &Keys, expected: &Expected<'_>) -> Result<Claims, Why> {
    if token.len() > LONGEST {
        return Err(Why::TooLong);
    }
    let header = decode_header(token).map_err(|_| Why::Damaged)?;
    // an extension that must be understood is not (RFC 7515, section 4.1.11)
    if header.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) || header.crit.is_some() {
        return Err(Why::Typ);
    }
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Why::Algorithm);
    }
    let key = DecodingKey::from_jwk(keys.find(&header)?).map_err(|_| Why::Key)?;
    let claims =
        decode::<Map<String, Value>>(token, &key, &signature_alone(header.alg)).map_err(|error| {
            match error.kind() {
                jsonwebtoken::errors::ErrorKind::Json(_) => Why::Damaged,
                _ => Why::Signature,
            }
        })?;
    check(&claims.claims, expected, header.alg)?;
    let sub = claims.claims.get("sub").and_then(Value::as_str).filter(|sub| !sub.is_empty());
    let sub = sub.ok_or(Why::Subject)?.to_owned();
    Ok(Claims { sub, all: claims.claims })
}

/// The claims are compared here, with the clock that everything goes by.
fn signature_alone(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn check(claims: &Map<String, Value>, expected: &Expected<'_>, algorithm: Algorithm) -> Result<(), Why> {
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(Why::Issuer);
    }
    check_audience(claims, expected)?;
    check_times(claims, expected.now)?;
    let nonce = claims.get("nonce").and_then(Value::as_str).filter(|nonce| !nonce.is_empty());
    if !nonce.is_some_and(|nonce| same(nonce.as_bytes(), expected.nonce.as_bytes())) {
        return Err(Why::Nonce);
    }
    match (claims.get("at_hash"), expected.access_token) {
        (Some(hash), Some(token)) if hash.as_str() != Some(&at_hash(token, algorithm)) => Err(Why::AccessToken),
        _ => Ok(()),
    }
}

fn check_audience(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Why> {
    let ours = |id: &str| id == expected.client_id || expected.native_client_ids.iter().any(|native| native == id);
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => {
            several.iter().map(|one| one.as_str().ok_or(Why::Audience)).collect::<Result<_, _>>()?
        }
        _ => return Err(Why::Audience),
    };
    if !audiences.iter().any(|audience| ours(audience)) {
        return Err(Why::Audience);
    }
    match claims.get("azp") {
        None if audiences.len() == 1 => Ok(()),
        Some(Value::String(party)) if ours(party) => Ok(()),
        _ => Err(Why::Party),
    }
}

fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<(), Why> {
    let time = |name: &str| claims.get(name).and_then(Value::as_i64);
    let (now, leeway) = (now.as_seconds(), i64::try_from(limits::CLOCK_LEEWAY.as_secs()).unwrap_or(0));
    let expires = time("exp").ok_or(Why::Expiry)?;
    if now >= expires.saturating_add(leeway) {
        return Err(Why::Expired);
    }
    let issued = time("iat").ok_or(Why::IssuedAt)?;
    let valid_from = if claims.contains_key("nbf") { time("nbf").ok_or(Why::Damaged)? } else { issued };
    if issued.max(valid_from).saturating_sub(leeway) > now {
        return Err(Why::FromTheFuture);
    }
    Ok(())
}

/// The left half of the access token's hash, by the hash of the signature (OpenID Connect Core, section 3.1.3.6).
fn at_hash(access_token: &str, algorithm: Algorithm) -> String {
    let by = if algorithm == Algorithm::EdDSA { &digest::SHA512 } else { &digest::SHA256 };
    let hash = digest::digest(by, access_token.as_bytes());
    let half = hash.as_ref().len() / 2;
    BASE64URL_NOPAD.encode(hash.as_ref().get(..half).unwrap_or_default())
}

#[cfg(test)]
#[path = "id_token_tests.rs"]
mod tests;
