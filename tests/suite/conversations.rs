//! What a signed-in customer does with conversations: answer, start, close, reopen; and what the desk hears of it.

use std::time::Duration;

use doorstep_tests::http::in_parallel;
use doorstep_tests::{App, SignedIn, on_both};
use serde_json::{Value, json};

use crate::talk::{
    agent_answers, column, desk_messages, desk_reads, does, email_in, items, known, messages, path, pointers, posts,
    reads, starts, texts, unread,
};

fn replies(app: &App, who: &SignedIn, id: &Value, text: &str) -> Value {
    posts(app, who, &path(id, "/messages"), &json!({ "body_text": text })).expect(201).json()
}

fn status(app: &App, who: &SignedIn, id: &Value) -> String {
    reads(app, who, &path(id, "")).expect(200).json()["status"].as_str().unwrap().to_owned()
}

fn start_with_key(app: &App, who: &SignedIn, key: &str, text: &str) -> doorstep_tests::http::Answer {
    let body = json!({ "subject": "Hello", "message": { "body_text": text } });
    app.client.post("/v1/me/conversations").bearer(&who.access_token).header("Idempotency-Key", key).json(&body).send()
}

on_both! {
    fn somebody_who_writes_without_end_is_slowed_down(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let road = path(&pushed["conversation_id"], "/messages");
        let answers: Vec<_> = (0..110).map(|n| posts(app, &ada, &road, &json!({ "body_text": format!("{n}") }))).collect();
        let said = answers.iter().filter(|answer| answer.status == 201).count();
        // one more for every ten seconds that it took
        assert!((100..105).contains(&said), "{said}");
        let slowed = answers.last().unwrap();
        assert_eq!((slowed.status, slowed.code()), (429, "too_many_requests".into()));
        assert!(slowed.header("retry-after").is_some());
        app.advance(Duration::from_secs(11));
        posts(app, &ada, &road, &json!({ "body_text": "and on" })).expect(201);
    }

    fn however_many_search_nobody_else_waits(app) {
        let (ada, _) = known(app, "ada@example.org");
        let (eve, _) = known(app, "eve@example.org");
        let answers = in_parallel(64, |i| {
            if i % 8 == 0 { app.me(&ada.access_token) } else { reads(app, &eve, "/v1/me/conversations?text=printer") }
        });
        for (i, answer) in answers.iter().enumerate() {
            let turned_away = i % 8 != 0 && answer.status == 503 && answer.header("retry-after").is_some();
            assert!(answer.status == 200 || turned_away, "{i}: {}", answer.status);
        }
        assert_eq!(items(&reads(app, &eve, "/v1/me/conversations?text=printer").expect(200)).len(), 1);
    }

    fn a_subject_is_one_line(app) {
        let (ada, _) = known(app, "ada@example.org");
        for subject in ["hi\r\nBcc: x@y.example", "hi\nthere", "a\tb"] {
            let body = json!({ "subject": subject, "message": { "body_text": "x\ny" } });
            let refused = posts(app, &ada, "/v1/me/conversations", &body).expect(422);
            assert_eq!(refused.json()["errors"][0]["pointer"], "/subject");
        }
    }

    fn a_reply_opens_what_waited_or_was_solved(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        for before in ["open", "pending", "solved"] {
            let mut answer = agent_answers(id, "And now?");
            answer["conversation"]["status"] = json!(before);
            app.push(&answer).expect(201);
            assert_eq!(status(app, &ada, id), before);
            let answer = posts(app, &ada, &path(id, "/messages"), &json!({ "body_text": before })).expect(201);
            assert_eq!(answer.header("location"), Some(path(id, "/messages").as_str()));
            let message = answer.json();
            assert_eq!((&message["conversation_id"], &message["author"]), (id, &json!("requester")));
            assert_eq!(status(app, &ada, id), "open");
        }
        assert_eq!(messages(app, &ada, id).len(), 7);
    }

    fn a_reply_to_a_closed_one_begins_a_follow_up(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        does(app, &ada, &path(id, "/close")).expect(200);
        let before = texts(app, &ada, id);
        let message = replies(app, &ada, id, "It burns again.");
        let follow_up = &message["conversation_id"];
        assert_ne!(follow_up, id);
        let shown = reads(app, &ada, &path(follow_up, "")).expect(200).json();
        assert_eq!((&shown["follow_up_of"], &shown["subject"]), (id, &json!("Printer on fire")));
        assert_eq!((&shown["status"], &shown["channel"]), (&json!("open"), &json!("web")));
        assert_eq!(texts(app, &ada, follow_up), ["It burns again."]);
        assert_eq!((status(app, &ada, id).as_str(), texts(app, &ada, id)), ("closed", before));
    }

    fn starting_says_where_it_is(app) {
        let ada = app.signs_up("ada@example.org");
        let body = json!({ "subject": "Where is my order?", "message": { "body_text": "Grüße, 李\n\tAda" } });
        let answer = posts(app, &ada, "/v1/me/conversations", &body).expect(201);
        let started = answer.json();
        assert_eq!(answer.header("location"), Some(path(&started["id"], "").as_str()));
        assert_eq!((&started["status"], &started["channel"], &started["unread_count"]), (&json!("open"), &json!("web"), &json!(0)));
        assert_eq!(started, reads(app, &ada, &path(&started["id"], "")).expect(200).json());
        assert_eq!(texts(app, &ada, &started["id"]), ["Grüße, 李\n\tAda"]);
    }

    fn what_cannot_be_said_is_refused_with_a_pointer(app) {
        let ada = app.signs_up("ada@example.org");
        let start = |subject: Value, text: Value| json!({ "subject": subject, "message": { "body_text": text } });
        let rows: [(Value, u16, &[&str]); 11] = [
            (start(json!(""), json!("x")), 422, &["/subject"]),
            (start(json!(" \n"), json!("x")), 422, &["/subject"]),
            (start(json!("x".repeat(256)), json!("x")), 422, &["/subject"]),
            (start(json!("a\u{7}b"), json!("x")), 422, &["/subject"]),
            (start(Value::Null, json!("x")), 422, &["/subject"]),
            (start(json!("x"), json!("")), 422, &["/message/body_text"]),
            (start(json!("x"), json!("a\u{1b}[31m")), 422, &["/message/body_text"]),
            (start(json!("x"), json!("x".repeat(16_001))), 422, &["/message/body_text"]),
            (start(json!("x"), json!(["x"])), 422, &["/message/body_text"]),
            (json!({ "subject": "x", "message": { "body_text": "x" }, "status": "closed" }), 422, &["/status"]),
            (start(json!("x"), json!("a\0b")), 400, &[]),
        ];
        for (body, status, at) in rows {
            let refused = posts(app, &ada, "/v1/me/conversations", &body).expect(status);
            if status == 422 {
                assert_eq!(pointers(&refused), at, "{body}");
            }
        }
        let started = starts(app, &ada, "x", &"ü".repeat(16_000));
        let empty = posts(app, &ada, &path(&started["id"], "/messages"), &json!({ "body_text": "\t" })).expect(422);
        assert_eq!(pointers(&empty), ["/body_text"]);
        assert_eq!(app.count("SELECT count(*) AS n FROM conversations"), 1);
    }

    fn closing_and_reopening_twice_is_done_once(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        let events = "SELECT count(*) AS n FROM audit_events WHERE action = 'conversation.status_changed'";
        for (act, status, so_far) in [("/reopen", "open", 0), ("/close", "closed", 1), ("/close", "closed", 1), ("/reopen", "open", 2), ("/reopen", "open", 2)] {
            let shown = does(app, &ada, &path(id, act)).expect(200).json();
            assert_eq!(shown["status"], status);
            assert_eq!(app.count(events), so_far, "{act}");
        }
    }

    fn reading_marks_what_was_there_as_read(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        assert_eq!(unread(app, &ada, id), 0, "her own words are read");
        for (text, count) in [("one", 1), ("two", 2)] {
            app.push(&agent_answers(id, text)).expect(201);
            assert_eq!(unread(app, &ada, id), count);
        }
        let other = app.push(&email_in("case-2", "ada@example.org")).expect(201).json()["conversation_id"].clone();
        let listed = reads(app, &ada, "/v1/me/conversations?unread=true").expect(200);
        assert_eq!(column(&items(&listed), "id"), [id.as_str().unwrap()]);
        assert_eq!(items(&listed)[0]["unread_count"], 2);
        does(app, &ada, &path(id, "/read")).expect(204);
        assert_eq!((unread(app, &ada, id), unread(app, &ada, &other)), (0, 0));
        assert_eq!(items(&reads(app, &ada, "/v1/me/conversations?unread=true").expect(200)), Vec::<Value>::new());
        app.advance(Duration::from_millis(1));
        app.push(&agent_answers(id, "three")).expect(201);
        assert_eq!(unread(app, &ada, id), 1);
        replies(app, &ada, id, "thanks");
        assert_eq!(unread(app, &ada, id), 0, "who answers has read");
        app.advance(Duration::from_millis(1));
        let mut late = agent_answers(id, "sent before she read, pushed after");
        late["message"]["sent_at"] = json!("2020-01-01T00:00:00Z");
        app.push(&late).expect(201);
        assert_eq!(unread(app, &ada, id), 1);
    }

    fn the_same_idempotency_key_starts_one_conversation(app) {
        let (ada, eve) = (app.signs_up("ada@example.org"), app.signs_up("eve@example.org"));
        let first = start_with_key(app, &ada, "k-1", "hello").expect(201);
        let again = start_with_key(app, &ada, "k-1", "hello").expect(201);
        assert_eq!((first.json(), first.header("location")), (again.json(), again.header("location")));
        let other = start_with_key(app, &ada, "k-1", "goodbye").expect(422);
        assert_eq!(other.code(), "idempotency_key_reused");
        let hers = start_with_key(app, &eve, "k-1", "hello").expect(201);
        assert_ne!(hers.json()["id"], first.json()["id"], "keys of two callers never meet");
        start_with_key(app, &ada, "k-2", "hello").expect(201);
        assert_eq!(app.conversations_of(&ada).len(), 2);
        for wrong in ["", "a b", &"x".repeat(256)] {
            let refused = start_with_key(app, &ada, wrong, "hello").expect(422);
            assert_eq!((refused.code(), pointers(&refused)), ("validation_failed".into(), vec!["/Idempotency-Key".to_owned()]));
        }
        let ada = app.signs_in("ada@example.org");
        assert_eq!(start_with_key(app, &ada, "k-1", "hello").expect(201).json()["id"], first.json()["id"], "in any session");
        app.advance(Duration::from_secs(86_400 + 1));
        let ada = app.signs_in("ada@example.org");
        let after = start_with_key(app, &ada, "k-1", "goodbye").expect(201);
        assert_ne!(after.json()["id"], first.json()["id"], "a day later it is forgotten");
        assert_eq!(app.conversations_of(&ada).len(), 3);
    }

    fn the_same_idempotency_key_says_it_once(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        let other = starts(app, &ada, "Another", "x")["id"].clone();
        let reply = |to: &Value, text: &str| {
            let request = app.client.post(&path(to, "/messages")).bearer(&ada.access_token).header("Idempotency-Key", "k-1");
            request.json(&json!({ "body_text": text })).send()
        };
        let first = reply(id, "hello").expect(201).json();
        assert_eq!(reply(id, "hello").expect(201).json(), first);
        assert_eq!(reply(id, "goodbye").expect(422).code(), "idempotency_key_reused");
        assert_eq!(reply(&other, "hello").expect(422).code(), "idempotency_key_reused");
        assert_eq!(messages(app, &ada, id).len(), 2);
        let answers = doorstep_tests::http::in_parallel(8, |_| start_with_key(app, &ada, "k-2", "at once").expect(201).json()["id"].clone());
        assert!(answers.iter().all(|id| *id == answers[0]), "{answers:?}");
        start_with_key(app, &ada, "k-1", "another operation has keys of its own").expect(201);
    }

    fn the_desk_hears_what_customers_started_and_answered(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        app.advance(Duration::from_secs(60));
        let started = starts(app, &ada, "Where is my order?", "It was to come on Monday.");
        let since = started["created_at"].as_str().unwrap().to_owned();
        let list = || desk_reads(app, &format!("/v1/conversations?updated_since={since}")).expect(200);
        assert_eq!(column(&items(&list()), "id"), [started["id"].as_str().unwrap()]);
        let seen = &items(&list())[0];
        assert_eq!((&seen["started_by_customer"], &seen["external_id"]), (&json!(true), &Value::Null));
        assert_eq!(seen["account_id"], ada.account["id"]);
        assert_eq!(*seen, desk_reads(app, &format!("/v1/conversations/{}", started["id"].as_str().unwrap())).expect(200).json());
        app.advance(Duration::from_secs(1));
        replies(app, &ada, &pushed["conversation_id"], "It is out now.");
        assert_eq!(column(&items(&list()), "id"), [&started["id"], &pushed["conversation_id"]].map(|id| id.as_str().unwrap()));
        let said = desk_messages(app, &pushed["conversation_id"]);
        assert_eq!((&said[1]["body_text"], &said[1]["author"]), (&json!("It is out now."), &json!("requester")));
        assert_eq!(items(&desk_reads(app, "/v1/conversations?updated_since=2999-01-01T00:00:00Z").expect(200)), Vec::<Value>::new());
        assert_eq!(pointers(&desk_reads(app, "/v1/conversations?updated_since=yesterday").expect(422)), ["/updated_since"]);
    }
}
