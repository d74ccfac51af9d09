//! Where browsers are sent from a provider, and with what: to the apps that the operator lists, with a code at most.

use std::time::Duration;

use doorstep_tests::http::Answer;
use doorstep_tests::providers::{parameter, random, with_query};
use doorstep_tests::social::{ACME, Flow, PROVIDERS, REDIRECT_URI, Social, continuation, proven, signed_in};
use doorstep_tests::{SignedIn, on_both_with_providers};
use serde_json::json;

use crate::social_flows::refused;

/// A problem with the redirect URI and nothing else.
#[track_caller]
fn not_allowed(answer: &Answer, asked: &str) {
    let body = answer.json();
    let found = (answer.status, &body["code"], &body["errors"][0]["pointer"], &body["errors"][0]["code"]);
    assert_eq!(found, (422, &json!("validation_failed"), &json!("/redirect_uri"), &json!("not_allowed")), "{asked:?}");
    assert_eq!(body["errors"].as_array().unwrap().len(), 1, "{asked:?}");
}

/// Where the browser of somebody is sent who has been to the provider.
fn sent_to(social: &Social, flow: &Flow) -> String {
    social.browser_goes_to(&social.consents(flow, "12")).expect(303).header("location").unwrap().to_owned()
}

/// The callback of a flow with this query beside its state.
fn comes_back(social: &Social, flow: &Flow, query: &[(&str, &str)]) -> Answer {
    let state = parameter(&flow.url, "state").unwrap();
    let callback = parameter(&flow.url, "redirect_uri").unwrap();
    social.browser_goes_to(&with_query(&with_query(&callback, &[("state", &state)]), query))
}

/// The browser was sent to the app with this one word.
#[track_caller]
fn says_only(answer: Answer, flow: &Flow, word: &str) {
    let answer = answer.expect(303);
    let expected = format!("{REDIRECT_URI}?error={word}&flow_id={}", flow.id);
    assert_eq!((answer.header("location"), answer.body.as_slice()), (Some(expected.as_str()), b"".as_slice()));
}

