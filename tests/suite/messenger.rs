//! The messenger widget: what the desk's server signs brings its history to an account, once, and to no other.

use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use doorstep_core::api_key::Scope;
use doorstep_tests::app::{MESSENGER_SECRET, OLD_MESSENGER_SECRET};
use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::merging::merges;
use doorstep_tests::people::unique;
use doorstep_tests::{App, Db, Setup, SignedIn, on_both};
use serde_json::{Value, json};

use crate::talk::{known, opens, pointers, sees};

/// Somebody writes in the widget.
fn chats(app: &App, device: &str) -> Value {
    let id = unique();
    let push = json!({
        "source": "desk", "external_id": format!("chat-{id}"), "channel": "messenger", "direction": "inbound",
        "from": { "messenger": { "device_id": device } }, "conversation": { "external_id": format!("chat-{id}") },
        "message": { "body_text": "Is anybody there?" },
    });
    let key = app.api_key(&[Scope::InteractionsWrite]);
    app.client.post("/v1/interactions").bearer(&key).json(&push).send().expect(201).json()
}

/// What the desk's server says to somebody's browser.
fn signs(secret: &str, at: i64, account: &Value, device: &str) -> Value {
    let text = format!("doorstep-messenger-v1:{at}:{}:{device}", account.as_str().unwrap());
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = HEXLOWER.encode(hmac::sign(&key, text.as_bytes()).as_ref());
    json!({ "device_id": device, "timestamp": at, "signature": signature })
}

fn now(app: &App) -> i64 {
    app.clock.now().as_seconds()
}

pub fn signed(app: &App, who: &SignedIn, device: &str) -> Value {
    signs(MESSENGER_SECRET, now(app), &who.account["id"], device)
}

pub fn identifies(app: &App, who: &SignedIn, body: &Value) -> Answer {
    app.client.post("/v1/me/identities/messenger").bearer(&who.access_token).json(body).send()
}

fn unlinks(app: &App, who: &SignedIn, identity: &Value) -> Answer {
    let path = format!("/v1/me/identities/{}", identity["id"].as_str().unwrap());
    app.client.delete(&path).bearer(&who.access_token).send()
}

fn code(answer: &Answer) -> String {
    answer.json()["errors"][0]["code"].as_str().unwrap().to_owned()
}

fn linked(app: &App) -> i64 {
    app.count("SELECT count(*) AS n FROM audit_events WHERE action = 'identity.linked'")
}

const DEVICE: &str = "5f0c8d1e-3b1a:7";

