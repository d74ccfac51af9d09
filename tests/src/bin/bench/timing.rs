//! EN-02: how long a wrong sign-in takes, by who has the address. Interleaved, so that the machine's moods meet all.

use serde_json::json;

use crate::load::{Ask, Connection, now, percentile};
use crate::server::Server;

const KINDS: [&str; 4] = ["absent", "unclaimed", "claimed", "disabled"];
/// Addresses of each kind, and tries with each: fewer than would be slowed.
const ADDRESSES: usize = 100;
const TRIES: usize = 2;

fn address(kind: &str, n: usize) -> String {
    format!("{kind}{n}@example.org")
}

/// Everybody is a caller of their own, whom no limit has met before.
fn caller(n: usize) -> String {
    format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255)
}

/// Prints the median of each kind, and its ratio to that of an address which nobody has.
pub fn compare(server: &Server) {
    for n in 0..ADDRESSES {
        server.pushes_from(&address("unclaimed", n));
        for (k, kind) in ["claimed", "disabled"].into_iter().enumerate() {
            server.claims_as(&address(kind, n), &caller(1_000_000 + 2 * n + k));
        }
    }
    server.disables("disabled%");
    let mut connection = Connection::open(server.address());
    let mut times = KINDS.map(|_| Vec::new());
    for sample in 0..ADDRESSES * TRIES {
        // each is first as often as last
        for (k, kind) in KINDS.iter().enumerate().cycle().skip(sample).take(KINDS.len()) {
            let body = json!({ "email": address(kind, sample % ADDRESSES), "password": "not it, not it, not it" });
            let ask = Ask::post("/v1/sessions", None, &body.to_string());
            let ask = ask.by(&caller(sample * KINDS.len() + k)).expecting(&[401]);
            let asked = now();
            connection.send(&ask);
            times[k].push(asked.elapsed().as_secs_f64());
        }
    }
    let base = percentile(&times[0], 0.5);
    for (kind, times) in KINDS.iter().zip(&times) {
        let (quarter, median, three) = (percentile(times, 0.25), percentile(times, 0.5), percentile(times, 0.75));
        println!(
            "wrong sign-in, {kind}: median of {} {:.3} ms (quartiles {:.3}, {:.3}) = {:.4} × absent",
            times.len(),
            median * 1e3,
            quarter * 1e3,
            three * 1e3,
            median / base
        );
    }
}
