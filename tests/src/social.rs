//! Doorstep with providers: stand-ins that a test scripts, each with people of its own, and what their people do.

use std::ops::Deref;

use doorstep_api::config::Config;
use doorstep_core::clock::Clock;
use serde_json::{Value, json};

use crate::http::Answer;
use crate::providers::facebook::{self, Facebook};
use crate::providers::issuer::{self, Issuer};
use crate::providers::twitter::{self, Twitter};
use crate::providers::{code_challenge, parameter, random};
use crate::standin::Call;
use crate::{App, Db, Setup, SignedIn};

/// Where the app has browsers sent back to.
pub const REDIRECT_URI: &str = "https://help.shop.example/signed-in";
pub const NATIVE_CLIENT_ID: &str = "doorstep-phone";
/// An OpenID provider that the operator added.
pub const ACME: &str = "acme";
/// All there are.
pub const PROVIDERS: [&str; 4] = ["google", "facebook", "twitter", ACME];

/// A running Doorstep and the providers it knows.
pub struct Social {
    pub app: App,
    /// As Google.
    pub google: Issuer,
    pub facebook: Facebook,
    pub twitter: Twitter,
    /// As the generic one.
    pub acme: Issuer,
}

impl Deref for Social {
    type Target = App;
    fn deref(&self) -> &App {
        &self.app
    }
}

/// A flow that an app has begun, with what it keeps to itself.
#[derive(Debug, Clone)]
pub struct Flow {
    pub provider: String,
    pub id: String,
    pub url: String,
    pub verifier: String,
}

/// Runs a story on one database, then checks that the invariants hold.
pub fn run(db: Db, story: fn(&mut Social)) {
    if let Some(mut social) = Social::start(db, Setup::default()) {
        story(&mut social);
        social.check_invariants();
    }
}

/// The configuration of the providers.
pub fn configure(config: &mut Config, google: &str, facebook: &Facebook, twitter: &Twitter, acme: &str) {
    let read = Config::from_parts(&configuration(google, facebook, twitter, acme), &[]).unwrap();
    config.providers = read.providers;
    config.social = read.social;
}

/// The same as an operator writes it into `doorstep.toml`.
#[must_use]
pub fn configuration(google: &str, facebook: &Facebook, twitter: &Twitter, acme: &str) -> String {
    let (fb, x) = (facebook.url(), twitter.url());
    format!(
        r#"
        [social]
        redirect_uris = ["{REDIRECT_URI}", "http://127.0.0.1/callback", "com.shop.app:/callback"]
        [providers.google]
        issuer = "{google}"
        client_id = "{google_id}"
        client_secret = "{google_secret}"
        native_client_ids = ["{NATIVE_CLIENT_ID}"]
        [providers.facebook]
        client_id = "{app_id}"
        client_secret = "{app_secret}"
        authorization_url = "{fb}{dialog}"
        graph_url = "{fb}/graph"
        limited_issuer = "{limited}"
        limited_jwks_url = "{fb}{jwks}"
        [providers.twitter]
        client_id = "{x_id}"
        client_secret = "{x_secret}"
        authorization_url = "{x}{authorize}"
        api_url = "{x}/2"
        [providers.{ACME}]
        title = "Acme"
        issuer = "{acme}"
        client_id = "{google_id}"
        client_secret = "{google_secret}"
        "#,
        google_id = issuer::CLIENT_ID,
        google_secret = issuer::CLIENT_SECRET,
        app_id = facebook::APP_ID,
        app_secret = facebook::APP_SECRET,
        dialog = facebook::DIALOG,
        limited = facebook.limited_issuer(),
        jwks = facebook::JWKS,
        x_id = twitter::CLIENT_ID,
        x_secret = twitter::CLIENT_SECRET,
        authorize = twitter::AUTHORIZE,
    )
}

impl Social {
    /// Starts one with all providers; none where there is no PostgreSQL to start it on.
    pub fn start(db: Db, mut setup: Setup) -> Option<Self> {
        let clock: Clock = setup.clock.clone();
        let (google, acme) = (Issuer::start(clock.clone()), Issuer::start(clock.clone()));
        let (facebook, twitter) = (Facebook::start(clock), Twitter::start());
        configure(&mut setup.config, &google.url(), &facebook, &twitter, &acme.url());
        let app = App::start(db, setup)?;
        Some(Self { app, google, facebook, twitter, acme })
    }

    /// Asks to begin a flow, with a verifier of its own.
    pub fn asks_to_begin(&self, provider: &str, verifier: &str) -> Answer {
        self.asks_to_begin_at(provider, REDIRECT_URI, verifier)
    }

