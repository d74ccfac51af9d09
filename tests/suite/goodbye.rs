//! Somebody deletes their account: nothing is left of them but what the desk must keep of conversations.

use std::time::Duration;

use doorstep_core::api_key::Scope;
use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD, SecretMail};
use doorstep_tests::social::signed_in;
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::{Value, json};

use crate::talk::{agent_answers, email_in, reads, starts};

const ADA: &str = "ada@example.org";

pub fn asks(app: &App, who: &SignedIn) -> Answer {
    app.client.delete("/v1/me").bearer(&who.access_token).send()
}

pub fn confirms(app: &App, who: &SignedIn, body: &Value) -> Answer {
    app.client.post("/v1/me/deletion/confirm").bearer(&who.access_token).json(body).send()
}

fn ada(app: &App) -> SignedIn {
    app.claims(ADA);
    app.signs_in(ADA)
}

/// From the asking to the end.
pub fn leaves(app: &App, who: &SignedIn, address: &str) {
    let asked = asks(app, who).expect(202).json();
    assert_eq!(asked["email"], address);
    let mail = app.secret_mailed_to(address);
    confirms(app, who, &json!({ "token": mail.token })).expect(204);
}

fn state(app: &App, id: &Value) -> Answer {
    let key = app.api_key(&[Scope::AccountsRead]);
    app.client.get(&format!("/v1/accounts/{}", id.as_str().unwrap())).bearer(&key).send()
}

