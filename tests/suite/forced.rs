//! Around the API: states that no road leads to yet, or that none may ever lead to, and looks into the tables.

use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use doorstep_core::clock::Timestamp;
use doorstep_core::db::Origin;
use doorstep_core::db::outbox::next_due;
use doorstep_tests::App;
use doorstep_tests::http::Answer;
use doorstep_tests::people::SecretMail;
use serde_json::{Value, json};

/// SQL for the account that holds an address.
pub fn account_of(email: &str) -> String {
    format!("(SELECT o.account_id FROM identities o WHERE o.kind = 'email' AND o.subject = '{email}')")
}

/// Around the API: an identity that support has seen moves, with its conversations, to the account of an address,
/// as if its owner had proven it there.
pub fn proves_another(app: &App, owner: &str, (kind, subject): (&str, &str)) {
    app.wait_until_mail_is_carried();
    let (owner, its) = (account_of(owner), format!("i.kind = '{kind}' AND i.subject = '{subject}'"));
    let id = format!("(SELECT i.id FROM identities i WHERE {its})");
    app.sql(&format!(
        "UPDATE conversations SET account_id = {owner} WHERE requester_id = {id};
         UPDATE messages SET author_account_id = {owner} WHERE author_identity_id = {id};
         UPDATE identities SET account_id = {owner}, owned_since = observed_at WHERE id = {id};
         INSERT INTO proofs (id, identity_id, account_id, method, challenge_id, proven_at)
         SELECT i.id, i.id, i.account_id, 'provider', NULL, i.observed_at FROM identities i WHERE {its}"
    ));
}

/// Around the API: the account of an address is in another state.
pub fn becomes(app: &App, email: &str, state: &str) {
    app.wait_until_mail_is_carried();
    app.sql(&format!("UPDATE accounts SET state = '{state}' WHERE id = {}", account_of(email)));
}

/// Around the API: what could be undone for 72 hours can be no more.
pub fn nothing_can_be_undone(app: &App) {
    app.sql("UPDATE challenges SET expires_at = created_at WHERE purpose = 'email_undo'");
    app.sql("UPDATE accounts SET claimed_at = NULL WHERE state = 'merged'");
}

#[derive(QueryableByName)]
struct Words {
    #[diesel(sql_type = Text)]
    t: String,
}

/// Around the API: one text by SQL, which names it `t`.
pub fn text(app: &App, sql: &str) -> String {
    sql_query(sql.to_owned()).get_result::<Words>(&mut app.connection()).unwrap().t
}

/// Around the API: waits until SQL counts so many.
pub fn wait_for_count(app: &App, n: i64, sql: &str) {
    let mut connection = app.connection();
    let deadline = app.clock.now() + std::time::Duration::from_secs(20);
    loop {
        let count = doorstep_tests::invariants::count(&mut connection, sql);
        if count == n {
            return;
        }
        assert!(app.clock.now() < deadline, "{n} were to be counted, but there are {count}: {sql}");
        std::thread::yield_now();
    }
}

/// Around the API: when the next mail is tried.
pub fn mail_due(app: &App) -> Option<Timestamp> {
    app.store().read(&Origin::default(), next_due).unwrap()
}

/// Forgot password, asked for by somebody at another address of the network.
pub fn asks_for_reset_from(app: &App, ip: &str, email: &str) -> Answer {
    app.client.post("/v1/password-resets").header("x-forwarded-for", ip).json(&json!({ "email": email })).send()
}

/// Forgot password, up to the mail.
pub fn resets(app: &App, email: &str) -> SecretMail {
    app.asks_for_reset(email).expect(202);
    app.secret_mailed_to(email)
}

pub fn inspects_reset(app: &App, body: &Value) -> Answer {
    app.client.post("/v1/password-resets/inspect").json(body).send()
}

pub fn inspects_sign_up(app: &App, body: &Value) -> Answer {
    app.client.post("/v1/sign-ups/inspect").json(body).send()
}

/// The kinds of the ways in, as an inspection or a confirmation lists them.
pub fn ways_in(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    body["ways_in"].as_array().unwrap().iter().map(|way| way["method"].as_str().unwrap().to_owned()).collect()
}

/// A tweet, pushed with whatever else the desk knows of its author.
pub fn tweets(app: &App, from: &Value) -> Value {
    let id = format!("tweet-{}", doorstep_tests::people::unique());
    let push = json!({
        "source": "desk", "external_id": id, "channel": "twitter", "direction": "inbound", "from": from,
        "conversation": { "external_id": format!("case-{id}"), "subject": "A tweet" },
        "message": { "body_text": "Where is my printer?" },
    });
    app.push(&push).expect(201).json()
}
