//! The real binary in processes of their own, to be killed, told to stop, and started again on what they left.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::{fs::chown, process::CommandExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use diesel::{Connection as _, PgConnection, SqliteConnection};
use doorstep_core::clock::Clock;
use doorstep_core::db::{Conn, Location};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::app::Db;
use crate::http::Client;
use crate::invariants;
use crate::postgres::{self, Database};

const PATIENCE: Duration = Duration::from_secs(30);

/// A directory of its own, a database, and the environment that every process there is started with.
pub struct Installation {
    binary: PathBuf,
    directory: TempDir,
    database: Option<Database>,
    environment: BTreeMap<String, String>,
    user: Option<(u32, u32)>,
}

impl Installation {
    /// An empty one that listens on a free port; none where there is no PostgreSQL.
    #[must_use]
    pub fn new(binary: &str, db: Db) -> Option<Self> {
        let database = match db {
            Db::Sqlite => None,
            Db::Postgres => Some(postgres::server()?.create_database(None)),
        };
        let directory = tempfile::tempdir().unwrap();
        let mut new = Self { binary: binary.into(), directory, database, environment: BTreeMap::new(), user: None };
        new.set("DOORSTEP_SERVER_LISTEN", "127.0.0.1:0");
        new.set("DOORSTEP_SERVER_WORKERS", "2");
        if let Some(url) = new.database.as_ref().map(|database| database.url().to_owned()) {
            new.set("DATABASE_URL", &url);
        }
        Some(new)
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    pub fn unset(&mut self, name: &str) {
        self.environment.remove(name);
    }

    /// Where the processes run.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// From now on processes run as a user for whom what is read-only is so.
    pub fn run_without_privileges(&mut self) {
        if rustix::process::geteuid().is_root() {
            let (user, group) = postgres::user("nobody").expect("a user without privileges");
            let binary = self.directory().join("doorstep");
            fs::copy(&self.binary, &binary).unwrap();
            self.binary = binary;
            chown(self.directory(), Some(user), Some(group)).unwrap();
            self.user = Some((user, group));
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).current_dir(self.directory()).env_clear().envs(&self.environment);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed; gives what it prints.
    #[track_caller]
    pub fn runs(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail; gives what it says on standard error.
    #[track_caller]
    pub fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    /// Starts a command and does not wait for it.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Process {
        Process::of(self.command(arguments).spawn().unwrap())
    }

    /// Starts a command by a line of `sh`, in which `"$@"` stands for it, with another standard error.
    #[must_use]
    pub fn start_by(&self, line: &str, arguments: &[&str], stderr: impl Into<Stdio>) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", line, "sh"]).arg(&self.binary).args(arguments);
        command.current_dir(self.directory()).env_clear().envs(&self.environment);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        Process::of(command.spawn().unwrap())
    }

    /// Starts a server, and returns once it listens.
    #[must_use]
    #[track_caller]
    pub fn serve(&self) -> Serving {
        self.start(&["serve"]).listening()
    }

    /// Around the API: a connection for SQL.
    #[must_use]
    pub fn connection(&self) -> Conn {
        match &self.database {
            Some(database) => Conn::Pg(PgConnection::establish(database.url()).unwrap()),
            None => {
                let Location::Sqlite(path) = Location::in_directory(&self.data_dir()) else { unreachable!() };
                Conn::Sqlite(SqliteConnection::establish(path.to_str().unwrap()).unwrap())
            }
        }
    }

    /// Around the API: one number by SQL, which names it `n`.
    #[must_use]
    pub fn count(&self, sql: &str) -> i64 {
        invariants::count(&mut self.connection(), sql)
    }

    /// Around the API: SQL that both databases know.
    pub fn sql(&self, statement: &str) {
        use diesel::connection::SimpleConnection as _;
        self.connection().batch_execute(statement).unwrap();
    }

    /// All mail to an address in the file mailbox, oldest first.
    #[must_use]
    pub fn mail_to(&self, address: &str) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.data_dir().join("mail")) else { return Vec::new() };
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        let whole = paths.iter().filter(|path| path.extension().is_some_and(|kind| kind == "eml"));
        let mails = whole.map(|path| fs::read_to_string(path).unwrap());
        mails.filter(|mail| mail.contains(&format!("To: {address}"))).collect()
    }

    /// Waits until there is mail to an address, whichever process carries it; gives all of it.
    ///
    /// # Panics
    /// When there is none after half a minute.
    #[track_caller]
    pub fn wait_for_mail_to(&self, address: &str) -> Vec<String> {
        let deadline = Clock::System.now() + PATIENCE;
        loop {
            let mails = self.mail_to(address);
            if !mails.is_empty() {
                return mails;
            }
            assert!(Clock::System.now() < deadline, "no mail came to {address}");
            thread::yield_now();
        }
    }

    /// The token of the last mail to an address.
    #[must_use]
    #[track_caller]
    pub fn token_mailed_to(&self, address: &str) -> String {
        let mails = self.mail_to(address);
        let mail = mails.iter().rev().find_map(|mail| mail.split_once("#token="));
        let (_, rest) = mail.unwrap_or_else(|| panic!("no token was mailed to {address}"));
        rest.split(|c: char| c.is_whitespace() || c == '"').next().unwrap().to_owned()
    }
}

