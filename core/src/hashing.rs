//! Argon2id on threads of its own, behind a short bounded queue.
//!
//! What this buys: in a storm of sign-ins everybody else is served as if there were none. As many threads as
//! cores, below the priority of the request threads, each keeping its memory block once it was used.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use argon2::password_hash::phc::{Output, PasswordHash as Phc, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::chance::Chance;
use crate::error::{Error, Result};
use crate::keyring::same;
use crate::password::{Password, PasswordFault, PasswordPolicy};

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl Default for HashCost {
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2, lanes: 1 }
    }
}

/// No stored hash may ask for more than this; a foreign one is bounded before it is computed.
const MOST: HashCost = HashCost { memory_kib: 262_144, passes: 10, lanes: 8 };

/// A password's hash as a PHC string: what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    #[must_use]
    pub fn stored(phc: String) -> Self {
        Self(phc)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What became of a comparison.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Wrong,
    /// Right; with a new hash where the stored one was made at another cost.
    Right {
        rehashed: Option<PasswordHash>,
    },
}

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// Hashes passwords. Cheap to clone.
#[derive(Clone)]
pub struct Hasher {
    jobs: Sender<Job>,
    taken: Arc<AtomicUsize>,
    places: usize,
    spent: Arc<AtomicU64>,
}

/// Passwords that wait or are being hashed, for each thread; at 15 ms a hash the last one waits half a second.
const PLACES_PER_THREAD: usize = 32;
/// How far below the request threads (`nice`).
const NICENESS: i32 = 10;

/// A place in the queue: whoever has one will be served. Taken before anything else is done for a password, so
/// that who is sent away has cost nothing and lost nothing.
pub struct Place {
    jobs: Sender<Job>,
    taken: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Hasher {
    /// Starts the threads.
    pub fn start(threads: usize, cost: HashCost, chance: &Chance) -> Result<Self> {
        let threads = threads.max(1);
        let places = threads * PLACES_PER_THREAD;
        let (jobs, waiting) = bounded::<Job>(places);
        let spent = Arc::new(AtomicU64::new(0));
        for number in 0..threads {
            let worker = Worker { cost, chance: chance.clone(), blocks: Vec::new(), spent: Arc::clone(&spent) };
            let waiting = waiting.clone();
            std::thread::Builder::new()
                .name(format!("hasher-{number}"))
                .spawn(move || work(worker, &waiting))
                .map_err(|error| Error::Unavailable(format!("cannot start a thread: {error}")))?;
        }
        Ok(Self { jobs, taken: Arc::new(AtomicUsize::new(0)), places, spent })
    }

    /// What all hashes so far have cost: KiB, each times its passes. An absent account is to cost what a real one does.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::Acquire)
    }

    /// Takes a place, or says at once that there is none.
    pub fn take_place(&self) -> Result<Place> {
        let place = Place { jobs: self.jobs.clone(), taken: Arc::clone(&self.taken) };
        if self.taken.fetch_add(1, Ordering::AcqRel) < self.places {
            return Ok(place);
        }
        drop(place);
        Err(Error::Busy { what: "password hashing", retry_after: Duration::from_secs(1) })
    }
}

impl Place {
    /// Hashes a new password; `done` is called on a hash thread.
    pub fn hash(self, password: Password, done: impl FnOnce(Result<PasswordHash>) + Send + 'static) {
        self.submit(done, move |worker| worker.hash(&password));
    }

    /// Compares a password with a stored hash. Without one it takes as long, and is wrong.
    pub fn verify(
        self,
        password: Password,
        stored: Option<PasswordHash>,
        done: impl FnOnce(Result<Verdict>) + Send + 'static,
    ) {
        self.submit(done, move |worker| match stored {
            Some(stored) => worker.verify(&password, &stored),
            None => worker.hash(&password).map(|_| Verdict::Wrong),
        });
    }

