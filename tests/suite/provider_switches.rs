//! An admin turns providers off and on: what is off does nothing, wherever a round trip has got to (rule 14).

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use doorstep_tests::SignedIn;
use doorstep_tests::http::{Answer, Client, in_parallel};
use doorstep_tests::on_both_with_providers;
use doorstep_tests::providers::issuer::{CLIENT_ID, TOKEN};
use doorstep_tests::providers::parameter;
use doorstep_tests::social::{Flow, Social, continuation, proven, signed_in};
use doorstep_tests::standin::{Call, Reply, Standin};
use serde_json::{Value, json};

use crate::forced::text;
use crate::natively::{Native, asks_to_begin_natively, begins_natively, shows};

/// Everybody who is on the way by Google when it is turned off.
struct OnTheWay {
    /// Has a password.
    ada: SignedIn,
    /// Signed in by Google.
    bob: SignedIn,
    /// Is at Google, and will come back to this URL.
    there: (Flow, String),
    /// Has brought a code to the app.
    back: (Flow, String),
    /// Has a phone.
    phone: Native,
    /// Is to give an address, and to prove one.
    asked: String,
    mailed: (String, String),
    /// Ada is linking: at Google, back from there, and by a phone.
    linking: (Flow, String),
    linking_by_phone: Native,
}

fn identity(social: &Social, sub: &str) -> i64 {
    social.count(&format!("SELECT count(*) AS n FROM identities WHERE kind = 'google' AND subject = '{sub}'"))
}

fn rows(social: &Social, table: &str) -> i64 {
    social.count(&format!("SELECT count(*) AS n FROM {table}"))
}

fn begins_to_link_natively(social: &Social, who: &SignedIn) -> Answer {
    social.client.post("/v1/me/identities/google").bearer(&who.access_token).json(&json!({ "native": true })).send()
}

fn finishes_linking_natively(social: &Social, who: &SignedIn, flow: &Native, sub: &str) -> Answer {
    let body = json!({ "flow_id": flow.id, "id_token": id_token(social, flow, sub) });
    social.client.post("/v1/me/identities/exchange").bearer(&who.access_token).json(&body).send()
}

fn id_token(social: &Social, flow: &Native, sub: &str) -> String {
    social.google.signs(&social.google.claims(CLIENT_ID, &flow.nonce, sub))
}

fn set_out(social: &Social) -> OnTheWay {
    let ada = social.signs_up("ada@example.org");
    let bob = signed_in(social.arrives_by_google("g-bob", &proven("bob@gmail.com")));
    let comes = |sub: &str| {
        let flow = social.begins("google");
        let url = social.google_says(&flow, sub, &proven(&format!("{sub}@gmail.com")));
        (flow, url)
    };
    let there = comes("g-there");
    let (flow, url) = comes("g-back");
    let code = social.brings(&flow, &url);
    let asked = continuation(social.arrives_by_google("g-asked", &json!({})));
    let mailed = continuation(social.arrives_by_google("g-mailed", &json!({})));
    social.gives_email(&mailed, "eve@example.org").expect(202);
    let mail = social.code_mailed_to("eve@example.org");
    let link = social.begins_to_link(&ada, "google");
    let linking = social.brings(&link, &social.google_says(&link, "g-ada", &json!({})));
    let by_phone = begins_to_link_natively(social, &ada).expect(201).json();
    let text = |name: &str| by_phone[name].as_str().unwrap().to_owned();
    OnTheWay {
        linking_by_phone: Native { provider: "google", id: text("flow_id"), nonce: text("nonce") },
        phone: begins_natively(social, "google"),
        back: (flow, code),
        mailed: (mailed, mail),
        linking: (link, linking),
        ada,
        bob,
        there,
        asked,
    }
}

