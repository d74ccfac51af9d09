//! A small TCP proxy that can hold back what the server behind it answers.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

#[derive(Default)]
struct Gate {
    held: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, held: bool) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(held, |held| *held));
    }
}

/// Passes everything on, until it is told to hold.
pub struct Proxy {
    gate: Arc<Gate>,
    port: u16,
}

impl Proxy {
    /// One in front of `target`, such as `127.0.0.1:5432`.
    ///
    /// # Panics
    /// When there is no port to listen on.
    #[must_use]
    pub fn before(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let gate = Arc::new(Gate::default());
        let shared = Arc::clone(&gate);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&target) else { continue };
                let open = Arc::new(Gate::default());
                carry(&client, &server, open);
                carry(&server, &client, Arc::clone(&shared));
            }
        });
        Self { gate, port }
    }

    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// From now on nobody hears an answer.
    pub fn hold(&self) {
        self.gate.set(true);
    }

    /// What was held back goes on its way, and so does the rest.
    pub fn release(&self) {
        self.gate.set(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.release();
    }
}

fn carry(from: &TcpStream, to: &TcpStream, gate: Arc<Gate>) {
    let mut from = from.try_clone().expect("an open socket");
    let mut to = to.try_clone().expect("an open socket");
    thread::spawn(move || {
        let mut bytes = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            gate.pass();
            if to.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        drop(to.shutdown(Shutdown::Both));
        drop(from.shutdown(Shutdown::Both));
    });
}
