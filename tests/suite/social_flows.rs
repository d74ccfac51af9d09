//! Flows of social sign-in: who may finish what somebody began, once, and for how long.

use std::collections::BTreeSet;
use std::time::Duration;

use doorstep_tests::http::Answer;
use doorstep_tests::providers::{code_challenge, issuer, parameter, random};
use doorstep_tests::social::{ACME, Flow, PROVIDERS, Social, continuation, proven, signed_in};
use doorstep_tests::standin::Behaviour;
use doorstep_tests::{Claimed, SignedIn, on_both_with_providers};
use serde_json::{Value, json};

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);

/// The answer is this problem.
#[track_caller]
pub fn refused(answer: Answer, status: u16, code: &str) {
    assert_eq!(answer.expect(status).code(), code);
}

/// How many rows there are of whatever a flow could leave behind.
pub fn left_behind(social: &Social) -> Vec<i64> {
    let tables = ["accounts", "identities", "proofs", "sessions", "audit_events", "outbox", "challenges", "throttles"];
    tables.iter().map(|table| social.count(&format!("SELECT count(*) AS n FROM {table}"))).collect()
}

pub fn sessions(social: &Social) -> i64 {
    social.count("SELECT count(*) AS n FROM sessions WHERE ended_at IS NULL")
}

/// Somebody with a password, signed in.
pub fn somebody(social: &Social, email: &str) -> (Claimed, SignedIn) {
    (social.claims(email), social.signs_in(email))
}

/// The code that a browser has brought from the provider to the app.
pub fn code_of(social: &Social, flow: &Flow, number: &str) -> String {
    social.brings(flow, &social.consents(flow, number))
}

pub fn posts(social: &Social, path: &str, body: &Value) -> Answer {
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
}
