//! The server under load: a release build, started and watched from outside.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection, SqliteConnection};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::load::{Ask, Connection, hammer, now};
use crate::{repeat, repeat_from};

const PASSWORD: &str = "correct horse battery staple";
/// Clock ticks a second, as `/proc` counts CPU time on Linux.
const TICKS: f64 = 100.0;

pub struct Server {
    process: Child,
    address: String,
    dir: TempDir,
    database: Option<String>,
    environment: Vec<(String, String)>,
    key: String,
    next_push: AtomicU64,
}

pub struct SignedIn {
    pub access_token: String,
    refresh_token: String,
}

/// CPU seconds of the server (and of `PostgreSQL`) for one request, and requests a second.
#[derive(Default)]
pub struct Cost {
    pub cpu: f64,
    pub database: f64,
    pub rate: f64,
}

impl Cost {
    /// Adds one of so many measurements to their mean.
    pub fn add(&mut self, one: &Self, of: usize) {
        let share = 1.0 / of as f64;
        self.cpu += one.cpu * share;
        self.database += one.database * share;
        self.rate += one.rate * share;
    }
}

/// CPU seconds of a process and all its threads.
pub fn cpu_seconds(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS
}

/// CPU seconds of everything `PostgreSQL` runs here, ended back ends included.
fn postgres_seconds() -> f64 {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok());
    let of_postgres = stats.filter(|stat| stat.contains("(postgres)"));
    let ticks = |stat: String| {
        let fields: Vec<f64> =
            stat.rsplit(')').next().unwrap().split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect();
        fields[11] + fields[12] + fields[13] + fields[14]
    };
    of_postgres.map(ticks).sum::<f64>() / TICKS
}

