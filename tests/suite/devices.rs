//! Device tokens: who has signed in on a device before is not slowed by what strangers do.

use std::time::Duration;

use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::{App, SignedIn, on_both};
use serde_json::json;

const WRONG: &str = "never the right one";
const ADA: &str = "ada@example.org";
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Ada sets a password by mail; gives the device token that the answer carries.
fn recovers(app: &App, password: &str) -> String {
    app.asks_for_reset(ADA).expect(202);
    let token = app.secret_mailed_to(ADA).token;
    let answer = app.confirms_reset(&json!({ "token": token, "password": password })).expect(200);
    answer.json()["device_token"].as_str().unwrap().to_owned()
}

/// Strangers guess until nobody without a device token is looked at for a while.
fn strangers_slow_down(app: &App, email: &str) {
    for n in 0..6 {
        app.tries_to_sign_in_from(&format!("203.0.113.{n}"), email, WRONG).expect(401);
    }
    loop {
        let wait = wait_after_a_guess(app, email);
        if wait >= 60 {
            return;
        }
        app.advance(Duration::from_secs(wait));
    }
}

/// One more wrong guess, and how long the next has to wait.
fn wait_after_a_guess(app: &App, email: &str) -> u64 {
    app.tries_to_sign_in_from("203.0.113.7", email, WRONG);
    let stopped = app.tries_to_sign_in_from("203.0.113.8", email, WRONG);
    stopped.header("Retry-After").map_or(0, |wait| wait.parse().unwrap())
}

