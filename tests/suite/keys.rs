//! Signing keys as others see them: an outsider who verifies our tokens, and several servers on one database.

use std::collections::HashSet;
use std::time::Duration;

use doorstep_api::server::{Options, Server};
use doorstep_core::audit::Actor;
use doorstep_core::db::{self, Origin};
use doorstep_core::signing_key;
use doorstep_tests::http::Client;
use doorstep_tests::{App, SignedIn, on_both};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation, decode, decode_header};
use serde_json::{Value, json};

fn jwks(client: &Client) -> JwkSet {
    serde_json::from_value(client.get("/.well-known/jwks.json").send().expect(200).json()).unwrap()
}

fn kids(client: &Client) -> HashSet<String> {
    jwks(client).keys.into_iter().map(|key| key.common.key_id.unwrap()).collect()
}

fn kid_of(session: &SignedIn) -> String {
    decode_header(&session.access_token).unwrap().kid.unwrap()
}

/// Rotates as `doorstep keys rotate` does; gives the new key's id.
fn rotate(app: &App) -> String {
    app.store().write(&Origin::default(), |work| signing_key::rotate(work, Actor::Operator)).unwrap().0
}

/// Waits until a server publishes these keys and no others.
#[track_caller]
fn wait_for_keys(app: &App, client: &Client, expected: &[&str]) {
    let expected: HashSet<_> = expected.iter().map(|kid| (*kid).to_owned()).collect();
    let deadline = app.clock.now() + Duration::from_secs(20);
    while kids(client) != expected {
        assert!(app.clock.now() < deadline, "the server does not follow: {:?}", kids(client));
        std::thread::yield_now();
    }
}

