//! The load driver: starts a release build of Doorstep on a fresh database, and measures what it costs.
//!
//! Every figure is printed as a ratio to a limit measured in the same run: CPU time (user and system) of the server
//! process from `/proc`, over a counted number of requests. Loopback only, and bounded.
//!
//! `cargo run --release -p doorstep-tests --bin bench -- [--timing|--providers] [postgres://… of an empty database]`
//!
//! With `--timing` it compares only how long a wrong sign-in takes, by who has the address; with `--providers` only what
//! a provider that misbehaves costs others.

#![expect(clippy::disallowed_methods, reason = "a load driver measures time and keeps a pace")]
#![expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "counts fit a float")]

mod load;
mod providers;
mod server;
mod timing;

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use doorstep_tests::providers::twitter::Twitter;
use load::{Ask, Connection, hammer, one_hash, percentile, read_me_steadily};
use server::{Cost, Server};

/// How often what is compared is measured in turn.
const ROUNDS: usize = 10;

fn main() {
    let (options, databases): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|word| word.starts_with("--"));
    let awake = stay_awake();
    println!("cores that rest are {}", if awake.is_some() { "kept awake" } else { "put to sleep by the system" });
    let twitter = Twitter::start();
    let told = providers::environment(&twitter);
    let mut server = Server::start(databases.first().map(String::as_str), &told);
    println!("database: {}", if databases.is_empty() { "SQLite" } else { "PostgreSQL" });
    match options.first().map(String::as_str) {
        Some("--providers") => providers::compare(&server, &twitter),
        Some("--timing") => timing::compare(&server),
        _ => measure(&mut server),
    }
}

/// Keeps idle cores from sleeping while the file is open, where we may (Linux, "PM Quality of Service Interface"): on a virtual
/// machine a core that sleeps is given to somebody else, and how long it takes to come back is not ours to measure.
fn stay_awake() -> Option<File> {
    let mut file = File::options().write(true).open("/dev/cpu_dma_latency").ok()?;
    file.write_all(&0_i32.to_ne_bytes()).ok()?;
    Some(file)
}

/// All that docs/performance.md has a goal for.
fn measure(server: &mut Server) {
    println!("\nat rest: {} MiB", server.resident_mib());
    let owners = server.claims(32);
    let token = server.signs_in(&owners[0]).access_token;

    let empty = server.cpu_per_request(&Ask::get("/healthz", None), 4, 40_000);
    let me = server.cpu_per_request(&Ask::get("/v1/me", Some(&token)), 4, 40_000);
    println!("empty answer: {:.1} µs CPU", empty.cpu * 1e6);
    println!("GET /v1/me: {:.1} µs CPU = {:.1} × empty{}", me.cpu * 1e6, me.cpu / empty.cpu, database_share(&me));

    for callers in [8, 64] {
        let pushes = server.pushes(callers, 6_400);
        let (cpu, rate) = (pushes.cpu * 1e6, pushes.rate);
        println!("push of one email: {cpu:.0} µs CPU, {rate:.0}/s by {callers} callers{}", database_share(&pushes));
    }

    let refreshes = server.refreshes(&owners[0], 64, 300);
    let (cpu, rate) = (refreshes.cpu * 1e6, refreshes.rate);
    println!("refresh: {cpu:.0} µs CPU, {rate:.0}/s by 64 callers{}", database_share(&refreshes));

    // in turn, as what a hash costs changes from one second to the next
    let (mut hash, mut sign_ins) = (0.0, Cost::default());
    for _ in 0..ROUNDS {
        hash += one_hash(1) / ROUNDS as f64;
        sign_ins.add(&server.sign_ins(&owners[..1], 30), ROUNDS);
    }
    println!(
        "one argon2id hash (19,456 KiB, 2, 1): {:.2} ms CPU; sign-in: {:.2} ms = {:.3} × one hash; without it {:.2} ms{}",
        hash * 1e3,
        sign_ins.cpu * 1e3,
        sign_ins.cpu / hash,
        (sign_ins.cpu - hash) * 1e3,
        database_share(&sign_ins),
    );

    let quiet = read_me_steadily(server, &token, Duration::from_secs(5));
    let (storm, signed_in) = server.in_a_storm(&owners, || read_me_steadily(server, &token, Duration::from_secs(8)));
    println!(
        "p99 of GET /v1/me: quiet {:.2} ms; with 32 clients signing in without pause ({:.0}/s = {:.2} × cores ÷ hash) \
         {:.2} ms = {:.1} × quiet",
        percentile(&quiet, 0.99) * 1e3,
        signed_in,
        signed_in * hash / cores(),
        percentile(&storm, 0.99) * 1e3,
        percentile(&storm, 0.99) / percentile(&quiet, 0.99),
    );
    println!("after the storm: {} MiB", server.resident_mib());

    let starts = server.restarts(10);
    println!(
        "start to first answer on an existing database, 10 times: median {:.0} ms, most {:.0} ms",
        percentile(&starts, 0.5) * 1e3,
        percentile(&starts, 1.0) * 1e3
    );
    println!("at rest after a start: {} MiB", server.resident_mib());
}

/// What `PostgreSQL` spent on it, where there is one.
fn database_share(cost: &Cost) -> String {
    if cost.database > 0.0 { format!(" (+ {:.0} µs of PostgreSQL's)", cost.database * 1e6) } else { String::new() }
}

fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1, usize::from) as f64
}

/// Requests one after another on one connection; fails on any answer that was not expected.
fn repeat(address: &str, ask: &Ask, times: usize) {
    let mut connection = Connection::open(address);
    for _ in 0..times {
        connection.send(ask);
    }
}

/// The same from several connections at once.
fn repeat_from(address: &str, ask: &Ask, callers: usize, times: usize) {
    hammer(callers, |_| repeat(address, ask, times / callers));
}
