//! A password of one's own: the first one, and another in place of the current one.

use std::time::Duration;

use doorstep_tests::http::Answer;
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::social::{proven, signed_in};
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::tweets;

fn sets(app: &App, who: &SignedIn, body: &Value) -> Answer {
    app.client.put("/v1/me/password").bearer(&who.access_token).json(body).send()
}

fn fault(answer: &Answer) -> (String, String) {
    let body = answer.json();
    let error = &body["errors"][0];
    (error["pointer"].as_str().unwrap().to_owned(), error["code"].as_str().unwrap().to_owned())
}

on_both! {
    fn a_password_is_no_address_of_ones_own_whichever_it_is(app) {
        app.claims("v@example.org");
        let v = app.signs_in("v@example.org");
        app.adds(&v, "lovelace.ada@example.org");
        let body = |password: &str| json!({ "current_password": PASSWORD, "password": password });
        let own = ["lovelace.ada@example.org", "Lovelace.Ada@EXAMPLE.org", "xlovelace.ada@example.orgx"];
        for weak in own {
            assert_eq!(fault(&sets(app, &v, &body(weak)).expect(422)), ("/password".into(), "contains_email".into()), "{weak}");
        }
        app.asks_for_reset("v@example.org").expect(202);
        let token = app.secret_mailed_to("v@example.org").token;
        let undo = app.undo_mailed_to("v@example.org");
        for weak in own {
            let reset = app.confirms_reset(&json!({ "token": token, "password": weak })).expect(422);
            assert_eq!(fault(&reset).1, "contains_email", "{weak}");
            let undone = app.undoes(&json!({ "token": undo, "password": weak })).expect(422);
            assert_eq!(fault(&undone).1, "contains_email", "{weak}");
        }
        app.confirms_reset(&json!({ "token": token, "password": OTHER_PASSWORD })).expect(200);
    }
}

on_both_with_providers! {
    fn who_came_by_google_sets_a_password_on_the_profile(social) {
        let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
        let phone = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
        let set = SignedIn::of(&sets(social, &ada, &json!({ "password": PASSWORD })).expect(200));
        assert_eq!(set.session_id, ada.session_id, "this session goes on");
        social.me(&set.access_token).expect(200);
        social.me(&ada.access_token).expect(401);
        social.me(&phone.access_token).expect(401);
        social.refreshes(&phone.refresh_token).expect(401);
        let by_password = social.signs_in("ada@gmail.com");
        assert_eq!(by_password.account["id"], ada.account["id"]);
        let by_google = signed_in(social.arrives_by_google("g-1", &json!({})));
        assert_eq!(by_google.account["id"], ada.account["id"], "Google is a way in as before");
        assert_eq!(social.count("SELECT count(*) AS n FROM audit_events WHERE action = 'password.set'"), 1);
        assert!(social.mail_to("ada@gmail.com").iter().any(|mail| mail.subject().contains("password")));
    }

    fn without_an_address_there_is_nothing_to_sign_in_with(social) {
        tweets(social, &json!({ "twitter": { "id": "12", "handle": "ada" } }));
        let ada = signed_in(social.arrives_by_twitter("ada", "12"));
        assert_eq!(sets(social, &ada, &json!({ "password": PASSWORD })).expect(409).code(), "address_needed");
        assert_eq!(social.count("SELECT count(*) AS n FROM credentials"), 0);
    }

    fn a_flow_to_link_that_began_before_the_change_is_void(social) {
        social.claims("ada@example.org");
        let ada = social.signs_in("ada@example.org");
        let flow = social.begins_to_link(&ada, "google");
        let code = social.brings(&flow, &social.google_says(&flow, "g-1", &proven("ada@gmail.com")));
        let body = json!({ "current_password": PASSWORD, "password": OTHER_PASSWORD });
        let now = SignedIn::of(&sets(social, &ada, &body).expect(200));
        social.finishes_linking(&now, &code, &flow.verifier).expect(404);
        assert!(social.identities_of(&now).is_empty());
    }
}

