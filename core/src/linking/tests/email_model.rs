//! What `own_emails` and `undo` do around the product's own decisions.

use std::time::Duration;

use super::super::{self as linking, Answer, Ask, House, Linking, Removal};
use super::model::{Happened, Secret, Undo, World};
use super::people::Key;
use crate::account::AccountState;
use crate::challenge::{ChallengePurpose, ChallengeState};
use crate::limits;
use crate::settings::SignUpPolicy;

/// What was proven, and since when.
type Before = Vec<(Key, u32)>;

impl World {
    /// `own_emails::ask`, and the mail's delivery.
    pub fn ask_to_add(&mut self, session: usize, address: Key, arrived: bool) -> Happened {
        let account = self.sessions[session].account;
        let allowed = self.is_live(session) && self.is_fresh(session) && self.settings().admits(address.address());
        if !allowed || self.account_of(address) == Some(account) {
            return Happened::Nothing;
        }
        let house = House { road_on: true, sign_up: SignUpPolicy::Open, admits: true };
        let answer = linking::answer_to(Ask::AddEmail, self.holder(address), house);
        if answer == Answer::AddEmail {
            let bound = Some((account, self.accounts[account].epoch));
            let adding = &mut self.sessions[session].adding;
            adding.retain(|older| older.address != address || !arrived);
            let (purpose, state, age) = (ChallengePurpose::AddEmail, ChallengeState::Live, Duration::ZERO);
            adding.push(Secret { address, purpose, bound, state, age, arrived, times_spent: 0 });
        }
        Happened::Answered(answer)
    }

    /// `own_emails::prove`, by the session's holder, who reads the mail.
    pub fn prove_added(&mut self, session: usize, address: Key) -> Happened {
        let (account, by) = (self.sessions[session].account, self.sessions[session].by);
        let epoch = self.accounts[account].epoch;
        let good = |secret: &Secret| {
            secret.address == address
                && secret.arrived
                && secret.state == ChallengeState::Live
                && secret.age < limits::LINK_LIFE
                && secret.bound == Some((account, epoch))
        };
        let shown = address.reader() == Some(by) && self.sessions[session].adding.iter().any(good);
        let allowed = self.is_live(session) && self.is_fresh(session) && self.settings().admits(address.address());
        if !shown || !allowed {
            return Happened::Nothing;
        }
        self.sessions[session].adding.retain(|secret| secret.address != address);
        let linking = linking::link(self.holder(address), self.account_of(address) == Some(account));
        if linking == Linking::Attach {
            let (before, told) = (self.remember(account), self.addresses_of(account));
            self.take(&[address], Some(account));
            self.void(|secret| secret.address == address);
            self.offer(account, &before, &told);
        }
        Happened::Linked(linking, account)
    }

    /// `own_emails::remove`. Which address is primary does not matter here: another can be made so before.
    pub fn remove_email(&mut self, session: usize, key: Key) -> Happened {
        let account = self.sessions[session].account;
        let theirs = self.account_of(key) == Some(account) && key.provider().is_none();
        let left = self.usable(account).iter().filter(|other| **other != key).count();
        let allowed = self.is_live(session) && self.is_fresh(session) && theirs;
        if !allowed || linking::unlink(left) == Removal::LastWayIn {
            return Happened::Nothing;
        }
        let before = self.remember(account);
        self.free(key);
        if self.addresses_of(account).is_empty() {
            self.accounts[account].password = None;
        }
        self.tick += 1;
        self.offer(account, &before, &[key]);
        Happened::Removed(account)
    }

