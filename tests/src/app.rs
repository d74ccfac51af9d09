//! A running Doorstep: in this process, on a database and a port of its own, with a clock that can be moved.

use std::sync::OnceLock;
use std::time::Duration;

use diesel::{Connection, PgConnection, SqliteConnection};
use doorstep_api::cli::create_key;
use doorstep_api::config::Config;
use doorstep_api::connections::Patience;
use doorstep_api::server::{Options, Server};
use doorstep_core::api_key::Scope;
use doorstep_core::clock::Clock;
use doorstep_core::db::{Conn, Location, Origin, Store, migrate};
use doorstep_core::hashing::HashCost;
use doorstep_core::settings::{self, Authentication};
use doorstep_core::{db, outbox};
use tempfile::TempDir;

use crate::http::Client;
use crate::invariants;
use crate::postgres::{self, Database};
use crate::smtp::SmtpServer;
use crate::statements;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Db {
    Sqlite,
    Postgres,
}

/// What the desk's server signs with, and what it signed with before.
pub const MESSENGER_SECRET: &str = "what the messenger's server signs with";
pub const OLD_MESSENGER_SECRET: &str = "what the messenger's server signed with";

/// What a test starts its Doorstep with.
pub struct Setup {
    pub clock: Clock,
    pub hash_cost: HashCost,
    pub config: Config,
    pub patience: Patience,
}

impl Default for Setup {
    fn default() -> Self {
        let mut config = Config::default();
        config.server.listen = ([127, 0, 0, 1], 0).into();
        config.server.public_url = Some("https://auth.shop.example".to_owned());
        config.server.secret = Some("kZ3v9QmT1xWc7RbY5nLp2HsDf8JgUe4a".to_owned());
        config.server.workers = Some(2);
        // stories and attackers come from 127.0.0.1; a test says by X-Forwarded-For who else there is
        config.server.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        config.site.name = "Shop Help".to_owned();
        config.mail.from = "Shop Help <help@shop.example>".to_owned();
        config.links.sign_up = "https://help.shop.example/sign-up#token={token}".to_owned();
        config.links.reset = "https://help.shop.example/reset#token={token}".to_owned();
        config.links.admin = "https://help.shop.example/admin#token={token}".to_owned();
        config.links.email = "https://help.shop.example/email#id={id}&token={token}".to_owned();
        config.links.undo = "https://help.shop.example/undo#token={token}".to_owned();
        config.links.delete_account = "https://help.shop.example/delete#token={token}".to_owned();
        config.hashing.threads = Some(2);
        let messenger =
            format!("[messenger]\nsecret = \"{MESSENGER_SECRET}\"\nprevious_secret = \"{OLD_MESSENGER_SECRET}\"");
        config.messenger = Config::from_parts(&messenger, &[]).unwrap().messenger;
        Self {
            clock: Clock::movable(),
            hash_cost: HashCost { memory_kib: 64, passes: 1, lanes: 1 },
            config,
            patience: Patience::default(),
        }
    }
}

pub struct App {
    server: Option<Server>,
    pub client: Client,
    pub clock: Clock,
    pub smtp: SmtpServer,
    pub db: Db,
    pub config: Config,
    hash_cost: HashCost,
    patience: Patience,
    _dir: TempDir,
    database: Option<Database>,
}

/// Runs a story on one database, then checks that the invariants hold.
pub fn run(db: Db, story: fn(&mut App)) {
    if let Some(mut app) = App::start(db, Setup::default()) {
        story(&mut app);
        app.check_invariants();
    }
}

impl App {
    /// Starts one; none where there is no PostgreSQL to start it on (which was said, and fails in CI).
    pub fn start(db: Db, setup: Setup) -> Option<Self> {
        let database = match db {
            Db::Sqlite => None,
            Db::Postgres => Some(postgres::server()?.create_database(Some(migrated_template()))),
        };
        Some(Self::start_on(database, setup))
    }

    /// Starts one on a database of PostgreSQL, or on SQLite.
    pub fn start_on(database: Option<Database>, setup: Setup) -> Self {
        let db = if database.is_some() { Db::Postgres } else { Db::Sqlite };
        statements::prepare();
        let dir = tempfile::tempdir().unwrap();
        let smtp = SmtpServer::start();
        let Setup { clock, hash_cost, mut config, patience } = setup;
        config.data.dir = dir.path().join("data");
        if config.mail.smtp_url.is_none() {
            config.mail.smtp_url = Some(smtp.url());
        }
        if config.database.url.is_none() {
            config.database.url = database.as_ref().map(|database| database.url().to_owned());
        }
        let options = Options { clock: clock.clone(), hash_cost: Some(hash_cost), signals: false, patience };
        let server = Server::start(&config, &options).unwrap();
        let client = Client::new(&format!("http://{}", server.address()));
        Self { server: Some(server), client, clock, smtp, db, config, hash_cost, patience, _dir: dir, database }
    }

