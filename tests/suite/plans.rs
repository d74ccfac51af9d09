//! Query plans: what the stories really ask the databases for is found by an index, never by reading a table.

use std::fmt::Write as _;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query};
use doorstep_core::api_key::Scope;
use doorstep_core::db::Conn;
use doorstep_core::{house, outbox};
use doorstep_tests::merging::merges;
use doorstep_tests::people::PASSWORD;
use doorstep_tests::social::{Social, continuation, proven, signed_in};
use doorstep_tests::{App, Db, Setup, statements};
use serde_json::json;

use crate::admin_settings::sets;
use crate::forced::{account_of, tweets};
use crate::goodbye::leaves;

/// Tables of a handful of rows that are read as a whole.
const SMALL: [&str; 6] =
    ["settings", "instance", "signing_keys", "api_keys", "custom_fields", "__diesel_schema_migrations"];

/// What must be among what was heard, or the story does not tell enough: a piece of the statement, in the words of
/// `SQLite`, and the column that its index begins with; of an index that has nothing but what is asked for, its name.
const HOT: [(&str, &str); 33] = [
    ("FROM ((`sessions` INNER JOIN `accounts`", "id"),
    ("((`identities`.`kind` = ?) AND (`identities`.`namespace` = ?", "kind"),
    ("`accounts`.`custom`, (SELECT `settings`.`custom_fields_version`", "id"),
    ("`accounts`.`custom` FROM `accounts` WHERE (`accounts`.`id` > ?)", "id"),
    ("UPDATE sessions SET counter", "id"),
    ("(`conversations`.`account_id` = ?) AND (`conversations`.`shown_at` IS NOT NULL)", "account_id"),
    ("FROM `messages` WHERE (`messages`.`conversation_id` = ?)", "conversation_id"),
    ("GROUP BY `messages`.`conversation_id`", "conversation_id"),
    ("`conversations`.`updated_at` >= ?", "updated_at"),
    ("`messages`.`visibility` = 'held'", "messages_held"),
    ("`outbox`.`due_at` <= ?", "kind"),
    ("(`challenges`.`address` = ?) AND (`challenges`.`state` = 'live')", "address"),
    ("`challenges`.`token_hash` = ?", "token_hash"),
    ("`throttles`.`key` = ?", "key"),
    ("`interactions`.`source` = ?", "source"),
    ("`conversations`.`source` = ?", "source"),
    ("FROM `social_flows` WHERE (`social_flows`.`id` = ?)", "id"),
    ("UPDATE `social_flows` SET `state` = ?, `sealed` = ?, `code_expires_at` = ?", "id"),
    ("(`social_flows`.`account_id` = ?) AND (`social_flows`.`ended_at` IS NULL)", "account_id"),
    ("`old`.`expires_at` < ?", "expires_at"),
    ("`accounts`.`role` = 'admin'", "accounts_admins"),
    ("WHERE (`accounts`.`merged_into` ", "merged_into"),
    ("DELETE FROM `challenges` WHERE (`challenges`.`account_id` = ?)", "account_id"),
    ("DELETE FROM `outbox` WHERE ((`outbox`.`account_id` = ?)", "account_id"),
    ("DELETE FROM `outbox` WHERE (`outbox`.`challenge_id` ", "challenge_id"),
    ("UPDATE `messages` SET `author_name` = ?", "author_account_id"),
    (
        "UPDATE `conversations` SET `updated_at` = ? WHERE ((`conversations`.`updated_at` < ?) AND (`conversations`.`account_id` = ?",
        "account_id",
    ),
    (
        "SELECT `messages`.`conversation_id` FROM `messages` WHERE (`messages`.`author_account_id` = ?",
        "author_account_id",
    ),
    ("DELETE FROM `throttles` WHERE (`throttles`.`key` = ?)", "key"),
    ("AND (`sessions`.`device_id` = ?)", "account_id"),
    ("SELECT DISTINCT `sessions`.`device`, ", "account_id"),
    ("(`sessions`.`account_id` = ?) AND (`sessions`.`epoch` = ?)) AND (`sessions`.`id` != ?))", "account_id"),
    ("DELETE FROM `sessions` WHERE (`sessions`.`account_id` = ?)", "account_id"),
];

