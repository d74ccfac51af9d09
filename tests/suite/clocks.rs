//! Two servers whose clocks are apart, as clocks of machines are.

use std::time::Duration;

use doorstep_api::server::{Options, Server};
use doorstep_core::clock::Clock;
use doorstep_core::hashing::HashCost;
use doorstep_tests::http::Client;
use doorstep_tests::people::PASSWORD;
use doorstep_tests::{App, SignedIn, on_both};
use serde_json::{Value, json};

/// A second server on the same database, whose clock is 20 seconds behind.
fn start_one_behind(app: &App) -> (Server, Client) {
    app.advance(Duration::from_secs(20));
    let cost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };
    let options = Options { clock: Clock::System, hash_cost: Some(cost), signals: false, ..Options::default() };
    let server = Server::start(&app.config, &options).unwrap();
    let client = Client::new(&format!("http://{}", server.address()));
    (server, client)
}

fn post(client: &Client, path: &str, body: &Value) -> SignedIn {
    let answer = client.post(path).json(body).send();
    assert!(matches!(answer.status, 200 | 201), "{path} answered {}: {}", answer.status, answer.code());
    SignedIn::of(&answer)
}

on_both! {
    fn what_the_server_ahead_has_signed_is_good_on_the_one_behind(app) {
        let (another, behind) = start_one_behind(app);
        let session = app.signs_up("ada@example.org");
        behind.get("/v1/me").bearer(&session.access_token).send().expect(200);
        let token = json!({ "refresh_token": session.refresh_token });
        let next = post(&behind, "/v1/sessions/refresh", &token);
        assert_eq!(post(&app.client, "/v1/sessions/refresh", &token).refresh_token, next.refresh_token);
        app.me(&next.access_token).expect(200);
        another.stop().unwrap();
    }

    fn a_password_tried_on_the_server_ahead_does_not_slow_the_one_behind(app) {
        app.signs_up("ada@example.org");
        let (another, behind) = start_one_behind(app);
        for _ in 0..4 {
            app.tries_to_sign_in("ada@example.org", "never the right one").expect(401);
        }
        post(&behind, "/v1/sessions", &json!({ "email": "ada@example.org", "password": PASSWORD }));
        another.stop().unwrap();
    }
}
