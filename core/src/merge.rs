//! Two accounts of one person become one (rule 15): by a fresh session of each, with a preview of what will move, and by what
//! was mailed to whoever was there first in each ([`confirming`]). A fresh session may be a thief's; a merge cannot be taken
//! back, so it takes both mailboxes.

use serde_json::json;

use crate::access_token::AccessClaims;
use crate::account::{Account, AccountState, Role};
use crate::audit::{self, Action, Actor};
use crate::challenge::{self, Challenge, ChallengeDetail, ChallengePurpose, MergeOf};
use crate::clock::Timestamp;
use crate::db::{self, Lock, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::id::AccountId;
use crate::identity::{Identity, IdentityKey, IdentityKind};
use crate::linking::{self, Merging, Party};
use crate::mail::{self, Mail, MailContent};
use crate::session::{self, EndReason, SignedIn};
use crate::{confirming, limits, outbox, profile, throttle, ways_in};

/// What moves, or has moved.
#[derive(Debug, Clone)]
pub struct Merge {
    /// The account that remains, as it is now.
    pub account: Account,
    /// The account that goes into it.
    pub source: AccountId,
    pub identities: Vec<Identity>,
    pub conversations: i64,
    /// Sessions of the source that have ended, or would.
    pub sessions_ended: usize,
    pub done: bool,
}

/// Where a code was mailed to for each of two accounts; nowhere where its owner has shown anew that they are there, and has no
/// address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub survivor: Option<EmailAddress>,
    pub source: Option<EmailAddress>,
    pub expires_at: Timestamp,
}

/// The codes that were mailed.
#[derive(Debug, Clone, Copy)]
pub struct Codes<'a> {
    pub survivor: Option<&'a str>,
    pub source: Option<&'a str>,
}

/// The owners of the account that remains and of the one that goes into it.
type Both = (SignedIn, SignedIn);

/// What would move.
pub fn preview(work: &mut Work<'_>, survivor: &AccessClaims, source: &AccessClaims) -> Result<Merge> {
    let both = owners(work, survivor, source)?;
    describe(work, both)
}

fn describe(work: &mut Work<'_>, (into, from): Both) -> Result<Merge> {
    Ok(Merge {
        identities: db::identities::list_proven(work, from.account.id)?,
        conversations: db::conversations::count_of(work, from.account.id)?,
        sessions_ended: db::sessions::count_live(work, from.account.id)?,
        account: into.account,
        source: from.account.id,
        done: false,
    })
}

/// Both sessions, where their accounts may become one.
fn owners(work: &mut Work<'_>, survivor: &AccessClaims, source: &AccessClaims) -> Result<Both> {
    let into = session::authenticate(work, survivor)?;
    let from = session::authenticate(work, source).map_err(|error| match error {
        Error::SessionEnded => not_signed_in(),
        other => other,
    })?;
    let (now, same) = (work.now(), into.account.id == from.account.id);
    match linking::may_merge(same, party(&into, now), party(&from, now)) {
        Merging::Merge => Ok((into, from)),
        Merging::Stale => Err(into.stale(work)),
        Merging::OtherStale => Err(Error::OtherStale),
        Merging::Same => Err(Error::MergeRefused("Both sessions are of the same account.")),
        Merging::AdminGoes => {
            Err(Error::MergeRefused("An admin's account does not go into another: merge the other way round."))
        }
        Merging::NotClaimed => Err(not_signed_in()),
    }
}

fn party(who: &SignedIn, now: Timestamp) -> Party {
    Party {
        claimed: who.account.state == AccountState::Claimed,
        fresh: who.is_fresh(now),
        admin: who.account.role == Role::Admin,
    }
}

fn not_signed_in() -> Error {
    Error::invalid(
        "/access_token",
        "invalid",
        "It is of no live session: sign in to the other account, and send that token.",
    )
}

/// Who confirms for each side: a mailbox; none, where the account has no address and its owner is there again.
fn confirmers(work: &mut Work<'_>, (into, from): &Both) -> Result<[Option<EmailAddress>; 2]> {
    let mut found = [None, None];
    for (who, place) in [into, from].into_iter().zip(&mut found) {
        confirming::is_not_new_to_mail(work, who)?;
        *place = confirming::who_confirms(work, who)?;
    }
    if found[0].is_none() {
        confirming::is_here_again(work, into)?;
    }
    if found[1].is_none() {
        confirming::is_here_again(work, from).map_err(|_| Error::OtherStale)?;
    }
    Ok(found)
}

