//! Linking, unlinking and merging: what an owner does with their own identities, and nobody with another's.

use std::time::Duration;

use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::PASSWORD;
use doorstep_tests::social::{Social, continuation, proven, signed_in};
use doorstep_tests::{App, SignedIn, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::{account_of, becomes, text, tweets};
use crate::reauthentication::{begins, brought, shows};
use crate::talk::{opens, posts, sees, starts};

/// My other account becomes part of this one, or what would move: asked for, and confirmed by what was mailed.
pub fn merges(app: &App, mine: &SignedIn, other: &SignedIn, preview: bool) -> Answer {
    let asked = asks_to_merge(app, mine, other, preview);
    if asked.status == 202 { confirms_merge(app, mine, other, &codes_of(app, &asked)) } else { asked }
}

pub fn asks_to_merge(app: &App, mine: &SignedIn, other: &SignedIn, preview: bool) -> Answer {
    let path = if preview { "/v1/me/merges?preview=true" } else { "/v1/me/merges" };
    let body = json!({ "access_token": other.access_token });
    app.client.post(path).bearer(&mine.access_token).json(&body).send()
}

/// What both mailboxes have got.
pub fn codes_of(app: &App, asked: &Answer) -> Value {
    let asked = asked.json();
    let code = |name: &str| {
        let address = asked[name].as_str()?;
        let mails = app.mail_to(address).into_iter().rev();
        let mail = mails.into_iter().find(|mail| mail.subject().contains("merge two accounts")).unwrap();
        Some(mail.text().split_once("Code: ")?.1.split_whitespace().next()?.to_owned())
    };
    json!({ "code": code("sent_to"), "other_code": code("other_sent_to") })
}

pub fn confirms_merge(app: &App, mine: &SignedIn, other: &SignedIn, codes: &Value) -> Answer {
    let mut body = codes.clone();
    body["access_token"] = json!(other.access_token);
    app.client.post("/v1/me/merges/confirm").bearer(&mine.access_token).json(&body).send()
}

/// Somebody by Twitter who shows that they are there again.
pub fn is_here_again(social: &Social, who: &SignedIn, handle: &str) -> SignedIn {
    let flow = begins(social, who, "twitter");
    let code = social.brings(&flow, &social.twitter.consents(&flow.url, handle));
    SignedIn::of(&shows(social, who, &brought(&code, &flow)).expect(200))
}

fn tweet_of(social: &Social, id: &str, handle: &str) -> Value {
    tweets(social, &json!({ "twitter": { "id": id, "handle": handle } }))
}

fn events(social: &Social, action: &str) -> i64 {
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
fn by_google(social: &Social, sub: &str, email: &str) -> (SignedIn, Value) {
    let who = signed_in(social.arrives_by_google(sub, &proven(email)));
    let started = starts(social, &who, "From my profile", "hello");
    (who, started["id"].clone())
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
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

    fn two_accounts_of_ada_become_one_with_a_fresh_session_of_each(social) {
        let mailed = social.emails_support("ada@example.org");
        social.claims("ada@example.org");
        let tweet = tweet_of(social, "12", "ada");
        let other = signed_in(social.arrives_by_twitter("ada", "12"));
        social.links_google(&other, "g-1", "ada@gmail.com").expect(200);
        let started = starts(social, &other, "From my other account", "hello");
        social.client.post(&format!("/v1/me/conversations/{}/read", tweet["conversation_id"].as_str().unwrap())).bearer(&other.access_token).send().expect(204);
        let ada = social.signs_in("ada@example.org");
        let other = is_here_again(social, &other, "ada");

        let preview = merges(social, &ada, &other, true).expect(200).json();
        assert_eq!((&preview["merged"], &preview["conversations"], &preview["sessions_ended"]), (&json!(false), &json!(2), &json!(1)));
        assert_eq!(preview["identities"].as_array().unwrap().len(), 2);
        assert_eq!(preview["source_account_id"], other.account["id"]);
        social.me(&other.access_token).expect(200);
        assert!(social.identities_of(&ada).is_empty(), "a preview changes nothing");

        let merged = merges(social, &ada, &other, false).expect(200).json();
        assert_eq!((&merged["merged"], &merged["sessions_ended"]), (&json!(true), &json!(1)));
        assert_eq!(merged["account"]["id"], ada.account["id"]);
        let mut seen: Vec<String> = sees(social, &ada).iter().map(Value::to_string).collect();
        let mut all = [&mailed["conversation_id"], &tweet["conversation_id"], &started["id"]].map(Value::to_string);
        seen.sort();
        all.sort();
        assert_eq!(seen, all);
        let list = social.conversations_of(&ada);
        let unread = |id: &Value| list.iter().find(|c| c["id"] == *id).unwrap()["unread_count"].clone();
        assert_eq!(unread(&started["id"]), 0, "what she wrote is hers still");
        social.me(&other.access_token).expect(401);
        social.refreshes(&other.refresh_token).expect(401);
        for again in [social.arrives_by_twitter("ada", "12"), social.arrives_by_google("g-1", &json!({}))] {
            assert_eq!(signed_in(again).account["id"], ada.account["id"]);
        }
        assert_eq!(events(social, "account.merged"), 1);
        let told = social.mail_to("ada@example.org").pop().unwrap();
        assert!(!told.text().contains("Code:"), "{}", told.subject());
        assert_eq!(merges(social, &ada, &other, false).expect(422).code(), "validation_failed", "it is gone");
    }

    fn a_password_of_the_account_that_goes_opens_nothing(social) {
        social.claims("ada@work.example");
        let source = social.signs_in("ada@work.example");
        let (ada, _) = by_google(social, "g-1", "ada@gmail.com");
        merges(social, &ada, &source, false).expect(200);
        social.tries_to_sign_in("ada@work.example", PASSWORD).expect(401);
        assert_eq!(social.count("SELECT count(*) AS n FROM credentials"), 0);
        // the address is a way to a new one, of the account that both are now
        let claimed = social.claims("ada@work.example");
        assert_eq!(ada.account["id"], claimed.account_id.as_str());
        let told = social.mail_to("ada@gmail.com").into_iter().map(|mail| mail.subject()).collect::<Vec<_>>();
        assert!(!told.is_empty(), "every proven address of both is told");
    }

    fn ph_26_nobody_merges_what_they_have_no_session_of(social) {
        let (v, _) = by_google(social, "g-1", "v@gmail.com");
        let (a, _) = by_google(social, "g-2", "a@gmail.com");
        let id = v.account["id"].as_str().unwrap();
        for body in [
            json!({ "access_token": id }), json!({ "access_token": v.refresh_token }), json!({ "account_id": id }), json!({ "email": "v@gmail.com" }),
            json!({ "access_token": "" }), json!({}), json!({ "access_token": format!("{}x", v.access_token) }),
        ] {
            let answer = social.client.post("/v1/me/merges").bearer(&a.access_token).json(&body).send();
            assert_eq!(answer.expect(422).code(), "validation_failed", "{body}");
        }
        assert_eq!(merges(social, &a, &a, false).expect(409).code(), "merge_refused");
        social.signs_out(&v.access_token).expect(204);
        assert_eq!(merges(social, &a, &v, false).expect(422).code(), "validation_failed");
        assert_eq!(social.count("SELECT count(*) AS n FROM accounts WHERE state = 'merged'"), 0);
    }

    fn an_admins_account_does_not_go_into_another(social) {
        let (admin, _) = by_google(social, "g-1", "admin@gmail.com");
        let (ada, _) = by_google(social, "g-2", "ada@gmail.com");
        social.sql(&format!("UPDATE accounts SET role = 'admin' WHERE id = {}", account_of("admin@gmail.com")));
        assert_eq!(merges(social, &ada, &admin, true).expect(409).code(), "merge_refused");
        let merged = merges(social, &admin, &ada, false).expect(200).json();
        assert_eq!((&merged["account"]["role"], &merged["account"]["id"]), (&json!("admin"), &admin.account["id"]));
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

    fn merging_each_into_the_other_at_once_makes_one(social) {
        for round in 0..4 {
            let (a, _) = by_google(social, &format!("a-{round}"), &format!("a{round}@gmail.com"));
            let (b, _) = by_google(social, &format!("b-{round}"), &format!("b{round}@gmail.com"));
            let codes = codes_of(social, &asks_to_merge(social, &a, &b, false).expect(202));
            let back = codes_of(social, &asks_to_merge(social, &b, &a, false).expect(202));
            let answers = in_parallel(8, |n| {
                if n % 2 == 0 { confirms_merge(social, &a, &b, &codes) } else { confirms_merge(social, &b, &a, &back) }
            });
            assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{:?}", statuses(&answers));
            let survivors = "SELECT count(*) AS n FROM accounts WHERE state = 'claimed'";
            assert_eq!(social.count(survivors), round + 1);
        }
    }
}
