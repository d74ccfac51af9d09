//! The addresses of a signed-in customer: to add, prove, choose and remove them.

use std::time::Duration;

use doorstep_tests::emails::Email;
use doorstep_tests::http::in_parallel;
use doorstep_tests::people::PASSWORD;
use doorstep_tests::social::{proven, signed_in};
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::tweets;

const ADA: &str = "ada@example.org";
const NEW: &str = "ada@lovelace.example";

pub fn ada(app: &App) -> SignedIn {
    app.claims(ADA);
    app.signs_in(ADA)
}

pub fn states(app: &App, who: &SignedIn) -> Vec<(String, String, bool)> {
    let email = |email: Email| (email.email, email.state, email.is_primary);
    app.emails_of(who).into_iter().map(email).collect()
}

fn fault(body: &Value) -> (&str, &str) {
    let error = &body["errors"][0];
    (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap())
}

on_both! {
    fn an_address_is_added_proven_made_primary_and_the_old_one_removed(app) {
        let ada = ada(app);
        let pending = app.asks_to_add(&ada, NEW).expect(202).json();
        assert_eq!((pending["state"].as_str(), pending["asked_here"].as_bool()), (Some("pending"), Some(true)));
        assert_eq!(app.client.get("/v1/me").bearer(&ada.access_token).send().json()["primary_email"], ADA);
        let mail = app.adding_mail_to(NEW);
        assert_eq!(mail.id, pending["id"].as_str().unwrap());
        assert_eq!(mail.subject, "Confirm your email address for Shop Help");
        let proven = app.proves(&ada, &mail.id, &json!({ "token": mail.token })).expect(200).json();
        assert_eq!((proven["state"].as_str(), proven["is_primary"].as_bool()), (Some("proven"), Some(false)));
        let primary = app.makes_primary(&ada, proven["id"].as_str().unwrap()).expect(200).json();
        assert_eq!(primary["is_primary"], true);
        assert_eq!(app.client.get("/v1/me").bearer(&ada.access_token).send().json()["primary_email"], NEW);
        let old = app.email_of(&ada, ADA);
        app.removes(&ada, &old.id).expect(204);
        assert_eq!(states(app, &ada), [(NEW.into(), "proven".into(), true)]);
        app.tries_to_sign_in(ADA, PASSWORD).expect(401);
        app.tries_to_sign_in(NEW, PASSWORD).expect(201);
        for action in ["email.added", "email.made_primary", "email.removed"] {
            assert_eq!(app.count(&format!("SELECT count(*) AS n FROM audit_events WHERE action = '{action}'")), 1, "{action}");
        }
    }

    fn history_that_came_by_the_address_comes_along(app) {
        let ada = ada(app);
        let wrote = app.emails_support(NEW);
        assert!(app.conversations_of(&ada).is_empty());
        app.adds(&ada, NEW);
        let seen: Vec<_> = app.conversations_of(&ada).iter().map(|c| c["id"].clone()).collect();
        assert_eq!(seen, [wrote["conversation_id"].clone()]);
    }

    fn of_an_unclaimed_account_only_the_address_comes_along(app) {
        let tweet = tweets(app, &json!({ "twitter": { "id": "12", "handle": "ada" }, "email": NEW }));
        let ada = ada(app);
        app.adds(&ada, NEW);
        assert!(app.conversations_of(&ada).iter().all(|c| c["id"] != tweet["conversation_id"]));
        assert_eq!(app.count("SELECT count(*) AS n FROM identities i JOIN accounts a ON a.id = i.account_id \
            WHERE i.kind = 'twitter' AND a.state = 'unclaimed'"), 1);
    }

    fn a_code_proves_as_well_and_five_wrong_ones_spend_it_but_not_the_link(app) {
        let ada = ada(app);
        app.asks_to_add(&ada, "one@example.org").expect(202);
        let one = app.adding_mail_to("one@example.org");
        let typed = one.code.to_lowercase().replace('-', "");
        app.proves(&ada, &one.id, &json!({ "code": typed })).expect(200);
        app.asks_to_add(&ada, "two@example.org").expect(202);
        let two = app.adding_mail_to("two@example.org");
        for _ in 0..5 {
            let wrong = app.proves(&ada, &two.id, &json!({ "code": "AAAA-AAAA" })).expect(404);
            assert_eq!(wrong.code(), "secret_not_found");
        }
        app.proves(&ada, &two.id, &json!({ "code": two.code })).expect(404);
        app.proves(&ada, &two.id, &json!({ "token": two.token })).expect(200);
        app.proves(&ada, &two.id, &json!({ "token": two.token })).expect(404);
    }

    fn pending_addresses_are_resent_cancelled_and_replaced(app) {
        let ada = ada(app);
        app.asks_to_add(&ada, "ada@lovelaec.example").expect(202);
        let mistyped = app.email_of(&ada, "ada@lovelaec.example");
        let body = json!({ "email": NEW, "replaces": mistyped.id });
        app.client.post("/v1/me/emails").bearer(&ada.access_token).json(&body).send().expect(202);
        assert_eq!(states(app, &ada), [(ADA.into(), "proven".into(), true), (NEW.into(), "pending".into(), false)]);
        let first = app.adding_mail_to(NEW);
        app.advance(Duration::from_secs(60));
        let again = app.resends(&ada, &first.id).expect(202).json();
        let second = app.adding_mail_to(NEW);
        assert_eq!((again["id"].as_str(), &second.id), (Some(first.id.as_str()), &first.id), "its id stays");
        assert_ne!(first.token, second.token);
        app.proves(&ada, &first.id, &json!({ "token": first.token })).expect(410);
        app.proves(&ada, &first.id, &json!({ "code": first.code })).expect(404);
        app.removes(&ada, &second.id).expect(204);
        app.proves(&ada, &second.id, &json!({ "token": second.token })).expect(404);
        assert_eq!(states(app, &ada), [(ADA.into(), "proven".into(), true)]);
        for gone in [&first.id, &mistyped.id] {
            app.removes(&ada, gone).expect(404);
            app.resends(&ada, gone).expect(404);
            let body = json!({ "email": "x@example.org", "replaces": gone });
            app.client.post("/v1/me/emails").bearer(&ada.access_token).json(&body).send().expect(404);
        }
    }

    fn a_pending_address_is_gone_after_half_an_hour(app) {
        let ada = ada(app);
        app.asks_to_add(&ada, NEW).expect(202);
        let mail = app.adding_mail_to(NEW);
        app.advance(Duration::from_secs(1801));
        let ada = app.signs_in(ADA);
        assert_eq!(states(app, &ada).len(), 1);
        app.proves(&ada, &mail.id, &json!({ "token": mail.token })).expect(404);
    }

    fn only_the_session_that_asked_proves(app) {
        let here = ada(app);
        let there = app.signs_in(ADA);
        app.asks_to_add(&here, NEW).expect(202);
        let mail = app.adding_mail_to(NEW);
        assert_eq!(app.email_of(&there, NEW).asked_here, Some(false));
        for body in [json!({ "token": mail.token }), json!({ "code": mail.code })] {
            assert_eq!(app.proves(&there, &mail.id, &body).expect(404).code(), "secret_not_found");
        }
        let a = app.signs_up("a@example.org");
        app.proves(&a, &mail.id, &json!({ "token": mail.token })).expect(404);
        let here = SignedIn::of(&app.refreshes(&here.refresh_token).expect(200));
        app.proves(&here, &mail.id, &json!({ "token": mail.token })).expect(200);
    }

    fn the_primary_address_and_the_last_way_in_stay(app) {
        let ada = ada(app);
        let primary = app.email_of(&ada, ADA);
        assert!(primary.last_way_in);
        assert_eq!(app.removes(&ada, &primary.id).expect(409).code(), "last_way_in");
        let other = app.adds(&ada, NEW);
        assert!(!app.email_of(&ada, ADA).last_way_in);
        assert_eq!(app.removes(&ada, &primary.id).expect(409).code(), "primary_stays");
        app.removes(&ada, &other).expect(204);
        assert_eq!(states(app, &ada), [(ADA.into(), "proven".into(), true)]);
        app.change_settings(|settings| settings.password_sign_in = false);
        assert!(!app.email_of(&ada, ADA).usable);
    }

    fn what_is_already_mine_is_answered_so_and_mails_nothing(app) {
        let ada = ada(app);
        let mails = app.mail_to(ADA).len();
        let mine = app.asks_to_add(&ada, "ADA@Example.org").expect(200).json();
        assert_eq!((mine["state"].as_str(), mine["email"].as_str()), (Some("proven"), Some(ADA)));
        assert_eq!(app.mail_to(ADA).len(), mails);
    }

    fn bad_requests_say_what_is_wrong(app) {
        let ada = ada(app);
        let post = |path: &str, body: &Value| app.client.post(path).bearer(&ada.access_token).json(body).send();
        for bad in ["", "ada", "v@example.org\r\nBcc: a@example.org", "v\u{7f}@example.org", "\u{212a}@example.org"] {
            assert_eq!(fault(&post("/v1/me/emails", &json!({ "email": bad })).expect(422).json()), ("/email", "invalid_email"), "{bad:?}");
        }
        app.change_settings(|settings| settings.blocked_domains = vec!["blocked.example".to_owned()]);
        let blocked = post("/v1/me/emails", &json!({ "email": "a@blocked.example" })).expect(422).json();
        assert_eq!(fault(&blocked), ("/email", "domain_not_allowed"));
        app.asks_to_add(&ada, NEW).expect(202);
        let id = app.email_of(&ada, NEW).id;
        for bad in [json!({}), json!({ "token": "a", "code": "b" })] {
            let body = app.proves(&ada, &id, &bad).expect(422).json();
            assert_eq!(fault(&body), ("", "token_or_code"));
        }
        for path in ["not-an-id", "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11"] {
            post(&format!("/v1/me/emails/{path}/verify"), &json!({ "token": "x" })).expect(404);
            app.makes_primary(&ada, path).expect(404);
            app.removes(&ada, path).expect(404);
        }
        app.makes_primary(&ada, &id).expect(404);
    }

    fn an_account_has_twenty_addresses_at_most(app) {
        let ada = ada(app);
        for n in 1..20 {
            let ip = format!("192.0.2.{n}");
            let body = json!({ "email": format!("ada-{n}@example.org") });
            app.client.post("/v1/me/emails").bearer(&ada.access_token).header("x-forwarded-for", &ip).json(&body).send().expect(202);
        }
        assert_eq!(app.asks_to_add(&ada, "one-more@example.org").expect(409).code(), "too_many_addresses");
        assert_eq!(app.asks_to_add(&ada, "ada-3@example.org").expect(202).json()["state"], "pending");
        let replaced = app.email_of(&ada, "ada-7@example.org").id;
        let body = json!({ "email": "one-more@example.org", "replaces": replaced });
        app.client.post("/v1/me/emails").bearer(&ada.access_token).json(&body).send().expect(202);
    }

    fn sent_again_with_its_key_it_mails_once(app) {
        let ada = ada(app);
        let body = json!({ "email": NEW });
        let send = |body: &Value| {
            app.client.post("/v1/me/emails").bearer(&ada.access_token).header("idempotency-key", "k-1").json(body).send()
        };
        let first = send(&body).expect(202).json();
        assert_eq!(send(&body).expect(202).json()["id"], first["id"]);
        assert_eq!(app.mail_to(NEW).len(), 1);
        let id = first["id"].as_str().unwrap();
        app.resends(&ada, id).expect(202);
        assert_eq!(send(&body).expect(202).json()["id"], first["id"], "though it was mailed again meanwhile");
        let mail = app.adding_mail_to(NEW);
        let proven = app.proves(&ada, id, &json!({ "token": mail.token })).expect(200).json();
        assert_eq!(send(&body).expect(200).json(), proven, "or is proven by now");
        assert_eq!(send(&json!({ "email": "x@example.org" })).expect(422).code(), "idempotency_key_reused");
    }

    fn rs_17_an_address_is_mailed_three_times_at_once_and_no_more(app) {
        let ada = ada(app);
        for spelling in [NEW, "Ada@lovelace.example", "ADA@LOVELACE.EXAMPLE", NEW, NEW] {
            app.asks_to_add(&ada, spelling).expect(202);
            app.wait_until_mail_is_carried();
        }
        assert_eq!(app.mail_to(NEW).len(), 3);
        let third = app.adding_mail_to(NEW);
        let live = app.email_of(&ada, NEW).id;
        app.proves(&ada, &live, &json!({ "token": third.token })).expect(200);
    }

    fn beyond_the_limit_it_looks_the_same_and_the_last_mail_stays_good(app) {
        let ada = ada(app);
        let asked: Vec<Value> = (0..6).map(|_| {
            app.advance(Duration::from_secs(5));
            let answer = app.asks_to_add(&ada, NEW).expect(202).json();
            app.wait_until_mail_is_carried();
            answer
        }).collect();
        assert!(asked.iter().all(|answer| answer["id"] == asked[0]["id"]));
        let ends: Vec<_> = asked.iter().map(|answer| answer["expires_at"].as_str().unwrap()).collect();
        assert!(ends.is_sorted_by(|one, next| one < next), "whether somebody else asks for mail there shows nowhere: {ends:?}");
        assert_eq!(app.mail_to(NEW).len(), 3);
        let last = app.adding_mail_to(NEW);
        app.proves(&ada, &last.id, &json!({ "code": last.code })).expect(200);
    }

    fn a_double_click_mails_twice_for_one_address(app) {
        let ada = ada(app);
        let answers = in_parallel(4, |_| app.asks_to_add(&ada, NEW).expect(202).json()["id"].clone());
        assert!(answers.iter().all(|id| *id == answers[0]), "{answers:?}");
        assert_eq!(states(app, &ada).len(), 2);
        let again = in_parallel(4, |_| app.resends(&ada, answers[0].as_str().unwrap()).expect(202).json()["id"].clone());
        assert!(again.iter().all(|id| *id == answers[0]), "{again:?}");
        let last = app.adding_mail_to(NEW);
        app.proves(&ada, &last.id, &json!({ "token": last.token })).expect(200);
    }

    fn changes_that_bury_a_mailbox_are_slowed(app) {
        let ada = ada(app);
        let (one, other) = (app.email_of(&ada, ADA).id, app.adds(&ada, NEW));
        let changes = (0..50).map(|n| app.makes_primary(&ada, if n % 2 == 0 { &other } else { &one }));
        assert_eq!(changes.take_while(|answer| answer.status == 200).count(), 39, "and the adding is the fortieth");
        let next = if app.email_of(&ada, NEW).is_primary { &one } else { &other };
        let slowed = app.makes_primary(&ada, next).expect(429);
        assert!(slowed.header("retry-after").is_some());
        app.advance(Duration::from_secs(180));
        app.makes_primary(&ada, next).expect(200);
    }

    fn two_that_remove_each_others_address_leave_one(app) {
        let ada = ada(app);
        let other = app.adds(&ada, NEW);
        let primary = app.email_of(&ada, ADA).id;
        let answers = in_parallel(2, |n| match n {
            0 => app.makes_primary(&ada, &other).status,
            _ => app.removes(&ada, &other).status,
        });
        let left = states(app, &ada);
        assert_eq!(left.iter().filter(|(_, _, primary)| *primary).count(), 1, "{answers:?} {left:?}");
        app.removes(&ada, &primary);
        assert!(!states(app, &ada).is_empty());
    }
}

