//! A deletion beside what else may happen at that moment.

use std::sync::mpsc::channel;

use doorstep_core::account::Role;
use doorstep_core::db::{self, Lock, Origin, Work};
use doorstep_core::error::Result;
use doorstep_core::id::AccountId;
use doorstep_tests::http::in_parallel;
use doorstep_tests::{App, Db, Setup, on_both_with_providers};
use serde_json::json;

use crate::forced::{text, tweets, wait_for_count};
use crate::goodbye::{asks, confirms};

const ADA: &str = "ada@example.org";

on_both_with_providers! {
    fn whatever_is_linked_while_the_account_goes_goes_with_it_or_is_not_linked(social) {
        for round in 0..8 {
            // a caller may have so many mails an hour
            social.advance(std::time::Duration::from_secs(3600));
            let email = format!("ada-{round}@example.org");
            let number = (100 + round).to_string();
            social.claims(&email);
            let ada = social.signs_in(&email);
            if round % 2 == 0 {
                tweets(social, &json!({ "twitter": { "id": number, "handle": "ada" } }));
            }
            let flow = social.begins_to_link(&ada, "twitter");
            let code = social.brings(&flow, &social.consents(&flow, &number));
            asks(social, &ada).expect(202);
            let token = social.secret_mailed_to(&email).token;
            let answers = in_parallel(2, |n| {
                if n == 1 {
                    return social.finishes_linking(&ada, &code, &flow.verifier);
                }
                // the link goes to its provider first: it gets a start, another in each round
                for _ in 0..round {
                    social.me(&ada.access_token);
                }
                confirms(social, &ada, &json!({ "token": token }))
            });
            let [left, linked] = [0, 1].map(|n: usize| answers[n].status);
            assert!(left == 204 && [200, 401, 410].contains(&linked), "{left} {linked}");
            social.me(&ada.access_token).expect(401);
            // what support has seen, and nobody has proven, is none of hers
            let seen = i64::from(round % 2 == 0 && linked != 200);
            let subject = format!("SELECT count(*) AS n FROM identities WHERE kind = 'twitter' AND subject = '{number}'");
            assert_eq!(social.count(&subject), seen);
            for table in ["identities", "proofs", "sessions", "social_flows", "credentials", "challenges"] {
                let of_the_deleted = "JOIN accounts a ON a.id = t.account_id WHERE a.state = 'deleted'";
                assert_eq!(social.count(&format!("SELECT count(*) AS n FROM {table} t {of_the_deleted}")), 0, "{table}");
            }
            let anew = social.arrives_by_twitter("ada", &number).expect(200).json();
            assert_eq!(anew["status"], if seen == 1 { "signed_in" } else { "email_required" });
        }
    }
}

/// Around the API: a unit of work that has done something, and ends when `act` has.
fn beside(app: &App, mut does: impl FnMut(&mut Work<'_>) -> Result<()> + Send + 'static, act: impl FnOnce()) {
    let ((begun, has_begun), (end, ended)) = (channel(), channel::<()>());
    std::thread::scope(|scope| {
        let unit = scope.spawn(move || {
            app.store().write(&Origin::default(), move |work| {
                does(work)?;
                begun.send(()).unwrap();
                assert!(ended.recv().is_err());
                Ok(())
            })
        });
        has_begun.recv().unwrap();
        act();
        drop(end);
        unit.join().unwrap().unwrap();
    });
}

/// The locks that somebody waits for.
const AWAITED: &str = "FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
    WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted";

/// On PostgreSQL alone: SQLite has one writer, and nothing to hold.
#[test]
fn a_customer_who_leaves_waits_for_no_house_and_whoever_has_become_an_admin_does() {
    let Some(app) = App::start(Db::Postgres, Setup::default()) else { return };
    let leaving = |email: &str| {
        let who = app.signs_up(email);
        asks(&app, &who).expect(202);
        (who, json!({ "token": app.secret_mailed_to(email).token }))
    };
    let hold_the_house = |work: &mut Work<'_>| work.hold(&[Lock::House]);
    let (customer, shown) = leaving("grace@example.org");
    beside(&app, hold_the_house, || drop(confirms(&app, &customer, &shown).expect(204)));

    app.signs_up("boss@example.org");
    app.sql("UPDATE accounts SET role = 'admin' WHERE state = 'claimed'");
    let (ada, shown) = leaving(ADA);
    let id = AccountId(ada.account["id"].as_str().unwrap().parse().unwrap());
    let becomes_admin = move |work: &mut Work<'_>| {
        work.hold(&[Lock::Account(id)])?;
        db::accounts::set_role(work, id, Role::Admin)
    };
    std::thread::scope(|scope| {
        let both = || {
            let mut first = String::new();
            beside(&app, becomes_admin, || {
                scope.spawn(|| confirms(&app, &ada, &shown).expect(204));
                wait_for_count(&app, 1, &format!("SELECT count(*) AS n {AWAITED}"));
                first = text(&app, &format!("SELECT l.classid || ' ' || l.objid AS t {AWAITED}"));
            });
            // it has waited for the account, and now it does for the house
            let another = format!("SELECT count(*) AS n {AWAITED} AND l.classid || ' ' || l.objid <> '{first}'");
            wait_for_count(&app, 1, &another);
        };
        beside(&app, hold_the_house, both);
    });
    assert_eq!(app.count("SELECT count(*) AS n FROM accounts WHERE state = 'deleted'"), 2);
    app.check_invariants();
}
