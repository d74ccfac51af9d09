//! Flows of social sign-in: who may finish what somebody began, once, and for how long.

use std::collections::BTreeSet;
use std::time::Duration;

use doorstep_core::house;
use doorstep_tests::http::Answer;
use doorstep_tests::providers::{code_challenge, issuer, parameter, random};
use doorstep_tests::social::{ACME, Flow, PROVIDERS, Social, continuation, proven, signed_in};
use doorstep_tests::standin::Behaviour;
use doorstep_tests::{Claimed, SignedIn, on_both_with_providers};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The answer is this problem.
#[track_caller]
pub fn refused(answer: Answer, status: u16, code: &str) {
    assert_eq!(answer.expect(status).code(), code);
}

/// How many rows there are of whatever a flow could leave behind.
fn left_behind(social: &Social) -> Vec<i64> {
    let tables = ["accounts", "identities", "proofs", "sessions", "audit_events", "outbox", "challenges", "throttles"];
    tables.iter().map(|table| social.count(&format!("SELECT count(*) AS n FROM {table}"))).collect()
}

fn sessions(social: &Social) -> i64 {
    social.count("SELECT count(*) AS n FROM sessions WHERE ended_at IS NULL")
}

/// Somebody with a password, signed in.
fn somebody(social: &Social, email: &str) -> (Claimed, SignedIn) {
    (social.claims(email), social.signs_in(email))
}

/// The code that a browser has brought from the provider to the app.
fn code_of(social: &Social, flow: &Flow, number: &str) -> String {
    social.brings(flow, &social.consents(flow, number))
}

fn posts(social: &Social, path: &str, body: &Value) -> Answer {
    social.client.post(path).json(body).send()
}

