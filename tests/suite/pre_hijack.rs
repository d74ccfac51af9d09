//! Whoever comes to an account before its owner keeps nothing of it.

use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::{SignedIn, on_both};
use serde_json::json;

use crate::forced::{account_of, resets, text, tweets, ways_in};

on_both! {
    fn ph_11_a_strangers_password_never_works(app) {
        for field in ["password", "full_name", "name", "role", "claim"] {
            let stranger = json!({ "email": "v@example.org", field: "strangers own password" });
            for road in ["/v1/sign-ups", "/v1/password-resets"] {
                let answer = app.client.post(road).json(&stranger).send();
                assert_eq!((answer.status, answer.code()), (422, "validation_failed".into()), "{road} {field}");
            }
        }
        app.asks_to_sign_up("v@example.org").expect(202);
        let v = app.signs_up("v@example.org");
        assert_eq!(v.account["full_name"], json!(null));
        assert_eq!(v.account["role"], "customer");
        app.tries_to_sign_in("v@example.org", "strangers own password").expect(401);
        app.tries_to_sign_in("v@example.org", PASSWORD).expect(201);
    }

    fn ph_01_a_sign_up_that_nobody_finished_leaves_nothing(app) {
        app.emails_support("known@example.org");
        for email in ["v@example.org", "known@example.org"] {
            app.asks_to_sign_up(email).expect(202);
            app.tries_to_sign_in(email, PASSWORD).expect(401);
        }
        for table in ["credentials", "sessions", "proofs"] {
            assert_eq!(app.count(&format!("SELECT count(*) AS n FROM {table}")), 0, "{table}");
        }
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts WHERE state <> 'unclaimed'"), 0);
        app.claims_with("v@example.org", OTHER_PASSWORD);
        app.tries_to_sign_in("v@example.org", PASSWORD).expect(401);
    }

    fn ph_01_a_password_from_before_the_claim_never_works_even_forced(app) {
        app.emails_support("v@example.org");
        app.signs_up("a@example.org");
        app.sql(&format!(
            "INSERT INTO credentials (id, account_id, kind, secret_hash, created_at, updated_at)
             SELECT a.id, a.id, 'password', c.secret_hash, c.created_at, c.updated_at
             FROM accounts a, credentials c WHERE a.id = {}", account_of("v@example.org")
        ));
        app.tries_to_sign_in("v@example.org", PASSWORD).expect(401);
        app.claims_with("v@example.org", OTHER_PASSWORD);
        app.tries_to_sign_in("v@example.org", PASSWORD).expect(401);
        app.tries_to_sign_in("v@example.org", OTHER_PASSWORD).expect(201);
    }

    fn ph_02_a_session_from_before_the_claim_ends_with_it_even_forced(app) {
        let forced = app.signs_up("v@example.org");
        let other = app.signs_in("v@example.org");
        let v = account_of("v@example.org");
        app.sql(&format!(
            "DELETE FROM proofs WHERE account_id = {v}; DELETE FROM credentials WHERE account_id = {v};
             UPDATE accounts SET state = 'unclaimed', claimed_at = NULL WHERE id = {v}"
        ));
        app.me(&forced.access_token).expect(401);
        let claimed = app.claims_with("v@example.org", OTHER_PASSWORD);
        assert_eq!(forced.account["id"], claimed.account_id.as_str());
        for session in [&forced, &other] {
            app.me(&session.access_token).expect(401);
            app.refreshes(&session.refresh_token).expect(401);
        }
        assert_eq!(app.count("SELECT count(*) AS n FROM sessions WHERE end_reason = 'purged'"), 2);
        app.tries_to_sign_in("v@example.org", OTHER_PASSWORD).expect(201);
    }

    fn ph_03_a_trojan_identity_stays_behind_at_the_claim_even_if_forced_to_look_proven(app) {
        let author = json!({ "twitter": { "id": "666", "handle": "a" }, "email": "v@example.org" });
        let tweet = tweets(app, &author);
        let mailed = app.emails_support("v@example.org");
        app.sql(
            "INSERT INTO proofs (id, identity_id, account_id, method, challenge_id, proven_at)
             SELECT i.id, i.id, i.account_id, 'provider', NULL, i.observed_at
             FROM identities i WHERE i.kind = 'twitter'",
        );
        let mail = resets(app, "v@example.org");
        let answer = app.confirms_reset(&json!({ "token": mail.token, "password": PASSWORD })).expect(200);
        assert_eq!(ways_in(&answer), ["password", "email"]);
        let v = app.signs_in("v@example.org");
        let seen: Vec<_> = app.conversations_of(&v).iter().map(|c| c["id"].clone()).collect();
        assert_eq!(seen, [mailed["conversation_id"].clone()]);
        assert_ne!(tweet["account_id"], v.account["id"]);
        let state = "SELECT a.state AS t FROM accounts a JOIN identities i ON i.account_id = a.id \
                     WHERE i.kind = 'twitter'";
        assert_eq!(text(app, state), "unclaimed");
    }

    fn a_claim_voids_every_other_secret_of_the_address(app) {
        app.emails_support("v@example.org");
        let first = resets(app, "v@example.org");
        app.asks_to_sign_up("v@example.org").expect(202);
        let second = app.secret_mailed_to("v@example.org");
        assert_ne!(first.token, second.token);
        app.confirms_reset(&json!({ "token": first.token, "password": PASSWORD })).expect(200);
        let late = json!({ "token": second.token, "password": OTHER_PASSWORD });
        app.confirms_sign_up(&late).expect(410);
        let late = json!({ "email": "v@example.org", "code": second.code, "password": OTHER_PASSWORD });
        app.confirms_sign_up(&late).expect(404);
        app.tries_to_sign_in("v@example.org", OTHER_PASSWORD).expect(401);
    }

    fn what_a_sign_up_made_is_no_way_into_what_somebody_else_claimed_meanwhile(app) {
        app.asks_to_sign_up("v@example.org").expect(202);
        let early = app.secret_mailed_to("v@example.org");
        app.sql("UPDATE challenges SET address = 'parked@example.org'");
        let v = SignedIn::of(&{
            app.asks_to_sign_up("v@example.org").expect(202);
            let mail = app.secret_mailed_to("v@example.org");
            app.confirms_sign_up(&json!({ "token": mail.token, "password": PASSWORD })).expect(201)
        });
        // a secret that outlived the claim, by force: it was made while nobody had the address
        app.sql("UPDATE challenges SET address = 'v@example.org' WHERE address = 'parked@example.org'");
        app.confirms_sign_up(&json!({ "token": early.token, "password": OTHER_PASSWORD })).expect(410);
        app.me(&v.access_token).expect(200);
        app.sql("UPDATE challenges SET state = 'void', ended_at = created_at WHERE state = 'live'");
    }
}
