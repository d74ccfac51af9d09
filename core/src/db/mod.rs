//! Storage: the store, its unit of work, and one file of queries per table.
//!
//! `SQLite` has many readers and one writer thread that gathers waiting units into one durable commit.
//! `PostgreSQL` has a pool, and units that hold what they decide by ([`Lock`]).

mod bell;
pub(crate) mod conn;
mod dialect;
mod lock;
mod manager;
mod migrate;
mod postgres;
pub(crate) mod schema;
mod searcher;
mod sqlite;
mod store;
pub mod types;
mod work;

pub mod accounts;
pub mod api_keys;
pub mod audit_events;
pub mod challenges;
pub mod conversations;
pub mod credentials;
pub mod custom_fields;
pub mod devices;
pub mod idempotency_keys;
pub mod identities;
pub mod instance;
pub mod interactions;
pub mod leavers;
pub mod merge_suggestions;
pub mod messages;
pub mod outbox;
pub mod people;
pub mod proofs;
pub mod read_marks;
pub mod reading_grants;
pub mod sessions;
pub mod settings;
pub mod signing_keys;
pub mod social_flows;
pub mod throttles;

pub use bell::Bell;
pub use conn::Conn;
pub use lock::Lock;
pub use manager::Location;
pub use migrate::{Migrated, migrate, redo_last};
pub use store::{Promise, Store, StoreOptions};
pub use work::{Origin, Work};
