//! What the log of a running Doorstep holds: enough to follow a request, and no secret.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use doorstep_core::clock::Clock;
use doorstep_tests::http::Client;
use doorstep_tests::people::{PASSWORD, SignedIn};
use doorstep_tests::providers::facebook::{self, Facebook};
use doorstep_tests::providers::issuer::{self, Issuer};
use doorstep_tests::providers::twitter::{self, Twitter};
use doorstep_tests::providers::{code_challenge, parameter, random};
use doorstep_tests::smtp::SmtpServer;
use doorstep_tests::social;
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

/// A server that logs everything, in a directory with its configuration; and where it serves, and what it will have
/// logged.
fn serving(smtp: &SmtpServer, dir: &Path) -> (Process, Client, JoinHandle<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorstep-under-test"));
    command.current_dir(dir).arg("serve").env("DOORSTEP_SERVER_LISTEN", "127.0.0.1:0");
    command.env("DOORSTEP_MAIL_SMTP_URL", smtp.url()).env("DOORSTEP_LOG_LEVEL", "trace");
    command.env_remove("DATABASE_URL").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process(command.spawn().unwrap());
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let api = lines.find_map(|line| line.trim().strip_prefix("API ").map(|url| url.trim().to_owned())).unwrap();
    let mut stderr = process.0.stderr.take().unwrap();
    let log = thread::spawn(move || {
        let mut log = String::new();
        stderr.read_to_string(&mut log).unwrap();
        log
    });
    (process, Client::new(&api), log)
}

#[test]
fn rs_14_the_log_holds_no_secret_even_where_it_says_everything() {
    let (smtp, dir) = (SmtpServer::start(), tempfile::tempdir().unwrap());
    let (process, client, log) = serving(&smtp, dir.path());
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
    let own = |path: &str, body: &Value| client.post(path).bearer(&session.access_token).json(body).send();
    own("/v1/me/reauthenticate/mail", &json!({})).expect(202);
    let mailed = after(&smtp.wait_for(2, Duration::from_secs(30)).remove(1).text(), "Code: ");
    own("/v1/me/reauthenticate", &json!({ "mailed_code": mailed })).expect(200);
    own("/v1/me/reauthenticate", &json!({ "password": "wrong horse battery" })).expect(422);
    own("/v1/me/reauthenticate", &json!({ "password": PASSWORD })).expect(200);
    drop(process);

    let log = log.join().unwrap();
    assert!(log.contains("/v1/sign-ups/confirm") && log.contains("mail sent"), "{log}");
    let secrets = [token, code, mailed, PASSWORD.to_owned(), "wrong horse battery".to_owned(), "Secretname".to_owned()];
    let tokens = [session.refresh_token, session.access_token, session.device_token];
    for secret in secrets.iter().chain(&tokens) {
        assert!(!log.contains(secret.as_str()), "{secret} is in the log");
    }
}

#[test]
fn i8_the_log_holds_no_secret_of_a_round_trip_to_a_provider() {
    let (smtp, dir) = (SmtpServer::start(), tempfile::tempdir().unwrap());
    let (google, acme) = (Issuer::start(Clock::System), Issuer::start(Clock::System));
    let (facebook, twitter) = (Facebook::start(Clock::System), Twitter::start());
    twitter.knows(twitter::User::new("ada_l", "4711001", None));
    facebook.knows(facebook::User::new("ada_f", "4711002", None));
    let configuration = social::configuration(&google.url(), &facebook, &twitter, &acme.url());
    std::fs::write(dir.path().join("doorstep.toml"), configuration).unwrap();
    let (process, client, log) = serving(&smtp, dir.path());

    let mut secrets: Vec<String> =
        [issuer::CLIENT_SECRET, facebook::APP_SECRET, twitter::CLIENT_SECRET, "4711001", "Secretname"]
            .map(str::to_owned)
            .to_vec();
    let post = |path: &str, body: &Value| client.post(path).json(body).send();
    let mut arrives = |provider: &str, consents: &dyn Fn(&str) -> String| {
        let verifier = random() + &random();
        let body = json!({ "redirect_uri": social::REDIRECT_URI, "code_challenge": code_challenge(&verifier) });
        let begun = post(&format!("/v1/social/{provider}/flows"), &body).expect(201).json();
        let url = begun["authorization_url"].as_str().unwrap();
        let back = consents(url);
        let path = &back[back.find("/v1/").unwrap()..];
        let location = client.get(path).send().expect(303).header("location").unwrap().to_owned();
        client.get(path).send().expect(410);
        let code = parameter(&location, "code").unwrap();
        post("/v1/social/exchange", &json!({ "code": code, "code_verifier": random() + &random() })).expect(404);
        let answer = post("/v1/social/exchange", &json!({ "code": code, "code_verifier": verifier })).expect(200);
        post("/v1/social/exchange", &json!({ "code": code, "code_verifier": verifier })).expect(410);
        secrets.extend([verifier, code, parameter(url, "state").unwrap(), parameter(&back, "code").unwrap()]);
        secrets.extend(parameter(url, "nonce"));
        answer
    };
    let go_on = social::continuation(arrives("twitter", &|url| twitter.consents(url, "ada_l")));
    social::continuation(arrives("facebook", &|url| facebook.consents(url, "ada_f")));
    let id_token = RefCell::new(String::new());
    let by_google = |url: &str| {
        let mut claims = google.claims_for(url, "g-4711003");
        claims["email"] = json!("ada@gmail.com");
        claims["email_verified"] = json!(true);
        claims["name"] = json!("Ada Secretname");
        id_token.replace(google.signs(&claims));
        google.consents(url, &id_token.borrow())
    };
    let ada = social::signed_in(arrives("google", &by_google));
    post("/v1/social/email", &json!({ "continuation": go_on, "email": "ada@example.org" })).expect(202);
    let mail = smtp.wait_for(1, Duration::from_secs(30)).remove(0).text();
    let code = after(&mail, "Code: ");
    post("/v1/social/email/confirm", &json!({ "continuation": go_on, "code": code })).expect(200);
    drop(process);

    let verifiers = [google.calls(issuer::TOKEN), twitter.calls(twitter::TOKEN), facebook.calls(facebook::TOKEN)];
    secrets.extend(verifiers.iter().flatten().map(|call| call.parameter("code_verifier").unwrap()));
    let tokens = twitter.calls(twitter::ME).into_iter().chain(facebook.calls(facebook::ME));
    secrets
        .extend(tokens.filter_map(|call| call.bearer().map(str::to_owned).or_else(|| call.parameter("access_token"))));
    secrets.extend([go_on, code, id_token.into_inner(), ada.refresh_token, ada.access_token, ada.device_token]);
    let log = log.join().unwrap();
    assert!(log.contains("/v1/social/exchange") && log.contains("/callback"), "{log}");
    assert!(secrets.len() > 25, "{}", secrets.len());
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in the log");
    }
}
