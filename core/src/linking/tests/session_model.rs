//! What `session` does around the product's own decisions.

use std::time::Duration;

use uuid::Uuid;

use super::model::{Account, Happened, Login, World};
use super::people::{Key, Person};
use crate::clock::Timestamp;
use crate::id::{AccountId, DeviceId, SessionId};
use crate::session::{self, Facts, Session, Turn};
use crate::settings::Method;

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

impl World {
    /// `sign_in::finish`.
    pub fn sign_in(&mut self, who: Person, address: Key) -> Happened {
        let Some(account) = self.account_of(address) else { return Happened::Nothing };
        if self.accounts[account].password != Some(who) {
            return Happened::Nothing;
        }
        self.open(account, Method::Password, None, who)
    }

    /// `session::open`.
    pub fn open(&mut self, account: usize, method: Method, with: Option<Key>, by: Person) -> Happened {
        let Account { state, epoch, .. } = self.accounts[account];
        if self.settings().may_use(&method, state).is_err() {
            return Happened::Nothing;
        }
        let (age, unrotated) = (Duration::ZERO, Duration::ZERO);
        self.sessions.push(Login {
            by,
            account,
            epoch,
            method,
            with,
            counter: 0,
            age,
            unrotated,
            ended: false,
            adding: Vec::new(),
        });
        Happened::SignedIn
    }

    /// What becomes of a refresh token of a session.
    pub fn turn(&self, session: usize, counter: i64) -> Turn {
        let login = &self.sessions[session];
        let account = &self.accounts[login.account];
        let row = Session {
            id: SessionId(Uuid::nil()),
            account_id: AccountId(Uuid::nil()),
            epoch: login.epoch,
            method: login.method.clone(),
            device_id: DeviceId(Uuid::nil()),
            device_knows: true,
            counter: login.counter,
            created_at: NOW - login.age,
            authenticated_at: NOW - login.age,
            rotated_at: NOW - login.unrotated,
            ended_at: login.ended.then_some(NOW),
        };
        let (account, settings) = ((account.state, account.epoch), &self.settings());
        session::turn(counter, Facts { session: &row, account, settings, now: NOW })
    }

    /// `session::refresh`, with any token that was ever handed out.
    pub fn refresh(&mut self, session: usize, counter: i64) -> Happened {
        let turn = self.turn(session, counter % (self.sessions[session].counter + 1));
        let login = &mut self.sessions[session];
        match turn {
            Turn::Rotate => {
                login.counter += 1;
                login.unrotated = Duration::ZERO;
            }
            Turn::End(_) => login.ended = true,
            Turn::Repeat | Turn::Ended => {}
        }
        Happened::Turned(session, turn)
    }
}
