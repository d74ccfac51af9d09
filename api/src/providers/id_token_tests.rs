use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD as B64;
use serde_json::json;

use super::*;
use crate::providers::stand_in::{Signer, encode};

const ISSUER: &str = "https://login.example";
const NOW: i64 = 1_800_000_000;

/// A provider's key, and what it publishes.
struct Provider {
    signer: Signer,
    keys: Keys,
}

impl Provider {
    fn new() -> Self {
        let signer = Signer::new("k1");
        let keys = Keys::read(&signer.jwks()).unwrap();
        Self { signer, keys }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        self.signer.sign(header, claims)
    }

    fn token(&self, claims: &Value) -> String {
        self.signer.token(claims)
    }

    fn public(&self) -> Vec<u8> {
        self.signer.pair.public_key().as_ref().to_vec()
    }

    /// What is said of a token whose claims differ from a good one's; `"-"` leaves a claim out.
    fn with(&self, changes: &[(&str, Value)]) -> Result<Claims, Why> {
        let mut claims = good();
        for (name, value) in changes {
            match value {
                Value::String(text) if text == "-" => drop(claims.as_object_mut().unwrap().remove(*name)),
                value => claims[*name] = value.clone(),
            }
        }
        verify(&self.token(&claims), &self.keys, &expected(&[]))
    }
}

fn good() -> Value {
    json!({
        "iss": ISSUER, "aud": "client", "sub": "s1", "nonce": "n1", "exp": NOW + 300, "iat": NOW,
        "email": "v@example.org", "email_verified": true,
    })
}

fn expected(natives: &[String]) -> Expected<'_> {
    Expected {
        issuer: ISSUER,
        client_id: "client",
        native_client_ids: natives,
        nonce: "n1",
        access_token: None,
        now: Timestamp::from_micros(NOW * 1_000_000),
    }
}

#[test]
fn a_good_token_is_taken() {
    let claims = Provider::new().with(&[]).unwrap();
    assert_eq!(claims.sub, "s1");
    assert_eq!(claims.get("email"), "v@example.org");
    assert_eq!(claims.get("hd"), &Value::Null);
}

#[test]
fn oa_09_a_token_for_another_client_is_refused() {
    let provider = Provider::new();
    let aud = |aud: Value| provider.with(&[("aud", aud)]);
    assert!(aud(json!(["client"])).is_ok());
    let wrong = [
        json!("other"),
        json!("Client"),
        json!("client "),
        json!(""),
        json!([]),
        json!(["other"]),
        json!(["client", 1]),
        json!(null),
        json!({ "client": true }),
        json!("-"),
    ];
    for wrong in wrong {
        assert_eq!(aud(wrong.clone()), Err(Why::Audience), "{wrong}");
    }
    // where there are several, whom it was made for must be said, and be us
    assert_eq!(aud(json!(["client", "other"])), Err(Why::Party));
    let both = json!(["client", "other"]);
    assert!(provider.with(&[("aud", both.clone()), ("azp", json!("client"))]).is_ok());
    for party in [json!("other"), json!(""), json!(null), json!(["client"])] {
        assert_eq!(provider.with(&[("aud", both.clone()), ("azp", party.clone())]), Err(Why::Party), "{party}");
        assert_eq!(provider.with(&[("azp", party.clone())]), Err(Why::Party), "{party}");
    }
}

#[test]
fn oa_09_an_apps_client_is_ours_where_it_is_listed() {
    let provider = Provider::new();
    let natives = ["ios".to_owned()];
    let mut claims = good();
    claims["aud"] = json!("ios");
    assert!(verify(&provider.token(&claims), &provider.keys, &expected(&natives)).is_ok());
    assert_eq!(verify(&provider.token(&claims), &provider.keys, &expected(&[])), Err(Why::Audience));
    claims["aud"] = json!("client");
    claims["azp"] = json!("ios");
    assert!(verify(&provider.token(&claims), &provider.keys, &expected(&natives)).is_ok());
    claims["azp"] = json!("android");
    assert_eq!(verify(&provider.token(&claims), &provider.keys, &expected(&natives)), Err(Why::Party));
}

