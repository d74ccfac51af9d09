//! What a help desk does with accounts and custom fields, through the API.

use doorstep_core::api_key::Scope;
use serde_json::{Value, json};

use crate::App;
use crate::http::Answer;
use crate::people::SignedIn;

impl App {
    /// Defines a custom field; choices are for a choice alone.
    pub fn defines(&self, key: &str, kind: &str, visible_to: &str) -> Answer {
        let choices = if kind == "choice" { json!(["silver", "gold"]) } else { json!([]) };
        self.puts_field(key, &json!({ "title": key, "type": kind, "choices": choices, "visible_to": visible_to }))
    }

    pub fn puts_field(&self, key: &str, body: &Value) -> Answer {
        let desk = self.api_key(&[Scope::CustomFieldsWrite]);
        self.client.put(&format!("/v1/custom-fields/{key}")).bearer(&desk).json(body).send()
    }

    pub fn deletes_field(&self, key: &str) -> Answer {
        let desk = self.api_key(&[Scope::CustomFieldsWrite]);
        self.client.delete(&format!("/v1/custom-fields/{key}")).bearer(&desk).send()
    }

    /// The help desk reads what it knows of people and fields.
    pub fn desk_gets(&self, path: &str) -> Answer {
        self.client.get(path).bearer(&self.api_key(&[Scope::AccountsRead])).send()
    }

    pub fn desk_account(&self, id: &Value) -> Answer {
        self.desk_gets(&format!("/v1/accounts/{}", id.as_str().unwrap()))
    }

    /// The help desk says something of an account by its custom fields.
    pub fn says_of(&self, id: &Value, custom: &Value) -> Answer {
        self.says_of_if(id, None, custom)
    }

    /// [`App::says_of`] with `If-Match`.
    pub fn says_of_if(&self, id: &Value, tag: Option<&str>, custom: &Value) -> Answer {
        let desk = self.api_key(&[Scope::AccountsWrite]);
        let request = self.client.patch(&format!("/v1/accounts/{}", id.as_str().unwrap())).bearer(&desk);
        let request = tag.iter().fold(request, |request, tag| request.header("If-Match", tag));
        request.json(&json!({ "custom": custom })).send()
    }

    pub fn patches(&self, who: &SignedIn, body: &Value) -> Answer {
        self.client.patch("/v1/me").bearer(&who.access_token).json(body).send()
    }

    /// What somebody sees of their custom fields.
    pub fn custom_of(&self, who: &SignedIn) -> Value {
        self.me(&who.access_token).expect(200).json()["custom"].clone()
    }
}
