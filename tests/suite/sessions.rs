//! Sessions: how long they live, what a refresh keeps, and what ends them.

use std::time::Duration;

use doorstep_core::clock::Timestamp;
use doorstep_core::house;
use doorstep_tests::people::PASSWORD;
use doorstep_tests::{App, SignedIn, on_both};

const DAY: Duration = Duration::from_secs(86_400);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A refresh that works.
#[track_caller]
fn next(app: &App, session: &SignedIn) -> SignedIn {
    let next = SignedIn::of(&app.refreshes(&session.refresh_token).expect(200));
    assert_eq!(next.session_id, session.session_id);
    next
}

/// A refresh that is told, as it should be, that there is no session.
#[track_caller]
fn is_refused(app: &App, session: &SignedIn) {
    let answer = app.refreshes(&session.refresh_token);
    assert_eq!((answer.status, answer.code()), (401, "session_ended".into()));
}

#[track_caller]
fn is_dead(app: &App, session: &SignedIn) {
    is_refused(app, session);
    let me = app.me(&session.access_token);
    assert_eq!((me.status, me.code()), (401, "unauthorized".into()));
    assert_eq!(me.header("WWW-Authenticate"), Some("Bearer error=\"invalid_token\""));
}

fn ended_because(app: &App, reason: &str) -> i64 {
    app.count(&format!("SELECT count(*) AS n FROM sessions WHERE end_reason = '{reason}'"))
}

fn refresh_expires_at(app: &App, session: &SignedIn) -> (Timestamp, SignedIn) {
    let answer = app.refreshes(&session.refresh_token).expect(200);
    let expires = Timestamp::parse(answer.json()["refresh_expires_at"].as_str().unwrap()).unwrap();
    (expires, SignedIn::of(&answer))
}

