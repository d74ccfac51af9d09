//! Providers that are slow, broken, busy or gone: whoever signs in is told in time, nothing is written, and nobody else
//! waits.

use std::time::Duration;

use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::PASSWORD;
use doorstep_tests::providers::facebook::{self, Facebook};
use doorstep_tests::providers::issuer::{self, Issuer};
use doorstep_tests::providers::twitter::{self, Twitter};
use doorstep_tests::social::{ACME, Social, continuation};
use doorstep_tests::standin::{Behaviour, Call, Reply, Standin};
use doorstep_tests::{Db, Setup, on_both_as, on_both_with_providers};
use serde_json::json;

use crate::natively::{arrives_natively, begins_natively, nothing_is_written, shows_access_token};

/// How long a provider is waited for here.
const WHOLE: Duration = Duration::from_secs(2);
/// What a slow machine may need besides.
const SLACK: Duration = Duration::from_secs(5);
/// After so long nothing is kept of what a provider publishes, and nobody is left alone.
pub const LONG: Duration = Duration::from_secs(25 * 3600);

/// Runs a story in a Doorstep that is short of patience.
fn in_haste(db: Db, story: fn(&mut Social)) {
    let mut setup = Setup::default();
    setup.patience.providers.whole = WHOLE;
    if let Some(mut social) = Social::start(db, setup) {
        story(&mut social);
        social.check_invariants();
    }
}

/// Runs a story in a Doorstep whose patience never ends.
fn patiently(db: Db, story: fn(&mut Social)) {
    let mut setup = Setup::default();
    setup.patience.providers.whole = Duration::from_secs(600);
    setup.patience.providers.renew = Duration::from_secs(1);
    if let Some(mut social) = Social::start(db, setup) {
        story(&mut social);
        social.check_invariants();
    }
}

/// Something that a sign-in asks a provider for.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    provider: &'static str,
    endpoint: &'static str,
    way: Way,
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Browser,
    IdToken,
    AccessToken,
}

const fn place(provider: &'static str, endpoint: &'static str, way: Way) -> Place {
    Place { provider, endpoint, way }
}

/// Nearly all; those of a line can be asked at the same time.
const PLACES: [&[Place]; 3] = [
    &[
        place("google", issuer::TOKEN, Way::Browser),
        place("facebook", facebook::TOKEN, Way::Browser),
        place("twitter", twitter::TOKEN, Way::Browser),
        place(ACME, issuer::DISCOVERY, Way::Browser),
    ],
    &[
        place("google", issuer::JWKS, Way::Browser),
        place("facebook", facebook::ME, Way::Browser),
        place("twitter", twitter::ME, Way::Browser),
        place(ACME, issuer::JWKS, Way::IdToken),
    ],
    &[
        place("google", issuer::DISCOVERY, Way::IdToken),
        place("facebook", facebook::DEBUG_TOKEN, Way::AccessToken),
        place(ACME, issuer::TOKEN, Way::Browser),
    ],
];

/// The last one, which no other fits beside.
const LIMITED_KEYS: Place = place("facebook", facebook::JWKS, Way::IdToken);

/// Every one of them.
pub fn places() -> impl Iterator<Item = Place> {
    PLACES.into_iter().flatten().copied().chain([LIMITED_KEYS])
}

fn standin<'s>(social: &'s Social, provider: &str) -> &'s Standin {
    match provider {
        "google" => &social.google,
        "facebook" => &social.facebook,
        "twitter" => &social.twitter,
        _ => &social.acme,
    }
}

/// Somebody whom nobody knows signs in this way: the first answer that is not good, or the last.
fn tries(social: &Social, place: Place) -> Answer {
    social.facebook.knows(facebook::User::new("ada", "4711", None));
    social.twitter.knows(twitter::User::new("ada", "12", None));
    match place.way {
        Way::IdToken => arrives_natively(social, place.provider),
        Way::AccessToken => {
            let flow = begins_natively(social, place.provider);
            shows_access_token(social, &flow, &social.facebook.access_token(facebook::APP_ID, "ada"))
        }
        Way::Browser => tries_by_browser(social, place.provider),
    }
}

fn tries_by_browser(social: &Social, provider: &str) -> Answer {
    let verifier = "a verifier of forty-three characters at least".replace(' ', "-");
    let begun = social.asks_to_begin(provider, &verifier);
    if begun.status != 201 {
        return begun;
    }
    let text = |name: &str| begun.json()[name].as_str().unwrap().to_owned();
    let (id, url) = (text("flow_id"), text("authorization_url"));
    let flow = doorstep_tests::social::Flow { provider: provider.to_owned(), id, url, verifier };
    let back = match provider {
        "google" => social.google_says(&flow, "g-1", &json!({})),
        "facebook" => social.facebook.consents(&flow.url, "ada"),
        "twitter" => social.twitter.consents(&flow.url, "ada"),
        _ => social.acme_says(&flow, "a-1", &json!({})),
    };
    social.exchanges(&social.brings(&flow, &back), &flow.verifier)
}

