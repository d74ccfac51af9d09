//! Which devices an account knows, and which are known no more.

use std::time::Duration;

use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::social::{proven, signed_in};
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::json;

use crate::my_sessions::{FIREFOX, SAFARI, ends, ends_others, from, told, tries_from};

const ADA: &str = "ada@example.org";
const DAY: Duration = Duration::from_secs(86_400);
const HOME: &str = "203.0.113.77";
const AWAY: &str = "198.51.100.1";

fn knows(app: &App, device_token: &str) -> bool {
    let before = told(app).len();
    tries_from(app, SAFARI, "192.0.2.1", PASSWORD, Some(device_token)).expect(201);
    told(app).len() == before
}

/// Strangers guess until nobody without a known device is looked at for a while.
fn strangers_guess(app: &App) {
    for n in 0..20 {
        tries_from(app, FIREFOX, &format!("198.18.0.{n}"), "not it, not it, not it", None);
    }
    tries_from(app, FIREFOX, "198.18.1.1", PASSWORD, None).expect(429);
}

fn audited(app: &App) -> i64 {
    app.count("SELECT count(*) AS n FROM audit_events WHERE action = 'session.new_device'")
}

on_both! {
    fn a_device_that_was_ended_from_another_is_known_no_more(app) {
        app.claims(ADA);
        let here = from(app, FIREFOX, HOME);
        let there = from(app, SAFARI, AWAY);
        assert!(knows(app, &there.device_token));
        ends(app, &here, &there.session_id).expect(204);
        assert!(!knows(app, &there.device_token), "not by its token");
        let before = told(app).len();
        from(app, SAFARI, AWAY);
        assert_eq!(told(app).len(), before + 1, "nor by what it is and where");
        strangers_guess(app);
        tries_from(app, SAFARI, AWAY, PASSWORD, Some(&there.device_token)).expect(429);
        tries_from(app, FIREFOX, HOME, PASSWORD, Some(&here.device_token)).expect(201);
    }

    fn one_whose_refresh_token_was_copied_is_known_no_more(app) {
        app.claims(ADA);
        from(app, FIREFOX, HOME);
        let there = from(app, SAFARI, AWAY);
        let next = SignedIn::of(&app.refreshes(&there.refresh_token).expect(200));
        app.refreshes(&next.refresh_token).expect(200);
        app.refreshes(&there.refresh_token).expect(401);
        assert!(!knows(app, &there.device_token));
    }

    fn one_that_signed_out_by_itself_is_known_still(app) {
        app.claims(ADA);
        let there = from(app, SAFARI, AWAY);
        app.client.delete("/v1/sessions/current").bearer(&there.access_token).send().expect(204);
        assert!(knows(app, &there.device_token));
        let before = told(app).len();
        from(app, SAFARI, AWAY);
        assert_eq!(told(app).len(), before);
    }

    fn all_others_are_known_no_more_and_those_that_have_run_out_are_not_counted(app) {
        app.claims(ADA);
        let old = from(app, SAFARI, AWAY);
        app.advance(DAY * 15);
        let other = from(app, SAFARI, "192.0.2.9");
        let here = from(app, FIREFOX, HOME);
        assert_eq!(ends_others(app, &here).expect(200).json(), json!({ "ended": 1 }));
        for disowned in [&old, &other] {
            assert!(!knows(app, &disowned.device_token));
        }
        assert!(knows(app, &here.device_token));
    }

    fn a_recovery_and_another_password_forget_what_devices_are_like(app) {
        app.claims(ADA);
        from(app, SAFARI, AWAY);
        app.claims_with(ADA, OTHER_PASSWORD);
        app.advance(DAY);
        let signs_in = |program: &str, ip: &str, password: &str| SignedIn::of(&tries_from(app, program, ip, password, None).expect(201));
        let here = signs_in(SAFARI, AWAY, OTHER_PASSWORD);
        assert_eq!(told(app).len(), 1, "a day after the recovery");
        signs_in(FIREFOX, HOME, OTHER_PASSWORD);
        assert_eq!(told(app).len(), 2);
        let set = json!({ "current_password": OTHER_PASSWORD, "password": PASSWORD });
        app.client.put("/v1/me/password").bearer(&here.access_token).json(&set).send().expect(200);
        signs_in(SAFARI, AWAY, PASSWORD);
        assert_eq!(told(app).len(), 2, "the one that set it goes on");
        signs_in(FIREFOX, HOME, PASSWORD);
        assert_eq!(told(app).len(), 3);
    }

    fn the_first_sign_in_is_expected_within_an_hour_alone(app) {
        app.claims(ADA);
        app.advance(Duration::from_secs(3601));
        from(app, FIREFOX, HOME);
        assert_eq!(told(app).len(), 1, "whoever it is, it took them long");
        app.claims_with(ADA, PASSWORD);
        from(app, SAFARI, AWAY);
        assert_eq!(told(app).len(), 1, "the first after a recovery of a moment ago");
        from(app, FIREFOX, HOME);
        assert_eq!(told(app).len(), 2);
    }

    fn a_sign_in_after_long_is_not_the_first_of_all(app) {
        app.claims(ADA);
        from(app, FIREFOX, HOME);
        app.advance(DAY * 100);
        while doorstep_core::house::tidy(app.store()).unwrap() {}
        assert_eq!(app.count("SELECT count(*) AS n FROM sessions"), 0);
        from(app, SAFARI, AWAY);
        assert_eq!(told(app).len(), 1);
    }

    fn a_device_is_remembered_thirty_days_after_its_session_must_have_ended(app) {
        app.claims(ADA);
        let here = from(app, FIREFOX, HOME);
        let tidies = || while doorstep_core::house::tidy(app.store()).unwrap() {};
        app.advance(DAY * 59);
        tidies();
        let before = told(app).len();
        tries_from(app, SAFARI, AWAY, PASSWORD, Some(&here.device_token)).expect(201);
        assert_eq!(told(app).len(), before);
        app.advance(DAY * 61);
        tidies();
        tries_from(app, SAFARI, AWAY, PASSWORD, Some(&here.device_token)).expect(201);
        assert_eq!(told(app).len(), before + 1);
    }

    fn new_devices_do_not_bury_a_mailbox(app) {
        app.claims(ADA);
        from(app, FIREFOX, HOME);
        for n in 0..13 {
            from(app, SAFARI, &format!("198.18.{n}.1"));
        }
        assert_eq!((told(app).len(), audited(app)), (10, 13), "the audit trail has all of them");
        app.advance(Duration::from_secs(3600));
        from(app, SAFARI, "198.18.50.1");
        from(app, SAFARI, "198.18.51.1");
        assert_eq!((told(app).len(), audited(app)), (11, 15));
    }

    fn rc_13_no_other_device_gets_new_tokens_after_all_were_ended(app) {
        app.claims(ADA);
        let (here, there) = (app.signs_in(ADA), app.signs_in(ADA));
        let answers = in_parallel(8, |n| if n == 0 { ends_others(app, &here) } else { app.refreshes(&there.refresh_token) });
        assert_eq!(answers[0].status, 200);
        let late: Vec<&Answer> = answers[1..].iter().filter(|answer| answer.status == 200).collect();
        for answer in late {
            let late = SignedIn::of(answer);
            app.me(&late.access_token).expect(401);
            app.refreshes(&late.refresh_token).expect(401);
        }
        app.me(&here.access_token).expect(200);
    }

    fn what_signed_in_and_out_is_named_in_the_activity(app) {
        app.claims(ADA);
        let (here, there) = (app.signs_in(ADA), app.signs_in(ADA));
        ends(app, &here, &there.session_id).expect(204);
        let items = crate::talk::reads(app, &here, "/v1/me/activity").expect(200).json();
        let of = |action: &str| items["items"].as_array().unwrap().iter().find(|item| item["action"] == action).unwrap()["detail"]["session_id"].clone();
        assert_eq!((of("session.ended"), of("session.created")), (json!(there.session_id), json!(there.session_id)));
    }
}

on_both_with_providers! {
    fn a_device_of_an_unlinked_provider_is_known_no_more(social) {
        social.claims(ADA);
        let ada = social.signs_in(ADA);
        social.links_google(&ada, "g-1", "ada@gmail.com").expect(200);
        let arrives = |device_token: Option<&str>| {
            let flow = social.begins("google");
            let code = social.brings(&flow, &social.google_says(&flow, "g-1", &proven("ada@gmail.com")));
            let mut body = json!({ "code": code, "code_verifier": flow.verifier });
            if let Some(token) = device_token {
                body["device_token"] = json!(token);
            }
            signed_in(social.client.post("/v1/social/exchange").header("user-agent", SAFARI).json(&body).send())
        };
        let there = arrives(None);
        assert_eq!(arrives(Some(&there.device_token)).device_token, there.device_token);
        let google = social.identities_of(&ada).into_iter().find(|identity| identity["provider"] == "google").unwrap();
        social.unlinks(&ada, &google["id"]).expect(204);
        assert!(!knows(social, &there.device_token));
    }
}
