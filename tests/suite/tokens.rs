//! Our own tokens, made up, twisted and taken from elsewhere: none of them is let in.

use data_encoding::BASE64URL_NOPAD;
use doorstep_core::db::{self, Origin};
use doorstep_tests::{App, Setup, SignedIn, on_both};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::time::Duration;

/// Around the API: the very key that signs, out of the database and out of its seal.
struct Forge {
    kid: String,
    key: EncodingKey,
}

impl Forge {
    fn of(app: &App) -> Self {
        let stored = app.store().read(&Origin::default(), db::signing_keys::list_usable).unwrap().remove(0);
        let place = format!("signing key {}", stored.kid);
        let private = app.store().keyring().open(&place, &stored.sealed_private).unwrap();
        Self { kid: stored.kid, key: EncodingKey::from_ed_der(&private) }
    }

    fn header(&self) -> Header {
        Header { typ: Some("at+jwt".into()), kid: Some(self.kid.clone()), ..Header::new(Algorithm::EdDSA) }
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    fn sign_with(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &self.key).unwrap()
    }
}

fn base64(text: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(text.as_ref())
}

/// The claims with one changed; `None` takes it out.
fn with(claims: &Value, name: &str, value: Option<Value>) -> Value {
    let mut claims = claims.clone();
    match value {
        Some(value) => claims[name] = value,
        None => drop(claims.as_object_mut().unwrap().remove(name).unwrap()),
    }
    claims
}

#[track_caller]
fn is_refused(app: &App, token: &str, what: &str) {
    let answer = app.me(token);
    assert_eq!((answer.status, answer.code()), (401, "unauthorized".into()), "{what}");
    assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer error=\"invalid_token\""), "{what}");
}

