//! API keys by the API, and tokens that a service asks about.

use std::time::Duration;

use doorstep_core::api_key::Scope;
use doorstep_tests::http::Answer;
use doorstep_tests::{App, SignedIn, on_both};
use serde_json::{Value, json};

use crate::talk::{items, pointers};

const KEYS: &str = "/v1/admin/api-keys";

fn makes(app: &App, boss: &SignedIn, body: &Value) -> Answer {
    app.client.post(KEYS).bearer(&boss.access_token).json(body).send()
}

fn lists(app: &App, boss: &SignedIn) -> Vec<Value> {
    items(&app.client.get(KEYS).bearer(&boss.access_token).send().expect(200))
}

fn reads_with(app: &App, key: &Value) -> Answer {
    app.client.get("/v1/conversations").bearer(key.as_str().unwrap()).send()
}

fn asks_about(app: &App, token: &str) -> Value {
    let service = app.api_key(&[Scope::TokensIntrospect]);
    app.client.post("/v1/tokens/introspect").bearer(&service).json(&json!({ "token": token })).send().expect(200).json()
}

on_both! {
    fn an_admin_makes_a_key_that_is_shown_once_and_revokes_it(app) {
        let boss = app.admin("boss@example.org");
        let made = makes(app, &boss, &json!({ "name": " desk ", "scopes": ["conversations:read", "conversations:read"] })).expect(201);
        let body = made.json();
        assert_eq!((&body["api_key"]["name"], &body["api_key"]["scopes"]), (&json!("desk"), &json!(["conversations:read"])));
        reads_with(app, &body["key"]).expect(200);
        let listed = lists(app, &boss);
        assert_eq!(listed, [body["api_key"].clone()]);
        assert!(!json!(listed).to_string().contains("dsk_"));
        // AD-07: nowhere else, not even in the trail
        let secret = &body["key"].as_str().unwrap()[4..];
        for (table, column) in [("audit_events", "detail"), ("outbox", "topic"), ("api_keys", "name")] {
            assert_eq!(app.count(&format!("SELECT count(*) AS n FROM {table} WHERE CAST({column} AS TEXT) LIKE '%{secret}%'")), 0);
        }
        let path = made.header("location").unwrap().to_owned();
        app.client.delete(&path).bearer(&boss.access_token).send().expect(204);
        assert_eq!(reads_with(app, &body["key"]).expect(401).code(), "unauthorized");
        app.client.delete(&path).bearer(&boss.access_token).send().expect(404);
        assert_eq!(lists(app, &boss), Vec::<Value>::new());
        let trail = "SELECT count(*) AS n FROM audit_events WHERE action IN ('api_key.created', 'api_key.revoked') AND actor = 'account'";
        assert_eq!(app.count(trail), 2);
    }

    fn az_09_two_keys_overlap_and_an_expired_one_is_refused(app) {
        let boss = app.admin("boss@example.org");
        let scopes = json!(["conversations:read"]);
        let soon = app.clock.now() + Duration::from_secs(60);
        let old = makes(app, &boss, &json!({ "name": "old", "scopes": scopes, "expires_at": soon })).expect(201).json();
        let new = makes(app, &boss, &json!({ "name": "new", "scopes": scopes, "expires_at": null })).expect(201).json();
        for key in [&old["key"], &new["key"]] {
            reads_with(app, key).expect(200);
        }
        app.advance(Duration::from_secs(60));
        reads_with(app, &old["key"]).expect(401);
        reads_with(app, &new["key"]).expect(200);
        assert_eq!(lists(app, &boss).len(), 2, "an expired key is there until it is revoked");
    }

    fn a_key_that_cannot_be_is_refused_with_a_pointer(app) {
        let boss = app.admin("boss@example.org");
        let rows = [
            (json!({ "name": "", "scopes": ["accounts:read"] }), "/name"),
            (json!({ "name": " ", "scopes": ["accounts:read"] }), "/name"),
            (json!({ "name": "a\nb", "scopes": ["accounts:read"] }), "/name"),
            (json!({ "name": "x".repeat(101), "scopes": ["accounts:read"] }), "/name"),
            (json!({ "name": "x", "scopes": [] }), "/scopes"),
            (json!({ "name": "x", "scopes": ["accounts:read", "everything"] }), "/scopes/1"),
            (json!({ "name": "x", "scopes": ["accounts:read"], "expires_at": "2020-01-01T00:00:00Z" }), "/expires_at"),
            (json!({ "name": "x", "scopes": ["accounts:read"], "expires_at": "soon" }), "/expires_at"),
            (json!({ "name": "x", "scopes": ["accounts:read"], "key": "dsk_x" }), "/key"),
        ];
        for (body, at) in rows {
            assert_eq!(pointers(&makes(app, &boss, &body).expect(422)), [at], "{body}");
        }
        assert_eq!(lists(app, &boss), Vec::<Value>::new());
        let good = json!({ "name": "x", "scopes": ["accounts:read"] });
        app.advance(Duration::from_secs(660));
        let boss = SignedIn::of(&app.refreshes(&boss.refresh_token).expect(200));
        assert_eq!(makes(app, &boss, &good).expect(403).code(), "reauth_required");
        assert_eq!(makes(app, &app.signs_up("ada@example.org"), &good).expect(403).code(), "admin_required");
    }

    fn a_service_learns_of_a_token_what_its_signature_does_not_say(app) {
        let ada = app.signs_up("ada@example.org");
        let known = asks_about(app, &ada.access_token);
        assert_eq!((&known["active"], &known["sub"], &known["sid"]), (&json!(true), &ada.account["id"], &json!(ada.session_id)));
        assert_eq!(known["exp"].as_i64().unwrap() - known["iat"].as_i64().unwrap(), 300);
        let none = json!({ "active": false });
        for token in ["", "garbage", &ada.refresh_token, &ada.access_token[1..], &app.api_key(&[Scope::AccountsRead]), &"x".repeat(3000)] {
            assert_eq!(asks_about(app, token), none);
        }
        let eve = app.signs_up("eve@example.org");
        app.client.delete("/v1/sessions/current").bearer(&eve.access_token).send().expect(204);
        assert_eq!(asks_about(app, &eve.access_token), none, "signed out");
        let before = app.signs_in("ada@example.org");
        app.claims("ada@example.org");
        assert_eq!(asks_about(app, &before.access_token), none, "of an epoch that has ended");
        let ada = app.signs_in("ada@example.org");
        app.advance(Duration::from_secs(331));
        assert_eq!(asks_about(app, &ada.access_token), none, "expired");
    }
}
