//! The server under every stand-in: it answers, hangs, drips and lies as it is told.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use doorstep_tests::standin::{Behaviour, Reply, Standin};
use serde_json::{Value, json};

use crate::standins::get;

const PATIENCE: Duration = Duration::from_secs(20);

fn echo() -> Standin {
    Standin::start(|_| |call: &doorstep_tests::standin::Call| Reply::json(200, &json!({ "path": call.path })))
}

/// The first octets of what is answered, then the whole, as far as it comes.
fn connect(server: &Standin) -> TcpStream {
    let mut stream = TcpStream::connect(server.url().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /token?a=b%20c HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n").unwrap();
    stream
}

fn read_all(server: &Standin) -> Vec<u8> {
    let mut answer = vec![];
    connect(server).read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn a_stand_in_answers_as_it_is_told() {
    let server = echo();
    let url = server.url() + "/token";
    assert_eq!(get(&url).expect(200).json()["path"], "/token");
    server.script("/token", Behaviour::json(418, &json!({ "a": 1 })));
    assert_eq!(get(&url).expect(418).json()["a"], 1);
    server.script("/token", Behaviour::busy(503, 7));
    assert_eq!(get(&url).expect(503).header("retry-after"), Some("7"));
    server.script("/token", Behaviour::Html);
    assert!(get(&url).expect(200).header("content-type").unwrap().starts_with("text/html"));
    server.script("/token", Behaviour::TruncatedJson);
    assert!(serde_json::from_slice::<Value>(&get(&url).expect(200).body).unwrap_err().is_eof());
    server.script("/token", Behaviour::InvalidUtf8);
    assert!(String::from_utf8(get(&url).expect(200).body).is_err());
    server.script("/token", Behaviour::DeepJson);
    let deep = get(&url).expect(200).body;
    assert!(deep.len() < 256 * 1024);
    assert!(serde_json::from_slice::<Value>(&deep).unwrap_err().to_string().contains("recursion limit"));
    server.script("/token", Behaviour::Redirect("http://127.0.0.1:1/".into()));
    assert_eq!(get(&url).expect(302).header("location"), Some("http://127.0.0.1:1/"));
    server.script("/token", Behaviour::Close);
    assert_eq!(read_all(&server), b"");
    server.script("/token", Behaviour::AsDocumented);
    get(&url).expect(200);
    get(&(server.url() + "/other")).expect(200);
    assert_eq!(server.calls("/token").len(), 10);
    let call = &server.calls("/token")[8];
    assert_eq!((call.method.as_str(), call.bearer()), ("GET", Some("t")));
    assert_eq!(call.query, [("a".to_owned(), "b c".to_owned())]);
}

#[test]
fn a_stand_in_streams_without_end() {
    let server = echo();
    server.script("/token", Behaviour::Huge);
    let mut octets = vec![0; 1024 * 1024];
    connect(&server).read_exact(&mut octets).unwrap();
    assert!(octets.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_stand_in_takes_its_time() {
    let server = echo();
    for (behaviour, first) in [(Behaviour::Drip, "\r\n\r\n"), (Behaviour::SlowHead, "H")] {
        server.script("/token", behaviour);
        let mut stream = connect(&server);
        let mut heard = String::new();
        while !heard.ends_with(first) {
            let mut octet = [0];
            stream.read_exact(&mut octet).unwrap();
            heard.push(octet[0].into());
        }
        let silence = Duration::from_millis(300);
        stream.set_read_timeout(Some(silence)).unwrap();
        let mut rest = vec![];
        assert!(stream.read_to_end(&mut rest).is_err(), "it is silent before it is over: {rest:?}");
        assert!(rest.len() <= 1, "{rest:?}");
    }
}

#[test]
fn a_stand_in_hangs_until_it_is_told_otherwise_or_gone() {
    let server = echo();
    server.script("/token", Behaviour::Hang);
    let mut first = connect(&server);
    server.wait_for_calls("/token", 1, PATIENCE);
    server.script("/token", Behaviour::Close);
    assert_eq!(first.read(&mut [0]).unwrap(), 0);
    server.script("/token", Behaviour::Hang);
    let mut second = connect(&server);
    server.wait_for_calls("/token", 2, PATIENCE);
    drop(server);
    assert_eq!(second.read(&mut [0]).unwrap(), 0);
}
