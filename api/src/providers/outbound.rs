//! The way out: one HTTP client within bounds, on one thread of its own, away from the threads of requests.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::DateTime;
use doorstep_core::clock::Timestamp;
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::ProviderError;
use super::breaker::{LONGEST, REST};

/// How long providers are waited for, and how much they may say.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// To connect, names and TLS included.
    pub connect: Duration,
    /// For everything that one call does.
    pub whole: Duration,
    /// To renew what is still usable without.
    pub renew: Duration,
    /// Octets of one answer.
    pub body: usize,
    /// At once; beyond, callers are told at once to come again.
    pub conversations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            whole: Duration::from_secs(10),
            renew: Duration::from_secs(3),
            body: 256 * 1024,
            conversations: 64,
        }
    }
}

/// What to wait where nothing says how long.
const A_MOMENT: Duration = Duration::from_secs(1);
/// Threads that may wait for the system to resolve a name.
const RESOLVING: usize = 16;

/// The thread of all conversations with providers.
pub struct Outbound {
    handle: Handle,
    wire: Wire,
    room: Arc<Semaphore>,
    running: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbound")
    }
}

impl Outbound {
    /// Starts it. `more_roots` are believed besides the system's.
    pub fn start(limits: Limits, more_roots: Vec<Certificate>) -> Result<Self, String> {
        let wire = Wire { client: client(limits, more_roots)?, limits };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(RESOLVING)
            .build()
            .map_err(|error| format!("cannot start a runtime: {error}"))?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("providers".into())
            .spawn(move || {
                // it is over when it is told so, and when nobody is left to tell it
                drop(runtime.block_on(stopped));
                // a name that the system is still looking for keeps nobody
                runtime.shutdown_background();
            })
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        let room = Arc::new(Semaphore::new(limits.conversations));
        Ok(Self { handle, wire, room, running: Mutex::new(Some((stop, thread))) })
    }

    #[must_use]
    pub const fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Carries out a whole conversation on that thread, within one deadline. How it ended is told also where the
    /// caller has gone meanwhile.
    pub async fn converse<T: Send + 'static>(
        &self,
        conversation: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
        ended: impl FnOnce(&Result<T, ProviderError>) + Send + 'static,
    ) -> Result<T, ProviderError> {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            return Err(ProviderError::Busy { retry_after: A_MOMENT });
        };
        let whole = self.wire.limits.whole;
        let spoken = self.handle.spawn(async move {
            let result = timeout(whole, conversation).await.unwrap_or(Err(ProviderError::TimedOut));
            drop(place);
            ended(&result);
            result
        });
        spoken.await.unwrap_or_else(|_| Err(ProviderError::Failed("the conversation was cut off".to_owned())))
    }

    /// Ends the thread, and with it what is being said; does nothing the second time.
    pub fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = running {
            drop(stop);
            // the last conversation may be the last to hold it, and no thread can wait for itself
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("the thread of providers panicked");
            }
        }
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.stop();
    }
}

fn client(limits: Limits, more_roots: Vec<Certificate>) -> Result<Client, String> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        tracing::warn!("the system has no root certificates: no provider that speaks TLS will be believed");
    }
    // one that cannot be read is as if it were not there
    let system = found.certs.iter().filter_map(|der| Certificate::from_der(der).ok());
    Client::builder()
        .tls_certs_only(system.chain(more_roots))
        .http1_only()
        .no_proxy()
        .referer(false)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(limits.connect)
        .timeout(limits.whole)
        .pool_max_idle_per_host(8)
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("Doorstep/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("cannot make an HTTP client: {}", cause(error)))
}

/// The client, and what its answers may be.
#[derive(Debug, Clone)]
pub struct Wire {
    client: Client,
    limits: Limits,
}

/// An answer in bounds: a 2xx with JSON, or a 4xx.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// It may hold tokens.
    body: String,
}

impl Answer {
    /// What a 2xx says. An error repeats nothing of it.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        if !self.status.is_success() {
            return Err(failed(&format!("it answered {}", self.status.as_u16())));
        }
        self.parse()
    }

    /// What it says, whatever its status.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        serde_json::from_str(&self.body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            failed(&format!("what it answered is not what was expected (line {line}, column {column})"))
        })
    }
}

impl Wire {
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Sends a request. What the service cannot help is an error; a 4xx is an answer.
    pub async fn send(&self, request: Request, now: Timestamp) -> Result<Answer, ProviderError> {
        let mut response = self.client.execute(request).await.map_err(failure)?;
        let status = response.status();
        let wait = retry_after(response.headers(), now);
        match (status, wait) {
            (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, Some(retry_after)) => {
                return Err(ProviderError::Busy { retry_after });
            }
            (StatusCode::TOO_MANY_REQUESTS, None) => return Err(ProviderError::Busy { retry_after: REST }),
            _ if status.is_server_error() => return Err(failed(&format!("it answered {}", status.as_u16()))),
            _ if status.is_redirection() => return Err(failed("it redirects, which is not followed")),
            _ => {}
        }
        if status.is_success() && !is_json(response.headers()) {
            return Err(failed("what it answered is not JSON"));
        }
        let body = self.read(&mut response).await?;
        let body = String::from_utf8(body).map_err(|_| failed("what it answered is not UTF-8"))?;
        let headers = std::mem::take(response.headers_mut());
        Ok(Answer { status, headers, body })
    }

    async fn read(&self, response: &mut Response) -> Result<Vec<u8>, ProviderError> {
        let most = self.limits.body;
        let too_large = || failed(&format!("what it answered is larger than {most} octets"));
        let declared = response.content_length().map(usize::try_from);
        if declared.is_some_and(|length| length.is_ok_and(|length| length > most)) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failure)? {
            if chunk.len() > most.saturating_sub(body.len()) {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn failed(cause: &str) -> ProviderError {
    ProviderError::Failed(cause.to_owned())
}

/// `application/json`, or what is built on it, such as `application/jwk-set+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// Seconds or a date (RFC 9110, section 10.2.3), as far as it is heeded.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(seconds.into()),
        Err(_) => Timestamp::from_micros(DateTime::parse_from_rfc2822(text).ok()?.timestamp_micros()).since(now),
    };
    Some(wait.clamp(A_MOMENT, LONGEST))
}

fn failure(error: reqwest::Error) -> ProviderError {
    if error.is_timeout() {
        return ProviderError::TimedOut;
    }
    ProviderError::Failed(cause(error))
}

/// What is wrong, without the address: its query may hold secrets.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        cause = format!("{cause}: {inner}");
        source = inner.source();
    }
    cause
}

/// One conversation's part of the wire, given to the OAuth client.
pub struct Carrier(pub super::line::Talk);

impl<'c> AsyncHttpClient<'c> for Carrier {
    type Error = ProviderError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, ProviderError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let request = Request::try_from(request).map_err(|error| ProviderError::Failed(cause(error)))?;
            let answer = self.0.send(request).await?;
            // what stands before an endpoint may refuse a code that somebody made up, and says so in HTML
            if answer.status.is_client_error() && !is_json(&answer.headers) {
                return Err(ProviderError::Refused(format!("the token endpoint says no ({})", answer.status.as_u16())));
            }
            let mut response = HttpResponse::new(answer.body.into_bytes());
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            Ok(response)
        })
    }
}