/// A while later all providers are as good as before.
pub fn all_work(social: &Social) {
    social.advance(LONG);
    for place in PLACES[0] {
        continuation(tries(social, *place));
    }
}

/// While a place behaves like this, whoever signs in there is told so; afterwards it works.
pub fn fails(social: &Social, place: Place, behaviour: &Behaviour, status: u16, code: &str) -> Answer {
    let provider = standin(social, place.provider);
    provider.script(place.endpoint, behaviour.clone());
    let before = provider.calls(place.endpoint).len();
    let answer = tries(social, place);
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{place:?}: {behaviour:?}");
    assert_eq!(provider.calls(place.endpoint).len(), before + 1, "{place:?} is asked once");
    nothing_is_written(social);
    provider.script(place.endpoint, Behaviour::AsDocumented);
    answer
}

/// Answers this, whatever it is asked.
pub fn answers(status: u16, kind: &str, body: &str) -> Behaviour {
    Behaviour::Answer { status, content_type: kind.into(), headers: vec![], body: body.into() }
}

fn redirects(status: u16, to: &str) -> Behaviour {
    let headers = vec![("Location".to_owned(), to.to_owned())];
    Behaviour::Answer { status, content_type: "application/json".into(), headers, body: b"{}".to_vec() }
}

/// What no answer is.
fn garbage() -> Vec<Behaviour> {
    let plausible =
        r#"{"access_token":"EAAB","token_type":"bearer","id_token":"x","id":"1","data":{"id":"1"},"keys":[]}"#;
    let json = ["", " ", "{}", "[]", "null", "7", "\"x\"", "{\"a\":", "\u{feff}{}"];
    let json = json.into_iter().map(|body| answers(200, "application/json", body));
    let kinds = ["text/plain", "text/html", "application/javascript", ""];
    let kinds = kinds.into_iter().map(|kind| answers(200, kind, plausible));
    let more = [
        Behaviour::Html,
        Behaviour::TruncatedJson,
        Behaviour::InvalidUtf8,
        Behaviour::DeepJson,
        Behaviour::Huge,
        Behaviour::Close,
        answers(204, "application/json", ""),
    ];
    json.chain(kinds).chain(more).collect()
}

on_both_as! {
    Social, in_haste,

    fn ft_12_a_provider_that_is_slow_is_given_up_in_time(social) {
        let slow = [(Behaviour::Hang, &PLACES[..]), (Behaviour::SlowHead, &PLACES[..1]), (Behaviour::Drip, &PLACES[1..2])];
        for (behaviour, lines) in slow {
            for line in lines {
                social.advance(LONG);
                let began = social.clock.now();
                in_parallel(line.len(), |n| fails(social, line[n], &behaviour, 504, "provider_timeout"));
                assert!(social.clock.now().since(began) < WHOLE + SLACK, "{line:?}: {behaviour:?}");
                for place in *line {
                    continuation(tries(social, *place));
                }
            }
        }
    }
}

