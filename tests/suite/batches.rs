//! Many pushes in one request: each has an answer of its own, and none is taken twice.

use doorstep_core::api_key::Scope;
use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::{App, on_both};
use serde_json::{Value, json};

use crate::talk::{agent_answers, email_in, sees, texts};

fn pushes(app: &App, items: &[Value]) -> Answer {
    let key = app.api_key(&[Scope::InteractionsWrite]);
    app.client.post("/v1/interactions/batch").bearer(&key).json(&json!({ "items": items })).send()
}

/// The status of each answer, and its code where it is a problem.
fn statuses(answer: &Answer) -> Vec<(u64, String)> {
    let items = answer.json()["items"].as_array().unwrap().clone();
    let code = |item: &Value| item["problem"]["code"].as_str().unwrap_or_default().to_owned();
    items.iter().map(|item| (item["status"].as_u64().unwrap(), code(item))).collect()
}

fn ok(status: u64) -> (u64, String) {
    (status, String::new())
}

on_both! {
    fn a_batch_is_answered_item_by_item_and_one_that_is_wrong_harms_no_other(app) {
        let first = App::email_push("batch-1", "case-1", "ada@example.org");
        let second = App::email_push("batch-2", "case-1", "ada@example.org");
        let mut unknown = App::email_push("batch-3", "case-1", "ada@example.org");
        unknown["nonsense"] = json!(1);
        let nobody = App::email_push("batch-4", "case-2", "no address");
        let absent = agent_answers(&json!("0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20"), "To nobody");
        let last = App::email_push("batch-5", "case-3", "grace@example.org");
        let answer = pushes(app, &[first.clone(), second, first, unknown, nobody, absent, json!(7), Value::Null, json!([]), last]).expect(200);
        let refused = || (422, "validation_failed".to_owned());
        let all = [ok(201), ok(201), ok(200), refused(), refused(), (404, "not_found".to_owned()), refused(), refused(), refused(), ok(201)];
        assert_eq!(statuses(&answer), all, "{}", answer.json());
        let items = answer.json()["items"].clone();
        assert_eq!(items[0]["interaction"]["message_id"], items[2]["interaction"]["message_id"]);
        assert_eq!((&items[2]["interaction"]["outcome"], &items[0]["interaction"]["outcome"]), (&json!("repeated"), &json!("created")));
        assert_eq!(items[0]["interaction"]["conversation_id"], items[1]["interaction"]["conversation_id"]);
        assert_eq!(items[3]["problem"]["errors"][0]["pointer"], "/nonsense", "pointers begin at the item");
        assert_eq!(items[4]["problem"]["errors"][0]["pointer"], "/from/email");
        assert_eq!(items[3]["problem"]["request_id"].as_str(), answer.header("x-request-id"));
        assert!(items[0].get("problem").is_none() && items[3].get("interaction").is_none());
        assert_eq!(app.count("SELECT count(*) AS n FROM interactions"), 3);
    }

    fn it_is_taken_in_its_order(app) {
        let asks = email_in("case-1", "ada@example.org");
        let id = app.push(&asks).expect(201).json()["conversation_id"].clone();
        let said = ["one", "two", "three"].map(|text| agent_answers(&id, text));
        assert_eq!(statuses(&pushes(app, &said).expect(200)), [ok(201), ok(201), ok(201)]);
        app.claims("ada@example.org");
        let ada = app.signs_in("ada@example.org");
        assert_eq!(sees(app, &ada), std::slice::from_ref(&id));
        assert_eq!(texts(app, &ada, &id)[1..], ["one", "two", "three"]);
    }

    fn the_same_batch_at_once_and_again_is_taken_once(app) {
        let items: Vec<Value> = (0..20).map(|n| App::email_push(&format!("batch-{n}"), &format!("case-{}", n / 4), "ada@example.org")).collect();
        let answers = in_parallel(4, |_| pushes(app, &items).expect(200).json()["items"].clone());
        let created = answers.iter().flat_map(|answer| answer.as_array().unwrap()).filter(|item| item["status"] == 201).count();
        assert_eq!(created, 20);
        for answer in &answers {
            for (one, other) in answer.as_array().unwrap().iter().zip(answers[0].as_array().unwrap()) {
                assert_eq!(one["interaction"]["message_id"], other["interaction"]["message_id"]);
            }
        }
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 1);
        assert_eq!(app.count("SELECT count(*) AS n FROM conversations"), 5);
    }

    fn hd_08_a_huge_batch_or_none_is_refused_as_a_whole(app) {
        let push = || App::email_push("batch-1", "case-1", "ada@example.org");
        let fault = |answer: Answer| {
            let error = answer.expect(422).json()["errors"][0].clone();
            (error["pointer"].as_str().unwrap().to_owned(), error["code"].as_str().unwrap().to_owned())
        };
        assert_eq!(fault(pushes(app, &[])), ("/items".into(), "invalid_length".into()));
        assert_eq!(fault(pushes(app, &vec![push(); 101])), ("/items".into(), "invalid_length".into()));
        let key = app.api_key(&[Scope::InteractionsWrite]);
        let send = |body: &Value| app.client.post("/v1/interactions/batch").bearer(&key).json(body).send();
        assert_eq!(fault(send(&json!({ "items": push() }))), ("/items".into(), "wrong_type".into()));
        assert_eq!(fault(send(&json!([push()]))).1, "wrong_type");
        assert_eq!(fault(send(&json!({ "items": [push()], "more": 1 }))), ("/more".into(), "unknown_field".into()));
        let wrong = app.api_key(&[Scope::ConversationsRead]);
        let body = json!({ "items": [push()] });
        let refused = app.client.post("/v1/interactions/batch").bearer(&wrong).json(&body).send().expect(403);
        assert_eq!(refused.code(), "insufficient_scope");
        let mut large = push();
        large["message"]["body_text"] = json!("x".repeat(1 << 20));
        assert_eq!(send(&json!({ "items": [large] })).expect(413).code(), "payload_too_large");
        assert_eq!(app.count("SELECT count(*) AS n FROM interactions"), 0);
    }
}