    /// The same by an app at another place.
    pub fn asks_to_begin_at(&self, provider: &str, redirect_uri: &str, verifier: &str) -> Answer {
        let body = json!({ "redirect_uri": redirect_uri, "code_challenge": code_challenge(verifier) });
        self.client.post(&format!("/v1/social/{provider}/flows")).json(&body).send()
    }

    /// Begins to sign in.
    pub fn begins(&self, provider: &str) -> Flow {
        self.begins_at(provider, REDIRECT_URI)
    }

    /// Begins to sign in, in an app at another place.
    pub fn begins_at(&self, provider: &str, redirect_uri: &str) -> Flow {
        let verifier = random() + &random();
        let answer = self.asks_to_begin_at(provider, redirect_uri, &verifier).expect(201);
        flow(provider, verifier, &answer)
    }

    /// Begins to link.
    pub fn begins_to_link(&self, who: &SignedIn, provider: &str) -> Flow {
        let verifier = random() + &random();
        let answer = self.asks_to_link(who, provider, &verifier).expect(201);
        flow(provider, verifier, &answer)
    }

    pub fn asks_to_link(&self, who: &SignedIn, provider: &str, verifier: &str) -> Answer {
        let body = json!({ "redirect_uri": REDIRECT_URI, "code_challenge": code_challenge(verifier) });
        self.client.post(&format!("/v1/me/identities/{provider}")).bearer(&who.access_token).json(&body).send()
    }

    /// The browser goes where the provider has sent it: to our callback.
    pub fn browser_goes_to(&self, url: &str) -> Answer {
        let path = url.strip_prefix("https://auth.shop.example").unwrap_or_else(|| panic!("{url} is none of ours"));
        self.client.get(path).send()
    }

    /// What the browser brings to the app: the one-time code.
    pub fn brings(&self, flow: &Flow, url: &str) -> String {
        let location = self.browser_goes_to(url).expect(303).header("location").unwrap().to_owned();
        assert!(location.starts_with(REDIRECT_URI), "{location}");
        assert_eq!(parameter(&location, "flow_id").as_deref(), Some(flow.id.as_str()));
        parameter(&location, "code").unwrap_or_else(|| panic!("no code in {location}"))
    }

    pub fn exchanges(&self, code: &str, verifier: &str) -> Answer {
        self.client.post("/v1/social/exchange").json(&json!({ "code": code, "code_verifier": verifier })).send()
    }

    pub fn finishes_linking(&self, who: &SignedIn, code: &str, verifier: &str) -> Answer {
        let body = json!({ "code": code, "code_verifier": verifier });
        self.client.post("/v1/me/identities/exchange").bearer(&who.access_token).json(&body).send()
    }

    /// Where Google sends a browser whose user it says this of, beside what every id token says.
    pub fn google_says(&self, flow: &Flow, sub: &str, said: &Value) -> String {
        says(&self.google, flow, sub, said)
    }

    /// As [`Social::google_says`], for the provider that the operator added.
    pub fn acme_says(&self, flow: &Flow, sub: &str, said: &Value) -> String {
        says(&self.acme, flow, sub, said)
    }

    /// Where a provider, whichever it is, sends the browser of whoever has this number there, and no address.
    pub fn consents(&self, flow: &Flow, number: &str) -> String {
        match flow.provider.as_str() {
            "google" => self.google_says(flow, number, &json!({})),
            "facebook" => {
                self.facebook.knows(facebook::User::new(number, number, None));
                self.facebook.consents(&flow.url, number)
            }
            "twitter" => {
                self.twitter.knows(twitter::User::new(number, number, None));
                self.twitter.consents(&flow.url, number)
            }
            _ => self.acme_says(flow, number, &json!({})),
        }
    }

    /// What a provider's token endpoint was asked, oldest first.
    pub fn token_requests(&self, provider: &str) -> Vec<Call> {
        match provider {
            "google" => self.google.calls(issuer::TOKEN),
            "facebook" => self.facebook.calls(facebook::TOKEN),
            "twitter" => self.twitter.calls(twitter::TOKEN),
            _ => self.acme.calls(issuer::TOKEN),
        }
    }

    /// The whole round trip through Google, up to the exchange's answer.
    pub fn arrives_by_google(&self, sub: &str, said: &Value) -> Answer {
        let flow = self.begins("google");
        let code = self.brings(&flow, &self.google_says(&flow, sub, said));
        self.exchanges(&code, &flow.verifier)
    }

    pub fn arrives_by_acme(&self, sub: &str, said: &Value) -> Answer {
        let flow = self.begins(ACME);
        let code = self.brings(&flow, &self.acme_says(&flow, sub, said));
        self.exchanges(&code, &flow.verifier)
    }