on_both_as! {
    Social, patiently,

    fn ft_12_what_is_only_a_hint_is_waited_for_a_moment(social) {
        for behaviour in [Behaviour::Hang, Behaviour::Drip, Behaviour::Html, Behaviour::Close, Behaviour::busy(429, 60), answers(500, "text/plain", "")] {
            social.google.script(issuer::USERINFO, behaviour.clone());
            let began = social.clock.now();
            let body = social.arrives_by_google("g-1", &json!({})).expect(200).json();
            assert_eq!((&body["status"], &body["email_hint"]), (&json!("email_required"), &json!(null)), "{behaviour:?}");
            assert!(social.clock.now().since(began) < WHOLE + SLACK, "{behaviour:?}");
        }
        nothing_is_written(social);
    }

    fn ft_12_while_sixty_four_wait_for_a_provider_nobody_else_does(social) {
        let ada = social.signs_up("ada@example.org");
        let flows: Vec<_> = (0..65).map(|_| social.begins("google")).collect();
        let codes: Vec<String> = flows.iter().map(|flow| social.brings(flow, &social.google_says(flow, "g-1", &json!({})))).collect();
        social.google.script(issuer::TOKEN, Behaviour::Hang);
        let social = &*social;
        let ends = std::thread::scope(|scope| {
            let exchange = |n: usize| social.exchanges(&codes[n], &flows[n].verifier);
            let waiting: Vec<_> = (0..64).map(|n| scope.spawn(move || exchange(n))).collect();
            social.google.wait_for_calls(issuer::TOKEN, 64, Duration::from_secs(20));
            let began = social.clock.now();
            social.me(&ada.access_token).expect(200);
            social.tries_to_sign_in("ada@example.org", PASSWORD).expect(201);
            let one_more = exchange(64).expect(503);
            assert_eq!((one_more.code().as_str(), one_more.header("retry-after")), ("provider_busy", Some("1")));
            assert!(social.clock.now().since(began) < SLACK, "nobody waits");
            assert_eq!(social.google.calls(issuer::TOKEN).len(), 64);
            // none is let go before
            assert!(waiting.iter().all(|thread| !thread.is_finished()));
            social.google.script(issuer::TOKEN, Behaviour::AsDocumented);
            waiting.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(ends.iter().all(|answer| answer.status == 502), "they were hung up on");
        assert_eq!(social.count("SELECT count(*) AS n FROM identities WHERE kind <> 'email'"), 0);
        social.advance(Duration::from_secs(11));
        continuation(social.arrives_by_google("g-1", &json!({})));
    }
}

on_both_with_providers! {
    fn ft_14_garbage_is_the_providers_fault(social) {
        for behaviour in garbage() {
            for place in places() {
                social.advance(LONG);
                let answer = fails(social, place, &behaviour, 502, "provider_failed");
                for word in ["EAAB", "Welcome", "line 1", "serde", "http://"] {
                    assert!(!answer.json().to_string().contains(word), "{place:?}: {}", answer.json());
                }
            }
            all_work(social);
        }
    }

    fn ft_14_what_was_published_before_is_used_while_nothing_better_is_to_be_had(social) {
        continuation(arrives_natively(social, "google"));
        social.google.script(issuer::DISCOVERY, Behaviour::Html);
        social.google.script(issuer::JWKS, Behaviour::Close);
        for _ in 0..3 {
            social.advance(Duration::from_secs(2 * 3600));
            continuation(arrives_natively(social, "google"));
        }
        assert!(social.google.calls(issuer::JWKS).len() > 1, "it is asked all the same");
        social.advance(LONG);
        assert_eq!(arrives_natively(social, "google").expect(502).code(), "provider_failed");
        nothing_is_written(social);
    }

    fn ft_14_a_discovery_document_leads_nowhere_else(social) {
        for (name, value) in [
            ("issuer", json!("https://evil.example")), ("issuer", json!(format!("{}/", social.acme.url()))), ("issuer", json!(null)),
            ("authorization_endpoint", json!("http://evil.example/authorize")), ("token_endpoint", json!("http://evil.example/token")),
            ("jwks_uri", json!("file:///etc/passwd")), ("jwks_uri", json!("http://169.254.169.254/keys")), ("authorization_endpoint", json!("javascript:alert(1)")),
            ("token_endpoint", json!("http://user:password@127.0.0.1/token")), ("jwks_uri", json!(7)),
        ] {
            let mut good = json!(null);
            social.acme.change_discovery(|document| {
                good = document.clone();
                document[name] = value.clone();
            });
            social.advance(LONG);
            assert_eq!(tries_by_browser(social, ACME).expect(502).code(), "provider_failed", "{name}: {value}");
            social.acme.change_discovery(|document| *document = good);
            continuation(tries_by_browser(social, ACME));
        }
        nothing_is_written(social);
    }

    fn ft_12_ft_17_a_provider_that_is_not_there(social) {
        let clock = social.clock.clone();
        drop(std::mem::replace(&mut social.twitter, Twitter::start()));
        drop(std::mem::replace(&mut social.facebook, Facebook::start(clock.clone())));
        drop(std::mem::replace(&mut social.acme, Issuer::start(clock)));
        assert_eq!(social.asks_to_begin(ACME, &"v".repeat(43)).expect(502).code(), "provider_failed");
        let flow = begins_natively(social, "facebook");
        assert_eq!(shows_access_token(social, &flow, "EAAB").expect(502).code(), "provider_failed");
        for provider in ["twitter", "facebook"] {
            let flow = social.begins(provider);
            let state = doorstep_tests::providers::parameter(&flow.url, "state").unwrap();
            let code = social.brings(&flow, &format!("https://auth.shop.example/v1/social/{provider}/callback?code=c&state={state}"));
            assert_eq!(social.exchanges(&code, &flow.verifier).expect(502).code(), "provider_failed", "{provider}");
            assert_eq!(social.exchanges(&code, &flow.verifier).expect(410).code(), "flow_expired");
        }
        nothing_is_written(social);
        continuation(social.arrives_by_google("g-1", &json!({})));
    }

    fn a_redirect_is_not_followed(social) {
        let evil = Standin::start(|_| |_: &Call| Reply::json(200, &json!({ "access_token": "x", "id": "1", "keys": [] })));
        let to = format!("{}/stolen", evil.url());
        for place in places() {
            let ways = [301, 302, 303, 307, 308].map(|status| redirects(status, &to));
            for behaviour in ways.into_iter().chain([Behaviour::Redirect(to.clone())]) {
                social.advance(LONG);
                fails(social, place, &behaviour, 502, "provider_failed");
            }
        }
        all_work(social);
        assert!(evil.calls("/stolen").is_empty(), "{:?}", evil.calls("/stolen"));
    }
}