/// What a service does that knows nothing of us but our address.
fn verify_as_outsider(client: &Client, token: &str) -> TokenData<Value> {
    let about = client.get("/.well-known/openid-configuration").send().expect(200).json();
    let header = decode_header(token).unwrap();
    let keys = jwks(client);
    let key = keys.find(header.kid.as_ref().unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[about["issuer"].as_str().unwrap()]);
    validation.set_audience(&["https://auth.shop.example"]);
    validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
    validation.validate_nbf = true;
    decode(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap()
}

fn me(client: &Client, session: &SignedIn) -> u16 {
    client.get("/v1/me").bearer(&session.access_token).send().status
}

fn refresh(client: &Client, session: &SignedIn) -> SignedIn {
    let body = json!({ "refresh_token": session.refresh_token });
    SignedIn::of(&client.post("/v1/sessions/refresh").json(&body).send().expect(200))
}

on_both! {
    fn anybody_can_verify_an_access_token_by_the_published_keys_alone(app) {
        let session = app.signs_up("ada@example.org");
        let TokenData { header, claims, .. } = verify_as_outsider(&app.client, &session.access_token);
        assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::EdDSA, Some("at+jwt")));
        let names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["aud", "auth_time", "epoch", "exp", "iat", "iss", "jti", "nbf", "sid", "sub"]);
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!("https://auth.shop.example"), &json!("https://auth.shop.example")));
        assert_eq!((&claims["sub"], &claims["sid"]), (&session.account["id"], &json!(session.session_id)));
        let number = |name: &str| claims[name].as_i64().unwrap_or_else(|| panic!("{name} is {}", claims[name]));
        assert_eq!(number("exp") - number("iat"), 300);
        assert_eq!((number("nbf"), number("auth_time")), (number("iat"), number("iat")));
        assert!(number("epoch") >= 0);
        assert_eq!(claims["jti"].as_str().unwrap().parse::<uuid::Uuid>().unwrap().get_version_num(), 4);
    }

    fn the_published_keys_are_public_and_nothing_else(app) {
        let published = app.client.get("/.well-known/jwks.json").send().expect(200).json();
        let key = published["keys"][0].as_object().unwrap();
        let members: Vec<_> = key.keys().map(String::as_str).collect();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"]);
        assert_eq!((&key["alg"], &key["crv"], &key["kty"], &key["use"]), (&json!("EdDSA"), &json!("Ed25519"), &json!("OKP"), &json!("sig")));
        let about = app.client.get("/.well-known/openid-configuration").send().expect(200).json();
        assert_eq!(about["issuer"], "https://auth.shop.example");
        assert_eq!(about["jwks_uri"], "https://auth.shop.example/.well-known/jwks.json");
        assert_eq!(about["id_token_signing_alg_values_supported"], json!(["EdDSA"]));
    }

    fn jw_09_a_replaced_key_verifies_until_what_it_signed_is_dead(app) {
        let before = app.signs_up("ada@example.org");
        let old = kid_of(&before);
        let new = rotate(app);
        wait_for_keys(app, &app.client, &[&old, &new]);
        app.advance(Duration::from_secs(6));
        let after = refresh(&app.client, &before);
        assert_eq!(kid_of(&after), new);
        app.me(&before.access_token).expect(200);
        app.me(&after.access_token).expect(200);
        verify_as_outsider(&app.client, &before.access_token);

        app.advance(Duration::from_secs(280));
        let (another, theirs) = app.start_another();
        assert_eq!((me(&theirs, &before), me(&app.client, &before)), (200, 200), "for all its life, on a server just started");
        another.stop().unwrap();
        app.advance(Duration::from_secs(51));
        app.me(&before.access_token).expect(401);
        let after = refresh(&app.client, &after);
        let (another, theirs) = app.start_another();
        assert_eq!(kids(&theirs), HashSet::from([old, new.clone()]));
        another.stop().unwrap();
        app.advance(Duration::from_secs(280));
        wait_for_keys(app, &app.client, &[&new]);
        app.me(&before.access_token).expect(401);
        app.me(&after.access_token).expect(200);
    }

    fn a_key_of_ninety_days_is_replaced_by_itself(app) {
        let session = app.signs_up("ada@example.org");
        app.advance(Duration::from_secs(89 * 86_400));
        doorstep_core::house::tidy(app.store()).unwrap();
        assert_eq!(app.count("SELECT count(*) AS n FROM signing_keys"), 1);
        app.advance(Duration::from_secs(86_400));
        doorstep_core::house::tidy(app.store()).unwrap();
        let newest = app.store().read(&Origin::default(), db::signing_keys::list_usable).unwrap().remove(1).kid;
        wait_for_keys(app, &app.client, &[&kid_of(&session), &newest]);
    }

    fn rc_23_two_servers_go_on_answering_through_a_rotation(app) {
        let (another, theirs) = app.start_another();
        let mut session = app.signs_up("ada@example.org");
        let old = kid_of(&session);
        let new = rotate(app);
        let deadline = app.clock.now() + Duration::from_secs(20);
        // both servers at once, whichever of them has noticed
        while [&app.client, &theirs].iter().any(|client| !kids(client).contains(&new)) {
            assert!(app.clock.now() < deadline, "the servers do not follow");
            for (refreshing, asked) in [(&app.client, &theirs), (&theirs, &app.client)] {
                session = refresh(refreshing, &session);
                assert_eq!((me(asked, &session), kid_of(&session)), (200, old.clone()));
            }
        }
        let signed_before = session.clone();
        app.advance(Duration::from_secs(6));
        for (refreshing, asked) in [(&app.client, &theirs), (&theirs, &app.client)] {
            session = refresh(refreshing, &session);
            assert_eq!((me(asked, &session), kid_of(&session)), (200, new.clone()));
            assert_eq!(me(asked, &signed_before), 200);
        }
        another.stop().unwrap();
    }

    fn a_setting_changed_on_one_server_holds_on_the_other_at_once(app) {
        let (another, theirs) = app.start_another();
        let session = app.signs_up("ada@example.org");
        let session = refresh(&theirs, &session);
        let offered = |client: &Client| client.get("/v1/sign-in-options").send().expect(200).json()["password"].clone();
        assert_eq!(offered(&theirs), true);
        app.change_settings(|settings| settings.password_sign_in = false);
        // first of all what goes by the settings it last saw
        let refused = theirs.post("/v1/sessions/refresh").json(&json!({ "refresh_token": session.refresh_token })).send();
        assert_eq!((refused.status, refused.code()), (401, "session_ended".into()));
        assert_eq!((offered(&theirs), offered(&app.client)), (json!(false), json!(false)));
        assert_eq!((me(&theirs, &session), me(&app.client, &session)), (401, 401));
        another.stop().unwrap();
    }

    fn what_ends_a_session_on_one_server_ends_it_on_the_other(app) {
        let (another, theirs) = app.start_another();
        let session = app.signs_up("ada@example.org");
        assert_eq!((me(&theirs, &session), me(&app.client, &session)), (200, 200));
        theirs.delete("/v1/sessions/current").bearer(&session.access_token).send().expect(204);
        assert_eq!((me(&theirs, &session), me(&app.client, &session)), (401, 401));
        app.refreshes(&session.refresh_token).expect(401);
        another.stop().unwrap();
    }

    fn with_another_secret_it_refuses_to_start_and_leaves_all_as_it_was(app) {
        let session = app.signs_up("ada@example.org");
        let keys = kids(&app.client);
        let options = Options { clock: app.clock.clone(), hash_cost: None, signals: false, ..Options::default() };
        let mut config = app.config.clone();
        config.server.secret = Some("Xw8sPq2LzNf6VtGy3KjBmRc7HdUe9aQ1".to_owned());
        let why = Server::start(&config, &options).err().unwrap();
        assert!(why.contains("another secret") && why.contains("DOORSTEP_SERVER_SECRET"), "{why}");
        assert!(!why.contains("Xw8sPq2L"), "the message tells the secret: {why}");
        for sample in ["", "short", "change-me-change-me-change-me-change-me", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            config.server.secret = Some(sample.to_owned());
            assert!(Server::start(&config, &options).is_err(), "{sample:?} was taken for a secret");
        }
        app.restart();
        assert_eq!(kids(&app.client), keys);
        app.me(&session.access_token).expect(200);
        app.refreshes(&session.refresh_token).expect(200);
        app.signs_in("ada@example.org");
    }
}
