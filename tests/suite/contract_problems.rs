//! The contract of problems: each can be met, and is explained.

use std::collections::BTreeSet;

use doorstep_core::api_key::Scope;
use doorstep_tests::http::{Answer, raw};
use doorstep_tests::merging::merges;
use doorstep_tests::people::PASSWORD;
use doorstep_tests::providers::twitter;
use doorstep_tests::social::{Social, proven, signed_in};
use doorstep_tests::standin::Behaviour;
use doorstep_tests::{App, SignedIn, on_both_with_providers};
use serde_json::json;

use crate::admin_settings::{reads_settings, sets, sure};
use crate::contract::COMMITTED;
use crate::contract_people::desk_problems;
use crate::forced::{account_of, becomes, tweets};
use crate::goodbye::asks;
use crate::reauthentication::{begins, brought, shows};
use crate::talk::{path, posts, reads, starts};

const PROBLEMS: &str = include_str!("../../docs/problems.md");

/// Codes that no request can bring about here, and why.
const ELSEWHERE: [(&str, &str); 4] = [
    ("provider_timeout", "takes a provider that hangs; with the faults of providers"),
    ("request_timeout", "takes 15 seconds of real time; with slow bodies among the faults"),
    ("overloaded", "takes a full queue of hashes; with saturation among the faults"),
    ("unavailable", "takes a database that is away; among the faults"),
];

