//! The contract of what is sent: what the document refuses is refused, and what it takes is taken.

use doorstep_core::limits;
use doorstep_tests::on_both;
use doorstep_tests::people::PASSWORD;
use serde_json::{Value, json};

use crate::contract::{COMMITTED, operation};
use crate::schemas::faults;

fn document() -> Value {
    serde_json::from_str(COMMITTED).unwrap()
}

/// Whether a body is what a schema of the document says.
fn is_taken(document: &Value, schema: &str, body: &Value) -> bool {
    faults(document, &document["components"]["schemas"][schema], body).is_empty()
}

on_both! {
    fn a_profile_is_what_its_patterns_and_limits_say(app) {
        let document = document();
        let ada = app.signs_up("ada@example.org");
        let long = |start: &str, length: usize| format!("{start}{}", "a".repeat(length - start.len()));
        let texts = [
            ("full_name", vec!["Ada".to_owned(), String::new(), "é".repeat(200), "é".repeat(201)]),
            ("phone", ["+441632960961", "+1234567", "+123456", "+123456789012345", "+1234567890123456", "+0123456789", "441632960961", "+44 1632960961", ""].map(str::to_owned).to_vec()),
            ("avatar_url", vec![long("https://", 2048), long("https://", 2049), "https://".into(), "https:///x".into(), "http://a.example".into(), "https://a b".into(), "https://é.example".into(), "https://a.example/?q#f".into()]),
            ("locale", vec!["en".into(), "e".into(), "engl".into(), "zh-Hant-TW".into(), "en-".into(), "en_US".into(), "en-abcdefghi".into(), long("en-", 11) + "-abcdefgh-abcdefgh-abcde", long("en-", 11) + "-abcdefgh-abcdefgh-abcdefg"]),
        ];
        for (field, text) in texts.iter().flat_map(|(field, texts)| texts.iter().map(move |text| (field, text))) {
            let body = json!({ *field: text });
            let status = if is_taken(&document, "MeChange", &body) { 200 } else { 422 };
            assert_eq!(app.patches(&ada, &body).status, status, "{body}");
            if *field == "locale" {
                let body = json!({ "email": "grace@example.org", "locale": text });
                assert_eq!(is_taken(&document, "SecretRequest", &body), status == 200, "{body}");
                let asked = app.client.post("/v1/sign-ups").json(&body).send();
                assert_eq!(asked.status == 202, status == 200, "{body}");
            }
        }
    }

    fn an_idempotency_key_is_what_its_limits_say(app) {
        let document = document();
        let ada = app.signs_up("ada@example.org");
        let keyed = ["add_my_email", "start_conversation", "reply_to_conversation"].map(|name| {
            let parameters = operation(&document, name)["parameters"].as_array().unwrap().iter();
            parameters.clone().find(|parameter| parameter["name"] == "Idempotency-Key").unwrap()["schema"].clone()
        });
        assert!(keyed.iter().all(|schema| *schema == keyed[0]));
        for key in ["a", "~!", "a b", "", &"k".repeat(255), &"k".repeat(256)] {
            let status = if faults(&document, &keyed[0], &json!(key)).is_empty() { 201 } else { 422 };
            let start = json!({ "subject": "Hello", "message": { "body_text": "x" } });
            let request = app.client.post("/v1/me/conversations").bearer(&ada.access_token).header("idempotency-key", key);
            assert_eq!(request.json(&start).send().status, status, "{key:?}");
        }
    }

    fn what_is_sent_in_one_of_several_ways_is_sent_in_one(app) {
        let document = document();
        let ada = app.signs_up("ada@example.org");
        let refused = [
            ("EmailVerification", format!("/v1/me/emails/{}/verify", ada.session_id), vec![json!({}), json!({ "token": "x", "code": "x" })]),
            ("DeletionConfirmation", "/v1/me/deletion/confirm".to_owned(), vec![json!({}), json!({ "token": "x", "code": "x" })]),
            ("Reauthentication", "/v1/me/reauthenticate".to_owned(), vec![json!({ "code": "x" }), json!({ "code_verifier": "v".repeat(43) })]),
            ("SecretPresented", "/v1/sign-ups/inspect".to_owned(), vec![json!({ "code": "x" }), json!({ "token": "x", "email": "a@example.org" })]),
            ("SignUpConfirmation", "/v1/sign-ups/confirm".to_owned(), vec![json!({ "email": "a@example.org", "password": PASSWORD })]),
            ("LinkExchange", "/v1/me/identities/exchange".to_owned(), vec![json!({ "code": "x" })]),
        ];
        for (schema, path, bodies) in refused {
            for body in bodies {
                assert!(!is_taken(&document, schema, &body), "{schema} {body}");
                app.client.post(&path).bearer(&ada.access_token).json(&body).send().expect(422);
            }
            let about = document["components"]["schemas"][schema]["description"].as_str().unwrap().to_lowercase();
            assert!(about.contains("exactly one of") || about.contains("not both"), "{schema}: {about}");
        }
        for body in [json!({ "token": "x" }), json!({ "code": "AAAA-AAAA" })] {
            assert!(is_taken(&document, "DeletionConfirmation", &body));
            app.client.post("/v1/me/deletion/confirm").bearer(&ada.access_token).json(&body).send().expect(404);
        }
    }
}

/// What stands beside its properties is what generators leave a body out for.
#[test]
fn no_body_has_alternatives_that_generators_do_not_survive() {
    for (name, schema) in document()["components"]["schemas"].as_object().unwrap() {
        let composed = ["oneOf", "anyOf", "allOf"].iter().any(|keyword| schema.get(keyword).is_some());
        assert!(!composed || schema.get("properties").is_none(), "{name}");
    }
}

/// How long a mailed secret is good, and where the least length of a password stands, is told where it is needed.
#[test]
fn a_mails_times_and_the_passwords_length_are_told() {
    let document = document();
    let minutes = |life: std::time::Duration| format!("{} minutes", life.as_secs() / 60);
    let [code, link] = [limits::CODE_LIFE, limits::LINK_LIFE].map(minutes);
    for name in ["ask_for_sign_up", "ask_for_password_reset", "add_my_email", "delete_me"] {
        let about = operation(&document, name)["description"].as_str().unwrap().replace('\n', " ");
        assert!(about.contains(&code) && about.contains(&link) && about.contains("token=…"), "{name}: {about}");
    }
    for name in ["SignUpConfirmation", "PasswordResetConfirmation", "UndoConfirmation", "PasswordChange"] {
        let field = &document["components"]["schemas"][name]["properties"]["password"];
        assert!(field["description"].as_str().unwrap().contains("GET /v1/sign-in-options"), "{name}");
    }
    for name in [
        "SecretPresented",
        "SignUpConfirmation",
        "PasswordResetConfirmation",
        "EmailVerification",
        "DeletionConfirmation",
    ] {
        let about = |field: &str| {
            document["components"]["schemas"][name]["properties"][field]["description"]
                .as_str()
                .unwrap()
                .replace('\n', " ")
        };
        assert!(about("code").contains(&code) && about("token").contains(&link), "{name}");
    }
}
