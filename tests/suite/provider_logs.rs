//! What the log says of providers that fail: that they did, and none of the secrets that passed by.

use std::collections::BTreeSet;
use std::fs;

use doorstep_core::clock::Clock;
use doorstep_tests::Db;
use doorstep_tests::http::Answer;
use doorstep_tests::process::{Installation, Serving};
use doorstep_tests::providers::facebook::{self, Facebook};
use doorstep_tests::providers::issuer::{self, Issuer};
use doorstep_tests::providers::twitter::{self, Twitter};
use doorstep_tests::providers::{code_challenge, parameter, random};
use doorstep_tests::social::{self, REDIRECT_URI};
use doorstep_tests::standin::{Behaviour, Standin};
use serde_json::{Value, json};

const DOORSTEP: &str = env!("CARGO_BIN_EXE_doorstep-under-test");

/// What passed by on a round trip that must stand in no log.
#[derive(Default)]
struct Secrets(BTreeSet<String>);

impl Secrets {
    fn add(&mut self, text: &str) {
        if text.len() >= 12 {
            self.0.insert(text.to_owned());
        }
    }

    /// All that a provider was asked: codes, verifiers, tokens, proofs and secrets.
    fn add_calls(&mut self, provider: &Standin, endpoints: &[&str]) {
        for call in endpoints.iter().flat_map(|endpoint| provider.calls(endpoint)) {
            for (name, value) in call.query.iter().cloned().chain(call.form()) {
                if !["redirect_uri", "client_id", "grant_type", "fields", "user.fields"].contains(&name.as_str()) {
                    self.add(&value);
                }
            }
            self.add(call.header("authorization").unwrap_or_default());
            self.add(call.bearer().unwrap_or_default());
        }
    }

    /// All that we answered.
    fn add_answer(&mut self, answer: &Answer) {
        let body = answer.json();
        for name in ["continuation", "access_token", "refresh_token", "device_token", "nonce", "authorization_url"] {
            self.add(body[name].as_str().unwrap_or_default());
        }
    }
}

/// Where a provider is asked with secrets; those of a line by one server.
const PLACES: [[(&str, &str); 3]; 2] = [
    [("facebook", facebook::TOKEN), ("twitter", twitter::TOKEN), ("google", issuer::TOKEN)],
    [("facebook", facebook::ME), ("twitter", twitter::ME), ("google", issuer::USERINFO)],
];

/// What it misbehaves like there, in an order that keeps a line open to the last.
fn faults() -> [Behaviour; 8] {
    let told = json!({
        "error": "invalid_grant", "error_description": "EAAB-secret-told", "access_token": "EAAB-secret-told"
    });
    [
        Behaviour::AsDocumented,
        Behaviour::json(500, &told),
        Behaviour::json(400, &told),
        Behaviour::json(200, &json!([told])),
        Behaviour::Redirect("http://127.0.0.1:9/?access_token=EAAB-secret-told".into()),
        Behaviour::TruncatedJson,
        Behaviour::Close,
        Behaviour::json(429, &told),
    ]
}

/// A server in a process of its own, with its providers.
struct House {
    server: Serving,
    google: Issuer,
    facebook: Facebook,
    twitter: Twitter,
}

impl House {
    fn start() -> Self {
        let clock = Clock::System;
        let (google, acme) = (Issuer::start(clock.clone()), Issuer::start(clock.clone()));
        let (facebook, twitter) = (Facebook::start(clock), Twitter::start());
        facebook.knows(facebook::User::new("ada", "4711", Some("ada@example.org")));
        twitter.knows(twitter::User::new("ada", "12", Some("ada@example.org")));
        let mut installation = Installation::new(DOORSTEP, Db::Sqlite).unwrap();
        let text = social::configuration(&google.url(), &facebook, &twitter, &acme.url());
        fs::write(installation.directory().join("doorstep.toml"), text).unwrap();
        installation.set("DOORSTEP_LOG_LEVEL", "trace");
        installation.set("DOORSTEP_SERVER_PUBLIC_URL", "https://auth.shop.example");
        Self { server: installation.serve(), google, facebook, twitter }
    }

    fn standin(&self, provider: &str) -> &Standin {
        match provider {
            "google" => &self.google,
            "facebook" => &self.facebook,
            _ => &self.twitter,
        }
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.server.client.post(path).json(body).send()
    }

    /// A round trip, however it ends.
    fn round_trip(&self, provider: &str, secrets: &mut Secrets) {
        let verifier = random() + &random();
        let app = json!({ "redirect_uri": REDIRECT_URI, "code_challenge": code_challenge(&verifier) });
        let begun = self.post(&format!("/v1/social/{provider}/flows"), &app).expect(201);
        let url = begun.json()["authorization_url"].as_str().unwrap().to_owned();
        let back = match provider {
            "google" => {
                let token = self.google.signs(&self.google.claims_for(&url, "g-1"));
                secrets.add(&token);
                self.google.consents(&url, &token)
            }
            "facebook" => self.facebook.consents(&url, "ada"),
            _ => self.twitter.consents(&url, "ada"),
        };
        let path = back.strip_prefix("https://auth.shop.example").unwrap();
        let location = self.server.client.get(path).send().expect(303).header("location").unwrap().to_owned();
        let code = parameter(&location, "code").unwrap();
        let answer = self.post("/v1/social/exchange", &json!({ "code": code, "code_verifier": verifier }));
        for secret in [&verifier, &code, &parameter(&back, "code").unwrap(), &parameter(&back, "state").unwrap()] {
            secrets.add(secret);
        }
        secrets.add_answer(&begun);
        secrets.add_answer(&answer);
    }
}

#[test]
fn ft_14_a_log_tells_of_faults_and_holds_no_secret_of_a_round_trip() {
    let ours = [facebook::APP_SECRET, twitter::CLIENT_SECRET, issuer::CLIENT_SECRET, "EAAB-secret-told"];
    let mut secrets = Secrets(ours.map(str::to_owned).into());
    let mut logs = String::new();
    for places in PLACES {
        let house = House::start();
        for (provider, endpoint) in places {
            for behaviour in faults() {
                house.standin(provider).script(endpoint, behaviour);
                house.round_trip(provider, &mut secrets);
            }
            secrets.add_calls(house.standin(provider), &[endpoint]);
        }
        logs.push_str(&house.server.logs("/v1/social/exchange", places.len() * faults().len()));
        house.server.kill();
    }
    assert!(logs.contains("a provider failed") && logs.contains("a provider's answer is refused"), "{logs}");
    assert!(secrets.0.len() > 100, "{}", secrets.0.len());
    for secret in &secrets.0 {
        assert!(!logs.contains(secret.as_str()), "{secret} is in the log");
    }
    assert!(!logs.contains("ada@example.org") && !logs.contains("panicked"), "{logs}");
}
