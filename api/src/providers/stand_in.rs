//! A provider's stand-in on this machine, for tests: a socket, and a script of what it does.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD as B64;
use serde_json::Value;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Asked {
    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap().split('?').next().unwrap()
    }

    /// The parameters of its query and its form.
    pub fn parameters(&self) -> HashMap<String, String> {
        let target = self.line.split(' ').nth(1).unwrap();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        [query, self.body.as_str()]
            .iter()
            .flat_map(|text| oauth2::url::form_urlencoded::parse(text.as_bytes()))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect()
    }
}

/// What it does with a request.
pub enum Does {
    /// Sends these octets and closes.
    Says(Vec<u8>),
    /// Sends these, and an octet more whenever one is taken, without an end.
    Drips(Vec<u8>),
    /// Keeps the connection and says nothing.
    Hangs,
}

pub fn json(status: &str, body: &Value) -> Does {
    answer(status, "Content-Type: application/json", body.to_string().as_bytes())
}

pub fn answer(status: &str, headers: &str, body: &[u8]) -> Does {
    let head = format!("HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    Does::Says([head.as_bytes(), body].concat())
}

pub struct StandIn {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl StandIn {
    /// Starts one; its thread lives as long as the test.
    pub fn start(script: impl Fn(&Asked) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, seen) = (Arc::new(script), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                std::thread::spawn(move || {
                    let stream = stream.unwrap();
                    let Some(request) = read(&stream) else { return };
                    seen.lock().unwrap().push(request.clone());
                    act(stream, script(&request));
                });
            }
        });
        Self { url, asked }
    }

    /// What it was asked for so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn count(&self, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.path() == path).count()
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { line: line.trim().to_owned(), headers, body: String::from_utf8(body).unwrap() })
}

fn act(mut stream: TcpStream, does: Does) {
    match does {
        Does::Says(octets) => drop(stream.write_all(&octets)),
        Does::Drips(octets) => {
            drop(stream.write_all(&octets));
            while stream.write_all(b" ").is_ok() {
                std::thread::yield_now();
            }
        }
        // until the other side has had enough
        Does::Hangs => drop(stream.read(&mut [0])),
    }
}

/// A provider's key.
pub struct Signer {
    pub pair: Ed25519KeyPair,
    kid: String,
}

impl Signer {
    pub fn new(kid: &str) -> Self {
        Self { pair: Ed25519KeyPair::generate().unwrap(), kid: kid.to_owned() }
    }

    /// Its public half.
    pub fn jwk(&self) -> Value {
        let x = B64.encode(self.pair.public_key().as_ref());
        serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x })
    }

    pub fn jwks(&self) -> Value {
        serde_json::json!({ "keys": [self.jwk()] })
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", encode(header), encode(claims));
        format!("{text}.{}", B64.encode(self.pair.sign(text.as_bytes()).as_ref()))
    }

    pub fn token(&self, claims: &Value) -> String {
        self.sign(&serde_json::json!({ "alg": "EdDSA", "kid": self.kid }), claims)
    }
}

/// A part of a JWT.
pub fn encode(json: &Value) -> String {
    B64.encode(json.to_string().as_bytes())
}
