//! A session becomes fresh again: by the password, by a code that is mailed to the owner, or by a provider's round trip.
//! Whoever has stolen its tokens has none of the three.

use serde_json::json;

use crate::access_token::AccessClaims;
use crate::audit::{self, Action, Actor};
use crate::challenge::{self, Challenge, ChallengeDetail, ChallengePurpose};
use crate::clock::Timestamp;
use crate::db::{self, Lock, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::hashing::{PasswordHash, Verdict};
use crate::id::{AccountId, FlowId, IdentityId};
use crate::identity::{Identity, IdentityKey, IdentityKind, ProofMethod};
use crate::limits;
use crate::linking::{self, Presence};
use crate::mail::MailContent;
use crate::own_password;
use crate::ownership;
use crate::provider::{Arrival, ProviderName};
use crate::session::{self, Issued, SignedIn};
use crate::settings::{self, Method, Settings};
use crate::social_flow::{self, FlowState, For};
use crate::{mailed_secret, throttle, ways_in};

/// What makes a session of an account fresh now: `password`, `mail` (a code to a proven address), and the names of the
/// providers that are linked. No provider is called like the other two.
pub fn ways(work: &mut Work<'_>, account: AccountId) -> Result<Vec<String>> {
    let settings = settings::current(work)?;
    let mine = db::identities::list_proven(work, account)?;
    let by_address = mine.iter().any(|identity| identity.key.kind == IdentityKind::Email);
    let mut ways = Vec::new();
    if by_address && settings.offers(&Method::Password).is_ok() {
        if db::credentials::find_password(work, account)?.is_some() {
            ways.push("password".to_owned());
        }
        ways.push("mail".to_owned());
    }
    let providers = mine.iter().filter_map(|identity| work.providers().of(&identity.key));
    for name in providers.map(|provider| &provider.name) {
        let listed = ways.iter().any(|way| way == name.as_str());
        if !listed && settings.offers(&Method::Provider(name.clone())).is_ok() {
            ways.push(name.to_string());
        }
    }
    Ok(ways)
}

/// What there is to compare a password with; nothing where the account has none.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub stored: Option<PasswordHash>,
    /// What wrong ones are counted by.
    address: Option<EmailAddress>,
}

/// First half: counts the attempt. No connection is held while the password is compared.
pub fn begin_by_password(work: &mut Work<'_>, claims: &AccessClaims) -> Result<Candidate> {
    let who = session::authenticate(work, claims)?;
    settings::current(work)?.offers(&Method::Password)?;
    let address = match own_password::first_address(work, &who) {
        Ok(address) => Some(address),
        Err(Error::AddressNeeded) => None,
        Err(other) => return Err(other),
    };
    match &address {
        Some(address) => throttle::before_own_password(work, own_password::scope(&who, address))?,
        None => throttle::before_try(work)?,
    }
    let who = session::authenticate_to_write(work, claims)?;
    Ok(Candidate { stored: db::credentials::find_password(work, who.account.id)?, address })
}

/// Second half: the session is fresh if the password was right and nothing has changed meanwhile.
pub fn finish_by_password(
    work: &mut Work<'_>,
    claims: &AccessClaims,
    candidate: &Candidate,
    verdict: &Verdict,
) -> Result<Issued> {
    let (Verdict::Right { .. }, Some(stored), Some(address)) = (verdict, &candidate.stored, &candidate.address) else {
        return Err(wrong_password());
    };
    let who = session::authenticate(work, claims)?;
    let counted = own_password::scope(&who, address);
    throttle::hold(work, counted)?;
    let who = session::authenticate_to_write(work, claims)?;
    let settings = settings::current(work)?;
    settings.offers(&Method::Password)?;
    if db::credentials::find_password(work, who.account.id)?.as_ref() != Some(stored) {
        return Err(wrong_password());
    }
    throttle::password_was_right(work, counted)?;
    freshen(work, &settings, &who, Method::Password.kind(), None)
}

/// The fault of a password that is not the one, or of an account that has none.
#[must_use]
pub fn wrong_password() -> Error {
    Error::invalid("/password", "wrong_password", "It is not the current password.")
}

/// Where a code was mailed to, and until when it is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub address: EmailAddress,
    pub expires_at: Timestamp,
}

/// Mails a code to one of the owner's addresses: the one named, or else the primary one.
pub fn ask_for_code(work: &mut Work<'_>, claims: &AccessClaims, named: Option<IdentityId>) -> Result<Asked> {
    let who = session::authenticate(work, claims)?;
    let address = address_of(work, &who, named)?;
    let may_mail = throttle::may_mail_code(work, &address)?;
    let held = mailed_secret::hold_address_and_look_up(work, &address)?;
    let who = session::authenticate_to_write(work, claims)?;
    settings::current(work)?.offers(&Method::Password)?;
    // it may have gone between looking and holding
    if address_of(work, &who, named)? != address {
        return Err(Error::Overtaken);
    }
    if !may_mail {
        // there is nobody to be kept from learning it, and a row that nobody knows the code of is of no use
        return Ok(Asked { address, expires_at: work.now() + limits::CODE_LIFE });
    }
    let new = challenge::New {
        purpose: ChallengePurpose::Reauthenticate,
        address: &address,
        account: Some((who.account.id, who.account.security_epoch)),
        session: Some(who.session.id),
        flow: None,
        detail: &ChallengeDetail::default(),
        mailed: true,
    };
    let (id, secret) = challenge::make(work, &new)?;
    let content = MailContent::Reauthenticate { code: secret.code, code_minutes: secret.code_minutes };
    mailed_secret::post(work, &address, &held, who.account.locale.as_deref(), (id, true), Some(content))?;
    Ok(Asked { address, expires_at: work.now() + limits::CODE_LIFE })
}