on_both! {
    fn jw_01_no_signature_is_no_token(app) {
        let session = app.signs_up("ada@example.org");
        let parts: Vec<_> = session.access_token.split('.').collect();
        let kid = Forge::of(app).kid;
        for algorithm in ["none", "None", "NONE", "nOnE", "", "EdDSA", "EDDSA", "eddsa"] {
            let header = base64(json!({ "typ": "at+jwt", "alg": algorithm, "kid": kid }).to_string());
            is_refused(app, &format!("{header}.{}.", parts[1]), algorithm);
            if algorithm != "EdDSA" {
                is_refused(app, &format!("{header}.{}.{}", parts[1], parts[2]), algorithm);
            }
        }
        let unsaid = base64(json!({ "typ": "at+jwt", "kid": kid }).to_string());
        is_refused(app, &format!("{unsaid}.{}.{}", parts[1], parts[2]), "no algorithm");
        for cut in [&parts[..1], &parts[..2], &[parts[0], parts[1], parts[2], ""], &["", parts[1], parts[2]]] {
            is_refused(app, &cut.join("."), "other parts than three");
        }
        app.me(&session.access_token).expect(200);
    }

    fn jw_02_our_public_key_is_no_shared_secret(app) {
        let session = app.signs_up("ada@example.org");
        let jwks = app.client.get("/.well-known/jwks.json").send().expect(200).json();
        let jwk = &jwks["keys"][0];
        let x = jwk["x"].as_str().unwrap();
        let secrets = [
            Vec::new(), x.as_bytes().to_vec(), BASE64URL_NOPAD.decode(x.as_bytes()).unwrap(), jwk.to_string().into_bytes(),
            jwks.to_string().into_bytes(), app.config.server.secret.clone().unwrap().into_bytes(),
        ];
        for (i, secret) in secrets.iter().enumerate() {
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let header = Header { alg: algorithm, ..Forge::of(app).header() };
                let token = encode(&header, &session.claims(), &EncodingKey::from_secret(secret)).unwrap();
                is_refused(app, &token, &format!("{algorithm:?} with secret {i}"));
            }
        }
    }

    fn jw_04_every_claim_is_needed_and_of_its_type(app) {
        let session = app.signs_up("ada@example.org");
        let (forge, claims) = (Forge::of(app), session.claims());
        app.me(&forge.sign(&claims)).expect(200);
        for name in ["iss", "aud", "sub", "sid", "iat", "nbf", "exp", "jti", "epoch", "auth_time"] {
            is_refused(app, &forge.sign(&with(&claims, name, None)), &format!("no {name}"));
            for other in [Value::Null, json!(true), json!([]), json!({}), json!(""), json!(1.5), json!([claims[name]])] {
                is_refused(app, &forge.sign(&with(&claims, name, Some(other.clone()))), &format!("{name}: {other}"));
            }
            let twisted = match &claims[name] {
                Value::Number(number) => json!(number.to_string()),
                _ => json!(7),
            };
            is_refused(app, &forge.sign(&with(&claims, name, Some(twisted))), &format!("{name} of another type"));
        }
        app.me(&session.access_token).expect(200);
    }

    fn jw_04_a_token_is_for_us_by_us_and_of_a_live_session(app) {
        let session = app.signs_up("ada@example.org");
        let other = app.signs_up("grace@example.org");
        let (forge, claims) = (Forge::of(app), session.claims());
        let issuer = app.config.public_url();
        let wrong = [
            ("iss", json!(format!("{issuer}/"))), ("iss", json!(issuer.replace("https", "http"))),
            ("iss", json!("https://evil.example")), ("aud", json!("https://other.shop.example")),
            ("aud", json!(format!("{issuer}/"))), ("sub", other.claims()["sub"].clone()),
            ("sid", other.claims()["sid"].clone()), ("sid", json!("0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b13")),
            ("epoch", json!(claims["epoch"].as_i64().unwrap() + 1)), ("epoch", json!(claims["epoch"].as_i64().unwrap() - 1)),
            ("exp", json!(1)), ("exp", json!(i64::MIN)), ("iat", json!(i64::MAX)), ("nbf", json!(i64::MAX)),
        ];
        for (name, value) in wrong {
            is_refused(app, &forge.sign(&with(&claims, name, Some(value.clone()))), &format!("{name}: {value}"));
        }
    }

    fn jw_07_the_header_leads_nowhere(app) {
        let session = app.signs_up("ada@example.org");
        let (forge, claims) = (Forge::of(app), session.claims());
        let strange = ["", "../../etc/passwd", "/dev/null", "' OR '1'='1", "x'; DROP TABLE signing_keys; --", "\0", &"k".repeat(1500)];
        for kid in strange {
            is_refused(app, &forge.sign_with(&Header { kid: Some(kid.into()), ..forge.header() }, &claims), kid);
        }
        is_refused(app, &forge.sign_with(&Header { kid: None, ..forge.header() }, &claims), "no kid");
        for typ in [None, Some("JWT"), Some("jwt"), Some(""), Some("application/at+jwt"), Some("at+jwt ")] {
            let header = Header { typ: typ.map(Into::into), ..forge.header() };
            is_refused(app, &forge.sign_with(&header, &claims), &format!("typ {typ:?}"));
        }
        let strangers_key = EncodingKey::from_ed_der(&strangers_key());
        is_refused(app, &encode(&forge.header(), &claims, &strangers_key).unwrap(), "a stranger's key under our kid");
        app.me(&forge.sign(&claims)).expect(200);
    }

    fn jw_07_what_was_signed_cannot_be_changed(app) {
        let session = app.signs_up("ada@example.org");
        let parts: Vec<_> = session.access_token.split('.').collect();
        let changed = with(&session.claims(), "exp", Some(json!(4_000_000_000_u32)));
        is_refused(app, &format!("{}.{}.{}", parts[0], base64(changed.to_string()), parts[2]), "a longer life");
        let mut claims = session.claims();
        claims["role"] = json!("admin");
        is_refused(app, &format!("{}.{}.{}", parts[0], base64(claims.to_string()), parts[2]), "a role");
        // signed by ourselves it would still say nothing: roles are looked up
        app.me(&Forge::of(app).sign(&claims)).expect(200);
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts WHERE role <> 'customer'"), 0);
    }

    fn jw_11_clocks_may_be_half_a_minute_apart_and_no_more(app) {
        let session = app.signs_up("ada@example.org");
        let (forge, claims) = (Forge::of(app), session.claims());
        for name in ["nbf", "iat"] {
            let ahead = |by: i64| forge.sign(&with(&claims, name, Some(json!(app.clock.now().as_seconds() + by))));
            app.me(&ahead(29)).expect(200);
            is_refused(app, &ahead(40), &format!("{name} in 40 s"));
        }
        app.advance(Duration::from_secs(300 + 20));
        app.me(&session.access_token).expect(200);
        app.advance(Duration::from_secs(11));
        is_refused(app, &session.access_token, "31 s too old");
        is_refused(app, &forge.sign(&claims), "31 s too old, and never seen before");
        SignedIn::of(&app.refreshes(&session.refresh_token).expect(200));
    }

    fn jw_06_what_another_install_signed_is_worth_nothing_here(app) {
        let session = app.signs_up("ada@example.org");
        let other_secret = "Xw8sPq2LzNf6VtGy3KjBmRc7HdUe9aQ1".to_owned();
        for secret in [app.config.server.secret.clone().unwrap(), other_secret] {
            let mut setup = Setup::default();
            setup.config.server.secret = Some(secret);
            let other = App::start(app.db, setup).unwrap();
            let theirs = other.signs_up("ada@example.org");
            is_refused(app, &theirs.access_token, "an access token of another install");
            is_refused(&other, &session.access_token, "an access token taken to another install");
            assert_eq!(app.refreshes(&theirs.refresh_token).expect(401).code(), "session_ended");
            is_refused(app, &Forge::of(&other).sign(&session.claims()), "signed by another install's key");
            let header = Forge::of(app).header();
            is_refused(app, &Forge::of(&other).sign_with(&header, &session.claims()), "the same under our kid");
        }
        app.me(&session.access_token).expect(200);
    }
}

/// A PKCS #8 Ed25519 key that anybody may read in a document (RFC 8410, section 10.3).
fn strangers_key() -> Vec<u8> {
    data_encoding::BASE64.decode(b"MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC").unwrap()
}
