//! What surrounds every request: its id and origin, one log line, the security headers, problems put into words,
//! and a panic turned into one.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    self, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, USER_AGENT, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError, web};
use doorstep_core::chance::Chance;
use doorstep_core::clock::Timestamp;
use doorstep_core::db::Origin;
use futures_util::FutureExt;
use ipnet::IpNet;

use crate::problem::{Code, Problem};
use crate::state::State;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// The documentation page brings its own scripts and styles, and nothing from elsewhere.
const DOCS: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; frame-ancestors 'none'",
);

/// Wraps one request.
pub async fn envelope(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(state) = request.app_data::<web::Data<State>>().cloned() else {
        return Ok(request.into_response(Problem::new(Code::InternalError).error_response()));
    };
    let started = state.now();
    let id = new_request_id(started);
    let origin = Origin {
        request_id: Some(Arc::clone(&id)),
        address: caller_address(&request, &state.trusted_proxies),
        user_agent: user_agent(request.headers()),
    };
    request.extensions_mut().insert(origin);
    let raw = request.request().clone();
    let response = match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(Ok(response)) => response.map_into_boxed_body(),
        Ok(Err(error)) => ServiceResponse::new(raw, error.error_response()),
        Err(_) => {
            tracing::error!(request_id = %id, "a handler panicked");
            ServiceResponse::new(raw, Problem::new(Code::InternalError).error_response())
        }
    };
    let mut response = put_into_words(response, &state, &id);
    seal(&mut response, &state, &id);
    log(&response, &id, state.now().since(started));
    Ok(response)
}

/// A `UUIDv7`, so that requests sort by time.
fn new_request_id(now: Timestamp) -> Arc<str> {
    let millis = u64::try_from(now.as_micros() / 1000).unwrap_or(0);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &Chance::System.bytes()).into_uuid();
    let mut text = [0; 36];
    Arc::from(&*id.hyphenated().encode_lower(&mut text))
}

/// The socket's peer, or what trusted proxies say of theirs, read from the right. IPv6 counts by its /64.
fn caller_address(request: &ServiceRequest, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    let trusts = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
    let mut address = peer;
    if trusts(&peer) {
        let forwarded: Vec<&str> = request
            .headers()
            .get_all("x-forwarded-for")
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        for hop in forwarded.into_iter().rev() {
            let Ok(ip) = hop.trim().parse::<IpAddr>() else { break };
            address = ip.to_canonical();
            if !trusts(&address) {
                break;
            }
        }
    }
    Some(match address {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    })
}

fn user_agent(headers: &HeaderMap) -> Option<Arc<str>> {
    let value = headers.get(USER_AGENT)?.to_str().ok()?;
    Some(value.chars().filter(|c| !c.is_control()).take(200).collect::<String>().into())
}

/// Gives a problem its body; what failed without naming a problem gets one by its status.
fn put_into_words(response: ServiceResponse, state: &State, id: &str) -> ServiceResponse {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let named = response.response().extensions().get::<Problem>().cloned();
    let problem = named.unwrap_or_else(|| Problem::new(by_status(status)));
    let (request, old) = response.into_parts();
    let body = problem.body(&state.public_url, id);
    let mut new = HttpResponse::build(problem.code.http_status()).json(body);
    for (name, value) in old.headers() {
        if name != CONTENT_TYPE && name != header::CONTENT_LENGTH {
            new.headers_mut().append(name.clone(), value.clone());
        }
    }
    new.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    ServiceResponse::new(request, new)
}

fn by_status(status: StatusCode) -> Code {
    match status {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => Code::RequestTimeout,
        StatusCode::PAYLOAD_TOO_LARGE => Code::PayloadTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        status if status.is_client_error() => Code::MalformedRequest,
        _ => Code::InternalError,
    }
}

/// The headers of every answer, whatever its status (OWASP REST security).
fn seal(response: &mut ServiceResponse, state: &State, id: &str) {
    let docs = response.request().path().starts_with("/docs");
    let secure = state.public_url.starts_with("https://");
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, if docs { DOCS } else { NOTHING });
    if secure {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(X_REQUEST_ID, id);
    }
}

/// One line a request. The route's pattern stands for the path, which a caller could write anything into.
fn log(response: &ServiceResponse, id: &str, took: Duration) {
    let request = response.request();
    let route = request.match_pattern().unwrap_or_else(|| "-".to_owned());
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let method = request.method().as_str();
    tracing::info!(method, route, status = response.status().as_u16(), micros, request_id = id, "request");
}
