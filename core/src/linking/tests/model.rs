//! Doorstep in memory: what `interaction`, `mailed_secret` and `session` do around the product's own decisions.
//! Those (`answer_to`, `spend`, `reception`, `turn`, the settings) are called and never copied.

use std::time::Duration;

use super::super::{self as linking, Answer, Ask, Desk, Holder, House, Made, Outcome, Sender, Shown};
use super::people::{Key, PROVIDERS, Switch};
pub use super::rows::{Account, Case, Happened, Login, Secret, Undo, Waiting};
use crate::account::AccountState;
use crate::challenge::{ChallengePurpose, ChallengeState};
use crate::limits;
use crate::settings::{Authentication, Method, ProviderSettings, Settings, SignUpPolicy, UnknownRequesters};

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct World {
    pub thrown: Vec<Switch>,
    pub accounts: Vec<Account>,
    pub identities: Vec<(Key, usize)>,
    pub cases: Vec<Case>,
    pub secrets: Vec<Secret>,
    pub sessions: Vec<Login>,
    pub waiting: Vec<Waiting>,
    pub undos: Vec<Undo>,
    /// Counts the changes that an undo may go back behind.
    pub tick: u32,
}

impl World {
    pub fn has_thrown(&self, switch: Switch) -> bool {
        self.thrown.contains(&switch)
    }

    pub fn flip(&mut self, switch: Switch) {
        match self.thrown.binary_search(&switch) {
            Ok(at) => drop(self.thrown.remove(at)),
            Err(at) => self.thrown.insert(at, switch),
        }
    }

    pub fn bar(&mut self, account: usize) {
        let account = &mut self.accounts[account];
        (account.state, account.enabled_as) = match account.state {
            AccountState::Disabled => (account.enabled_as, account.enabled_as),
            AccountState::Merged => return,
            other => (AccountState::Disabled, other),
        };
    }

    pub fn wait(&mut self, time: Duration) {
        self.secrets.iter_mut().for_each(|secret| secret.age += time);
        self.sessions.iter_mut().for_each(|s| (s.age, s.unrotated) = (s.age + time, s.unrotated + time));
        for flow in &mut self.waiting {
            flow.age += time;
            flow.asked.iter_mut().for_each(|secret| secret.age += time);
        }
        self.waiting.retain(|flow| flow.age < limits::CONTINUATION_LIFE);
        self.sessions.iter_mut().flat_map(|login| &mut login.adding).for_each(|secret| secret.age += time);
        self.undos.iter_mut().for_each(|undo| undo.age += time);
        self.undos.retain(|undo| undo.age < limits::UNDO_LIFE);
    }

    pub fn settings(&self) -> Settings {
        let mut authentication =
            Authentication { password_sign_in: !self.has_thrown(Switch::PasswordOff), ..Authentication::default() };
        if self.has_thrown(Switch::KnownOnly) {
            authentication.sign_up = SignUpPolicy::KnownOnly;
        }
        if self.has_thrown(Switch::BlockAda) {
            authentication.blocked_domains = vec!["example.org".to_owned()];
        }
        if self.has_thrown(Switch::HoldUnknown) {
            authentication.unknown_requesters = UnknownRequesters::Hold;
        }
        authentication.social_sign_on = !self.has_thrown(Switch::SocialOff);
        if self.has_thrown(Switch::GoogleProvesNothing) {
            let google = ProviderSettings { email_counts: false, ..ProviderSettings::unset(&PROVIDERS[1]) };
            authentication.providers.insert(PROVIDERS[1].clone(), google);
        }
        Settings { version: 1, authentication }
    }

    fn house(&self, address: Key) -> House {
        let settings = self.settings();
        House {
            road_on: settings.authentication.password_sign_in,
            sign_up: settings.authentication.sign_up,
            admits: settings.admits(address.address()),
        }
    }

    pub fn account_of(&self, key: Key) -> Option<usize> {
        self.identities.iter().find(|(held, _)| *held == key).map(|(_, account)| *account)
    }

