//! Mail: what it says and to whom, and that it goes out, once and in time, whatever the mail server does.

use std::time::Duration;

use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::smtp::{Behaviour, SmtpServer};
use doorstep_tests::{App, Db, Setup, on_both};
use serde_json::json;

use crate::forced::{inspects_reset, mail_due, proves_another, resets, text, wait_for_count};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Around the API: waits until the one mail that waits has been tried so often, and is on nobody's lease.
fn wait_for_tries(app: &App, n: i64) {
    let tried = "SELECT count(*) AS n FROM outbox WHERE kind = 'mail' AND state = 'waiting' AND last_error IS NOT NULL";
    wait_for_count(app, 1, &format!("{tried} AND attempts = {n}"));
    let deadline = app.clock.now() + SECOND * 20;
    while mail_due(app).is_some_and(|due| due > app.clock.now() + SECOND * 35) {
        assert!(app.clock.now() < deadline, "the mail is still being tried");
        std::thread::yield_now();
    }
}

on_both! {
    fn a_mail_speaks_the_language_that_was_asked_for(app) {
        let asks = |email: &str, locale: &str| {
            let body = json!({ "email": email, "locale": locale });
            app.client.post("/v1/password-resets").json(&body).send().expect(202);
            app.mail_to(email).pop().unwrap()
        };
        let german = asks("ada@example.org", "de-CH");
        assert_eq!(german.header("Content-Language").as_deref(), Some("de"));
        assert_eq!(german.subject(), "Zu dieser Adresse gibt es kein Konto bei Shop Help");
        assert!(german.text().contains("Guten Tag") && german.text().contains("Code: "));
        for locale in ["en", "fr", "zh-Hant"] {
            let english = asks(&format!("{}@example.org", locale.to_lowercase()), locale);
            assert_eq!(english.header("Content-Language").as_deref(), Some("en"), "{locale}");
        }
        for wrong in ["", "d", "de_CH", "../de", "de\r\nBcc: a@example.org", &"de-".repeat(20)] {
            let body = json!({ "email": "ada@example.org", "locale": wrong });
            let answer = app.client.post("/v1/sign-ups").json(&body).send().expect(422);
            assert_eq!(answer.json()["errors"][0]["pointer"], "/locale", "{wrong:?}");
        }
    }

    fn an_owners_own_language_beats_the_askers(app) {
        let v = app.signs_up("v@example.org");
        app.client.patch("/v1/me").bearer(&v.access_token).json(&json!({ "locale": "de" })).send().expect(200);
        let body = json!({ "email": "v@example.org", "locale": "en" });
        app.client.post("/v1/password-resets").json(&body).send().expect(202);
        assert!(app.mail_to("v@example.org").pop().unwrap().subject().starts_with("Wählen Sie ein neues Passwort"));
    }

    fn every_proven_address_is_told_of_a_new_password_and_no_other(app) {
        app.emails_support("second@example.org");
        app.emails_support("stranger@example.org");
        app.claims("v@example.org");
        proves_another(app, "v@example.org", ("email", "second@example.org"));
        let mail = resets(app, "v@example.org");
        app.confirms_reset(&json!({ "token": mail.token, "password": OTHER_PASSWORD })).expect(200);
        for address in ["v@example.org", "second@example.org"] {
            let notice = app.mail_to(address).pop().unwrap();
            assert_eq!(notice.subject(), "The password of your account at Shop Help was set", "{address}");
            assert!(!String::from_utf8_lossy(&notice.data).contains("token"), "{address}");
        }
        assert!(app.mail_to("stranger@example.org").is_empty());
    }

    fn a_new_mail_voids_the_older_one_when_it_was_really_mailed(app) {
        app.claims("v@example.org");
        let first = resets(app, "v@example.org");
        app.smtp.script(Behaviour::TempFail(451));
        app.asks_for_reset("v@example.org").expect(202);
        wait_for_tries(app, 1);
        inspects_reset(app, &json!({ "token": first.token })).expect(200);
        inspects_reset(app, &json!({ "email": "v@example.org", "code": first.code })).expect(200);

        app.smtp.script(Behaviour::Accept);
        app.advance(SECOND * 5);
        let second = app.secret_mailed_to("v@example.org");
        assert_ne!(first.token, second.token);
        assert_eq!(inspects_reset(app, &json!({ "token": first.token })).expect(410).code(), "secret_expired");
        inspects_reset(app, &json!({ "email": "v@example.org", "code": first.code })).expect(404);
        inspects_reset(app, &json!({ "token": second.token })).expect(200);
    }

    fn a_mail_that_a_newer_one_overtook_is_not_sent_any_more(app) {
        app.claims("v@example.org");
        app.smtp.script(Behaviour::TempFail(451));
        app.asks_for_reset("v@example.org").expect(202);
        wait_for_tries(app, 1);
        app.smtp.script(Behaviour::Accept);
        app.asks_for_reset("v@example.org").expect(202);
        wait_for_count(app, 1, "SELECT count(*) AS n FROM outbox WHERE kind = 'mail' AND state = 'waiting'");
        app.advance(SECOND * 5);
        app.wait_until_mail_is_carried();
        let with_secret = app.mail_to("v@example.org").iter().filter(|mail| mail.text().contains("#token=")).count();
        assert_eq!(with_secret, 2, "the claim's and the newer one");
        let second = app.secret_mailed_to("v@example.org");
        inspects_reset(app, &json!({ "token": second.token })).expect(200);
    }

    fn ft_10_mail_that_is_put_off_is_tried_later_and_later_until_its_secret_is_over(app) {
        app.smtp.script(Behaviour::TempFail(451));
        let mut before = app.clock.now();
        app.asks_for_reset("v@example.org").expect(202);
        for (tries, wait) in [(1, 5), (2, 10), (3, 20)] {
            wait_for_tries(app, tries);
            let due = mail_due(app).unwrap();
            assert!(due >= before + SECOND * wait && due <= app.clock.now() + SECOND * wait, "try {tries}");
            before = app.clock.now() + SECOND * wait;
            app.advance(SECOND * wait);
        }
        app.advance(MINUTE * 30);
        app.wait_until_mail_is_carried();
        assert_eq!(text(app, "SELECT state AS t FROM outbox WHERE kind = 'mail'"), "expired");
        app.smtp.script(Behaviour::Accept);
        assert!(app.mail_to("v@example.org").is_empty());
        assert!(!resets(app, "v@example.org").token.is_empty(), "the next one goes out");
    }

    fn ft_10_mail_refused_for_good_is_not_tried_again_and_its_reason_holds_no_secret(app) {
        app.claims("v@example.org");
        let quoted = "5.7.1 no https://help.shop.example/reset#token=abc".to_owned();
        for behaviour in [Behaviour::PermFail(550), Behaviour::RejectRecipient(550, quoted)] {
            app.smtp.script(behaviour);
            app.asks_for_reset("v@example.org").expect(202);
            app.wait_until_mail_is_carried();
        }
        app.smtp.script(Behaviour::Accept);
        let refused = "SELECT count(*) AS n FROM outbox WHERE state = 'expired' AND attempts = 1 \
                       AND last_error LIKE '%550%'";
        assert_eq!(app.count(refused), 2);
        assert_eq!(app.count("SELECT count(*) AS n FROM outbox WHERE last_error LIKE '%token%'"), 0);
        app.advance(MINUTE * 20);
        assert_eq!(app.mail_to("v@example.org").len(), 1, "the first one");
    }

    fn ft_10_nobody_waits_for_a_mail_server_that_hangs(app) {
        app.smtp.script(Behaviour::HangAfterData);
        let calm = app.asks_for_reset("v0@example.org").expect(202);
        app.smtp.wait_for_attempts(1, SECOND * 20);
        for n in 1..6 {
            let answer = app.asks_for_reset(&format!("v{n}@example.org")).expect(202);
            assert_eq!(answer.body, calm.body);
        }
        app.smtp.script(Behaviour::Accept);
        let tried = "SELECT count(*) AS n FROM outbox \
                     WHERE state = 'done' OR (attempts = 1 AND last_error IS NOT NULL)";
        wait_for_count(app, 6, tried);
        app.advance(SECOND * 5);
        for n in 0..6 {
            assert_eq!(app.mail_to(&format!("v{n}@example.org")).len(), 1, "v{n}");
        }
    }

    fn ft_02_mail_goes_out_after_a_restart(app) {
        app.emails_support("v@example.org");
        app.smtp.script(Behaviour::Refuse);
        app.asks_for_reset("v@example.org").expect(202);
        app.restart();
        app.smtp.script(Behaviour::Accept);
        app.advance(MINUTE);
        let mail = app.secret_mailed_to("v@example.org");
        assert_eq!(app.mail_to("v@example.org").len(), 1);
        app.confirms_reset(&json!({ "token": mail.token, "password": PASSWORD })).expect(200);
    }

    fn ft_11_a_mail_sent_twice_says_the_same_twice_and_works_once(app) {
        app.emails_support("v@example.org");
        app.smtp.script(Behaviour::AcceptThenDrop);
        app.asks_for_reset("v@example.org").expect(202);
        wait_for_tries(app, 1);
        app.smtp.script(Behaviour::Accept);
        app.advance(SECOND * 5);
        let mails = app.mail_to("v@example.org");
        assert_eq!(mails.len(), 2);
        assert_eq!(mails[0].text(), mails[1].text());
        assert_eq!(mails[0].header("Message-ID"), mails[1].header("Message-ID"), "readers show it once");
        let mail = app.secret_mailed_to("v@example.org");
        app.confirms_reset(&json!({ "token": mail.token, "password": PASSWORD })).expect(200);
        app.confirms_reset(&json!({ "token": mail.token, "password": OTHER_PASSWORD })).expect(410);
    }
}

/// Mail to a server that offers no protection, by a URL that asks for it.
fn never_goes_out_in_plain_text(db: Db, scheme: &str) {
    let plain = SmtpServer::start();
    let mut setup = Setup::default();
    let url = plain.url();
    let address = url.trim_start_matches("smtp://").trim_end_matches("?tls=none");
    setup.config.mail.smtp_url = Some(format!("{scheme}://{address}"));
    let Some(app) = App::start(db, setup) else { return };
    app.asks_for_reset("v@example.org").expect(202);
    wait_for_tries(&app, 1);
    assert!(plain.messages().is_empty());
    app.check_invariants();
}

#[test]
fn ft_10_a_server_without_starttls_gets_no_mail() {
    never_goes_out_in_plain_text(Db::Sqlite, "smtp");
    never_goes_out_in_plain_text(Db::Postgres, "smtp");
}

#[test]
fn ft_10_a_server_without_tls_gets_no_mail() {
    never_goes_out_in_plain_text(Db::Sqlite, "smtps");
    never_goes_out_in_plain_text(Db::Postgres, "smtps");
}
