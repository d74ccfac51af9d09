//! The whole round trip of the example page in a real browser: the page, the provider, our callback, and back.

use std::net::TcpListener;
use std::ops::Deref;

use doorstep_api::config::Config;
use doorstep_api::redirect_uris::RedirectUris;
use doorstep_tests::browser::Browser;
use doorstep_tests::openid::{self, Account, OpenId, RelyingParty};
use doorstep_tests::providers::twitter::{self, Twitter};
use doorstep_tests::providers::{code_challenge, random};
use doorstep_tests::standin::Standin;
use doorstep_tests::{App, Db, Setup, on_both_as, pages};
use serde_json::json;

use crate::talk::known;

/// A Doorstep at an address that a browser can reach, with a page that calls it and providers that have pages of their
/// own.
struct World {
    app: App,
    openid: OpenId,
    twitter: Twitter,
    page: Standin,
    browser: Browser,
}

impl Deref for World {
    type Target = App;
    fn deref(&self) -> &App {
        &self.app
    }
}

/// Runs a story where there are a browser and a real provider.
fn run(db: Db, story: fn(&mut World)) {
    let (Some(browser), Some(openid)) = (Browser::start(), openid::server()) else { return };
    let (twitter, (page, api)) = (Twitter::start(), pages::social_sign_in());
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}");
    *api.lock().unwrap() = url.clone();
    openid.registers(RelyingParty::doorstep(&[&format!("{url}/v1/social/google/callback")]));
    let mut setup = Setup::default();
    configure(&mut setup.config, &openid, &twitter);
    setup.config.server.listen = address;
    setup.config.server.public_url = Some(url);
    setup.config.server.cors_origins = vec![page.url()];
    setup.config.social.redirect_uris = RedirectUris::parse(&[format!("{}/", page.url())]).unwrap();
    let Some(app) = App::start(db, setup) else { return };
    let mut world = World { app, openid, twitter, page, browser };
    story(&mut world);
    world.check_invariants();
}

fn configure(config: &mut Config, openid: &OpenId, twitter: &Twitter) {
    let (issuer, x) = (openid.issuer(), twitter.url());
    let text = format!(
        r#"
        [providers.google]
        issuer = "{issuer}"
        client_id = "{}"
        client_secret = "{}"
        [providers.twitter]
        client_id = "{}"
        client_secret = "{}"
        authorization_url = "{x}{}"
        api_url = "{x}/2"
        "#,
        openid::CLIENT_ID,
        openid::CLIENT_SECRET,
        twitter::CLIENT_ID,
        twitter::CLIENT_SECRET,
        twitter::AUTHORIZE,
    );
    config.providers = Config::from_parts(&text, &[]).unwrap().providers;
}

impl World {
    /// Ada, whom Google knows by a proven address, signs in there.
    fn signs_in_at_google(&self) {
        self.openid.knows(&Account::new("ada", "1001").email("ada@gmail.com", true).claim("name", "Ada Lovelace"));
        self.browser.goto(&self.page.url());
        self.browser.click("[data-provider=google]");
        self.browser.types("input[name=login]", "ada");
        self.browser.click("#sign-in");
    }

    fn sessions(&self) -> i64 {
        self.count("SELECT count(*) AS n FROM sessions WHERE ended_at IS NULL")
    }
}

on_both_as! { World, run,
    fn ada_presses_google_and_is_signed_in(world) {
        world.emails_support("ada@gmail.com");
        world.signs_in_at_google();
        world.browser.wait_for_text("#account", "Ada Lovelace");
        assert_eq!(world.browser.url(), format!("{}/", world.page.url()), "no code stays in the address");
        assert_eq!(world.sessions(), 1);
        assert_eq!(world.browser.script("return JSON.stringify([sessionStorage.length, localStorage.length, document.cookie])"), "[0,0,\"\"]");
        world.browser.click("#sign-out");
        world.browser.wait_for_text("#message", "signed out");
        assert_eq!(world.sessions(), 0);
    }

    fn ada_thinks_better_of_it_at_the_provider(world) {
        world.browser.goto(&world.page.url());
        world.browser.click("[data-provider=google]");
        world.browser.click("#cancel");
        world.browser.wait_for_text("#message", "You did not sign in.");
        world.browser.click("[data-provider=twitter]");
        world.browser.click("#cancel");
        world.browser.wait_for_text("#message", "You did not sign in.");
        assert_eq!((world.sessions(), world.count("SELECT count(*) AS n FROM accounts")), (0, 0));
        // and then goes there after all
        world.signs_in_at_google();
        world.browser.wait_for_text("#account", "Ada Lovelace");
    }

    fn twitter_gives_no_address_and_ada_proves_hers(world) {
        world.twitter.knows(twitter::User::new("ada_l", "12", None));
        world.emails_support("ada@example.org");
        world.browser.goto(&world.page.url());
        world.browser.click("[data-provider=twitter]");
        world.browser.click("#ada_l");
        world.browser.wait_for_text("#who", "Hello @ada_l!");
        world.browser.types("#email", "ada@example.org");
        world.browser.click("#ask-email button");
        world.browser.wait_for_text("#sent-to", "ada@example.org");
        let mails = world.mail_to("ada@example.org");
        let text = mails.last().unwrap().text();
        let code = text.split_once("Code: ").unwrap().1.split_whitespace().next().unwrap();
        world.browser.types("#code", "AAAA-AAAA");
        world.browser.click("#ask-code button");
        // a slip of the finger is not the end of it
        world.browser.wait_for_text("#message", "That code is not right");
        world.browser.script("document.getElementById('code').value = ''");
        world.browser.types("#code", &code.to_lowercase());
        world.browser.click("#ask-code button");
        world.browser.wait_for_text("#account", "ada_l");
        let claimed = world.count("SELECT count(*) AS n FROM accounts WHERE state = 'claimed'");
        assert_eq!((claimed, world.sessions()), (1, 1));
        let linked = "SELECT count(*) AS n FROM identities i JOIN proofs p ON p.identity_id = i.id WHERE i.kind = 'twitter'";
        assert_eq!(world.count(linked), 1);
    }

    fn ada_has_an_account_already_and_is_told_what_to_do(world) {
        known(world, "ada@gmail.com");
        let before = world.sessions();
        world.signs_in_at_google();
        world.browser.wait_for_text("#message", "Sign in the way you did before");
        assert_eq!(world.browser.url(), format!("{}/", world.page.url()));
        assert_eq!(world.sessions(), before);
        assert_eq!(world.count("SELECT count(*) AS n FROM identities WHERE kind = 'google'"), 0);
    }

    fn oa_01_a_callback_from_anothers_browser_signs_nobody_in(world) {
        world.openid.knows(&Account::new("mallory", "666").email("mallory@gmail.com", true));
        let verifier = random() + &random();
        let body = json!({
            "redirect_uri": format!("{}/", world.page.url()), "code_challenge": code_challenge(&verifier)
        });
        let flow = world.client.post("/v1/social/google/flows").json(&body).send().expect(201).json();
        let callback = world.openid.signs_in(flow["authorization_url"].as_str().unwrap(), "mallory");
        world.browser.goto(&callback);
        world.browser.wait_for_text("#message", "begun in another window");
        assert_eq!(world.sessions(), 0);
    }
}
