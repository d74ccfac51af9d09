//! A signed-in owner adds an address: asked for in a fresh session, and proven by that session with what was mailed
//! (rule 12).
//!
//! An address that is still to be proven is a challenge and nothing else: it is reserved for nobody, shown to nobody but
//! who asked, and matched by nothing. Who else has it, or comes to have it, is not seen by what is shown of it (I7): it has
//! one id, however often it is mailed and whether or not there is anything to mail, and it stays until it has run out.

use serde_json::json;
use uuid::Uuid;

use crate::access_token::AccessClaims;
use crate::audit::{self, Action, Actor};
use crate::challenge::{self, Challenge, ChallengeDetail, ChallengePurpose};
use crate::clock::Timestamp;
use crate::db::{self, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::id::{AccountId, IdentityId, SessionId};
use crate::idempotency::{self, IdempotencyKey};
use crate::identity::{IdentityKey, Proof, ProofMethod};
use crate::linking::{self, Answer, Ask, House, Linking};
use crate::mail::{self, MailContent};
use crate::own_emails::{self, OwnEmail};
use crate::ownership::{self, Proven};
use crate::session::{self, SignedIn};
use crate::settings::{self, SignUpPolicy};
use crate::{limits, mailed_secret, outbox, throttle, undo_offers, ways_in};

/// An address that is still to be proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// From the first time it is asked for until it has run out.
    pub id: Uuid,
    pub address: EmailAddress,
    /// As it was written last.
    pub spelling: String,
    /// Of what was made last, mailed or not.
    pub expires_at: Timestamp,
    /// The sessions that can prove it.
    pub asked_by: Vec<SessionId>,
}

/// What is still to be proven. Whether something was mailed, and whether it is void, does not matter.
pub fn list(work: &mut Work<'_>, account: AccountId) -> Result<Vec<Pending>> {
    let mut all: Vec<Pending> = Vec::new();
    for challenge in db::challenges::list_live_of_account(work, account, ChallengePurpose::AddEmail)? {
        let Challenge { id, address, detail, expires_at, session, .. } = challenge;
        let earlier = all.iter().position(|known| known.address == address).map(|at| all.remove(at));
        let mut asked_by = earlier.map_or_else(Vec::new, |earlier| earlier.asked_by);
        asked_by.extend(session);
        let spelling = detail.spelling.unwrap_or_else(|| address.to_string());
        all.push(Pending { id: detail.pending.unwrap_or(id.0), address, spelling, expires_at, asked_by });
    }
    Ok(all)
}

fn get(work: &mut Work<'_>, account: AccountId, id: Uuid) -> Result<Pending> {
    let found = list(work, account)?.into_iter().find(|pending| pending.id == id);
    found.ok_or(Error::NotFound("address that is still to be proven"))
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
    let id: Uuid = idempotency::once(work, key, |work| ask_once(work, claims, wanted))?;
    let who = session::authenticate(work, claims)?;
    // one that was asked for with this key before may be proven by now
    let mine =
        own_emails::list(work, &who)?.into_iter().find(|email| email.id == id || email.address == wanted.address);
    mine.ok_or(Error::NotFound("address"))
}

fn ask_once(work: &mut Work<'_>, claims: &AccessClaims, wanted: &Wanted) -> Result<Uuid> {
    let who = session::authenticate(work, claims)?;
    who.require_fresh(work)?;
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
    who.require_fresh(work)?;
    has_room(work, who.account.id, wanted)?;
    if let Some(replaced) = wanted.replaces {
        replace(work, who.account.id, replaced, &wanted.address)?;
    }
    let before = list(work, who.account.id)?.into_iter().find(|pending| pending.address == wanted.address);
    // whoever adds it has an account already: the house's rules on new ones do not matter
    let house = House { road_on: true, sign_up: SignUpPolicy::Open, admits: true };
    let answer = if may_mail { linking::answer_to(Ask::AddEmail, held.holder, house) } else { Answer::Nothing };
    let mailed = answer.carries_a_secret();
    let spelling = Some(wanted.spelling.clone());
    let pending = before.map(|before| before.id);
    let detail = ChallengeDetail { spelling, pending, ..ChallengeDetail::default() };
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
    if may_mail && !mailed {
        // what was asked for before is void as it is where something was mailed
        db::challenges::void_older(work, id)?;
    }
    let pending = pending.unwrap_or(id.0);
    let content = match answer {
        Answer::AddEmail => Some(MailContent::AddEmail { secret, id: pending }),
        Answer::AddEmailNotice => Some(MailContent::AddEmailNotice),
        _ => None,
    };
    mailed_secret::post(work, &wanted.address, &held, who.account.locale.as_deref(), (id, mailed), content)?;
    Ok(pending)
}

