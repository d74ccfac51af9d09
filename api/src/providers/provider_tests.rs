use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use doorstep_core::identity::IdentityKind;
use serde_json::{Value, json};

use super::outbound_tests::{limits, run};
use super::stand_in::{Asked, Does, Signer, StandIn, answer, json as says};
use super::*;

/// What a test changes between two requests.
#[derive(Default)]
struct Mood {
    down: AtomicBool,
    signer: Mutex<Option<Signer>>,
    claims: Mutex<Value>,
    userinfo: Mutex<Value>,
    issuer: Mutex<Option<String>>,
    token_answer: Mutex<Option<(&'static str, Value)>>,
}

/// An OpenID provider, Google by name or another, and our client of it.
struct OpenIdWorld {
    service: StandIn,
    mood: Arc<Mood>,
    clock: Clock,
    registry: Registry,
    client: Arc<Client>,
}

impl OpenIdWorld {
    fn new(name: &str) -> Self {
        Self::with(name, limits())
    }

    fn with(name: &str, limits: Limits) -> Self {
        let mood = Arc::new(Mood::default());
        *mood.signer.lock().unwrap() = Some(Signer::new("k1"));
        let (theirs, base) = (Arc::clone(&mood), Arc::new(Mutex::new(String::new())));
        let their_base = Arc::clone(&base);
        let service = StandIn::start(move |asked| openid(&theirs, &their_base.lock().unwrap(), asked));
        base.lock().unwrap().clone_from(&service.url);
        let text = format!(
            "[providers.{name}]\nissuer = \"{}\"\nclient_id = \"client\"\nclient_secret = \"s3cr3t\"\n\
             native_client_ids = [\"ios\"]",
            service.url
        );
        let (clock, registry, client) = start(&text, name, limits);
        let world = Self { service, mood, clock, registry, client };
        world.say(&json!({ "email": "v@example.org", "email_verified": true, "hd": "example.org", "name": "V" }));
        world
    }

    /// What the next id tokens say, besides what they must.
    fn say(&self, more: &Value) {
        let now = self.clock.now().as_seconds();
        let mut claims = json!({
            "iss": self.service.url, "aud": "client", "sub": "s1", "nonce": "n1", "iat": now, "exp": now + 300,
        });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        *self.mood.claims.lock().unwrap() = claims;
    }

    fn token(&self) -> String {
        self.mood.signer.lock().unwrap().as_ref().unwrap().token(&self.mood.claims.lock().unwrap())
    }

    fn redeem(&self) -> Result<Arrival, ProviderError> {
        run(self.client.redeem("c0de", "v3rifier", "n1", "https://auth.example/callback"))
    }

    fn native(&self, token: &str) -> Result<Arrival, ProviderError> {
        run(self.client.check_native(NativeToken::IdToken(Zeroizing::new(token.to_owned())), "n1"))
    }

    fn authorization_url(&self) -> Result<Url, ProviderError> {
        run(self.client.authorization_url(round())).map(|url| Url::parse(&url).unwrap())
    }
}

fn openid(mood: &Mood, base: &str, asked: &Asked) -> Does {
    if mood.down.load(Ordering::SeqCst) {
        return answer("500 Internal Server Error", "X-None: 1", b"");
    }
    match asked.path() {
        "/.well-known/openid-configuration" => {
            let issuer = mood.issuer.lock().unwrap().clone().unwrap_or_else(|| base.to_owned());
            says(
                "200 OK",
                &json!({
                    "issuer": issuer, "authorization_endpoint": format!("{base}/authorize?tenant=1"),
                    "token_endpoint": format!("{base}/token"), "jwks_uri": format!("{base}/jwks"),
                    "userinfo_endpoint": format!("{base}/userinfo"),
                }),
            )
        }
        "/jwks" => says("200 OK", &mood.signer.lock().unwrap().as_ref().unwrap().jwks()),
        "/token" => {
            if let Some((status, body)) = mood.token_answer.lock().unwrap().as_ref() {
                return says(status, body);
            }
            let token = mood.signer.lock().unwrap().as_ref().unwrap().token(&mood.claims.lock().unwrap());
            says(
                "200 OK",
                &json!({ "access_token": "acc3ss", "token_type": "Bearer", "id_token": token, "expires_in": 60 }),
            )
        }
        "/userinfo" => says("200 OK", &mood.userinfo.lock().unwrap()),
        _ => answer("404 Not Found", "X-None: 1", b""),
    }
}

pub fn start(text: &str, name: &str, limits: Limits) -> (Clock, Registry, Arc<Client>) {
    let clock = Clock::movable();
    let registry = Registry::start(&Config::from_parts(text, &[]).unwrap(), &clock, limits).unwrap();
    let client = registry.get(&name.parse().unwrap()).unwrap();
    (clock, registry, client)
}

pub const fn round() -> Round<'static> {
    let redirect_uri = "https://auth.example/callback";
    Round { state: "st&te", nonce: "n1", pkce_challenge: "challenge", redirect_uri, anew: false }
}