on_both! {
    fn an_account_is_deleted_by_a_mail_and_the_session_that_asked(app) {
        let pushed = app.push(&email_in("case-1", ADA)).expect(201).json();
        let ada = ada(app);
        let other = app.signs_in(ADA);
        asks(app, &ada).expect(202);
        let mail = app.secret_mailed_to(ADA);
        assert_eq!(mail.subject, "Confirm that your account at Shop Help is deleted");
        for body in [json!({ "token": mail.token }), json!({ "code": mail.code })] {
            assert_eq!(confirms(app, &other, &body).expect(404).code(), "secret_not_found", "another session of hers");
        }
        app.client.post("/v1/password-resets/confirm").json(&json!({ "token": mail.token, "password": OTHER_PASSWORD })).send().expect(404);
        app.me(&ada.access_token).expect(200);
        confirms(app, &ada, &json!({ "code": mail.code })).expect(204);
        for session in [&ada, &other] {
            app.me(&session.access_token).expect(401);
            app.refreshes(&session.refresh_token).expect(401);
        }
        app.tries_to_sign_in(ADA, PASSWORD).expect(401);
        assert_eq!(state(app, &ada.account["id"]).expect(410).code(), "account_deleted");
        assert_eq!(app.mail_to(ADA).pop().unwrap().subject(), "Your account at Shop Help was deleted");
        assert_eq!(app.count("SELECT count(*) AS n FROM audit_events WHERE action = 'account.deleted'"), 1);
        assert_eq!(app.count("SELECT count(*) AS n FROM outbox WHERE kind = 'event' AND topic = 'account.deleted'"), 1);
        let key = app.api_key(&[Scope::ConversationsRead]);
        let case = format!("/v1/conversations/{}/messages", pushed["conversation_id"].as_str().unwrap());
        let kept = app.client.get(&case).bearer(&key).send().expect(200).json();
        assert!(kept["items"][0]["body_text"].is_string(), "the desk keeps what was said");
        assert_eq!(kept["items"][0]["author_name"], Value::Null);
    }

    fn whoever_writes_again_begins_anew_and_sees_nothing_of_before(app) {
        let pushed = app.push(&email_in("case-1", ADA)).expect(201).json();
        let before = ada(app);
        let started = starts(app, &before, "Mine alone", "A secret of hers.");
        leaves(app, &before, ADA);
        let mut again = email_in("case-1", ADA);
        again["external_id"] = json!("after-1");
        let into_the_old = app.push(&again).expect(201).json();
        assert_eq!(into_the_old["conversation_id"], pushed["conversation_id"]);
        assert_eq!(into_the_old["outcome"], "held", "a case of nobody's, and a stranger in it");
        let anew = app.push(&email_in("case-2", ADA)).expect(201).json();
        assert_ne!(anew["account_id"], before.account["id"]);
        app.push(&agent_answers(&pushed["conversation_id"], "An answer to the old case.")).expect(201);
        let ada = ada(app);
        let seen: Vec<_> = app.conversations_of(&ada).iter().map(|c| c["id"].clone()).collect();
        assert_eq!(seen, [anew["conversation_id"].clone()]);
        for old in [&pushed["conversation_id"], &started["id"]] {
            reads(app, &ada, &format!("/v1/me/conversations/{}", old.as_str().unwrap())).expect(404);
        }
        assert_eq!(app.client.get("/v1/me").bearer(&ada.access_token).send().json()["full_name"], Value::Null);
    }

    fn se_18_it_takes_a_fresh_session_to_the_end(app) {
        let ada = ada(app);
        asks(app, &ada).expect(202);
        let mail = app.secret_mailed_to(ADA);
        app.advance(Duration::from_secs(601));
        let ada = SignedIn::of(&app.refreshes(&ada.refresh_token).expect(200));
        assert_eq!(asks(app, &ada).expect(403).code(), "reauth_required");
        assert_eq!(confirms(app, &ada, &json!({ "token": mail.token })).expect(403).code(), "reauth_required");
        let fresh = app.client.post("/v1/me/reauthenticate").bearer(&ada.access_token).json(&json!({ "password": PASSWORD })).send();
        let ada = SignedIn::of(&fresh.expect(200));
        confirms(app, &ada, &json!({ "token": mail.token })).expect(204);
    }

    fn a_link_that_was_replaced_or_is_too_old_is_gone_and_its_code_is_unknown(app) {
        let ada = ada(app);
        asks(app, &ada).expect(202);
        let older = app.secret_mailed_to(ADA);
        asks(app, &ada).expect(202);
        let newer = app.secret_mailed_to(ADA);
        let is_gone = |who: &SignedIn, mail: &SecretMail| {
            assert_eq!(confirms(app, who, &json!({ "token": mail.token })).expect(410).code(), "secret_expired");
            let code = confirms(app, who, &json!({ "code": mail.code })).expect(404);
            let never = confirms(app, who, &json!({ "code": "AAAA-AAAA" })).expect(404);
            assert_eq!((code.code(), &code.json()["detail"]), (never.code(), &never.json()["detail"]));
        };
        is_gone(&ada, &older);
        let other = app.signs_in(ADA);
        assert_eq!(confirms(app, &other, &json!({ "token": older.token })).expect(404).code(), "secret_not_found");
        app.advance(Duration::from_secs(1801));
        let ada = SignedIn::of(&app.refreshes(&ada.refresh_token).expect(200));
        let again = app.client.post("/v1/me/reauthenticate").bearer(&ada.access_token).json(&json!({ "password": PASSWORD }));
        is_gone(&SignedIn::of(&again.send().expect(200)), &newer);
    }

    fn a_recovery_between_ends_it(app) {
        let ada = ada(app);
        asks(app, &ada).expect(202);
        let mail = app.secret_mailed_to(ADA);
        app.claims_with(ADA, OTHER_PASSWORD);
        confirms(app, &ada, &json!({ "token": mail.token })).expect(401);
        let ada = SignedIn::of(&app.tries_to_sign_in(ADA, OTHER_PASSWORD).expect(201));
        confirms(app, &ada, &json!({ "token": mail.token })).expect(404);
        app.me(&ada.access_token).expect(200);
    }

    fn a_secret_that_is_none_deletes_nothing(app) {
        let ada = ada(app);
        asks(app, &ada).expect(202);
        let mail = app.secret_mailed_to(ADA);
        for bad in [json!({}), json!({ "token": "x", "code": "y" })] {
            confirms(app, &ada, &bad).expect(422);
        }
        for _ in 0..5 {
            confirms(app, &ada, &json!({ "code": "AAAA-AAAA" })).expect(404);
        }
        confirms(app, &ada, &json!({ "code": mail.code })).expect(404);
        confirms(app, &ada, &json!({ "token": mail.token[1..] })).expect(404);
        app.advance(Duration::from_secs(1801));
        let later = app.signs_in(ADA);
        confirms(app, &later, &json!({ "token": mail.token })).expect(404);
        app.me(&later.access_token).expect(200);
    }

    fn em_13_a_thief_does_not_get_rid_of_the_undo_by_deleting_the_account(app) {
        let stolen = ada(app);
        let mine = app.adds(&stolen, "thief@example.org");
        asks(app, &stolen).expect(202);
        let early = app.secret_mailed_to(ADA);
        assert!(early.subject.starts_with("Confirm that your account"), "to whoever was there first");
        app.makes_primary(&stolen, &mine).expect(200);
        app.removes(&stolen, &app.email_of(&stolen, ADA).id).expect(204);
        let asked = asks(app, &stolen).expect(202).json();
        assert_eq!(asked["email"], ADA, "also when it has been removed");
        assert!(app.mail_to("thief@example.org").iter().all(|mail| !mail.subject().contains("deleted")));
        confirms(app, &stolen, &json!({ "code": "AAAA-AAAA" })).expect(404);
        let undone = app.undoes(&json!({ "token": app.undo_mailed_to(ADA), "password": OTHER_PASSWORD })).expect(200);
        assert_eq!(undone.json()["account"]["primary_email"], ADA);
        app.me(&stolen.access_token).expect(401);
        let ada = SignedIn::of(&app.tries_to_sign_in(ADA, OTHER_PASSWORD).expect(201));
        leaves(app, &ada, ADA);
    }

    fn whoever_was_there_first_may_confirm_though_their_address_has_gone(app) {
        let ada = ada(app);
        let work = app.adds(&ada, "ada@work.example");
        app.makes_primary(&ada, &work).expect(200);
        app.removes(&ada, &app.email_of(&ada, ADA).id).expect(204);
        asks(app, &ada).expect(202);
        let code = app.secret_mailed_to(ADA).code;
        confirms(app, &ada, &json!({ "code": code })).expect(204);
        for address in [ADA, "ada@work.example"] {
            assert_eq!(app.mail_to(address).pop().unwrap().subject(), "Your account at Shop Help was deleted");
        }
    }

    fn a_say_that_has_gone_to_another_mailbox_meanwhile_is_no_say(app) {
        let ada = ada(app);
        app.adds(&ada, "ada@work.example");
        app.advance(Duration::from_secs(73 * 3600));
        let ada = app.signs_in(ADA);
        let work = app.email_of(&ada, "ada@work.example").id;
        app.makes_primary(&ada, &work).expect(200);
        app.advance(Duration::from_secs(73 * 3600));
        let ada = app.signs_in(ADA);
        assert_eq!(asks(app, &ada).expect(202).json()["email"], "ada@work.example");
        let mail = app.secret_mailed_to("ada@work.example");
        app.makes_primary(&ada, &app.email_of(&ada, ADA).id).expect(200);
        app.makes_primary(&ada, &work).expect(200);
        assert_eq!(confirms(app, &ada, &json!({ "token": mail.token })).expect(410).code(), "secret_expired");
    }

    fn ad_03_the_last_admin_stays(app) {
        let ada = ada(app);
        app.sql("UPDATE accounts SET role = 'admin'");
        assert_eq!(asks(app, &ada).expect(409).code(), "last_admin");
        let boss = app.signs_up("boss@example.org");
        asks(app, &ada).expect(409);
        app.sql(&format!("UPDATE accounts SET role = 'admin' WHERE id = {}", crate::forced::account_of("boss@example.org")));
        leaves(app, &ada, ADA);
        assert_eq!(asks(app, &boss).expect(409).code(), "last_admin");
    }

    fn of_admins_who_leave_at_once_one_stays(app) {
        for round in 0..4 {
            // a caller may have so many mails an hour
            app.advance(Duration::from_secs(3600));
            let people: Vec<(SignedIn, String)> = (0..4).map(|n| {
                let email = format!("admin-{round}-{n}@example.org");
                (app.signs_up(&email), email)
            }).collect();
            app.wait_until_mail_is_carried();
            app.sql("UPDATE accounts SET role = 'customer'");
            app.sql(&format!("UPDATE accounts SET role = 'admin' WHERE id IN (SELECT account_id FROM identities WHERE subject LIKE 'admin-{round}-%')"));
            let tokens: Vec<String> = people.iter().map(|(who, email)| {
                asks(app, who).expect(202);
                app.secret_mailed_to(email).token
            }).collect();
            // what is counted of a caller is counted one after the other: each is one of their own
            let mut statuses = in_parallel(4, |n| {
                let request = app.client.post("/v1/me/deletion/confirm").bearer(&people[n].0.access_token);
                let request = request.header("x-forwarded-for", &format!("198.51.{n}.1"));
                request.json(&json!({ "token": tokens[n] })).send().status
            });
            statuses.sort_unstable();
            assert_eq!(statuses, [204, 204, 204, 409]);
            assert_eq!(app.count("SELECT count(*) AS n FROM accounts WHERE role = 'admin' AND state = 'claimed'"), 1);
        }
    }

    fn i6_it_is_confirmed_once_also_beside_other_doings(app) {
        let ada = ada(app);
        asks(app, &ada).expect(202);
        let mail = app.secret_mailed_to(ADA);
        let statuses = in_parallel(8, |n| match n % 4 {
            0 | 1 => confirms(app, &ada, &json!({ "token": mail.token })).status,
            2 => app.push(&email_in(&format!("case-{n}"), ADA)).status,
            _ => app.asks_to_add(&ada, &format!("ada-{n}@example.org")).status,
        });
        assert_eq!([0, 1, 4, 5].iter().filter(|n| statuses[**n] == 204).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [201, 202, 204, 401, 404].contains(status)), "{statuses:?}");
        app.me(&ada.access_token).expect(401);
        assert_eq!(app.count("SELECT count(*) AS n FROM identities i JOIN accounts a ON a.id = i.account_id WHERE a.state = 'deleted'"), 0);
        app.refreshes(&ada.refresh_token).expect(401);
    }

    fn a_sign_in_beside_it_opens_nothing_that_stays(app) {
        let ada = ada(app);
        asks(app, &ada).expect(202);
        let mail = app.secret_mailed_to(ADA);
        let answers = in_parallel(6, |n| match n {
            0 => confirms(app, &ada, &json!({ "token": mail.token })),
            1 => app.refreshes(&ada.refresh_token),
            _ => app.tries_to_sign_in(ADA, PASSWORD),
        });
        assert_eq!(answers[0].status, 204);
        for answer in answers[1..].iter().filter(|answer| [200, 201].contains(&answer.status)) {
            let late = SignedIn::of(answer);
            app.me(&late.access_token).expect(401);
            app.refreshes(&late.refresh_token).expect(401);
        }
        assert_eq!(app.count("SELECT count(*) AS n FROM sessions"), 0);
    }
}

