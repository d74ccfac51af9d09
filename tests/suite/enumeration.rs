//! What a stranger can learn: nothing about who has an account.

use doorstep_core::settings::SignUpPolicy;
use doorstep_tests::http::Answer;
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::{App, on_both};
use serde_json::{Value, json};

use crate::forced::{account_of, becomes, inspects_reset};

/// Every kind of holder an address can have.
const KINDS: [&str; 6] = ["absent", "unclaimed", "claimed", "disabled", "deleted", "social-only"];

fn address(kind: &str) -> String {
    format!("{kind}@example.org")
}

/// One address of each kind. Their mail limits are fresh again.
fn settle(app: &App) {
    app.emails_support(&address("unclaimed"));
    for kind in ["claimed", "disabled", "deleted", "social-only"] {
        app.claims(&address(kind));
    }
    becomes(app, &address("disabled"), "disabled");
    becomes(app, &address("deleted"), "deleted");
    app.sql(&format!("DELETE FROM credentials WHERE account_id = {}", account_of(&address("social-only"))));
    app.advance(std::time::Duration::from_secs(86_400));
}

/// All of an answer that a caller sees, but what tells requests apart.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let headers = answer.headers.iter().filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()));
    let mut headers: Vec<_> = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    headers.sort();
    let mut body = answer.json();
    body.as_object_mut().unwrap().remove("request_id");
    (answer.status, headers, body)
}

fn all_alike(what: &str, answers: &[(&str, Answer)]) {
    let (_, first) = &answers[0];
    for (kind, answer) in answers {
        assert_eq!(seen(answer), seen(first), "{what}: {kind}");
        assert!(answer.header("x-request-id").is_some(), "{what}: {kind}");
    }
}

/// How many rows a request leaves in the tables that asking for mail writes to.
fn work_of(app: &App, act: impl FnOnce()) -> [i64; 5] {
    let tables = ["outbox", "challenges", "throttles", "audit_events", "proofs"];
    let count = || tables.map(|table| app.count(&format!("SELECT count(*) AS n FROM {table}")));
    let before = count();
    act();
    let after = count();
    std::array::from_fn(|n| after[n] - before[n])
}

