//! What somebody who has done everything leaves behind when they delete their account, table by table.

use std::collections::BTreeMap;

use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query};
use doorstep_core::api_key::Scope;
use doorstep_core::db::Conn;
use doorstep_tests::merging::merges;
use doorstep_tests::people::PASSWORD;
use doorstep_tests::social::{Social, proven, signed_in};
use doorstep_tests::{App, Db, SignedIn, on_both, on_both_with_providers};
use serde_json::json;

use crate::desk_changes::{changes, rates};
use crate::forced::nothing_can_be_undone;
use crate::goodbye::leaves;
use crate::talk::{agent_answers, email_in};

const ADA: &str = "ada@example.org";

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    in_table: String,
    #[diesel(sql_type = Text)]
    as_bytes: String,
    #[diesel(sql_type = Text)]
    named: String,
}

/// Every table of the database itself, with its columns.
fn tables(app: &App) -> BTreeMap<String, Vec<Column>> {
    let mut conn = app.connection();
    let sql = match conn {
        Conn::Pg(_) => {
            "SELECT table_name::text AS in_table, column_name::text AS named, CASE data_type WHEN 'bytea' \
             THEN column_name::text ELSE 'convert_to(CAST(' || column_name || ' AS text), ''UTF8'')' END AS as_bytes \
             FROM information_schema.columns WHERE table_schema = 'public'"
        }
        Conn::Sqlite(_) => {
            "SELECT m.name AS in_table, c.name AS named, 'CAST(' || c.name || ' AS BLOB)' AS as_bytes \
             FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'"
        }
    };
    let mut tables: BTreeMap<String, Vec<Column>> = BTreeMap::new();
    for column in sql_query(sql).load::<Column>(&mut conn).unwrap() {
        tables.entry(column.in_table.clone()).or_default().push(column);
    }
    tables
}

/// The columns that hold a text anywhere, in bytes as well.
fn places_of(app: &App, needle: &str) -> Vec<String> {
    let holds = |column: &Column| match app.db {
        Db::Postgres => format!("position(convert_to('{needle}', 'UTF8') IN {}) > 0", column.as_bytes),
        Db::Sqlite => format!("instr({}, CAST('{needle}' AS BLOB)) > 0", column.as_bytes),
    };
    let columns = tables(app).into_values().flatten();
    let found = columns.filter(|column| {
        app.count(&format!("SELECT count(*) AS n FROM {} WHERE {}", column.in_table, holds(column))) > 0
    });
    found.map(|column| format!("{}.{}", column.in_table, column.named)).collect()
}

/// What is decided of each table: how many rows of a person who has left it may still have.
const DECIDED: [(&str, &str); 23] = [
    ("__diesel_schema_migrations", "nothing of anybody"),
    ("accounts", "a row with no more than an id and times"),
    ("api_keys", "nothing of customers"),
    ("audit_events", "what was done and when, without where and by what"),
    ("challenges", "deleted"),
    ("conversations", "kept for the desk, without a requester"),
    ("credentials", "deleted"),
    ("custom_fields", "nothing of anybody"),
    ("idempotency_keys", "deleted"),
    ("identities", "deleted"),
    ("instance", "nothing of anybody"),
    ("interactions", "that something was pushed, and the verdict on its sender"),
    ("merge_suggestions", "deleted"),
    ("messages", "kept for the desk, without the author's name"),
    ("outbox", "sealed until it is sent, then forgotten"),
    ("proofs", "deleted"),
    ("read_marks", "deleted"),
    ("reading_grants", "deleted"),
    ("sessions", "deleted"),
    ("settings", "nothing of anybody"),
    ("signing_keys", "nothing of anybody"),
    ("social_flows", "deleted"),
    ("throttles", "keys that say nothing of whom they are"),
];

/// Tables in which no row of a person who has left may stand. Grace, who has not, has an identity.
const EMPTY: [&str; 10] = [
    "challenges",
    "credentials",
    "idempotency_keys",
    "identities",
    "merge_suggestions",
    "proofs",
    "read_marks",
    "reading_grants",
    "sessions",
    "social_flows",
];