on_both_with_providers! {
    fn without_an_address_a_sign_in_of_a_moment_ago_is_what_confirms(social) {
        crate::forced::tweets(social, &json!({ "twitter": { "id": "12", "handle": "ada" } }));
        let ada = signed_in(social.arrives_by_twitter("ada", "12"));
        social.advance(Duration::from_secs(61));
        let refused = asks(social, &ada).expect(403);
        assert_eq!((refused.code(), &refused.json()["methods"]), ("reauth_required".into(), &json!(["twitter"])), "what it is signed in to with");
        social.me(&ada.access_token).expect(200);
        let again = signed_in(social.arrives_by_twitter("ada", "12"));
        assert_eq!(asks(social, &again).expect(403).code(), "reauth_required", "whoever has copied its tokens could do that");
        social.advance(Duration::from_secs(2));
        let flow = crate::reauthentication::begins(social, &again, "twitter");
        let code = social.brings(&flow, &social.twitter.consents(&flow.url, "ada"));
        let shown = crate::reauthentication::brought(&code, &flow);
        let now = SignedIn::of(&crate::reauthentication::shows(social, &again, &shown).expect(200));
        assert_eq!(asks(social, &again).expect(403).code(), "reauth_required", "a token of before");
        asks(social, &now).expect(204);
        social.me(&again.access_token).expect(401);
        social.me(&ada.access_token).expect(401);
        let anew = social.arrives_by_twitter("ada", "12").expect(200).json();
        assert_eq!(anew["status"], "email_required", "whom nobody has met");
    }

    fn an_undo_that_was_open_brings_nothing_back(social) {
        let ada = { social.claims(ADA); social.signs_in(ADA) };
        social.adds(&ada, "ada@lovelace.example");
        let undo = social.undo_mailed_to(ADA);
        leaves(social, &ada, ADA);
        assert!([404, 410].contains(&social.inspects_undo(&undo).status));
        assert!([404, 410].contains(&social.undoes(&json!({ "token": undo })).status));
    }
}
