//! Words for what is said in conversations, by the desk and by customers.

use doorstep_core::api_key::Scope;
use doorstep_tests::http::Answer;
use doorstep_tests::people::unique;
use doorstep_tests::{App, SignedIn};
use serde_json::{Value, json};

/// A person whom support knew before, signed in, and the push that began their first conversation.
pub fn known(app: &App, email: &str) -> (SignedIn, Value) {
    let pushed = app.emails_support(email);
    app.claims(email);
    (app.signs_in(email), pushed)
}

/// A push of another message from `from` into the case of `case`.
pub fn email_in(case: &str, from: &str) -> Value {
    App::email_push(&format!("msg-{}", unique()), case, from)
}

/// A push of an agent's answer into one of our conversations.
pub fn agent_answers(id: &Value, text: &str) -> Value {
    json!({
        "source": "desk", "external_id": format!("msg-{}", unique()), "channel": "email", "direction": "outbound",
        "agent": { "name": "Grace" }, "conversation": { "id": id }, "message": { "body_text": text },
    })
}

pub fn path(id: &Value, rest: &str) -> String {
    format!("/v1/me/conversations/{}{rest}", id.as_str().unwrap())
}

pub fn reads(app: &App, who: &SignedIn, path: &str) -> Answer {
    app.client.get(path).bearer(&who.access_token).send()
}

pub fn posts(app: &App, who: &SignedIn, path: &str, body: &Value) -> Answer {
    app.client.post(path).bearer(&who.access_token).json(body).send()
}

/// Something that takes no body.
pub fn does(app: &App, who: &SignedIn, path: &str) -> Answer {
    app.client.post(path).bearer(&who.access_token).send()
}

/// What a customer sees of a conversation, oldest first.
pub fn messages(app: &App, who: &SignedIn, id: &Value) -> Vec<Value> {
    items(&reads(app, who, &path(id, "/messages?limit=100")).expect(200))
}

/// What a conversation answers to somebody who asks for it.
pub fn opens(app: &App, who: &SignedIn, conversation: &Value) -> u16 {
    reads(app, who, &path(conversation, "")).status
}

/// The conversations that somebody sees.
pub fn sees(app: &App, who: &SignedIn) -> Vec<Value> {
    app.conversations_of(who).iter().map(|conversation| conversation["id"].clone()).collect()
}

/// [`messages`], only what was written.
pub fn texts(app: &App, who: &SignedIn, id: &Value) -> Vec<String> {
    column(&messages(app, who, id), "body_text")
}

/// What the desk reads.
pub fn desk_reads(app: &App, path: &str) -> Answer {
    app.client.get(path).bearer(&app.api_key(&[Scope::ConversationsRead])).send()
}

/// What the desk sees of a conversation, oldest first.
pub fn desk_messages(app: &App, id: &Value) -> Vec<Value> {
    items(&desk_reads(app, &format!("/v1/conversations/{}/messages?limit=100", id.as_str().unwrap())).expect(200))
}

pub fn starts(app: &App, who: &SignedIn, subject: &str, text: &str) -> Value {
    let body = json!({ "subject": subject, "message": { "body_text": text } });
    posts(app, who, "/v1/me/conversations", &body).expect(201).json()
}

pub fn unread(app: &App, who: &SignedIn, id: &Value) -> u64 {
    reads(app, who, &path(id, "")).expect(200).json()["unread_count"].as_u64().unwrap()
}

pub fn items(answer: &Answer) -> Vec<Value> {
    answer.json()["items"].as_array().unwrap().clone()
}

/// One field of every row.
pub fn column(rows: &[Value], name: &str) -> Vec<String> {
    rows.iter().map(|row| row[name].as_str().unwrap().to_owned()).collect()
}

/// The pointers of a refusal's `errors`, in order.
pub fn pointers(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    column(body["errors"].as_array().unwrap_or_else(|| panic!("no errors in {body}")), "pointer")
}
