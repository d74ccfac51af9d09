//! Bodies, queries and paths: read once, strictly, with every fault named.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use actix_web::{FromRequest, HttpRequest, web};
use doorstep_core::error::Fault;
use doorstep_core::idempotency::IdempotencyKey;
use doorstep_core::keyring::sha256;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use validator::{Validate, ValidationErrors, ValidationErrorsKind};

use crate::problem::Problem;
use crate::problem_code::Code;
use crate::state::State;
use crate::strict::{self, Node};
use crate::wrong::sentence;

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
        let path = request.path().to_owned();
        let bytes = receive(request, payload, LIMIT);
        Box::pin(async move {
            let bytes = bytes.await?;
            let value: T = read(parse(&bytes)?)?;
            let fingerprint = sha256(&[path.as_bytes(), b"\n", &bytes].concat());
            Ok(Self { value, fingerprint })
        })
    }
}

/// A JSON body that may be left out, and the `Content-Type` with it: all that it says is optional.
pub struct OptionalBody<T>(pub T);

impl<T: DeserializeOwned + Validate + Default + 'static> FromRequest for OptionalBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if has_no_body(request) {
            return Box::pin(ready(Ok(Self(T::default()))));
        }
        let bytes = receive(request, payload, SMALL);
        Box::pin(async move {
            let bytes = bytes.await?;
            if bytes.trim_ascii().is_empty() {
                return Ok(Self(T::default()));
            }
            let value: T = read(parse(&bytes)?)?;
            Ok(Self(value))
        })
    }
}

/// A JSON body with what is wrong with its form, for an operation that says it together with what is wrong with the rest.
pub struct PartialBody<T> {
    /// To be judged, and not to be done while there are faults: what was wrong in it is anything. None where too much was.
    pub value: Option<T>,
    pub faults: Vec<Fault>,
}

impl<T: DeserializeOwned + 'static> FromRequest for PartialBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = receive(request, payload, SMALL);
        Box::pin(async move {
            let (value, faults) = strict::read_what_is_good(parse(&bytes.await?)?);
            Ok(Self { value, faults })
        })
    }
}

/// Reads a JSON body of at most `limit` bytes.
fn receive(
    request: &HttpRequest,
    payload: &mut Payload,
    limit: usize,
) -> impl Future<Output = Result<web::BytesMut, Problem>> + 'static {
    let typed = is_json(request);
    let declared = declared_length(request);
    let patience = request.app_data::<web::Data<State>>().map(|state| state.patience).unwrap_or_default().body;
    let payload = web::Payload::from_request(request, payload);
    async move {
        if !typed {
            return Err(Problem::new(Code::UnsupportedMediaType));
        }
        if declared.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let payload = payload.await.map_err(|_| Problem::new(Code::MalformedRequest))?;
        timeout(patience, collect(payload, limit)).await.unwrap_or_else(|_| Err(Problem::new(Code::RequestTimeout)))
    }
}

fn declared_length(request: &HttpRequest) -> Option<usize> {
    request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok())
}

/// By its head (RFC 9112, section 6.3).
fn has_no_body(request: &HttpRequest) -> bool {
    !request.headers().contains_key(TRANSFER_ENCODING) && declared_length(request).is_none_or(|length| length == 0)
}

/// `application/json`, or JSON Merge Patch (RFC 7396), in UTF-8: what a form of another site cannot send.
fn is_json(request: &HttpRequest) -> bool {
    let Some(value) = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let mut parts = value.split(';').map(|part| part.trim().to_ascii_lowercase());
    let json = parts.next().is_some_and(|kind| kind == "application/json" || kind == "application/merge-patch+json");
    json && parts.all(|parameter| !parameter.starts_with("charset") || parameter.trim_matches('"').ends_with("utf-8"))
}

fn too_large(limit: usize) -> Problem {
    let most = if limit < LARGE { format!("{} KiB", limit / 1024) } else { format!("{} MiB", limit / LARGE) };
    Problem::with_detail(Code::PayloadTooLarge, format!("Send at most {most}."))
}

fn faulty(errors: Vec<Fault>) -> Problem {
    Problem { errors, ..Problem::new(Code::ValidationFailed) }
}

async fn collect(mut payload: web::Payload, limit: usize) -> Result<web::BytesMut, Problem> {
    let mut body = web::BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|_| Problem::with_detail(Code::MalformedRequest, "The body ended before its time."))?;
        if body.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn parse(bytes: &[u8]) -> Result<Node, Problem> {
    if bytes.trim_ascii().is_empty() {
        return Err(Problem::with_detail(Code::MalformedJson, "The body is empty; send a JSON object."));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::with_detail(Code::MalformedJson, sentence(&error.to_string())))
}