on_both! {
    fn en_01_a_wrong_sign_in_is_answered_alike_whoever_has_the_address(app) {
        settle(app);
        let tries = |password: &str| -> Vec<_> {
            KINDS.iter().map(|kind| (*kind, app.tries_to_sign_in(&address(kind), password).expect(401))).collect()
        };
        let mut answers = tries(OTHER_PASSWORD);
        // the right password of a closed account, too
        let right = |kind| (kind, app.tries_to_sign_in(&address(kind), PASSWORD).expect(401));
        answers.extend(["disabled", "deleted"].map(right));
        all_alike("sign-in", &answers);
        assert_eq!(answers[0].1.code(), "invalid_credentials");
    }

    fn en_02_a_wrong_sign_in_is_the_same_work_whoever_has_the_address(app) {
        settle(app);
        let tries = |kind: &str| {
            let before = app.hashed();
            let statements = app.statements_during(|| drop(app.tries_to_sign_in(&address(kind), OTHER_PASSWORD).expect(401)));
            (statements, app.hashed() - before)
        };
        // the limits of all of them are counted from now on
        KINDS.iter().for_each(|kind| drop(tries(kind)));
        let work = KINDS.map(tries);
        assert_eq!(work[0].1, 64, "one hash of 64 KiB in one pass");
        assert!(work[0].0.len() >= 2, "an account is looked for, and the attempt is counted: {:?}", work[0].0);
        for (kind, done) in KINDS.iter().zip(&work) {
            assert_eq!(done, &work[0], "{kind}");
        }
    }

    fn en_01_rl_11_being_slowed_is_answered_alike_too(app) {
        settle(app);
        let slowed = |kind: &&'static str| {
            let mut tries = (0..20).map(|_| app.tries_to_sign_in(&address(kind), OTHER_PASSWORD));
            (*kind, tries.find(|answer| answer.status != 401).expect("never slowed"))
        };
        let mut answers: Vec<_> = KINDS.iter().map(slowed).collect();
        for (kind, answer) in &mut answers {
            let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=2).contains(&wait), "{kind}: {wait}");
            answer.headers.insert("retry-after", "1".parse().unwrap());
        }
        all_alike("slowed", &answers);
        assert_eq!((answers[0].1.status, answers[0].1.code()), (429, "too_many_requests".into()));
    }

    fn en_04_asking_is_answered_alike_whoever_has_the_address(app) {
        settle(app);
        for policy in [SignUpPolicy::Open, SignUpPolicy::KnownOnly] {
            app.change_settings(move |settings| settings.sign_up = policy);
            let mut answers = vec![];
            for kind in KINDS {
                answers.push((kind, app.asks_to_sign_up(&address(kind)).expect(202)));
                answers.push((kind, app.asks_for_reset(&address(kind)).expect(202)));
            }
            all_alike("asking", &answers);
            assert_eq!(answers[0].1.json(), json!({ "status": "accepted" }));
            app.advance(std::time::Duration::from_secs(86_400));
        }
    }

    fn en_03_asking_is_the_same_work_whoever_has_the_address_and_changes_no_account(app) {
        settle(app);
        // the limits of all of them are counted from now on
        for kind in KINDS {
            app.asks_for_reset(&address(kind)).expect(202);
            app.asks_to_sign_up(&address(kind)).expect(202);
        }
        app.advance(std::time::Duration::from_secs(86_400));
        let state = "SELECT CAST(sum(version + 1000 * security_epoch) AS BIGINT) AS n FROM accounts";
        let accounts = app.count(state);
        for policy in [SignUpPolicy::Open, SignUpPolicy::KnownOnly] {
            app.change_settings(move |settings| settings.sign_up = policy);
            for road in ["sign-ups", "password-resets"] {
                for kind in KINDS {
                    let work = work_of(app, || {
                        let body = json!({ "email": address(kind) });
                        app.client.post(&format!("/v1/{road}")).json(&body).send().expect(202);
                    });
                    assert_eq!(work, [1, 1, 0, 0, 0], "{road} {kind} {policy}");
                }
            }
            app.advance(std::time::Duration::from_secs(86_400));
        }
        assert_eq!(app.count(state), accounts);
    }

    fn en_04_each_address_is_mailed_what_its_owner_may_know(app) {
        app.emails_support("unclaimed@example.org");
        app.claims("claimed@example.org");
        let subject = |email: &str| app.mail_to(email).last().unwrap().subject();
        let sign_up = [
            ("new@example.org", "Finish signing up at Shop Help"),
            ("unclaimed@example.org", "Finish signing up at Shop Help"),
            ("claimed@example.org", "You already have an account at Shop Help"),
        ];
        for (email, expected) in sign_up {
            app.asks_to_sign_up(email).expect(202);
            assert_eq!(subject(email), expected);
        }
        let notice = app.mail_to("claimed@example.org").pop().unwrap();
        assert!(!String::from_utf8_lossy(&notice.data).contains("token"), "the notice carries no secret");
        let forgot = [
            ("nobody@example.org", "There is no account with this address at Shop Help"),
            ("unclaimed@example.org", "Choose a password for your account at Shop Help"),
            ("claimed@example.org", "Choose a new password for Shop Help"),
        ];
        for (email, expected) in forgot {
            app.asks_for_reset(email).expect(202);
            assert_eq!(subject(email), expected);
        }
    }

    fn en_01_a_wrong_code_is_answered_alike_whoever_has_the_address(app) {
        settle(app);
        let mut answers = vec![];
        for kind in KINDS {
            let body = json!({ "email": address(kind), "code": "AAAA-AAAA" });
            answers.push((kind, inspects_reset(app, &body).expect(404)));
            app.asks_for_reset(&address(kind)).expect(202);
            answers.push((kind, inspects_reset(app, &body).expect(404)));
            let mut body = body;
            body["password"] = json!(OTHER_PASSWORD);
            answers.push((kind, app.confirms_reset(&body).expect(404)));
            answers.push((kind, app.confirms_sign_up(&body).expect(404)));
        }
        all_alike("code", &answers);
    }

    fn en_09_nobody_is_told_how_many_there_are(app) {
        app.emails_support("a@example.org");
        let a = app.signs_up("a@example.org");
        let lists = ["accounts", "accounts?limit=1", "conversations", "admin/accounts", "admin/audit-events"];
        for path in lists.map(|list| format!("/v1/{list}")) {
            for token in [None, Some(&a.access_token)] {
                let request = app.client.get(&path);
                let status = token.into_iter().fold(request, |request, token| request.bearer(token)).send().status;
                assert!(matches!(status, 401 | 403 | 404), "{path}: {status}");
            }
        }
        let list = app.client.get("/v1/me/conversations?limit=1").bearer(&a.access_token).send().expect(200);
        assert_eq!(list.json().as_object().unwrap().keys().collect::<Vec<_>>(), ["items", "next_cursor"]);
        assert!(list.header("x-total-count").is_none() && list.header("link").is_none());
        let options = app.client.get("/v1/sign-in-options").send().expect(200).json();
        let names: Vec<&String> = options.as_object().unwrap().keys().collect();
        assert_eq!(names, ["password", "password_min_length", "providers", "sign_up"]);
    }
}
