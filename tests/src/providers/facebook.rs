//! Facebook Login as its documentation has it: the manual flow (the dialog, the code for a token), the Graph API's
//! `/me` and `/debug_token` with their errors, and the id tokens of Limited Login.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use doorstep_core::clock::Clock;
use serde_json::{Value, json};

use super::issuer::{Alg, Key, sign};
use super::{CANCEL, CHOICE, Codes, Grant, Refusal, choose, dialog, random, with_query};
use crate::standin::{Call, Reply, Standin};

pub const APP_ID: &str = "1090000000000001";
pub const APP_SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
/// Somebody else's app, with people, ids and tokens of its own.
pub const OTHER_APP_ID: &str = "2090000000000002";

pub const DIALOG: &str = "/dialog/oauth";
pub const TOKEN: &str = "/graph/oauth/access_token";
pub const ME: &str = "/graph/me";
pub const DEBUG_TOKEN: &str = "/graph/debug_token";
pub const DISCOVERY: &str = "/limited/.well-known/openid-configuration";
pub const JWKS: &str = "/limited/jwks";

const INVALID_TOKEN: &str = "Invalid OAuth access token - Cannot parse access token";
const EXPIRED_TOKEN: &str = "Error validating access token: Session has expired on Wednesday, 14-Feb-18 18:00:00 PST.";
const OTHER_REDIRECT_URI: &str = "Error validating verification code. Please make sure your redirect_uri is identical \
    to the one you used in the OAuth dialog request";

/// Somebody with an account at Facebook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// What tests call them.
    pub login: String,
    /// Their id as our app sees it.
    pub id: String,
    pub name: String,
    /// Not everybody has one, and not everybody shows it.
    pub email: Option<String>,
    /// By page id, their id as the page sees it.
    pub pages: Vec<(String, String)>,
}

impl User {
    #[must_use]
    pub fn new(login: &str, id: &str, email: Option<&str>) -> Self {
        let (login, email) = (login.to_owned(), email.map(str::to_owned));
        Self { name: login.clone(), login, id: id.to_owned(), email, pages: vec![] }
    }
}

/// An access token of somebody, for an app.
#[derive(Debug, Clone)]
struct Issued {
    app_id: String,
    login: String,
    scopes: String,
    at: i64,
    expired: bool,
}

#[derive(Default)]
struct House {
    clock: Clock,
    users: HashMap<String, User>,
    codes: Codes,
    tokens: HashMap<String, Issued>,
}

/// Facebook, until dropped.
pub struct Facebook {
    standin: Standin,
    house: Arc<Mutex<House>>,
    key: Arc<Key>,
}

impl Deref for Facebook {
    type Target = Standin;
    fn deref(&self) -> &Standin {
        &self.standin
    }
}

impl Facebook {
    /// One that lives by this clock.
    #[must_use]
    pub fn start(clock: Clock) -> Self {
        let house = Arc::new(Mutex::new(House { clock, ..House::default() }));
        let key = Arc::new(Key::new(Alg::Rs256));
        let (inside, published) = (Arc::clone(&house), key.jwk());
        let standin = Standin::start(|url| {
            let issuer = format!("{url}/limited");
            move |call| lock(&inside).answer(call, &issuer, &published)
        });
        Self { standin, house, key }
    }

    /// Takes a new user in, or what has changed of a known one.
    pub fn knows(&self, user: User) {
        lock(&self.house).users.insert(user.login.clone(), user);
    }

    /// Where the browser of this user goes, who agrees.
    ///
    /// # Panics
    /// When the dialog shows an error.
    #[must_use]
    #[track_caller]
    pub fn consents(&self, authorization_url: &str, login: &str) -> String {
        choose(authorization_url, login)
    }

    /// Where the browser of somebody goes who does not agree.
    ///
    /// # Panics
    /// When the dialog shows an error.
    #[must_use]
    #[track_caller]
    pub fn cancels(&self, authorization_url: &str) -> String {
        choose(authorization_url, CANCEL)
    }

