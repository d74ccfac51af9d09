//! Apps with a provider's own SDK: what they do, and what must come of a token that is not good.

use doorstep_tests::http::Answer;
use doorstep_tests::providers::facebook;
use doorstep_tests::providers::issuer::CLIENT_ID;
use doorstep_tests::social::{ACME, Social, continuation};
use serde_json::{Value, json};

/// A flow of an app with the provider's SDK.
pub struct Native {
    pub provider: &'static str,
    pub id: String,
    pub nonce: String,
}

pub fn asks_to_begin_natively(social: &Social, provider: &str) -> Answer {
    social.client.post(&format!("/v1/social/{provider}/flows")).json(&json!({ "native": true })).send()
}

pub fn begins_natively(social: &Social, provider: &'static str) -> Native {
    let begun = asks_to_begin_natively(social, provider).expect(201).json();
    assert_eq!(begun["authorization_url"], json!(null), "no browser is sent anywhere");
    let text = |name: &str| begun[name].as_str().unwrap().to_owned();
    Native { provider, id: text("flow_id"), nonce: text("nonce") }
}

pub fn sends(social: &Social, provider: &str, body: &Value) -> Answer {
    social.client.post(&format!("/v1/social/{provider}/tokens")).json(body).send()
}

pub fn shows(social: &Social, flow: &Native, id_token: &str) -> Answer {
    sends(social, flow.provider, &json!({ "flow_id": flow.id, "id_token": id_token }))
}

pub fn shows_access_token(social: &Social, flow: &Native, token: &str) -> Answer {
    sends(social, flow.provider, &json!({ "flow_id": flow.id, "access_token": token }))
}

/// The claims that the provider's SDK gets of somebody who says no more of themselves than they must.
pub fn claims_for(social: &Social, flow: &Native) -> Value {
    match flow.provider {
        "google" => social.google.claims(CLIENT_ID, &flow.nonce, "g-1"),
        "facebook" => {
            social.facebook.knows(facebook::User::new("ada", "4711", None));
            social.facebook.limited_claims(&flow.nonce, "ada")
        }
        _ => social.acme.claims(CLIENT_ID, &flow.nonce, "a-1"),
    }
}

pub fn signs(social: &Social, provider: &str, claims: &Value) -> String {
    match provider {
        "google" => social.google.signs(claims),
        "facebook" => social.facebook.signs(claims),
        _ => social.acme.signs(claims),
    }
}

/// A new flow with a good token of somebody whom nobody has met.
pub fn arrives_natively(social: &Social, provider: &'static str) -> Answer {
    let flow = begins_natively(social, provider);
    shows(social, &flow, &signs(social, provider, &claims_for(social, &flow)))
}

/// Nobody has come into being, or in.
#[track_caller]
pub fn nothing_is_written(social: &Social) {
    let tables = ["accounts", "identities", "proofs", "credentials", "sessions", "challenges", "outbox"];
    let counts: Vec<String> = tables.iter().map(|table| format!("(SELECT count(*) FROM {table})")).collect();
    assert_eq!(social.count(&format!("SELECT {} AS n", counts.join(" + "))), 0);
}

/// The provider does not vouch for it.
#[track_caller]
pub fn is_refused(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (401, "provider_refused"), "{what}");
}

/// None of these tokens, made of good claims, signs anybody in; each costs its flow, and a new one works.
#[track_caller]
pub fn refuses(social: &Social, provider: &'static str, tokens: impl Fn(&Value) -> Vec<String>) {
    let some = claims_for(social, &begins_natively(social, provider));
    for n in 0..tokens(&some).len() {
        let flow = begins_natively(social, provider);
        let good = claims_for(social, &flow);
        let token = tokens(&good).swap_remove(n);
        let answer = shows(social, &flow, &token);
        is_refused(&answer, &format!("{provider}, {n}: {token}"));
        assert!(token.len() < 20 || !answer.json().to_string().contains(&token), "the answer repeats the token");
        let late = shows(social, &flow, &signs(social, provider, &good)).expect(410);
        assert_eq!(late.code(), "flow_expired", "{provider}, {n}");
        nothing_is_written(social);
        continuation(arrives_natively(social, provider));
    }
}

/// [`refuses`], of claims that the provider itself has signed.
#[track_caller]
pub fn refuses_claims(social: &Social, provider: &'static str, wrong: impl Fn(&Value) -> Vec<Value>) {
    let sign_all = |good: &Value| wrong(good).iter().map(|claims| signs(social, provider, claims)).collect();
    refuses(social, provider, sign_all);
}

pub fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

pub fn with(claims: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims.clone();
    claims[name] = value.into();
    claims
}

/// Claims without one, and with each of these in its place.
pub fn variants(claims: &Value, name: &str, values: &[Value]) -> Vec<Value> {
    let others = values.iter().map(|value| with(claims, name, value.clone()));
    std::iter::once(without(claims, name)).chain(others).collect()
}

/// Whose SDKs give id tokens.
pub const SIGNING: [&str; 3] = ["google", ACME, "facebook"];

/// What is no subject.
pub fn nobodies() -> Vec<Value> {
    vec![
        json!(""),
        json!(null),
        json!(12),
        json!(0),
        json!("0"),
        json!("000"),
        json!("null"),
        json!("undefined"),
        json!(true),
        json!(["12"]),
        json!({ "id": "12" }),
        json!("a b"),
        json!("a\n"),
        json!("ä"),
        json!("1".repeat(256)),
    ]
}

/// How many rows of a table there are.
pub fn rows(social: &Social, table: &str) -> i64 {
    social.count(&format!("SELECT count(*) AS n FROM {table}"))
}

/// Comes by a browser, with this in the id token beside what belongs there.
pub fn arrives_by_browser(social: &Social, provider: &str, said: &Value) -> Answer {
    if provider == ACME { social.arrives_by_acme("a-1", said) } else { social.arrives_by_google("g-1", said) }
}
