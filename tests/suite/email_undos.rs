//! The undo of rule 13: whoever had the account before a change of its ways in takes it back, and whoever made the
//! change cannot prevent it.

use std::time::Duration;

use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::social::{proven, signed_in};
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::{account_of, becomes, resets, ways_in};

const V: &str = "v@example.org";
const A: &str = "a@example.org";
const THIRD: &str = "third horse, third staple";

/// V's account, and a session of it that A has stolen.
fn stolen(app: &App) -> SignedIn {
    app.claims(V);
    app.signs_in(V)
}

/// A takes the account over by a stolen fresh session: adds an address, makes it primary, removes V's.
fn takes_over(app: &App, stolen: &SignedIn) -> String {
    let mine = app.adds(stolen, A);
    let undo = app.undo_mailed_to(V);
    app.makes_primary(stolen, &mine).expect(200);
    let old = app.email_of(stolen, V).id;
    app.removes(stolen, &old).expect(204);
    undo
}

fn addresses(app: &App, who: &SignedIn) -> Vec<String> {
    app.emails_of(who).into_iter().map(|email| email.email).collect()
}

fn signs_in(app: &App, email: &str, password: &str) -> SignedIn {
    SignedIn::of(&app.tries_to_sign_in(email, password).expect(201))
}

fn drops_others(app: &App, email: &str, password: &str) -> Answer {
    let mail = resets(app, email);
    app.confirms_reset(&json!({ "token": mail.token, "password": password, "unlink_others": true }))
}

fn undoes(app: &App, token: &str) -> Answer {
    app.undoes(&json!({ "token": token, "password": THIRD }))
}

