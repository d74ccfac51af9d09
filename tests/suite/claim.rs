//! The main job: from an email to an account of one's own.

use doorstep_core::api_key::Scope;
use doorstep_tests::on_both;
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::{App, SignedIn};
use serde_json::{Value, json};

use crate::forced::{inspects_reset, proves_another, resets, tweets, ways_in};
use crate::talk::opens;

/// The account that the desk sees behind a conversation.
fn desk_sees_account(app: &App, conversation: &Value) -> Value {
    let key = app.api_key(&[Scope::ConversationsRead]);
    let path = format!("/v1/conversations/{}", conversation.as_str().unwrap());
    app.client.get(&path).bearer(&key).send().expect(200).json()["account_id"].clone()
}

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

    fn sign_up_of_somebody_support_knows_claims_that_account_under_the_name_they_give(app) {
        let pushed = app.emails_support("ada@example.org");
        app.asks_to_sign_up("ada@example.org").expect(202);
        let mail = app.secret_mailed_to("ada@example.org");
        let body = json!({ "token": mail.token, "password": PASSWORD, "full_name": "Ada Lovelace" });
        let session = SignedIn::of(&app.confirms_sign_up(&body).expect(201));
        assert_eq!(session.account["id"], pushed["account_id"]);
        assert_eq!(session.account["full_name"], "Ada Lovelace");
        assert_eq!(app.conversations_of(&session)[0]["id"], pushed["conversation_id"]);
        app.confirms_sign_up(&body).expect(410);
    }

    fn forgot_password_makes_an_account_where_nobody_has_the_address(app) {
        let mail = resets(app, "new@example.org");
        let seen = inspects_reset(app, &json!({ "token": mail.token })).expect(200).json();
        assert_eq!((&seen["outcome"], &seen["email"]), (&json!("create"), &json!("new@example.org")));
        app.confirms_reset(&json!({ "token": mail.token, "password": PASSWORD })).expect(200);
        assert!(app.conversations_of(&app.signs_in("new@example.org")).is_empty());
    }

    fn ph_19_one_proven_identity_takes_what_came_by_it_and_no_more(app) {
        let twitter = json!({ "id": "12", "handle": "ada" });
        let author = json!({ "twitter": twitter, "email": "ada@example.org", "name": "Ada T." });
        let tweet = tweets(app, &author);
        let mailed = app.emails_support("ada@example.org");
        assert_eq!(mailed["account_id"], tweet["account_id"], "the desk named them together");

        let ada = app.claims("ada@example.org");
        assert_ne!(json!(ada.account_id), tweet["account_id"]);
        let session = app.signs_in("ada@example.org");
        let seen: Vec<_> = app.conversations_of(&session).iter().map(|c| c["id"].clone()).collect();
        assert_eq!(seen, [mailed["conversation_id"].clone()]);
        assert_eq!(opens(app, &session, &mailed["conversation_id"]), 200);
        assert_eq!(opens(app, &session, &tweet["conversation_id"]), 404);

        assert_eq!(desk_sees_account(app, &tweet["conversation_id"]), tweet["account_id"], "the rest keeps its id");
        let rest = "SELECT count(*) AS n FROM accounts a JOIN identities i ON i.account_id = a.id \
                    WHERE i.kind = 'twitter' AND i.subject = '12' AND a.state = 'unclaimed' AND a.full_name = 'Ada T.'";
        assert_eq!(app.count(rest), 1);
        let suggested = "SELECT count(*) AS n FROM merge_suggestions WHERE reason = 'claimed_in_part'";
        assert_eq!(app.count(suggested), 1);

        // forgot password once more stays within what was proven
        let again = app.claims("ada@example.org");
        assert_eq!(again.account_id, ada.account_id);
        assert_eq!(opens(app, &app.signs_in("ada@example.org"), &tweet["conversation_id"]), 404);
    }

    fn ph_20_a_push_never_adds_a_login_to_an_owned_account(app) {
        let v = app.claims("v@example.org");
        let tweet = tweets(app, &json!({ "twitter": { "id": "666", "handle": "a" }, "email": "v@example.org" }));
        assert_ne!(tweet["account_id"], json!(v.account_id));
        let session = app.signs_in("v@example.org");
        assert_eq!(opens(app, &session, &tweet["conversation_id"]), 404);
        assert!(app.conversations_of(&session).is_empty());
        assert_eq!(app.count("SELECT count(*) AS n FROM merge_suggestions"), 1);

        // the other way round: by mail from v, with the stranger's Twitter id as a contact point
        let mut push = App::email_push("m-1", "case-1", "v@example.org");
        push["from"]["twitter"] = json!({ "id": "667", "handle": "a2" });
        assert_eq!(app.push(&push).expect(201).json()["account_id"], v.account_id.as_str());
        let theirs = "SELECT count(*) AS n FROM identities i JOIN accounts a ON a.id = i.account_id \
                      WHERE a.state = 'claimed' AND i.kind <> 'email'";
        assert_eq!(app.count(theirs), 0);
        let mail = resets(app, "v@example.org");
        let seen = inspects_reset(app, &json!({ "token": mail.token })).expect(200);
        assert_eq!(ways_in(&seen), ["password", "email"]);
    }

    fn ph_24_being_copied_gives_no_reading(app) {
        let mut push = App::email_push("m-1", "case-1", "v@example.org");
        push["recipients"] = json!([
            { "email": "help@shop.example", "role": "to" }, { "email": "a@example.org", "role": "cc" },
        ]);
        let pushed = app.push(&push).expect(201).json();
        let a = app.signs_up("a@example.org");
        assert!(app.conversations_of(&a).is_empty());
        assert_eq!(opens(app, &a, &pushed["conversation_id"]), 404);
        let v = app.signs_up("v@example.org");
        assert_eq!(opens(app, &v, &pushed["conversation_id"]), 200);
    }

    fn recovery_lists_the_ways_in_and_drops_the_others_when_told_to(app) {
        tweets(app, &json!({ "twitter": { "id": "666", "handle": "stranger" } }));
        app.claims("v@example.org");
        proves_another(app, "v@example.org", ("twitter", "666"));

        let keep = resets(app, "v@example.org");
        let seen = inspects_reset(app, &json!({ "token": keep.token })).expect(200);
        assert_eq!(ways_in(&seen), ["password", "twitter", "email"]);
        let kept = app.confirms_reset(&json!({ "token": keep.token, "password": OTHER_PASSWORD })).expect(200);
        assert_eq!(ways_in(&kept), ["password", "twitter", "email"]);

        let drop = resets(app, "v@example.org");
        let body = json!({ "token": drop.token, "password": PASSWORD, "unlink_others": true });
        assert_eq!(ways_in(&app.confirms_reset(&body).expect(200)), ["password", "email"]);
        assert_eq!(app.count("SELECT count(*) AS n FROM identities WHERE kind = 'twitter'"), 0);
        assert_eq!(app.signs_in("v@example.org").account["primary_email"], "v@example.org");
        let told = "SELECT count(*) AS n FROM audit_events WHERE action = 'identity.unlinked'";
        assert_eq!(app.count(told), 1);
    }
}
