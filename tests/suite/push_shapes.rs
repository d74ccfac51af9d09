//! Every channel's shape of a push: the identity it names, and what is refused with a pointer.

use doorstep_tests::{App, on_both};
use serde_json::{Value, json};

use crate::talk::{email_in, known, messages, path, pointers, reads};

fn push(external_id: &str, channel: &str, from: &Value) -> Value {
    json!({
        "source": "desk", "external_id": external_id, "channel": channel, "direction": "inbound", "from": from,
        "conversation": { "external_id": external_id }, "message": { "body_text": "hello" },
    })
}

fn has_identity(app: &App, kind: &str, namespace: &str, subject: &str) -> bool {
    let sql = format!(
        "SELECT count(*) AS n FROM identities WHERE kind = '{kind}' AND namespace = '{namespace}' AND subject = '{subject}'"
    );
    app.count(&sql) == 1
}

/// Puts a value into a body by its pointer, or takes it out.
fn with(body: &Value, pointer: &str, value: Value) -> Value {
    let mut body = body.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name] = value;
    body
}

on_both! {
    fn every_channel_names_a_person_by_its_own_identity(app) {
        let rows: [(&str, Value, (&str, &str, &str)); 6] = [
            ("email", json!({ "email": "Ada@Bücher.Example" }), ("email", "", "ada@xn--bcher-kva.example")),
            ("twitter", json!({ "twitter": { "id": "12", "handle": "ada" } }), ("twitter", "", "12")),
            ("facebook", json!({ "facebook_page": { "page_id": "7", "id": "99" } }), ("facebook_page", "7", "99")),
            ("messenger", json!({ "messenger": { "device_id": "5f0c8d1e-3b1a" } }), ("messenger", "", "5f0c8d1e-3b1a")),
            ("external", json!({ "external": { "service": "shop", "id": "u1" } }), ("external", "shop", "u1")),
            ("phone", json!({ "phone": "+441632960961" }), ("phone", "", "+441632960961")),
        ];
        for (channel, from, (kind, namespace, subject)) in rows {
            let first = app.push(&push(&format!("{channel}-1"), channel, &from)).expect(201).json();
            assert!(has_identity(app, kind, namespace, subject), "{channel}");
            let second = app.push(&push(&format!("{channel}-2"), channel, &from)).expect(201).json();
            assert_eq!(first["account_id"], second["account_id"], "{channel}");
        }
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts WHERE state = 'unclaimed'"), 6);
        assert_eq!(app.count("SELECT count(*) AS n FROM proofs"), 0, "observed is not owned");
    }

    fn ph_28_a_handle_is_only_a_label(app) {
        let tweet = |id: &str, user: &str| push(id, "twitter", &json!({ "twitter": { "id": user, "handle": "ada" } }));
        let first = app.push(&tweet("t-1", "12")).expect(201).json();
        let recycled = app.push(&tweet("t-2", "13")).expect(201).json();
        assert_ne!(first["account_id"], recycled["account_id"]);
        let renamed = push("t-3", "twitter", &json!({ "twitter": { "id": "12", "handle": "countess" } }));
        assert_eq!(app.push(&renamed).expect(201).json()["account_id"], first["account_id"]);
    }

    fn two_external_ids_never_meet_in_one_account(app) {
        let user = |id: &str, user: &str, service: &str| {
            push(id, "external", &json!({ "external": { "service": service, "id": user }, "email": "family@example.org" }))
        };
        let one = app.push(&user("e-1", "u1", "shop")).expect(201).json();
        let two = app.push(&user("e-2", "u2", "shop")).expect(201).json();
        let three = app.push(&user("e-3", "u1", "forum")).expect(201).json();
        assert_ne!(one["account_id"], two["account_id"]);
        assert_ne!(one["account_id"], three["account_id"]);
        let email = push("e-4", "email", &json!({ "email": "family@example.org", "external": { "service": "shop", "id": "u2" } }));
        assert_eq!(app.push(&email).expect(201).json()["account_id"], one["account_id"], "the address stays where it was");
        assert_eq!(app.count("SELECT count(*) AS n FROM identities"), 4);
        assert_eq!(app.count("SELECT max(n) AS n FROM (SELECT count(*) AS n FROM identities WHERE kind = 'external' \
            GROUP BY account_id) AS by_account"), 1);
        assert!(app.count("SELECT count(*) AS n FROM merge_suggestions") >= 1);
    }

    fn what_is_no_identity_is_refused_with_a_pointer(app) {
        let rows: [(&str, Value, &str); 20] = [
            ("email", json!({ "email": "ada" }), "/from/email"),
            ("email", json!({ "email": "" }), "/from/email"),
            ("email", json!({ "email": "a@x.example,b@x.example" }), "/from/email"),
            ("email", json!({ "email": "a\n@x.example" }), "/from/email"),
            ("email", json!({ "name": "Ada" }), "/from/email"),
            ("email", json!({ "twitter": { "id": "12" } }), "/from/email"),
            ("twitter", json!({ "email": "ada@example.org" }), "/from/twitter"),
            ("twitter", json!({ "twitter": { "id": "ada" } }), "/from/twitter"),
            ("twitter", json!({ "twitter": { "id": "0" } }), "/from/twitter"),
            ("twitter", json!({ "twitter": { "id": "" } }), "/from/twitter"),
            ("twitter", json!({ "twitter": { "id": 12 } }), "/from/twitter/id"),
            ("twitter", json!({ "twitter": { "id": null } }), "/from/twitter/id"),
            ("twitter", json!({ "twitter": { "handle": "ada" } }), "/from/twitter/id"),
            ("facebook", json!({ "facebook_page": { "page_id": "7", "id": "ada" } }), "/from/facebook_page"),
            ("facebook", json!({ "facebook_page": { "id": "9" } }), "/from/facebook_page/page_id"),
            ("messenger", json!({ "messenger": { "device_id": "0000000000" } }), "/from/messenger"),
            ("external", json!({ "external": { "service": "Shop", "id": "u1" } }), "/from/external"),
            ("external", json!({ "external": { "service": "shop", "id": "null" } }), "/from/external"),
            ("phone", json!({ "phone": "0163 2960961" }), "/from/phone"),
            ("phone", json!({ "email": "ada@example.org" }), "/from/phone"),
        ];
        for (channel, from, pointer) in rows {
            let refused = app.push(&push("p-1", channel, &from)).expect(422);
            assert_eq!(refused.code(), "validation_failed");
            assert!(pointers(&refused).iter().any(|at| at == pointer), "{from}: {:?}", pointers(&refused));
        }
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 0);
    }

    fn what_is_no_push_is_refused_with_a_pointer(app) {
        let good = App::email_push("msg-1", "case-1", "ada@example.org");
        let many = json!(vec![json!({ "email": "a@x.example", "role": "cc" }); 101]);
        let rows: [(&str, Value, &str); 26] = [
            ("/source", json!(""), "/source"),
            ("/source", json!("x".repeat(65)), "/source"),
            ("/source", json!("a\nb"), "/source"),
            ("/source", Value::Null, "/source"),
            ("/external_id", json!("x".repeat(256)), "/external_id"),
            ("/external_id", json!("a\u{1b}[31m"), "/external_id"),
            ("/external_id", json!(991), "/external_id"),
            ("/channel", json!("fax"), "/channel"),
            ("/direction", json!("sideways"), "/direction"),
            ("/recipients", many, "/recipients"),
            ("/recipients", json!([{ "email": "a@x.example", "role": "owner" }]), "/recipients/0/role"),
            ("/conversation/status", json!("burning"), "/conversation/status"),
            ("/conversation/external_id", json!(""), "/conversation/external_id"),
            ("/conversation/subject", json!("x".repeat(1001)), "/conversation/subject"),
            ("/conversation/subject", json!("a\r\nBcc: x"), "/conversation/subject"),
            ("/message/body_text", Value::Null, "/message/body_text"),
            ("/message/sent_at", json!("yesterday"), "/message/sent_at"),
            ("/message/sent_at", json!("1969-12-31T23:59:59Z"), "/message/sent_at"),
            ("/message/internal", json!("false"), "/message/internal"),
            ("/message/attachments", json!([{ "name": "" }]), "/message/attachments/0/name"),
            ("/message/attachments", json!([{ "name": "a\nb.exe" }]), "/message/attachments/0/name"),
            ("/conversation/external_id", json!("case\u{1b}[2J"), "/conversation/external_id"),
            ("/agent", json!({ "name": "Grace\nand others" }), "/agent/name"),
            ("/message/colour", json!("red"), "/message/colour"),
            ("/authentication/dmarc", json!("maybe"), "/authentication/dmarc"),
            ("/from/name", json!("x".repeat(201)), "/from/name"),
        ];
        for (pointer, value, at) in rows {
            let refused = app.push(&with(&good, pointer, value.clone())).expect(422);
            assert_eq!(refused.code(), "validation_failed");
            assert_eq!(pointers(&refused), [at], "{pointer} {value}");
        }
        let nul = app.push(&with(&good, "/message/body_text", json!("a\0b"))).expect(400);
        assert_eq!(nul.code(), "malformed_json");
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 0);
        app.push(&good).expect(201);
    }

    fn ft_23_a_list_is_no_object_at_any_depth(app) {
        let good = App::email_push("msg-1", "case-1", "ada@example.org");
        let rows = [
            ("/from", json!(["ada@example.org"]), "/from"),
            ("/from", json!({ "twitter": ["12"] }), "/from/twitter"),
            ("/recipients", json!([["to", "help@shop.example"]]), "/recipients/0"),
            ("/conversation", json!([null, "case-1"]), "/conversation"),
            ("/message", json!(["It is on fire."]), "/message"),
            ("/message/attachments", json!([["fire.jpg"]]), "/message/attachments/0"),
            ("/authentication", json!(["pass"]), "/authentication"),
            ("/authentication/dmarc", json!({ "pass": null }), "/authentication/dmarc"),
        ];
        for (pointer, value, at) in rows {
            let refused = app.push(&with(&good, pointer, value.clone())).expect(422);
            assert_eq!((refused.code(), pointers(&refused)), ("validation_failed".into(), vec![at.into()]), "{value}");
        }
        assert_eq!(app.push(&json!(["desk", "msg-1"])).expect(422).code(), "validation_failed");
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 0);
        app.push(&good).expect(201);
    }

    fn hd_06_a_message_may_be_a_file_or_a_subject_and_not_nothing(app) {
        let mut good = App::email_push("msg-1", "case-1", "ada@example.org");
        good["conversation"] = json!({ "external_id": "case-1" });
        good["message"] = json!({ "body_text": " \r\n\t" });
        for nothing in [json!({}), json!({ "body_html": " " }), json!({ "attachments": [] })] {
            let mut push = good.clone();
            push["message"].as_object_mut().unwrap().extend(nothing.as_object().unwrap().clone());
            let refused = app.push(&push).expect(422);
            assert_eq!(pointers(&refused), ["/message/body_text"], "{push}");
            assert_eq!(refused.json()["errors"][0]["code"], "required");
        }
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 0);
        let something = [
            ("/message/body_html", json!("<img src=\"cid:1\">")),
            ("/message/attachments", json!([{ "name": "fire.jpg" }])),
            ("/conversation/subject", json!("Please call me back")),
        ];
        for (n, (pointer, value)) in something.into_iter().enumerate() {
            let push = with(&with(&good, pointer, value), "/external_id", json!(format!("msg-{n}")));
            app.push(&push).expect(201);
        }
    }

    fn text_of_every_kind_comes_back_as_it_was(app) {
        let odd = "Grüße, 李 👩‍💻 \u{202e}\u{feff} \u{1}\u{7f} %s \\ ' \" ;--";
        let mut body = App::email_push("msg-1", "case-1", "ada@example.org");
        body["message"]["body_text"] = json!(odd);
        let pushed = app.push(&body).expect(201).json();
        app.claims("ada@example.org");
        let ada = app.signs_in("ada@example.org");
        assert_eq!(crate::talk::texts(app, &ada, &pushed["conversation_id"]), [odd]);
    }

    fn a_status_holds_until_another_is_pushed(app) {
        let (ada, _) = known(app, "ada@example.org");
        let mut id = Value::Null;
        for status in ["open", "pending", "solved", "closed"] {
            let mut push = email_in("case-1", "ada@example.org");
            push["conversation"]["status"] = json!(status);
            id = app.push(&push).expect(201).json()["conversation_id"].clone();
            push = email_in("case-1", "ada@example.org");
            push["conversation"] = json!({ "external_id": "case-1", "subject": "Another subject" });
            app.push(&push).expect(201);
            let shown = reads(app, &ada, &path(&id, "")).expect(200).json();
            assert_eq!((&shown["status"], &shown["subject"]), (&json!(status), &json!("Printer on fire")));
        }
        assert_eq!(messages(app, &ada, &id).len(), 8);
    }

    fn a_time_to_come_counts_as_now(app) {
        let (ada, _) = known(app, "ada@example.org");
        let mut push = email_in("case-1", "ada@example.org");
        push["message"]["sent_at"] = json!("2999-01-01T00:00:00Z");
        let id = app.push(&push).expect(201).json()["conversation_id"].clone();
        let sent = messages(app, &ada, &id)[0]["sent_at"].as_str().unwrap().to_owned();
        assert!(sent.as_str() < "2999", "{sent}");
        let later = app.push(&email_in("case-2", "ada@example.org")).expect(201).json();
        assert_eq!(app.conversations_of(&ada)[0]["id"], later["conversation_id"], "it does not stay on top");
        push = email_in("case-1", "ada@example.org");
        push["message"]["sent_at"] = json!("2020-01-02T03:04:05.123456+01:00");
        app.push(&push).expect(201);
        assert_eq!(messages(app, &ada, &id)[0]["sent_at"], "2020-01-02T02:04:05.123456Z", "oldest first, in UTC");
        assert_eq!(app.conversations_of(&ada)[0]["id"], later["conversation_id"], "nor does an old one rise");
    }
}
