//! Guessing at one account by all of its addresses: as many guesses as at one by a single address, in answers that do not
//! tell that they are one person's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use doorstep_tests::http::Answer;
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::social::{Social, proven, signed_in};
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::{Value, json};

const WRONG: &str = "never the right one";
const ADDRESSES: [&str; 4] = ["ada@example.org", "ada@work.example", "ada@home.example", "ada@club.example"];
const DAY: Duration = Duration::from_secs(86_400);

/// Ada, with all her addresses.
fn ada(app: &App) -> SignedIn {
    let ada = app.signs_up(ADDRESSES[0]);
    for address in &ADDRESSES[1..] {
        app.adds(&ada, address);
    }
    ada
}

/// A try from a caller who has not tried before, once its address need not wait any more.
fn tries(app: &App, email: &str, password: &str) -> Answer {
    static CALLERS: AtomicUsize = AtomicUsize::new(0);
    loop {
        let n = CALLERS.fetch_add(1, Ordering::Relaxed);
        let answer = app.tries_to_sign_in_from(&format!("10.0.{}.{}", n / 256 % 256, n % 256), email, password);
        let Some(wait) = answer.header("Retry-After").filter(|_| answer.status == 429) else { return answer };
        let wait: u64 = wait.parse().unwrap();
        assert!(wait <= 3600, "no address was guessed at a hundred times: {wait}");
        app.advance(Duration::from_secs(wait));
    }
}

/// So many wrong passwords, at one address after the other.
fn guesses(app: &App, addresses: &[&str], n: usize) {
    for address in addresses.iter().cycle().take(n) {
        tries(app, address, WRONG).expect(401);
    }
}

/// All of an answer that a caller sees, but what tells requests apart.
fn told(answer: &Answer) -> (u16, Value) {
    let mut body = answer.json();
    body["request_id"] = Value::Null;
    (answer.status, body)
}

on_both! {
    fn an_account_is_guessed_at_a_hundred_times_by_whatever_address(app) {
        let ada = ada(app);
        guesses(app, &ADDRESSES, 99);
        tries(app, ADDRESSES[1], PASSWORD).expect(201);
        guesses(app, &ADDRESSES, 100);
        let wrong = told(&tries(app, "nobody@example.org", WRONG).expect(401));
        for address in ADDRESSES {
            assert_eq!(told(&tries(app, address, PASSWORD)), wrong, "the guesser may have it by now");
        }
        app.tries_to_sign_in_with_device(ADDRESSES[0], PASSWORD, &ada.device_token).expect(201);
        tries(app, ADDRESSES[0], PASSWORD).expect(401);
        app.claims_with(ADDRESSES[2], OTHER_PASSWORD);
        tries(app, ADDRESSES[0], OTHER_PASSWORD).expect(201);
    }

    fn guesses_at_an_account_are_forgotten_a_day_after_the_last(app) {
        ada(app);
        guesses(app, &ADDRESSES, 100);
        tries(app, ADDRESSES[0], PASSWORD).expect(401);
        app.advance(DAY);
        tries(app, ADDRESSES[0], PASSWORD).expect(201);
    }

    fn who_guesses_at_one_address_does_not_learn_the_others_of_its_account(app) {
        ada(app);
        app.signs_up("grace@example.org");
        let slowed = (0..20).map(|n| app.tries_to_sign_in_from(&format!("203.0.113.{n}"), ADDRESSES[0], WRONG));
        slowed.into_iter().find(|answer| answer.status == 429).expect("never slowed");
        for address in [ADDRESSES[1], "grace@example.org", "nobody@example.org"] {
            for _ in 0..6 {
                app.tries_to_sign_in(address, WRONG).expect(401);
            }
            app.tries_to_sign_in(address, WRONG).expect(429);
        }
    }

    fn an_account_that_was_guessed_at_is_as_much_work_as_any_other(app) {
        ada(app);
        guesses(app, &ADDRESSES, 100);
        // the limits of all of them are counted from now on
        let work = [ADDRESSES[0], "nobody@example.org"].map(|address| {
            tries(app, address, WRONG).expect(401);
            app.advance(Duration::from_secs(3600));
            let before = app.hashed();
            let statements = app.statements_during(|| drop(app.tries_to_sign_in(address, PASSWORD).expect(401)));
            (statements, app.hashed() - before)
        });
        assert_eq!(work[0], work[1]);
        assert!(work[0].1 > 0, "a password was hashed");
    }
}

/// Ada, who comes by Google and has set a password.
fn ada_by_google(social: &Social) -> SignedIn {
    let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
    let set = social.client.put("/v1/me/password").bearer(&ada.access_token).json(&json!({ "password": PASSWORD }));
    let ada = SignedIn::of(&set.send().expect(200));
    social.adds(&ada, ADDRESSES[1]);
    signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")))
}

on_both_with_providers! {
    fn whoever_has_a_session_by_a_provider_gets_no_guesses_of_their_own(social) {
        ada_by_google(social);
        guesses(social, &["ada@gmail.com", ADDRESSES[1]], 100);
        // its own address need not wait any more
        social.advance(Duration::from_secs(3600));
        let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
        let reauthenticate = || social.client.post("/v1/me/reauthenticate").bearer(&ada.access_token);
        let stopped = reauthenticate().json(&json!({ "password": PASSWORD })).send().expect(429);
        let wait: u64 = stopped.header("Retry-After").unwrap().parse().unwrap();
        assert!(wait > 3600, "until they are forgotten: {wait}");
        let another = json!({ "current_password": PASSWORD, "password": OTHER_PASSWORD });
        let put = social.client.put("/v1/me/password").bearer(&ada.access_token).json(&another).send();
        assert_eq!(put.status, 429);
        social.advance(DAY);
        let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
        let again = social.client.post("/v1/me/reauthenticate").bearer(&ada.access_token);
        again.json(&json!({ "password": PASSWORD })).send().expect(200);
    }
}
