//! A session becomes fresh again by whoever shows once more that they are its account's owner, and by nobody else.

use std::time::Duration;

use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::providers::{code_challenge, issuer, parameter, twitter};
use doorstep_tests::social::{ACME, Flow, REDIRECT_URI, Social, proven, signed_in};
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::{becomes, tweets};

pub const ADA: &str = "ada@example.org";

pub fn shows(app: &App, who: &SignedIn, body: &Value) -> Answer {
    app.client.post("/v1/me/reauthenticate").bearer(&who.access_token).json(body).send()
}

pub fn asks_for_code(app: &App, who: &SignedIn) -> Answer {
    app.client.post("/v1/me/reauthenticate/mail").bearer(&who.access_token).json(&json!({})).send()
}

/// The session a quarter of an hour later, refreshed.
pub fn later(app: &App, who: &SignedIn) -> SignedIn {
    app.advance(Duration::from_secs(900));
    SignedIn::of(&app.refreshes(&who.refresh_token).expect(200))
}

pub fn stale(app: &App) -> SignedIn {
    app.claims(ADA);
    let ada = app.signs_in(ADA);
    later(app, &ada)
}

pub fn is_fresh(app: &App, who: &SignedIn) -> bool {
    let email = format!("{}@example.org", doorstep_tests::people::unique());
    let answer = app.asks_to_add(who, &email);
    assert!([202, 403].contains(&answer.status), "{}", answer.code());
    answer.status == 202
}

pub fn code_mailed(app: &App, address: &str) -> String {
    let mail = app.mail_to(address).into_iter().rev().find(|mail| mail.subject().starts_with("Your code"));
    let text = mail.unwrap_or_else(|| panic!("no code was mailed to {address}")).text();
    text.split_once("Code: ").unwrap().1.split_whitespace().next().unwrap().to_owned()
}

pub fn begins(social: &Social, who: &SignedIn, provider: &str) -> Flow {
    let verifier = "v".repeat(43);
    let body = json!({ "redirect_uri": REDIRECT_URI, "code_challenge": code_challenge(&verifier) });
    let begin = social.client.post(&format!("/v1/me/reauthenticate/{provider}")).bearer(&who.access_token);
    let begun = begin.json(&body).send().expect(201).json();
    let text = |name: &str| begun[name].as_str().unwrap().to_owned();
    Flow { provider: provider.to_owned(), id: text("flow_id"), url: text("authorization_url"), verifier }
}

pub fn brought(code: &str, flow: &Flow) -> Value {
    json!({ "code": code, "code_verifier": flow.verifier })
}

