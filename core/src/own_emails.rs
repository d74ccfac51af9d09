//! The addresses of a signed-in owner: to list, add, prove, make primary and remove them (rules 12 and 13).
//!
//! An address that is still to be proven is a challenge and nothing else: it is reserved for nobody, shown to nobody but
//! who asked, and matched by nothing.

use serde_json::json;
use uuid::Uuid;

use crate::access_token::AccessClaims;
use crate::account::Role;
use crate::audit::{self, Action, Actor};
use crate::challenge::{self, Challenge, ChallengeDetail, ChallengePurpose};
use crate::clock::Timestamp;
use crate::db::{self, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::id::{AccountId, ChallengeId, IdentityId};
use crate::idempotency::{self, IdempotencyKey};
use crate::identity::{Identity, IdentityKey, IdentityKind, Proof, ProofMethod};
use crate::linking::{self, Answer, Ask, House, Linking, Removal};
use crate::mail::{self, MailContent};
use crate::ownership::{self, Proven};
use crate::secret::OpaqueToken;
use crate::session::{self, EndReason, SignedIn};
use crate::settings::{self, SignUpPolicy};
use crate::ways_in::{self, Usable};
use crate::{limits, mailed_secret, outbox, throttle, undo};

/// An address as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnEmail {
    /// Of the identity, or of the challenge while it is still to be proven.
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
        /// Until when the mail's link is good, and the pending address is there.
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
    emails.extend(pending(work, account)?.into_iter().map(|challenge| of_challenge(&challenge, who)));
    Ok(emails)
}

fn get(work: &mut Work<'_>, who: &SignedIn, id: Uuid) -> Result<OwnEmail> {
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

fn of_challenge(challenge: &Challenge, who: &SignedIn) -> OwnEmail {
    let asked_here = challenge.session == Some(who.session.id);
    OwnEmail {
        id: challenge.id.0,
        label: challenge.detail.spelling.clone().unwrap_or_else(|| challenge.address.to_string()),
        address: challenge.address.clone(),
        state: OwnEmailState::Pending { expires_at: challenge.expires_at, asked_here },
    }
}

/// What is still to be proven: of each address the challenge that was made last.
fn pending(work: &mut Work<'_>, account: AccountId) -> Result<Vec<Challenge>> {
    let mut pending: Vec<Challenge> = Vec::new();
    for challenge in db::challenges::list_live_of_account(work, account, ChallengePurpose::AddEmail)? {
        pending.retain(|older| older.address != challenge.address);
        pending.push(challenge);
    }
    Ok(pending)
}

fn find_pending(work: &mut Work<'_>, account: AccountId, id: Uuid) -> Result<Option<Challenge>> {
    let live = db::challenges::list_live_of_account(work, account, ChallengePurpose::AddEmail)?;
    Ok(live.into_iter().find(|challenge| challenge.id == ChallengeId(id)))
}

/// An address that somebody wants to add.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub address: EmailAddress,
    pub spelling: String,
    /// One that is still to be proven, in whose place this one comes.
    pub replaces: Option<Uuid>,
}

/// Asks to add an address. Whoever else has it, the answer is the same, and they are told (I7).
pub fn ask(
    work: &mut Work<'_>,
    claims: &AccessClaims,
    wanted: &Wanted,
    key: Option<&IdempotencyKey>,
) -> Result<OwnEmail> {
    let id: ChallengeId = idempotency::once(work, key, |work| ask_once(work, claims, wanted))?;
    let who = session::authenticate(work, claims)?;
    get(work, &who, id.0)
}