    /// `undo::undo`, by who reads the mail, with a new password.
    pub fn undo(&mut self, n: usize, unlink_others: bool) -> Happened {
        let Undo { address, account, .. } = self.undos[n];
        let mine = self.undos.iter().filter(|undo| (undo.address, undo.account) == (address, account));
        let Undo { before, at, .. } = mine.min_by_key(|undo| undo.at).unwrap().clone();
        if self.accounts[account].state != AccountState::Claimed || !self.comes_back(account, address) {
            return Happened::Nothing;
        }
        let (now, was_there) = (self.remember(account), |key| before.iter().any(|(known, _)| *known == key));
        for (key, since) in &before {
            if self.account_of(*key) != Some(account) && self.comes_back(account, *key) {
                self.take(&[*key], Some(account));
                self.void(|secret| secret.address == *key);
                self.accounts[account].since.retain(|(known, _)| known != key);
                self.accounts[account].gains(*key, *since);
            }
        }
        let stays = |key: Key| linking::stays(key == address, was_there(key), unlink_others);
        let dropped = self.drop_all_but(account, stays);
        self.accounts[account].password = address.reader();
        self.purge(account, Some(address));
        self.undos.retain(|undo| undo.account != account || undo.at < at);
        let kept_since = since(&now, address).or_else(|| since(&before, address)).unwrap();
        if unlink_others {
            self.end_of_younger(account, kept_since);
        }
        self.tell_dropped(account, &now, kept_since, &dropped);
        Happened::Undone(account)
    }

    fn comes_back(&self, account: usize, key: Key) -> bool {
        linking::comes_back(self.holder(key), self.account_of(key) == Some(account))
    }

    /// `mailed_secret::drop_others`.
    pub fn drop_others(&mut self, account: usize, keeper: Key) {
        let before = self.remember(account);
        let dropped = self.drop_all_but(account, |key| key == keeper);
        let kept_since = since(&self.accounts[account].since, keeper).unwrap();
        self.end_of_younger(account, kept_since);
        self.tell_dropped(account, &before, kept_since, &dropped);
    }

    fn drop_all_but(&mut self, account: usize, stays: impl Fn(Key) -> bool) -> Vec<Key> {
        let dropped: Vec<Key> = self.identities_of(account).into_iter().filter(|key| !stays(*key)).collect();
        for key in &dropped {
            self.free(*key);
        }
        dropped
    }

    /// `db::identities::delete`, and the end of the sessions it opened.
    pub fn free(&mut self, key: Key) {
        let account = self.account_of(key).unwrap();
        self.identities.retain(|(held, _)| *held != key);
        self.accounts[account].loses(key);
        let opened = self.sessions.iter_mut().filter(|login| login.account == account && login.with == Some(key));
        opened.for_each(|login| login.ended = true);
        self.cases.iter_mut().filter(|case| case.requester == Some(key)).for_each(|case| case.requester = None);
    }

    /// `undo_offers::remember`.
    pub fn remember(&self, account: usize) -> Before {
        self.accounts[account].since.clone()
    }

    /// `ways_in::proven_addresses`.
    pub fn addresses_of(&self, account: usize) -> Vec<Key> {
        self.accounts[account].proven.iter().copied().filter(|key| key.provider().is_none()).collect()
    }

    /// `undo_offers::tell`.
    pub fn offer(&mut self, account: usize, before: &Before, told: &[Key]) {
        self.tick += 1;
        let (at, age) = (self.tick, Duration::ZERO);
        let undo = |address: &Key| Undo { address: *address, account, before: before.clone(), at, age };
        self.undos.extend(told.iter().map(undo));
    }

    fn tell_dropped(&mut self, account: usize, before: &Before, kept_since: u32, dropped: &[Key]) {
        let may = |key: &&Key| since(before, **key).is_some_and(|since| linking::may_undo(&since, &kept_since));
        let addresses = dropped.iter().filter(|key| key.provider().is_none());
        let told: Vec<Key> = addresses.filter(may).copied().collect();
        self.offer(account, before, &told);
    }

    fn end_of_younger(&mut self, account: usize, kept_since: u32) {
        let older = |undo: &Undo| since(&undo.before, undo.address).is_some_and(|s| linking::may_undo(&s, &kept_since));
        self.undos.retain(|undo| undo.account != account || older(undo));
    }
}

fn since(before: &Before, key: Key) -> Option<u32> {
    before.iter().find(|(known, _)| *known == key).map(|(_, since)| *since)
}