fn address_of(work: &mut Work<'_>, who: &SignedIn, named: Option<IdentityId>) -> Result<EmailAddress> {
    let mine = db::identities::list_proven(work, who.account.id)?;
    let emails = || mine.iter().filter(|identity| identity.key.kind == IdentityKind::Email);
    let found: Option<&Identity> = match named {
        Some(id) => Some(emails().find(|email| email.id == id).ok_or(Error::NotFound("proven address"))?),
        None => emails().find(|email| email.is_primary).or_else(|| emails().next()),
    };
    EmailAddress::stored(&found.ok_or(Error::AddressNeeded)?.key.subject)
}

/// The session is fresh by a code that was mailed for it.
pub fn by_code(work: &mut Work<'_>, claims: &AccessClaims, code: &str) -> Result<Issued> {
    throttle::before_try(work)?;
    let who = session::authenticate(work, claims)?;
    let emails: Vec<IdentityKey> =
        asked(work, &who)?.iter().map(|challenge| IdentityKey::email(&challenge.address)).collect();
    let locks: Vec<Lock<'_>> = emails.iter().map(Lock::Identity).chain([Lock::Account(claims.sub)]).collect();
    work.hold(&locks)?;
    let who = session::authenticate(work, claims)?;
    let settings = settings::current(work)?;
    settings.offers(&Method::Password)?;
    let now = work.now();
    // one that was asked for meanwhile, at an address that is not held, is not what this code is for
    let held = |c: &Challenge| emails.iter().any(|email| email.subject == c.address.as_str());
    let open = asked(work, &who)?.into_iter().filter(|c| challenge::takes_codes(c, now) && held(c)).collect();
    let challenge = challenge::match_code(work, open, code)?;
    challenge::spend(work, challenge.id)?;
    freshen(work, &settings, &who, ProofMethod::MailedCode.as_str(), None)
}

/// What this session has asked for in this epoch, at addresses that are the owner's still: whoever reads the mail of one
/// that was removed is perhaps not the owner.
fn asked(work: &mut Work<'_>, who: &SignedIn) -> Result<Vec<Challenge>> {
    let addresses = ways_in::proven_addresses(work, who.account.id)?;
    let mut asked = db::challenges::list_live_of_account(work, who.account.id, ChallengePurpose::Reauthenticate)?;
    asked.retain(|c| c.session == Some(who.session.id) && c.epoch == Some(who.account.security_epoch));
    asked.retain(|c| addresses.iter().any(|address| address == c.address.as_str()));
    Ok(asked)
}

/// The session is fresh by whoever has arrived, where that is somebody its account is signed in to with.
pub fn by_provider(work: &mut Work<'_>, claims: &AccessClaims, flow: FlowId, arrival: &Arrival) -> Result<Issued> {
    ownership::hold(work, &[&arrival.key], &[claims.sub])?;
    let who = session::authenticate_to_write(work, claims)?;
    let flow = social_flow::find_for(work, flow, For::Reauthenticate(&who))?;
    social_flow::is_open(work, &flow.provider)?;
    if !db::social_flows::end(work, flow.id, FlowState::Presented, FlowState::Spent, None)? {
        return Err(Error::FlowGone);
    }
    let held = ownership::look_up(work, &arrival.key)?;
    let same = held.account.as_ref().is_some_and(|holder| holder.id == who.account.id);
    let ago = arrival.signed_in_at.map(|then| work.now().since(then));
    let settled = is_settled(work, who.account.id, held.identity.as_ref())?;
    match linking::presence(held.holder, same, settled, ago) {
        Presence::Shown => {}
        Presence::LongAgo => return Err(Error::NotAnew.and_keep()),
        Presence::NotTheOwner => return Err(Error::NotLinked.and_keep()),
    }
    let settings = settings::current(work)?;
    freshen(work, &settings, &who, ProofMethod::Provider.as_str(), Some(&flow.provider))
}

/// Whether an identity was the account's before this session could have brought it in unseen: where there is an address, it was
/// told of what was linked.
fn is_settled(work: &mut Work<'_>, account: AccountId, identity: Option<&Identity>) -> Result<bool> {
    let mine = db::identities::list_proven(work, account)?;
    if mine.iter().any(|one| one.key.kind == IdentityKind::Email) {
        return Ok(true);
    }
    let oldest = mine.iter().filter_map(|one| one.owned_since).min();
    let Some((since, oldest)) = identity.and_then(|one| one.owned_since).zip(oldest) else { return Ok(false) };
    Ok(linking::is_settled(&since, &oldest, &(work.now() - limits::UNDO_LIFE)))
}

fn freshen(
    work: &mut Work<'_>,
    settings: &Settings,
    who: &SignedIn,
    method: &str,
    provider: Option<&ProviderName>,
) -> Result<Issued> {
    let issued = session::freshen(work, settings, who)?;
    let account = who.account.id;
    let detail = json!({ "session_id": who.session.id, "method": method, "provider": provider });
    audit::record(work, Action::SessionReauthenticated, Actor::Account(account), Some(account), &detail)?;
    Ok(issued)
}
