//! A real OpenID provider, the certified one of Node.js, for what no stand-in of ours should be trusted with.
//!
//! One process of it is shared by all tests of this process, and gives each a provider with a port, keys, clients and
//! people of its own. It ends when its standard input does, which only this process holds.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, Once, OnceLock, PoisonError};

use serde_json::{Value, json};
use url::form_urlencoded;

use crate::http::{Answer, Client};
use crate::machine;
use crate::providers::{code_challenge, parameter, random, with_query};

const MANIFEST: &str = include_str!("../oidc-provider/package.json");
const LOCK: &str = include_str!("../oidc-provider/package-lock.json");
const PROGRAM: &str = include_str!("../oidc-provider/server.mjs");
const OLDEST_NODE: u32 = 20;

/// The client that every provider knows, once it has been told where that is.
pub const CLIENT_ID: &str = "doorstep";
pub const CLIENT_SECRET: &str = "4w6c-Q0tYbV9zK1uLrXm";

const NATIVE_REDIRECT_URI: &str = "example.shop.app:/callback";

/// A provider of the caller's own. `None`, said in one line on stderr, where the machine has no Node.js or the
/// provider's packages cannot be installed.
///
/// # Panics
/// When it does not start, and where there is none though `CI` is set.
#[must_use]
pub fn server() -> Option<OpenId> {
    static SAID: Once = Once::new();
    static SERVER: OnceLock<Result<Process, String>> = OnceLock::new();
    match SERVER.get_or_init(|| install().map(|program| Process::start(&program))) {
        Ok(process) => Some(process.open()),
        Err(why) => {
            machine::leave_out(&SAID, "tests with a real OpenID provider", why);
            None
        }
    }
}

/// Somebody with an account at the provider.
#[derive(Debug, Clone)]
pub struct Account {
    /// What they type when they sign in there.
    pub login: String,
    /// What the provider says of them: `sub`, `email`, `email_verified`, `hd`, `name`, of any JSON type.
    pub claims: Value,
    /// Whether all but `sub` is said by the userinfo endpoint alone.
    pub only_in_userinfo: bool,
}

impl Account {
    #[must_use]
    pub fn new(login: &str, sub: &str) -> Self {
        Self { login: login.to_owned(), claims: json!({ "sub": sub, "name": login }), only_in_userinfo: false }
    }

    /// Sets any claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// Has an address, verified or not.
    #[must_use]
    pub fn email(self, email: &str, verified: bool) -> Self {
        self.claim("email", email).claim("email_verified", verified)
    }

    #[must_use]
    pub fn only_in_userinfo(self) -> Self {
        Self { only_in_userinfo: true, ..self }
    }
}

/// An app that sends people to the provider.
#[derive(Debug, Clone)]
pub struct RelyingParty {
    pub id: String,
    /// None for an app that cannot keep one.
    pub secret: Option<String>,
    pub redirect_uris: Vec<String>,
    /// How it says who it is at the token endpoint: `client_secret_basic`, `client_secret_post` or `none`.
    pub authentication: &'static str,
}

impl RelyingParty {
    /// Doorstep, at these places.
    #[must_use]
    pub fn doorstep(redirect_uris: &[&str]) -> Self {
        Self {
            id: CLIENT_ID.to_owned(),
            secret: Some(CLIENT_SECRET.to_owned()),
            redirect_uris: redirect_uris.iter().map(|&uri| uri.to_owned()).collect(),
            authentication: "client_secret_basic",
        }
    }

    /// An app in a phone.
    #[must_use]
    pub fn native(id: &str) -> Self {
        let redirect_uris = vec![NATIVE_REDIRECT_URI.to_owned()];
        Self { id: id.to_owned(), secret: None, redirect_uris, authentication: "none" }
    }

    fn metadata(&self) -> Value {
        let mut metadata = json!({
            "client_id": self.id, "redirect_uris": self.redirect_uris, "response_types": ["code"],
            "grant_types": ["authorization_code"], "token_endpoint_auth_method": self.authentication
        });
        match &self.secret {
            Some(secret) => metadata["client_secret"] = json!(secret),
            None => metadata["application_type"] = json!("native"),
        }
        metadata
    }
}

