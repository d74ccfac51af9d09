//! An owner deletes their account: asked for in a fresh session, confirmed by a mail, and then nothing is left of them but
//! what the desk must keep of conversations.

use serde_json::json;

use crate::access_token::AccessClaims;
use crate::account::Role;
use crate::audit::{self, Actor};
use crate::challenge::{self, Challenge, ChallengeDetail, ChallengePurpose};
use crate::clock::Timestamp;
use crate::db::{self, Lock, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::id::AccountId;
use crate::identity::{Identity, IdentityKey, IdentityKind};
use crate::mail::MailContent;
use crate::own_emails::Shown;
use crate::secret::OpaqueToken;
use crate::session::{self, SignedIn};
use crate::{limits, mailed_secret, outbox, throttle, ways_in};

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A mail is on its way, whose link or code confirms it.
    Confirm { address: EmailAddress, expires_at: Timestamp },
    /// There is no address to mail to: it is done.
    Deleted,
}

/// Asks to delete the owner's account. An account without an address is deleted at once, by a session that was made fresh
/// within the last minute.
pub fn ask(work: &mut Work<'_>, claims: &AccessClaims) -> Result<Asked> {
    let who = session::authenticate(work, claims)?;
    who.require_fresh(work.now())?;
    is_not_the_last_admin(work, &who)?;
    let Some(address) = first_address(work, &who)? else {
        let who = hold_all(work, claims)?;
        let shown_now = who.is_fresh_within(work.now(), limits::FRESH_A_MOMENT_AGO);
        if first_address(work, &who)?.is_some() {
            return Err(Error::Overtaken);
        }
        if !shown_now {
            return Err(Error::Stale);
        }
        delete(work, &who)?;
        return Ok(Asked::Deleted);
    };
    let may_mail = throttle::may_mail_code(work, &address)?;
    let held = mailed_secret::hold_address_and_look_up(work, &address)?;
    let who = session::authenticate_to_write(work, claims)?;
    who.require_fresh(work.now())?;
    if first_address(work, &who)?.as_ref() != Some(&address) {
        return Err(Error::Overtaken);
    }
    let expires_at = work.now() + limits::LINK_LIFE;
    if !may_mail {
        mailed_secret::say_no_mail(work);
        return Ok(Asked::Confirm { address, expires_at });
    }
    let new = challenge::New {
        purpose: ChallengePurpose::DeleteAccount,
        address: &address,
        account: Some((who.account.id, who.account.security_epoch)),
        session: Some(who.session.id),
        flow: None,
        detail: &ChallengeDetail::default(),
        mailed: true,
    };
    let (id, secret) = challenge::make(work, &new)?;
    let content = Some(MailContent::DeleteAccount { secret });
    mailed_secret::post(work, &address, &held, who.account.locale.as_deref(), (id, true), content)?;
    let account = who.account.id;
    audit::record(work, "deletion.asked", Actor::Account(account), Some(account), &json!({}))?;
    Ok(Asked::Confirm { address, expires_at })
}

/// Deletes the account, by what was mailed to the session that asked, which is still fresh.
pub fn confirm(work: &mut Work<'_>, claims: &AccessClaims, shown: &Shown) -> Result<()> {
    let who = session::authenticate(work, claims)?;
    who.require_fresh(work.now())?;
    throttle::before_try(work)?;
    let who = hold_all(work, claims)?;
    who.require_fresh(work.now())?;
    let challenge = recognise(work, &who, shown)?;
    is_not_the_last_admin(work, &who)?;
    challenge::spend(work, challenge.id)?;
    delete(work, &who)
}

fn first_address(work: &mut Work<'_>, who: &SignedIn) -> Result<Option<EmailAddress>> {
    let mine = db::identities::list_proven(work, who.account.id)?;
    let emails = || mine.iter().filter(|identity| identity.key.kind == IdentityKind::Email);
    let first = emails().find(|email| email.is_primary).or_else(|| emails().next());
    first.map(|email| EmailAddress::stored(&email.key.subject)).transpose()
}