/// Mails a code to whoever was there first in each account. Both codes make them one.
pub fn ask(work: &mut Work<'_>, survivor: &AccessClaims, source: &AccessClaims) -> Result<Asked> {
    let both = owners(work, survivor, source)?;
    let found = confirmers(work, &both)?;
    let mut may_mail = Vec::new();
    for address in found.iter().flatten() {
        may_mail.push(throttle::may_mail_merge(work, address)?);
    }
    let may_mail = may_mail.into_iter().all(|may| may);
    let keys: Vec<IdentityKey> = found.iter().flatten().map(IdentityKey::email).collect();
    let locks: Vec<Lock<'_>> = keys.iter().map(Lock::Identity).collect();
    work.hold(&locks)?;
    work.hold(&[Lock::Account(survivor.sub), Lock::Account(source.sub)])?;
    let both = owners(work, survivor, source)?;
    if confirmers(work, &both)? != found {
        return Err(Error::Overtaken);
    }
    let [mine, theirs] = &found;
    if may_mail {
        let survivor = both.0.account.id;
        mail_code(work, (&both.0, &both.1), survivor, mine.as_ref())?;
        mail_code(work, (&both.1, &both.0), survivor, theirs.as_ref())?;
    }
    let [survivor, source] = found;
    Ok(Asked { survivor, source, expires_at: work.now() + limits::CODE_LIFE })
}

fn mail_code(
    work: &mut Work<'_>,
    (who, other): (&SignedIn, &SignedIn),
    survivor: AccountId,
    to: Option<&EmailAddress>,
) -> Result<()> {
    let Some(to) = to else { return Ok(()) };
    let merge = Some(MergeOf { other: other.account.id, survivor });
    let detail = ChallengeDetail { merge, ..ChallengeDetail::default() };
    let new = challenge::New {
        purpose: ChallengePurpose::Merge,
        address: to,
        account: Some((who.account.id, who.account.security_epoch)),
        session: Some(who.session.id),
        flow: None,
        detail: &detail,
        mailed: true,
    };
    let (id, secret) = challenge::make(work, &new)?;
    let other = other.account.primary_email.as_deref().and_then(|address| EmailAddress::parse(address).ok());
    let content = MailContent::MergeAccounts {
        code: secret.code,
        code_minutes: secret.code_minutes,
        other: other.as_ref().and_then(mail::plain),
        remains: who.account.id == survivor,
    };
    let mail = Mail { to: to.as_str().to_owned(), locale: who.account.locale.clone(), content };
    let until = work.now() + limits::CODE_LIFE;
    outbox::post_mail(work, &mail, Some(who.account.id), Some(id), until)
}

/// Makes two accounts one, by the codes that were mailed for it.
pub fn merge(work: &mut Work<'_>, survivor: &AccessClaims, source: &AccessClaims, codes: Codes<'_>) -> Result<Merge> {
    throttle::before_try(work)?;
    let both = owners(work, survivor, source)?;
    let found = confirmers(work, &both)?;
    let keys: Vec<IdentityKey> = found.iter().flatten().map(IdentityKey::email).collect();
    ways_in::hold_all(work, &[survivor.sub, source.sub], &keys.iter().collect::<Vec<_>>())?;
    work.hold(&[Lock::Account(survivor.sub), Lock::Account(source.sub)])?;
    let both = owners(work, survivor, source)?;
    // the mailbox that has the say may be another by now
    if confirmers(work, &both)? != found {
        return Err(Error::Overtaken);
    }
    let [mine, theirs] = &found;
    let needed = |address: &Option<EmailAddress>, code: Option<&str>, pointer: &str| {
        let missing = address.is_some() && code.is_none_or(str::is_empty);
        if missing { Err(Error::invalid(pointer, "required", "Send the code that was mailed.")) } else { Ok(()) }
    };
    Error::all([needed(mine, codes.survivor, "/code"), needed(theirs, codes.source, "/other_code")])?;
    let of = |other: AccountId| MergeOf { other, survivor: both.0.account.id };
    let shown = [
        recognise(work, &both.0, of(both.1.account.id), mine.as_ref().zip(codes.survivor))
            .map_err(|error| wrong("/code", error))?,
        recognise(work, &both.1, of(both.0.account.id), theirs.as_ref().zip(codes.source))
            .map_err(|error| wrong("/other_code", error))?,
    ];
    for challenge in shown.into_iter().flatten() {
        challenge::spend(work, challenge.id)?;
    }
    become_one(work, both)
}