    /// An access token as the SDK in a phone gets it, for our app or for another.
    #[must_use]
    pub fn access_token(&self, app_id: &str, login: &str) -> String {
        lock(&self.house).issue(app_id, login, "public_profile,email")
    }

    /// From now on this token is expired.
    pub fn expires(&self, token: &str) {
        lock(&self.house).tokens.get_mut(token).expect("a token of ours").expired = true;
    }

    /// The issuer of the id tokens of Limited Login.
    #[must_use]
    pub fn limited_issuer(&self) -> String {
        format!("{}/limited", self.url())
    }

    /// The claims of an id token of Limited Login.
    ///
    /// # Panics
    /// When nobody of that name is known.
    #[must_use]
    pub fn limited_claims(&self, nonce: &str, login: &str) -> Value {
        let house = lock(&self.house);
        let (user, now) = (&house.users[login], house.clock.now().as_seconds());
        let mut claims = json!({
            "iss": self.limited_issuer(), "aud": APP_ID, "sub": user.id, "iat": now, "exp": now + 3600,
            "jti": random(), "nonce": nonce, "name": user.name, "picture": "https://platform-lookaside.example/1"
        });
        if let Some(email) = &user.email {
            claims["email"] = json!(email);
        }
        claims
    }

    /// An id token as the SDK in a phone gets it with Limited Login.
    #[must_use]
    pub fn limited_token(&self, nonce: &str, login: &str) -> String {
        self.signs(&self.limited_claims(nonce, login))
    }

    /// Any claims with Facebook's signature.
    #[must_use]
    pub fn signs(&self, claims: &Value) -> String {
        sign(&self.key, &self.key.header(), claims)
    }
}

fn lock(house: &Mutex<House>) -> MutexGuard<'_, House> {
    house.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error of the Graph API.
fn error(status: u16, kind: &str, code: u32, subcode: Option<u32>, message: &str) -> Reply {
    let mut error = json!({ "message": message, "type": kind, "code": code, "fbtrace_id": random() });
    if let Some(subcode) = subcode {
        error["error_subcode"] = json!(subcode);
    }
    let mut reply = Reply::json(status, &json!({ "error": error }));
    let challenge = format!("OAuth \"Facebook Platform\" \"invalid_request\" \"{message}\"");
    reply.headers.push(("WWW-Authenticate".into(), challenge));
    reply
}

fn oauth_error(code: u32, subcode: Option<u32>, message: &str) -> Reply {
    error(400, "OAuthException", code, subcode, message)
}

