use super::*;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let environment: Vec<_> = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Config::from_parts(text, &environment)
}

#[test]
fn nothing_at_all_is_a_configuration() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.public_url(), "http://127.0.0.1:8080");
    assert_eq!(config.location(), Ok(Location::Sqlite("./data/doorstep.db".into())));
}

#[test]
fn the_environment_goes_over_the_file() {
    let config = load(
        "[server]\nlisten = \"127.0.0.1:1\"\npublic_url = \"https://a.example/\"",
        &[
            ("DOORSTEP_SERVER_LISTEN", "0.0.0.0:2"),
            ("DOORSTEP_SERVER_TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
            ("DOORSTEP_SERVER_CORS_ORIGINS", "[\"https://a.example\"]"),
            ("DOORSTEP_DATABASE_CONNECTIONS", "3"),
            ("DATABASE_URL", "postgres://localhost/x"),
            ("HOME", "/root"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:2");
    assert_eq!(config.public_url(), "https://a.example");
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert_eq!(config.server.cors_origins, ["https://a.example"]);
    assert_eq!(config.database.connections, 3);
    assert_eq!(config.location(), Ok(Location::Postgres("postgres://localhost/x".into())));
}

#[test]
fn a_wrong_setting_names_the_key_the_value_and_the_cure() {
    type Wrong<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
    let wrong: [Wrong<'_>; 16] = [
        ("", &[("DOORSTEP_SERVER_CONNECTIONS", "0")], &["server.connections", "0", "16"]),
        ("[server]\nlissten = 1", &[], &["lissten", "listen"]),
        ("[servr]", &[], &["servr"]),
        ("", &[("DOORSTEP_SERVER_LISSTEN", "x")], &["DOORSTEP_SERVER_LISSTEN", "lissten"]),
        ("", &[("DOORSTEP_SERVER_LISTEN", "8080")], &["DOORSTEP_SERVER_LISTEN", "8080"]),
        ("", &[("DOORSTEP_SERVER_TRUSTED_PROXIES", "proxy")], &["SERVER_TRUSTED_PROXIES", "proxy", "10.0.0.0/8"]),
        ("", &[("DOORSTEP_SPEED", "1")], &["DOORSTEP_SPEED"]),
        ("", &[("DATABASE_URL", "mysql://x")], &["database.url", "postgres://"]),
        ("[links]\nreset = \"https://a.example/reset?token={token}\"", &[], &["links.reset", "#token={token}"]),
        ("[server]\nsecret = \"short\"", &[], &["server.secret", "32", "openssl rand"]),
        ("[hashing]\nmemory_kib = 64", &[], &["hashing.memory_kib = 64", "19456"]),
        ("[server]\nworkers = 0", &[], &["server.workers = 0", "1 or more"]),
        ("[hashing]\nthreads = 0", &[], &["hashing.threads = 0", "1 or more"]),
        ("[log]\nlevel = \"loud\"", &[], &["log.level", "loud", "info"]),
        ("[server]\ncors_origins = [\"https://a.example/\"]", &[], &["server.cors_origins", "a.example/", "no path"]),
        ("[server]\npublic_url = \"help.example\"", &[], &["server.public_url", "help.example", "https://"]),
    ];
    for (text, environment, words) in wrong {
        let error = load(text, environment).unwrap_err();
        for word in words {
            assert!(error.contains(word), "{text} {environment:?} says: {error}");
        }
    }
}

#[test]
fn the_messengers_secrets_are_long_and_never_shown() {
    let read = |text: &str| Config::from_parts(&format!("[messenger]\n{text}"), &[]);
    let long = "s3cr3t-".repeat(5);
    let config = read(&format!("secret = \"{long}\"\nprevious_secret = \"{long}x\"")).unwrap();
    assert!(!format!("{config:?} {:?}", config.messenger.secrets()).contains("s3cr3t"));
    assert!(!config.messenger.secrets().is_empty() && Config::default().messenger.secrets().is_empty());
    for (wrong, key) in [
        ("secret = \"s3cr3t\"".to_owned(), "messenger.secret"),
        (format!("previous_secret = \"{long}\""), "messenger.previous_secret"),
        ("secret = 7".to_owned(), "a secret is text"),
        ("secrets = []".to_owned(), "secrets"),
    ] {
        let error = read(&wrong).unwrap_err();
        assert!(error.contains(key) && !error.contains("s3cr3t"), "{error}");
    }
}

#[test]
fn a_refused_secret_is_not_repeated() {
    let error = load("[server]\nsecret = \"hunter2hunter2\"", &[]).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
}