/// A story that takes every road there is, so that all queries are heard.
fn story(app: &App) {
    let key = app.api_key(&[Scope::InteractionsWrite, Scope::ConversationsRead, Scope::ConversationsWrite]);
    let pushed = app.emails_support("ada@example.org");
    app.emails_support("ada@example.org");
    app.claims("ada@example.org");
    app.claims("ada@example.org");
    app.signs_up("grace@example.org");
    app.asks_to_sign_up("new@example.org").expect(202);
    let code = app.secret_mailed_to("new@example.org").code;
    let wrong = json!({ "email": "new@example.org", "code": "AAAA-AAAA", "password": PASSWORD });
    app.confirms_sign_up(&wrong).expect(404);
    app.confirms_sign_up(&json!({ "email": "new@example.org", "code": code, "password": PASSWORD })).expect(201);
    let first = app.signs_in("ada@example.org");
    app.tries_to_sign_in_with_device("ada@example.org", PASSWORD, &first.device_token).expect(201);
    let ada = app.signs_in("ada@example.org");
    app.tries_to_sign_in("ada@example.org", "not the password of Ada").expect(401);
    app.refreshes(&ada.refresh_token).expect(200);
    app.me(&ada.access_token).expect(200);
    let get = |path: &str, bearer: &str| app.client.get(path).bearer(bearer).send().expect(200).json();
    for filter in ["", "&status=open", "&channel=email", "&text=fire", "&unread=true"] {
        get(&format!("/v1/me/conversations?limit=1{filter}"), &ada.access_token);
    }
    let next = get("/v1/me/conversations?limit=1", &ada.access_token)["next_cursor"].clone();
    get(&format!("/v1/me/conversations?limit=1&cursor={}", next.as_str().unwrap()), &ada.access_token);
    let id = pushed["conversation_id"].as_str().unwrap();
    get(&format!("/v1/me/conversations/{id}"), &ada.access_token);
    get(&format!("/v1/me/conversations/{id}/messages"), &ada.access_token);
    let say = json!({ "body_text": "It is out." });
    app.client
        .post(&format!("/v1/me/conversations/{id}/messages"))
        .bearer(&ada.access_token)
        .json(&say)
        .send()
        .expect(201);
    get("/v1/conversations", &key);
    get("/v1/conversations?updated_since=2026-01-02T03:04:05Z", &key);
    get(&format!("/v1/conversations/{id}/messages"), &key);
    get("/v1/conversations?held=true", &key);
    get("/v1/conversations?held=false", &key);
    let change = json!({ "release": [pushed["message_id"]], "offer_rating": true });
    app.client.patch(&format!("/v1/conversations/{id}")).bearer(&key).json(&change).send().expect(200);
    let shows = |body: &serde_json::Value| {
        app.client.post("/v1/me/reauthenticate").bearer(&ada.access_token).json(body).send().status
    };
    let mail = app.client.post("/v1/me/reauthenticate/mail").bearer(&ada.access_token);
    mail.json(&json!({})).send().expect(202);
    assert_eq!(shows(&json!({ "mailed_code": "AAAA-AAAA" })), 404);
    assert_eq!(shows(&json!({ "password": PASSWORD })), 200);
    let signed_out = app.client.delete("/v1/sessions/current").bearer(&ada.access_token).send();
    assert_eq!(signed_out.status, 204);
    app.refreshes(&ada.refresh_token).expect(401);
    knows_people(app, &pushed["account_id"]);
    looks_around(app, pushed["account_id"].as_str().unwrap());
    leave(app);
    app.wait_until_mail_is_carried();
    app.advance(Duration::from_secs(61));
    while house::tidy(app.store()).unwrap() {}
    app.store().read(&doorstep_core::db::Origin::default(), outbox::is_mail_due).unwrap();
}

/// What the desk says of an account, in fields that it defines and deletes.
fn knows_people(app: &App, id: &serde_json::Value) {
    app.defines("size", "text", "customer_edits").expect(201);
    app.says_of(id, &json!({ "size": "S" })).expect(200);
    app.desk_account(id).expect(200);
    app.desk_gets("/v1/custom-fields").expect(200);
    app.deletes_field("size").expect(204);
}

/// What an admin asks for.
fn looks_around(app: &App, person: &str) {
    let boss = app.admin("boss@example.org");
    let gets = |path: &str| app.client.get(path).bearer(&boss.access_token).send().expect(200).json();
    for query in ["", "&state=claimed", "&text=ada"] {
        gets(&format!("/v1/admin/accounts?limit=1{query}"));
    }
    gets(&format!("/v1/admin/accounts/{person}"));
    gets(&format!("/v1/admin/accounts/{person}/sessions"));
    for query in ["", "&action=session.created", "&since=2026-01-02T03:04:05Z"] {
        gets(&format!("/v1/admin/audit-events?limit=1{query}"));
    }
    gets(&format!("/v1/admin/audit-events?account_id={person}"));
    gets(&format!("/v1/admin/audit-events?actor_id={person}"));
    gets("/v1/admin/api-keys");
    // it is counted whom this would lock out
    sets(app, &boss, "/password_sign_in", json!(false)).expect(409);
}

