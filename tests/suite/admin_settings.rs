//! Security > Authentication, by the API: what an admin sets holds at once, and never so that no admin gets in.

use std::time::Duration;

use doorstep_core::api_key::Scope;
use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::PASSWORD;
use doorstep_tests::social::{Social, proven, signed_in};
use doorstep_tests::{App, Db, Setup, SignedIn, on_both, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::{account_of, tweets};
use crate::talk::{column, email_in, pointers};

const SETTINGS: &str = "/v1/admin/settings/authentication";

/// The settings and their tag, as an admin reads them.
pub fn reads_settings(app: &App, boss: &SignedIn) -> (Value, String) {
    let answer = app.client.get(SETTINGS).bearer(&boss.access_token).send().expect(200);
    (answer.json(), answer.header("etag").unwrap().to_owned())
}

pub fn puts(app: &App, boss: &SignedIn, tag: &str, body: &Value, query: &str) -> Answer {
    let request = app.client.put(&format!("{SETTINGS}{query}")).bearer(&boss.access_token).header("If-Match", tag);
    request.json(body).send()
}

/// One change to what is set now.
pub fn sets(app: &App, boss: &SignedIn, pointer: &str, value: Value) -> Answer {
    let (mut body, tag) = reads_settings(app, boss);
    *body.pointer_mut(pointer).unwrap() = value;
    puts(app, boss, &tag, &body, "")
}

/// The same, whoever is left out.
pub fn sure(app: &App, boss: &SignedIn, pointer: &str, value: Value) -> Answer {
    let (mut body, tag) = reads_settings(app, boss);
    *body.pointer_mut(pointer).unwrap() = value;
    puts(app, boss, &tag, &body, "?confirm=true")
}

fn offered(app: &App) -> Value {
    app.client.get("/v1/sign-in-options").send().expect(200).json()
}

on_both! {
    fn an_admin_reads_and_replaces_all_of_it(app) {
        let boss = app.admin("boss@example.org");
        let (before, tag) = reads_settings(app, &boss);
        let defaults = json!({
            "sign_up": "open", "password_sign_in": true, "social_sign_on": true, "providers": {}, "password_min_length": 15,
            "session_idle_seconds": 1_209_600, "session_absolute_seconds": 2_592_000, "allowed_domains": [],
            "blocked_domains": [], "unknown_requesters": "accept",
        });
        assert_eq!(before, defaults);
        let known = app.client.get(SETTINGS).bearer(&boss.access_token).header("If-None-Match", &tag).send();
        assert_eq!((known.status, known.header("etag")), (304, Some(tag.as_str())));
        let mut new = before.clone();
        new["sign_up"] = json!("known_only");
        new["password_min_length"] = json!(20);
        new["blocked_domains"] = json!(["Mailinator.Example", "bücher.example", "mailinator.example"]);
        let answer = puts(app, &boss, &tag, &new, "").expect(200);
        assert_eq!(answer.json()["blocked_domains"], json!(["mailinator.example", "xn--bcher-kva.example"]));
        assert_eq!((offered(app)["sign_up"].clone(), offered(app)["password_min_length"].clone()), (json!("known_only"), json!(20)));
        let (now, fresh) = reads_settings(app, &boss);
        assert_eq!((&now, answer.header("etag")), (&answer.json(), Some(fresh.as_str())));
        let audit = "SELECT count(*) AS n FROM audit_events WHERE action = 'settings.changed'";
        assert_eq!(app.count(audit), 1);
        // as it is already: nothing has changed
        puts(app, &boss, &fresh, &now, "").expect(200);
        assert_eq!(app.count(audit), 1);
        // whoever read what was before does not undo what came between
        assert_eq!(puts(app, &boss, &tag, &before, "").expect(412).code(), "precondition_failed");
        let blind = app.client.put(SETTINGS).bearer(&boss.access_token).json(&before).send().expect(428);
        assert_eq!(blind.code(), "precondition_required");
        puts(app, &boss, "*", &before, "").expect(200);
        assert_eq!(offered(app)["sign_up"], "open");
    }

    fn every_wrong_setting_is_named(app) {
        let boss = app.admin("boss@example.org");
        let many: Vec<_> = (0..1_001).map(|n| format!("x{n}.example")).collect();
        let rows = [
            ("/sign_up", json!("off"), "/sign_up"),
            ("/password_sign_in", json!("yes"), "/password_sign_in"),
            ("/password_min_length", json!(7), "/password_min_length"),
            ("/password_min_length", json!(65), "/password_min_length"),
            ("/password_min_length", json!(70_000), "/password_min_length"),
            ("/session_idle_seconds", json!(2_592_001), "/session_idle_seconds"),
            ("/session_idle_seconds", json!(0), "/session_idle_seconds"),
            ("/session_idle_seconds", json!(-1), "/session_idle_seconds"),
            ("/session_absolute_seconds", json!(31_536_001), "/session_absolute_seconds"),
            ("/allowed_domains", json!(["shop.example", "a@b.example"]), "/allowed_domains/1"),
            ("/allowed_domains", json!([""]), "/allowed_domains/0"),
            ("/allowed_domains", json!(["xn--example-.org"]), "/allowed_domains/0"),
            ("/blocked_domains", json!(["shop example"]), "/blocked_domains/0"),
            ("/blocked_domains", json!(many), "/blocked_domains"),
            ("/unknown_requesters", Value::Null, "/unknown_requesters"),
            ("/providers", json!({ "google": { "enabled": true, "may_create_accounts": true, "email_counts": true } }), "/providers/google"),
            ("/providers", json!({ "a/b~c": { "enabled": true, "may_create_accounts": true, "email_counts": true } }), "/providers/a~1b~0c"),
        ];
        for (pointer, value, at) in rows {
            let refused = sets(app, &boss, pointer, value.clone()).expect(422);
            assert_eq!(pointers(&refused), [at], "{pointer} = {value}");
        }
        let (mut body, tag) = reads_settings(app, &boss);
        body["password_min_length"] = json!(1);
        body["session_absolute_seconds"] = json!(1);
        body["allowed_domains"] = json!(["x y"]);
        let all = puts(app, &boss, &tag, &body, "").expect(422);
        assert_eq!(pointers(&all), ["/password_min_length", "/session_absolute_seconds", "/session_idle_seconds", "/allowed_domains/0"]);
        body.as_object_mut().unwrap().remove("sign_up");
        assert_eq!(column(puts(app, &boss, &tag, &body, "").expect(422).json()["errors"].as_array().unwrap(), "pointer"), ["/sign_up"]);
        assert_eq!(reads_settings(app, &boss).1, tag, "nothing has changed");
    }

    fn az_06_settings_are_an_admins_alone_and_changed_by_a_fresh_session(app) {
        let boss = app.admin("boss@example.org");
        let (body, tag) = reads_settings(app, &boss);
        let ada = app.signs_up("ada@example.org");
        assert_eq!(puts(app, &ada, "*", &body, "?confirm=true").expect(403).code(), "admin_required");
        assert_eq!(puts(app, &ada, "garbage", &json!({}), "").status, 422, "the form is looked at first, and says nothing of anybody");
        let key = app.api_key(Scope::ALL);
        app.client.get(SETTINGS).bearer(&key).send().expect(401);
        app.advance(Duration::from_secs(660));
        let boss = SignedIn::of(&app.refreshes(&boss.refresh_token).expect(200));
        assert_eq!(puts(app, &boss, &tag, &json!({ "password_min_length": 16 }), "").status, 422);
        assert_eq!(sets(app, &boss, "/password_min_length", json!(16)).expect(403).code(), "reauth_required");
        // AZ-14: a role that was taken is gone at once, whatever the token was
        app.sql("UPDATE accounts SET role = 'customer'");
        assert_eq!(app.client.get(SETTINGS).bearer(&boss.access_token).send().expect(403).code(), "admin_required");
    }

    fn ad_03_an_admin_does_not_lock_themselves_out(app) {
        let boss = app.admin("boss@example.org");
        for confirm in ["", "?confirm=true"] {
            let (mut body, tag) = reads_settings(app, &boss);
            body["password_sign_in"] = json!(false);
            let refused = puts(app, &boss, &tag, &body, confirm).expect(409);
            assert_eq!(refused.code(), "admin_left_out", "what cannot be confirmed is said first");
        }
        assert_eq!(offered(app)["password"], true);
    }

    fn an_admins_password_is_as_long_as_the_settings_ask_for(app) {
        let boss = app.admin("boss@example.org");
        let ada = app.signs_up("ada@example.org");
        sets(app, &boss, "/password_min_length", json!(60)).expect(200);
        // a wrong one is told nothing of it
        assert_eq!(app.tries_to_sign_in("boss@example.org", "not it, not it, not it").expect(401).code(), "invalid_credentials");
        assert_eq!(app.tries_to_sign_in("boss@example.org", PASSWORD).expect(403).code(), "admin_password_required");
        app.tries_to_sign_in("ada@example.org", PASSWORD).expect(201);
        app.me(&ada.access_token).expect(200);
        let long = "a much longer one, for it is an admin's: ".repeat(2);
        app.asks_for_reset("boss@example.org").expect(202);
        let token = app.secret_mailed_to("boss@example.org").token;
        app.confirms_reset(&json!({ "token": token, "password": long })).expect(200);
        app.tries_to_sign_in("boss@example.org", &long).expect(201);
        // and one who has none at all does nothing here
        app.sql(&format!("UPDATE accounts SET role = 'admin' WHERE id = {}", account_of("ada@example.org")));
        app.client.get(SETTINGS).bearer(&ada.access_token).send().expect(200);
        app.sql(&format!("DELETE FROM credentials WHERE account_id = {}", account_of("ada@example.org")));
        assert_eq!(app.client.get(SETTINGS).bearer(&ada.access_token).send().expect(403).code(), "admin_password_required");
        // where nobody signs in by a password, nobody needs one
        app.change_settings(|settings| settings.password_sign_in = false);
        app.client.get(SETTINGS).bearer(&ada.access_token).send().expect(200);
    }

    fn shorter_lifetimes_end_sessions_that_have_lived_longer(app) {
        let boss = app.admin("boss@example.org");
        let ada = app.signs_up("ada@example.org");
        app.advance(Duration::from_secs(590));
        let boss = SignedIn::of(&app.refreshes(&boss.refresh_token).expect(200));
        let (mut body, tag) = reads_settings(app, &boss);
        body["session_idle_seconds"] = json!(600);
        puts(app, &boss, &tag, &body, "").expect(200);
        app.advance(Duration::from_secs(30));
        assert_eq!(app.refreshes(&ada.refresh_token).expect(401).code(), "session_ended");
        app.refreshes(&boss.refresh_token).expect(200);
    }

    fn unknown_requesters_are_held_from_the_next_push_on(app) {
        let boss = app.admin("boss@example.org");
        assert_eq!(app.push(&email_in("one", "one@example.org")).expect(201).json()["outcome"], "created");
        sets(app, &boss, "/unknown_requesters", json!("hold")).expect(200);
        assert_eq!(app.push(&email_in("two", "two@example.org")).expect(201).json()["outcome"], "held");
    }

    fn two_admins_at_once_change_it_one_after_the_other(app) {
        let boss = app.admin("boss@example.org");
        let (body, tag) = reads_settings(app, &boss);
        let answers = in_parallel(8, |i| {
            let mut mine = body.clone();
            mine["password_min_length"] = json!(16 + i);
            puts(app, &boss, &tag, &mine, "")
        });
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 412].contains(status)), "{statuses:?}");
        let won = answers.iter().find(|answer| answer.status == 200).unwrap();
        assert_eq!(reads_settings(app, &boss).0, won.json());
    }
}