/// What a process has said so far.
#[derive(Clone, Default)]
struct Heard(Arc<(Mutex<(String, bool)>, Condvar)>);

impl Heard {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let heard = Self::default();
        let listener = heard.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                listener.change(|(text, _)| text.extend([line.as_str(), "\n"]));
            }
            listener.change(|(_, over)| *over = true);
        });
        heard
    }

    fn change(&self, change: impl FnOnce(&mut (String, bool))) {
        change(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
    }

    /// What was said once `enough`, or once it is silent for good or out of time; and whether it was enough.
    fn wait(&self, enough: impl Fn(&str) -> bool) -> (String, bool) {
        let heard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(heard, PATIENCE, |(text, over)| !*over && !enough(text));
        let text = waited.unwrap_or_else(PoisonError::into_inner).0.0.clone();
        let enough = enough(&text);
        (text, enough)
    }
}

/// A process; killed when dropped.
pub struct Process {
    child: Child,
    out: Heard,
    err: Heard,
}

impl Process {
    fn of(mut child: Child) -> Self {
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take());
        Self { child, out: Heard::of(out), err: err.map_or_else(|| Heard::of(io::empty()), Heard::of) }
    }

    /// Waits until it serves.
    #[must_use]
    #[track_caller]
    pub fn listening(self) -> Serving {
        let (said, listens) = self.out.wait(|text| text.contains("\n  Mail "));
        assert!(listens, "it does not listen: {said}\n{}", self.err.wait(|_| false).0);
        let url = said.lines().find_map(|line| line.trim().strip_prefix("API ")).unwrap().trim().to_owned();
        Serving { client: Client::new(&url), url, process: self }
    }

    /// As `kill -9`: it can do nothing more.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended.
    #[must_use]
    pub fn ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A server in a process of its own.
pub struct Serving {
    pub client: Client,
    pub url: String,
    process: Process,
}

impl Serving {
    /// Waits until it has said this on standard output; gives all it said there.
    #[track_caller]
    pub fn says(&self, words: &str) -> String {
        let (said, enough) = self.process.out.wait(|text| text.contains(words));
        assert!(enough, "it did not say {words:?} but: {said}");
        said
    }

    /// Waits until its log has a line so many times; gives the log.
    #[track_caller]
    pub fn logs(&self, words: &str, times: usize) -> String {
        let (log, enough) = self.process.err.wait(|text| text.matches(words).count() >= times);
        assert!(enough, "it did not log {words:?} {times} times but: {log}");
        log
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub fn kill(self) {
        self.process.kill();
    }

    /// From now on it can write no file beyond so many octets; none takes the limit away again.
    #[cfg(target_os = "linux")]
    pub fn limit_files_to(&self, octets: Option<u64>) {
        use rustix::process::{Resource, Rlimit, prlimit};
        let limit = Rlimit { current: octets, maximum: None };
        prlimit(Some(Pid::from_child(&self.process.child)), Resource::Fsize, limit).unwrap();
    }

    /// Tells it to stop.
    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.process.child), Signal::TERM).unwrap();
    }

    /// Waits until it has ended; gives its exit code and all it said on standard output.
    #[must_use]
    pub fn ended(mut self) -> (Option<i32>, String) {
        let status = self.process.child.wait().unwrap();
        (status.code(), self.process.out.wait(|_| false).0)
    }
}
