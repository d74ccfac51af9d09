//! The contract of what the desk knows of people, and of profiles.

use doorstep_tests::http::Answer;
use doorstep_tests::{App, on_both};
use serde_json::{Value, json};

use crate::contract::{COMMITTED, is_documented, operation};
use crate::forced::{account_of, becomes};
use crate::talk::reads;

/// Answers with problems that take more fields than there may be, or an account that is here no more.
pub fn desk_problems(app: &App) -> Vec<Answer> {
    let define = |n: usize| app.defines(&format!("more{n}"), "text", "desk");
    let too_many = (0..=50).map(define).find(|answer| answer.status != 201).unwrap();
    let [gone, survivor] = ["gone@example.org", "survivor@example.org"].map(|email| {
        let id = app.emails_support(email)["account_id"].clone();
        (email, id)
    });
    app.sql(&format!(
        "UPDATE accounts SET state = 'merged', merged_into = {} WHERE id = {}",
        account_of(survivor.0),
        account_of(gone.0)
    ));
    let merged = app.desk_account(&gone.1);
    becomes(app, survivor.0, "deleted");
    vec![too_many, merged, app.desk_account(&survivor.1)]
}

on_both! {
    fn what_is_known_of_people_is_documented(app) {
        let document: Value = serde_json::from_str(COMMITTED).unwrap();
        let made = app.defines("tier", "choice", "customer_edits").expect(201);
        let ada = app.signs_up("ada@example.org");
        let id = &ada.account["id"];
        let said = app.says_of(id, &json!({ "tier": "gold" })).expect(200);
        let mut rows = vec![
            ("put_custom_field", made), ("put_custom_field", app.defines("tier", "choice", "customer_edits").expect(200)),
            ("put_custom_field", app.defines("tier", "text", "desk").expect(422)), ("list_custom_fields", app.desk_gets("/v1/custom-fields").expect(200)),
            ("get_custom_field", app.desk_gets("/v1/custom-fields/tier").expect(200)), ("change_account", said),
            ("change_account", app.says_of(id, &json!({ "absent": 1 })).expect(422)), ("change_account", app.says_of_if(id, Some("\"x\""), &json!({})).expect(412)),
            ("get_account", app.desk_account(id).expect(200)), ("get_account", app.desk_account(&json!("x")).expect(404)),
            ("get_account", app.desk_account(&app.emails_support("bob@example.org")["account_id"]).expect(200)),
            ("get_me", app.me(&ada.access_token).expect(200)), ("get_me", app.client.get("/v1/me").bearer(&ada.access_token).header("If-None-Match", "*").send().expect(304)),
            ("change_account", app.says_of_if(id, Some("x"), &json!({})).expect(422)), ("list_my_custom_fields", reads(app, &ada, "/v1/me/custom-fields").expect(200)),
            ("change_me", app.patches(&ada, &json!({ "custom": { "tier": null }, "notifications": { "announcements": null } })).expect(200)),
            ("change_me", app.patches(&ada, &json!({ "custom": { "tier": 7 } })).expect(422)), ("delete_custom_field", app.deletes_field("tier").expect(204)),
        ];
        let [too_many, merged, deleted] = desk_problems(app).try_into().unwrap();
        rows.extend([("put_custom_field", too_many), ("get_account", merged), ("change_account", deleted)]);
        for (name, answer) in rows {
            is_documented(&document, operation(&document, name), &answer);
        }
    }
}
