//! What a provider that misbehaves costs everybody else: p99 of GET /v1/me while people try to sign in with it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use doorstep_tests::http::Client;
use doorstep_tests::providers::twitter::{CLIENT_ID, CLIENT_SECRET, TOKEN, Twitter, User};
use doorstep_tests::providers::{code_challenge, parameter};
use doorstep_tests::standin::Behaviour;
use serde_json::json;

use crate::load::{now, percentile, read_me_steadily};
use crate::server::Server;

const REDIRECT_URI: &str = "http://127.0.0.1/callback";
/// How often somebody new tries, whether or not those before have been answered: a provider that fails at once is asked no
/// more often than one that does well.
const PACE: Duration = Duration::from_millis(50);
/// How often all are measured in turn, and for how long each time.
const ROUNDS: usize = 9;
const EACH: Duration = Duration::from_secs(6);

/// What the provider does, in the order it is measured in. Doing well comes twice: how far the two lie apart is noise, and
/// the rounds of both are what the others are compared with.
fn behaviours() -> [(&'static str, Behaviour); 7] {
    [
        ("well", Behaviour::AsDocumented),
        ("well, once more", Behaviour::AsDocumented),
        ("dead (never answers)", Behaviour::Hang),
        ("slow (an octet a second)", Behaviour::Drip),
        ("huge (no end)", Behaviour::Huge),
        ("garbled (HTML)", Behaviour::Html),
        ("garbled (deep JSON)", Behaviour::DeepJson),
    ]
}

/// What the server is told of the stand-in.
pub fn environment(twitter: &Twitter) -> Vec<(String, String)> {
    let x = twitter.url();
    let of = |key: &str, value: String| (format!("DOORSTEP_{key}"), value);
    vec![
        of("SOCIAL_REDIRECT_URIS", REDIRECT_URI.to_owned()),
        of("PROVIDERS_TWITTER_CLIENT_ID", CLIENT_ID.to_owned()),
        of("PROVIDERS_TWITTER_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
        of("PROVIDERS_TWITTER_AUTHORIZATION_URL", format!("{x}/i/oauth2/authorize")),
        of("PROVIDERS_TWITTER_API_URL", format!("{x}/2")),
    ]
}

/// Whether the clients come so far that the provider is asked, or are refused before for a verifier that is not theirs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Come {
    ToProvider,
    NotSoFar,
}

/// Prints the p99 of reading `/me` with nobody there, with clients who are refused before the provider is asked, and with
/// clients there while it misbehaves.
pub fn compare(server: &Server, twitter: &Twitter) {
    let owners = server.claims(1);
    twitter.knows(User::new("ada", "12", None));
    let (mut quiet, mut without) = (Vec::new(), Vec::new());
    let mut busy = behaviours().map(|_| Vec::new());
    for _ in 0..ROUNDS {
        // an access token lives for five minutes
        let token = &server.signs_in(&owners[0]).access_token;
        let reads = || percentile(&read_me_steadily(server, token, EACH), 0.99);
        quiet.push(reads());
        without.push(while_clients_try(server, twitter, Come::NotSoFar, reads));
        for (p99s, (_, behaviour)) in busy.iter_mut().zip(behaviours()) {
            twitter.script(TOKEN, behaviour);
            p99s.push(while_clients_try(server, twitter, Come::ToProvider, reads));
        }
    }
    // of the rounds the middle one: what else the machine did for a moment is in few of them
    let middle = |p99s: &[f64]| percentile(p99s, 0.5);
    let spread = |p99s: &[f64]| format!("{:.2} to {:.2}", percentile(p99s, 0.0) * 1e3, percentile(p99s, 1.0) * 1e3);
    let well: Vec<f64> = busy.iter().take(2).flatten().copied().collect();
    println!("p99 of GET /v1/me, the middle one of {ROUNDS} rounds (and from the least to the most)");
    println!("with nobody at the provider: {:.2} ms ({})", middle(&quiet) * 1e3, spread(&quiet));
    let pace = PACE.as_millis();
    println!(
        "with somebody there every {pace} ms, refused before it is asked: {:.2} ms ({})",
        middle(&without) * 1e3,
        spread(&without)
    );
    for (p99s, (what, _)) in busy.iter().zip(behaviours()) {
        println!(
            "… while it does {what}: {:.2} ms ({}) = {:.2} × nobody = {:.2} × refused before = {:.2} × well",
            middle(p99s) * 1e3,
            spread(p99s),
            middle(p99s) / middle(&quiet),
            middle(p99s) / middle(&without),
            middle(p99s) / middle(&well),
        );
    }
}

fn while_clients_try<T>(server: &Server, twitter: &Twitter, come: Come, run: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    let http = Client::new(&format!("http://{}", server.address()));
    std::thread::scope(|scope| {
        let (over, http) = (&over, &http);
        scope.spawn(move || {
            let mut next = now();
            while !over.load(Ordering::Relaxed) {
                scope.spawn(move || tries(http, twitter, come));
                next += PACE;
                std::thread::sleep(next.saturating_duration_since(now()));
            }
        });
        let result = run();
        over.store(true, Ordering::Relaxed);
        // whoever is kept waiting is let go
        twitter.script(TOKEN, Behaviour::AsDocumented);
        result
    })
}

/// One round trip of somebody new; how it ends is the provider's business.
fn tries(http: &Client, twitter: &Twitter, come: Come) {
    static CALLERS: AtomicU32 = AtomicU32::new(0);
    let verifier = "v".repeat(43);
    let [_, a, b, c] = CALLERS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let caller = format!("10.{a}.{b}.{c}");
    let post =
        |path: &str, body: serde_json::Value| http.post(path).header("X-Forwarded-For", &caller).json(&body).send();
    let begin = json!({ "redirect_uri": REDIRECT_URI, "code_challenge": code_challenge(&verifier) });
    let begun = post("/v1/social/twitter/flows", begin);
    if begun.status != 201 {
        return;
    }
    let url = begun.json()["authorization_url"].as_str().unwrap().to_owned();
    let callback = twitter.consents(&url, "ada");
    let path = &callback[callback.find("/v1/").unwrap()..];
    let back = http.get(path).send().expect(303);
    let code = parameter(back.header("location").unwrap(), "code").unwrap();
    let shown = if come == Come::ToProvider { verifier } else { "w".repeat(43) };
    let answer = post("/v1/social/exchange", json!({ "code": code, "code_verifier": shown }));
    let expected: &[u16] = if come == Come::ToProvider { &[200, 502, 503, 504] } else { &[404] };
    assert!(expected.contains(&answer.status), "{}", answer.status);
}