fn ask_once(work: &mut Work<'_>, claims: &AccessClaims, wanted: &Wanted) -> Result<Uuid> {
    let who = session::authenticate(work, claims)?;
    who.require_fresh(work.now())?;
    if !settings::current(work)?.admits(&wanted.address) {
        return Err(Error::invalid("/email", "domain_not_allowed", "Addresses of this domain are not taken here."));
    }
    let key = IdentityKey::email(&wanted.address);
    if let Some(mine) = db::identities::find(work, &key)?.filter(|identity| identity.account_id == who.account.id) {
        return Ok(mine.id.0);
    }
    let may_mail = throttle::may_mail(work, Ask::AddEmail, &wanted.address)?;
    let held = mailed_secret::hold_address_and_look_up(work, &wanted.address)?;
    let who = session::authenticate_to_write(work, claims)?;
    who.require_fresh(work.now())?;
    has_room(work, who.account.id, wanted)?;
    if let Some(replaced) = wanted.replaces {
        cancel(work, who.account.id, replaced)?;
    }
    if !may_mail {
        mailed_secret::say_no_mail(work);
    }
    // whoever adds it has an account already: the house's rules on new ones do not matter
    let house = House { road_on: true, sign_up: SignUpPolicy::Open, admits: true };
    let answer = if may_mail { linking::answer_to(Ask::AddEmail, held.holder, house) } else { Answer::Nothing };
    let mailed = answer.carries_a_secret();
    let detail = ChallengeDetail { spelling: Some(wanted.spelling.clone()), ..ChallengeDetail::default() };
    let new = challenge::New {
        purpose: ChallengePurpose::AddEmail,
        address: &wanted.address,
        account: Some((who.account.id, who.account.security_epoch)),
        session: Some(who.session.id),
        flow: None,
        detail: &detail,
        mailed,
    };
    let (id, secret) = challenge::make(work, &new)?;
    let content = match answer {
        Answer::AddEmail => Some(MailContent::AddEmail { secret, id }),
        Answer::AddEmailNotice => Some(MailContent::AddEmailNotice),
        _ => None,
    };
    mailed_secret::post(work, &wanted.address, &held, who.account.locale.as_deref(), (id, mailed), content)?;
    Ok(id.0)
}

/// An account has so many addresses at most, those that are still to be proven included.
fn has_room(work: &mut Work<'_>, account: AccountId, wanted: &Wanted) -> Result<()> {
    let proven = ways_in::proven_addresses(work, account)?.len();
    let others = pending(work, account)?;
    let others = others.iter().filter(|other| other.address != wanted.address && Some(other.id.0) != wanted.replaces);
    if proven + others.count() < limits::ADDRESSES_PER_ACCOUNT { Ok(()) } else { Err(Error::TooManyAddresses) }
}

fn cancel(work: &mut Work<'_>, account: AccountId, id: Uuid) -> Result<()> {
    let challenge = find_pending(work, account, id)?.ok_or(Error::NotFound("address that is still to be proven"))?;
    // what was mailed for it before goes with it
    for older in db::challenges::list_live_of_account(work, account, ChallengePurpose::AddEmail)? {
        if older.address == challenge.address {
            db::challenges::void(work, older.id)?;
        }
    }
    Ok(())
}

/// Mails the secret of a pending address once more; it has another id from now on.
pub fn ask_again(work: &mut Work<'_>, claims: &AccessClaims, id: Uuid) -> Result<OwnEmail> {
    let who = session::authenticate(work, claims)?;
    let found = find_pending(work, who.account.id, id)?;
    let Challenge { address, detail, .. } = found.ok_or(Error::NotFound("address that is still to be proven"))?;
    let spelling = detail.spelling.unwrap_or_else(|| address.to_string());
    ask(work, claims, &Wanted { address, spelling, replaces: None }, None)
}

/// A pending address's secret as its owner presents it.
#[derive(Clone)]
pub enum Shown {
    Token(String),
    Code(String),
}

/// Adds an address to the account of the session that asked for it, which is still fresh, by what was mailed to it.
pub fn prove(work: &mut Work<'_>, claims: &AccessClaims, id: Uuid, shown: &Shown) -> Result<OwnEmail> {
    let who = session::authenticate(work, claims)?;
    who.require_fresh(work.now())?;
    let found = find_pending(work, who.account.id, id)?;
    let address = found.ok_or(Error::NotFound("address that is still to be proven"))?.address;
    throttle::before_try(work)?;
    let key = IdentityKey::email(&address);
    // whoever was there before is told, with an undo each
    ways_in::hold_all(work, &[who.account.id], &[&key])?;
    ownership::hold(work, &[&key], &[who.account.id])?;
    let who = session::authenticate_to_write(work, claims)?;
    who.require_fresh(work.now())?;
    let (challenge, method) = recognise(work, &who, &address, shown)?;
    if !settings::current(work)?.admits(&address) {
        return Err(Error::SecretGone);
    }
    throttle::before_change(work, who.account.id)?;
    let challenge = challenge::spend(work, challenge.id)?;
    let held = ownership::look_up(work, &key)?;
    let same = held.account.as_ref().is_some_and(|holder| holder.id == who.account.id);
    let identity = match (linking::link(held.holder, same), held.identity) {
        (Linking::Attach, _) => attach(work, &who, &challenge, method)?,
        (Linking::Already, Some(identity)) => identity.id,
        // whoever proves an address ends what others wait for at it, so this is one that nobody mailed
        (Linking::Already | Linking::Taken, _) => return Err(Error::SecretGone),
    };
    get(work, &who, identity.0)
}

