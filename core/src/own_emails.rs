//! The addresses of a signed-in owner: to list, make primary and remove them (rules 12 and 13). How one is added is in
//! [`adding_email`].

use serde_json::json;
use uuid::Uuid;

use crate::access_token::AccessClaims;
use crate::account::Role;
use crate::adding_email::{self, Pending};
use crate::audit::{self, Action, Actor};
use crate::clock::Timestamp;
use crate::db::{self, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::id::IdentityId;
use crate::identity::{Identity, IdentityKind};
use crate::linking::{self, Removal};
use crate::mail::{self, MailContent};
use crate::session::{self, EndReason, SignedIn};
use crate::ways_in::{self, Usable};
use crate::{outbox, throttle, undo_offers};

/// An address as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnEmail {
    /// Of the identity, or of what is still to be proven.
    pub id: Uuid,
    pub address: EmailAddress,
    /// As it was first written.
    pub label: String,
    pub state: OwnEmailState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnEmailState {
    Proven {
        at: Timestamp,
        primary: bool,
        /// A password can be set by it now (rule 14).
        usable: bool,
        /// Without it nothing that may be used now would be left.
        last_way_in: bool,
    },
    Pending {
        /// Until when the pending address is there; the link of the last mail is good no longer.
        expires_at: Timestamp,
        /// This session asked for it, and may prove it.
        asked_here: bool,
    },
}

/// The owner's addresses: the proven ones, the primary one first, then those still to be proven.
pub fn list(work: &mut Work<'_>, who: &SignedIn) -> Result<Vec<OwnEmail>> {
    let account = who.account.id;
    let usable = ways_in::usable(work, account)?;
    let mut emails = Vec::new();
    for (identity, at) in db::identities::list_with_proof(work, account)? {
        if identity.key.kind == IdentityKind::Email {
            emails.push(of_identity(identity, at, &usable)?);
        }
    }
    emails.sort_by_key(|email| !matches!(email.state, OwnEmailState::Proven { primary: true, .. }));
    emails.extend(adding_email::list(work, account)?.iter().map(|pending| of_pending(pending, who)));
    Ok(emails)
}

pub(crate) fn get(work: &mut Work<'_>, who: &SignedIn, id: Uuid) -> Result<OwnEmail> {
    list(work, who)?.into_iter().find(|email| email.id == id).ok_or(Error::NotFound("address"))
}

fn of_identity(identity: Identity, at: Timestamp, usable: &Usable) -> Result<OwnEmail> {
    let state = OwnEmailState::Proven {
        at,
        primary: identity.is_primary,
        usable: usable.identities.contains(&identity.id),
        last_way_in: linking::unlink(usable.without(identity.id)) == Removal::LastWayIn,
    };
    let address = EmailAddress::stored(&identity.key.subject)?;
    Ok(OwnEmail { id: identity.id.0, label: identity.label.unwrap_or_else(|| address.to_string()), address, state })
}

fn of_pending(pending: &Pending, who: &SignedIn) -> OwnEmail {
    let asked_here = pending.asked_by.contains(&who.session.id);
    OwnEmail {
        id: pending.id,
        label: pending.spelling.clone(),
        address: pending.address.clone(),
        state: OwnEmailState::Pending { expires_at: pending.expires_at, asked_here },
    }
}

/// Holds all of the owner's identities and their account, and finds one that is an address of theirs.
fn hold_and_find(work: &mut Work<'_>, claims: &AccessClaims, id: Uuid) -> Result<(SignedIn, Option<Identity>)> {
    ways_in::hold_all(work, &[claims.sub], &[])?;
    let who = session::authenticate_to_write(work, claims)?;
    who.require_fresh(work)?;
    let found = db::identities::find_of(work, who.account.id, IdentityId(id))?;
    Ok((who, found.filter(|identity| identity.key.kind == IdentityKind::Email)))
}

/// Makes a proven address the primary one. The one that was is told, and may undo it.
pub fn make_primary(work: &mut Work<'_>, claims: &AccessClaims, id: Uuid) -> Result<OwnEmail> {
    let (who, found) = hold_and_find(work, claims, id)?;
    let identity = found.ok_or(Error::NotFound("proven address"))?;
    if identity.is_primary {
        return get(work, &who, id);
    }
    let account = who.account.id;
    throttle::before_change(work, account)?;
    let before = undo_offers::remember(work, account)?;
    db::identities::make_primary(work, account, identity.id)?;
    let detail = json!({ "identity_id": identity.id });
    audit::record(work, Action::EmailMadePrimary, Actor::Account(account), Some(account), &detail)?;
    outbox::post_event(work, "account.updated", account, &json!({ "fields": ["primary_email"] }))?;
    let (address, at) = (mail::plain(&EmailAddress::stored(&identity.key.subject)?), work.now());
    let content = |undo| MailContent::PrimaryEmailChanged { address: address.clone(), at, undo };
    let (was, others): (Vec<_>, Vec<_>) = ways_in::proven_addresses(work, account)?
        .into_iter()
        .partition(|address| Some(address) == who.account.primary_email.as_ref());
    undo_offers::tell(work, &before, was, |undo| content(Some(undo)))?;
    ways_in::tell(work, account, others, &content(None))?;
    get(work, &who, id)
}

/// Removes an address, or gives up one that is still to be proven. A removed one is told, and may undo it.
pub fn remove(work: &mut Work<'_>, claims: &AccessClaims, id: Uuid) -> Result<()> {
    let (who, found) = hold_and_find(work, claims, id)?;
    let account = who.account.id;
    let Some(identity) = found else {
        return adding_email::cancel(work, account, id).map_err(|error| match error {
            Error::NotFound(_) => Error::NotFound("address"),
            other => other,
        });
    };
    let others: Vec<String> =
        ways_in::proven_addresses(work, account)?.into_iter().filter(|other| *other != identity.key.subject).collect();
    if identity.is_primary && !others.is_empty() {
        return Err(Error::PrimaryStays);
    }
    let usable = ways_in::usable(work, account)?;
    // an admin needs a password, and a password an address
    let last = others.is_empty() && who.account.role == Role::Admin;
    if last || linking::unlink(usable.without(identity.id)) == Removal::LastWayIn {
        return Err(Error::LastWayIn);
    }
    throttle::before_change(work, account)?;
    let before = undo_offers::remember(work, account)?;
    let ended = db::sessions::end_of_identity(work, account, identity.id, EndReason::Unlinked)?;
    db::identities::delete(work, &identity)?;
    if others.is_empty() {
        // there is nothing left to type beside it
        db::credentials::delete_all(work, account)?;
        db::accounts::touch(work, account)?;
    }
    let detail = json!({
        "identity_id": identity.id, "sessions_ended": ended, "password_removed": others.is_empty(),
    });
    audit::record(work, Action::EmailRemoved, Actor::Account(account), Some(account), &detail)?;
    outbox::post_event(work, "identity.unlinked", account, &json!({ "kind": identity.key.kind }))?;
    let (address, at) = (mail::plain(&EmailAddress::stored(&identity.key.subject)?), work.now());
    let content = |undo| MailContent::EmailRemoved { address: address.clone(), at, undo };
    undo_offers::tell(work, &before, vec![identity.key.subject.clone()], |undo| content(Some(undo)))?;
    ways_in::tell(work, account, others, &content(None))
}