on_both! {
    fn se_01_a_replaced_refresh_token_ends_the_family(app) {
        let first = app.signs_up("ada@example.org");
        let second = next(app, &first);
        let third = next(app, &second);
        let fourth = next(app, &third);
        app.me(&fourth.access_token).expect(200);
        app.advance(seconds(31));
        for stolen in [&first, &second, &third, &fourth] {
            is_dead(app, stolen);
        }
        assert_eq!(ended_because(app, "reused"), 1);
        let other = app.signs_in("ada@example.org");
        next(app, &other);
    }

    fn se_01_the_predecessor_alone_ends_the_family_after_its_moment(app) {
        let first = app.signs_up("ada@example.org");
        let second = next(app, &first);
        app.advance(seconds(31));
        is_refused(app, &first);
        is_dead(app, &second);
    }

    fn se_02_a_lost_answer_is_given_again(app) {
        let first = app.signs_up("ada@example.org");
        let lost = next(app, &first);
        app.advance(seconds(20));
        let again = next(app, &first);
        assert_eq!(again.refresh_token, lost.refresh_token, "one leaf, shown twice");
        app.me(&again.access_token).expect(200);
        let after = next(app, &again);
        next(app, &after);
        assert_eq!(app.count("SELECT counter AS n FROM sessions"), 3);
    }

    fn se_02_asking_again_does_not_stretch_the_moment(app) {
        let first = app.signs_up("ada@example.org");
        let lost = next(app, &first);
        app.advance(seconds(20));
        next(app, &first);
        app.advance(seconds(11));
        is_refused(app, &first);
        is_dead(app, &lost);
    }

    fn se_04_once_the_successor_was_used_the_predecessor_is_stolen(app) {
        let first = app.signs_up("ada@example.org");
        let second = next(app, &first);
        let third = next(app, &second);
        is_refused(app, &first);
        is_dead(app, &third);
        assert_eq!(ended_because(app, "reused"), 1);
    }

    fn se_06_a_disabled_account_is_out_at_once(app) {
        let session = app.signs_up("ada@example.org");
        app.sql("UPDATE accounts SET state = 'disabled'");
        let me = app.me(&session.access_token);
        assert_eq!((me.status, me.code()), (401, "unauthorized".into()));
        is_dead(app, &session);
        let wrong = app.tries_to_sign_in("ada@example.org", PASSWORD);
        assert_eq!((wrong.status, wrong.code()), (401, "invalid_credentials".into()));
        assert_eq!(ended_because(app, "account_closed"), 1);
        app.sql("UPDATE accounts SET state = 'claimed'");
        is_dead(app, &session);
    }

    fn se_08_no_refresh_carries_a_session_past_its_absolute_end(app) {
        let mut session = app.signs_up("ada@example.org");
        let absolute_end = app.clock.now() + DAY * 30;
        for _ in 1..30 {
            app.advance(DAY);
            let (expires, next) = refresh_expires_at(app, &session);
            assert!(expires <= absolute_end, "{expires} is after {absolute_end}");
            session = next;
        }
        app.advance(DAY);
        is_dead(app, &session);
        assert_eq!(ended_because(app, "expired"), 1);
    }

    fn a_session_is_kept_for_a_month_after_its_absolute_end_and_then_deleted(app) {
        let old = app.signs_up("ada@example.org");
        let kept = || app.count("SELECT count(*) AS n FROM sessions");
        app.advance(DAY * 2);
        let young = SignedIn::of(&app.tries_to_sign_in("ada@example.org", PASSWORD).expect(201));
        app.advance(DAY * 59 - seconds(60));
        house::tidy(app.store()).unwrap();
        assert_eq!(kept(), 1);
        is_refused(app, &old);
        is_refused(app, &young);
        app.advance(DAY * 2);
        house::tidy(app.store()).unwrap();
        assert_eq!(kept(), 0);
    }

    fn se_09_an_idle_session_ends(app) {
        let session = app.signs_up("ada@example.org");
        app.advance(seconds(14 * 86_400 - 60));
        let session = next(app, &session);
        app.advance(seconds(14 * 86_400 - 60));
        let session = next(app, &session);
        app.advance(DAY * 14 + seconds(1));
        is_dead(app, &session);
        assert_eq!(ended_because(app, "expired"), 1);
    }

    fn se_10_signing_out_ends_the_family_and_its_access_tokens(app) {
        let first = app.signs_up("ada@example.org");
        let second = next(app, &first);
        let elsewhere = app.signs_in("ada@example.org");
        app.signs_out(&first.access_token).expect(204);
        for session in [&first, &second] {
            is_dead(app, session);
        }
        app.signs_out(&second.access_token).expect(401);
        app.me(&elsewhere.access_token).expect(200);
        next(app, &elsewhere);
        assert_eq!(ended_because(app, "signed_out"), 1);
    }

    fn a_refresh_proves_no_presence(app) {
        let first = app.signs_up("ada@example.org");
        app.advance(seconds(700));
        let second = next(app, &first);
        let (before, after) = (first.claims(), second.claims());
        assert_eq!(before["auth_time"], after["auth_time"]);
        assert!(after["iat"].as_i64() >= before["iat"].as_i64().map(|iat| iat + 700));
        assert_eq!((&before["sub"], &before["sid"]), (&after["sub"], &after["sid"]));
        assert_ne!(before["jti"], after["jti"]);
    }

    fn turning_password_sign_in_off_ends_a_session_at_its_refresh(app) {
        let by_sign_up = app.signs_up("ada@example.org");
        let by_password = app.signs_in("ada@example.org");
        app.change_settings(|settings| settings.password_sign_in = false);
        is_dead(app, &by_sign_up);
        is_dead(app, &by_password);
        assert_eq!(ended_because(app, "method_off"), 2);
        app.change_settings(|settings| settings.password_sign_in = true);
        is_dead(app, &by_password);
        app.signs_in("ada@example.org");
    }

    fn a_changed_lifetime_holds_for_sessions_that_there_are(app) {
        let session = app.signs_up("ada@example.org");
        let idle = app.signs_in("ada@example.org");
        app.advance(seconds(3000));
        let session = next(app, &session);
        app.change_settings(|settings| settings.session_idle_seconds = 1800);
        is_dead(app, &idle);
        let session = next(app, &session);
        app.change_settings(|settings| settings.session_absolute_seconds = 2000);
        is_dead(app, &session);
    }

    fn what_is_no_refresh_token_ends_nothing(app) {
        let session = app.signs_up("ada@example.org");
        let token = session.refresh_token.as_str();
        let (head, tail) = token.split_at(token.len() - 1);
        let other_end = if tail == "A" { "B" } else { "A" };
        let strange = [
            "", "drt1_", head, &format!("{head}{other_end}"), &format!("{token}A"), &format!("{token}="),
            &format!(" {token}"), &token.replace("drt1_", "drt2_"), &token.replace("drt1_", "ddt1_"),
            &session.access_token, &session.device_token, &"A".repeat(4000),
        ];
        for strange in strange {
            let answer = app.refreshes(strange);
            assert_eq!((answer.status, answer.code()), (401, "session_ended".into()), "{strange}");
        }
        next(app, &session);
    }
}
