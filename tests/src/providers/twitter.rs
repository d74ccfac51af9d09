//! Twitter (X) as its documentation has it: OAuth 2.0 with PKCE for a confidential client, and `GET /2/users/me`, with
//! their errors.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::{CANCEL, CHOICE, Codes, Grant, Refusal, choose, dialog, random, with_query};
use crate::standin::{Call, Reply, Standin};

pub const CLIENT_ID: &str = "WTRqQTMtYmhwTWw4M2FVNWFkVGQ6MTpjaQ";
pub const CLIENT_SECRET: &str = "RoKx3x58JA8Sm9JIt2fmAjq3q5GX-bqz_0-1mGtXEbP";

pub const AUTHORIZE: &str = "/i/oauth2/authorize";
pub const TOKEN: &str = "/2/oauth2/token";
pub const ME: &str = "/2/users/me";

/// Somebody with an account at Twitter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Their handle, which is also what tests call them.
    pub handle: String,
    pub id: String,
    pub name: String,
    /// Shown only to an app that was granted `users.email`.
    pub confirmed_email: Option<String>,
}

impl User {
    #[must_use]
    pub fn new(handle: &str, id: &str, confirmed_email: Option<&str>) -> Self {
        let (handle, confirmed_email) = (handle.to_owned(), confirmed_email.map(str::to_owned));
        Self { name: handle.clone(), handle, id: id.to_owned(), confirmed_email }
    }
}

#[derive(Default)]
struct House {
    users: HashMap<String, User>,
    codes: Codes,
    /// Whose a token is, by id, and for what.
    tokens: HashMap<String, (String, String)>,
}

/// Twitter, until dropped.
pub struct Twitter {
    standin: Standin,
    house: Arc<Mutex<House>>,
}

impl Deref for Twitter {
    type Target = Standin;
    fn deref(&self) -> &Standin {
        &self.standin
    }
}

impl Twitter {
    #[must_use]
    pub fn start() -> Self {
        let house = Arc::new(Mutex::new(House::default()));
        let inside = Arc::clone(&house);
        let standin = Standin::start(|_| move |call| lock(&inside).answer(call));
        Self { standin, house }
    }

    /// Takes a new user in, or what has changed of a known one: their id tells.
    pub fn knows(&self, user: User) {
        let mut house = lock(&self.house);
        house.users.retain(|_, known| known.id != user.id);
        house.users.insert(user.handle.clone(), user);
    }

    /// Where the browser of this user goes, who agrees.
    ///
    /// # Panics
    /// When the page shows an error.
    #[must_use]
    #[track_caller]
    pub fn consents(&self, authorization_url: &str, handle: &str) -> String {
        choose(authorization_url, handle)
    }

    /// Where the browser of somebody goes who does not agree.
    ///
    /// # Panics
    /// When the page shows an error.
    #[must_use]
    #[track_caller]
    pub fn cancels(&self, authorization_url: &str) -> String {
        choose(authorization_url, CANCEL)
    }

    /// An access token as an app in a phone gets it.
    ///
    /// # Panics
    /// When nobody of that name is known.
    #[must_use]
    pub fn access_token(&self, handle: &str, scope: &str) -> String {
        let mut house = lock(&self.house);
        let id = house.users[handle].id.clone();
        house.issue(id, scope)
    }
}

fn lock(house: &Mutex<House>) -> MutexGuard<'_, House> {
    house.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error of the token endpoint.
fn oauth_error(status: u16, error: &str, description: &str) -> Reply {
    Reply::json(status, &json!({ "error": error, "error_description": description }))
}

/// An error of the API, which is a problem of RFC 7807 in other clothes.
fn problem(status: u16, title: &str) -> Reply {
    Reply::json(status, &json!({ "title": title, "detail": title, "type": "about:blank", "status": status }))
}

impl House {
    fn answer(&mut self, call: &Call) -> Reply {
        match (call.method.as_str(), call.path.as_str()) {
            ("GET", AUTHORIZE) => self.authorize(call),
            ("POST", TOKEN) => self.token(call),
            ("GET", ME) => self.me(call),
            _ => problem(404, "Not Found"),
        }
    }

