//! Configuration: a file, then the environment over it, one name for both. The one place that reads the
//! environment. A wrong setting is an error that names the key, the value and the cure.

mod environment;
pub mod messenger;
pub mod providers;
pub mod secret;
pub mod social;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use doorstep_core::db::Location;
use doorstep_core::hashing::HashCost;
use doorstep_core::keyring::MasterSecret;
use ipnet::IpNet;
use serde::Deserialize;
use toml::{Table, Value};

use self::messenger::Messenger;
use self::providers::Providers;
use self::social::Social;
use crate::secret_file;

/// Everything an operator can set; `doorstep.toml` has these tables and keys.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub site: Site,
    pub data: Data,
    pub database: Database,
    pub mail: Mail,
    pub links: Links,
    pub hashing: Hashing,
    pub providers: Providers,
    pub social: Social,
    pub messenger: Messenger,
    pub log: Log,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    /// Where the world reaches this service; it is also the issuer of access tokens.
    pub public_url: Option<String>,
    /// The audience of access tokens; the public URL where it is not set.
    pub audience: Option<String>,
    /// Seals and signs everything. Without it, one is made in the data directory on the first start.
    pub secret: Option<String>,
    /// Request threads; as many as cores where it is not set.
    pub workers: Option<usize>,
    /// Connections that are open at once; beyond, new ones wait to be accepted.
    pub connections: usize,
    /// Whose `X-Forwarded-For` is believed.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Web origins that may call from a browser, exactly as browsers send them.
    pub cors_origins: Vec<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            audience: None,
            secret: None,
            workers: None,
            connections: 4000,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    /// How mails call the help center.
    pub name: String,
}

impl Default for Site {
    fn default() -> Self {
        Self { name: "Help Center".to_owned() }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    pub dir: PathBuf,
}

impl Default for Data {
    fn default() -> Self {
        Self { dir: PathBuf::from("./data") }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `postgres://…`; SQLite in the data directory where it is not set.
    pub url: Option<String>,
    pub connections: u32,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: None, connections: 8 }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mail {
    /// `smtps://user:password@host:465` or `smtp://user:password@host:587`; files in the data directory where it
    /// is not set.
    pub smtp_url: Option<String>,
    pub from: String,
    /// A directory whose templates replace those built in, by name.
    pub templates: Option<PathBuf>,
}

impl Default for Mail {
    fn default() -> Self {
        Self { smtp_url: None, from: "Help Center <help@localhost.example>".to_owned(), templates: None }
    }
}

/// The pages of the app that a mail leads to; `{token}` is behind `#`, which no server sees.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Links {
    pub sign_up: String,
    pub reset: String,
    pub admin: String,
    /// Where an address that is added is proven; the page needs its `{id}` too.
    pub email: String,
    pub undo: String,
    pub delete_account: String,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            sign_up: "http://localhost:3000/sign-up#token={token}".to_owned(),
            reset: "http://localhost:3000/reset#token={token}".to_owned(),
            admin: "http://localhost:3000/reset#token={token}".to_owned(),
            email: "http://localhost:3000/email#id={id}&token={token}".to_owned(),
            undo: "http://localhost:3000/undo#token={token}".to_owned(),
            delete_account: "http://localhost:3000/delete-account#token={token}".to_owned(),
        }
    }
}

impl Links {
    fn check(&self) -> Result<(), String> {
        let pages = [
            ("sign_up", &self.sign_up),
            ("reset", &self.reset),
            ("admin", &self.admin),
            ("undo", &self.undo),
            ("delete_account", &self.delete_account),
        ];
        for (key, link) in pages {
            check_link(key, link, &["{token}"], "reset#token={token}")?;
        }
        check_link("email", &self.email, &["{token}", "{id}"], "email#id={id}&token={token}")
    }
}

/// What a password hash costs; it can be raised, not lowered.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hashing {
    pub memory_kib: u32,
    pub passes: u32,
    /// Hash threads; as many as cores where it is not set.
    pub threads: Option<usize>,
}