/// Of what this session has asked for the address, the challenge whose secret it is. A wrong one is counted.
fn recognise(
    work: &mut Work<'_>,
    who: &SignedIn,
    address: &EmailAddress,
    shown: &Shown,
) -> Result<(Challenge, ProofMethod)> {
    let live = db::challenges::list_live_of_account(work, who.account.id, ChallengePurpose::AddEmail)?;
    let mut asked: Vec<Challenge> = live
        .into_iter()
        .filter(|challenge| challenge.address == *address && challenge.session == Some(who.session.id))
        .filter(|challenge| challenge.epoch == Some(who.account.security_epoch))
        .collect();
    match shown {
        Shown::Token(text) => {
            let found = match OpaqueToken::parse(text) {
                Some(token) => db::challenges::find_by_token(work, &token.hash())?,
                None => None,
            };
            let found = found.and_then(|found| asked.into_iter().find(|challenge| challenge.id == found.id));
            Ok((found.ok_or_else(|| Error::SecretUnknown.and_keep())?, ProofMethod::MailedLink))
        }
        Shown::Code(code) => {
            let now = work.now();
            asked.retain(|challenge| challenge::takes_codes(challenge, now));
            Ok((challenge::match_code(work, asked, code)?, ProofMethod::MailedCode))
        }
    }
}

fn attach(work: &mut Work<'_>, who: &SignedIn, challenge: &Challenge, method: ProofMethod) -> Result<IdentityId> {
    let account = who.account.id;
    let before = undo::remember(work, account)?;
    let told = ways_in::proven_addresses(work, account)?;
    let key = IdentityKey::email(&challenge.address);
    let proof = Proof { method, challenge: Some(challenge.id), flow: None };
    let label = challenge.detail.spelling.as_deref();
    let taken = ownership::take(work, &[Proven { key: &key, label, name: None, proof }], Some(account))?;
    let identity = taken.identities.first().copied().ok_or(Error::SecretGone)?;
    // what was mailed while it was nobody's
    db::challenges::void_of_address(work, &challenge.address)?;
    let detail = json!({ "identity_id": identity, "method": method });
    audit::record(work, Action::EmailAdded, Actor::Account(account), Some(account), &detail)?;
    outbox::post_event(work, "identity.linked", account, &json!({ "kind": key.kind, "identity_id": identity }))?;
    let (address, at) = (mail::plain(&challenge.address), work.now());
    undo::tell(work, &before, told, |undo| MailContent::EmailAdded { address: address.clone(), at, undo })?;
    Ok(identity)
}

/// Holds all of the owner's identities and their account, and finds one that is an address of theirs.
fn hold_and_find(work: &mut Work<'_>, claims: &AccessClaims, id: Uuid) -> Result<(SignedIn, Option<Identity>)> {
    ways_in::hold_all(work, &[claims.sub], &[])?;
    let who = session::authenticate_to_write(work, claims)?;
    who.require_fresh(work.now())?;
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
    let before = undo::remember(work, account)?;
    db::identities::make_primary(work, account, identity.id)?;
    let detail = json!({ "identity_id": identity.id });
    audit::record(work, Action::EmailMadePrimary, Actor::Account(account), Some(account), &detail)?;
    outbox::post_event(work, "account.updated", account, &json!({ "fields": ["primary_email"] }))?;
    let (address, at) = (mail::plain(&EmailAddress::stored(&identity.key.subject)?), work.now());
    let content = |undo| MailContent::PrimaryEmailChanged { address: address.clone(), at, undo };
    let (was, others): (Vec<_>, Vec<_>) = ways_in::proven_addresses(work, account)?
        .into_iter()
        .partition(|address| Some(address) == who.account.primary_email.as_ref());
    undo::tell(work, &before, was, |undo| content(Some(undo)))?;
    ways_in::tell(work, account, others, &content(None))?;
    get(work, &who, id)
}

/// Removes an address, or gives up one that is still to be proven. A removed one is told, and may undo it.
pub fn remove(work: &mut Work<'_>, claims: &AccessClaims, id: Uuid) -> Result<()> {
    let (who, found) = hold_and_find(work, claims, id)?;
    let account = who.account.id;
    let Some(identity) = found else {
        return cancel(work, account, id).map_err(|error| match error {
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
    let before = undo::remember(work, account)?;
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
    undo::tell(work, &before, vec![identity.key.subject.clone()], |undo| content(Some(undo)))?;
    ways_in::tell(work, account, others, &content(None))
}
