//! What is asked of a database, statement by statement, by whatever connection of this process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};

/// Who listens at all; nothing is kept of databases that nobody listens to.
static LISTENING: AtomicUsize = AtomicUsize::new(0);
static HEARD: Mutex<Option<HashMap<String, Vec<String>>>> = Mutex::new(None);

fn heard() -> MutexGuard<'static, Option<HashMap<String, Vec<String>>>> {
    HEARD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets every connection that is made from now on be listened to.
pub fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| set_default_instrumentation(|| Some(Box::new(Ear::default()))).expect("nobody panicked"));
}

/// The statements sent to a database while `act` runs, without their values, in the order of the alphabet.
pub fn during(database: &str, act: impl FnOnce()) -> Vec<String> {
    let database = name(database);
    heard().get_or_insert_default().insert(database.clone(), Vec::new());
    LISTENING.fetch_add(1, Ordering::AcqRel);
    act();
    LISTENING.fetch_sub(1, Ordering::AcqRel);
    let mut statements = heard().get_or_insert_default().remove(&database).unwrap_or_default();
    statements.sort();
    statements
}

/// Options of a URL do not tell databases apart.
fn name(url: &str) -> String {
    url.split('?').next().unwrap_or_default().to_owned()
}

#[derive(Default)]
struct Ear {
    database: String,
}

impl Instrumentation for Ear {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => self.database = name(url),
            InstrumentationEvent::StartQuery { query, .. } if LISTENING.load(Ordering::Acquire) > 0 => {
                if let Some(statements) = heard().as_mut().and_then(|heard| heard.get_mut(&self.database)) {
                    let text = query.to_string();
                    statements.push(text.split(" -- binds").next().unwrap_or_default().to_owned());
                }
            }
            _ => {}
        }
    }
}
