//! Those with whom people sign in, as their documentation describes them.

pub mod facebook;
pub mod issuer;
pub mod twitter;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use url::Url;

use crate::http::Client;
use crate::standin::{Call, Reply};

/// What somebody agreed to, on its way to the app as a code.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grant {
    pub client_id: String,
    pub redirect_uri: String,
    pub code_challenge: Option<String>,
    pub scope: String,
    /// Whoever agreed, or what they are to get for it.
    pub subject: String,
}

/// Why there is nothing for a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    UnknownCode,
    UsedCode,
    OtherClient,
    OtherRedirectUri,
    WrongVerifier,
}

/// The codes that are out, each good for one use by whom it was made for.
#[derive(Debug, Default)]
pub(crate) struct Codes(HashMap<String, (Grant, bool)>);

impl Codes {
    pub fn issue(&mut self, grant: Grant) -> String {
        let code = random();
        self.0.insert(code.clone(), (grant, false));
        code
    }

    /// What the code of a token request stands for. A code that was shown is used, whatever came of it.
    pub fn redeem(&mut self, client_id: &str, request: &Call) -> Result<Grant, Refusal> {
        let code = request.parameter("code").unwrap_or_default();
        let (grant, used) = self.0.get_mut(&code).ok_or(Refusal::UnknownCode)?;
        let verifier = request.parameter("code_verifier");
        if std::mem::replace(used, true) {
            Err(Refusal::UsedCode)
        } else if grant.client_id != client_id {
            Err(Refusal::OtherClient)
        } else if request.parameter("redirect_uri").as_ref() != Some(&grant.redirect_uri) {
            Err(Refusal::OtherRedirectUri)
        } else if grant.code_challenge != verifier.as_deref().map(code_challenge) {
            Err(Refusal::WrongVerifier)
        } else {
            Ok(grant.clone())
        }
    }
}

/// The S256 challenge to a verifier (RFC 7636, section 4.2), which is none where the verifier is malformed.
#[must_use]
pub fn code_challenge(verifier: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    if !(43..=128).contains(&verifier.len()) || !verifier.chars().all(allowed) {
        return String::new();
    }
    BASE64URL_NOPAD.encode(digest(&SHA256, verifier.as_bytes()).as_ref())
}

/// What nobody guesses.
#[must_use]
pub fn random() -> String {
    format!("{:016x}{:016x}", RandomState::new().hash_one(()), RandomState::new().hash_one(()))
}

/// A URL with these added to its query.
#[must_use]
pub fn with_query(url: &str, parameters: &[(&str, &str)]) -> String {
    let mut url = Url::parse(url).unwrap_or_else(|why| panic!("{url} is no URL: {why}"));
    url.query_pairs_mut().extend_pairs(parameters);
    url.into()
}

/// A parameter of a URL's query.
#[must_use]
pub fn parameter(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).unwrap_or_else(|why| panic!("{url} is no URL: {why}"));
    url.query_pairs().find_map(|(known, value)| (known == name).then(|| value.into_owned()))
}

/// The parameter that says which link somebody pressed on a provider's page.
const CHOICE: &str = "choice";
const CANCEL: &str = "cancel";

/// A page on which somebody says who they are, or that they have thought better of it.
fn dialog(call: &Call, title: &str, people: impl Iterator<Item = String>) -> Reply {
    let here = |choice: &str| {
        let pairs: Vec<_> = call.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let url = with_query(&format!("http://x{}", call.path), &pairs);
        with_query(&url, &[(CHOICE, choice)]).replacen("http://x", "", 1).replace('&', "&amp;")
    };
    let link = |id: &str, choice: &str, text: &str| format!("<p><a id=\"{id}\" href=\"{}\">{text}</a>", here(choice));
    let links: String = people.map(|login| link(&login, &login, &login)).collect();
    let cancel = link(CANCEL, CANCEL, "Cancel");
    Reply::html(200, format!("<!doctype html><html lang=\"en\"><title>{title}</title><h1>{title}</h1>{links}{cancel}"))
}

/// Where a provider's page sends the browser of somebody who makes this choice there.
///
/// # Panics
/// With what the page says, when it sends them nowhere.
#[track_caller]
fn choose(authorization_url: &str, choice: &str) -> String {
    let answer = Client::new("").get(&with_query(authorization_url, &[(CHOICE, choice)])).send();
    let Some(location) = answer.header("location") else {
        panic!("{authorization_url} answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    };
    // What follows the hash stays in the browser.
    location.split('#').next().unwrap_or_default().to_owned()
}
