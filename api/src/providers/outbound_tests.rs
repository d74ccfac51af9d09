use std::time::Duration;

use oauth2::url::Url;
use reqwest::Certificate;
use serde_json::{Value, json};

use super::outbound::{Limits, Outbound};
use super::stand_in::{Does, StandIn, answer};
use super::*;

/// Short enough that no test waits, long enough for a slow machine to answer.
pub fn limits() -> Limits {
    Limits { connect: Duration::from_secs(5), whole: Duration::from_secs(5), ..Limits::default() }
}

fn impatient() -> Limits {
    Limits { whole: Duration::from_millis(300), ..limits() }
}

pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn get(url: &str) -> reqwest::Request {
    reqwest::Request::new(reqwest::Method::GET, Url::parse(url).unwrap())
}

fn ask_by(outbound: &Outbound, url: &str) -> Result<Value, ProviderError> {
    let (wire, request) = (outbound.wire().clone(), get(url));
    let asked = async move { wire.send(request, Clock::System.now()).await?.read::<Value>() };
    run(outbound.converse(asked, |_| {}))
}

fn ask(limits: Limits, script: impl Fn() -> Does + Send + Sync + 'static) -> Result<Value, ProviderError> {
    let service = StandIn::start(move |_| script());
    ask_by(&Outbound::start(limits, Vec::new()).unwrap(), &service.url)
}

fn failed(result: &Result<Value, ProviderError>) -> &str {
    match result {
        Err(ProviderError::Failed(cause)) => cause,
        other => panic!("{other:?}"),
    }
}

const JSON: &str = "Content-Type: application/json; charset=utf-8";

#[test]
fn a_good_answer_is_read() {
    assert_eq!(ask(limits(), || answer("200 OK", JSON, b"{\"a\":1}")), Ok(json!({ "a": 1 })));
    let kind = "Content-Type: application/jwk-set+json";
    assert_eq!(ask(limits(), move || answer("200 OK", kind, b"{}")), Ok(json!({})));
}

#[test]
fn ft_14_what_is_no_json_is_a_failure() {
    let deep = "[".repeat(100_000);
    let wrong: [(&str, Vec<u8>, &str); 9] = [
        ("Content-Type: text/html", b"<html>hello</html>".to_vec(), "not JSON"),
        ("Content-Type: text/html", b"{}".to_vec(), "not JSON"),
        ("X-None: 1", b"{}".to_vec(), "not JSON"),
        ("Content-Type: application/jsonp", b"{}".to_vec(), "not JSON"),
        (JSON, b"<html>hello</html>".to_vec(), "expected"),
        (JSON, b"{\"a\":".to_vec(), "expected"),
        (JSON, b"".to_vec(), "expected"),
        (JSON, b"{\"a\":\"\xff\xfe\"}".to_vec(), "UTF-8"),
        (JSON, deep.into_bytes(), "expected"),
    ];
    for (kind, body, expected) in wrong {
        let result = ask(limits(), move || answer("200 OK", kind, &body));
        assert!(failed(&result).contains(expected), "{result:?}");
    }
    // nothing of what it said is repeated
    let result = ask(limits(), || answer("200 OK", JSON, b"{\"token\":\"hunter2\"}x"));
    assert!(!failed(&result).contains("hunter2"));
}

#[test]
fn a_body_is_as_large_as_may_be_and_no_larger() {
    let body = |octets: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(octets - 8)).into_bytes();
    let most = limits().body;
    assert!(ask(limits(), move || answer("200 OK", JSON, &body(most))).is_ok());
    let result = ask(limits(), move || answer("200 OK", JSON, &body(most + 1)));
    assert!(failed(&result).contains("larger"));
    // what is only declared is refused before it is there
    let result =
        ask(limits(), || Does::Says(format!("HTTP/1.1 200 OK\r\n{JSON}\r\nContent-Length: 99999999\r\n\r\n").into()));
    assert!(failed(&result).contains("larger"));
    // and so is what never ends
    let head = format!("HTTP/1.1 200 OK\r\n{JSON}\r\n\r\n");
    let few = Limits { body: 4096, ..limits() };
    let result = ask(few, move || Does::Drips(head.clone().into()));
    assert!(failed(&result).contains("larger"));
    // nobody is asked to unpack anything
    let packed = format!("{JSON}\r\nContent-Encoding: gzip");
    let result = ask(limits(), move || answer("200 OK", &packed, b"\x1f\x8b\x08\0\0\0\0\0"));
    failed(&result);
}

#[test]
fn ft_12_who_hangs_or_drips_is_waited_for_no_longer_than_the_whole_may_last() {
    assert_eq!(ask(impatient(), || Does::Hangs), Err(ProviderError::TimedOut));
    // a head that never ends, and a body
    assert!(ask(impatient(), || Does::Drips(b"HTTP/1.1 200 OK\r\nX-Slow: ".to_vec())).is_err());
    let dripping = Limits { body: usize::MAX, ..impatient() };
    let head = format!("HTTP/1.1 200 OK\r\n{JSON}\r\n\r\n");
    assert_eq!(ask(dripping, move || Does::Drips(head.clone().into())), Err(ProviderError::TimedOut));
}

