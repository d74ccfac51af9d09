//! The contract of what owners are told has happened: every action there is, with all that is said of it.

use std::collections::BTreeSet;

use doorstep_core::activity;
use doorstep_core::db::Origin;
use doorstep_core::email::EmailAddress;
use doorstep_core::mailed_secret::invite_admin;
use doorstep_tests::merging::merges;
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::social::{Social, proven, signed_in};
use doorstep_tests::{App, SignedIn, on_both_with_providers};
use serde_json::{Value, json};

use crate::contract::{COMMITTED, is_documented, operation};
use crate::forced::tweets;
use crate::goodbye::asks;
use crate::my_sessions::{FIREFOX, ends_others, from};
use crate::reauthentication::{begins, brought, shows};
use crate::talk::reads;

const ADA: &str = "ada@example.org";
const WORK: &str = "ada@work.example";

/// What an owner has read so far: each action with the names of its detail.
#[derive(Default)]
struct Read(BTreeSet<(String, String)>);

impl Read {
    fn all_of(&mut self, app: &App, who: &SignedIn) {
        let document: Value = serde_json::from_str(COMMITTED).unwrap();
        let answer = reads(app, who, "/v1/me/activity?limit=100").expect(200);
        is_documented(&document, operation(&document, "list_my_activity"), &answer);
        for event in answer.json()["items"].as_array().unwrap() {
            let action = event["action"].as_str().unwrap();
            self.0.insert((action.to_owned(), String::new()));
            let names = event["detail"].as_object().unwrap().keys();
            self.0.extend(names.map(|name| (action.to_owned(), name.clone())));
        }
    }
}

fn sets_password(app: &App, who: &SignedIn, body: &Value) -> SignedIn {
    SignedIn::of(&app.client.put("/v1/me/password").bearer(&who.access_token).json(body).send().expect(200))
}

/// Somebody who came by a provider, and goes into the account of somebody else.
fn by_providers(social: &Social, read: &mut Read) -> SignedIn {
    tweets(social, &json!({ "twitter": { "id": "12", "handle": "ada" } }));
    let tweeting = signed_in(social.arrives_by_twitter("ada", "12"));
    read.all_of(social, &tweeting);
    let ada = signed_in(social.arrives_by_google("g-1", &proven("lovelace@gmail.com")));
    let ada = sets_password(social, &ada, &json!({ "password": PASSWORD }));
    let again = json!({ "current_password": PASSWORD, "password": OTHER_PASSWORD });
    let ada = sets_password(social, &ada, &again);
    let flow = begins(social, &ada, "google");
    let code = social.brings(&flow, &social.google_says(&flow, "g-1", &json!({})));
    let ada = SignedIn::of(&shows(social, &ada, &brought(&code, &flow)).expect(200));
    let ada_again = signed_in(social.arrives_by_google("g-1", &json!({})));
    read.all_of(social, &ada_again);
    ada
}

/// Addresses and identities come and go, and all of it is undone.
fn ways_change(social: &Social, ada: &SignedIn) {
    let work = social.adds(ada, WORK);
    social.makes_primary(ada, &work).expect(200);
    social.removes(ada, &social.email_of(ada, ADA).id).expect(204);
    social.links_google(ada, "g-7", "countess@gmail.com").expect(200);
    let linked = social.identities_of(ada).into_iter().find(|identity| identity["kind"] == "google").unwrap();
    social.unlinks(ada, &linked["id"]).expect(204);
    let undo = social.undo_mailed_to(ADA);
    social.undoes(&json!({ "token": undo, "password": PASSWORD })).expect(200);
}

on_both_with_providers! {
    fn all_that_is_ever_told_happens_and_is_documented(social) {
        let mut read = Read::default();
        let other = by_providers(social, &mut read);
        social.emails_support(ADA);
        social.claims(ADA);
        let ada = social.signs_in(ADA);
        from(social, FIREFOX, "203.0.113.7");
        ends_others(social, &ada).expect(200);
        social.patches(&ada, &json!({ "full_name": "Ada King" })).expect(200);
        social.client.get("/v1/me/export").bearer(&ada.access_token).send().expect(200);
        let ada = SignedIn::of(&shows(social, &ada, &json!({ "password": PASSWORD })).expect(200));
        asks(social, &ada).expect(202);
        merges(social, &ada, &other, false).expect(200);
        ways_change(social, &ada);
        social.claims_with(ADA, PASSWORD);
        let address = EmailAddress::parse(ADA).unwrap();
        social.store().write(&Origin::default(), move |work| invite_admin(work, &address)).unwrap();
        let boss = social.admin("boss@example.org");
        social.signs_in(ADA);
        let road = |what: &str| format!("/v1/admin/accounts/{}{what}", ada.account["id"].as_str().unwrap());
        social.client.delete(&road("/sessions")).bearer(&boss.access_token).send().expect(200);
        for what in ["/send-reset", "/disable", "/enable"] {
            assert!(social.client.post(&road(what)).bearer(&boss.access_token).send().status < 300, "{what}");
        }
        read.all_of(social, &social.signs_in(ADA));
        let told = activity::all_told().flat_map(|(action, fields)| {
            let names = fields.iter().chain([&""]).map(|name| (*name).to_owned());
            names.map(move |name| (action.to_string(), name)).collect::<Vec<_>>()
        });
        assert_eq!(read.0, told.collect::<BTreeSet<_>>());
    }
}
