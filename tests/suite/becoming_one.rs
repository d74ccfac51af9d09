//! Merging: what moves, what is refused, and one survivor of a race.

use doorstep_tests::http::in_parallel;
use doorstep_tests::merging::{asks_to_merge, codes_of, confirms_merge, merges};
use doorstep_tests::people::PASSWORD;
use doorstep_tests::social::{Social, signed_in};
use doorstep_tests::{SignedIn, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::account_of;
use crate::linking::{by_google, events, statuses, tweet_of};
use crate::reauthentication::{begins, brought, shows};
use crate::talk::{sees, starts};

/// Somebody by Twitter who shows that they are there again.
pub fn is_here_again(social: &Social, who: &SignedIn, handle: &str) -> SignedIn {
    let flow = begins(social, who, "twitter");
    let code = social.brings(&flow, &social.twitter.consents(&flow.url, handle));
    SignedIn::of(&shows(social, who, &brought(&code, &flow)).expect(200))
}

on_both_with_providers! {
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
