//! Linking and unlinking: what an owner does with their own identities, and nobody with another's.

use std::time::Duration;

use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::merging::merges;
use doorstep_tests::people::PASSWORD;
use doorstep_tests::social::{Social, continuation, proven, signed_in};
use doorstep_tests::{SignedIn, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::{account_of, becomes, text, tweets};
use crate::talk::{opens, posts, sees, starts};

pub fn tweet_of(social: &Social, id: &str, handle: &str) -> Value {
    tweets(social, &json!({ "twitter": { "id": id, "handle": handle } }))
}

pub fn events(social: &Social, action: &str) -> i64 {
    social.count(&format!("SELECT count(*) AS n FROM audit_events WHERE action = '{action}'"))
}

fn identity_id(social: &Social, who: &SignedIn, kind: &str) -> Value {
    let all = social.identities_of(who);
    all.iter().find(|identity| identity["kind"] == kind).unwrap_or_else(|| panic!("no {kind} in {all:?}"))["id"].clone()
}

fn subjects(social: &Social, address: &str) -> Vec<String> {
    social.mail_to(address).iter().map(doorstep_tests::smtp::Received::subject).collect()
}

/// Somebody by a Google account, with a conversation that they started.
pub fn by_google(social: &Social, sub: &str, email: &str) -> (SignedIn, Value) {
    let who = signed_in(social.arrives_by_google(sub, &proven(email)));
    let started = starts(social, &who, "From my profile", "hello");
    (who, started["id"].clone())
}

pub fn statuses(answers: &[Answer]) -> Vec<u16> {
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    statuses
}

on_both_with_providers! {
    fn ada_links_twitter_and_what_she_tweeted_appears(social) {
        social.claims("ada@example.org");
        let ada = social.signs_in("ada@example.org");
        let tweet = tweet_of(social, "12", "ada");
        assert_eq!(opens(social, &ada, &tweet["conversation_id"]), 404);
        let linked = social.links_twitter(&ada, "ada", "12").expect(200).json();
        assert_eq!((&linked["kind"], &linked["label"], &linked["usable"]), (&json!("twitter"), &json!("ada"), &json!(true)));
        assert_eq!(sees(social, &ada), [tweet["conversation_id"].clone()]);
        assert_eq!(signed_in(social.arrives_by_twitter("ada", "12")).account["id"], ada.account["id"]);
        let gone = format!("SELECT count(*) AS n FROM accounts WHERE state = 'merged' AND merged_into = {}", account_of("ada@example.org"));
        assert_eq!(social.count(&gone), 1, "the tweet's account is part of hers");
        assert_eq!(events(social, "identity.linked"), 1);
        let told = social.mail_to("ada@example.org").pop().unwrap().text();
        assert!(told.contains("@ada") && told.contains("Twitter (X)"), "{told}");

        // and by another session it was not finished, nor twice
        let again = social.links_twitter(&ada, "ada", "12").expect(200).json();
        assert_eq!(again["id"], linked["id"], "what is linked is linked");
        assert_eq!(events(social, "identity.linked"), 1);
    }

    fn a_part_of_what_support_kept_comes_along_and_the_rest_stays(social) {
        social.claims("ada@example.org");
        let ada = social.signs_in("ada@example.org");
        let author = json!({ "twitter": { "id": "12", "handle": "ada" }, "email": "ada@work.example" });
        let tweet = tweets(social, &author);
        let mailed = social.emails_support("ada@work.example");
        assert_eq!(tweet["account_id"], mailed["account_id"]);
        social.links_twitter(&ada, "ada", "12").expect(200);
        assert_eq!(sees(social, &ada), [tweet["conversation_id"].clone()]);
        assert_eq!(opens(social, &ada, &mailed["conversation_id"]), 404);
        assert_eq!(text(social, &format!("SELECT state AS t FROM accounts WHERE id = {}", account_of("ada@work.example"))), "unclaimed");
        assert_eq!(social.count("SELECT count(*) AS n FROM merge_suggestions"), 1);
    }

    fn oa_30_what_another_account_owns_stays_there(social) {
        let (v, _) = by_google(social, "g-1", "v@example.org");
        social.claims("a@example.org");
        let a = social.signs_in("a@example.org");
        let answer = social.links_google(&a, "g-1", "v@example.org").expect(409);
        assert_eq!(answer.code(), "identity_taken");
        let told = String::from_utf8(answer.body).unwrap();
        for word in ["v@example.org", v.account["id"].as_str().unwrap(), "g-1"] {
            assert!(!told.contains(word), "{told}");
        }
        assert!(social.identities_of(&a).is_empty());
        assert_eq!(social.identities_of(&v).len(), 1);
        becomes(social, "v@example.org", "disabled");
        assert_eq!(social.links_google(&a, "g-1", "v@example.org").expect(409).code(), "identity_taken");
    }

    fn linking_never_adds_the_address_that_comes_with_it(social) {
        social.claims("ada@example.org");
        let ada = social.signs_in("ada@example.org");
        social.links_google(&ada, "g-1", "ada@gmail.com").expect(200);
        assert_eq!(social.count("SELECT count(*) AS n FROM identities WHERE kind = 'email'"), 1);
        social.claims("v@example.org");
        let v = social.signs_in("v@example.org");
        social.links_google(&v, "g-2", "ada@example.org").expect(200);
        assert_eq!(text(social, "SELECT subject AS t FROM identities WHERE kind = 'email' AND is_primary AND subject LIKE 'ada%'"), "ada@example.org");
    }

    fn se_18_linking_unlinking_and_merging_take_a_fresh_session(social) {
        let (ada, _) = by_google(social, "g-1", "ada@gmail.com");
        let flow = social.begins_to_link(&ada, "twitter");
        social.twitter.knows(doorstep_tests::providers::twitter::User::new("ada", "12", None));
        let code = social.brings(&flow, &social.twitter.consents(&flow.url, "ada"));
        social.advance(Duration::from_secs(595));
        let ada = SignedIn::of(&social.refreshes(&ada.refresh_token).expect(200));
        social.asks_to_link(&ada, "twitter", &"v".repeat(43)).expect(201);
        social.advance(Duration::from_secs(10));
        let google = identity_id(social, &ada, "google");
        let (other, _) = by_google(social, "g-2", "other@gmail.com");
        let late = [
            social.asks_to_link(&ada, "twitter", &"v".repeat(43)), social.finishes_linking(&ada, &code, &flow.verifier),
            social.unlinks(&ada, &google), merges(social, &ada, &other, true), merges(social, &other, &ada, false),
        ];
        for answer in late {
            assert_eq!((answer.status, answer.code()), (403, "reauth_required".into()), "a refresh makes nothing fresh");
        }
        assert_eq!(social.identities_of(&ada).len(), 1);
    }

    fn se_15_ada_unlinks_and_the_sessions_of_it_end_but_what_was_opened_stays(social) {
        social.claims("ada@example.org");
        let ada = social.signs_in("ada@example.org");
        let tweet = tweet_of(social, "12", "ada");
        social.links_twitter(&ada, "ada", "12").expect(200);
        let by_twitter = signed_in(social.arrives_by_twitter("ada", "12"));
        social.unlinks(&ada, &identity_id(social, &ada, "twitter")).expect(204);
        social.me(&by_twitter.access_token).expect(401);
        social.refreshes(&by_twitter.refresh_token).expect(401);
        assert_eq!(text(social, "SELECT end_reason AS t FROM sessions WHERE ended_at IS NOT NULL AND method = 'twitter'"), "unlinked");
        social.me(&ada.access_token).expect(200);
        assert_eq!(sees(social, &ada), [tweet["conversation_id"].clone()], "history that was opened stays");
        posts(social, &ada, &format!("/v1/me/conversations/{}/messages", tweet["conversation_id"].as_str().unwrap()), &json!({ "body_text": "x" })).expect(201);
        assert!(subjects(social, "ada@example.org").len() >= 3);

        // it is nobody's then, and is not linked again by itself
        let go_on = continuation(social.arrives_by_twitter("ada", "12"));
        social.gives_email(&go_on, "ada@example.org").expect(202);
        assert!(!social.mail_to("ada@example.org").pop().unwrap().text().contains("Code:"));
        // what is tweeted from now on is a stranger's
        let next = tweet_of(social, "12", "ada");
        assert_ne!(next["account_id"], ada.account["id"]);
        assert_eq!(opens(social, &ada, &next["conversation_id"]), 404);
        assert_eq!(social.unlinks(&ada, &json!("0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20")).expect(404).code(), "not_found");
    }

    fn se_16_the_last_way_in_that_may_be_used_now_stays(social) {
        tweet_of(social, "12", "ada");
        let ada = signed_in(social.arrives_by_twitter("ada", "12"));
        let twitter = identity_id(social, &ada, "twitter");
        assert_eq!(social.identities_of(&ada)[0]["last_way_in"], true);
        assert_eq!(social.identities_of(&ada)[0]["opened_this_session"], true);
        assert_eq!(social.unlinks(&ada, &twitter).expect(409).code(), "last_way_in");
        social.links_google(&ada, "g-1", "ada@gmail.com").expect(200);
        assert_eq!(social.identities_of(&ada)[0]["last_way_in"], false);
        // a way that is off is none
        social.turn("google", false);
        assert_eq!(social.unlinks(&ada, &twitter).expect(409).code(), "last_way_in");
        social.turn("google", true);
        social.unlinks(&ada, &twitter).expect(204);
        social.me(&ada.access_token).expect(401);
        let back = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
        let google = identity_id(social, &back, "google");
        assert_eq!(social.unlinks(&back, &google).expect(409).code(), "last_way_in");
        // an address is a way in while a password may be set by it
        let (eve, _) = by_google(social, "g-eve", "eve@example.org");
        social.change_settings(|settings| settings.password_sign_in = false);
        assert_eq!(social.unlinks(&eve, &identity_id(social, &eve, "google")).expect(409).code(), "last_way_in");
        social.change_settings(|settings| settings.password_sign_in = true);
        social.unlinks(&eve, &identity_id(social, &eve, "google")).expect(204);
        social.claims("eve@example.org");
        assert_eq!(social.signs_in("eve@example.org").account["id"], eve.account["id"]);
    }

    fn anothers_identity_is_as_absent_as_one_that_never_was(social) {
        let (v, _) = by_google(social, "g-1", "v@gmail.com");
        let (a, _) = by_google(social, "g-2", "a@gmail.com");
        let vs = identity_id(social, &v, "google");
        let absent = social.unlinks(&a, &json!("0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20")).expect(404);
        assert_eq!(social.unlinks(&a, &vs).expect(404).json()["detail"], absent.json()["detail"]);
        // an address is seen, and stays
        let all = social.all_identities_of(&a);
        let address = all.iter().find(|identity| identity["kind"] == "email").unwrap();
        assert_eq!((&address["label"], &address["usable"], &address["provider"]), (&json!("a@gmail.com"), &json!(true), &json!(null)));
        assert_eq!(social.unlinks(&a, &address["id"]).expect(409).code(), "address_stays");
        assert_eq!(social.identities_of(&v).len(), 1);
    }

    fn forgot_password_lists_what_is_linked_and_can_drop_it(social) {
        let (v, _) = by_google(social, "g-1", "v@example.org");
        social.links_twitter(&v, "stranger", "666").expect(200);
        social.asks_for_reset("v@example.org").expect(202);
        let mail = social.secret_mailed_to("v@example.org");
        let seen = social.client.post("/v1/password-resets/inspect").json(&json!({ "token": mail.token })).send().expect(200).json();
        let mut ways: Vec<&str> = seen["ways_in"].as_array().unwrap().iter().map(|way| way["method"].as_str().unwrap()).collect();
        ways.sort_unstable();
        assert_eq!(ways, ["email", "google", "twitter"], "a password is no way in yet");
        let body = json!({ "token": mail.token, "password": PASSWORD, "unlink_others": true });
        social.confirms_reset(&body).expect(200);
        social.me(&v.access_token).expect(401);
        let session = social.signs_in("v@example.org");
        assert_eq!(session.account["id"], v.account["id"]);
        assert!(social.identities_of(&session).is_empty());
        continuation(social.arrives_by_twitter("stranger", "666"));
        assert_eq!(social.arrives_by_google("g-1", &proven("v@example.org")).expect(409).code(), "link_required");
    }

    fn rc_08_one_key_linked_to_two_accounts_at_once_is_ones(social) {
        let people: Vec<SignedIn> = (0..4).map(|n| by_google(social, &format!("g-{n}"), &format!("p{n}@gmail.com")).0).collect();
        tweet_of(social, "12", "ada");
        social.twitter.knows(doorstep_tests::providers::twitter::User::new("ada", "12", None));
        let ready: Vec<_> = people.iter().map(|who| {
            let flow = social.begins_to_link(who, "twitter");
            let code = social.brings(&flow, &social.twitter.consents(&flow.url, "ada"));
            (who, code, flow.verifier)
        }).collect();
        let answers = in_parallel(4, |n| social.finishes_linking(ready[n].0, &ready[n].1, &ready[n].2));
        assert_eq!(statuses(&answers), [200, 409, 409, 409]);
        assert_eq!(social.count("SELECT count(*) AS n FROM identities WHERE kind = 'twitter'"), 1);
        assert_eq!(events(social, "identity.linked"), 1);
    }

    fn rc_09_two_keys_of_one_provider_linked_at_once_are_both_there(social) {
        let (ada, _) = by_google(social, "g-1", "ada@gmail.com");
        let ready: Vec<_> = (0..4).map(|n| {
            let handle = format!("ada{n}");
            social.twitter.knows(doorstep_tests::providers::twitter::User::new(&handle, &format!("12{n}"), None));
            let flow = social.begins_to_link(&ada, "twitter");
            let code = social.brings(&flow, &social.twitter.consents(&flow.url, &handle));
            (code, flow.verifier)
        }).collect();
        let answers = in_parallel(4, |n| social.finishes_linking(&ada, &ready[n].0, &ready[n].1));
        assert_eq!(statuses(&answers), [200; 4]);
        assert_eq!(social.identities_of(&ada).len(), 5);
    }

    fn rc_11_unlinking_while_somebody_signs_in_with_it_leaves_no_session_of_it(social) {
        for round in 0..6 {
            let (ada, _) = by_google(social, &format!("g-{round}"), &format!("ada{round}@gmail.com"));
            let id = format!("12{round}");
            social.links_twitter(&ada, "ada", &id).expect(200);
            let twitter = identity_id(social, &ada, "twitter");
            let flow = social.begins("twitter");
            let code = social.brings(&flow, &social.twitter.consents(&flow.url, "ada"));
            let answers = in_parallel(2, |n| {
                if n == 0 { social.unlinks(&ada, &twitter) } else { social.exchanges(&code, &flow.verifier) }
            });
            assert_eq!(answers[0].status, 204);
            if answers[1].json()["status"] == "signed_in" {
                social.me(&SignedIn::of(&answers[1]).access_token).expect(401);
            }
        }
        let left = "SELECT count(*) AS n FROM sessions WHERE method = 'twitter' AND ended_at IS NULL";
        assert_eq!(social.count(left), 0);
    }

    fn unlinking_two_ways_at_once_leaves_one(social) {
        for round in 0..6 {
            let id = format!("12{round}");
            tweet_of(social, &id, "ada");
            let ada = signed_in(social.arrives_by_twitter("ada", &id));
            social.links_google(&ada, &format!("g-{round}"), "ada@gmail.com").expect(200);
            let other = signed_in(social.arrives_by_google(&format!("g-{round}"), &json!({})));
            let (twitter, google) = (identity_id(social, &ada, "twitter"), identity_id(social, &ada, "google"));
            let answers = in_parallel(2, |n| {
                if n == 0 { social.unlinks(&other, &twitter) } else { social.unlinks(&ada, &google) }
            });
            let done = answers.iter().filter(|answer| answer.status == 204).count();
            assert_eq!(done, 1, "{:?}", statuses(&answers));
        }
    }
}
