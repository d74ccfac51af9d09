//! The stand-ins for providers: that they are as strict as those they stand in for, and misbehave when told to.

use doorstep_core::clock::Clock;
use doorstep_tests::http::{Answer, Client};
use doorstep_tests::providers::facebook::{self, Facebook, appsecret_proof};
use doorstep_tests::providers::issuer::{self, Issuer, hs256, sign, unsigned};
use doorstep_tests::providers::twitter::{self, Twitter};
use doorstep_tests::providers::{code_challenge, parameter, random, with_query};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

const CALLBACK: &str = "https://auth.shop.example/v1/social/x/callback";

pub fn get(url: &str) -> Answer {
    Client::new("").get(url).send()
}

fn encode(fields: &[(&str, &str)]) -> String {
    with_query("http://x", fields).split_once('?').unwrap().1.to_owned()
}

fn post(url: &str, credentials: Option<(&str, &str)>, fields: &[(&str, &str)]) -> Answer {
    let request = Client::new("").post(url).body("application/x-www-form-urlencoded", encode(fields));
    let request = match credentials {
        Some((id, secret)) => {
            let pair = data_encoding::BASE64.encode(format!("{id}:{secret}").as_bytes());
            request.header("Authorization", &format!("Basic {pair}"))
        }
        None => request,
    };
    request.send()
}

fn verifier() -> String {
    random() + &random()
}

// --- Facebook ------------------------------------------------------------------------------------------------------

fn facebook() -> Facebook {
    let facebook = Facebook::start(Clock::System);
    facebook.knows(facebook::User::new("ada", "4711", Some("ada@example.org")));
    facebook
}

fn facebook_dialog(facebook: &Facebook, scope: &str) -> String {
    let asked = [("client_id", facebook::APP_ID), ("redirect_uri", CALLBACK), ("state", "s 1"), ("scope", scope)];
    with_query(&format!("{}/v23.0{}", facebook.url(), facebook::DIALOG), &asked)
}

fn facebook_token(facebook: &Facebook, code: &str, change: (&str, &str)) -> Answer {
    let mut fields = vec![("client_id", facebook::APP_ID), ("client_secret", facebook::APP_SECRET)];
    fields.extend([("redirect_uri", CALLBACK), ("code", code)]);
    fields.retain(|(name, _)| *name != change.0);
    fields.push(change);
    get(&with_query(&format!("{}/v23.0{}", facebook.url(), facebook::TOKEN), &fields))
}

fn facebook_me(facebook: &Facebook, token: &str, proof: &str) -> Answer {
    let asked = [("fields", "id,name,email"), ("access_token", token), ("appsecret_proof", proof)];
    get(&with_query(&(facebook.url() + facebook::ME), &asked))
}

#[track_caller]
fn assert_graph_error(answer: Answer, code: u32, subcode: &Value) {
    let error = answer.expect(400).json()["error"].clone();
    assert_eq!((&error["code"], &error["error_subcode"]), (&json!(code), subcode), "{error}");
}

#[test]
fn facebook_lets_ada_in_by_its_dialog() {
    let facebook = facebook();
    let back = facebook.consents(&facebook_dialog(&facebook, "public_profile email"), "ada");
    assert_eq!(parameter(&back, "state").unwrap(), "s 1");
    let granted = facebook_token(&facebook, &parameter(&back, "code").unwrap(), ("x", "")).expect(200).json();
    let token = granted["access_token"].as_str().unwrap();
    let me = facebook_me(&facebook, token, &appsecret_proof(token)).expect(200).json();
    assert_eq!(me, json!({ "id": "4711", "name": "ada", "email": "ada@example.org" }));
    let app_token = format!("{}|{}", facebook::APP_ID, facebook::APP_SECRET);
    let asked = [("input_token", token), ("access_token", &app_token)];
    let about = get(&with_query(&(facebook.url() + facebook::DEBUG_TOKEN), &asked)).expect(200).json()["data"].clone();
    assert_eq!((&about["app_id"], &about["is_valid"]), (&json!(facebook::APP_ID), &json!(true)));
    assert_eq!(about["scopes"], json!(["public_profile", "email"]));
    assert_eq!(facebook.calls(facebook::TOKEN).len(), 1);
    assert_eq!(facebook.calls(facebook::ME)[0].parameter("access_token").unwrap(), token);
}