/// A provider, until dropped.
pub struct OpenId {
    issuer: String,
    client: Client,
    parties: Mutex<HashMap<String, RelyingParty>>,
}

impl OpenId {
    /// Its issuer, which is also its address.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Takes an account in, or what has changed of a known one.
    pub fn knows(&self, account: &Account) {
        let Account { login, claims, only_in_userinfo } = account;
        let order = json!({ "login": login, "claims": claims, "only_in_userinfo": only_in_userinfo });
        self.order("account", &order);
    }

    /// Takes an app in, or what has changed of a known one.
    pub fn registers(&self, party: RelyingParty) {
        self.order("client", &party.metadata());
        self.parties.lock().unwrap_or_else(PoisonError::into_inner).insert(party.id.clone(), party);
    }

    /// From now on it signs with a new key, and publishes the old ones still or no longer. Gives the key's id.
    pub fn rotate(&self, keep: bool) -> String {
        let rotated = self.order("rotate", &json!({ "keep": keep }));
        rotated["kid"].as_str().expect("a key has an id").to_owned()
    }

    /// Signs in there in a browser of its own, and agrees. Gives the URL by which the browser leaves for the app.
    ///
    /// # Panics
    /// When the provider does not let them.
    #[must_use]
    #[track_caller]
    pub fn signs_in(&self, authorization_url: &str, login: &str) -> String {
        self.visit(authorization_url, "login", login)
    }

    /// Goes there and thinks better of it. Gives the URL by which the browser leaves for the app.
    ///
    /// # Panics
    /// When the provider does not let them.
    #[must_use]
    #[track_caller]
    pub fn cancels(&self, authorization_url: &str) -> String {
        self.visit(authorization_url, "cancel", "")
    }