on_both_with_providers! {
    fn oa_01_who_follows_anothers_callback_is_not_signed_in_as_them(social) {
        let (a, v) = (social.begins("google"), social.begins("google"));
        // A sends V the address at which A's own browser would have come back
        let code = social.brings(&a, &social.google_says(&a, "g-a", &proven("a@gmail.com")));
        refused(social.exchanges(&code, &v.verifier), 404, "flow_not_found");
        refused(social.exchanges(&code, &(random() + &random())), 404, "flow_not_found");
        assert_eq!((sessions(social), social.count("SELECT count(*) AS n FROM accounts")), (0, 0));
        let a = signed_in(social.exchanges(&code, &a.verifier));
        assert_eq!(a.account["primary_email"], "a@gmail.com", "the code was not burnt");
        let v = signed_in(social.exchanges(&social.brings(&v, &social.google_says(&v, "g-v", &proven("v@gmail.com"))), &v.verifier));
        assert_eq!(v.account["primary_email"], "v@gmail.com");
    }

    fn oa_02_the_session_that_began_to_link_finishes_and_no_other(social) {
        let (_, a) = somebody(social, "a@example.com");
        let (_, v) = somebody(social, "v@example.org");
        let newer = social.signs_in("v@example.org");
        let (of_a, of_v, of_newer) =
            (social.begins_to_link(&a, "twitter"), social.begins_to_link(&v, "twitter"), social.begins_to_link(&newer, "facebook"));
        let codes = [code_of(social, &of_a, "666"), code_of(social, &of_v, "777"), code_of(social, &of_newer, "888")];
        let attempts = [(&v, &codes[0], &of_a), (&a, &codes[1], &of_v), (&v, &codes[2], &of_newer), (&newer, &codes[1], &of_v)];
        for (who, code, flow) in attempts {
            refused(social.finishes_linking(who, code, &flow.verifier), 404, "flow_not_found");
        }
        assert_eq!(social.count("SELECT count(*) AS n FROM identities WHERE kind <> 'email'"), 0);
        // each of the three is still good where it was begun
        for (who, code, flow) in [(&a, &codes[0], &of_a), (&v, &codes[1], &of_v), (&newer, &codes[2], &of_newer)] {
            social.finishes_linking(who, code, &flow.verifier).expect(200);
        }
        assert_eq!((social.identities_of(&a).len(), social.identities_of(&v).len()), (1, 2));
    }

    fn oa_02_a_flow_to_sign_in_links_nothing_and_one_to_link_signs_nobody_in(social) {
        let (_, v) = somebody(social, "v@example.org");
        let before = sessions(social);
        let (to_link, to_sign_in) = (social.begins_to_link(&v, "twitter"), social.begins("twitter"));
        let (link, sign_in) = (code_of(social, &to_link, "12"), code_of(social, &to_sign_in, "13"));
        refused(social.finishes_linking(&v, &sign_in, &to_sign_in.verifier), 404, "flow_not_found");
        refused(social.exchanges(&link, &to_link.verifier), 404, "flow_not_found");
        let native = json!({ "native": true });
        let begun = posts(social, "/v1/social/facebook/flows", &native).expect(201).json();
        let native_link = social.client.post("/v1/me/identities/facebook").bearer(&v.access_token).json(&native).send().expect(201).json();
        social.facebook.knows(doorstep_tests::providers::facebook::User::new("a", "4711", None));
        let token = |begun: &Value| {
            let token = social.facebook.limited_token(begun["nonce"].as_str().unwrap(), "a");
            json!({ "flow_id": begun["flow_id"], "id_token": token })
        };
        let linked = social.client.post("/v1/me/identities/exchange").bearer(&v.access_token).json(&token(&begun)).send();
        refused(linked, 404, "flow_not_found");
        refused(posts(social, "/v1/social/facebook/tokens", &token(&native_link)), 404, "flow_not_found");
        assert_eq!(social.count("SELECT count(*) AS n FROM identities WHERE kind <> 'email'"), 0);
        assert_eq!(sessions(social), before);
    }

    fn oa_02_linking_ends_with_the_session_its_freshness_or_its_epoch(social) {
        let (_, v) = somebody(social, "v@example.org");
        let flow = social.begins_to_link(&v, "twitter");
        let code = code_of(social, &flow, "12");
        social.signs_out(&v.access_token).expect(204);
        refused(social.finishes_linking(&v, &code, &flow.verifier), 401, "unauthorized");
        let later = social.signs_in("v@example.org");
        let flow = social.begins_to_link(&later, "twitter");
        social.advance(MINUTE * 9 + SECOND * 30);
        let code = code_of(social, &flow, "12");
        social.advance(SECOND * 40);
        let later = SignedIn::of(&social.refreshes(&later.refresh_token).expect(200));
        refused(social.finishes_linking(&later, &code, &flow.verifier), 403, "reauth_required");
        // a new password voids what was begun before it
        let last = social.signs_in("v@example.org");
        let flow = social.begins_to_link(&last, "twitter");
        let code = social.consents(&flow, "12");
        social.claims("v@example.org");
        refused(social.browser_goes_to(&code), 410, "flow_expired");
        assert_eq!(social.count("SELECT count(*) AS n FROM identities WHERE kind <> 'email'"), 0);
    }

    fn oa_04_a_callback_is_good_once(social) {
        for provider in PROVIDERS {
            let flow = social.begins(provider);
            let url = social.consents(&flow, "12");
            let code = social.brings(&flow, &url);
            refused(social.browser_goes_to(&url), 410, "flow_expired");
            let state = parameter(&flow.url, "state").unwrap();
            for other in [format!("state={state}&code=another"), format!("state={state}&error=access_denied")] {
                let path = format!("/v1/social/{provider}/callback?{other}");
                refused(social.client.get(&path).send(), 410, "flow_expired");
            }
            continuation(social.exchanges(&code, &flow.verifier));
            refused(social.browser_goes_to(&url), 410, "flow_expired");
        }
    }

    fn oa_04_a_state_that_is_none_of_this_flow_does_nothing(social) {
        let (flow, other) = (social.begins("google"), social.begins("google"));
        let state = parameter(&flow.url, "state").unwrap();
        let another = parameter(&other.url, "state").unwrap();
        social.browser_goes_to(&social.google.cancels(&other.url)).expect(303);
        let cut = &state[..state.len() - 1];
        let changed = |at: usize| {
            let letter = if &state[at..=at] == "A" { "B" } else { "A" };
            format!("code=c&state={}{letter}{}", &state[..at], &state[at + 1..])
        };
        let unknown = [
            String::new(), "code=c".into(), "state=&code=c".into(), "state=dfs1_&code=c".into(), "state=%00%ff&code=c".into(),
            format!("state={cut}&code=c"), format!("state={state}A&code=c"), format!("state={}&code=c", &state[5..]),
            format!("state={}&code=c", state.to_uppercase()), format!("state={state}%20&code=c"),
            changed(5), changed(20), changed(state.len() - 1), format!("state={}{}&code=c", &state[..26], &another[26..]),
            format!("state={state}&state={state}&code=c"), format!("state={state}&code=c&code=d"),
            format!("state={state}&error=a&error=b"), format!("state={state}&code=c&iss=a&iss=b"),
        ];
        let before = left_behind(social);
        let path = |provider: &str, query: &str| format!("/v1/social/{provider}/callback?{query}");
        for query in unknown {
            let answer = social.client.get(&path("google", &query)).send();
            assert_eq!((answer.status, answer.code()), (404, "flow_not_found".into()), "{query}");
            assert_eq!(answer.header("location"), None);
        }
        refused(social.client.get(&path("nobody", &format!("state={state}&code=c"))).send(), 404, "not_found");
        for provider in ["facebook", "twitter", ACME] {
            refused(social.client.get(&path(provider, &format!("state={state}&code=c"))).send(), 410, "flow_expired");
        }
        refused(social.client.get(&path("google", &format!("state={another}&code=c"))).send(), 410, "flow_expired");
        assert_eq!(left_behind(social), before);
        assert_eq!(social.count("SELECT count(*) AS n FROM social_flows WHERE state = 'started'"), 1);
        signed_in(social.exchanges(&social.brings(&flow, &social.google_says(&flow, "g-1", &proven("v@gmail.com"))), &flow.verifier));
    }

    fn oa_06_a_code_in_anothers_flow_is_stopped_by_pkce(social) {
        for provider in PROVIDERS {
            let (v, a) = (social.begins(provider), social.begins(provider));
            let stolen = parameter(&social.consents(&v, "777"), "code").unwrap();
            let state = parameter(&a.url, "state").unwrap();
            let callback = parameter(&a.url, "redirect_uri").unwrap();
            let code = social.brings(&a, &format!("{callback}?state={state}&code={stolen}"));
            refused(social.exchanges(&code, &a.verifier), 401, "provider_refused");
            refused(social.exchanges(&code, &a.verifier), 410, "flow_expired");
        }
        assert_eq!((sessions(social), social.count("SELECT count(*) AS n FROM social_flows WHERE state = 'email_required'")), (0, 0));
    }

    fn oa_06_oa_12_where_a_provider_ignores_pkce_the_nonce_stops_it(social) {
        let (v, a) = (social.begins("google"), social.begins("google"));
        for claims in [social.google.claims_for(&v.url, "g-v"), social.google.claims(issuer::CLIENT_ID, "", "g-v"), {
            let mut without = social.google.claims_for(&a.url, "g-v");
            without.as_object_mut().unwrap().remove("nonce");
            without
        }] {
            let a = social.begins("google");
            let granted = json!({ "access_token": "t", "token_type": "Bearer", "id_token": social.google.signs(&claims) });
            let code = code_of(social, &a, "g-a");
            social.google.script(issuer::TOKEN, Behaviour::json(200, &granted));
            refused(social.exchanges(&code, &a.verifier), 401, "provider_refused");
            social.google.script(issuer::TOKEN, Behaviour::AsDocumented);
        }
        assert_eq!(social.count("SELECT count(*) AS n FROM accounts"), 0);
    }

    fn oa_07_every_flow_has_pkce_a_state_and_a_nonce_of_its_own(social) {
        let (_, who) = somebody(social, "v@example.org");
        let mut seen = BTreeSet::new();
        for (n, provider) in PROVIDERS.iter().enumerate() {
            let flows = [social.begins(provider), social.begins(provider), social.begins_to_link(&who, provider)];
            for (m, flow) in flows.iter().enumerate() {
                let asked = |name: &str| parameter(&flow.url, name).unwrap_or_default();
                assert_eq!((asked("response_type").as_str(), asked("code_challenge_method").as_str()), ("code", "S256"));
                assert_eq!(asked("redirect_uri"), format!("https://auth.shop.example/v1/social/{provider}/callback"));
                let challenge = asked("code_challenge");
                assert!(challenge.len() == 43 && challenge.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)));
                assert_ne!(challenge, code_challenge(&flow.verifier), "what the app sends goes no further");
                assert_eq!(parameter(&flow.url, "nonce").is_some(), ["google", ACME].contains(provider), "{}", flow.url);
                assert!(seen.insert(challenge.clone()) && seen.insert(asked("state")), "{provider}");
                assert!(asked("nonce").is_empty() || seen.insert(asked("nonce")), "{provider}");
                let code = code_of(social, flow, &format!("9{n}{m}"));
                if m == 2 { social.finishes_linking(&who, &code, &flow.verifier) } else { social.exchanges(&code, &flow.verifier) }.expect(200);
                let requests = social.token_requests(provider);
                assert_eq!(requests.len(), m + 1);
                let verifier = requests[m].parameter("code_verifier").unwrap();
                assert!((43..=128).contains(&verifier.len()), "{verifier}");
                assert_eq!(code_challenge(&verifier), challenge);
                assert!(seen.insert(verifier), "{provider}");
            }
        }
    }

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
        let uri = doorstep_tests::social::REDIRECT_URI;
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

    fn flows_are_kept_eight_days_and_then_swept_away(social) {
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
        social.advance(Duration::from_secs(8 * 86_400));
        house::tidy(social.store()).unwrap();
        assert_eq!(social.count(flows), all);
        social.advance(MINUTE * 31);
        house::tidy(social.store()).unwrap();
        assert_eq!(social.count(flows), 0);
        assert_eq!(social.count("SELECT count(*) AS n FROM identities WHERE kind <> 'email'"), 2);
        refused(social.gives_email(&go_on, "ada@example.org"), 410, "flow_expired");
        signed_in(social.arrives_by_google("g-2", &proven("new@gmail.com")));
    }
}
