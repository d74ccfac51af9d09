//! A signed-in owner sets their first password, or another in place of the one they know. Everything older ends but
//! the session that does it.

use serde_json::json;

use crate::access_token::AccessClaims;
use crate::audit::{self, Action, Actor};
use crate::db::{self, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::hashing::{PasswordHash, Verdict};
use crate::id::AccountId;
use crate::mail::MailContent;
use crate::outbox;
use crate::session::{self, Issued, SignedIn};
use crate::settings::{self, Method};
use crate::throttle::{self, Scope};
use crate::ways_in;

/// What the new password is judged by, and what there is to compare the current one with.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub account: AccountId,
    pub stored: Option<PasswordHash>,
    pub address: EmailAddress,
}

/// First half: counts the attempt where there is a password to guess at. No connection is held while it is compared.
pub fn begin(work: &mut Work<'_>, claims: &AccessClaims) -> Result<Candidate> {
    let who = session::authenticate(work, claims)?;
    who.require_fresh(work)?;
    settings::current(work)?.offers(&Method::Password)?;
    let address = first_address(work, &who)?;
    throttle::hold(work, scope(&who, &address))?;
    let who = session::authenticate_to_write(work, claims)?;
    let stored = db::credentials::find_password(work, who.account.id)?;
    if stored.is_some() {
        throttle::before_own_password(work, scope(&who, &address))?;
    }
    Ok(Candidate { account: who.account.id, stored, address })
}

/// A device that a password was shown on is let through while others guess; a session of a provider is one of the
/// others, for its holder could open any number of them.
pub(crate) fn scope<'a>(who: &SignedIn, address: &'a EmailAddress) -> Scope<'a> {
    match who.session.method {
        Method::Provider(_) => Scope::Password(address, Some(who.account.id)),
        Method::Password | Method::SignUp => Scope::Device(who.account.id, who.session.device_id),
    }
}

pub(crate) fn first_address(work: &mut Work<'_>, who: &SignedIn) -> Result<EmailAddress> {
    let addresses = ways_in::proven_addresses(work, who.account.id)?;
    EmailAddress::stored(addresses.first().ok_or(Error::AddressNeeded)?)
}

/// What a password must not be little more than: the addresses that are proven of an account, and one that is about to be
/// its own.
pub fn addresses_of(
    work: &mut Work<'_>,
    account: Option<AccountId>,
    address: &EmailAddress,
) -> Result<Vec<EmailAddress>> {
    let mut all = vec![address.clone()];
    if let Some(account) = account {
        for proven in ways_in::proven_addresses(work, account)? {
            all.push(EmailAddress::stored(&proven)?);
        }
    }
    Ok(all)
}

/// The fault of a current password that is not the one, or not there.
#[must_use]
pub fn not_current(given: bool) -> Error {
    if given {
        Error::invalid("/current_password", "wrong_password", "It is not the current password.")
    } else {
        Error::invalid("/current_password", "required", "The account has a password: send it as well.")
    }
}

/// Second half: sets the password if the current one was right and is still the same.
pub fn finish(
    work: &mut Work<'_>,
    claims: &AccessClaims,
    candidate: &Candidate,
    verdict: Option<&Verdict>,
    new: &PasswordHash,
) -> Result<Issued> {
    let before = session::authenticate(work, claims)?;
    let counted = scope(&before, &candidate.address);
    throttle::hold(work, counted)?;
    let who = session::authenticate_to_write(work, claims)?;
    who.require_fresh(work)?;
    let settings = settings::current(work)?;
    settings.offers(&Method::Password)?;
    let account = who.account.id;
    let unchanged = db::credentials::find_password(work, account)? == candidate.stored;
    let right = candidate.stored.is_none() || matches!(verdict, Some(Verdict::Right { .. }));
    if !unchanged || !right {
        return Err(not_current(true));
    }
    if candidate.stored.is_some() {
        throttle::password_was_right(work, counted)?;
    }
    db::credentials::put_password(work, account, new)?;
    // whoever has just shown the current password is here now; a first one shows nothing
    let shown_at = if candidate.stored.is_some() { work.now() } else { who.session.authenticated_at };
    let (issued, ended) = session::purge_others(work, &settings, &who, shown_at)?;
    let action = if candidate.stored.is_some() { Action::PasswordChanged } else { Action::PasswordSet };
    audit::record(work, action, Actor::Account(account), Some(account), &json!({ "sessions_ended": ended }))?;
    outbox::post_event(work, "account.updated", account, &json!({ "fields": ["password"] }))?;
    ways_in::tell_proven_addresses(work, account, &MailContent::PasswordSet { at: work.now() })?;
    Ok(issued)
}