impl Default for Hashing {
    fn default() -> Self {
        let HashCost { memory_kib, passes, .. } = HashCost::default();
        Self { memory_kib, passes, threads: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

impl Config {
    /// Reads the file (the one named, or `doorstep.toml` where there is one) and the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, String> {
        #[expect(clippy::disallowed_methods, reason = "config is the one place that reads the environment")]
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let default = Path::new("doorstep.toml");
        let file = file.or_else(|| default.exists().then_some(default));
        let text = match file {
            Some(path) => {
                std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?
            }
            None => String::new(),
        };
        Self::from_parts(&text, &environment).map_err(|error| match file {
            Some(path) => format!("{error}\n(read from {} and the environment)", path.display()),
            None => error,
        })
    }

    /// Puts the environment over a file's text, and checks the whole.
    pub fn from_parts(text: &str, environment: &[(String, String)]) -> Result<Self, String> {
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| broken(text, &error))?;
        environment::put_over(&mut table, environment)?;
        let config: Self = Value::Table(table).try_into().map_err(|error: toml::de::Error| error.to_string())?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        self.location()?;
        match &self.server.public_url {
            Some(url) => check_url("server.public_url", url)?,
            None if self.server.listen.ip().is_unspecified() => {
                return Err(format!(
                    "server.public_url is not set, and server.listen = {} is no address that anybody can use: \
                     set it to where the world reaches this service, such as https://auth.shop.example",
                    self.server.listen
                ));
            }
            None => {}
        }
        for origin in &self.server.cors_origins {
            check_origin(origin)?;
        }
        self.links.check()?;
        if let Some(secret) = &self.server.secret {
            MasterSecret::parse(secret)
                .map_err(|why| format!("server.secret is refused: {why}. Make one with: openssl rand -base64 32"))?;
        }
        let least = HashCost::default();
        if self.hashing.memory_kib < least.memory_kib || self.hashing.passes < least.passes {
            return Err(format!(
                "hashing.memory_kib = {}, hashing.passes = {}: it can be raised above {} and {}, not lowered",
                self.hashing.memory_kib, self.hashing.passes, least.memory_kib, least.passes
            ));
        }
        if !(1..=200).contains(&self.database.connections) {
            return Err(format!("database.connections = {}: use 1 to 200", self.database.connections));
        }
        if !(16..=1_000_000).contains(&self.server.connections) {
            return Err(format!("server.connections = {}: use 16 to 1000000", self.server.connections));
        }
        for (key, count) in [("server.workers", self.server.workers), ("hashing.threads", self.hashing.threads)] {
            if count == Some(0) {
                return Err(format!("{key} = 0: use 1 or more, or leave it out for as many as there are cores"));
            }
        }
        self.providers.resolve()?;
        self.messenger.check()?;
        crate::telemetry::check_level(&self.log.level)
    }

    pub fn location(&self) -> Result<Location, String> {
        match &self.database.url {
            Some(url) => Location::from_url(url).map_err(|why| format!("database.url is refused: {why}")),
            None => Ok(Location::in_directory(&self.data.dir)),
        }
    }

    /// The configured secret, or the one kept in the data directory, where there is one.
    pub fn secret(&self) -> Result<Option<MasterSecret>, String> {
        match &self.server.secret {
            Some(secret) => MasterSecret::parse(secret).map(Some),
            None => secret_file::find(&self.data.dir),
        }
    }

    /// Request threads.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.server.workers.unwrap_or_else(cores)
    }

    #[must_use]
    pub fn public_url(&self) -> String {
        let url = self.server.public_url.clone().unwrap_or_else(|| format!("http://{}", self.server.listen));
        url.trim_end_matches('/').to_owned()
    }

    #[must_use]
    pub fn audience(&self) -> String {
        self.server.audience.clone().unwrap_or_else(|| self.public_url())
    }

    #[must_use]
    pub fn mail_dir(&self) -> PathBuf {
        self.data.dir.join("mail")
    }
}

/// As many as the machine has, as far as it says.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// What is wrong with a file, and in which line; the line itself may hold a secret.
fn broken(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    format!("line {line}: {}", error.message())
}

/// Networks, where an address alone means just that one.
fn networks<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Vec<IpNet>, D::Error> {
    let network = |text: String| {
        let alone = text.parse::<IpAddr>().map(IpNet::from);
        let found = alone.or_else(|_| text.parse::<IpNet>());
        found.map_err(|_| serde::de::Error::custom(format!("{text:?} is no network such as 10.0.0.0/8 or 10.1.2.3")))
    };
    Vec::<String>::deserialize(input)?.into_iter().map(network).collect()
}

fn check_url(key: &str, url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let good = rest.is_some_and(|rest| !rest.is_empty()) && !url.contains(['#', '?', ' ']) && !url.contains('@');
    if good { Ok(()) } else { Err(format!("{key} = {url:?}: expected something like https://help.shop.example")) }
}

/// Browsers send an origin without a path; one with a path would never be met.
fn check_origin(origin: &str) -> Result<(), String> {
    check_url("server.cors_origins", origin)?;
    if origin.matches('/').count() == 2 {
        return Ok(());
    }
    Err(format!("server.cors_origins = {origin:?}: expected no path, such as https://help.shop.example"))
}

fn check_link(key: &str, link: &str, names: &[&str], example: &str) -> Result<(), String> {
    let good = link.split_once('#').is_some_and(|(page, fragment)| {
        page.starts_with("http") && names.iter().all(|name| !page.contains(name) && fragment.contains(name))
    });
    if good {
        return Ok(());
    }
    Err(format!(
        "links.{key} = {link:?}: expected a page of the app with {} behind #, \
         such as https://help.shop.example/{example}",
        names.join(" and ")
    ))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
