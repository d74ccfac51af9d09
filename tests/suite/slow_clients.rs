//! Clients that take their time, many at once: what they hold on to is bounded.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use doorstep_api::connections::Patience;
use doorstep_tests::http::raw;
use doorstep_tests::{App, Db, Setup, on_both};

const PATIENCE: Duration = Duration::from_secs(1);
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nX: x\r\n\r\n";
const BEGUN: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ";
const POST: &str = "POST /v1/sign-ups HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";

fn impatient(db: Db, connections: usize) -> Option<App> {
    let mut setup = Setup::default();
    setup.config.server.connections = connections;
    setup.patience = Patience { head: PATIENCE, keep_alive: PATIENCE, body: PATIENCE, ..Patience::default() };
    App::start(db, setup)
}

/// A client that has sent this, goes on with this, and what it hears.
struct Slow {
    stream: TcpStream,
    sent: String,
    octet: &'static [u8],
    heard: Vec<u8>,
    closed: bool,
}

impl Slow {
    fn begins(app: &App, sent: &str, octet: &'static [u8]) -> Self {
        let mut stream = TcpStream::connect(app.address()).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, sent: sent.to_owned(), octet, heard: vec![], closed: false }
    }

    /// Sends one octet more, and hears what there is to hear.
    fn drips(&mut self) {
        self.closed |= self.stream.write_all(self.octet).is_err_and(|error| error.kind() != ErrorKind::WouldBlock);
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(length @ 1..) => self.heard.extend(&bytes[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    fn statuses(&self) -> Vec<String> {
        let heard = String::from_utf8_lossy(&self.heard);
        heard.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].to_owned()).collect()
    }
}

/// What a slow client sends, what it goes on with, and how it is answered before the connection ends. Of a head there
/// may be an answer, for the timer of actix's own gives one.
fn rows() -> Vec<(String, &'static [u8], &'static [&'static str])> {
    let body = |framing: &str| format!("{POST}{framing}\r\n\r\n");
    vec![
        (String::new(), b"", &["408"]),
        (BEGUN.into(), b"", &["408"]),
        (BEGUN.into(), b"a", &["408"]),
        (HEALTH.into(), b"", &["200"]),
        (format!("{HEALTH}G"), b"", &["200"]),
        (format!("{HEALTH}{BEGUN}"), b"", &["200"]),
        (format!("{HEALTH}{BEGUN}"), b"a", &["200"]),
        (body("Content-Length: 60000"), b" ", &["408"]),
        (body("Content-Length: 60000"), b"", &["408"]),
        (body("Transfer-Encoding: chunked") + "E000\r\n", b" ", &["408"]),
        // who wants no body does not wait for it
        (HEALTH.replace("X: x", "Content-Length: 60000"), b" ", &["200"]),
    ]
}

fn ft_19_slow_clients_are_let_go_and_good_ones_are_served_meanwhile(app: &App) {
    let rows = rows();
    let mut slow: Vec<_> = (0..20).flat_map(|_| &rows).map(|(sent, octet, _)| Slow::begins(app, sent, octet)).collect();
    let deadline = app.clock.now() + Duration::from_secs(30);
    while slow.iter().any(|one| !one.closed) {
        app.client.get("/healthz").send().expect(200);
        slow.iter_mut().filter(|one| !one.closed).for_each(Slow::drips);
        let open = slow.iter().find(|one| !one.closed).map(|one| &one.sent);
        assert!(app.clock.now() < deadline, "still open: {open:?}");
    }
    for (one, (_, _, answers)) in slow.iter().zip(rows.iter().cycle()) {
        let heard = one.statuses();
        // octets that came when it was closed can cost its last words
        assert!(heard == *answers || (heard.is_empty() && !one.octet.is_empty()), "{:?}: {heard:?}", one.sent);
    }
    let said = |words: &str| slow.iter().any(|one| String::from_utf8_lossy(&one.heard).contains(words));
    assert!(said("\"request_timeout\""));
}

/// Waits until all connections are gone, without asking anything.
fn wait_until_nobody_is_there(app: &App) {
    let deadline = app.clock.now() + Duration::from_secs(30);
    while app.open_connections() > 0 {
        assert!(app.clock.now() < deadline, "{} connections are held", app.open_connections());
        std::thread::yield_now();
    }
}

fn ft_19_who_never_reads_is_let_go(app: &App) {
    let mut streams: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(app.address()).unwrap()).collect();
    let requests = HEALTH.repeat(1000);
    for stream in &mut streams {
        stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        // until the server takes no more, for nobody takes its answers
        while stream.write_all(requests.as_bytes()).is_ok() {}
    }
    wait_until_nobody_is_there(app);
    app.client.get("/healthz").send().expect(200);
}

#[test]
fn ft_19_slow_clients_on_sqlite() {
    let app = impatient(Db::Sqlite, 4000).unwrap();
    ft_19_slow_clients_are_let_go_and_good_ones_are_served_meanwhile(&app);
    ft_19_who_never_reads_is_let_go(&app);
}

#[test]
fn ft_19_slow_clients_on_postgres() {
    let Some(app) = impatient(Db::Postgres, 4000) else { return };
    ft_19_slow_clients_are_let_go_and_good_ones_are_served_meanwhile(&app);
    ft_19_who_never_reads_is_let_go(&app);
}

#[test]
fn ft_20_beyond_the_bound_connections_wait_and_all_is_well_afterwards() {
    let app = impatient(Db::Sqlite, 16).unwrap();
    let mut flood: Vec<Slow> = (0..100).map(|_| Slow::begins(&app, "", b"")).collect();
    let deadline = app.clock.now() + Duration::from_secs(60);
    let mut most = 0;
    while flood.iter().any(|one| !one.closed) {
        most = most.max(app.open_connections());
        flood.iter_mut().filter(|one| !one.closed).for_each(Slow::drips);
        assert!(app.clock.now() < deadline, "the flood does not run dry");
    }
    assert!((8..=18).contains(&most), "{most} were open at once");
    app.client.get("/healthz").send().expect(200);
    app.signs_up("ada@example.org");
}

on_both! {
    fn ft_20_http_2_is_not_spoken(app) {
        // a preface (RFC 9113, section 3.4), and a stream that is begun and reset at once, many times
        let settings = b"\0\0\0\x04\0\0\0\0\0";
        let begun_and_reset = b"\0\0\x01\x01\x04\0\0\0\x01\x82\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08";
        let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), settings, &begun_and_reset.repeat(1000)].concat();
        let answer = String::from_utf8(raw(app.address(), &preface)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        let upgrade = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n\
            HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n";
        let answer = String::from_utf8(raw(app.address(), upgrade.as_bytes())).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "an upgrade is not taken up: {answer}");
        app.client.get("/healthz").send().expect(200);
    }
}
