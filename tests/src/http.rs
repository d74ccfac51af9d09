//! A small client for the API: every answer is one to look at, errors and redirects too.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::panic;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE};
use ureq::http::{HeaderMap, Method, request};
use ureq::{Agent, Error};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Speaks to one server. Clones are cheap and share its connections.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    base_url: Arc<str>,
}

impl Client {
    /// A client for the server at `base_url`, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn new(base_url: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .max_idle_connections(64)
            .max_idle_connections_per_host(64)
            // Well before the server closes an idle connection, which could meet our next request.
            .max_idle_age(Duration::from_secs(1));
        Self { agent: config.build().into(), base_url: base_url.trim_end_matches('/').into() }
    }

    /// Begins a `GET`.
    #[must_use]
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// Begins a `POST`.
    #[must_use]
    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    /// Begins a `PUT`.
    #[must_use]
    pub fn put(&self, path: &str) -> Request {
        self.request(Method::PUT, path)
    }

    /// Begins a `PATCH`.
    #[must_use]
    pub fn patch(&self, path: &str) -> Request {
        self.request(Method::PATCH, path)
    }

    /// Begins a `DELETE`.
    #[must_use]
    pub fn delete(&self, path: &str) -> Request {
        self.request(Method::DELETE, path)
    }

    /// Begins a request with any method.
    #[must_use]
    pub fn request(&self, method: Method, path: &str) -> Request {
        let parts = request::Builder::new().method(method).uri(format!("{}{path}", self.base_url));
        Request { agent: self.agent.clone(), path: path.to_owned(), parts, body: None }
    }
}

/// A request that is being written.
#[derive(Debug)]
pub struct Request {
    agent: Agent,
    path: String,
    parts: request::Builder,
    body: Option<Vec<u8>>,
}

impl Request {
    /// Adds `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// Adds a header, beside those of the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.parts = self.parts.header(name, value);
        self
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// Sets any body.
    #[must_use]
    pub fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut request = self.header(CONTENT_TYPE.as_str(), content_type);
        request.body = Some(body.into());
        request
    }

    /// Sends the request.
    ///
    /// # Panics
    /// When there is no answer within 30 seconds.
    #[must_use]
    #[track_caller]
    pub fn send(self) -> Answer {
        let line = self.line();
        match self.try_send() {
            Ok(answer) => answer,
            Err(why) => panic!("{line} had no answer: {why}"),
        }
    }

    /// Sends the request to a server that may be down.
    ///
    /// # Errors
    /// When there is no answer within 30 seconds, or only the beginning of one.
    pub fn try_send(self) -> Result<Answer, Error> {
        let line = self.line();
        let no_body = matches!(self.parts.method_ref(), Some(&(Method::GET | Method::HEAD | Method::DELETE)));
        let response = match self.body {
            None if no_body => self.agent.run(self.parts.body(())?),
            body => self.agent.run(self.parts.body(body.unwrap_or_default())?),
        };
        let (head, body) = response?.into_parts();
        let body = body.into_with_config().limit(u64::MAX).read_to_vec()?;
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, line })
    }

    fn line(&self) -> String {
        format!("{} {}", self.parts.method_ref().unwrap_or(&Method::GET), self.path)
    }
}

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    line: String,
}

impl Answer {
    /// The first header of this name.
    ///
    /// # Panics
    /// When it is no text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header in ASCII"))
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(why) => panic!("no JSON ({why}): {}", self.story()),
        }
    }

    /// The `code` of a problem.
    ///
    /// # Panics
    /// When the body is no problem.
    #[must_use]
    #[track_caller]
    pub fn code(&self) -> String {
        match self.json()["code"].as_str() {
            Some(code) => code.to_owned(),
            None => panic!("no problem: {}", self.story()),
        }
    }

    /// Goes on with this status only.
    ///
    /// # Panics
    /// With the whole answer when it has another one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert!(self.status == status, "expected {status}: {}", self.story());
        self
    }

    fn story(&self) -> String {
        format!("{} answered {}\n{}", self.line, self.status, String::from_utf8_lossy(&self.body))
    }
}

/// Sends bytes as they are and gives whatever comes back until the server closes, or is silent for five seconds.
///
/// # Panics
/// When nobody listens there.
pub fn raw(address: impl ToSocketAddrs, bytes: &[u8]) -> Vec<u8> {
    raw_within(address, bytes, Duration::from_secs(5))
}

/// [`raw`] with another limit to the server's silence.
///
/// # Panics
/// When nobody listens there.
pub fn raw_within(address: impl ToSocketAddrs, bytes: &[u8], silence: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("a server that listens");
    stream.set_read_timeout(Some(silence)).expect("a timeout above zero");
    stream.set_write_timeout(Some(silence)).expect("a timeout above zero");
    let mut answer = vec![];
    // A server may refuse before it has read everything, and may close in any way: what it said counts.
    drop(stream.write_all(bytes));
    drop(stream.read_to_end(&mut answer));
    answer
}

/// Runs `act` in `n` threads that all begin at the same moment. Gives their results in order.
///
/// # Panics
/// When one of them does.
pub fn in_parallel<T: Send>(n: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let (start, act) = (Barrier::new(n), &act);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..n)
            .map(|i| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    act(i)
                })
            })
            .collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|why| panic::resume_unwind(why)));
        results.collect()
    })
}
