//! Facebook: no OpenID Connect but in Limited Login. A code and an access token are asked about at its Graph API.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use doorstep_core::identity::IdentityKey;
use doorstep_core::provider::{Arrival, ProviderEmail, shown};
use oauth2::AuthType;
use oauth2::url::Url;
use reqwest::header::{ACCEPT, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::exchange::{Ourselves, Redemption};
use super::id_token::Expected;
use super::line::Talk;
use super::openid::KeyStore;
use super::outbound::Answer;
use super::{ProviderError, under};

pub struct Facebook {
    pub authorization: Url,
    graph: Url,
    limited_issuer: String,
    limited_keys: Url,
    keys: KeyStore,
}

/// `/me`: who an access token speaks for.
#[derive(Deserialize)]
struct Me {
    id: Value,
    #[serde(default)]
    name: Value,
    #[serde(default)]
    email: Value,
}

/// `/debug_token`: what an access token is.
#[derive(Deserialize)]
struct Debugged {
    data: TokenFacts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenFacts {
    app_id: Value,
    #[serde(rename = "type")]
    kind: Value,
    is_valid: Value,
    user_id: Value,
    expires_at: Value,
}

impl Facebook {
    pub fn new(authorization: Url, graph: Url, limited_issuer: String, limited_keys: Url) -> Self {
        Self { authorization, graph, limited_issuer, limited_keys, keys: KeyStore::default() }
    }

    pub async fn redeem(&self, talk: &Talk, us: &Ourselves, redemption: &Redemption) -> Result<Arrival, ProviderError> {
        let endpoint = under(&self.graph, "oauth/access_token");
        let tokens = us.exchange(talk, &endpoint, AuthType::RequestBody, redemption).await?;
        let me = self.me(talk, us, &tokens.access_token).await?;
        arrival(us, &me.id, &me.name, &me.email)
    }

    /// A token that an app of ours got from Facebook's SDK: good only where it was made for our app.
    pub async fn check_access_token(&self, talk: &Talk, us: &Ourselves, token: &str) -> Result<Arrival, ProviderError> {
        let mut url = under(&self.graph, "debug_token");
        let app_token = format!("{}|{}", us.client_id, us.client_secret.expose());
        url.query_pairs_mut().append_pair("input_token", token).append_pair("access_token", &app_token);
        let debugged: Debugged = read(&talk.get(url, None).await?)?;
        let facts = debugged.data;
        let refused = |why: &str| Err(ProviderError::Refused(format!("the access token {why}")));
        if facts.is_valid != Value::Bool(true) {
            return refused("is not valid");
        }
        if text(&facts.app_id) != Some(us.client_id.clone()) {
            return refused("was made for another app");
        }
        if facts.kind != "USER" {
            return refused("is not a person's");
        }
        // zero: it does not expire
        match facts.expires_at.as_i64() {
            Some(0) => {}
            Some(at) if at > talk.now().as_seconds() => {}
            _ => return refused("has expired"),
        }
        let me = self.me(talk, us, token).await?;
        if !me.id.is_string() || me.id != facts.user_id {
            return refused("is another person's");
        }
        arrival(us, &me.id, &me.name, &me.email)
    }

    /// The id token of Limited Login.
    pub async fn check_id_token(
        &self,
        talk: &Talk,
        us: &Ourselves,
        token: &str,
        nonce: &str,
    ) -> Result<Arrival, ProviderError> {
        let expected = Expected {
            issuer: &self.limited_issuer,
            client_id: &us.client_id,
            native_client_ids: &[],
            nonce,
            access_token: None,
            now: talk.now(),
        };
        let claims = self.keys.verify(talk, &self.limited_keys, token, &expected).await?;
        arrival(us, &Value::String(claims.sub.clone()), claims.get("name"), claims.get("email"))
    }

    async fn me(&self, talk: &Talk, us: &Ourselves, token: &str) -> Result<Me, ProviderError> {
        let mut url = under(&self.graph, "me");
        url.query_pairs_mut()
            .append_pair("fields", "id,name,email")
            .append_pair("access_token", token)
            .append_pair("appsecret_proof", &proof(us.client_secret.expose(), token));
        let mut request = reqwest::Request::new(reqwest::Method::GET, url);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        read(&talk.send_for_one(request).await?)
    }
}

/// That whoever shows the token is our server ("Securing Graph API calls").
fn proof(app_secret: &str, token: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes());
    HEXLOWER.encode(hmac::sign(&key, token.as_bytes()).as_ref())
}

/// The address that Facebook gives is nobody's proof.
fn arrival(us: &Ourselves, id: &Value, name: &Value, email: &Value) -> Result<Arrival, ProviderError> {
    let id = id.as_str().ok_or_else(|| ProviderError::Refused("the person's id is not text".to_owned()))?;
    let key = IdentityKey::facebook(&us.client_id, id).map_err(|why| ProviderError::Refused(why.0))?;
    let email = ProviderEmail::read(email, &Value::Bool(false), &Value::Null);
    Ok(Arrival { key, label: None, name: shown(name), email, signed_in_at: None })
}

/// An id of an app, which some versions of the API write as a number.
fn text(id: &Value) -> Option<String> {
    id.as_str().map(str::to_owned).or_else(|| id.as_u64().map(|id| id.to_string()))
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, ProviderError> {
    if answer.status.is_client_error() {
        return Err(explain(&answer.parse::<Value>()?));
    }
    answer.read()
}

/// Codes of errors that pass ("Handle errors", Graph API): unknown, service, and the limits of our app. A person's own
/// limits are not among them: nobody shall be able to make Facebook look broken for all.
const PASSING: [i64; 4] = [1, 2, 4, 341];

/// What an error means. Its code is said, and none of its words: they may repeat what was sent.
pub fn explain(answer: &Value) -> ProviderError {
    let error = answer.get("error").unwrap_or(&Value::Null);
    let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
    if PASSING.contains(&code) || error.get("is_transient") == Some(&Value::Bool(true)) {
        return ProviderError::Failed(format!("it says that it cannot answer now (code {code})"));
    }
    ProviderError::Refused(format!("it says no (code {code})"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_proof_is_an_hmac_of_the_token() {
        // RFC 4231, test case 2
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(proof("Jefe", "what do ya want for nothing?"), expected);
    }

    #[test]
    fn an_error_is_told_by_its_code_and_never_in_its_words() {
        let refused = explain(&json!({ "error": { "message": "code s3cr3t was used", "code": 100 } }));
        assert_eq!(refused, ProviderError::Refused("it says no (code 100)".to_owned()));
        for passing in [json!({ "error": { "code": 4 } }), json!({ "error": { "code": 9, "is_transient": true } })] {
            assert!(matches!(explain(&passing), ProviderError::Failed(_)), "{passing}");
        }
    }
}
