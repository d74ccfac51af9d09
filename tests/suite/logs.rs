//! What a server writes to its log: one line a request, and no secret in it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use doorstep_tests::http::{Client, in_parallel, raw};
use doorstep_tests::people::PASSWORD;
use doorstep_tests::smtp::SmtpServer;
use serde_json::json;
use tempfile::TempDir;

/// A server as a process of its own, which logs into a file.
struct Process {
    child: Child,
    /// Kept open, so that it can go on writing.
    _said: BufReader<ChildStdout>,
    address: String,
    dir: TempDir,
}

impl Process {
    fn start(smtp: &SmtpServer, format: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_doorstep-under-test"))
            .arg("serve")
            .current_dir(dir.path())
            .env("DOORSTEP_SERVER_LISTEN", "127.0.0.1:0")
            .env("DOORSTEP_DATA_DIR", dir.path().join("data"))
            .env("DOORSTEP_MAIL_SMTP_URL", smtp.url())
            .env("DOORSTEP_MAIL_FROM", "help@shop.example")
            .env("DOORSTEP_LOG_LEVEL", "debug")
            .env("DOORSTEP_LOG_FORMAT", format)
            .stdout(Stdio::piped())
            .stderr(File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let place = |line: String| line.trim().strip_prefix("API")?.trim().strip_prefix("http://").map(str::to_owned);
        let address =
            said.by_ref().lines().map(Result::unwrap).find_map(place).expect("a server that says where it is");
        Self { child, _said: said, address, dir }
    }

    /// What it logged so far.
    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Signs up, in and out, with every secret there is; gives the secrets.
fn uses_every_secret(client: &Client, smtp: &SmtpServer) -> Vec<String> {
    client.post("/v1/sign-ups").json(&json!({ "email": "ada@example.org" })).send().expect(202);
    let mail = smtp.wait_for(1, Duration::from_secs(20));
    let text = mail[0].text();
    let after = |mark: &str| text.split_once(mark).unwrap().1.split_whitespace().next().unwrap().to_owned();
    let (token, code) = (after("#token="), after("Code: "));
    let signed_in = client
        .post("/v1/sign-ups/confirm")
        .json(&json!({ "token": token, "password": PASSWORD }))
        .send()
        .expect(201)
        .json();
    let secret = |name: &str| signed_in[name].as_str().unwrap().to_owned();
    let (access, refresh, device) = (secret("access_token"), secret("refresh_token"), secret("device_token"));
    client.get(&format!("/v1/me?access_token={access}")).bearer(&access).send().expect(422);
    client.get(&format!("/v1/me/conversations?text={refresh}")).bearer(&access).send().expect(200);
    client.get(&format!("/{token}")).send().expect(404);
    client.get(&format!("/v1/conversations?api_key={device}")).send().expect(401);
    client
        .post("/v1/sessions")
        .json(&json!({ "email": "ada@example.org", "password": "wrong horse wrong battery" }))
        .send()
        .expect(401);
    client.post("/v1/sessions/refresh").json(&json!({ "refresh_token": refresh })).send().expect(200);
    vec![token, code, access, refresh, device, PASSWORD.to_owned(), "wrong horse".to_owned()]
}

#[test]
fn the_log_says_by_which_limit_a_mail_was_not_sent() {
    let smtp = SmtpServer::start();
    let process = Process::start(&smtp, "text");
    let client = Client::new(&format!("http://{}", process.address));
    let asks = |email: &str| client.post("/v1/password-resets").json(&json!({ "email": email })).send().expect(202);
    (0..4).for_each(|_| drop(asks("ada@example.org")));
    let log = process.log();
    assert!(log.contains("no mail: its address") && !log.contains("no mail: its caller"), "{log}");
    (0..20).for_each(|n| drop(asks(&format!("nobody-{n}@example.org"))));
    let log = process.log();
    assert!(log.contains("no mail: its caller") && !log.contains("@example.org"), "{log}");
}

#[test]
fn ht_07_a_log_line_is_one_request_and_no_secret() {
    for format in ["text", "json"] {
        let smtp = SmtpServer::start();
        let process = Process::start(&smtp, format);
        let client = Client::new(&format!("http://{}", process.address));
        let secrets = uses_every_secret(&client, &smtp);
        let forged = "%0d%0aFORGED%20line%1b[31m";
        client.get(&format!("/v1/{forged}")).send().expect(404);
        client.get(&format!("/v1/me/conversations/{forged}?x={forged}")).send().expect(401);
        client.get("/v1/me").header("User-Agent", "FORGED\tagent").header("X-Request-Id", "FORGED").send().expect(401);
        client.post("/v1/sign-ups").json(&json!({ "email": "FORGED\r\nline\u{1b}[31m" })).send().expect(422);
        raw(&*process.address, b"FORGED /v1/me HTTP/1.1\r\nHost: FORGED\r\nConnection: close\r\n\r\n");
        in_parallel(4, |_| client.get("/v1/me").header("Authorization", "Bearer FORGED").send().expect(401));
        let log = process.log();
        assert!(log.lines().count() > 10, "{log}");
        for secret in secrets {
            assert!(!log.contains(&secret), "{format}: {secret} is in the log");
        }
        assert!(!log.contains('\u{1b}') && !log.contains('\r'), "{format}: control characters in the log");
        assert_eq!(log.matches("FORGED").count(), 1, "{format}: only the method, which is a word and no more: {log}");
        assert!(!log.contains("ada@example.org"), "{format}: an address in the log");
    }
}
