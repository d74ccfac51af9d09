//! The real binary, killed in the middle of its work, and told to stop in the middle of it.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use doorstep_core::api_key::Scope;
use doorstep_core::clock::Clock;
use doorstep_tests::http::{Client, in_parallel};
use doorstep_tests::people::PASSWORD;
use doorstep_tests::process::{Installation, Serving};
use doorstep_tests::smtp::{Behaviour, SmtpServer};
use doorstep_tests::{App, Db, invariants};
use serde_json::{Value, json};

const DOORSTEP: &str = env!("CARGO_BIN_EXE_doorstep-under-test");
const ROUNDS_ON_SQLITE: usize = 50;
const ROUNDS_ON_POSTGRES: usize = 10;
/// People who claim their account in each round.
const CLAIMS: usize = 1;
/// In each round the server is killed after at most so many answered refreshes.
const REFRESHES: u64 = 40;

/// An installation whose callers are told apart, and the one who goes on refreshing through all of it.
struct Trial {
    home: Installation,
    key: String,
    refresh_token: Mutex<String>,
    promised: Mutex<Vec<String>>,
}

fn address(round: usize, n: usize) -> String {
    format!("p{round}-{n}@example.org")
}

fn confirm(client: &Client, round: usize, token: &str) -> Option<u16> {
    let body = json!({ "token": token, "password": PASSWORD });
    let request = client.post("/v1/password-resets/confirm").header("X-Forwarded-For", &caller(round));
    request.json(&body).try_send().ok().map(|answer| answer.status)
}

/// Each round has a caller of its own, who has not used up what one caller may ask for.
fn caller(round: usize) -> String {
    format!("203.0.113.{round}")
}

impl Trial {
    fn new(db: Db) -> Option<Self> {
        let mut home = Installation::new(DOORSTEP, db)?;
        home.set("DOORSTEP_SERVER_TRUSTED_PROXIES", "[\"127.0.0.1/32\"]");
        let scope = Scope::InteractionsWrite.to_string();
        let made = home.runs(&["api-key", "create", "--name", "desk", "--scope", &scope, "--json"]);
        let key = serde_json::from_str::<Value>(&made).unwrap()["key"].as_str().unwrap().to_owned();
        let server = home.serve();
        server.client.post("/v1/sign-ups").json(&json!({ "email": "ada@example.org" })).send().expect(202);
        home.wait_for_mail_to("ada@example.org");
        let body = json!({ "token": home.token_mailed_to("ada@example.org"), "password": PASSWORD });
        let session = server.client.post("/v1/sign-ups/confirm").json(&body).send().expect(201).json();
        let refresh_token = Mutex::new(session["refresh_token"].as_str().unwrap().to_owned());
        server.kill();
        Some(Self { home, key, refresh_token, promised: Mutex::default() })
    }

    /// People write to support and are mailed the secret of their account; gives the secrets.
    fn prepare(&self, server: &Serving, round: usize) -> Vec<String> {
        for n in 0..CLAIMS {
            let push = App::email_push(&format!("m{round}-{n}"), &format!("c{round}-{n}"), &address(round, n));
            server.client.post("/v1/interactions").bearer(&self.key).json(&push).send().expect(201);
            Self::ask(&server.client, round, &address(round, n)).unwrap();
        }
        let mailed = (0..CLAIMS).map(|n| {
            self.home.wait_for_mail_to(&address(round, n));
            self.home.token_mailed_to(&address(round, n))
        });
        mailed.collect()
    }

    fn ask(client: &Client, round: usize, email: &str) -> Option<()> {
        let request = client.post("/v1/password-resets").header("X-Forwarded-For", &caller(round));
        let answer = request.json(&json!({ "email": email })).try_send().ok()?.expect(202);
        assert!(answer.body.ends_with(b"}"));
        Some(())
    }

    /// Claims, asks and refreshes at once until the server is killed after so many refreshes; gives what each
    /// claim was answered.
    fn break_off(&self, server: Serving, round: usize, secrets: &[String], after: u64) -> Vec<Option<u16>> {
        let client = server.client.clone();
        let server = Mutex::new(Some(server));
        let answers = in_parallel(CLAIMS + 2, |i| match i.checked_sub(CLAIMS) {
            None => confirm(&client, round, &secrets[i]),
            Some(0) => {
                for n in 0.. {
                    let email = format!("q{round}-{n}@example.org");
                    if n == 15 || Self::ask(&client, round, &email).is_none() {
                        return None;
                    }
                    self.promised.lock().unwrap().push(email);
                }
                None
            }
            Some(_) => {
                (0..after).for_each(|_| self.refresh(&client));
                let token = self.refresh_token.lock().unwrap().clone();
                let lost = client.post("/v1/sessions/refresh").json(&json!({ "refresh_token": token }));
                thread::scope(|scope| {
                    // whether it is carried out or not, nobody hears its answer
                    scope.spawn(|| drop(lost.try_send()));
                    server.lock().unwrap().take().unwrap().kill();
                });
                None
            }
        });
        answers.into_iter().take(CLAIMS).collect()
    }

    /// The token that was answered last is good, whatever became of the answer after it.
    fn refresh(&self, client: &Client) {
        let mut token = self.refresh_token.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = client.post("/v1/sessions/refresh").json(&json!({ "refresh_token": *token })).send().expect(200);
        answer.json()["refresh_token"].as_str().unwrap().clone_into(&mut token);
    }

