//! Two accounts become one by both mailboxes: a fresh session alone may be a thief's.

use std::time::Duration;

use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::merging::{asks_to_merge, codes_of, confirms_merge, merges};
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::social::{Social, signed_in};
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::{Value, json};

use crate::becoming_one::is_here_again;
use crate::forced::{resets, tweets};
use crate::goodbye::{asks, leaves};
use crate::reauthentication::{begins, brought, shows};
use crate::talk::{opens, pointers, sees, starts};

const V: &str = "v@example.org";
const T: &str = "thief@example.org";
const X: &str = "x@thief.example";

/// V's account in a thief's hands, by a fresh session; what V said there; and the thief's own account.
struct Theft {
    stolen: SignedIn,
    secret: Value,
    thief: SignedIn,
}

fn theft(app: &App) -> Theft {
    app.claims(V);
    let stolen = app.signs_in(V);
    let secret = starts(app, &stolen, "A secret", "hello")["id"].clone();
    Theft { secret, thief: app.signs_up(T), stolen }
}

fn merged(app: &App) -> i64 {
    app.count("SELECT count(*) AS n FROM accounts WHERE state = 'merged'")
}

/// How many undos V was mailed.
fn undos(app: &App) -> usize {
    app.wait_until_mail_is_carried();
    app.mail_to(V).iter().filter(|mail| mail.text().contains("https://help.shop.example/undo#token=")).count()
}

fn not_found(answer: Answer) {
    assert_eq!(answer.expect(404).code(), "secret_not_found");
}

