//! People: what they do, in words of the product, through the API.

use serde_json::{Value, json};

use doorstep_core::api_key::Scope;
use doorstep_core::db::Origin;
use doorstep_core::email::EmailAddress;
use doorstep_core::mailed_secret::invite_admin;

use crate::App;
use crate::http::Answer;

pub const PASSWORD: &str = "correct horse battery staple";
pub const OTHER_PASSWORD: &str = "another horse, another staple";

/// A mail with a secret.
#[derive(Debug, Clone)]
pub struct SecretMail {
    pub subject: String,
    pub text: String,
    pub token: String,
    pub code: String,
}

/// Somebody whose account is theirs.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub email: String,
    pub account_id: String,
}

/// A session, as the API gave it.
#[derive(Debug, Clone)]
pub struct SignedIn {
    pub access_token: String,
    pub refresh_token: String,
    pub device_token: String,
    pub session_id: String,
    pub account: Value,
}

impl SignedIn {
    pub fn of(answer: &Answer) -> Self {
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned();
        Self {
            access_token: text("access_token"),
            refresh_token: text("refresh_token"),
            device_token: text("device_token"),
            session_id: text("session_id"),
            account: body["account"].clone(),
        }
    }

    /// What its access token says, to whoever does not ask for a signature.
    pub fn claims(&self) -> Value {
        let payload = self.access_token.split('.').nth(1).unwrap();
        serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
    }
}

impl App {
    /// The body of an inbound email push.
    pub fn email_push(external_id: &str, case: &str, from: &str) -> Value {
        json!({
            "source": "desk", "external_id": external_id, "channel": "email", "direction": "inbound",
            "from": { "email": from }, "recipients": [{ "email": "help@shop.example", "role": "to" }],
            "conversation": { "external_id": case, "subject": "Printer on fire", "status": "open" },
            "message": { "body_text": format!("It is on fire. ({external_id})") },
            "authentication": { "dmarc": "pass" },
        })
    }

    /// Pushes with a key made for it.
    pub fn push(&self, body: &Value) -> Answer {
        let key = self.api_key(&[Scope::InteractionsWrite]);
        self.client.post("/v1/interactions").bearer(&key).json(body).send()
    }

    /// Somebody emails support, and the desk pushes it; gives the push's answer.
    pub fn emails_support(&self, from: &str) -> Value {
        let id = format!("msg-{}", unique());
        self.push(&Self::email_push(&id, &format!("case-{id}"), from)).expect(201).json()
    }

    pub fn asks_to_sign_up(&self, email: &str) -> Answer {
        self.client.post("/v1/sign-ups").json(&json!({ "email": email })).send()
    }

    pub fn asks_for_reset(&self, email: &str) -> Answer {
        self.client.post("/v1/password-resets").json(&json!({ "email": email })).send()
    }

    /// All mail to an address so far, oldest first, once nothing is waiting to be carried.
    pub fn mail_to(&self, address: &str) -> Vec<crate::smtp::Received> {
        self.wait_until_mail_is_carried();
        let mail = self.smtp.messages();
        mail.into_iter().filter(|mail| mail.recipients.iter().any(|to| to == address)).collect()
    }

    /// The last mail with a secret to an address.
    pub fn secret_mailed_to(&self, address: &str) -> SecretMail {
        let mail = self.mail_to(address);
        let both = |text: String| text.contains("#token=") && text.contains("Code: ");
        let with_secret = mail.iter().rev().find(|mail| both(mail.text()));
        let mail = with_secret.unwrap_or_else(|| panic!("no secret was mailed to {address}"));
        let text = mail.text();
        let after = |mark: &str| {
            let rest = text.split_once(mark).unwrap_or_else(|| panic!("no {mark} in {text}")).1;
            rest.split_whitespace().next().unwrap().to_owned()
        };
        SecretMail { subject: mail.subject(), token: after("#token="), code: after("Code: "), text: text.clone() }
    }