pub fn parameters(url: &Url) -> std::collections::HashMap<String, String> {
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

#[test]
fn oa_07_people_are_always_sent_with_pkce_a_state_and_a_nonce() {
    let world = OpenIdWorld::new("google");
    for _ in 0..2 {
        let url = world.authorization_url().unwrap();
        let expected = [
            ("tenant", "1"),
            ("response_type", "code"),
            ("client_id", "client"),
            ("redirect_uri", "https://auth.example/callback"),
            ("scope", "openid email profile"),
            ("state", "st&te"),
            ("nonce", "n1"),
            ("code_challenge", "challenge"),
            ("code_challenge_method", "S256"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parameters(&url), expected.into_iter().collect());
    }
    assert_eq!(world.service.asked().len(), 1, "where that is was asked once");
}

#[test]
fn a_code_says_who_it_is() {
    let world = OpenIdWorld::new("google");
    let arrival = world.redeem().unwrap();
    assert_eq!(arrival.key.kind, IdentityKind::Google);
    assert_eq!((arrival.key.namespace.as_str(), arrival.key.subject.as_str()), (world.service.url.as_str(), "s1"));
    assert_eq!(arrival.name.as_deref(), Some("V"));
    assert_eq!(arrival.label.as_deref(), Some("v@example.org"));
    let email = arrival.email.unwrap();
    assert!(email.verified);
    assert_eq!(email.hosted_domain.as_deref(), Some("example.org"));

    let asked = world.service.asked();
    let exchange = asked.iter().find(|asked| asked.path() == "/token").unwrap();
    let sent = exchange.parameters();
    for (name, value) in [
        ("grant_type", "authorization_code"),
        ("code", "c0de"),
        ("code_verifier", "v3rifier"),
        ("redirect_uri", "https://auth.example/callback"),
    ] {
        assert_eq!(sent[name], value);
    }
    // client:s3cr3t
    assert_eq!(exchange.headers["authorization"], "Basic Y2xpZW50OnMzY3IzdA==");
    assert_eq!(world.service.count("/userinfo"), 0);
    assert_eq!(OpenIdWorld::new("acme").redeem().unwrap().key.kind, IdentityKind::Oidc);
}

#[test]
fn what_userinfo_says_is_never_more_than_a_hint() {
    let world = OpenIdWorld::new("acme");
    world.say(&json!({ "preferred_username": "vee" }));
    *world.mood.userinfo.lock().unwrap() = json!({ "sub": "s1", "email": "v@example.org", "email_verified": true });
    let arrival = world.redeem().unwrap();
    let email = arrival.email.unwrap();
    assert_eq!((email.address.as_str(), email.verified), ("v@example.org", false));
    assert_eq!(arrival.label.as_deref(), Some("vee"));
    let asked = world.service.asked();
    assert_eq!(asked.last().unwrap().headers["authorization"], "Bearer acc3ss");
    // about somebody else, or not to be had: as if there were none
    for other in [json!({ "sub": "s2", "email": "v@example.org" }), json!({ "email": "v@example.org" }), json!([])] {
        *world.mood.userinfo.lock().unwrap() = other;
        assert_eq!(world.redeem().unwrap().email, None);
    }
}

#[test]
fn oa_17_an_email_that_is_none_is_not_there() {
    let world = OpenIdWorld::new("google");
    for email in [json!(["v@example.org"]), json!({}), json!("v@example.org\r\nBcc: a@example.org"), json!(1)] {
        world.say(&json!({ "email": email, "email_verified": true }));
        assert_eq!(world.redeem().unwrap().email, None, "{email}");
    }
}

#[test]
fn oa_06_a_token_of_another_flow_is_refused() {
    let world = OpenIdWorld::new("google");
    for wrong in [json!({ "nonce": "n2" }), json!({ "aud": "other" }), json!({ "aud": "ios" }), json!({ "exp": 1 })] {
        world.say(&wrong);
        assert!(matches!(world.redeem(), Err(ProviderError::Refused(_))), "{wrong}");
    }
    world.say(&json!({ "at_hash": "x" }));
    assert!(matches!(world.redeem(), Err(ProviderError::Refused(_))));
}

#[test]
fn oa_09_an_apps_token_is_taken_where_the_app_is_listed() {
    let world = OpenIdWorld::new("google");
    for aud in ["client", "ios"] {
        world.say(&json!({ "aud": aud }));
        assert_eq!(world.native(&world.token()).unwrap().key.subject, "s1");
    }
    world.say(&json!({ "aud": "android" }));
    assert!(matches!(world.native(&world.token()), Err(ProviderError::Refused(_))));
    let access = NativeToken::AccessToken(Zeroizing::new("x".to_owned()));
    assert!(matches!(run(world.client.check_native(access, "n1")), Err(ProviderError::NativeUnsupported(_))));
    assert!(world.client.takes_native());
    assert_eq!(world.client.issuer(), Some(world.service.url.as_str()));
}

#[test]
fn oa_10_a_discovery_document_is_its_issuers_own() {
    for wrong in ["https://evil.example", "{}/", "{}/x", ""] {
        let world = OpenIdWorld::new("google");
        *world.mood.issuer.lock().unwrap() = Some(wrong.replace("{}", &world.service.url));
        assert!(matches!(world.authorization_url(), Err(ProviderError::Failed(_))), "{wrong}");
        assert!(matches!(world.redeem(), Err(ProviderError::Failed(_))), "{wrong}");
        assert_eq!(world.service.count("/token"), 0);
    }
}

#[test]
fn oa_29_a_storm_of_unknown_keys_is_not_passed_on() {
    let world = OpenIdWorld::new("google");
    world.native(&world.token()).unwrap();
    for n in 0..1000 {
        let unknown = Signer::new(&format!("random-{n}")).token(&world.mood.claims.lock().unwrap());
        assert!(matches!(world.native(&unknown), Err(ProviderError::Refused(_))));
    }
    assert_eq!(world.service.count("/jwks"), 2);
    assert_eq!(world.service.asked().len(), 3);
    world.native(&world.token()).unwrap();
}

#[test]
fn a_new_key_is_found_when_it_is_used() {
    let world = OpenIdWorld::new("google");
    world.native(&world.token()).unwrap();
    for kid in ["k2", "k3"] {
        world.clock.advance(Duration::from_secs(5 * 60));
        *world.mood.signer.lock().unwrap() = Some(Signer::new(kid));
        world.say(&json!({}));
        world.native(&world.token()).unwrap();
    }
    assert_eq!(world.service.count("/jwks"), 3);
}

#[test]
fn what_was_published_is_used_while_the_provider_is_away() {
    let world = OpenIdWorld::new("google");
    world.native(&world.token()).unwrap();
    world.mood.down.store(true, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(23 * 60 * 60));
    world.say(&json!({}));
    world.native(&world.token()).unwrap();
    world.clock.advance(Duration::from_secs(2 * 60 * 60));
    world.say(&json!({}));
    assert!(matches!(world.native(&world.token()), Err(ProviderError::Failed(_))));
}

#[test]
fn ft_16_a_provider_that_fails_is_left_alone_and_found_again() {
    let world = OpenIdWorld::new("google");
    world.mood.down.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        assert!(matches!(world.redeem(), Err(ProviderError::Failed(_))));
    }
    let asked = world.service.asked().len();
    for _ in 0..20 {
        assert!(matches!(world.redeem(), Err(ProviderError::Busy { .. })));
    }
    assert_eq!(world.service.asked().len(), asked);
    world.mood.down.store(false, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(10));
    world.say(&json!({}));
    assert!(world.redeem().is_ok());
    assert!(world.redeem().is_ok());
}

#[test]
fn ft_16_a_provider_says_when_to_come_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&calls);
    let service = StandIn::start(move |_| {
        seen.fetch_add(1, Ordering::SeqCst);
        answer("429 Too Many Requests", "Retry-After: 30", b"")
    });
    let text =
        format!("[providers.twitter]\nclient_id = \"c\"\nclient_secret = \"s\"\napi_url = \"{}/2\"", service.url);
    let (clock, _registry, client) = start(&text, "twitter", limits());
    let redeem = || run(client.redeem("c", "v", "n", "https://auth.example/callback"));
    assert_eq!(redeem(), Err(ProviderError::Busy { retry_after: Duration::from_secs(30) }));
    assert!(matches!(redeem(), Err(ProviderError::Busy { .. })));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    clock.advance(Duration::from_secs(30));
    redeem().unwrap_err();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn who_has_worn_out_their_own_token_keeps_nobody_else_away() {
    for refusal in ["429 Too Many Requests", "403 Forbidden"] {
        let service = StandIn::start(move |asked| match asked.path() {
            "/2/oauth2/token" => says("200 OK", &json!({ "access_token": "us3r", "token_type": "bearer" })),
            _ => answer(refusal, "Retry-After: 30", b""),
        });
        let text =
            format!("[providers.twitter]\nclient_id = \"c\"\nclient_secret = \"s\"\napi_url = \"{}/2\"", service.url);
        let (_clock, _registry, client) = start(&text, "twitter", limits());
        for _ in 0..7 {
            run(client.redeem("c", "v", "n", "https://auth.example/callback")).unwrap_err();
        }
        assert_eq!(service.count("/2/oauth2/token"), 7, "{refusal}");
    }
}

