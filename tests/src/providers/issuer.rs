//! An OpenID issuer under a test's thumb: it signs whatever it is told, with any key, for the attacks that an honest
//! provider would never take part in.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair,
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use doorstep_core::clock::Clock;
use serde_json::{Value, json};

use super::{Codes, Grant, Refusal, parameter, random, with_query};
use crate::standin::{Call, Reply, Standin};

pub const CLIENT_ID: &str = "doorstep-at-issuer";
pub const CLIENT_SECRET: &str = "mZ8-vKq3tR0yWc5";

pub const DISCOVERY: &str = "/.well-known/openid-configuration";
pub const JWKS: &str = "/jwks";
pub const AUTHORIZE: &str = "/authorize";
pub const TOKEN: &str = "/token";
pub const USERINFO: &str = "/userinfo";

/// How a key signs (RFC 7518, section 3.1; RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alg {
    Rs256,
    Ps256,
    Es256,
    EdDsa,
}

enum Secret {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A key that signs.
pub struct Key {
    pub kid: String,
    alg: Alg,
    secret: Secret,
}

impl Key {
    #[must_use]
    pub fn new(alg: Alg) -> Self {
        let secret = match alg {
            Alg::Rs256 | Alg::Ps256 => Secret::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")),
            Alg::Es256 => Secret::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key")),
            Alg::EdDsa => Secret::Ed25519(Ed25519KeyPair::generate().expect("a key")),
        };
        Self { kid: random(), alg, secret }
    }

    /// The name of the algorithm in a header.
    #[must_use]
    pub const fn alg(&self) -> &'static str {
        match self.alg {
            Alg::Rs256 => "RS256",
            Alg::Ps256 => "PS256",
            Alg::Es256 => "ES256",
            Alg::EdDsa => "EdDSA",
        }
    }

    /// The header of what it signs.
    #[must_use]
    pub fn header(&self) -> Value {
        json!({ "alg": self.alg(), "kid": self.kid, "typ": "JWT" })
    }