/// A customer deletes their account, and so does one of two admins.
fn leave(app: &App) {
    leaves(app, &app.signs_in("ada@example.org"), "ada@example.org");
    app.wait_until_mail_is_carried();
    for admin in ["grace@example.org", "new@example.org"] {
        app.sql(&format!("UPDATE accounts SET role = 'admin' WHERE id = {}", account_of(admin)));
    }
    leaves(app, &app.signs_in("grace@example.org"), "grace@example.org");
}

/// Signing in with providers, linking, unlinking and merging.
fn social_story(social: &Social) {
    social.emails_support("bob@example.org");
    let bob = signed_in(social.arrives_by_google("g-1", &proven("bob@example.org")));
    signed_in(social.arrives_by_google("g-1", &json!({})));
    signed_in(social.arrives_by_google("g-2", &proven("new@gmail.com")));
    social.arrives_by_google("g-3", &proven("bob@example.org")).expect(409);
    tweets(social, &json!({ "twitter": { "id": "12", "handle": "tess" } }));
    signed_in(social.arrives_by_twitter("tess", "12"));
    tweets(social, &json!({ "twitter": { "id": "13", "handle": "carl" } }));
    social.emails_support("carl@example.org");
    tweets(social, &json!({ "twitter": { "id": "14", "handle": "two" }, "email": "two@example.org" }));
    signed_in(social.arrives_by_twitter("two", "14"));
    let go_on = continuation(social.arrives_by_facebook("carl", "4711", None));
    social.gives_email(&go_on, "carl@example.org").expect(202);
    social.proves_email(&go_on, "AAAA-AAAA").expect(404);
    let carl = signed_in(social.proves_email(&go_on, &social.code_mailed_to("carl@example.org")));
    social.links_twitter(&carl, "carl", "13").expect(200);
    social.links_twitter(&bob, "carl", "13").expect(409);
    let twitter = social.identities_of(&carl).into_iter().find(|identity| identity["provider"] == "twitter").unwrap();
    let cancelled = social.begins("twitter");
    social.browser_goes_to(&social.twitter.cancels(&cancelled.url)).expect(303);
    let copied = social.begins("google");
    let code = social.brings(&copied, &social.google_says(&copied, "g-1", &json!({})));
    signed_in(social.exchanges(&code, &copied.verifier));
    social.advance(Duration::from_secs(60));
    social.exchanges(&code, &copied.verifier).expect(410);
    social.unlinks(&carl, &twitter["id"]).expect(204);
    merges(social, &bob, &carl, true).expect(200);
    merges(social, &bob, &carl, false).expect(200);
    social.identities_of(&bob);
}

/// All statements of the stories that look for rows.
fn heard_from(db: Db) -> Option<(Social, Vec<String>)> {
    let social = Social::start(db, Setup::default())?;
    let sqlite = social.sqlite_path();
    let database = social.config.database.url.as_deref().or(sqlite.to_str()).unwrap();
    let mut statements = statements::during(database, || {
        house::settle_in(social.store()).unwrap();
        social_story(&social);
        story(&social);
    });
    statements.dedup();
    let looks = ["SELECT", "UPDATE", "DELETE"];
    statements.retain(|sql| looks.iter().any(|verb| sql.starts_with(verb)));
    Some((social, statements))
}

