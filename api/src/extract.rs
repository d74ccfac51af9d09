//! Bodies, queries and paths: read once, strictly, with every fault named.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpRequest, web};
use doorstep_core::error::Fault;
use doorstep_core::idempotency::IdempotencyKey;
use doorstep_core::keyring::sha256;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use validator::{Validate, ValidationErrors, ValidationErrorsKind};

use crate::problem::{Code, Problem};
use crate::state::State;
use crate::strict::Node;

/// How large a body may be.
pub const SMALL: usize = 64 * 1024;
pub const LARGE: usize = 1024 * 1024;

/// A JSON body of at most `LIMIT` bytes, parsed and validated.
pub struct Body<T, const LIMIT: usize = SMALL> {
    pub value: T,
    /// The SHA-256 of path and body, to tell a repeated request from another.
    pub fingerprint: [u8; 32],
}

impl<T, const LIMIT: usize> FromRequest for Body<T, LIMIT>
where
    T: DeserializeOwned + Validate + 'static,
{
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let typed = is_json(request);
        let path = request.path().to_owned();
        let declared = request.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
        let patience = request.app_data::<web::Data<State>>().map(|state| state.patience).unwrap_or_default().body;
        let payload = web::Payload::from_request(request, payload);
        Box::pin(async move {
            if !typed {
                return Err(Problem::new(Code::UnsupportedMediaType));
            }
            if declared.is_some_and(|length: usize| length > LIMIT) {
                return Err(Problem::new(Code::PayloadTooLarge));
            }
            let payload = payload.await.map_err(|_| Problem::new(Code::MalformedRequest))?;
            let bytes = timeout(patience, collect(payload, LIMIT))
                .await
                .unwrap_or_else(|_| Err(Problem::new(Code::RequestTimeout)))?;
            let value: T = parse(&bytes)?;
            validate(&value)?;
            let fingerprint = sha256(&[path.as_bytes(), b"\n", &bytes].concat());
            Ok(Self { value, fingerprint })
        })
    }
}

/// `application/json`, or JSON Merge Patch (RFC 7396), in UTF-8: what a form of another site cannot send.
fn is_json(request: &HttpRequest) -> bool {
    let Some(value) = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let mut parts = value.split(';').map(|part| part.trim().to_ascii_lowercase());
    let json = parts.next().is_some_and(|kind| kind == "application/json" || kind == "application/merge-patch+json");
    json && parts.all(|parameter| !parameter.starts_with("charset") || parameter.trim_matches('"').ends_with("utf-8"))
}

async fn collect(mut payload: web::Payload, limit: usize) -> Result<web::BytesMut, Problem> {
    let mut body = web::BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|_| Problem::with_detail(Code::MalformedRequest, "The body ended before its time."))?;
        if body.len() + chunk.len() > limit {
            return Err(Problem::new(Code::PayloadTooLarge));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let document: Node = serde_json::from_slice(bytes)
        .map_err(|error| Problem::with_detail(Code::MalformedJson, sentence(&error.to_string())))?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let pointer = pointer(&error.path().to_string());
        let errors = vec![Fault::new(pointer, "invalid", sentence(&error.into_inner().to_string()))];
        Problem { errors, ..Problem::new(Code::ValidationFailed) }
    })
}

/// `a.b[0]` as a JSON Pointer.
fn pointer(path: &str) -> String {
    if path == "." || path == "?" {
        return String::new();
    }
    let path = path.replace('[', ".").replace(']', "");
    path.split('.').fold(String::new(), |pointer, part| pointer + "/" + part)
}

fn sentence(text: &str) -> String {
    let mut detail: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    detail.push('.');
    detail
}

fn validate(value: &impl Validate) -> Result<(), Problem> {
    value.validate().map_err(|errors| {
        let mut faults = Vec::new();
        gather(&errors, "", &mut faults);
        faults.sort_by(|a, b| a.pointer.cmp(&b.pointer));
        Problem { errors: faults, ..Problem::new(Code::ValidationFailed) }
    })
}

