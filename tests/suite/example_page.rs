//! The example of social sign-in in a real browser, before an API that answers what each step may answer.

use std::sync::{Arc, Mutex};

use doorstep_tests::browser::Browser;
use doorstep_tests::pages;
use doorstep_tests::providers::{code_challenge, with_query};
use doorstep_tests::standin::{Behaviour, Call, Reply, Standin};
use serde_json::{Value, json};

const OPTIONS: &str = "/v1/sign-in-options";
const FLOWS: &str = "/v1/social/twitter/flows";
const EXCHANGE: &str = "/v1/social/exchange";

fn body(call: &Call) -> Value {
    serde_json::from_slice(&call.body).unwrap()
}

fn signed_in() -> Value {
    json!({ "status": "signed_in", "access_token": "t", "account": { "full_name": null, "primary_email": "ada@example.org" } })
}

/// The API as far as the page knows it, for a page of any origin; `/authorize` stands for the provider, and sends
/// people back at once.
fn api() -> Standin {
    let begun = Arc::new(Mutex::new(Value::Null));
    Standin::start(|url| {
        let url = url.to_owned();
        move |call: &Call| {
            let mut reply = match (call.method.as_str(), call.path.as_str()) {
                ("OPTIONS", _) => Reply::of(204, "text/plain", ""),
                (_, OPTIONS) => {
                    Reply::json(200, &json!({ "providers": [{ "provider": "twitter", "name": "Twitter (X)" }] }))
                }
                (_, FLOWS) => {
                    *begun.lock().unwrap() = body(call);
                    Reply::json(201, &json!({ "flow_id": "f1", "authorization_url": format!("{url}/authorize") }))
                }
                (_, "/authorize") => {
                    let begun = begun.lock().unwrap();
                    let back = [("code", "c1"), ("flow_id", "f1")];
                    Reply::redirect(&with_query(begun["redirect_uri"].as_str().unwrap(), &back))
                }
                (_, EXCHANGE) if body(call)["code"] == "linked" => {
                    let problem = json!({ "status": 409, "code": "link_required", "detail": "Sign in first." });
                    Reply::of(409, "application/problem+json", problem.to_string())
                }
                (_, EXCHANGE) => {
                    let verifier = body(call)["code_verifier"].as_str().unwrap().to_owned();
                    assert_eq!(begun.lock().unwrap()["code_challenge"], code_challenge(&verifier));
                    Reply::json(
                        200,
                        &json!({ "status": "email_required", "continuation": "k", "provider": "twitter", "handle": "ada" }),
                    )
                }
                (_, "/v1/social/email") => Reply::json(202, &json!({ "status": "accepted" })),
                (_, "/v1/social/email/confirm") => Reply::json(200, &signed_in()),
                (_, "/v1/sessions/current") => Reply::of(204, "text/plain", ""),
                _ => Reply::not_found(),
            };
            reply.headers.extend(anybody());
            reply
        }
    })
}

/// What lets a page of any origin call.
fn anybody() -> Vec<(String, String)> {
    let names = ["Origin", "Methods", "Headers"].map(|name| format!("Access-Control-Allow-{name}"));
    names.into_iter().zip(["*", "GET, POST, DELETE", "authorization, content-type"].map(str::to_owned)).collect()
}

/// A browser at the example, which knows the API.
fn open() -> Option<(Browser, Standin, Standin)> {
    let browser = Browser::start()?;
    let (page, api) = (pages::social_sign_in(), api());
    *page.1.lock().unwrap() = api.url();
    browser.goto(&page.0.url());
    Some((browser, page.0, api))
}

#[test]
fn ada_comes_without_an_address_and_gives_one() {
    let Some((browser, page, api)) = open() else { return };
    assert_eq!(browser.text("#providers"), "Continue with Twitter (X)");
    browser.click("[data-provider=twitter]");
    browser.wait_for_text("#who", "Hello @ada!");
    assert_eq!(browser.url(), format!("{}/", page.url()), "the code does not stay in the address");
    browser.types("#email", "ada@example.org");
    browser.click("#ask-email button");
    browser.wait_for_text("#sent-to", "ada@example.org");
    browser.types("#code", " 123456 ");
    browser.click("#ask-code button");
    browser.wait_for_text("#account", "ada@example.org");
    let confirmed = &api.calls("/v1/social/email/confirm");
    let confirmed = confirmed.iter().find(|call| call.method == "POST").unwrap();
    assert_eq!(body(confirmed), json!({ "continuation": "k", "code": "123456" }));
    browser.click("#sign-out");
    browser.wait_for_text("#message", "signed out");
}

#[test]
fn what_is_in_the_way_is_said_in_plain_words() {
    let Some((browser, page, api)) = open() else { return };
    browser.goto(&format!("{}/?error=cancelled&flow_id=f1", page.url()));
    browser.wait_for_text("#message", "You did not sign in.");
    browser.goto(&format!("{}/?error=refused&flow_id=f1", page.url()));
    browser.wait_for_text("#message", "could not sign you in");
    browser.goto(&format!("{}/?code=stolen&flow_id=f2", page.url()));
    browser.wait_for_text("#message", "begun in another window");
    assert!(api.calls(EXCHANGE).is_empty());
    browser.script("sessionStorage.setItem('doorstep.verifier.f3', 'x'.repeat(43))");
    browser.goto(&format!("{}/?code=linked&flow_id=f3", page.url()));
    browser.wait_for_text("#message", "Sign in the way you did before");
    let detail = json!({ "status": 503, "code": "unavailable", "detail": "Retry-After says when." });
    let (content_type, body) = ("application/problem+json".to_owned(), detail.to_string().into_bytes());
    api.script(OPTIONS, Behaviour::Answer { status: 503, content_type, headers: anybody(), body });
    browser.goto(&page.url());
    browser.wait_for_text("#message", "Please try again in a moment.");
}
