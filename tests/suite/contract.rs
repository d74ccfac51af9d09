//! The contract: what is served is what is committed, what is answered is what is documented.

use doorstep_core::api_key::Scope;
use doorstep_tests::http::Answer;
use doorstep_tests::merging::{asks_to_merge, merges};
use doorstep_tests::people::PASSWORD;
use doorstep_tests::providers::parameter;
use doorstep_tests::social::proven;
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::{Value, json};

use crate::desk_changes::{changes, rates};
use crate::operations::{Call, Who, World, calls};
use crate::schemas::{examples, faults};
use crate::talk::{agent_answers, desk_reads, email_in, known, path, reads};

pub const COMMITTED: &str = include_str!("../../openapi/openapi.json");

/// An answer must have a documented status, type and shape.
pub fn is_documented(document: &Value, operation: &Value, answer: &Answer) {
    let name = operation["operationId"].as_str().unwrap();
    let response = &operation["responses"][answer.status.to_string()];
    assert!(response.is_object(), "{name}: {} is not documented", answer.status);
    for header in response["headers"].as_object().unwrap().keys() {
        assert!(answer.header(&header.to_lowercase()).is_some(), "{name}: {} lacks {header}", answer.status);
    }
    let Some(content) = response["content"].as_object() else {
        assert!(answer.body.is_empty(), "{name}: {} has a body", answer.status);
        return;
    };
    let kind = answer.header("content-type").unwrap();
    let schema = content.get(kind).unwrap_or_else(|| panic!("{name}: {} is of type {kind}", answer.status));
    let found = faults(document, &schema["schema"], &answer.json());
    assert!(found.is_empty(), "{name}: {}: {found:?}", answer.status);
    if answer.status >= 400 {
        let code = answer.code();
        assert!(schema["examples"][&code].is_object(), "{name}: {code} is not documented");
    }
}

pub fn operation<'a>(document: &'a Value, name: &str) -> &'a Value {
    let paths = document["paths"].as_object().unwrap().values();
    let mut operations = paths.flat_map(|item| item.as_object().unwrap().values());
    operations.find(|operation| operation["operationId"] == name).unwrap()
}

fn answers(app: &App, world: &World, call: &Call) -> Vec<Answer> {
    let right = world.right(app, call);
    let wrong_scope = &world.keys.iter().find(|key| Who::Key(key.0) != call.who).unwrap().1;
    vec![call.send(app, right.as_deref()), call.send(app, None), call.send(app, Some(wrong_scope))]
}

