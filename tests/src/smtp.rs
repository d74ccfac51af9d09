//! A mail server for the tests of delivery, which does as it is told: it takes mail, refuses it, hangs or drops out.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{mem, thread, time::Duration};

use data_encoding::BASE64_MIME;

/// What the server does from now on, on open connections too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Takes every message.
    #[default]
    Accept,
    /// Closes each connection at once, open ones too.
    Refuse,
    /// Answers `RCPT` with this code and text.
    RejectRecipient(u16, String),
    /// Answers a whole message with this 4xx code, and forgets it.
    TempFail(u16),
    /// Answers a whole message with this 5xx code, and forgets it.
    PermFail(u16),
    /// Leaves a whole message without an answer, and forgets it; closes the connection when told anything else.
    HangAfterData,
    /// Keeps the message but closes the connection instead of saying so.
    AcceptThenDrop,
}

/// A message that the server has taken: the envelope, and headers and body as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub from: String,
    pub recipients: Vec<String>,
    pub data: Vec<u8>,
}

/// A server on loopback, without TLS, that ends when dropped.
pub struct SmtpServer {
    address: SocketAddr,
    state: Arc<State>,
}

impl SmtpServer {
    /// Starts a server that accepts everything.
    ///
    /// # Panics
    /// When loopback has no free port.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State::default());
        let inside = Arc::clone(&state);
        thread::spawn(move || inside.open_door(&listener));
        Self { address, state }
    }

    /// The URL for `[mail] smtp_url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://{}?tls=none", self.address)
    }

    /// Changes what the server does.
    pub fn script(&self, behaviour: Behaviour) {
        let mut desk = self.state.lock();
        if behaviour == Behaviour::Refuse {
            desk.open.values().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        }
        desk.behaviour = behaviour;
        self.state.changed.notify_all();
    }

    /// Everything taken so far, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<Received> {
        self.state.lock().taken.clone()
    }

    /// Waits until `n` messages have been taken; gives all there are.
    ///
    /// # Panics
    /// When there are fewer at the end of the timeout.
    pub fn wait_for(&self, n: usize, timeout: Duration) -> Vec<Received> {
        let taken = self.state.wait(timeout, |desk| desk.taken.len() >= n).taken.clone();
        let subjects: Vec<_> = taken.iter().map(Received::subject).collect();
        assert!(taken.len() >= n, "{n} mails were to come within {timeout:?}, but these came: {subjects:?}");
        taken
    }

    /// Waits until `n` whole messages have been sent, however they were answered.
    ///
    /// # Panics
    /// When there are fewer at the end of the timeout.
    pub fn wait_for_attempts(&self, n: usize, timeout: Duration) {
        let attempts = self.state.wait(timeout, |desk| desk.attempts >= n).attempts;
        assert!(attempts >= n, "{n} mails were to be tried within {timeout:?}, but {attempts} were");
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.state.lock().closed = true;
        self.script(Behaviour::Refuse);
        // The door looks up when somebody knocks.
        drop(TcpStream::connect(self.address));
    }
}

#[derive(Default)]
struct State {
    desk: Mutex<Desk>,
    changed: Condvar,
}

