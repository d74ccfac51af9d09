//! Who tries to come by a mailed secret, or to guess it.

use std::time::Duration;

use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use doorstep_core::db::Conn;
use doorstep_tests::http::raw;
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::smtp::Behaviour;
use doorstep_tests::{App, on_both};
use serde_json::{Value, json};

use crate::forced::{inspects_reset, mail_due, resets, wait_for_count};

/// A request as bytes, with an address of its own to ask for.
fn poisoned(target: &str, headers: &str, email: &str) -> String {
    let body = json!({ "email": email }).to_string();
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\n{headers}Content-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

/// Around the API: everything the database holds, as text and as bytes.
fn dump(app: &App) -> Vec<u8> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        t: String,
    }
    let Conn::Pg(mut connection) = app.connection() else {
        let path = app.sqlite_path();
        let files = ["", "-wal"].map(|suffix| std::fs::read(format!("{}{suffix}", path.display())));
        return files.into_iter().flatten().flatten().collect();
    };
    let tables = sql_query("SELECT tablename::text AS t FROM pg_tables WHERE schemaname = 'public'");
    let tables: Vec<Row> = tables.load(&mut connection).unwrap();
    assert!(tables.len() > 15);
    let rows = |table: &Row| {
        sql_query(format!("SELECT r::text AS t FROM {} r", table.t)).load::<Row>(&mut connection).unwrap()
    };
    tables.iter().flat_map(rows).flat_map(|row| row.t.into_bytes()).collect()
}

/// Every spelling in which a secret could lie about.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let mut spellings = vec![secret.into(), secret.replace('-', "").into(), secret.to_lowercase().into()];
    if let Ok(bytes) = data_encoding::BASE64URL_NOPAD.decode(secret.as_bytes()) {
        spellings.push(data_encoding::HEXLOWER.encode(&bytes).into());
        spellings.push(bytes);
    }
    spellings
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

