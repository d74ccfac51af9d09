//! `doorstep serve`: starts, and says what to do next.

use doorstep_core::api_key::{self, Scope};
use doorstep_core::audit::Actor;
use doorstep_core::db::{self, Lock, Store};

use super::people;
use crate::config::Config;
use crate::connections;
use crate::server::{Options, Server};

/// Whom a fresh installation without a mail server invites as its first admin.
const FIRST_ADMIN: &str = "admin@doorstep.example";

pub fn serve(config: &Config) -> Result<(), String> {
    connections::open_as_many_files_as_may_be();
    let server = Server::start(config, &Options { signals: true, ..Options::default() })?;
    let base = format!("http://{}", server.address());
    say!("Doorstep {} serves {}", env!("CARGO_PKG_VERSION"), config.site.name);
    say!("  API       {base}");
    say!("  Docs      {base}/docs");
    match config.location()? {
        db::Location::Sqlite(path) => say!("  Database  SQLite, {}", path.display()),
        db::Location::Postgres(_) => say!("  Database  PostgreSQL"),
    }
    match config.server.cors_origins.as_slice() {
        [] => say!("  Browsers  no web origin may call (server.cors_origins is empty)"),
        origins => say!("  Browsers  {}", origins.join(", ")),
    }
    match config.mail.smtp_url {
        Some(_) => say!("  Mail      by SMTP"),
        None => {
            say!("  Mail      {} (no mail.smtp_url is set)", config.mail_dir().display());
            first_run(config, server.store(), &base)?;
        }
    }
    server.wait()
}

/// On the very first start without a mail server: an API key and an admin's invitation, shown this once.
fn first_run(config: &Config, store: &Store, base: &str) -> Result<(), String> {
    let scopes = [Scope::InteractionsWrite, Scope::ConversationsRead];
    // of several that start at once on one database, one is the first
    let made = store.write(&super::operator(), move |work| {
        work.hold(&[Lock::House])?;
        if db::api_keys::exist(work)? || db::accounts::has_admin(work)? {
            return Ok(None);
        }
        api_key::create(work, Actor::Operator, "first run", &scopes, None).map(Some)
    });
    let Some((_, key)) = made.map_err(|error| error.to_string())? else { return Ok(()) };
    let key = key.reveal();
    let invitation = people::invite(config, store, FIRST_ADMIN)?;
    say!("\nThis is the first start. What follows is shown this once.");
    say!("\n  API key   {}\n            which may push interactions and read conversations", *key);
    if let (Some(secret), Some(url)) = (&invitation.secret, &invitation.claim_url) {
        say!("  Admin     {FIRST_ADMIN}, who sets a password with the code {}\n            or {url}", *secret.code);
    }
    say!("\nPush a first email:\n");
    say!(
        "  curl -s {base}/v1/interactions -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' -d '{}'\n",
        *key,
        r#"{"source":"desk","external_id":"msg-1","channel":"email","direction":"inbound","from":{"email":"ada@example.org","name":"Ada Lovelace"},"conversation":{"external_id":"case-1","subject":"Printer on fire"},"message":{"body_text":"It is on fire."}}"#
    );
    say!("Then let Ada ask for a password; its mail is written to {}:\n", config.mail_dir().display());
    say!(
        "  curl -s {base}/v1/password-resets -H 'Content-Type: application/json' -d '{}'\n",
        r#"{"email":"ada@example.org"}"#
    );
    Ok(())
}
