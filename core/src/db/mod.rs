//! Storage: the store, its unit of work, and one file of queries per table.
//!
//! `SQLite` has many readers and one writer thread that gathers waiting units into one durable commit.
//! `PostgreSQL` has a pool and SERIALIZABLE transactions, done anew a bounded number of times when they clash.

mod bell;
pub(crate) mod conn;
mod dialect;
mod manager;
mod migrate;
mod postgres;
pub(crate) mod schema;
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
pub mod idempotency_keys;
pub mod identities;
pub mod instance;
pub mod interactions;
pub mod merge_suggestions;
pub mod messages;
pub mod outbox;
pub mod proofs;
pub mod read_marks;
pub mod sessions;
pub mod settings;
pub mod signing_keys;
pub mod social_flows;
pub mod throttles;

pub use bell::Bell;
pub use conn::Conn;
pub use manager::Location;
pub use migrate::{Migrated, migrate, redo_last};
pub use store::{Store, StoreOptions};
pub use work::{Origin, Work};
