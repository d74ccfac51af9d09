//! The command line.

/// A line on standard output; nobody minds where nobody reads it.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write;
        drop(writeln!(std::io::stdout(), $($words)*));
    }};
}

/// A line on standard error.
macro_rules! complain {
    ($($words:tt)*) => {{
        use std::io::Write;
        drop(writeln!(std::io::stderr(), $($words)*));
    }};
}

mod keys;
mod people;
mod serve;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use doorstep_core::clock::Clock;
use doorstep_core::db::{self, Origin, Store};
pub use people::create_key;
use serde::Serialize;

use crate::config::Config;
use crate::{openapi, server, telemetry};

/// The customer sign-in service of a help center.
#[derive(Debug, Parser)]
#[command(name = "doorstep", version, about, arg_required_else_help = false)]
struct Arguments {
    /// A configuration file, in place of ./doorstep.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API (what happens where no command is given)
    Serve,
    /// Bring the database up to date, and stop
    Migrate,
    /// Say what is wrong with the configuration, if anything is
    CheckConfig,
    /// Print the OpenAPI document, or check that a file holds it
    Openapi {
        /// The file to check
        #[arg(long, value_name = "FILE")]
        check: Option<PathBuf>,
    },
    /// Admins
    #[command(subcommand)]
    Admin(people::AdminCommand),
    /// API keys
    #[command(subcommand)]
    ApiKey(people::ApiKeyCommand),
    /// Signing keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
}

/// Runs a command; what goes wrong is said on standard error.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain!("doorstep: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), String> {
    let command = arguments.command.unwrap_or(Command::Serve);
    if let Command::Openapi { check } = &command {
        return print_or_check_openapi(check.as_deref());
    }
    let config = Config::load(arguments.config.as_deref())?;
    telemetry::start(&config.log);
    match command {
        Command::Serve => serve::serve(&config),
        Command::Migrate => migrate(&config),
        Command::CheckConfig => check_config(&config),
        Command::Admin(command) => people::admin(&config, command),
        Command::ApiKey(command) => people::api_key(&config, command),
        Command::Keys(command) => keys::keys(&config, &command),
        Command::Openapi { .. } => Ok(()),
    }
}

fn print_or_check_openapi(file: Option<&Path>) -> Result<(), String> {
    let Some(file) = file else {
        say!("{}", openapi::text().trim_end());
        return Ok(());
    };
    let shown = file.display();
    let committed = std::fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    if committed == openapi::text() {
        return Ok(());
    }
    Err(format!("{shown} is not what the handlers say: write it anew with doorstep openapi > {shown}"))
}

fn migrate(config: &Config) -> Result<(), String> {
    let (_, _) = server::open_store(config, Clock::System)?;
    let migrated = db::migrate(&config.location()?).map_err(|error| error.to_string())?;
    say!("The database is at version {}.", migrated.version);
    Ok(())
}

fn check_config(config: &Config) -> Result<(), String> {
    crate::mailer::Mailer::new(config)?;
    config.social.roots()?;
    say!("The configuration is good.");
    Ok(())
}

/// Opens the database for a command.
fn open(config: &Config) -> Result<Store, String> {
    server::open_store(config, Clock::System).map(|(store, _)| store)
}

/// The origin of what an operator does.
fn operator() -> Origin {
    Origin { request_id: None, address: None, user_agent: Some("doorstep command line".into()) }
}

/// One line of JSON for a program.
fn print_json(value: &impl Serialize) -> Result<(), String> {
    say!("{}", serde_json::to_string(value).map_err(|error| error.to_string())?);
    Ok(())
}
