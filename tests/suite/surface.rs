//! The surface of HTTP: origins, types, sizes, headers, and what a broken inside shows of itself.

use std::collections::BTreeSet;

use doorstep_core::api_key::Scope;
use doorstep_tests::http::{Answer, raw};
use doorstep_tests::people::PASSWORD;
use doorstep_tests::{App, Db, Setup, on_both};
use serde_json::{Value, json};

use crate::talk::{path, reads, starts};

const OURS: &str = "https://help.shop.example";
const OTHERS: [&str; 9] = [
    "https://evil.example",
    "null",
    "http://help.shop.example",
    "https://help.shop.example.evil.example",
    "https://evil.help.shop.example",
    "https://help.shop.example:8443",
    "https://help.shop.example/",
    "HTTPS://HELP.SHOP.EXAMPLE",
    "*",
];

fn ask_from(app: &App, origin: &str) -> Answer {
    app.client.get("/v1/sign-in-options").header("Origin", origin).send()
}

fn preflight(app: &App, origin: &str) -> Answer {
    let request = app.client.request("OPTIONS".parse().unwrap(), "/v1/sessions").header("Origin", origin);
    request
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "content-type")
        .send()
}

fn with_cors(db: Db) -> Option<App> {
    let mut setup = Setup::default();
    setup.config.server.cors_origins = vec![OURS.to_owned()];
    App::start(db, setup)
}

/// HT-05: what stands on every answer, whatever its status.
fn is_sealed(what: &str, answer: &Answer) {
    let rows = [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("strict-transport-security", "max-age=31536000"),
    ];
    for (name, value) in rows {
        assert_eq!(answer.header(name), Some(value), "{what}: {name} of {}", answer.status);
    }
    let id = answer.header("x-request-id").unwrap_or_else(|| panic!("{what}: no X-Request-Id"));
    assert_eq!(id.len(), 36);
    if answer.status >= 400 {
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
        assert_eq!(answer.json()["request_id"], id);
        assert_eq!(answer.json()["status"], answer.status);
    }
    for name in ["server", "x-powered-by", "set-cookie"] {
        assert_eq!(answer.header(name), None, "{what}");
    }
}

#[test]
fn ht_01_a_listed_origin_is_named_exactly_and_no_other() {
    let app = with_cors(Db::Sqlite).unwrap();
    for answer in [ask_from(&app, OURS).expect(200), preflight(&app, OURS)] {
        assert_eq!(answer.header("access-control-allow-origin"), Some(OURS));
        assert!(answer.header("vary").is_some_and(|vary| vary.to_lowercase().contains("origin")));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        is_sealed("cors", &answer);
    }
    let asked = app.client.request("OPTIONS".parse().unwrap(), "/v1/me").header("Origin", OURS);
    let asked = asked.header("Access-Control-Request-Method", "PATCH");
    let allowed = asked.header(
        "Access-Control-Request-Headers",
        "authorization, content-type, idempotency-key, if-match, if-none-match",
    );
    allowed.send().expect(200);
    let failed = app.client.get("/v1/me").header("Origin", OURS).send().expect(401);
    assert_eq!(failed.header("access-control-allow-origin"), Some(OURS), "a problem can be read too");
    for origin in OTHERS {
        for answer in [ask_from(&app, origin), preflight(&app, origin)] {
            assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
        }
    }
    assert!(app.client.get("/v1/sign-in-options").send().header("vary").is_some(), "caches keep the two apart");
}

/// The names of the headers of all documented answers.
fn headers(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value.as_object() {
            Some(headers) if name == "headers" => found.extend(headers.keys().map(|name| name.to_lowercase())),
            _ => headers(value, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| headers(item, found)),
        _ => {}
    }
}

#[test]
fn a_page_of_a_listed_origin_sees_every_documented_header() {
    let app = with_cors(Db::Sqlite).unwrap();
    let document = app.client.get("/openapi.json").header("Origin", OURS).send().expect(200);
    let exposed = document.header("access-control-expose-headers").unwrap().to_lowercase();
    let exposed: BTreeSet<String> = exposed.split(',').map(|name| name.trim().to_owned()).collect();
    let mut documented = BTreeSet::from(["link".to_owned()]);
    headers(&document.json(), &mut documented);
    assert_eq!(exposed, documented);
}

