//! What must be right before the first request: the secret, its file, and a machine with habits of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use doorstep_tests::people::PASSWORD;
use doorstep_tests::process::Installation;
use doorstep_tests::{App, Db};
use serde_json::{Value, json};

const DOORSTEP: &str = env!("CARGO_BIN_EXE_doorstep-under-test");
const SECRET: &str = "kZ3v9QmT1xWc7RbY5nLp2HsDf8JgUe4a";

fn on_sqlite() -> Installation {
    Installation::new(DOORSTEP, Db::Sqlite).unwrap()
}

#[test]
fn jw_06_ad_09_a_sample_secret_starts_nothing() {
    let samples = [
        "",
        "short",
        "change-me-change-me-change-me-change-me",
        "this-is-an-example-kZ3v9QmT1xWc7RbY5nLp",
        "doorstep-doorstep-kZ3v9QmT1xWc7RbY5nLp",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ];
    for sample in samples {
        let mut home = on_sqlite();
        home.set("DOORSTEP_SERVER_SECRET", sample);
        let commands: [&[&str]; 3] = [&["serve"], &["migrate"], &["check-config"]];
        for command in commands {
            let said = home.refuses(command);
            assert!(said.contains("server.secret") && said.contains("openssl rand"), "{sample}: {said}");
            assert!(sample.is_empty() || !said.contains(sample), "a secret is not repeated: {said}");
        }
        assert!(!home.data_dir().exists(), "nothing was begun with {sample:?}");
    }
}

#[test]
fn jw_06_each_installation_signs_with_a_key_of_its_own() {
    let (one, other) = (on_sqlite(), on_sqlite());
    let (one_server, other_server) = (one.serve(), other.serve());
    let keys = |server: &doorstep_tests::process::Serving| {
        server.client.get("/.well-known/jwks.json").send().expect(200).json()["keys"].clone()
    };
    assert_ne!(keys(&one_server)[0]["x"], keys(&other_server)[0]["x"]);
    assert_ne!(
        fs::read(one.data_dir().join("secret.key")).unwrap(),
        fs::read(other.data_dir().join("secret.key")).unwrap()
    );

    one_server.client.post("/v1/sign-ups").json(&json!({ "email": "ada@example.org" })).send().expect(202);
    let log = one_server.logs("mail written to a file", 1);
    let warned = log.find("its links and codes stand in this log").expect("a warning");
    assert!(log.find("DOORSTEP_MAIL_SMTP_URL").is_some() && warned < log.find("token=").unwrap(), "{log}");
    let confirm = json!({ "token": one.token_mailed_to("ada@example.org"), "password": PASSWORD });
    let session = one_server.client.post("/v1/sign-ups/confirm").json(&confirm).send().expect(201).json();
    let token = session["access_token"].as_str().unwrap();
    one_server.client.get("/v1/me").bearer(token).send().expect(200);
    other_server.client.get("/v1/me").bearer(token).send().expect(401);
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    other_server.client.post("/v1/sessions/refresh").json(&refresh).send().expect(401);
}

#[test]
fn ft_28_a_missing_secret_is_said_and_none_is_made_in_its_place() {
    for db in [Db::Sqlite, Db::Postgres] {
        let Some(home) = Installation::new(DOORSTEP, db) else { return };
        home.runs(&["migrate"]);
        let file = home.data_dir().join("secret.key");
        let secret = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let commands: [&[&str]; 3] = [&["serve"], &["migrate"], &["keys", "rotate"]];
        for command in commands {
            let said = home.refuses(command);
            for words in ["secret.key", "backup", "DOORSTEP_SERVER_SECRET"] {
                assert!(said.contains(words), "{said}");
            }
            assert!(!file.exists(), "a new secret would mislead whoever looks for the old one");
        }
        fs::write(&file, &secret).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        home.runs(&["migrate"]);
    }
}

#[test]
fn ft_28_another_secret_is_refused() {
    let mut home = on_sqlite();
    home.runs(&["migrate"]);
    home.set("DOORSTEP_SERVER_SECRET", SECRET);
    let said = home.refuses(&["serve"]);
    assert!(said.contains("another secret") && said.contains("secret.key"), "{said}");
    home.unset("DOORSTEP_SERVER_SECRET");
    home.runs(&["migrate"]);
}

#[test]
fn ft_28_a_secret_that_others_can_read_or_that_is_empty_is_refused() {
    let home = on_sqlite();
    home.runs(&["migrate"]);
    let file = home.data_dir().join("secret.key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(home.data_dir()).unwrap().permissions().mode() & 0o777, 0o700);
    for mode in [0o640, 0o604, 0o660, 0o644] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let said = home.refuses(&["serve"]);
        assert!(said.contains("chmod 600") && said.contains(&format!("{mode:o}")), "{said}");
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    for broken in ["", "\n", "0000000000000000000000000000000000000000"] {
        fs::write(&file, broken).unwrap();
        let said = home.refuses(&["serve"]);
        assert!(said.contains("secret.key") && said.contains("backup"), "{said}");
    }
}

#[test]
fn ft_32_a_turkish_machine_far_from_greenwich_knows_the_same_addresses_and_times() {
    let mut home = on_sqlite();
    for name in ["LANG", "LC_ALL", "LC_CTYPE"] {
        home.set(name, "tr_TR.UTF-8");
    }
    home.set("TZ", "Pacific/Kiritimati");
    let made = home.runs(&["api-key", "create", "--name", "desk", "--scope", "interactions:write", "--json"]);
    let key = serde_json::from_str::<Value>(&made).unwrap()["key"].as_str().unwrap().to_owned();
    let server = home.serve();
    let push = App::email_push("msg-1", "case-1", "MIKE.INCI@EXAMPLE.ORG");
    server.client.post("/v1/interactions").bearer(&key).json(&push).send().expect(201);
    assert_eq!(home.count("SELECT count(*) AS n FROM identities WHERE subject = 'mike.inci@example.org'"), 1);
    // PH-14: what only a Turkish machine would lower-case to it is no address at all
    let ask = |email: &str| server.client.post("/v1/password-resets").json(&json!({ "email": email })).send();
    ask("mıke.ıncı@example.org").expect(422);
    ask("Mike.Inci@Example.ORG").expect(202);
    server.logs("mail written to a file", 1);
    assert_eq!(home.mail_to("mike.inci@example.org").len(), 1);
    let confirm = json!({ "token": home.token_mailed_to("mike.inci@example.org"), "password": PASSWORD });
    let claimed = server.client.post("/v1/password-resets/confirm").json(&confirm).send().expect(200).json();
    let claimed_at = claimed["account"]["claimed_at"].as_str().unwrap().to_owned();
    let (now, said) = (doorstep_core::clock::Clock::System.now(), doorstep_core::clock::Timestamp::parse(&claimed_at));
    assert!(claimed_at.ends_with('Z') && now.since(said.unwrap()).as_secs() < 60, "{claimed_at}");
    let sign_in = json!({ "email": "mike.INCI@example.org", "password": PASSWORD });
    server.client.post("/v1/sessions").json(&sign_in).send().expect(201);
}