on_both_with_providers! {
    fn who_came_by_a_provider_adds_the_first_address_and_removes_it_again(social) {
        let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
        let first = social.email_of(&ada, "ada@gmail.com");
        assert!(first.is_primary && first.usable);
        assert_eq!(social.unlinks(&ada, &json!(first.id)).expect(409).code(), "address_stays");
        social.removes(&ada, &first.id).expect(204);
        assert!(social.emails_of(&ada).is_empty());
        assert_eq!(social.count("SELECT count(*) AS n FROM credentials"), 0);
        let again = signed_in(social.arrives_by_google("g-1", &json!({})));
        social.adds(&again, NEW);
        assert!(social.email_of(&again, NEW).is_primary, "the first address is the primary one");
        let me = social.client.get("/v1/me").bearer(&again.access_token).send().json();
        assert_eq!(me["primary_email"], NEW);
    }

    fn with_the_last_address_the_password_goes(social) {
        social.claims(ADA);
        let ada = social.signs_in(ADA);
        social.links_google(&ada, "g-1", "ada@gmail.com").expect(200);
        let email = social.email_of(&ada, ADA);
        social.removes(&ada, &email.id).expect(204);
        assert_eq!(social.count("SELECT count(*) AS n FROM credentials"), 0);
        social.tries_to_sign_in(ADA, PASSWORD).expect(401);
        signed_in(social.arrives_by_google("g-1", &json!({})));
    }
}
