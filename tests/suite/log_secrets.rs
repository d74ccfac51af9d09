//! What the log of a running Doorstep holds: enough to follow a request, and no secret.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use doorstep_tests::http::Client;
use doorstep_tests::people::{PASSWORD, SignedIn};
use doorstep_tests::smtp::SmtpServer;
use serde_json::{Value, json};

/// Kills the process it holds, so that a failed test leaves none behind.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What stands behind a mark in a mail, up to the next space.
fn after(text: &str, mark: &str) -> String {
    text.split_once(mark).unwrap().1.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn rs_14_the_log_holds_no_secret_even_where_it_says_everything() {
    let (smtp, dir) = (SmtpServer::start(), tempfile::tempdir().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorstep-under-test"));
    command.current_dir(dir.path()).arg("serve").env("DOORSTEP_SERVER_LISTEN", "127.0.0.1:0");
    command.env("DOORSTEP_MAIL_SMTP_URL", smtp.url()).env("DOORSTEP_LOG_LEVEL", "trace");
    command.env_remove("DATABASE_URL").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process(command.spawn().unwrap());
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let api = lines.find_map(|line| line.trim().strip_prefix("API ").map(|url| url.trim().to_owned())).unwrap();
    let mut stderr = process.0.stderr.take().unwrap();
    let log = std::thread::spawn(move || {
        let mut log = String::new();
        stderr.read_to_string(&mut log).unwrap();
        log
    });

    let client = Client::new(&api);
    let post = |path: &str, body: &Value| client.post(path).json(body).send();
    post("/v1/sign-ups", &json!({ "email": "ada@example.org" })).expect(202);
    let mail = smtp.wait_for(1, Duration::from_secs(30)).remove(0).text();
    let (token, code) = (after(&mail, "#token="), after(&mail, "Code: "));
    client.get(&format!("/v1/sign-ups/confirm?token={token}")).send().expect(405);
    post("/v1/sign-ups/inspect", &json!({ "token": format!("{token}x") })).expect(404);
    let body = json!({ "token": token, "password": PASSWORD, "full_name": "Ada Secretname" });
    let session = SignedIn::of(&post("/v1/sign-ups/confirm", &body).expect(201));
    post("/v1/sessions", &json!({ "email": "ada@example.org", "password": "wrong horse battery" })).expect(401);
    post("/v1/sessions/refresh", &json!({ "refresh_token": session.refresh_token })).expect(200);
    client.get("/v1/me").bearer(&session.access_token).send().expect(200);
    drop(process);

    let log = log.join().unwrap();
    assert!(log.contains("/v1/sign-ups/confirm") && log.contains("mail sent"), "{log}");
    let secrets = [token, code, PASSWORD.to_owned(), "wrong horse battery".to_owned(), "Secretname".to_owned()];
    let tokens = [session.refresh_token, session.access_token, session.device_token];
    for secret in secrets.iter().chain(&tokens) {
        assert!(!log.contains(secret.as_str()), "{secret} is in the log");
    }
}
