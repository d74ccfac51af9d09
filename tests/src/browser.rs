//! A real browser, headless Chromium, told by `WebDriver` (W3C) what a person would do.
//!
//! As with the tests' PostgreSQL, a small `sh` watches over it, and ends it when we end, however that comes.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::{thread, time::Duration};

use data_encoding::BASE64;
use doorstep_core::clock::Clock;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use ureq::http::Method;

use crate::http::Client;
use crate::machine;

const PATIENCE: Duration = Duration::from_secs(20);
/// The name under which `WebDriver` gives an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const FLAGS: [&str; 10] = [
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1000,800",
];
/// Told of our end by that of its input, it ends the driver's whole process group, to which the browser belongs.
const KEEPER: &str = r#"
    trap : HUP INT TERM
    read -r order
    kill -KILL "-$1"
    rm -rf "$2""#;

/// A browser with no history, until dropped.
pub struct Browser {
    driver: Client,
    session: String,
    process: Child,
    keeper: Child,
}

impl Browser {
    /// Starts one. `None`, said in one line on stderr, where the machine has no Chromium or no driver for it.
    ///
    /// # Panics
    /// When it does not start, and where there is none though `CI` is set.
    #[must_use]
    pub fn start() -> Option<Self> {
        static SAID: Once = Once::new();
        match machine::output("chromedriver", &["--version"]).and_then(|_| chromium()) {
            Ok(chromium) => Some(Self::open(&chromium)),
            Err(why) => {
                let why = format!("{why}: install them (apt install chromium chromium-driver)");
                machine::leave_out(&SAID, "tests in a browser", &why);
                None
            }
        }
    }

