//! What a deletion reaches, and what it must leave alone.

use std::time::Duration;

use doorstep_tests::http::Answer;
use doorstep_tests::merging::{asks_to_merge, codes_of, confirms_merge, merges};
use doorstep_tests::people::PASSWORD;
use doorstep_tests::smtp::{Behaviour, Received};
use doorstep_tests::social::{Social, proven, signed_in};
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::json;

use crate::forced::{nothing_can_be_undone, wait_for_count};
use crate::goodbye::{asks, confirms, leaves};
use crate::reauthentication::{asks_for_code, code_mailed, shows};
use crate::talk::{agent_answers, column, desk_messages, desk_reads, email_in, items, known, opens, starts};

const ADA: &str = "ada@example.org";

/// Around the API: no mail gets through, and each that waits has been tried.
fn mail_is_stuck(app: &App) {
    wait_for_count(app, 0, &format!("{WAITING} AND last_error IS NULL"));
}

/// Around the API: what is stuck stays so, and mail gets through again.
fn only_what_is_stuck_stays_so(app: &App) {
    mail_is_stuck(app);
    app.sql("UPDATE outbox SET due_at = expires_at WHERE state = 'waiting'");
    app.smtp.script(Behaviour::Accept);
}

/// The code of the nth mail, though others wait.
fn code_in(app: &App, n: usize) -> String {
    let text = app.smtp.wait_for(n, Duration::from_secs(20))[n - 1].text();
    text.split_once("Code: ").unwrap().1.split_whitespace().next().unwrap().to_owned()
}

fn subjects_after(app: &App, n: usize) -> Vec<String> {
    app.wait_until_mail_is_carried();
    app.smtp.messages()[n..].iter().map(Received::subject).collect()
}

const WAITING: &str = "SELECT count(*) AS n FROM outbox WHERE kind = 'mail' AND state = 'waiting'";
const GOODBYE: &str = "Your account at Shop Help was deleted";

on_both! {
    fn notices_that_wait_are_not_sent_to_somebody_who_has_left_but_the_goodbye_is(app) {
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        let work = app.adds(&ada, "ada@work.example");
        asks(app, &ada).expect(202);
        let mail = app.secret_mailed_to(ADA);
        app.smtp.script(Behaviour::TempFail(451));
        app.removes(&ada, &work).expect(204);
        app.tries_to_sign_in_from("203.0.113.7", ADA, PASSWORD).expect(201);
        app.asks_to_sign_up(ADA).expect(202);
        app.asks_for_reset(ADA).expect(202);
        mail_is_stuck(app);
        assert_eq!(app.count(WAITING), 5);
        let sent = app.smtp.messages().len();
        confirms(app, &ada, &json!({ "token": mail.token })).expect(204);
        app.smtp.script(Behaviour::Accept);
        app.advance(Duration::from_secs(3600));
        assert_eq!(subjects_after(app, sent), [GOODBYE, GOODBYE]);
    }

    fn nor_is_what_was_for_an_address_before_it_was_theirs(app) {
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        app.smtp.script(Behaviour::TempFail(451));
        app.asks_to_sign_up("ada@work.example").expect(202);
        only_what_is_stuck_stays_so(app);
        let sent = app.smtp.messages().len();
        app.asks_to_add(&ada, "ada@work.example").expect(202);
        let work = app.email_of(&ada, "ada@work.example").id;
        app.proves(&ada, &work, &json!({ "code": code_in(app, sent + 1) })).expect(200);
        app.smtp.wait_for(sent + 2, Duration::from_secs(20));
        asks(app, &ada).expect(202);
        confirms(app, &ada, &json!({ "code": code_in(app, sent + 3) })).expect(204);
        assert_eq!(subjects_after(app, sent + 3), [GOODBYE, GOODBYE]);
    }

    fn rl_05_asking_to_delete_the_account_uses_up_no_code_that_makes_a_session_fresh(app) {
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        let confirmations = || app.mail_to(ADA).iter().filter(|mail| mail.subject().starts_with("Confirm that your account")).count();
        for n in 1..=4 {
            asks(app, &ada).expect(202);
            assert_eq!(confirmations(), n.min(3));
        }
        for _ in 0..4 {
            asks_for_code(app, &ada).expect(202);
        }
        shows(app, &ada, &json!({ "mailed_code": code_mailed(app, ADA) })).expect(200);
        app.advance(Duration::from_secs(3600));
        let ada = app.signs_in(ADA);
        asks(app, &ada).expect(202);
        assert_eq!(confirmations(), 4, "then one an hour");
    }

    fn rl_05_rl_04_no_limit_begins_anew_for_an_address_whose_account_is_deleted(app) {
        app.claims(ADA);
        let ada = app.signs_in(ADA);
        for _ in 0..2 {
            app.asks_for_reset(ADA).expect(202);
        }
        let guesses = || app.tries_to_sign_in_from("203.0.113.7", ADA, "not the password of Ada").status;
        for _ in 0..10 {
            guesses();
            app.advance(Duration::from_secs(20));
        }
        leaves(app, &ada, ADA);
        let mails = app.mail_to(ADA).len();
        app.asks_for_reset(ADA).expect(202);
        assert_eq!(app.mail_to(ADA).len(), mails, "three were mailed before");
        assert!([guesses(), guesses(), guesses()].contains(&429));
        app.advance(Duration::from_secs(3600));
        app.asks_for_reset(ADA).expect(202);
        assert_eq!(app.mail_to(ADA).len(), mails + 1);
    }

    fn whoever_follows_the_changes_sees_that_the_person_has_gone(app) {
        let (ada, hers) = known(app, ADA);
        let started = starts(app, &ada, "Mine alone", "hello");
        let mut unasked = agent_answers(&json!(null), "It is on its way.");
        unasked["conversation"] = json!({ "external_id": "case-unasked", "subject": "Your order" });
        unasked["recipients"] = json!([{ "email": ADA, "role": "to" }]);
        let unasked = app.push(&unasked).expect(201).json();
        let mut begins = email_in("case-of-grace", "grace@example.org");
        begins["from"]["name"] = json!("Grace Hopper");
        let of_grace = app.push(&begins).expect(201).json();
        app.emails_support("grace@example.org");
        let mut joins = email_in("case-of-grace", ADA);
        joins["from"]["name"] = json!("Ada Lovelace");
        app.push(&joins).expect(201);
        app.advance(Duration::from_secs(60));
        let since = json!(app.clock.now());
        let changed = || column(&items(&desk_reads(app, &format!("/v1/conversations?updated_since={}", since.as_str().unwrap())).expect(200)), "id");
        assert!(changed().is_empty());
        leaves(app, &ada, ADA);
        let pushed = [hers, unasked, of_grace.clone()].map(|pushed| pushed["conversation_id"].clone());
        let mut gone_from: Vec<&str> = pushed.iter().chain([&started["id"]]).map(|id| id.as_str().unwrap()).collect();
        gone_from.sort_unstable();
        let mut changed = changed();
        changed.sort();
        assert_eq!(changed, gone_from, "and not what she had no part in");
        let names = desk_messages(app, &of_grace["conversation_id"]).iter().map(|message| message["author_name"].clone()).collect::<Vec<_>>();
        assert_eq!(names, [json!("Grace Hopper"), json!(null)]);
    }
}