on_both! {
    fn ph_26_a_thief_with_both_sessions_merges_nothing_without_the_victims_mailbox(app) {
        let theft = theft(app);
        for (mine, other) in [(&theft.thief, &theft.stolen), (&theft.stolen, &theft.thief)] {
            let asked = asks_to_merge(app, mine, other, false).expect(202).json();
            let mut to = [asked["sent_to"].as_str().unwrap(), asked["other_sent_to"].as_str().unwrap()];
            to.sort_unstable();
            assert_eq!(to, [T, V]);
            let own = app.code_mailed_to(T);
            // what is left out spends no try
            for codes in [json!({}), json!({ "code": own }), json!({ "other_code": own }), json!({ "code": "", "other_code": null })] {
                confirms_merge(app, mine, other, &codes).expect(422);
            }
            for codes in [json!({ "code": own, "other_code": own }), json!({ "code": "AAAA-AAAA", "other_code": "AAAA-AAAA" })] {
                not_found(confirms_merge(app, mine, other, &codes));
            }
        }
        assert_eq!((merged(app), opens(app, &theft.thief, &theft.secret)), (0, 404));
        let told = app.mail_to(V).pop().unwrap();
        assert!(told.text().contains(T) && told.text().contains("Nothing is\nmerged without the code"), "{}", told.text());
    }

    fn the_mail_goes_to_whoever_was_there_first_whatever_a_thief_does_to_the_addresses(app) {
        let theft = theft(app);
        app.adds(&theft.stolen, X);
        let sent_to = || asks_to_merge(app, &theft.thief, &theft.stolen, false).expect(202).json()["other_sent_to"].clone();
        assert_eq!(sent_to(), V);
        app.makes_primary(&theft.stolen, &app.email_of(&theft.stolen, X).id).expect(200);
        assert_eq!(sent_to(), V);
        app.removes(&theft.stolen, &app.email_of(&theft.stolen, V).id).expect(204);
        assert_eq!(sent_to(), V);
        // and V, who has lost the address there, takes all of it back
        let body = json!({ "token": app.undo_mailed_to(V), "password": OTHER_PASSWORD, "unlink_others": true });
        app.undoes(&body).expect(200);
        let v = SignedIn::of(&app.tries_to_sign_in(V, OTHER_PASSWORD).expect(201));
        assert_eq!((&v.account["id"], opens(app, &v, &theft.secret)), (&theft.stolen.account["id"], 200));
        not_found(app.client.post("/v1/sign-ups/inspect").json(&json!({ "token": "A".repeat(43) })).send());
    }

    fn codes_are_good_in_the_sessions_that_asked_for_these_accounts_once_and_for_ten_minutes(app) {
        let (ada, other, third) = (app.signs_up("ada@example.org"), app.signs_up("other@example.org"), app.signs_up("third@example.org"));
        let codes = codes_of(app, &asks_to_merge(app, &ada, &other, false).expect(202));
        // another session of the same account, and another account
        not_found(confirms_merge(app, &app.signs_in("ada@example.org"), &other, &codes));
        not_found(confirms_merge(app, &ada, &app.signs_in("other@example.org"), &codes));
        not_found(confirms_merge(app, &ada, &third, &codes));
        let swapped = json!({ "code": codes["other_code"], "other_code": codes["code"] });
        not_found(confirms_merge(app, &ada, &other, &swapped));
        not_found(confirms_merge(app, &other, &ada, &swapped));
        app.advance(Duration::from_secs(601));
        let fresh = |who: &SignedIn| {
            let who = SignedIn::of(&app.refreshes(&who.refresh_token).expect(200));
            SignedIn::of(&shows(app, &who, &json!({ "password": PASSWORD })).expect(200))
        };
        let (ada, other) = (fresh(&ada), fresh(&other));
        not_found(confirms_merge(app, &ada, &other, &codes));
        let codes = codes_of(app, &asks_to_merge(app, &ada, &other, false).expect(202));
        let answers = in_parallel(8, |_| confirms_merge(app, &ada, &other, &codes));
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        assert!(answers.iter().all(|answer| [200, 404, 422].contains(&answer.status)));
        assert_eq!(merged(app), 1);
    }

    fn five_wrong_tries_spend_a_code_and_a_stale_session_asks_nothing(app) {
        let (ada, other) = (app.signs_up("ada@example.org"), app.signs_up("other@example.org"));
        let codes = codes_of(app, &asks_to_merge(app, &ada, &other, false).expect(202));
        for _ in 0..5 {
            let wrong = confirms_merge(app, &ada, &other, &json!({ "code": codes["code"], "other_code": "AAAA-AAAA" })).expect(404);
            assert_eq!((wrong.code().as_str(), pointers(&wrong)), ("secret_not_found", vec!["/other_code".to_owned()]));
        }
        not_found(confirms_merge(app, &ada, &other, &codes));
        app.advance(Duration::from_secs(660));
        let ada = SignedIn::of(&app.refreshes(&ada.refresh_token).expect(200));
        assert_eq!(asks_to_merge(app, &ada, &other, false).expect(422).code(), "validation_failed", "its token has run out");
        let other = app.signs_in("other@example.org");
        assert_eq!(asks_to_merge(app, &ada, &other, false).expect(403).code(), "reauth_required");
        assert_eq!(confirms_merge(app, &ada, &other, &codes).expect(403).code(), "reauth_required");
    }

    fn what_both_have_confirmed_is_done_and_can_be_undone_no_more(app) {
        let (ada, other) = (app.signs_up("ada@example.org"), app.signs_up("other@example.org"));
        app.adds(&ada, "ada@work.example");
        let undo = app.undo_mailed_to("ada@example.org");
        merges(app, &ada, &other, false).expect(200);
        assert_eq!(app.undoes(&json!({ "token": undo })).expect(410).code(), "secret_expired");
        for address in ["ada@example.org", "ada@work.example", "other@example.org"] {
            assert_eq!(app.mail_to(address).pop().unwrap().subject(), "Your two accounts at Shop Help are now one");
        }
        leaves(app, &ada, "ada@example.org");
    }

    fn an_address_that_came_later_and_was_removed_has_no_say_over_who_was_there_before(app) {
        let theft = theft(app);
        app.advance(Duration::from_secs(3600));
        let stolen = app.signs_in(V);
        app.adds(&stolen, X);
        app.advance(Duration::from_secs(71 * 3600));
        let owner = app.signs_in(V);
        app.removes(&owner, &app.email_of(&owner, X).id).expect(204);
        // V's own undo has run out, and X's is live
        app.advance(Duration::from_secs(2 * 3600));
        let (stolen, thief) = (app.signs_in(V), app.signs_in(T));
        assert_eq!(asks(app, &stolen).expect(202).json()["email"], V);
        assert_eq!(asks_to_merge(app, &thief, &stolen, false).expect(202).json()["other_sent_to"], V);
        // what X can still do is what an undo of its removal does, and V undoes that
        let body = json!({ "token": app.undo_mailed_to(X), "password": OTHER_PASSWORD });
        app.undoes(&body).expect(200);
        assert_eq!(theft.thief.account["id"], thief.account["id"]);
    }

    fn a_recovery_ends_what_is_reminded_of_meanwhile(app) {
        app.claims(V);
        for round in 0..6 {
            let x = format!("x{round}@thief.example");
            let v = app.signs_in(V);
            let added = app.adds(&v, &x);
            app.removes(&v, &added).expect(204);
            let token = resets(app, V).token;
            let body = json!({ "token": token, "password": PASSWORD, "unlink_others": true });
            let answers = in_parallel(8, |n| match n {
                0 => app.confirms_reset(&body),
                n => app.client.post("/v1/password-resets").header("X-Forwarded-For", &format!("198.51.{round}.{n}")).json(&json!({ "email": x })).send(),
            });
            assert_eq!(answers[0].status, 200);
            app.wait_until_mail_is_carried();
            let live = "SELECT count(*) AS n FROM challenges WHERE purpose = 'email_undo' AND state = 'live'";
            assert_eq!(app.count(&format!("{live} AND address = '{x}'")), 0, "round {round}");
            app.advance(Duration::from_secs(4 * 3600));
        }
    }

    fn whoever_is_mailed_without_end_is_mailed_no_more(app) {
        let theft = theft(app);
        for _ in 0..6 {
            asks_to_merge(app, &theft.thief, &theft.stolen, false).expect(202);
        }
        app.wait_until_mail_is_carried();
        let asked = app.mail_to(V).iter().filter(|mail| mail.subject().contains("merge two accounts")).count();
        assert_eq!(asked, 3);
    }

    fn a_victim_who_begins_anew_still_has_the_say_over_what_was_theirs(app) {
        let theft = theft(app);
        app.adds(&theft.stolen, X);
        app.makes_primary(&theft.stolen, &app.email_of(&theft.stolen, X).id).expect(200);
        let token = resets(app, X).token;
        app.confirms_reset(&json!({ "token": token, "password": OTHER_PASSWORD, "unlink_others": true })).expect(200);
        let thief = SignedIn::of(&app.tries_to_sign_in(X, OTHER_PASSWORD).expect(201));
        // V does what everybody does, and is told what there is besides
        let before = undos(app);
        app.asks_for_reset(V).expect(202);
        assert_eq!(undos(app), before + 1);
        app.claims(V);
        assert_eq!(undos(app), before + 2, "until it is another account's");
        app.asks_for_reset(V).expect(202);
        assert_eq!(undos(app), before + 2);
        let anew = app.signs_in(V);
        assert_ne!(anew.account["id"], theft.stolen.account["id"]);
        // it is V who is asked, and not the thief
        assert_eq!(asks(app, &thief).expect(202).json()["email"], V);
        assert_eq!(asks_to_merge(app, &theft.thief, &thief, false).expect(202).json()["other_sent_to"], V);
    }

    fn the_undo_that_forgot_password_mails_takes_the_account_back(app) {
        let theft = theft(app);
        app.adds(&theft.stolen, X);
        app.makes_primary(&theft.stolen, &app.email_of(&theft.stolen, X).id).expect(200);
        app.removes(&theft.stolen, &app.email_of(&theft.stolen, V).id).expect(204);
        app.advance(Duration::from_secs(71 * 3600));
        app.asks_for_reset(V).expect(202);
        let undo = app.undo_mailed_to(V);
        app.undoes(&json!({ "token": undo, "password": OTHER_PASSWORD, "unlink_others": true })).expect(200);
        let v = SignedIn::of(&app.tries_to_sign_in(V, OTHER_PASSWORD).expect(201));
        assert_eq!(sees(app, &v), [theft.secret]);
    }

    fn forgot_password_makes_no_undo_last_longer(app) {
        let theft = theft(app);
        app.adds(&theft.stolen, X);
        app.makes_primary(&theft.stolen, &app.email_of(&theft.stolen, X).id).expect(200);
        app.removes(&theft.stolen, &app.email_of(&theft.stolen, V).id).expect(204);
        app.advance(Duration::from_secs(71 * 3600));
        app.asks_for_reset(V).expect(202);
        let undo = app.undo_mailed_to(V);
        app.advance(Duration::from_secs(3700));
        app.undoes(&json!({ "token": undo })).expect(410);
        let before = undos(app);
        app.asks_for_reset(V).expect(202);
        assert_eq!(undos(app), before, "there is nothing to take back any more");
    }
}

