//! Races: the same thing at the same moment, many times; what may happen once happens once.

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection as _;
use doorstep_core::api_key::Scope;
use doorstep_core::db::{self, Lock, Origin};
use doorstep_core::email::EmailAddress;
use doorstep_core::id::{AccountId, ChallengeId};
use doorstep_core::{Error, challenge};
use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::PASSWORD;
use doorstep_tests::process::Installation;
use doorstep_tests::{App, Db, Setup, SignedIn, on_both};
use serde_json::{Value, json};

const DOORSTEP: &str = env!("CARGO_BIN_EXE_doorstep-under-test");

/// A password of one's own for each who races.
fn password(i: usize) -> String {
    format!("the {i}th horse, a battery, a staple")
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

/// Every secret that was mailed to an address, oldest first.
fn tokens_mailed_to(app: &App, address: &str) -> Vec<String> {
    let texts = app.mail_to(address).into_iter().map(|mail| mail.text());
    let after_mark = texts.filter_map(|text| Some(text.split_once("#token=")?.1.split_whitespace().next()?.to_owned()));
    after_mark.collect()
}

/// Who of those who raced set the password: the only one whose password signs in.
fn the_only_password(app: &App, email: &str, racers: usize) -> usize {
    // each from an address of their own, and as long after the last as it takes to be let in
    let tries = |i: &usize| {
        app.advance(std::time::Duration::from_secs(7200));
        let body = json!({ "email": email, "password": password(*i) });
        let answer =
            app.client.post("/v1/sessions").header("X-Forwarded-For", &format!("203.0.113.{i}")).json(&body).send();
        assert!([201, 401].contains(&answer.status), "{}", answer.status);
        answer.status == 201
    };
    let right: Vec<usize> = (0..racers).filter(tries).collect();
    assert_eq!(right.len(), 1, "of all passwords one is right: {right:?}");
    right[0]
}

on_both! {
    fn rc_01_who_signs_up_many_times_at_once_is_one_person(app) {
        let answers = in_parallel(16, |_| app.asks_to_sign_up("new@example.org"));
        assert_eq!(statuses(&answers), [202; 16]);
        let bodies: BTreeSet<&Vec<u8>> = answers.iter().map(|answer| &answer.body).collect();
        assert_eq!(bodies.len(), 1, "all answers say the same");
        let tokens = tokens_mailed_to(app, "new@example.org");
        assert!((1..=3).contains(&tokens.len()), "{} mails", tokens.len());
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 0, "nothing is there before a proof");

        let confirm = |i: usize| app.confirms_sign_up(&json!({ "token": tokens[i], "password": password(i) }));
        let mut confirmed = statuses(&in_parallel(tokens.len(), confirm));
        confirmed.sort_unstable();
        assert_eq!(confirmed[0], 201);
        assert!(confirmed[1..].iter().all(|status| *status == 410), "{confirmed:?}");
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 1);
        assert_eq!(app.count("SELECT count(*) AS n FROM identities"), 1);
        assert_eq!(app.count("SELECT count(*) AS n FROM audit_events WHERE action = 'account.created'"), 1);
    }

    fn rc_03_pushes_of_somebody_new_make_one_person(app) {
        let key = app.api_key(&[Scope::InteractionsWrite]);
        let answers = in_parallel(16, |i| {
            let body = App::email_push(&format!("new-{i}"), &format!("case-{}", i % 4), "ada@example.org");
            app.client.post("/v1/interactions").bearer(&key).json(&body).send()
        });
        assert_eq!(statuses(&answers), [201; 16]);
        let distinct = |name: &str| answers.iter().map(|a| a.json()[name].to_string()).collect::<BTreeSet<_>>().len();
        assert_eq!((distinct("account_id"), distinct("conversation_id"), distinct("message_id")), (1, 4, 16));
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 1);
        assert_eq!(app.count("SELECT count(*) AS n FROM conversations"), 4);
        assert_eq!(app.count("SELECT count(*) AS n FROM messages"), 16);
        app.claims("ada@example.org");
        assert_eq!(app.conversations_of(&app.signs_in("ada@example.org")).len(), 4);
    }

    fn pushes_of_different_people_never_meet(app) {
        let key = app.api_key(&[Scope::InteractionsWrite]);
        let answers: Vec<Answer> = in_parallel(16, |i| {
            let push = |n| {
                let body = App::email_push(&format!("m-{i}-{n}"), &format!("case-{i}-{n}"), &format!("p{i}-{n}@example.org"));
                app.client.post("/v1/interactions").bearer(&key).json(&body).send()
            };
            (0..20).map(push).collect::<Vec<_>>()
        }).into_iter().flatten().collect();
        assert!(answers.iter().all(|answer| answer.status == 201), "{:?}", statuses(&answers));
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 320);
    }

    fn what_nobody_holds_cannot_be_changed(app) {
        let account: AccountId = app.emails_support("ada@example.org")["account_id"].as_str().unwrap().parse().unwrap();
        let store = app.store();
        let forgot = store.write(&Origin::default(), move |work| db::accounts::set_name(work, account, "Mallory"));
        assert!(matches!(forgot, Err(Error::Broken(why)) if why.contains("without its lock")));
        let held = store.write(&Origin::default(), move |work| {
            work.hold(&[Lock::Account(account)])?;
            db::accounts::set_name(work, account, "Ada")
        });
        held.unwrap();
    }

    fn rc_04_of_two_secrets_used_at_once_one_wins(app) {
        app.emails_support("v@example.org");
        app.asks_to_sign_up("v@example.org").expect(202);
        let of_sign_up = app.secret_mailed_to("v@example.org").token;
        app.asks_for_reset("v@example.org").expect(202);
        app.wait_until_mail_is_carried();
        let mut tokens = tokens_mailed_to(app, "v@example.org");
        tokens.sort_by_key(|token| *token != of_sign_up);
        assert_eq!(tokens.len(), 2);
        let answers = in_parallel(8, |i| {
            let body = json!({ "token": tokens[i % 2], "password": password(i) });
            if i % 4 == 0 { app.confirms_sign_up(&body) } else { app.confirms_reset(&body) }
        });
        // the token of a reset is none that sign-up knows: that is what 404 would say, and nobody here asks that
        let won: Vec<usize> = (0..8).filter(|i| [200, 201].contains(&answers[*i].status)).collect();
        assert_eq!(won.len(), 1, "{:?}", statuses(&answers));
        assert_eq!(answers.iter().filter(|answer| answer.status == 410).count(), 7, "{:?}", statuses(&answers));
        assert_eq!(the_only_password(app, "v@example.org", 8), won[0]);
        assert_eq!(app.count("SELECT count(*) AS n FROM challenges WHERE state = 'live'"), 0);
    }

    fn rc_05_of_32_who_spend_one_token_exactly_one_sets_the_password(app) {
        app.emails_support("ada@example.org");
        app.asks_for_reset("ada@example.org").expect(202);
        let token = app.secret_mailed_to("ada@example.org").token;
        let answers = in_parallel(32, |i| app.confirms_reset(&json!({ "token": token, "password": password(i) })));
        let won: Vec<usize> = (0..32).filter(|i| answers[*i].status == 200).collect();
        assert_eq!(won.len(), 1, "{:?}", statuses(&answers));
        assert_eq!(answers.iter().filter(|answer| answer.status == 410).count(), 31, "{:?}", statuses(&answers));
        assert_eq!(the_only_password(app, "ada@example.org", 32), won[0]);
        assert_eq!(app.count("SELECT count(*) AS n FROM proofs"), 1);
        assert_eq!(app.count("SELECT count(*) AS n FROM audit_events WHERE action = 'account.claimed'"), 1);
    }

    fn rc_05_of_32_who_spend_one_code_exactly_one_sets_the_password(app) {
        app.asks_to_sign_up("new@example.org").expect(202);
        let code = app.secret_mailed_to("new@example.org").code;
        let answers = in_parallel(32, |i| {
            app.confirms_sign_up(&json!({ "email": "new@example.org", "code": code, "password": password(i) }))
        });
        let won: Vec<usize> = (0..32).filter(|i| answers[*i].status == 201).collect();
        assert_eq!(won.len(), 1, "{:?}", statuses(&answers));
        // who comes after it was spent is told what one is told who does not know the code
        let late = |answer: &&Answer| [404, 410].contains(&answer.status);
        assert_eq!(answers.iter().filter(late).count(), 31, "{:?}", statuses(&answers));
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 1);
        app.me(&SignedIn::of(&answers[won[0]]).access_token).expect(200);
        assert_eq!(app.count("SELECT count(*) AS n FROM sessions WHERE ended_at IS NULL"), 1);
    }

    fn rc_05_what_is_spent_or_void_is_not_spent_whatever_else_would_refuse_it(app) {
        // around the API, whose other guards refuse before and after; nobody has these, so no epoch binds either
        let spends = |id: ChallengeId| app.store().write(&Origin::default(), move |work| challenge::spend(work, id));
        let asked = |email: &str| {
            app.asks_to_sign_up(email).expect(202);
            app.wait_until_mail_is_carried();
            let address = EmailAddress::parse(email).unwrap();
            let live = app.store().read(&Origin::default(), |work| db::challenges::list_live(work, &address)).unwrap();
            assert_eq!((live.len(), live[0].account_id), (1, None), "{email}");
            live[0].id
        };
        let once = asked("new@example.org");
        let won = in_parallel(16, |_| spends(once).is_ok()).into_iter().filter(|won| *won).count();
        assert_eq!(won, 1);
        let older = asked("other@example.org");
        let newer = asked("other@example.org");
        assert!(matches!(spends(older), Err(Error::SecretGone)));
        spends(newer).unwrap();
        assert!(matches!(spends(newer), Err(Error::SecretGone)));
    }

    fn rc_07_two_owners_of_one_merged_account_each_get_their_own_part(app) {
        let (v, a) = (app.emails_support("v@example.org"), app.emails_support("a@example.org"));
        merge_around_the_api(app, &a, &v);
        app.asks_for_reset("v@example.org").expect(202);
        app.asks_for_reset("a@example.org").expect(202);
        let tokens = ["v@example.org", "a@example.org"].map(|address| app.secret_mailed_to(address).token);
        let answers = in_parallel(2, |i| app.confirms_reset(&json!({ "token": tokens[i], "password": PASSWORD })));
        assert_eq!(statuses(&answers), [200, 200]);
        assert_ne!(answers[0].json()["account"]["id"], answers[1].json()["account"]["id"]);
        for (address, pushed) in [("v@example.org", &v), ("a@example.org", &a)] {
            let seen = app.conversations_of(&app.signs_in(address));
            assert_eq!(seen.len(), 1, "{address}");
            assert_eq!(seen[0]["id"], pushed["conversation_id"]);
        }
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts WHERE state = 'claimed'"), 2);
    }

    fn rc_26_a_push_32_times_at_once_is_one_row(app) {
        let key = app.api_key(&[Scope::InteractionsWrite]);
        let body = App::email_push("msg-1", "case-1", "ada@example.org");
        let answers = in_parallel(32, |_| app.client.post("/v1/interactions").bearer(&key).json(&body).send());
        let mut outcomes: Vec<_> = answers.iter().map(|a| a.json()["outcome"].as_str().unwrap().to_owned()).collect();
        outcomes.sort_unstable();
        assert_eq!((outcomes[0].as_str(), &outcomes[1..]), ("created", &vec!["repeated".to_owned(); 31][..]));
        let ids = |answer: &Answer| {
            let body = answer.json();
            ["interaction_id", "account_id", "conversation_id", "message_id"].map(|name| body[name].to_string())
        };
        assert_eq!(answers.iter().map(ids).collect::<BTreeSet<_>>().len(), 1, "all answers name the same");
        for table in ["interactions", "messages", "conversations", "identities", "accounts"] {
            assert_eq!(app.count(&format!("SELECT count(*) AS n FROM {table}")), 1, "{table}");
        }
    }

    fn sign_up_reset_and_claim_at_once_end_with_one_account_and_one_owner(app) {
        let key = app.api_key(&[Scope::InteractionsWrite]);
        let push = |n: usize, from: &str| {
            let body = App::email_push(&format!("m-{from}-{n}"), &format!("c-{from}-{n}"), from);
            app.client.post("/v1/interactions").bearer(&key).json(&body).send()
        };
        push(0, "v@example.org").expect(201);
        push(0, "w@example.org").expect(201);
        let began = in_parallel(6, |i| match i % 3 {
            0 => app.asks_to_sign_up("v@example.org"),
            1 => app.asks_for_reset("v@example.org"),
            _ => push(i, "v@example.org"),
        });
        assert!(began.iter().all(|answer| [201, 202].contains(&answer.status)), "{:?}", statuses(&began));
        let tokens = tokens_mailed_to(app, "v@example.org");
        let answers = in_parallel(tokens.len() * 2, |i| {
            let body = json!({ "token": tokens[i / 2], "password": password(i) });
            if i % 2 == 0 { app.confirms_sign_up(&body) } else { app.confirms_reset(&body) }
        });
        let won: Vec<usize> = (0..answers.len()).filter(|i| [200, 201].contains(&answers[*i].status)).collect();
        assert_eq!(won.len(), 1, "{:?}", statuses(&answers));
        assert!(answers.iter().all(|a| [200, 201, 404, 410].contains(&a.status)), "{:?}", statuses(&answers));
        assert_eq!(the_only_password(app, "v@example.org", answers.len()), won[0]);
        let body = json!({ "email": "v@example.org", "password": password(won[0]) });
        let session = SignedIn::of(&app.client.post("/v1/sessions").json(&body).send().expect(201));
        assert_eq!(app.conversations_of(&session).len(), 3, "all that v wrote, and nothing of w");
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 2);
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts WHERE state = 'claimed'"), 1);
    }

    fn sign_up_reset_and_pushes_in_any_order_end_with_the_same_account(app) {
        const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for (n, order) in ORDERS.iter().enumerate() {
            let v = format!("v{n}@example.org");
            for act in order {
                match act {
                    0 => drop(app.emails_support(&v)),
                    1 => drop(app.asks_to_sign_up(&v).expect(202)),
                    _ => drop(app.asks_for_reset(&v).expect(202)),
                }
            }
            let token = app.secret_mailed_to(&v).token;
            app.confirms_reset(&json!({ "token": token, "password": PASSWORD })).expect(200);
            assert_eq!(app.conversations_of(&app.signs_in(&v)).len(), 1, "{order:?}");
            let accounts = format!("SELECT count(*) AS n FROM identities WHERE subject = '{v}'");
            assert_eq!(app.count(&accounts), 1, "{order:?}");
        }
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 6);
    }
}

