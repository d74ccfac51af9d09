//! What surrounds every request: its id and origin, one log line, the security headers, problems put into words,
//! and a panic turned into one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    self, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, USER_AGENT, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError, web};
use doorstep_core::chance::Chance;
use doorstep_core::clock::Timestamp;
use doorstep_core::db::Origin;
use futures_util::FutureExt;
use ipnet::IpNet;

use crate::connections::Turn;
use crate::problem::Problem;
use crate::problem_code::Code;
use crate::state::State;

/// Marks a request that was a HEAD before it was made a GET: one that must change nothing.
#[derive(Debug, Clone, Copy)]
pub struct AskedByHead;

/// Octets of a request's target: as many as any server should take (RFC 9110, section 4.1), and no more.
const LONGEST_TARGET: usize = 8000;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// The documentation page brings its own scripts and styles, and nothing from elsewhere.
const DOCS: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; frame-ancestors 'none'",
);

/// Wraps one request.
pub async fn envelope(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(state) = request.app_data::<web::Data<State>>().cloned() else {
        return Ok(request.into_response(Problem::new(Code::InternalError).error_response()));
    };
    let turn = Turn::begin(&request);
    let started = state.now();
    let id = new_request_id(started);
    let origin = Origin {
        request_id: Some(Arc::clone(&id)),
        address: caller_address(&request, &state.trusted_proxies),
        user_agent: user_agent(request.headers()),
    };
    request.extensions_mut().insert(origin);
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() == Method::HEAD {
        // answered as GET; the connection knows what was asked, and sends no body (RFC 9110, section 9.3.2)
        request.head_mut().method = Method::GET;
        request.extensions_mut().insert(AskedByHead);
    }
    let lost = |problem: Problem| -> Error { Lost { problem, state: state.clone(), id: Arc::clone(&id) }.into() };
    let answered = async {
        if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > LONGEST_TARGET) {
            return Ok(request.into_response(Problem::new(Code::MalformedRequest).error_response()));
        }
        next.call(request).await.map(ServiceResponse::map_into_boxed_body)
    };
    let mut response = match AssertUnwindSafe(answered).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(lost(named_by(&error.error_response()))),
        Err(_) => {
            tracing::error!(request_id = %id, "a handler panicked");
            return Err(lost(Problem::new(Code::InternalError)));
        }
    };
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let (request, old) = response.into_parts();
        let named = if preflight { Problem::new(Code::OriginNotAllowed) } else { named_by(&old) };
        let new = in_words(&named, &state, &id, old.headers());
        response = ServiceResponse::new(request, new);
    }
    let docs = response.request().path().starts_with("/docs");
    seal(response.headers_mut(), docs, &state, &id);
    log(&response, &id, state.now().since(started));
    if let BodySize::Sized(octets) = response.response().body().size() {
        turn.end(octets);
    }
    Ok(response)
}

/// A problem whose request is gone, with a panicking handler for one: it answers for itself.
#[derive(Debug)]
struct Lost {
    problem: Problem,
    state: web::Data<State>,
    id: Arc<str>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl ResponseError for Lost {
    fn status_code(&self) -> StatusCode {
        self.problem.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let bare = self.problem.error_response();
        let mut response = in_words(&self.problem, &self.state, &self.id, bare.headers());
        seal(response.headers_mut(), false, &self.state, &self.id);
        response
    }
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
        // as bytes: what a caller wrote further left must not spoil what the proxy added
        let lines = request.headers().get_all("x-forwarded-for");
        let hops: Vec<&[u8]> = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).collect();
        for hop in hops.into_iter().rev() {
            let Some(ip) = hop_address(hop) else { break };
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

/// An address, as some proxies write it with a port.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    text.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip())).ok()
}

fn user_agent(headers: &HeaderMap) -> Option<Arc<str>> {
    let value = headers.get(USER_AGENT)?.to_str().ok()?;
    Some(value.chars().filter(|c| !c.is_control()).take(200).collect::<String>().into())
}

/// The problem that a response carries, or one by its status where it names none.
fn named_by<B>(response: &HttpResponse<B>) -> Problem {
    let named = response.extensions().get::<Problem>().cloned();
    named.unwrap_or_else(|| Problem::new(by_status(response.status())))
}

/// Gives a problem its body, and keeps the headers it came with.
fn in_words(problem: &Problem, state: &State, id: &str, headers: &HeaderMap) -> HttpResponse {
    let body = problem.body(&state.public_url, id);
    let mut new = HttpResponse::build(problem.code.http_status()).json(body);
    for (name, value) in headers {
        if name != CONTENT_TYPE && name != header::CONTENT_LENGTH {
            new.headers_mut().append(name.clone(), value.clone());
        }
    }
    new.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    new
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
fn seal(headers: &mut HeaderMap, docs: bool, state: &State, id: &str) {
    // only the documentation's files say themselves how long they are good
    if !docs || !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, if docs { DOCS } else { NOTHING });
    if state.public_url.starts_with("https://") {
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

#[cfg(test)]
mod tests {
    use actix_web::test::{TestRequest, init_service, try_call_service};
    use actix_web::{App, middleware};
    use doorstep_core::clock::Clock;
    use doorstep_core::hashing::{HashCost, Hasher};
    use serde_json::Value;

    use super::*;
    use crate::config::Config;
    use crate::connections::Patience;
    use crate::providers::Registry;
    use crate::server::open_store;

    fn state(dir: &std::path::Path) -> web::Data<State> {
        let mut config = Config::default();
        config.data.dir = dir.to_owned();
        config.server.public_url = Some("https://auth.shop.example".to_owned());
        let (store, tokens) = open_store(&config, Clock::default()).unwrap();
        let cost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };
        web::Data::new(State {
            store,
            hasher: Hasher::start(1, cost, &Chance::System).unwrap(),
            tokens: Arc::new(tokens),
            public_url: config.public_url(),
            site_name: String::new(),
            trusted_proxies: Vec::new(),
            providers: Registry::default(),
            redirect_uris: crate::redirect_uris::RedirectUris::default(),
            messenger: Arc::new(doorstep_core::messenger::Secrets::new([])),
            patience: Patience::default(),
        })
    }

    #[actix_web::test]
    async fn ft_25_a_panicking_handler_answers_with_a_problem_and_the_next_one_works() {
        async fn breaks() -> HttpResponse {
            panic!("a secret of the inside")
        }
        let dir = tempfile::tempdir().unwrap();
        let app = App::new()
            .app_data(state(dir.path()))
            .route("/breaks", web::get().to(breaks))
            .route("/works", web::get().to(HttpResponse::Ok))
            .wrap(middleware::from_fn(envelope));
        let app = init_service(app).await;
        let error = try_call_service(&app, TestRequest::get().uri("/breaks").to_request()).await.unwrap_err();
        let response = error.error_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let sealed = |response: &HeaderMap| {
            let names = [CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS, REFERRER_POLICY, CONTENT_SECURITY_POLICY, X_REQUEST_ID];
            names.iter().all(|name| response.contains_key(name)) && response.contains_key(STRICT_TRANSPORT_SECURITY)
        };
        assert!(sealed(response.headers()));
        assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), "application/problem+json");
        let id = response.headers().get(X_REQUEST_ID).unwrap().to_str().unwrap().to_owned();
        let body = response.into_body().try_into_bytes().unwrap();
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&problem["code"], &problem["request_id"]), (&"internal_error".into(), &id.into()));
        assert!(!problem.to_string().contains("secret"));
        let works = try_call_service(&app, TestRequest::get().uri("/works").to_request()).await.unwrap();
        assert!(works.status().is_success() && sealed(works.headers()));
    }
}
