//! The refresh rule: SE rows of `attacks.md` as stories of one session, then its whole input, then any order.

use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::keyring::{Keyring, MasterSecret};
use crate::settings::Authentication;

const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const IDLE: Duration = Duration::from_secs(14 * 86_400);
const ABSOLUTE: Duration = Duration::from_secs(30 * 86_400);

/// One session, its account and the settings, over time. [`refresh`] is told again here without its database.
struct Family {
    session: Session,
    state: AccountState,
    epoch: i64,
    settings: Settings,
    now: Timestamp,
}

impl Family {
    fn by(method: Method) -> Self {
        let session = Session {
            id: SessionId(Uuid::from_u128(1)),
            account_id: AccountId(Uuid::from_u128(2)),
            epoch: 3,
            method,
            device_id: DeviceId(Uuid::from_u128(4)),
            device_knows: true,
            counter: 0,
            created_at: START,
            authenticated_at: START,
            rotated_at: START,
            ended_at: None,
        };
        let settings = Settings { version: 1, authentication: Authentication::default() };
        Self { session, state: AccountState::Claimed, epoch: 3, settings, now: START }
    }

    fn new() -> Self {
        Self::by(Method::Password)
    }

    fn turn(&self, token: i64) -> Turn {
        let account = (self.state, self.epoch);
        turn(token, Facts { session: &self.session, account, settings: &self.settings, now: self.now })
    }

    fn present(&mut self, token: i64) -> Turn {
        let turn = self.turn(token);
        match turn {
            Turn::Rotate => {
                self.session.counter += 1;
                self.session.rotated_at = self.now;
            }
            Turn::End(_) => self.session.ended_at = Some(self.now),
            Turn::Repeat | Turn::Ended => {}
        }
        turn
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now = self.now + time;
        self
    }

    /// How many of all tokens that exist or could come next would rotate it now.
    fn leaves(&self) -> usize {
        (-1..=self.session.counter + 2).filter(|token| self.turn(*token) == Turn::Rotate).count()
    }
}

#[test]
fn se_01_reuse_after_grace_ends_the_whole_family() {
    let mut v = Family::new();
    assert_eq!(v.present(0), Turn::Rotate);
    assert_eq!(v.after(SECOND).present(1), Turn::Rotate);
    assert_eq!(v.after(SECOND).present(2), Turn::Rotate, "R2 is used");
    assert_eq!(v.after(limits::LOST_ANSWER + SECOND).present(0), Turn::End(EndReason::Reused));
    for token in [1, 2, 3, 0] {
        assert_eq!(v.present(token), Turn::Ended, "token {token}");
    }
    assert_eq!(v.leaves(), 0);
}

#[test]
fn se_01_a_predecessor_after_grace_is_reuse_though_its_successor_is_unused() {
    let mut v = Family::new();
    v.present(0);
    assert_eq!(v.after(limits::LOST_ANSWER + SECOND).present(0), Turn::End(EndReason::Reused));
    assert_eq!(v.present(1), Turn::Ended, "the successor dies with it");
}

#[test]
fn se_02_a_lost_answer_is_given_again_and_extends_nothing() {
    let mut v = Family::new();
    v.present(0);
    let rotated = v.session.clone();
    for _ in 0..29 {
        assert_eq!(v.after(SECOND).present(0), Turn::Repeat);
        assert_eq!((&v.session, v.leaves()), (&rotated, 1));
    }
    let mut lucky = Family { session: v.session.clone(), settings: v.settings.clone(), ..v };
    assert_eq!(lucky.present(1), Turn::Rotate, "what was given again is good");
    assert_eq!(
        v.after(SECOND * 2).present(0),
        Turn::End(EndReason::Reused),
        "30 s from the rotation, not from the retry"
    );
}

#[test]
fn se_04_a_token_whose_grandchild_exists_is_theft_even_within_grace() {
    let mut v = Family::new();
    v.present(0);
    assert_eq!(v.after(SECOND).present(1), Turn::Rotate);
    assert_eq!(v.after(SECOND).present(0), Turn::End(EndReason::Reused));
    assert_eq!(v.present(2), Turn::Ended);
}

