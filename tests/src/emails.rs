//! What people do with the addresses of their account, through the API.

use serde_json::{Value, json};

use crate::http::Answer;
use crate::people::SignedIn;
use crate::{App, smtp};

/// An address as its owner sees it.
#[derive(Debug, Clone)]
pub struct Email {
    pub id: String,
    pub email: String,
    pub state: String,
    pub is_primary: bool,
    pub usable: bool,
    pub last_way_in: bool,
    pub asked_here: Option<bool>,
}

/// A mail that proves an address to who adds it.
#[derive(Debug, Clone)]
pub struct AddingMail {
    pub subject: String,
    pub id: String,
    pub token: String,
    pub code: String,
}

impl App {
    pub fn asks_to_add(&self, who: &SignedIn, email: &str) -> Answer {
        self.client.post("/v1/me/emails").bearer(&who.access_token).json(&json!({ "email": email })).send()
    }

    pub fn proves(&self, who: &SignedIn, id: &str, shown: &Value) -> Answer {
        self.client.post(&format!("/v1/me/emails/{id}/verify")).bearer(&who.access_token).json(shown).send()
    }

    pub fn resends(&self, who: &SignedIn, id: &str) -> Answer {
        self.client.post(&format!("/v1/me/emails/{id}/resend")).bearer(&who.access_token).send()
    }

    pub fn makes_primary(&self, who: &SignedIn, id: &str) -> Answer {
        self.client.post(&format!("/v1/me/emails/{id}/make-primary")).bearer(&who.access_token).send()
    }

    pub fn removes(&self, who: &SignedIn, id: &str) -> Answer {
        self.client.delete(&format!("/v1/me/emails/{id}")).bearer(&who.access_token).send()
    }

    /// Adds an address, from the asking to the proof; gives its id.
    pub fn adds(&self, who: &SignedIn, email: &str) -> String {
        self.asks_to_add(who, email).expect(202);
        let mail = self.adding_mail_to(email);
        let proven = self.proves(who, &mail.id, &json!({ "token": mail.token })).expect(200);
        proven.json()["id"].as_str().unwrap().to_owned()
    }

    pub fn emails_of(&self, who: &SignedIn) -> Vec<Email> {
        let list = self.client.get("/v1/me/emails").bearer(&who.access_token).send().expect(200).json();
        let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        let is = |item: &Value, name: &str| item[name].as_bool().unwrap();
        let email = |item: &Value| Email {
            id: text(item, "id"),
            email: text(item, "email"),
            state: text(item, "state"),
            is_primary: is(item, "is_primary"),
            usable: is(item, "usable"),
            last_way_in: is(item, "last_way_in"),
            asked_here: item["asked_here"].as_bool(),
        };
        list["items"].as_array().unwrap().iter().map(email).collect()
    }

    pub fn email_of(&self, who: &SignedIn, email: &str) -> Email {
        let emails = self.emails_of(who);
        let found = emails.iter().find(|known| known.email == email);
        found.unwrap_or_else(|| panic!("no {email} among {emails:?}")).clone()
    }

    /// The last mail that proves an address to who adds it.
    pub fn adding_mail_to(&self, address: &str) -> AddingMail {
        let mail = self.last_mail_with(address, "email#id=");
        let text = mail.text();
        let link = after(&text, "#id=");
        let (id, token) = link.split_once("&token=").unwrap();
        AddingMail { subject: mail.subject(), id: id.to_owned(), token: token.to_owned(), code: after(&text, "Code: ") }
    }

    /// The undo of the last mail to an address that has one.
    pub fn undo_mailed_to(&self, address: &str) -> String {
        after(&self.last_mail_with(address, "undo#token=").text(), "undo#token=")
    }

    /// How many undos were mailed to an address.
    pub fn undos_mailed_to(&self, address: &str) -> usize {
        self.mail_to(address).iter().filter(|mail| mail.text().contains("undo#token=")).count()
    }

    fn last_mail_with(&self, address: &str, mark: &str) -> smtp::Received {
        let found = self.mail_to(address).into_iter().rev().find(|mail| mail.text().contains(mark));
        found.unwrap_or_else(|| panic!("no {mark} was mailed to {address}"))
    }

    pub fn inspects_undo(&self, token: &str) -> Answer {
        self.client.post("/v1/email-undos/inspect").json(&json!({ "token": token })).send()
    }

    pub fn undoes(&self, body: &Value) -> Answer {
        self.client.post("/v1/email-undos/confirm").json(body).send()
    }
}

fn after(text: &str, mark: &str) -> String {
    let rest = text.split_once(mark).unwrap_or_else(|| panic!("no {mark} in {text}")).1;
    rest.split_whitespace().next().unwrap().to_owned()
}
