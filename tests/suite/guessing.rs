//! Guessing passwords: slowed per account and per caller, in answers that tell nothing, without locking the owner out.

use std::time::Duration;

use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::{App, Setup, on_both};
use serde_json::{Value, json};

const DAY: Duration = Duration::from_secs(86_400);
const WRONG: &str = "never the right one";

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Another caller for each number.
fn caller(n: usize) -> String {
    format!("10.{}.{}.{}", n / 65_536, n / 256 % 256, n % 256)
}

/// An address nobody has.
fn nobody(n: usize) -> String {
    format!("nobody-{n}@example.org")
}

/// One wrong password for each of `n` addresses, with these headers; gives the statuses in the order of answering.
fn stuffs(app: &App, n: usize, headers: impl Fn(usize) -> Vec<(&'static str, String)> + Sync) -> Vec<u16> {
    let answers = in_parallel(4, |thread| {
        let guess = |i: usize| {
            let request = app.client.post("/v1/sessions").json(&json!({ "email": nobody(i), "password": WRONG }));
            headers(i).iter().fold(request, |request, (name, value)| request.header(name, value)).send().status
        };
        (0..n).filter(|i| i % 4 == thread).map(guess).collect::<Vec<_>>()
    });
    answers.concat()
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|s| **s == status).count()
}

/// The guesses of one caller are over: the bucket holds 100, and gives one back every 20 seconds.
#[track_caller]
fn was_stopped_at_a_hundred(statuses: &[u16]) {
    let (wrong, stopped) = (count(statuses, 401), count(statuses, 429));
    assert_eq!(wrong + stopped, statuses.len(), "{statuses:?}");
    assert!((100..=105).contains(&wrong), "{wrong} guesses were looked at");
}

fn from(address: impl Into<String>) -> Vec<(&'static str, String)> {
    vec![("X-Forwarded-For", address.into())]
}

fn retry_after(answer: &Answer) -> u64 {
    answer.header("Retry-After").unwrap().parse().unwrap()
}

/// What an answer tells, but for the id of its request, its date and how long exactly to wait.
fn told(answer: &Answer) -> (u16, Value, Vec<(String, String)>) {
    let mut body = answer.json();
    body["request_id"] = Value::Null;
    let mut headers = answer.headers.clone();
    for name in ["x-request-id", "date"] {
        headers.remove(name);
    }
    if let Some(wait) = headers.get_mut("retry-after") {
        *wait = "some".parse().unwrap();
    }
    let text = |value: &ureq::http::HeaderValue| value.to_str().unwrap().to_owned();
    let mut headers: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    headers.sort();
    (answer.status, body, headers)
}

/// Guesses, waiting as long as told, until the wait is so long that a slow machine does not sit it out.
fn guesses_until_slowed(app: &App, email: &str) -> Answer {
    loop {
        let answer = app.tries_to_sign_in(email, WRONG);
        match answer.status {
            401 => {}
            429 if retry_after(&answer) > 60 => return answer,
            429 => app.advance(seconds(retry_after(&answer))),
            other => panic!("{other}"),
        }
    }
}

/// Guesses from ever new callers, waiting as long as told, until there is a wait of more than an hour.
fn guesses_patiently(app: &App, email: &str) -> Vec<u64> {
    let mut waits = Vec::new();
    let mut looked_at = 0;
    for n in 0.. {
        let answer = app.tries_to_sign_in_from(&caller(n), email, WRONG);
        match answer.status {
            401 => looked_at += 1,
            429 => {
                let wait = retry_after(&answer);
                waits.push(wait);
                if wait > 3600 {
                    break;
                }
                app.advance(seconds(wait));
            }
            other => panic!("{other}"),
        }
        assert!(n < 1000, "guessing goes on for ever");
    }
    assert_eq!(looked_at, 100, "guesses at {email}");
    waits
}