    /// Its public half (RFC 7517).
    #[must_use]
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let mut jwk = match &self.secret {
            Secret::Rsa(pair) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                let [n, e] = [n, e].map(|number| text(number.big_endian_without_leading_zero()));
                json!({ "kty": "RSA", "n": n, "e": e })
            }
            Secret::P256(pair) => {
                // A 4, for a point that is not compressed, then x and y.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) })
            }
            Secret::Ed25519(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()) }),
        };
        jwk["alg"] = json!(self.alg());
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    /// Its public half, in each form that a careless verifier may take for a shared secret.
    #[must_use]
    pub fn public_forms(&self) -> Vec<Vec<u8>> {
        let jwk = self.jwk();
        let mut forms = vec![jwk.to_string().into_bytes()];
        if let Secret::Rsa(pair) = &self.secret {
            let der: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a public key has a DER form");
            let encoded = BASE64.encode(der.as_ref());
            let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
            let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", lines.join("\n"));
            let modulus = jwk["n"].as_str().unwrap_or_default();
            forms.extend([format!("{pem}\n").into_bytes(), pem.into_bytes(), der.as_ref().to_vec()]);
            forms.extend([modulus.as_bytes().to_vec(), pair.public_key().as_ref().to_vec()]);
            forms.push(BASE64URL_NOPAD.decode(modulus.as_bytes()).expect("we wrote it"));
        }
        forms
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let hash = digest(&SHA256, message);
        match &self.secret {
            Secret::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding =
                    if self.alg == Alg::Ps256 { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(padding, &hash, &mut signature).expect("a signature");
                signature
            }
            Secret::P256(pair) => pair.sign_digest(&hash).expect("a signature").as_ref().to_vec(),
            Secret::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

fn signing_input(header: &Value, claims: &Value) -> String {
    [header, claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes())).join(".")
}

fn with_signature(signing_input: String, signature: &[u8]) -> String {
    signing_input + "." + &BASE64URL_NOPAD.encode(signature)
}

/// Signs any header and claims (RFC 7515, section 5.1): what the header says of the key need not be true.
#[must_use]
pub fn sign(key: &Key, header: &Value, claims: &Value) -> String {
    let input = signing_input(header, claims);
    let signature = key.sign(input.as_bytes());
    with_signature(input, &signature)
}

/// Claims that nobody signed (RFC 7518, section 3.6), with `none` spelled in this way.
#[must_use]
pub fn unsigned(none: &str, claims: &Value) -> String {
    with_signature(signing_input(&json!({ "alg": none, "typ": "JWT" }), claims), &[])
}

/// Claims with a MAC made with these octets as the secret.
#[must_use]
pub fn hs256(secret: &[u8], header: &Value, claims: &Value) -> String {
    let input = signing_input(header, claims);
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    with_signature(input, mac.as_ref())
}

struct House {
    clock: Clock,
    discovery: Value,
    published: Vec<Value>,
    codes: Codes,
    userinfo: Option<Value>,
}

/// An issuer, until dropped. It signs with RS256 where nothing else is asked.
pub struct Issuer {
    standin: Standin,
    house: Arc<Mutex<House>>,
    pub rsa: Key,
    pub p256: Key,
    pub ed25519: Key,
}

impl Deref for Issuer {
    type Target = Standin;
    fn deref(&self) -> &Standin {
        &self.standin
    }
}

impl Issuer {
    /// One that lives by this clock, and publishes its three keys.
    #[must_use]
    pub fn start(clock: Clock) -> Self {
        let [rsa, p256, ed25519] = [Alg::Rs256, Alg::Es256, Alg::EdDsa].map(Key::new);
        let published = [&rsa, &p256, &ed25519].map(Key::jwk).to_vec();
        let house = House { clock, discovery: Value::Null, published, codes: Codes::default(), userinfo: None };
        let house = Arc::new(Mutex::new(house));
        let inside = Arc::clone(&house);
        let standin = Standin::start(|url| {
            lock(&inside).discovery = discovery(url);
            move |call| lock(&inside).answer(call)
        });
        Self { standin, house, rsa, p256, ed25519 }
    }

    /// Changes what the discovery document says.
    pub fn change_discovery(&self, change: impl FnOnce(&mut Value)) {
        change(&mut lock(&self.house).discovery);
    }

    /// From now on it publishes these keys and no others.
    pub fn publishes(&self, jwks: Vec<Value>) {
        lock(&self.house).published = jwks;
    }

    /// What the userinfo endpoint says, whoever asks with a token.
    pub fn says_of_its_user(&self, userinfo: Value) {
        lock(&self.house).userinfo = Some(userinfo);
    }

    /// A new RS256 key in place of the last, which is no longer published.
    pub fn rotate(&mut self) {
        self.rsa = Key::new(Alg::Rs256);
        self.publishes([&self.rsa, &self.p256, &self.ed25519].map(Key::jwk).to_vec());
    }

    /// The claims of a good id token.
    #[must_use]
    pub fn claims(&self, audience: &str, nonce: &str, subject: &str) -> Value {
        let now = lock(&self.house).clock.now().as_seconds();
        json!({
            "iss": self.url(), "aud": audience, "sub": subject, "iat": now, "exp": now + 3600, "nonce": nonce
        })
    }

    /// The claims of the good id token that an app asks for with this URL.
    ///
    /// # Panics
    /// When the URL has no nonce.
    #[must_use]
    #[track_caller]
    pub fn claims_for(&self, authorization_url: &str, subject: &str) -> Value {
        let nonce = parameter(authorization_url, "nonce").expect("a nonce");
        self.claims(CLIENT_ID, &nonce, subject)
    }

    /// Signs claims as it should.
    #[must_use]
    pub fn signs(&self, claims: &Value) -> String {
        sign(&self.rsa, &self.rsa.header(), claims)
    }

    /// Where the browser goes of somebody who agrees: with a code for which the app gets this id token.
    ///
    /// # Panics
    /// When the authorization request is not as it should be (OpenID Connect Core, section 3.1.2.1; RFC 7636).
    #[must_use]
    #[track_caller]
    pub fn consents(&self, authorization_url: &str, id_token: &str) -> String {
        let asked = |name: &str| parameter(authorization_url, name).unwrap_or_default();
        assert_eq!(asked("response_type"), "code");
        assert_eq!(asked("client_id"), CLIENT_ID);
        assert_eq!(asked("code_challenge_method"), "S256");
        assert!(asked("scope").split(' ').any(|scope| scope == "openid"), "the scope has openid");
        assert!(authorization_url.starts_with(&format!("{}{AUTHORIZE}?", self.url())), "{authorization_url}");
        let (redirect_uri, state) = (asked("redirect_uri"), asked("state"));
        let grant = Grant {
            client_id: CLIENT_ID.to_owned(),
            redirect_uri: redirect_uri.clone(),
            code_challenge: Some(asked("code_challenge")),
            scope: asked("scope"),
            subject: id_token.to_owned(),
        };
        let code = lock(&self.house).codes.issue(grant);
        with_query(&redirect_uri, &[("code", &code), ("state", &state)])
    }

    /// Where the browser of somebody goes who does not agree.
    #[must_use]
    pub fn cancels(&self, authorization_url: &str) -> String {
        let asked = |name: &str| parameter(authorization_url, name).unwrap_or_default();
        with_query(&asked("redirect_uri"), &[("error", "access_denied"), ("state", &asked("state"))])
    }
}

fn lock(house: &Mutex<House>) -> MutexGuard<'_, House> {
    house.lock().unwrap_or_else(PoisonError::into_inner)
}