/// Everything that a page loads: what stands in `src` and `href`.
fn references(page: &str) -> Vec<String> {
    let after = |mark: &str| {
        page.split(mark).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    [after("src=\""), after("href=\"")].concat()
}

on_both! {
    fn what_is_served_is_what_is_committed(app) {
        let served = app.client.get("/openapi.json").send().expect(200);
        assert_eq!(served.header("content-type"), Some("application/json"));
        assert!(served.body == COMMITTED.as_bytes(), "openapi/openapi.json is old: doorstep openapi > openapi/openapi.json");
        assert!(served.json()["openapi"].as_str().unwrap().starts_with("3.1"));
    }

    fn what_is_answered_is_what_is_documented(app) {
        let document: Value = serde_json::from_str(COMMITTED).unwrap();
        let world = World::of(app, &[Scope::InteractionsWrite, Scope::ConversationsRead]);
        for call in calls(app, &world) {
            let operation = operation(&document, call.operation);
            for answer in answers(app, &world, &call) {
                is_documented(&document, operation, &answer);
            }
        }
        let bad = [
            ("list_my_conversations", app.client.get("/v1/me/conversations?limit=0").bearer(&world.ada.access_token).send()),
            ("change_me", app.client.patch("/v1/me").bearer(&world.ada.access_token).json(&json!({ "locale": "" })).send()),
            ("ask_for_sign_up", app.client.post("/v1/sign-ups").json(&json!({ "email": "x" })).send()),
            ("refresh_session", app.refreshes(&world.ada.refresh_token).expect(200)),
            ("ask_for_sign_up", app.client.post("/v1/sign-ups").body("text/plain", "x").send()),
        ];
        for (name, answer) in bad {
            is_documented(&document, operation(&document, name), &answer);
        }
    }

    fn what_is_rare_in_answers_is_documented_as_well(app) {
        let document: Value = serde_json::from_str(COMMITTED).unwrap();
        let (ada, pushed) = known(app, "ada@example.org");
        let mut files = email_in("case-1", "ada@example.org");
        files["message"]["attachments"] = json!([{ "name": "a" }, { "name": "b", "size": 7, "url": "https://x.example/b" }]);
        files["message"]["body_html"] = json!("<p>x</p>");
        let filed = app.push(&files).expect(201);
        let repeated = app.push(&files).expect(200);
        let mut held = email_in("case-1", "eve@example.org");
        held["authentication"] = json!({ "dmarc": "temperror" });
        held["conversation"] = json!({ "id": filed.json()["conversation_id"] });
        let held = app.push(&held).expect(201);
        assert_eq!(held.json()["outcome"], "held");
        app.push(&agent_answers(&pushed["conversation_id"], "x")).expect(201);
        let case = filed.json()["conversation_id"].clone();
        let mine = reads(app, &ada, &path(&case, "/messages")).expect(200);
        assert_eq!(mine.json()["items"][0]["attachments"][0], json!({ "name": "a", "content_type": null, "size": null, "url": null }));
        app.asks_for_reset("ada@example.org").expect(202);
        let token = json!({ "token": app.secret_mailed_to("ada@example.org").token });
        let inspected = app.client.post("/v1/password-resets/inspect").json(&token).send().expect(200);
        let confirmed = app.confirms_reset(&json!({ "token": token["token"], "password": PASSWORD })).expect(200);
        let ada = app.signs_in("ada@example.org");
        let offered = changes(app, &case, &json!({ "offer_rating": true, "status": "solved" })).expect(200);
        let rated = rates(app, &ada, &case, &json!({ "score": 5, "comment": "x" })).expect(200);
        let list = |query: &str| reads(app, &ada, &format!("/v1/me/conversations?{query}"));
        let desk = |path: &str| desk_reads(app, &format!("/v1/conversations{path}"));
        let batch = json!({ "items": [App::email_push("batch-1", "case-9", "ada@example.org"), json!(7)] });
        let batch = app.client.post("/v1/interactions/batch").bearer(&app.api_key(&[Scope::InteractionsWrite])).json(&batch).send();
        let rows = [
            ("push_interactions", batch.expect(200)), ("push_interaction", filed), ("push_interaction", repeated), ("push_interaction", held), ("list_my_messages", mine),
            ("change_desk_conversation", offered), ("change_desk_conversation", changes(app, &case, &json!({ "release": [case] })).expect(422)),
            ("rate_conversation", rated), ("rate_conversation", rates(app, &ada, &case, &json!({})).expect(422)),
            ("inspect_password_reset", inspected), ("confirm_password_reset", confirmed),
            ("list_my_conversations", list("limit=1")), ("list_my_conversations", list("limit=0&status=x&page=1")),
            ("list_desk_conversations", desk("?limit=1")), ("list_desk_messages", desk(&format!("/{}/messages", case.as_str().unwrap()))),
            ("change_me", app.client.patch("/v1/me").bearer(&ada.access_token).json(&json!({ "phone": null })).send()),
            ("sign_in", app.tries_to_sign_in("ada@example.org", "not it, not it, not it")),
            ("sign_in", app.client.post("/v1/sessions").json(&json!({})).send()),
        ];
        for (name, answer) in rows {
            is_documented(&document, operation(&document, name), &answer);
        }
    }

    fn how_a_session_becomes_fresh_is_documented(app) {
        let document: Value = serde_json::from_str(COMMITTED).unwrap();
        let ada = app.signs_up("ada@example.org");
        let shows = |body: Value| app.client.post("/v1/me/reauthenticate").bearer(&ada.access_token).json(&body).send();
        for answer in [shows(json!({ "password": PASSWORD })).expect(200), shows(json!({ "password": "x" })), shows(json!({ "mailed_code": "x" }))] {
            is_documented(&document, operation(&document, "reauthenticate"), &answer);
        }
    }

    fn what_becomes_of_addresses_is_documented(app) {
        let document: Value = serde_json::from_str(COMMITTED).unwrap();
        let ada = app.signs_up("ada@example.org");
        let asked = app.asks_to_add(&ada, "ada@work.example").expect(202);
        let listed = reads(app, &ada, "/v1/me/emails").expect(200);
        let again = app.resends(&ada, asked.json()["id"].as_str().unwrap()).expect(202);
        let mail = app.adding_mail_to("ada@work.example");
        let proven = app.proves(&ada, &mail.id, &json!({ "token": mail.token })).expect(200);
        let id = proven.json()["id"].as_str().unwrap().to_owned();
        let primary = app.makes_primary(&ada, &id).expect(200);
        let undo = app.undo_mailed_to("ada@example.org");
        let rows = [
            ("add_my_email", asked), ("list_my_emails", listed), ("resend_my_email", again), ("verify_my_email", proven),
            ("make_my_email_primary", primary), ("remove_my_email", app.removes(&ada, &id)),
            ("add_my_email", app.asks_to_add(&ada, "ada@work.example")), ("add_my_email", app.asks_to_add(&ada, "x")),
            ("remove_my_email", app.removes(&ada, &app.email_of(&ada, "ada@example.org").id).expect(204)),
            ("inspect_email_undo", app.inspects_undo(&undo).expect(200)),
            ("confirm_email_undo", app.undoes(&json!({ "token": undo, "password": "short" })).expect(422)),
            ("confirm_email_undo", app.undoes(&json!({ "token": undo, "password": PASSWORD })).expect(200)),
            ("confirm_email_undo", app.undoes(&json!({ "token": undo })).expect(410)),
        ];
        for (name, answer) in rows {
            is_documented(&document, operation(&document, name), &answer);
        }
    }
}

on_both_with_providers! {
    fn what_providers_lead_to_is_documented(social) {
        let document: Value = serde_json::from_str(COMMITTED).unwrap();
        let native = social.client.post("/v1/social/google/flows").json(&json!({ "native": true })).send().expect(201);
        let begun = social.asks_to_begin("twitter", &"v".repeat(43)).expect(201);
        let flow = social.begins("google");
        let back = social.browser_goes_to(&social.google_says(&flow, "g-1", &proven("ada@example.org")));
        let code = parameter(back.header("location").unwrap(), "code").unwrap();
        let exchanged = social.exchanges(&code, &flow.verifier).expect(200);
        let ada = SignedIn::of(&exchanged);
        let waiting = social.arrives_by_twitter("ada", "12").expect(200);
        let go_on = waiting.json()["continuation"].as_str().unwrap().to_owned();
        let given = social.gives_email(&go_on, "ada@work.example");
        let linking = social.asks_to_link(&ada, "google", &"v".repeat(43)).expect(201);
        let linked = social.links_twitter(&ada, "ada", "12").expect(200);
        let other = SignedIn::of(&social.arrives_by_google("g-2", &proven("ada@gmail.com")).expect(200));
        let preview = merges(social, &ada, &other, true).expect(200);
        let listed = reads(social, &ada, "/v1/me/identities").expect(200);
        let id = social.identities_of(&ada)[1]["id"].clone();
        let options = social.client.get("/v1/sign-in-options").send().expect(200);
        assert_eq!(options.json()["providers"].as_array().unwrap().len(), 4);
        let rows = [
            ("begin_social_sign_in", native), ("begin_social_sign_in", begun), ("come_back_from_provider", back),
            ("exchange_social_code", exchanged), ("exchange_social_code", waiting), ("give_social_email", given),
            ("confirm_social_email", social.proves_email(&go_on, "AAAA-AAAA")), ("begin_linking", linking),
            ("finish_linking", linked), ("list_my_identities", listed), ("ask_to_merge_accounts", preview),
            ("ask_to_merge_accounts", asks_to_merge(social, &ada, &other, false).expect(202)),
            ("merge_my_accounts", merges(social, &ada, &other, false).expect(200)),
            ("unlink_identity", social.unlinks(&ada, &id).expect(204)), ("get_sign_in_options", options),
        ];
        for (name, answer) in rows {
            is_documented(&document, operation(&document, name), &answer);
        }
    }
}

on_both! {
    fn the_documentation_loads_nothing_from_elsewhere(app) {
        for home in ["/docs", "/docs/"] {
            let page = app.client.get(home).send().expect(200);
            assert!(page.header("content-type").unwrap().starts_with("text/html"));
            let policy = page.header("content-security-policy").unwrap().to_owned();
            assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("http") && !policy.contains('*'), "{policy}");
            let page = String::from_utf8(page.body).unwrap();
            let scripts = policy.split("; ").find(|rule| rule.starts_with("script-src ")).unwrap();
            assert_eq!(scripts, "script-src 'self'", "a script that stands in the page is not run");
            assert!(page.split("<script").skip(1).all(|script| script.trim_start().starts_with("src=")), "{page}");
            let assets = references(&page);
            assert!(assets.len() >= 4, "{assets:?}");
            for asset in assets {
                assert!(asset.starts_with('/') && !asset.starts_with("//"), "{asset} is elsewhere");
                let answer = app.client.get(&asset).send().expect(200);
                assert!(!answer.body.is_empty(), "{asset} is empty");
            }
        }
        let start = app.client.get("/docs/swagger-initializer.js").send().expect(200);
        let start = String::from_utf8(start.body).unwrap();
        assert!(start.contains("/openapi.json") && !start.contains("http://") && !start.contains("https://"), "{start}");
        app.client.get("/docs/nothing.js").send().expect(404);
    }
}