fn gather(errors: &ValidationErrors, prefix: &str, faults: &mut Vec<Fault>) {
    for (field, kind) in errors.errors() {
        let at = format!("{prefix}/{field}");
        match kind {
            ValidationErrorsKind::Struct(inner) => gather(inner, &at, faults),
            ValidationErrorsKind::List(items) => {
                for (index, inner) in items {
                    gather(inner, &format!("{at}/{index}"), faults);
                }
            }
            ValidationErrorsKind::Field(found) => faults.extend(found.iter().map(|error| {
                let bound = |name: &str| error.params.get(name).map(ToString::to_string);
                let detail = match (&error.message, bound("min"), bound("max")) {
                    (Some(message), ..) => message.to_string(),
                    (None, Some(min), Some(max)) => format!("It has {min} to {max} characters or items."),
                    (None, None, Some(max)) => format!("It has at most {max} characters or items."),
                    _ => "It is not valid.".to_owned(),
                };
                Fault::new(at.clone(), "invalid_length", detail)
            })),
        }
    }
}

/// A query string; unknown parameters are refused.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let query = web::Query::<T>::from_query(request.query_string());
        ready(query.map(|query| Self(query.into_inner())).map_err(|error| {
            let errors = vec![Fault::new("", "invalid", sentence(&error.to_string()))];
            Problem { errors, ..Problem::new(Code::ValidationFailed) }
        }))
    }
}

/// The one id of a path; what is no id is an id of nothing.
pub struct Id<T>(pub T);

impl<T: std::str::FromStr> FromRequest for Id<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().get("id").and_then(|text| text.parse().ok());
        ready(id.map(Self).ok_or_else(|| Problem::new(Code::NotFound)))
    }
}

/// The `Idempotency-Key` header, where it was sent.
pub struct Idempotency(Option<String>);

impl FromRequest for Idempotency {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(value) = request.headers().get("idempotency-key") else { return ready(Ok(Self(None))) };
        let value = value.to_str().unwrap_or_default();
        ready(IdempotencyKey::check(value).map(|()| Self(Some(value.to_owned()))).map_err(Problem::from))
    }
}

impl Idempotency {
    /// The key, for one caller of one operation with one body.
    #[must_use]
    pub fn key(self, caller: String, route: &'static str, fingerprint: [u8; 32]) -> Option<IdempotencyKey> {
        self.0.map(|key| IdempotencyKey { caller, route, key, fingerprint })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(default)]
        email: String,
        #[serde(default)]
        inner: Option<Box<Sample>>,
        #[serde(default)]
        items: Vec<u8>,
    }

    fn refused(text: &str) -> (Code, Vec<String>) {
        let problem = parse::<Sample>(text.as_bytes()).unwrap_err();
        (problem.code, problem.errors.into_iter().map(|fault| fault.pointer).collect())
    }

    #[test]
    fn ph_13_ft_23_json_is_strict() {
        assert_eq!(refused("{"), (Code::MalformedJson, vec![]));
        assert_eq!(refused(""), (Code::MalformedJson, vec![]));
        assert_eq!(refused("{} {}"), (Code::MalformedJson, vec![]));
        assert_eq!(refused(r#"{"email": ["v", "a"]}"#), (Code::ValidationFailed, vec!["/email".into()]));
        assert_eq!(refused(r#"{"email": "v", "email": "a"}"#).0, Code::ValidationFailed);
        assert_eq!(refused(r#"{"emial": "v"}"#).0, Code::ValidationFailed);
        assert_eq!(refused(r#"{"items": [1, 300]}"#), (Code::ValidationFailed, vec!["/items/1".into()]));
        assert_eq!(refused(&"[".repeat(1_000_000)).0, Code::MalformedJson);
        assert_eq!(refused(r#" ["v", null, [1]]"#), (Code::ValidationFailed, vec![String::new()]));
        let list = r#"{"inner": {"inner": ["v"]}}"#;
        assert_eq!(refused(list), (Code::ValidationFailed, vec!["/inner/inner".into()]));
        assert_eq!(refused(r#"{"inner": {"email": "v", "email": "a"}}"#).0, Code::ValidationFailed);
        assert_eq!(refused(r#"{"a\u0000b": 1}"#), (Code::MalformedJson, vec![]));
        assert!(parse::<Sample>(br#"{"inner": null}"#).unwrap().inner.is_none());
        assert_eq!(refused(r#"{"email": "a\u0000b"}"#), (Code::MalformedJson, vec![]));
        let sample = parse::<Sample>(br#"{"email": "a\\u0000b", "items": [1]}"#).unwrap();
        assert_eq!((sample.email.as_str(), sample.items.as_slice()), ("a\\u0000b", [1].as_slice()));
    }
}