/// OpenID Connect Discovery 1.0, section 3.
fn discovery(url: &str) -> Value {
    json!({
        "issuer": url, "authorization_endpoint": format!("{url}{AUTHORIZE}"), "token_endpoint": format!("{url}{TOKEN}"),
        "userinfo_endpoint": format!("{url}{USERINFO}"), "jwks_uri": format!("{url}{JWKS}"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
        "scopes_supported": ["openid", "email", "profile"], "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"]
    })
}

/// An error of the token endpoint (RFC 6749, section 5.2).
fn error(status: u16, error: &str) -> Reply {
    Reply::json(status, &json!({ "error": error }))
}

impl House {
    fn answer(&mut self, call: &Call) -> Reply {
        match (call.method.as_str(), call.path.as_str()) {
            ("GET", DISCOVERY) => Reply::json(200, &self.discovery),
            ("GET", JWKS) => Reply::json(200, &json!({ "keys": self.published })),
            ("POST", TOKEN) => self.token(call),
            ("GET", USERINFO) if call.bearer().is_none() => error(401, "invalid_token"),
            ("GET", USERINFO) => self.userinfo.as_ref().map_or_else(Reply::not_found, |user| Reply::json(200, user)),
            _ => Reply::not_found(),
        }
    }

    fn token(&mut self, call: &Call) -> Reply {
        let posted = || Some((call.parameter("client_id")?, call.parameter("client_secret")?));
        if call.basic().or_else(posted) != Some((CLIENT_ID.to_owned(), CLIENT_SECRET.to_owned())) {
            return error(401, "invalid_client");
        }
        if call.parameter("grant_type").as_deref() != Some("authorization_code") {
            return error(400, "unsupported_grant_type");
        }
        let granted: Result<Grant, Refusal> = self.codes.redeem(CLIENT_ID, call);
        granted.map_or_else(
            |_| error(400, "invalid_grant"),
            |grant| {
                let token = random();
                Reply::json(
                    200,
                    &json!({
                        "access_token": token, "token_type": "Bearer", "expires_in": 3600, "scope": grant.scope,
                        "id_token": grant.subject
                    }),
                )
            },
        )
    }
}
