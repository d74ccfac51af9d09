//! Signing in with an id token of a provider's own SDK: which are good, and all that is wrong with the others.

use data_encoding::BASE64URL_NOPAD;
use doorstep_tests::http::in_parallel;
use doorstep_tests::on_both_with_providers;
use doorstep_tests::providers::facebook::{self, OTHER_APP_ID};
use doorstep_tests::providers::issuer::{
    Alg, CLIENT_ID, CLIENT_SECRET, DISCOVERY, Issuer, JWKS, Key, hs256, sign, unsigned,
};
use doorstep_tests::social::{ACME, NATIVE_CLIENT_ID, continuation, proven, signed_in};
use serde_json::{Value, json};

use crate::natively::{
    SIGNING, begins_natively, claims_for, is_refused, nothing_is_written, refuses, refuses_claims, rows, shows, signs,
    variants, with,
};

on_both_with_providers! {
    fn a_phone_signs_in_with_googles_token_for_the_website_or_for_itself(social) {
        let audiences = [json!(CLIENT_ID), json!(NATIVE_CLIENT_ID), json!([CLIENT_ID]), json!([NATIVE_CLIENT_ID, "other"])];
        for (n, audience) in audiences.into_iter().enumerate() {
            let flow = begins_natively(social, "google");
            let mut claims = social.google.claims("", &flow.nonce, &format!("g-{n}"));
            claims["aud"] = audience;
            // as Google does on Android: made for the website, by the app
            claims["azp"] = json!(NATIVE_CLIENT_ID);
            let address = format!("ada{n}@gmail.com");
            claims.as_object_mut().unwrap().extend(proven(&address).as_object().unwrap().clone());
            let ada = signed_in(shows(social, &flow, &social.google.signs(&claims)));
            assert_eq!(ada.account["primary_email"], address.as_str());
            social.me(&ada.access_token).expect(200);
        }
        // by a browser she is the same
        let known = signed_in(social.arrives_by_google("g-0", &json!({})));
        assert_eq!(known.account["primary_email"], "ada0@gmail.com");
        assert_eq!((rows(social, "accounts"), rows(social, "sessions")), (4, 5));
    }

    fn any_key_that_a_provider_publishes_signs(social) {
        for key in [&social.acme.rsa, &social.acme.p256, &social.acme.ed25519] {
            let flow = begins_natively(social, ACME);
            let claims = with(&claims_for(social, &flow), "email", "ada@gmail.com");
            let token = sign(key, &key.header(), &with(&claims, "email_verified", true));
            let body = shows(social, &flow, &token).expect(200).json();
            assert_eq!((&body["status"], &body["email_hint"]), (&json!("email_required"), &json!("ada@gmail.com")));
        }
        nothing_is_written(social);
    }

    fn oa_09_a_token_for_another_client_is_refused(social) {
        for provider in SIGNING {
            let ours = if provider == "facebook" { facebook::APP_ID } else { CLIENT_ID };
            let mut audiences = vec![
                json!("other"), json!(""), json!(null), json!([]), json!(["other"]), json!([ours, 7]), json!(7), json!({ "aud": ours }),
                json!(format!("{ours} ")), json!(format!("{ours}x")), json!([ours, "other"]), json!(OTHER_APP_ID),
            ];
            if provider != "google" {
                audiences.push(json!(NATIVE_CLIENT_ID));
            }
            refuses_claims(social, provider, |good| variants(good, "aud", &audiences));
            let parties = [json!("other"), json!(null), json!(7), json!("")];
            refuses_claims(social, provider, |good| variants(good, "azp", &parties).split_off(1));
        }
    }

    fn oa_10_a_token_of_another_issuer_is_refused_and_nobody_is_asked_about_it(social) {
        let evil = Issuer::start(social.clock.clone());
        for provider in SIGNING {
            refuses_claims(social, provider, |good| {
                let iss = good["iss"].as_str().unwrap();
                let other = if provider == ACME { social.google.url() } else { social.acme.url() };
                let wrong = [
                    json!(format!("{iss}/")), json!(iss.replace("http:", "https:")), json!(iss.to_uppercase()), json!(format!(" {iss}")),
                    json!(iss.replace("http://", "")), json!(format!("{iss}@evil.example")), json!(evil.url()), json!(other), json!(null),
                    json!(""), json!([iss]), json!({ "iss": iss }),
                ];
                variants(good, "iss", &wrong)
            });
            // whole and sound, but for who made it
            refuses(social, provider, |good| {
                let theirs = with(good, "iss", evil.url());
                vec![evil.signs(&theirs), evil.signs(good), sign(&evil.p256, &evil.p256.header(), good)]
            });
        }
        let flow = begins_natively(social, ACME);
        let of_google = social.google.claims(CLIENT_ID, &flow.nonce, "g-1");
        is_refused(&shows(social, &flow, &social.google.signs(&of_google)), "Google's token is none of Acme's");
        assert!(evil.calls(DISCOVERY).is_empty() && evil.calls(JWKS).is_empty(), "a token says where nobody goes");
    }

    fn oa_11_a_token_says_when_it_was_made_and_until_when_it_is_good(social) {
        let now = social.clock.now().as_seconds();
        for provider in SIGNING {
            let never = [json!(null), json!("2030-01-01"), json!((now + 3600).to_string()), json!(true), json!(u64::MAX), json!([now + 3600])];
            refuses_claims(social, provider, |good| variants(good, "exp", &never));
            refuses_claims(social, provider, |good| variants(good, "iat", &never));
            let past = [now - 31, now - 3600, 0, -1].map(|at| json!(at));
            refuses_claims(social, provider, |good| variants(good, "exp", &past).split_off(1));
            let future = [json!(now + 600), json!(now + 86_400), json!(i64::MAX)];
            refuses_claims(social, provider, |good| variants(good, "iat", &future).split_off(1));
            refuses_claims(social, provider, |good| variants(good, "nbf", &future).split_off(1));
            // clocks are a little apart
            let flow = begins_natively(social, provider);
            let claims = with(&claims_for(social, &flow), "iat", social.clock.now().as_seconds() + 20);
            continuation(shows(social, &flow, &signs(social, provider, &claims)));
        }
    }

    fn oa_12_a_nonce_is_this_flows_alone(social) {
        for provider in SIGNING {
            let other = begins_natively(social, provider);
            refuses_claims(social, provider, |good| {
                let own = good["nonce"].as_str().unwrap();
                let wrong = [
                    json!(null), json!(""), json!("wrong"), json!(7), json!([own]), json!(other.nonce), json!(&own[1..]), json!(format!("{own}x")),
                ];
                variants(good, "nonce", &wrong)
            });
            // used once, it is used up: in its own flow and in every other
            let flow = begins_natively(social, provider);
            assert_ne!(flow.nonce, other.nonce);
            let token = signs(social, provider, &claims_for(social, &flow));
            continuation(shows(social, &flow, &token));
            assert_eq!(shows(social, &flow, &token).expect(410).code(), "flow_expired");
            is_refused(&shows(social, &other, &token), "another flow");
            let flow = begins_natively(social, provider);
            let token = signs(social, provider, &claims_for(social, &flow));
            let mut statuses: Vec<u16> = in_parallel(8, |_| shows(social, &flow, &token).status).into_iter().collect();
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 410, 410, 410, 410, 410, 410, 410], "at the same moment too");
        }
    }

    fn oa_13_a_token_that_nobody_signed_is_refused(social) {
        for provider in SIGNING {
            refuses(social, provider, |good| {
                let signed = signs(social, provider, good);
                let (input, signature) = signed.rsplit_once('.').unwrap();
                let (header, _) = input.split_once('.').unwrap();
                let forged = BASE64URL_NOPAD.encode(with(good, "sub", "666").to_string().as_bytes());
                let nones = ["none", "None", "NONE", "nOnE", "", "NULL"].map(|none| unsigned(none, good));
                let broken = [
                    format!("{input}."), input.to_owned(), format!("{input}.{}", &signature[1..]), format!("{header}.{forged}.{signature}"),
                    format!("{signed}.{signature}"), format!("{signed}="), format!(" {signed}"), String::new(), ".".into(), "..".into(), "é.é.é".into(),
                    "x".repeat(20_000),
                ];
                nones.into_iter().chain(broken).collect()
            });
        }
    }

    fn oa_13_what_is_published_is_no_secret_to_sign_with(social) {
        let google = &social.google;
        let published = [&google.rsa, &google.p256, &google.ed25519];
        refuses(social, "google", |good| {
            let mut tokens = vec![];
            for key in published {
                for form in key.public_forms() {
                    tokens.push(hs256(&form, &json!({ "alg": "HS256", "typ": "JWT", "kid": key.kid }), good));
                    tokens.push(hs256(&form, &json!({ "alg": "HS256", "typ": "JWT" }), good));
                }
                // the right name on the wrong algorithm
                tokens.push(hs256(&key.public_forms()[0], &key.header(), good));
            }
            let secret = CLIENT_SECRET.as_bytes();
            tokens.extend([&b""[..], secret].map(|secret| hs256(secret, &json!({ "alg": "HS256", "typ": "JWT" }), good)));
            tokens
        });
    }

    fn oa_13_a_key_is_good_for_its_own_algorithm_and_must_be_the_providers(social) {
        let google = &social.google;
        let (rsa, p256, ed25519) = (&google.rsa, &google.p256, &google.ed25519);
        let evil = Issuer::start(social.clock.clone());
        let stranger = Key::new(Alg::Rs256);
        refuses(social, "google", |good| {
            let header = |alg: &str, kid: Value| json!({ "alg": alg, "kid": kid, "typ": "JWT" });
            let mixed = [
                (rsa, "ES256", rsa), (rsa, "PS256", rsa), (rsa, "EdDSA", rsa), (p256, "RS256", p256), (p256, "RS256", rsa), (p256, "ES256", rsa),
                (ed25519, "ES256", p256), (ed25519, "EdDSA", rsa), (rsa, "RS512", rsa), (rsa, "rs256", rsa), (&stranger, "RS256", rsa),
            ];
            let mixed = mixed.map(|(key, alg, named)| sign(key, &header(alg, json!(named.kid)), good));
            let named = [
                json!(stranger.kid), json!(""), json!("../../dev/null"), json!("' OR 1=1 --"), json!(7), json!(null), json!([rsa.kid]), json!("x".repeat(9000)),
            ];
            let named = named.map(|kid| sign(&stranger, &header("RS256", kid), good));
            let more = [
                ("jwk", stranger.jwk()), ("jku", json!(format!("{}{JWKS}", evil.url()))), ("x5u", json!(format!("{}{JWKS}", evil.url()))), ("kid", json!(evil.rsa.kid)),
            ];
            let more = more.map(|(name, value)| sign(&stranger, &with(&stranger.header(), name, value), good));
            let kinds = [("typ", json!("at+jwt")), ("typ", json!("secevent+jwt")), ("crit", json!(["exp"])), ("crit", json!([]))];
            let kinds = kinds.map(|(name, value)| sign(rsa, &with(&rsa.header(), name, value), good));
            mixed.into_iter().chain(named).chain(more).chain(kinds).collect()
        });
        assert!(evil.calls(JWKS).is_empty(), "a header says where nobody goes");
    }
}
