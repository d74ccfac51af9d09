//! The PostgreSQL of the tests: one they are told of, or one started for them that ends with them.
//!
//! A small `sh` watches over an own server and its temporary directory. Its standard input is a pipe that only this
//! process holds, so it learns of our end however that comes, stops the server and removes the directory.

use std::ffi::OsString;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::os::unix::{fs::chown, process::CommandExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::{env, fs, iter, mem, net::TcpListener, thread, time::Duration};

use diesel::{Connection as _, PgConnection, connection::SimpleConnection as _};

use crate::proxy::Proxy;

const NONE: &str = "no PostgreSQL programs (initdb, postgres) were found: install them (apt install postgresql, dnf \
    install postgresql-server, brew install postgresql) or name a server in TEST_POSTGRES_URL";
const INITDB: &str = "--pgdata=data --username=postgres --auth=trust --encoding=UTF8 --no-sync";
const POSTGRES: &str = "-D data -k .. --listen_addresses=127.0.0.1 --fsync=off --full_page_writes=off \
    --max_connections=400 --max_prepared_transactions=0 --max_pred_locks_per_transaction=256 --shared_buffers=64MB";
const PLACES: &str = "pg_config --bindir; ls -d /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql*/bin | \
    sort -rV; echo /usr/local/pgsql/bin";

/// The server all tests share, found or started by whoever asks first. `None`, said in one line on stderr, where the
/// machine has no PostgreSQL.
///
/// # Panics
/// When the server in `TEST_POSTGRES_URL` cannot be reached or an own one does not start, and where there is
/// none though `CI` or `TEST_REQUIRE_POSTGRES` is set.
#[must_use]
pub fn server() -> Option<&'static Postgres> {
    static SERVER: OnceLock<Result<Option<Postgres>, String>> = OnceLock::new();
    let server = SERVER.get_or_init(|| match setting("TEST_POSTGRES_URL") {
        Some(url) => {
            let admin_url = url.into_string().expect("TEST_POSTGRES_URL is a URL");
            let answer = execute(&admin_url, "SELECT 1").map_err(|why| format!("TEST_POSTGRES_URL: {why}"));
            answer.map(|()| Some(Postgres { admin_url, creating: Mutex::new(()), cluster: None }))
        }
        None => Postgres::own("off"),
    });
    server.as_ref().unwrap_or_else(|why| panic!("{why}")).as_ref()
}

/// A server on which databases can be made.
pub struct Postgres {
    admin_url: String,
    creating: Mutex<()>,
    cluster: Option<Cluster>,
}

impl Postgres {
    /// A server of the caller's own, to be stopped and started, which keeps what it has committed.
    ///
    /// # Panics
    /// As [`server`], and it is `None` as that.
    #[must_use]
    pub fn private() -> Option<Self> {
        Self::own("on").unwrap_or_else(|why| panic!("{why}"))
    }

    /// Makes a database with a new name: empty, or a copy of `template`, to which nobody may be connected.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn create_database(&self, template: Option<&str>) -> Database {
        let name = format!("doorstep_{:016x}", RandomState::new().hash_one(()));
        let template = template.unwrap_or("template0");
        let alone = self.creating.lock().unwrap_or_else(PoisonError::into_inner);
        execute(&self.admin_url, &format!("CREATE DATABASE {name} TEMPLATE \"{template}\""))
            .unwrap_or_else(|why| panic!("no copy of {template}: {why}"));
        drop(alone);
        let url = naming(&self.admin_url, &name);
        let own = self.cluster.as_ref().map(|cluster| (cluster.directory.display(), cluster.port));
        let socket_url = own.map(|(host, port)| format!("postgres://postgres@/{name}?host={host}&port={port}"));
        Database { admin_url: self.admin_url.clone(), name, url, socket_url }
    }

    /// Stops a private server at once, as a crash would, cutting every connection.
    ///
    /// # Panics
    /// When the server is not ours.
    pub fn stop(&mut self) {
        drop(self.cluster.as_mut().expect("only an own server can be stopped").run(&[]));
    }

    /// Starts a stopped private server on the same port, and returns when it answers.
    ///
    /// # Panics
    /// When the server is not ours, or does not start: then with the end of its log.
    pub fn start(&mut self) {
        let cluster = self.cluster.as_mut().expect("only an own server can be started");
        cluster.start().unwrap_or_else(|why| panic!("{why}"));
    }

    fn own(synchronous_commit: &'static str) -> Result<Option<Self>, String> {
        static SAID: Once = Once::new();
        if let Some(programs) = programs() {
            let cluster = Cluster::create(programs, synchronous_commit)?;
            Ok(Some(Self { admin_url: cluster.admin_url(), creating: Mutex::new(()), cluster: Some(cluster) }))
        } else if setting("CI").or_else(|| setting("TEST_REQUIRE_POSTGRES")).is_some() {
            Err(format!("tests on PostgreSQL are required (CI or TEST_REQUIRE_POSTGRES is set), but {NONE}"))
        } else {
            // Unlike `eprintln!` this gets past the test harness, which keeps what passing tests say.
            SAID.call_once(|| drop(writeln!(io::stderr(), "tests on PostgreSQL are left out, since {NONE}")));
            Ok(None)
        }
    }
}