/// Around the API: what the desk does when it takes two unclaimed people for one.
fn merge_around_the_api(app: &App, from: &Value, into: &Value) {
    let (from, into) = (&from["account_id"], &into["account_id"]);
    let id = |account: &Value| {
        let hex = account.as_str().unwrap().replace('-', "");
        if app.db == Db::Sqlite { format!("x'{hex}'") } else { format!("'{hex}'::uuid") }
    };
    let (from, into) = (id(from), id(into));
    for table in ["identities", "conversations", "interactions"] {
        app.sql(&format!("UPDATE {table} SET account_id = {into} WHERE account_id = {from}"));
    }
    app.sql(&format!("UPDATE messages SET author_account_id = {into} WHERE author_account_id = {from}"));
}

#[test]
fn rc_24_a_long_reader_and_a_hundred_writers_do_not_meet_on_sqlite() {
    let app = App::start(Db::Sqlite, Setup::default()).unwrap();
    let key = app.api_key(&[Scope::InteractionsWrite]);
    app.emails_support("ada@example.org");
    let mut reader = app.connection();
    reader.batch_execute("BEGIN; SELECT count(*) FROM messages;").unwrap();
    let answers = in_parallel(100, |i| {
        let body = App::email_push(&format!("m-{i}"), &format!("c-{}", i % 10), &format!("p{}@example.org", i % 7));
        app.client.post("/v1/interactions").bearer(&key).json(&body).send()
    });
    assert_eq!(statuses(&answers), [201; 100]);
    reader.batch_execute("COMMIT").unwrap();
    assert_eq!(app.count("SELECT count(*) AS n FROM messages"), 101);
    app.check_invariants();
}