on_both! {
    fn rs_01_the_link_is_built_from_configuration_whatever_the_headers_say(app) {
        let (server, _) = app.start_another();
        let path = "/v1/password-resets";
        let attempts = [
            (path, "Host: evil.example\r\n"),
            (path, "Host: auth.shop.example\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: http\r\n"),
            (path, "Host: auth.shop.example\r\nForwarded: for=1.2.3.4;host=evil.example;proto=http\r\n"),
            (path, "Host: auth.shop.example\r\nX-Host: evil.example\r\nX-Original-Host: evil.example\r\n"),
            (path, "Host: auth.shop.example\r\nOrigin: https://evil.example\r\nReferer: https://evil.example/\r\n"),
            ("http://evil.example/v1/password-resets", "Host: evil.example\r\n"),
            (path, "Host: auth.shop.example\r\nHost: evil.example\r\n"),
        ];
        let mut mailed = 0;
        for (n, (target, headers)) in attempts.iter().enumerate() {
            let email = format!("v{n}@example.org");
            app.emails_support(&email);
            let request = poisoned(target, headers, &email);
            let answer = String::from_utf8(raw(server.address(), request.as_bytes())).unwrap();
            let accepted = answer.starts_with("HTTP/1.1 202");
            assert!(accepted || answer.starts_with("HTTP/1.1 400"), "{headers}: {answer}");
            assert!(!answer.contains("evil.example"), "{headers}: {answer}");
            for mail in app.mail_to(&email) {
                mailed += 1;
                assert!(mail.text().contains("https://help.shop.example/reset#token="), "{headers}");
                assert!(!String::from_utf8_lossy(&mail.data).contains("evil.example"), "{headers}");
            }
        }
        assert!(mailed >= 6, "only the doubled Host may be refused");
        server.stop().unwrap();
    }

    fn rs_03_there_is_no_way_around_the_mail(app) {
        app.claims("v@example.org");
        app.asks_for_reset("v@example.org").expect(202);
        let v = "v@example.org";
        let mut attempts = vec![json!({}), json!({ "email": v })];
        let nothings = [json!(""), json!(" "), json!(null), json!(true), json!("true"), json!(0), json!([]), json!({})];
        for nothing in nothings {
            attempts.push(json!({ "token": nothing }));
            attempts.push(json!({ "email": v, "code": nothing }));
            attempts.push(json!({ "email": nothing, "code": nothing }));
            attempts.push(json!({ "token": nothing, "email": v, "code": nothing }));
        }
        let session = app.signs_in(v);
        for other in [&session.access_token, &session.refresh_token, &session.device_token, &session.session_id] {
            attempts.push(json!({ "token": other }));
        }
        for body in attempts {
            let status = inspects_reset(app, &body).status;
            assert!((400..500).contains(&status), "{body}: {status}");
            let mut body = body;
            body["password"] = json!(OTHER_PASSWORD);
            let status = app.confirms_reset(&body).status;
            assert!((400..500).contains(&status), "{body}: {status}");
        }
        app.tries_to_sign_in(v, OTHER_PASSWORD).expect(401);
        app.tries_to_sign_in(v, PASSWORD).expect(201);
    }

    fn rs_12_only_the_very_token_will_do_and_guessing_is_slowed(app) {
        app.claims("v@example.org");
        let token = resets(app, "v@example.org").token;
        let last = token.chars().last().unwrap();
        let swap = |c: char| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        let swapped: String = token.chars().map(swap).collect();
        let twins = ('A'..='Z').chain('a'..='z').chain('0'..='9').filter(|c| *c != last);
        let mut wrong: Vec<String> = twins.map(|c| format!("{}{c}", &token[..42])).collect();
        wrong.extend([token[..42].to_owned(), token[1..].to_owned(), format!("{token}="), swapped]);
        wrong.extend([format!("{token}A"), format!(" {token}"), format!("{token}\n"), format!("#token={token}")]);
        wrong.extend(["A".repeat(43), "A".repeat(5000)]);
        let tries = |text: &str, ip: &str| {
            let request = app.client.post("/v1/password-resets/inspect").header("x-forwarded-for", ip);
            request.json(&json!({ "token": text })).send()
        };
        for text in &wrong {
            assert_eq!(tries(text, "203.0.113.7").code(), "secret_not_found", "{text:?}");
        }
        let mut answers = (0..100 - wrong.len() + 40).map(|n| tries(&format!("{n:043}"), "203.0.113.7"));
        let slowed = answers.find(|answer| answer.status != 404).expect("guessing is never slowed");
        assert_eq!((slowed.status, slowed.code()), (429, "too_many_requests".into()));
        assert!(slowed.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        assert_eq!(tries(&token, "203.0.113.7").status, 200, "who has the mail is not slowed");
        assert_eq!(tries(&token, "203.0.113.8").status, 200);
    }

    fn rs_13_no_table_holds_a_token_or_a_code_that_works(app) {
        app.emails_support("v@example.org");
        app.smtp.script(Behaviour::TempFail(451));
        app.asks_for_reset("v@example.org").expect(202);
        wait_for_count(app, 1, "SELECT count(*) AS n FROM outbox WHERE kind = 'mail' AND last_error IS NOT NULL");
        let held_back = dump(app);
        app.smtp.script(Behaviour::Accept);
        app.advance(Duration::from_secs(5));
        let mail = app.secret_mailed_to("v@example.org");
        assert_eq!(mail_due(app), None);
        let carried = dump(app);
        app.confirms_reset(&json!({ "token": mail.token, "password": PASSWORD })).expect(200);
        let spent = dump(app);
        for dump in [&held_back, &carried, &spent] {
            assert!(holds(dump, b"v@example.org"), "the dump is of the right database");
            for secret in [&mail.token, &mail.code] {
                for spelling in spellings(secret) {
                    assert!(!holds(dump, &spelling), "{} is readable", String::from_utf8_lossy(&spelling));
                }
            }
        }
    }

    fn rs_14_no_answer_holds_a_token_or_a_code(app) {
        app.emails_support("v@example.org");
        let asked = app.asks_for_reset("v@example.org").expect(202);
        let mail = app.secret_mailed_to("v@example.org");
        let seen = inspects_reset(app, &json!({ "email": "v@example.org", "code": mail.code })).expect(200);
        let wrong = app.confirms_reset(&json!({ "token": mail.token, "password": "short" })).expect(422);
        let unknown = app.confirms_sign_up(&json!({ "token": mail.token, "password": PASSWORD })).expect(404);
        let done = app.confirms_reset(&json!({ "token": mail.token, "password": PASSWORD })).expect(200);
        let gone = app.confirms_reset(&json!({ "token": mail.token, "password": PASSWORD })).expect(410);
        for answer in [asked, seen, wrong, unknown, done, gone] {
            let whole = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
            for secret in [&mail.token, &mail.code, &mail.code.replace('-', ""), &PASSWORD.to_owned()] {
                assert!(!whole.contains(secret.as_str()), "{whole}");
            }
        }
    }

    fn rs_15_a_token_counts_in_a_body_alone(app) {
        app.claims("v@example.org");
        let mail = resets(app, "v@example.org");
        let secret = format!("token={}&password={}", mail.token, OTHER_PASSWORD.replace(' ', "%20"));
        for road in ["password-resets", "password-resets/inspect", "password-resets/confirm", "sign-ups/confirm"] {
            let path = format!("/v1/{road}?{secret}");
            for method in ["GET", "HEAD"] {
                let answer = app.client.request(method.parse().unwrap(), &path).send();
                assert_eq!(answer.status, 405, "{method} {road}");
                assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{method} {road}");
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {road}");
            }
            let bare = format!("/v1/{road}");
            for (path, status) in [(&bare, 415), (&path, 422)] {
                let form = app.client.post(path).body("application/x-www-form-urlencoded", secret.clone()).send();
                assert_eq!((form.status, form.header("referrer-policy")), (status, Some("no-referrer")), "{path}");
            }
            let empty = app.client.post(&path).json(&json!({})).send();
            assert_eq!((empty.status, empty.header("referrer-policy")), (422, Some("no-referrer")), "{road}");
        }
        app.tries_to_sign_in("v@example.org", OTHER_PASSWORD).expect(401);
        inspects_reset(app, &json!({ "token": mail.token })).expect(200);
    }

    fn rs_24_five_wrong_codes_spend_the_code_and_never_the_link(app) {
        app.claims("v@example.org");
        let mail = resets(app, "v@example.org");
        let tries = |ip: usize, code: &str| {
            let request = app.client.post("/v1/password-resets/confirm");
            let body: Value = json!({ "email": "v@example.org", "code": code, "password": OTHER_PASSWORD });
            request.header("x-forwarded-for", &format!("203.0.113.{ip}")).json(&body).send()
        };
        for (ip, code) in ["AAAA-AAAA", "BBBB-BBBB", "", "0", "CCCC-CCCC"].into_iter().enumerate() {
            assert_eq!(tries(ip + 1, code).expect(404).code(), "secret_not_found");
        }
        assert_eq!(tries(99, &mail.code).expect(404).code(), "secret_not_found", "the code is spent");
        app.tries_to_sign_in("v@example.org", OTHER_PASSWORD).expect(401);
        app.confirms_reset(&json!({ "token": mail.token, "password": OTHER_PASSWORD })).expect(200);
    }

    fn rs_24_four_wrong_codes_do_not_spend_it_and_a_code_nobody_was_mailed_is_as_wrong(app) {
        let mail = resets(app, "v@example.org");
        for _ in 0..4 {
            inspects_reset(app, &json!({ "email": "v@example.org", "code": "AAAA-AAAA" })).expect(404);
            let nobody = json!({ "email": "nobody@example.org", "code": "AAAA-AAAA" });
            assert_eq!(inspects_reset(app, &nobody).expect(404).code(), "secret_not_found");
        }
        inspects_reset(app, &json!({ "email": "v@example.org", "code": mail.code })).expect(200);
    }
}
