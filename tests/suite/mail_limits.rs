//! How much mail one can make us send, and to whom.

use std::time::Duration;

use doorstep_tests::on_both;
use serde_json::json;

use crate::forced::asks_for_reset_from;

const HOUR: Duration = Duration::from_secs(3600);
const SLACK: Duration = Duration::from_secs(30);

on_both! {
    fn rs_17_one_address_gets_three_mails_of_a_kind_at_once_then_one_an_hour(app) {
        app.claims("v@example.org");
        app.advance(HOUR * 24);
        let before = app.mail_to("v@example.org").len();
        let spellings = ["v@example.org", "V@example.org", "v@EXAMPLE.org", "V@Example.ORG", "v@example\u{3002}org"];
        for n in 0..50 {
            let ip = format!("203.0.113.{n}");
            let answer = asks_for_reset_from(app, &ip, spellings[n % spellings.len()]).expect(202);
            assert_eq!(answer.json(), json!({ "status": "accepted" }));
            let sign_up = app.client.post("/v1/sign-ups").header("x-forwarded-for", &ip);
            sign_up.json(&json!({ "email": "v@example.org" })).send().expect(202);
            // a mail that a newer one overtakes is not sent: let none overtake another
            app.wait_until_mail_is_carried();
        }
        let notices = || app.mail_to("v@example.org").iter().filter(|mail| mail.subject().contains("already")).count();
        assert_eq!((app.mail_to("v@example.org").len() - before, notices()), (6, 3));
        let before = before + notices();
        for (pause, mails) in [(HOUR - SLACK, 3), (SLACK, 4), (HOUR - SLACK, 4), (SLACK, 5), (HOUR * 24, 8)] {
            app.advance(pause);
            for n in 0..5 {
                asks_for_reset_from(app, &format!("198.51.100.{n}"), "v@example.org").expect(202);
                app.wait_until_mail_is_carried();
            }
            assert_eq!(app.mail_to("v@example.org").len() - before, mails, "{pause:?}");
        }
    }

    /// Else whoever asks to sign up with it could keep an owner from the mail that lets them back in.
    fn rl_05_notices_use_up_nothing_that_lets_the_owner_back_in(app) {
        app.claims("v@example.org");
        app.advance(HOUR * 24);
        for _ in 0..5 {
            app.asks_to_sign_up("v@example.org").expect(202);
        }
        app.asks_for_reset("v@example.org").expect(202);
        app.wait_until_mail_is_carried();
        let code = app.secret_mailed_to("v@example.org").code;
        let confirm = json!({ "email": "v@example.org", "code": code, "password": "another horse, another battery" });
        app.confirms_reset(&confirm).expect(200);
    }

    fn rl_14_one_caller_gets_twenty_mails_out_an_hour_and_says_nothing_in_them(app) {
        let asks = |n: usize| {
            let body = json!({ "email": format!("foreign{n}@example.org"), "locale": "en-CALLME" });
            let road = ["/v1/sign-ups", "/v1/password-resets"][n % 2];
            app.client.post(road).header("x-forwarded-for", "2001:db8::1, 2001:db8::7").json(&body).send().expect(202)
        };
        let first = asks(0);
        for n in 1..100 {
            assert_eq!(asks(n).body, first.body, "beyond the limit too");
        }
        app.wait_until_mail_is_carried();
        assert_eq!(app.smtp.messages().len(), 20);
        assert!(app.smtp.messages().iter().all(|mail| !String::from_utf8_lossy(&mail.data).contains("CALLME")));
        // the same /64 is the same caller; another one has its own twenty
        asks_for_reset_from(app, "2001:db8:0:0:ffff::2", "next@example.org").expect(202);
        assert!(app.mail_to("next@example.org").is_empty());
        asks_for_reset_from(app, "2001:db8:0:1::1", "next@example.org").expect(202);
        assert_eq!(app.mail_to("next@example.org").len(), 1);
        app.advance(HOUR);
        for n in 100..150 {
            asks(n);
        }
        app.wait_until_mail_is_carried();
        let foreign = app.smtp.messages().iter().filter(|mail| mail.recipients[0].starts_with("foreign")).count();
        assert_eq!(foreign, 40);
    }

    fn an_address_without_an_account_counts_like_any_other(app) {
        app.change_settings(|settings| settings.sign_up = doorstep_core::settings::SignUpPolicy::KnownOnly);
        for n in 0..10 {
            asks_for_reset_from(app, &format!("203.0.113.{n}"), "v@example.org").expect(202);
        }
        app.emails_support("v@example.org");
        asks_for_reset_from(app, "203.0.113.99", "v@example.org").expect(202);
        assert!(app.mail_to("v@example.org").is_empty(), "three were counted, though none was mailed");
        app.advance(HOUR);
        asks_for_reset_from(app, "203.0.113.99", "v@example.org").expect(202);
        assert_eq!(app.mail_to("v@example.org").len(), 1);
    }
}
