//! The devices of a signed-in customer: they are listed and ended, and the owner hears of a new one.

use std::time::Duration;

use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::social::{proven, signed_in};
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::{Value, json};

use crate::talk::reads;

const ADA: &str = "ada@example.org";
pub const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
pub const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile/15E148 Safari/604.1";

/// Signs in with some program, at an address of the network, perhaps with a token of the device.
pub fn tries_from(app: &App, user_agent: &str, ip: &str, password: &str, device_token: Option<&str>) -> Answer {
    let mut body = json!({ "email": ADA, "password": password });
    if let Some(token) = device_token {
        body["device_token"] = json!(token);
    }
    let request = app.client.post("/v1/sessions").header("user-agent", user_agent).header("x-forwarded-for", ip);
    request.json(&body).send()
}

pub fn from(app: &App, user_agent: &str, ip: &str) -> SignedIn {
    SignedIn::of(&tries_from(app, user_agent, ip, PASSWORD, None).expect(201))
}

fn sessions(app: &App, who: &SignedIn) -> Vec<Value> {
    reads(app, who, "/v1/me/sessions").expect(200).json()["items"].as_array().unwrap().clone()
}

fn ids(app: &App, who: &SignedIn) -> Vec<String> {
    sessions(app, who).iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect()
}

pub fn ends(app: &App, who: &SignedIn, id: &str) -> Answer {
    app.client.delete(&format!("/v1/me/sessions/{id}")).bearer(&who.access_token).send()
}

pub fn ends_others(app: &App, who: &SignedIn) -> Answer {
    app.client.delete("/v1/me/sessions?others=true").bearer(&who.access_token).send()
}

pub fn told(app: &App) -> Vec<String> {
    let mail = app.mail_to(ADA).into_iter();
    mail.filter(|mail| mail.subject().starts_with("New sign-in")).map(|mail| mail.text()).collect()
}