/// Says which of the two codes is not right; the try counts all the same.
fn wrong(pointer: &'static str, error: Error) -> Error {
    match error {
        Error::Kept(inner) if matches!(*inner, Error::SecretUnknown) => Error::CodeWrong(pointer).and_keep(),
        Error::SecretUnknown => Error::CodeWrong(pointer),
        other => other,
    }
}

/// The code that one side's mailbox was sent, for this session and this merge.
fn recognise(
    work: &mut Work<'_>,
    who: &SignedIn,
    merge: MergeOf,
    shown: Option<(&EmailAddress, &str)>,
) -> Result<Option<Challenge>> {
    let Some((address, code)) = shown else { return Ok(None) };
    let mut asked = db::challenges::list_live_of_account(work, who.account.id, ChallengePurpose::Merge)?;
    let now = work.now();
    asked.retain(|c| {
        let here = c.session == Some(who.session.id) && c.epoch == Some(who.account.security_epoch);
        let this = c.detail.merge == Some(merge) && c.address == *address;
        here && this && challenge::takes_codes(c, now)
    });
    challenge::match_code(work, asked, code).map(Some)
}

fn become_one(work: &mut Work<'_>, both: Both) -> Result<Merge> {
    let (to, source, name) = (both.0.account.id, both.1.account.id, both.1.account.full_name.clone());
    let mut told = ways_in::proven_addresses(work, to)?;
    told.extend(ways_in::proven_addresses(work, source)?);
    let mut merge = describe(work, both)?;
    merge.sessions_ended = carry_over(work, &merge.identities, source, to)?;
    if let (None, Some(name)) = (&merge.account.full_name, &name) {
        db::accounts::set_name(work, to, name)?;
    }
    ways_in::tell(work, to, told, &MailContent::AccountsMerged { at: work.now() })?;
    merge.account = db::accounts::get(work, to)?;
    merge.done = true;
    Ok(merge)
}

/// Moves all that a claimed account has; gives how many of its sessions ended.
fn carry_over(work: &mut Work<'_>, identities: &[Identity], source: AccountId, to: AccountId) -> Result<usize> {
    db::accounts::raise_epoch(work, source)?;
    let ended = db::sessions::end_all(work, source, EndReason::Merged)?;
    db::challenges::void_of_account(work, source)?;
    // whoever asked to delete the one has not said so of what comes into it, and what could be undone of either has been
    // confirmed by whoever could undo it
    for purpose in [ChallengePurpose::DeleteAccount, ChallengePurpose::Merge, ChallengePurpose::EmailUndo] {
        db::challenges::void_of_purpose(work, to, purpose)?;
    }
    db::challenges::void_of_purpose(work, source, ChallengePurpose::EmailUndo)?;
    db::social_flows::void_all(work, source)?;
    db::credentials::delete_all(work, source)?;
    let oldest = db::identities::list_proven(work, to)?.iter().filter_map(|identity| identity.owned_since).min();
    for identity in identities {
        if !work.holds(Lock::Identity(&identity.key)) {
            return Err(Error::Overtaken); // it came after they were held
        }
        db::identities::move_with_proofs(work, identity, to)?;
        // of one person's addresses none was there before the others
        if let Some(oldest) = oldest {
            db::identities::set_owned_since(work, to, identity.id, oldest)?;
        }
    }
    move_all(work, source, to, Actor::Account(to))?;
    let first_address = identities.iter().find(|identity| identity.key.kind == IdentityKind::Email);
    if let (Some(identity), None) = (first_address, db::accounts::get(work, to)?.primary_email) {
        db::identities::make_primary(work, to, identity.id)?;
    }
    Ok(ended)
}

/// What is left of an account whose identities are gone goes to another: conversations, what it wrote, ratings, read
/// marks and reading grants, and of notification choices and custom fields what that one has nothing of. Its id points to that one from now on.
pub fn move_all(work: &mut Work<'_>, from: AccountId, to: AccountId, by: Actor) -> Result<()> {
    db::conversations::move_all(work, from, to)?;
    db::read_marks::move_all(work, from, to)?;
    db::reading_grants::move_all(work, from, to)?;
    profile::hand_over(work, from, to)?;
    db::accounts::mark_merged(work, from, to)?;
    audit::record(work, Action::AccountMerged, by, Some(to), &json!({ "from": from }))?;
    outbox::post_event(work, "account.merged", to, &json!({ "from": from }))
}
