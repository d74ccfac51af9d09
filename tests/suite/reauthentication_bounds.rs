//! What making a session fresh does not do: outlive the session, help whoever guesses, or take what was made for
//! something else.

use std::time::Duration;

use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::providers::{facebook, issuer, twitter};
use doorstep_tests::social::{ACME, Social, proven, signed_in};
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::{becomes, text};
use crate::natively::begins_natively;
use crate::reauthentication::{ADA, asks_for_code, begins, brought, code_mailed, is_fresh, later, shows, stale};

const WRONG: &str = "never the right one";

fn refreshed(app: &App, who: &SignedIn) -> SignedIn {
    SignedIn::of(&app.refreshes(&who.refresh_token).expect(200))
}

fn sets_password(app: &App, who: &SignedIn, body: &Value) -> Answer {
    app.client.put("/v1/me/password").bearer(&who.access_token).json(body).send()
}

fn by_google(social: &Social) -> SignedIn {
    signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")))
}

fn begins_natively_for(social: &Social, who: &SignedIn, path: &str) -> Value {
    social.client.post(path).bearer(&who.access_token).json(&json!({ "native": true })).send().expect(201).json()
}

fn google_token(social: &Social, nonce: &str) -> String {
    social.google.signs(&social.google.claims(issuer::CLIENT_ID, nonce, "g-1"))
}

#[track_caller]
fn is_unknown(answer: &Answer) {
    assert_eq!((answer.status, answer.code().as_str()), (404, "flow_not_found"));
}

