//! Signing in at a real OpenID provider, the certified one of Node.js: as Google, and as one that the operator added.

use doorstep_core::clock::Clock;
use doorstep_tests::http::Answer;
use doorstep_tests::openid::{self, Account, OpenId, RelyingParty};
use doorstep_tests::providers::facebook::Facebook;
use doorstep_tests::providers::issuer::{CLIENT_ID, CLIENT_SECRET, Issuer};
use doorstep_tests::providers::parameter;
use doorstep_tests::providers::twitter::Twitter;
use doorstep_tests::social::{self, ACME, NATIVE_CLIENT_ID, REDIRECT_URI, Social, continuation, signed_in};
use doorstep_tests::{App, Db, Setup, on_both_as};
use serde_json::json;

use crate::natively::{begins_natively, nothing_is_written, sends, shows};

/// A Doorstep that lives by the machine's clock, as the provider does.
struct Real {
    social: Social,
    google: OpenId,
    acme: OpenId,
}

fn opened(name: &str) -> Option<OpenId> {
    let provider = openid::server()?;
    let callback = format!("https://auth.shop.example/v1/social/{name}/callback");
    let secret = Some(CLIENT_SECRET.to_owned());
    provider.registers(RelyingParty { id: CLIENT_ID.to_owned(), secret, ..RelyingParty::doorstep(&[&callback]) });
    provider.knows(&Account::new("ada", "1001").email("ada@gmail.com", true));
    Some(provider)
}

fn run(db: Db, story: fn(&mut Real)) {
    let (Some(google), Some(acme)) = (opened("google"), opened(ACME)) else { return };
    let clock = Clock::System;
    let (facebook, twitter) = (Facebook::start(clock.clone()), Twitter::start());
    let mut setup = Setup { clock: clock.clone(), ..Setup::default() };
    social::configure(&mut setup.config, google.issuer(), &facebook, &twitter, acme.issuer());
    let Some(app) = App::start(db, setup) else { return };
    let unused = || Issuer::start(clock.clone());
    let social = Social { app, google: unused(), facebook, twitter, acme: unused() };
    let mut real = Real { social, google, acme };
    story(&mut real);
    real.social.check_invariants();
}

impl Real {
    fn at(&self, provider: &str) -> &OpenId {
        if provider == ACME { &self.acme } else { &self.google }
    }

    /// The whole round trip.
    fn arrives(&self, provider: &str, login: &str) -> Answer {
        let flow = self.social.begins(provider);
        let back = self.at(provider).signs_in(&flow.url, login);
        assert_eq!(
            parameter(&back, "iss").as_deref(),
            Some(self.at(provider).issuer()),
            "it says who it is (RFC 9207)"
        );
        let code = self.social.brings(&flow, &back);
        self.social.exchanges(&code, &flow.verifier)
    }
}

