//! Every operation of the document, with a call that is good but for who makes it.

use std::collections::BTreeSet;

use doorstep_core::api_key::Scope;
use doorstep_tests::http::Answer;
use doorstep_tests::people::{PASSWORD, unique};
use doorstep_tests::{App, SignedIn};
use serde_json::{Value, json};

use crate::talk::{email_in, known};

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Anybody,
    Customer,
    /// An account with the role `admin`.
    Admin,
    Key(Scope),
}

/// Who there is to make calls, and what about.
pub struct World {
    pub ada: SignedIn,
    pub boss: SignedIn,
    /// An account for admins to do something with.
    grace: String,
    /// A key for every single scope.
    pub keys: Vec<(Scope, String)>,
    conversation: String,
}

impl World {
    pub fn of(app: &App, scopes: &[Scope]) -> Self {
        let (ada, pushed) = known(app, "ada@example.org");
        let keys = scopes.iter().map(|scope| (*scope, app.api_key(&[*scope]))).collect();
        let grace = app.signs_up("hopper@example.org").account["id"].as_str().unwrap().to_owned();
        Self {
            ada,
            grace,
            boss: app.admin("boss@example.org"),
            keys,
            conversation: pushed["conversation_id"].as_str().unwrap().to_owned(),
        }
    }

    /// The credential of one who may make a call, where it takes one.
    pub fn right(&self, app: &App, call: &Call) -> Option<String> {
        match call.who {
            Who::Anybody => None,
            Who::Customer => Some(self.session(app, call)),
            Who::Admin => Some(self.boss.access_token.clone()),
            Who::Key(scope) => self.keys.iter().find(|key| key.0 == scope).map(|key| key.1.clone()),
        }
    }

    /// The customer's access token; one of its own for what ends the session.
    pub fn session(&self, app: &App, call: &Call) -> String {
        if call.operation == "sign_out" {
            app.signs_in("ada@example.org").access_token
        } else {
            self.ada.access_token.clone()
        }
    }
}

/// One operation, and what it answers to those who may call it.
pub struct Call {
    pub operation: &'static str,
    pub who: Who,
    pub status: u16,
    method: String,
    path: String,
    /// Each comes from elsewhere: what a caller may try is counted.
    from: String,
    /// Made anew for each call.
    body: fn() -> Value,
}

impl Call {
    /// The same with another query parameter.
    pub fn with(mut self, parameter: &str) -> Self {
        let mark = if self.path.contains('?') { '&' } else { '?' };
        self.path = format!("{}{mark}{parameter}", self.path);
        self
    }

    pub fn send(&self, app: &App, token: Option<&str>) -> Answer {
        let request = app.client.request(self.method.parse().unwrap(), &self.path);
        let request = request.header("x-forwarded-for", &self.from);
        let request = token.iter().fold(request, |request, token| request.bearer(token));
        let body = (self.body)();
        if body.is_null() { request.send() } else { request.json(&body).send() }
    }
}

/// The id of nothing.
const ABSENT: &str = "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20";

