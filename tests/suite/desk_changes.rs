//! What the help desk changes of a conversation: its status and subject, what was held, and whether it is rated.

use std::time::Duration;

use doorstep_core::api_key::Scope;
use doorstep_core::settings::UnknownRequesters;
use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::merging::merges;
use doorstep_tests::{App, SignedIn, on_both};
use serde_json::{Value, json};

use crate::talk::{
    agent_answers, column, desk_messages, desk_reads, does, email_in, items, known, messages, path, pointers, posts,
    reads, sees, texts, unread,
};

pub fn changes(app: &App, id: &Value, body: &Value) -> Answer {
    let key = app.api_key(&[Scope::ConversationsWrite]);
    app.client.patch(&format!("/v1/conversations/{}", id.as_str().unwrap())).bearer(&key).json(body).send()
}

pub fn rates(app: &App, who: &SignedIn, id: &Value, body: &Value) -> Answer {
    posts(app, who, &path(id, "/rating"), body)
}

fn rating(app: &App, who: &SignedIn, id: &Value) -> Value {
    reads(app, who, &path(id, "")).expect(200).json()["rating"].clone()
}

fn audited(app: &App, action: &str) -> i64 {
    app.count(&format!("SELECT count(*) AS n FROM audit_events WHERE action = '{action}'"))
}

fn posted(app: &App, topic: &str) -> i64 {
    app.count(&format!("SELECT count(*) AS n FROM outbox WHERE topic = '{topic}'"))
}

/// A message that somebody else wrote into a conversation, and which is held.
fn stranger_writes(app: &App, case: &str, text: &str) -> Value {
    let mut push = email_in(case, "mallory@evil.example");
    push["message"]["body_text"] = json!(text);
    let pushed = app.push(&push).expect(201).json();
    assert_eq!(pushed["outcome"], "held");
    pushed["message_id"].clone()
}

