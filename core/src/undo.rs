//! The undo of rule 13: whoever had an address of an account before a change of its ways in takes them back to what
//! they were. It outlives purges, so that a purge by whoever made the change does not end it, and it purges when used.
//!
//! Two who undo each other's changes would never come to an end, so the older proof wins: whoever is dropped by
//! somebody who was there before them is told, and gets no undo ([`linking::may_undo`]).

use std::collections::BTreeSet;

use serde_json::json;
use zeroize::Zeroizing;

use crate::account::{Account, AccountState};
use crate::audit::{self, Action, Actor};
use crate::challenge::{self, Challenge, ChallengePurpose, Presented};
use crate::clock::Timestamp;
use crate::db::{self, Lock, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::hashing::PasswordHash;
use crate::id::{AccountId, ChallengeId};
use crate::identity::{Identity, IdentityKey, IdentityKind};
use crate::linking::{self, Holder};
use crate::mail::MailContent;
use crate::ownership::{self, Proven};
use crate::secret::DeviceToken;
use crate::settings::{self, Method};
use crate::throttle::{self, Scope};
use crate::undo_offers::{self, WaysBefore};
use crate::ways_in::{self, WayIn};
use crate::{outbox, session};

/// What an undo would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    pub address: EmailAddress,
    pub expires_at: Timestamp,
    /// The instant that the ways in go back to.
    pub back_to: Timestamp,
    /// Those there would be.
    pub ways_in: Vec<WayIn>,
    /// Those that would go.
    pub drops: Vec<WayIn>,
    pub password_min_length: usize,
}

/// Recognises the secret of an undo that is good, without spending it. A wrong one is counted.
pub fn recognise(work: &mut Work<'_>, token: &str) -> Result<Challenge> {
    let presented = Presented::Token(token.to_owned());
    let shown = challenge::recognise(work, &[ChallengePurpose::EmailUndo], &presented)?.challenge;
    let (account, _) = goal(work, &shown)?;
    if is_good(work, account, &IdentityKey::email(&shown.address))? { Ok(shown) } else { Err(Error::SecretGone) }
}

/// Looks at an undo without spending it.
pub fn inspect(work: &mut Work<'_>, token: &str) -> Result<Inspection> {
    let shown = recognise(work, token)?;
    let (account, before) = goal(work, &shown)?;
    let mut ways_in = Vec::new();
    for was in &before.identities {
        if comes_back(work, account, &was.key)? {
            ways_in.push(ways_in::of_identity(work, &was.key, was.label.clone(), None));
        }
    }
    let goes = |way: &Identity| !before.has(&way.key);
    let mine = db::identities::list_proven(work, account)?;
    let mut drops: Vec<WayIn> = mine
        .into_iter()
        .filter(goes)
        .map(|way| ways_in::of_identity(work, &way.key, way.label.clone(), Some(way.id)))
        .collect();
    if db::credentials::find_password(work, account)?.is_some() {
        drops.insert(0, WayIn::password());
    }
    Ok(Inspection {
        address: shown.address,
        expires_at: shown.expires_at,
        back_to: before.at,
        ways_in,
        drops,
        password_min_length: settings::current(work)?.password_policy("").min_length,
    })
}

/// The oldest state that its address may go back to: whoever has the mailbox has every undo that was mailed there.
fn goal(work: &mut Work<'_>, shown: &Challenge) -> Result<(AccountId, WaysBefore)> {
    let account = shown.account_id.ok_or(Error::SecretGone)?;
    let undos = db::challenges::list_live_of_account(work, account, ChallengePurpose::EmailUndo)?;
    let theirs = undos.into_iter().filter(|undo| undo.address == shown.address);
    let oldest = theirs.filter_map(|undo| undo.detail.before).min_by_key(|before| before.at);
    oldest.map(|before| (account, before)).ok_or(Error::SecretGone)
}

/// The account is still its owner's, and the address nobody else's.
fn is_good(work: &mut Work<'_>, account: AccountId, address: &IdentityKey) -> Result<bool> {
    let claimed = db::accounts::get(work, account)?.state == AccountState::Claimed;
    Ok(claimed && comes_back(work, account, address)?)
}

/// What another owner has proven meanwhile stays theirs (rule 12).
fn comes_back(work: &mut Work<'_>, account: AccountId, key: &IdentityKey) -> Result<bool> {
    let held = ownership::look_up(work, key)?;
    let same = held.account.is_some_and(|holder| holder.id == account);
    Ok(linking::comes_back(held.holder, same))
}

/// What is given by whoever presents an undo.
#[derive(Debug, Clone)]
pub struct Undo {
    pub challenge: ChallengeId,
    /// In place of the one there was, which whoever made the change may know.
    pub password: Option<PasswordHash>,
    /// Keep the address alone.
    pub unlink_others: bool,
}

#[derive(Debug)]
pub struct Undone {
    pub account: Account,
    pub ways_in: Vec<WayIn>,
    /// Whoever has just shown the secret is known to the account, however much somebody else guesses.
    pub device_token: Zeroizing<String>,
}

