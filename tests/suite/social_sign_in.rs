//! Signing in with a provider: who lands where, by every row of rule 8.

use std::time::Duration;

use doorstep_core::settings::SignUpPolicy;
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::social::{Social, continuation, proven, signed_in};
use doorstep_tests::{SignedIn, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::{account_of, becomes, text, tweets};
use crate::talk::{opens, sees};

/// How many rows of a table there are.
fn rows(social: &Social, table: &str) -> i64 {
    social.count(&format!("SELECT count(*) AS n FROM {table}"))
}

fn events(social: &Social, action: &str) -> i64 {
    social.count(&format!("SELECT count(*) AS n FROM audit_events WHERE action = '{action}'"))
}

fn tweet_of(social: &Social, id: &str, handle: &str) -> Value {
    tweets(social, &json!({ "twitter": { "id": id, "handle": handle }, "name": "Ada T." }))
}

on_both_with_providers! {
    fn ada_whom_support_knows_by_mail_presses_google_and_has_her_history(social) {
        let pushed = social.emails_support("ada@example.org");
        let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@example.org")));
        assert_eq!(ada.account["id"], pushed["account_id"], "the account that support kept");
        assert_eq!(ada.account["primary_email"], "ada@example.org");
        assert_eq!(ada.account["full_name"], "Ada of Google", "support knew no name");
        assert_eq!(sees(social, &ada), [pushed["conversation_id"].clone()]);
        let identities = social.identities_of(&ada);
        assert_eq!(identities.len(), 1);
        assert_eq!((&identities[0]["provider"], &identities[0]["kind"]), (&json!("google"), &json!("google")));

        let again = signed_in(social.arrives_by_google("g-1", &json!({ "email": "other@example.com" })));
        assert_eq!(again.account["id"], ada.account["id"], "by its subject, whatever its address is now");
        assert_eq!(events(social, "account.claimed"), 1);
        assert_eq!(events(social, "session.created"), 1);
        let told = social.mail_to("ada@example.org").into_iter().map(|mail| mail.subject()).collect::<Vec<_>>();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("Google") || told[0].contains("Shop Help"), "{told:?}");
    }

    fn somebody_new_has_an_account_of_their_own(social) {
        let new = signed_in(social.arrives_by_google("g-9", &proven("New@Gmail.com")));
        assert_eq!(new.account["primary_email"], "new@gmail.com");
        assert_eq!(new.account["full_name"], "Ada of Google");
        assert_eq!(rows(social, "accounts"), 1);
        assert_eq!(rows(social, "proofs"), 2, "of the address and of the subject");
        assert_eq!(events(social, "account.created"), 1);
        assert!(social.mail_to("new@gmail.com").is_empty(), "there is nobody to warn");

        // forgot password gives them a password, and both ways lead to the same account
        social.claims("new@gmail.com");
        let by_password = social.signs_in("new@gmail.com");
        assert_eq!(by_password.account["id"], new.account["id"]);
        social.me(&new.access_token).expect(401);
        let by_google = signed_in(social.arrives_by_google("g-9", &proven("new@gmail.com")));
        assert_eq!(by_google.account["id"], new.account["id"]);
    }

    fn ph_01_google_never_opens_an_account_that_its_owner_has_by_another_way(social) {
        let v = social.claims("v@example.org");
        let answer = social.arrives_by_google("g-1", &proven("v@example.org")).expect(409);
        assert_eq!(answer.code(), "link_required");
        assert!(answer.json().get("continuation").is_none());
        assert_eq!(social.count("SELECT count(*) AS n FROM identities WHERE kind = 'google'"), 0);
        assert_eq!(rows(social, "sessions"), 0);
        // signed in by the way they have, they link it, and then it opens
        let session = social.signs_in("v@example.org");
        assert_eq!(session.account["id"], v.account_id.as_str());
        social.links_google(&session, "g-1", "v@example.org").expect(200);
        let by_google = signed_in(social.arrives_by_google("g-1", &proven("v@example.org")));
        assert_eq!(by_google.account["id"], v.account_id.as_str());
    }

    fn disabled_is_answered_like_claimed_and_nothing_is_done(social) {
        social.claims("v@example.org");
        let claimed = social.arrives_by_google("g-1", &proven("v@example.org")).expect(409);
        becomes(social, "v@example.org", "disabled");
        let disabled = social.arrives_by_google("g-1", &proven("v@example.org")).expect(409);
        let seen = |answer: &doorstep_tests::http::Answer| {
            let mut body = answer.json();
            body.as_object_mut().unwrap().remove("request_id");
            body
        };
        assert_eq!(seen(&disabled), seen(&claimed));
        assert_eq!(social.count("SELECT count(*) AS n FROM accounts WHERE state = 'claimed'"), 0);
    }

    fn oa_19_a_closed_account_of_a_subject_never_falls_back_to_the_address(social) {
        let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@example.org")));
        for state in ["disabled", "deleted"] {
            becomes(social, "ada@example.org", state);
            for said in [proven("ada@example.org"), proven("another@gmail.com"), json!({})] {
                let answer = social.arrives_by_google("g-1", &said).expect(403);
                assert_eq!(answer.code(), "account_closed", "{state} {said}");
            }
        }
        social.refreshes(&ada.refresh_token).expect(401);
        assert_eq!(rows(social, "accounts"), 1);
    }

    fn ph_07_ph_21_an_address_that_does_not_count_is_only_a_hint(social) {
        social.emails_support("v@example.org");
        let said = [
            json!({ "email": "v@example.org" }),
            json!({ "email": "v@example.org", "email_verified": false, "hd": "example.org" }),
            json!({ "email": "v@example.org", "email_verified": "true", "hd": "example.org" }),
            json!({ "email": "v@example.org", "email_verified": 1, "hd": "example.org" }),
            json!({ "email": "v@example.org", "email_verified": null, "hd": "example.org" }),
            json!({ "email": "v@example.org", "email_verified": true }),
            json!({ "email": "v@example.org", "email_verified": true, "hd": "evil.example" }),
        ];
        for said in said {
            let body = social.arrives_by_google("g-1", &said).expect(200).json();
            assert_eq!((&body["status"], &body["email_hint"]), (&json!("email_required"), &json!("v@example.org")), "{said}");
        }
        let by_acme = social.arrives_by_acme("a-1", &proven("v@example.org")).expect(200).json();
        assert_eq!((&by_acme["status"], &by_acme["provider"]), (&json!("email_required"), &json!("acme")));
        let by_facebook = social.arrives_by_facebook("ada", "4711", Some("v@example.org")).expect(200).json();
        assert_eq!(by_facebook["status"], "email_required");
        assert_eq!(text(social, "SELECT state AS t FROM accounts"), "unclaimed");
        assert_eq!((rows(social, "sessions"), rows(social, "proofs")), (0, 0));
        assert!(social.mail_to("v@example.org").is_empty());
    }

    fn oa_17_an_address_that_is_none_is_as_if_it_were_not_there(social) {
        let long = format!("{}@example.org", "a".repeat(2048));
        for email in [
            json!(null), json!(["v@example.org"]), json!({ "a": 1 }), json!(7), json!(long), json!("v@example.org\r\nBcc: a@x.example"), json!("v\u{0}@x.example"),
        ] {
            let said = json!({ "email": email, "email_verified": true, "hd": "example.org" });
            let body = social.arrives_by_google("g-1", &said).expect(200).json();
            assert_eq!((&body["status"], &body["email_hint"]), (&json!("email_required"), &json!(null)), "{said}");
        }
        social.wait_until_mail_is_carried();
        assert!(social.smtp.messages().is_empty());
    }

    fn twitter_gave_no_email_and_both_secrets_bring_the_history(social) {
        let pushed = social.emails_support("ada@example.org");
        let go_on = continuation(social.arrives_by_twitter("ada", "12"));
        social.gives_email(&go_on, "Ada@Example.org").expect(202);
        let mail = social.mail_to("ada@example.org").pop().unwrap().text();
        assert!(mail.contains("@ada") && mail.contains("Twitter (X)"), "the mail names what would be attached: {mail}");
        assert!(!mail.contains("#token=") && !mail.contains("https://help.shop.example"), "{mail}");
        let code = social.code_mailed_to("ada@example.org");
        let ada = signed_in(social.proves_email(&go_on, &code));
        assert_eq!(ada.account["id"], pushed["account_id"]);
        assert_eq!(sees(social, &ada), [pushed["conversation_id"].clone()]);
        assert_eq!(social.identities_of(&ada)[0]["label"], "ada");
        assert_eq!(social.proves_email(&go_on, &code).expect(410).code(), "flow_expired", "both are spent");
        let again = signed_in(social.arrives_by_twitter("ada_l", "12"));
        assert_eq!(again.account["id"], ada.account["id"], "a handle changes, the id does not");
        assert_eq!(social.identities_of(&again)[0]["label"], "ada_l");
    }

    fn whom_support_knows_by_a_tweet_has_the_tweets_and_no_more(social) {
        let tweet = tweet_of(social, "12", "ada");
        let ada = signed_in(social.arrives_by_twitter("ada", "12"));
        assert_eq!(ada.account["id"], tweet["account_id"]);
        assert_eq!(ada.account["primary_email"], json!(null));
        assert_eq!(sees(social, &ada), [tweet["conversation_id"].clone()]);
    }

    fn ph_19_the_desk_named_two_together_and_each_opens_only_its_own(social) {
        let mailed = social.emails_support("v@example.org");
        let author = json!({ "twitter": { "id": "666", "handle": "a" }, "email": "v@example.org" });
        let tweet = tweets(social, &author);
        assert_eq!(tweet["account_id"], mailed["account_id"]);
        let a = signed_in(social.arrives_by_twitter("a", "666"));
        assert_ne!(a.account["id"], mailed["account_id"], "the rest keeps the account's id");
        assert_eq!(sees(social, &a), [tweet["conversation_id"].clone()]);
        assert_eq!(opens(social, &a, &mailed["conversation_id"]), 404);
        // the owner of the address takes what came by it, and never sees the tweets
        let v = signed_in(social.arrives_by_google("g-1", &proven("v@example.org")));
        assert_eq!(v.account["id"], mailed["account_id"]);
        assert_eq!(sees(social, &v), [mailed["conversation_id"].clone()]);
        assert_eq!(opens(social, &v, &tweet["conversation_id"]), 404);
        assert_eq!(social.count("SELECT count(*) AS n FROM merge_suggestions"), 1);
    }

    fn what_is_proven_together_becomes_one_account_though_support_kept_two(social) {
        let mailed = social.emails_support("ada@example.org");
        let go_on = continuation(social.arrives_by_twitter("ada", "12"));
        // she tweets while the code is on its way
        let tweet = tweet_of(social, "12", "ada");
        assert_ne!(tweet["account_id"], mailed["account_id"]);
        social.gives_email(&go_on, "ada@example.org").expect(202);
        let ada = signed_in(social.proves_email(&go_on, &social.code_mailed_to("ada@example.org")));
        assert_eq!(ada.account["id"], mailed["account_id"]);
        let mut seen: Vec<String> = sees(social, &ada).iter().map(Value::to_string).collect();
        seen.sort();
        let mut both = [mailed["conversation_id"].to_string(), tweet["conversation_id"].to_string()];
        both.sort();
        assert_eq!(seen, both);
        let gone = format!("SELECT state AS t FROM accounts WHERE merged_into = {}", account_of("ada@example.org"));
        assert_eq!(text(social, &gone), "merged", "the empty account points to the one that remains");
        assert_eq!(events(social, "account.merged"), 1);
    }

    fn ph_15_the_victims_click_or_the_strangers_wait_alone_attaches_nothing(social) {
        social.emails_support("v@example.org");
        let a = continuation(social.arrives_by_twitter("a", "666"));
        social.gives_email(&a, "v@example.org").expect(202);
        let code = social.code_mailed_to("v@example.org");
        // V, who has the code alone
        for road in ["/v1/password-resets/confirm", "/v1/sign-ups/confirm"] {
            let body = json!({ "email": "v@example.org", "code": code, "password": PASSWORD });
            social.client.post(road).json(&body).send().expect(404);
        }
        social.proves_email("dft1_AAAA", &code).expect(404);
        let vs_own = continuation(social.arrives_by_twitter("v", "777"));
        social.proves_email(&vs_own, &code).expect(404);
        // A, who has the continuation alone
        for guess in ["AAAA-AAAA", "", "ABCD-EFGH"] {
            assert_eq!(social.proves_email(&a, guess).expect(404).code(), "secret_not_found");
        }
        assert_eq!(social.count("SELECT count(*) AS n FROM identities WHERE kind = 'twitter'"), 0);
        assert_eq!(text(social, "SELECT state AS t FROM accounts"), "unclaimed");
    }

    fn five_wrong_codes_spend_a_code_and_another_can_be_asked_for(social) {
        let go_on = continuation(social.arrives_by_twitter("ada", "12"));
        social.gives_email(&go_on, "ada@example.org").expect(202);
        let code = social.code_mailed_to("ada@example.org");
        for _ in 0..5 {
            social.proves_email(&go_on, "AAAA-AAAA").expect(404);
        }
        social.proves_email(&go_on, &code).expect(404);
        social.gives_email(&go_on, "ada@example.org").expect(202);
        let next = social.code_mailed_to("ada@example.org");
        assert_ne!(next, code);
        signed_in(social.proves_email(&go_on, &next));
    }

    fn a_newer_code_voids_the_older_of_its_flow_and_no_other_flows(social) {
        let ada = continuation(social.arrives_by_twitter("ada", "12"));
        social.gives_email(&ada, "ada@example.org").expect(202);
        let first = social.code_mailed_to("ada@example.org");
        let mallory = continuation(social.arrives_by_twitter("mallory", "666"));
        social.gives_email(&mallory, "ada@example.org").expect(202);
        assert_eq!(social.mail_to("ada@example.org").len(), 2);
        social.gives_email(&mallory, "mallory@example.com").expect(202);
        assert_eq!(social.mail_to("mallory@example.com").len(), 1);
        signed_in(social.proves_email(&ada, &first));
        social.advance(Duration::from_secs(11 * 60));
        let late = social.code_mailed_to("mallory@example.com");
        social.proves_email(&mallory, &late).expect(404);
        social.advance(Duration::from_secs(20 * 60));
        assert_eq!(social.gives_email(&mallory, "mallory@example.com").expect(410).code(), "flow_expired");
    }

    fn ph_17_the_address_of_an_owner_gets_a_notice_without_a_code(social) {
        let v = social.claims("v@example.org");
        social.advance(Duration::from_secs(7200));
        let a = continuation(social.arrives_by_twitter("a", "666"));
        social.gives_email(&a, "v@example.org").expect(202);
        let mail = social.mail_to("v@example.org").pop().unwrap();
        assert!(mail.text().contains("@a") && !mail.text().contains("Code:"), "{}", mail.text());
        for guess in ["AAAA-AAAA", "BBBB-BBBB"] {
            social.proves_email(&a, guess).expect(404);
        }
        let session = social.signs_in("v@example.org");
        assert_eq!(session.account["id"], v.account_id.as_str());
        assert!(social.identities_of(&session).is_empty());
    }

    fn en_05_giving_an_address_is_answered_alike_whoever_has_it(social) {
        social.emails_support("unclaimed@example.org");
        for kind in ["claimed", "disabled"] {
            social.claims(&format!("{kind}@example.org"));
        }
        becomes(social, "disabled@example.org", "disabled");
        social.advance(Duration::from_secs(86_400));
        let mut answers = Vec::new();
        for (n, kind) in ["absent", "unclaimed", "claimed", "disabled"].iter().enumerate() {
            let go_on = continuation(social.arrives_by_twitter("a", &format!("66{n}")));
            let work = ["outbox", "challenges", "audit_events", "accounts", "identities"];
            let before = work.map(|table| rows(social, table));
            let answer = social.gives_email(&go_on, &format!("{kind}@example.org")).expect(202);
            let done: Vec<i64> = work.iter().zip(before).map(|(table, n)| rows(social, table) - n).collect();
            assert_eq!(done, [1, 1, 0, 0, 0], "{kind}");
            let wrong = social.proves_email(&go_on, "AAAA-AAAA").expect(404);
            answers.push((answer.body.clone(), wrong.code()));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert!(social.mail_to("disabled@example.org").iter().all(|mail| !mail.text().contains("Twitter")));
    }

    fn ph_28_a_recycled_handle_is_another_person(social) {
        let ada = signed_in({
            tweet_of(social, "12", "ada");
            social.arrives_by_twitter("ada", "12")
        });
        let other = social.arrives_by_twitter("ada", "13").expect(200).json();
        assert_eq!(other["status"], "email_required");
        assert_eq!(social.identities_of(&ada).len(), 1);
    }

    fn sign_up_for_known_people_lets_them_give_the_address_that_support_knows(social) {
        social.change_settings(|settings| settings.sign_up = SignUpPolicy::KnownOnly);
        social.emails_support("ada@example.org");
        let go_on = continuation(social.arrives_by_google("g-1", &proven("ada.l@gmail.com")));
        social.gives_email(&go_on, "stranger@example.com").expect(202);
        assert!(social.mail_to("stranger@example.com").is_empty());
        social.gives_email(&go_on, "ada@example.org").expect(202);
        let ada = signed_in(social.proves_email(&go_on, &social.code_mailed_to("ada@example.org")));
        assert_eq!(ada.account["primary_email"], "ada@example.org");
        let by_google = signed_in(social.arrives_by_google("g-1", &proven("ada.l@gmail.com")));
        assert_eq!(by_google.account["id"], ada.account["id"]);
    }

    fn a_provider_that_may_not_create_still_claims(social) {
        social.change_settings(|settings| {
            for name in ["google", "twitter"] {
                let name: doorstep_core::provider::ProviderName = name.parse().unwrap();
                let unset = doorstep_core::settings::ProviderSettings::unset(&name);
                settings.providers.entry(name).or_insert(unset).may_create_accounts = false;
            }
        });
        continuation(social.arrives_by_google("g-2", &proven("new@gmail.com")));
        let go_on = continuation(social.arrives_by_twitter("new", "13"));
        social.gives_email(&go_on, "new@example.org").expect(202);
        assert!(social.mail_to("new@example.org").is_empty());
        social.emails_support("ada@example.org");
        signed_in(social.arrives_by_google("g-1", &proven("ada@example.org")));
    }

    fn an_admin_may_trust_nobodys_word_for_an_address(social) {
        social.change_settings(|settings| {
            let google: doorstep_core::provider::ProviderName = "google".parse().unwrap();
            let unset = doorstep_core::settings::ProviderSettings::unset(&google);
            settings.providers.entry(google).or_insert(unset).email_counts = false;
        });
        continuation(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
        // what an admin cannot do is to trust another provider's
        social.change_settings(|settings| {
            for name in ["acme", "facebook", "twitter"] {
                let name: doorstep_core::provider::ProviderName = name.parse().unwrap();
                let unset = doorstep_core::settings::ProviderSettings::unset(&name);
                settings.providers.entry(name).or_insert(unset).email_counts = true;
            }
        });
        continuation(social.arrives_by_acme("a-1", &proven("ada@gmail.com")));
        continuation(social.arrives_by_facebook("ada", "4711", Some("ada@gmail.com")));
    }

    fn ph_02_ph_03_whoever_came_before_the_claim_by_a_provider_keeps_nothing(social) {
        social.emails_support("v@example.org");
        social.asks_for_reset("v@example.org").expect(202);
        let early = social.secret_mailed_to("v@example.org");
        let forced = social.signs_up("a@example.org");
        social.sql(&format!(
            "INSERT INTO credentials (id, account_id, kind, secret_hash, created_at, updated_at)
             SELECT a.id, a.id, 'password', c.secret_hash, c.created_at, c.updated_at
             FROM accounts a, credentials c WHERE a.id = {}", account_of("v@example.org")
        ));
        let v = signed_in(social.arrives_by_google("g-1", &proven("v@example.org")));
        social.confirms_reset(&json!({ "token": early.token, "password": OTHER_PASSWORD })).expect(410);
        social.tries_to_sign_in("v@example.org", PASSWORD).expect(401);
        social.me(&forced.access_token).expect(200);
        social.me(&v.access_token).expect(200);
    }

    fn the_session_says_by_which_way_it_was_opened(social) {
        let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@example.org")));
        assert_eq!(text(social, "SELECT method AS t FROM sessions"), "google");
        let next = SignedIn::of(&social.refreshes(&ada.refresh_token).expect(200));
        assert_eq!(next.account["id"], ada.account["id"]);
        social.signs_out(&next.access_token).expect(204);
        social.me(&next.access_token).expect(401);
    }
}