impl Server {
    pub fn start(database: Option<&str>, environment: &[(String, String)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = database.map(str::to_owned);
        let (process, address, key) = launch(dir.path(), database.as_deref(), environment);
        Self {
            process,
            environment: environment.to_vec(),
            address,
            dir,
            database,
            key: key.expect("the database was used before"),
            next_push: AtomicU64::new(0),
        }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Seconds its threads have run: finer than the ticks of `/proc/PID/stat`, and none of them ever ends.
    fn cpu(&self) -> f64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap().flatten();
        let nanoseconds = threads.map(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("schedstat")).unwrap();
            stat.split(' ').next().unwrap().parse::<f64>().unwrap()
        });
        nanoseconds.sum::<f64>() / 1e9
    }

    pub fn resident_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    fn ask(&self, ask: &Ask) -> Value {
        serde_json::from_str(&Connection::open(&self.address).send(ask).1).unwrap()
    }

    /// An account with its owner, by way of forgot password, for each of so many clients.
    pub fn claims(&self, clients: usize) -> Vec<String> {
        let claim = |number| {
            let email = format!("owner{number}@example.org");
            self.claims_as(&email, &client(number));
            email
        };
        (0..clients).map(claim).collect()
    }

    /// The same, for an address and from one.
    pub fn claims_as(&self, email: &str, caller: &str) {
        self.ask(&Ask::post("/v1/password-resets", None, &json!({ "email": email }).to_string()).by(caller));
        let to = format!("To: {email}");
        let code = loop {
            let mails = std::fs::read_dir(self.dir.path().join("data/mail")).into_iter().flatten().flatten();
            let texts = mails.filter(|mail| mail.path().extension().is_some_and(|kind| kind == "eml"));
            let texts = texts.filter_map(|mail| std::fs::read_to_string(mail.path()).ok());
            let found = texts.filter(|text| text.contains(&to)).find_map(|text| {
                text.lines().find_map(|line| line.strip_prefix("Code: ").map(|code| code.trim().to_owned()))
            });
            if let Some(code) = found {
                break code;
            }
            std::thread::yield_now();
        };
        let body = json!({ "email": email, "code": code, "password": PASSWORD });
        // whoever asked for an address nobody has is offered sign-up
        self.ask(&Ask::post("/v1/password-resets/confirm", None, &body.to_string()).by(caller));
    }

    /// Somebody writes to support, and the desk pushes it.
    pub fn pushes_from(&self, email: &str) {
        let mut body = push(0);
        body["external_id"] = json!(email);
        body["conversation"]["external_id"] = json!(email);
        body["from"]["email"] = json!(email);
        self.ask(&Ask::post("/v1/interactions", Some(&self.key), &body.to_string()));
    }

    /// Around the API: whoever has an address like this is disabled.
    pub fn disables(&self, pattern: &str) {
        let sql = format!(
            "UPDATE accounts SET state = 'disabled' WHERE id IN \
             (SELECT account_id FROM identities WHERE subject LIKE '{pattern}')"
        );
        let file = self.dir.path().join("data/doorstep.db");
        match &self.database {
            Some(url) => PgConnection::establish(url).unwrap().batch_execute(&sql).unwrap(),
            None => SqliteConnection::establish(file.to_str().unwrap()).unwrap().batch_execute(&sql).unwrap(),
        }
    }

    fn sign_in_ask(email: &str, number: usize) -> Ask {
        let body = json!({ "email": email, "password": PASSWORD }).to_string();
        Ask::post("/v1/sessions", None, &body).by(&client(number))
    }

    pub fn signs_in(&self, email: &str) -> SignedIn {
        let body = self.ask(&Self::sign_in_ask(email, 0));
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        SignedIn { access_token: text("access_token"), refresh_token: text("refresh_token") }
    }

    pub fn cpu_per_request(&self, ask: &Ask, callers: usize, times: usize) -> Cost {
        repeat(&self.address, ask, 500);
        self.measure(times, || repeat_from(&self.address, ask, callers, times))
    }

    fn measure(&self, times: usize, run: impl FnOnce()) -> Cost {
        let (cpu, database, started) = (self.cpu(), postgres_seconds(), now());
        run();
        let (seconds, times) = (started.elapsed().as_secs_f64(), times as f64);
        let database = if self.database.is_some() { (postgres_seconds() - database) / times } else { 0.0 };
        Cost { cpu: (self.cpu() - cpu) / times, database, rate: times / seconds }
    }

    pub fn pushes(&self, callers: usize, times: usize) -> Cost {
        let next = &self.next_push;
        self.measure(times, || {
            hammer(callers, |_| {
                let mut connection = Connection::open(&self.address);
                for _ in 0..times / callers {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    connection.send(&Ask::post("/v1/interactions", Some(&self.key), &push(n).to_string()));
                }
            });
        })
    }

    pub fn refreshes(&self, email: &str, callers: usize, each: usize) -> Cost {
        let sessions: Vec<SignedIn> = (0..callers).map(|_| self.signs_in(email)).collect();
        self.measure(callers * each, || {
            hammer(callers, |number| {
                let mut connection = Connection::open(&self.address);
                let mut token = sessions[number].refresh_token.clone();
                for _ in 0..each {
                    let body = json!({ "refresh_token": token }).to_string();
                    let (_, answer) = connection.send(&Ask::post("/v1/sessions/refresh", None, &body));
                    let answer: Value = serde_json::from_str(&answer).unwrap();
                    token = answer["refresh_token"].as_str().unwrap().to_owned();
                }
            });
        })
    }

    /// Each of so many callers signs in to an account of their own, again and again.
    pub fn sign_ins(&self, emails: &[String], each: usize) -> Cost {
        self.measure(emails.len() * each, || {
            hammer(emails.len(), |client| repeat(&self.address, &Self::sign_in_ask(&emails[client], client), each));
        })
    }

    /// Does something while clients sign in without pause; gives its result and the sign-ins a second.
    pub fn in_a_storm<T>(&self, emails: &[String], run: impl FnOnce() -> T) -> (T, f64) {
        let (over, done) = (AtomicBool::new(false), AtomicU64::new(0));
        let started = now();
        let result = std::thread::scope(|scope| {
            for (client, email) in emails.iter().enumerate() {
                let (over, done) = (&over, &done);
                scope.spawn(move || {
                    let ask = Self::sign_in_ask(email, client).or_overloaded();
                    let mut connection = Connection::open(&self.address);
                    while !over.load(Ordering::Relaxed) {
                        if connection.send(&ask).0 == 201 {
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            let result = run();
            over.store(true, Ordering::Relaxed);
            result
        });
        (result, done.into_inner() as f64 / started.elapsed().as_secs_f64())
    }

    /// Stops and starts it; the seconds from the start to the first answer.
    pub fn restarts(&mut self, times: usize) -> Vec<f64> {
        (0..times)
            .map(|_| {
                self.process.kill().unwrap();
                self.process.wait().unwrap();
                let started = now();
                let (process, address, _) = launch(self.dir.path(), self.database.as_deref(), &self.environment);
                (self.process, self.address) = (process, address);
                repeat(&self.address, &Ask::get("/readyz", None), 1);
                started.elapsed().as_secs_f64()
            })
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn push(n: u64) -> Value {
    json!({
        "source": "bench", "external_id": format!("m{n}"), "channel": "email", "direction": "inbound",
        "from": { "email": format!("person{n}@example.org"), "name": "Ada Lovelace" },
        "conversation": { "external_id": format!("c{n}"), "subject": "Printer on fire" },
        "message": { "body_text": "It is on fire. ".repeat(20) },
    })
}

/// Starts the binary beside this one, and reads what it says until it listens: process, address, first API key.
fn launch(
    dir: &std::path::Path,
    database: Option<&str>,
    environment: &[(String, String)],
) -> (Child, String, Option<String>) {
    let binary: PathBuf = std::env::current_exe().unwrap().with_file_name("doorstep");
    let mut command = Command::new(binary);
    command.current_dir(dir).env("DOORSTEP_SERVER_LISTEN", "127.0.0.1:0").env("DOORSTEP_LOG_LEVEL", "warn");
    command.env("DOORSTEP_SERVER_TRUSTED_PROXIES", "127.0.0.1");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.envs(database.map(|url| ("DATABASE_URL", url))).stdout(Stdio::piped());
    let mut process = command.spawn().expect("build it first: cargo build --release");
    let (mut address, mut key) = (String::new(), None);
    for line in BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if let Some(url) = line.trim().strip_prefix("API       http://") {
            url.clone_into(&mut address);
        }
        if let Some(plain) = line.trim().strip_prefix("API key   ") {
            key = Some(plain.to_owned());
        }
        if line.contains("Then let Ada")
            || (line.contains("Mail ") && dir.join("data/secret.key").exists() && key_is_old(dir))
        {
            break;
        }
    }
    mark_old(dir);
    (process, address, key)
}

/// The address that a client has of its own, by way of the proxy that the driver is.
fn client(number: usize) -> String {
    format!("10.1.{}.{}", number / 250, number % 250 + 1)
}

/// A second start says nothing after its mail line.
fn key_is_old(dir: &std::path::Path) -> bool {
    dir.join("started").exists()
}

fn mark_old(dir: &std::path::Path) {
    std::fs::write(dir.join("started"), "").unwrap();
}