/// Takes an account's ways in back, and purges (rules 9 and 13), in one transaction.
pub fn undo(work: &mut Work<'_>, undo: &Undo) -> Result<Undone> {
    let shown = db::challenges::get(work, undo.challenge)?;
    let (account, before) = hold_goal(work, &shown)?;
    let address = IdentityKey::email(&shown.address);
    if !is_good(work, account, &address)? {
        return Err(Error::SecretGone);
    }
    if undo.password.is_some() {
        settings::current(work)?.offers(&Method::Password)?;
    }
    challenge::spend(work, undo.challenge)?;
    let now = undo_offers::remember(work, account)?;
    bring_back(work, &before)?;
    let keep =
        |identity: &Identity| linking::stays(identity.key == address, before.has(&identity.key), undo.unlink_others);
    let dropped = ways_in::drop_all_but(work, account, keep, "undone")?;
    restore_primary(work, &before, &address)?;
    match &undo.password {
        Some(hash) => db::credentials::put_password(work, account, hash)?,
        None => db::credentials::delete_all(work, account)?,
    }
    let ended = session::purge(work, account, Some(&shown.address))?;
    end_undos(work, &before, &now, &shown.address, undo.unlink_others, &dropped)?;
    throttle::forget(work, Scope::Password(&shown.address, Some(account)))?;
    let told = ways_in::proven_addresses(work, account)?;
    ways_in::tell(work, account, told, &MailContent::EmailChangesUndone { at: work.now() })?;
    let detail = json!({
        "back_to": before.at, "sessions_ended": ended, "ways_in_dropped": dropped.len(),
        "password_removed": undo.password.is_none(),
    });
    audit::record(work, Action::EmailUndone, Actor::Nobody, Some(account), &detail)?;
    outbox::post_event(work, "account.updated", account, &json!({ "fields": ["primary_email"] }))?;
    let account = db::accounts::get(work, account)?;
    let device = DeviceToken { device: work.new_id(), account: account.id, epoch: account.security_epoch, knows: true };
    Ok(Undone { ways_in: ways_in::list(work, account.id)?, device_token: device.reveal(work.keyring()), account })
}

/// The goal, with all held that the undo may bring back or drop, and the accounts that have it.
fn hold_goal(work: &mut Work<'_>, shown: &Challenge) -> Result<(AccountId, WaysBefore)> {
    let (account, before) = goal(work, shown)?;
    let mut keys: BTreeSet<IdentityKey> = before.identities.into_iter().map(|was| was.key).collect();
    keys.insert(IdentityKey::email(&shown.address));
    keys.extend(db::identities::list(work, account)?.into_iter().map(|identity| identity.key));
    ownership::hold(work, &keys.iter().collect::<Vec<_>>(), &[account])?;
    goal(work, shown)
}

/// Ends the undos of this change and of all that came after it, and tells whoever was dropped.
fn end_undos(
    work: &mut Work<'_>,
    before: &WaysBefore,
    now: &WaysBefore,
    keeper: &EmailAddress,
    unlink_others: bool,
    dropped: &[Identity],
) -> Result<()> {
    undo_offers::end_since(work, before.account, before.at)?;
    let Some(kept_since) = now.since(keeper).or_else(|| before.since(keeper)) else {
        return Err(Error::Broken("an undo went to an address that never was the account's".to_owned()));
    };
    if unlink_others {
        undo_offers::end_of_younger(work, before.account, kept_since)?;
    }
    undo_offers::tell_dropped(work, now, kept_since, dropped)
}

/// Takes back what has gone since and is nobody's now, with the proofs that were given of it.
fn bring_back(work: &mut Work<'_>, before: &WaysBefore) -> Result<()> {
    let account = before.account;
    for was in &before.identities {
        if !work.holds(Lock::Identity(&was.key)) {
            return Err(Error::Overtaken);
        }
        let held = ownership::look_up(work, &was.key)?;
        if !matches!(held.holder, Holder::Nobody | Holder::Unclaimed { .. }) {
            continue;
        }
        let proven = Proven { key: &was.key, label: was.label.as_deref(), name: None, proof: was.proof };
        let taken = ownership::take(work, &[proven], Some(account))?;
        for identity in taken.identities {
            db::identities::set_owned_since(work, account, identity, was.owned_since)?;
        }
        if was.key.kind == IdentityKind::Email {
            // what was mailed while it was nobody's
            db::challenges::void_of_address(work, &EmailAddress::stored(&was.key.subject)?)?;
        }
        let detail = json!({ "kind": was.key.kind, "reason": "undone" });
        audit::record(work, Action::IdentityLinked, Actor::Nobody, Some(account), &detail)?;
        outbox::post_event(work, "identity.linked", account, &json!({ "kind": was.key.kind }))?;
    }
    Ok(())
}

/// The address that was primary, where it is back; else the one that undoes.
fn restore_primary(work: &mut Work<'_>, before: &WaysBefore, address: &IdentityKey) -> Result<()> {
    let mine = db::identities::list_proven(work, before.account)?;
    let was = before.identities.iter().find(|was| was.is_primary);
    let was = was.and_then(|was| mine.iter().find(|identity| identity.key == was.key));
    match was.or_else(|| mine.iter().find(|identity| identity.key == *address)) {
        Some(identity) => db::identities::make_primary(work, before.account, identity.id),
        None => Ok(()),
    }
}