/// An account has so many addresses at most, those that are still to be proven included.
fn has_room(work: &mut Work<'_>, account: AccountId, wanted: &Wanted) -> Result<()> {
    let proven = ways_in::proven_addresses(work, account)?.len();
    let others = list(work, account)?;
    let others = others.iter().filter(|other| other.address != wanted.address && Some(other.id) != wanted.replaces);
    if proven + others.count() < limits::ADDRESSES_PER_ACCOUNT { Ok(()) } else { Err(Error::TooManyAddresses) }
}

/// Gives up a pending address that another takes the place of.
fn replace(work: &mut Work<'_>, account: AccountId, id: Uuid, by: &EmailAddress) -> Result<()> {
    if get(work, account, id)?.address == *by { Ok(()) } else { cancel(work, account, id) }
}

/// Gives up a pending address, and all that was mailed for it.
pub(crate) fn cancel(work: &mut Work<'_>, account: AccountId, id: Uuid) -> Result<()> {
    let address = get(work, account, id)?.address;
    end(work, account, &address)
}

fn end(work: &mut Work<'_>, account: AccountId, address: &EmailAddress) -> Result<()> {
    for asked in db::challenges::list_live_of_account(work, account, ChallengePurpose::AddEmail)? {
        if asked.address == *address {
            db::challenges::void(work, asked.id)?;
        }
    }
    Ok(())
}

/// Mails the secret of a pending address once more, for this session.
pub fn ask_again(work: &mut Work<'_>, claims: &AccessClaims, id: Uuid) -> Result<OwnEmail> {
    let who = session::authenticate(work, claims)?;
    who.require_fresh(work)?;
    let Pending { address, spelling, .. } = get(work, who.account.id, id)?;
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
    who.require_fresh(work)?;
    let address = get(work, who.account.id, id)?.address;
    throttle::before_try(work)?;
    let key = IdentityKey::email(&address);
    // whoever was there before is told, with an undo each
    ways_in::hold_all(work, &[who.account.id], &[&key])?;
    ownership::hold(work, &[&key], &[who.account.id])?;
    let who = session::authenticate_to_write(work, claims)?;
    who.require_fresh(work)?;
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
    own_emails::get(work, &who, identity.0)
}

/// Of what this session has asked for the address, the challenge whose secret it is. A wrong one is counted.
fn recognise(
    work: &mut Work<'_>,
    who: &SignedIn,
    address: &EmailAddress,
    shown: &Shown,
) -> Result<(Challenge, ProofMethod)> {
    match shown {
        Shown::Token(token) => {
            let found = challenge::recognise_in_session(work, ChallengePurpose::AddEmail, who, token)?;
            let same = found.address == *address;
            if same { Ok((found, ProofMethod::MailedLink)) } else { Err(Error::SecretUnknown.and_keep()) }
        }
        Shown::Code(code) => {
            let now = work.now();
            let mut asked = db::challenges::list_live_of_account(work, who.account.id, ChallengePurpose::AddEmail)?;
            asked.retain(|challenge| challenge.address == *address && challenge.session == Some(who.session.id));
            asked.retain(|challenge| challenge.epoch == Some(who.account.security_epoch));
            asked.retain(|challenge| challenge::takes_codes(challenge, now));
            Ok((challenge::match_code(work, asked, code)?, ProofMethod::MailedCode))
        }
    }
}

fn attach(work: &mut Work<'_>, who: &SignedIn, challenge: &Challenge, method: ProofMethod) -> Result<IdentityId> {
    let account = who.account.id;
    let before = undo_offers::remember(work, account)?;
    let told = ways_in::proven_addresses(work, account)?;
    let key = IdentityKey::email(&challenge.address);
    let proof = Proof { method, challenge: Some(challenge.id), flow: None };
    let label = challenge.detail.spelling.as_deref();
    let taken = ownership::take(work, &[Proven { key: &key, label, name: None, proof }], Some(account))?;
    let identity = taken.identities.first().copied().ok_or(Error::SecretGone)?;
    end(work, account, &challenge.address)?;
    // what was mailed while it was nobody's
    db::challenges::void_of_address(work, &challenge.address)?;
    let detail = json!({ "identity_id": identity, "method": method });
    audit::record(work, Action::EmailAdded, Actor::Account(account), Some(account), &detail)?;
    outbox::post_event(work, "identity.linked", account, &json!({ "kind": key.kind, "identity_id": identity }))?;
    let (address, at) = (mail::plain(&challenge.address), work.now());
    undo_offers::tell(work, &before, told, |undo| MailContent::EmailAdded { address: address.clone(), at, undo })?;
    Ok(identity)
}
