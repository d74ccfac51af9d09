//! Sessions: how they are opened, refreshed with the lost-answer rule, made fresh and ended, and who a request comes from.

use std::time::Duration;

use serde_json::json;
use zeroize::Zeroizing;

use crate::access_token::AccessClaims;
use crate::account::{Account, AccountState, Role};
use crate::audit::{self, Action, Actor};
use crate::clock::Timestamp;
use crate::db::types::words;
use crate::db::{self, Lock, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::id::{AccountId, DeviceId, IdentityId, SessionId};
use crate::limits;
use crate::reauthentication;
use crate::secret::{DeviceToken, RefreshToken};
use crate::settings::{self, Method, Settings};

words! {
    pub enum EndReason {
        SignedOut = "signed_out",
        /// Its owner ended it from another.
        SignedOutElsewhere = "signed_out_elsewhere",
        /// A claim or recovery ended all sessions.
        Purged = "purged",
        /// A refresh token was shown that had been replaced long before.
        Reused = "reused",
        Expired = "expired",
        /// Its method was turned off.
        MethodOff = "method_off",
        /// Its account may not sign in any more.
        AccountClosed = "account_closed",
        /// The identity it was opened with was unlinked.
        Unlinked = "unlinked",
        /// Its account has become part of another.
        Merged = "merged",
        /// An admin ended all sessions of the account.
        EndedBySupport = "ended_by_support",
    }
}

impl EndReason {
    /// Those by which a device is known no more: its owner threw it out, or somebody may have copied what it holds.
    pub const DISOWNS: [Self; 4] = [Self::SignedOutElsewhere, Self::Reused, Self::Unlinked, Self::EndedBySupport];
}

/// A session as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub account_id: AccountId,
    pub epoch: i64,
    pub method: Method,
    pub device_id: DeviceId,
    /// A password, or a secret that was mailed, was shown on the device.
    pub device_knows: bool,
    /// The number of the one refresh token that may be used next.
    pub counter: i64,
    pub created_at: Timestamp,
    pub authenticated_at: Timestamp,
    /// When that refresh token was made.
    pub rotated_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// What a new or refreshed session hands out; the access token is made of it.
#[derive(Debug)]
pub struct Issued {
    pub session: Session,
    pub account: Account,
    pub refresh_token: Zeroizing<String>,
    pub refresh_expires_at: Timestamp,
    pub device_token: Zeroizing<String>,
    pub issued_at: Timestamp,
}

/// Who a request comes from: a session that was looked up in this very unit of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    pub session: Session,
    pub account: Account,
    /// When presence was proven, as far as the token that was shown knows.
    pub shown_at: Timestamp,
}

impl SignedIn {
    /// Whether presence was proven within the last minutes (rule 12). A token of before does not become fresh with its
    /// session: somebody may have copied it, and wait for the owner to come back.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.is_fresh_within(now, limits::FRESH)
    }

    /// [`SignedIn::is_fresh`] within another time.
    #[must_use]
    pub fn is_fresh_within(&self, now: Timestamp, time: Duration) -> bool {
        now.since(self.session.authenticated_at.min(self.shown_at)) < time
    }

    pub fn require_fresh(&self, work: &mut Work<'_>) -> Result<()> {
        if self.is_fresh(work.now()) { Ok(()) } else { Err(self.stale(work)) }
    }

    /// Refuses a session that is not fresh, and says what makes it so.
    pub fn stale(&self, work: &mut Work<'_>) -> Error {
        match reauthentication::ways(work, self.account.id) {
            Ok(methods) => Error::Stale { methods },
            Err(error) => error,
        }
    }

    /// Refuses whoever is no admin, and while people sign in by passwords an admin without one: who can do everything here shows
    /// it by more than a provider's word.
    pub fn require_admin(&self, work: &mut Work<'_>) -> Result<()> {
        if self.account.role != Role::Admin {
            return Err(Error::NotAdmin);
        }
        if settings::current(work)?.offers(&Method::Password).is_err() {
            return Ok(());
        }
        let password = db::credentials::find_password(work, self.account.id)?;
        password.map(drop).ok_or(Error::AdminNeedsPassword)
    }
}

/// Looks at the session row behind a verified access token: it must be live, of the account's present epoch, and
/// the account's owner must be allowed in.
pub fn authenticate(work: &mut Work<'_>, claims: &AccessClaims) -> Result<SignedIn> {
    let (session, account) = db::sessions::find_with_account(work, claims.sid)?.ok_or(Error::SessionEnded)?;
    is_live(claims, &session, &account)?;
    Ok(SignedIn { session, account, shown_at: Timestamp::from_seconds(claims.auth_time) })
}