    fn open(chromium: &Path) -> Self {
        let directory = tempfile::Builder::new().prefix("doorstep-browser-").tempdir().expect("a directory").keep();
        let mut driver = Command::new("chromedriver");
        driver.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut process = driver.spawn().expect("chromedriver starts");
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "sh", &process.id().to_string()]).arg(&directory).process_group(0);
        let keeper =
            keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("sh starts");
        let mut said = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let port =
            said.find_map(|line| line.ok()?.rsplit_once("successfully on port ").map(|(_, port)| port.to_owned()));
        // It goes on to talk, and nobody may stop listening.
        thread::spawn(move || said.for_each(drop));
        let port = port.expect("chromedriver listens");
        let mut new = Self {
            driver: Client::new(&format!("http://127.0.0.1:{}", port.trim_end_matches('.'))),
            session: String::new(),
            process,
            keeper,
        };
        new.session = new.begin(chromium, &directory);
        new
    }

    /// A session with a browser (`WebDriver`, section 8.1).
    fn begin(&self, chromium: &Path, directory: &Path) -> String {
        let mut flags: Vec<_> = FLAGS.map(str::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", directory.join("profile").display()));
        if rustix::process::geteuid().is_root() {
            // Root has no sandbox in it.
            flags.push("--no-sandbox".into());
        }
        let capabilities = json!({
            "browserName": "chrome", "timeouts": { "pageLoad": 20_000, "script": 20_000 },
            "goog:chromeOptions": { "binary": chromium, "args": flags }
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let begun = self.driver.post("/session").json(&wanted).send().expect(200).json();
        begun["value"]["sessionId"].as_str().expect("a session has an id").to_owned()
    }

    /// Opens a page and waits until it is loaded.
    #[track_caller]
    pub fn goto(&self, url: &str) {
        self.must(&Method::POST, "/url", &json!({ "url": url }));
    }

    /// Where it is.
    #[must_use]
    #[track_caller]
    pub fn url(&self) -> String {
        text(self.must(&Method::GET, "/url", &Value::Null))
    }

    /// The first element that is shown for a CSS selector, waited for.
    #[must_use]
    #[track_caller]
    pub fn find(&self, css: &str) -> Element<'_> {
        let mut found = None;
        self.wait_until(&format!("{css} is shown"), |browser| {
            found = browser.try_find(css).filter(Element::is_shown).map(|element| element.id);
            found.is_some()
        });
        Element { browser: self, id: found.expect("it was waited for") }
    }

    /// The first element for a CSS selector, if there is one now.
    #[must_use]
    pub fn try_find(&self, css: &str) -> Option<Element<'_>> {
        let found = self.ask(&Method::POST, "/element", &json!({ "using": "css selector", "value": css })).ok()?;
        Some(Element { browser: self, id: text(found[ELEMENT].clone()) })
    }

    /// Clicks on the first element for a CSS selector, once it is shown.
    #[track_caller]
    pub fn click(&self, css: &str) {
        self.find(css).click();
    }

    /// Types into the first element for a CSS selector, once it is shown.
    #[track_caller]
    pub fn types(&self, css: &str, words: &str) {
        self.find(css).types(words);
    }

    /// The text of the first element for a CSS selector, once it is shown.
    #[must_use]
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        self.find(css).text()
    }

    /// Waits until the element for a CSS selector shows these words.
    #[track_caller]
    pub fn wait_for_text(&self, css: &str, words: &str) {
        self.wait_until(&format!("{css} says {words:?}"), |browser| {
            browser.try_find(css).and_then(|element| element.try_text()).is_some_and(|text| text.contains(words))
        });
    }

    /// What a script in the page returns.
    #[track_caller]
    pub fn script(&self, script: &str) -> Value {
        self.must(&Method::POST, "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Asks again and again until something holds.
    ///
    /// # Panics
    /// When it does not within twenty seconds: with the place of a screenshot.
    #[track_caller]
    pub fn wait_until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Clock::System.now() + PATIENCE;
        while !holds(self) {
            if Clock::System.now() > deadline {
                let (url, page) = (self.url(), self.script("return document.documentElement.innerText"));
                panic!("waited in vain until {what}, at {url}, as {} shows: {page}", self.keep_screenshot().display());
            }
            self.pause();
        }
    }

    /// What it shows, as a PNG.
    #[must_use]
    #[track_caller]
    pub fn screenshot(&self) -> Vec<u8> {
        let picture = text(self.must(&Method::GET, "/screenshot", &Value::Null));
        BASE64.decode(picture.as_bytes()).expect("a screenshot is in Base64")
    }

    fn keep_screenshot(&self) -> PathBuf {
        let test = thread::current().name().unwrap_or("browser").replace("::", "-");
        machine::keep(&format!("{test}.png"), &self.screenshot())
    }

    /// Lets the page go on: it answers when a moment has passed, or when it is left for another one.
    fn pause(&self) {
        let script = json!({ "script": "setTimeout(arguments[0], 20)", "args": [] });
        drop(self.ask(&Method::POST, "/execute/async", &script));
    }

    #[track_caller]
    fn must(&self, method: &Method, command: &str, given: &Value) -> Value {
        self.ask(method, command, given).unwrap_or_else(|why| panic!("{command} {given}: {why}"))
    }

    /// A command (`WebDriver`, section 6), or what the driver says against it.
    fn ask(&self, method: &Method, command: &str, given: &Value) -> Result<Value, String> {
        let request = self.driver.request(method.clone(), &format!("/session/{}{command}", self.session));
        let request = if *method == Method::POST { request.json(given) } else { request };
        let answer = request.try_send().map_err(|why| why.to_string())?;
        let value = answer.json()["value"].clone();
        if answer.status == 200 { Ok(value) } else { Err(format!("{}: {}", value["error"], value["message"])) }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.ask(&Method::DELETE, "", &Value::Null));
        kill_process_group(Pid::from_child(&self.process), Signal::KILL).unwrap_or_default();
        drop(self.keeper.wait()); // which closes its standard input first
        drop(self.process.wait());
    }
}

/// Something on a page.
pub struct Element<'a> {
    browser: &'a Browser,
    id: String,
}

impl Element<'_> {
    #[track_caller]
    pub fn click(&self) {
        self.browser.must(&Method::POST, &self.command("click"), &json!({}));
    }

    #[track_caller]
    pub fn types(&self, words: &str) {
        self.browser.must(&Method::POST, &self.command("value"), &json!({ "text": words }));
    }

    /// What it shows.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> String {
        text(self.browser.must(&Method::GET, &self.command("text"), &Value::Null))
    }

    fn try_text(&self) -> Option<String> {
        self.browser.ask(&Method::GET, &self.command("text"), &Value::Null).ok().map(text)
    }

    fn is_shown(&self) -> bool {
        self.browser.ask(&Method::GET, &self.command("displayed"), &Value::Null) == Ok(Value::Bool(true))
    }

    fn command(&self, name: &str) -> String {
        format!("/element/{}/{name}", self.id)
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => panic!("WebDriver was to give text, not {other}"),
    }
}

/// Chromium's program, under any of its names.
fn chromium() -> Result<PathBuf, String> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = names.into_iter().find_map(machine::find);
    found.ok_or_else(|| format!("there is no {}", names.join(" and no ")))
}