    /// The whole round trip through Twitter, of a user whose handle and id are known there from then on.
    pub fn arrives_by_twitter(&self, handle: &str, id: &str) -> Answer {
        self.twitter.knows(twitter::User::new(handle, id, None));
        let flow = self.begins("twitter");
        let code = self.brings(&flow, &self.twitter.consents(&flow.url, handle));
        self.exchanges(&code, &flow.verifier)
    }

    /// The whole round trip through Facebook.
    pub fn arrives_by_facebook(&self, login: &str, id: &str, email: Option<&str>) -> Answer {
        self.facebook.knows(facebook::User::new(login, id, email));
        let flow = self.begins("facebook");
        let code = self.brings(&flow, &self.facebook.consents(&flow.url, login));
        self.exchanges(&code, &flow.verifier)
    }

    /// Links a Twitter account; gives the exchange's answer.
    pub fn links_twitter(&self, who: &SignedIn, handle: &str, id: &str) -> Answer {
        self.twitter.knows(twitter::User::new(handle, id, None));
        let flow = self.begins_to_link(who, "twitter");
        let code = self.brings(&flow, &self.twitter.consents(&flow.url, handle));
        self.finishes_linking(who, &code, &flow.verifier)
    }

    /// Links a Google account whose address counts.
    pub fn links_google(&self, who: &SignedIn, sub: &str, email: &str) -> Answer {
        let flow = self.begins_to_link(who, "google");
        let code = self.brings(&flow, &self.google_says(&flow, sub, &proven(email)));
        self.finishes_linking(who, &code, &flow.verifier)
    }

    pub fn gives_email(&self, continuation: &str, email: &str) -> Answer {
        let body = json!({ "continuation": continuation, "email": email });
        self.client.post("/v1/social/email").json(&body).send()
    }

    pub fn proves_email(&self, continuation: &str, code: &str) -> Answer {
        let body = json!({ "continuation": continuation, "code": code });
        self.client.post("/v1/social/email/confirm").json(&body).send()
    }

    /// What somebody has linked: all their identities but addresses.
    pub fn identities_of(&self, who: &SignedIn) -> Vec<Value> {
        self.all_identities_of(who).into_iter().filter(|identity| identity["kind"] != "email").collect()
    }

    pub fn all_identities_of(&self, who: &SignedIn) -> Vec<Value> {
        let list = self.client.get("/v1/me/identities").bearer(&who.access_token).send().expect(200);
        list.json()["items"].as_array().unwrap().clone()
    }

    pub fn unlinks(&self, who: &SignedIn, id: &Value) -> Answer {
        let path = format!("/v1/me/identities/{}", id.as_str().unwrap());
        self.client.delete(&path).bearer(&who.access_token).send()
    }

    /// Turns a provider off or on, as an admin does.
    pub fn turn(&self, provider: &'static str, on: bool) {
        self.change_settings(move |settings| {
            let name: doorstep_core::provider::ProviderName = provider.parse().unwrap();
            let unset = doorstep_core::settings::ProviderSettings::unset(&name);
            settings.providers.entry(name).or_insert(unset).enabled = on;
        });
    }
}

fn flow(provider: &str, verifier: String, answer: &Answer) -> Flow {
    let body = answer.json();
    let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned();
    Flow { provider: provider.to_owned(), id: text("flow_id"), url: text("authorization_url"), verifier }
}

fn says(issuer: &Issuer, flow: &Flow, sub: &str, said: &Value) -> String {
    let mut claims = issuer.claims_for(&flow.url, sub);
    for (name, value) in said.as_object().unwrap() {
        claims[name.as_str()] = value.clone();
    }
    issuer.consents(&flow.url, &issuer.signs(&claims))
}

/// What Google says of an address that it vouches for: one of a Workspace domain, or of Gmail.
pub fn proven(email: &str) -> Value {
    let domain = email.split_once('@').unwrap().1.to_lowercase();
    let mut said = json!({ "email": email, "email_verified": true, "name": "Ada of Google" });
    if domain != "gmail.com" {
        said["hd"] = json!(domain);
    }
    said
}

/// What must come of a round trip that signed somebody in.
pub fn signed_in(answer: Answer) -> SignedIn {
    let answer = answer.expect(200);
    assert_eq!(answer.json()["status"], "signed_in", "{}", answer.json());
    SignedIn::of(&answer)
}

/// What must come of one that is to prove an address: the continuation.
pub fn continuation(answer: Answer) -> String {
    let body = answer.expect(200).json();
    assert_eq!(body["status"], "email_required", "{body}");
    body["continuation"].as_str().unwrap().to_owned()
}