/// The database of a test, gone when dropped.
pub struct Database {
    admin_url: String,
    name: String,
    url: String,
    socket_url: Option<String>,
}

impl Database {
    /// Its URL by TCP.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A proxy before its server, and its URL through that.
    #[must_use]
    pub fn behind_a_proxy(&self) -> (Proxy, String) {
        let (scheme, rest) = self.url.split_once("://").unwrap_or_default();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, server) = authority.rsplit_once('@').unwrap_or(("", authority));
        let target = if server.contains(':') { server.to_owned() } else { format!("{server}:5432") };
        let proxy = Proxy::before(target);
        let url = format!("{scheme}://{user}@127.0.0.1:{}/{path}", proxy.port());
        (proxy, url)
    }

    /// Its URL by unix socket; `None` on a server that we did not start.
    #[must_use]
    pub fn socket_url(&self) -> Option<&str> {
        self.socket_url.as_deref()
    }

    /// Its name, by which it can be the template of others.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server that is gone or stopped needs no tidying.
        drop(execute(&self.admin_url, &format!("DROP DATABASE {} WITH (FORCE)", self.name)));
    }
}

/// A server of our own, and the shell that watches over it.
struct Cluster {
    programs: PathBuf,
    synchronous_commit: &'static str,
    owner: Option<(u32, u32)>,
    directory: PathBuf,
    port: u16,
    keeper: Keeper,
}

impl Cluster {
    fn create(programs: PathBuf, synchronous_commit: &'static str) -> Result<Self, String> {
        // PostgreSQL refuses to run as root. Making databases is all writing, several times faster in memory.
        let root = rustix::process::geteuid().is_root();
        let owner = root.then(|| user("postgres").or_else(|| user("nobody")).expect("there is a user but root"));
        let memory = rustix::fs::statvfs("/dev/shm").is_ok_and(|fs| fs.f_bavail * fs.f_frsize >= 4 << 30);
        let disk = || if root { "/tmp".into() } else { env::temp_dir() };
        let parent = if memory { PathBuf::from("/dev/shm") } else { disk() };
        let directory = tempfile::Builder::new().prefix("doorstep-postgres-").tempdir_in(parent).expect("a directory");
        let (directory, (user, group)) = (directory.keep(), owner.unzip());
        chown(&directory, user, group).expect("the directory is ours to give away");
        let (keeper, _) = Keeper::start(&directory, owner, &[]);
        let mut cluster = Self { programs, synchronous_commit, owner, directory, port: free_port(), keeper };
        cluster.initialise()?;
        cluster.start()?;
        Ok(cluster)
    }

    fn initialise(&mut self) -> Result<(), String> {
        for locale in ["C.UTF-8", "C"] {
            let command = self.command("initdb", &format!("{INITDB} --locale={locale}"));
            self.run(&command).recv_timeout(Duration::from_secs(120)).unwrap_or_default();
            // What initdb has made it removes again when it fails.
            if self.directory.join("data/PG_VERSION").exists() {
                return Ok(());
            }
        }
        Err(format!("initdb failed\n{}", self.log_tail()))
    }

