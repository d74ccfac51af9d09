//! `doorstep admin` and `doorstep api-key`: the first people and machines.

use clap::Subcommand;
use doorstep_core::api_key::{self, Scope};
use doorstep_core::audit::Actor;
use doorstep_core::db::Store;
use doorstep_core::email::EmailAddress;
use doorstep_core::mail::{MailContent, MailedSecret};
use doorstep_core::mailed_secret;
use serde_json::json;

use super::{open, operator, print_json};
use crate::config::Config;
use crate::mailer::Mailer;

#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Invite an admin: prints a link and a code with which they set their password
    Create {
        #[arg(long)]
        email: String,
        /// Print one line of JSON: `account_id`, `claim_url`, `claim_code`
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum ApiKeyCommand {
    /// Make an API key; it is shown this once
    Create {
        /// What it is for
        #[arg(long)]
        name: String,
        /// What it may do; may be given several times
        #[arg(long = "scope", required = true, value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Print one line of JSON: id, key
        #[arg(long)]
        json: bool,
    },
}

/// What an invitation is worth to whoever gets it.
pub struct Invitation {
    pub account_id: String,
    pub secret: Option<MailedSecret>,
    pub claim_url: Option<String>,
}

/// Invites an admin.
pub fn invite(config: &Config, store: &Store, email: &str) -> Result<Invitation, String> {
    let mailer = Mailer::new(config)?;
    let address = EmailAddress::parse(email).map_err(|why| format!("--email {email:?}: {why}"))?;
    let (account, secret) = store
        .write(&operator(), move |work| mailed_secret::invite_admin(work, &address))
        .map_err(|error| error.to_string())?;
    let claim_url = secret
        .clone()
        .and_then(|secret| mailer.renderer().link(&MailContent::AdminInvitation { secret }))
        .map(|link| link.to_string());
    Ok(Invitation { account_id: account.to_string(), secret, claim_url })
}

pub fn admin(config: &Config, command: AdminCommand) -> Result<(), String> {
    let AdminCommand::Create { email, json } = command;
    let invitation = invite(config, &open(config)?, &email)?;
    let code = invitation.secret.as_ref().map(|secret| secret.code.to_string());
    if json {
        return print_json(&json!({
            "account_id": invitation.account_id, "claim_url": invitation.claim_url, "claim_code": code,
        }));
    }
    match (&invitation.secret, &invitation.claim_url) {
        (Some(secret), Some(url)) => say!(
            "{email} becomes an admin by setting a password:\n\n  {url}\n\n  code {}\n\n\
             The link is good for {} minutes, the code for {}.",
            *secret.code,
            secret.link_minutes,
            secret.code_minutes
        ),
        _ => say!("{email} had a claimed account already and is an admin now."),
    }
    Ok(())
}

pub fn api_key(config: &Config, command: ApiKeyCommand) -> Result<(), String> {
    let ApiKeyCommand::Create { name, scopes, json } = command;
    let scopes = scopes.iter().map(|scope| scope.parse::<Scope>()).collect::<Result<Vec<_>, _>>();
    let scopes = scopes.map_err(|why| format!("--scope {why}"))?;
    let (key, plain) = create_key(&open(config)?, &name, scopes)?;
    if json {
        return print_json(&json!({ "id": key.id, "key": *plain.reveal() }));
    }
    say!("{}", *plain.reveal());
    complain!("This is the only time the key is shown; a hash of it is kept. Its id is {}.", key.id);
    Ok(())
}

/// Makes an API key.
pub fn create_key(
    store: &Store,
    name: &str,
    scopes: Vec<Scope>,
) -> Result<(api_key::ApiKey, api_key::PlainKey), String> {
    let name = name.to_owned();
    store.write(&operator(), move |work| api_key::create(work, Actor::Operator, &name, &scopes, None)).map_err(
        |error| match error {
            doorstep_core::Error::Invalid(faults) => {
                faults.iter().map(|fault| fault.detail.clone()).collect::<Vec<_>>().join(" ")
            }
            other => other.to_string(),
        },
    )
}