    /// A token is spent if and only if the password is set, and what was answered is so.
    fn check(&self, client: &Client, round: usize, secrets: &[String], answers: &[Option<u16>]) {
        for (n, (secret, answer)) in secrets.iter().zip(answers).enumerate() {
            let email = address(round, n);
            let body = json!({ "email": email, "password": PASSWORD });
            let sign_in = client.post("/v1/sessions").header("X-Forwarded-For", &caller(round)).json(&body);
            let is_set = sign_in.send().status == 201;
            let again = confirm(client, round, secret);
            let expected = if is_set { Some(410) } else { Some(200) };
            assert_eq!(again, expected, "{email}: the password is set: {is_set}; its claim was answered {answer:?}");
            assert!(is_set || answer.is_none(), "{email} was told {answer:?}, and it was not so");
        }
        self.refresh(client);
        let mut conn = self.home.connection();
        invariants::is_whole(&mut conn);
        invariants::check(&mut conn);
    }

    /// FT-02: what was promised to be mailed is, if only after a restart.
    fn check_mail(&self) {
        // around the API: the time passes after which a mail that a dead process had taken is another's to carry
        self.home.sql("UPDATE outbox SET due_at = created_at WHERE state = 'waiting' AND kind = 'mail'");
        let server = self.home.serve();
        let promised = self.promised.lock().unwrap();
        assert!(!promised.is_empty());
        for email in promised.iter() {
            self.home.wait_for_mail_to(email);
        }
        drop(server);
    }
}

fn ft_01_killed_while_claims_and_refreshes_run(db: Db, rounds: usize) {
    let Some(trial) = Trial::new(db) else { return };
    let mut broken_off = 0;
    let mut server = trial.home.serve();
    for round in 0..rounds {
        let secrets = trial.prepare(&server, round);
        let after = RandomState::new().hash_one(round) % REFRESHES;
        let answers = trial.break_off(server, round, &secrets, after);
        broken_off += answers.iter().filter(|answer| answer.is_none()).count();
        server = trial.home.serve();
        trial.check(&server.client, round, &secrets, &answers);
    }
    server.kill();
    assert!(broken_off > 0, "every claim was answered before the kill: kill earlier");
    trial.check_mail();
}

#[test]
fn ft_01_ft_02_killed_while_claims_and_refreshes_run_on_sqlite() {
    ft_01_killed_while_claims_and_refreshes_run(Db::Sqlite, ROUNDS_ON_SQLITE);
}

#[test]
fn ft_01_ft_02_killed_while_claims_and_refreshes_run_on_postgres() {
    ft_01_killed_while_claims_and_refreshes_run(Db::Postgres, ROUNDS_ON_POSTGRES);
}

/// Sends a request's head, and returns when the server has begun to read its body.
fn begin(address: &str, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: doorstep\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// Sends the rest, and gives the whole answer.
fn finish(mut stream: TcpStream, body: &str) -> String {
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn wait_until_nobody_is_let_in(server: &Serving) {
    let deadline = Clock::System.now() + Duration::from_secs(20);
    while TcpStream::connect(server.address()).is_ok() {
        assert!(Clock::System.now() < deadline, "it goes on taking connections");
        thread::yield_now();
    }
}

fn ft_27_told_to_stop_under_load(db: Db) {
    let Some(mut home) = Installation::new(DOORSTEP, db) else { return };
    let smtp = SmtpServer::start();
    smtp.script(Behaviour::TempFail(451));
    home.set("DOORSTEP_MAIL_SMTP_URL", &smtp.url());
    home.set("DOORSTEP_SERVER_SECRET", "kZ3v9QmT1xWc7RbY5nLp2HsDf8JgUe4a");
    home.set("DOORSTEP_SERVER_TRUSTED_PROXIES", "[\"127.0.0.1/32\"]");
    let server = home.serve();
    let body = json!({ "email": "late@example.org" }).to_string();
    let in_flight = begin(server.address(), "/v1/sign-ups", &body);

    let (asked, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let promised: Vec<String> = thread::scope(|scope| {
        let ask = |worker: usize| {
            let mut promised = Vec::new();
            while !over.load(Ordering::Acquire) {
                let email = format!("w{worker}-{}@example.org", promised.len());
                let request = server
                    .client
                    .post("/v1/sign-ups")
                    .header("X-Forwarded-For", &format!("203.0.{worker}.{}", promised.len() / 10));
                let Ok(answer) = request.json(&json!({ "email": email })).try_send() else { break };
                assert_eq!(answer.status, 202, "under load there are whole answers or none");
                promised.push(email);
                asked.fetch_add(1, Ordering::AcqRel);
            }
            promised
        };
        let workers: Vec<_> = (0..4).map(|worker| scope.spawn(move || ask(worker))).collect();
        while asked.load(Ordering::Acquire) < 20 {
            thread::yield_now();
        }
        server.terminate();
        wait_until_nobody_is_let_in(&server);
        over.store(true, Ordering::Release);
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let answer = finish(in_flight, &body);
    assert!(answer.starts_with("HTTP/1.1 202") && answer.ends_with('}'), "{answer}");
    assert_eq!(server.ended().0, Some(0));

    assert_eq!(smtp.messages().len(), 0);
    smtp.script(Behaviour::Accept);
    home.sql("UPDATE outbox SET due_at = created_at WHERE state = 'waiting' AND kind = 'mail'");
    let server = home.serve();
    let mails = smtp.wait_for(promised.len() + 1, Duration::from_secs(30));
    for email in promised.iter().map(String::as_str).chain(["late@example.org"]) {
        assert!(mails.iter().any(|mail| mail.recipients == [email]), "{email} was promised a mail");
    }
    drop(server);
    invariants::check(&mut home.connection());
}

#[test]
fn ft_27_told_to_stop_under_load_on_sqlite() {
    ft_27_told_to_stop_under_load(Db::Sqlite);
}

#[test]
fn ft_27_told_to_stop_under_load_on_postgres() {
    ft_27_told_to_stop_under_load(Db::Postgres);
}