fn by_twitter(social: &Social, handle: &str, id: &str) -> SignedIn {
    tweets(social, &json!({ "twitter": { "id": id, "handle": handle } }));
    signed_in(social.arrives_by_twitter(handle, id))
}

on_both_with_providers! {
    fn an_account_without_an_address_takes_its_owner_there_again(social) {
        let (eve, ada) = (by_twitter(social, "eve", "13"), social.signs_up("ada@example.org"));
        assert_eq!(asks_to_merge(social, &eve, &ada, false).expect(403).code(), "reauth_required");
        assert_eq!(asks_to_merge(social, &ada, &eve, false).expect(403).code(), "reauth_required", "nor the other one");
        let eve = is_here_again(social, &eve, "eve");
        let asked = asks_to_merge(social, &ada, &eve, false).expect(202);
        assert_eq!((asked.json()["sent_to"].as_str(), &asked.json()["other_sent_to"]), (Some("ada@example.org"), &Value::Null));
        let codes = codes_of(social, &asked);
        confirms_merge(social, &ada, &eve, &json!({})).expect(422);
        social.advance(Duration::from_secs(61));
        confirms_merge(social, &ada, &eve, &codes).expect(403);
        let eve = is_here_again(social, &eve, "eve");
        confirms_merge(social, &ada, &eve, &codes).expect(200);
        assert_eq!(signed_in(social.arrives_by_twitter("eve", "13")).account["id"], ada.account["id"]);
    }

    fn whoever_has_copied_a_token_is_not_there_again_by_what_they_have_linked(social) {
        let stolen = by_twitter(social, "ada", "12");
        social.links_google(&stolen, "g-thief", "thief@gmail.com").expect(200);
        let flow = begins(social, &stolen, "google");
        let code = social.brings(&flow, &social.google_says(&flow, "g-thief", &json!({})));
        assert_eq!(shows(social, &stolen, &brought(&code, &flow)).expect(409).code(), "not_linked");
        assert_eq!(asks(social, &stolen).expect(403).code(), "reauth_required");
        // what has been linked for long does
        social.advance(Duration::from_secs(73 * 3600));
        let later = signed_in(social.arrives_by_twitter("ada", "12"));
        let flow = begins(social, &later, "google");
        let code = social.brings(&flow, &social.google_says(&flow, "g-thief", &json!({})));
        shows(social, &later, &brought(&code, &flow)).expect(200);
    }

    fn an_address_that_has_gone_again_has_no_say_over_who_signs_in_by_something_else(social) {
        let ada = by_twitter(social, "ada", "12");
        social.advance(Duration::from_secs(60));
        let added = social.adds(&ada, T);
        social.advance(Duration::from_secs(71 * 3600));
        let ada = signed_in(social.arrives_by_twitter("ada", "12"));
        social.removes(&ada, &added).expect(204);
        social.advance(Duration::from_secs(2 * 3600));
        let ada = signed_in(social.arrives_by_twitter("ada", "12"));
        assert_eq!(asks(social, &ada).expect(403).code(), "reauth_required");
        asks(social, &is_here_again(social, &ada, "ada")).expect(204);
    }

    fn an_account_that_can_be_told_of_nothing_is_not_deleted_by_an_address_of_a_moment_ago(social) {
        let ada = by_twitter(social, "ada", "12");
        assert_eq!(asks(social, &ada).expect(403).code(), "reauth_required");
        social.advance(Duration::from_secs(2));
        let added = social.adds(&ada, T);
        assert_eq!(asks(social, &ada).expect(409).code(), "address_too_new");
        // nor once what it was signed in to with before is gone
        let thief = SignedIn::of(&social.tries_to_sign_in(T, &{ social.claims(T); PASSWORD.to_owned() }).expect(201));
        let twitter = social.identities_of(&thief)[0]["id"].clone();
        social.unlinks(&thief, &twitter).expect(204);
        assert_eq!(asks(social, &thief).expect(409).code(), "address_too_new");
        assert_eq!(asks_to_merge(social, &social.signs_up("own@thief.example"), &thief, false).expect(409).code(), "address_too_new");
        assert_eq!(social.removes(&thief, &added).status, 409, "the last way in");
        social.advance(Duration::from_secs(73 * 3600));
        asks(social, &social.signs_in(T)).expect(202);
    }
}
