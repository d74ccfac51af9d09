//! PostgreSQL goes away and comes back, and writers get in each other's way.

use std::collections::BTreeSet;
use std::time::Duration;

use doorstep_core::api_key::Scope;
use doorstep_tests::http::{Answer, Client, in_parallel};
use doorstep_tests::people::PASSWORD;
use doorstep_tests::postgres::Postgres;
use doorstep_tests::{App, Setup, on_both};
use serde_json::json;

/// Waits until it says of itself that it is ready, or that it is not.
pub fn wait_until_ready_is(app: &App, status: u16) {
    let deadline = app.clock.now() + Duration::from_secs(30);
    while app.client.get("/readyz").send().status != status {
        assert!(app.clock.now() < deadline, "/readyz does not become {status}");
    }
}

pub fn is_an_outage(answer: &Answer) {
    let retry_after = answer.header("Retry-After").and_then(|seconds| seconds.parse::<u32>().ok());
    assert_eq!((answer.status, answer.code()), (503, "unavailable".into()));
    assert!(retry_after.is_some_and(|seconds| (1..=60).contains(&seconds)), "{retry_after:?}");
    let said = String::from_utf8_lossy(&answer.body).to_lowercase();
    for word in ["postgres", "connection", "sql", "127.0.0.1", "port"] {
        assert!(!said.contains(word), "HT-06: {said}");
    }
}

#[test]
fn ft_04_without_postgres_it_says_so_and_it_recovers_by_itself() {
    let Some(mut postgres) = Postgres::private() else { return };
    let app = App::start_on(Some(postgres.create_database(None)), Setup::default());
    let key = app.api_key(&[Scope::InteractionsWrite]);
    app.emails_support("ada@example.org");
    app.claims("ada@example.org");
    let ada = app.signs_in("ada@example.org");
    // a mail whose carrier loses the database is on lease for a minute
    app.wait_until_mail_is_carried();

    postgres.stop();
    wait_until_ready_is(&app, 503);
    let push = App::email_push("late", "case-late", "ada@example.org");
    let refresh = json!({ "refresh_token": ada.refresh_token });
    let sign_in = json!({ "email": "ada@example.org", "password": PASSWORD });
    let asks: [&(dyn Fn(&Client) -> Answer + Sync); 7] = [
        &|client| client.get("/readyz").send(),
        &|client| client.get("/v1/me").bearer(&ada.access_token).send(),
        &|client| client.get("/v1/me/conversations").bearer(&ada.access_token).send(),
        &|client| client.post("/v1/interactions").bearer(&key).json(&push).send(),
        &|client| client.post("/v1/sessions/refresh").json(&refresh).send(),
        &|client| client.post("/v1/sessions").json(&sign_in).send(),
        &|client| client.post("/v1/sign-ups").json(&json!({ "email": "new@example.org" })).send(),
    ];
    let answers = in_parallel(asks.len() + 2, |i| match asks.get(i) {
        Some(ask) => ask(&app.client),
        // these ask nobody
        None if i % 2 == 0 => app.client.get("/healthz").send(),
        None => app.client.get("/.well-known/jwks.json").send(),
    });
    answers[..asks.len()].iter().for_each(is_an_outage);
    answers[asks.len()..].iter().for_each(|answer| assert_eq!(answer.status, 200));

    postgres.start();
    wait_until_ready_is(&app, 200);
    app.me(&ada.access_token).expect(200);
    app.refreshes(&ada.refresh_token).expect(200);
    app.signs_in("ada@example.org");
    assert_eq!(
        app.client.post("/v1/interactions").bearer(&key).json(&push).send().expect(201).json()["outcome"],
        "created"
    );
    app.asks_to_sign_up("new@example.org").expect(202);
    assert_eq!(app.mail_to("new@example.org").len(), 1, "mail goes out again too");
    app.check_invariants();
}

#[test]
fn ft_04_connections_cut_by_a_restart_cost_nobody_an_answer() {
    let Some(mut postgres) = Postgres::private() else { return };
    let app = App::start_on(Some(postgres.create_database(None)), Setup::default());
    app.emails_support("ada@example.org");
    app.claims("ada@example.org");
    let ada = app.signs_in("ada@example.org");
    // every connection of the pool is in use once
    in_parallel(16, |_| app.me(&ada.access_token).expect(200));
    postgres.stop();
    postgres.start();
    let answers = in_parallel(16, |_| app.me(&ada.access_token).status);
    assert_eq!(answers, [200; 16]);
    app.check_invariants();
}

on_both! {
    fn ft_06_writers_in_each_others_way_have_each_their_effect_once(app) {
        let key = app.api_key(&[Scope::InteractionsWrite]);
        let push = |n: usize| {
            // two people who are always named together, now the one first and now the other, in one conversation
            let mut body = App::email_push(&format!("m{n}"), "case", "ada@example.org");
            body["from"] = json!({ "email": "ada@example.org", "external": { "service": "shop", "id": "u1" } });
            if n % 2 == 1 {
                body["channel"] = json!("external");
            }
            app.client.post("/v1/interactions").bearer(&key).json(&body).send()
        };
        let answers = in_parallel(48, |i| push(i / 2));
        let statuses: BTreeSet<u16> = answers.iter().map(|answer| answer.status).collect();
        assert!(statuses.is_subset(&BTreeSet::from([200, 201])), "{statuses:?}");
        // of the two only one is the conversation's requester: what comes by the other is held
        let first = answers.iter().filter(|answer| answer.json()["outcome"] != "repeated").count();
        assert_eq!(first, 24, "each was pushed twice and counts once");
        assert_eq!(app.count("SELECT count(*) AS n FROM interactions"), 24);
        assert_eq!(app.count("SELECT count(*) AS n FROM messages"), 24);
        assert_eq!(app.count("SELECT count(*) AS n FROM conversations"), 1);
        assert_eq!(app.count("SELECT count(*) AS n FROM identities"), 2);
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 1);
    }

    fn ft_06_a_customer_who_writes_many_times_at_once_is_heard_each_time_once(app) {
        let pushed = app.emails_support("ada@example.org");
        app.claims("ada@example.org");
        let ada = app.signs_in("ada@example.org");
        let path = format!("/v1/me/conversations/{}/messages", pushed["conversation_id"].as_str().unwrap());
        let answers = in_parallel(32, |i| {
            let request = app.client.post(&path).bearer(&ada.access_token).header("Idempotency-Key", &format!("k{}", i / 2));
            request.json(&json!({ "body_text": format!("message {}", i / 2) })).send()
        });
        let statuses: BTreeSet<u16> = answers.iter().map(|answer| answer.status).collect();
        assert!(statuses.is_subset(&BTreeSet::from([200, 201])), "{statuses:?}");
        let ids: BTreeSet<String> = answers.iter().map(|answer| answer.json()["id"].to_string()).collect();
        assert_eq!(ids.len(), 16);
        assert_eq!(app.count("SELECT count(*) AS n FROM messages"), 17);
    }
}