    /// Another process's view: a second server on the same database.
    pub fn start_another(&self) -> (Server, Client) {
        let options = Options {
            clock: self.clock.clone(),
            hash_cost: Some(self.hash_cost),
            signals: false,
            patience: self.patience,
        };
        let server = Server::start(&self.config, &options).unwrap();
        let client = Client::new(&format!("http://{}", server.address()));
        (server, client)
    }

    /// Stops it and starts it again on the same database.
    pub fn restart(&mut self) {
        self.restart_with_cost(self.hash_cost);
    }

    /// [`App::restart`], with passwords hashed at another cost from now on.
    pub fn restart_with_cost(&mut self, hash_cost: HashCost) {
        self.server.take().unwrap().stop().unwrap();
        self.hash_cost = hash_cost;
        let (server, client) = self.start_another();
        self.server = Some(server);
        self.client = client;
    }

    pub fn store(&self) -> &Store {
        self.server.as_ref().unwrap().store()
    }

    /// How many connections it has open.
    pub fn open_connections(&self) -> usize {
        self.server.as_ref().unwrap().connections()
    }

    /// What passwords have cost it so far: KiB, each times its passes.
    pub fn hashed(&self) -> u64 {
        self.server.as_ref().unwrap().hashed()
    }

    /// The statements sent to its database while `act` runs, but for those of threads that nobody asked.
    pub fn statements_during(&self, act: impl FnOnce()) -> Vec<String> {
        let path = self.sqlite_path();
        let database = self.config.database.url.as_deref().or(path.to_str()).unwrap();
        let mut statements = statements::during(database, act);
        let unasked =
            ["settings", "signing_keys", "outbox", "PRAGMA", "DELETE", "COMMIT", "BEGIN", "SAVEPOINT", "ROLLBACK"];
        statements.retain(|statement| !unasked.iter().any(|word| statement.contains(word)));
        statements
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.server.as_ref().unwrap().address()
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Around the API: an API key, as `doorstep api-key create` makes one.
    pub fn api_key(&self, scopes: &[Scope]) -> String {
        create_key(self.store(), "test", scopes.to_vec()).unwrap().1.reveal().to_string()
    }

    /// Around the API: Security > Authentication.
    pub fn change_settings(&self, change: impl Fn(&mut Authentication) + Send + 'static) {
        self.store()
            .write(&Origin::default(), move |work| {
                work.hold(&[db::Lock::House])?;
                let mut authentication = settings::current(work)?.authentication.clone();
                change(&mut authentication);
                settings::replace(work, &authentication)
            })
            .unwrap();
    }

    /// Around the API: a connection for SQL, which waits its turn.
    pub fn connection(&self) -> Conn {
        use diesel::connection::SimpleConnection;
        match &self.database {
            Some(database) => Conn::Pg(PgConnection::establish(database.url()).unwrap()),
            None => {
                let mut conn = SqliteConnection::establish(self.sqlite_path().to_str().unwrap()).unwrap();
                conn.batch_execute("PRAGMA busy_timeout = 10000").unwrap();
                Conn::Sqlite(conn)
            }
        }
    }

    /// Around the API: runs SQL that both databases know.
    pub fn sql(&self, statement: &str) {
        use diesel::connection::SimpleConnection;
        self.connection().batch_execute(statement).unwrap();
    }

    /// Around the API: one number by SQL that both databases know.
    pub fn count(&self, sql: &str) -> i64 {
        invariants::count(&mut self.connection(), sql)
    }

    pub fn sqlite_path(&self) -> std::path::PathBuf {
        let Location::Sqlite(path) = Location::in_directory(&self.config.data.dir) else { unreachable!() };
        path
    }

    /// Waits until no mail is waiting to be carried: what was not mailed by then never will be.
    pub fn wait_until_mail_is_carried(&self) {
        let origin = Origin::default();
        let waiting = || self.store().read(&origin, db::outbox::next_due).unwrap().is_some();
        let due = || self.store().read(&origin, outbox::is_mail_due).unwrap();
        let deadline = self.clock.now() + Duration::from_secs(20);
        while waiting() {
            assert!(self.clock.now() < deadline, "mail is still waiting (due: {})", due());
            std::thread::yield_now();
        }
    }

    pub fn check_invariants(&self) {
        invariants::check(&mut self.connection());
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(server) = self.server.take()
            && server.stop().is_err()
            && !std::thread::panicking()
        {
            panic!("the server did not stop");
        }
    }
}

/// A database that has been migrated once, to copy.
fn migrated_template() -> &'static str {
    static TEMPLATE: OnceLock<Database> = OnceLock::new();
    TEMPLATE
        .get_or_init(|| {
            let database = postgres::server().unwrap().create_database(None);
            migrate(&Location::from_url(database.url()).unwrap()).unwrap();
            database
        })
        .name()
}
