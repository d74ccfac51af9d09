//! The invariants of the rules, asked of the rows themselves after every story.

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use doorstep_core::db::Conn;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Said {
    #[diesel(sql_type = Text)]
    integrity_check: String,
}

/// What must never be found, in SQL that both databases know.
const NEVER: &[(&str, &str)] = &[
    (
        "I2: a claimed account holds an identity without a proof",
        "SELECT count(*) AS n FROM identities i JOIN accounts a ON a.id = i.account_id WHERE a.state = 'claimed' \
         AND NOT EXISTS (SELECT 1 FROM proofs p WHERE p.identity_id = i.id AND p.account_id = a.id)",
    ),
    (
        "I2: an identity of a claimed account does not say since when it is its owner's",
        "SELECT count(*) AS n FROM identities i JOIN accounts a ON a.id = i.account_id \
         WHERE a.state = 'claimed' AND i.owned_since IS NULL",
    ),
    (
        "I2: a proof belongs to another account than its identity",
        "SELECT count(*) AS n FROM proofs p JOIN identities i ON i.id = p.identity_id \
         WHERE p.account_id <> i.account_id",
    ),
    (
        "I3: a live secret is older than its account's security epoch",
        "SELECT count(*) AS n FROM challenges c JOIN accounts a ON a.id = c.account_id \
         WHERE c.state = 'live' AND c.purpose <> 'email_undo' AND c.epoch <> a.security_epoch",
    ),
    (
        "I3: a secret that was mailed while an address was nobody's is live",
        "SELECT count(*) AS n FROM challenges c JOIN identities i ON i.kind = 'email' AND i.subject = c.address \
         JOIN accounts a ON a.id = i.account_id WHERE c.state = 'live' AND c.account_id IS NULL AND a.state = 'claimed'",
    ),
    (
        "I4: a conversation is with another account than its requester",
        "SELECT count(*) AS n FROM conversations c JOIN identities i ON i.id = c.requester_id \
         WHERE c.account_id <> i.account_id",
    ),
    (
        "I4: a message is by another account than the identity that wrote it",
        "SELECT count(*) AS n FROM messages m JOIN identities i ON i.id = m.author_identity_id \
         WHERE m.author_account_id <> i.account_id",
    ),
    (
        "I5: an unclaimed account has a credential",
        "SELECT count(*) AS n FROM credentials c JOIN accounts a ON a.id = c.account_id WHERE a.state = 'unclaimed'",
    ),
    (
        "I5: an unclaimed account has a session",
        "SELECT count(*) AS n FROM sessions s JOIN accounts a ON a.id = s.account_id WHERE a.state = 'unclaimed'",
    ),
    (
        "I5: an unclaimed account has a role",
        "SELECT count(*) AS n FROM accounts WHERE state = 'unclaimed' AND role <> 'customer'",
    ),
    (
        "I9: a claimed account has no way in",
        "SELECT count(*) AS n FROM accounts a WHERE a.state = 'claimed' \
         AND NOT EXISTS (SELECT 1 FROM proofs p WHERE p.account_id = a.id)",
    ),
    (
        "a live session is of another epoch than its account",
        "SELECT count(*) AS n FROM sessions s JOIN accounts a ON a.id = s.account_id \
         WHERE s.ended_at IS NULL AND s.epoch <> a.security_epoch",
    ),
    (
        "a finished mail still says what it said",
        "SELECT count(*) AS n FROM outbox WHERE state <> 'waiting' AND sealed_payload IS NOT NULL",
    ),
    (
        "an account that went into another still has choices or custom values",
        "SELECT count(*) AS n FROM accounts WHERE state = 'merged' \
         AND (CAST(custom AS text) <> '{}' OR CAST(notifications AS text) <> '{}')",
    ),
    (
        "an account has two primary addresses, or one that is no address",
        "SELECT count(*) AS n FROM identities WHERE is_primary AND kind <> 'email'",
    ),
];

/// One number by SQL, which names it `n`.
pub fn count(conn: &mut Conn, sql: &str) -> i64 {
    sql_query(sql.to_owned()).get_result::<Count>(conn).unwrap().n
}

pub fn check(conn: &mut Conn) {
    for (what, sql) in NEVER {
        assert_eq!(count(conn, sql), 0, "{what}");
    }
}

/// SQLite finds its file whole.
pub fn is_whole(conn: &mut Conn) {
    if matches!(conn, Conn::Sqlite(_)) {
        let said = sql_query("PRAGMA integrity_check").load::<Said>(conn).unwrap();
        assert_eq!(said.iter().map(|row| row.integrity_check.as_str()).collect::<Vec<_>>(), ["ok"]);
    }
}
