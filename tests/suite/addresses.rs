//! Spellings of addresses: one person is never taken for another, on either database.

use doorstep_core::settings::SignUpPolicy;
use doorstep_tests::on_both;
use doorstep_tests::people::PASSWORD;
use serde_json::{Value, json};

use crate::forced::{inspects_reset, resets};

on_both! {
    fn em_01_em_08_one_address_in_any_case_is_one_account(app) {
        let pushed = app.emails_support("V@Example.ORG");
        app.emails_support("v@example.org");
        app.emails_support("v@EXAMPLE.org");
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts"), 1);
        app.asks_to_sign_up("v@example.ORG").expect(202);
        let mail = app.secret_mailed_to("v@example.org");
        app.confirms_sign_up(&json!({ "token": mail.token, "password": PASSWORD })).expect(201);
        let session = app.signs_in("V@EXAMPLE.ORG");
        assert_eq!(session.account["id"], pushed["account_id"]);
        assert_eq!(session.account["primary_email"], "v@example.org");
        assert_eq!(app.conversations_of(&session).len(), 3);
    }

    fn em_02_ph_14_em_08_a_look_alike_is_refused_or_somebody_else(app) {
        let pushed = app.emails_support("mike@example.org");
        app.emails_support("kiss@example.org");
        let refused = [
            "m\u{131}ke@example.org", "M\u{130}KE@example.org", "\u{ff4d}ike@example.org", "mike\u{301}@example.org",
            "mi\u{212a}e@example.org", "ki\u{17f}s@example.org", "ki\u{df}@example.org", "mike@ex\u{ff41}mple.org",
            "mike\u{ff20}example.org",
            // seen by nobody: zero width, soft hyphen, right to left, variation
            "mike\u{200b}@example.org", "mi\u{ad}ke@example.org", "\u{202e}mike@example.org",
            "mike\u{fe0f}@example.org",
            "mike\u{2060}@example.org", "mike\u{feff}@example.org", "mike\u{e0061}@example.org",
        ];
        for spelling in refused {
            let answer = app.asks_for_reset(spelling);
            assert!(matches!(answer.status, 400 | 422), "{spelling:?}: {}", answer.status);
            assert_eq!(app.tries_to_sign_in(spelling, PASSWORD).status, answer.status, "{spelling:?}");
        }
        // one that is an address of its own gets mail of its own, which leads nowhere near the other's account
        let cyrillic = "mik\u{435}@example.org";
        let mail = resets(app, cyrillic);
        assert_eq!(inspects_reset(app, &json!({ "token": mail.token })).expect(200).json()["outcome"], "create");
        let made = app.confirms_reset(&json!({ "token": mail.token, "password": PASSWORD })).expect(200).json();
        assert_ne!(made["account"]["id"], pushed["account_id"]);
        assert!(app.conversations_of(&app.signs_in(cyrillic)).is_empty());
        // and none at all where only people support knows may come
        app.change_settings(|settings| settings.sign_up = SignUpPolicy::KnownOnly);
        app.asks_for_reset("m\u{456}ke@example.org").expect(202);
        app.wait_until_mail_is_carried();
        let mailed: Vec<_> = app.smtp.messages().into_iter().flat_map(|mail| mail.recipients).collect();
        assert!(mailed.iter().all(|to| to == cyrillic), "{mailed:?}");
    }

    fn em_05_em_08_a_domain_is_its_a_labels(app) {
        app.emails_support("ada@b\u{fc}cher.example");
        let ada = app.claims("ada@xn--bcher-kva.example");
        for spelling in ["ada@B\u{dc}CHER.example", "ada@XN--BCHER-KVA.example", "ada@bu\u{308}cher.example"] {
            let answer = app.tries_to_sign_in(spelling, PASSWORD);
            let decomposed = spelling.contains('\u{308}');
            assert_eq!(answer.status, if decomposed { 422 } else { 201 }, "{spelling:?}");
        }
        assert_eq!(app.signs_in("ada@b\u{fc}cher.example").account["id"], ada.account_id.as_str());
        let malformed = [
            "a@xn--example-.org", "a@xn--a.org", "a@xn--.org", "a@example.org.", "a@example..org", "a@.example.org",
            "a@-x.org", "a@x-.org", "a@localhost", "a@127.0.0.1", "a@[127.0.0.1]", "a@exa_mple.org", "a@exa mple.org",
        ];
        for spelling in malformed {
            assert_eq!(app.asks_for_reset(spelling).expect(422).code(), "validation_failed", "{spelling}");
        }
    }

    fn em_07_nothing_is_smuggled_into_an_address(app) {
        let long = format!("{}@example.org", "a".repeat(65));
        let longer = format!("a@{}example.org", "abcdefgh.".repeat(28));
        let wrong = [
            "\"v@x\r\nBcc: a\"@example.org", "v@example.org\r\nBcc: a@example.org", "<v@example.org>",
            "Ada <v@example.org>",
            "v(comment)@example.org", "\"v\"@example.org", "@a.example:v@example.org", "v@example.org ",
            " v@example.org",
            "v@example.org\n", "v\t@example.org", "v\u{a0}@example.org", "v\u{7f}@example.org", "v\u{2028}@example.org",
            ".v@example.org", "v.@example.org", "v..v@example.org", "v@@example.org", "v", "@", "", "v@",
            "@example.org",
            &long, &longer,
        ];
        for spelling in wrong {
            for road in ["/v1/sign-ups", "/v1/password-resets"] {
                let answer = app.client.post(road).json(&json!({ "email": spelling })).send();
                assert_eq!((answer.status, answer.code()), (422, "validation_failed".into()), "{spelling:?}");
                assert_eq!(answer.json()["errors"][0]["pointer"], "/email", "{spelling:?}");
            }
        }
        let nul = app.asks_for_reset("v\0@example.org").expect(400);
        assert_eq!(nul.code(), "malformed_json");
        app.wait_until_mail_is_carried();
        assert!(app.smtp.messages().is_empty());
        assert_eq!(app.count("SELECT count(*) AS n FROM challenges"), 0);
    }

    fn ph_13_no_spelling_of_the_request_mails_another_mailbox(app) {
        app.emails_support("v@example.org");
        let bodies = [
            r#"{"email": ["v@example.org", "a@example.org"]}"#,
            r#"{"email": {"0": "v@example.org", "1": "a@example.org"}}"#,
            r#"{"email": "v@example.org", "email": "a@example.org"}"#,
            r#"{"email": "a@example.org", "email": "v@example.org"}"#,
            r#"{"email": "v@example.org", "\u0065mail": "a@example.org"}"#,
            r#"{"email": "v@example.org", "Email": "a@example.org"}"#,
            r#"{"email": "v@example.org,a@example.org"}"#, r#"{"email": "v@example.org;a@example.org"}"#,
            r#"{"email": "v@example.org a@example.org"}"#, r#"{"email": "v@example.org\na@example.org"}"#,
            r#"{"email": "v@example.org\r\nCc: a@example.org"}"#, r#"{"email": "v@example.org%0aa@example.org"}"#,
            r#"{"email": "v@example.org", "cc": "a@example.org"}"#,
            r#"{"email": "v@example.org", "to": ["a@example.org"]}"#,
            r#"{"email": "v@example.org", "locale": "en\r\nBcc: a@example.org"}"#,
            r#"{"email": "v@example.org"} {"email": "a@example.org"}"#,
            r#"[{"email": "v@example.org"}, {"email": "a@example.org"}]"#, r#"{"email": null}"#, r#""v@example.org""#,
        ];
        for body in bodies {
            for road in ["/v1/password-resets", "/v1/sign-ups"] {
                let status = app.client.post(road).body("application/json", body).send().status;
                assert!(matches!(status, 400 | 422), "{road} {body}: {status}");
            }
        }
        let body: Value = json!({ "email": "v@example.org" });
        app.client.post("/v1/password-resets?email=a@example.org&cc=a@example.org").json(&body).send().expect(422);
        app.client.post("/v1/password-resets").header("cc", "a@example.org").json(&body).send().expect(202);
        app.wait_until_mail_is_carried();
        let mailed: Vec<_> = app.smtp.messages().into_iter().flat_map(|mail| mail.recipients).collect();
        assert_eq!(mailed, ["v@example.org"]);
    }
}
