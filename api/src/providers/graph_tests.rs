use doorstep_core::identity::IdentityKind;
use serde_json::{Value, json};

use super::outbound_tests::{limits, run};
use super::provider_tests::{parameters, round, start};
use super::stand_in::{Signer, StandIn, answer, json as says};
use super::*;

/// Facebook's Graph API, with one person in it.
fn graph(changes: &'static [(&'static str, &'static str)]) -> (StandIn, Clock, Registry, Arc<Client>) {
    let service = StandIn::start(move |asked| {
        let mut body = match asked.path() {
            "/v1/oauth/access_token" => {
                json!({ "access_token": "us3r", "token_type": "bearer", "expires_in": 5_000_000 })
            }
            "/v1/me" => json!({ "id": "99", "name": "Ada", "email": "ada@example.org" }),
            "/v1/debug_token" => json!({
                "app_id": "7", "type": "USER", "is_valid": true, "user_id": "99", "expires_at": 0,
            }),
            "/keys" => return says("200 OK", &json!({ "keys": [] })),
            _ => return answer("404 Not Found", "X-None: 1", b""),
        };
        for (at, value) in changes {
            let (path, name) = at.split_once(' ').unwrap();
            if asked.path() == path {
                body[name] = serde_json::from_str(value).unwrap();
            }
        }
        if body.get("error").is_some() {
            return says("400 Bad Request", &body);
        }
        let body = if asked.path() == "/v1/debug_token" { json!({ "data": body }) } else { body };
        says("200 OK", &body)
    });
    let text = format!(
        "[providers.facebook]\nclient_id = \"7\"\nclient_secret = \"s3cr3t\"\ngraph_url = \"{0}/v1/\"\n\
         limited_jwks_url = \"{0}/keys\"",
        service.url
    );
    let (clock, registry, client) = start(&text, "facebook", limits());
    (service, clock, registry, client)
}

fn access_token(client: &Arc<Client>, token: &str) -> Result<Arrival, ProviderError> {
    run(client.check_native(NativeToken::AccessToken(Zeroizing::new(token.to_owned())), "n1"))
}

#[test]
fn facebook_says_who_it_is_and_its_email_is_a_hint() {
    let (service, _clock, _registry, client) = graph(&[]);
    let url = Url::parse(&run(client.authorization_url(round())).unwrap()).unwrap();
    assert_eq!(url.host_str(), Some("www.facebook.com"));
    let sent = parameters(&url);
    assert_eq!((sent["code_challenge_method"].as_str(), sent["state"].as_str()), ("S256", "st&te"));
    assert_eq!(sent["scope"], "public_profile email");

    let arrival = run(client.redeem("c0de", "v3rifier", "n1", "https://auth.example/callback")).unwrap();
    assert_eq!((arrival.key.kind, arrival.key.namespace.as_str()), (IdentityKind::Facebook, "7"));
    assert_eq!((arrival.key.subject.as_str(), arrival.name.as_deref()), ("99", Some("Ada")));
    assert!(!arrival.email.unwrap().verified);
    let asked = service.asked();
    let exchange = asked[0].parameters();
    assert_eq!((exchange["client_secret"].as_str(), exchange["code_verifier"].as_str()), ("s3cr3t", "v3rifier"));
    let me = asked[1].parameters();
    assert_eq!((me["access_token"].as_str(), me["appsecret_proof"].len()), ("us3r", 64));
    assert_eq!(client.issuer(), None);
}