#[test]
fn ft_16_an_answer_that_asks_for_patience() {
    for status in ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable"] {
        let result = ask(limits(), move || answer(status, JSON, b"{}"));
        assert!(failed(&result).contains(&status[..3]), "{result:?}");
    }
    for (status, header, seconds) in [
        ("429 Too Many Requests", "Retry-After: 7", 7),
        ("503 Service Unavailable", "Retry-After: 86400", 60),
        ("429 Too Many Requests", "Retry-After: soon", 10),
        ("429 Too Many Requests", "Retry-After: 0", 1),
        ("429 Too Many Requests", "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", 1),
    ] {
        let result = ask(limits(), move || answer(status, header, b"{}"));
        assert_eq!(result, Err(ProviderError::Busy { retry_after: Duration::from_secs(seconds) }), "{header}");
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let other = StandIn::start(|_| answer("200 OK", JSON, b"{}"));
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("Location: {}", other.url);
        let result = ask(limits(), move || answer(status, &location, b"{}"));
        assert!(failed(&result).contains("redirects"));
    }
    assert!(other.asked().is_empty());
}

#[test]
fn ft_17_who_is_not_there_or_is_somebody_else_is_said_without_the_query() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x?access_token=hunter2", listener.local_addr().unwrap());
    drop(listener);
    let outbound = Outbound::start(limits(), Vec::new()).unwrap();
    let refused = ask_by(&outbound, &url);
    assert!(failed(&refused).contains("refused"), "{refused:?}");
    let unknown = ask_by(&outbound, "https://nobody.invalid/?access_token=hunter2");
    for result in [refused, unknown] {
        assert!(!result.unwrap_err().to_string().contains("hunter2"));
    }
    // TLS is spoken to nobody who does not speak it
    let clear = StandIn::start(|_| answer("200 OK", JSON, b"{}"));
    failed(&ask_by(&outbound, &clear.url.replace("http://", "https://")));
}

#[test]
fn more_conversations_than_there_is_room_for_are_told_at_once() {
    let one = Limits { conversations: 1, ..limits() };
    let outbound = Outbound::start(one, Vec::new()).unwrap();
    run(async {
        let (send, wait) = tokio::sync::oneshot::channel::<()>();
        let long = outbound.converse(async move { Ok(wait.await.is_err()) }, |_| {});
        let short = async {
            let busy = outbound.converse(async { Ok(()) }, |_| {}).await;
            drop(send);
            busy
        };
        let (long, short) = futures_util::future::join(long, short).await;
        assert_eq!(long, Ok(true));
        assert!(matches!(short, Err(ProviderError::Busy { .. })), "{short:?}");
        assert_eq!(outbound.converse(async { Ok(()) }, |_| {}).await, Ok(()));
    });
}

#[test]
fn it_stops_in_the_middle_of_a_conversation() {
    let outbound = Outbound::start(limits(), Vec::new()).unwrap();
    run(async {
        let (send, mut said) = tokio::sync::mpsc::unbounded_channel();
        let forever = outbound.converse(
            async move {
                send.send(()).unwrap();
                std::future::pending::<Result<(), ProviderError>>().await
            },
            |_| {},
        );
        let stopping = async {
            said.recv().await;
            outbound.stop();
            outbound.stop();
        };
        let (forever, ()) = futures_util::future::join(forever, stopping).await;
        assert!(matches!(forever, Err(ProviderError::Failed(_))), "{forever:?}");
    });
    assert!(matches!(ask_by(&outbound, "http://127.0.0.1:1"), Err(ProviderError::Failed(_))));
}

#[test]
fn ft_17_a_certificate_must_be_of_this_host_and_of_now() {
    let root_key = rcgen::KeyPair::generate().unwrap();
    let mut root = rcgen::CertificateParams::default();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root_certificate = root.self_signed(&root_key).unwrap();
    let issuer = rcgen::Issuer::new(root, root_key);
    let certificate = |host: &str, until: i32| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut leaf = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        leaf.not_before = rcgen::date_time_ymd(2000, 1, 1);
        leaf.not_after = rcgen::date_time_ymd(until, 1, 1);
        let signed = leaf.signed_by(&key, &issuer).unwrap();
        (signed.der().clone(), rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    };
    let roots = Certificate::from_pem_bundle(root_certificate.pem().as_bytes()).unwrap();
    let believing = Outbound::start(limits(), roots).unwrap();
    let not_believing = Outbound::start(limits(), Vec::new()).unwrap();

    let good = tls(certificate("127.0.0.1", 2100));
    assert_eq!(ask_by(&believing, &good), Ok(json!({})));
    failed(&ask_by(&not_believing, &good));
    let wrong_host = ask_by(&believing, &tls(certificate("login.example", 2100)));
    assert!(failed(&wrong_host).to_lowercase().contains("name"), "{wrong_host:?}");
    let expired = ask_by(&believing, &tls(certificate("127.0.0.1", 2001)));
    assert!(failed(&expired).to_lowercase().contains("expired"), "{expired:?}");
}

type Identity = (rustls::pki_types::CertificateDer<'static>, rustls::pki_types::PrivateKeyDer<'static>);

/// A server that speaks TLS, and answers everybody who believes it.
fn tls((certificate, key): Identity) -> String {
    use std::io::{Read, Write};
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = std::sync::Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(std::sync::Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            if stream.read(&mut [0; 4096]).is_ok() {
                let says = format!("HTTP/1.1 200 OK\r\n{JSON}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
                drop(stream.write_all(says.as_bytes()));
                stream.conn.send_close_notify();
                drop(stream.flush());
            }
        }
    });
    url
}