fn table_codes() -> BTreeSet<String> {
    let problems = PROBLEMS.split("\n## ").next().unwrap();
    let rows = problems.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

/// Answers with problems that only need one request.
fn simple_problems(app: &App) -> Vec<Answer> {
    let ada = app.signs_up("ada@example.org");
    let key = app.api_key(&[Scope::ConversationsRead]);
    let client = &app.client;
    let head =
        "POST /v1/sign-ups HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let malformed = String::from_utf8(raw(app.address(), format!("{head}ZZ\r\n").as_bytes())).unwrap();
    assert!(
        malformed.starts_with("HTTP/1.1 400 ") && malformed.contains("\"code\":\"malformed_request\""),
        "{malformed}"
    );
    vec![
        client.post("/v1/sign-ups").body("application/json", "{").send(),
        client.get(&format!("/healthz?{}", "x".repeat(8000))).send(),
        client.get("/v1/me").send(),
        client
            .request("OPTIONS".parse().unwrap(), "/v1/me")
            .header("Origin", "https://evil.example")
            .header("Access-Control-Request-Method", "GET")
            .send(),
        app.tries_to_sign_in("ada@example.org", "not it, not it, not it"),
        app.refreshes("garbage"),
        client.post("/v1/interactions").bearer(&key).json(&App::email_push("m", "c", "a@x.example")).send(),
        client.get("/nothing").send(),
        client.post("/v1/sign-ups/inspect").json(&json!({ "token": "A".repeat(43) })).send(),
        client.delete("/v1/me/conversations").send(),
        client.patch("/v1/me").bearer(&ada.access_token).header("If-Match", "\"0\"").json(&json!({})).send(),
        client.post("/v1/sign-ups").body("application/json", vec![b' '; 70_000]).send(),
        client.post("/v1/sign-ups").body("text/plain", "{}").send(),
        client.post("/v1/sign-ups").json(&json!({})).send(),
    ]
}

/// Accounts that are not to be deleted yet.
fn deletion_problems(social: &Social) -> Vec<Answer> {
    tweets(social, &json!({ "twitter": { "id": "78", "handle": "u" } }));
    let tweeted = signed_in(social.arrives_by_twitter("u", "78"));
    social.adds(&tweeted, "late@example.org");
    vec![asks(social, &tweeted)]
}

/// Answers with problems that only providers, and what is linked to them, lead to.
fn social_problems(social: &Social) -> Vec<Answer> {
    let ada = signed_in(social.arrives_by_google("g-7", &proven("ada@gmail.com")));
    let eve = signed_in(social.arrives_by_google("g-8", &proven("eve@gmail.com")));
    let link_required = social.arrives_by_google("g-9", &proven("ada@gmail.com"));
    let taken = social.links_google(&eve, "g-7", "ada@gmail.com");
    let flow_not_found = social.exchanges("garbage", &"v".repeat(43));
    let flow = social.begins("google");
    let url = social.google_says(&flow, "g-7", &proven("ada@gmail.com"));
    social.browser_goes_to(&url).expect(303);
    let flow_expired = social.browser_goes_to(&url);
    let flow = social.begins("google");
    let code = social.brings(&flow, &social.google_says(&flow, "g-7", &json!({ "aud": "another" })));
    let refused = social.exchanges(&code, &flow.verifier);
    let merge_refused = merges(social, &ada, &ada, true);
    let twitter = signed_in({
        tweets(social, &json!({ "twitter": { "id": "77", "handle": "t" } }));
        social.arrives_by_twitter("t", "77")
    });
    let last = social.unlinks(&twitter, &social.identities_of(&twitter)[0]["id"]);
    becomes(social, "eve@gmail.com", "disabled");
    let closed = social.arrives_by_google("g-8", &proven("eve@gmail.com"));
    let password = json!({ "password": PASSWORD });
    let no_address = social.client.put("/v1/me/password").bearer(&twitter.access_token).json(&password).send();
    let address = social.all_identities_of(&ada).into_iter().find(|identity| identity["kind"] == "email").unwrap();
    let stays = social.unlinks(&ada, &address["id"]);
    let native = social.client.post("/v1/social/twitter/flows").json(&json!({ "native": true })).send();
    social.adds(&ada, "ada@work.example");
    let primary_stays = social.removes(&ada, address["id"].as_str().unwrap());
    let add = |n: usize| social.asks_to_add(&ada, &format!("ada-{n}@example.org"));
    let too_many = (0..20).map(add).find(|answer| answer.status != 202).unwrap();
    let flow = begins(social, &ada, "google");
    let code = social.brings(&flow, &social.google_says(&flow, "g-55", &json!({})));
    let not_linked = shows(social, &ada, &brought(&code, &flow));
    social.advance(std::time::Duration::from_secs(660));
    let ada = SignedIn::of(&social.refreshes(&ada.refresh_token).expect(200));
    let stale = social.asks_to_link(&ada, "google", &"v".repeat(43));
    social.twitter.script(twitter::TOKEN, Behaviour::Html);
    let fails = || social.arrives_by_twitter("t", "77");
    let failed = fails();
    let busy = (0..9).map(|_| fails()).find(|answer| answer.status == 503).unwrap();
    vec![
        no_address,
        stays,
        primary_stays,
        not_linked,
        too_many,
        link_required,
        taken,
        flow_not_found,
        flow_expired,
        refused,
        merge_refused,
        last,
        closed,
        native,
        stale,
        failed,
        busy,
    ]
}

/// Answers with problems that whoever is no admin, or no careful one, meets.
fn admin_problems(app: &Social) -> Vec<Answer> {
    let (boss, eve) = (app.admin("boss@example.org"), app.signs_up("eva@example.org"));
    let no_admin = app.client.get("/v1/admin/settings/authentication").bearer(&eve.access_token).send();
    let (body, _) = reads_settings(app, &boss);
    let unseen = app.client.put("/v1/admin/settings/authentication").bearer(&boss.access_token).json(&body).send();
    let herself = sure(app, &boss, "/password_sign_in", json!(false));
    sets(app, &boss, "/password_min_length", json!(60)).expect(200);
    let too_short = app.tries_to_sign_in("boss@example.org", PASSWORD);
    sets(app, &boss, "/password_min_length", json!(15)).expect(200);
    app.links_google(&boss, "g-boss", "boss@gmail.com").expect(200);
    let people = sets(app, &boss, "/password_sign_in", json!(false));
    app.sql(&format!("UPDATE accounts SET role = 'customer' WHERE id = {}", account_of("boss@example.org")));
    vec![no_admin, unseen, people, herself, too_short]
}

/// Answers with problems that take a story.
fn told_problems(app: &App) -> Vec<Answer> {
    app.asks_for_reset("eve@example.org").expect(202);
    let token = app.secret_mailed_to("eve@example.org").token;
    let weak = app.confirms_sign_up(&json!({ "token": token, "password": "short" }));
    let spend = || app.confirms_sign_up(&json!({ "token": token, "password": PASSWORD }));
    spend().expect(201);
    let gone = spend();
    let eve = app.signs_in("eve@example.org");
    let start = |text: &str| {
        let request = app.client.post("/v1/me/conversations").bearer(&eve.access_token).header("Idempotency-Key", "k");
        request.json(&json!({ "subject": "x", "message": { "body_text": text } })).send()
    };
    start("one").expect(201);
    let reused = start("two");
    let started = starts(app, &eve, "x", "x");
    let not_offered = posts(app, &eve, &path(&started["id"], "/rating"), &json!({ "score": 5 }));
    app.sql("ALTER TABLE messages RENAME TO lost_messages");
    let broken = reads(app, &eve, &path(&started["id"], "/messages"));
    app.sql("ALTER TABLE lost_messages RENAME TO messages");
    posts(app, &eve, &path(&started["id"], "/messages"), &json!({ "body_text": "x" })).expect(201);
    let started_by = SignedIn::of(&app.refreshes(&eve.refresh_token).expect(200));
    app.wait_until_mail_is_carried();
    app.sql(&format!("UPDATE accounts SET role = 'admin' WHERE id = {}", account_of("eve@example.org")));
    let last_admin = app.client.delete("/v1/me").bearer(&started_by.access_token).send();
    let mut guesses = (0..60).map(|_| app.tries_to_sign_in("eve@example.org", "not it, not it, not it"));
    let slowed = guesses.find(|answer| answer.status == 429).unwrap();
    app.change_settings(|settings| settings.password_sign_in = false);
    let off = app.tries_to_sign_in("grace@example.org", PASSWORD);
    vec![weak, gone, reused, not_offered, broken, last_admin, slowed, off]
}

on_both_with_providers! {
    fn every_problem_can_be_met_and_is_explained(app) {
        let documented = table_codes();
        let met: BTreeSet<String> = [deletion_problems(app), social_problems(app), simple_problems(app), desk_problems(app), admin_problems(app), told_problems(app)].concat().iter().map(Answer::code).collect();
        let elsewhere: BTreeSet<String> = ELSEWHERE.iter().map(|(code, _)| (*code).to_owned()).collect();
        assert_eq!(met.intersection(&elsewhere).count(), 0, "these can be met");
        let all: BTreeSet<String> = met.union(&elsewhere).cloned().collect();
        assert_eq!(all, documented);
        for code in &documented {
            let page = app.client.get(&format!("/problems/{}", code.replace('_', "-"))).send().expect(200).json();
            assert_eq!(page["code"], code.as_str());
            assert!(COMMITTED.contains(&format!("`{code}`")) || ["not_found", "malformed_request", "method_not_allowed", "origin_not_allowed"].contains(&code.as_str()), "{code}");
        }
    }
}
