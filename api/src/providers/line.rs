//! The line to one provider: what is said on it, how it has behaved of late, and what of that goes into the log.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use doorstep_core::clock::{Clock, Timestamp};
use doorstep_core::provider::ProviderName;
use oauth2::url::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};

use super::ProviderError;
use super::breaker::Breaker;
use super::outbound::{Answer, Limits, Outbound};

pub struct Line {
    name: ProviderName,
    clock: Clock,
    outbound: Arc<Outbound>,
    breaker: Mutex<Breaker>,
}

impl Line {
    pub fn new(name: ProviderName, clock: Clock, outbound: Arc<Outbound>) -> Self {
        Self { name, clock, outbound, breaker: Mutex::default() }
    }

    /// Carries out a conversation, remembers how it ended, and logs what went wrong.
    pub async fn converse<T, F>(self: &Arc<Self>, conversation: impl FnOnce(Talk) -> F) -> Result<T, ProviderError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ProviderError>> + Send + 'static,
    {
        let talk = Talk { line: Arc::clone(self), spoke: Arc::default(), one_person: Arc::default() };
        let ended = talk.clone();
        self.outbound.converse(conversation(talk), move |result| ended.remember(result.as_ref().err())).await
    }

    fn with_breaker<T>(&self, change: impl FnOnce(&mut Breaker, Timestamp) -> T) -> T {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut breaker, self.clock.now())
    }
}

/// One conversation with a provider.
#[derive(Clone)]
pub struct Talk {
    line: Arc<Line>,
    spoke: Arc<AtomicBool>,
    /// It was one person who asked too often, not we.
    one_person: Arc<AtomicBool>,
}

impl Talk {
    pub fn now(&self) -> Timestamp {
        self.line.clock.now()
    }

    pub fn limits(&self) -> Limits {
        self.line.outbound.wire().limits()
    }

    /// Asks for a document, as ourselves or with a person's token.
    pub async fn get(&self, url: Url, bearer: Option<&str>) -> Result<Answer, ProviderError> {
        let mut request = reqwest::Request::new(reqwest::Method::GET, url);
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(token) = bearer {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| ProviderError::Failed("its access token is not text".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if bearer.is_some() { self.send_for_one(request).await } else { self.send(request).await }
    }

    /// Sends a request with one person's token: what that person has used up is nobody else's affair.
    pub async fn send_for_one(&self, request: reqwest::Request) -> Result<Answer, ProviderError> {
        let answer = self.send(request).await;
        if matches!(answer, Err(ProviderError::Busy { .. })) {
            self.one_person.store(true, Ordering::Relaxed);
        }
        answer
    }

    /// Sends a request, unless the provider is left alone; whoever has begun to speak may finish.
    pub async fn send(&self, request: reqwest::Request) -> Result<Answer, ProviderError> {
        if !self.spoke.load(Ordering::Relaxed) {
            let asked = self.line.with_breaker(Breaker::ask);
            asked.map_err(|retry_after| ProviderError::Busy { retry_after })?;
            self.spoke.store(true, Ordering::Relaxed);
        }
        self.line.outbound.wire().send(request, self.now()).await
    }

    fn remember(&self, error: Option<&ProviderError>) {
        let (line, provider) = (&self.line, self.line.name.as_str());
        match error {
            Some(error @ (ProviderError::TimedOut | ProviderError::Failed(_))) => {
                tracing::warn!(provider, %error, "a provider failed");
            }
            Some(ProviderError::Refused(why)) => tracing::info!(provider, why, "a provider's answer is refused"),
            _ => {}
        }
        // what was answered out of what is kept says nothing about the provider
        if !self.spoke.load(Ordering::Relaxed) {
            return;
        }
        line.with_breaker(|breaker, now| match error {
            Some(ProviderError::TimedOut | ProviderError::Failed(_)) => {
                if breaker.failed(now) {
                    tracing::warn!(provider, "it failed again and again, and is left alone for a while");
                }
            }
            // whoever has worn out their own token keeps nobody else away
            Some(ProviderError::Busy { .. }) if self.one_person.load(Ordering::Relaxed) => {}
            Some(ProviderError::Busy { retry_after }) => {
                tracing::warn!(provider, seconds = retry_after.as_secs(), "it wants to be left alone");
                breaker.told_to_wait(now, *retry_after);
            }
            _ => breaker.succeeded(),
        });
    }
}