on_both! {
    fn a_known_device_gets_through_what_strangers_have_slowed(app) {
        let ada = app.signs_up("ada@example.org");
        let again = app.signs_in("ada@example.org");
        strangers_slow_down(app, "ada@example.org");
        app.tries_to_sign_in("ada@example.org", PASSWORD).expect(429);
        for known in [&ada.device_token, &again.device_token] {
            app.tries_to_sign_in_with_device("ada@example.org", PASSWORD, known).expect(201);
        }
        app.tries_to_sign_in("ada@example.org", PASSWORD).expect(429);
    }

    fn a_device_keeps_its_name_from_session_to_session(app) {
        let first = app.signs_up("ada@example.org");
        let answer = app.tries_to_sign_in_with_device("ada@example.org", PASSWORD, &first.device_token);
        let second = SignedIn::of(&answer.expect(201));
        assert_eq!(second.device_token, first.device_token);
        assert_eq!(SignedIn::of(&app.refreshes(&second.refresh_token).expect(200)).device_token, first.device_token);
        assert_ne!(app.signs_in("ada@example.org").device_token, first.device_token);
        assert_eq!(app.count("SELECT count(DISTINCT device_id) AS n FROM sessions"), 2);
    }

    fn a_device_token_is_no_way_in(app) {
        let ada = app.signs_up("ada@example.org");
        let wrong = app.tries_to_sign_in_with_device("ada@example.org", WRONG, &ada.device_token);
        assert_eq!((wrong.status, wrong.code()), (401, "invalid_credentials".into()));
        app.me(&ada.device_token).expect(401);
        app.refreshes(&ada.device_token).expect(401);
    }

    fn another_accounts_device_gets_nobody_through(app) {
        app.signs_up("ada@example.org");
        let mallory = app.signs_up("mallory@example.org");
        strangers_slow_down(app, "ada@example.org");
        let token = mallory.device_token.as_str();
        let (head, last) = token.split_at(token.len() - 1);
        let other_end = format!("{head}{}", if last == "A" { "B" } else { "A" });
        for strange in [token, &other_end, head, "", "ddt1_", &mallory.refresh_token, &mallory.access_token, &"A".repeat(4000)] {
            app.tries_to_sign_in_with_device("ada@example.org", PASSWORD, strange).expect(429);
        }
    }

    fn a_device_is_known_no_more_after_a_recovery(app) {
        let ada = app.signs_up("ada@example.org");
        app.claims_with("ada@example.org", OTHER_PASSWORD);
        strangers_slow_down(app, "ada@example.org");
        app.tries_to_sign_in_with_device("ada@example.org", OTHER_PASSWORD, &ada.device_token).expect(429);
    }

    fn a_device_that_has_set_the_password_by_mail_is_known_for_a_month_until_the_next(app) {
        let recovered = recovers(app, OTHER_PASSWORD);
        let latest = recovers(app, PASSWORD);
        strangers_slow_down(app, ADA);
        app.tries_to_sign_in(ADA, PASSWORD).expect(429);
        app.tries_to_sign_in_with_device(ADA, PASSWORD, &recovered).expect(429);
        app.tries_to_sign_in_with_device(ADA, PASSWORD, &latest).expect(201);
        let unused = recovers(app, PASSWORD);
        app.advance(MONTH - Duration::from_secs(86_400));
        strangers_slow_down(app, ADA);
        let signed_in = app.tries_to_sign_in_with_device(ADA, PASSWORD, &unused).expect(201);
        assert_eq!(SignedIn::of(&signed_in).device_token, unused, "it is that device from now on");
        app.advance(Duration::from_secs(2 * 86_400));
        strangers_slow_down(app, ADA);
        app.tries_to_sign_in_with_device(ADA, PASSWORD, &unused).expect(201);
    }

    fn a_device_that_never_signed_in_is_forgotten_after_a_month(app) {
        let unused = recovers(app, PASSWORD);
        app.advance(MONTH + Duration::from_secs(60));
        strangers_slow_down(app, ADA);
        app.tries_to_sign_in_with_device(ADA, PASSWORD, &unused).expect(429);
    }

    fn a_device_that_has_set_the_password_by_mail_can_be_disowned(app) {
        let recovered = recovers(app, PASSWORD);
        let there = SignedIn::of(&app.tries_to_sign_in_with_device(ADA, PASSWORD, &recovered).expect(201));
        let here = app.signs_in(ADA);
        let path = format!("/v1/me/sessions/{}", there.session_id);
        app.client.delete(&path).bearer(&here.access_token).send().expect(204);
        strangers_slow_down(app, ADA);
        app.tries_to_sign_in_with_device(ADA, PASSWORD, &recovered).expect(429);
    }

    fn a_device_that_has_undone_a_change_is_known(app) {
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        app.adds(&ada, "another@example.org");
        let undo = app.undo_mailed_to(ADA);
        let undone = app.undoes(&json!({ "token": undo, "password": OTHER_PASSWORD })).expect(200);
        strangers_slow_down(app, ADA);
        app.tries_to_sign_in(ADA, OTHER_PASSWORD).expect(429);
        let token = undone.json()["device_token"].as_str().unwrap().to_owned();
        app.tries_to_sign_in_with_device(ADA, OTHER_PASSWORD, &token).expect(201);
    }

    fn a_known_device_is_slowed_by_its_own_guesses_and_slows_no_other(app) {
        let ada = app.signs_up("ada@example.org");
        let elsewhere = app.signs_in("ada@example.org");
        let guess = || app.tries_to_sign_in_with_device("ada@example.org", WRONG, &ada.device_token);
        let mut answer = guess().expect(401);
        while answer.header("Retry-After").is_none_or(|wait| wait.parse::<u64>().unwrap() < 60) {
            let wait = answer.header("Retry-After").map_or(0, |wait| wait.parse().unwrap());
            app.advance(Duration::from_secs(wait));
            answer = guess();
        }
        app.tries_to_sign_in_with_device("ada@example.org", PASSWORD, &ada.device_token).expect(429);
        app.tries_to_sign_in_with_device("ada@example.org", PASSWORD, &elsewhere.device_token).expect(201);
        app.tries_to_sign_in("ada@example.org", PASSWORD).expect(201);
    }

    fn a_device_token_that_is_no_text_is_said_to_be_wrong(app) {
        for strange in [json!(7), json!(["a"]), json!({}), json!(true)] {
            let body = json!({ "email": "ada@example.org", "password": PASSWORD, "device_token": strange });
            let answer = app.client.post("/v1/sessions").json(&body).send();
            assert!((400..=422).contains(&answer.status) && answer.status != 401, "{}: {}", answer.status, answer.code());
        }
        assert_eq!(app.count("SELECT count(*) AS n FROM throttles"), 0, "nothing was counted");
    }
}