on_both! {
    fn se_18_the_password_makes_the_session_fresh_and_a_refresh_keeps_its_time(app) {
        let ada = stale(app);
        let before = ada.claims()["auth_time"].as_i64().unwrap();
        assert!(!is_fresh(app, &ada));
        let now = SignedIn::of(&shows(app, &ada, &json!({ "password": PASSWORD })).expect(200));
        assert_eq!(now.session_id, ada.session_id);
        let fresh = now.claims()["auth_time"].as_i64().unwrap();
        assert!(fresh >= before + 900, "{before} {fresh}");
        assert!(is_fresh(app, &now));
        let next = SignedIn::of(&app.refreshes(&now.refresh_token).expect(200));
        assert_eq!(next.claims()["auth_time"], fresh);
        let next = later(app, &next);
        assert_eq!(next.claims()["auth_time"], fresh, "a refresh does not renew it");
        assert!(!is_fresh(app, &next));
        assert_eq!(app.count("SELECT count(*) AS n FROM audit_events WHERE action = 'session.reauthenticated'"), 1);
    }

    fn se_18_a_copied_token_of_before_does_not_become_fresh(app) {
        let ada = stale(app);
        let now = SignedIn::of(&shows(app, &ada, &json!({ "password": PASSWORD })).expect(200));
        assert!(!is_fresh(app, &ada), "an access token of before is good, and not fresh");
        let again = SignedIn::of(&shows(app, &ada, &json!({ "password": PASSWORD })).expect(200));
        assert!(is_fresh(app, &again), "the answer was lost: it is made fresh once more");
        assert_eq!(app.refreshes(&now.refresh_token).expect(401).code(), "session_ended", "somebody may have copied it");
        app.me(&again.access_token).expect(401);
        app.refreshes(&again.refresh_token).expect(401);
    }

    fn a_wrong_password_is_slowed_and_changes_nothing(app) {
        let ada = stale(app);
        let guess = json!({ "password": "not it, not it, not it" });
        let wrong = shows(app, &ada, &guess).expect(422).json();
        assert_eq!((wrong["errors"][0]["pointer"].as_str(), wrong["errors"][0]["code"].as_str()), (Some("/password"), Some("wrong_password")));
        let slowed = (0..20).map(|_| shows(app, &ada, &guess)).find(|answer| answer.status == 429).unwrap();
        assert!(slowed.header("retry-after").is_some());
        assert_eq!(slowed.json()["detail"], "Wait for as many seconds as Retry-After says.", "it takes no device token");
        assert_eq!(shows(app, &ada, &json!({ "password": PASSWORD })).expect(429).code(), "too_many_requests");
        assert!(!is_fresh(app, &ada));
        app.me(&ada.access_token).expect(200);
        app.tries_to_sign_in(ADA, PASSWORD).expect(201);
    }

    fn a_session_that_is_not_fresh_is_told_what_makes_it_so(app) {
        let ada = stale(app);
        let refused = |who: &SignedIn| app.asks_to_add(who, "ada@work.example").expect(403).json();
        assert_eq!(refused(&ada)["methods"], json!(["password", "mail"]));
        assert_eq!(app.client.get("/v1/me/export").bearer(&ada.access_token).send().expect(403).json()["methods"], json!(["password", "mail"]));
        assert_eq!(app.me("garbage").expect(401).json().get("methods"), None);
        app.change_settings(|settings| settings.password_sign_in = false);
        assert_eq!(refused(&ada)["methods"], json!([]), "but to sign in again");
    }

    fn a_mailed_code_makes_it_fresh_once(app) {
        let ada = stale(app);
        let asked = asks_for_code(app, &ada).expect(202).json();
        assert_eq!(asked["email"], ADA);
        let mail = app.mail_to(ADA).pop().unwrap();
        assert_eq!(mail.subject(), "Your code for Shop Help");
        assert!(!mail.text().contains("token="), "a click alone must do nothing");
        let code = code_mailed(app, ADA);
        let typed = json!({ "mailed_code": code.to_lowercase().replace('-', "") });
        let now = SignedIn::of(&shows(app, &ada, &typed).expect(200));
        assert!(is_fresh(app, &now));
        assert_eq!(shows(app, &now, &typed).expect(404).code(), "secret_not_found");
    }

    fn a_code_is_good_in_the_session_that_asked_alone_and_for_nothing_else(app) {
        let here = stale(app);
        let there = app.signs_in(ADA);
        let there = later(app, &there);
        let here = SignedIn::of(&app.refreshes(&here.refresh_token).expect(200));
        asks_for_code(app, &here).expect(202);
        let code = code_mailed(app, ADA);
        let shown = json!({ "mailed_code": code });
        assert_eq!(shows(app, &there, &shown).expect(404).code(), "secret_not_found");
        for road in ["/v1/password-resets/confirm", "/v1/sign-ups/confirm"] {
            let body = json!({ "email": ADA, "code": code, "password": OTHER_PASSWORD });
            assert_eq!(app.client.post(road).json(&body).send().expect(404).code(), "secret_not_found", "{road}");
        }
        let here = SignedIn::of(&app.refreshes(&here.refresh_token).expect(200));
        shows(app, &here, &shown).expect(200);
        assert!(!is_fresh(app, &there));
    }

    fn another_mails_code_is_no_code_for_this(app) {
        let ada = stale(app);
        app.asks_for_reset(ADA).expect(202);
        let reset = app.secret_mailed_to(ADA);
        assert_eq!(shows(app, &ada, &json!({ "mailed_code": reset.code })).expect(404).code(), "secret_not_found");
        app.confirms_reset(&json!({ "token": reset.token, "password": OTHER_PASSWORD })).expect(200);
    }

    fn a_code_lasts_ten_minutes_and_five_tries_and_a_newer_one_voids_it(app) {
        let ada = stale(app);
        asks_for_code(app, &ada).expect(202);
        let first = json!({ "mailed_code": code_mailed(app, ADA) });
        asks_for_code(app, &ada).expect(202);
        let second = json!({ "mailed_code": code_mailed(app, ADA) });
        shows(app, &ada, &first).expect(404);
        for _ in 0..4 {
            shows(app, &ada, &json!({ "mailed_code": "AAAA-AAAA" })).expect(404);
        }
        shows(app, &ada, &second).expect(404);
        asks_for_code(app, &ada).expect(202);
        let third = json!({ "mailed_code": code_mailed(app, ADA) });
        app.advance(Duration::from_secs(601));
        let ada = SignedIn::of(&app.refreshes(&ada.refresh_token).expect(200));
        shows(app, &ada, &third).expect(404);
        for answer in [asks_for_code(app, &ada), asks_for_code(app, &ada)] {
            answer.expect(202);
        }
        assert_eq!(app.mail_to(ADA).iter().filter(|mail| mail.subject().starts_with("Your code")).count(), 3, "then one an hour");
    }

    fn a_code_goes_to_the_address_that_is_named_and_to_nobody_elses(app) {
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        let work = app.adds(&ada, "ada@work.example");
        let ada = later(app, &ada);
        let ask = |id: &str| {
            let body = json!({ "email_id": id });
            app.client.post("/v1/me/reauthenticate/mail").bearer(&ada.access_token).json(&body).send()
        };
        assert_eq!(ask(&work).expect(202).json()["email"], "ada@work.example");
        let code = code_mailed(app, "ada@work.example");
        let eve = app.signs_up("eve@example.org");
        let hers = app.email_of(&eve, "eve@example.org").id;
        assert_eq!(ask(&hers).expect(404).code(), "not_found");
        ask("0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20").expect(404);
        shows(app, &ada, &json!({ "mailed_code": code })).expect(200);
    }

    fn a_code_dies_with_a_recovery(app) {
        let ada = stale(app);
        asks_for_code(app, &ada).expect(202);
        let code = json!({ "mailed_code": code_mailed(app, ADA) });
        app.claims_with(ADA, OTHER_PASSWORD);
        shows(app, &ada, &code).expect(401);
        let ada = SignedIn::of(&app.tries_to_sign_in(ADA, OTHER_PASSWORD).expect(201));
        shows(app, &ada, &code).expect(404);
    }

    fn ad_01_no_road_that_is_off_makes_a_session_fresh(app) {
        let ada = stale(app);
        asks_for_code(app, &ada).expect(202);
        let code = json!({ "mailed_code": code_mailed(app, ADA) });
        app.change_settings(|settings| settings.password_sign_in = false);
        for answer in [shows(app, &ada, &json!({ "password": PASSWORD })), shows(app, &ada, &code), asks_for_code(app, &ada)] {
            assert_eq!(answer.expect(403).code(), "method_disabled");
        }
    }

    fn se_06_nobody_makes_a_disabled_accounts_session_fresh(app) {
        let ada = stale(app);
        becomes(app, ADA, "disabled");
        for answer in [shows(app, &ada, &json!({ "password": PASSWORD })), asks_for_code(app, &ada)] {
            answer.expect(401);
        }
    }

    fn it_is_shown_in_one_way(app) {
        let ada = stale(app);
        let bad = [
            json!({}), json!({ "password": PASSWORD, "mailed_code": "ABCD-EFGH" }), json!({ "code": "dfc1_x" }),
            json!({ "password": PASSWORD, "code": "dfc1_x", "code_verifier": "v".repeat(43) }),
            json!({ "flow_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20" , "mailed_code": "ABCD-EFGH" }),
        ];
        for body in bad {
            let answer = shows(app, &ada, &body).expect(422).json();
            assert_eq!(answer["errors"][0]["code"], "one_way", "{body}");
        }
        shows(app, &ada, &json!({ "password": null })).expect(422);
        shows(app, &ada, &json!({ "password": PASSWORD, "email": ADA })).expect(422);
        assert!(!is_fresh(app, &ada));
    }

    fn i6_a_code_works_once_also_in_parallel(app) {
        let ada = stale(app);
        asks_for_code(app, &ada).expect(202);
        let code = json!({ "mailed_code": code_mailed(app, ADA) });
        let statuses = in_parallel(8, |_| shows(app, &ada, &code).status);
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    }

    fn i10_a_refresh_beside_it_leaves_one_live_leaf(app) {
        let ada = stale(app);
        let answers = in_parallel(8, |n| match n % 2 {
            0 => shows(app, &ada, &json!({ "password": PASSWORD })),
            _ => app.refreshes(&ada.refresh_token),
        });
        let tokens: Vec<_> = answers.iter().filter(|a| a.status == 200).map(|a| SignedIn::of(a).refresh_token).collect();
        assert!(!tokens.is_empty());
        app.advance(Duration::from_secs(31));
        let mut leaves: Vec<_> = tokens.clone();
        leaves.sort();
        leaves.dedup();
        let live = leaves.iter().filter(|token| app.refreshes(token).status == 200).count();
        assert!(live <= 1, "{live} live leaves");
    }
}