/// Ada does everything that there is to do; gives her last session.
fn lives_here(social: &Social) -> SignedIn {
    let mut first = email_in("case-1", ADA);
    first["from"]["name"] = json!("Ada Lovelace");
    let pushed = social.push(&first).expect(201).json();
    social.push(&agent_answers(&pushed["conversation_id"], "Hello.")).expect(201);
    let mut tweet = json!({
        "source": "desk", "external_id": "tweet-1", "channel": "twitter", "direction": "inbound",
        "from": { "twitter": { "id": "12345678", "handle": "adatweets" }, "email": ADA, "name": "Ada Lovelace" },
        "conversation": { "external_id": "case-tweet", "subject": "A tweet" }, "message": { "body_text": "Hello?" },
    });
    social.push(&tweet).expect(201);
    tweet["external_id"] = json!("tweet-2");
    social.push(&tweet).expect(201);
    let other = signed_in(social.arrives_by_google("goog-88", &proven("lovelace@gmail.com")));
    social.claims(ADA);
    let sign_in = social.client.post("/v1/sessions").header("x-forwarded-for", "203.0.113.77");
    let sign_in =
        sign_in.header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
    let ada = SignedIn::of(&sign_in.json(&json!({ "email": ADA, "password": PASSWORD })).send().expect(201));
    let change = json!({ "full_name": "Ada Lovelace", "phone": "+441632960961", "avatar_url": "https://img.example/ada.png",
        "locale": "en-GB", "time_zone": "Europe/London", "notifications": { "announcements": true } });
    social.client.patch("/v1/me").bearer(&ada.access_token).json(&change).send().expect(200);
    merges(social, &ada, &other, false).expect(200);
    social.wait_until_mail_is_carried();
    nothing_can_be_undone(social);
    social.links_twitter(&ada, "adatweets", "12345678").expect(200);
    social.asks_to_sign_up("ada@lovelace.example").expect(202);
    social.adds(&ada, "ada@lovelace.example");
    let mut answer = agent_answers(&pushed["conversation_id"], "And once more.");
    answer["external_id"] = json!("answer-to-ada");
    answer["recipients"] = json!([{ "email": "ada@lovelace.example", "role": "to" }]);
    social.push(&answer).expect(201);
    let mut of_another = email_in("case-of-grace", "grace@work.example");
    of_another["recipients"] = json!([{ "email": "ada@lovelace.example", "role": "cc", "name": "Ada Lovelace" }]);
    let desk = social.client.post("/v1/interactions").bearer(&social.api_key(&[Scope::InteractionsWrite]));
    desk.header("x-forwarded-for", "198.51.100.9").json(&of_another).send().expect(201);
    social.asks_to_add(&ada, "ada@pending.example").expect(202);
    social.asks_for_reset("ada@lovelace.example").expect(202);
    let case = format!("/v1/me/conversations/{}/read", pushed["conversation_id"].as_str().unwrap());
    social.client.post(&case).bearer(&ada.access_token).send().expect(204);
    changes(social, &pushed["conversation_id"], &json!({ "offer_rating": true })).expect(200);
    rates(social, &ada, &pushed["conversation_id"], &json!({ "score": 5, "comment": "Well done." })).expect(200);
    let start = json!({ "subject": "Where is my order?", "message": { "body_text": "It was to come." } });
    let request = social.client.post("/v1/me/conversations").bearer(&ada.access_token).header("idempotency-key", "k-1");
    request.json(&start).send().expect(201);
    social.begins_to_link(&ada, "facebook");
    signed_in(social.arrives_by_google("goog-88", &json!({})))
}

on_both! {
    fn a_text_is_found_in_whatever_kind_of_column_it_is(app) {
        let bytes = if app.db == Db::Postgres { "decode('00616461400a', 'hex')" } else { "x'00616461400a'" };
        app.sql(&format!("INSERT INTO throttles SELECT {bytes}, 0, created_at, created_at FROM signing_keys"));
        app.emails_support(ADA);
        let places = places_of(app, "ada@");
        for place in ["identities.subject", "throttles.key"] {
            assert!(places.iter().any(|found| found == place), "{place} is not among {places:?}");
        }
    }
}

on_both_with_providers! {
    fn what_a_deleted_person_left_behind_by_listing_every_table(social) {
        let ada = lives_here(social);
        let told = [ADA, "lovelace@gmail.com", "ada@lovelace.example"];
        let needles = [
            "ada@", "lovelace", "Lovelace", "12345678", "adatweets", "goog-88", "441632960961", "ada.png", "Europe/London",
            "203.0.113", "Firefox", "127.0.0.", "pending.example",
        ];
        let tables = tables(social);
        let decided: Vec<&str> = DECIDED.iter().map(|(table, _)| *table).collect();
        assert_eq!(tables.keys().map(String::as_str).collect::<Vec<_>>(), decided, "what is to become of a new table?");
        let page = include_str!("../../docs/privacy.md");
        for table in &decided {
            assert!(page.contains(&format!("`{table}`")), "docs/privacy.md leaves out {table}");
        }
        let found = |needle: &str| places_of(social, needle);
        social.wait_until_mail_is_carried();
        let before: Vec<_> = needles.iter().map(|needle| found(needle)).collect();
        assert!(before.iter().all(|places| !places.is_empty()), "each was somewhere: {before:?}");
        leaves(social, &ada, ADA);
        social.wait_until_mail_is_carried();
        for needle in needles {
            assert_eq!(found(needle), Vec::<String>::new(), "{needle}");
        }
        for table in EMPTY {
            let of_grace = i64::from(table == "identities");
            assert_eq!(social.count(&format!("SELECT count(*) AS n FROM {table}")), of_grace, "{table}");
        }
        for address in told {
            assert_eq!(social.mail_to(address).pop().unwrap().subject(), "Your account at Shop Help was deleted");
        }
        assert_eq!(social.count("SELECT count(*) AS n FROM conversations"), 4, "the desk keeps what was said");
        assert!(social.count("SELECT count(*) AS n FROM messages WHERE body_text <> ''") >= 4);
        assert_eq!(social.count("SELECT count(*) AS n FROM conversations WHERE requester_id IS NOT NULL"), 1, "of Grace");
        let anew = signed_in(social.arrives_by_google("goog-88", &proven("lovelace@gmail.com")));
        assert_ne!(anew.account["id"], ada.account["id"]);
        assert!(social.conversations_of(&anew).is_empty());
    }
}
