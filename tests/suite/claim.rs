//! The main job: from an email to an account of one's own.

use doorstep_tests::on_both;
use doorstep_tests::people::PASSWORD;
use serde_json::json;

on_both! {
    fn who_wrote_to_support_claims_that_account_with_its_history(app) {
        let pushed = app.emails_support("Ada@Example.org");
        let ada = app.claims("ada@example.org");
        assert_eq!(pushed["account_id"], ada.account_id.as_str());
        let session = app.signs_in("ada@example.org");
        let conversations = app.conversations_of(&session);
        assert_eq!(conversations.len(), 1);
        assert_eq!(conversations[0]["id"], pushed["conversation_id"]);
    }

    fn sign_up_makes_an_account_and_signs_in(app) {
        let session = app.signs_up("grace@example.org");
        assert_eq!(session.account["primary_email"], "grace@example.org");
        app.me(&session.access_token).expect(200);
        assert!(app.mail_to("grace@example.org")[0].subject().contains("Shop Help"));
    }

    fn ph_11_a_strangers_password_never_works(app) {
        app.asks_to_sign_up("v@example.org").expect(202);
        let stranger = app.client.post("/v1/sign-ups").json(&json!({"email": "v@example.org", "password": "strangers own password"})).send();
        assert_eq!((stranger.status, stranger.code()), (422, "validation_failed".into()));
        app.signs_up("v@example.org");
        app.tries_to_sign_in("v@example.org", "strangers own password").expect(401);
        app.tries_to_sign_in("v@example.org", PASSWORD).expect(201);
    }
}
