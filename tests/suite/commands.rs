//! The command line: what an operator types, what it says, and what it refuses.

use std::fs;
use std::process::Command;

use doorstep_tests::people::PASSWORD;
use doorstep_tests::process::Installation;
use doorstep_tests::{App, Db};
use serde_json::{Value, json};

const DOORSTEP: &str = env!("CARGO_BIN_EXE_doorstep-under-test");
const SECRET: &str = "kZ3v9QmT1xWc7RbY5nLp2HsDf8JgUe4a";

fn on_sqlite() -> Installation {
    Installation::new(DOORSTEP, Db::Sqlite).unwrap()
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn check_config_says_that_all_is_well_and_touches_nothing() {
    let mut home = on_sqlite();
    assert!(home.runs(&["check-config"]).contains("good"));
    fs::write(home.directory().join("other.toml"), "[site]\nname = \"Shop\"\n").unwrap();
    home.set("DOORSTEP_DATABASE_CONNECTIONS", "3");
    assert!(home.runs(&["--config", "other.toml", "check-config"]).contains("good"));
    assert!(!home.data_dir().exists());
}

#[test]
fn check_config_names_the_key_the_value_and_the_cure() {
    let bad_files: [(&str, &[&str]); 11] = [
        ("[server]\nlissten = \"127.0.0.1:1\"", &["lissten", "listen", "doorstep.toml"]),
        ("[servr]\n", &["servr", "server", "doorstep.toml"]),
        ("[hashing]\npasses = \"many\"", &["hashing.passes", "many", "doorstep.toml"]),
        ("[server\n", &["line 1", "doorstep.toml"]),
        ("[database]\nurl = \"mysql://x\"", &["database.url", "postgres://"]),
        ("[database]\nconnections = 0", &["database.connections = 0", "1 to 200"]),
        ("[mail]\nfrom = \"nobody\"", &["mail.from", "nobody", "help@shop.example"]),
        ("[log]\nlevel = \"loud\"", &["log.level", "loud", "info"]),
        ("[hashing]\nthreads = 0", &["hashing.threads = 0", "1 or more"]),
        ("[site]\nname = \"\"", &["site.name"]),
        ("[links]\nreset = \"https://a.example/r?t={token}\"", &["links.reset", "?t={token}", "#token={token}"]),
    ];
    let home = on_sqlite();
    for (text, words) in bad_files {
        fs::write(home.directory().join("doorstep.toml"), text).unwrap();
        let said = home.refuses(&["check-config"]);
        for word in words {
            assert!(said.contains(word), "{text} should name {word}: {said}");
        }
    }
}

#[test]
fn check_config_names_the_variable_it_read() {
    let bad: [(&str, &str, &[&str]); 6] = [
        ("DOORSTEP_SERVER_LISSTEN", "x", &["DOORSTEP_SERVER_LISSTEN", "lissten", "listen"]),
        ("DOORSTEP_SPEED", "1", &["DOORSTEP_SPEED", "DOORSTEP_SECTION_KEY"]),
        ("DOORSTEP_SERVER_WORKERS", "many", &["DOORSTEP_SERVER_WORKERS", "many"]),
        ("DOORSTEP_SERVER_PUBLIC_URL", "help.example", &["server.public_url", "help.example", "https://"]),
        ("DOORSTEP_MAIL_SMTP_URL", "http://mail.example", &["mail.smtp_url", "smtp"]),
        ("DATABASE_URL", "mysql://x", &["database.url", "postgres://"]),
    ];
    for (name, value, words) in bad {
        let mut home = on_sqlite();
        home.set(name, value);
        let said = home.refuses(&["check-config"]);
        for word in words {
            assert!(said.contains(word), "{name}={value} should name {word}: {said}");
        }
    }
}

#[test]
fn a_named_configuration_file_that_is_missing_is_an_error() {
    let said = on_sqlite().refuses(&["--config", "nowhere.toml", "check-config"]);
    assert!(said.contains("nowhere.toml"), "{said}");
}

#[test]
fn openapi_prints_the_document_and_checks_a_file() {
    let home = on_sqlite();
    let document = home.runs(&["openapi"]);
    assert!(read(&document)["paths"]["/v1/sessions"].is_object());
    let file = home.directory().join("openapi.json");
    fs::write(&file, &document).unwrap();
    home.runs(&["openapi", "--check", "openapi.json"]);
    fs::write(&file, document.replacen("/v1/sessions", "/v1/sesions", 1)).unwrap();
    let said = home.refuses(&["openapi", "--check", "openapi.json"]);
    assert!(said.contains("doorstep openapi > openapi.json"), "{said}");
    assert!(!home.data_dir().exists(), "a document needs no database");
}

fn migrating_twice_is_migrating_once(db: Db) {
    let Some(home) = Installation::new(DOORSTEP, db) else { return };
    let first = home.runs(&["migrate"]);
    let tables = home.count("SELECT count(*) AS n FROM __diesel_schema_migrations");
    assert_eq!(home.runs(&["migrate"]), first);
    assert_eq!(home.count("SELECT count(*) AS n FROM __diesel_schema_migrations"), tables);
    assert_eq!(home.count("SELECT count(*) AS n FROM signing_keys"), 1);
}

#[test]
fn migrating_twice_is_migrating_once_on_sqlite() {
    migrating_twice_is_migrating_once(Db::Sqlite);
}

#[test]
fn migrating_twice_is_migrating_once_on_postgres() {
    migrating_twice_is_migrating_once(Db::Postgres);
}

#[test]
fn an_admin_is_who_sets_a_password_with_what_the_command_printed() {
    let home = on_sqlite();
    let invitation = read(&home.runs(&["admin", "create", "--email", "Grace@Example.org", "--json"]));
    let server = home.serve();
    let token = invitation["claim_url"].as_str().unwrap().split_once("#token=").unwrap().1;
    let confirm = |body: Value| server.client.post("/v1/password-resets/confirm").json(&body).send();
    let claimed = confirm(json!({ "token": token, "password": PASSWORD })).expect(200).json();
    assert_eq!(claimed["account"]["id"], invitation["account_id"]);
    assert_eq!(claimed["account"]["role"], "admin");
    confirm(json!({ "token": token, "password": PASSWORD })).expect(410);

    let other = read(&home.runs(&["admin", "create", "--email", "joan@example.org", "--json"]));
    let by_code = json!({ "email": "joan@example.org", "code": other["claim_code"], "password": PASSWORD });
    assert_eq!(confirm(by_code).expect(200).json()["account"]["role"], "admin");
}

#[test]
fn ad_09_an_invited_admin_is_nobody_before_the_password_is_set() {
    let home = on_sqlite();
    home.runs(&["admin", "create", "--email", "grace@example.org", "--json"]);
    assert_eq!(home.count("SELECT count(*) AS n FROM accounts WHERE role = 'admin' OR state = 'claimed'"), 0);
    assert_eq!(home.count("SELECT count(*) AS n FROM credentials"), 0);
}

#[test]
fn an_owner_becomes_an_admin_at_once_and_keeps_the_password() {
    let home = on_sqlite();
    let server = home.serve();
    server.client.post("/v1/sign-ups").json(&json!({ "email": "ada@example.org" })).send().expect(202);
    server.logs("mail written to a file", 1);
    let token = home.token_mailed_to("ada@example.org");
    let confirm = json!({ "token": token, "password": PASSWORD });
    let session = server.client.post("/v1/sign-ups/confirm").json(&confirm).send().expect(201).json();
    assert_eq!(session["account"]["role"], "customer");

    let made = read(&home.runs(&["admin", "create", "--email", "ada@example.org", "--json"]));
    assert_eq!(made, json!({ "account_id": session["account"]["id"], "claim_url": null, "claim_code": null }));
    let me = server.client.get("/v1/me").bearer(session["access_token"].as_str().unwrap()).send().expect(200);
    assert_eq!(me.json()["role"], "admin");
    let sign_in = json!({ "email": "ada@example.org", "password": PASSWORD });
    server.client.post("/v1/sessions").json(&sign_in).send().expect(201);
}

fn a_new_api_key_works_where_a_server_runs(db: Db) {
    let Some(mut home) = Installation::new(DOORSTEP, db) else { return };
    home.set("DOORSTEP_SERVER_SECRET", SECRET);
    let server = home.serve();
    let made = home.runs(&["api-key", "create", "--name", "desk", "--scope", "interactions:write", "--json"]);
    let key = read(&made)["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("dsk_"), "{key}");
    let push = App::email_push("msg-1", "case-1", "ada@example.org");
    server.client.post("/v1/interactions").bearer(&key).json(&push).send().expect(201);
    let read = server.client.get("/v1/conversations").bearer(&key).send().expect(403);
    assert_eq!(read.code(), "insufficient_scope");
}

#[test]
fn a_new_api_key_works_where_a_server_runs_on_sqlite() {
    a_new_api_key_works_where_a_server_runs(Db::Sqlite);
}

#[test]
fn a_new_api_key_works_where_a_server_runs_on_postgres() {
    a_new_api_key_works_where_a_server_runs(Db::Postgres);
}

#[test]
fn an_api_key_with_an_unknown_scope_is_refused_by_name() {
    let said = on_sqlite().refuses(&["api-key", "create", "--name", "desk", "--scope", "interactions:wrte"]);
    assert!(
        said.contains("--scope") && said.contains("interactions:wrte") && said.contains("interactions:write"),
        "{said}"
    );
}

fn jw_09_a_running_server_follows_a_rotation(db: Db) {
    let Some(mut home) = Installation::new(DOORSTEP, db) else { return };
    home.set("DOORSTEP_SERVER_SECRET", SECRET);
    let server = home.serve();
    server.client.post("/v1/sign-ups").json(&json!({ "email": "ada@example.org" })).send().expect(202);
    server.logs("mail written to a file", 1);
    let confirm = json!({ "token": home.token_mailed_to("ada@example.org"), "password": PASSWORD });
    let session = server.client.post("/v1/sign-ups/confirm").json(&confirm).send().expect(201).json();
    let kids = || -> Vec<String> {
        let jwks = server.client.get("/.well-known/jwks.json").send().expect(200).json();
        jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let before = kids();
    let rotated = read(&home.runs(&["keys", "rotate", "--json"]));
    server.logs("following new signing keys", 1);
    let after = kids();
    assert!(after.contains(&before[0]) && after.iter().any(|kid| rotated["kid"] == kid.as_str()), "{after:?}");
    server.client.get("/v1/me").bearer(session["access_token"].as_str().unwrap()).send().expect(200);
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    server.client.post("/v1/sessions/refresh").json(&refresh).send().expect(200);
}

#[test]
fn jw_09_a_running_server_follows_a_rotation_on_sqlite() {
    jw_09_a_running_server_follows_a_rotation(Db::Sqlite);
}

#[test]
fn jw_09_a_running_server_follows_a_rotation_on_postgres() {
    jw_09_a_running_server_follows_a_rotation(Db::Postgres);
}

#[test]
fn with_no_configuration_it_says_what_to_do_next_and_that_can_be_pasted() {
    let home = on_sqlite();
    let server = home.serve();
    let said = server.says("Then let Ada ask for a password");
    let said = [said, server.says("/v1/password-resets -H")].concat();
    for words in ["API ", "/docs", "data/doorstep.db", "data/mail", "shown this once", "dsk_", "code "] {
        assert!(said.contains(words), "it should say {words}: {said}");
    }
    let paste = |path: &str| {
        let line = said.lines().find(|line| line.contains("curl") && line.contains(path)).unwrap();
        let done = Command::new("sh").args(["-c", line.trim()]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        read(&String::from_utf8(done.stdout).unwrap())
    };
    assert_eq!(paste("/v1/interactions")["outcome"], "created");
    paste("/v1/password-resets");
    let log = server.logs("mail written to a file", 1);
    let token = home.token_mailed_to("ada@example.org");
    assert!(log.contains(&token), "without a mail server the log shows the link");
    let confirm = json!({ "token": token, "password": PASSWORD });
    server.client.post("/v1/password-resets/confirm").json(&confirm).send().expect(200);
}

#[test]
fn ad_09_a_second_start_prints_no_secrets() {
    let home = on_sqlite();
    let first = home.serve();
    first.says("/v1/password-resets -H");
    first.terminate();
    let log = first.logs("stopped", 1);
    assert!(log.contains("SIGTERM") && log.contains("took_ms"), "{log}");
    assert_eq!(first.ended().0, Some(0));
    let second = home.serve();
    second.client.get("/readyz").send().expect(200);
    second.terminate();
    let (_, said) = second.ended();
    for secret in ["dsk_", "#token=", "code ", "API key"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn ad_09_with_a_mail_server_a_fresh_installation_has_nobody_and_no_key() {
    let mut home = on_sqlite();
    home.set("DOORSTEP_MAIL_SMTP_URL", "smtp://127.0.0.1:1?tls=none");
    let server = home.serve();
    server.terminate();
    let (_, said) = server.ended();
    assert!(!said.contains("dsk_") && !said.contains("#token="), "{said}");
    assert_eq!(home.count("SELECT (SELECT count(*) FROM accounts) + (SELECT count(*) FROM api_keys) AS n"), 0);
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let mut home = on_sqlite();
    let server = home.serve();
    home.set("DOORSTEP_SERVER_LISTEN", server.address());
    let said = home.refuses(&["serve"]);
    for words in ["server.listen", server.address(), "in use"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}
