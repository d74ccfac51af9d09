//! Whom the settings let in: sign-up for all or for those support knows, and domains.

use doorstep_core::settings::SignUpPolicy;
use doorstep_tests::on_both;
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use serde_json::json;

use crate::forced::{inspects_reset, resets};

on_both! {
    fn where_sign_up_is_for_known_people_only_they_are_mailed(app) {
        app.emails_support("known@example.org");
        app.change_settings(|settings| settings.sign_up = SignUpPolicy::KnownOnly);
        for road in ["/v1/sign-ups", "/v1/password-resets"] {
            for email in ["known@example.org", "unknown@example.org"] {
                app.client.post(road).json(&json!({ "email": email })).send().expect(202);
            }
        }
        assert!(app.mail_to("unknown@example.org").is_empty());
        assert_eq!(app.mail_to("known@example.org").len(), 2);
        app.signs_up("known@example.org");
        assert_eq!(app.client.get("/v1/sign-in-options").send().expect(200).json()["sign_up"], "known_only");
    }

    fn a_sign_up_under_way_stops_when_sign_up_is_closed_and_is_not_spent(app) {
        app.asks_to_sign_up("new@example.org").expect(202);
        let mail = app.secret_mailed_to("new@example.org");
        let body = json!({ "token": mail.token, "password": PASSWORD });
        app.change_settings(|settings| settings.sign_up = SignUpPolicy::KnownOnly);
        app.confirms_sign_up(&body).expect(410);
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 0);
        app.change_settings(|settings| settings.sign_up = SignUpPolicy::Open);
        app.confirms_sign_up(&body).expect(201);
    }

    fn a_blocked_domain_makes_and_claims_nothing_unless_it_is_allowed(app) {
        let pushed = app.emails_support("known@blocked.example");
        app.asks_to_sign_up("early@blocked.example").expect(202);
        let early = app.secret_mailed_to("early@blocked.example");
        app.change_settings(|settings| settings.blocked_domains = vec!["blocked.example".into()]);
        let mails = app.smtp.messages().len();
        for email in ["known@blocked.example", "new@Blocked.Example"] {
            app.asks_to_sign_up(email).expect(202);
            app.asks_for_reset(email).expect(202);
        }
        app.wait_until_mail_is_carried();
        assert_eq!(app.smtp.messages().len(), mails);
        app.confirms_sign_up(&json!({ "token": early.token, "password": PASSWORD })).expect(410);
        // a domain is not its subdomains, nor what ends like it
        app.signs_up("a@sub.blocked.example");
        app.signs_up("a@notblocked.example");

        app.change_settings(|settings| settings.allowed_domains = vec!["blocked.example".into()]);
        assert_eq!(app.claims("known@blocked.example").account_id, pushed["account_id"].as_str().unwrap());
    }

    fn where_domains_are_allowed_by_name_no_other_makes_or_claims_an_account(app) {
        app.emails_support("known@elsewhere.example");
        app.claims("owner@elsewhere.example");
        app.change_settings(|settings| settings.allowed_domains = vec!["example.org".into()]);
        let mails = app.smtp.messages().len();
        app.asks_for_reset("known@elsewhere.example").expect(202);
        app.asks_to_sign_up("new@elsewhere.example").expect(202);
        app.wait_until_mail_is_carried();
        assert_eq!(app.smtp.messages().len(), mails);
        app.signs_up("ada@example.org");
        // who has an account keeps it, and its recovery (I9)
        let mail = resets(app, "owner@elsewhere.example");
        assert_eq!(inspects_reset(app, &json!({ "token": mail.token })).expect(200).json()["outcome"], "recover");
        app.confirms_reset(&json!({ "token": mail.token, "password": OTHER_PASSWORD })).expect(200);
        app.tries_to_sign_in("owner@elsewhere.example", OTHER_PASSWORD).expect(201);
    }
}
