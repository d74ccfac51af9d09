//! The rows of Doorstep in memory: what [`super::model::World`] is made of.

use std::time::Duration;

use super::super::{Answer, Arriving, Linking, Outcome};
use super::people::{Key, Person};
use crate::account::AccountState;
use crate::challenge::{ChallengePurpose, ChallengeState};
use crate::session::Turn;
use crate::settings::Method;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    pub state: AccountState,
    /// What it was when it was disabled.
    pub enabled_as: AccountState,
    pub epoch: i64,
    /// Who chose the password.
    pub password: Option<Person>,
    pub proven: Vec<Key>,
    /// What was proven at any time: what it opened stays open.
    pub ever: Vec<Key>,
    /// In which order what is proven has become the account's.
    pub since: Vec<(Key, u32)>,
}

impl Account {
    /// Unclaimed or claimed, whether or not it is disabled.
    pub fn beneath(&self) -> AccountState {
        if self.state == AccountState::Disabled { self.enabled_as } else { self.state }
    }

    /// A key is proven: `db::proofs::insert`.
    pub fn gains(&mut self, key: Key, since: u32) {
        for keys in [&mut self.proven, &mut self.ever] {
            keys.push(key);
            keys.sort_unstable();
            keys.dedup();
        }
        if !self.since.iter().any(|(known, _)| *known == key) {
            self.since.push((key, since));
            self.since.sort_unstable();
        }
    }

    pub fn loses(&mut self, key: Key) {
        self.proven.retain(|proven| *proven != key);
        self.since.retain(|(proven, _)| *proven != key);
    }
}

/// A conversation; there is one for each who began one, and the desk knows it by them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Case {
    pub thread: Key,
    /// Nobody once their identity was unlinked: it may be another's then.
    pub requester: Option<Key>,
    pub account: usize,
    /// Whose messages the requester may see.
    pub shown: Vec<Key>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Secret {
    pub address: Key,
    pub purpose: ChallengePurpose,
    pub bound: Option<(usize, i64)>,
    pub state: ChallengeState,
    pub age: Duration,
    /// Its mail was delivered: nobody knows it otherwise.
    pub arrived: bool,
    pub times_spent: u32,
}

impl Secret {
    pub fn void(&mut self) {
        if self.state == ChallengeState::Live {
            self.state = ChallengeState::Void;
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Login {
    pub by: Person,
    pub account: usize,
    pub epoch: i64,
    pub method: Method,
    /// The identity it was opened with.
    pub with: Option<Key>,
    pub counter: i64,
    pub age: Duration,
    pub unrotated: Duration,
    pub ended: bool,
    /// What was mailed to addresses that it adds.
    pub adding: Vec<Secret>,
}

/// A flow that waits for an address; whoever has the subject has its continuation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Waiting {
    pub subject: Key,
    pub age: Duration,
    pub asked: Vec<Secret>,
}

/// The undo of rule 13, as it was mailed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Undo {
    pub address: Key,
    pub account: usize,
    /// What was proven right before the change, and since when.
    pub before: Vec<(Key, u32)>,
    /// Which change that was.
    pub at: u32,
    pub age: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    Nothing,
    Pushed,
    Answered(Answer),
    /// Which secret, what it did, and to which account.
    Spent(usize, Outcome, usize),
    SignedIn,
    Turned(usize, Turn),
    /// Somebody arrived with a subject, and to which account that led.
    Arrived(Arriving, Option<usize>),
    /// The address of a flow was proven, and the account that both are now.
    Proved(Outcome, usize),
    Linked(Linking, usize),
    Unlinked(usize),
    /// The survivor and the source.
    Merged(usize, usize),
    Removed(usize),
    Undone(usize),
}