#[test]
fn oa_10_a_token_of_another_issuer_is_refused() {
    let provider = Provider::new();
    let wrong = [
        json!("https://login.example/"),
        json!("http://login.example"),
        json!("login.example"),
        json!("https://login.example.evil.example"),
        json!("https://LOGIN.example"),
        json!(["https://login.example"]),
        json!(""),
        json!(null),
        json!("-"),
    ];
    for iss in wrong {
        assert_eq!(provider.with(&[("iss", iss.clone())]), Err(Why::Issuer), "{iss}");
    }
    // by another's key, though it says our provider's name
    let evil = Provider::new();
    assert_eq!(verify(&evil.token(&good()), &provider.keys, &expected(&[])), Err(Why::Signature));
}

#[test]
fn oa_11_a_token_out_of_its_time_is_refused() {
    let provider = Provider::new();
    assert!(provider.with(&[("exp", json!(NOW - 29))]).is_ok(), "clocks may be half a minute apart");
    assert!(provider.with(&[("iat", json!(NOW + 30))]).is_ok());
    assert_eq!(provider.with(&[("exp", json!(NOW - 30))]), Err(Why::Expired));
    assert_eq!(provider.with(&[("exp", json!(0))]), Err(Why::Expired));
    assert_eq!(provider.with(&[("exp", json!(i64::MIN))]), Err(Why::Expired));
    assert_eq!(provider.with(&[("iat", json!(NOW + 31))]), Err(Why::FromTheFuture));
    assert_eq!(provider.with(&[("iat", json!(i64::MAX)), ("exp", json!(i64::MAX))]), Err(Why::FromTheFuture));
    assert_eq!(provider.with(&[("nbf", json!(NOW + 31))]), Err(Why::FromTheFuture));
    for none in [json!("-"), json!(null), json!("1900000000"), json!([NOW + 300]), json!(u64::MAX)] {
        let without = provider.with(&[("exp", none.clone())]);
        assert!(matches!(without, Err(Why::Expiry | Why::Damaged)), "{none}: {without:?}");
        assert_eq!(provider.with(&[("iat", none.clone())]), Err(Why::IssuedAt), "{none}");
    }
}

#[test]
fn oa_12_a_token_of_another_flow_is_refused() {
    let provider = Provider::new();
    for nonce in [json!("n2"), json!("N1"), json!("n"), json!("n11"), json!(""), json!(null), json!(["n1"]), json!("-")]
    {
        assert_eq!(provider.with(&[("nonce", nonce.clone())]), Err(Why::Nonce), "{nonce}");
    }
    // an empty nonce matches nothing, whatever is expected
    let mut claims = good();
    claims["nonce"] = json!("");
    let nothing = Expected { nonce: "", ..expected(&[]) };
    assert_eq!(verify(&provider.token(&claims), &provider.keys, &nothing), Err(Why::Nonce));
}

#[test]
fn oa_13_an_algorithm_that_is_not_allowed_is_refused() {
    let provider = Provider::new();
    let public = provider.public();
    for alg in ["none", "None", "nOnE", "NONE", "HS256", "HS384", "HS512", "RS384", "ES384", "RS1", "", "ES256K"] {
        for kid in [json!("k1"), json!(null)] {
            let mut header = json!({ "alg": alg, "typ": "JWT" });
            if !kid.is_null() {
                header["kid"] = kid;
            }
            let text = format!("{}.{}", encode(&header), encode(&good()));
            let hmac_key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &public);
            let mac = aws_lc_rs::hmac::sign(&hmac_key, text.as_bytes());
            for signature in [
                String::new(),
                B64.encode(mac.as_ref()),
                B64.encode(provider.signer.pair.sign(text.as_bytes()).as_ref()),
            ] {
                let refused = verify(&format!("{text}.{signature}"), &provider.keys, &expected(&[])).unwrap_err();
                assert!(matches!(refused, Why::Damaged | Why::Algorithm), "{alg}: {refused}");
            }
        }
    }
}

