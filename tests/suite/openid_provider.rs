//! The real OpenID provider and the real browser: that both are there, and do what tests will ask of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use doorstep_tests::browser::Browser;
use doorstep_tests::http::Client;
use doorstep_tests::openid::{self, Account, OpenId, RelyingParty};
use doorstep_tests::providers::{code_challenge, parameter, random, with_query};
use doorstep_tests::standin::{Reply, Standin};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

const CALLBACK: &str = "https://auth.shop.example/v1/social/google/callback";

fn provider(redirect_uri: &str) -> Option<OpenId> {
    let openid = openid::server()?;
    openid.registers(RelyingParty::doorstep(&[redirect_uri]));
    openid.knows(&Account::new("ada", "1001").email("ada@gmail.com", true).claim("hd", "shop.example"));
    Some(openid)
}

fn authorization_url(openid: &OpenId, redirect_uri: &str, verifier: &str) -> String {
    let about = Client::new(openid.issuer()).get("/.well-known/openid-configuration").send().expect(200).json();
    assert_eq!(about["issuer"], openid.issuer());
    let asked = [
        ("client_id", openid::CLIENT_ID),
        ("response_type", "code"),
        ("scope", "openid email profile"),
        ("redirect_uri", redirect_uri),
        ("state", "s1"),
        ("nonce", "n-1"),
        ("code_challenge", &code_challenge(verifier)),
        ("code_challenge_method", "S256"),
        ("prompt", "select_account"),
    ];
    with_query(about["authorization_endpoint"].as_str().unwrap(), &asked)
}

#[track_caller]
fn verify(openid: &OpenId, token: &str, audience: &str) -> Value {
    let keys = Client::new(openid.issuer()).get("/jwks").send().expect(200).json();
    let keys: JwkSet = serde_json::from_value(keys).unwrap();
    let header = decode_header(token).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[openid.issuer()]);
    let key = keys.find(&header.kid.unwrap()).unwrap();
    decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims
}

#[test]
fn ada_signs_in_at_a_real_provider() {
    let Some(openid) = provider(CALLBACK) else { return };
    let party = RelyingParty::doorstep(&[CALLBACK]);
    let verifier = random() + &random();
    let exchange = |openid: &OpenId, verifier: &str, proof: &str| {
        let back = openid.signs_in(&authorization_url(openid, CALLBACK, verifier), "ada");
        assert!(back.starts_with(CALLBACK), "{back}");
        assert_eq!(parameter(&back, "state").unwrap(), "s1");
        openid.exchange(&party, CALLBACK, &parameter(&back, "code").unwrap(), proof)
    };
    let granted = exchange(&openid, &verifier, &verifier).expect(200).json();
    let claims = verify(&openid, granted["id_token"].as_str().unwrap(), openid::CLIENT_ID);
    assert_eq!((&claims["sub"], &claims["nonce"]), (&json!("1001"), &json!("n-1")));
    assert_eq!((&claims["email"], &claims["email_verified"]), (&json!("ada@gmail.com"), &json!(true)));
    assert_eq!((&claims["hd"], &claims["name"]), (&json!("shop.example"), &json!("ada")));
    assert_eq!(exchange(&openid, &verifier, &(random() + &random())).expect(400).json()["error"], "invalid_grant");

    openid.knows(&Account::new("ada", "1001").email("ada@gmail.com", true).only_in_userinfo());
    let granted = exchange(&openid, &verifier, &verifier).expect(200).json();
    let claims = verify(&openid, granted["id_token"].as_str().unwrap(), openid::CLIENT_ID);
    assert_eq!((&claims["sub"], &claims["email"]), (&json!("1001"), &Value::Null));
    let token = granted["access_token"].as_str().unwrap();
    let me = Client::new(openid.issuer()).get("/me").bearer(token).send().expect(200).json();
    assert_eq!(me["email"], "ada@gmail.com");
}

#[test]
fn a_real_provider_says_who_cancelled_and_wants_pkce() {
    let Some(openid) = provider(CALLBACK) else { return };
    let url = authorization_url(&openid, CALLBACK, &(random() + &random()));
    let back = openid.cancels(&url);
    assert_eq!(parameter(&back, "error").unwrap(), "access_denied");
    assert_eq!(parameter(&back, "state").unwrap(), "s1");
    let without = openid.cancels(&url.replace("code_challenge", "unknown"));
    assert_eq!(parameter(&without, "error").unwrap(), "invalid_request");
}

#[test]
fn a_phone_gets_a_token_of_a_real_provider() {
    let Some(openid) = provider(CALLBACK) else { return };
    openid.knows(&Account::new("ada", "1001").claim("email", json!(["ada@gmail.com"])).claim("email_verified", "true"));
    let token = openid.native_token("phone", "n-2", "ada");
    let claims = verify(&openid, &token, "phone");
    assert_eq!((&claims["nonce"], &claims["email"]), (&json!("n-2"), &json!(["ada@gmail.com"])));
    assert_eq!(claims["email_verified"], "true");
    let by_our_client = openid.native_token(openid::CLIENT_ID, "n-3", "ada");
    assert_eq!(verify(&openid, &by_our_client, openid::CLIENT_ID)["nonce"], "n-3");

    let kid = openid.rotate(true);
    assert_eq!(verify(&openid, &token, "phone"), claims, "the old key is still published");
    assert_eq!(decode_header(openid.native_token("phone", "n", "ada")).unwrap().kid.unwrap(), kid);
    openid.rotate(false);
    let keys = Client::new(openid.issuer()).get("/jwks").send().expect(200).json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
}

#[test]
fn two_tests_have_two_providers() {
    let (Some(one), Some(other)) = (provider(CALLBACK), provider(CALLBACK)) else { return };
    assert_ne!(one.issuer(), other.issuer());
    one.knows(&Account::new("bob", "2"));
    let url = authorization_url(&other, CALLBACK, &(random() + &random()));
    let unknown = catch_unwind(AssertUnwindSafe(|| other.signs_in(&url, "bob")));
    assert!(unknown.is_err(), "bob is known there alone");
}

#[test]
fn a_person_types_into_a_real_browser() {
    let Some(browser) = Browser::start() else { return };
    let shop = Standin::start(|_| {
        |call: &doorstep_tests::standin::Call| {
            let code = call.parameter("code").map_or_else(|| "none".to_owned(), |code| code.len().to_string());
            Reply::html(200, format!("<title>Shop</title><p id=code>{code}</p>"))
        }
    });
    browser.goto(&shop.url());
    assert_eq!(browser.text("#code"), "none");
    assert!(browser.screenshot().starts_with(b"\x89PNG"));
    let callback = shop.url() + "/callback";
    let Some(openid) = provider(&callback) else { return };
    browser.goto(&authorization_url(&openid, &callback, &(random() + &random())));
    browser.types("input[name=login]", "nobody");
    browser.click("#sign-in");
    browser.wait_for_text("#complaint", "Nobody");
    browser.types("input[name=login]", "ada");
    browser.click("#sign-in");
    browser.wait_for_text("#code", "43");
    assert!(browser.url().starts_with(&callback), "{}", browser.url());
}