on_both! {
    fn em_13_the_old_address_is_told_and_takes_the_account_back(app) {
        let stolen = stolen(app);
        let wrote = app.emails_support(V);
        takes_over(app, &stolen);
        app.tries_to_sign_in(V, PASSWORD).expect(401);
        let undo = app.undo_mailed_to(V);
        let undone = undoes(app, &undo).expect(200);
        assert_eq!(ways_in(&undone), ["password", "email"]);
        assert_eq!(undone.json()["account"]["primary_email"], V);
        app.me(&stolen.access_token).expect(401);
        app.refreshes(&stolen.refresh_token).expect(401);
        let v = signs_in(app, V, THIRD);
        assert_eq!(addresses(app, &v), [V]);
        assert_eq!(app.conversations_of(&v)[0]["id"], wrote["conversation_id"], "with all that was in it");
        app.tries_to_sign_in(A, PASSWORD).expect(401);
        app.tries_to_sign_in(V, PASSWORD).expect(401);
        let told = app.mail_to(V).pop().unwrap();
        assert_eq!(told.subject(), "Changes to your account at Shop Help were undone");
        assert_eq!(app.count("SELECT count(*) AS n FROM audit_events WHERE action = 'email.undone'"), 1);
    }

    fn it_survives_a_recovery_and_brings_back_what_unlink_others_dropped(app) {
        let stolen = stolen(app);
        app.adds(&stolen, A);
        let undo = app.undo_mailed_to(V);
        drops_others(app, A, OTHER_PASSWORD).expect(200);
        let a = signs_in(app, A, OTHER_PASSWORD);
        assert_eq!(addresses(app, &a), [A], "V is out");
        let later = app.undo_mailed_to(V);
        assert_ne!(undo, later, "and was told of it with an undo as well");
        undoes(app, &later).expect(200);
        app.me(&a.access_token).expect(401);
        app.tries_to_sign_in(A, OTHER_PASSWORD).expect(401);
        assert_eq!(addresses(app, &signs_in(app, V, THIRD)), [V]);
        assert_eq!(undoes(app, &undo).expect(410).code(), "secret_expired", "one of them was enough");
    }

    fn the_link_of_the_last_change_takes_back_all_of_them(app) {
        let stolen = stolen(app);
        takes_over(app, &stolen);
        let last = app.undo_mailed_to(V);
        let inspected = app.inspects_undo(&last).expect(200).json();
        assert_eq!(inspected["email"], V);
        let ways: Vec<_> = inspected["ways_in"].as_array().unwrap().iter().map(|way| way["label"].clone()).collect();
        assert_eq!(ways, [json!(V)]);
        undoes(app, &last).expect(200);
        assert_eq!(addresses(app, &signs_in(app, V, THIRD)), [V]);
    }

    fn whoever_came_last_cannot_undo_the_undo(app) {
        let stolen = stolen(app);
        takes_over(app, &stolen);
        let more = app.adds(&stolen, "b@example.org");
        let of_a = app.undo_mailed_to(A);
        app.removes(&stolen, &more).expect(204);
        let of_b = app.undo_mailed_to("b@example.org");
        undoes(app, &app.undo_mailed_to(V)).expect(200);
        for late in [of_a, of_b] {
            assert_eq!(undoes(app, &late).expect(410).code(), "secret_expired");
        }
        let told = app.mail_to(A).pop().unwrap();
        assert_eq!(told.subject(), "An email address was removed from your account at Shop Help");
        assert!(!told.text().contains("token="), "who came last is told, and that is all");
        assert_eq!(addresses(app, &signs_in(app, V, THIRD)), [V]);
    }

    fn a_recovery_that_drops_all_others_ends_what_they_could_undo(app) {
        let stolen = stolen(app);
        app.adds(&stolen, A);
        app.adds(&stolen, "b@example.org");
        let of_a = app.undo_mailed_to(A);
        drops_others(app, V, OTHER_PASSWORD).expect(200);
        assert_eq!(undoes(app, &of_a).expect(410).code(), "secret_expired");
        assert_eq!(app.undos_mailed_to(A), 1, "no other came after it");
        assert_eq!(addresses(app, &signs_in(app, V, OTHER_PASSWORD)), [V]);
    }

    fn a_recovery_that_keeps_the_others_leaves_their_undos(app) {
        let stolen = stolen(app);
        app.adds(&stolen, A);
        let undo = app.undo_mailed_to(V);
        app.claims_with(A, OTHER_PASSWORD);
        undoes(app, &undo).expect(200);
        assert_eq!(addresses(app, &signs_in(app, V, THIRD)), [V]);
    }

    fn it_lasts_for_72_hours(app) {
        let stolen = stolen(app);
        app.adds(&stolen, A);
        let undo = app.undo_mailed_to(V);
        app.advance(Duration::from_secs(72 * 3600 - 60));
        app.inspects_undo(&undo).expect(200);
        app.advance(Duration::from_secs(61));
        assert_eq!(app.inspects_undo(&undo).expect(410).code(), "secret_expired");
        assert_eq!(undoes(app, &undo).expect(410).code(), "secret_expired");
    }

    fn i6_it_works_once_also_in_parallel(app) {
        let stolen = stolen(app);
        takes_over(app, &stolen);
        let undo = app.undo_mailed_to(V);
        let answers = in_parallel(8, |n| {
            let password = format!("correct horse battery staple {n}");
            (app.undoes(&json!({ "token": undo, "password": password })).status, password)
        });
        let won: Vec<_> = answers.iter().filter(|(status, _)| *status == 200).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|(status, _)| [200, 410].contains(status)), "{answers:?}");
        signs_in(app, V, &won[0].1);
    }

    fn without_a_password_there_is_none_and_forgot_password_gives_one(app) {
        let stolen = stolen(app);
        takes_over(app, &stolen);
        let undone = app.undoes(&json!({ "token": app.undo_mailed_to(V) })).expect(200);
        assert_eq!(ways_in(&undone), ["email"]);
        app.tries_to_sign_in(V, PASSWORD).expect(401);
        app.claims_with(V, THIRD);
        signs_in(app, V, THIRD);
    }

    fn a_refused_password_spends_nothing(app) {
        let stolen = stolen(app);
        takes_over(app, &stolen);
        let undo = app.undo_mailed_to(V);
        for weak in ["short", "v@example.org v@example.org"] {
            let answer = app.undoes(&json!({ "token": undo, "password": weak })).expect(422);
            assert_eq!(answer.code(), "weak_password", "{weak}");
        }
        app.change_settings(|settings| settings.password_sign_in = false);
        assert_eq!(undoes(app, &undo).expect(403).code(), "method_disabled");
        app.change_settings(|settings| settings.password_sign_in = true);
        app.inspects_undo(&undo).expect(200);
        undoes(app, &undo).expect(200);
    }

    fn a_token_that_is_none_is_not_found(app) {
        let stolen = stolen(app);
        app.adds(&stolen, A);
        let undo = app.undo_mailed_to(V);
        let mut others = vec![String::new(), "x".to_owned(), undo[1..].to_owned(), format!("{undo}A"), "A".repeat(43)];
        others.push(resets(app, V).token);
        for wrong in others {
            assert_eq!(app.inspects_undo(&wrong).expect(404).code(), "secret_not_found", "{wrong:?}");
            assert_eq!(undoes(app, &wrong).expect(404).code(), "secret_not_found", "{wrong:?}");
        }
        for road in ["/v1/password-resets/confirm", "/v1/sign-ups/confirm"] {
            app.client.post(road).json(&json!({ "token": undo, "password": PASSWORD })).send().expect(404);
        }
        for bad in [json!({}), json!({ "token": null }), json!({ "token": [undo] }), json!({ "token": undo, "email": V })] {
            assert!([400, 422].contains(&app.undoes(&bad).status), "{bad}");
        }
        undoes(app, &undo).expect(200);
    }

    fn an_address_that_is_another_accounts_by_now_stays_there(app) {
        let stolen = stolen(app);
        let second = app.adds(&stolen, "v2@example.org");
        takes_over(app, &stolen);
        app.removes(&stolen, &second).expect(204);
        let (of_v, of_second) = (app.undo_mailed_to(V), app.undo_mailed_to("v2@example.org"));
        let newcomer = app.signs_up("v2@example.org");
        assert_eq!(app.inspects_undo(&of_second).expect(410).code(), "secret_expired");
        assert_eq!(undoes(app, &of_second).expect(410).code(), "secret_expired");
        undoes(app, &of_v).expect(200);
        assert_eq!(addresses(app, &signs_in(app, V, THIRD)), [V]);
        app.me(&newcomer.access_token).expect(200);
        assert_eq!(addresses(app, &newcomer), ["v2@example.org"]);
    }

    fn an_address_that_support_has_met_again_meanwhile_comes_back_with_it(app) {
        let stolen = stolen(app);
        takes_over(app, &stolen);
        let wrote = app.emails_support(V);
        undoes(app, &app.undo_mailed_to(V)).expect(200);
        let v = signs_in(app, V, THIRD);
        assert_eq!(app.conversations_of(&v)[0]["id"], wrote["conversation_id"]);
    }

    fn rs_19_nothing_is_undone_where_the_account_is_closed(app) {
        let stolen = stolen(app);
        app.adds(&stolen, A);
        let undo = app.undo_mailed_to(V);
        becomes(app, V, "disabled");
        assert_eq!(app.inspects_undo(&undo).expect(410).code(), "secret_expired");
        assert_eq!(undoes(app, &undo).expect(410).code(), "secret_expired");
        assert_eq!(app.count(&format!("SELECT count(*) AS n FROM accounts WHERE state = 'disabled' AND id = {}", account_of(A))), 1);
    }

    fn it_can_drop_all_others_too(app) {
        let stolen = stolen(app);
        app.adds(&stolen, "v2@example.org");
        app.advance(Duration::from_secs(73 * 3600));
        let again = app.signs_in(V);
        app.adds(&again, A);
        let body = json!({ "token": app.undo_mailed_to(V), "password": THIRD, "unlink_others": true });
        let undone = app.undoes(&body).expect(200);
        assert_eq!(ways_in(&undone), ["password", "email"]);
        assert_eq!(addresses(app, &signs_in(app, V, THIRD)), [V]);
    }

    fn the_owner_who_regrets_a_removal_gets_the_address_back(app) {
        let ada = stolen(app);
        let second = app.adds(&ada, "v2@example.org");
        app.removes(&ada, &second).expect(204);
        undoes(app, &app.undo_mailed_to("v2@example.org")).expect(200);
        let ada = signs_in(app, V, THIRD);
        assert_eq!(addresses(app, &ada), [V, "v2@example.org"]);
    }

    fn all_that_was_there_comes_back_and_what_was_mailed_to_it_meanwhile_is_void(app) {
        let v = stolen(app);
        app.adds(&v, "v2@example.org");
        app.advance(Duration::from_secs(73 * 3600));
        let stolen = app.signs_in(V);
        takes_over(app, &stolen);
        let second = app.email_of(&stolen, "v2@example.org").id;
        app.removes(&stolen, &second).expect(204);
        app.asks_to_sign_up("v2@example.org").expect(202);
        let sign_up = app.secret_mailed_to("v2@example.org");
        undoes(app, &app.undo_mailed_to(V)).expect(200);
        assert_eq!(addresses(app, &signs_in(app, V, THIRD)), [V, "v2@example.org"]);
        app.confirms_sign_up(&json!({ "token": sign_up.token, "password": PASSWORD })).expect(410);
    }

    fn rc_16_an_undo_and_a_claim_of_the_removed_address_leave_one_owner(app) {
        let stolen = stolen(app);
        takes_over(app, &stolen);
        let undo = app.undo_mailed_to(V);
        app.asks_to_sign_up(V).expect(202);
        let sign_up = app.secret_mailed_to(V);
        let answers = in_parallel(8, |n| match n % 2 {
            0 => undoes(app, &undo).status,
            _ => app.confirms_sign_up(&json!({ "token": sign_up.token, "password": OTHER_PASSWORD })).status,
        });
        let won = answers.iter().filter(|status| [200, 201].contains(*status)).count();
        assert_eq!(won, 1, "{answers:?}");
        assert!(answers.iter().all(|status| [200, 201, 404, 410].contains(status)), "{answers:?}");
        assert_eq!(app.count(&format!("SELECT count(*) AS n FROM identities WHERE subject = '{V}'")), 1);
    }

    fn an_undo_beside_further_changes_has_the_last_word(app) {
        let stolen = stolen(app);
        let mine = app.adds(&stolen, A);
        let undo = app.undo_mailed_to(V);
        let old = app.email_of(&stolen, V).id;
        let answers = in_parallel(4, |n| match n {
            0 => undoes(app, &undo).status,
            1 => app.makes_primary(&stolen, &mine).status,
            2 => app.removes(&stolen, &old).status,
            _ => app.asks_to_add(&stolen, "b@example.org").status,
        });
        assert_eq!(answers[0], 200, "{answers:?}");
        assert!(answers[1..].iter().all(|status| [200, 202, 204, 401, 404, 409].contains(status)), "{answers:?}");
        assert_eq!(addresses(app, &signs_in(app, V, THIRD)), [V]);
        app.tries_to_sign_in(A, PASSWORD).expect(401);
    }
}

fn linked(social: &doorstep_tests::social::Social, who: &SignedIn) -> Vec<Value> {
    social.identities_of(who).iter().map(|identity| identity["kind"].clone()).collect()
}

on_both_with_providers! {
    fn providers_that_were_there_come_back_and_those_that_came_after_go(social) {
        let v = stolen(social);
        social.links_google(&v, "g-1", "v@gmail.com").expect(200);
        social.adds(&v, A);
        let undo = social.undo_mailed_to(V);
        let google = social.identities_of(&v)[0]["id"].clone();
        social.unlinks(&v, &google).expect(204);
        social.links_twitter(&v, "evil", "666").expect(200);
        undoes(social, &undo).expect(200);
        let v = signs_in(social, V, THIRD);
        assert_eq!(linked(social, &v), [json!("google")]);
        let by_google = signed_in(social.arrives_by_google("g-1", &proven("v@gmail.com")));
        assert_eq!(by_google.account["id"], v.account["id"]);
    }
}
