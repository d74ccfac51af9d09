//! Whom a provider's token is of: the right app's, a real subject's, and the flow's that it was made for.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use doorstep_tests::http::in_parallel;
use doorstep_tests::on_both_with_providers;
use doorstep_tests::providers::facebook::{self, DEBUG_TOKEN, ME, OTHER_APP_ID};
use doorstep_tests::providers::issuer::{Alg, CLIENT_ID, JWKS, Key, TOKEN, sign};
use doorstep_tests::providers::{parameter, random, twitter};
use doorstep_tests::social::{ACME, NATIVE_CLIENT_ID, continuation, signed_in};
use doorstep_tests::standin::Behaviour;
use serde_json::{Value, json};

use crate::natively::{
    SIGNING, arrives_by_browser, arrives_natively, asks_to_begin_natively, begins_natively, claims_for, is_refused,
    nobodies, nothing_is_written, refuses_claims, rows, sends, shows, shows_access_token, variants, with,
};

on_both_with_providers! {
    fn facebooks_two_tokens_are_one_person(social) {
        social.facebook.knows(facebook::User::new("ada", "4711", Some("ada@example.org")));
        let flow = begins_natively(social, "facebook");
        let token = social.facebook.access_token(facebook::APP_ID, "ada");
        let go_on = continuation(shows_access_token(social, &flow, &token));
        social.gives_email(&go_on, "ada@example.org").expect(202);
        let ada = signed_in(social.proves_email(&go_on, &social.code_mailed_to("ada@example.org")));
        let flow = begins_natively(social, "facebook");
        let limited = signed_in(shows(social, &flow, &social.facebook.limited_token(&flow.nonce, "ada")));
        let flow = begins_natively(social, "facebook");
        let again = signed_in(shows_access_token(social, &flow, &token));
        let by_browser = signed_in(social.arrives_by_facebook("ada", "4711", None));
        for session in [limited, again, by_browser] {
            assert_eq!(session.account["id"], ada.account["id"]);
        }
        assert_eq!(rows(social, "accounts"), 1);
    }

    fn oa_15_a_facebook_token_of_another_app_is_refused(social) {
        social.facebook.knows(facebook::User::new("ada", "4711", Some("ada@example.org")));
        let token = |app: &str| social.facebook.access_token(app, "ada");
        let expired = token(facebook::APP_ID);
        social.facebook.expires(&expired);
        let tokens = [
            token(OTHER_APP_ID), expired, random(), String::new(), "a b".into(), "a\nb".into(), "é".into(), "x".repeat(5000),
            format!("{}|{}", facebook::APP_ID, facebook::APP_SECRET), format!("{}&input_token=x", token(OTHER_APP_ID)),
        ];
        for token in tokens {
            let flow = begins_natively(social, "facebook");
            is_refused(&shows_access_token(social, &flow, &token), &token);
            let good = social.facebook.access_token(facebook::APP_ID, "ada");
            assert_eq!(shows_access_token(social, &flow, &good).expect(410).code(), "flow_expired");
            nothing_is_written(social);
            let flow = begins_natively(social, "facebook");
            continuation(shows_access_token(social, &flow, &good));
        }
    }

    fn oa_15_what_facebook_says_of_a_token_is_read_to_the_letter(social) {
        social.facebook.knows(facebook::User::new("ada", "4711", None));
        let later = social.clock.now().as_seconds() + 3600;
        let good = json!({ "app_id": facebook::APP_ID, "type": "USER", "is_valid": true, "user_id": "4711", "expires_at": later });
        let mut wrong = variants(&good, "app_id", &[json!(OTHER_APP_ID), json!(null), json!(""), json!(1_090_000_000_000_000_u64), json!([facebook::APP_ID])]);
        wrong.extend(variants(&good, "is_valid", &[json!(false), json!("true"), json!(1), json!(null)]));
        wrong.extend(variants(&good, "type", &[json!("PAGE"), json!("APP"), json!(null)]));
        wrong.extend(variants(&good, "expires_at", &[json!(later - 7200), json!(-1), json!("0"), json!(null)]));
        wrong.extend(variants(&good, "user_id", &[json!("4712"), json!(4711), json!(null), json!("")]));
        let shows_one = |said: &Value| {
            social.facebook.script(DEBUG_TOKEN, Behaviour::json(200, &json!({ "data": said })));
            let flow = begins_natively(social, "facebook");
            shows_access_token(social, &flow, &social.facebook.access_token(facebook::APP_ID, "ada"))
        };
        for said in wrong {
            is_refused(&shows_one(&said), &said.to_string());
            nothing_is_written(social);
        }
        for said in [with(&good, "expires_at", 0), good.clone()] {
            continuation(shows_one(&said));
        }
        for id in nobodies().into_iter().chain([json!("4712"), json!("ada")]) {
            social.facebook.script(ME, Behaviour::json(200, &json!({ "id": id, "name": "Ada" })));
            is_refused(&shows_one(&good), &format!("/me says {id}"));
            let agreed = if id == "4712" { json!("4713") } else { id.clone() };
            is_refused(&shows_one(&with(&good, "user_id", agreed)), &format!("both say {id}"));
            nothing_is_written(social);
        }
    }

    fn oa_29_a_thousand_unknown_keys_are_one_question_to_the_provider(social) {
        continuation(arrives_natively(social, "google"));
        assert_eq!(social.google.calls(JWKS).len(), 1);
        let stranger = Key::new(Alg::Es256);
        let shows_stranger = |i: usize| {
            let from = format!("203.0.113.{}", i / 100 + 1);
            let post = |path: &str, body: &Value| social.client.post(path).header("X-Forwarded-For", &from).json(body).send();
            let begun = post("/v1/social/google/flows", &json!({ "native": true })).expect(201).json();
            let claims = social.google.claims(CLIENT_ID, begun["nonce"].as_str().unwrap(), "g-1");
            let token = sign(&stranger, &json!({ "alg": "ES256", "kid": random() }), &claims);
            is_refused(&post("/v1/social/google/tokens", &json!({ "flow_id": begun["flow_id"], "id_token": token })), "a stranger's key");
        };
        in_parallel(8, |thread| (0..125).for_each(|n| shows_stranger(thread * 125 + n)));
        assert_eq!(social.google.calls(JWKS).len(), 2, "once more, for there might have been a new key");
        continuation(arrives_natively(social, "google"));
        social.advance(Duration::from_secs(5 * 60));
        in_parallel(4, |thread| (0..5).for_each(|n| shows_stranger(thread * 100 + n)));
        assert_eq!(social.google.calls(JWKS).len(), 3);
        // of all that nothing is left but the flows, which are over
        nothing_is_written(social);
        // a key that is really new is found as soon as it may be asked for
        social.advance(Duration::from_secs(5 * 60));
        social.google.rotate();
        continuation(arrives_natively(social, "google"));
    }

    fn twitters_tokens_are_for_nobody_we_know_of(social) {
        social.twitter.knows(twitter::User::new("ada", "12", None));
        assert_eq!(asks_to_begin_natively(social, "twitter").expect(422).code(), "native_not_supported");
        let of_google = begins_natively(social, "google");
        let by_browser = social.begins("twitter").id;
        let token = social.twitter.access_token("ada", "users.read tweet.read");
        for flow in [of_google.id.clone(), by_browser, random()] {
            for body in [json!({ "flow_id": flow, "access_token": token }), json!({ "flow_id": flow, "id_token": token })] {
                let code = sends(social, "twitter", &body).expect(422).code();
                assert!(["native_not_supported", "validation_failed"].contains(&code.as_str()), "{code}");
            }
        }
        assert!(social.twitter.calls(twitter::ME).is_empty(), "nobody is asked whose it is");
        nothing_is_written(social);
        let claims = claims_for(social, &of_google);
        continuation(shows(social, &of_google, &social.google.signs(&claims)));
    }

    fn rule_6_what_is_no_subject_signs_nobody_in(social) {
        for provider in SIGNING {
            refuses_claims(social, provider, |good| variants(good, "sub", &nobodies()));
        }
        refuses_claims(social, "facebook", |good| variants(good, "sub", &[json!("ada"), json!("12.0"), json!("-1")]).split_off(1));
        for provider in ["google", ACME] {
            for sub in nobodies() {
                is_refused(&arrives_by_browser(social, provider, &json!({ "sub": sub })), &format!("{provider} {sub}"));
                nothing_is_written(social);
            }
        }
    }

    fn rule_6_an_id_at_twitter_or_facebook_is_text(social) {
        social.twitter.knows(twitter::User::new("ada", "12", None));
        for id in nobodies().into_iter().chain([json!(12), json!(1.5), json!("ada"), json!("@ada"), json!("-12")]) {
            let data = json!({ "data": { "id": id, "name": "Ada", "username": "ada" } });
            social.twitter.script(twitter::ME, Behaviour::json(200, &data));
            is_refused(&social.arrives_by_twitter("ada", "12"), &format!("Twitter says {id}"));
            social.facebook.script(ME, Behaviour::json(200, &json!({ "id": id, "name": "Ada" })));
            is_refused(&social.arrives_by_facebook("ada", "4711", None), &format!("Facebook says {id}"));
            nothing_is_written(social);
        }
        social.twitter.script(twitter::ME, Behaviour::AsDocumented);
        social.facebook.script(ME, Behaviour::AsDocumented);
        continuation(social.arrives_by_twitter("ada", "12"));
        continuation(social.arrives_by_facebook("ada", "4711", None));
    }

    fn a_body_of_another_shape_costs_no_flow(social) {
        let flow = begins_natively(social, "google");
        let token = social.google.signs(&claims_for(social, &flow));
        let good = json!({ "flow_id": flow.id, "id_token": token });
        let mut wrong = variants(&good, "flow_id", &[json!(null), json!(7), json!("7"), json!([flow.id]), json!({})]);
        wrong.extend(variants(&good, "id_token", &[json!(null), json!(7), json!([token]), json!({ "jwt": token })]));
        wrong.extend([with(&good, "access_token", "x"), with(&good, "nonce", flow.nonce.as_str()), with(&good, "native", true)]);
        wrong.extend([json!([good]), json!("x"), json!(null), json!({})]);
        for body in wrong {
            assert_eq!(sends(social, "google", &body).expect(422).code(), "validation_failed", "{body}");
        }
        let twice = format!(r#"{{"flow_id":"{}","id_token":"x","id_token":"{token}"}}"#, flow.id);
        social.client.post("/v1/social/google/tokens").body("application/json", twice).send().expect(422);
        for path in ["facebook", ACME] {
            assert_eq!(sends(social, path, &good).expect(404).code(), "flow_not_found", "{path}");
        }
        for path in ["nobody", "Google", "email"] {
            assert_eq!(sends(social, path, &good).expect(404).code(), "not_found", "{path}");
        }
        nothing_is_written(social);
        continuation(sends(social, "google", &good));
    }

    fn a_flow_is_for_what_it_was_begun_for_and_for_ten_minutes(social) {
        let by_browser = social.begins("google");
        let token = |nonce: &str| social.google.signs(&social.google.claims(CLIENT_ID, nonce, "g-1"));
        let nonce = parameter(&by_browser.url, "nonce").unwrap();
        let shown = sends(social, "google", &json!({ "flow_id": by_browser.id, "id_token": token(&nonce) })).expect(410);
        assert_eq!(shown.code(), "flow_expired");
        continuation({
            let code = social.brings(&by_browser, &social.google_says(&by_browser, "g-1", &json!({})));
            social.exchanges(&code, &by_browser.verifier)
        });
        // Google's access tokens say nothing of whom they are for
        let flow = begins_natively(social, "google");
        assert_eq!(shows_access_token(social, &flow, "ya29.x").expect(422).code(), "native_not_supported");
        assert_eq!(shows(social, &flow, "garbage").expect(401).code(), "provider_refused", "and nothing was spent by it");
        let flow = begins_natively(social, "google");
        social.advance(Duration::from_secs(10 * 60));
        assert_eq!(shows(social, &flow, &token(&flow.nonce)).expect(410).code(), "flow_expired");
        assert_eq!(sends(social, "google", &json!({ "flow_id": uuid::Uuid::nil(), "id_token": "x" })).expect(404).code(), "flow_not_found");
        nothing_is_written(social);
    }

    fn oa_06_oa_12_the_id_token_of_a_browsers_flow_is_checked_as_well(social) {
        let other = social.begins("google");
        let others = parameter(&other.url, "nonce").unwrap();
        let now = social.clock.now().as_seconds();
        let wrong = [
            json!({ "nonce": others }), json!({ "nonce": null }), json!({ "aud": "other" }), json!({ "aud": NATIVE_CLIENT_ID }), json!({ "azp": "other" }),
            json!({ "iss": "https://evil.example" }), json!({ "exp": now - 60 }), json!({ "iat": now + 600 }), json!({ "at_hash": "x" }), json!({ "at_hash": null }),
        ];
        for provider in ["google", ACME] {
            for said in &wrong {
                is_refused(&arrives_by_browser(social, provider, said), &format!("{provider} {said}"));
                nothing_is_written(social);
                continuation(arrives_by_browser(social, provider, &json!({})));
            }
        }
    }

    fn an_at_hash_is_of_the_access_token_that_came_along(social) {
        let access_token = "ya29.a0AfB_by";
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, access_token.as_bytes());
        let right = BASE64URL_NOPAD.encode(&hash.as_ref()[..16]);
        let whole = BASE64URL_NOPAD.encode(hash.as_ref());
        for (said, good) in [(json!(right), true), (json!(whole), false), (json!(right.to_lowercase()), false), (json!([right]), false)] {
            let flow = social.begins("google");
            let claims = with(&social.google.claims_for(&flow.url, "g-1"), "at_hash", said.clone());
            let tokens = json!({ "access_token": access_token, "token_type": "Bearer", "id_token": social.google.signs(&claims) });
            let code = social.brings(&flow, &social.google_says(&flow, "g-1", &json!({})));
            social.google.script(TOKEN, Behaviour::json(200, &tokens));
            let answer = social.exchanges(&code, &flow.verifier);
            if good { continuation(answer); } else { is_refused(&answer, &said.to_string()); }
            assert_eq!(social.exchanges(&code, &flow.verifier).expect(410).code(), "flow_expired");
        }
        nothing_is_written(social);
    }
}
