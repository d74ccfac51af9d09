//! Forgot password: what its secret does, for how long, and for whom.

use std::time::Duration;

use doorstep_core::db::Origin;
use doorstep_core::email::EmailAddress;
use doorstep_core::mailed_secret::invite_admin;
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD, SecretMail};
use doorstep_tests::{App, on_both};
use serde_json::json;

use crate::forced::{account_of, becomes, inspects_reset, inspects_sign_up, resets, text};

const MINUTE: Duration = Duration::from_secs(60);
/// What passes of the machine's own time between two steps of a story counts too.
const SLACK: Duration = Duration::from_secs(30);

/// As the command line does it.
fn invites_admin(app: &App, email: &str) -> SecretMail {
    let address = EmailAddress::parse(email).unwrap();
    let invited = app.store().write(&Origin::default(), move |work| invite_admin(work, &address)).unwrap();
    let secret = invited.1.unwrap();
    let (token, code) = (secret.token.to_string(), secret.code.to_string());
    SecretMail { subject: String::new(), text: String::new(), token, code }
}

on_both! {
    fn rs_05_a_secret_works_once(app) {
        app.emails_support("v@example.org");
        let mail = resets(app, "v@example.org");
        inspects_reset(app, &json!({ "token": mail.token })).expect(200);
        app.confirms_reset(&json!({ "token": mail.token, "password": PASSWORD })).expect(200);
        let again = app.confirms_reset(&json!({ "token": mail.token, "password": OTHER_PASSWORD })).expect(410);
        assert_eq!(again.code(), "secret_expired");
        inspects_reset(app, &json!({ "token": mail.token })).expect(410);
        let by_code = json!({ "email": "v@example.org", "code": mail.code, "password": OTHER_PASSWORD });
        assert_eq!(app.confirms_reset(&by_code).expect(404).code(), "secret_not_found");
        app.tries_to_sign_in("v@example.org", OTHER_PASSWORD).expect(401);
        app.tries_to_sign_in("v@example.org", PASSWORD).expect(201);
    }

    fn rs_06_a_code_lives_ten_minutes_and_its_link_thirty(app) {
        app.claims("v@example.org");
        let mail = resets(app, "v@example.org");
        let by_code = json!({ "email": "V@Example.org", "code": mail.code.to_lowercase().replace('-', "") });
        app.advance(MINUTE * 10 - SLACK);
        inspects_reset(app, &by_code).expect(200);
        app.advance(SLACK);
        let late = inspects_reset(app, &by_code).expect(404);
        assert_eq!(late.code(), "secret_not_found");
        assert!(late.json()["detail"].as_str().unwrap().contains("older than ten minutes"));
        app.advance(MINUTE * 20 - SLACK);
        inspects_reset(app, &json!({ "token": mail.token })).expect(200);
        app.advance(SLACK);
        assert_eq!(inspects_reset(app, &json!({ "token": mail.token })).expect(410).code(), "secret_expired");
        app.confirms_reset(&json!({ "token": mail.token, "password": OTHER_PASSWORD })).expect(410);
        app.tries_to_sign_in("v@example.org", PASSWORD).expect(201);
    }

    fn rs_06_a_code_sets_the_password_as_well_as_the_link(app) {
        let pushed = app.emails_support("v@example.org");
        let mail = resets(app, "v@example.org");
        let by_code = json!({ "email": "v@example.org", "code": mail.code, "password": PASSWORD });
        let answer = app.confirms_reset(&by_code).expect(200).json();
        assert_eq!((&answer["outcome"], &answer["account"]["id"]), (&json!("claim"), &pushed["account_id"]));
        assert_eq!(text(app, "SELECT method AS t FROM proofs"), "mailed_code");
        app.confirms_reset(&json!({ "token": mail.token, "password": PASSWORD })).expect(410);
    }

    fn rs_08_a_new_password_ends_every_session(app) {
        app.claims("v@example.org");
        let (phone, laptop) = (app.signs_in("v@example.org"), app.signs_in("v@example.org"));
        app.me(&phone.access_token).expect(200);
        let mail = resets(app, "v@example.org");
        app.me(&phone.access_token).expect(200);
        app.confirms_reset(&json!({ "token": mail.token, "password": OTHER_PASSWORD })).expect(200);
        for session in [&phone, &laptop] {
            app.me(&session.access_token).expect(401);
            assert_eq!(app.refreshes(&session.refresh_token).expect(401).code(), "session_ended");
        }
        app.tries_to_sign_in("v@example.org", PASSWORD).expect(401);
        app.tries_to_sign_in("v@example.org", OTHER_PASSWORD).expect(201);
    }

    fn rs_19_a_closed_account_is_neither_mailed_nor_opened(app) {
        for (email, close) in [("disabled@example.org", "disabled"), ("deleted@example.org", "deleted")] {
            app.claims(email);
            let early = resets(app, email);
            let mails = app.mail_to(email).len();
            becomes(app, email, close);
            app.asks_for_reset(email).expect(202);
            app.asks_to_sign_up(email).expect(202);
            assert_eq!(app.mail_to(email).len(), mails, "{email}");
            inspects_reset(app, &json!({ "token": early.token })).expect(410);
            app.confirms_reset(&json!({ "token": early.token, "password": OTHER_PASSWORD })).expect(410);
            let by_code = json!({ "email": email, "code": early.code, "password": OTHER_PASSWORD });
            app.confirms_reset(&by_code).expect(410);
            assert_eq!(text(app, &format!("SELECT state AS t FROM accounts WHERE id = {}", account_of(email))), close);
            for password in [PASSWORD, OTHER_PASSWORD] {
                app.tries_to_sign_in(email, password).expect(401);
            }
        }
    }

    fn rs_19_a_merged_account_is_not_opened_by_its_old_address(app) {
        app.claims("survivor@example.org");
        app.claims("v@example.org");
        app.wait_until_mail_is_carried();
        let (v, survivor) = (account_of("v@example.org"), account_of("survivor@example.org"));
        app.sql(&format!("UPDATE accounts SET state = 'merged', merged_into = {survivor} WHERE id = {v}"));
        let mails = app.mail_to("v@example.org").len();
        app.asks_for_reset("v@example.org").expect(202);
        assert_eq!(app.mail_to("v@example.org").len(), mails);
        app.tries_to_sign_in("v@example.org", PASSWORD).expect(401);
    }

    fn rs_20_an_invitation_makes_an_admin_and_one_that_ran_out_never_does(app) {
        let invitation = invites_admin(app, "boss@example.org");
        let body = json!({ "token": invitation.token, "password": PASSWORD });
        let answer = app.confirms_reset(&body).expect(200).json();
        assert_eq!(answer["account"]["role"], "admin");

        let invitation = invites_admin(app, "late@example.org");
        app.advance(MINUTE * 30);
        let mail = resets(app, "late@example.org");
        app.confirms_reset(&json!({ "token": invitation.token, "password": PASSWORD })).expect(410);
        let answer = app.confirms_reset(&json!({ "token": mail.token, "password": PASSWORD })).expect(200).json();
        assert_eq!(answer["account"]["role"], "customer");
        assert_eq!(app.signs_in("late@example.org").account["role"], "customer");
    }

    fn rs_20_an_invitation_given_up_for_forgot_password_makes_no_admin_afterwards(app) {
        let invitation = invites_admin(app, "v@example.org");
        let mail = resets(app, "v@example.org");
        app.confirms_reset(&json!({ "token": mail.token, "password": PASSWORD })).expect(200);
        app.confirms_reset(&json!({ "token": invitation.token, "password": OTHER_PASSWORD })).expect(410);
        assert_eq!(app.signs_in("v@example.org").account["role"], "customer");
    }

    fn rs_20_a_stranger_who_asks_for_a_reset_does_not_void_an_invitation(app) {
        let invitation = invites_admin(app, "boss@example.org");
        resets(app, "boss@example.org");
        let body = json!({ "token": invitation.token, "password": PASSWORD });
        assert_eq!(app.confirms_reset(&body).expect(200).json()["account"]["role"], "admin");
    }

    fn rs_21_without_password_sign_in_no_secret_sets_a_password(app) {
        app.claims("v@example.org");
        app.emails_support("known@example.org");
        let early = resets(app, "v@example.org");
        let mails = app.smtp.messages().len();
        app.change_settings(|settings| settings.password_sign_in = false);
        for email in ["v@example.org", "known@example.org", "nobody@example.org"] {
            app.asks_for_reset(email).expect(202);
            app.asks_to_sign_up(email).expect(202);
        }
        app.wait_until_mail_is_carried();
        assert_eq!(app.smtp.messages().len(), mails);
        inspects_reset(app, &json!({ "token": early.token })).expect(410);
        app.confirms_reset(&json!({ "token": early.token, "password": OTHER_PASSWORD })).expect(410);
        let options = app.client.get("/v1/sign-in-options").send().expect(200).json();
        assert_eq!((&options["password"], &options["sign_up"]), (&json!(false), &json!("off")));

        app.change_settings(|settings| settings.password_sign_in = true);
        app.confirms_reset(&json!({ "token": early.token, "password": OTHER_PASSWORD })).expect(200);
    }

    fn rs_23_a_new_password_signs_nobody_in(app) {
        app.claims("v@example.org");
        let mail = resets(app, "v@example.org");
        let answer = app.confirms_reset(&json!({ "token": mail.token, "password": PASSWORD })).expect(200).json();
        let fields: Vec<&String> = answer.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["account", "device_token", "outcome", "ways_in"]);
        assert_eq!(app.count("SELECT count(*) AS n FROM sessions"), 0);
    }

    fn a_secret_is_good_for_its_own_purpose_alone(app) {
        app.claims("v@example.org");
        app.emails_support("known@example.org");
        for email in ["v@example.org", "known@example.org"] {
            let mail = resets(app, email);
            for presented in [json!({ "token": mail.token }), json!({ "email": email, "code": mail.code })] {
                assert_eq!(inspects_sign_up(app, &presented).expect(404).code(), "secret_not_found", "{email}");
                let mut body = presented.clone();
                body["password"] = json!(OTHER_PASSWORD);
                assert_eq!(app.confirms_sign_up(&body).expect(404).code(), "secret_not_found", "{email}");
                inspects_reset(app, &presented).expect(200);
            }
            let elsewhere = json!({ "email": "w@example.org", "code": mail.code });
            inspects_reset(app, &elsewhere).expect(404);
        }
        assert_eq!(app.count("SELECT count(*) AS n FROM sessions"), 0);
    }

    fn a_refused_password_says_why_and_spends_nothing(app) {
        app.emails_support("ada.lovelace@example.org");
        let mail = resets(app, "ada.lovelace@example.org");
        let long = "x".repeat(257);
        let reasons: [(&str, &[&str]); 7] = [
            ("tulip", &["common", "too_short"]),
            ("passwordpassword", &["common"]),
            ("ada.lovelace@example.org", &["contains_email"]),
            ("ShopHelpShop123", &["contains_site_name"]),
            ("correct horse\nbattery staple", &["control_characters"]),
            (&long, &["too_long"]),
            ("", &["common", "too_short"]),
        ];
        for (password, expected) in reasons {
            let answer = app.confirms_reset(&json!({ "token": mail.token, "password": password })).expect(422);
            assert_eq!(answer.code(), "weak_password", "{password}");
            let errors = answer.json()["errors"].as_array().unwrap().clone();
            let mut codes: Vec<&str> = errors.iter().map(|error| error["code"].as_str().unwrap()).collect();
            codes.sort_unstable();
            assert_eq!(codes, expected, "{password}");
            assert!(errors.iter().all(|error| error["pointer"] == "/password"), "{password}");
        }
    }

    fn an_admin_may_ask_for_eight_characters_and_for_no_fewer(app) {
        for (min_length, email) in [(8, "ada@example.org"), (1, "grace@example.org")] {
            app.change_settings(move |settings| settings.password_min_length = min_length);
            app.emails_support(email);
            let mail = resets(app, email);
            let sets = |password: &str| app.confirms_reset(&json!({ "token": mail.token, "password": password }));
            let refused = sets("zx7 Qw.").expect(422);
            assert_eq!(refused.code(), "weak_password", "{min_length}");
            let errors = refused.json()["errors"].as_array().unwrap().clone();
            assert!(errors.iter().any(|error| error["code"] == "too_short"), "{min_length}: {errors:?}");
            sets("zx7 Qw.p").expect(200);
        }
    }
}