#[test]
fn facebook_keeps_an_address_from_an_app_that_was_not_granted_it() {
    let facebook = facebook();
    let back = facebook.consents(&facebook_dialog(&facebook, "public_profile"), "ada");
    let granted = facebook_token(&facebook, &parameter(&back, "code").unwrap(), ("x", "")).expect(200).json();
    let token = granted["access_token"].as_str().unwrap();
    let me = facebook_me(&facebook, token, &appsecret_proof(token)).expect(200).json();
    assert_eq!(me, json!({ "id": "4711", "name": "ada" }));
}

#[test]
fn facebook_says_who_cancelled() {
    let facebook = facebook();
    let back = facebook.cancels(&facebook_dialog(&facebook, "email"));
    assert_eq!(parameter(&back, "error").unwrap(), "access_denied");
    assert_eq!(parameter(&back, "error_reason").unwrap(), "user_denied");
    assert_eq!(parameter(&back, "state").unwrap(), "s 1");
}

#[test]
fn facebook_refuses_codes_as_documented() {
    let facebook = facebook();
    let code = || parameter(&facebook.consents(&facebook_dialog(&facebook, "email"), "ada"), "code").unwrap();
    assert_graph_error(facebook_token(&facebook, &code(), ("client_id", "1")), 101, &Value::Null);
    assert_graph_error(facebook_token(&facebook, &code(), ("client_secret", "1")), 1, &Value::Null);
    let other = format!("{CALLBACK}/");
    assert_graph_error(facebook_token(&facebook, &code(), ("redirect_uri", &other)), 100, &json!(36008));
    assert_graph_error(facebook_token(&facebook, "guessed", ("x", "")), 100, &Value::Null);
    assert_graph_error(facebook_token(&facebook, &code(), ("code_verifier", &verifier())), 100, &Value::Null);
    let used = code();
    facebook_token(&facebook, &used, ("x", "")).expect(200);
    assert_graph_error(facebook_token(&facebook, &used, ("x", "")), 100, &json!(36009));
}

#[test]
fn facebook_refuses_tokens_as_documented() {
    let facebook = facebook();
    let token = facebook.access_token(facebook::APP_ID, "ada");
    assert_graph_error(get(&(facebook.url() + facebook::ME)), 2500, &Value::Null);
    assert_graph_error(facebook_me(&facebook, "EAAguessed", ""), 190, &Value::Null);
    assert_graph_error(facebook_me(&facebook, &token, &appsecret_proof("another")), 100, &Value::Null);
    let unproven = with_query(&(facebook.url() + facebook::ME), &[("access_token", &token)]);
    assert_graph_error(get(&unproven), 100, &Value::Null);
    facebook.expires(&token);
    assert_graph_error(facebook_me(&facebook, &token, &appsecret_proof(&token)), 190, &json!(463));
    let app_token = format!("{}|{}", facebook::APP_ID, facebook::APP_SECRET);
    let foreign = facebook.access_token(facebook::OTHER_APP_ID, "ada");
    let inspect = |input: &str, by: &str| {
        get(&with_query(&(facebook.url() + facebook::DEBUG_TOKEN), &[("input_token", input), ("access_token", by)]))
    };
    assert_graph_error(inspect(&foreign, &app_token), 100, &Value::Null);
    assert_graph_error(inspect(&token, "1|2"), 190, &Value::Null);
    assert_eq!(inspect(&token, &app_token).expect(200).json()["data"]["is_valid"], false);
    assert_eq!(inspect("guessed", &app_token).expect(200).json()["data"]["is_valid"], false);
}

#[test]
fn facebook_signs_the_tokens_of_limited_login() {
    let facebook = facebook();
    let about = get(&(facebook.url() + facebook::DISCOVERY)).expect(200).json();
    assert_eq!(about["issuer"], facebook.limited_issuer());
    let keys = get(about["jwks_uri"].as_str().unwrap()).expect(200).json();
    let claims = verify(&facebook.limited_token("n-1", "ada"), &keys, facebook::APP_ID, &facebook.limited_issuer());
    assert_eq!((&claims["sub"], &claims["nonce"]), (&json!("4711"), &json!("n-1")));
    assert_eq!(claims["email"], "ada@example.org");
}

// --- Twitter -------------------------------------------------------------------------------------------------------

