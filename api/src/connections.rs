//! Connections: how long the server waits for whom, and an end to those that only hold on.
//!
//! actix times the first head of a connection and the silence between two requests. Who drips the head of a second
//! request, or never reads an answer, it would wait for without an end.

use std::any::Any;
use std::cell::Cell;
use std::convert::Infallible;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::dev::{Extensions, ServiceRequest};
use actix_web::rt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::providers::Limits;

/// How long the server waits, and for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a head.
    pub head: Duration,
    /// For the next request on a connection.
    pub keep_alive: Duration,
    /// For a body.
    pub body: Duration,
    /// For the database, whose own bounds are shorter.
    pub database: Duration,
    /// For providers that people sign in with.
    pub providers: Limits,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            keep_alive: Duration::from_secs(5),
            body: Duration::from_secs(15),
            database: Duration::from_secs(12),
            providers: Limits::default(),
        }
    }
}

/// Octets of an answer that a client takes in a second, at the least.
const LEAST_RATE: u64 = 32 * 1024;
/// However large an answer is, nobody takes longer.
const LONGEST: Duration = Duration::from_secs(600);

/// Files that are open besides connections: the database's, the log, mail.
const OTHER_FILES: u64 = 256;

/// Lets this process have as many files open as the system allows it.
pub fn open_as_many_files_as_may_be() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "the limit to open files stays as it is");
    }
}

/// As many connections as are wanted, or as there is room for: each takes two files, for its watch has one too.
pub fn room_for(wanted: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = usize::try_from(files.saturating_sub(OTHER_FILES) / 2).unwrap_or(usize::MAX).max(16);
    if room < wanted {
        tracing::warn!(files, connections = room, "fewer connections than server.connections: raise ulimit -n");
    }
    room.min(wanted)
}

/// The open connections of a server.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<AtomicUsize>);

impl Connections {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// Watches over a new connection until it is gone.
    pub fn watch(&self, patience: Patience, io: &dyn Any, extensions: &mut Extensions) {
        let Some(stream) = io.downcast_ref::<rt::net::TcpStream>() else { return };
        let socket = match stream.as_fd().try_clone_to_owned() {
            Ok(socket) => TcpStream::from(socket),
            Err(error) => {
                tracing::warn!(%error, "a connection goes without its watch");
                return;
            }
        };
        let (here, gone) = oneshot::channel();
        let turns = Rc::new(Turns::default());
        extensions.insert(Connection { turns: Rc::clone(&turns), _open: Open::new(self), _here: here });
        rt::spawn(end_when_overdue(socket, turns, gone, patience));
    }
}

/// Waits while requests and answers go on; ends the connection when they do not.
async fn end_when_overdue(
    socket: TcpStream,
    turns: Rc<Turns>,
    mut gone: oneshot::Receiver<Infallible>,
    patience: Patience,
) {
    loop {
        let seen = turns.count.get();
        let answer = Duration::from_secs(turns.answered.get() / LEAST_RATE);
        let allowed = (patience.head + patience.keep_alive + answer).min(LONGEST);
        if timeout(allowed, &mut gone).await.is_ok() {
            return;
        }
        if turns.running.get() == 0 && turns.count.get() == seen {
            tracing::debug!("a connection held on without a request");
            drop(socket.shutdown(Shutdown::Both));
            return;
        }
    }
}

/// What is known of a connection, for as long as it is there.
struct Connection {
    turns: Rc<Turns>,
    _open: Open,
    _here: oneshot::Sender<Infallible>,
}

/// One of the open connections.
struct Open(Connections);

impl Open {
    fn new(connections: &Connections) -> Self {
        connections.0.fetch_add(1, Ordering::AcqRel);
        Self(connections.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The requests of a connection.
#[derive(Debug, Default)]
struct Turns {
    running: Cell<u32>,
    /// Goes up with every request that begins or ends.
    count: Cell<u64>,
    /// Octets of the last answer.
    answered: Cell<u64>,
}

impl Turns {
    fn change(&self, running: u32) {
        self.running.set(running);
        self.count.set(self.count.get().wrapping_add(1));
    }
}

/// A request that runs, for as long as this is kept.
pub struct Turn(Option<Rc<Turns>>);

impl Turn {
    /// The head has arrived.
    #[must_use]
    pub fn begin(request: &ServiceRequest) -> Self {
        let turns = request.conn_data::<Connection>().map(|connection| Rc::clone(&connection.turns));
        if let Some(turns) = &turns {
            turns.change(turns.running.get().saturating_add(1));
        }
        Self(turns)
    }

    /// There is an answer of so many octets to take.
    pub fn end(self, octets: u64) {
        if let Some(turns) = &self.0 {
            turns.answered.set(octets);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = &self.0 {
            turns.change(turns.running.get().saturating_sub(1));
        }
    }
}
