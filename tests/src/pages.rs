//! The pages that a help center's frontend would show.

use std::sync::{Arc, Mutex, PoisonError};

use crate::standin::{Reply, Standin};

const SOCIAL_SIGN_IN: &str = include_str!("../../examples/social-sign-in/index.html");
/// The line of the example that a frontend developer changes.
const API: &str = r#"<meta name="doorstep" content="http://127.0.0.1:8080">"#;

/// Serves the example of social sign-in at `/`. Gives the server, and where the API is can be told it later, for the
/// API has to know first where the page is.
#[must_use]
pub fn social_sign_in() -> (Standin, Arc<Mutex<String>>) {
    assert!(SOCIAL_SIGN_IN.contains(API), "the example says where the API is");
    let api = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&api);
    let server = Standin::start(|_| {
        move |call| {
            if call.path != "/" {
                return Reply::not_found();
            }
            let api = known.lock().unwrap_or_else(PoisonError::into_inner);
            Reply::html(200, SOCIAL_SIGN_IN.replace(API, &format!(r#"<meta name="doorstep" content="{api}">"#)))
        }
    });
    (server, api)
}