const SCOPE: &str = "tweet.read users.read users.email";

fn twitter() -> Twitter {
    let twitter = Twitter::start();
    twitter.knows(twitter::User::new("ada", "12", Some("ada@example.org")));
    twitter
}

fn twitter_page(twitter: &Twitter, verifier: &str, scope: &str) -> String {
    let asked = [
        ("response_type", "code"),
        ("client_id", twitter::CLIENT_ID),
        ("redirect_uri", CALLBACK),
        ("state", "s1"),
        ("scope", scope),
        ("code_challenge", &code_challenge(verifier)),
        ("code_challenge_method", "S256"),
    ];
    with_query(&(twitter.url() + twitter::AUTHORIZE), &asked)
}

fn twitter_token(twitter: &Twitter, code: &str, verifier: &str, change: (&str, &str)) -> Answer {
    let mut fields = vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK)];
    fields.push(("code_verifier", verifier));
    fields.retain(|(name, _)| *name != change.0);
    fields.push(change);
    let credentials = Some((twitter::CLIENT_ID, twitter::CLIENT_SECRET));
    post(&(twitter.url() + twitter::TOKEN), credentials, &fields)
}

fn twitter_me(twitter: &Twitter, token: &str) -> Answer {
    let url = with_query(&(twitter.url() + twitter::ME), &[("user.fields", "confirmed_email")]);
    Client::new("").get(&url).bearer(token).send()
}

#[test]
fn twitter_lets_ada_in_with_and_without_an_address() {
    let twitter = twitter();
    let come = |scope: &str| {
        let verifier = verifier();
        let back = twitter.consents(&twitter_page(&twitter, &verifier, scope), "ada");
        assert_eq!(parameter(&back, "state").unwrap(), "s1");
        let code = parameter(&back, "code").unwrap();
        let granted = twitter_token(&twitter, &code, &verifier, ("x", "")).expect(200).json();
        twitter_me(&twitter, granted["access_token"].as_str().unwrap()).expect(200).json()
    };
    let ada = json!({ "id": "12", "name": "ada", "username": "ada", "confirmed_email": "ada@example.org" });
    assert_eq!(come(SCOPE), json!({ "data": ada }));
    let without = come("tweet.read users.read");
    assert_eq!(without["data"]["confirmed_email"], Value::Null);
    assert_eq!(without["errors"][0]["title"], "Field Authorization Error");
    twitter.knows(twitter::User::new("countess", "12", None));
    let back = twitter.consents(&twitter_page(&twitter, &verifier(), SCOPE), "countess");
    assert!(parameter(&back, "code").is_some());
    let cancelled = twitter.cancels(&twitter_page(&twitter, &verifier(), SCOPE));
    assert_eq!(parameter(&cancelled, "error").unwrap(), "access_denied");
}

#[test]
fn twitter_refuses_as_documented() {
    let twitter = twitter();
    let verifier = verifier();
    let code = || parameter(&twitter.consents(&twitter_page(&twitter, &verifier, SCOPE), "ada"), "code").unwrap();
    let refused = |answer: Answer, status: u16, error: &str, words: &str| {
        let body = answer.expect(status).json();
        assert_eq!(body["error"], error, "{body}");
        assert!(body["error_description"].as_str().unwrap().contains(words), "{body}");
    };
    let url = twitter.url() + twitter::TOKEN;
    refused(post(&url, None, &[]), 401, "unauthorized_client", "authorization header");
    refused(post(&url, Some((twitter::CLIENT_ID, "1")), &[]), 401, "invalid_client", "credentials");
    let ask = |code: &str, change| twitter_token(&twitter, code, &verifier, change);
    refused(ask(&code(), ("grant_type", "password")), 400, "unsupported_grant_type", "grant type");
    refused(ask(&code(), ("redirect_uri", "https://evil.example")), 400, "invalid_request", "redirect uri");
    let other = random() + &random();
    refused(ask(&code(), ("code_verifier", &other)), 400, "invalid_request", "code verifier");
    refused(ask(&code(), ("code_verifier", "short")), 400, "invalid_request", "code verifier");
    refused(ask("guessed", ("x", "")), 400, "invalid_request", "authorization code");
    let used = code();
    ask(&used, ("x", "")).expect(200);
    refused(ask(&used, ("x", "")), 400, "invalid_request", "authorization code");
    assert_eq!(twitter_me(&twitter, "guessed").expect(401).json()["title"], "Unauthorized");
    assert_eq!(twitter_me(&twitter, &twitter.access_token("ada", "users.read")).expect(403).json()["status"], 403);
    let plain = twitter_page(&twitter, &verifier, SCOPE).replace("S256", "plain");
    get(&plain).expect(400);
}

