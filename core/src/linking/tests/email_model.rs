//! What `own_emails` and `undo` do around the product's own decisions.

use std::time::Duration;

use super::super::{self as linking, Answer, Ask, House, Linking, Removal};
use super::model::{Case, Happened, Part, Secret, Undo, World};
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
        let (account, before, at, known) = self.goal(account, address);
        let claimed = self.accounts[account].state == AccountState::Claimed || self.survivor(account).is_some();
        if !claimed || !self.comes_back(account, address) {
            return Happened::Nothing;
        }
        self.part_all(account, &before, at, known);
        let (now, was_there) = (self.remember(account), |key| before.iter().any(|(known, _)| *known == key));
        self.bring_back(account, &before);
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

    /// `undo::bring_back`.
    fn bring_back(&mut self, account: usize, before: &Before) {
        for (key, since) in before {
            if self.account_of(*key) != Some(account) && self.comes_back(account, *key) {
                self.take(&[*key], Some(account));
                self.void(|secret| secret.address == *key);
                self.accounts[account].since.retain(|(known, _)| known != key);
                self.accounts[account].gains(*key, *since);
            }
        }
    }

    fn comes_back(&self, account: usize, key: Key) -> bool {
        let of = self.account_of(key);
        linking::comes_back(self.holder(key), of == Some(account) || of.is_some() && of == self.survivor(account))
    }

    /// `parting::survivor`.
    fn survivor(&self, source: usize) -> Option<usize> {
        self.accounts[source].merged_into.filter(|into| self.accounts[*into].state == AccountState::Claimed)
    }

    /// `db::leavers::list_merged_into`.
    fn merged_into(&self, account: usize) -> Vec<usize> {
        let mut found: Vec<usize> =
            (0..self.accounts.len()).filter(|n| self.accounts[*n].merged_into == Some(account)).collect();
        let further: Vec<usize> = found.iter().flat_map(|n| self.merged_into(*n)).collect();
        found.extend(further);
        found
    }

    /// `undo_offers::is_open`.
    pub fn is_undoable(&self, account: usize) -> bool {
        let came_in = self.merged_into(account);
        self.undos.iter().any(|undo| undo.account == account || came_in.contains(&undo.account))
    }

    /// `undo::goal`.
    fn goal(&self, account: usize, address: Key) -> (usize, Before, u32, Vec<Part>) {
        let merged = self.merged_into(account);
        let theirs =
            |undo: &&Undo| undo.address == address && (undo.account == account || merged.contains(&undo.account));
        let mut goals = Vec::new();
        for undo in self.undos.iter().filter(theirs) {
            let own = |part: &&Part| {
                part.had.iter().any(|(key, _)| *key == address) && self.survivor(part.account) == Some(undo.account)
            };
            goals.extend(undo.came_in.iter().filter(own).map(|p| (p.account, p.had.clone(), p.at, Vec::new())));
            goals.push((undo.account, undo.before.clone(), undo.at, undo.came_in.clone()));
        }
        goals.into_iter().min_by_key(|(_, _, at, _)| *at).unwrap()
    }

    /// `parting::list_open`.
    fn parts_of(&self, account: usize) -> Vec<Part> {
        let mut found: Vec<Part> = Vec::new();
        let merged = self.merged_into(account);
        for undo in self.undos.iter().filter(|undo| undo.account == account || merged.contains(&undo.account)) {
            let itself = Part { account: undo.account, had: undo.before.clone(), at: undo.at };
            for part in undo.came_in.iter().chain([&itself]) {
                let new = !found.iter().any(|known| known.account == part.account);
                if new && self.survivor(part.account) == Some(account) {
                    found.push(part.clone());
                }
            }
        }
        found
    }

    /// `undo::part`.
    fn part_all(&mut self, account: usize, before: &Before, at: u32, known: Vec<Part>) {
        let mut parts = self.parts_of(account);
        parts.extend(known);
        if let Some(survivor) = self.survivor(account) {
            let told = self.undos.iter().filter(|undo| undo.account == survivor);
            let told = told.filter(|undo| undo.came_in.iter().any(|part| part.account == account));
            let had = told.min_by_key(|undo| undo.at).map(|undo| {
                let theirs = |key: Key| undo.came_in.iter().any(|part| part.had.iter().any(|(had, _)| *had == key));
                undo.before.iter().copied().filter(|(key, _)| !theirs(*key)).collect::<Before>()
            });
            self.part(account, before, at, survivor);
            self.accounts[survivor].password = None;
            self.purge(survivor, None);
            if self.identities_of(survivor).is_empty() {
                self.bring_back(survivor, &had.unwrap_or_default());
            }
        }
        for Part { account: source, had, at } in parts {
            if self.survivor(source) == Some(account) {
                self.part(source, &had, at, account);
                self.bring_back(source, &had);
            }
        }
    }

    /// `parting::part`.
    fn part(&mut self, source: usize, before: &Before, at: u32, survivor: usize) {
        let mut came_with = self.merged_into(source);
        came_with.push(source);
        (self.accounts[source].state, self.accounts[source].merged_into) = (AccountState::Claimed, None);
        (self.accounts[source].parted, self.accounts[survivor].parted) = (true, true);
        for (key, since) in before {
            if self.account_of(*key) == Some(survivor) {
                self.identities.iter_mut().filter(|(held, _)| held == key).for_each(|(_, account)| *account = source);
                self.accounts[survivor].loses(*key);
                self.accounts[source].gains(*key, *since);
                let theirs = |case: &&mut Case| (case.requester, case.account) == (Some(*key), survivor);
                self.cases.iter_mut().filter(theirs).for_each(|case| case.account = source);
            }
        }
        for case in self.cases.iter_mut().filter(|case| case.account == survivor || case.account == source) {
            if case.came_with.is_some_and(|with| came_with.contains(&with)) {
                case.account = source;
                case.came_with = case.came_with.filter(|with| *with != source);
            }
        }
        let had = |key: Key| before.iter().any(|(known, _)| *known == key);
        self.undos.retain(|undo| undo.account != survivor || undo.at < at || !had(undo.address));
        for undo in self.undos.iter_mut().filter(|undo| undo.account == survivor && undo.at >= at) {
            undo.before.retain(|(key, _)| !had(*key));
            undo.came_in.retain(|part| part.account != source);
        }
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
        let came_in = self.parts_of(account);
        let undo = |address: &Key| Undo {
            address: *address,
            account,
            before: before.clone(),
            came_in: came_in.clone(),
            at,
            age,
        };
        self.undos.extend(told.iter().map(undo));
    }

    fn tell_dropped(&mut self, account: usize, before: &Before, kept_since: u32, dropped: &[Key]) {
        let parts = !self.parts_of(account).is_empty();
        let older = |key: Key| since(before, key).is_some_and(|since| linking::may_undo(&since, &kept_since));
        let may = |key: &&Key| parts || older(**key);
        let addresses = dropped.iter().filter(|key| key.provider().is_none());
        let told: Vec<Key> = addresses.filter(may).copied().collect();
        self.offer(account, before, &told);
    }

    fn end_of_younger(&mut self, account: usize, kept_since: u32) {
        let older = |undo: &Undo| since(&undo.before, undo.address).is_some_and(|s| linking::may_undo(&s, &kept_since));
        self.undos.retain(|undo| undo.account != account || !undo.came_in.is_empty() || older(undo));
    }
}

fn since(before: &Before, key: Key) -> Option<u32> {
    before.iter().find(|(known, _)| *known == key).map(|(_, since)| *since)
}
