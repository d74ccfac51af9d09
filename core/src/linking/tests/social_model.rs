//! What `social_sign_in`, `linked` and `merge` do around the product's own decisions.

use std::time::Duration;

use serde_json::json;

use super::super::{self as linking, Arriving, Ask, House, Linking, Made, Merging, Party, Removal};
use super::model::{Happened, Secret, Undo, Waiting, World};
use super::people::{Key, Person, Said};
use crate::account::AccountState;
use crate::challenge::{ChallengePurpose, ChallengeState};
use crate::identity::IdentityKind;
use crate::limits;
use crate::provider::ProviderEmail;
use crate::settings::{Method, SignUpPolicy};

impl Said {
    /// As it stands in the provider's token.
    fn email(self) -> Option<ProviderEmail> {
        let (address, proven) = match self {
            Self::Nothing => return None,
            Self::Proven(key) => (key.address(), true),
            Self::Hint(key) => (key.address(), false),
        };
        let domain = proven.then(|| address.domain());
        ProviderEmail::read(&json!(address.as_str()), &json!(true), &json!(domain))
    }
}

impl World {
    /// `social_sign_in::house`.
    fn house_of(&self, subject: Key, address: Option<Key>) -> House {
        let (settings, provider) = (self.settings(), subject.provider().unwrap());
        let creates = settings.provider(provider).may_create_accounts;
        House {
            road_on: settings.offers(&Method::Provider(provider.clone())).is_ok(),
            sign_up: if creates { settings.authentication.sign_up } else { SignUpPolicy::KnownOnly },
            admits: address.is_none_or(|address| settings.admits(address.address())),
        }
    }

    fn is_on(&self, subject: Key) -> bool {
        self.house_of(subject, None).road_on
    }

    /// The provider says who has arrived: `social_sign_in::finish`.
    pub fn arrive(&mut self, subject: Key, said: Said) -> Happened {
        let provider = subject.provider().unwrap();
        let trusted = self.settings().provider(provider).email_counts;
        let kind = if provider.kind() == IdentityKind::Google { IdentityKind::Google } else { IdentityKind::Twitter };
        let email = said.email();
        let address = linking::counts(kind, trusted, email.as_ref()).and(match said {
            Said::Proven(key) | Said::Hint(key) => Some(key),
            Said::Nothing => None,
        });
        let holder = address.map(|key| self.holder(key));
        let arriving = linking::arrive(self.holder(subject), holder, self.house_of(subject, address));
        let account = match (arriving, address) {
            (Arriving::SignIn, _) => self.account_of(subject),
            (Arriving::OwnSubject, _) => Some(self.own(&[subject], None)),
            (Arriving::OwnBoth, Some(key)) => Some(self.own(&[key, subject], Some(key))),
            (Arriving::EmailRequired, _) => {
                // one flow for each subject is enough: another changes nothing
                self.waiting.retain(|flow| flow.subject != subject);
                self.waiting.push(Waiting { subject, age: Duration::ZERO, asked: Vec::new() });
                None
            }
            _ => None,
        };
        if let Some(account) = account {
            self.open(account, Method::Provider(provider.clone()), Some(subject), subject.owner());
        }
        Happened::Arrived(arriving, account)
    }

    fn own(&mut self, proven: &[Key], address: Option<Key>) -> usize {
        let account = self.take(proven, None);
        self.purge(account, address);
        account
    }

    /// `social_sign_in::ask_email`, and the mail's delivery.
    pub fn give_email(&mut self, flow: usize, address: Key, arrived: bool) -> Happened {
        let subject = self.waiting[flow].subject;
        if !self.is_on(subject) {
            return Happened::Nothing;
        }
        let house = self.house_of(subject, Some(address));
        let answer = linking::answer_to(Ask::SocialEmail, self.holder(address), house);
        if answer.carries_a_secret() {
            let bound = self.account_of(address).map(|account| (account, self.accounts[account].epoch));
            let asked = &mut self.waiting[flow].asked;
            if arrived {
                asked.clear();
            }
            let (purpose, state, age) = (ChallengePurpose::SocialEmail, ChallengeState::Live, Duration::ZERO);
            asked.push(Secret { address, purpose, bound, state, age, arrived, times_spent: 0 });
        }
        Happened::Answered(answer)
    }

    /// `social_sign_in::confirm_email`, by somebody who has both: the continuation, and the code from the mailbox.
    pub fn prove_email(&mut self, flow: usize) -> Happened {
        let subject = self.waiting[flow].subject;
        let reads = |secret: &&Secret| {
            secret.arrived
                && secret.state == ChallengeState::Live
                && secret.age < limits::CODE_LIFE
                && secret.address.reader() == Some(subject.owner())
        };
        let Some(secret) = self.waiting[flow].asked.iter().rev().find(reads).cloned() else { return Happened::Nothing };
        if !self.is_on(subject) {
            return Happened::Nothing;
        }
        let address = secret.address;
        let held_by = self.account_of(address).map(|account| (account, self.accounts[account].epoch));
        let made = Made { purpose: secret.purpose, held_by: secret.bound };
        let house = self.house_of(subject, Some(address));
        let outcome = linking::redeem_with_subject(made, held_by, self.holder(address), self.holder(subject), house);
        if matches!(outcome, linking::Outcome::Refuse | linking::Outcome::Recover) {
            return Happened::Nothing;
        }
        self.waiting.remove(flow);
        let account = self.own(&[address, subject], Some(address));
        let method = Method::Provider(subject.provider().unwrap().clone());
        self.open(account, method, Some(subject), subject.owner());
        Happened::Proved(outcome, account)
    }