on_both! {
    fn se_13_another_password_ends_the_others_and_this_one_goes_on(app) {
        app.claims("ada@example.org");
        let (here, there) = (app.signs_in("ada@example.org"), app.signs_in("ada@example.org"));
        let body = json!({ "current_password": PASSWORD, "password": OTHER_PASSWORD });
        let now = SignedIn::of(&sets(app, &here, &body).expect(200));
        app.refreshes(&there.refresh_token).expect(401);
        app.me(&there.access_token).expect(401);
        let next = SignedIn::of(&app.refreshes(&now.refresh_token).expect(200));
        app.me(&next.access_token).expect(200);
        app.refreshes(&here.refresh_token).expect(401);
        app.me(&next.access_token).expect(401);
        app.tries_to_sign_in("ada@example.org", PASSWORD).expect(401);
        app.tries_to_sign_in("ada@example.org", OTHER_PASSWORD).expect(201);
    }

    fn the_same_password_again_ends_the_others_as_well(app) {
        app.claims("ada@example.org");
        let (here, there) = (app.signs_in("ada@example.org"), app.signs_in("ada@example.org"));
        let same = json!({ "current_password": PASSWORD, "password": PASSWORD });
        let now = SignedIn::of(&sets(app, &here, &same).expect(200));
        app.me(&now.access_token).expect(200);
        app.me(&there.access_token).expect(401);
        app.signs_in("ada@example.org");
    }

    fn rs_10_a_link_that_was_mailed_before_the_change_is_void(app) {
        app.claims("ada@example.org");
        let ada = app.signs_in("ada@example.org");
        app.asks_for_reset("ada@example.org").expect(202);
        let mail = app.secret_mailed_to("ada@example.org");
        let body = json!({ "current_password": PASSWORD, "password": OTHER_PASSWORD });
        sets(app, &ada, &body).expect(200);
        app.confirms_reset(&json!({ "token": mail.token, "password": PASSWORD })).expect(410);
        app.tries_to_sign_in("ada@example.org", OTHER_PASSWORD).expect(201);
    }

    fn a_stolen_session_does_not_know_the_current_password(app) {
        app.claims("ada@example.org");
        let ada = app.signs_in("ada@example.org");
        let missing = sets(app, &ada, &json!({ "password": OTHER_PASSWORD })).expect(422);
        assert_eq!(fault(&missing), ("/current_password".into(), "required".into()));
        let guess = json!({ "current_password": "not it, not it, not it", "password": OTHER_PASSWORD });
        let wrong = sets(app, &ada, &guess).expect(422);
        assert_eq!(fault(&wrong), ("/current_password".into(), "wrong_password".into()));
        let slowed = (0..20).map(|_| sets(app, &ada, &guess)).find(|answer| answer.status == 429).unwrap();
        assert!(slowed.header("retry-after").is_some());
        assert_eq!(slowed.json()["detail"], "Wait for as many seconds as Retry-After says.", "it takes no device token");
        app.tries_to_sign_in("ada@example.org", PASSWORD).expect(201);
        app.me(&ada.access_token).expect(200);
    }

    fn a_weak_one_is_refused_with_reasons_and_changes_nothing(app) {
        app.claims("ada@example.org");
        let ada = app.signs_in("ada@example.org");
        for (password, code) in [("short", "too_short"), ("ada@example.org ada@example.org", "contains_email")] {
            let answer = sets(app, &ada, &json!({ "current_password": PASSWORD, "password": password })).expect(422);
            assert_eq!((answer.code(), fault(&answer)), ("weak_password".into(), ("/password".into(), code.into())));
        }
        app.me(&ada.access_token).expect(200);
        app.tries_to_sign_in("ada@example.org", PASSWORD).expect(201);
    }

    fn it_takes_a_fresh_session_and_the_road_must_be_open(app) {
        app.claims("ada@example.org");
        let ada = app.signs_in("ada@example.org");
        let body = json!({ "current_password": PASSWORD, "password": OTHER_PASSWORD });
        app.change_settings(|settings| settings.password_sign_in = false);
        assert_eq!(sets(app, &ada, &body).expect(403).code(), "method_disabled");
        app.change_settings(|settings| settings.password_sign_in = true);
        app.advance(Duration::from_secs(601));
        let later = SignedIn::of(&app.refreshes(&ada.refresh_token).expect(200));
        assert_eq!(sets(app, &later, &body).expect(403).code(), "reauth_required");
        app.tries_to_sign_in("ada@example.org", PASSWORD).expect(201);
    }
}