// --- An issuer for attacks -----------------------------------------------------------------------------------------

#[track_caller]
fn verify(token: &str, keys: &Value, audience: &str, issuer: &str) -> Value {
    let keys: JwkSet = serde_json::from_value(keys.clone()).unwrap();
    let header = decode_header(token).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[issuer]);
    let key = keys.find(&header.kid.unwrap()).unwrap();
    decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims
}

fn issuer_page(issuer: &Issuer, verifier: &str) -> String {
    let about = get(&(issuer.url() + issuer::DISCOVERY)).expect(200).json();
    let asked = [
        ("response_type", "code"),
        ("client_id", issuer::CLIENT_ID),
        ("redirect_uri", CALLBACK),
        ("state", "s1"),
        ("nonce", "n-1"),
        ("scope", "openid email"),
        ("code_challenge", &code_challenge(verifier)),
        ("code_challenge_method", "S256"),
    ];
    with_query(about["authorization_endpoint"].as_str().unwrap(), &asked)
}

#[test]
fn the_issuer_gives_for_a_code_what_it_was_told_to() {
    let mut issuer = Issuer::start(Clock::System);
    let verifier = verifier();
    let url = issuer_page(&issuer, &verifier);
    let come = |issuer: &Issuer, token: &str, secret: &str, verifier: &str| {
        let code = parameter(&issuer.consents(&url, token), "code").unwrap();
        let fields = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK)];
        let fields = [&fields[..], &[("code_verifier", verifier)]].concat();
        post(&(issuer.url() + issuer::TOKEN), Some((issuer::CLIENT_ID, secret)), &fields)
    };
    let token = issuer.signs(&issuer.claims_for(&url, "1001"));
    let granted = come(&issuer, &token, issuer::CLIENT_SECRET, &verifier).expect(200).json();
    assert_eq!(granted["id_token"], token);
    let keys = get(&(issuer.url() + issuer::JWKS)).expect(200).json();
    let claims = verify(&token, &keys, issuer::CLIENT_ID, &issuer.url());
    assert_eq!((&claims["nonce"], &claims["sub"]), (&json!("n-1"), &json!("1001")));
    assert_eq!(come(&issuer, "", "1", &verifier).expect(401).json()["error"], "invalid_client");
    let other = random() + &random();
    assert_eq!(come(&issuer, "", issuer::CLIENT_SECRET, &other).expect(400).json()["error"], "invalid_grant");
    issuer.rotate();
    let rotated = get(&(issuer.url() + issuer::JWKS)).expect(200).json();
    assert_ne!(rotated["keys"][0], keys["keys"][0]);
    assert_eq!(issuer.calls(issuer::JWKS).len(), 2);
    assert_eq!(parameter(&issuer.cancels(&url), "error").unwrap(), "access_denied");
}

#[test]
fn the_issuer_signs_anything_with_any_key() {
    let issuer = Issuer::start(Clock::System);
    let keys = get(&(issuer.url() + issuer::JWKS)).expect(200).json();
    let claims = issuer.claims("app", "n", "1");
    for key in [&issuer.rsa, &issuer.p256, &issuer.ed25519] {
        assert_eq!(verify(&sign(key, &key.header(), &claims), &keys, "app", &issuer.url()), claims, "{}", key.alg());
    }
    let none = unsigned("nOnE", &claims);
    assert!(none.ends_with('.') && none.matches('.').count() == 2);
    let forms = issuer.rsa.public_forms();
    assert!(forms.iter().any(|form| form.starts_with(b"-----BEGIN PUBLIC KEY-----\n")));
    for form in forms {
        let token = hs256(&form, &json!({ "alg": "HS256", "kid": issuer.rsa.kid }), &claims);
        let mut careless = Validation::new(Algorithm::HS256);
        careless.set_audience(&["app"]);
        decode::<Value>(&token, &DecodingKey::from_secret(&form), &careless).unwrap();
    }
}
