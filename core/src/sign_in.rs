//! Signing in with an address and a password, in two halves: the password is compared between them.

use serde_json::json;

use crate::account::Role;
use crate::audit::{self, Action, Actor};
use crate::db::{self, Lock, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::hashing::{PasswordHash, Verdict};
use crate::id::AccountId;
use crate::identity::IdentityKey;
use crate::known_device;
use crate::secret::DeviceToken;
use crate::session::{self, Issued};
use crate::settings::{self, Method};
use crate::throttle::{self, Scope};

/// What sign-in is given.
#[derive(Debug, Clone)]
pub struct SignInAsk {
    pub address: EmailAddress,
    pub device_token: Option<String>,
    /// How many characters the password has.
    pub characters: usize,
}

/// What there is to compare a password with; nothing for an address without an account or password, or one of an account
/// that has had too many wrong ones.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub stored: Option<PasswordHash>,
    account: Option<(AccountId, i64)>,
    device: Option<DeviceToken>,
}

/// First half of a sign-in: counts the attempt, and finds the hash to compare with. No connection is held while
/// it is compared.
pub fn begin(work: &mut Work<'_>, ask: &SignInAsk) -> Result<Candidate> {
    settings::current(work)?.offers(&Method::Password)?;
    let found = db::credentials::find_for_sign_in(work, &IdentityKey::email(&ask.address))?;
    let account = found.as_ref().map(|found| (found.account_id, found.epoch));
    let shown = ask.device_token.as_deref();
    let device = account.map(|(id, epoch)| known_device::find(work, shown, id, epoch)).transpose()?.flatten();
    let spent = throttle::before_password(work, scope(&ask.address, account, device))?;
    // an account that has had too many is answered, and is as much work, as if the password were wrong
    Ok(Candidate { stored: found.map(|found| found.hash).filter(|_| spent.is_none()), account, device })
}

/// Whoever has shown a password on a device is let through there while others guess.
fn scope(address: &EmailAddress, account: Option<(AccountId, i64)>, device: Option<DeviceToken>) -> Scope<'_> {
    match (account, device) {
        (Some((account, _)), Some(DeviceToken { device, knows: true, .. })) => Scope::Device(account, device),
        _ => Scope::Password(address, account.map(|(account, _)| account)),
    }
}

/// Second half: opens a session if the password was right and nothing has changed meanwhile.
pub fn finish(work: &mut Work<'_>, ask: &SignInAsk, candidate: &Candidate, verdict: &Verdict) -> Result<Issued> {
    let Verdict::Right { rehashed } = verdict else { return Err(Error::CredentialsWrong) };
    let (Some((id, epoch)), Some(stored)) = (candidate.account, &candidate.stored) else {
        return Err(Error::CredentialsWrong);
    };
    let scope = scope(&ask.address, candidate.account, candidate.device);
    throttle::hold(work, scope)?;
    work.hold(&[Lock::Account(id)])?;
    let settings = settings::current(work)?;
    let account = db::accounts::get(work, id)?;
    settings.offers(&Method::Password)?;
    let found = db::credentials::find_for_sign_in(work, &IdentityKey::email(&ask.address))?;
    let unchanged = found.is_some_and(|f| f.account_id == id && f.epoch == epoch && f.hash == *stored);
    if !unchanged || settings.may_use(&Method::Password, account.state).is_err() {
        return Err(Error::CredentialsWrong);
    }
    throttle::password_was_right(work, scope)?;
    if account.role == Role::Admin && ask.characters < settings.least_password_length() {
        return Err(Error::AdminNeedsPassword.and_keep());
    }
    if let Some(hash) = rehashed {
        db::credentials::put_password(work, id, hash)?;
    }
    // its owner may have disowned it while the password was compared
    let device = known_device::find_again(work, candidate.device)?;
    let known = device.is_some();
    let issued = session::open(work, &settings, &account, Method::Password, None, device)?;
    let detail = json!({ "session_id": issued.session.id, "method": Method::Password, "known_device": known });
    audit::record(work, Action::SessionCreated, Actor::Account(id), Some(id), &detail)?;
    known_device::tell_if_new(work, &account, &issued.session, known)?;
    Ok(issued)
}