#[test]
fn se_06_only_a_claimed_account_refreshes_and_coming_back_revives_nothing() {
    for state in AccountState::ALL.iter().copied().filter(|state| *state != AccountState::Claimed) {
        let mut v = Family { state, ..Family::new() };
        assert_eq!(v.present(0), Turn::End(EndReason::AccountClosed), "{state}");
        v.state = AccountState::Claimed;
        assert_eq!(v.present(0), Turn::Ended, "{state}, then enabled");
    }
}

#[test]
fn rs_08_no_session_outlives_its_accounts_epoch() {
    for epoch in [2, 4, 9] {
        let mut v = Family { epoch, ..Family::new() };
        assert_eq!(v.present(0), Turn::End(EndReason::AccountClosed), "epoch {epoch}");
        assert_eq!(v.present(0), Turn::Ended);
    }
}

#[test]
fn se_08_no_diligence_outlives_the_absolute_lifetime() {
    let mut v = Family::new();
    for token in 0..29 {
        assert_eq!(v.after(DAY).present(token), Turn::Rotate, "day {}", token + 1);
    }
    assert_eq!(v.after(DAY.saturating_sub(SECOND)).turn(29), Turn::Rotate, "a second before the end");
    assert_eq!(v.after(SECOND * 2).present(29), Turn::End(EndReason::Expired));
    assert_eq!(v.present(29), Turn::Ended);
}

#[test]
fn se_09_idle_for_too_long() {
    let mut v = Family::new();
    assert_eq!(v.after(IDLE.saturating_sub(SECOND)).present(0), Turn::Rotate, "a second before the end");
    assert_eq!(v.after(IDLE + SECOND).present(1), Turn::End(EndReason::Expired));
    assert_eq!(v.present(1), Turn::Ended);
}

#[test]
fn se_09_an_admins_lifetimes_count_at_once() {
    let mut v = Family::new();
    v.after(DAY);
    v.settings.authentication.session_idle_seconds = 3_600;
    assert_eq!(v.turn(0), Turn::End(EndReason::Expired));
    v.settings = Settings { version: 3, authentication: Authentication::default() };
    v.settings.authentication.session_absolute_seconds = 3_600;
    assert_eq!(v.turn(0), Turn::End(EndReason::Expired));
}

#[test]
fn ad_01_a_session_goes_with_the_method_that_made_it() {
    for method in [Method::Password, Method::SignUp, Method::Provider("google".parse().unwrap())] {
        let mut v = Family::by(method.clone());
        assert_eq!(v.turn(0), Turn::Rotate, "{method}");
        let switch = |v: &mut Family, on| match method {
            Method::Provider(_) => v.settings.authentication.social_sign_on = on,
            _ => v.settings.authentication.password_sign_in = on,
        };
        switch(&mut v, false);
        assert_eq!(v.present(0), Turn::End(EndReason::MethodOff), "{method}");
        switch(&mut v, true);
        assert_eq!(v.present(0), Turn::Ended, "{method} is on again");
    }
}

#[test]
fn ft_31_a_token_from_the_future_of_a_restored_backup_is_reuse() {
    for token in [2, 7, i64::MAX, -1, i64::MIN] {
        let mut v = Family::new();
        v.present(0);
        assert_eq!(v.after(SECOND).present(token), Turn::End(EndReason::Reused), "{token}");
    }
}

#[test]
fn another_instances_clock_may_be_ahead() {
    let mut v = Family::new();
    v.after(SECOND * 5).present(0);
    v.now = START;
    assert_eq!((v.turn(1), v.turn(0)), (Turn::Rotate, Turn::Repeat));
}