on_both! {
    fn what_was_said_in_the_widget_comes_to_whom_the_desk_signs_it_for(app) {
        let (ada, mailed) = known(app, "ada@example.org");
        let chat = chats(app, DEVICE);
        assert_eq!(opens(app, &ada, &chat["conversation_id"]), 404);
        let said = signed(app, &ada, DEVICE);
        let identity = identifies(app, &ada, &said).expect(200).json();
        assert_eq!((&identity["kind"], &identity["provider"], &identity["usable"]), (&json!("messenger"), &Value::Null, &json!(false)));
        let mut all = sees(app, &ada);
        all.sort_by_key(ToString::to_string);
        let mut both = vec![mailed["conversation_id"].clone(), chat["conversation_id"].clone()];
        both.sort_by_key(ToString::to_string);
        assert_eq!(all, both);
        // what is said from now on is hers as well
        let next = chats(app, DEVICE);
        assert_eq!((&next["account_id"], next["outcome"].as_str()), (&ada.account["id"], Some("created")));
        let mail = app.mail_to("ada@example.org").pop().unwrap();
        assert!(mail.subject().contains("messenger") && mail.text().contains("It is no way to sign in."), "{}", mail.text());
        // a lost answer is asked for again
        assert_eq!(identifies(app, &ada, &said).expect(200).json()["id"], identity["id"]);
        assert_eq!((linked(app), app.count("SELECT count(*) AS n FROM proofs WHERE method = 'signature'")), (1, 1));
        // it is no way in: with it alone she could not come back
        let ways = app.client.get("/v1/me/identities").bearer(&ada.access_token).send().expect(200).json();
        assert_eq!(ways["items"].as_array().unwrap().len(), 2);
    }

    fn a_signature_links_once_and_an_owner_who_has_unlinked_is_not_linked_again_by_it(app) {
        let ada = app.signs_up("ada@example.org");
        chats(app, DEVICE);
        let said = signed(app, &ada, DEVICE);
        let identity = identifies(app, &ada, &said).expect(200).json();
        unlinks(app, &ada, &identity).expect(204);
        assert!(app.mail_to("ada@example.org").pop().unwrap().subject().contains("messenger device was removed"));
        let replayed = identifies(app, &ada, &said).expect(422);
        assert_eq!((pointers(&replayed), code(&replayed).as_str()), (vec!["/signature".to_owned()], "used"));
        let mut shouted = said.clone();
        shouted["signature"] = json!(said["signature"].as_str().unwrap().to_ascii_uppercase());
        assert_eq!(code(&identifies(app, &ada, &shouted).expect(422)), "used");
        // what is written on it now is somebody's whom nobody knows
        assert_ne!(chats(app, DEVICE)["account_id"], ada.account["id"]);
        app.advance(Duration::from_secs(1));
        identifies(app, &ada, &signed(app, &ada, DEVICE)).expect(200);
    }

    fn a_signature_for_another_account_device_or_time_is_good_for_nothing(app) {
        let (ada, eve) = (app.signs_up("ada@example.org"), app.signs_up("eve@example.org"));
        let chat = chats(app, DEVICE);
        let good = signed(app, &ada, DEVICE);
        let with = |name: &str, value: Value| { let mut body = good.clone(); body[name] = value; body };
        let at = now(app);
        let rows = [
            (&eve, good.clone(), "/signature", "wrong_signature"),
            (&ada, with("device_id", json!("5f0c8d1e-3b1b:7")), "/signature", "wrong_signature"),
            (&ada, with("timestamp", json!(at + 1)), "/signature", "wrong_signature"),
            (&ada, with("signature", json!("0".repeat(64))), "/signature", "wrong_signature"),
            (&ada, with("signature", json!("x".repeat(64))), "/signature", "wrong_signature"),
            (&ada, with("signature", json!("")), "/signature", "wrong_signature"),
            (&ada, with("signature", Value::Null), "/signature", "wrong_type"),
            (&ada, with("device_id", json!("short")), "/device_id", "invalid"),
            (&ada, with("device_id", json!("0000000000")), "/device_id", "invalid"),
            (&ada, with("device_id", json!("with a space")), "/device_id", "invalid"),
            (&ada, with("timestamp", json!("now")), "/timestamp", "wrong_type"),
            (&ada, with("timestamp", json!(1.5)), "/timestamp", "wrong_type"),
            (&ada, with("account_id", ada.account["id"].clone()), "/account_id", "unknown_field"),
            (&ada, signs(MESSENGER_SECRET, at - 301, &ada.account["id"], DEVICE), "/timestamp", "not_of_now"),
            (&ada, signs(MESSENGER_SECRET, at + 60, &ada.account["id"], DEVICE), "/timestamp", "not_of_now"),
            (&ada, signs(MESSENGER_SECRET, i64::MIN, &ada.account["id"], DEVICE), "/timestamp", "not_of_now"),
            (&ada, signs("", at, &ada.account["id"], DEVICE), "/signature", "wrong_signature"),
        ];
        for (who, body, pointer, word) in rows {
            let refused = identifies(app, who, &body).expect(422);
            assert_eq!((pointers(&refused), code(&refused).as_str()), (vec![pointer.to_owned()], word), "{body}");
        }
        assert_eq!((opens(app, &ada, &chat["conversation_id"]), opens(app, &eve, &chat["conversation_id"]), linked(app)), (404, 404, 0));
        identifies(app, &ada, &signs(OLD_MESSENGER_SECRET, at, &ada.account["id"], DEVICE)).expect(200);
    }

    fn a_device_that_is_anothers_stays_theirs_and_a_stale_session_links_nothing(app) {
        let (ada, eve) = (app.signs_up("ada@example.org"), app.signs_up("eve@example.org"));
        let chat = chats(app, DEVICE);
        identifies(app, &ada, &signed(app, &ada, DEVICE)).expect(200);
        assert_eq!(identifies(app, &eve, &signed(app, &eve, DEVICE)).expect(409).code(), "identity_taken");
        assert_eq!((opens(app, &ada, &chat["conversation_id"]), opens(app, &eve, &chat["conversation_id"])), (200, 404));
        // two accounts of one person become one, and the device is theirs
        merges(app, &eve, &ada, false).expect(200);
        identifies(app, &eve, &signed(app, &eve, DEVICE)).expect(200);
        assert_eq!(opens(app, &eve, &chat["conversation_id"]), 200);
        app.advance(Duration::from_secs(660));
        let eve = SignedIn::of(&app.refreshes(&eve.refresh_token).expect(200));
        assert_eq!(identifies(app, &eve, &signed(app, &eve, "another-device")).expect(403).code(), "reauth_required");
    }

    fn one_signature_shown_by_many_at_once_links_one_device_once(app) {
        let ada = app.signs_up("ada@example.org");
        let eve = app.signs_up("eve@example.org");
        chats(app, DEVICE);
        let (hers, evil) = (signed(app, &ada, DEVICE), signed(app, &eve, DEVICE));
        let answers = in_parallel(8, |i| if i % 2 == 0 { identifies(app, &ada, &hers) } else { identifies(app, &eve, &evil) });
        let won = |n: usize| answers.iter().skip(n).step_by(2).all(|answer| answer.status == 200);
        let lost = |n: usize| answers.iter().skip(n).step_by(2).all(|answer| answer.status == 409);
        assert!(won(0) && lost(1) || won(1) && lost(0), "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
        assert_eq!(linked(app), 1);
    }
}

#[test]
fn without_a_secret_there_is_no_messenger() {
    let mut setup = Setup::default();
    setup.config.messenger = doorstep_api::config::Config::default().messenger;
    let app = App::start(Db::Sqlite, setup).unwrap();
    let ada = app.signs_up("ada@example.org");
    let none = identifies(&app, &ada, &signed(&app, &ada, DEVICE)).expect(404);
    assert_eq!(none.code(), "not_found");
}