on_both! {
    fn devices_are_listed_with_what_they_are_and_where_and_how(app) {
        app.claims(ADA);
        let phone = from(app, SAFARI, "2001:db8:1:2::7");
        app.advance(Duration::from_secs(60));
        let laptop = from(app, FIREFOX, "203.0.113.77");
        let list = sessions(app, &laptop);
        assert_eq!(ids(app, &laptop), [laptop.session_id.clone(), phone.session_id.clone()], "the newest first");
        let said = |n: usize, name: &str| list[n][name].clone();
        assert_eq!((said(0, "device"), said(0, "network"), said(0, "current")), (json!("Firefox on Linux"), json!("203.0.113.0/24"), json!(true)));
        assert_eq!((said(1, "device"), said(1, "network"), said(1, "current")), (json!("Safari on iPhone"), json!("2001:db8:1::/48"), json!(false)));
        assert_eq!((said(0, "method"), said(0, "provider")), (json!("password"), Value::Null));
        app.advance(Duration::from_secs(600));
        let phone = SignedIn::of(&app.refreshes(&phone.refresh_token).expect(200));
        let used = sessions(app, &phone)[1].clone();
        assert_eq!(used["created_at"], list[1]["created_at"]);
        assert_ne!(used["last_used_at"], list[1]["last_used_at"]);
        assert_ne!(used["expires_at"], list[1]["expires_at"]);
        assert_eq!(app.count("SELECT count(*) AS n FROM sessions WHERE network LIKE '%77%' OR device LIKE '%Gecko%'"), 0);
    }

    fn a_list_has_pages_and_nothing_that_has_ended(app) {
        app.claims(ADA);
        let all: Vec<_> = (0..5).map(|_| app.signs_in(ADA)).collect();
        app.client.delete("/v1/sessions/current").bearer(&all[0].access_token).send().expect(204);
        let first = reads(app, &all[4], "/v1/me/sessions?limit=3").expect(200).json();
        let cursor = first["next_cursor"].as_str().unwrap();
        let second = reads(app, &all[4], &format!("/v1/me/sessions?limit=3&cursor={cursor}")).expect(200).json();
        let seen: Vec<_> = [&first, &second].iter().flat_map(|page| page["items"].as_array().unwrap()).map(|s| s["id"].clone()).collect();
        assert_eq!(seen, [4, 3, 2, 1].map(|n: usize| json!(all[n].session_id)));
        assert_eq!(second["next_cursor"], Value::Null);
        app.advance(Duration::from_secs(14 * 86_400 - 60));
        let fresh = app.signs_in(ADA);
        assert_eq!(ids(app, &fresh).len(), 5);
        app.advance(Duration::from_secs(120));
        let fresh = SignedIn::of(&app.refreshes(&fresh.refresh_token).expect(200));
        assert_eq!(ids(app, &fresh), [fresh.session_id.as_str()], "idle too long");
        app.claims_with(ADA, OTHER_PASSWORD);
        let ada = SignedIn::of(&app.tries_to_sign_in(ADA, OTHER_PASSWORD).expect(201));
        assert_eq!(ids(app, &ada), [ada.session_id.as_str()], "a recovery has ended the others");
    }

    fn se_10_one_device_is_ended_from_another_at_once(app) {
        app.claims(ADA);
        let (here, there) = (app.signs_in(ADA), app.signs_in(ADA));
        ends(app, &here, &there.session_id).expect(204);
        app.me(&there.access_token).expect(401);
        app.refreshes(&there.refresh_token).expect(401);
        app.me(&here.access_token).expect(200);
        assert_eq!(ends(app, &here, &there.session_id).expect(404).code(), "not_found");
        assert_eq!(app.count("SELECT count(*) AS n FROM sessions WHERE end_reason = 'signed_out_elsewhere'"), 1);
        ends(app, &here, &here.session_id).expect(204);
        app.me(&here.access_token).expect(401);
        assert_eq!(app.count("SELECT count(*) AS n FROM sessions WHERE end_reason = 'signed_out'"), 1);
        assert_eq!(app.count("SELECT count(*) AS n FROM audit_events WHERE action = 'session.ended'"), 2);
    }

    fn all_others_are_ended_where_that_is_said(app) {
        app.claims(ADA);
        let (ada, other) = (app.signs_in(ADA), app.signs_in(ADA));
        for (query, code) in [("", "required"), ("?others=false", "not_one_of"), ("?others=", "not_one_of"), ("?others=1", "not_one_of")] {
            let refused = app.client.delete(&format!("/v1/me/sessions{query}")).bearer(&ada.access_token).send().expect(422).json();
            let error = &refused["errors"][0];
            assert_eq!((&error["pointer"], &error["code"]), (&json!("/others"), &json!(code)), "{query}");
            assert!(error["detail"].as_str().unwrap().starts_with("Send others=true."), "{error}");
        }
        app.me(&other.access_token).expect(200);
        ends_others(app, &ada).expect(200);
        app.me(&other.access_token).expect(401);
    }

    fn se_12_anothers_session_is_not_there(app) {
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        let eve = app.signs_up("eve@example.org");
        let absent = ends(app, &eve, "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20").expect(404);
        let hers = ends(app, &eve, &ada.session_id).expect(404);
        assert_eq!((absent.code(), absent.json()["detail"].clone()), (hers.code(), hers.json()["detail"].clone()));
        ends(app, &eve, "not-an-id").expect(404);
        ends_others(app, &eve).expect(200);
        app.me(&ada.access_token).expect(200);
        assert_eq!(ids(app, &eve), [eve.session_id.as_str()]);
    }

    fn all_others_end_and_this_one_stays(app) {
        app.claims(ADA);
        let others = [app.signs_in(ADA), app.signs_in(ADA), app.signs_in(ADA)];
        let here = app.signs_in(ADA);
        assert_eq!(ends_others(app, &here).expect(200).json(), json!({ "ended": 3 }));
        for other in &others {
            app.me(&other.access_token).expect(401);
            app.refreshes(&other.refresh_token).expect(401);
        }
        app.me(&here.access_token).expect(200);
        app.refreshes(&here.refresh_token).expect(200);
        assert_eq!(ends_others(app, &here).expect(200).json(), json!({ "ended": 0 }));
        assert_eq!(app.count("SELECT count(*) AS n FROM outbox WHERE kind = 'event' AND topic = 'session.revoked'"), 3);
    }

    fn nobody_ends_all_by_leaving_something_out(app) {
        app.claims(ADA);
        let (here, there) = (app.signs_in(ADA), app.signs_in(ADA));
        for query in ["", "?others=false", "?others=", "?others=1", "?other=true"] {
            let answer = app.client.delete(&format!("/v1/me/sessions{query}")).bearer(&here.access_token).send();
            let answer = answer.expect(422);
            assert_eq!(answer.code(), "validation_failed", "{query:?}");
            assert!(query.starts_with("?other=") || answer.json().to_string().contains("others=true"), "{}", answer.json());
        }
        app.me(&there.access_token).expect(200);
    }

    fn rc_13_after_a_device_was_ended_it_gets_no_new_tokens(app) {
        app.claims(ADA);
        let (here, there) = (app.signs_in(ADA), app.signs_in(ADA));
        let answers = in_parallel(8, |n| match n {
            0 => ends(app, &here, &there.session_id),
            _ => app.refreshes(&there.refresh_token),
        });
        assert_eq!(answers[0].status, 204);
        for answer in answers.iter().filter(|answer| answer.status == 200) {
            let late = SignedIn::of(answer);
            app.me(&late.access_token).expect(401);
            app.refreshes(&late.refresh_token).expect(401);
        }
        app.me(&here.access_token).expect(200);
    }

    fn ending_all_others_beside_a_sign_in_keeps_this_one(app) {
        app.claims(ADA);
        let here = app.signs_in(ADA);
        let answers = in_parallel(6, |n| if n % 2 == 0 { ends_others(app, &here) } else { app.tries_to_sign_in(ADA, PASSWORD) });
        assert!(answers.iter().all(|answer| [200, 201].contains(&answer.status)));
        app.me(&here.access_token).expect(200);
        ends_others(app, &here).expect(200);
        assert_eq!(ids(app, &here), [here.session_id.as_str()]);
    }

    fn the_owner_hears_of_a_device_that_the_account_does_not_know(app) {
        app.claims(ADA);
        let laptop = from(app, FIREFOX, "203.0.113.77");
        assert!(told(app).is_empty(), "the first of all");
        from(app, FIREFOX, "203.0.113.9");
        assert!(told(app).is_empty(), "one like it, in the same network");
        from(app, SAFARI, "198.51.100.1");
        let mails = told(app);
        assert_eq!(mails.len(), 1);
        for line in ["Device: Safari on iPhone", "Network: 198.51.100.0/24", "How: with your password"] {
            assert!(mails[0].contains(line), "{line} in {}", mails[0]);
        }
        tries_from(app, SAFARI, "192.0.2.1", "not it, not it, not it", None).expect(401);
        assert_eq!(told(app).len(), 1, "a wrong password is no sign-in");
        tries_from(app, SAFARI, "192.0.2.1", PASSWORD, Some(&laptop.device_token)).expect(201);
        assert_eq!(told(app).len(), 1, "its token says that it is known");
        tries_from(app, SAFARI, "192.0.2.200", PASSWORD, Some("ddt1_garbage")).expect(201);
        assert_eq!(told(app).len(), 1, "one like it was there a moment ago");
        tries_from(app, FIREFOX, "192.0.2.200", PASSWORD, Some("ddt1_garbage")).expect(201);
        assert_eq!(told(app).len(), 2);
        app.advance(Duration::from_secs(31 * 86_400));
        from(app, SAFARI, "198.51.100.1");
        assert_eq!(told(app).len(), 3, "a month later it is new again");
        assert_eq!(app.count("SELECT count(*) AS n FROM audit_events WHERE action = 'session.new_device'"), 3);
    }

    fn another_accounts_device_is_not_known(app) {
        app.claims(ADA);
        from(app, FIREFOX, "203.0.113.77");
        let eve = app.signs_up("eve@example.org");
        tries_from(app, SAFARI, "192.0.2.1", PASSWORD, Some(&eve.device_token)).expect(201);
        assert_eq!(told(app).len(), 1);
    }

    fn ht_07_what_a_program_calls_itself_never_shows(app) {
        app.claims(ADA);
        from(app, FIREFOX, "203.0.113.77");
        let long = format!("{} Firefox/1", "x".repeat(4000));
        let programs = ["<b>You have won</b> http://evil.example", "Ada\u{e4} \u{202e}moc.live", "Subject: x", long.as_str()];
        for (n, program) in programs.iter().enumerate() {
            let signed = tries_from(app, program, &format!("192.0.{n}.1"), PASSWORD, None);
            let here = SignedIn::of(&signed.expect(201));
            assert_eq!(sessions(app, &here)[0]["device"], Value::Null, "{program:.40}");
        }
        let mails = told(app);
        assert_eq!(mails.len(), programs.len());
        for mail in mails {
            assert!(mail.contains("Device: a device that did not say what it is"), "{mail}");
            assert!(!mail.contains("evil") && !mail.contains("xxx") && !mail.contains("won"), "{mail}");
        }
    }
}

