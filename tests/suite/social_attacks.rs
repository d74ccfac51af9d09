//! Attacks on signing in with providers, linking, unlinking, merging and passwords that go beyond one step.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use doorstep_tests::http::in_parallel;
use doorstep_tests::merging::{asks_to_merge, codes_of, confirms_merge, merges};
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::providers::{parameter, twitter};
use doorstep_tests::social::{Social, continuation, proven, signed_in};
use doorstep_tests::standin::Behaviour;
use doorstep_tests::{SignedIn, on_both_with_providers};
use serde_json::json;

/// Mallory has a code of his own for a continuation, then gives another's address to the same continuation: the status
/// of his own code afterwards.
fn own_code_after_asking_for(social: &Social, n: usize, address: &str) -> u16 {
    let go_on = continuation(social.arrives_by_twitter("mallory", &format!("66{n}")));
    let own = format!("mallory{n}@evil.example");
    social.gives_email(&go_on, &own).expect(202);
    let code = social.code_mailed_to(&own);
    social.gives_email(&go_on, address).expect(202);
    social.wait_until_mail_is_carried();
    social.proves_email(&go_on, &code).status
}

on_both_with_providers! {
    fn en_05_whether_ones_own_code_still_works_says_nothing_of_anothers_address(social) {
        social.claims("claimed@example.org");
        social.emails_support("unclaimed@example.org");
        let seen = ["absent@example.org", "unclaimed@example.org", "claimed@example.org"]
            .iter().enumerate().map(|(n, address)| own_code_after_asking_for(social, n + 1, address)).collect::<Vec<_>>();
        assert!(seen.iter().all(|status| *status == seen[0]), "absent, unclaimed, claimed: {seen:?}");
    }

    fn whoever_is_dropped_by_unlink_others_is_told(social) {
        let v = signed_in(social.arrives_by_google("g-v", &proven("v@example.org")));
        // A has V's access token, for five minutes
        let a = signed_in(social.arrives_by_google("g-a", &proven("a@gmail.com")));
        merges(social, &v, &a, false).expect(200);
        let before = social.mail_to("v@example.org").len();
        social.asks_for_reset("a@gmail.com").expect(202);
        let token = social.secret_mailed_to("a@gmail.com").token;
        let body = json!({ "token": token, "password": PASSWORD, "unlink_others": true });
        social.confirms_reset(&body).expect(200);
        let now = social.signs_in("a@gmail.com");
        assert_eq!(now.account["id"], v.account["id"], "A has V's account");
        assert!(social.mail_to("v@example.org").len() > before, "V's address is dropped and V is not told");
    }

    fn an_address_that_a_merge_brought_is_seen_by_the_owner(social) {
        let v = signed_in(social.arrives_by_google("g-v", &proven("v@example.org")));
        let a = signed_in(social.arrives_by_google("g-a", &proven("a@gmail.com")));
        merges(social, &v, &a, false).expect(200);
        let google: Vec<_> = social.identities_of(&v).into_iter().filter(|i| i["label"] == "a@gmail.com").collect();
        social.unlinks(&v, &google[0]["id"]).expect(204);
        // V has thrown out all that can be seen; A comes in all the same
        let listed = social.client.get("/v1/me/identities").bearer(&v.access_token).send().expect(200).json().to_string();
        let me = social.me(&v.access_token).expect(200).json().to_string();
        assert!(listed.contains("a@gmail.com") || me.contains("a@gmail.com"), "{listed} {me}");
    }

    fn a_strangers_codes_shut_no_provider_for_everybody(social) {
        // what a firewall before the token endpoint answers to a code such as this
        let page = Behaviour::Answer { status: 403, content_type: "text/html".into(), headers: vec![], body: b"<h1>Blocked</h1>".to_vec() };
        social.twitter.script(twitter::TOKEN, page);
        for _ in 0..5 {
            let flow = social.begins("twitter");
            let state = parameter(&flow.url, "state").unwrap();
            let back = format!("/v1/social/twitter/callback?state={state}&code=%27%20OR%201%3D1--%3Cscript%3E");
            let answer = social.client.get(&back).send();
            let location = answer.header("location").map(str::to_owned).unwrap_or_default();
            if let Some(code) = parameter(&location, "code") {
                social.exchanges(&code, &flow.verifier).expect(401);
            }
        }
        social.twitter.script(twitter::TOKEN, Behaviour::AsDocumented);
        let answer = social.arrives_by_twitter("ada", "12");
        assert_eq!(answer.status, 200, "{}", answer.json());
    }

    fn a_refresh_token_of_before_is_dead_at_once_when_the_password_is_changed(social) {
        social.claims("ada@example.org");
        let ada = social.signs_in("ada@example.org");
        let body = json!({ "current_password": PASSWORD, "password": OTHER_PASSWORD });
        social.client.put("/v1/me/password").bearer(&ada.access_token).json(&body).send().expect(200);
        // "this session goes on with the tokens of the answer, and only with them"
        let thief = social.refreshes(&ada.refresh_token);
        assert_eq!(thief.status, 401, "a token of the new epoch for one of the old");
    }

    fn a_chain_of_refreshes_does_not_cross_a_change_of_password(social) {
        let mut alive = 0;
        for round in 0..4 {
            let email = format!("ada{round}@example.org");
            social.claims(&email);
            let ada = social.signs_in(&email);
            let done = AtomicBool::new(false);
            let body = json!({ "current_password": PASSWORD, "password": OTHER_PASSWORD });
            let last = in_parallel(2, |n| {
                if n == 0 {
                    social.client.put("/v1/me/password").bearer(&ada.access_token).json(&body).send().expect(200);
                    done.store(true, Ordering::SeqCst);
                    return None;
                }
                let mut token = ada.refresh_token.clone();
                while !done.load(Ordering::SeqCst) {
                    let answer = social.refreshes(&token);
                    if answer.status != 200 { break; }
                    token = SignedIn::of(&answer).refresh_token;
                }
                Some(token)
            });
            social.advance(Duration::from_secs(31));
            let token = last.into_iter().flatten().next().unwrap();
            alive += i64::from(social.refreshes(&token).status == 200);
        }
        assert_eq!(alive, 0, "of 4");
    }

    fn a_signed_in_stranger_has_no_passwords_judged_without_end(social) {
        let a = signed_in(social.arrives_by_google("g-a", &proven("a@gmail.com")));
        let body = json!({ "password": "tulip" });
        let answers: Vec<u16> = (0..130).map(|_| social.client.put("/v1/me/password").bearer(&a.access_token).json(&body).send().status).collect();
        assert!(answers.contains(&429), "{} of them judged", answers.iter().filter(|status| **status == 422).count());
    }

    fn asking_and_proving_at_once_is_no_fault(social) {
        let go_on = continuation(social.arrives_by_twitter("ada", "12"));
        social.gives_email(&go_on, "x0@example.org").expect(202);
        let statuses = in_parallel(12, |n| {
            (0..6).map(|k| match n {
                0..=2 => social.gives_email(&go_on, &format!("x{}@example.org", (n + k) % 5)).status,
                _ => social.proves_email(&go_on, "AAAA-AAAA").status,
            }).collect::<Vec<_>>()
        }).concat();
        assert!(statuses.iter().all(|status| *status < 500), "{statuses:?}");
    }

    fn device_tokens_of_an_unlinked_way_in_buy_no_guesses(social) {
        social.claims("v@example.org");
        let v = social.signs_in("v@example.org");
        social.links_twitter(&v, "mallory", "666").expect(200);
        let tokens: Vec<String> = (0..21).map(|_| signed_in(social.arrives_by_twitter("mallory", "666")).device_token).collect();
        let twitter = social.identities_of(&v)[0]["id"].clone();
        social.unlinks(&v, &twitter).expect(204);
        // he is thrown out, and guesses: 5 by each token, each from another address
        let mut looked_at = 0;
        for (n, token) in tokens.iter().enumerate() {
            for k in 0..5 {
                let body = json!({ "email": "v@example.org", "password": format!("guess {n} {k} guess guess"), "device_token": token });
                let from = format!("198.51.{n}.{k}");
                looked_at += i64::from(social.client.post("/v1/sessions").header("X-Forwarded-For", &from).json(&body).send().status == 401);
            }
        }
        assert!(looked_at <= 10, "RL-04: {looked_at} guesses at one account without a wait");
    }

    fn everything_at_once_breaks_nothing(social) {
        for round in 0..5 {
            let (av, aa) = (format!("v{round}@example.org"), format!("a{round}@gmail.com"));
            let v = signed_in(social.arrives_by_google(&format!("g-v{round}"), &proven(&av)));
            let a = signed_in(social.arrives_by_google(&format!("g-a{round}"), &proven(&aa)));
            social.links_twitter(&v, "ada", &format!("12{round}")).expect(200);
            let other = signed_in(social.arrives_by_google(&format!("g-v{round}"), &json!({})));
            social.asks_for_reset(&av).expect(202);
            let token = social.secret_mailed_to(&av).token;
            let twitter_id = social.identities_of(&v).into_iter().find(|i| i["kind"] == "twitter").unwrap()["id"].clone();
            social.twitter.knows(twitter::User::new("bob", &format!("13{round}"), None));
            let link = social.begins_to_link(&v, "twitter");
            let link_code = social.brings(&link, &social.twitter.consents(&link.url, "bob"));
            let arrive = social.begins("twitter");
            let arrive_code = social.brings(&arrive, &social.twitter.consents(&arrive.url, "ada"));
            let codes = codes_of(social, &asks_to_merge(social, &v, &a, false).expect(202));
            let swapped = json!({ "code": codes["other_code"], "other_code": codes["code"] });
            let answers = in_parallel(8, |n| match (n + round) % 8 {
                0 => social.confirms_reset(&json!({ "token": token, "password": PASSWORD, "unlink_others": true })),
                1 => confirms_merge(social, &a, &v, &swapped),
                2 => social.unlinks(&other, &twitter_id),
                3 => social.finishes_linking(&v, &link_code, &link.verifier),
                4 => social.exchanges(&arrive_code, &arrive.verifier),
                5 => social.client.put("/v1/me/password").bearer(&v.access_token).json(&json!({ "password": OTHER_PASSWORD })).send(),
                6 => social.refreshes(&v.refresh_token),
                _ => confirms_merge(social, &v, &a, &codes),
            });
            let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
            assert!(statuses.iter().all(|status| *status < 500), "{statuses:?}");
            social.check_invariants();
        }
    }
}
