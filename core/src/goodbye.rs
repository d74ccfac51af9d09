//! An owner deletes their account: asked for in a fresh session, confirmed by a mail, and then nothing is left of them but
//! what the desk must keep of conversations.
//!
//! Nothing is left to undo either (rule 13). Whoever has stolen a session and added an address of their own must not get
//! rid of the owner's undo by this: the mail goes to whoever was there first ([`confirming::who_confirms`]).

use std::collections::BTreeSet;

use serde_json::json;

use crate::access_token::AccessClaims;
use crate::account::{Account, Role};
use crate::adding_email::Shown;
use crate::audit::{self, Action, Actor};
use crate::challenge::{self, Challenge, ChallengeDetail, ChallengePurpose};
use crate::clock::Timestamp;
use crate::db::{self, Lock, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::id::AccountId;
use crate::identity::{Identity, IdentityKey, IdentityKind};
use crate::mail::{Mail, MailContent};
use crate::session::{self, SignedIn};
use crate::{confirming, limits, mailed_secret, outbox, throttle, undo_offers, ways_in};

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A mail is on its way, whose link or code confirms it.
    Confirm { address: EmailAddress, expires_at: Timestamp },
    /// There is no address to mail to: it is done.
    Deleted,
}

/// Asks to delete the owner's account. One to which nothing can be mailed is deleted at once, by a session that was made
/// fresh again within the last minute: whoever has only copied its tokens cannot do that.
pub fn ask(work: &mut Work<'_>, claims: &AccessClaims) -> Result<Asked> {
    let who = session::authenticate(work, claims)?;
    who.require_fresh(work)?;
    is_not_the_last_admin(work, &who.account)?;
    confirming::is_not_new_to_mail(work, &who)?;
    let Some(address) = confirming::who_confirms(work, &who)? else {
        hold_house(work, &who)?;
        let (who, _) = hold_all(work, claims)?;
        if confirming::who_confirms(work, &who)?.is_some() {
            return Err(Error::Overtaken);
        }
        is_not_the_last_admin(work, &who.account)?;
        confirming::is_here_again(work, &who)?;
        delete(work, &who)?;
        return Ok(Asked::Deleted);
    };
    let may_mail = throttle::may_mail_deletion(work, &address)?;
    let held = mailed_secret::hold_address_and_look_up(work, &address)?;
    let who = session::authenticate_to_write(work, claims)?;
    who.require_fresh(work)?;
    if confirming::who_confirms(work, &who)?.as_ref() != Some(&address) {
        return Err(Error::Overtaken);
    }
    let expires_at = work.now() + limits::LINK_LIFE;
    if !may_mail {
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
    audit::record(work, Action::DeletionAsked, Actor::Account(account), Some(account), &json!({}))?;
    Ok(Asked::Confirm { address, expires_at })
}

/// Deletes the account, by what was mailed to the session that asked, which is still fresh.
pub fn confirm(work: &mut Work<'_>, claims: &AccessClaims, shown: &Shown) -> Result<()> {
    let who = session::authenticate(work, claims)?;
    who.require_fresh(work)?;
    hold_house(work, &who)?;
    throttle::before_try(work)?;
    let (who, held) = hold_all(work, claims)?;
    who.require_fresh(work)?;
    let challenge = recognise(work, &who, &held, shown)?;
    // the mailbox that has the say may be another by now
    if confirming::who_confirms(work, &who)?.as_ref() != Some(&challenge.address) {
        return Err(Error::SecretGone);
    }
    is_not_the_last_admin(work, &who.account)?;
    confirming::is_not_new_to_mail(work, &who)?;
    challenge::spend(work, challenge.id)?;
    delete(work, &who)
}

/// Holds the house for an admin: of those who leave at once one must see that the others have.
fn hold_house(work: &mut Work<'_>, who: &SignedIn) -> Result<()> {
    if who.account.role == Role::Admin { work.hold(&[Lock::House]) } else { Ok(()) }
}

/// An account and what has become part of it, which was the same person.
fn with_merged(work: &mut Work<'_>, account: AccountId) -> Result<Vec<AccountId>> {
    let mut accounts = db::leavers::list_merged_into(work, account)?;
    accounts.push(account);
    Ok(accounts)
}

/// Holds all that the account is known by, whoever may undo something of it, and the account. Gives the keys of those who
/// may.
fn hold_all(work: &mut Work<'_>, claims: &AccessClaims) -> Result<(SignedIn, Vec<IdentityKey>)> {
    let keys: Vec<IdentityKey> =
        undo_offers::list_open(work, claims.sub)?.iter().map(|undo| IdentityKey::email(&undo.address)).collect();
    ways_in::hold_all(work, &[claims.sub], &keys.iter().collect::<Vec<_>>())?;
    let who = session::authenticate_to_write(work, claims)?;
    if who.account.role == Role::Admin && !work.holds(Lock::House) {
        return Err(Error::Overtaken); // it became an admin's after it was looked at
    }
    Ok((who, keys))
}

/// There must be somebody who can sign in as an admin.
pub(crate) fn is_not_the_last_admin(work: &mut Work<'_>, account: &Account) -> Result<()> {
    if account.role != Role::Admin {
        return Ok(());
    }
    for other in db::accounts::list_other_admins(work, account.id)? {
        if !ways_in::usable(work, other)?.identities.is_empty() {
            return Ok(());
        }
    }
    Err(Error::LastAdmin)
}

fn recognise(work: &mut Work<'_>, who: &SignedIn, undoers: &[IdentityKey], shown: &Shown) -> Result<Challenge> {
    match shown {
        Shown::Token(token) => challenge::recognise_in_session(work, ChallengePurpose::DeleteAccount, who, token),
        Shown::Code(code) => {
            let mut asked =
                db::challenges::list_live_of_account(work, who.account.id, ChallengePurpose::DeleteAccount)?;
            asked.retain(|c| c.session == Some(who.session.id) && c.epoch == Some(who.account.security_epoch));
            // one that was asked for meanwhile, at an address that is not held, is not what this code is for
            let mine: Vec<IdentityKey> =
                db::identities::list(work, who.account.id)?.into_iter().map(|identity| identity.key).collect();
            let held = |c: &Challenge| {
                let key = IdentityKey::email(&c.address);
                (mine.contains(&key) || undoers.contains(&key)) && work.holds(Lock::Identity(&key))
            };
            let now = work.now();
            asked.retain(|c| challenge::takes_codes(c, now) && held(c));
            challenge::match_code(work, asked, code)
        }
    }
}

/// Erases an owner. All of it is held.
fn delete(work: &mut Work<'_>, who: &SignedIn) -> Result<()> {
    let account = who.account.id;
    let mut told: BTreeSet<String> = ways_in::proven_addresses(work, account)?.into_iter().collect();
    told.extend(undo_offers::list_open(work, account)?.into_iter().map(|undo| undo.address.to_string()));
    say_goodbye(work, who, told)?;
    let identities = db::identities::list(work, account)?;
    forget_identities(work, &identities)?;
    db::accounts::raise_epoch(work, account)?;
    for gone in with_merged(work, account)? {
        work.hold(&[Lock::Account(gone)])?;
        erase(work, gone)?;
    }
    db::leavers::mark_deleted(work, account)?;
    audit::record(work, Action::AccountDeleted, Actor::Account(account), Some(account), &json!({}))?;
    db::audit_events::forget(work, account)?;
    outbox::post_event(work, "account.deleted", account, &json!({}))
}

/// The last mail. It is of no account: whatever else waits for this one is not sent.
fn say_goodbye(work: &mut Work<'_>, who: &SignedIn, addresses: BTreeSet<String>) -> Result<()> {
    let (at, locale) = (work.now(), &who.account.locale);
    for to in addresses {
        let mail = Mail { to, locale: locale.clone(), content: MailContent::AccountDeleted { at } };
        outbox::post_mail(work, &mail, None, None, at + limits::NOTICE_LIFE)?;
    }
    Ok(())
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
    throttle::forget_account(work, account)?;
    db::credentials::delete_all(work, account)?;
    db::outbox::delete_mail_of(work, account)?;
    db::challenges::delete_all(work, account)?;
    db::social_flows::delete_all(work, account)?;
    db::sessions::delete_all(work, account)?;
    db::idempotency_keys::delete_of(work, &format!("account {account}"))?;
    db::read_marks::delete_all(work, account)?;
    db::reading_grants::delete_all(work, account)?;
    db::merge_suggestions::delete_all(work, account)?;
    db::conversations::touch_all_of(work, account)?;
    db::messages::forget_author(work, account)?;
    db::audit_events::forget(work, account)?;
    db::leavers::forget(work, account)?;
    db::accounts::forget_choices(work, account)
}
