//! What an admin does with the accounts of people: find them, close and open one, send a reset, end sessions, remove an
//! identity. An admin's word proves nothing and gives nobody a way in.

use serde_json::json;

use crate::access_token::AccessClaims;
use crate::account::{Account, AccountState};
use crate::audit::{self, Action, Actor};
use crate::db::{self, Lock, Work};
use crate::desk_account;
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::goodbye;
use crate::id::{AccountId, IdentityId};
use crate::identity::{Identity, IdentityKind};
use crate::linked;
use crate::linking::Ask;
use crate::mailed_secret;
use crate::outbox;
use crate::own_sessions::{self, OwnSession};
use crate::ownership;
use crate::page::{List, Page, PageAsk};
use crate::session::{self, EndReason, SignedIn};
use crate::settings::{self, Method, Settings};
use crate::throttle;

/// What a search is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// What stands in a name, an address or a handle.
    pub text: Option<String>,
    pub state: Option<AccountState>,
}

/// People, the newest first.
pub fn list(work: &mut Work<'_>, filter: &Filter, ask: PageAsk) -> Result<Page<Account>> {
    let ask = ask.of(List::named("people"))?;
    let rows = db::people::search(work, filter, ask)?;
    Ok(ask.page(rows, |row| (row.created_at, row.id.0)))
}

/// An account while it is held, with the admin who does something with it.
fn hold(work: &mut Work<'_>, claims: &AccessClaims, id: AccountId) -> Result<(SignedIn, Account)> {
    work.hold(&[Lock::Account(claims.sub), Lock::Account(id)])?;
    let who = session::authenticate_to_write(work, claims)?;
    who.require_admin(work)?;
    who.require_fresh(work)?;
    Ok((who, there(work, id)?))
}

/// An account that has not gone.
fn there(work: &mut Work<'_>, id: AccountId) -> Result<Account> {
    let account = db::accounts::find(work, id)?.ok_or(Error::NotFound("account"))?;
    match account.state {
        AccountState::Unclaimed | AccountState::Claimed | AccountState::Disabled => Ok(account),
        AccountState::Merged | AccountState::Deleted => Err(desk_account::gone(work, id)?),
    }
}

/// Closes an account to its owner: all its sessions end, and every live secret and flow is void. Doing it again changes
/// nothing. The last admin who can sign in stays.
pub fn disable(work: &mut Work<'_>, claims: &AccessClaims, id: AccountId) -> Result<()> {
    // of admins who disable each other at once one must see that the other has
    work.hold(&[Lock::House])?;
    let (who, account) = hold(work, claims, id)?;
    if account.state == AccountState::Disabled {
        return Ok(());
    }
    goodbye::is_not_the_last_admin(work, &account)?;
    db::accounts::set_disabled(work, id, Some(work.now()), AccountState::Disabled)?;
    let ended = session::purge(work, id, None)?;
    record(work, &who, id, Action::AccountDisabled, &json!({ "sessions_ended": ended }))?;
    outbox::post_event(work, "account.updated", id, &json!({ "fields": ["state"] }))
}

/// Opens a disabled account again, as it was: to its owner, if it had one.
pub fn enable(work: &mut Work<'_>, claims: &AccessClaims, id: AccountId) -> Result<()> {
    let (who, account) = hold(work, claims, id)?;
    if account.state != AccountState::Disabled {
        return Ok(());
    }
    let state = if account.claimed_at.is_some() { AccountState::Claimed } else { AccountState::Unclaimed };
    db::accounts::set_disabled(work, id, None, state)?;
    record(work, &who, id, Action::AccountEnabled, &json!({}))?;
    outbox::post_event(work, "account.updated", id, &json!({ "fields": ["state"] }))
}

/// Mails its owner, or whoever may claim it, what forgot password mails: an admin never chooses a password.
pub fn send_reset(work: &mut Work<'_>, claims: &AccessClaims, id: AccountId) -> Result<()> {
    let who = session::authenticate(work, claims)?;
    who.require_admin(work)?;
    who.require_fresh(work)?;
    let account = there(work, id)?;
    if account.state == AccountState::Disabled {
        return Err(Error::AccountClosed);
    }
    let settings = settings::current(work)?;
    settings.offers(&Method::Password)?;
    let address = address_of(work, &settings, &account)?.ok_or(Error::AddressNeeded)?;
    if let Some(retry_after) = throttle::wait_to_mail(work, Ask::PasswordReset, &address)? {
        return Err(Error::TooMany { retry_after });
    }
    mailed_secret::mail(work, Ask::PasswordReset, &address, account.locale.as_deref())?;
    record(work, &who, id, Action::ResetSent, &json!({}))
}

/// The primary address; of an unclaimed account one that support has met and that may claim it.
fn address_of(work: &mut Work<'_>, settings: &Settings, account: &Account) -> Result<Option<EmailAddress>> {
    if let Some(primary) = &account.primary_email {
        return EmailAddress::stored(primary).map(Some);
    }
    for identity in db::identities::list(work, account.id)? {
        if identity.key.kind == IdentityKind::Email {
            let address = EmailAddress::stored(&identity.key.subject)?;
            if settings.admits(&address) {
                return Ok(Some(address));
            }
        }
    }
    Ok(None)
}

/// The sessions that an account has open, the newest first.
pub fn list_sessions(work: &mut Work<'_>, id: AccountId, ask: PageAsk) -> Result<Page<OwnSession>> {
    let account = there(work, id)?;
    own_sessions::list_of(work, &account, None, ask)
}

/// Ends every session of an account; gives how many there were.
pub fn end_sessions(work: &mut Work<'_>, claims: &AccessClaims, id: AccountId) -> Result<usize> {
    let (who, _) = hold(work, claims, id)?;
    let ended = db::sessions::end_all(work, id, EndReason::EndedBySupport)?;
    if ended > 0 {
        record(work, &who, id, Action::SessionsEnded, &json!({ "sessions_ended": ended }))?;
    }
    Ok(ended)
}

/// Takes an identity from an account: it is nobody's then. Of an owner it is what unlinking does, and they are told; an
/// address stays with whoever has proven it, and so does their last way in.
pub fn remove_identity(work: &mut Work<'_>, claims: &AccessClaims, id: AccountId, identity: IdentityId) -> Result<()> {
    session::authenticate(work, claims)?.require_admin(work)?;
    let before = db::identities::find_of(work, id, identity)?.ok_or(Error::NotFound("identity"))?;
    ownership::hold(work, &[&before.key], &[claims.sub, id])?;
    let (who, account) = hold(work, claims, id)?;
    let identity: Identity = db::identities::find_of(work, id, identity)?.ok_or(Error::NotFound("identity"))?;
    let by = Actor::Account(who.account.id);
    if account.claimed_at.is_some() {
        return linked::remove(work, id, &identity, by);
    }
    db::identities::delete(work, &identity)?;
    let detail = json!({ "kind": identity.key.kind });
    audit::record(work, Action::IdentityUnlinked, by, Some(id), &detail)?;
    outbox::post_event(work, "identity.unlinked", id, &detail)
}

fn record(work: &mut Work<'_>, by: &SignedIn, of: AccountId, action: Action, detail: &serde_json::Value) -> Result<()> {
    audit::record(work, action, Actor::Account(by.account.id), Some(of), detail)
}