/// Reads and checks a document, or a part of one.
pub fn read<T: DeserializeOwned + Validate>(document: Node) -> Result<T, Problem> {
    let value: T = strict::read(document).map_err(faulty)?;
    validate(&value)?;
    Ok(value)
}

fn validate(value: &impl Validate) -> Result<(), Problem> {
    value.validate().map_err(|errors| {
        let mut faults = Vec::new();
        gather(&errors, "", &mut faults);
        faults.sort_by(|a, b| a.pointer.cmp(&b.pointer));
        faulty(faults)
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
                let code = if error.code == "length" { "invalid_length" } else { "invalid" };
                Fault::new(at.clone(), code, detail)
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
        ready(Self::of(request.query_string()))
    }
}

impl<T: DeserializeOwned> Query<T> {
    pub fn of(query: &str) -> Result<Self, Problem> {
        // any text is a list of pairs
        let pairs = web::Query::<Vec<(String, String)>>::from_query(query);
        let pairs = pairs.map(web::Query::into_inner).unwrap_or_default();
        let document = pairs.into_iter().map(|(name, value)| (name, Node::Parameter(value))).collect();
        strict::read(Node::Object(document)).map(Self).map_err(faulty)
    }
}

/// A query with nothing in it.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoParameters {}

/// The one id of a path; what is no id is an id of nothing.
pub struct Id<T>(pub T);

impl<T: std::str::FromStr> FromRequest for Id<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().iter().next().and_then(|(_, text)| text.parse().ok());
        ready(id.map(Self).ok_or_else(|| Problem::new(Code::NotFound)))
    }
}

/// The two ids of a path, the outer one first.
pub struct Pair<A, B>(pub A, pub B);

impl<A: std::str::FromStr, B: std::str::FromStr> FromRequest for Pair<A, B> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut ids = request.match_info().iter().map(|(_, text)| text);
        let outer = ids.next().and_then(|text| text.parse().ok());
        let pair = outer.zip(ids.next().and_then(|text| text.parse().ok()));
        ready(pair.map(|(outer, inner)| Self(outer, inner)).ok_or_else(|| Problem::new(Code::NotFound)))
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

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what is refused is looked at")]
    struct Needy {
        name: String,
        count: u32,
        inner: Sample,
        on: Option<bool>,
    }

    fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
        strict::read(super::parse(bytes)?).map_err(faulty)
    }

    fn told(text: &str) -> Vec<(String, &'static str, String)> {
        let errors = parse::<Needy>(text.as_bytes()).unwrap_err().errors;
        errors.into_iter().map(|fault| (fault.pointer, fault.code, fault.detail)).collect()
    }

    #[test]
    fn every_fault_is_said_at_once_where_it_is_and_in_our_words() {
        let row = |pointer: &str, code, detail: &str| (pointer.to_owned(), code, detail.to_owned());
        let missing = "This field is needed.";
        assert_eq!(
            told("{}"),
            [row("/count", "required", missing), row("/inner", "required", missing), row("/name", "required", missing),]
        );
        let all =
            r#"{"name": 1, "count": -1, "inner": {"email": null, "a/b~": 1, "items": ["x"]}, "on": "no", "on": true}"#;
        assert_eq!(
            told(all),
            [
                row("/count", "out_of_range", "Send a whole number, 0 or more."),
                row("/inner/a~1b~0", "unknown_field", "There is no such field; there are email, inner, items."),
                row("/inner/email", "wrong_type", "Send a text."),
                row("/inner/items/0", "wrong_type", "Send a whole number, 0 or more."),
                row("/name", "wrong_type", "Send a text."),
                row("/on", "wrong_type", "Send true or false."),
            ]
        );
        let twice = r#"{"name": "x", "name": "y", "count": 1.5, "inner": [], "on": null}"#;
        assert_eq!(
            told(twice),
            [
                row("/count", "wrong_type", "Send a whole number, 0 or more."),
                row("/inner", "wrong_type", "Send an object."),
                row("/name", "duplicate_field", "It stands there more than once."),
            ]
        );
        assert_eq!(told("7"), [row("", "wrong_type", "Send an object.")]);
        let many = format!("{{{}}}", (0..500).map(|n| format!("\"x{n}\": 1")).collect::<Vec<_>>().join(","));
        assert_eq!(told(&many).len(), 10, "and no more than ten");
        let empty = parse::<Needy>(b" \n").unwrap_err();
        assert_eq!(
            (empty.code, empty.detail.unwrap().as_str()),
            (Code::MalformedJson, "The body is empty; send a JSON object.")
        );
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