/// [`authenticate`] for a use case that has read the session together with something else.
pub(crate) fn is_live(claims: &AccessClaims, session: &Session, account: &Account) -> Result<()> {
    let live = session.ended_at.is_none()
        && session.account_id == claims.sub
        && session.epoch == claims.epoch
        && session.epoch == account.security_epoch
        && account.state == AccountState::Claimed;
    if live { Ok(()) } else { Err(Error::SessionEnded) }
}

/// [`authenticate`] for a unit that will write: it holds the account, so that what is seen of it stays so.
pub fn authenticate_to_write(work: &mut Work<'_>, claims: &AccessClaims) -> Result<SignedIn> {
    work.hold(&[Lock::Account(claims.sub)])?;
    authenticate(work, claims)
}

/// Opens a session for a claimed account.
pub fn open(
    work: &mut Work<'_>,
    settings: &Settings,
    account: &Account,
    method: Method,
    identity: Option<IdentityId>,
    device: Option<DeviceToken>,
) -> Result<Issued> {
    settings.may_use(&method, account.state)?;
    let now = work.now();
    let by_provider = matches!(method, Method::Provider(_));
    let session = Session {
        id: work.new_id(),
        account_id: account.id,
        epoch: account.security_epoch,
        method,
        device_id: device.map_or_else(|| work.new_id(), |device| device.device),
        device_knows: !by_provider || device.is_some_and(|device| device.knows),
        counter: 0,
        created_at: now,
        authenticated_at: now,
        rotated_at: now,
        ended_at: None,
    };
    db::sessions::insert(work, &session, identity)?;
    Ok(issue(work, settings, session, account.clone()))
}

fn issue(work: &Work<'_>, settings: &Settings, session: Session, account: Account) -> Issued {
    let (device, knows) = (session.device_id, session.device_knows);
    let device = DeviceToken { device, account: account.id, epoch: session.epoch, knows };
    Issued {
        refresh_token: RefreshToken { session: session.id, counter: session.counter }.reveal(work.keyring()),
        refresh_expires_at: expires_at(settings, &session),
        device_token: device.reveal(work.keyring()),
        issued_at: work.now(),
        session,
        account,
    }
}

/// When a session ends if it is not used before.
#[must_use]
pub fn expires_at(settings: &Settings, session: &Session) -> Timestamp {
    let idle_end = session.rotated_at + settings.session_idle();
    idle_end.min(session.created_at + settings.session_absolute())
}

/// What becomes of a presented refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is the leaf: it is replaced.
    Rotate,
    /// Its successor was made moments ago and never used: the answer was lost, here it is again.
    Repeat,
    /// The session ends, for this reason.
    End(EndReason),
    /// It ended before.
    Ended,
}

/// The facts about a session at a refresh.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub session: &'a Session,
    pub account: (AccountState, i64),
    pub settings: &'a Settings,
    pub now: Timestamp,
}

/// The rule of refresh (I10): one live leaf, a lost answer is forgiven, reuse ends the family.
#[must_use]
pub fn turn(presented: i64, facts: Facts<'_>) -> Turn {
    let Facts { session, account: (state, epoch), settings, now } = facts;
    if session.ended_at.is_some() {
        return Turn::Ended;
    }
    if session.epoch != epoch || settings.may_use(&session.method, state).is_err() {
        let off = settings.offers(&session.method).is_err();
        return Turn::End(if off { EndReason::MethodOff } else { EndReason::AccountClosed });
    }
    let idle = now.since(session.rotated_at) >= settings.session_idle();
    if idle || now.since(session.created_at) >= settings.session_absolute() {
        return Turn::End(EndReason::Expired);
    }
    let lost_answer = now.since(session.rotated_at) < limits::LOST_ANSWER;
    match session.counter.checked_sub(presented) {
        Some(0) => Turn::Rotate,
        Some(1) if lost_answer => Turn::Repeat,
        _ => Turn::End(EndReason::Reused),
    }
}

/// Rotates a refresh token in the common case, by one statement that changes nothing unless all is as it should
/// be, the settings included. `None` leaves the decision to [`refresh`].
pub fn refresh_at_once(work: &mut Work<'_>, token: RefreshToken) -> Result<Option<Issued>> {
    let Some(settings) = settings::last_seen(work) else { return Ok(None) };
    let rotated = db::sessions::rotate(work, token, &settings)?;
    // one whose method is off was rotated for nothing: [`turn`] ends it
    let allowed = rotated.filter(|(session, _)| settings.offers(&session.method).is_ok());
    Ok(allowed.map(|(session, account)| issue(work, &settings, session, account)))
}

