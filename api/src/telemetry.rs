//! Logs: one line an event, to standard error, as text or JSON.

use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{Log, LogFormat};

/// Says what is wrong with a level, if anything is.
pub fn check_level(level: &str) -> Result<(), String> {
    // a word that is no level would be taken for the name of a target, and nothing else be logged
    let stray = level.split(',').find(|part| !part.contains('=') && LevelFilter::from_str(part.trim()).is_err());
    let wrong = match (stray, Targets::from_str(level)) {
        (Some(word), _) => format!("{word:?} is no level"),
        (None, Err(error)) => error.to_string(),
        (None, Ok(_)) => return Ok(()),
    };
    Err(format!("log.level = {level:?}: {wrong}; use error, warn, info, debug or trace"))
}

/// Starts logging. A second call in one process does nothing.
pub fn start(log: &Log) {
    let targets = Targets::from_str(&log.level).unwrap_or_default();
    let layer = match log.format {
        LogFormat::Text => fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
    };
    if tracing_subscriber::registry().with(layer.with_filter(targets)).try_init().is_err() {
        tracing::debug!("logging has been started before");
    }
}