    /// Says what speaks against a new password: next to hashing the dearest thing a stranger can ask for, so it is
    /// done in the same bounded place.
    pub fn judge(
        self,
        password: Password,
        policy: PasswordPolicy,
        done: impl FnOnce(Result<Vec<PasswordFault>>) + Send + 'static,
    ) {
        self.submit(done, move |_| Ok(policy.faults(&password)));
    }

    fn submit<T: 'static>(
        self,
        done: impl FnOnce(Result<T>) + Send + 'static,
        run: impl FnOnce(&mut Worker) -> Result<T> + Send + 'static,
    ) {
        let jobs = self.jobs.clone();
        let job: Job = Box::new(move |worker| {
            let result = catch_unwind(AssertUnwindSafe(|| run(worker)))
                .unwrap_or_else(|_| Err(Error::Broken("hashing panicked".into())));
            drop(self);
            done(result);
        });
        // there is room for every place, so this never waits
        if jobs.send(job).is_err() {
            tracing::error!("the hash threads are gone");
        }
    }
}

fn work(mut worker: Worker, waiting: &Receiver<Job>) {
    // on Linux a thread has a priority of its own; elsewhere it stays as it is, and only fairness is lost
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS) {
        tracing::warn!(%error, "the hash threads run at normal priority");
    }
    while let Ok(job) = waiting.recv() {
        job(&mut worker);
    }
}

struct Worker {
    cost: HashCost,
    chance: Chance,
    blocks: Vec<Block>,
    spent: Arc<AtomicU64>,
}

impl Worker {
    fn hash(&mut self, password: &Password) -> Result<PasswordHash> {
        let salt = self.chance.bytes::<16>();
        let params = params(self.cost)?;
        let mut out = [0; 32];
        self.argon2id(&params, password, &salt, &mut out)?;
        let phc = Phc {
            algorithm: argon2::ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: (&params).try_into().map_err(broken)?,
            salt: Some(Salt::new(&salt).map_err(broken)?),
            hash: Some(Output::new(&out).map_err(broken)?),
        };
        Ok(PasswordHash(phc.to_string()))
    }

    fn verify(&mut self, password: &Password, stored: &PasswordHash) -> Result<Verdict> {
        let phc = Phc::new(&stored.0).map_err(broken)?;
        let (Some(salt), Some(hash)) = (phc.salt, phc.hash) else {
            return Err(Error::Broken("a stored password hash has no salt or no hash".into()));
        };
        if phc.algorithm != argon2::ARGON2ID_IDENT || phc.version != Some(Version::V0x13.into()) {
            return Err(Error::Broken("a stored password hash is not argon2id".into()));
        }
        let params = Params::try_from(&phc).map_err(broken)?;
        let cost = HashCost { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() };
        if cost.memory_kib > MOST.memory_kib || cost.passes > MOST.passes || cost.lanes > MOST.lanes || hash.len() != 32
        {
            return Err(Error::Broken("a stored password hash asks for too much".into()));
        }
        let mut out = [0; 32];
        self.argon2id(&params, password, &salt, &mut out)?;
        if !same(&out, hash.as_bytes()) {
            return Ok(Verdict::Wrong);
        }
        let rehashed = if cost == self.cost { None } else { Some(self.hash(password)?) };
        Ok(Verdict::Right { rehashed })
    }

    fn argon2id(&mut self, params: &Params, password: &Password, salt: &[u8], out: &mut [u8]) -> Result<()> {
        let cost = u64::from(params.m_cost()) * u64::from(params.t_cost());
        self.spent.fetch_add(cost, Ordering::AcqRel);
        let needed = params.block_count();
        if self.blocks.len() < needed {
            self.blocks = memory(needed);
        }
        let blocks = self.blocks.get_mut(..needed).ok_or_else(|| Error::Broken("no memory for argon2".into()))?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
            .hash_password_into_with_memory(password.as_bytes(), salt, out, blocks)
            .map_err(broken)
    }
}

