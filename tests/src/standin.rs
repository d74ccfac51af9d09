//! Stands in for somebody else's HTTP server: it answers as documented until a test tells it to do otherwise, and
//! remembers what it was asked.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{thread, time::Duration};

use data_encoding::BASE64;
use serde_json::Value;
use ureq::http::StatusCode;
use url::form_urlencoded;

/// What an endpoint does from now on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers as the documentation says.
    #[default]
    AsDocumented,
    /// Answers this to whatever it is asked.
    Answer { status: u16, content_type: String, headers: Vec<(String, String)>, body: Vec<u8> },
    /// Answers 200 with a page, as a captive portal does.
    Html,
    /// Answers 200 with the beginning of some JSON.
    TruncatedJson,
    /// Answers 200 with JSON that is not UTF-8.
    InvalidUtf8,
    /// Answers 200 with JSON nested sixty thousand deep.
    DeepJson,
    /// Answers 200 with JSON that has no end.
    Huge,
    /// Reads the request and never answers.
    Hang,
    /// Answers 200, then one octet of the body a second.
    Drip,
    /// Sends one octet of the head a second.
    SlowHead,
    /// Redirects to this URL.
    Redirect(String),
    /// Closes the connection in place of an answer.
    Close,
}

impl Behaviour {
    /// Answers with this JSON.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        Self::Answer { status, content_type: "application/json".into(), headers: vec![], body }
    }

    /// Is too busy, and says for how many seconds.
    #[must_use]
    pub fn busy(status: u16, retry_after: u32) -> Self {
        let headers = vec![("Retry-After".into(), retry_after.to_string())];
        Self::Answer { status, content_type: "application/json".into(), headers, body: b"{}".to_vec() }
    }
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Call {
    /// The path without a version such as `v23.0` before it, and without a slash at its end.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let version = |part: &str| part.strip_prefix('v').is_some_and(|n| n.contains('.') && n.parse::<f32>().is_ok());
        let parts: Vec<_> = self.path.split('/').filter(|part| !part.is_empty() && !version(part)).collect();
        format!("/{}", parts.join("/"))
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The fields of a form.
    #[must_use]
    pub fn form(&self) -> Vec<(String, String)> {
        let is_form = self.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlenc"));
        if is_form { form_urlencoded::parse(&self.body).into_owned().collect() } else { vec![] }
    }

    /// A field of the query or of the form.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        let fields = self.query.iter().cloned().chain(self.form());
        fields.into_iter().find_map(|(known, value)| (known == name).then_some(value))
    }

    /// The token of `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// Who `Authorization: Basic …` names, and the password, form-decoded as OAuth wants it (RFC 6749, section 2.3.1).
    #[must_use]
    pub fn basic(&self) -> Option<(String, String)> {
        let bytes = BASE64.decode(self.header("authorization")?.strip_prefix("Basic ")?.as_bytes()).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (user, password) = text.split_once(':')?;
        let decode = |text: &str| form_urlencoded::parse(text.as_bytes()).next().map(|(text, _)| text.into_owned());
        Some((decode(user)?, decode(password).unwrap_or_default()))
    }
}

/// An answer as documented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self::of(status, "application/json; charset=utf-8", body.to_string())
    }

    #[must_use]
    pub fn html(status: u16, page: impl Into<Vec<u8>>) -> Self {
        Self::of(status, "text/html; charset=utf-8", page)
    }

    #[must_use]
    pub fn redirect(location: &str) -> Self {
        Self { status: 302, headers: vec![("Location".into(), location.into())], body: vec![] }
    }

    #[must_use]
    pub fn not_found() -> Self {
        Self::of(404, "text/plain", "not here")
    }

    #[must_use]
    pub fn of(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("Content-Type".into(), content_type.into())], body: body.into() }
    }

    fn head(&self, length: Option<usize>) -> String {
        let reason = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        let mut head = format!("HTTP/1.1 {} {}\r\nConnection: close\r\n", self.status, reason.unwrap_or_default());
        self.headers.iter().for_each(|(name, value)| head.extend([name, ": ", value, "\r\n"]));
        if let Some(length) = length {
            head.extend(["Content-Length: ", &length.to_string(), "\r\n"]);
        }
        head + "\r\n"
    }
}

/// A server on loopback that ends when dropped.
pub struct Standin {
    address: SocketAddr,
    state: Arc<State>,
}

impl Standin {
    /// Starts one. `documented` is told its URL, and gives what answers.
    ///
    /// # Panics
    /// When loopback has no free port.
    #[must_use]
    pub fn start<A: Fn(&Call) -> Reply + Send + Sync + 'static>(documented: impl FnOnce(&str) -> A) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
        let address = listener.local_addr().expect("it is bound");
        let documented = Box::new(documented(&format!("http://{address}")));
        let state = Arc::new(State { documented, desk: Mutex::default(), changed: Condvar::new() });
        let inside = Arc::clone(&state);
        thread::spawn(move || inside.open_door(&listener));
        Self { address, state }
    }

    /// Where it is, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes what an endpoint does, such as `/2/oauth2/token`. Whoever hangs there is let go.
    pub fn script(&self, endpoint: &str, behaviour: Behaviour) {
        self.state.lock().scripts.insert(endpoint.to_owned(), behaviour);
        self.state.changed.notify_all();
    }

    /// What an endpoint was asked, oldest first.
    #[must_use]
    pub fn calls(&self, endpoint: &str) -> Vec<Call> {
        let desk = self.state.lock();
        desk.calls.iter().filter(|call| call.endpoint() == endpoint).cloned().collect()
    }

    /// Waits until an endpoint has been asked `n` times, whether or not it has answered.
    ///
    /// # Panics
    /// When it was asked less often at the end of the timeout.
    pub fn wait_for_calls(&self, endpoint: &str, n: usize, timeout: Duration) -> Vec<Call> {
        let desk = self.state.lock();
        let count = |desk: &Desk| desk.calls.iter().filter(|call| call.endpoint() == endpoint).count();
        let waited = self.state.changed.wait_timeout_while(desk, timeout, |desk| count(desk) < n);
        drop(waited);
        let calls = self.calls(endpoint);
        assert!(calls.len() >= n, "{endpoint} was to be asked {n} times within {timeout:?}, not {}", calls.len());
        calls
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        let mut desk = self.state.lock();
        desk.closed = true;
        desk.open.values().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        drop(desk);
        self.state.changed.notify_all();
        // The door looks up when somebody knocks.
        drop(TcpStream::connect(self.address));
    }
}

