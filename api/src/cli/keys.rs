//! `doorstep keys`: signing keys.

use clap::Subcommand;
use doorstep_core::audit::Actor;
use doorstep_core::signing_key;
use serde_json::json;

use super::{open, operator, print_json};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a new signing key; every process follows within seconds, and nobody is signed out
    Rotate {
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
}

pub fn keys(config: &Config, command: &KeysCommand) -> Result<(), String> {
    let KeysCommand::Rotate { json } = command;
    let rotated = open(config)?.write(&operator(), |work| signing_key::rotate(work, Actor::Operator));
    let (kid, signs_from) = rotated.map_err(|error| error.to_string())?;
    if *json {
        return print_json(&json!({ "kid": kid, "signs_from": signs_from }));
    }
    say!("The key {kid} signs from {signs_from} on; the former ones verify until what they signed has expired.");
    Ok(())
}