on_both_with_providers! {
    fn nor_are_those_of_an_account_that_had_become_part_of_theirs(social) {
        social.claims(ADA);
        let ada = social.signs_in(ADA);
        let other = signed_in(social.arrives_by_google("g-1", &proven("lovelace@gmail.com")));
        let codes = codes_of(social, &asks_to_merge(social, &ada, &other, false).expect(202));
        social.smtp.script(Behaviour::TempFail(451));
        confirms_merge(social, &ada, &other, &codes).expect(200);
        only_what_is_stuck_stays_so(social);
        nothing_can_be_undone(social);
        let sent = social.smtp.messages().len();
        asks(social, &ada).expect(202);
        let code = code_in(social, sent + 1);
        wait_for_count(social, 2, WAITING);
        confirms(social, &ada, &json!({ "code": code })).expect(204);
        assert_eq!(subjects_after(social, sent + 1), [GOODBYE, GOODBYE]);
    }

    fn what_is_counted_of_an_account_alone_goes_with_it(social) {
        social.claims(ADA);
        let ada = social.signs_in(ADA);
        let other = social.signs_up("lovelace@example.org");
        for (who, address) in [(&ada, ADA), (&other, "lovelace@example.org")] {
            social.tries_to_sign_in_with_device(address, "not the password of Ada", &who.device_token).expect(401);
            starts(social, who, "Of mine", "hello");
        }
        merges(social, &ada, &other, false).expect(200);
        social.wait_until_mail_is_carried();
        nothing_can_be_undone(social);
        let work = social.adds(&ada, "ada@work.example");
        social.removes(&ada, &work).expect(204);
        asks(social, &ada).expect(202);
        let mail = social.secret_mailed_to(ADA);
        let counted = rows(social, "throttles");
        confirms(social, &ada, &json!({ "token": mail.token })).expect(204);
        assert_eq!(rows(social, "throttles"), counted - 3, "of both what was written, and her changes");
    }

    fn a_merge_calls_off_a_deletion_that_was_asked_for_before_it(social) {
        social.claims(ADA);
        let ada = social.signs_in(ADA);
        let other = signed_in(social.arrives_by_google("g-1", &proven("lovelace@gmail.com")));
        let started = starts(social, &other, "From my profile", "hello");
        asks(social, &ada).expect(202);
        let mail = social.secret_mailed_to(ADA);
        merges(social, &ada, &other, true).expect(200);
        merges(social, &ada, &other, false).expect(200);
        let refused: Answer = confirms(social, &ada, &json!({ "token": mail.token })).expect(410);
        assert_eq!(refused.code(), "secret_expired", "nobody has said that what came in is to go too");
        confirms(social, &ada, &json!({ "code": mail.code })).expect(404);
        assert_eq!(opens(social, &ada, &started["id"]), 200);
        social.wait_until_mail_is_carried();
        nothing_can_be_undone(social);
        leaves(social, &ada, ADA);
    }

    fn what_the_owner_adds_between_does_not_call_it_off_and_goes_as_well(social) {
        social.claims(ADA);
        let ada: SignedIn = social.signs_in(ADA);
        asks(social, &ada).expect(202);
        let mail = social.secret_mailed_to(ADA);
        social.links_twitter(&ada, "ada", "12").expect(200);
        social.adds(&ada, "ada@work.example");
        confirms(social, &ada, &json!({ "token": mail.token })).expect(204);
        assert_eq!(rows(social, "identities"), 0);
    }
}

fn rows(social: &Social, of: &str) -> i64 {
    social.count(&format!("SELECT count(*) AS n FROM {of}"))
}
