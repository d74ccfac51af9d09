//! What the stories are told with: a running Doorstep on either database, its mail, and its people.

pub mod app;
pub mod browser;
pub mod desk;
pub mod emails;
pub mod http;
pub mod invariants;
mod machine;
pub mod merging;
pub mod openid;
pub mod pages;
pub mod people;
pub mod postgres;
pub mod process;
pub mod providers;
pub mod proxy;
pub mod smtp;
pub mod social;
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
    ($($(#[$attribute:meta])* fn $name:ident($app:ident) $body:block)*) => {
        $crate::on_both_as! { $crate::App, $crate::run, $($(#[$attribute])* fn $name($app) $body)* }
    };
}

/// The same for a Doorstep that has providers to sign in with.
#[macro_export]
macro_rules! on_both_with_providers {
    ($($(#[$attribute:meta])* fn $name:ident($app:ident) $body:block)*) => {
        $crate::on_both_as! { $crate::social::Social, $crate::social::run, $($(#[$attribute])* fn $name($app) $body)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! on_both_as {
    ($kind:ty, $run:path, $($(#[$attribute:meta])* fn $name:ident($app:ident) $body:block)*) => {$(
        $(#[$attribute])*
        mod $name {
            #[allow(unused_imports, reason = "not every story needs everything")]
            use super::*;

            fn story($app: &mut $kind) $body

            #[test]
            fn sqlite() {
                $run($crate::Db::Sqlite, story);
            }

            #[test]
            fn postgres() {
                $run($crate::Db::Postgres, story);
            }
        }
    )*};
}
