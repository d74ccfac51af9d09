//! Providers behind names and certificates: only one that is who it says it is, is believed (FT-17).

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use doorstep_core::clock::Clock;
use doorstep_tests::http::Answer;
use doorstep_tests::providers::facebook::Facebook;
use doorstep_tests::providers::issuer::{self, CLIENT_ID, Issuer};
use doorstep_tests::providers::twitter::Twitter;
use doorstep_tests::social::{self, ACME, Social, continuation};
use doorstep_tests::{App, Db, Setup};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use crate::natively::{begins_natively, nothing_is_written, shows};

/// Who certifies, and whom the operator believes.
struct Authority {
    pem: String,
    issuer: rcgen::Issuer<'static, KeyPair>,
}

type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = root.self_signed(&key).unwrap().pem();
        Self { pem, issuer: rcgen::Issuer::new(root, key) }
    }

    /// A certificate of this host, until the beginning of a year.
    fn certifies(&self, host: &str, until: i32) -> Identity {
        let key = KeyPair::generate().unwrap();
        let signed = leaf(host, until).signed_by(&key, &self.issuer).unwrap();
        (signed.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

fn leaf(host: &str, until: i32) -> CertificateParams {
    let mut leaf = CertificateParams::new(vec![host.to_owned()]).unwrap();
    leaf.not_before = date_time_ymd(2000, 1, 1);
    leaf.not_after = date_time_ymd(until, 1, 1);
    leaf
}

fn certifies_itself(host: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let signed = leaf(host, 2100).self_signed(&key).unwrap();
    (signed.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

/// Speaks TLS before an issuer, for requests without a body. Gives its URL, by this host.
fn before(issuer: &Issuer, host: &str, (certificate, key): Identity) -> String {
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (config, behind) = (Arc::new(config), issuer.url().replace("http://", ""));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{host}:{}", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream));
            // whoever does not believe us says nothing
            let Some(head) = head_of(&mut stream) else { continue };
            let mut answer = vec![];
            let mut issuer = TcpStream::connect(&behind).unwrap();
            issuer.write_all(head.as_bytes()).unwrap();
            issuer.read_to_end(&mut answer).unwrap();
            let stream = stream.get_mut();
            drop(stream.write_all(&answer));
            stream.conn.send_close_notify();
            drop(stream.flush());
        }
    });
    let ours = url.clone();
    issuer.change_discovery(move |document| {
        document["issuer"] = json!(ours);
        for name in ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"] {
            let path = url::Url::parse(document[name].as_str().unwrap()).unwrap().path().to_owned();
            document[name] = json!(format!("{ours}{path}"));
        }
    });
    url
}

fn head_of(stream: &mut impl std::io::BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// A Doorstep whose operator believes this authority, with Acme at a URL of its own.
fn believing(authority: &Authority, acme: Issuer, url: &str) -> Option<(Social, tempfile::TempDir)> {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::movable());
    let file = dir.path().join("roots.pem");
    fs::write(&file, &authority.pem).unwrap();
    let (google, facebook, twitter) = (Issuer::start(clock.clone()), Facebook::start(clock.clone()), Twitter::start());
    let mut setup = Setup { clock, ..Setup::default() };
    social::configure(&mut setup.config, &google.url(), &facebook, &twitter, url);
    setup.config.social.ca_file = Some(file);
    let app = App::start(Db::Sqlite, setup)?;
    Some((Social { app, google, facebook, twitter, acme }, dir))
}

/// Somebody brings a token of Acme, which must be asked for its keys.
fn arrives(social: &Social, url: &str) -> Answer {
    let flow = begins_natively(social, ACME);
    let mut claims = social.acme.claims(CLIENT_ID, &flow.nonce, "a-1");
    claims["iss"] = json!(url);
    shows(social, &flow, &social.acme.signs(&claims))
}

#[test]
fn ft_17_only_a_provider_who_is_who_it_says_is_believed() {
    let authority = Authority::new();
    let rows: [(&str, &str, Identity, bool); 6] = [
        ("good", "127.0.0.1", authority.certifies("127.0.0.1", 2100), true),
        ("good, by its name", "localhost", authority.certifies("localhost", 2100), true),
        ("self-signed", "127.0.0.1", certifies_itself("127.0.0.1"), false),
        ("of another host", "127.0.0.1", authority.certifies("login.shop.example", 2100), false),
        ("expired", "127.0.0.1", authority.certifies("127.0.0.1", 2001), false),
        ("of another authority", "127.0.0.1", Authority::new().certifies("127.0.0.1", 2100), false),
    ];
    for (what, host, identity, good) in rows {
        let acme = Issuer::start(Clock::System);
        let url = before(&acme, host, identity);
        let Some((social, _dir)) = believing(&authority, acme, &url) else { return };
        let answer = arrives(&social, &url);
        if good {
            continuation(answer);
            let begun = social.asks_to_begin(ACME, &"v".repeat(43)).expect(201).json();
            assert!(begun["authorization_url"].as_str().unwrap().starts_with(&url), "{begun}");
        } else {
            assert_eq!((answer.status, answer.code().as_str()), (502, "provider_failed"), "{what}");
            assert_eq!(social.asks_to_begin(ACME, &"v".repeat(43)).expect(502).code(), "provider_failed", "{what}");
            assert!(social.acme.calls(issuer::DISCOVERY).is_empty(), "{what}: nothing is asked of it");
        }
        nothing_is_written(&social);
        continuation(social.arrives_by_google("g-1", &json!({})));
        social.check_invariants();
    }
}

#[test]
fn ft_17_a_provider_that_speaks_in_clear_or_has_no_address() {
    let clear = Issuer::start(Clock::System);
    for url in [clear.url().replace("http:", "https:"), "https://login.shop.invalid".to_owned()] {
        let acme = Issuer::start(Clock::System);
        let Some((social, _dir)) = believing(&Authority::new(), acme, &url) else { return };
        let answers = [arrives(&social, &url), social.asks_to_begin(ACME, &"v".repeat(43))];
        for answer in answers {
            // a name may be looked for in vain for longer than we wait
            let told = [(502, "provider_failed"), (504, "provider_timeout")];
            assert!(told.contains(&(answer.status, answer.code().as_str())), "{url}: {}", answer.status);
        }
        nothing_is_written(&social);
        continuation(social.arrives_by_google("g-1", &json!({})));
    }
}