/// Memory on huge pages, where the system gives them to those who ask: argon2 jumps about in it, and a twentieth of
/// its time would go into page tables.
fn memory(blocks: usize) -> Vec<Block> {
    const PAGE: usize = 4096;
    let mut memory = Vec::with_capacity(blocks);
    let room = memory.spare_capacity_mut();
    let (size, start) = (size_of_val(room), room.as_mut_ptr().cast::<u8>());
    let to_page = start.align_offset(PAGE);
    if let Some(whole) = size.checked_sub(to_page).map(|size| size - size % PAGE) {
        let start = start.wrapping_add(to_page).cast();
        #[expect(unsafe_code, reason = "one system call, on memory of ours that nobody else has; it changes no byte")]
        // SAFETY: the range lies within `room`, and the advice does not touch what is in it
        let advised = unsafe { rustix::mm::madvise(start, whole, rustix::mm::Advice::LinuxHugepage) };
        if let Err(error) = advised {
            tracing::debug!(%error, "the hash threads get no huge pages");
        }
    }
    memory.resize(blocks, Block::default());
    memory
}

fn params(cost: HashCost) -> Result<Params> {
    Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(broken)
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::Broken(format!("argon2: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: HashCost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };

    fn wait<T: Send + 'static>(ask: impl FnOnce(Box<dyn FnOnce(Result<T>) + Send>)) -> Result<T> {
        let (send, receive) = bounded(1);
        ask(Box::new(move |result| drop(send.send(result))));
        receive.recv().unwrap()
    }

    fn password(text: &str) -> Password {
        Password::parse(text).unwrap()
    }

    fn hasher(cost: HashCost) -> Hasher {
        Hasher::start(1, cost, &Chance::System).unwrap()
    }

    #[test]
    fn knows_its_own_hashes_and_renews_old_ones() {
        let cheap = hasher(CHEAP);
        let hash = wait(|done| cheap.take_place().unwrap().hash(password("right"), done)).unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=64,t=1,p=1$"));
        let verify = |text: &str, stored: Option<PasswordHash>| {
            wait(|done| cheap.take_place().unwrap().verify(password(text), stored, done)).unwrap()
        };
        assert_eq!(verify("right", Some(hash.clone())), Verdict::Right { rehashed: None });
        assert_eq!(verify("wrong", Some(hash.clone())), Verdict::Wrong);
        assert_eq!(verify("right", None), Verdict::Wrong);

        let dearer = hasher(HashCost { memory_kib: 128, ..CHEAP });
        let renewed = wait(|done| dearer.take_place().unwrap().verify(password("right"), Some(hash), done)).unwrap();
        assert!(matches!(renewed, Verdict::Right { rehashed: Some(new) } if new.as_str().contains("m=128")));
    }

    #[test]
    fn a_stored_hash_cannot_ask_for_gigabytes() {
        let greedy =
            "$argon2id$v=19$m=4194304,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let stored = Some(PasswordHash::stored(greedy.into()));
        let place = hasher(CHEAP).take_place().unwrap();
        let result = wait(|done| place.verify(password("x"), stored, done));
        assert!(matches!(result, Err(Error::Broken(why)) if why.contains("too much")));
    }

    #[test]
    fn rl_13_beyond_the_last_place_the_answer_is_no_at_once() {
        let hasher = hasher(CHEAP);
        let mut places: Vec<Place> = (0..PLACES_PER_THREAD).map(|_| hasher.take_place().unwrap()).collect();
        assert!(matches!(hasher.take_place(), Err(Error::Busy { .. })));
        assert!(matches!(hasher.take_place(), Err(Error::Busy { .. })));
        let place = places.pop().unwrap();
        assert!(wait(|done| place.hash(password("next"), done)).is_ok());
        assert!(hasher.take_place().is_ok(), "who was served leaves a place");
    }
}
