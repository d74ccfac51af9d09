//! Doorstep's rules and storage: accounts that exist before their owners do, and how they become theirs.
//!
//! Synchronous; knows neither HTTP nor async nor the environment. A use case takes a unit of work
//! ([`db::Work`]) and happens in one transaction.

pub mod access_token;
pub mod account;
pub mod activity;
pub mod adding_email;
pub mod api_key;
pub mod audit;
pub mod challenge;
pub mod chance;
pub mod clock;
pub mod conversation;
pub mod custom_field;
pub mod custom_values;
pub mod db;
pub mod desk_account;
pub mod desk_conversation;
pub mod device;
pub mod email;
pub mod error;
pub mod goodbye;
pub mod hashing;
pub mod house;
pub mod html;
pub mod id;
pub mod idempotency;
pub mod identity;
pub mod interaction;
pub mod keyring;
pub mod known_device;
pub mod limits;
pub mod line;
pub mod linked;
pub mod linking;
pub mod mail;
pub mod mailed_secret;
pub mod merge;
pub mod messenger;
pub mod method;
pub mod notifications;
pub mod outbox;
pub mod own_emails;
pub mod own_password;
pub mod own_sessions;
pub mod ownership;
pub mod page;
pub mod parting;
pub mod password;
pub mod profile;
pub mod provider;
pub mod rating;
pub mod reauthentication;
pub mod secret;
pub mod session;
pub mod settings;
pub mod settings_change;
pub mod sign_in;
pub mod signing_key;
pub mod social_flow;
pub mod social_sign_in;
pub mod throttle;
pub mod undo;
pub mod undo_offers;
pub mod ways_in;

pub use error::{Error, Fault, Result};