    /// Forgot password, from the asking to the new password: the way an account is claimed.
    pub fn claims(&self, email: &str) -> Claimed {
        self.claims_with(email, PASSWORD)
    }

    pub fn claims_with(&self, email: &str, password: &str) -> Claimed {
        self.asks_for_reset(email).expect(202);
        let mail = self.secret_mailed_to(email);
        let answer = self.confirms_reset(&json!({ "token": mail.token, "password": password })).expect(200);
        Claimed { email: email.to_owned(), account_id: answer.json()["account"]["id"].as_str().unwrap().to_owned() }
    }

    pub fn confirms_reset(&self, body: &Value) -> Answer {
        self.client.post("/v1/password-resets/confirm").json(body).send()
    }

    pub fn confirms_sign_up(&self, body: &Value) -> Answer {
        self.client.post("/v1/sign-ups/confirm").json(body).send()
    }

    /// Sign-up, from the asking to the session.
    pub fn signs_up(&self, email: &str) -> SignedIn {
        self.asks_to_sign_up(email).expect(202);
        let mail = self.secret_mailed_to(email);
        SignedIn::of(&self.confirms_sign_up(&json!({ "token": mail.token, "password": PASSWORD })).expect(201))
    }

    pub fn tries_to_sign_in(&self, email: &str, password: &str) -> Answer {
        self.client.post("/v1/sessions").json(&json!({ "email": email, "password": password })).send()
    }

    /// The code of the last mail to an address that has one.
    pub fn code_mailed_to(&self, address: &str) -> String {
        let texts = self.mail_to(address).into_iter().rev().map(|mail| mail.text());
        let code = |text: String| Some(text.split_once("Code: ")?.1.split_whitespace().next()?.to_owned());
        texts.into_iter().find_map(code).unwrap_or_else(|| panic!("no code was mailed to {address}"))
    }

    /// An admin as the command line invites one, signed in.
    pub fn admin(&self, email: &str) -> SignedIn {
        let address = EmailAddress::parse(email).unwrap();
        let invited = self.store().write(&Origin::default(), move |work| invite_admin(work, &address)).unwrap();
        let token = invited.1.unwrap().token.to_string();
        self.confirms_reset(&json!({ "token": token, "password": PASSWORD })).expect(200);
        self.signs_in(email)
    }

    pub fn signs_in(&self, email: &str) -> SignedIn {
        SignedIn::of(&self.tries_to_sign_in(email, PASSWORD).expect(201))
    }

    /// Like [`App::tries_to_sign_in`], from another address than this machine's.
    pub fn tries_to_sign_in_from(&self, from: &str, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        self.client.post("/v1/sessions").header("X-Forwarded-For", from).json(&body).send()
    }

    /// Signs in from a device that has a token.
    pub fn tries_to_sign_in_with_device(&self, email: &str, password: &str, device_token: &str) -> Answer {
        let body = json!({ "email": email, "password": password, "device_token": device_token });
        self.client.post("/v1/sessions").json(&body).send()
    }

    pub fn signs_out(&self, access_token: &str) -> Answer {
        self.client.delete("/v1/sessions/current").bearer(access_token).send()
    }

    pub fn refreshes(&self, refresh_token: &str) -> Answer {
        self.client.post("/v1/sessions/refresh").json(&json!({ "refresh_token": refresh_token })).send()
    }

    pub fn me(&self, access_token: &str) -> Answer {
        self.client.get("/v1/me").bearer(access_token).send()
    }

    /// The subjects of what somebody sees in their list.
    pub fn conversations_of(&self, who: &SignedIn) -> Vec<Value> {
        let list = self.client.get("/v1/me/conversations?limit=100").bearer(&who.access_token).send().expect(200);
        list.json()["items"].as_array().unwrap().clone()
    }
}

/// A number that no other call in this process gets.
pub fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