    pub fn identities_of(&self, account: usize) -> Vec<Key> {
        let mut keys: Vec<Key> = self.identities.iter().filter(|(_, of)| *of == account).map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }

    pub fn holder(&self, address: Key) -> Holder {
        let count = |account| self.identities_of(account).len();
        self.account_of(address).map_or(Holder::Nobody, |a| Holder::of(self.accounts[a].state, count(a)))
    }

    fn is_unclaimed(&self, account: usize) -> bool {
        self.accounts[account].state == AccountState::Unclaimed
    }

    fn new_account(&mut self, state: AccountState) -> usize {
        let (proven, ever, since) = (Vec::new(), Vec::new(), Vec::new());
        self.accounts.push(Account { state, enabled_as: state, epoch: 1, password: None, proven, ever, since });
        self.accounts.len() - 1
    }

    /// `interaction::push`, for what customers write.
    pub fn push(&mut self, keys: &[Key], case: Key, spoofed: bool) -> Happened {
        // a From: that failed DMARC names one identity and adds no other
        let keys = if spoofed { &keys[..1] } else { keys };
        let (writer, account) = (keys[0], self.meet(keys));
        let at = |world: &Self, thread| world.cases.iter().position(|case| case.thread == thread);
        let at = at(self, case).or_else(|| at(self, writer)).unwrap_or_else(|| {
            self.cases.push(Case { thread: writer, requester: Some(writer), account, shown: Vec::new() });
            self.cases.len() - 1
        });
        let hold_unknown = self.settings().authentication.unknown_requesters == UnknownRequesters::Hold;
        let nothing_shown = self.cases.iter().all(|case| case.account != account || case.shown.is_empty());
        let owner = self.cases[at].account;
        let (_, shown) = linking::reception(Sender {
            is_requester: self.cases[at].requester == Some(writer),
            is_owner: owner == account && self.accounts[owner].state == AccountState::Claimed,
            spoofed,
            unknown_and_held: hold_unknown && self.accounts[account].state != AccountState::Claimed && nothing_shown,
        });
        if let (Shown::Yes, Err(place)) = (shown, self.cases[at].shown.binary_search(&writer)) {
            self.cases[at].shown.insert(place, writer);
        }
        Happened::Pushed
    }

    /// `interaction::meet`.
    fn meet(&mut self, keys: &[Key]) -> usize {
        let (first, others) = keys.split_first().unwrap();
        let account = self.account_of(*first).unwrap_or_else(|| {
            let mut homes = others.iter().filter_map(|other| self.account_of(*other));
            let home = homes.find(|home| self.is_unclaimed(*home));
            let home = home.unwrap_or_else(|| self.new_account(AccountState::Unclaimed));
            self.identities.push((*first, home));
            home
        });
        for other in others {
            if self.account_of(*other).is_none() {
                let joins = self.is_unclaimed(account);
                let home = if joins { account } else { self.new_account(AccountState::Unclaimed) };
                self.identities.push((*other, home));
            }
        }
        account
    }

    /// `mailed_secret::ask`, and the mail's delivery, for what sets a password.
    pub fn ask(&mut self, what: Ask, address: Key, arrived: bool) -> Happened {
        let answer = linking::answer_to(what, self.holder(address), self.house(address));
        if matches!(answer, Answer::Notice | Answer::Nothing) {
            return Happened::Answered(answer);
        }
        let purpose = match (what, answer) {
            (Ask::SignUp | Ask::SocialEmail, _) | (_, Answer::SignUpInstead) => ChallengePurpose::SignUp,
            _ => ChallengePurpose::PasswordReset,
        };
        let older = |old: &&mut Secret| arrived && (old.address, old.purpose) == (address, purpose);
        self.secrets.iter_mut().filter(older).for_each(Secret::void);
        let bound = self.account_of(address).map(|account| (account, self.accounts[account].epoch));
        let (state, age, times_spent) = (ChallengeState::Live, Duration::ZERO, 0);
        self.secrets.push(Secret { address, purpose, bound, state, age, arrived, times_spent });
        Happened::Answered(answer)
    }

