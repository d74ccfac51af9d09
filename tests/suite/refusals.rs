//! Refusals: everything that is wrong, where it is, in words that name no type of ours.

use doorstep_core::api_key::Scope;
use doorstep_tests::http::Answer;
use doorstep_tests::people::PASSWORD;
use doorstep_tests::{App, SignedIn, on_both};
use serde_json::{Value, json};

use crate::contract::{COMMITTED, operation};
use crate::operations::{World, calls};
use crate::talk::{agent_answers, does, email_in, known, messages, path, posts, reads, starts};

/// Pointer and code of every fault, in order.
fn faults(answer: &Answer) -> Vec<(String, String)> {
    let body = answer.json();
    let text = |fault: &Value, name: &str| fault[name].as_str().unwrap().to_owned();
    body["errors"].as_array().unwrap().iter().map(|fault| (text(fault, "pointer"), text(fault, "code"))).collect()
}

fn are(answer: &Answer, expected: &[(&str, &str)]) {
    let expected: Vec<(String, String)> =
        expected.iter().map(|(pointer, code)| ((*pointer).to_owned(), (*code).to_owned())).collect();
    assert_eq!(faults(answer), expected, "{}", answer.json());
    for word in ["struct", "expected", "line 1", "column", "`", "SignUp", "u32", "variant"] {
        assert!(!answer.json()["errors"].to_string().contains(word), "{}", answer.json());
    }
}

/// All that a customer can be answered.
fn sights(app: &App, who: &SignedIn, id: &Value) -> Vec<Vec<u8>> {
    let paths = [
        "/v1/me".to_owned(),
        "/v1/me/conversations".to_owned(),
        "/v1/me/conversations?unread=true".to_owned(),
        "/v1/me/conversations?text=secret".to_owned(),
        path(id, ""),
        path(id, "/messages"),
    ];
    let reopened = does(app, who, &path(id, "/reopen")).expect(200).body;
    paths.iter().map(|path| reads(app, who, path).expect(200).body).chain([reopened]).collect()
}