#[test]
fn oa_13_an_algorithm_must_be_its_keys() {
    let provider = Provider::new();
    for alg in ["RS256", "PS256", "ES256"] {
        let token = provider.sign(&json!({ "alg": alg, "kid": "k1" }), &good());
        assert_eq!(verify(&token, &provider.keys, &expected(&[])), Err(Why::Key), "{alg}");
    }
    // a key says itself what it is for
    let x = B64.encode(&provider.public());
    let with = |more: Value| {
        let mut jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x });
        jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        verify(&provider.token(&good()), &Keys::read(&json!({ "keys": [jwk] })).unwrap(), &expected(&[]))
    };
    assert!(with(json!({ "use": "sig", "alg": "EdDSA", "key_ops": ["verify"] })).is_ok());
    for wrong in
        [json!({ "use": "enc" }), json!({ "alg": "ES256" }), json!({ "alg": "new" }), json!({ "key_ops": ["sign"] })]
    {
        assert_eq!(with(wrong.clone()), Err(Why::Key), "{wrong}");
    }
    // a published shared secret is no key, and neither is one that the token brings along
    let oct = json!({ "keys": [{ "kty": "oct", "kid": "k1", "k": B64.encode(b"secret") }] });
    assert!(Keys::read(&oct).is_none());
    let evil = Provider::new();
    let own = json!({ "kty": "OKP", "crv": "Ed25519", "x": B64.encode(&evil.public()) });
    for header in [json!({ "alg": "EdDSA", "jwk": own }), json!({ "alg": "EdDSA", "kid": "k1", "jwk": own })] {
        assert!(verify(&evil.sign(&header, &good()), &provider.keys, &expected(&[])).is_err(), "{header}");
    }
}

#[test]
fn es256_and_rs256_are_taken() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": "e1", "x": B64.encode(&point[1..33]), "y": B64.encode(&point[33..]) });
    let keys = Keys::read(&json!({ "keys": [{ "kty": "future" }, jwk] })).unwrap();
    let text = format!("{}.{}", encode(&json!({ "alg": "ES256", "kid": "e1", "typ": "JWT" })), encode(&good()));
    let signature = pair.sign(&aws_lc_rs::rand::SystemRandom::default(), text.as_bytes()).unwrap();
    let token = format!("{text}.{}", B64.encode(signature.as_ref()));
    assert!(verify(&token, &keys, &expected(&[])).is_ok());

    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let public = pair.public_key();
    let (n, e) =
        (public.modulus().big_endian_without_leading_zero(), public.exponent().big_endian_without_leading_zero());
    let jwk =
        json!({ "kty": "RSA", "kid": "r1", "alg": "RS256", "use": "sig", "n": B64.encode(n), "e": B64.encode(e) });
    let keys = Keys::read(&json!({ "keys": [jwk] })).unwrap();
    let text = format!("{}.{}", encode(&json!({ "alg": "RS256", "kid": "r1" })), encode(&good()));
    let mut signature = vec![0; pair.public_modulus_len()];
    let by = &aws_lc_rs::signature::RSA_PKCS1_SHA256;
    pair.sign(by, &aws_lc_rs::rand::SystemRandom::default(), text.as_bytes(), &mut signature).unwrap();
    assert!(verify(&format!("{text}.{}", B64.encode(&signature)), &keys, &expected(&[])).is_ok());
    // the same key by another algorithm than its own
    let text = format!("{}.{}", encode(&json!({ "alg": "PS256", "kid": "r1" })), encode(&good()));
    assert_eq!(verify(&format!("{text}.{}", B64.encode(&signature)), &keys, &expected(&[])), Err(Why::Key));
}

