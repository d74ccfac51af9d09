//! What is held about a customer and what has happened to their account: theirs to read, and nobody else's.

use std::time::Duration;

use doorstep_core::api_key::Scope;
use doorstep_tests::http::Answer;
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::social::{proven, signed_in};
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::tweets;
use crate::talk::{agent_answers, email_in, posts, reads, starts};

const ADA: &str = "ada@example.org";

fn activity(app: &App, who: &SignedIn) -> Vec<Value> {
    reads(app, who, "/v1/me/activity?limit=100").expect(200).json()["items"].as_array().unwrap().clone()
}

fn actions(app: &App, who: &SignedIn) -> Vec<String> {
    activity(app, who).iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
}

fn exports(app: &App, who: &SignedIn) -> Answer {
    app.client.get("/v1/me/export").bearer(&who.access_token).send()
}

on_both! {
    fn what_has_happened_is_told_the_latest_first(app) {
        app.emails_support(ADA);
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        let work = app.adds(&ada, "ada@work.example");
        app.makes_primary(&ada, &work).expect(200);
        app.removes(&ada, &app.email_of(&ada, ADA).id).expect(204);
        app.client.patch("/v1/me").bearer(&ada.access_token).json(&json!({ "full_name": "Ada King" })).send().expect(200);
        assert_eq!(
            actions(app, &ada),
            ["account.updated", "email.removed", "email.made_primary", "email.added", "session.created", "account.claimed"]
        );
        let told = activity(app, &ada);
        assert_eq!(told[0]["detail"], json!({ "fields": ["full_name"] }));
        assert_eq!((told[0]["by"].clone(), told[0]["network"].clone()), (json!("me"), json!("127.0.0.0/24")));
        assert_eq!(told[5]["by"], "unsigned", "by the link that was mailed");
        let first = reads(app, &ada, "/v1/me/activity?limit=4").expect(200).json();
        let next = first["next_cursor"].as_str().unwrap();
        let second = reads(app, &ada, &format!("/v1/me/activity?limit=4&cursor={next}")).expect(200).json();
        let both: Vec<_> = [&first, &second].iter().flat_map(|page| page["items"].as_array().unwrap().clone()).collect();
        assert_eq!(both, told);
        assert_eq!(second["next_cursor"], Value::Null);
    }

    fn i8_what_is_told_names_no_address_no_secret_and_nothing_of_the_desk(app) {
        let ada = { app.claims(ADA); app.signs_in(ADA) };
        app.adds(&ada, "ada@work.example");
        app.claims_with(ADA, OTHER_PASSWORD);
        let ada = SignedIn::of(&app.tries_to_sign_in(ADA, OTHER_PASSWORD).expect(201));
        app.push(&email_in("case-1", ADA)).expect(201);
        starts(app, &ada, "Hello", "a secret of mine");
        app.sql("UPDATE audit_events SET detail = '{\"fields\": [\"full_name\"], \"token\": \"t0ken\", \"other\": \"eve@example.org\"}' WHERE action = 'account.recovered'");
        let all = json!(activity(app, &ada)).to_string();
        for word in ["@", "t0ken", "secret", "127.0.0.1", "conversation", "message", "custom"] {
            assert!(!all.contains(word), "{word} in {all}");
        }
        assert!(all.contains("account.recovered"));
    }

    fn az_01_it_is_told_to_nobody_else_and_not_of_before_it_was_theirs(app) {
        app.emails_support(ADA);
        app.client.post("/v1/password-resets").json(&json!({ "email": ADA })).send().expect(202);
        let eve = app.signs_up("eve@example.org");
        app.advance(Duration::from_secs(1));
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        assert_eq!(actions(app, &ada), ["session.created", "account.claimed"]);
        assert!(actions(app, &eve).iter().all(|action| action == "account.created"), "{:?}", actions(app, &eve));
        app.client.get("/v1/me/activity").send().expect(401);
        app.client.get("/v1/me/activity").bearer(&app.api_key(&[Scope::AccountsRead])).send().expect(401);
    }

    fn all_that_is_held_is_handed_out_in_one_document(app) {
        let pushed = app.push(&email_in("case-1", ADA)).expect(201).json();
        app.claims(ADA);
        let (old, ada) = (app.signs_in(ADA), app.signs_in(ADA));
        app.client.delete("/v1/sessions/current").bearer(&old.access_token).send().expect(204);
        app.push(&agent_answers(&pushed["conversation_id"], "Please unplug it.")).expect(201);
        let started = starts(app, &ada, "Where is my order?", "It was to come on Monday.");
        app.asks_to_add(&ada, "ada@work.example").expect(202);
        let answer = exports(app, &ada).expect(200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.header("content-disposition").unwrap().starts_with("attachment; filename=\"account-"));
        let held = answer.json();
        assert_eq!(held["account"]["primary_email"], ADA);
        let states: Vec<_> = held["emails"].as_array().unwrap().iter().map(|email| email["state"].clone()).collect();
        assert_eq!(states, ["proven", "pending"]);
        assert_eq!(held["identities"].as_array().unwrap().len(), 1);
        assert_eq!(held["sessions"][0]["id"], ada.session_id.as_str());
        assert_eq!(held["past_sessions"][0]["id"], old.session_id.as_str());
        assert_eq!(held["activity"][0]["action"], "account.exported");
        let conversations = held["conversations"].as_array().unwrap();
        assert_eq!(conversations.len(), 2);
        assert_eq!(conversations[0]["conversation"]["id"], started["id"]);
        let said: Vec<_> = conversations[1]["messages"].as_array().unwrap().iter().map(|m| m["author"].clone()).collect();
        assert_eq!(said, ["requester", "agent"]);
    }

    fn az_04_no_secret_stands_in_it_and_nothing_that_one_may_not_see(app) {
        let pushed = app.push(&email_in("case-1", ADA)).expect(201).json();
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        let mut note = agent_answers(&pushed["conversation_id"], "A note among agents.");
        note["message"]["internal"] = json!(true);
        app.push(&note).expect(201);
        let mut stranger = email_in("case-1", "eve@example.org");
        stranger["conversation"] = json!({ "id": pushed["conversation_id"] });
        stranger["message"]["body_text"] = json!("Held, from a stranger.");
        app.push(&stranger).expect(201);
        let text = String::from_utf8(exports(app, &ada).expect(200).body).unwrap();
        for word in ["note among", "stranger", "eve@", "argon2", "drt1_", "ddt1_", "secret_hash"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
        let eve = app.signs_up("grace@example.org");
        let theirs = String::from_utf8(exports(app, &eve).expect(200).body).unwrap();
        assert!(!theirs.contains("Printer") && !theirs.contains(ADA), "{theirs}");
    }

    fn se_18_it_takes_a_fresh_session(app) {
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        app.advance(Duration::from_secs(601));
        let ada = SignedIn::of(&app.refreshes(&ada.refresh_token).expect(200));
        assert_eq!(exports(app, &ada).expect(403).code(), "reauth_required");
        assert_eq!(app.count("SELECT count(*) AS n FROM audit_events WHERE action = 'account.exported'"), 0);
        app.client.get("/v1/me/export").send().expect(401);
        let body = json!({ "password": PASSWORD });
        let ada = SignedIn::of(&app.client.post("/v1/me/reauthenticate").bearer(&ada.access_token).json(&body).send().expect(200));
        exports(app, &ada).expect(200);
    }

    fn exports_use_up_no_change_of_addresses(app) {
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        let stopped = (0..50).map(|_| exports(app, &ada)).find(|answer| answer.status != 200).unwrap();
        assert!(stopped.expect(429).header("Retry-After").is_some());
        let work = app.adds(&ada, "ada@work.example");
        app.removes(&ada, &work).expect(204);
    }

    fn a_long_history_comes_whole_and_in_pages(app) {
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        let first = starts(app, &ada, "Number 0", "The beginning.");
        for n in 1..104 {
            if n % 50 == 0 {
                app.advance(Duration::from_secs(1000));
            }
            let pushed = app.push(&email_in(&format!("case-{n}"), ADA));
            assert_eq!(pushed.status, 201);
        }
        for n in 0..104 {
            let mut answer = agent_answers(&first["id"], &format!("Answer {n}"));
            answer["external_id"] = json!(format!("answer-{n}"));
            app.push(&answer).expect(201);
        }
        let ada = app.signs_in(ADA);
        posts(app, &ada, &format!("/v1/me/conversations/{}/read", first["id"].as_str().unwrap()), &Value::Null);
        let held = exports(app, &ada).expect(200).json();
        let conversations = held["conversations"].as_array().unwrap();
        assert_eq!(conversations.len(), 104);
        let long = conversations.iter().find(|c| c["conversation"]["id"] == first["id"]).unwrap();
        assert_eq!(long["messages"].as_array().unwrap().len(), 105);
    }
}

on_both_with_providers! {
    fn a_provider_and_what_was_merged_are_told(social) {
        tweets(social, &json!({ "twitter": { "id": "12", "handle": "ada" } }));
        let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
        social.links_twitter(&ada, "ada", "12").expect(200);
        let told = activity(social, &ada);
        assert_eq!(told[0]["action"], "identity.linked");
        assert_eq!((told[0]["detail"]["kind"].clone(), told[0]["detail"]["provider"].clone()), (json!("twitter"), json!("twitter")));
        let held = exports(social, &ada).expect(200).json();
        let kinds: Vec<_> = held["identities"].as_array().unwrap().iter().map(|identity| identity["kind"].clone()).collect();
        assert_eq!(kinds.len(), 3);
        assert_eq!(held["conversations"].as_array().unwrap().len(), 1);
    }
}