#[derive(Default)]
struct Desk {
    behaviour: Behaviour,
    taken: Vec<Received>,
    attempts: usize,
    open: HashMap<SocketAddr, TcpStream>,
    closed: bool,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, timeout: Duration, done: impl Fn(&Desk) -> bool) -> MutexGuard<'_, Desk> {
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, |desk| !done(desk));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn open_door(self: &Arc<Self>, listener: &TcpListener) {
        while !self.lock().closed {
            // A client may leave at any time, this early too.
            let Ok((stream, peer)) = listener.accept() else { continue };
            let Ok(second) = stream.try_clone() else { continue };
            let mut desk = self.lock();
            if desk.behaviour == Behaviour::Refuse {
                continue;
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

    /// Speaks SMTP (RFC 5321) until the client leaves or the script says to drop out.
    fn converse(&self, stream: &TcpStream) -> io::Result<()> {
        let mut lines = BufReader::new(stream).split(b'\n');
        let say = |answer: &str| (&*stream).write_all(format!("{answer}\r\n").as_bytes());
        let (mut from, mut recipients) = (String::new(), vec![]);
        say("220 mail.test ESMTP")?;
        while let Some(line) = lines.next().transpose()? {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let address = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => say("250-mail.test\r\n250-8BITMIME\r\n250 SMTPUTF8")?,
                "MAIL" => {
                    (from, recipients) = (address, vec![]);
                    say("250 sender ok")?;
                }
                "RCPT" => {
                    if let Behaviour::RejectRecipient(code, text) = &self.lock().behaviour {
                        say(&format!("{code} {text}"))?;
                        continue;
                    }
                    recipients.push(address);
                    say("250 recipient ok")?;
                }
                "DATA" if recipients.is_empty() => say("503 no recipients")?,
                "DATA" => {
                    say("354 go on")?;
                    let mut data = vec![];
                    loop {
                        let Some(line) = lines.next().transpose()? else { return Ok(()) };
                        if line == b".\r" {
                            break;
                        }
                        data.extend(line.strip_prefix(b".").unwrap_or(&line));
                        data.push(b'\n');
                    }
                    let message = Received { from: from.clone(), recipients: mem::take(&mut recipients), data };
                    let Some(answer) = self.receive(message) else { return Ok(()) };
                    say(&answer)?;
                }
                "HELO" | "RSET" | "NOOP" => say("250 ok")?,
                "QUIT" => return say("221 bye"),
                _ => say("502 not implemented")?,
            }
        }
        Ok(())
    }

    /// Does with a whole message as the script says. `None` stands for no answer.
    fn receive(&self, message: Received) -> Option<String> {
        let mut desk = self.lock();
        desk.attempts += 1;
        self.changed.notify_all();
        match desk.behaviour.clone() {
            Behaviour::Refuse => None,
            Behaviour::TempFail(code) => Some(format!("{code} 4.3.0 try again later")),
            Behaviour::PermFail(code) => Some(format!("{code} 5.6.0 not this message")),
            Behaviour::HangAfterData => {
                drop(self.changed.wait_while(desk, |desk| desk.behaviour == Behaviour::HangAfterData));
                None
            }
            told => {
                desk.taken.push(message);
                (told != Behaviour::AcceptThenDrop).then(|| "250 queued".into())
            }
        }
    }
}

impl Received {
    /// The decoded subject; empty where there is none.
    #[must_use]
    pub fn subject(&self) -> String {
        self.header("Subject").unwrap_or_default()
    }

    /// A header in one line, with its encoded words (RFC 2047) decoded.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.content(), name)
    }

    /// The decoded plain text, lines ended by `\n`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn text(&self) -> String {
        find_part(&self.content(), "text/plain").unwrap_or_else(|| panic!("no text in {}", self.content()))
    }

    fn content(&self) -> String {
        String::from_utf8_lossy(&self.data).replace("\r\n", "\n")
    }
}

fn header(message: &str, name: &str) -> Option<String> {
    let (head, _) = message.split_once("\n\n").unwrap_or((message, ""));
    let unfolded = head.replace("\n ", " ").replace("\n\t", " ");
    let mut headers = unfolded.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    // A space between two encoded words is none.
    let value = value.trim().replace("?= =?", "?==?");
    let (mut rest, mut decoded) = (value.as_str(), vec![]);
    while let Some((before, word)) = rest.split_once("=?") {
        let [_, encoding, text, after] = word.splitn(4, '?').collect::<Vec<_>>()[..] else { return None };
        decoded.extend(before.as_bytes());
        decoded.extend(decode(encoding, &text.replace('_', " ")));
        rest = after.strip_prefix('=')?;
    }
    decoded.extend(rest.as_bytes());
    String::from_utf8(decoded).ok()
}

/// Looks through nested parts too (RFC 2046). A part begins with the end of its delimiter's line.
fn find_part(message: &str, kind: &str) -> Option<String> {
    let content_type = header(message, "Content-Type").unwrap_or_else(|| "text/plain".into());
    let body = message.split_once("\n\n").map_or("", |(_, body)| body);
    if content_type.to_ascii_lowercase().starts_with(kind) {
        let bytes = decode(&header(message, "Content-Transfer-Encoding").unwrap_or_default(), body);
        return Some(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"));
    }
    let boundary = content_type.split_once("boundary=")?.1.trim_start_matches('"').split(['"', ';']).next()?;
    let (body, delimiter) = (format!("\n{body}"), format!("\n--{boundary}"));
    let mut parts = body.split(&delimiter).skip(1).take_while(|part| !part.starts_with("--"));
    parts.find_map(|part| find_part(part, kind))
}

fn decode(encoding: &str, text: &str) -> Vec<u8> {
    match encoding.to_ascii_lowercase().as_str() {
        "base64" | "b" => BASE64_MIME.decode(text.trim_end().as_bytes()).expect("base64 in a mail"),
        "quoted-printable" | "q" => {
            let text = text.replace("=\n", "");
            let mut pieces = text.split('=');
            let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
            for (code, rest) in pieces.filter_map(|piece| piece.split_at_checked(2)) {
                bytes.push(u8::from_str_radix(code, 16).expect("quoted-printable in a mail"));
                bytes.extend(rest.as_bytes());
            }
            bytes
        }
        _ => text.into(),
    }
}
