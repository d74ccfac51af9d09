//! A database that answers late or not at all. It is PostgreSQL: SQLite has no wire to hold back.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::PASSWORD;
use doorstep_tests::proxy::Proxy;
use doorstep_tests::{App, Setup, SignedIn, postgres};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::outages::{is_an_outage, wait_until_ready_is};

const CONNECTIONS: u32 = 2;
/// Jobs that may wait for a connection.
const QUEUE: usize = 512;

/// A server with few connections to a database behind a proxy; none where there is no PostgreSQL, which was said.
fn behind_a_proxy() -> Option<(App, Proxy)> {
    let database = postgres::server()?.create_database(None);
    let (proxy, url) = database.behind_a_proxy();
    let mut setup = Setup::default();
    setup.config.database.url = Some(url);
    setup.config.database.connections = CONNECTIONS;
    setup.patience.database = Duration::from_secs(3);
    Some((App::start_on(Some(database), setup), proxy))
}

fn all_works_again(app: &App, ada: &SignedIn) {
    wait_until_ready_is(app, 200);
    app.me(&ada.access_token).expect(200);
    app.refreshes(&ada.refresh_token).expect(200);
    app.signs_in("ada@example.org");
    app.check_invariants();
}

#[test]
fn ft_05_while_postgres_says_nothing_all_who_need_it_are_told_so_and_others_are_served() {
    let Some((app, proxy)) = behind_a_proxy() else { return };
    let ada = app.signs_up("ada@example.org");
    app.wait_until_mail_is_carried();
    proxy.hold();
    let sign_in = json!({ "email": "ada@example.org", "password": PASSWORD });
    let asks: [&(dyn Fn() -> Answer + Sync); 4] = [
        &|| app.client.get("/readyz").send(),
        &|| app.me(&ada.access_token),
        &|| app.client.post("/v1/sessions").json(&sign_in).send(),
        &|| app.asks_to_sign_up("new@example.org"),
    ];
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let answers = in_parallel(16, |i| asks[i % asks.len()]());
            over.store(true, Ordering::Release);
            answers
        });
        let mut served = 0;
        while !over.load(Ordering::Acquire) {
            app.client.get("/healthz").send().expect(200);
            app.client.get("/.well-known/jwks.json").send().expect(200);
            served += 1;
        }
        asked.join().unwrap().iter().for_each(is_an_outage);
        assert!(served > 0);
    });
    proxy.release();
    all_works_again(&app, &ada);
    app.asks_to_sign_up("new@example.org").expect(202);
    assert!(!app.mail_to("new@example.org").is_empty());
}

/// Sends a request and does not wait for its answer.
fn begins(app: &App, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(app.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let request =
        format!("GET /v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Its status with its code.
fn ends(mut stream: TcpStream) -> (String, String) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.to_ascii_lowercase().contains("retry-after: "), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    (head[9..12].to_owned(), body["code"].as_str().unwrap().to_owned())
}

#[test]
fn ft_05_so_many_may_wait_for_postgres_and_no_more() {
    let Some((app, proxy)) = behind_a_proxy() else { return };
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let ada = app.signs_up("ada@example.org");
    app.wait_until_mail_is_carried();
    proxy.hold();
    let waiting = QUEUE + usize::try_from(CONNECTIONS).unwrap();
    let streams: Vec<TcpStream> = (0..waiting + 50).map(|_| begins(&app, &ada.access_token)).collect();
    let mut told = BTreeMap::new();
    for stream in streams {
        *told.entry(ends(stream)).or_insert(0) += 1;
    }
    let is = |code: &str| told.get(&("503".to_owned(), code.to_owned())).copied().unwrap_or(0);
    assert_eq!(is("overloaded") + is("unavailable"), waiting + 50, "{told:?}");
    assert!(is("overloaded") >= 50, "those beyond the queue are sent away at once: {told:?}");
    proxy.release();
    all_works_again(&app, &ada);
}

#[test]
fn ft_05_who_waits_for_a_lock_that_does_not_come_is_told_to_try_again() {
    let Some(server) = postgres::server() else { return };
    let app = App::start_on(Some(server.create_database(None)), Setup::default());
    let ada = app.signs_up("ada@example.org");
    let mut other = app.connection();
    other.batch_execute("BEGIN; LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE").unwrap();
    let answers =
        in_parallel(4, |i| if i % 2 == 0 { app.me(&ada.access_token) } else { app.refreshes(&ada.refresh_token) });
    other.batch_execute("ROLLBACK").unwrap();
    for answer in answers {
        assert_eq!((answer.status, answer.code()), (503, "overloaded".into()));
        assert_eq!(answer.header("Retry-After"), Some("1"));
    }
    all_works_again(&app, &ada);
}