on_both_with_providers! {
    fn whoever_only_looks_at_a_callback_takes_nothing_along(social) {
        let flow = social.begins("google");
        let url = social.google_says(&flow, "g-1", &proven("ada@gmail.com"));
        let path = url.strip_prefix("https://auth.shop.example").unwrap();
        let looked = social.client.request("HEAD".parse().unwrap(), path).send().expect(204);
        assert_eq!(looked.header("location"), None);
        let code = social.brings(&flow, &url);
        signed_in(social.exchanges(&code, &flow.verifier));
    }

    fn oa_22_nobody_is_sent_where_the_operator_has_not_said(social) {
        let wrong = [
            "", "/", "https://app@evil.example/signed-in", "https://help.shop.example@evil.example/signed-in",
            "https://user:pw@help.shop.example/signed-in", "//evil.example", "/////evil.example", "/\\evil.example",
            "https:evil.example", "https://help.shop.example.evil.example/signed-in", "https://help.shop.evil/signed-in",
            "https://evil.example/https://help.shop.example/signed-in", "javascript:alert(1)", "data:text/html,x",
            "%2f%2fevil.example", "https://help.shop.example/%2f%2fevil.example", "https://help.shop.example/signed-in\t",
            "https://help.shop.example/signed\n-in", "\nhttps://help.shop.example/signed-in", "https://help.shop.example/signed-in ",
            "https://help.shop.example:443/signed-in", "https://help.shop.example:8443/signed-in",
            "https://help.shop.example/signed-in#", "https://help.shop.example/signed-in#x", "https://help.shop.example/signed-in?",
            "https://help.shop.example/signed-in?next=//evil.example", "https://help.shop.example/signed-in/",
            "https://help.shop.example/signed-in/../evil", "https://help.shop.example/signed-in;x", "https://help.shop.example/signed-i%6e",
            "https://help.shop.example/SIGNED-IN", "https://HELP.shop.example/signed-in", "HTTPS://help.shop.example/signed-in",
            "http://help.shop.example/signed-in", "https://help.shop.example./signed-in", "https://xn--hlp-yxc.shop.example/signed-in",
            "https://h\u{435}lp.shop.example/signed-in", "https://help.shop.example\\@evil.example/signed-in",
            "https://help.shop.example/signed-in\r\nLocation: https://evil.example",
        ];
        let who = social.signs_up("v@example.org");
        let challenge = doorstep_tests::providers::code_challenge(&(random() + &random()));
        for asked in wrong {
            not_allowed(&social.asks_to_begin_at("google", asked, &(random() + &random())), asked);
            let body = json!({ "redirect_uri": asked, "code_challenge": challenge });
            let link = social.client.post("/v1/me/identities/google").bearer(&who.access_token).json(&body).send();
            not_allowed(&link, asked);
        }
        assert_eq!(social.count("SELECT count(*) AS n FROM social_flows"), 0);
        // nor by anything that the browser brings
        let flow = social.begins("google");
        let evil = [("redirect_uri", "https://evil.example"), ("return_to", "//evil.example"), ("code", "c")];
        let location = comes_back(social, &flow, &evil).expect(303).header("location").unwrap().to_owned();
        assert!(location.starts_with(&format!("{REDIRECT_URI}?code=")) && !location.contains("evil"), "{location}");
    }

    fn oa_25_a_native_app_is_reached_at_its_own_port_or_scheme(social) {
        let right = [
            "http://127.0.0.1/callback", "http://127.0.0.1:1/callback", "http://127.0.0.1:51234/callback",
            "http://127.0.0.1:65535/callback", "com.shop.app:/callback",
        ];
        for (n, uri) in right.iter().enumerate() {
            let flow = social.begins_at(PROVIDERS[n % 4], uri);
            let location = sent_to(social, &flow);
            let code = location.strip_prefix(&format!("{uri}?code=")).unwrap_or_else(|| panic!("{location}"));
            let code = code.strip_suffix(&format!("&flow_id={}", flow.id)).unwrap();
            continuation(social.exchanges(code, &flow.verifier));
        }
        let wrong = [
            "http://127.0.0.1:0/callback", "http://127.0.0.1:65536/callback", "http://127.0.0.1:080/callback",
            "http://127.0.0.1:/callback", "http://127.0.0.1:80@evil.example/callback", "http://127.0.0.1:80.evil.example/callback",
            "http://127.0.0.1:80/", "http://127.0.0.1:80/other", "http://127.0.0.1:80/callback/", "http://127.0.0.1:80/callback?x=1",
            "http://127.0.0.1:80/callback#x", "https://127.0.0.1:80/callback", "http://127.0.0.2:80/callback", "http://127.1:80/callback",
            "http://0:80/callback", "http://[::1]:80/callback", "http://localhost/callback", "http://localhost:80/callback",
            "http://help.shop.example:80/callback", "com.shop.app:callback", "com.shop.app://callback", "com.shop.app:/callback/",
            "com.shop.app:/callback?x=1", "com.shop.app2:/callback", "COM.shop.app:/callback", "com.evil.app:/callback", "shop:/callback",
        ];
        for asked in wrong {
            not_allowed(&social.asks_to_begin_at("google", asked, &(random() + &random())), asked);
        }
    }

    fn oa_23_the_browser_carries_a_code_that_is_worth_nothing_by_itself(social) {
        for provider in PROVIDERS {
            let flow = social.begins(provider);
            let location = sent_to(social, &flow);
            let (place, query) = location.split_once('?').unwrap();
            let names: Vec<&str> = query.split('&').filter_map(|pair| Some(pair.split_once('=')?.0)).collect();
            assert_eq!((place, names), (REDIRECT_URI, vec!["code", "flow_id"]));
            assert!(!location.contains('#') && !location.contains("eyJ"), "{location}");
            let code = parameter(&location, "code").unwrap();
            assert!(code.starts_with("dfc1_") && !code.contains('.'), "{code}");
            // without its verifier it opens nothing, however often it is tried
            for wrong in [random() + &random(), code.clone(), parameter(&flow.url, "code_challenge").unwrap()] {
                refused(social.exchanges(&code, &wrong), 404, "flow_not_found");
            }
            continuation(social.exchanges(&code, &flow.verifier));
            refused(social.exchanges(&code, &flow.verifier), 410, "flow_expired");
        }
        let flow = social.begins("google");
        let code = social.brings(&flow, &social.google_says(&flow, "g-1", &proven("v@gmail.com")));
        social.advance(Duration::from_secs(61));
        refused(social.exchanges(&code, &flow.verifier), 410, "flow_expired");
        assert_eq!(social.count("SELECT count(*) AS n FROM accounts"), 0);
    }

    fn oa_26_a_browser_comes_back_by_get_and_is_sent_on_by_303(social) {
        for provider in PROVIDERS {
            let flow = social.begins(provider);
            let url = social.consents(&flow, "12");
            let path = url.strip_prefix("https://auth.shop.example").unwrap();
            let form = format!("state={}&code=c", parameter(&url, "state").unwrap());
            let post = social.client.post(path).body("application/x-www-form-urlencoded", form).send();
            assert_eq!(post.header("allow"), Some("GET, HEAD"));
            refused(post, 405, "method_not_allowed");
            let answer = social.browser_goes_to(&url).expect(303);
            assert_eq!((answer.body.len(), answer.header("set-cookie")), (0, None));
        }
    }

    fn oa_27_an_error_reaches_the_app_as_one_of_two_words(social) {
        let (long, script) = ("x".repeat(5000), "<script>alert(1)</script>");
        let rows: [(&[(&str, &str)], &str); 12] = [
            (&[("error", "access_denied")], "cancelled"),
            (&[("error", "access_denied"), ("error_description", script)], "cancelled"),
            (&[("error", "access_denied"), ("code", "c")], "cancelled"),
            (&[("error", "user_cancelled_login")], "cancelled"),
            (&[("error", script)], "refused"),
            (&[("error", "server_error"), ("error_description", &long)], "refused"),
            (&[("error", "x\r\nSet-Cookie: a=b"), ("error_uri", "javascript:alert(1)")], "refused"),
            (&[("error", "access_denied "), ("error_description", "\"}")], "refused"),
            (&[("error", "")], "refused"),
            (&[("error", script), ("code", "c")], "refused"),
            (&[("code", "")], "refused"),
            (&[], "refused"),
        ];
        for (n, (query, word)) in rows.iter().enumerate() {
            let flow = social.begins(PROVIDERS[n % 4]);
            says_only(comes_back(social, &flow, query), &flow, word);
            refused(comes_back(social, &flow, query), 410, "flow_expired");
        }
        for provider in PROVIDERS {
            let path = format!("/v1/social/{provider}/callback?state=%3Cscript%3E&error=%3Cscript%3E&error_description=%3Cscript%3E");
            let answer = social.client.get(&path).send();
            assert!(!String::from_utf8_lossy(&answer.body).contains("script"));
            assert_eq!((answer.header("content-type"), answer.header("x-content-type-options")), (Some("application/problem+json"), Some("nosniff")));
            refused(answer, 404, "flow_not_found");
        }
        assert_eq!(social.count("SELECT count(*) AS n FROM social_flows WHERE state = 'void'"), 12);
    }

    fn oa_27_who_thinks_better_of_it_at_any_provider_has_cancelled(social) {
        for provider in PROVIDERS {
            let flow = social.begins(provider);
            let url = match provider {
                "google" => social.google.cancels(&flow.url),
                "facebook" => social.facebook.cancels(&flow.url),
                "twitter" => social.twitter.cancels(&flow.url),
                _ => social.acme.cancels(&flow.url),
            };
            says_only(social.browser_goes_to(&url), &flow, "cancelled");
        }
    }

    fn an_answer_of_another_issuer_is_refused(social) {
        for provider in ["google", ACME] {
            let ours = if provider == "google" { social.google.url() } else { social.acme.url() };
            for iss in ["https://evil.example", &format!("{ours}/"), &ours.to_uppercase(), ""] {
                let flow = social.begins(provider);
                let url = with_query(&social.consents(&flow, "12"), &[("iss", iss)]);
                says_only(social.browser_goes_to(&url), &flow, "refused");
            }
            let flow = social.begins(provider);
            let url = with_query(&social.consents(&flow, "12"), &[("iss", &ours)]);
            continuation(social.exchanges(&social.brings(&flow, &url), &flow.verifier));
        }
    }

    fn a_provider_that_was_turned_off_meanwhile_is_refused(social) {
        let (early, late) = (social.begins("google"), social.begins("google"));
        let code = social.brings(&late, &social.google_says(&late, "g-1", &proven("v@gmail.com")));
        social.turn("google", false);
        says_only(social.browser_goes_to(&social.consents(&early, "g-1")), &early, "refused");
        refused(social.exchanges(&code, &late.verifier), 403, "method_disabled");
        social.turn("google", true);
        signed_in(social.exchanges(&code, &late.verifier));
    }

    fn no_answer_is_kept_or_tells_where_it_came_from(social) {
        let flow = social.begins("google");
        let url = social.google_says(&flow, "g-1", &proven("ada@example.org"));
        let back = social.browser_goes_to(&url);
        let code = parameter(back.header("location").unwrap(), "code").unwrap();
        let session = social.exchanges(&code, &flow.verifier);
        let ada = SignedIn::of(&session);
        let email_required = social.arrives_by_twitter("ada", "12");
        let go_on = email_required.json()["continuation"].as_str().unwrap().to_owned();
        let answers = [
            back,
            session,
            email_required,
            social.asks_to_begin("google", &(random() + &random())),
            social.asks_to_begin_at("google", "https://evil.example", &(random() + &random())),
            social.browser_goes_to(&url),
            social.client.get("/v1/social/google/callback").send(),
            social.client.post("/v1/social/google/callback").send(),
            social.exchanges(&code, &flow.verifier),
            social.exchanges("dfc1_x", &flow.verifier),
            social.gives_email(&go_on, "v@example.org"),
            social.gives_email("dft1_x", "v@example.org"),
            social.proves_email(&go_on, "AAAA-AAAA"),
            social.asks_to_link(&ada, "twitter", &(random() + &random())),
            social.links_twitter(&ada, "new", "13"),
            social.finishes_linking(&ada, &code, &flow.verifier),
            social.client.get("/v1/me/identities").bearer(&ada.access_token).send(),
            social.unlinks(&ada, &social.identities_of(&ada)[0]["id"]),
        ];
        for (n, answer) in answers.iter().enumerate() {
            let headers = (answer.header("cache-control"), answer.header("referrer-policy"));
            assert_eq!(headers, (Some("no-store"), Some("no-referrer")), "answer {n}: {}", answer.status);
        }
    }
}
