//! Requests: plain HTTP/1.1 on kept connections, so that the driver costs next to nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::server::Server;

/// A request, ready to be written.
#[derive(Clone)]
pub struct Ask {
    bytes: Vec<u8>,
    expected: &'static [u16],
}

impl Ask {
    pub fn get(path: &str, token: Option<&str>) -> Self {
        let authorization = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        let head = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{authorization}\r\n");
        Self { bytes: head.into_bytes(), expected: &[200] }
    }

    pub fn post(path: &str, token: Option<&str>, body: &str) -> Self {
        let authorization = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: bench\r\n{authorization}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { bytes: head.into_bytes(), expected: &[200, 201, 202] }
    }

    /// From this address, as a proxy would say.
    pub fn by(mut self, caller: &str) -> Self {
        let line = self.bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.bytes.splice(line..line, format!("X-Forwarded-For: {caller}\r\n").into_bytes());
        self
    }

    pub fn expecting(self, expected: &'static [u16]) -> Self {
        Self { expected, ..self }
    }

    /// Being sent away with 503 is an answer as well.
    pub fn or_overloaded(self) -> Self {
        Self { expected: &[200, 201, 503], ..self }
    }
}

pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends a request and reads its answer: status and body.
    pub fn send(&mut self, ask: &Ask) -> (u16, String) {
        self.0.get_mut().write_all(&ask.bytes).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let status =
            line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{line:?}"));
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        assert!(ask.expected.contains(&status), "{status}: {body}");
        (status, body)
    }
}

/// Runs something on several threads at once; the seconds until all were done.
pub fn hammer(threads: usize, run: impl Fn(usize) + Sync) -> f64 {
    let started = now();
    std::thread::scope(|scope| {
        for number in 0..threads {
            let run = &run;
            scope.spawn(move || run(number));
        }
    });
    started.elapsed().as_secs_f64()
}

pub fn now() -> Instant {
    Instant::now()
}

/// The CPU seconds of one hash, its memory block reused, on so many threads at once.
pub fn one_hash(threads: usize) -> f64 {
    let before = crate::server::cpu_seconds("self");
    hammer(threads, |_| hash_times(HASHES));
    (crate::server::cpu_seconds("self") - before) / (HASHES * threads) as f64
}

const HASHES: usize = 30;

fn hash_times(times: usize) {
    let params = Params::new(19_456, 2, 1, Some(32)).unwrap();
    let mut blocks = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut out = [0; 32];
    for _ in 0..times {
        argon2
            .hash_password_into_with_memory(b"correct horse battery staple", &[7; 16], &mut out, &mut blocks)
            .unwrap();
    }
}

/// The time below which a share of the times lies.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
pub fn percentile(times: &[f64], share: f64) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    let index = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len());
    times[index - 1]
}

/// Reads `/me` some two hundred times a second; the seconds each took.
pub fn read_me_steadily(server: &Server, token: &str, during: Duration) -> Vec<f64> {
    let ask = Ask::get("/v1/me", Some(token));
    let mut connection = Connection::open(server.address());
    let mut times = Vec::new();
    let started = now();
    while started.elapsed() < during {
        let asked = now();
        connection.send(&ask);
        times.push(asked.elapsed().as_secs_f64());
        std::thread::sleep(Duration::from_millis(4));
    }
    times
}