on_both! {
    fn se_18_what_was_refused_is_done_once_presence_is_shown(app) {
        let ada = stale(app);
        let change = json!({ "current_password": PASSWORD, "password": OTHER_PASSWORD });
        for answer in [sets_password(app, &ada, &change), app.asks_to_add(&ada, "ada@work.example")] {
            assert_eq!(answer.expect(403).code(), "reauth_required");
        }
        asks_for_code(app, &ada).expect(202);
        let code = json!({ "mailed_code": code_mailed(app, ADA) });
        let ada = SignedIn::of(&shows(app, &ada, &code).expect(200));
        app.adds(&ada, "ada@work.example");
        sets_password(app, &ada, &change).expect(200);
    }

    fn se_18_a_token_of_before_does_not_become_fresh_with_its_session(app) {
        let copied = stale(app);
        let now = SignedIn::of(&shows(app, &copied, &json!({ "password": PASSWORD })).expect(200));
        app.me(&copied.access_token).expect(200);
        assert!(!is_fresh(app, &copied), "whoever copied it has shown nothing");
        assert!(is_fresh(app, &now));
    }

    fn the_current_password_of_a_change_shows_presence_as_well(app) {
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        app.advance(Duration::from_secs(595));
        let ada = refreshed(app, &ada);
        let change = json!({ "current_password": PASSWORD, "password": OTHER_PASSWORD });
        let now = SignedIn::of(&sets_password(app, &ada, &change).expect(200));
        let (before, after) = (ada.claims()["auth_time"].as_i64().unwrap(), now.claims()["auth_time"].as_i64().unwrap());
        assert!(after >= before + 595, "{before} {after}");
        app.advance(Duration::from_secs(10));
        assert!(is_fresh(app, &now));
        assert_eq!(refreshed(app, &now).claims()["auth_time"], after);
    }

    fn se_08_a_session_at_its_end_is_not_made_fresh(app) {
        app.change_settings(|settings| settings.session_absolute_seconds = 3600);
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        app.advance(Duration::from_secs(3500));
        let ada = refreshed(app, &ada);
        app.advance(Duration::from_secs(101));
        app.me(&ada.access_token).expect(200);
        assert_eq!(shows(app, &ada, &json!({ "password": PASSWORD })).expect(401).code(), "unauthorized");
        app.me(&ada.access_token).expect(401);
        assert_eq!(text(app, "SELECT end_reason AS t FROM sessions"), "expired");
    }

    fn a_code_that_went_to_an_address_which_is_no_longer_the_owners_is_none(app) {
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        let work = app.adds(&ada, "ada@work.example");
        let body = json!({ "email_id": work });
        app.client.post("/v1/me/reauthenticate/mail").bearer(&ada.access_token).json(&body).send().expect(202);
        let code = json!({ "mailed_code": code_mailed(app, "ada@work.example") });
        app.removes(&ada, &work).expect(204);
        assert_eq!(shows(app, &ada, &code).expect(404).code(), "secret_not_found");
    }

    fn rs_17_beyond_the_limit_nothing_is_mailed_nor_kept_and_the_last_code_stays_good(app) {
        let ada = stale(app);
        for _ in 0..12 {
            asks_for_code(app, &ada).expect(202);
            app.wait_until_mail_is_carried();
        }
        let kept = "SELECT count(*) AS n FROM challenges WHERE purpose = 'reauthenticate'";
        assert_eq!(app.count(kept), 3);
        assert_eq!(app.count(&format!("{kept} AND token_hash IS NOT NULL")), 0, "no link is good for it");
        shows(app, &ada, &json!({ "mailed_code": code_mailed(app, ADA) })).expect(200);
    }

    fn rs_24_five_wrong_codes_spend_it_and_a_caller_runs_out_of_tries(app) {
        let ada = stale(app);
        asks_for_code(app, &ada).expect(202);
        let code = json!({ "mailed_code": code_mailed(app, ADA) });
        for wrong in ["AAAA-AAAA", "", "ABCD", "AAAA-AAA1", &"A".repeat(5000)] {
            assert_eq!(shows(app, &ada, &json!({ "mailed_code": wrong })).expect(404).code(), "secret_not_found", "{wrong}");
        }
        assert_eq!(shows(app, &ada, &code).expect(404).code(), "secret_not_found", "the right one after five wrong ones");
        let mut guesses = (0..150).map(|_| shows(app, &ada, &json!({ "mailed_code": "AAAA-AAAA" })));
        let stopped = guesses.find(|answer| answer.status != 404).unwrap();
        assert_eq!((stopped.status, stopped.code()), (429, "too_many_requests".into()));
        assert!(!is_fresh(app, &ada));
    }

    fn rc_19_rl_04_many_guesses_at_once_in_a_stolen_session_are_slowed(app) {
        let ada = stale(app);
        let answers = in_parallel(60, |_| shows(app, &ada, &json!({ "password": WRONG })));
        let looked_at = answers.iter().filter(|answer| answer.status == 422).count();
        assert!((6..=10).contains(&looked_at), "{looked_at} guesses were looked at");
        for answer in answers.iter().filter(|answer| answer.status != 422) {
            assert!(matches!(answer.status, 429 | 503), "{}", answer.status);
            assert!(answer.header("retry-after").is_some());
        }
        app.tries_to_sign_in(ADA, PASSWORD).expect(201);
    }

    fn rc_13_after_a_sign_out_no_session_was_made_fresh(app) {
        app.claims(ADA);
        for _ in 0..8 {
            let ada = app.signs_in(ADA);
            let answers = in_parallel(4, |n| match n {
                0 => app.signs_out(&ada.access_token),
                _ => shows(app, &ada, &json!({ "password": PASSWORD })),
            });
            assert_eq!(answers[0].status, 204);
            for answer in &answers[1..] {
                if answer.status == 401 {
                    continue;
                }
                let given = SignedIn::of(&answer.clone().expect(200));
                app.me(&given.access_token).expect(401);
                app.refreshes(&given.refresh_token).expect(401);
            }
        }
        assert_eq!(app.count("SELECT count(*) AS n FROM sessions WHERE ended_at IS NULL"), 0);
    }

    fn i8_one_event_says_how_and_no_secret(app) {
        let ada = stale(app);
        let ada = SignedIn::of(&shows(app, &ada, &json!({ "password": PASSWORD })).expect(200));
        shows(app, &ada, &json!({ "password": WRONG })).expect(422);
        let of = "FROM audit_events WHERE action = 'session.reauthenticated'";
        assert_eq!(app.count(&format!("SELECT count(*) AS n {of}")), 1);
        let said: Value = serde_json::from_str(&text(app, &format!("SELECT CAST(detail AS TEXT) AS t {of}"))).unwrap();
        assert_eq!(said, json!({ "session_id": ada.session_id, "method": "password", "provider": null }));
    }

    fn a_401_says_whether_the_token_is_none_or_its_session_has_ended(app) {
        let ada = stale(app);
        let detail = |token: &str| app.me(token).expect(401).json()["detail"].as_str().unwrap().to_owned();
        assert!(detail("garbage").contains("not valid"));
        app.signs_out(&ada.access_token).expect(204);
        let ended = detail(&ada.access_token);
        assert!(ended.contains("session has ended") && ended.contains("refresh once"), "{ended}");
        assert_eq!(app.refreshes(&ada.refresh_token).expect(401).code(), "session_ended");
    }
}

