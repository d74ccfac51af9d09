//! Two accounts that became one are two again: whoever brought them together by a stolen session has nothing of it, on
//! whichever side they stand.

use std::time::Duration;

use doorstep_core::account::AccountState;
use doorstep_tests::http::in_parallel;
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::social::{proven, signed_in};
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::{becomes, resets};
use crate::goodbye::{asks, confirms, leaves};
use crate::linking::merges;
use crate::talk::{posts, sees, starts, texts, unread};

pub const V: &str = "v@example.org";
pub const T: &str = "thief@example.org";
pub const THIRD: &str = "third horse, third staple";

/// V's account with a history, a session of it that has been stolen, and the thief's own.
pub struct Theft {
    pub v: Value,
    pub mailed: Value,
    pub started: Value,
    pub stolen: SignedIn,
    pub thief: SignedIn,
    pub of_thief: Value,
}

pub fn theft(app: &App) -> Theft {
    let mailed = app.emails_support(V)["conversation_id"].clone();
    app.claims(V);
    let stolen = app.signs_in(V);
    let started = starts(app, &stolen, "From my profile", "hello")["id"].clone();
    let path = format!("/v1/me/conversations/{}/read", mailed.as_str().unwrap());
    app.client.post(&path).bearer(&stolen.access_token).send().expect(204);
    let thief = app.signs_up(T);
    let of_thief = starts(app, &thief, "Of a thief", "hello")["id"].clone();
    Theft { v: stolen.account["id"].clone(), mailed, started, stolen, thief, of_thief }
}

pub fn undoes(app: &App, token: &str, password: &str) -> Value {
    app.undoes(&json!({ "token": token, "password": password })).expect(200).json()
}

pub fn signs_in(app: &App, email: &str, password: &str) -> SignedIn {
    SignedIn::of(&app.tries_to_sign_in(email, password).expect(201))
}

/// Signs in with a new password, as whoever had an account parted from theirs has to.
pub fn again(app: &App, email: &str) -> SignedIn {
    app.claims(email);
    app.signs_in(email)
}

pub fn addresses(app: &App, who: &SignedIn) -> Vec<String> {
    app.emails_of(who).into_iter().map(|email| email.email).collect()
}

pub fn sorted(mut ids: Vec<Value>) -> Vec<String> {
    ids.sort_by_key(Value::to_string);
    ids.iter().map(Value::to_string).collect()
}

/// V has what they had, and the thief what was theirs.
pub fn each_has_their_own(app: &App, theft: &Theft) {
    let v = signs_in(app, V, THIRD);
    assert_eq!(v.account["id"], theft.v);
    assert_eq!(addresses(app, &v), [V]);
    assert_eq!(v.account["primary_email"], V);
    assert_eq!(sorted(sees(app, &v)), sorted(vec![theft.mailed.clone(), theft.started.clone()]));
    assert_eq!(unread(app, &v, &theft.mailed), 0, "what V read stays read");
    assert_eq!(unread(app, &v, &theft.started), 0, "and what V wrote is V's");
    let thief = again(app, T);
    assert_eq!(thief.account["id"], theft.thief.account["id"]);
    assert_eq!((addresses(app, &thief), sees(app, &thief)), (vec![T.to_owned()], vec![theft.of_thief.clone()]));
    assert_eq!(thief.account["primary_email"], T);
}