impl House {
    fn answer(&mut self, call: &Call, issuer: &str, jwk: &Value) -> Reply {
        match (call.method.as_str(), call.endpoint().as_str()) {
            ("GET", DIALOG) => self.dialog(call),
            ("GET" | "POST", TOKEN) => self.token(call),
            ("GET", ME) => self.me(call),
            ("GET", "/graph/me/ids_for_pages") => self.ids_for_pages(call),
            ("GET", DEBUG_TOKEN) => self.debug_token(call),
            ("GET", JWKS) => Reply::json(200, &json!({ "keys": [jwk] })),
            ("GET", DISCOVERY) => Reply::json(
                200,
                &json!({
                    "issuer": issuer, "jwks_uri": format!("{issuer}/jwks"),
                    "authorization_endpoint": issuer.replace("/limited", DIALOG),
                    "response_types_supported": ["id_token", "token id_token"], "subject_types_supported": ["pairwise"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                    "claims_supported": ["iss", "aud", "sub", "iat", "exp", "jti", "nonce", "email", "name", "picture"]
                }),
            ),
            _ => error(404, "GraphMethodException", 100, Some(33), "Unsupported request."),
        }
    }

    fn dialog(&mut self, call: &Call) -> Reply {
        let asked = |name: &str| call.parameter(name).unwrap_or_default();
        if asked("client_id") != APP_ID {
            return Reply::html(400, "Invalid App ID: The provided app ID does not look like a valid app ID.");
        }
        if !matches!(asked("response_type").as_str(), "" | "code") {
            return Reply::html(400, "Unsupported response_type");
        }
        let method = call.parameter("code_challenge_method");
        if call.parameter("code_challenge").is_some() && method.as_deref() != Some("S256") {
            return Reply::html(400, "Invalid code_challenge_method");
        }
        let (redirect_uri, state) = (asked("redirect_uri"), asked("state"));
        if redirect_uri.is_empty() {
            return Reply::html(400, "The redirect_uri parameter is required.");
        }
        match call.parameter(CHOICE) {
            Some(login) if self.users.contains_key(&login) => {
                let (client_id, scope) = (asked("client_id"), asked("scope").replace(' ', ","));
                let code_challenge = call.parameter("code_challenge");
                let grant = Grant { client_id, redirect_uri, code_challenge, scope, subject: login };
                let url =
                    with_query(&grant.redirect_uri.clone(), &[("code", &self.codes.issue(grant)), ("state", &state)]);
                // Facebook adds this, lest a browser carry another fragment along.
                Reply::redirect(&format!("{url}#_=_"))
            }
            Some(choice) if choice == CANCEL => Reply::redirect(&with_query(
                &redirect_uri,
                &[
                    ("error", "access_denied"),
                    ("error_code", "200"),
                    ("error_description", "Permissions error"),
                    ("error_reason", "user_denied"),
                    ("state", &state),
                ],
            )),
            Some(login) => Reply::html(400, format!("Facebook does not know {login}.")),
            None => dialog(call, "Log in with Facebook", self.users.keys().cloned()),
        }
    }

    fn issue(&mut self, app_id: &str, login: &str, scopes: &str) -> String {
        let token = format!("EAA{}", random());
        let (app_id, login, scopes) = (app_id.to_owned(), login.to_owned(), scopes.to_owned());
        let issued = Issued { app_id, login, scopes, at: self.clock.now().as_seconds(), expired: false };
        self.tokens.insert(token.clone(), issued);
        token
    }

    fn token(&mut self, call: &Call) -> Reply {
        if call.parameter("client_id").as_deref() != Some(APP_ID) {
            let message = "Error validating application. Cannot get application info due to a system error.";
            return oauth_error(101, None, message);
        }
        if call.parameter("client_secret").as_deref() != Some(APP_SECRET) {
            return oauth_error(1, None, "Error validating client secret.");
        }
        if call.parameter("grant_type").as_deref() == Some("client_credentials") {
            let token = format!("{APP_ID}|{APP_SECRET}");
            return Reply::json(200, &json!({ "access_token": token, "token_type": "bearer" }));
        }
        match self.codes.redeem(APP_ID, call) {
            Ok(grant) => {
                let token = self.issue(APP_ID, &grant.subject, &grant.scope);
                Reply::json(200, &json!({ "access_token": token, "token_type": "bearer", "expires_in": 5_183_944 }))
            }
            Err(Refusal::UsedCode) => oauth_error(100, Some(36009), "This authorization code has been used."),
            Err(Refusal::OtherRedirectUri) => oauth_error(100, Some(36008), OTHER_REDIRECT_URI),
            Err(Refusal::WrongVerifier) => oauth_error(100, None, "Invalid code_verifier parameter."),
            Err(Refusal::UnknownCode | Refusal::OtherClient) => {
                oauth_error(100, None, "Invalid verification code format.")
            }
        }
    }

    /// Whose token comes with a call to the Graph API, and the proof that it is ours.
    fn owner(&self, call: &Call) -> Result<(&User, &Issued), Reply> {
        let token = call.parameter("access_token").or_else(|| call.bearer().map(str::to_owned));
        let Some(token) = token else {
            let message = "An active access token must be used to query information about the current user.";
            return Err(oauth_error(2500, None, message));
        };
        let issued = self.tokens.get(&token).ok_or_else(|| oauth_error(190, None, INVALID_TOKEN))?;
        if issued.expired {
            return Err(oauth_error(190, Some(463), EXPIRED_TOKEN));
        }
        // Of our app is asked: "Require App Secret" is on.
        if issued.app_id == APP_ID && call.parameter("appsecret_proof").is_none() {
            let message = "API calls from the server require an appsecret_proof argument";
            return Err(error(400, "GraphMethodException", 100, None, message));
        }
        if call.parameter("appsecret_proof").is_some_and(|proof| proof != appsecret_proof(&token)) {
            let message = "Invalid appsecret_proof provided in the API argument";
            return Err(error(400, "GraphMethodException", 100, None, message));
        }
        Ok((&self.users[&issued.login], issued))
    }

    fn me(&self, call: &Call) -> Reply {
        let (user, issued) = match self.owner(call) {
            Ok(owner) => owner,
            Err(reply) => return reply,
        };
        // To every app the same person has another id.
        let id = if issued.app_id == APP_ID { user.id.clone() } else { format!("9{}", user.id) };
        let mut me = json!({ "id": id });
        let fields = call.parameter("fields").unwrap_or_else(|| "id,name".to_owned());
        for field in fields.split(',') {
            match field {
                "id" => {}
                "name" => me["name"] = json!(user.name),
                "email" if issued.scopes.split(',').any(|scope| scope == "email") => {
                    if let Some(email) = &user.email {
                        me["email"] = json!(email);
                    }
                }
                "email" => {}
                "picture" => me["picture"] = json!({ "data": { "url": "https://platform-lookaside.example/1" } }),
                unknown => {
                    let message = format!("(#100) Tried accessing nonexisting field ({unknown})");
                    return oauth_error(100, None, &message);
                }
            }
        }
        Reply::json(200, &me)
    }

    fn ids_for_pages(&self, call: &Call) -> Reply {
        let (user, _) = match self.owner(call) {
            Ok(owner) => owner,
            Err(reply) => return reply,
        };
        let wanted = call.parameter("page");
        let pages = user.pages.iter().filter(|(page, _)| wanted.as_ref().is_none_or(|wanted| wanted == page));
        let data: Vec<_> = pages.map(|(page, id)| json!({ "id": id, "page": { "id": page, "name": page } })).collect();
        Reply::json(200, &json!({ "data": data }))
    }

    fn debug_token(&self, call: &Call) -> Reply {
        let token = call.parameter("access_token").or_else(|| call.bearer().map(str::to_owned)).unwrap_or_default();
        if token != format!("{APP_ID}|{APP_SECRET}") {
            return oauth_error(190, None, INVALID_TOKEN);
        }
        let Some(input) = call.parameter("input_token") else {
            return oauth_error(100, None, "(#100) The parameter input_token is required");
        };
        let data = match self.tokens.get(&input) {
            None => json!({ "error": { "code": 190, "message": INVALID_TOKEN }, "is_valid": false, "scopes": [] }),
            Some(of) if of.app_id != APP_ID => {
                let message = "(#100) The App_id in the input_token did not match the Viewing App";
                return oauth_error(100, None, message);
            }
            Some(of) => {
                let scopes: Vec<_> = of.scopes.split(',').filter(|scope| !scope.is_empty()).collect();
                let mut data = json!({
                    "app_id": of.app_id, "type": "USER", "application": "Shop", "is_valid": !of.expired,
                    "expires_at": of.at + 5_183_944, "data_access_expires_at": of.at + 7_776_000, "issued_at": of.at,
                    "scopes": scopes, "user_id": self.users[&of.login].id
                });
                if of.expired {
                    data["error"] = json!({ "code": 190, "message": EXPIRED_TOKEN, "subcode": 463 });
                }
                data
            }
        };
        Reply::json(200, &json!({ "data": data }))
    }
}

/// What proves to the Graph API that a token is used by the app it was made for.
#[must_use]
pub fn appsecret_proof(access_token: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, APP_SECRET.as_bytes());
    HEXLOWER.encode(hmac::sign(&key, access_token.as_bytes()).as_ref())
}
