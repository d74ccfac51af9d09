//! Doorstep's HTTP API and its command line. No SQL and no rules live here.

pub mod background;
pub mod caller;
pub mod cli;
pub mod config;
pub mod connections;
mod envelope;
mod etag;
mod extract;
mod field_codes;
mod flows;
mod mailer;
pub mod openapi;
mod operations;
pub mod problem;
pub mod providers;
pub mod redirect_uris;
mod round_trips;
mod schemas;
mod secret_file;
pub mod server;
mod signals;
mod state;
mod strict;
mod telemetry;
mod v1;
mod words;
mod wrong;
