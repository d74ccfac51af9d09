//! How long what a flow hands out is good, for what, and how often; and requests that are none.

use doorstep_core::house;
use doorstep_tests::http::Answer;
use doorstep_tests::on_both_with_providers;
use doorstep_tests::providers::{code_challenge, issuer, parameter, random};
use doorstep_tests::social::{REDIRECT_URI, continuation, proven, signed_in};
use serde_json::json;
use std::collections::BTreeSet;

use crate::social_flows::{MINUTE, SECOND, code_of, left_behind, posts, refused, sessions, somebody};

on_both_with_providers! {
    fn a_flow_takes_ten_minutes_and_a_code_one(social) {
        let slow = social.begins("google");
        let native = posts(social, "/v1/social/google/flows", &json!({ "native": true })).expect(201).json();
        let token = social.google.claims(issuer::CLIENT_ID, native["nonce"].as_str().unwrap(), "g-1");
        social.advance(MINUTE * 9 + SECOND * 30);
        // what comes back in time may still be exchanged after the ten minutes
        let last = social.begins("google");
        let code = code_of(social, &slow, "g-1");
        social.advance(SECOND * 31);
        continuation(social.exchanges(&code, &slow.verifier));
        let body = json!({ "flow_id": native["flow_id"], "id_token": social.google.signs(&token) });
        refused(posts(social, "/v1/social/google/tokens", &body), 410, "flow_expired");
        social.advance(MINUTE * 9 + SECOND * 30);
        refused(social.browser_goes_to(&social.consents(&last, "g-1")), 410, "flow_expired");

        let flow = social.begins("google");
        let code = code_of(social, &flow, "g-1");
        social.advance(SECOND * 61);
        refused(social.exchanges(&code, &flow.verifier), 410, "flow_expired");
        assert_eq!(sessions(social), 0);
    }

    fn a_flow_for_a_browser_takes_no_token(social) {
        let flow = social.begins("google");
        let token = social.google.signs(&social.google.claims_for(&flow.url, "g-1"));
        let body = json!({ "flow_id": flow.id, "id_token": token });
        refused(posts(social, "/v1/social/google/tokens", &body), 410, "flow_expired");
        refused(posts(social, "/v1/social/acme/tokens", &body), 404, "flow_not_found");
        continuation(social.exchanges(&code_of(social, &flow, "g-1"), &flow.verifier));
    }

    fn a_continuation_lasts_half_an_hour(social) {
        let go_on = continuation(social.arrives_by_twitter("ada", "12"));
        social.advance(MINUTE * 25);
        social.gives_email(&go_on, "ada@example.org").expect(202);
        let code = social.code_mailed_to("ada@example.org");
        social.advance(MINUTE * 5 + SECOND);
        refused(social.proves_email(&go_on, &code), 410, "flow_expired");
        refused(social.gives_email(&go_on, "ada@example.org"), 410, "flow_expired");
        assert_eq!(social.count("SELECT count(*) AS n FROM accounts"), 0);
    }

    fn rc_18_a_code_shown_again_at_once_was_a_lost_answer_and_later_a_theft(social) {
        let flow = social.begins("google");
        let code = social.brings(&flow, &social.google_says(&flow, "g-1", &proven("ada@gmail.com")));
        let ada = signed_in(social.exchanges(&code, &flow.verifier));
        refused(social.exchanges(&code, &flow.verifier), 410, "flow_expired");
        social.advance(SECOND * 20);
        refused(social.exchanges(&code, &flow.verifier), 410, "flow_expired");
        social.me(&ada.access_token).expect(200);
        social.advance(SECOND * 11);
        // the code alone, from the history of a browser, ends nothing
        refused(social.exchanges(&code, &(random() + &random())), 404, "flow_not_found");
        social.me(&ada.access_token).expect(200);
        refused(social.exchanges(&code, &flow.verifier), 410, "flow_expired");
        refused(social.me(&ada.access_token), 401, "unauthorized");
        social.refreshes(&ada.refresh_token).expect(401);
        assert_eq!(social.count("SELECT count(*) AS n FROM sessions WHERE end_reason = 'reused'"), 1);
    }

    fn a_code_shown_again_leaves_a_continuation_good_until_that_has_opened_a_session(social) {
        let flow = social.begins("twitter");
        let code = code_of(social, &flow, "12");
        let go_on = continuation(social.exchanges(&code, &flow.verifier));
        social.advance(MINUTE);
        refused(social.exchanges(&code, &flow.verifier), 410, "flow_expired");
        social.gives_email(&go_on, "ada@example.org").expect(202);
        let ada = signed_in(social.proves_email(&go_on, &social.code_mailed_to("ada@example.org")));
        social.advance(SECOND * 31);
        refused(social.exchanges(&code, &flow.verifier), 410, "flow_expired");
        social.me(&ada.access_token).expect(401);
    }

    fn who_begins_too_many_flows_has_to_wait(social) {
        let answers: Vec<Answer> = (0..250).map(|_| social.asks_to_begin("facebook", &(random() + &random()))).collect();
        assert!(answers[..200].iter().all(|answer| answer.status == 201));
        let late: Vec<&Answer> = answers.iter().filter(|answer| answer.status != 201).collect();
        assert!(late.len() > 20, "{}", late.len());
        for answer in late {
            assert_eq!((answer.status, answer.code().as_str()), (429, "too_many_requests"));
            assert!((1..=2).contains(&answer.header("retry-after").unwrap().parse::<u32>().unwrap()));
        }
        let body = json!({ "native": true });
        let elsewhere = social.client.post("/v1/social/facebook/flows").header("X-Forwarded-For", "203.0.113.7");
        elsewhere.json(&body).send().expect(201);
        social.advance(SECOND * 2);
        social.begins("facebook");
    }

    fn what_is_handed_out_is_handed_out_once_and_good_for_one_thing(social) {
        let mut handed = BTreeSet::new();
        let mut last = Vec::new();
        for n in 1..=200 {
            let flow = social.begins("twitter");
            let code = code_of(social, &flow, &n.to_string());
            let go_on = continuation(social.exchanges(&code, &flow.verifier));
            last = vec![parameter(&flow.url, "state").unwrap(), code, go_on];
            handed.extend(last.clone());
            handed.insert(flow.id);
        }
        assert_eq!(handed.len(), 4 * 200);
        let verifier = random() + &random();
        let before = left_behind(social)[..7].to_vec();
        for (n, token) in last.iter().enumerate() {
            // as it is, and with the beginning of another kind
            for (m, beginning) in ["dfs1_", "dfc1_", "dft1_"].iter().enumerate() {
                let token = format!("{beginning}{}", &token[5..]);
                if n == m {
                    continue;
                }
                refused(social.client.get(&format!("/v1/social/twitter/callback?code=c&state={token}")).send(), 404, "flow_not_found");
                refused(social.exchanges(&token, &verifier), 404, "flow_not_found");
                refused(social.gives_email(&token, "v@example.org"), 404, "flow_not_found");
                refused(social.proves_email(&token, "AAAA-AAAA"), 404, "flow_not_found");
            }
        }
        for token in &last[..2] {
            refused(social.gives_email(token, "v@example.org"), 404, "flow_not_found");
            refused(social.proves_email(token, "AAAA-AAAA"), 404, "flow_not_found");
        }
        refused(social.exchanges(&last[0], &verifier), 404, "flow_not_found");
        refused(social.exchanges(&last[2], &verifier), 404, "flow_not_found");
        assert_eq!(left_behind(social)[..7], before);
        social.gives_email(&last[2], "v@example.org").expect(202);
    }

    fn what_is_no_request_is_refused_field_by_field(social) {
        let (_, who) = somebody(social, "v@example.org");
        let uri = REDIRECT_URI;
        let challenge = code_challenge(&(random() + &random()));
        let verifier = |n: usize| "v".repeat(n);
        let (flows, exchange, email) = ("/v1/social/google/flows", "/v1/social/exchange", "/v1/social/email");
        let (confirm, tokens) = ("/v1/social/email/confirm", "/v1/social/google/tokens");
        let (link, finish) = ("/v1/me/identities/google", "/v1/me/identities/exchange");
        let flow_id = "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b40";
        let mut rows = vec![
            (exchange, json!({}), "/code", "required"),
            (exchange, json!({ "code": "c" }), "/code_verifier", "required"),
            (exchange, json!({ "code": 7, "code_verifier": verifier(43) }), "/code", "wrong_type"),
            (exchange, json!({ "code": null, "code_verifier": verifier(43) }), "/code", "wrong_type"),
            (exchange, json!({ "code": "c", "code_verifier": ["v"] }), "/code_verifier", "wrong_type"),
            (exchange, json!({ "code": "c", "code_verifier": verifier(42) }), "/code_verifier", "invalid_length"),
            (exchange, json!({ "code": "c", "code_verifier": verifier(129) }), "/code_verifier", "invalid_length"),
            (exchange, json!({ "code": "c", "code_verifier": verifier(43), "email": "v@example.org" }), "/email", "unknown_field"),
            (email, json!({ "email": "v@example.org" }), "/continuation", "required"),
            (email, json!({ "continuation": "c" }), "/email", "required"),
            (email, json!({ "continuation": "c", "email": ["v@example.org", "a@example.com"] }), "/email", "wrong_type"),
            (email, json!({ "continuation": "c", "email": "v" }), "/email", "invalid_email"),
            (confirm, json!({ "continuation": "c" }), "/code", "required"),
            (confirm, json!({ "continuation": "c", "code": 12_345_678 }), "/code", "wrong_type"),
            (confirm, json!({ "continuation": {}, "code": "c" }), "/continuation", "wrong_type"),
            (tokens, json!({ "id_token": "t" }), "/flow_id", "required"),
            (tokens, json!({ "flow_id": "f", "id_token": "t" }), "/flow_id", "invalid"),
            (tokens, json!({ "flow_id": flow_id }), "", "id_token_or_access_token"),
            (tokens, json!({ "flow_id": flow_id, "id_token": "t", "access_token": "t" }), "", "id_token_or_access_token"),
            (finish, json!({}), "", "code_or_token"),
            (finish, json!({ "code": "c" }), "", "code_or_token"),
            (finish, json!({ "code": "c", "code_verifier": verifier(42) }), "/code_verifier", "invalid_length"),
            (finish, json!({ "code": "c", "code_verifier": verifier(129) }), "/code_verifier", "invalid_length"),
            (finish, json!({ "code": "c", "code_verifier": verifier(43), "flow_id": flow_id }), "", "code_or_token"),
            (finish, json!({ "code": "c", "code_verifier": verifier(43), "id_token": "t" }), "", "code_or_token"),
        ];
        for flows in [flows, link] {
            rows.extend([
                (flows, json!({}), "", "redirect_or_native"),
                (flows, json!({ "native": false }), "", "redirect_or_native"),
                (flows, json!({ "redirect_uri": uri }), "", "redirect_or_native"),
                (flows, json!({ "code_challenge": challenge }), "", "redirect_or_native"),
                (flows, json!({ "native": true, "redirect_uri": uri, "code_challenge": challenge }), "", "redirect_or_native"),
                (flows, json!({ "native": true, "redirect_uri": uri }), "", "redirect_or_native"),
                (flows, json!({ "native": "true" }), "/native", "wrong_type"),
                (flows, json!({ "redirect_uri": [uri], "code_challenge": challenge }), "/redirect_uri", "wrong_type"),
                (flows, json!({ "redirect_uri": uri, "code_challenge": 1 }), "/code_challenge", "wrong_type"),
                (flows, json!({ "redirect_uri": uri, "code_challenge": "" }), "/code_challenge", "invalid"),
                (flows, json!({ "redirect_uri": uri, "code_challenge": verifier(44) }), "/code_challenge", "invalid"),
                (flows, json!({ "redirect_uri": uri, "code_challenge": format!("{challenge}=") }), "/code_challenge", "invalid"),
                (flows, json!({ "redirect_uri": uri, "code_challenge": challenge, "code_challenge_method": "plain" }), "/code_challenge_method", "unknown_field"),
            ]);
        }
        for (path, body, pointer, code) in rows {
            let request = social.client.post(path).json(&body);
            let answer = if path.starts_with("/v1/me/") { request.bearer(&who.access_token) } else { request }.send();
            let said = answer.json();
            let seen = (answer.status, &said["code"], &said["errors"][0]["pointer"], &said["errors"][0]["code"]);
            assert_eq!(seen, (422, &json!("validation_failed"), &json!(pointer), &json!(code)), "{path} {body}: {said}");
        }
        assert_eq!(social.count("SELECT count(*) AS n FROM social_flows"), 0);
    }

    fn flows_are_kept_an_hour_longer_than_they_live_and_then_swept_away(social) {
        let (_, v) = somebody(social, "v@example.org");
        social.begins("google");
        social.begins_to_link(&v, "twitter");
        let returned = social.begins("google");
        code_of(social, &returned, "g-1");
        let go_on = continuation(social.arrives_by_twitter("ada", "12"));
        social.gives_email(&go_on, "ada@example.org").expect(202);
        signed_in(social.arrives_by_google("g-2", &proven("new@gmail.com")));
        social.links_twitter(&v, "v", "13").expect(200);
        let flows = "SELECT count(*) AS n FROM social_flows";
        let all = social.count(flows);
        assert_eq!(all, 6);
        social.advance(MINUTE * 69);
        house::tidy(social.store()).unwrap();
        assert_eq!(social.count(flows), all);
        social.advance(MINUTE * 22);
        house::tidy(social.store()).unwrap();
        assert_eq!(social.count(flows), 0);
        assert_eq!(social.count("SELECT count(*) AS n FROM identities WHERE kind <> 'email'"), 2);
        refused(social.gives_email(&go_on, "ada@example.org"), 410, "flow_expired");
        signed_in(social.arrives_by_google("g-2", &proven("new@gmail.com")));
    }
}