#[derive(QueryableByName)]
struct SqliteStep {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[derive(QueryableByName)]
struct PostgresStep {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    line: String,
}

/// Indexes of few rows, by their condition: read as a whole, they are what is asked for.
const OF_FEW: [&str; 1] = ["messages_held"];

fn is_small(table: &str) -> bool {
    SMALL.contains(&table)
}

/// The steps of a plan that read a whole table.
fn sqlite_scans(conn: &mut Conn, sql: &str) -> (String, Vec<String>) {
    let steps: Vec<_> = sql_query(format!("EXPLAIN QUERY PLAN {sql}")).load::<SqliteStep>(conn).unwrap();
    let details: Vec<String> = steps.into_iter().map(|step| step.detail).collect();
    let scans = details.iter().filter(|step| {
        let table = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
        let of_few = OF_FEW.iter().any(|index| step.ends_with(&format!("INDEX {index}")));
        table.is_some_and(|table| !is_small(table) && table != "CONSTANT" && !walks_its_key(table, sql, &details))
            && !step.contains("USING INDEX")
            && !of_few
    });
    (details.join("; "), scans.cloned().collect())
}

/// Whether a page is read in the order of a table's key, and no further than it is full: what is `SCAN ... USING INDEX` of
/// any other index has no name of its own where the table is its key's index.
fn walks_its_key(table: &str, sql: &str, steps: &[String]) -> bool {
    let in_order = sql.ends_with(&format!("ORDER BY `{table}`.`id` DESC LIMIT ?"));
    in_order && !steps.iter().any(|step| step.contains("TEMP B-TREE"))
}

fn postgres_scans(conn: &mut Conn, sql: &str) -> (String, Vec<String>) {
    let binds = (1..20).take_while(|n| sql.contains(&format!("${n}"))).count();
    let nulls = if binds == 0 { String::new() } else { format!("({})", vec!["NULL"; binds].join(", ")) };
    conn.batch_execute(&format!("PREPARE asked AS {sql}")).unwrap();
    let steps: Vec<_> = sql_query(format!("EXPLAIN EXECUTE asked{nulls}")).load::<PostgresStep>(conn).unwrap();
    conn.batch_execute("DEALLOCATE asked").unwrap();
    let lines: Vec<String> = steps.into_iter().map(|step| step.line).collect();
    let scans = lines.iter().filter(|line| {
        let table = line.split_once("Seq Scan on ").and_then(|(_, rest)| rest.split(' ').next());
        table.is_some_and(|table| !is_small(table))
    });
    (lines.join("\n"), scans.cloned().collect())
}

/// Keeps the planner from reading a whole table because there are so few rows.
fn no_short_cuts(conn: &mut Conn) {
    if matches!(conn, Conn::Pg(_)) {
        let settings = "SET enable_seqscan = off; SET enable_mergejoin = off; SET enable_hashjoin = off; \
                        SET plan_cache_mode = force_generic_plan";
        conn.batch_execute(settings).unwrap();
    }
}

fn no_query_reads_a_whole_table(db: Db) {
    let Some((app, statements)) = heard_from(db) else { return };
    let mut conn = app.connection();
    no_short_cuts(&mut conn);
    let mut slow = String::new();
    for sql in &statements {
        let (plan, scans) =
            if db == Db::Sqlite { sqlite_scans(&mut conn, sql) } else { postgres_scans(&mut conn, sql) };
        if !scans.is_empty() {
            writeln!(slow, "{sql}\n  {plan}\n").unwrap();
        }
    }
    assert!(slow.is_empty(), "{slow}");
}

#[test]
fn no_query_reads_a_whole_table_on_sqlite() {
    no_query_reads_a_whole_table(Db::Sqlite);
}

#[test]
fn no_query_reads_a_whole_table_on_postgres() {
    no_query_reads_a_whole_table(Db::Postgres);
}

fn hot_queries_find_their_rows_by_the_first_column_of_an_index(db: Db) {
    let Some((app, statements)) = heard_from(db) else { return };
    let mut conn = app.connection();
    no_short_cuts(&mut conn);
    for (piece, column) in HOT {
        let piece = if db == Db::Sqlite { piece.to_owned() } else { in_postgres(piece) };
        let asked: Vec<&String> = statements.iter().filter(|sql| with_any_bind(sql).contains(&piece)).collect();
        // for an empty list diesel writes what is never true, and nothing is read
        let asked: Vec<_> = asked.into_iter().filter(|sql| !sql.contains("(1=0)")).collect();
        assert!(!asked.is_empty(), "the story never asks {piece}, but:\n{}", statements.join("\n"));
        for sql in asked {
            let (plan, by_index) = match db {
                Db::Sqlite => {
                    let plan = sqlite_scans(&mut conn, sql).0;
                    let by_column = |step: &str| step.starts_with("SEARCH") && step.contains(&format!("({column}"));
                    let by_name = |step: &str| step.ends_with(&format!("INDEX {column}"));
                    let by_index = plan.split("; ").any(|step| by_column(step) || by_name(step));
                    (plan, by_index)
                }
                Db::Postgres => {
                    let plan = postgres_scans(&mut conn, sql).0;
                    let by_column = |line: &str| line.contains("Index Cond:") && line.contains(&format!("({column} "));
                    let by_name = |line: &str| {
                        ["Index Scan", "Index Only Scan"]
                            .iter()
                            .any(|scan| line.contains(&format!("{scan} using {column} ")))
                    };
                    let by_index = plan.lines().any(|line| by_column(line) || by_name(line));
                    (plan, by_index)
                }
            };
            assert!(by_index, "no index on {column} finds\n{sql}\n{plan}");
        }
    }
}

/// The same piece as `PostgreSQL` is told it.
fn in_postgres(piece: &str) -> String {
    piece.replace('`', "\"")
}

/// A statement with each of its numbered binds as `?`.
fn with_any_bind(sql: &str) -> String {
    let mut out = String::new();
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('$') {
        out.extend([before, "?"]);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out + rest
}

#[test]
fn hot_queries_find_their_rows_by_the_first_column_of_an_index_on_sqlite() {
    hot_queries_find_their_rows_by_the_first_column_of_an_index(Db::Sqlite);
}

#[test]
fn hot_queries_find_their_rows_by_the_first_column_of_an_index_on_postgres() {
    hot_queries_find_their_rows_by_the_first_column_of_an_index(Db::Postgres);
}
