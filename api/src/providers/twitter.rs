//! Twitter (X): OAuth 2 with PKCE, and who it is by `/users/me`.

use doorstep_core::identity::IdentityKey;
use doorstep_core::provider::{Arrival, ProviderEmail, shown};
use oauth2::AuthType;
use oauth2::url::Url;
use serde::Deserialize;
use serde_json::Value;

use super::exchange::{Ourselves, Redemption};
use super::line::Talk;
use super::{ProviderError, under};

pub struct Twitter {
    pub authorization: Url,
    pub api: Url,
}

#[derive(Deserialize)]
struct Answered {
    data: User,
}

#[derive(Deserialize)]
struct User {
    id: Value,
    #[serde(default)]
    name: Value,
    #[serde(default)]
    username: Value,
    #[serde(default)]
    confirmed_email: Value,
}

impl Twitter {
    pub async fn redeem(&self, talk: &Talk, us: &Ourselves, redemption: &Redemption) -> Result<Arrival, ProviderError> {
        let endpoint = under(&self.api, "oauth2/token");
        let tokens = us.exchange(talk, &endpoint, AuthType::BasicAuth, redemption).await?;
        let mut url = under(&self.api, "users/me");
        url.query_pairs_mut().append_pair("user.fields", "confirmed_email,name,username");
        let answer = talk.get(url, Some(&tokens.access_token)).await?;
        // a suspended account, for one; it says nothing about the service
        if answer.status.is_client_error() {
            return Err(ProviderError::Refused(format!("users/me answered {}", answer.status.as_u16())));
        }
        let Answered { data } = answer.read()?;
        arrival(&data)
    }
}

/// The id is text (a number loses digits), the handle is for show, and the address is a hint.
fn arrival(user: &User) -> Result<Arrival, ProviderError> {
    let id = user.id.as_str().ok_or_else(|| ProviderError::Refused("the person's id is not text".to_owned()))?;
    let key = IdentityKey::twitter(id).map_err(|why| ProviderError::Refused(why.0))?;
    let email = ProviderEmail::read(&user.confirmed_email, &Value::Bool(false), &Value::Null);
    Ok(Arrival { key, label: shown(&user.username), name: shown(&user.name), email, signed_in_at: None })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(user: Value) -> Result<Arrival, ProviderError> {
        arrival(&serde_json::from_value(user).unwrap())
    }

    #[test]
    fn rule_6_an_id_is_text_and_a_number() {
        let arrival = read(json!({
            "id": "2244994945", "name": "Ada", "username": "ada", "confirmed_email": "ada@example.org"
        }));
        let arrival = arrival.unwrap();
        assert_eq!(arrival.key.subject, "2244994945");
        assert_eq!(arrival.label.as_deref(), Some("ada"));
        assert!(!arrival.email.unwrap().verified, "an address is a hint");
        for id in [json!(2_244_994_945_u64), json!("0"), json!(""), json!("ada"), json!(null), json!(["1"])] {
            assert!(matches!(read(json!({ "id": id })), Err(ProviderError::Refused(_))), "{id}");
        }
    }
}
