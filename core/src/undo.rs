//! The undo of rule 13: whoever had an address of an account before a change of its ways in takes them back to what
//! they were. It outlives purges, so that a purge by whoever made the change does not end it, and it purges when used.
//!
//! Two who undo each other's changes would never come to an end, so the older proof wins: whoever is dropped by
//! somebody who was there before them is told, and gets no undo ([`linking::may_undo`]).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use crate::account::{Account, AccountState};
use crate::audit::{self, Action, Actor};
use crate::challenge::{Challenge, ChallengeDetail, ChallengePurpose, Presented};
use crate::clock::Timestamp;
use crate::db::{self, Lock, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::hashing::PasswordHash;
use crate::id::{AccountId, ChallengeId};
use crate::identity::{Identity, IdentityKey, IdentityKind, Proof};
use crate::linking::{self, Holder};
use crate::mail::{self, MailContent, MailedUndo};
use crate::ownership::{self, Proven};
use crate::secret::{DeviceToken, MailedCode, OpaqueToken};
use crate::settings::Method;
use crate::throttle::{self, Scope};
use crate::ways_in::{self, WayIn};
use crate::{challenge, limits, outbox, session, settings};

/// The proven identities of an account as they were right before a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaysBefore {
    pub account: AccountId,
    /// When the change was made.
    pub at: Timestamp,
    pub identities: Vec<WasOwned>,
}

/// An identity that an account's owner had proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WasOwned {
    pub key: IdentityKey,
    pub label: Option<String>,
    pub is_primary: bool,
    pub owned_since: Timestamp,
    pub proof: Proof,
}

impl WaysBefore {
    fn has(&self, key: &IdentityKey) -> bool {
        self.identities.iter().any(|was| was.key == *key)
    }

    /// Since when an address had been the account's.
    fn since(&self, address: &EmailAddress) -> Option<Timestamp> {
        let key = IdentityKey::email(address);
        self.identities.iter().find(|was| was.key == key).map(|was| was.owned_since)
    }
}

/// What an account's ways in are now: to be taken before they change.
pub fn remember(work: &mut Work<'_>, account: AccountId) -> Result<WaysBefore> {
    let proofs = db::proofs::list_last(work, account)?;
    let proven = db::identities::list_proven(work, account)?.into_iter().filter_map(|identity| {
        let (_, proof) = proofs.iter().find(|(id, _)| *id == identity.id)?;
        let Identity { key, label, is_primary, owned_since, .. } = identity;
        Some(WasOwned { key, label, is_primary, owned_since: owned_since?, proof: *proof })
    });
    Ok(WaysBefore { account, at: work.now(), identities: proven.collect() })
}

/// A secret for one who may undo what has changed since; its address is held.
pub fn offer(work: &mut Work<'_>, before: &WaysBefore, to: &EmailAddress) -> Result<MailedUndo> {
    if !work.holds(Lock::Identity(&IdentityKey::email(to))) {
        return Err(Error::Overtaken); // it came after they were held
    }
    let id: ChallengeId = work.new_id();
    let token = OpaqueToken::new(work.random());
    let expires_at = work.now() + limits::UNDO_LIFE;
    let unknown_code = MailedCode::new(work.random());
    let new = db::challenges::NewChallenge {
        id,
        purpose: ChallengePurpose::EmailUndo,
        address: to,
        account: Some((before.account, db::accounts::get(work, before.account)?.security_epoch)),
        session: None,
        flow: None,
        token_hash: Some(token.hash()),
        code_mac: unknown_code.mac(work.keyring(), id),
        code_expires_at: work.now(),
        expires_at,
        detail: &ChallengeDetail { before: Some(before.clone()), ..ChallengeDetail::default() },
    };
    db::challenges::insert(work, &new)?;
    Ok(MailedUndo { token: token.reveal(), minutes: limits::UNDO_LIFE.as_secs() / 60 })
}

/// Mails addresses what has changed, each with an undo of its own.
pub fn tell(
    work: &mut Work<'_>,
    before: &WaysBefore,
    addresses: Vec<String>,
    content: impl Fn(MailedUndo) -> MailContent,
) -> Result<()> {
    for address in addresses {
        let undo = offer(work, before, &EmailAddress::stored(&address)?)?;
        ways_in::tell_within(work, before.account, vec![address], &content(undo), limits::UNDO_LIFE)?;
    }
    Ok(())
}

/// Tells the addresses that one who has been there since `kept_since` has dropped; those that were there before get an
/// undo.
pub fn tell_dropped(
    work: &mut Work<'_>,
    before: &WaysBefore,
    kept_since: Timestamp,
    dropped: &[Identity],
) -> Result<()> {
    let at = work.now();
    for identity in dropped.iter().filter(|identity| identity.key.kind == IdentityKind::Email) {
        let told = vec![identity.key.subject.clone()];
        let address = mail::plain(&EmailAddress::stored(&identity.key.subject)?);
        let content = |undo| MailContent::EmailRemoved { address: address.clone(), at, undo };
        if identity.owned_since.is_some_and(|since| linking::may_undo(&since, &kept_since)) {
            tell(work, before, told, |undo| content(Some(undo)))?;
        } else {
            ways_in::tell(work, before.account, told, &content(None))?;
        }
    }
    Ok(())
}

/// Ends the undos of whoever came after one who drops all others.
pub fn end_of_younger(work: &mut Work<'_>, account: AccountId, kept_since: Timestamp) -> Result<()> {
    for undo in db::challenges::list_live_of_account(work, account, ChallengePurpose::EmailUndo)? {
        let since = undo.detail.before.as_ref().and_then(|before| before.since(&undo.address));
        if !since.is_some_and(|since| linking::may_undo(&since, &kept_since)) {
            db::challenges::void(work, undo.id)?;
        }
    }
    Ok(())
}

/// An undo that is good now: of whom, and how far back it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    pub address: EmailAddress,
    /// Since when the address had been the account's.
    pub since: Timestamp,
    pub back_to: Timestamp,
}

/// Every undo of an account that its address can use.
pub fn list_open(work: &mut Work<'_>, account: AccountId) -> Result<Vec<Open>> {
    let mut open = Vec::new();
    for undo in db::challenges::list_live_of_account(work, account, ChallengePurpose::EmailUndo)? {
        let Some(before) = &undo.detail.before else { continue };
        let Some(since) = before.since(&undo.address) else { continue };
        if comes_back(work, account, &IdentityKey::email(&undo.address))? {
            open.push(Open { since, back_to: before.at, address: undo.address });
        }
    }
    Ok(open)
}

/// Whether something of an account can still be undone.
pub fn is_open(work: &mut Work<'_>, account: AccountId) -> Result<bool> {
    Ok(!db::challenges::list_live_of_account(work, account, ChallengePurpose::EmailUndo)?.is_empty())
}

/// What an undo would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    pub address: EmailAddress,
    pub expires_at: Timestamp,
    /// The instant that the ways in go back to.
    pub back_to: Timestamp,
    pub ways_in: Vec<WayIn>,
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
    Ok(Inspection {
        address: shown.address,
        expires_at: shown.expires_at,
        back_to: before.at,
        ways_in,
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
    let now = remember(work, account)?;
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
    throttle::forget(work, Scope::Password(&shown.address))?;
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
    db::challenges::void_undos_since(work, before.account, before.at)?;
    let Some(kept_since) = now.since(keeper).or_else(|| before.since(keeper)) else {
        return Err(Error::Broken("an undo went to an address that never was the account's".to_owned()));
    };
    if unlink_others {
        end_of_younger(work, before.account, kept_since)?;
    }
    tell_dropped(work, now, kept_since, dropped)
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