#[test]
fn a_refused_code_is_no_failure_of_the_provider() {
    let world = OpenIdWorld::new("google");
    let answer = |status, body| *world.mood.token_answer.lock().unwrap() = Some((status, body));
    for _ in 0..10 {
        answer("400 Bad Request", json!({ "error": "invalid_grant", "error_description": "c0de was used" }));
        assert_eq!(world.redeem(), Err(ProviderError::Refused("the token endpoint says invalid_grant".to_owned())));
    }
    for (status, body) in [
        ("401 Unauthorized", json!({ "error": "invalid_client" })),
        ("400 Bad Request", json!({})),
        ("200 OK", json!({ "error": 1 })),
        ("200 OK", json!({ "access_token": "x", "token_type": "Bearer" })),
    ] {
        answer(status, body.clone());
        let error = world.redeem().unwrap_err();
        assert!(matches!(error, ProviderError::Failed(_) | ProviderError::Refused(_)), "{body}: {error}");
        answer("400 Bad Request", json!({ "error": "invalid_grant" }));
        world.redeem().unwrap_err();
    }
    // no word of the provider's goes into the log
    answer("400 Bad Request", json!({ "error": "c0de\nforged=line" }));
    assert_eq!(world.redeem(), Err(ProviderError::Refused("the token endpoint says something else".to_owned())));
}

#[test]
fn a_stopped_registry_answers_at_once() {
    let world = OpenIdWorld::new("google");
    world.authorization_url().unwrap();
    world.registry.stop();
    assert!(matches!(world.redeem(), Err(ProviderError::Failed(_))));
}

#[test]
fn ft_12_one_deadline_is_around_everything() {
    let service = StandIn::start(|_| Does::Hangs);
    let text = format!("[providers.twitter]\nclient_id = \"c\"\nclient_secret = \"s\"\napi_url = \"{}\"", service.url);
    let impatient = Limits { whole: Duration::from_millis(200), ..limits() };
    let (_clock, _registry, client) = start(&text, "twitter", impatient);
    let redeemed = run(client.redeem("c", "v", "n", "https://auth.example/callback"));
    assert_eq!(redeemed, Err(ProviderError::TimedOut));
}

#[test]
fn nobody_is_spoken_to_where_nobody_is_configured() {
    let registry = Registry::start(&Config::default(), &Clock::System, Limits::default()).unwrap();
    assert_eq!(registry.providers().iter().count(), 0);
    assert!(registry.get(&"google".parse().unwrap()).is_none());
    registry.stop();
}