fn offered(social: &Social) -> Vec<String> {
    let options = social.client.get("/v1/sign-in-options").send().expect(200).json();
    assert_eq!(options["password"], true);
    let providers = options["providers"].as_array().unwrap();
    providers.iter().map(|one| one["provider"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn is_off(answer: &Answer) {
    assert_eq!((answer.status, answer.code().as_str()), (403, "method_disabled"));
}

/// Nobody gets any further, and nothing changes.
fn nobody_gets_further(social: &Social, on_the_way: &OnTheWay) {
    let OnTheWay { ada, there, back, phone, asked, mailed, linking, linking_by_phone, .. } = on_the_way;
    let tables = ["accounts", "identities", "proofs", "sessions", "challenges", "outbox", "audit_events"];
    let before = tables.map(|table| rows(social, table));
    let asked_google = social.google.calls(TOKEN).len();
    is_off(&social.asks_to_begin("google", &"v".repeat(43)));
    is_off(&asks_to_begin_natively(social, "google"));
    let location = social.browser_goes_to(&there.1).expect(303).header("location").unwrap().to_owned();
    assert_eq!(parameter(&location, "error").as_deref(), Some("refused"), "{location}");
    assert_eq!(parameter(&location, "code"), None);
    is_off(&social.exchanges(&back.1, &back.0.verifier));
    is_off(&shows(social, phone, &id_token(social, phone, "g-phone")));
    is_off(&social.gives_email(asked, "carol@example.org"));
    is_off(&social.proves_email(&mailed.0, &mailed.1));
    is_off(&social.asks_to_link(ada, "google", &"v".repeat(43)));
    is_off(&begins_to_link_natively(social, ada));
    is_off(&social.finishes_linking(ada, &linking.1, &linking.0.verifier));
    is_off(&finishes_linking_natively(social, ada, linking_by_phone, "g-ada-phone"));
    assert_eq!(tables.map(|table| rows(social, table)), before);
    assert_eq!(social.google.calls(TOKEN).len(), asked_google, "Google is not asked");
}

/// The session that Google has opened is over; that of a password is not.
fn its_sessions_end(social: &Social, ada: &SignedIn, bob: &SignedIn) -> SignedIn {
    assert_eq!(social.refreshes(&bob.refresh_token).expect(401).code(), "session_ended");
    assert_eq!(text(social, "SELECT end_reason AS t FROM sessions WHERE method = 'google'"), "method_off");
    social.me(&bob.access_token).expect(401);
    social.refreshes(&bob.refresh_token).expect(401);
    social.me(&ada.access_token).expect(200);
    let refreshed = SignedIn::of(&social.refreshes(&ada.refresh_token).expect(200));
    social.me(&refreshed.access_token).expect(200);
    social.signs_in("ada@example.org");
    refreshed
}

/// On again: whoever was stopped on the way and is not too late arrives, and a new flow works.
fn all_get_further(social: &Social, on_the_way: &OnTheWay, ada: &SignedIn) {
    let OnTheWay { bob, there, back, phone, asked, mailed, linking, linking_by_phone, .. } = on_the_way;
    social.refreshes(&bob.refresh_token).expect(401);
    assert_eq!(social.browser_goes_to(&there.1).expect(410).code(), "flow_expired", "the app was told of it");
    signed_in(social.exchanges(&back.1, &back.0.verifier));
    continuation(shows(social, phone, &id_token(social, phone, "g-phone")));
    social.gives_email(asked, "carol@example.org").expect(202);
    signed_in(social.proves_email(asked, &social.code_mailed_to("carol@example.org")));
    signed_in(social.proves_email(&mailed.0, &mailed.1));
    social.finishes_linking(ada, &linking.1, &linking.0.verifier).expect(200);
    finishes_linking_natively(social, ada, linking_by_phone, "g-ada-phone").expect(200);
    let again = signed_in(social.arrives_by_google("g-bob", &json!({})));
    assert_eq!(again.account["id"], bob.account["id"]);
    assert_eq!(identity(social, "g-there"), 0);
    signed_in(social.arrives_by_google("g-there", &proven("g-there@gmail.com")));
}

/// Waits with Google's tokens: says when they are asked for, and is told when to give them.
fn holds_tokens_back(social: &Social) -> (Standin, Receiver<()>, Sender<()>) {
    let (asked, is_asked) = channel();
    let (go, told) = channel();
    let (told, asked, google) = (Mutex::new(told), Mutex::new(asked), Client::new(&social.google.url()));
    let front = Standin::start(|_| {
        move |call: &Call| {
            asked.lock().unwrap().send(()).unwrap();
            told.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
            let (kind, who) = (call.header("content-type").unwrap(), call.header("authorization").unwrap());
            let answer = google.post(TOKEN).header("Authorization", who).body(kind, call.body.clone()).send();
            Reply::of(answer.status, "application/json", answer.body)
        }
    });
    let endpoint = json!(format!("{}{TOKEN}", front.url()));
    social.google.change_discovery(|document| document["token_endpoint"] = endpoint);
    (front, is_asked, go)
}

/// Does this, and turns Google off while Google is being asked.
fn turned_off_meanwhile(
    social: &Social,
    (asked, go): (&Receiver<()>, &Sender<()>),
    act: impl FnOnce() -> Answer + Send,
) -> Answer {
    std::thread::scope(|scope| {
        let acting = scope.spawn(act);
        asked.recv_timeout(Duration::from_secs(20)).unwrap();
        social.turn("google", false);
        go.send(()).unwrap();
        acting.join().unwrap()
    })
}

/// A round trip that may be stopped at any step: whether it arrived.
fn arrives_or_is_stopped(social: &Social, sub: &str, email: &str) -> bool {
    let verifier = "v".repeat(43);
    let Some(flow) = begun_or_stopped(social.asks_to_begin("google", &verifier), &verifier) else { return false };
    let Some(code) = brought_or_stopped(social, &flow, sub, &proven(email)) else { return false };
    done_or_stopped(&social.exchanges(&code, &verifier))
}

/// The same for linking.
fn links_or_is_stopped(social: &Social, who: &SignedIn, sub: &str) -> bool {
    let verifier = "v".repeat(43);
    let Some(flow) = begun_or_stopped(social.asks_to_link(who, "google", &verifier), &verifier) else { return false };
    let Some(code) = brought_or_stopped(social, &flow, sub, &json!({})) else { return false };
    done_or_stopped(&social.finishes_linking(who, &code, &verifier))
}

fn begun_or_stopped(begun: Answer, verifier: &str) -> Option<Flow> {
    if begun.status == 403 {
        is_off(&begun);
        return None;
    }
    let body = begun.expect(201).json();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    Some(Flow {
        provider: "google".into(),
        id: text("flow_id"),
        url: text("authorization_url"),
        verifier: verifier.into(),
    })
}

fn brought_or_stopped(social: &Social, flow: &Flow, sub: &str, said: &Value) -> Option<String> {
    let answer = social.browser_goes_to(&social.google_says(flow, sub, said)).expect(303);
    let location = answer.header("location").unwrap();
    let code = parameter(location, "code");
    assert_eq!(code.is_none(), parameter(location, "error").as_deref() == Some("refused"), "{location}");
    code
}

fn done_or_stopped(answer: &Answer) -> bool {
    if answer.status == 403 {
        is_off(answer);
    }
    assert!([200, 403].contains(&answer.status), "{}", answer.status);
    answer.status == 200
}

on_both_with_providers! {
    fn ad_01_a_provider_that_is_off_does_nothing_and_the_others_go_on(social) {
        let on_the_way = set_out(social);
        social.turn("google", false);
        assert_eq!(offered(social), ["facebook", "twitter", "acme"]);
        nobody_gets_further(social, &on_the_way);
        assert!(social.mail_to("carol@example.org").is_empty());
        continuation(social.arrives_by_twitter("ada", "12"));
        continuation(social.arrives_by_acme("a-1", &json!({})));
        let ada = its_sessions_end(social, &on_the_way.ada, &on_the_way.bob);
        social.links_twitter(&ada, "ada_l", "13").expect(200);
        social.turn("google", true);
        assert_eq!(offered(social), ["google", "facebook", "twitter", "acme"]);
        all_get_further(social, &on_the_way, &ada);
    }

    fn ad_01_with_social_sign_on_off_no_provider_does_anything(social) {
        let on_the_way = set_out(social);
        social.change_settings(|settings| settings.social_sign_on = false);
        assert_eq!(offered(social), Vec::<String>::new());
        nobody_gets_further(social, &on_the_way);
        for provider in ["facebook", "twitter", "acme"] {
            is_off(&social.asks_to_begin(provider, &"v".repeat(43)));
            is_off(&social.asks_to_link(&on_the_way.ada, provider, &"v".repeat(43)));
        }
        let ada = its_sessions_end(social, &on_the_way.ada, &on_the_way.bob);
        social.change_settings(|settings| settings.social_sign_on = true);
        all_get_further(social, &on_the_way, &ada);
    }

    fn ad_01_who_is_known_by_it_alone_is_kept_out_and_not_lost(social) {
        social.emails_support("bob@gmail.com");
        let bob = signed_in(social.arrives_by_google("g-bob", &proven("bob@gmail.com")));
        social.turn("google", false);
        social.refreshes(&bob.refresh_token).expect(401);
        // forgot password leads to the same account, whose Google is as good as before once it is on
        let claimed = social.claims("bob@gmail.com");
        assert_eq!(bob.account["id"], claimed.account_id.as_str());
        let by_password = social.signs_in("bob@gmail.com");
        let identities = social.identities_of(&by_password);
        assert_eq!((&identities[0]["usable"], identities.len()), (&json!(false), 1));
        social.turn("google", true);
        let again = signed_in(social.arrives_by_google("g-bob", &json!({})));
        assert_eq!(again.account["id"], bob.account["id"]);
    }

    fn rc_20_turned_off_while_the_provider_is_asked_it_signs_nobody_in(social) {
        social.emails_support("v@example.org");
        let ada = social.signs_up("ada@example.org");
        let (_front, asked, go) = holds_tokens_back(social);
        let tables = ["accounts", "identities", "proofs", "sessions", "audit_events"];
        let before = tables.map(|table| rows(social, table));
        let flow = social.begins("google");
        let code = social.brings(&flow, &social.google_says(&flow, "g-v", &proven("v@example.org")));
        is_off(&turned_off_meanwhile(social, (&asked, &go), || social.exchanges(&code, &flow.verifier)));
        social.turn("google", true);
        let link = social.begins_to_link(&ada, "google");
        let linking = social.brings(&link, &social.google_says(&link, "g-ada", &json!({})));
        is_off(&turned_off_meanwhile(social, (&asked, &go), || social.finishes_linking(&ada, &linking, &link.verifier)));
        assert_eq!(tables.map(|table| rows(social, table)), before);
        assert_eq!(text(social, "SELECT state AS t FROM accounts WHERE state <> 'claimed'"), "unclaimed");
        social.turn("google", true);
        let late = social.exchanges(&code, &flow.verifier).expect(410);
        assert_eq!(late.code(), "flow_expired", "what was shown is used up");
        social.finishes_linking(&ada, &linking, &link.verifier).expect(410);
        go.send(()).unwrap();
        signed_in(social.arrives_by_google("g-v", &proven("v@example.org")));
    }

    fn rc_20_a_switch_among_many_round_trips_leaves_nothing_half_done(social) {
        let people = |i: usize, n: usize| (format!("g-{i}-{n}"), format!("p{i}.{n}@gmail.com"));
        for i in 0..6 {
            for n in 0..4 {
                social.emails_support(&people(i, n).1);
            }
        }
        let owners: Vec<SignedIn> = (0..2).map(|i| social.signs_up(&format!("owner{i}@example.org"))).collect();
        let social = &*social;
        let arrived = in_parallel(9, |i| match i {
            0..6 => (0..4).filter(|n| { let (sub, email) = people(i, *n); arrives_or_is_stopped(social, &sub, &email) }).count(),
            6..8 => (0..4).filter(|n| links_or_is_stopped(social, &owners[i - 6], &format!("g-owner-{i}-{n}"))).count(),
            _ => {
                for n in 0..21 {
                    social.turn("google", n % 2 == 1);
                }
                0
            }
        });
        let (claims, links) = (arrived[..6].iter().sum::<usize>(), arrived[6..].iter().sum::<usize>());
        let n = |n: usize| i64::try_from(n).unwrap();
        assert_eq!(rows(social, "identities WHERE kind = 'google'"), n(claims + links));
        assert_eq!(rows(social, "accounts WHERE state = 'claimed'"), n(claims + 2));
        assert_eq!(rows(social, "accounts WHERE state = 'unclaimed'"), n(24 - claims));
        assert_eq!(rows(social, "proofs"), n(2 * claims + links + 2));
        assert_eq!(rows(social, "sessions WHERE method = 'google'"), n(claims));
        assert_eq!(rows(social, "audit_events WHERE action = 'account.claimed'"), n(claims));
        assert_eq!(rows(social, "audit_events WHERE action = 'identity.linked'"), n(links));
        // it is off now, for everybody
        assert!(!arrives_or_is_stopped(social, "g-late", "late@gmail.com"));
        social.turn("google", true);
        for i in 0..6 {
            for n in 0..4 {
                let (sub, email) = people(i, n);
                assert!(arrives_or_is_stopped(social, &sub, &email), "{email}");
            }
        }
        assert_eq!(rows(social, "accounts WHERE state = 'unclaimed'"), 0);
    }
}