on_both! {
    fn status_and_subject_are_the_desks_to_set(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        let changed = changes(app, id, &json!({ "status": "solved", "subject": "Printer still on fire" })).expect(200).json();
        assert_eq!((&changed["status"], &changed["subject"]), (&json!("solved"), &json!("Printer still on fire")));
        assert_eq!(changed, desk_reads(app, &format!("/v1/conversations/{}", id.as_str().unwrap())).expect(200).json());
        let shown = reads(app, &ada, &path(id, "")).expect(200).json();
        assert_eq!((&shown["status"], &shown["subject"]), (&json!("solved"), &json!("Printer still on fire")));
        assert_eq!((audited(app, "conversation.status_changed"), audited(app, "conversation.subject_changed")), (1, 1));
        // said again it is so already, and whoever polls sees nothing new
        app.advance(Duration::from_secs(1));
        let again = changes(app, id, &json!({ "status": "solved", "subject": "Printer still on fire", "release": [] })).expect(200).json();
        assert_eq!(again, changed);
        assert_eq!(changes(app, id, &json!({})).expect(200).json(), changed);
        assert_eq!((audited(app, "conversation.status_changed"), audited(app, "conversation.subject_changed")), (1, 1));
        // the latest word counts, whoever says it
        does(app, &ada, &path(id, "/reopen")).expect(200);
        for status in ["pending", "closed", "open"] {
            assert_eq!(changes(app, id, &json!({ "status": status })).expect(200).json()["status"], status);
        }
    }

    fn what_is_held_is_seen_once_it_is_released_and_is_new_then(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        let case = desk_reads(app, &format!("/v1/conversations/{}", id.as_str().unwrap())).expect(200).json()["external_id"].clone();
        let (first, second) = (stranger_writes(app, case.as_str().unwrap(), "I am her sister."), stranger_writes(app, case.as_str().unwrap(), "Send me the code."));
        app.advance(Duration::from_secs(5));
        does(app, &ada, &path(id, "/read")).expect(204);
        assert_eq!((texts(app, &ada, id).len(), unread(app, &ada, id)), (1, 0));
        assert_eq!(column(&items(&desk_reads(app, "/v1/conversations?held=true").expect(200)), "id"), [id.as_str().unwrap()]);
        assert_eq!(items(&desk_reads(app, "/v1/conversations?held=false").expect(200)), Vec::<Value>::new());
        app.advance(Duration::from_secs(5));
        changes(app, id, &json!({ "release": [first] })).expect(200);
        let shown = messages(app, &ada, id);
        assert_eq!(column(&shown, "body_text")[1..], ["I am her sister."]);
        assert_eq!(shown[1]["author"], "stranger");
        // she had read all that was there to read, and this was not
        assert_eq!(unread(app, &ada, id), 1);
        assert_eq!(items(&reads(app, &ada, "/v1/me/conversations?unread=true").expect(200)).len(), 1);
        does(app, &ada, &path(id, "/read")).expect(204);
        assert_eq!(unread(app, &ada, id), 0);
        // of two ids one was released before
        changes(app, id, &json!({ "release": [second, first, second] })).expect(200);
        assert_eq!((texts(app, &ada, id).len(), audited(app, "message.released")), (3, 2));
        let desk = desk_messages(app, id);
        assert!(desk.iter().all(|message| message["visibility"] == "shown"));
        assert_eq!(desk.iter().filter(|message| message["released_at"].is_string()).count(), 2);
        assert_eq!(items(&desk_reads(app, "/v1/conversations?held=true").expect(200)), Vec::<Value>::new());
        assert_eq!(audited(app, "conversation.status_changed"), 0);
    }

    fn notes_and_what_is_elsewhere_are_not_released_and_nothing_else_is_done_then(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        let mut note = agent_answers(id, "She is a VIP.");
        note["message"]["internal"] = json!(true);
        let note = app.push(&note).expect(201).json()["message_id"].clone();
        let other = app.push(&email_in("case-of-eve", "eve@example.org")).expect(201).json();
        let held = stranger_writes(app, "case-of-eve", "to Eve");
        let absent = json!("0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20");
        let body = json!({ "status": "closed", "offer_rating": true, "release": [note, held, pushed["message_id"], absent] });
        let refused = changes(app, id, &body).expect(422);
        assert_eq!(pointers(&refused), ["/release/0", "/release/1", "/release/3"]);
        assert_eq!(column(refused.json()["errors"].as_array().unwrap(), "code"), ["internal", "unknown", "unknown"]);
        assert_eq!(texts(app, &ada, id).len(), 1);
        let untouched = reads(app, &ada, &path(id, "")).expect(200).json();
        assert_eq!((&untouched["status"], &untouched["rating"]), (&json!("open"), &Value::Null));
        assert_eq!(desk_messages(app, &other["conversation_id"])[1]["visibility"], "held");
    }

    fn whoever_was_held_as_unknown_is_known_once_something_of_theirs_is_released(app) {
        app.change_settings(|settings| settings.unknown_requesters = UnknownRequesters::Hold);
        let pushed = app.push(&email_in("case-new", "new@example.org")).expect(201).json();
        assert_eq!(pushed["outcome"], "held");
        app.claims("new@example.org");
        let owner = app.signs_in("new@example.org");
        assert_eq!(sees(app, &owner), Vec::<Value>::new());
        reads(app, &owner, &path(&pushed["conversation_id"], "")).expect(404);
        changes(app, &pushed["conversation_id"], &json!({ "release": [pushed["message_id"]] })).expect(200);
        assert_eq!(sees(app, &owner), std::slice::from_ref(&pushed["conversation_id"]));
        let next = app.push(&email_in("case-next", "new@example.org")).expect(201).json();
        assert_eq!(next["outcome"], "created");
    }

    fn a_conversation_is_rated_once_the_desk_asks(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        let good = json!({ "score": 5, "comment": "Out in a minute.\nThank you!" });
        assert_eq!(rates(app, &ada, id, &good).expect(409).code(), "rating_not_offered");
        assert_eq!(rating(app, &ada, id), Value::Null);
        changes(app, id, &json!({ "status": "solved", "offer_rating": true })).expect(200);
        changes(app, id, &json!({ "offer_rating": true })).expect(200);
        assert_eq!(audited(app, "rating.offered"), 1);
        assert_eq!(rating(app, &ada, id), json!({ "offered": true, "score": null, "comment": null, "rated_at": null }));
        let rated = rates(app, &ada, id, &good).expect(200).json();
        assert_eq!((&rated["rating"]["score"], &rated["rating"]["comment"]), (&json!(5), &good["comment"]));
        let seen = desk_reads(app, &format!("/v1/conversations/{}", id.as_str().unwrap())).expect(200).json();
        assert_eq!((&seen["rating"], &seen["status"]), (&rated["rating"], &json!("solved")), "a rating opens nothing");
        assert_eq!((audited(app, "rating.received"), posted(app, "rating.received")), (1, 1));
        // the same again is no other
        app.advance(Duration::from_secs(60));
        assert_eq!(rates(app, &ada, id, &good).expect(200).json(), rated);
        assert_eq!(posted(app, "rating.received"), 1);
        // another takes its place as a whole
        let worse = rates(app, &ada, id, &json!({ "score": 2, "comment": " \n" })).expect(200).json()["rating"].clone();
        assert_eq!((&worse["score"], &worse["comment"]), (&json!(2), &Value::Null));
        assert!(worse["rated_at"].as_str() > rated["rating"]["rated_at"].as_str());
        assert_eq!(posted(app, "rating.received"), 2);
        // the desk asks no more: what was said stays, and stays as it is
        changes(app, id, &json!({ "offer_rating": false })).expect(200);
        assert_eq!(rates(app, &ada, id, &good).expect(409).code(), "rating_not_offered");
        let kept = rating(app, &ada, id);
        assert_eq!((&kept["offered"], &kept["score"]), (&json!(false), &json!(2)));
        assert_eq!(audited(app, "rating.withdrawn"), 1);
        changes(app, id, &json!({ "offer_rating": true })).expect(200);
        rates(app, &ada, id, &good).expect(200);
        let held = app.client.get("/v1/me/export").bearer(&ada.access_token).send().expect(200).json();
        assert_eq!(held["conversations"][0]["conversation"]["rating"]["score"], 5);
    }

    fn a_rating_that_cannot_be_is_refused_with_a_pointer(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        changes(app, id, &json!({ "offer_rating": true })).expect(200);
        let rows = [
            (json!({ "score": 0 }), "/score"),
            (json!({ "score": 6 }), "/score"),
            (json!({ "score": -1 }), "/score"),
            (json!({ "score": 70_000 }), "/score"),
            (json!({ "score": 4.5 }), "/score"),
            (json!({ "score": "5" }), "/score"),
            (json!({ "score": null }), "/score"),
            (json!({ "comment": "good" }), "/score"),
            (json!({ "score": 5, "comment": "x".repeat(2_001) }), "/comment"),
            (json!({ "score": 5, "comment": "a\u{1b}[31m" }), "/comment"),
            (json!({ "score": 5, "rated_at": "2026-01-01T00:00:00Z" }), "/rated_at"),
        ];
        for (body, at) in rows {
            assert_eq!(pointers(&rates(app, &ada, id, &body).expect(422)), [at], "{body}");
        }
        assert_eq!(rating(app, &ada, id)["score"], Value::Null);
        assert_eq!(rates(app, &ada, id, &json!({ "score": 6 })).json()["errors"][0]["code"], "out_of_range");
        rates(app, &ada, id, &json!({ "score": 1, "comment": "ü".repeat(2_000) })).expect(200);
    }

    fn az_01_a_conversation_is_rated_by_nobody_but_its_customer(app) {
        let (_, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        changes(app, id, &json!({ "offer_rating": true })).expect(200);
        let eve = app.signs_up("eve@example.org");
        let absent = json!("0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20");
        let (theirs, none) = (rates(app, &eve, id, &json!({ "score": 1 })).expect(404), rates(app, &eve, &absent, &json!({ "score": 1 })).expect(404));
        let without_id = |answer: &Answer| { let mut body = answer.json(); body["request_id"] = Value::Null; body };
        assert_eq!(without_id(&theirs), without_id(&none));
        assert_eq!(audited(app, "rating.received"), 0);
    }

    fn a_rating_goes_with_its_conversation(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        changes(app, id, &json!({ "offer_rating": true })).expect(200);
        rates(app, &ada, id, &json!({ "score": 4 })).expect(200);
        let other = app.signs_up("other@example.org");
        merges(app, &other, &ada, false).expect(200);
        assert_eq!(rating(app, &other, id)["score"], 4);
        rates(app, &other, id, &json!({ "score": 3 })).expect(200);
    }

    fn desk_changes_that_cannot_be_are_refused_with_a_pointer(app) {
        let (_, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        let many: Vec<_> = (0..101).map(|_| pushed["message_id"].clone()).collect();
        let rows = [
            (json!({ "status": "done" }), "/status"),
            (json!({ "status": null }), "/status"),
            (json!({ "subject": "" }), "/subject"),
            (json!({ "subject": " " }), "/subject"),
            (json!({ "subject": "a\r\nBcc: x" }), "/subject"),
            (json!({ "subject": "x".repeat(1_001) }), "/subject"),
            (json!({ "release": ["x"] }), "/release/0"),
            (json!({ "release": many }), "/release"),
            (json!({ "offer_rating": "yes" }), "/offer_rating"),
            (json!({ "account_id": pushed["account_id"] }), "/account_id"),
        ];
        for (body, at) in rows {
            assert_eq!(pointers(&changes(app, id, &body).expect(422)), [at], "{body}");
        }
        changes(app, &json!("0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20"), &json!({ "status": "open" })).expect(404);
    }

    fn a_message_is_released_once_however_often_at_once(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        let case = desk_reads(app, &format!("/v1/conversations/{}", id.as_str().unwrap())).expect(200).json()["external_id"].clone();
        let held = stranger_writes(app, case.as_str().unwrap(), "Hello");
        let key = app.api_key(&[Scope::ConversationsWrite]);
        let road = format!("/v1/conversations/{}", id.as_str().unwrap());
        let body = json!({ "release": [held], "status": "pending", "offer_rating": true });
        let answers = in_parallel(8, |i| match i % 4 {
            0 => posts(app, &ada, &path(id, "/messages"), &json!({ "body_text": "And on." })),
            _ => app.client.patch(&road).bearer(&key).json(&body).send(),
        });
        assert!(answers.iter().all(|answer| answer.status < 300), "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
        assert_eq!((audited(app, "message.released"), audited(app, "rating.offered")), (1, 1));
        assert_eq!(texts(app, &ada, id).len(), 4);
    }
}