on_both_with_providers! {
    fn a_provider_is_named_and_a_device_that_knows_a_password_goes_on_knowing(social) {
        social.claims(ADA);
        let by_password = social.signs_in(ADA);
        social.links_google(&by_password, "g-1", "ada@gmail.com").expect(200);
        let arrives = |user_agent: &str, device_token: Option<&str>| {
            let flow = social.begins("google");
            let code = social.brings(&flow, &social.google_says(&flow, "g-1", &proven("ada@gmail.com")));
            let mut body = json!({ "code": code, "code_verifier": flow.verifier });
            if let Some(token) = device_token {
                body["device_token"] = json!(token);
            }
            signed_in(social.client.post("/v1/social/exchange").header("user-agent", user_agent).json(&body).send())
        };
        let known = arrives(FIREFOX, Some(&by_password.device_token));
        assert!(told(social).is_empty());
        let listed = sessions(social, &known)[0].clone();
        assert_eq!((listed["method"].clone(), listed["provider"].clone()), (json!("provider"), json!("google")));
        let strange = arrives(SAFARI, None);
        let mails = told(social);
        assert_eq!(mails.len(), 1);
        assert!(mails[0].contains("How: with Google"), "{}", mails[0]);
        // guesses at the password slow down who has shown none, and not the device that has
        for n in 0..40 {
            tries_from(social, FIREFOX, &format!("198.51.100.{n}"), "not it, not it, not it", None);
        }
        tries_from(social, FIREFOX, "192.0.2.9", PASSWORD, Some(&strange.device_token)).expect(429);
        let known = SignedIn::of(&social.refreshes(&known.refresh_token).expect(200));
        tries_from(social, FIREFOX, "192.0.2.9", PASSWORD, Some(&known.device_token)).expect(201);
    }
}