/// In an answer a field that may be null is always there, and nothing but what some problems have may be left out.
#[test]
fn answers_have_all_their_fields() {
    let document: Value = serde_json::from_str(COMMITTED).unwrap();
    let asked: Vec<String> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| operation["requestBody"].to_string())
        .collect();
    let mut seen = 0;
    for name in [
        "Account",
        "MyAccount",
        "Notifications",
        "MyCustomField",
        "CustomField",
        "DeskAccount",
        "DeskIdentity",
        "MyConversation",
        "MyMessage",
        "Conversation",
        "Message",
        "Attachment",
        "WayIn",
        "MyConversationPage",
        "MyMessagePage",
        "ConversationPage",
        "MessagePage",
        "Session",
        "EmailRequired",
        "FlowBegun",
        "MyIdentity",
        "MyEmail",
        "UndoInspected",
        "UndoConfirmed",
        "MergeBody",
        "SecretInspected",
        "InteractionPushed",
        "Problem",
    ] {
        assert!(!asked.iter().any(|body| body.contains(&format!("/{name}\""))), "{name} is asked for");
        let schema = &document["components"]["schemas"][name];
        let required: Vec<&str> =
            schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        for field in schema["properties"].as_object().unwrap().keys() {
            let may_miss = ["errors", "survivor_id", "methods", "people"].contains(&field.as_str());
            assert!(required.contains(&field.as_str()) || may_miss, "{name}.{field}");
            seen += 1;
        }
    }
    assert!(seen > 60);
}

/// What is shown to whoever writes against the document is what they will send and get.
#[test]
fn every_example_is_what_its_schema_says() {
    let document: Value = serde_json::from_str(COMMITTED).unwrap();
    let examples = examples(&document);
    assert!(examples.len() > 500, "{}", examples.len());
    let wrong = examples.into_iter().filter_map(|(at, schema, example)| {
        let found = faults(&document, &schema, &example);
        (!found.is_empty()).then(|| format!("{at}: {}", found.join("; ")))
    });
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new());
}
