//! Races of social sign-in: the same thing at the same moment, many times; what may happen once happens once.

use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::PASSWORD;
use doorstep_tests::social::{Flow, REDIRECT_URI, Social, continuation, proven, signed_in};
use doorstep_tests::{SignedIn, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::tweets;
use crate::talk::sees;

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

fn rows(social: &Social, of: &str) -> i64 {
    social.count(&format!("SELECT count(*) AS n FROM {of}"))
}

/// Whoever Google says this of has come back with so many flows, each up to the exchange.
fn returned(social: &Social, n: usize, sub: &str, said: &Value) -> Vec<(Flow, String)> {
    let one = |_| {
        let flow = social.begins("google");
        let code = social.brings(&flow, &social.google_says(&flow, sub, said));
        (flow, code)
    };
    (0..n).map(one).collect()
}

/// All of them are signed in, to one account, and stay so.
fn all_are_in(social: &Social, answers: Vec<Answer>) -> SignedIn {
    let sessions: Vec<SignedIn> = answers.into_iter().map(signed_in).collect();
    for session in &sessions {
        assert_eq!(session.account["id"], sessions[0].account["id"]);
        social.me(&session.access_token).expect(200);
    }
    assert_eq!(rows(social, "sessions WHERE ended_at IS NULL"), i64::try_from(sessions.len()).unwrap());
    sessions[0].clone()
}

on_both_with_providers! {
    fn rc_17_of_eight_browsers_at_one_callback_one_goes_on(social) {
        let flow = social.begins("google");
        let url = social.google_says(&flow, "g-1", &proven("ada@gmail.com"));
        let answers = in_parallel(8, |_| social.browser_goes_to(&url));
        let mut seen = statuses(&answers);
        seen.sort_unstable();
        assert_eq!(seen, [303, 410, 410, 410, 410, 410, 410, 410]);
        let location = answers.iter().find_map(|answer| answer.header("location")).unwrap();
        assert!(location.starts_with(REDIRECT_URI), "{location}");
        signed_in(social.exchanges(&doorstep_tests::providers::parameter(location, "code").unwrap(), &flow.verifier));
    }

    fn rc_18_of_eight_who_exchange_one_code_one_has_a_session(social) {
        for (sub, said) in [("g-1", proven("ada@gmail.com")), ("g-1", json!({})), ("g-2", json!({}))] {
            let before = rows(social, "sessions");
            let (flow, code) = returned(social, 1, sub, &said).remove(0);
            let answers = in_parallel(8, |_| social.exchanges(&code, &flow.verifier));
            let (won, lost): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|answer| answer.status == 200);
            assert_eq!((won.len(), lost.len()), (1, 7), "{:?}", statuses(&answers));
            assert!(lost.iter().all(|answer| (answer.status, answer.code().as_str()) == (410, "flow_expired")), "{:?}", statuses(&answers));
            if sub == "g-1" {
                social.me(&SignedIn::of(won[0]).access_token).expect(200);
            }
            assert_eq!(rows(social, "sessions"), before + i64::from(sub == "g-1"));
        }
        assert_eq!(social.google.calls(doorstep_tests::providers::issuer::TOKEN).len(), 3, "the provider is asked once each");
    }

    fn of_eight_who_link_with_one_code_one_has_linked(social) {
        social.claims("ada@example.org");
        let ada = social.signs_in("ada@example.org");
        let flow = social.begins_to_link(&ada, "twitter");
        let code = social.brings(&flow, &social.consents(&flow, "12"));
        let mut seen = statuses(&in_parallel(8, |_| social.finishes_linking(&ada, &code, &flow.verifier)));
        seen.sort_unstable();
        assert_eq!(seen, [200, 410, 410, 410, 410, 410, 410, 410]);
        assert_eq!(rows(social, "audit_events WHERE action = 'identity.linked'"), 1);
    }

    fn rc_08_of_two_who_link_one_subject_one_has_it(social) {
        for round in 0..4 {
            let sessions = ["a", "b"].map(|name| {
                let email = format!("{name}{round}@example.org");
                social.claims(&email);
                social.signs_in(&email)
            });
            let number = (100 + round).to_string();
            let flows = [0, 1].map(|n| {
                let flow = social.begins_to_link(&sessions[n], "twitter");
                let code = social.brings(&flow, &social.consents(&flow, &number));
                (flow, code)
            });
            let answers = in_parallel(2, |n| social.finishes_linking(&sessions[n], &flows[n].1, &flows[n].0.verifier));
            let mut seen = statuses(&answers);
            seen.sort_unstable();
            assert_eq!(seen, [200, 409]);
            assert_eq!(rows(social, &format!("identities WHERE kind = 'twitter' AND subject = '{number}'")), 1);
            social.advance(std::time::Duration::from_secs(7200));
        }
    }

    fn a_continuation_confirmed_eight_times_at_once_makes_one_account(social) {
        for known in [false, true] {
            let email = format!("ada-{known}@example.org");
            if known {
                social.emails_support(&email);
            }
            let accounts = rows(social, "accounts");
            let go_on = continuation(social.arrives_by_twitter("ada", if known { "13" } else { "12" }));
            social.gives_email(&go_on, &email).expect(202);
            let code = social.code_mailed_to(&email);
            let answers = in_parallel(8, |_| social.proves_email(&go_on, &code));
            let (won, lost): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|answer| answer.status == 200);
            assert_eq!((won.len(), lost.len()), (1, 7), "{:?}", statuses(&answers));
            // who comes after it was spent is told what one is told who does not know it
            let late = |answer: &&Answer| ["flow_expired", "secret_expired", "secret_not_found"].contains(&answer.code().as_str());
            assert!(lost.iter().all(late), "{:?}", statuses(&answers));
            social.me(&SignedIn::of(won[0]).access_token).expect(200);
            assert_eq!(rows(social, "accounts"), accounts + i64::from(!known));
            assert_eq!(rows(social, "sessions"), 1 + i64::from(known));
        }
    }

    fn somebody_new_who_arrives_in_eight_flows_at_once_is_one_person(social) {
        let flows = returned(social, 8, "g-1", &proven("new@gmail.com"));
        let answers = in_parallel(8, |n| social.exchanges(&flows[n].1, &flows[n].0.verifier));
        let new = all_are_in(social, answers);
        assert_eq!((rows(social, "accounts"), rows(social, "identities"), rows(social, "proofs")), (1, 2, 2));
        assert_eq!(rows(social, "audit_events WHERE action = 'account.created'"), 1);
        assert_eq!(social.identities_of(&new).len(), 1);
    }

    fn somebody_whom_support_keeps_and_who_arrives_in_eight_flows_at_once_claims_once(social) {
        let pushed = social.emails_support("ada@example.org");
        let flows = returned(social, 8, "g-1", &proven("ada@example.org"));
        let answers = in_parallel(8, |n| social.exchanges(&flows[n].1, &flows[n].0.verifier));
        let ada = all_are_in(social, answers);
        assert_eq!(ada.account["id"], pushed["account_id"]);
        assert_eq!(sees(social, &ada), [pushed["conversation_id"].clone()]);
        assert_eq!(rows(social, "audit_events WHERE action = 'account.claimed'"), 1);
    }

    fn one_address_by_two_subjects_at_once_has_one_owner(social) {
        for round in 0..6 {
            let email = format!("ada{round}@gmail.com");
            social.emails_support(&email);
            let flows = ["a", "b"].map(|sub| returned(social, 1, &format!("g-{sub}-{round}"), &proven(&email)).remove(0));
            let answers = in_parallel(2, |n| social.exchanges(&flows[n].1, &flows[n].0.verifier));
            let won = usize::from(answers[0].status != 200);
            signed_in(answers[won].clone());
            assert_eq!((answers[1 - won].status, answers[1 - won].code().as_str()), (409, "link_required"));
            assert_eq!(rows(social, "identities WHERE kind = 'google'"), round + 1);
        }
    }

    fn google_and_forgot_password_at_once_have_one_winner(social) {
        for round in 0..6 {
            let email = format!("v{round}@example.org");
            let pushed = social.emails_support(&email);
            social.asks_for_reset(&email).expect(202);
            let token = social.secret_mailed_to(&email).token;
            let (flow, code) = returned(social, 1, &format!("g-{round}"), &proven(&email)).remove(0);
            let answers = in_parallel(2, |n| match (n + round) % 2 {
                0 => social.exchanges(&code, &flow.verifier),
                _ => social.confirms_reset(&json!({ "token": token, "password": PASSWORD })),
            });
            let google = &answers[round % 2];
            let reset = &answers[1 - round % 2];
            let its_subject = format!("identities WHERE kind = 'google' AND subject = 'g-{round}'");
            match (google.status, reset.status) {
                (200, 410) => {
                    assert_eq!(reset.code(), "secret_expired");
                    let owner = SignedIn::of(google);
                    assert_eq!(owner.account["id"], pushed["account_id"]);
                    social.me(&owner.access_token).expect(200);
                    social.tries_to_sign_in(&email, PASSWORD).expect(401);
                    assert_eq!(rows(social, &its_subject), 1);
                }
                (409, 200) => {
                    assert_eq!(google.code(), "link_required");
                    assert_eq!(social.signs_in(&email).account["id"], pushed["account_id"]);
                    assert_eq!(rows(social, &its_subject), 0);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(rows(social, "accounts WHERE state <> 'claimed'"), 0);
    }

    fn a_first_sign_in_while_the_desk_pushes_has_all_that_was_pushed(social) {
        for round in 0..4 {
            let number = (12 + round).to_string();
            let flows = [0, 1].map(|_| {
                let flow = social.begins("twitter");
                let code = social.brings(&flow, &social.consents(&flow, &number));
                (flow, code)
            });
            let mut tweeted = vec![];
            if round % 2 == 1 {
                tweeted.push(tweets(social, &json!({ "twitter": { "id": number, "handle": "ada" } })));
            }
            let answers = in_parallel(6, |n| match n {
                0 | 1 => Ok(social.exchanges(&flows[n].1, &flows[n].0.verifier)),
                _ => Err(tweets(social, &json!({ "twitter": { "id": number, "handle": "ada" } }))),
            });
            for answer in answers {
                match answer {
                    Ok(arrived) => assert!(["signed_in", "email_required"].contains(&arrived.expect(200).json()["status"].as_str().unwrap())),
                    Err(tweet) => tweeted.push(tweet),
                }
            }
            let ada = signed_in(social.arrives_by_twitter("ada", &number));
            assert_eq!(rows(social, &format!("identities WHERE kind = 'twitter' AND subject = '{number}'")), 1);
            assert!(tweeted.iter().all(|tweet| tweet["account_id"] == ada.account["id"]), "{tweeted:?}");
            assert_eq!(sees(social, &ada).len(), tweeted.len());
            assert_eq!(rows(social, "accounts"), i64::from(round) + 1);
        }
    }
}
