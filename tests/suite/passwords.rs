//! Password sign-in itself: turned off, hashed anew, spelled in two ways, and in a storm.

use std::collections::HashSet;

use doorstep_core::hashing::HashCost;
use doorstep_tests::http::in_parallel;
use doorstep_tests::people::PASSWORD;
use doorstep_tests::{App, Db, Setup, on_both};
use serde_json::json;

fn hashed_at(app: &App, memory_kib: u32) -> i64 {
    app.count(&format!(
        "SELECT count(*) AS n FROM credentials WHERE secret_hash LIKE '$argon2id$v=19$m={memory_kib},%'"
    ))
}

on_both! {
    fn password_sign_in_that_is_off_is_off_for_every_address_alike(app) {
        app.signs_up("claimed@example.org");
        app.emails_support("unclaimed@example.org");
        let disabled = app.signs_up("disabled@example.org").account["id"].as_str().unwrap().to_owned();
        app.sql(&match app.db {
            Db::Sqlite => format!("UPDATE accounts SET state = 'disabled' WHERE hex(id) = upper(replace('{disabled}', '-', ''))"),
            Db::Postgres => format!("UPDATE accounts SET state = 'disabled' WHERE id = '{disabled}'"),
        });
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts WHERE state = 'disabled'"), 1);
        app.change_settings(|settings| settings.password_sign_in = false);
        let mut told = HashSet::new();
        for email in ["claimed@example.org", "unclaimed@example.org", "disabled@example.org", "absent@example.org"] {
            for password in [PASSWORD, "never the right one"] {
                let answer = app.tries_to_sign_in(email, password);
                assert_eq!((answer.status, answer.code()), (403, "method_disabled".into()), "{email}");
                told.insert(answer.json()["detail"].to_string());
            }
        }
        assert_eq!(told.len(), 1);
        let options = app.client.get("/v1/sign-in-options").send().expect(200).json();
        assert_eq!((&options["password"], &options["sign_up"]), (&json!(false), &json!("off")));
        app.change_settings(|settings| settings.password_sign_in = true);
        app.signs_in("claimed@example.org");
    }

    fn a_hash_of_another_cost_is_renewed_at_the_next_sign_in(app) {
        app.signs_up("ada@example.org");
        app.signs_up("grace@example.org");
        assert_eq!((hashed_at(app, 64), hashed_at(app, 128)), (2, 0));
        app.restart_with_cost(HashCost { memory_kib: 128, passes: 1, lanes: 1 });
        app.tries_to_sign_in("ada@example.org", "never the right one").expect(401);
        assert_eq!((hashed_at(app, 64), hashed_at(app, 128)), (2, 0));
        let session = app.signs_in("ada@example.org");
        assert_eq!((hashed_at(app, 64), hashed_at(app, 128)), (1, 1));
        app.signs_in("ada@example.org");
        app.me(&session.access_token).expect(200);
        app.refreshes(&session.refresh_token).expect(200);
    }

    fn two_spellings_of_a_letter_are_one_password(app) {
        let composed = "caf\u{e9} im gr\u{fc}nen Haus 7";
        let decomposed = "cafe\u{301} im gru\u{308}nen Haus 7";
        for (email, spelling) in [("ada@example.org", composed), ("grace@example.org", decomposed)] {
            app.emails_support(email);
            app.claims_with(email, spelling);
        }
        for email in ["ada@example.org", "grace@example.org"] {
            app.tries_to_sign_in(email, composed).expect(201);
            app.tries_to_sign_in(email, decomposed).expect(201);
            app.tries_to_sign_in(email, "cafe im grunen Haus 7").expect(401);
            app.tries_to_sign_in(email, &format!("{composed} ")).expect(401);
        }
    }
}

/// Two hundred sign-ins at once, on one thread that hashes at the real cost.
fn rl_13_ft_24_in_a_storm_of_sign_ins_everybody_else_is_served(db: Db) {
    let mut setup = Setup { hash_cost: HashCost::default(), ..Setup::default() };
    setup.config.hashing.threads = Some(1);
    let Some(app) = App::start(db, setup) else { return };
    let session = app.signs_up("ada@example.org");
    let before = app.count("SELECT count(*) AS n FROM throttles");
    let answers = in_parallel(202, |n| match n {
        200 => (0..20).map(|_| app.client.get("/healthz").send()).collect(),
        201 => (0..20).map(|_| app.me(&session.access_token)).collect(),
        _ => vec![app.tries_to_sign_in_from(&format!("203.0.113.{n}"), &format!("nobody-{n}@example.org"), PASSWORD)],
    });
    for others in &answers[200..] {
        assert!(others.iter().all(|answer| answer.status == 200));
    }
    let sign_ins: Vec<_> = answers[..200].iter().map(|answers| &answers[0]).collect();
    let (looked_at, sent_away): (Vec<_>, Vec<_>) = sign_ins.into_iter().partition(|answer| answer.status == 401);
    assert!(looked_at.len() >= 32, "{} were looked at", looked_at.len());
    assert!(!sent_away.is_empty(), "nobody was sent away");
    for answer in sent_away {
        assert_eq!((answer.status, answer.code()), (503, "overloaded".into()));
        assert!(answer.header("Retry-After").is_some_and(|wait| wait.parse::<u64>().unwrap() >= 1));
    }
    // an address, whose it is and a caller for each that was looked at, and nothing for the others
    let counted = app.count("SELECT count(*) AS n FROM throttles") - before;
    assert_eq!(counted, i64::try_from(looked_at.len()).unwrap() * 3);
    app.signs_in("ada@example.org");
    app.check_invariants();
}

mod rl_13_storm {
    use super::{Db, rl_13_ft_24_in_a_storm_of_sign_ins_everybody_else_is_served};

    #[test]
    fn sqlite() {
        rl_13_ft_24_in_a_storm_of_sign_ins_everybody_else_is_served(Db::Sqlite);
    }

    #[test]
    fn postgres() {
        rl_13_ft_24_in_a_storm_of_sign_ins_everybody_else_is_served(Db::Postgres);
    }
}
