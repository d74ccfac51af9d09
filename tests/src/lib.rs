//! What the stories are told with: a running Doorstep on either database, its mail, and its people.

pub mod app;
pub mod browser;
pub mod http;
pub mod invariants;
mod machine;
pub mod openid;
pub mod pages;
pub mod people;
pub mod postgres;
pub mod process;
pub mod providers;
pub mod proxy;
pub mod smtp;
pub mod standin;
pub mod statements;

pub use app::{App, Db, Setup, run};
pub use people::{Claimed, SignedIn};

/// Each test, once on `SQLite` and once on `PostgreSQL` (where there is one); afterwards the invariants hold.
///
/// ```text
/// on_both! {
///     fn ada_claims_her_account(app) { … }
/// }
/// ```
#[macro_export]
macro_rules! on_both {
    ($($(#[$attribute:meta])* fn $name:ident($app:ident) $body:block)*) => {$(
        $(#[$attribute])*
        mod $name {
            #[allow(unused_imports, reason = "not every story needs everything")]
            use super::*;

            fn story($app: &mut $crate::App) $body

            #[test]
            fn sqlite() {
                $crate::run($crate::Db::Sqlite, story);
            }

            #[test]
            fn postgres() {
                $crate::run($crate::Db::Postgres, story);
            }
        }
    )*};
}