on_both! {
    fn a_body_is_told_all_its_faults_where_they_are(app) {
        let ada = app.signs_up("ada@example.org");
        let post = |path: &str, body: &str| app.client.post(path).body("application/json", body.to_owned()).send();
        are(&post("/v1/sessions", "{}").expect(422), &[("/email", "required"), ("/password", "required")]);
        are(&post("/v1/sessions", r#"{"emial":"x","password":7}"#).expect(422),
            &[("/email", "required"), ("/emial", "unknown_field"), ("/password", "wrong_type")]);
        are(&post("/v1/sessions", r#"{"email":"a@x.example","email":"b@x.example","password":"x"}"#).expect(422), &[("/email", "duplicate_field")]);
        are(&post("/v1/sessions", "[]").expect(422), &[("", "wrong_type")]);
        are(&post("/v1/sessions", &json!({ "email": "x", "password": "x".repeat(257) }).to_string()).expect(422), &[("/email", "invalid_email"), ("/password", "too_long")]);
        are(&post("/v1/sign-ups", r#"{"email":"x","locale":"english"}"#).expect(422), &[("/email", "invalid_email"), ("/locale", "invalid")]);
        let empty = post("/v1/sessions", "").expect(400);
        assert_eq!(empty.json()["detail"], "The body is empty; send a JSON object.");
        let start = |body: &Value| posts(app, &ada, "/v1/me/conversations", body).expect(422);
        are(&start(&json!({ "subject": "", "message": { "body_text": "" } })), &[("/subject", "required"), ("/message/body_text", "required")]);
        are(&start(&json!({ "subject": "x", "message": "x" })), &[("/message", "wrong_type")]);
        are(&start(&json!({ "subject": "x", "message": {} })), &[("/message/body_text", "required")]);
        app.asks_to_sign_up("new@example.org").expect(202);
        let token = app.secret_mailed_to("new@example.org").token;
        let bad = |token: &str| json!({ "token": token, "password": "tulip vase", "full_name": " ", "locale": "english" });
        let all = [("/locale", "invalid"), ("/full_name", "invalid"), ("/password", "too_short")];
        are(&app.confirms_sign_up(&bad(&token)).expect(422), &all);
        // who does not know the secret is not told what a good password would be, and costs us no look at it
        app.confirms_sign_up(&bad(&"A".repeat(43))).expect(404);
        app.confirms_sign_up(&json!({ "token": token, "password": PASSWORD })).expect(201);
        let mut push = email_in("case-1", "ada@example.org");
        push["channel"] = json!("fax");
        push["message"]["attachments"] = json!([{ "size": -1, "name": "x" }]);
        are(&app.push(&push).expect(422), &[("/channel", "not_one_of"), ("/message/attachments/0/size", "out_of_range")]);
    }

    fn a_query_is_told_all_its_faults_where_they_are(app) {
        let (ada, _) = known(app, "ada@example.org");
        let list = |query: &str| reads(app, &ada, &format!("/v1/me/conversations?{query}")).expect(422);
        let limited = list("limit=abc");
        are(&limited, &[("/limit", "wrong_type")]);
        assert_eq!(limited.json()["errors"][0]["detail"], "Use a limit of 1 to 100.");
        are(&list("page=2"), &[("/page", "unknown_field")]);
        are(&list("unread=1"), &[("/unread", "wrong_type")]);
        are(&list("limit=0&status=x&cursor=x"), &[("/cursor", "invalid"), ("/limit", "out_of_range"), ("/status", "not_one_of")]);
        assert_eq!(list("status=x").json()["errors"][0]["detail"], "Use open, pending, solved or closed.");
        are(&list("limit=1&limit=2"), &[("/limit", "duplicate_field")]);
        are(&list("text=1+2+3+4+5+6+7+8+9"), &[("/text", "invalid")]);
    }

    fn a_query_parameter_that_is_not_known_is_refused_by_every_operation(app) {
        let document: Value = serde_json::from_str(COMMITTED).unwrap();
        let world = World::of(app, Scope::ALL);
        for call in calls(app, &world) {
            let (name, status, right) = (call.operation, call.status, world.right(app, &call));
            let answer = call.with("nonsense=1").send(app, right.as_deref());
            // what a provider adds is its own affair (RFC 6749, section 4.1.2)
            if name == "come_back_from_provider" {
                answer.expect(status);
                continue;
            }
            are(&answer.expect(422), &[("/nonsense", "unknown_field")]);
            assert!(operation(&document, name)["responses"]["422"].is_object(), "{name}");
        }
        app.client.get("/v1/me?nonsense=1").send().expect(401);
        let twice = app.client.get("/v1/sign-in-options?nonsense=1&more=2&nonsense=3").send().expect(422);
        are(&twice, &[("/more", "unknown_field"), ("/nonsense", "unknown_field")]);
        app.client.get("/v1/sign-in-options?").send().expect(200);
        for page in ["/docs?nonsense=1", "/docs/swagger-ui.css?nonsense=1", "/problems/not-found?nonsense=1"] {
            app.client.get(page).send().expect(200);
        }
        app.client.get("/nothing?nonsense=1").send().expect(404);
        app.client.post("/v1/me/sessions?nonsense=1").send().expect(405);
    }

    fn a_message_of_the_documented_length_fits_whatever_its_letters(app) {
        let ada = app.signs_up("ada@example.org");
        let start = |subject: usize, text: usize| {
            let message = json!({ "body_text": "🔥".repeat(text) });
            posts(app, &ada, "/v1/me/conversations", &json!({ "subject": "🔥".repeat(subject), "message": message }))
        };
        let started = start(255, 16_000).expect(201).json();
        assert_eq!(messages(app, &ada, &started["id"])[0]["body_text"].as_str().unwrap().chars().count(), 16_000);
        are(&start(256, 16_001).expect(422), &[("/subject", "too_long"), ("/message/body_text", "too_long")]);
        let large = start(1, 16_500).expect(413).json();
        assert_eq!(large["detail"], "Send at most 64 KiB.");
        let mut push = email_in("case-1", "ada@example.org");
        push["message"]["body_text"] = json!("x".repeat(1_048_576));
        assert_eq!(app.push(&push).expect(413).json()["detail"], "Send at most 1 MiB.");
    }

    fn what_support_notes_for_itself_changes_nothing_that_a_customer_is_answered(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        starts(app, &ada, "Second", "x");
        let before = sights(app, &ada, id);
        app.advance(std::time::Duration::from_secs(60));
        let mut note = agent_answers(id, "a secret");
        note["message"]["internal"] = json!(true);
        app.push(&note).expect(201);
        let mut held = email_in("case-1", "eve@example.org");
        held["conversation"] = json!({ "id": id });
        assert_eq!(app.push(&held).expect(201).json()["outcome"], "held");
        assert!(sights(app, &ada, id) == before, "a note or a held message shows through");
        app.push(&agent_answers(id, "shown")).expect(201);
        assert!(sights(app, &ada, id) != before);
    }

    fn a_locale_is_kept_where_it_was_given_with_the_proof(app) {
        let locale = |answer: &Answer| answer.json()["account"]["locale"].clone();
        app.client.post("/v1/sign-ups").json(&json!({ "email": "ada@example.org", "locale": "fr" })).send().expect(202);
        let given = json!({ "token": app.secret_mailed_to("ada@example.org").token, "password": PASSWORD, "locale": "EN-us" });
        assert_eq!(locale(&app.confirms_sign_up(&given).expect(201)), "en-US", "the asker's dies with the secret");
        let reset = |email: &str, locale: Option<&str>| {
            app.asks_for_reset(email).expect(202);
            let mut body = json!({ "token": app.secret_mailed_to(email).token, "password": PASSWORD });
            locale.into_iter().for_each(|locale| body["locale"] = json!(locale));
            app.confirms_reset(&body).expect(200)
        };
        assert_eq!(locale(&reset("ada@example.org", Some("de"))), "en-US", "a recovery leaves what there is");
        app.emails_support("eve@example.org");
        assert_eq!(locale(&reset("eve@example.org", None)), Value::Null);
        assert_eq!(locale(&reset("eve@example.org", Some("DE"))), "de", "and fills in what there is not");
        app.emails_support("grace@example.org");
        assert_eq!(locale(&reset("grace@example.org", Some("gsw-ch"))), "gsw-CH", "a claim");
    }

    fn a_time_zone_is_one_of_the_worlds_and_spelled_like_it(app) {
        let ada = app.signs_up("ada@example.org");
        let patch = |body: &Value| app.client.patch("/v1/me").bearer(&ada.access_token).json(body).send();
        are(&patch(&json!({ "time_zone": "Europe/Nowhere" })).expect(422), &[("/time_zone", "invalid")]);
        let me = patch(&json!({ "time_zone": "america/ARGENTINA/buenos_aires", "locale": "ZH-hant-tw" })).expect(200).json();
        assert_eq!((&me["time_zone"], &me["locale"]), (&json!("America/Argentina/Buenos_Aires"), &json!("zh-Hant-TW")));
    }

    fn the_files_of_the_documentation_are_kept_and_its_page_is_not(app) {
        let page = app.client.get("/docs").send().expect(200);
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert!(String::from_utf8(page.body).unwrap().contains("<title>Doorstep API</title>"));
        let file = app.client.get("/docs/swagger-ui.css").send().expect(200);
        assert_eq!(file.header("cache-control"), Some("public, max-age=86400"));
        let tag = file.header("etag").unwrap();
        let same = app.client.get("/docs/swagger-ui.css").header("If-None-Match", tag).send().expect(304);
        assert_eq!((same.header("etag"), same.body.len()), (Some(tag), 0));
        app.client.get("/docs/swagger-ui.css").header("If-None-Match", "\"another\"").send().expect(200);
        let start = app.client.get("/docs/swagger-initializer.js").send().expect(200);
        assert!(String::from_utf8(start.body).unwrap().contains(r#""validatorUrl": "none""#));
        assert_eq!(app.client.get("/docs/nothing.js").send().expect(404).header("cache-control"), Some("no-store"));
    }
}