    /// `mailed_secret::confirm`: a refusal is rolled back.
    pub fn present(&mut self, n: usize, desk: Desk, unlink_others: bool) -> Happened {
        let secret = self.secrets[n].clone();
        let takes = desk.takes().contains(&secret.purpose);
        let live = secret.state == ChallengeState::Live && secret.age < limits::LINK_LIFE;
        let (true, true, Some(reader)) = (takes && live, secret.arrived, secret.address.reader()) else {
            return Happened::Nothing;
        };
        let outcome = self.outcome(&secret);
        let account = match outcome {
            Outcome::Create | Outcome::Claim | Outcome::ClaimPart => self.take(&[secret.address], None),
            Outcome::Recover => self.account_of(secret.address).unwrap(),
            Outcome::Refuse => return Happened::Nothing,
        };
        self.secrets[n].state = ChallengeState::Spent;
        self.secrets[n].times_spent += 1;
        self.accounts[account].password = Some(reader);
        self.purge(account, Some(secret.address));
        if unlink_others {
            self.drop_others(account, secret.address);
        }
        if desk == Desk::SignUp {
            self.open(account, Method::SignUp, None, reader);
        }
        Happened::Spent(n, outcome, account)
    }

    fn outcome(&self, secret: &Secret) -> Outcome {
        let held_by = self.account_of(secret.address).map(|account| (account, self.accounts[account].epoch));
        let made = Made { purpose: secret.purpose, held_by: secret.bound };
        linking::redeem(made, held_by, self.holder(secret.address), self.house(secret.address))
    }

    /// `ownership::take`.
    pub fn take(&mut self, proven: &[Key], into: Option<usize>) -> usize {
        let place = |key: &Key| {
            let account = self.account_of(*key)?;
            assert_eq!(self.accounts[account].state, AccountState::Unclaimed, "{key:?} has an owner");
            Some((account, self.identities_of(account).iter().all(|other| proven.contains(other))))
        };
        let places: Vec<_> = proven.iter().map(place).collect();
        let account =
            into.or_else(|| linking::home(&places)).unwrap_or_else(|| self.new_account(AccountState::Claimed));
        self.accounts[account].state = AccountState::Claimed;
        self.tick += 1;
        for key in proven {
            self.bring(*key, account);
            self.accounts[account].gains(*key, self.tick);
        }
        account
    }

    /// `ownership::bring`.
    fn bring(&mut self, key: Key, to: usize) {
        let Some(from) = self.account_of(key) else { return self.identities.push((key, to)) };
        self.identities.iter_mut().filter(|(held, _)| *held == key).for_each(|(_, account)| *account = to);
        let theirs = self.cases.iter_mut().filter(|case| (case.requester, case.account) == (Some(key), from));
        theirs.for_each(|case| case.account = to);
        if from != to && self.identities_of(from).is_empty() {
            self.move_all(from, to);
        }
    }

    /// `merge::move_all`.
    pub fn move_all(&mut self, from: usize, to: usize) {
        self.cases.iter_mut().filter(|case| case.account == from).for_each(|case| case.account = to);
        self.accounts[from].state = AccountState::Merged;
    }

    /// `session::purge`.
    pub fn purge(&mut self, account: usize, address: Option<Key>) {
        self.accounts[account].epoch += 1;
        self.sessions.iter_mut().filter(|s| s.account == account).for_each(|session| session.ended = true);
        self.void(|s| s.bound.is_some_and(|(bound, _)| bound == account) || Some(s.address) == address);
    }

    /// `db::challenges::void_of_account` and `void_of_address`.
    pub fn void(&mut self, theirs: impl Fn(&Secret) -> bool) {
        let asked = self.waiting.iter_mut().flat_map(|flow| &mut flow.asked);
        let adding = self.sessions.iter_mut().flat_map(|login| &mut login.adding);
        self.secrets.iter_mut().chain(asked).chain(adding).filter(|s| theirs(s)).for_each(Secret::void);
    }
}