/// Rotates a refresh token, forgives a lost answer, or ends the session, as [`turn`] says.
pub fn refresh(work: &mut Work<'_>, token: RefreshToken) -> Result<Issued> {
    let (found, _) = db::sessions::find_with_account(work, token.session)?.ok_or(Error::SessionEnded)?;
    work.hold(&[Lock::Account(found.account_id)])?;
    let settings = settings::current(work)?;
    let (mut session, account) = db::sessions::find_with_account(work, token.session)?.ok_or(Error::SessionEnded)?;
    let facts = Facts {
        session: &session,
        account: (account.state, account.security_epoch),
        settings: &settings,
        now: work.now(),
    };
    match turn(token.counter, facts) {
        Turn::Rotate => {
            session.counter += 1;
            session.rotated_at = work.now();
            db::sessions::store_rotation(work, &session)?;
            Ok(issue(work, &settings, session, account))
        }
        Turn::Repeat => Ok(issue(work, &settings, session, account)),
        Turn::Ended => Err(Error::SessionEnded),
        Turn::End(reason) => {
            end(work, &session, reason)?;
            Err(Error::SessionEnded.and_keep())
        }
    }
}

pub(crate) fn end(work: &mut Work<'_>, session: &Session, reason: EndReason) -> Result<()> {
    db::sessions::end(work, session, reason)?;
    let account = session.account_id;
    let detail = json!({ "session_id": session.id, "reason": reason });
    audit::record(work, Action::SessionEnded, Actor::Account(account), Some(account), &detail)?;
    crate::outbox::post_event(work, "session.revoked", account, &json!({ "session_id": session.id, "reason": reason }))
}

/// Ends a session that is known by its id alone, if it is live.
pub fn end_by_id(work: &mut Work<'_>, id: SessionId, reason: EndReason) -> Result<()> {
    let Some((session, _)) = db::sessions::find_with_account(work, id)? else { return Ok(()) };
    work.hold(&[Lock::Account(session.account_id)])?;
    match db::sessions::find_with_account(work, id)? {
        Some((session, _)) if session.ended_at.is_none() => end(work, &session, reason),
        _ => Ok(()),
    }
}

/// Signs out the session a request comes with.
pub fn sign_out(work: &mut Work<'_>, who: &SignedIn) -> Result<()> {
    end(work, &who.session, EndReason::SignedOut)
}

/// Rule 9's purge: the security epoch is raised, all sessions end, all other challenges and flows are void.
/// Gives the number of sessions that ended.
pub fn purge(work: &mut Work<'_>, account: AccountId, address: Option<&EmailAddress>) -> Result<usize> {
    db::accounts::raise_epoch(work, account)?;
    let ended = db::sessions::end_all(work, account, EndReason::Purged)?;
    db::challenges::void_of_account(work, account)?;
    if let Some(address) = address {
        db::challenges::void_of_address(work, address)?;
    }
    db::social_flows::void_all(work, account)?;
    Ok(ended)
}

/// [`purge`] that leaves the session that asks for it: its tokens are made anew in the new epoch. `shown_at` is when its
/// holder last proved their presence.
pub fn purge_others(
    work: &mut Work<'_>,
    settings: &Settings,
    who: &SignedIn,
    shown_at: Timestamp,
) -> Result<(Issued, usize)> {
    let account = who.account.id;
    db::accounts::raise_epoch(work, account)?;
    let ended = db::sessions::end_others(work, &who.session, EndReason::Purged)?;
    db::challenges::void_of_account(work, account)?;
    db::social_flows::void_all(work, account)?;
    let account = db::accounts::get(work, account)?;
    let (epoch, rotated_at) = (account.security_epoch, work.now());
    let session = Session { epoch, rotated_at, authenticated_at: shown_at, ..who.session.clone() };
    let counter = db::sessions::carry_over(work, &session)?.ok_or(Error::SessionEnded)?;
    Ok((issue(work, settings, Session { counter, ..session }, account), ended))
}

/// Presence was proven anew: the session goes on with the next tokens, if a refresh would let it go on.
pub fn freshen(work: &mut Work<'_>, settings: &Settings, who: &SignedIn) -> Result<Issued> {
    let account = (who.account.state, who.account.security_epoch);
    let facts = Facts { session: &who.session, account, settings, now: work.now() };
    if let Turn::End(reason) = turn(who.session.counter, facts) {
        end(work, &who.session, reason)?;
        return Err(Error::SessionEnded.and_keep());
    }
    let counter = db::sessions::freshen(work, &who.session)?.ok_or(Error::SessionEnded)?;
    let now = work.now();
    let session = Session { counter, rotated_at: now, authenticated_at: now, ..who.session.clone() };
    Ok(issue(work, settings, session, who.account.clone()))
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