    /// An id token as the SDK in a phone gets it: by the code flow of this client, which is registered where it is not.
    ///
    /// # Panics
    /// When the provider refuses.
    #[must_use]
    #[track_caller]
    pub fn native_token(&self, client_id: &str, nonce: &str, login: &str) -> String {
        let known = self.parties.lock().unwrap_or_else(PoisonError::into_inner).get(client_id).cloned();
        let party = known.unwrap_or_else(|| {
            self.registers(RelyingParty::native(client_id));
            RelyingParty::native(client_id)
        });
        let (verifier, redirect_uri) = (random() + &random(), party.redirect_uris[0].as_str());
        let challenge = code_challenge(&verifier);
        let authorization_url = with_query(
            &format!("{}/auth", self.issuer),
            &[
                ("client_id", client_id),
                ("response_type", "code"),
                ("scope", "openid email profile"),
                ("redirect_uri", redirect_uri),
                ("nonce", nonce),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ],
        );
        let code = parameter(&self.signs_in(&authorization_url, login), "code").expect("a code");
        self.exchange(&party, redirect_uri, &code, &verifier).expect(200).json()["id_token"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Trades a code in as an app does.
    #[must_use]
    pub fn exchange(&self, party: &RelyingParty, redirect_uri: &str, code: &str, verifier: &str) -> Answer {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
            ("client_id", &party.id),
            ("client_secret", party.secret.as_deref().unwrap_or_default()),
        ];
        let told =
            form.iter().filter(|(name, _)| *name != "client_secret" || party.authentication == "client_secret_post");
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(told).finish();
        let mut request = self.client.post("/token").body("application/x-www-form-urlencoded", form);
        if party.authentication == "client_secret_basic" {
            let credentials = format!("{}:{}", party.id, party.secret.as_deref().unwrap_or_default());
            let credentials = data_encoding::BASE64.encode(credentials.as_bytes());
            request = request.header("Authorization", &format!("Basic {credentials}"));
        }
        request.send()
    }

    /// Follows the provider's redirects and fills in its page, until they lead elsewhere.
    #[track_caller]
    fn visit(&self, authorization_url: &str, act: &str, login: &str) -> String {
        let form = form_urlencoded::Serializer::new(String::new()).append_pair("login", login).finish();
        let (mut url, mut cookies) = (authorization_url.to_owned(), HashMap::new());
        for _ in 0..10 {
            let here = url.strip_prefix(&self.issuer).filter(|rest| rest.starts_with('/'));
            let Some(path) = here.or_else(|| url.starts_with('/').then_some(url.as_str())) else { return url };
            let request = if path.starts_with("/interaction/") {
                self.client.post(&format!("{path}/{act}")).body("application/x-www-form-urlencoded", form.clone())
            } else {
                self.client.get(path)
            };
            let jar: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let answer = request.header("Cookie", &jar.join("; ")).send();
            for cookie in answer.headers.get_all("set-cookie") {
                let pair = cookie.to_str().expect("a cookie in ASCII").split(';').next().unwrap_or_default();
                let (name, value) = pair.split_once('=').expect("a cookie has a name");
                cookies.insert(name.to_owned(), value.to_owned());
            }
            let Some(location) = answer.header("location") else {
                panic!("{path} answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
            };
            url = location.to_owned();
        }
        panic!("the provider sends people round in circles: {url}");
    }

    fn order(&self, order: &str, given: &Value) -> Value {
        self.client.post(&format!("/control/{order}")).json(given).send().expect(200).json()
    }
}

impl Drop for OpenId {
    fn drop(&mut self) {
        drop(self.client.post("/control/close").try_send());
    }
}

/// The process behind them all.
struct Process {
    _child: Mutex<Child>,
    client: Client,
}

impl Process {
    fn start(program: &Path) -> Self {
        let mut log = tempfile::tempfile().expect("a file for what it complains of");
        let mut command = Command::new("node");
        command.arg(program).stdin(Stdio::piped()).stdout(Stdio::piped());
        let stderr = log.try_clone().expect("a file can be opened twice");
        let mut child = command.stderr(stderr).spawn().expect("node starts");
        let mut port = String::new();
        let said = BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut port);
        if said.is_err() || port.trim().parse::<u16>().is_err() {
            let mut complaint = String::new();
            drop(log.rewind().and_then(|()| log.read_to_string(&mut complaint)));
            panic!("the OpenID provider did not start: {port}{complaint}");
        }
        Self { _child: Mutex::new(child), client: Client::new(&format!("http://127.0.0.1:{}", port.trim())) }
    }

    fn open(&self) -> OpenId {
        let opened = self.client.post("/").send().expect(200).json();
        let issuer = opened["issuer"].as_str().expect("a provider has an issuer").to_owned();
        OpenId { client: Client::new(&issuer), issuer, parties: Mutex::default() }
    }
}

/// Installs the provider's packages once for all processes and runs, beside what the compiler made. Gives its program.
fn install() -> Result<PathBuf, String> {
    let node = machine::output("node", &["--version"])?;
    let major = node.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST_NODE) {
        return Err(format!("Node.js {OLDEST_NODE} or later is needed, and this is {}", node.trim()));
    }
    machine::output("npm", &["--version"])?;
    let mut hasher = DefaultHasher::new();
    [MANIFEST, LOCK].hash(&mut hasher);
    let directory = machine::target_directory().join(format!("oidc-provider-{:016x}", hasher.finish()));
    PROGRAM.hash(&mut hasher);
    let program = directory.join(format!("server-{:016x}.mjs", hasher.finish()));
    let failed = |why: io::Error| format!("{} cannot be written: {why}", directory.display());
    fs::create_dir_all(&directory).map_err(failed)?;
    let alone = File::create(directory.join("lock")).map_err(failed)?;
    alone.lock().map_err(failed)?;
    if !directory.join("installed").exists() {
        fs::write(directory.join("package.json"), MANIFEST).map_err(failed)?;
        fs::write(directory.join("package-lock.json"), LOCK).map_err(failed)?;
        npm_ci(&directory)?;
        fs::write(directory.join("installed"), "").map_err(failed)?;
    }
    if !program.exists() {
        // A name at once and whole, for another process may be looking.
        let mut file = tempfile::NamedTempFile::new_in(&directory).map_err(failed)?;
        file.write_all(PROGRAM.as_bytes()).map_err(failed)?;
        file.persist(&program).map_err(|why| failed(why.error))?;
    }
    Ok(program)
}

fn npm_ci(directory: &Path) -> Result<(), String> {
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]).current_dir(directory);
    let output = npm.stdin(Stdio::null()).output().map_err(|why| format!("npm does not start: {why}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("npm ci failed: {}", complaint.trim())) }
}