struct State {
    documented: Box<dyn Fn(&Call) -> Reply + Send + Sync>,
    desk: Mutex<Desk>,
    changed: Condvar,
}

#[derive(Default)]
struct Desk {
    scripts: HashMap<String, Behaviour>,
    calls: Vec<Call>,
    open: HashMap<SocketAddr, TcpStream>,
    closed: bool,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_door(self: &Arc<Self>, listener: &TcpListener) {
        while !self.lock().closed {
            // A client may leave at any time, this early too.
            let Ok((stream, peer)) = listener.accept() else { continue };
            let Ok(second) = stream.try_clone() else { continue };
            let mut desk = self.lock();
            if desk.closed {
                return;
            }
            desk.open.insert(peer, second);
            let state = Arc::clone(self);
            thread::spawn(move || {
                drop(state.converse(&stream));
                drop(stream.shutdown(Shutdown::Both));
                state.lock().open.remove(&peer);
            });
        }
    }

    /// Answers one request.
    fn converse(&self, stream: &TcpStream) -> io::Result<()> {
        let Some(call) = read(stream)? else { return Ok(()) };
        let endpoint = call.endpoint();
        let mut desk = self.lock();
        desk.calls.push(call.clone());
        let behaviour = desk.scripts.get(&endpoint).cloned().unwrap_or_default();
        drop(desk);
        self.changed.notify_all();
        self.behave(&behaviour, &call, stream)
    }

    fn behave(&self, behaviour: &Behaviour, call: &Call, stream: &TcpStream) -> io::Result<()> {
        let json = |body: &[u8]| Reply::of(200, "application/json", body);
        match behaviour {
            Behaviour::AsDocumented => say(&(self.documented)(call), stream),
            Behaviour::Answer { status, content_type, headers, body } => {
                let mut reply = Reply::of(*status, content_type, body.clone());
                reply.headers.extend(headers.iter().cloned());
                say(&reply, stream)
            }
            Behaviour::Html => say(&Reply::html(200, "<!doctype html><title>Welcome</title><p>Accept?"), stream),
            Behaviour::TruncatedJson => say(&json(br#"{"access_token": "EAAB", "id": "1", "da"#), stream),
            Behaviour::InvalidUtf8 => say(&json(b"{\"access_token\": \"\xff\xfe\", \"id\": \"\xc3\x28\"}"), stream),
            Behaviour::DeepJson => {
                let deep = format!("{{\"id\": {}{}}}", "[".repeat(60_000), "]".repeat(60_000));
                say(&json(deep.as_bytes()), stream)
            }
            Behaviour::Huge => {
                let reply = json(b"");
                write(stream, reply.head(None).as_bytes())?;
                write(stream, br#"{"id": ""#)?;
                let block = [b'1'; 16 * 1024];
                while !self.lock().closed {
                    write(stream, &block)?;
                }
                Ok(())
            }
            Behaviour::Hang => {
                self.wait_for_another(behaviour, &call.endpoint());
                Ok(())
            }
            Behaviour::Drip => {
                let body = br#"{"access_token": "EAAB", "id": "1"}"#;
                write(stream, json(b"").head(Some(body.len())).as_bytes())?;
                self.drip(body, stream)
            }
            Behaviour::SlowHead => self.drip(json(b"").head(Some(2)).as_bytes(), stream),
            Behaviour::Redirect(location) => say(&Reply::redirect(location), stream),
            Behaviour::Close => Ok(()),
        }
    }

    fn wait_for_another(&self, behaviour: &Behaviour, endpoint: &str) {
        let same = |desk: &mut Desk| !desk.closed && desk.scripts.get(endpoint) == Some(behaviour);
        drop(self.changed.wait_while(self.lock(), same));
    }

    fn drip(&self, octets: &[u8], stream: &TcpStream) -> io::Result<()> {
        for octet in octets {
            write(stream, &[*octet])?;
            drop(self.changed.wait_timeout_while(self.lock(), Duration::from_secs(1), |desk| !desk.closed));
        }
        Ok(())
    }
}

fn write(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)
}

fn say(reply: &Reply, stream: &TcpStream) -> io::Result<()> {
    write(stream, &[reply.head(Some(reply.body.len())).as_bytes(), &reply.body].concat())
}

/// Reads a request (RFC 9112) whose body, if any, has a length. `None` where there is none.
fn read(stream: &TcpStream) -> io::Result<Option<Call>> {
    let mut reader = BufReader::new(stream);
    let mut lines = vec![];
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let first = lines.first().map(String::as_str).unwrap_or_default();
    let [method, target, _] = first.split(' ').collect::<Vec<_>>()[..] else { return Ok(None) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    let mut call = Call {
        method: method.to_owned(),
        path: path.to_owned(),
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect(),
        body: vec![],
    };
    let length = call.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    reader.take(length).read_to_end(&mut call.body)?;
    Ok(Some(call))
}