#[test]
fn a_key_is_found_by_its_name() {
    let provider = Provider::new();
    let named = |header: Value| verify(&provider.sign(&header, &good()), &provider.keys, &expected(&[]));
    assert!(named(json!({ "alg": "EdDSA" })).is_ok(), "there is only one");
    for kid in ["k2", "", "../../x", "k1' OR 1"] {
        assert_eq!(named(json!({ "alg": "EdDSA", "kid": kid })), Err(Why::UnknownKey), "{kid}");
    }
    let x = B64.encode(&provider.public());
    let twice = json!({ "keys": [
        { "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x }, { "kty": "OKP", "crv": "Ed25519", "kid": "k2", "x": x },
    ] });
    let token = provider.sign(&json!({ "alg": "EdDSA" }), &good());
    assert_eq!(verify(&token, &Keys::read(&twice).unwrap(), &expected(&[])), Err(Why::WhichKey));
    for none in [json!({}), json!({ "keys": [] }), json!({ "keys": {} }), json!([]), json!({ "keys": [1, "x", {}] })] {
        assert!(Keys::read(&none).is_none(), "{none}");
    }
}

#[test]
fn it_must_be_an_id_token_and_whole() {
    let provider = Provider::new();
    for typ in ["at+jwt", "logout+jwt", "secevent+jwt", ""] {
        let token = provider.sign(&json!({ "alg": "EdDSA", "kid": "k1", "typ": typ }), &good());
        assert_eq!(verify(&token, &provider.keys, &expected(&[])), Err(Why::Typ), "{typ}");
    }
    let critical = provider.sign(&json!({ "alg": "EdDSA", "kid": "k1", "crit": ["exp"] }), &good());
    assert_eq!(verify(&critical, &provider.keys, &expected(&[])), Err(Why::Typ));
    let token = provider.token(&good());
    for wrong in [
        "",
        ".",
        "..",
        "a.b.c",
        &token[..token.len() - 1],
        &format!("{token}."),
        &format!("{token}A"),
        &format!(" {token}"),
    ] {
        assert!(verify(wrong, &provider.keys, &expected(&[])).is_err(), "{wrong}");
    }
    let (head, rest) = token.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let mut claims = good();
    claims["sub"] = json!("s2");
    let forged = format!("{head}.{}.{signature}", encode(&claims));
    assert_eq!(verify(&forged, &provider.keys, &expected(&[])), Err(Why::Signature));
    let long = provider.with(&[("name", json!("x".repeat(LONGEST)))]);
    assert_eq!(long, Err(Why::TooLong));
    let list = provider.sign(&json!({ "alg": "EdDSA", "kid": "k1" }), &json!(["iss"]));
    assert_eq!(verify(&list, &provider.keys, &expected(&[])), Err(Why::Damaged));
}

#[test]
fn rule_6_a_sub_is_text() {
    let provider = Provider::new();
    for sub in [json!(1), json!(null), json!(""), json!(["s1"]), json!({ "s1": 1 }), json!(true), json!("-")] {
        let without = provider.with(&[("sub", sub.clone())]);
        assert!(matches!(without, Err(Why::Subject | Why::Damaged)), "{sub}: {without:?}");
    }
}

#[test]
fn it_belongs_to_the_access_token_it_came_with() {
    let provider = Provider::new();
    let mut claims = good();
    claims["at_hash"] = json!(at_hash("access", Algorithm::EdDSA));
    let token = provider.token(&claims);
    let with = |access_token| verify(&token, &provider.keys, &Expected { access_token, ..expected(&[]) });
    assert!(with(Some("access")).is_ok());
    assert!(with(None).is_ok());
    assert_eq!(with(Some("another")), Err(Why::AccessToken));
    // OpenID Connect Core, appendix A.3
    assert_eq!(at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", Algorithm::RS256), "77QmUPtjPfzWtF2AnpK9RQ");
}