on_both_as! {
    Real, run,

    fn ada_signs_in_by_a_real_google(real) {
        let ada = signed_in(real.arrives("google", "ada"));
        assert_eq!((&ada.account["primary_email"], &ada.account["full_name"]), (&json!("ada@gmail.com"), &json!("ada")));
        let again = signed_in(real.arrives("google", "ada"));
        assert_eq!(again.account["id"], ada.account["id"]);
        // what an operator's provider says of an address proves nothing
        let body = real.arrives(ACME, "ada").expect(200).json();
        assert_eq!((&body["status"], &body["email_hint"]), (&json!("email_required"), &json!("ada@gmail.com")));
        // she proves another, and has another account
        real.social.gives_email(body["continuation"].as_str().unwrap(), "ada@example.org").expect(202);
        let code = real.social.code_mailed_to("ada@example.org");
        let other = signed_in(real.social.proves_email(body["continuation"].as_str().unwrap(), &code));
        assert_eq!(signed_in(real.arrives(ACME, "ada")).account["id"], other.account["id"]);
        assert_ne!(other.account["id"], ada.account["id"]);
    }

    fn ph_07_what_is_said_beside_the_id_token_is_only_a_hint(real) {
        real.google.knows(&Account::new("ada", "1001").email("ada@gmail.com", true).only_in_userinfo());
        real.google.knows(&Account::new("eve", "1002").claim("email", "v@gmail.com").claim("email_verified", "true"));
        real.google.knows(&Account::new("bob", "1003").email("bob@example.org", true));
        real.google.knows(&Account::new("nobody", "1004"));
        let hints = [("ada", json!("ada@gmail.com")), ("eve", json!("v@gmail.com")), ("bob", json!("bob@example.org")), ("nobody", json!(null))];
        for (login, hint) in hints {
            let body = real.arrives("google", login).expect(200).json();
            assert_eq!((&body["status"], &body["email_hint"]), (&json!("email_required"), &hint), "{login}");
        }
        nothing_is_written(&real.social);
        // of her own domain Google is the judge
        real.google.knows(&Account::new("bob", "1003").email("bob@example.org", true).claim("hd", "example.org"));
        signed_in(real.arrives("google", "bob"));
    }

    fn who_thinks_better_of_it_comes_back_without_a_code(real) {
        for provider in ["google", ACME] {
            let flow = real.social.begins(provider);
            let location = real.social.browser_goes_to(&real.at(provider).cancels(&flow.url)).expect(303);
            let location = location.header("location").unwrap();
            assert!(location.starts_with(REDIRECT_URI), "{location}");
            assert_eq!(parameter(location, "error").as_deref(), Some("cancelled"));
            assert_eq!(parameter(location, "flow_id").as_deref(), Some(flow.id.as_str()));
            assert_eq!(parameter(location, "code"), None);
        }
        nothing_is_written(&real.social);
        signed_in(real.arrives("google", "ada"));
    }

    fn an_answer_in_another_issuers_name_is_refused(real) {
        let flow = real.social.begins("google");
        let back = real.google.signs_in(&flow.url, "ada");
        let iss = parameter(&back, "iss").unwrap();
        let encoded: String = url::form_urlencoded::byte_serialize(iss.as_bytes()).collect();
        assert!(back.contains(&encoded), "{back}");
        let other: String = url::form_urlencoded::byte_serialize(real.acme.issuer().as_bytes()).collect();
        let answer = real.social.browser_goes_to(&back.replace(&encoded, &other)).expect(303);
        assert_eq!(parameter(answer.header("location").unwrap(), "error").as_deref(), Some("refused"));
        // and that was the end of it: the right one comes too late
        assert_eq!(real.social.browser_goes_to(&back).expect(410).code(), "flow_expired");
        nothing_is_written(&real.social);
    }

    fn a_phone_brings_a_token_of_a_real_provider(real) {
        for client in [CLIENT_ID, NATIVE_CLIENT_ID] {
            let flow = begins_natively(&real.social, "google");
            let token = real.google.native_token(client, &flow.nonce, "ada");
            let ada = signed_in(shows(&real.social, &flow, &token));
            assert_eq!(ada.account["primary_email"], "ada@gmail.com");
        }
        let flow = begins_natively(&real.social, ACME);
        continuation(shows(&real.social, &flow, &real.acme.native_token(CLIENT_ID, &flow.nonce, "ada")));
        // OA-09, OA-12: another app's, another flow's, and Google's where Acme's is asked for
        let other = begins_natively(&real.social, "google");
        let wrong = [
            ("google", real.google.native_token("another-app", &other.nonce, "ada"), other.id.clone()),
            ("google", real.google.native_token(CLIENT_ID, &other.nonce, "ada"), begins_natively(&real.social, "google").id),
            (ACME, real.google.native_token(CLIENT_ID, "n", "ada"), begins_natively(&real.social, ACME).id),
        ];
        for (provider, id_token, flow_id) in wrong {
            let body = json!({ "flow_id": flow_id, "id_token": id_token });
            let answer = sends(&real.social, provider, &body).expect(401);
            assert_eq!(answer.code(), "provider_refused", "{provider}");
        }
        assert_eq!(real.social.count("SELECT count(*) AS n FROM sessions"), 2);
    }

    fn a_provider_changes_its_key_in_mid_life(real) {
        let ada = signed_in(real.arrives("google", "ada"));
        let before = begins_natively(&real.social, "google");
        let of_the_old_key = real.google.native_token(CLIENT_ID, &before.nonce, "ada");
        real.google.rotate(false);
        let again = signed_in(real.arrives("google", "ada"));
        assert_eq!(again.account["id"], ada.account["id"]);
        // what the old key has signed is nobody's word any more
        assert_eq!(shows(&real.social, &before, &of_the_old_key).expect(401).code(), "provider_refused");
        let flow = begins_natively(&real.social, "google");
        signed_in(shows(&real.social, &flow, &real.google.native_token(NATIVE_CLIENT_ID, &flow.nonce, "ada")));
    }
}
