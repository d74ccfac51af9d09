//! What an admin does with people: find, disable, enable, send a reset, end sessions, remove an identity.

use std::time::Duration;

use doorstep_core::api_key::Scope;
use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::social::{Social, proven, signed_in};
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::{account_of, tweets};
use crate::talk::{agent_answers, column, email_in, items, known, opens, sees};

fn road(id: &Value, rest: &str) -> String {
    format!("/v1/admin/accounts/{}{rest}", id.as_str().unwrap())
}

fn gets(app: &App, boss: &SignedIn, path: &str) -> Answer {
    app.client.get(path).bearer(&boss.access_token).send()
}

/// Something that takes no body.
fn does(app: &App, boss: &SignedIn, id: &Value, what: &str) -> Answer {
    app.client.post(&road(id, what)).bearer(&boss.access_token).send()
}

fn removes(app: &App, boss: &SignedIn, id: &Value, rest: &str) -> Answer {
    app.client.delete(&road(id, rest)).bearer(&boss.access_token).send()
}

fn finds(app: &App, boss: &SignedIn, query: &str) -> Vec<String> {
    let found = items(&gets(app, boss, &format!("/v1/admin/accounts?{query}")).expect(200));
    found
        .iter()
        .map(|person| person["primary_email"].as_str().or(person["full_name"].as_str()).unwrap_or("-").to_owned())
        .collect()
}

fn identity(app: &App, boss: &SignedIn, account: &Value, kind: &str) -> String {
    let person = gets(app, boss, &road(account, "")).expect(200).json();
    let all = person["identities"].as_array().unwrap().clone();
    all.iter().find(|one| one["kind"] == kind).unwrap()["id"].as_str().unwrap().to_owned()
}