type Row = (&'static str, Who, u16, fn() -> Value);

const NOTHING: fn() -> Value = || Value::Null;
const SECRET: fn() -> Value = || json!({ "token": "A".repeat(43) });
const SECRET_SPENT: fn() -> Value = || json!({ "token": "A".repeat(43), "password": PASSWORD });
const ADDRESS: fn() -> Value = || json!({ "email": "nobody@example.org" });
const CODE: fn() -> Value = || json!({ "code": "garbage", "code_verifier": "v".repeat(43) });
const NATIVE: fn() -> Value = || json!({ "native": true });
const SAY: fn() -> Value = || json!({ "body_text": "hello" });

/// What each operation needs and answers: an operation that is not here fails the tests over the whole document.
const ROWS: &[Row] = &[
    ("get_jwks", Who::Anybody, 200, NOTHING),
    ("get_openid_configuration", Who::Anybody, 200, NOTHING),
    ("check_alive", Who::Anybody, 200, NOTHING),
    ("check_ready", Who::Anybody, 200, NOTHING),
    ("get_openapi", Who::Anybody, 200, NOTHING),
    ("get_sign_in_options", Who::Anybody, 200, NOTHING),
    ("ask_for_sign_up", Who::Anybody, 202, ADDRESS),
    ("inspect_sign_up", Who::Anybody, 404, SECRET),
    ("confirm_sign_up", Who::Anybody, 404, SECRET_SPENT),
    ("ask_for_password_reset", Who::Anybody, 202, ADDRESS),
    ("inspect_password_reset", Who::Anybody, 404, SECRET),
    ("confirm_password_reset", Who::Anybody, 404, SECRET_SPENT),
    ("sign_in", Who::Anybody, 201, || json!({ "email": "ada@example.org", "password": PASSWORD })),
    ("refresh_session", Who::Anybody, 401, || json!({ "refresh_token": "garbage" })),
    // no provider is configured here: what they answer where there are some is told by stories of their own
    ("begin_social_sign_in", Who::Anybody, 404, NATIVE),
    ("come_back_from_provider", Who::Anybody, 404, NOTHING),
    ("exchange_social_code", Who::Anybody, 404, CODE),
    ("sign_in_with_provider_token", Who::Anybody, 404, || json!({ "flow_id": ABSENT, "id_token": "garbage" })),
    ("give_social_email", Who::Anybody, 404, || json!({ "continuation": "garbage", "email": "nobody@example.org" })),
    ("confirm_social_email", Who::Anybody, 404, || json!({ "continuation": "garbage", "code": "ABCD-EFGH" })),
    ("set_my_password", Who::Customer, 422, || json!({ "password": PASSWORD })),
    ("reauthenticate", Who::Customer, 404, CODE),
    ("ask_for_reauthentication_code", Who::Customer, 202, || json!({})),
    ("begin_reauthentication", Who::Customer, 404, NATIVE),
    ("delete_me", Who::Customer, 202, NOTHING),
    ("confirm_deletion", Who::Customer, 404, || json!({ "code": "ABCD-EFGH" })),
    ("list_my_activity", Who::Customer, 200, NOTHING),
    ("export_me", Who::Customer, 200, NOTHING),
    ("list_my_sessions", Who::Customer, 200, NOTHING),
    ("end_my_session", Who::Customer, 404, NOTHING),
    ("end_my_other_sessions", Who::Customer, 200, NOTHING),
    ("list_my_emails", Who::Customer, 200, NOTHING),
    ("add_my_email", Who::Customer, 202, || json!({ "email": "more@example.org" })),
    ("verify_my_email", Who::Customer, 404, || json!({ "code": "ABCD-EFGH" })),
    ("resend_my_email", Who::Customer, 404, NOTHING),
    ("make_my_email_primary", Who::Customer, 404, NOTHING),
    ("remove_my_email", Who::Customer, 404, NOTHING),
    ("inspect_email_undo", Who::Anybody, 404, SECRET),
    ("confirm_email_undo", Who::Anybody, 404, SECRET_SPENT),
    ("list_my_identities", Who::Customer, 200, NOTHING),
    ("begin_linking", Who::Customer, 404, NATIVE),
    ("finish_linking", Who::Customer, 404, CODE),
    ("unlink_identity", Who::Customer, 404, NOTHING),
    (
        "identify_messenger",
        Who::Customer,
        422,
        || json!({ "device_id": "5f0c8d1e-3b1a", "timestamp": 1, "signature": "0".repeat(64) }),
    ),
    ("ask_to_merge_accounts", Who::Customer, 422, || json!({ "access_token": "garbage" })),
    ("merge_my_accounts", Who::Customer, 422, || json!({ "access_token": "garbage" })),
    ("sign_out", Who::Customer, 204, NOTHING),
    ("get_me", Who::Customer, 200, NOTHING),
    ("change_me", Who::Customer, 200, || json!({ "full_name": "Ada" })),
    ("list_my_custom_fields", Who::Customer, 200, NOTHING),
    ("list_my_conversations", Who::Customer, 200, NOTHING),
    ("start_conversation", Who::Customer, 201, || json!({ "subject": "Hello", "message": { "body_text": "hello" } })),
    ("get_my_conversation", Who::Customer, 200, NOTHING),
    ("list_my_messages", Who::Customer, 200, NOTHING),
    ("reply_to_conversation", Who::Customer, 201, SAY),
    ("mark_conversation_read", Who::Customer, 204, NOTHING),
    ("close_conversation", Who::Customer, 200, NOTHING),
    ("reopen_conversation", Who::Customer, 200, NOTHING),
    ("rate_conversation", Who::Customer, 409, || json!({ "score": 5 })),
    ("push_interaction", Who::Key(Scope::InteractionsWrite), 201, || {
        email_in(&format!("case-{}", unique()), "grace@example.org")
    }),
    (
        "push_interactions",
        Who::Key(Scope::InteractionsWrite),
        200,
        || json!({ "items": [email_in(&format!("case-{}", unique()), "grace@example.org")] }),
    ),
    ("list_desk_conversations", Who::Key(Scope::ConversationsRead), 200, NOTHING),
    ("get_desk_conversation", Who::Key(Scope::ConversationsRead), 200, NOTHING),
    ("list_desk_messages", Who::Key(Scope::ConversationsRead), 200, NOTHING),
    ("change_desk_conversation", Who::Key(Scope::ConversationsWrite), 200, || json!({ "status": "open" })),
    ("get_account", Who::Key(Scope::AccountsRead), 200, NOTHING),
    ("change_account", Who::Key(Scope::AccountsWrite), 200, || json!({ "custom": {} })),
    ("list_custom_fields", Who::Key(Scope::AccountsRead), 200, NOTHING),
    ("get_custom_field", Who::Key(Scope::AccountsRead), 404, NOTHING),
    (
        "put_custom_field",
        Who::Key(Scope::CustomFieldsWrite),
        422,
        || json!({ "title": "Size", "type": "choice", "visible_to": "desk" }),
    ),
    ("delete_custom_field", Who::Key(Scope::CustomFieldsWrite), 404, NOTHING),
    ("list_audit_events", Who::Admin, 200, NOTHING),
    ("list_people", Who::Admin, 200, NOTHING),
    ("get_person", Who::Admin, 200, NOTHING),
    ("disable_person", Who::Admin, 204, NOTHING),
    ("enable_person", Who::Admin, 204, NOTHING),
    ("send_reset_to_person", Who::Admin, 202, NOTHING),
    ("list_sessions_of_person", Who::Admin, 200, NOTHING),
    ("end_sessions_of_person", Who::Admin, 200, NOTHING),
    ("remove_identity_of_person", Who::Admin, 404, NOTHING),
    ("list_api_keys", Who::Admin, 200, NOTHING),
    ("create_api_key", Who::Admin, 201, || json!({ "name": "desk", "scopes": ["interactions:write"] })),
    ("revoke_api_key", Who::Admin, 404, NOTHING),
    ("introspect_token", Who::Key(Scope::TokensIntrospect), 200, || json!({ "token": "garbage" })),
    ("get_authentication_settings", Who::Admin, 200, NOTHING),
    ("put_authentication_settings", Who::Admin, 428, || {
        json!({
            "sign_up": "open", "password_sign_in": true, "social_sign_on": true, "providers": {}, "password_min_length": 15,
            "session_idle_seconds": 1_209_600, "session_absolute_seconds": 2_592_000, "allowed_domains": [],
            "blocked_domains": [], "unknown_requesters": "accept",
        })
    }),
];

/// Each operation, and who may call it.
pub fn who_calls() -> impl Iterator<Item = (&'static str, Who)> {
    ROWS.iter().map(|row| (row.0, row.1))
}

/// A call for every operation that the server's document names, and for no other.
pub fn calls(app: &App, world: &World) -> Vec<Call> {
    let document = app.client.get("/openapi.json").send().expect(200).json();
    let mut calls = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            let row = ROWS.iter().find(|row| row.0 == name);
            let (operation, who, status, body) = *row.unwrap_or_else(|| panic!("who may call {name}? add a row"));
            let id = if template.starts_with("/v1/accounts/") {
                world.ada.account["id"].as_str().unwrap()
            } else {
                &world.conversation
            };
            let path = template
                .replace("{key}", "size")
                .replace("{id}", id)
                .replace("{identity}", ABSENT)
                .replace("{email}", ABSENT)
                .replace("{session}", ABSENT)
                .replace("{api_key}", ABSENT)
                .replace("{account}", &world.grace);
            let path = if operation == "end_my_other_sessions" { path + "?others=true" } else { path };
            let path = path.replace("{provider}", "google");
            assert!(!path.contains('{'), "what stands for the parameters of {path}?");
            let (method, from) = (method.to_uppercase(), format!("198.51.100.{}", calls.len()));
            calls.push(Call { operation, who, status, method, path, from, body });
        }
    }
    let named: BTreeSet<_> = calls.iter().map(|call| call.operation).collect();
    assert_eq!(named, ROWS.iter().map(|row| row.0).collect(), "a row without an operation");
    calls
}