on_both_with_providers! {
    fn a_providers_round_trip_makes_it_fresh(social) {
        for provider in ["google", "facebook", ACME] {
            let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
            if provider != "google" && social.identities_of(&ada).iter().all(|known| known["provider"] != provider) {
                let flow = social.begins_to_link(&ada, provider);
                let code = social.brings(&flow, &social.consents(&flow, "77"));
                social.finishes_linking(&ada, &code, &flow.verifier).expect(200);
            }
            let ada = later(social, &ada);
            assert!(!is_fresh(social, &ada));
            let flow = begins(social, &ada, provider);
            let code = social.brings(&flow, &social.consents(&flow, if provider == "google" { "g-1" } else { "77" }));
            let now = SignedIn::of(&shows(social, &ada, &brought(&code, &flow)).expect(200));
            assert_eq!(now.session_id, ada.session_id);
            assert!(is_fresh(social, &now), "{provider}");
            shows(social, &now, &brought(&code, &flow)).expect(410);
        }
    }

    fn the_provider_is_asked_to_have_people_sign_in_anew(social) {
        let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
        let asked = |provider: &str, name: &str| parameter(&begins(social, &ada, provider).url, name);
        assert_eq!(asked("google", "prompt").as_deref(), Some("select_account"));
        assert_eq!(asked(ACME, "prompt").as_deref(), Some("login"));
        assert_eq!(asked(ACME, "max_age").as_deref(), Some("0"));
        assert_eq!(asked("facebook", "auth_type").as_deref(), Some("reauthenticate"));
        assert_eq!(parameter(&social.begins(ACME).url, "prompt"), None, "to sign in it is not");
    }

    fn a_sign_in_there_of_long_ago_is_refused_where_the_provider_says_so(social) {
        let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
        let flow = social.begins_to_link(&ada, ACME);
        let code = social.brings(&flow, &social.acme_says(&flow, "a-1", &json!({})));
        social.finishes_linking(&ada, &code, &flow.verifier).expect(200);
        let ada = later(social, &ada);
        let now = social.clock.now().as_seconds();
        for (auth_time, status) in [(json!(now - 3600), 401), (json!(now - 30), 200), (Value::Null, 200)] {
            let flow = begins(social, &ada, ACME);
            let code = social.brings(&flow, &social.acme_says(&flow, "a-1", &json!({ "auth_time": auth_time })));
            let answer = shows(social, &ada, &brought(&code, &flow)).expect(status);
            if status == 401 {
                assert_eq!(answer.code(), "provider_refused");
                assert!(!is_fresh(social, &ada));
            }
        }
    }

    fn somebody_elses_account_at_the_provider_makes_nothing_fresh_and_links_nothing(social) {
        let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
        let eve = signed_in(social.arrives_by_google("g-2", &proven("eve@gmail.com")));
        let ada = later(social, &ada);
        for stranger in ["g-2", "g-3"] {
            let flow = begins(social, &ada, "google");
            let code = social.brings(&flow, &social.google_says(&flow, stranger, &proven("eve@gmail.com")));
            let answer = shows(social, &ada, &brought(&code, &flow)).expect(409);
            assert_eq!(answer.code(), "not_linked");
            shows(social, &ada, &brought(&code, &flow)).expect(410);
        }
        assert!(!is_fresh(social, &ada));
        assert_eq!(social.identities_of(&ada).len(), 1);
        assert_eq!(social.count("SELECT count(*) AS n FROM identities WHERE subject = 'g-3'"), 0);
        let _ = eve;
    }

    fn oa_02_oa_04_a_flow_is_good_for_what_it_was_begun_for_and_by_whom(social) {
        let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
        let other = signed_in(social.arrives_by_google("g-1", &json!({})));
        let code_of = |flow: &Flow| social.brings(flow, &social.google_says(flow, "g-1", &json!({})));
        let mine = begins(social, &ada, "google");
        let code = code_of(&mine);
        assert_eq!(social.exchanges(&code, &mine.verifier).expect(404).code(), "flow_not_found");
        assert_eq!(social.finishes_linking(&ada, &code, &mine.verifier).expect(404).code(), "flow_not_found");
        assert_eq!(shows(social, &other, &brought(&code, &mine)).expect(404).code(), "flow_not_found");
        assert_eq!(shows(social, &ada, &json!({ "code": code, "code_verifier": "w".repeat(43) })).expect(404).code(), "flow_not_found");
        shows(social, &ada, &brought(&code, &mine)).expect(200);
        for flow in [social.begins("google"), social.begins_to_link(&ada, "google")] {
            let code = code_of(&flow);
            assert_eq!(shows(social, &ada, &brought(&code, &flow)).expect(404).code(), "flow_not_found");
        }
    }

    fn ad_01_a_provider_that_was_turned_off_makes_nothing_fresh(social) {
        let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
        let flow = begins(social, &ada, "google");
        let code = social.brings(&flow, &social.google_says(&flow, "g-1", &json!({})));
        social.turn("google", false);
        assert_eq!(shows(social, &ada, &brought(&code, &flow)).expect(403).code(), "method_disabled");
        let body = json!({ "redirect_uri": REDIRECT_URI, "code_challenge": code_challenge(&"v".repeat(43)) });
        let begin = social.client.post("/v1/me/reauthenticate/google").bearer(&ada.access_token).json(&body).send();
        assert_eq!(begin.expect(403).code(), "method_disabled");
    }

    fn natively_by_an_id_token_for_our_nonce(social) {
        let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
        let ada = later(social, &ada);
        let begin = |who: &SignedIn| {
            let request = social.client.post("/v1/me/reauthenticate/google").bearer(&who.access_token);
            request.json(&json!({ "native": true })).send().expect(201).json()
        };
        let token = |nonce: &Value, sub: &str| {
            social.google.signs(&social.google.claims(issuer::CLIENT_ID, nonce.as_str().unwrap(), sub))
        };
        let begun = begin(&ada);
        let show = |begun: &Value, id_token: &str| {
            shows(social, &ada, &json!({ "flow_id": begun["flow_id"], "id_token": id_token }))
        };
        show(&begun, &token(&json!("another"), "g-1")).expect(401);
        show(&begun, &token(&begun["nonce"], "g-1")).expect(410);
        let begun = begin(&ada);
        let now = SignedIn::of(&show(&begun, &token(&begun["nonce"], "g-1")).expect(200));
        assert!(is_fresh(social, &now));
        let native = social.client.post("/v1/me/reauthenticate/twitter").bearer(&ada.access_token).json(&json!({ "native": true })).send();
        assert_eq!(native.expect(422).code(), "native_not_supported");
    }

    fn without_an_address_or_a_password_the_provider_is_the_way(social) {
        tweets(social, &json!({ "twitter": { "id": "12", "handle": "ada" } }));
        let ada = signed_in(social.arrives_by_twitter("ada", "12"));
        let ada = later(social, &ada);
        assert_eq!(asks_for_code(social, &ada).expect(409).code(), "address_needed");
        let no_password = shows(social, &ada, &json!({ "password": PASSWORD })).expect(422).json();
        assert_eq!(no_password["errors"][0]["code"], "wrong_password", "as a wrong one");
        social.twitter.knows(twitter::User::new("ada", "12", None));
        let flow = begins(social, &ada, "twitter");
        let code = social.brings(&flow, &social.twitter.consents(&flow.url, "ada"));
        let now = SignedIn::of(&shows(social, &ada, &brought(&code, &flow)).expect(200));
        assert!(is_fresh(social, &now));
    }
}
