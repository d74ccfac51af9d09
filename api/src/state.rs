//! What every request has at hand, and the way from async handlers to the synchronous core.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use doorstep_core::access_token::AccessTokens;
use doorstep_core::clock::Timestamp;
use doorstep_core::db::{Origin, Promise, Store, Work};
use doorstep_core::hashing::{Hasher, PasswordHash, Place, Verdict};
use doorstep_core::password::{Password, PasswordFault, PasswordPolicy};
use doorstep_core::{Error, Result, messenger};
use ipnet::IpNet;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::connections::Patience;
use crate::providers::Registry;
use crate::redirect_uris::RedirectUris;

/// How long a caller who has a place among those who wait for a hash waits.
const HASHING: Duration = Duration::from_secs(12);

pub struct State {
    pub store: Store,
    pub hasher: Hasher,
    pub tokens: Arc<AccessTokens>,
    pub public_url: String,
    pub site_name: String,
    pub trusted_proxies: Vec<IpNet>,
    pub providers: Registry,
    pub redirect_uris: RedirectUris,
    pub messenger: Arc<messenger::Secrets>,
    pub patience: Patience,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

impl State {
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.store.clock().now()
    }

    /// Reads in a unit of work.
    pub async fn read<T: Send + 'static>(
        &self,
        origin: &Origin,
        reads: impl FnMut(&mut Work<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (send, answer) = oneshot::channel();
        self.store.submit_read(origin.clone(), reads, move |result| drop(send.send(result)));
        wait(answer, self.patience.database).await
    }

    /// Reads what may take long, away from everything else.
    pub async fn search<T: Send + 'static>(
        &self,
        origin: &Origin,
        reads: impl FnMut(&mut Work<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (send, answer) = oneshot::channel();
        self.store.submit_search(origin.clone(), reads, move |result| drop(send.send(result)));
        wait(answer, self.patience.database).await
    }

    /// Writes in a unit of work: one durable transaction.
    pub async fn write<T: Send + 'static>(
        &self,
        origin: &Origin,
        writes: impl FnMut(&mut Work<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (send, answer) = oneshot::channel();
        self.store.submit_write(origin.clone(), Promise::Lasting, writes, move |result| drop(send.send(result)));
        wait(answer, self.patience.database).await
    }

    /// Writes what may be forgotten if the machine loses its power.
    pub async fn write_forgettably<T: Send + 'static>(
        &self,
        origin: &Origin,
        writes: impl FnMut(&mut Work<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (send, answer) = oneshot::channel();
        self.store.submit_write(origin.clone(), Promise::Forgettable, writes, move |result| drop(send.send(result)));
        wait(answer, self.patience.database).await
    }

    /// Runs one writing statement that needs no transaction around it.
    pub async fn write_at_once<T: Send + 'static>(
        &self,
        origin: &Origin,
        writes: impl FnMut(&mut Work<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (send, answer) = oneshot::channel();
        self.store.submit_statement(origin.clone(), writes, move |result| drop(send.send(result)));
        wait(answer, self.patience.database).await
    }
}

/// Compares a password on the hash threads.
pub async fn verify(place: Place, password: Password, stored: Option<PasswordHash>) -> Result<Verdict> {
    let (send, answer) = oneshot::channel();
    place.verify(password, stored, move |result| drop(send.send(result)));
    wait(answer, HASHING).await
}

/// Says what speaks against a new password.
pub async fn judge(place: Place, password: Password, policy: PasswordPolicy) -> Result<Vec<PasswordFault>> {
    let (send, answer) = oneshot::channel();
    place.judge(password, policy, move |result| drop(send.send(result)));
    wait(answer, HASHING).await
}

/// Hashes a password on the hash threads.
pub async fn hash(place: Place, password: Password) -> Result<PasswordHash> {
    let (send, answer) = oneshot::channel();
    place.hash(password, move |result| drop(send.send(result)));
    wait(answer, HASHING).await
}

async fn wait<T>(answer: oneshot::Receiver<Result<T>>, patience: Duration) -> Result<T> {
    match timeout(patience, answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::Broken("a unit of work was dropped".into())),
        Err(_) => Err(Error::Unavailable("a unit of work took too long".into())),
    }
}
