//! The audit trail by the API: who did what, and never a secret.

use std::time::Duration;

use doorstep_core::api_key::Scope;
use doorstep_tests::people::PASSWORD;
use doorstep_tests::{App, SignedIn, on_both};
use serde_json::{Value, json};

use crate::talk::{column, email_in, items};

fn trail(app: &App, boss: &SignedIn, query: &str) -> Vec<Value> {
    let path = format!("/v1/admin/audit-events?limit=100{query}");
    items(&app.client.get(&path).bearer(&boss.access_token).send().expect(200))
}

on_both! {
    fn an_admin_reads_who_did_what(app) {
        let boss = app.admin("boss@example.org");
        let id = app.push(&email_in("case-1", "ada@example.org")).expect(201).json()["account_id"].clone();
        app.claims("ada@example.org");
        let road = format!("/v1/admin/accounts/{}/disable", id.as_str().unwrap());
        let disabled = app.client.post(&road).bearer(&boss.access_token).header("x-forwarded-for", "203.0.113.7").send().expect(204);
        let of_ada = trail(app, &boss, &format!("&account_id={}", id.as_str().unwrap()));
        assert_eq!(column(&of_ada, "action"), ["account.disabled", "account.claimed", "identity.observed", "account.created"]);
        let last = &of_ada[0];
        assert_eq!((&last["actor"], &last["actor_id"]), (&json!("account"), &boss.account["id"]));
        assert_eq!((last["address"].as_str(), last["request_id"].as_str()), (Some("203.0.113.7"), disabled.header("x-request-id")));
        assert_eq!((&of_ada[3]["actor"], &of_ada[1]["actor"]), (&json!("api_key"), &json!("nobody")));
        let by_boss = trail(app, &boss, &format!("&actor_id={}", boss.account["id"].as_str().unwrap()));
        assert!(by_boss.iter().all(|event| event["actor_id"] == boss.account["id"]) && by_boss.len() >= 2);
        assert_eq!(column(&trail(app, &boss, "&action=account.disabled"), "account_id"), [id.as_str().unwrap()]);
        let at = last["at"].as_str().unwrap();
        assert!(trail(app, &boss, &format!("&until={at}")).iter().all(|event| event["at"].as_str() < Some(at)));
        app.advance(Duration::from_secs(60));
        let boss_again = app.signs_in("boss@example.org");
        let since = trail(app, &boss, &format!("&since={at}"));
        assert!(since.iter().any(|event| event["detail"]["session_id"] == json!(boss_again.session_id)));
        assert!(since.iter().all(|event| event["at"].as_str() >= Some(at)));
        let first = app.client.get("/v1/admin/audit-events?limit=1").bearer(&boss.access_token).send().expect(200).json();
        let next = format!("/v1/admin/audit-events?limit=1&cursor={}", first["next_cursor"].as_str().unwrap());
        let second = app.client.get(&next).bearer(&boss.access_token).send().expect(200).json();
        assert_ne!(first["items"][0]["id"], second["items"][0]["id"]);
        let all = json!(trail(app, &boss, "")).to_string();
        for secret in [PASSWORD, "ada@example.org", "argon2", "dsk_", boss.refresh_token.as_str()] {
            assert!(!all.contains(secret), "I8: {secret}");
        }
        for wrong in ["&action=nothing", "&account_id=x", "&since=yesterday", "&actor=x"] {
            app.client.get(&format!("/v1/admin/audit-events?limit=1{wrong}")).bearer(&boss.access_token).send().expect(422);
        }
        app.client.get("/v1/admin/audit-events").bearer(&app.api_key(Scope::ALL)).send().expect(401);
    }
}