    fn start(&mut self) -> Result<(), String> {
        let options = format!("{POSTGRES} --port={} --synchronous_commit={}", self.port, self.synchronous_commit);
        let command = self.command("postgres", &options);
        let ended = self.run(&command);
        let mut waits = 0..3000;
        while let Err(why) = execute(&self.admin_url(), "SELECT 1") {
            let alive = ended.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout);
            if !alive || waits.next().is_none() {
                return Err(format!("PostgreSQL did not start: {why}\n{}", self.log_tail()));
            }
        }
        Ok(())
    }

    fn command(&self, program: &str, options: &str) -> Vec<OsString> {
        let program = self.programs.join(program).into_os_string();
        iter::once(program).chain(options.split(' ').map(OsString::from)).collect()
    }

    /// Runs the command in place of the last, which is stopped. It alone keeps the receiver from being cut off.
    fn run(&mut self, command: &[OsString]) -> Receiver<()> {
        let (keeper, ended) = Keeper::start(&self.directory, self.owner, command);
        let mut last = mem::replace(&mut self.keeper, keeper);
        drop(last.0.stdin.as_mut().map(|orders| orders.write_all(b"leave\n")));
        ended
    }

    fn admin_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn log_tail(&self) -> String {
        let log = fs::read(self.directory.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(4000)..]).into_owned()
    }
}

/// The shell that stops a command and removes its directory when its own standard input ends.
struct Keeper(Child);

impl Keeper {
    /// A background job of `sh` is deaf to QUIT until it listens itself; TERM ends one that young.
    const SCRIPT: &str = r#"
        trap : HUP INT TERM
        directory=$1; shift
        if [ $# -gt 0 ]; then "$@" </dev/null 2>>log & fi
        exec >/dev/null 2>&1
        read -r order
        if [ -n "$!" ]; then kill -TERM $!; kill -QUIT $!; wait $!; fi
        [ "$order" = leave ] || rm -rf "$directory""#;

    fn start(directory: &Path, owner: Option<(u32, u32)>, command: &[OsString]) -> (Self, Receiver<()>) {
        let mut shell = Command::new("sh");
        shell.args(["-c", Self::SCRIPT, "sh"]).arg(directory).args(command).current_dir(directory).env("LC_ALL", "C");
        // In a process group of its own: Ctrl-C at the terminal is for us.
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        if let Some((user, group)) = owner {
            shell.uid(user).gid(group);
        }
        let mut shell = shell.spawn().expect("sh starts");
        let mut output = shell.stdout.take().expect("it is piped");
        let (running, ended) = mpsc::channel();
        thread::spawn(move || drop((io::copy(&mut output, &mut io::sink()), running)));
        (Self(shell), ended)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.wait()); // which closes its standard input first
    }
}

fn execute(url: &str, sql: &str) -> Result<(), String> {
    let mut connection = PgConnection::establish(url).map_err(|why| why.to_string())?;
    connection.batch_execute(sql).map_err(|why| why.to_string())
}

/// The URL of another database on the same server.
fn naming(url: &str, database: &str) -> String {
    let (server, options) = url.find('?').map_or((url, ""), |at| url.split_at(at));
    let host = server.find("://").map_or(0, |at| at + 3);
    let end = server[host..].find('/').map_or(server.len(), |at| host + at);
    format!("{}/{database}{options}", &server[..end])
}

#[expect(clippy::disallowed_methods, reason = "what the machine offers to tests is no configuration of Doorstep")]
pub(crate) fn setting(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The directory with the programs.
fn programs() -> Option<PathBuf> {
    let known = Command::new("sh").args(["-c", PLACES]).output().map(|answer| answer.stdout).unwrap_or_default();
    env::split_paths(&setting("PATH").unwrap_or_default())
        .chain(String::from_utf8_lossy(&known).lines().map(PathBuf::from))
        .find(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
}

/// The ids of a user and of its group.
pub(crate) fn user(name: &str) -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let entry = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let mut ids = entry.split(':').skip(1).map(str::parse);
    Some((ids.next()?.ok()?, ids.next()?.ok()?))
}

/// One that the system does not hand out by itself, so that nobody gets it while the server is stopped.
fn free_port() -> u16 {
    let mut candidates = (0..100).filter_map(|_| u16::try_from(16_000 + RandomState::new().hash_one(()) % 16_000).ok());
    candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("no free port on loopback")
}
