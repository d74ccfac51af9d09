//! What the help desk pushes: who is made of it, who sees it, and what it never does.

use doorstep_core::api_key::Scope;
use doorstep_core::settings::UnknownRequesters;
use doorstep_tests::http::in_parallel;
use doorstep_tests::people::PASSWORD;
use doorstep_tests::{App, on_both};
use serde_json::{Value, json};

use crate::talk::{
    agent_answers, column, desk_messages, does, email_in, known, messages, path, pointers, reads, starts, texts, unread,
};

const EVERYTHING: &str = "SELECT (SELECT count(*) FROM accounts) + (SELECT count(*) FROM identities) + (SELECT count(*) FROM \
    conversations) + (SELECT count(*) FROM messages) + (SELECT count(*) FROM interactions) AS n";

const OF_CLAIMED: &str =
    "SELECT count(*) AS n FROM identities i JOIN accounts a ON a.id = i.account_id WHERE a.state = 'claimed'";

fn ids(pushed: &Value) -> Vec<Value> {
    ["interaction_id", "account_id", "conversation_id", "message_id"].map(|name| pushed[name].clone()).to_vec()
}

on_both! {
    fn hd_01_the_same_push_at_once_and_again_makes_one_interaction(app) {
        let key = app.api_key(&[Scope::InteractionsWrite]);
        let push = App::email_push("msg-1", "case-1", "ada@example.org");
        let post = |push: &Value| app.client.post("/v1/interactions").bearer(&key).json(push).send();
        let answers = in_parallel(10, |_| post(&push));
        let mut created = 0;
        for answer in &answers {
            created += usize::from(answer.status == 201);
            let outcome = if answer.status == 201 { "created" } else { "repeated" };
            assert_eq!((answer.json()["outcome"].as_str(), ids(&answer.json())), (Some(outcome), ids(&answers[0].json())));
        }
        assert_eq!(created, 1);
        let before = app.count(EVERYTHING);
        assert_eq!(before, 5, "an account, an identity, a conversation, a message, an interaction");
        let mut other = App::email_push("msg-1", "case-2", "eve@example.org");
        other["message"]["body_text"] = json!("something else");
        let again = post(&other).expect(200).json();
        assert_eq!((again["outcome"].as_str(), ids(&again)), (Some("repeated"), ids(&answers[0].json())));
        assert_eq!(app.count(EVERYTHING), before);
        let mut elsewhere = push.clone();
        elsewhere["source"] = json!("another desk");
        let third = post(&elsewhere).expect(201).json();
        assert_ne!(third["conversation_id"], again["conversation_id"], "ids are a source's own");
        assert_eq!(third["account_id"], again["account_id"]);
    }

    fn hd_04_html_is_kept_as_pushed_and_shown_without_what_acts(app) {
        let wrong = "<p>My <b>printer</b></p><img src=x onerror=alert(1)><svg onload=alert(2)></svg><a href=\"javascript:alert(3)\">x</a>";
        let markdown = "[x](javascript:alert(1)) <img onerror=alert(1)>";
        let mut push = App::email_push("msg-1", "case-1", "ada@example.org");
        push["message"] = json!({ "body_text": markdown, "body_html": wrong });
        let pushed = app.push(&push).expect(201).json();
        app.claims("ada@example.org");
        let ada = app.signs_in("ada@example.org");
        let answer = reads(app, &ada, &path(&pushed["conversation_id"], "/messages")).expect(200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let shown = &answer.json()["items"][0];
        assert_eq!(shown["body_text"], markdown);
        let html = shown["body_html"].as_str().unwrap();
        assert!(html.starts_with("<p>My <b>printer</b></p>"), "{html}");
        for sign in ["onerror", "onload", "javascript", "<img", "<svg"] {
            assert!(!html.contains(sign), "{html}");
        }
        assert_eq!(desk_messages(app, &pushed["conversation_id"])[0]["body_html"], wrong);
    }

    fn what_a_push_and_a_claim_do_to_identities_is_in_the_audit_trail(app) {
        let mut push = App::email_push("msg-1", "case-1", "Ada@example.org");
        push["from"]["twitter"] = json!({ "id": "12", "handle": "ada" });
        app.push(&push).expect(201);
        let events = |action: &str| app.count(&format!("SELECT count(*) AS n FROM audit_events WHERE action = '{action}'"));
        assert_eq!((events("account.created"), events("identity.observed"), events("identity.moved")), (1, 2, 0));
        app.claims("ada@example.org");
        assert_eq!((events("identity.observed"), events("identity.moved")), (2, 1));
        let labels = "SELECT count(*) AS n FROM identities WHERE label = 'ADA@EXAMPLE.ORG'";
        app.push(&App::email_push("msg-2", "case-1", "ADA@EXAMPLE.ORG")).expect(201);
        assert_eq!(app.count(labels), 0, "how a sender spells a claimed address is no matter of its owner's");
    }

    fn html_that_would_take_for_ever_to_read_is_not_shown(app) {
        let mut push = App::email_push("msg-1", "case-1", "ada@example.org");
        push["message"] = json!({ "body_text": "Look", "body_html": "<div>".repeat(50_000) });
        let pushed = app.push(&push).expect(201).json();
        app.claims("ada@example.org");
        let ada = app.signs_in("ada@example.org");
        let answer = reads(app, &ada, &path(&pushed["conversation_id"], "/messages")).expect(200).json();
        assert_eq!((&answer["items"][0]["body_text"], &answer["items"][0]["body_html"]), (&json!("Look"), &json!(null)));
    }

    fn hd_06_attachments_are_kept_and_never_fetched(app) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let trap = format!("https://{}/fire.jpg", listener.local_addr().unwrap());
        let mut push = App::email_push("msg-1", "case-1", "ada@example.org");
        let file = json!({ "name": "fire.jpg", "content_type": "image/jpeg", "size": 52133, "url": trap });
        push["message"]["attachments"] = json!([file]);
        let pushed = app.push(&push).expect(201).json();
        app.claims("ada@example.org");
        let ada = app.signs_in("ada@example.org");
        assert_eq!(messages(app, &ada, &pushed["conversation_id"])[0]["attachments"], json!([file]));
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        let wrong = [
            "http://169.254.169.254/latest", "file:///etc/passwd", "HTTPS ://x", "javascript:alert(1)", "//evil.example/x",
            "data:text/html,x", "ftp://desk.example/x", "https://a b", "https://a\nb", "",
        ];
        for url in wrong {
            push["external_id"] = json!(format!("msg {url:?}"));
            push["message"]["attachments"] = json!([file, { "name": "x", "url": url }]);
            let refused = app.push(&push).expect(422);
            assert_eq!(pointers(&refused), ["/message/attachments/1/url"], "{url:?}");
        }
    }

    fn hd_09_a_push_does_not_enable_a_disabled_person(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        app.sql("UPDATE accounts SET state = 'disabled'");
        let again = app.push(&email_in("case-new", "ada@example.org")).expect(201).json();
        assert_eq!(again["account_id"], pushed["account_id"]);
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 1);
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts WHERE state = 'disabled'"), 1);
        app.me(&ada.access_token).expect(401);
        app.tries_to_sign_in("ada@example.org", PASSWORD).expect(401);
    }

    fn ph_20_an_address_named_in_a_push_is_no_login_of_its_owner(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let mut tweet = App::email_push("tweet-1", "case-tweet", "ada@example.org");
        tweet["channel"] = json!("twitter");
        tweet["from"] = json!({ "twitter": { "id": "66", "handle": "mallory" }, "email": "ada@example.org" });
        let mallory = app.push(&tweet).expect(201).json();
        assert_ne!(mallory["account_id"], pushed["account_id"]);
        assert_eq!(app.count(OF_CLAIMED), 1);
        assert_eq!(app.count("SELECT count(*) AS n FROM merge_suggestions"), 1);
        assert_eq!(app.conversations_of(&ada).len(), 1);
        reads(app, &ada, &path(&mallory["conversation_id"], "")).expect(404);
    }

    fn a_new_key_of_a_claimed_person_becomes_no_login_of_theirs(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let mut push = email_in("case-1", "ada@example.org");
        push["from"]["twitter"] = json!({ "id": "66", "handle": "mallory" });
        push["from"]["phone"] = json!("+441632960961");
        assert_eq!(app.push(&push).expect(201).json()["account_id"], pushed["account_id"]);
        assert_eq!(app.count(OF_CLAIMED), 1);
        assert_eq!(app.count("SELECT count(*) AS n FROM merge_suggestions"), 2);
        assert_eq!(app.me(&ada.access_token).expect(200).json()["phone"], Value::Null);
    }

    fn two_keys_of_one_push_that_are_two_people_stay_two(app) {
        let tweet = |id: &str, from: Value| json!({
            "source": "desk", "external_id": id, "channel": "twitter", "direction": "inbound", "from": from,
            "conversation": { "external_id": id }, "message": { "body_text": "hello" },
        });
        let by_twitter = app.push(&tweet("t-1", json!({ "twitter": { "id": "66" } }))).expect(201).json();
        let by_email = app.emails_support("ada@example.org");
        let both = app.push(&tweet("t-2", json!({ "twitter": { "id": "66" }, "email": "ada@example.org" }))).expect(201).json();
        assert_eq!(both["account_id"], by_twitter["account_id"]);
        assert_ne!(by_email["account_id"], by_twitter["account_id"]);
        assert_eq!(app.count("SELECT count(*) AS n FROM merge_suggestions"), 1);
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 2);
    }

    fn ph_22_a_spoofed_sender_is_held_and_changes_nothing(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let case = app.push(&email_in("case-1", "ada@example.org")).expect(201).json()["conversation_id"].clone();
        let seen = unread(app, &ada, &case);
        for (case, held) in [("case-1", &case), ("case-never-seen", &Value::Null)] {
            let mut push = email_in(case, "ada@example.org");
            push["authentication"]["dmarc"] = json!("fail");
            push["message"]["body_text"] = json!("Click here.");
            let answer = app.push(&push).expect(201).json();
            assert_eq!((&answer["outcome"], &answer["account_id"]), (&json!("held"), &pushed["account_id"]));
            if held.is_null() {
                reads(app, &ada, &path(&answer["conversation_id"], "")).expect(404);
                reads(app, &ada, &path(&answer["conversation_id"], "/messages")).expect(404);
                does(app, &ada, &path(&answer["conversation_id"], "/read")).expect(404);
            }
            let flagged = desk_messages(app, &answer["conversation_id"]).pop().unwrap();
            assert_eq!((&flagged["visibility"], &flagged["dmarc"]), (&json!("held"), &json!("fail")));
        }
        assert_eq!(app.conversations_of(&ada).len(), 2);
        assert!(!texts(app, &ada, &case).contains(&"Click here.".to_owned()));
        assert_eq!(unread(app, &ada, &case), seen);
        let found = reads(app, &ada, "/v1/me/conversations?text=Click").expect(200);
        assert_eq!(found.json()["items"], json!([]));
    }

    fn ph_23_a_strangers_reply_is_held_and_gives_the_stranger_nothing(app) {
        app.push(&App::email_push("msg-1", "case-1", "ada@example.org")).expect(201);
        let pushed = app.push(&email_in("case-1", "eve@example.org")).expect(201).json();
        assert_eq!(pushed["outcome"], "held");
        for email in ["ada@example.org", "eve@example.org"] {
            app.claims(email);
        }
        let (ada, eve) = (app.signs_in("ada@example.org"), app.signs_in("eve@example.org"));
        let case = &pushed["conversation_id"];
        assert_eq!(texts(app, &ada, case), ["It is on fire. (msg-1)"]);
        assert_eq!(unread(app, &ada, case), 0, "only her own is there to see");
        assert_eq!(app.conversations_of(&eve), Vec::<Value>::new());
        reads(app, &eve, &path(case, "")).expect(404);
        let desk = desk_messages(app, case);
        assert_eq!(column(&desk, "author"), ["requester", "stranger"]);
        assert_eq!(column(&desk, "visibility"), ["shown", "held"]);
        assert_eq!(desk[1]["author_account_id"], pushed["account_id"]);
        let again = app.push(&email_in("case-1", "eve@example.org")).expect(201).json();
        assert_eq!(again["outcome"], "held", "a claimed stranger is a stranger still");
    }

    fn ph_24_being_copied_grants_no_reading(app) {
        let mut push = App::email_push("msg-1", "case-1", "ada@example.org");
        push["recipients"] = json!([
            { "email": "help@shop.example", "role": "to" }, { "email": "eve@example.org", "role": "cc" },
            { "email": "eve@example.org", "role": "bcc" }, { "email": "eve@example.org", "role": "to" },
        ]);
        let case = app.push(&push).expect(201).json()["conversation_id"].clone();
        let eve = app.signs_up("eve@example.org");
        assert_eq!(app.conversations_of(&eve), Vec::<Value>::new());
        for rest in ["", "/messages"] {
            assert_eq!(reads(app, &eve, &path(&case, rest)).expect(404).code(), "not_found");
        }
    }

    fn internal_notes_are_never_shown_nor_counted(app) {
        let (ada, _) = known(app, "ada@example.org");
        let case = app.push(&email_in("case-1", "ada@example.org")).expect(201).json()["conversation_id"].clone();
        let mut note = agent_answers(&case, "She shouts a lot.");
        note["message"]["internal"] = json!(true);
        app.push(&note).expect(201);
        let mut inbound = email_in("case-1", "ada@example.org");
        inbound["message"] = json!({ "body_text": "A note by mail.", "internal": true });
        app.push(&inbound).expect(201);
        assert_eq!(messages(app, &ada, &case).len(), 1);
        assert_eq!(unread(app, &ada, &case), 0);
        assert_eq!(reads(app, &ada, "/v1/me/conversations?text=shouts").expect(200).json()["items"], json!([]));
        assert_eq!(reads(app, &ada, "/v1/me/conversations?unread=true").expect(200).json()["items"], json!([]));
        assert_eq!(column(&desk_messages(app, &case), "visibility"), ["shown", "internal", "internal"]);
        let mut alone = email_in("case-of-notes", "ada@example.org");
        alone["message"]["internal"] = json!(true);
        let alone = app.push(&alone).expect(201).json()["conversation_id"].clone();
        reads(app, &ada, &path(&alone, "")).expect(404);
        assert_eq!(app.conversations_of(&ada).len(), 2);
    }

    fn who_support_has_never_met_may_be_held(app) {
        let (ada, _) = known(app, "ada@example.org");
        app.change_settings(|settings| settings.unknown_requesters = UnknownRequesters::Hold);
        let push = app.push(&App::email_push("msg-1", "case-1", "eve@example.org")).expect(201).json();
        assert_eq!(push["outcome"], "held");
        let second = app.push(&email_in("case-1", "eve@example.org")).expect(201).json();
        assert_eq!(second["outcome"], "held", "being held does not make her known");
        app.claims("eve@example.org");
        let eve = app.signs_in("eve@example.org");
        assert_eq!(app.conversations_of(&eve), Vec::<Value>::new());
        reads(app, &eve, &path(&push["conversation_id"], "")).expect(404);
        let known = app.push(&email_in("case-2", "ada@example.org")).expect(201).json();
        assert_eq!(known["outcome"], "created");
        assert_eq!(app.conversations_of(&ada).len(), 2);
    }

    fn who_is_written_to_first_is_the_requester(app) {
        let push = json!({
            "source": "desk", "external_id": "msg-1", "channel": "email", "direction": "outbound",
            "agent": { "name": " Grace\u{202c}" }, "conversation": { "external_id": "case-1", "subject": "Your order" },
            "recipients": [
                { "email": "boss@example.org", "role": "cc" }, { "email": "ada@example.org", "role": "to", "name": "Ada" },
                { "email": "eve@example.org", "role": "to" },
            ],
            "message": { "body_text": "It is on its way." },
        });
        let pushed = app.push(&push).expect(201).json();
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 1);
        let ada = app.claims("ada@example.org");
        assert_eq!(pushed["account_id"], ada.account_id.as_str());
        let ada = app.signs_in("ada@example.org");
        let shown = messages(app, &ada, &pushed["conversation_id"]);
        assert_eq!((&shown[0]["author"], &shown[0]["author_name"]), (&json!("agent"), &json!("Grace")), "what hides is left out");
        assert_eq!(unread(app, &ada, &pushed["conversation_id"]), 1);
        for stranger in ["boss@example.org", "eve@example.org"] {
            let stranger = app.signs_up(stranger);
            reads(app, &stranger, &path(&pushed["conversation_id"], "")).expect(404);
        }
        let mut to_nobody = push.clone();
        to_nobody["external_id"] = json!("msg-2");
        to_nobody["conversation"]["external_id"] = json!("case-2");
        to_nobody["recipients"] = json!([{ "email": "boss@example.org", "role": "cc" }]);
        assert_eq!(pointers(&app.push(&to_nobody).expect(422)), ["/recipients"]);
    }

    fn the_desk_answers_by_our_id(app) {
        let ada = app.signs_up("ada@example.org");
        let started = starts(app, &ada, "Where is my order?", "It was to come on Monday.");
        let mut answer = agent_answers(&started["id"], "On its way.");
        answer["conversation"]["status"] = json!("pending");
        let pushed = app.push(&answer).expect(201).json();
        assert_eq!(pushed["conversation_id"], started["id"]);
        assert_eq!(texts(app, &ada, &started["id"]), ["It was to come on Monday.", "On its way."]);
        assert_eq!(unread(app, &ada, &started["id"]), 1);
        assert_eq!(app.conversations_of(&ada)[0]["status"], "pending");
        let nowhere = agent_answers(&json!("0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20"), "x");
        assert_eq!(app.push(&nowhere).expect(404).code(), "not_found");
        for thread in [json!({}), json!({ "id": started["id"], "external_id": "case-1" })] {
            let mut push = agent_answers(&started["id"], "x");
            push["conversation"] = thread;
            assert_eq!(pointers(&app.push(&push).expect(422)), ["/conversation"]);
        }
    }
}

on_both! {
    fn ph_22_a_spoofed_sender_names_nobody_and_adds_no_contact_point(app) {
        let mut spoofed = App::email_push("spoofed", "case-spoofed", "ada@example.org");
        spoofed["from"] = json!({ "email": "ADA@example.org", "name": "Evil Name", "twitter": { "id": "666" } });
        spoofed["authentication"] = json!({ "dmarc": "fail" });
        assert_eq!(app.push(&spoofed).expect(201).json()["outcome"], "held");
        assert_eq!(app.count("SELECT count(*) AS n FROM identities WHERE kind = 'twitter'"), 0);
        let pushed = app.emails_support("ada@example.org");
        let ada = app.claims("ada@example.org");
        assert_eq!(pushed["account_id"], ada.account_id.as_str(), "she keeps the account she was met as");
        let session = app.signs_in("ada@example.org");
        assert_eq!(session.account["full_name"], serde_json::Value::Null);
    }
}