on_both! {
    fn people_are_found_by_name_address_and_handle(app) {
        let boss = app.admin("boss@example.org");
        let mut push = email_in("case-1", "Ada@Work.Example");
        push["from"]["name"] = json!("Ada Lovelace");
        push["from"]["twitter"] = json!({ "id": "12", "handle": "countess_ada" });
        let ada = app.push(&push).expect(201).json()["account_id"].clone();
        app.signs_up("grace@example.org");
        for text in ["lovelace", "ADA", "work.example", "ada@w", "countess_", "COUNTESS"] {
            assert_eq!(finds(app, &boss, &format!("text={}", text.replace('@', "%40"))), ["Ada Lovelace"], "{text}");
        }
        assert_eq!(finds(app, &boss, "text=%25"), Vec::<String>::new(), "a sign is a sign");
        assert_eq!(finds(app, &boss, "state=claimed"), ["grace@example.org", "boss@example.org"]);
        assert_eq!(finds(app, &boss, "state=unclaimed"), ["Ada Lovelace"]);
        let first = gets(app, &boss, "/v1/admin/accounts?limit=2").expect(200).json();
        assert_eq!(column(first["items"].as_array().unwrap(), "state"), ["claimed", "unclaimed"]);
        let rest = format!("limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
        assert_eq!(finds(app, &boss, &rest), ["boss@example.org"]);
        for wrong in ["text=", "state=merged%20", "limit=0", "name=x"] {
            gets(app, &boss, &format!("/v1/admin/accounts?{wrong}")).expect(422);
        }
        let person = gets(app, &boss, &road(&ada, "")).expect(200).json();
        assert_eq!((person["state"].as_str(), person["identities"].as_array().unwrap().len()), (Some("unclaimed"), 2));
        assert_eq!(person["identities"][0]["proven_at"], Value::Null);
    }

    fn se_06_a_disabled_owner_is_out_at_once_and_by_every_road_until_enabled(app) {
        let boss = app.admin("boss@example.org");
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &ada.account["id"];
        app.asks_for_reset("ada@example.org").expect(202);
        let secret = app.secret_mailed_to("ada@example.org").token;
        does(app, &boss, id, "/disable").expect(204);
        app.me(&ada.access_token).expect(401);
        app.refreshes(&ada.refresh_token).expect(401);
        assert_eq!(app.tries_to_sign_in("ada@example.org", PASSWORD).expect(401).code(), "invalid_credentials");
        app.confirms_reset(&json!({ "token": secret, "password": OTHER_PASSWORD })).expect(410);
        // HD-09: what is pushed for them is kept, and opens nothing
        app.push(&agent_answers(&pushed["conversation_id"], "Are you there?")).expect(201);
        assert_eq!(finds(app, &boss, "state=disabled"), ["ada@example.org"]);
        // again: nothing new
        does(app, &boss, id, "/disable").expect(204);
        assert_eq!(app.count("SELECT count(*) AS n FROM audit_events WHERE action = 'account.disabled'"), 1);
        does(app, &boss, id, "/enable").expect(204);
        does(app, &boss, id, "/enable").expect(204);
        assert_eq!(app.count("SELECT count(*) AS n FROM audit_events WHERE action = 'account.enabled'"), 1);
        app.refreshes(&ada.refresh_token).expect(401);
        let ada = app.signs_in("ada@example.org");
        assert_eq!(sees(app, &ada), [pushed["conversation_id"].clone()]);
        let told = items(&app.client.get("/v1/me/activity").bearer(&ada.access_token).send().expect(200));
        let disabled = told.iter().find(|event| event["action"] == "account.disabled").unwrap();
        assert_eq!((&disabled["by"], &disabled["detail"]["sessions_ended"]), (&json!("operator"), &json!(1)));
    }

    fn an_account_that_nobody_has_claimed_is_disabled_and_is_nobodys_again(app) {
        let boss = app.admin("boss@example.org");
        let id = app.emails_support("spam@example.org")["account_id"].clone();
        does(app, &boss, &id, "/disable").expect(204);
        app.asks_for_reset("spam@example.org").expect(202);
        assert!(app.mail_to("spam@example.org").is_empty(), "it looks as any other, and nothing is done");
        does(app, &boss, &id, "/enable").expect(204);
        assert_eq!(finds(app, &boss, "state=unclaimed").len(), 1);
        app.claims("spam@example.org");
        app.signs_in("spam@example.org");
    }

    fn ad_08_a_reset_is_mailed_and_nobody_chooses_a_password_for_another(app) {
        let boss = app.admin("boss@example.org");
        let ada = app.signs_up("ada@example.org");
        let id = &ada.account["id"];
        does(app, &boss, id, "/send-reset").expect(202);
        let mail = app.secret_mailed_to("ada@example.org");
        app.me(&ada.access_token).expect(200);
        app.confirms_reset(&json!({ "token": mail.token, "password": OTHER_PASSWORD })).expect(200);
        app.tries_to_sign_in("ada@example.org", OTHER_PASSWORD).expect(201);
        // of an account that nobody has: its claim
        let unclaimed = app.emails_support("new@example.org")["account_id"].clone();
        does(app, &boss, &unclaimed, "/send-reset").expect(202);
        let claim = app.secret_mailed_to("new@example.org");
        app.confirms_reset(&json!({ "token": claim.token, "password": PASSWORD })).expect(200);
        assert_eq!(finds(app, &boss, "state=unclaimed"), Vec::<String>::new());
        // whose limits hold for admins too, who are told
        let answers: Vec<_> = (0..4).map(|_| does(app, &boss, id, "/send-reset")).collect();
        let last = answers.last().unwrap();
        assert_eq!((last.status, last.header("retry-after").is_some()), (429, true));
        let tweeter = tweets(app, &json!({ "twitter": { "id": "12", "handle": "t" } }))["account_id"].clone();
        assert_eq!(does(app, &boss, &tweeter, "/send-reset").expect(409).code(), "address_needed");
        // 202 says that a mail is on its way: it is not said where none would be
        let met = app.emails_support("met@example.net")["account_id"].clone();
        app.change_settings(|settings| settings.blocked_domains = vec!["example.net".into()]);
        assert_eq!(does(app, &boss, &met, "/send-reset").expect(409).code(), "address_needed");
        app.change_settings(|settings| settings.blocked_domains.clear());
        does(app, &boss, &met, "/send-reset").expect(202);
        app.secret_mailed_to("met@example.net");
        app.change_settings(|settings| settings.password_sign_in = false);
        assert_eq!(does(app, &boss, &met, "/send-reset").expect(403).code(), "method_disabled");
        app.change_settings(|settings| settings.password_sign_in = true);
        does(app, &boss, &unclaimed, "/disable").expect(204);
        assert_eq!(does(app, &boss, &unclaimed, "/send-reset").expect(403).code(), "account_closed");
    }

    fn sessions_are_listed_and_ended(app) {
        let boss = app.admin("boss@example.org");
        let (ada, other) = (app.signs_up("ada@example.org"), app.signs_in("ada@example.org"));
        let id = &ada.account["id"];
        let listed = items(&gets(app, &boss, &road(id, "/sessions")).expect(200));
        assert_eq!(column(&listed, "id"), [other.session_id.as_str(), ada.session_id.as_str()]);
        assert!(listed.iter().all(|session| session["current"] == false));
        assert_eq!(removes(app, &boss, id, "/sessions").expect(200).json(), json!({ "ended": 2 }));
        for session in [&ada, &other] {
            app.me(&session.access_token).expect(401);
            app.refreshes(&session.refresh_token).expect(401);
        }
        assert_eq!(removes(app, &boss, id, "/sessions").expect(200).json(), json!({ "ended": 0 }));
        app.signs_in("ada@example.org");
        app.me(&boss.access_token).expect(200);
    }

    fn what_cannot_be_done_says_why(app) {
        let boss = app.admin("boss@example.org");
        let id = &boss.account["id"];
        assert_eq!(does(app, &boss, id, "/disable").expect(409).code(), "last_admin");
        let absent = json!("0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20");
        for what in ["/disable", "/enable", "/send-reset"] {
            does(app, &boss, &absent, what).expect(404);
            does(app, &boss, &json!("garbage"), what).expect(404);
        }
        removes(app, &boss, &absent, "/sessions").expect(404);
        removes(app, &boss, id, "/identities/garbage").expect(404);
        let ada = app.signs_up("ada@example.org");
        let email = identity(app, &boss, &ada.account["id"], "email");
        assert_eq!(removes(app, &boss, &ada.account["id"], &format!("/identities/{email}")).expect(409).code(), "address_stays");
        assert_eq!(removes(app, &boss, id, &format!("/identities/{email}")).expect(404).code(), "not_found", "it is another's");
        let key = app.api_key(Scope::ALL);
        app.client.post(&road(id, "/disable")).bearer(&key).send().expect(401);
        assert_eq!(does(app, &ada, id, "/disable").expect(403).code(), "admin_required");
        app.advance(Duration::from_secs(660));
        let boss = SignedIn::of(&app.refreshes(&boss.refresh_token).expect(200));
        for what in ["/disable", "/enable", "/send-reset"] {
            assert_eq!(does(app, &boss, &ada.account["id"], what).expect(403).code(), "reauth_required");
        }
        gets(app, &boss, &road(id, "/sessions")).expect(200);
    }

    fn admins_who_disable_each_other_leave_one(app) {
        let (one, two) = (app.admin("one@example.org"), app.admin("two@example.org"));
        let answers = in_parallel(2, |i| if i == 0 { does(app, &one, &two.account["id"], "/disable") } else { does(app, &two, &one.account["id"], "/disable") });
        let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        // whoever was second is disabled, or the last
        assert!(statuses[0] == 204 && [401, 409].contains(&statuses[1]), "{statuses:?}");
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts WHERE role = 'admin' AND state = 'claimed'"), 1);
    }

    fn an_observed_identity_is_taken_from_an_account_that_nobody_has_claimed(app) {
        let boss = app.admin("boss@example.org");
        let mut push = email_in("case-1", "ada@example.org");
        push["from"]["twitter"] = json!({ "id": "12", "handle": "not_ada" });
        let id = app.push(&push).expect(201).json()["account_id"].clone();
        let twitter = identity(app, &boss, &id, "twitter");
        removes(app, &boss, &id, &format!("/identities/{twitter}")).expect(204);
        removes(app, &boss, &id, &format!("/identities/{twitter}")).expect(404);
        let tweet = tweets(app, &json!({ "twitter": { "id": "12", "handle": "not_ada" } }));
        assert_ne!(tweet["account_id"], id, "it is nobody's, and begins anew");
    }
}

on_both_with_providers! {
    fn az_14_an_identity_that_an_admin_removes_opens_nothing_any_more(social) {
        let boss = social.admin("boss@example.org");
        social.claims("ada@example.org");
        let ada = social.signs_in("ada@example.org");
        let tweet = tweets(social, &json!({ "twitter": { "id": "12", "handle": "ada" } }));
        social.links_twitter(&ada, "ada", "12").expect(200);
        let by_twitter = signed_in(social.arrives_by_twitter("ada", "12"));
        let id = &ada.account["id"];
        let twitter = identity(social, &boss, id, "twitter");
        removes(social, &boss, id, &format!("/identities/{twitter}")).expect(204);
        social.me(&by_twitter.access_token).expect(401);
        social.me(&ada.access_token).expect(200);
        assert_eq!(opens(social, &ada, &tweet["conversation_id"]), 200, "history that was opened stays");
        let mail = social.mail_to("ada@example.org").pop().unwrap();
        assert!(mail.subject().contains("was removed"), "{}", mail.subject());
        let bob = signed_in(social.arrives_by_google("g-1", &proven("bob@gmail.com")));
        social.sql(&format!("DELETE FROM proofs WHERE identity_id IN (SELECT id FROM identities WHERE kind = 'email' AND account_id = {})", account_of("bob@gmail.com")));
        social.sql("DELETE FROM identities WHERE kind = 'email' AND subject = 'bob@gmail.com'");
        let google = identity(social, &boss, &bob.account["id"], "google");
        assert_eq!(removes(social, &boss, &bob.account["id"], &format!("/identities/{google}")).expect(409).code(), "last_way_in");
        last_look(social, &boss);
    }
}

/// Nothing of it says a secret.
fn last_look(social: &Social, boss: &SignedIn) {
    let all = gets(social, boss, "/v1/admin/accounts?limit=100").expect(200).json().to_string();
    for sign in ["argon2", "token", "secret", "password"] {
        assert!(!all.contains(sign), "{sign}");
    }
}
