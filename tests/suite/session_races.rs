//! Races about sessions: one refresh token many times at once, and a refresh against a sign-out.

use std::collections::HashSet;

use doorstep_tests::http::in_parallel;
use doorstep_tests::people::PASSWORD;
use doorstep_tests::{SignedIn, on_both};

on_both! {
    fn rc_12_one_refresh_token_many_times_at_once(app) {
        app.signs_up("ada@example.org");
        for n in [2, 8, 32] {
            let session = app.signs_in("ada@example.org");
            let (client, token) = (&app.client, serde_json::json!({ "refresh_token": session.refresh_token }));
            let answers = in_parallel(n, |_| client.post("/v1/sessions/refresh").json(&token).send());
            let given: Vec<_> = answers.into_iter().map(|answer| SignedIn::of(&answer.expect(200))).collect();
            let leaves: HashSet<_> = given.iter().map(|session| &session.refresh_token).collect();
            assert_eq!(leaves.len(), 1, "{n} at once gave several leaves");
            for session in &given {
                app.me(&session.access_token).expect(200);
            }
            app.refreshes(&given[0].refresh_token).expect(200);
        }
        assert_eq!(app.count("SELECT count(*) AS n FROM sessions WHERE ended_at IS NOT NULL"), 0);
        assert_eq!(app.count("SELECT count(*) AS n FROM sessions WHERE counter = 2"), 3);
    }

    fn rc_13_after_a_sign_out_no_refresh_has_given_a_live_token(app) {
        app.signs_up("ada@example.org");
        let mut refreshed = 0;
        for _ in 0..12 {
            let session = app.signs_in("ada@example.org");
            let token = serde_json::json!({ "refresh_token": session.refresh_token });
            let answers = in_parallel(4, |i| match i {
                0 => app.client.delete("/v1/sessions/current").bearer(&session.access_token).send(),
                _ => app.client.post("/v1/sessions/refresh").json(&token).send(),
            });
            assert_eq!(answers[0].status, 204);
            for answer in &answers[1..] {
                if answer.status == 401 {
                    assert_eq!(answer.code(), "session_ended");
                    continue;
                }
                refreshed += 1;
                let given = SignedIn::of(answer);
                app.me(&given.access_token).expect(401);
                app.refreshes(&given.refresh_token).expect(401);
            }
        }
        let ended = "SELECT count(*) AS n FROM sessions WHERE end_reason = 'signed_out'";
        assert_eq!(app.count(ended), 12, "{refreshed} refreshes came first");
    }

    fn devices_of_one_person_that_sign_in_at_once_do_not_slow_each_other(app) {
        app.signs_up("ada@example.org");
        for round in 0..12 {
            let answers = in_parallel(4, |n| app.tries_to_sign_in_from(&format!("203.0.113.{n}"), "ada@example.org", PASSWORD));
            let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
            assert_eq!(statuses, [201; 4], "round {round}");
        }
        assert_eq!(app.count("SELECT count(*) AS n FROM throttles WHERE failures > 0"), 0);
    }
}