on_both! {
    fn em_13_whose_account_was_merged_away_has_it_again_with_all_that_was_in_it(app) {
        let theft = theft(app);
        app.defines("tier", "text", "customer_reads").expect(201);
        app.says_of(&theft.v, &json!({ "tier": "gold" })).expect(200);
        let chosen = json!({ "full_name": "Vera", "notifications": { "announcements": true } });
        app.client.patch("/v1/me").bearer(&theft.stolen.access_token).json(&chosen).send().expect(200);
        merges(app, &theft.thief, &theft.stolen, false).expect(200);
        app.desk_account(&theft.v).expect(410);
        let told = app.mail_to(V).pop().unwrap();
        assert_eq!(told.subject(), "Your two accounts at Shop Help are now one");
        let wrote_again = app.emails_support(V)["conversation_id"].clone();
        let undo = app.undo_mailed_to(V);
        let seen = app.inspects_undo(&undo).expect(200).json();
        assert_eq!((&seen["parts_accounts"], &seen["ways_in"][0]["label"], &seen["ways_in_dropped"]), (&json!(true), &json!(V), &json!([])));

        let undone = undoes(app, &undo, THIRD);
        assert_eq!((&undone["account"]["id"], &undone["account"]["full_name"]), (&theft.v, &json!("Vera")));
        let v = signs_in(app, V, THIRD);
        assert_eq!(sorted(sees(app, &v)), sorted(vec![theft.mailed.clone(), theft.started.clone(), wrote_again]));
        assert_eq!(texts(app, &v, &theft.started), ["hello"]);
        assert_eq!(app.custom_of(&v)["tier"], "gold");
        assert_eq!(app.me(&v.access_token).expect(200).json()["notifications"]["announcements"], true);
        assert_eq!(app.desk_account(&theft.v).expect(200).json()["state"], "claimed");
        app.me(&theft.thief.access_token).expect(401);
        app.refreshes(&theft.thief.refresh_token).expect(401);
        let told: Vec<String> = app.mail_to(T).iter().map(doorstep_tests::smtp::Received::subject).collect();
        assert_eq!(told.last().unwrap(), "Your account at Shop Help is your own again");
        assert_eq!(app.count("SELECT count(*) AS n FROM audit_events WHERE action = 'account.parted'"), 2);
        app.tries_to_sign_in(T, PASSWORD).expect(401);
        let thief = again(app, T);
        assert_eq!((addresses(app, &thief), sees(app, &thief)), (vec![T.to_owned()], vec![theft.of_thief]));
    }

    fn an_account_into_which_another_came_is_not_deleted_while_that_can_be_taken_back(app) {
        let theft = theft(app);
        asks(app, &theft.thief).expect(202);
        let before = app.secret_mailed_to(T);
        merges(app, &theft.thief, &theft.stolen, false).expect(200);
        assert_eq!(asks(app, &theft.thief).expect(409).code(), "merge_undoable");
        assert_eq!(confirms(app, &theft.thief, &json!({ "token": before.token })).expect(410).code(), "secret_expired");
        undoes(app, &app.undo_mailed_to(V), THIRD);
        each_has_their_own(app, &theft);
        leaves(app, &app.signs_in(T), T);
        assert_eq!(addresses(app, &signs_in(app, V, THIRD)), [V]);
    }

    fn after_72_hours_it_is_one_account_and_goes_as_one(app) {
        let theft = theft(app);
        merges(app, &theft.thief, &theft.stolen, false).expect(200);
        let undo = app.undo_mailed_to(V);
        app.advance(Duration::from_secs(72 * 3600));
        assert_eq!(app.undoes(&json!({ "token": undo })).expect(410).code(), "secret_expired");
        leaves(app, &app.signs_in(T), T);
        assert_eq!(app.count("SELECT count(*) AS n FROM identities"), 0);
    }

    fn whatever_the_thief_does_to_it_in_between(app) {
        let theft = theft(app);
        merges(app, &theft.thief, &theft.stolen, false).expect(200);
        let of_merge = app.undo_mailed_to(V);
        let thief = &theft.thief;
        let more = app.adds(thief, "more@example.org");
        let v_there = app.email_of(thief, V).id;
        app.makes_primary(thief, &v_there).expect(200);
        app.makes_primary(thief, &more).expect(200);
        app.removes(thief, &v_there).expect(204);
        let of_removal = app.undo_mailed_to(V);
        let mail = resets(app, "more@example.org");
        let body = json!({ "token": mail.token, "password": OTHER_PASSWORD, "unlink_others": true });
        app.confirms_reset(&body).expect(200);
        let second = app.signs_up("second@example.org");
        let merged = signs_in(app, "more@example.org", OTHER_PASSWORD);
        assert_eq!(merges(app, &second, &merged, false).expect(409).code(), "merge_refused", "it goes into no other");
        undoes(app, &of_removal, THIRD);
        assert_eq!(app.undoes(&json!({ "token": of_merge })).expect(410).code(), "secret_expired");
        let v = signs_in(app, V, THIRD);
        assert_eq!((&v.account["id"], addresses(app, &v)), (&theft.v, vec![V.to_owned()]));
        assert_eq!(sorted(sees(app, &v)), sorted(vec![theft.mailed, theft.started]));
        let merged = again(app, "more@example.org");
        assert_eq!((addresses(app, &merged), sees(app, &merged)), (vec!["more@example.org".to_owned()], vec![theft.of_thief]));
    }

    fn of_two_who_undo_it_neither_gets_anything_of_the_other(app) {
        let theft = theft(app);
        // this time it is the thief's account that goes into V's
        merges(app, &theft.stolen, &theft.thief, false).expect(200);
        let of_thief = app.undo_mailed_to(T);
        let v_again = app.email_of(&theft.stolen, V).id;
        app.adds(&theft.stolen, "more@example.org");
        let of_more = app.undo_mailed_to(T);
        app.makes_primary(&theft.stolen, &app.email_of(&theft.stolen, T).id).expect(200);
        app.removes(&theft.stolen, &v_again).expect(204);
        let of_v = app.undo_mailed_to(V);
        undoes(app, &of_v, THIRD);
        for late in [of_thief, of_more] {
            let answer = app.undoes(&json!({ "token": late, "password": OTHER_PASSWORD, "unlink_others": true }));
            assert!([200, 410].contains(&answer.status), "{}", answer.status);
        }
        each_has_their_own(app, &theft);
    }

    fn nor_if_the_one_who_came_in_is_faster(app) {
        let theft = theft(app);
        merges(app, &theft.stolen, &theft.thief, false).expect(200);
        let of_v = app.undo_mailed_to(V);
        undoes(app, &app.undo_mailed_to(T), OTHER_PASSWORD);
        let answer = app.undoes(&json!({ "token": of_v, "password": THIRD }));
        assert_eq!(answer.expect(200).json()["account"]["id"], theft.v);
        each_has_their_own(app, &theft);
    }

    fn a_closed_account_gives_nothing_back(app) {
        let theft = theft(app);
        merges(app, &theft.thief, &theft.stolen, false).expect(200);
        let undo = app.undo_mailed_to(V);
        becomes(app, T, AccountState::Disabled.as_str());
        assert_eq!(app.inspects_undo(&undo).expect(410).code(), "secret_expired");
        assert_eq!(app.undoes(&json!({ "token": undo })).expect(410).code(), "secret_expired");
    }

    fn what_is_anothers_by_now_stays_there(app) {
        let theft = theft(app);
        app.advance(Duration::from_secs(73 * 3600));
        let stolen = app.signs_in(V);
        let second = app.adds(&stolen, "v2@example.org");
        app.advance(Duration::from_secs(73 * 3600));
        let (stolen, thief) = (app.signs_in(V), app.signs_in(T));
        merges(app, &thief, &stolen, false).expect(200);
        app.removes(&thief, &second).expect(204);
        let newcomer = app.signs_up("v2@example.org");
        undoes(app, &app.undo_mailed_to(V), THIRD);
        let v = signs_in(app, V, THIRD);
        assert_eq!((&v.account["id"], addresses(app, &v)), (&theft.v, vec![V.to_owned()]));
        assert_eq!(addresses(app, &newcomer), ["v2@example.org"]);
    }

    fn both_sides_at_once_part_it_once(app) {
        let theft = theft(app);
        merges(app, &theft.thief, &theft.stolen, false).expect(200);
        let (of_v, of_thief) = (app.undo_mailed_to(V), app.undo_mailed_to(T));
        let answers = in_parallel(6, |n| match n % 3 {
            0 => app.undoes(&json!({ "token": of_v, "password": THIRD })).status,
            1 => app.undoes(&json!({ "token": of_thief, "password": PASSWORD })).status,
            _ => app.asks_to_add(&theft.thief, "more@example.org").status,
        });
        assert!(answers.iter().all(|status| [200, 202, 401, 403, 410].contains(status)), "{answers:?}");
        let v = signs_in(app, V, THIRD);
        assert_eq!((&v.account["id"], addresses(app, &v)), (&theft.v, vec![V.to_owned()]));
    }

    fn what_was_written_in_between_stays_where_it_was_written(app) {
        let theft = theft(app);
        merges(app, &theft.thief, &theft.stolen, false).expect(200);
        let path = format!("/v1/me/conversations/{}/messages", theft.started.as_str().unwrap());
        posts(app, &theft.thief, &path, &json!({ "body_text": "from in between" })).expect(201);
        let between = starts(app, &theft.thief, "Between", "hello")["id"].clone();
        undoes(app, &app.undo_mailed_to(V), THIRD);
        let v = signs_in(app, V, THIRD);
        assert_eq!(texts(app, &v, &theft.started), ["hello", "from in between"]);
        assert_eq!(sorted(sees(app, &again(app, T))), sorted(vec![theft.of_thief, between]));
    }

    fn a_merge_of_what_was_merged_is_parted_as_it_was(app) {
        let theft = theft(app);
        merges(app, &theft.thief, &theft.stolen, false).expect(200);
        app.advance(Duration::from_secs(73 * 3600));
        let third = app.signs_up("third@example.org");
        let both = app.signs_in(T);
        merges(app, &third, &both, false).expect(200);
        assert!(sees(app, &third).len() == 3);
        let body = json!({ "token": app.undo_mailed_to(V), "password": PASSWORD });
        app.undoes(&body).expect(200);
        let both = app.signs_in(T);
        assert_eq!(sorted(addresses(app, &both).into_iter().map(Value::from).collect()), sorted(vec![json!(V), json!(T)]));
        assert_eq!(sees(app, &both).len(), 3);
        assert!(sees(app, &again(app, "third@example.org")).is_empty());
    }
}

on_both_with_providers! {
    fn what_was_linked_comes_back_as_well(social) {
        social.claims(V);
        let v = social.signs_in(V);
        social.links_google(&v, "g-1", "v@gmail.com").expect(200);
        let thief = signed_in(social.arrives_by_google("g-666", &proven("thief@gmail.com")));
        merges(social, &thief, &v, false).expect(200);
        let google = social.identities_of(&thief).iter().find(|one| one["label"] == "v@gmail.com").unwrap()["id"].clone();
        social.unlinks(&thief, &google).expect(204);
        undoes(social, &social.undo_mailed_to(V), THIRD);
        let by_google = signed_in(social.arrives_by_google("g-1", &json!({})));
        assert_eq!(by_google.account["id"], v.account["id"]);
        let by_thief = signed_in(social.arrives_by_google("g-666", &json!({})));
        assert_eq!(by_thief.account["id"], thief.account["id"]);
        assert_eq!(social.identities_of(&by_thief).len(), 1);
    }
}