on_both! {
    fn ht_01_without_a_list_no_origin_is_answered(app) {
        for origin in OTHERS.iter().chain(&[OURS]) {
            let answers = [ask_from(app, origin).expect(200), preflight(app, origin).expect(403)];
            assert_eq!(answers[1].code(), "origin_not_allowed");
            for answer in answers {
                assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control-")), "{origin}");
            }
        }
    }

    fn what_can_be_got_can_be_asked_by_head(app) {
        for path in ["/healthz", "/v1/sign-in-options", "/docs/", "/openapi.json", "/nothing"] {
            let (get, head) = (app.client.get(path).send(), app.client.request("HEAD".parse().unwrap(), path).send());
            assert_eq!((head.status, head.header("content-type")), (get.status, get.header("content-type")), "{path}");
            assert!(head.body.is_empty(), "{path}");
        }
    }

    fn ht_02_only_json_is_taken(app) {
        let body = json!({ "email": "ada@example.org" }).to_string();
        let post = |kind: &str| app.client.post("/v1/password-resets").body(kind, body.clone()).send();
        for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\""] {
            post(kind).expect(202);
        }
        let wrong = [
            "text/plain", "text/plain; application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "*/*",
            "application/jsonp", "text/json", "application/json; charset=utf-16", "application/json-seq", "application", "",
        ];
        for kind in wrong {
            assert_eq!(post(kind).expect(415).code(), "unsupported_media_type", "{kind}");
        }
        let two = app.client.post("/v1/password-resets").header("content-type", "text/plain").body("application/json", body.clone());
        assert_ne!(two.send().status, 202, "two types are none");
        app.client.post("/v1/password-resets").send().expect(415);
    }

    fn a_body_that_may_be_left_out_takes_no_type_with_it(app) {
        let ada = app.signs_up("ada@example.org");
        let document = app.client.get("/openapi.json").send().expect(200).json();
        let mut seen = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let body = &operation["requestBody"];
                if !body.is_object() || body["required"] == true {
                    continue;
                }
                seen += 1;
                let ask = || app.client.request(method.to_uppercase().parse().unwrap(), path).bearer(&ada.access_token);
                let whole = ask().json(&json!({})).send();
                for answer in [ask().send(), ask().body("application/json", "").send(), ask().body("text/plain", "").send()] {
                    assert_eq!(answer.status, whole.status, "{path}");
                }
                assert_eq!(ask().body("text/plain", "{}").send().expect(415).code(), "unsupported_media_type");
                assert_eq!(ask().body("application/json", "[]").send().expect(422).code(), "validation_failed");
                let head = format!("{} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n", method.to_uppercase(), ada.access_token);
                let lines = [format!("{head}\r\n"), format!("{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")];
                for request in lines {
                    let answer = String::from_utf8(raw(app.address(), request.as_bytes())).unwrap();
                    assert!(answer.starts_with(&format!("HTTP/1.1 {} ", whole.status)), "{answer}");
                }
            }
        }
        assert_eq!(seen, 1);
    }

    fn ht_05_the_headers_stand_on_every_status(app) {
        let ada = app.signs_up("ada@example.org");
        let key = app.api_key(&[Scope::ConversationsRead]);
        let bearer = ada.access_token.as_str();
        let started = starts(app, &ada, "x", "x");
        let client = &app.client;
        let wrong = json!({ "email": "ada@example.org", "password": "not it, not it, not it" });
        let mut answers = vec![
            client.get("/v1/me").bearer(bearer).send().expect(200),
            client.post("/v1/me/conversations").bearer(bearer).json(&json!({ "subject": "x", "message": { "body_text": "x" } })).send().expect(201),
            app.asks_for_reset("ada@example.org").expect(202),
            client.post(&path(&started["id"], "/read")).bearer(bearer).send().expect(204),
            client.post("/v1/sign-ups").body("application/json", "{").send().expect(400),
            client.get("/v1/me").send().expect(401),
            client.post("/v1/sessions").json(&wrong).send().expect(401),
            client.get("/v1/me").bearer(&key).send().expect(401),
            client.post("/v1/interactions").bearer(&key).json(&App::email_push("m", "c", "a@x.example")).send().expect(403),
            client.get("/nothing").send().expect(404),
            client.get("/v1/me/conversations/x").bearer(bearer).send().expect(404),
            client.delete("/v1/me/conversations").send().expect(405),
            client.patch("/v1/me").bearer(bearer).header("If-Match", "\"0\"").json(&json!({})).send().expect(412),
            client.post("/v1/sign-ups").body("application/json", vec![b' '; 70_000]).send().expect(413),
            client.post("/v1/sign-ups").body("text/plain", "x").send().expect(415),
            client.post("/v1/sign-ups").json(&json!({})).send().expect(422),
            client.get("/healthz").send().expect(200),
            client.get("/openapi.json").send().expect(200),
            client.get("/problems/not-found").send().expect(200),
        ];
        let limited = (0..40).map(|_| client.post("/v1/sessions").json(&wrong).send()).find(|answer| answer.status == 429);
        let limited = limited.expect("wrong passwords are slowed");
        assert!(limited.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
        answers.push(limited);
        for (n, answer) in answers.iter().enumerate() {
            is_sealed(&format!("answer {n}"), answer);
        }
        assert_eq!(client.get("/docs/").send().expect(200).header("x-content-type-options"), Some("nosniff"));
    }

    fn ht_06_what_breaks_inside_says_only_its_request_id(app) {
        let ada = app.signs_up("ada@example.org");
        let started = starts(app, &ada, "x", "x");
        app.sql("ALTER TABLE messages RENAME TO lost_messages");
        let broken = [
            reads(app, &ada, &path(&started["id"], "/messages")),
            reads(app, &ada, "/v1/me/conversations?text=x"),
            app.client.post(&path(&started["id"], "/messages")).bearer(&ada.access_token).json(&json!({ "body_text": "x" })).send(),
            app.push(&App::email_push("m", "c", "a@x.example")),
        ];
        app.sql("ALTER TABLE lost_messages RENAME TO messages");
        for answer in broken {
            let answer = answer.expect(500);
            is_sealed("500", &answer);
            let body = answer.json();
            let mut names: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, ["code", "detail", "request_id", "status", "title", "type"]);
            assert_eq!(answer.code(), "internal_error");
            let text = body.to_string().to_lowercase();
            for sign in ["messages", "table", "relation", "column", "select", "sql", "diesel", "panicked", ".rs"] {
                assert!(!text.contains(sign), "{sign} in {text}");
            }
        }
        reads(app, &ada, &path(&started["id"], "/messages")).expect(200);
    }

    fn ht_11_operations_tell_nothing_of_the_inside(app) {
        for path in ["/healthz", "/readyz"] {
            assert_eq!(app.client.get(path).send().expect(200).json(), json!({ "status": "ok" }));
        }
        for path in ["/debug", "/debug/pprof", "/env", "/.env", "/admin", "/v1", "/v2/me", "/", "/docs/../Cargo.toml", "/docs/%2e%2e/x", "/problems/x"] {
            assert_eq!(app.client.get(path).send().expect(404).code(), "not_found", "{path}");
        }
        app.sql("ALTER TABLE settings RENAME TO lost_settings");
        let red = app.client.get("/readyz").send();
        app.sql("ALTER TABLE lost_settings RENAME TO settings");
        assert!(red.status >= 500 || red.json() == json!({ "status": "ok" }), "cached settings may answer");
    }

    fn what_is_not_there_is_404_and_what_cannot_be_done_405(app) {
        for path in ["/v1/nothing", "/v1/me/", "/v1//me", "/V1/me", "/v1/me/conversations/x/y", "/v1/me;x", "/v1/me%2F", "/v1/me%00"] {
            assert_eq!(app.client.get(path).send().expect(404).code(), "not_found", "{path}");
        }
        let document = app.client.get("/openapi.json").send().expect(200).json();
        let templates = document["paths"].as_object().unwrap();
        for template in templates.keys() {
            // a word may stand where another template has a parameter
            let alike = |other: &str| {
                let parts = template.split('/').zip(other.split('/'));
                template.matches('/').count() == other.matches('/').count()
                    && parts.clone().all(|(ours, theirs)| ours == theirs || (theirs.starts_with('{') && !ours.starts_with('{')))
            };
            let items = templates.iter().filter(|(other, _)| *other == template || alike(other));
            let mut there: Vec<String> =
                items.flat_map(|(_, item)| item.as_object().unwrap().keys()).map(|method| method.to_uppercase()).collect();
            if there.contains(&"GET".to_owned()) {
                there.push("HEAD".to_owned());
            }
            there.sort_unstable();
            let absent = "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20";
            let path = template.replace("{id}", absent).replace("{identity}", absent).replace("{email}", absent).replace("{session}", absent).replace("{key}", "size").replace("{provider}", "google").replace("{account}", absent).replace("{api_key}", absent);
            assert!(!path.contains('{'), "{path}");
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
                if there.iter().any(|there| there == method) {
                    continue;
                }
                let refused = app.client.request(method.parse().unwrap(), &path).send().expect(405);
                let mut allowed: Vec<&str> = refused.header("allow").unwrap().split(", ").collect();
                allowed.sort_unstable();
                assert_eq!((refused.code().as_str(), allowed), ("method_not_allowed", there.iter().map(String::as_str).collect()), "{path}");
            }
        }
    }

    fn ft_21_a_body_that_is_too_large_is_refused_before_it_is_read(app) {
        let body = |size: usize| format!("{{\"email\": \"ada@example.org\"{}}}", " ".repeat(size - 28));
        app.client.post("/v1/password-resets").body("application/json", body(65_536)).send().expect(202);
        let over = app.client.post("/v1/password-resets").body("application/json", body(65_537)).send().expect(413);
        assert_eq!(over.code(), "payload_too_large");
        let mut push = App::email_push("msg-1", "case-1", "ada@example.org");
        push["message"]["body_text"] = json!("x".repeat(1_000_000));
        app.push(&push).expect(201);
        push["message"]["body_text"] = json!("x".repeat(1_048_576));
        assert_eq!(app.push(&push).expect(413).code(), "payload_too_large");
        let address = app.address();
        let head = "POST /v1/sign-ups HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        let lie = raw(address, format!("{head}Content-Length: 1000000000\r\n\r\n{{").as_bytes());
        assert!(lie.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&lie));
        let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
        let chunked = raw(address, format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(3)).as_bytes());
        assert!(chunked.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&chunked));
    }

    fn ft_23_no_json_is_too_odd_to_be_refused(app) {
        let many: String = (0..4000).map(|n| format!("\"k{n}\":1,")).collect();
        let corpus = [
            String::new(), "{".into(), "}".into(), "nul".into(), "{}{}".into(), "{\"email\":\"a@x.example\"} x".into(), "\u{feff}{}".into(),
            "{'email':1}".into(), "{\"email\":\"a@x.example\",}".into(), "{\"email\":\"\\ud800\"}".into(), "{\"email\":\"\n\"}".into(),
            "[".repeat(60_000), "{\"a\":".repeat(10_000), format!("{{\"email\":{}1{}}}", "[".repeat(20_000), "]".repeat(20_000)),
            format!("{{\"email\":1e{}}}", "9".repeat(1000)), format!("{{\"email\":{}}}", "9".repeat(60_000)), format!("{{{many}\"email\":1}}"),
            "{\"email\":\"a@x.example\",\"email\":\"b@x.example\"}".into(), "{\"email\":NaN}".into(), "// {}".into(), "\"x\"".into(), "1".into(), "null".into(),
            "[\"ada@example.org\"]".into(),
        ];
        for text in corpus {
            let answer = app.client.post("/v1/sign-ups").body("application/json", text.clone()).send();
            let start: String = text.chars().take(40).collect();
            assert!([400, 422].contains(&answer.status), "{start} was answered {}", answer.status);
            assert!(["malformed_json", "validation_failed"].contains(&answer.code().as_str()), "{start}");
        }
        let latin = app.client.post("/v1/sign-ups").body("application/json", b"{\"email\":\"\xff@x.example\"}".to_vec()).send();
        assert_eq!(latin.expect(400).code(), "malformed_json");
        assert_eq!(app.count("SELECT count(*) AS n FROM challenges"), 0);
        app.tries_to_sign_in("nobody@example.org", PASSWORD).expect(401);
    }
}
