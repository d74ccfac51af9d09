//! What is handed out is never handed out twice, and an id is never a secret.

use std::collections::HashSet;

use data_encoding::BASE64URL_NOPAD;
use doorstep_core::api_key::Scope;
use doorstep_tests::http::in_parallel;
use doorstep_tests::people::PASSWORD;
use doorstep_tests::{SignedIn, on_both};

/// How far the most one-sided bit of all is from being one in half of them, in hundredths.
fn most_one_sided_bit(secrets: &[Vec<u8>]) -> usize {
    let bits = secrets[0].len() * 8;
    let ones = |bit: usize| secrets.iter().filter(|secret| (secret[bit / 8] >> (bit % 8)) & 1 == 1).count();
    (0..bits).map(|bit| (ones(bit) * 100 / secrets.len()).abs_diff(50)).max().unwrap()
}

on_both! {
    fn az_11_a_thousand_ids_and_tokens_are_a_thousand(app) {
        let people = [1, 2, 3, 4].map(|n| format!("ada-{n}@example.org"));
        for email in &people {
            app.signs_up(email);
        }
        let sessions: Vec<_> = in_parallel(4, |thread| {
            let from = format!("203.0.113.{thread}");
            let sign_in = || app.tries_to_sign_in_from(&from, &people[thread], PASSWORD).expect(201);
            let signed_in = (0..50).map(|_| SignedIn::of(&sign_in()));
            let refreshed = signed_in.flat_map(|session| {
                let refresh = |session: &SignedIn| SignedIn::of(&app.refreshes(&session.refresh_token).expect(200));
                std::iter::successors(Some(session), |session| Some(refresh(session))).take(5).collect::<Vec<_>>()
            });
            refreshed.collect::<Vec<_>>()
        })
        .concat();
        assert_eq!(sessions.len(), 1000);
        let distinct = |what: fn(&SignedIn) -> String| sessions.iter().map(what).collect::<HashSet<_>>().len();
        assert_eq!(distinct(|session| session.access_token.clone()), 1000);
        assert_eq!(distinct(|session| session.refresh_token.clone()), 1000);
        assert_eq!(distinct(|session| session.claims()["jti"].to_string()), 1000);
        assert_eq!((distinct(|session| session.session_id.clone()), distinct(|session| session.device_token.clone())), (200, 200));
        // a refresh token's session and counter can be known; the 256 bits of its MAC cannot
        let macs: Vec<_> = sessions
            .iter()
            .map(|session| BASE64URL_NOPAD.decode(&session.refresh_token.as_bytes()["drt1_".len()..]).unwrap().split_off(24))
            .collect();
        assert!(macs.iter().all(|mac| mac.len() == 32));
        assert!(most_one_sided_bit(&macs) < 12, "a bit is no coin: {}", most_one_sided_bit(&macs));
    }

    fn az_11_mailed_secrets_and_api_keys_are_random_through_and_through(app) {
        let mailed: Vec<_> = (0..60)
            .map(|n| {
                let email = format!("ada-{n}@example.org");
                let body = serde_json::json!({ "email": email });
                let from = format!("203.0.113.{n}");
                app.client.post("/v1/sign-ups").header("X-Forwarded-For", &from).json(&body).send().expect(202);
                app.secret_mailed_to(&email)
            })
            .collect();
        let tokens: Vec<_> = mailed.iter().map(|mail| BASE64URL_NOPAD.decode(mail.token.as_bytes()).unwrap()).collect();
        assert!(tokens.iter().all(|token| token.len() == 32));
        assert_eq!(tokens.iter().collect::<HashSet<_>>().len(), 60);
        // six standard deviations of sixty coins
        assert!(most_one_sided_bit(&tokens) < 39, "a bit is no coin: {}", most_one_sided_bit(&tokens));
        assert_eq!(mailed.iter().map(|mail| &mail.code).collect::<HashSet<_>>().len(), 60);
        let keys: HashSet<_> = (0..100).map(|_| app.api_key(&[Scope::InteractionsWrite])).collect();
        assert_eq!(keys.len(), 100);
    }
}