/// Somebody who has a password, and Google linked as well; both would do.
fn boss_with_google(social: &Social) -> SignedIn {
    let boss = social.admin("boss@example.org");
    social.links_google(&boss, "g-boss", "boss@gmail.com").expect(200);
    boss
}

on_both_with_providers! {
    fn rule_14_a_change_that_leaves_people_without_a_way_in_says_how_many(social) {
        let boss = boss_with_google(social);
        for n in 0..3 {
            tweets(social, &json!({ "twitter": { "id": format!("7{n}"), "handle": format!("t{n}") } }));
            signed_in(social.arrives_by_twitter(&format!("t{n}"), &format!("7{n}")));
        }
        signed_in(social.arrives_by_google("g-1", &proven("one@gmail.com")));
        // people with an address have forgot password still
        sets(social, &boss, "/providers/google/enabled", json!(false)).expect(200);
        sets(social, &boss, "/providers/google/enabled", json!(true)).expect(200);
        // without passwords those by Twitter have Twitter, and whoever signed up has nothing
        social.signs_up("ada@example.org");
        let refused = sets(social, &boss, "/password_sign_in", json!(false)).expect(409);
        assert_eq!((refused.code().as_str(), &refused.json()["people"]), ("people_left_out", &json!(1)));
        assert_eq!(offered(social)["password"], true);
        sure(social, &boss, "/password_sign_in", json!(false)).expect(200);
        assert_eq!(offered(social)["password"], false);
        // now Google is what the admin has left
        let refused = sets(social, &boss, "/providers/twitter/enabled", json!(false)).expect(409);
        assert_eq!(refused.json()["people"], 3);
        assert_eq!(sure(social, &boss, "/providers/google/enabled", json!(false)).expect(409).code(), "admin_left_out");
        assert_eq!(sure(social, &boss, "/social_sign_on", json!(false)).expect(409).code(), "admin_left_out");
        sets(social, &boss, "/password_sign_in", json!(true)).expect(200);
        sure(social, &boss, "/social_sign_on", json!(false)).expect(200);
        assert_eq!(offered(social)["providers"], json!([]));
    }

    fn ad_07_what_an_admin_reads_of_providers_has_no_secret(social) {
        let boss = social.admin("boss@example.org");
        let (body, _) = reads_settings(social, &boss);
        let names: Vec<_> = body["providers"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["acme", "facebook", "google", "twitter"]);
        let text = body.to_string();
        for sign in ["secret", "client", "key", "smtp"] {
            assert!(!text.contains(sign), "{sign} in {text}");
        }
        let counts = json!({ "enabled": true, "may_create_accounts": true, "email_counts": true });
        for provider in ["acme", "facebook", "twitter"] {
            let refused = sets(social, &boss, &format!("/providers/{provider}"), counts.clone()).expect(422);
            assert_eq!(pointers(&refused), [format!("/providers/{provider}/email_counts")]);
        }
        let (mut less, tag) = reads_settings(social, &boss);
        less["providers"].as_object_mut().unwrap().remove("acme");
        assert_eq!(pointers(&puts(social, &boss, &tag, &less, "").expect(422)), ["/providers/acme"]);
    }

    fn ad_01_what_an_admin_turns_off_is_off_at_once_also_for_who_is_on_the_way(social) {
        let boss = social.admin("boss@example.org");
        let bob = signed_in(social.arrives_by_google("g-bob", &proven("bob@gmail.com")));
        let flow = social.begins("google");
        let code = social.brings(&flow, &social.google_says(&flow, "g-eve", &proven("eve@gmail.com")));
        sets(social, &boss, "/providers/google/enabled", json!(false)).expect(200);
        assert_eq!(social.exchanges(&code, &flow.verifier).expect(403).code(), "method_disabled");
        assert_eq!(social.refreshes(&bob.refresh_token).expect(401).code(), "session_ended");
        let names = offered(social)["providers"].as_array().unwrap().clone();
        assert_eq!(column(&names, "provider"), ["facebook", "twitter", "acme"]);
        assert_eq!(social.count("SELECT count(*) AS n FROM identities WHERE subject = 'g-eve'"), 0);
    }

    fn rc_20_a_provider_is_turned_off_while_people_arrive_by_it(social) {
        let boss = social.admin("boss@example.org");
        let arriving: Vec<_> = (0..7).map(|n| {
            let flow = social.begins("google");
            let url = social.google_says(&flow, &format!("g-{n}"), &proven(&format!("n{n}@gmail.com")));
            (social.brings(&flow, &url), flow.verifier)
        }).collect();
        let answers = in_parallel(8, |i| match i.checked_sub(1).and_then(|n| arriving.get(n)) {
            None => sets(social, &boss, "/providers/google/enabled", json!(false)),
            Some((code, verifier)) => social.exchanges(code, verifier),
        });
        assert_eq!(answers[0].status, 200);
        let mut signed_in = 0;
        for (n, answer) in answers.iter().enumerate().skip(1) {
            let there = social.count(&format!("SELECT count(*) AS n FROM identities WHERE subject = 'g-{}'", n - 1));
            assert!(answer.status == 200 && there == 1 || answer.code() == "method_disabled" && there == 0, "{}: {there}", answer.status);
            signed_in += there;
        }
        assert_eq!(social.count("SELECT count(*) AS n FROM sessions WHERE method = 'google'"), signed_in);
    }
}

/// By its very next request.
#[test]
fn a_change_is_seen_by_another_process_at_once() {
    for db in [Db::Sqlite, Db::Postgres] {
        let Some(app) = App::start(db, Setup::default()) else { continue };
        let boss = app.admin("boss@example.org");
        let (_server, other) = app.start_another();
        sets(&app, &boss, "/sign_up", json!("known_only")).expect(200);
        let seen = other.get("/v1/sign-in-options").send().expect(200).json();
        assert_eq!(seen["sign_up"], "known_only");
    }
}