on_both! {
    fn rl_02_behind_a_proxy_the_right_most_stranger_counts(app) {
        was_stopped_at_a_hundred(&stuffs(app, 120, |i| from(format!("{}, 198.51.100.7", caller(i)))));
        let same_caller = ["198.51.100.7", "203.0.113.1, 198.51.100.7, 127.0.0.1", "::ffff:198.51.100.7", "127.0.0.1, 198.51.100.7"];
        for chain in same_caller {
            assert_eq!(app.tries_to_sign_in_from(chain, &nobody(999), WRONG).status, 429, "{chain}");
        }
        for chain in ["198.51.100.8", "198.51.100.7, 198.51.100.8", "198.51.100.7, nonsense", ""] {
            assert_eq!(app.tries_to_sign_in_from(chain, &nobody(998), WRONG).status, 401, "{chain}");
        }
        let repeated = app.client.post("/v1/sessions").header("X-Forwarded-For", "203.0.113.1");
        let body = json!({ "email": nobody(999), "password": WRONG });
        assert_eq!(repeated.header("X-Forwarded-For", "198.51.100.7").json(&body).send().status, 429, "two headers are one list");
        for chain in ["\u{ff}, 198.51.100.7", "198.51.100.7:4711", "x, [::ffff:198.51.100.7]:1"] {
            assert_eq!(app.tries_to_sign_in_from(chain, &nobody(997), WRONG).status, 429, "{chain}");
        }
    }

    fn ipv6_callers_count_by_their_network(app) {
        was_stopped_at_a_hundred(&stuffs(app, 120, |i| from(format!("2001:db8:1:2:{i:x}::{i:x}"))));
        assert_eq!(app.tries_to_sign_in_from("2001:db8:1:2:ffff:ffff:ffff:ffff", &nobody(999), WRONG).status, 429);
        assert_eq!(app.tries_to_sign_in_from("2001:db8:1:3::1", &nobody(999), WRONG).status, 401);
    }

    fn rl_04_one_account_is_guessed_at_a_hundred_times_at_most(app) {
        app.signs_up("ada@example.org");
        let waits = guesses_patiently(app, "ada@example.org");
        let (last, growing) = waits.split_last().unwrap();
        // a slow machine sits out some seconds of a wait before it asks
        assert!(growing.windows(2).all(|two| two[0] <= two[1] + 9 && two[1] <= two[0] * 2 + 9), "{growing:?}");
        assert!(growing.iter().filter(|wait| **wait > 3590).count() >= 80, "{growing:?}");
        assert!((DAY.as_secs() - 5..=DAY.as_secs()).contains(last), "{last}");
        assert_eq!(app.tries_to_sign_in("ada@example.org", PASSWORD).status, 429, "the guesser may have it by now");
    }

    fn rl_04_an_address_without_an_account_is_no_different(app) {
        app.signs_up("ada@example.org");
        app.emails_support("unclaimed@example.org");
        let addresses = ["ada@example.org", "unclaimed@example.org", "nobody@example.org"];
        let wrong = addresses.map(|email| told(&app.tries_to_sign_in(email, WRONG).expect(401)));
        let stopped = addresses.map(|email| told(&guesses_until_slowed(app, email)));
        for answers in [wrong, stopped] {
            assert_eq!(answers[0], answers[1], "claimed and unclaimed");
            assert_eq!(answers[0], answers[2], "claimed and absent");
        }
        guesses_patiently(app, "another@example.org");
    }

    fn rl_05_a_stranger_cannot_lock_the_owner_out(app) {
        let session = app.signs_up("ada@example.org");
        guesses_patiently(app, "ada@example.org");
        app.tries_to_sign_in_with_device("ada@example.org", PASSWORD, &session.device_token).expect(201);
        app.tries_to_sign_in("ada@example.org", PASSWORD).expect(429);
        app.claims_with("ada@example.org", OTHER_PASSWORD);
        app.tries_to_sign_in("ada@example.org", OTHER_PASSWORD).expect(201);
    }

    fn rl_07_protection_arms_again_after_a_wait_and_after_a_day(app) {
        app.signs_up("ada@example.org");
        let guess = || app.tries_to_sign_in("ada@example.org", WRONG);
        let wait = retry_after(&guesses_until_slowed(app, "ada@example.org"));
        app.advance(seconds(wait));
        guess().expect(401);
        assert!(retry_after(&guess().expect(429)) > wait);
        app.advance(DAY + seconds(1));
        for _ in 0..6 {
            guess().expect(401);
        }
        let wait = retry_after(&guesses_until_slowed(app, "ada@example.org"));
        app.advance(seconds(wait));
        app.tries_to_sign_in("ada@example.org", PASSWORD).expect(201);
        for _ in 0..6 {
            guess().expect(401);
        }
        guesses_until_slowed(app, "ada@example.org");
    }

    fn rl_10_one_guess_at_each_of_many_accounts_trips_the_caller(app) {
        app.signs_up("ada@example.org");
        was_stopped_at_a_hundred(&stuffs(app, 120, |_| from("198.51.100.7")));
        let stopped = app.tries_to_sign_in_from("198.51.100.7", "ada@example.org", PASSWORD).expect(429);
        assert!((1..=20).contains(&retry_after(&stopped)));
        app.tries_to_sign_in_from("198.51.100.8", "ada@example.org", PASSWORD).expect(201);
        app.advance(seconds(20));
        app.tries_to_sign_in_from("198.51.100.7", "ada@example.org", PASSWORD).expect(201);
    }

    fn rl_10_people_behind_one_address_who_know_their_passwords_are_not_slowed(app) {
        app.signs_up("ada@example.org");
        for _ in 0..110 {
            app.tries_to_sign_in_from("198.51.100.7", "ada@example.org", PASSWORD).expect(201);
        }
    }

    fn rl_11_too_many_is_said_in_full_and_kept_by_no_cache(app) {
        let answer = guesses_until_slowed(app, "ada@example.org");
        assert_eq!(answer.code(), "too_many_requests");
        assert!(answer.json()["detail"].as_str().unwrap().contains("device_token"), "which this operation takes");
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
        assert_eq!(answer.header("Content-Type"), Some("application/problem+json"));
    }

    fn rc_19_two_hundred_wrong_passwords_at_once_are_counted_one_by_one(app) {
        app.signs_up("ada@example.org");
        let answers = in_parallel(200, |n| app.tries_to_sign_in_from(&caller(n), "ada@example.org", WRONG));
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        let looked_at = count(&statuses, 401);
        // five are free, and each later one waits twice as long as the one before
        assert!((6..=10).contains(&looked_at), "{looked_at} guesses were looked at");
        for answer in answers.iter().filter(|answer| answer.status != 401) {
            assert!(matches!(answer.status, 429 | 503), "{}", answer.status);
            assert!(retry_after(answer) >= 1);
        }
        assert_eq!(app.count("SELECT max(failures) AS n FROM throttles"), i64::try_from(looked_at).unwrap());
    }
}

/// Nobody is a proxy here, so what a caller says of where it comes from is nothing.
fn rl_01_forwarded_headers_of_strangers_are_nothing(db: doorstep_tests::Db) {
    let mut setup = Setup::default();
    setup.config.server.trusted_proxies = Vec::new();
    let Some(app) = App::start(db, setup) else { return };
    let headers = |i: usize| {
        let address = caller(i);
        let forwarded = format!("for={address}");
        vec![("X-Forwarded-For", address.clone()), ("X-Real-IP", address), ("Forwarded", forwarded)]
    };
    was_stopped_at_a_hundred(&stuffs(&app, 120, headers));
}

mod rl_01_forwarded_headers {
    use doorstep_tests::Db;

    #[test]
    fn sqlite() {
        super::rl_01_forwarded_headers_of_strangers_are_nothing(Db::Sqlite);
    }

    #[test]
    fn postgres() {
        super::rl_01_forwarded_headers_of_strangers_are_nothing(Db::Postgres);
    }
}
