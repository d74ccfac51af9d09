//! Steps of whoever makes one account of two.

use serde_json::{Value, json};

use crate::app::App;
use crate::http::Answer;
use crate::people::SignedIn;

/// My other account becomes part of this one, or what would move: asked for, and confirmed by what was mailed.
pub fn merges(app: &App, mine: &SignedIn, other: &SignedIn, preview: bool) -> Answer {
    let asked = asks_to_merge(app, mine, other, preview);
    if asked.status == 202 { confirms_merge(app, mine, other, &codes_of(app, &asked)) } else { asked }
}

pub fn asks_to_merge(app: &App, mine: &SignedIn, other: &SignedIn, preview: bool) -> Answer {
    let path = if preview { "/v1/me/merges?preview=true" } else { "/v1/me/merges" };
    let body = json!({ "access_token": other.access_token });
    app.client.post(path).bearer(&mine.access_token).json(&body).send()
}

/// What both mailboxes have got.
pub fn codes_of(app: &App, asked: &Answer) -> Value {
    let asked = asked.json();
    let code = |name: &str| {
        let address = asked[name].as_str()?;
        let mails = app.mail_to(address).into_iter().rev();
        let mail = mails.into_iter().find(|mail| mail.subject().contains("merge two accounts")).unwrap();
        Some(mail.text().split_once("Code: ")?.1.split_whitespace().next()?.to_owned())
    };
    json!({ "code": code("sent_to"), "other_code": code("other_sent_to") })
}

pub fn confirms_merge(app: &App, mine: &SignedIn, other: &SignedIn, codes: &Value) -> Answer {
    let mut body = codes.clone();
    body["access_token"] = json!(other.access_token);
    app.client.post("/v1/me/merges/confirm").bearer(&mine.access_token).json(&body).send()
}
