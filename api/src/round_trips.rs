//! Round trips to providers, between two units of work, so that no connection is held while one is asked.

use actix_web::web;
use doorstep_core::Error;
use doorstep_core::provider::{Arrival, ProviderName};
use doorstep_core::social_flow::{FromProvider, Presented};
use zeroize::Zeroizing;

use crate::problem::Problem;
use crate::problem_code::Code;
use crate::providers::{NativeToken, ProviderError};
use crate::state::State;

/// Where a provider sends the browser: built from configuration, never from a request.
pub fn callback_url(state: &State, provider: &ProviderName) -> String {
    format!("{}/v1/social/{provider}/callback", state.public_url)
}

/// Asks the provider who has arrived, by the code it gave or by a token of its SDK.
pub async fn ask(state: &State, presented: &Presented, native: Option<NativeToken>) -> Result<Arrival, Problem> {
    let client = state.providers.get(&presented.provider).ok_or(Error::NotFound("provider"))?;
    let arrival = match (native, &presented.code) {
        (Some(token), _) => client.check_native(token, &presented.nonce).await,
        (None, Some(code)) => {
            let callback = callback_url(state, &presented.provider);
            client.redeem(code, &presented.verifier, &presented.nonce, &callback).await
        }
        (None, None) => return Err(Problem::new(Code::InternalError)),
    };
    Ok(arrival?)
}

/// What the browser brought to the callback. A provider may add whatever it likes.
pub struct Callback {
    pub state: String,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

/// No provider's code is longer.
const LONGEST_CODE: usize = 4096;

impl Callback {
    /// `None` where no flow is named, or anything of ours stands there twice.
    pub fn read(query: &str) -> Option<Self> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(query).ok()?.into_inner();
        let one = |name: &str| {
            let mut values = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone());
            match (values.next(), values.next()) {
                (value, None) => Some(value),
                _ => None,
            }
        };
        Some(Self { state: one("state")??, code: one("code")?, error: one("error")?, iss: one("iss")? })
    }

    /// What it comes to: an answer of another issuer than ours is refused (RFC 9207), whatever else it says.
    pub fn brought(&self, issuer: Option<&str>) -> FromProvider {
        let anothers = self.iss.as_deref().is_some_and(|iss| issuer.is_some_and(|issuer| iss != issuer));
        match (&self.code, self.error.as_deref()) {
            _ if anothers => FromProvider::Refused,
            (_, Some("access_denied" | "user_cancelled_login")) => FromProvider::Cancelled,
            (Some(code), None) if is_code(code) => FromProvider::Code(Zeroizing::new(code.clone())),
            _ => FromProvider::Refused,
        }
    }
}

/// RFC 6749, appendix A.11.
fn is_code(code: &str) -> bool {
    (1..=LONGEST_CODE).contains(&code.len()) && code.bytes().all(|b| (0x20..=0x7e).contains(&b))
}

impl From<ProviderError> for Problem {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::TimedOut => Self::new(Code::ProviderTimeout),
            ProviderError::Failed(_) => Self::new(Code::ProviderFailed),
            ProviderError::Busy { retry_after } => {
                Self { retry_after: Some(retry_after), ..Self::new(Code::ProviderBusy) }
            }
            ProviderError::Refused(why) => {
                Self::with_detail(Code::ProviderRefused, format!("The provider's answer is not good: {why}."))
            }
            ProviderError::NativeUnsupported(why) => Self::with_detail(Code::NativeNotSupported, why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brought(query: &str, issuer: Option<&str>) -> &'static str {
        match Callback::read(query).map(|callback| callback.brought(issuer)) {
            None => "nothing",
            Some(FromProvider::Code(_)) => "a code",
            Some(FromProvider::Cancelled) => "cancelled",
            Some(FromProvider::Refused) => "refused",
        }
    }

    #[test]
    fn oa_27_what_a_browser_brings_comes_to_one_of_three_things() {
        let long = format!("state=s&code={}", "x".repeat(5000));
        let rows = [
            ("state=s&code=c", "a code"),
            ("state=s&code=c&scope=openid%20email&authuser=0&prompt=none", "a code"),
            ("state=s&error=access_denied&error_reason=user_denied", "cancelled"),
            ("state=s&error=%3Cscript%3Ealert(1)%3C/script%3E&error_description=x", "refused"),
            ("state=s&error=server_error&code=c", "refused"),
            ("state=s&code=", "refused"),
            ("state=s&code=c%00", "refused"),
            ("state=s&code=%C3%A4", "refused"),
            ("state=s", "refused"),
            (long.as_str(), "refused"),
            ("code=c", "nothing"),
            ("state=s&state=t&code=c", "nothing"),
            ("state=s&code=c&code=d", "nothing"),
            ("", "nothing"),
        ];
        for (query, expected) in rows {
            assert_eq!(brought(query, None), expected, "{query}");
        }
    }

    #[test]
    fn an_answer_of_another_issuer_is_refused() {
        let ours = Some("https://login.example");
        assert_eq!(brought("state=s&code=c&iss=https%3A%2F%2Flogin.example", ours), "a code");
        assert_eq!(brought("state=s&code=c", ours), "a code");
        for other in ["https%3A%2F%2Fevil.example", "https%3A%2F%2Flogin.example%2F", ""] {
            assert_eq!(brought(&format!("state=s&code=c&iss={other}"), ours), "refused", "{other}");
        }
        assert_eq!(brought("state=s&code=c&iss=x", None), "a code", "a provider without an issuer may say anything");
    }
}