#[test]
fn oa_15_an_access_token_of_another_app_is_refused() {
    let (service, _clock, _registry, client) = graph(&[]);
    assert_eq!(access_token(&client, "us3r").unwrap().key.subject, "99");
    assert_eq!(service.asked()[0].parameters()["access_token"], "7|s3cr3t");
    for wrong in ["", "a b", "a\r\nb", &"x".repeat(5000)] {
        assert!(matches!(access_token(&client, wrong), Err(ProviderError::Refused(_))), "{wrong}");
    }
    let wrong: &[&'static [(&str, &str)]] = &[
        &[("/v1/debug_token app_id", "\"8\"")],
        &[("/v1/debug_token app_id", "8")],
        &[("/v1/debug_token app_id", "null")],
        &[("/v1/debug_token app_id", "\"\"")],
        &[("/v1/debug_token type", "\"PAGE\"")],
        &[("/v1/debug_token is_valid", "false")],
        &[("/v1/debug_token is_valid", "\"true\"")],
        &[("/v1/debug_token user_id", "\"98\"")],
        &[("/v1/debug_token user_id", "99")],
        &[("/v1/debug_token user_id", "null")],
        &[("/v1/debug_token expires_at", "1000000")],
        &[("/v1/debug_token expires_at", "null")],
        &[("/v1/me id", "\"98\"")],
        &[("/v1/me id", "99"), ("/v1/debug_token user_id", "99")],
        &[("/v1/me error", "{\"code\":190}")],
        &[("/v1/debug_token error", "{\"code\":190}")],
    ];
    for changes in wrong {
        let (_service, _clock, _registry, client) = graph(changes);
        assert!(matches!(access_token(&client, "us3r"), Err(ProviderError::Refused(_))), "{changes:?}");
    }
}

#[test]
fn limited_login_gives_an_id_token() {
    let signer = Signer::new("f1");
    let jwks = signer.jwks();
    let service = StandIn::start(move |_| says("200 OK", &jwks));
    let text = format!(
        "[providers.facebook]\nclient_id = \"7\"\nclient_secret = \"s\"\nlimited_jwks_url = \"{}/keys\"",
        service.url
    );
    let (clock, _registry, client) = start(&text, "facebook", limits());
    let now = clock.now().as_seconds();
    let mut claims = json!({
        "iss": "https://www.facebook.com", "aud": "7", "sub": "99", "nonce": "n1", "iat": now, "exp": now + 300,
        "email": "ada@example.org", "email_verified": true,
    });
    let check =
        |claims: &Value| run(client.check_native(NativeToken::IdToken(Zeroizing::new(signer.token(claims))), "n1"));
    let arrival = check(&claims).unwrap();
    assert_eq!(arrival.key.subject, "99");
    assert!(!arrival.email.unwrap().verified);
    claims["iss"] = json!("https://limited.facebook.com");
    assert!(matches!(check(&claims), Err(ProviderError::Refused(_))));
}

#[test]
fn twitter_says_who_it_is() {
    let service = StandIn::start(|asked| match asked.path() {
        "/2/oauth2/token" => {
            says("200 OK", &json!({ "access_token": "us3r", "token_type": "bearer", "scope": "users.read" }))
        }
        "/2/users/me" => says(
            "200 OK",
            &json!({ "data": {
            "id": "2244994945", "name": "Ada", "username": "ada", "confirmed_email": "ada@example.org",
        } }),
        ),
        _ => answer("404 Not Found", "X-None: 1", b""),
    });
    let text = format!(
        "[providers.twitter]\nclient_id = \"client\"\nclient_secret = \"s3cr3t\"\napi_url = \"{}/2\"",
        service.url
    );
    let (_clock, _registry, client) = start(&text, "twitter", limits());
    let sent = parameters(&Url::parse(&run(client.authorization_url(round())).unwrap()).unwrap());
    assert_eq!((sent["scope"].as_str(), sent.get("nonce")), ("users.read tweet.read users.email", None));

    let arrival = run(client.redeem("c0de", "v3rifier", "n1", "https://auth.example/callback")).unwrap();
    assert_eq!((arrival.key.kind, arrival.key.subject.as_str()), (IdentityKind::Twitter, "2244994945"));
    assert_eq!((arrival.label.as_deref(), arrival.email.unwrap().verified), (Some("ada"), false));
    let asked = service.asked();
    assert_eq!(asked[0].headers["authorization"], "Basic Y2xpZW50OnMzY3IzdA==");
    assert_eq!(asked[0].parameters()["code_verifier"], "v3rifier");
    assert_eq!(asked[1].headers["authorization"], "Bearer us3r");
    assert_eq!(asked[1].parameters()["user.fields"], "confirmed_email,name,username");

    assert!(!client.takes_native());
    assert!(matches!(access_token(&client, "us3r"), Err(ProviderError::NativeUnsupported(_))));
}