on_both_with_providers! {
    fn se_18_linking_and_unlinking_are_done_once_presence_is_shown(social) {
        let ada = by_google(social);
        social.links_twitter(&ada, "ada", "12").expect(200);
        let ada = later(social, &ada);
        let linked = social.identities_of(&ada).into_iter().find(|identity| identity["kind"] == "twitter").unwrap();
        let refused = [social.unlinks(&ada, &linked["id"]), social.asks_to_link(&ada, ACME, &"v".repeat(43))];
        for answer in refused {
            assert_eq!(answer.expect(403).code(), "reauth_required");
        }
        social.twitter.knows(twitter::User::new("ada", "12", None));
        let flow = begins(social, &ada, "twitter");
        let code = social.brings(&flow, &social.twitter.consents(&flow.url, "ada"));
        let ada = SignedIn::of(&shows(social, &ada, &brought(&code, &flow)).expect(200));
        social.unlinks(&ada, &linked["id"]).expect(204);
        let link = social.begins_to_link(&ada, ACME);
        let code = social.brings(&link, &social.acme_says(&link, "a-1", &json!({})));
        social.finishes_linking(&ada, &code, &link.verifier).expect(200);
        assert_eq!(text(social, "SELECT method AS t FROM sessions"), "google", "the session is what it was opened with");
    }

    fn ad_01_a_session_whose_own_road_is_off_is_not_made_fresh_by_another(social) {
        let ada = by_google(social);
        let ada = SignedIn::of(&sets_password(social, &ada, &json!({ "password": PASSWORD })).expect(200));
        social.turn("google", false);
        assert_eq!(shows(social, &ada, &json!({ "password": PASSWORD })).expect(401).code(), "unauthorized");
        assert_eq!(text(social, "SELECT end_reason AS t FROM sessions"), "method_off");
        social.me(&ada.access_token).expect(401);
        social.tries_to_sign_in("ada@gmail.com", PASSWORD).expect(201);
    }

    fn a_first_password_shows_nothing_of_who_is_there(social) {
        let ada = by_google(social);
        social.advance(Duration::from_secs(595));
        let ada = refreshed(social, &ada);
        let now = SignedIn::of(&sets_password(social, &ada, &json!({ "password": PASSWORD })).expect(200));
        assert_eq!(now.claims()["auth_time"], ada.claims()["auth_time"]);
        social.advance(Duration::from_secs(10));
        assert!(!is_fresh(social, &now));
    }

    fn oa_12_a_native_flow_is_good_for_what_it_was_begun_for_and_by_whom(social) {
        let (ada, other) = (by_google(social), by_google(social));
        let to_sign_in = begins_natively(social, "google");
        let to_link = begins_natively_for(social, &ada, "/v1/me/identities/google");
        let mine = begins_natively_for(social, &ada, "/v1/me/reauthenticate/google");
        let (flow, nonce) = (mine["flow_id"].clone(), mine["nonce"].as_str().unwrap().to_owned());
        let body = |flow: &Value, nonce: &str| json!({ "flow_id": flow, "id_token": google_token(social, nonce) });
        is_unknown(&shows(social, &ada, &body(&json!(to_sign_in.id), &to_sign_in.nonce)));
        is_unknown(&shows(social, &ada, &body(&to_link["flow_id"], to_link["nonce"].as_str().unwrap())));
        is_unknown(&shows(social, &other, &body(&flow, &nonce)));
        is_unknown(&social.client.post("/v1/social/google/tokens").json(&body(&flow, &nonce)).send());
        let link = social.client.post("/v1/me/identities/exchange").bearer(&ada.access_token).json(&body(&flow, &nonce));
        is_unknown(&link.send());
        shows(social, &ada, &body(&flow, &nonce)).expect(200);
        assert_eq!(shows(social, &ada, &body(&flow, &nonce)).expect(410).code(), "flow_expired", "once");
    }

    fn an_access_token_of_facebooks_sdk_may_be_an_old_one_and_makes_nothing_fresh(social) {
        let ada = by_google(social);
        social.facebook.knows(facebook::User::new("ada", "4711", None));
        let link = social.begins_to_link(&ada, "facebook");
        let code = social.brings(&link, &social.facebook.consents(&link.url, "ada"));
        social.finishes_linking(&ada, &code, &link.verifier).expect(200);
        let kept = social.facebook.access_token(facebook::APP_ID, "ada");
        let ada = later(social, &ada);
        let flow = begins_natively_for(social, &ada, "/v1/me/reauthenticate/facebook");
        let refused = shows(social, &ada, &json!({ "flow_id": flow["flow_id"], "access_token": kept })).expect(422);
        assert_eq!(refused.json()["errors"][0]["code"], "unknown_field");
        let limited = social.facebook.limited_token(flow["nonce"].as_str().unwrap(), "ada");
        let shown = json!({ "flow_id": flow["flow_id"], "id_token": limited });
        assert!(is_fresh(social, &SignedIn::of(&shows(social, &ada, &shown).expect(200))));
    }

    fn a_time_that_is_none_is_no_sign_in_of_late(social) {
        let ada = by_google(social);
        let flow = social.begins_to_link(&ada, ACME);
        let code = social.brings(&flow, &social.acme_says(&flow, "a-1", &json!({})));
        social.finishes_linking(&ada, &code, &flow.verifier).expect(200);
        let now = social.clock.now().as_seconds();
        let rows = [(json!(now.to_string()), 401), (json!(true), 401), (json!([now]), 401), (json!(0), 401), (json!(now + 5), 200)];
        for (auth_time, status) in rows {
            let flow = begins(social, &ada, ACME);
            let code = social.brings(&flow, &social.acme_says(&flow, "a-1", &json!({ "auth_time": auth_time })));
            let answer = shows(social, &ada, &brought(&code, &flow)).expect(status);
            assert!(status == 200 || answer.code() == "provider_refused", "{auth_time}");
        }
        signed_in(social.arrives_by_acme("a-1", &json!({ "auth_time": "x" })));
    }

    fn ad_01_natively_too_a_provider_that_was_turned_off_makes_nothing_fresh(social) {
        let ada = by_google(social);
        let flow = begins_natively_for(social, &ada, "/v1/me/reauthenticate/google");
        let token = google_token(social, flow["nonce"].as_str().unwrap());
        let body = json!({ "flow_id": flow["flow_id"], "id_token": token });
        social.change_settings(|settings| settings.social_sign_on = false);
        assert_eq!(shows(social, &ada, &body).expect(403).code(), "method_disabled");
        social.change_settings(|settings| settings.social_sign_on = true);
        shows(social, &ada, &body).expect(200);
    }

    fn se_06_a_round_trip_ends_with_its_session_its_epoch_and_its_ten_minutes(social) {
        let ada = by_google(social);
        let begun = |who: &SignedIn| {
            let flow = begins(social, who, "google");
            let code = social.brings(&flow, &social.google_says(&flow, "g-1", &json!({})));
            brought(&code, &flow)
        };
        let late = begun(&ada);
        social.advance(Duration::from_secs(61));
        assert_eq!(shows(social, &ada, &late).expect(410).code(), "flow_expired");
        let flow = begins(social, &ada, "google");
        social.advance(Duration::from_secs(601));
        assert_eq!(social.browser_goes_to(&social.google_says(&flow, "g-1", &json!({}))).expect(410).code(), "flow_expired");
        let ada = by_google(social);
        let before = begun(&ada);
        let ada = SignedIn::of(&sets_password(social, &ada, &json!({ "password": PASSWORD })).expect(200));
        is_unknown(&shows(social, &ada, &before));
        let signed_out = begun(&ada);
        social.signs_out(&ada.access_token).expect(204);
        shows(social, &ada, &signed_out).expect(401);
        let ada = by_google(social);
        let disabled = begun(&ada);
        becomes(social, "ada@gmail.com", "disabled");
        shows(social, &ada, &disabled).expect(401);
        assert_eq!(social.count("SELECT count(*) AS n FROM audit_events WHERE action = 'session.reauthenticated'"), 0);
    }
}