type Fault = (&'static str, fn(&mut Family));

/// Every fault alone, and any two together: none of them leaves a token that works, and the row says so.
#[test]
fn se_06_08_09_no_fault_hides_another() {
    let faults: [Fault; 6] = [
        ("ended", |v| v.session.ended_at = Some(START)),
        ("closed", |v| v.state = AccountState::Disabled),
        ("older epoch", |v| v.epoch += 1),
        ("method off", |v| v.settings.authentication.password_sign_in = false),
        ("idle", |v| v.now = v.session.rotated_at + IDLE + SECOND),
        ("too old", |v| v.session.created_at = v.now - ABSOLUTE - SECOND),
    ];
    for (first, one) in faults {
        for (second, other) in faults {
            let mut v = Family::new();
            v.present(0);
            one(&mut v);
            other(&mut v);
            let was_ended = v.session.ended_at.is_some();
            for token in -1..=3 {
                let turn = v.turn(token);
                assert_eq!(turn == Turn::Ended, was_ended, "{first} and {second}, token {token}: {turn:?}");
                assert!(matches!(turn, Turn::Ended | Turn::End(_)), "{first} and {second}, token {token}: {turn:?}");
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// Any token that was ever handed out, counted back from the latest.
    Present(usize),
    Wait(Duration),
    SetState(AccountState),
    RaiseEpoch,
    SetPasswordOn(bool),
}

fn any_event() -> impl Strategy<Value = Event> {
    let states = prop::sample::select(vec![AccountState::Claimed, AccountState::Disabled]);
    prop_oneof![
        40 => prop::sample::select(vec![0, 0, 0, 1, 1, 1, 2, 7]).prop_map(Event::Present),
        20 => (1..20_000_000_u64).prop_map(|micros| Event::Wait(Duration::from_micros(micros))),
        10 => (1..130_000_000_u64).prop_map(|micros| Event::Wait(Duration::from_micros(micros) * 10_000)),
        1 => states.prop_map(Event::SetState),
        1 => Just(Event::RaiseEpoch),
        1 => any::<bool>().prop_map(Event::SetPasswordOn),
    ]
}

/// The family as rules.md tells it: every token, and when it was used.
struct Told {
    family: Family,
    /// The instant of use of each token but the last, which is unused.
    used: Vec<Timestamp>,
    handed_out: Vec<Zeroizing<String>>,
    keys: Keyring,
}

impl Told {
    fn new() -> Self {
        let keys = Keyring::new(&MasterSecret::parse("kZ3v9QmT1xWc7RbY5nLp2HsDf8JgUe4a").unwrap()).unwrap();
        let mut told = Self { family: Family::new(), used: Vec::new(), handed_out: Vec::new(), keys };
        told.handed_out.push(told.leaf());
        told
    }

    /// What an answer carries now.
    fn leaf(&self) -> Zeroizing<String> {
        RefreshToken { session: self.family.session.id, counter: self.family.session.counter }.reveal(&self.keys)
    }

    fn is_fit(&self) -> bool {
        let Family { session, state, epoch, settings, now } = &self.family;
        *state == AccountState::Claimed
            && session.epoch == *epoch
            && settings.authentication.password_sign_in
            && *now < self.used.last().map_or(START, |used| *used) + IDLE
            && *now < START + ABSOLUTE
    }

    fn present(&mut self, back: usize) -> Result<(), TestCaseError> {
        let token = self.used.len() - back % (self.used.len() + 1);
        let presented = RefreshToken::parse(&self.handed_out[token], &self.keys).unwrap();
        let (before, fit) = (self.family.session.clone(), self.is_fit());
        let turn = self.family.present(presented.counter);
        match (before.ended_at, self.used.get(token)) {
            (Some(_), _) => prop_assert_eq!(turn, Turn::Ended, "I10: it had ended"),
            (None, _) if !fit => prop_assert!(matches!(turn, Turn::End(_)), "{turn:?} of an unfit session"),
            (None, None) => {
                prop_assert_eq!(turn, Turn::Rotate, "the leaf");
                self.used.push(self.family.now);
                self.handed_out.push(self.leaf());
            }
            (None, Some(used)) if token + 1 == self.used.len() && self.family.now < *used + limits::LOST_ANSWER => {
                prop_assert_eq!(turn, Turn::Repeat, "a lost answer");
                prop_assert_eq!(Some(&self.leaf()), self.handed_out.last(), "the same successor");
                prop_assert_eq!(&self.family.session, &before, "it extends nothing");
            }
            (None, Some(_)) => prop_assert_eq!(turn, Turn::End(EndReason::Reused), "SE-01, SE-04"),
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Present(back) => self.present(back)?,
            Event::Wait(time) => drop(self.family.after(time)),
            Event::SetState(state) => self.family.state = state,
            Event::RaiseEpoch => self.family.epoch += 1,
            Event::SetPasswordOn(on) => self.family.settings.authentication.password_sign_in = on,
        }
        let leaves = usize::from(self.family.session.ended_at.is_none() && self.is_fit());
        prop_assert_eq!(self.family.leaves(), leaves, "I10: one live leaf");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_048))]

    #[test]
    fn i10_one_live_leaf_and_the_family_dies_as_a_whole(events in prop::collection::vec(any_event(), 1..80)) {
        let mut told = Told::new();
        for event in events {
            told.happen(event)?;
        }
    }
}