    fn authorize(&mut self, call: &Call) -> Reply {
        let asked = |name: &str| call.parameter(name).unwrap_or_default();
        let (redirect_uri, state, scope) = (asked("redirect_uri"), asked("state"), asked("scope"));
        let scopes: Vec<_> = scope.split(' ').collect();
        let wrong = [
            (asked("client_id") != CLIENT_ID, "client_id"),
            (asked("response_type") != "code", "response_type"),
            (redirect_uri.is_empty(), "redirect_uri"),
            (state.is_empty() || state.len() > 500, "state"),
            (asked("code_challenge").is_empty(), "code_challenge"),
            (!asked("code_challenge_method").eq_ignore_ascii_case("S256"), "code_challenge_method"),
            // Without both, `/2/users/me` is closed.
            (!scopes.contains(&"users.read") || !scopes.contains(&"tweet.read"), "scope"),
        ];
        if let Some((_, parameter)) = wrong.iter().find(|(is_wrong, _)| *is_wrong) {
            return Reply::html(400, format!("Something went wrong. You weren't able to give access: {parameter}"));
        }
        match call.parameter(CHOICE) {
            Some(handle) if self.users.contains_key(&handle) => {
                let (client_id, code_challenge) = (asked("client_id"), Some(asked("code_challenge")));
                let subject = self.users[&handle].id.clone();
                let grant = Grant { client_id, redirect_uri: redirect_uri.clone(), code_challenge, scope, subject };
                let code = self.codes.issue(grant);
                Reply::redirect(&with_query(&redirect_uri, &[("state", &state), ("code", &code)]))
            }
            Some(choice) if choice == CANCEL => {
                Reply::redirect(&with_query(&redirect_uri, &[("error", "access_denied"), ("state", &state)]))
            }
            Some(handle) => Reply::html(400, format!("X does not know {handle}.")),
            None => dialog(call, "Shop wants to access your X account", self.users.keys().cloned()),
        }
    }

    fn issue(&mut self, id: String, scope: &str) -> String {
        let token = random();
        self.tokens.insert(token.clone(), (id, scope.to_owned()));
        token
    }

    fn token(&mut self, call: &Call) -> Reply {
        let Some((client_id, secret)) = call.basic() else {
            return oauth_error(401, "unauthorized_client", "Missing valid authorization header");
        };
        if client_id != CLIENT_ID || secret != CLIENT_SECRET {
            return oauth_error(401, "invalid_client", "Value passed for the client credentials was invalid.");
        }
        if call.parameter("grant_type").as_deref() != Some("authorization_code") {
            return oauth_error(400, "unsupported_grant_type", "Value passed for the grant type was not supported.");
        }
        if let Some(missing) = ["code", "redirect_uri", "code_verifier"].iter().find(|&&f| call.parameter(f).is_none())
        {
            return oauth_error(400, "invalid_request", &format!("Missing required parameter [{missing}]."));
        }
        let wrong = |what: &str| oauth_error(400, "invalid_request", &format!("Value passed for the {what}"));
        match self.codes.redeem(CLIENT_ID, call) {
            Ok(Grant { scope, subject, .. }) => {
                let token = self.issue(subject, &scope);
                let granted =
                    json!({ "token_type": "bearer", "expires_in": 7200, "access_token": token, "scope": scope });
                Reply::json(200, &granted)
            }
            Err(Refusal::WrongVerifier) => wrong("code verifier did not match the code challenge."),
            Err(Refusal::OtherRedirectUri) => wrong("redirect uri did not match the uri of the authorization code."),
            Err(Refusal::UnknownCode | Refusal::UsedCode | Refusal::OtherClient) => {
                wrong("authorization code was invalid.")
            }
        }
    }

    fn me(&self, call: &Call) -> Reply {
        let Some((id, scope)) = call.bearer().and_then(|token| self.tokens.get(token)) else {
            return problem(401, "Unauthorized");
        };
        let scopes: Vec<_> = scope.split(' ').collect();
        if !scopes.contains(&"users.read") || !scopes.contains(&"tweet.read") {
            return problem(403, "Forbidden");
        }
        let Some(user) = self.users.values().find(|user| user.id == *id) else {
            return problem(403, "Forbidden"); // suspended, or gone
        };
        let mut data = json!({ "id": user.id, "name": user.name, "username": user.handle });
        let mut errors = vec![];
        let wanted = call.parameter("user.fields").unwrap_or_default();
        for field in wanted.split(',').filter(|field| !field.is_empty()) {
            match field {
                "id" | "name" | "username" => {}
                "confirmed_email" if scopes.contains(&"users.email") => {
                    if let Some(email) = &user.confirmed_email {
                        data[field] = json!(email);
                    }
                }
                "confirmed_email" => errors.push(not_authorized(field)),
                "profile_image_url" => data[field] = json!("https://pbs.twimg.example/1_normal.png"),
                unknown => return invalid_field(unknown),
            }
        }
        let answer =
            if errors.is_empty() { json!({ "data": data }) } else { json!({ "data": data, "errors": errors }) };
        Reply::json(200, &answer)
    }
}

fn not_authorized(field: &str) -> Value {
    json!({
        "resource_type": "user", "field": field, "parameter": "user.fields", "title": "Field Authorization Error",
        "detail": format!("Sorry, you are not authorized to access '{field}' on the user."), "section": "data",
        "type": "https://api.twitter.com/2/problems/not-authorized-for-field"
    })
}

fn invalid_field(field: &str) -> Reply {
    let message = format!("The `user.fields` query parameter value [{field}] is not one of the known ones");
    let errors = json!([{ "parameters": { "user.fields": [field] }, "message": message }]);
    let body = json!({
        "errors": errors, "title": "Invalid Request", "detail": "One or more parameters to your request was invalid.",
        "type": "https://api.twitter.com/2/problems/invalid-request"
    });
    Reply::json(400, &body)
}