fn rc_25_two_processes_share_a_fresh_database(db: Db) {
    let Some(home) = Installation::new(DOORSTEP, db) else { return };
    let starting = [home.start(&["serve"]), home.start(&["serve"])];
    let [one, other] = starting.map(doorstep_tests::process::Process::listening);
    assert_eq!(home.count("SELECT count(*) AS n FROM instance"), 1);
    assert_eq!(home.count("SELECT count(*) AS n FROM settings"), 1);
    assert_eq!(home.count("SELECT count(*) AS n FROM signing_keys"), 1);
    for server in [&one, &other] {
        server.client.get("/readyz").send().expect(200);
    }
    one.client.post("/v1/sign-ups").json(&json!({ "email": "ada@example.org" })).send().expect(202);
    home.wait_for_mail_to("ada@example.org");
    let confirm = json!({ "token": home.token_mailed_to("ada@example.org"), "password": PASSWORD });
    let session = other.client.post("/v1/sign-ups/confirm").json(&confirm).send().expect(201).json();
    one.client.get("/v1/me").bearer(session["access_token"].as_str().unwrap()).send().expect(200);
}

#[test]
fn rc_25_two_processes_share_a_fresh_database_on_sqlite() {
    rc_25_two_processes_share_a_fresh_database(Db::Sqlite);
}

#[test]
fn rc_25_two_processes_share_a_fresh_database_on_postgres() {
    rc_25_two_processes_share_a_fresh_database(Db::Postgres);
}