/// Holds the house, all that the account is known by, and the account.
fn hold_all(work: &mut Work<'_>, claims: &AccessClaims) -> Result<SignedIn> {
    work.hold(&[Lock::House])?;
    ways_in::hold_all(work, &[claims.sub], &[])?;
    session::authenticate_to_write(work, claims)
}

/// There must be somebody who can sign in as an admin.
fn is_not_the_last_admin(work: &mut Work<'_>, who: &SignedIn) -> Result<()> {
    let last = who.account.role == Role::Admin && !db::accounts::has_another_admin(work, who.account.id)?;
    if last { Err(Error::LastAdmin) } else { Ok(()) }
}

fn recognise(work: &mut Work<'_>, who: &SignedIn, shown: &Shown) -> Result<Challenge> {
    let mut asked = db::challenges::list_live_of_account(work, who.account.id, ChallengePurpose::DeleteAccount)?;
    asked.retain(|c| c.session == Some(who.session.id) && c.epoch == Some(who.account.security_epoch));
    let now = work.now();
    match shown {
        Shown::Token(text) => {
            let found = match OpaqueToken::parse(text) {
                Some(token) => db::challenges::find_by_token(work, &token.hash())?,
                None => None,
            };
            let found = found.and_then(|found| asked.into_iter().find(|challenge| challenge.id == found.id));
            found.ok_or_else(|| Error::SecretUnknown.and_keep())
        }
        Shown::Code(code) => {
            // its address is held with all others of the account
            asked.retain(|c| {
                challenge::takes_codes(c, now) && work.holds(Lock::Identity(&IdentityKey::email(&c.address)))
            });
            challenge::match_code(work, asked, code)
        }
    }
}

/// Erases an owner. All of it is held.
fn delete(work: &mut Work<'_>, who: &SignedIn) -> Result<()> {
    let account = who.account.id;
    ways_in::tell_proven_addresses(work, account, &MailContent::AccountDeleted { at: work.now() })?;
    let identities = db::identities::list(work, account)?;
    forget_identities(work, &identities)?;
    db::accounts::raise_epoch(work, account)?;
    // what has become part of it was the same person
    for gone in db::accounts::list_merged_into(work, account)?.into_iter().chain([account]) {
        work.hold(&[Lock::Account(gone)])?;
        erase(work, gone)?;
    }
    db::accounts::mark_deleted(work, account)?;
    audit::record(work, "account.deleted", Actor::Account(account), Some(account), &json!({}))?;
    db::audit_events::forget(work, account)?;
    outbox::post_event(work, "account.deleted", account, &json!({}))
}

/// They are nobody's from now on, and what was mailed to an address of theirs is void.
fn forget_identities(work: &mut Work<'_>, identities: &[Identity]) -> Result<()> {
    for identity in identities {
        if !work.holds(Lock::Identity(&identity.key)) {
            return Err(Error::Overtaken); // it came after they were held
        }
        if identity.key.kind == IdentityKind::Email {
            let address = EmailAddress::stored(&identity.key.subject)?;
            db::challenges::void_of_address(work, &address)?;
            db::challenges::delete_unbound(work, &address)?;
        }
        db::identities::delete(work, identity)?;
    }
    Ok(())
}

/// What tells of a person goes from every table; conversations stay, without the person.
fn erase(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    db::credentials::delete_all(work, account)?;
    db::outbox::forget_challenges(work, account)?;
    db::challenges::delete_all(work, account)?;
    db::social_flows::delete_all(work, account)?;
    db::sessions::delete_all(work, account)?;
    db::idempotency_keys::delete_of(work, &format!("account {account}"))?;
    db::read_marks::delete_all(work, account)?;
    db::reading_grants::delete_all(work, account)?;
    db::merge_suggestions::delete_all(work, account)?;
    db::messages::forget_author(work, account)?;
    db::interactions::forget(work, account)?;
    db::audit_events::forget(work, account)?;
    db::accounts::forget(work, account)?;
    db::accounts::forget_choices(work, account)
}