    pub fn is_live(&self, session: usize) -> bool {
        let login = &self.sessions[session];
        let account = &self.accounts[login.account];
        !login.ended && login.epoch == account.epoch && account.state == AccountState::Claimed
    }

    pub fn is_fresh(&self, session: usize) -> bool {
        self.sessions[session].age < limits::FRESH
    }

    /// `linked::link`: the session's holder signs in with a provider, for this.
    pub fn link(&mut self, session: usize, subject: Key) -> Happened {
        let (account, by) = (self.sessions[session].account, self.sessions[session].by);
        let allowed = self.is_live(session) && self.is_fresh(session) && self.is_on(subject);
        if !allowed || subject.owner() != by {
            return Happened::Nothing;
        }
        let linking = linking::link(self.holder(subject), self.account_of(subject) == Some(account));
        if linking == Linking::Attach {
            self.take(&[subject], Some(account));
        }
        Happened::Linked(linking, account)
    }

    /// `ways_in::usable`.
    pub fn usable(&self, account: usize) -> Vec<Key> {
        let settings = self.settings();
        let may = |key: &&Key| match key.provider() {
            Some(provider) => settings.offers(&Method::Provider(provider.clone())).is_ok(),
            None => settings.offers(&Method::Password).is_ok(),
        };
        self.accounts[account].proven.iter().filter(may).copied().collect()
    }

    /// `linked::unlink`.
    pub fn unlink(&mut self, session: usize, key: Key) -> Happened {
        let account = self.sessions[session].account;
        let theirs = self.account_of(key) == Some(account) && key.provider().is_some();
        if !self.is_live(session) || !self.is_fresh(session) || !theirs {
            return Happened::Nothing;
        }
        let left = self.usable(account).iter().filter(|other| **other != key).count();
        if linking::unlink(left) == Removal::LastWayIn {
            return Happened::Nothing;
        }
        self.free(key);
        Happened::Unlinked(account)
    }

    /// `merge::merge`, by somebody who holds both sessions.
    pub fn merge(&mut self, survivor: usize, source: usize) -> Happened {
        let (to, from) = (self.sessions[survivor].account, self.sessions[source].account);
        if !self.is_live(survivor) || !self.is_live(source) || self.sessions[survivor].by != self.sessions[source].by {
            return Happened::Nothing;
        }
        let party = |session: usize| Party {
            claimed: self.accounts[self.sessions[session].account].state == AccountState::Claimed,
            fresh: self.is_fresh(session),
            admin: false,
        };
        if linking::may_merge(to == from, party(survivor), party(source)) != Merging::Merge {
            return Happened::Nothing;
        }
        let by = self.sessions[survivor].by;
        if [to, from].into_iter().any(|account| self.who_confirms(account) != Some(by)) {
            return Happened::Nothing;
        }
        self.purge(from, None);
        self.identities.iter_mut().filter(|(_, of)| *of == from).for_each(|(_, account)| *account = to);
        self.accounts[from].password = None;
        let source = &mut self.accounts[from];
        let (proven, mut ever) = (std::mem::take(&mut source.proven), std::mem::take(&mut source.ever));
        source.since.clear();
        let into = &mut self.accounts[to];
        let oldest = into.since.iter().map(|(_, since)| *since).min().unwrap();
        for key in proven {
            into.gains(key, oldest);
        }
        into.ever.append(&mut ever);
        into.ever.sort_unstable();
        into.ever.dedup();
        self.move_all(from, to);
        self.undos.retain(|undo| undo.account != from && undo.account != to);
        Happened::Merged(to, from)
    }

    /// `confirming::who_confirms`: who reads that mail; without an address, who is there again by what they signed in with first.
    fn who_confirms(&self, account: usize) -> Option<Person> {
        let undos = self.undos.iter().filter(|undo| undo.account == account);
        let since = |undo: &Undo| undo.before.iter().find(|(key, _)| *key == undo.address).map(|(_, since)| *since);
        let undos: Vec<_> = undos.filter_map(|undo| Some((undo.address, since(undo)?, undo.at))).collect();
        let mine = &self.accounts[account].since;
        let first = |address: bool| {
            let such = mine.iter().filter(|(key, _)| key.reader().is_some() == address);
            such.min_by_key(|(_, since)| *since).map(|(key, _)| *key)
        };
        let there = first(true).or_else(|| first(false));
        let there = there.and_then(|there| mine.iter().find(|(key, _)| *key == there)).map(|(_, since)| *since);
        linking::who_confirms(&undos, first(true), there).or_else(|| first(false)).map(Key::owner)
    }
}
