//! Two accounts of one person become one (rule 15): by a fresh session of each, with a preview of what will move.

use serde_json::json;

use crate::access_token::AccessClaims;
use crate::account::{Account, AccountState, Role};
use crate::audit::{self, Action, Actor};
use crate::challenge::ChallengePurpose;
use crate::clock::Timestamp;
use crate::db::{self, Lock, Work};
use crate::error::{Error, Result};
use crate::id::AccountId;
use crate::identity::{Identity, IdentityKind};
use crate::linking::{self, Merging, Party};
use crate::mail::MailContent;
use crate::outbox;
use crate::session::{self, EndReason, SignedIn};
use crate::{profile, undo_offers, ways_in};

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

/// Merges the account of `source` into that of `survivor`, or says what would move.
pub fn merge(work: &mut Work<'_>, survivor: &AccessClaims, source: &AccessClaims, preview: bool) -> Result<Merge> {
    ways_in::hold_all(work, &[survivor.sub, source.sub], &[])?;
    work.hold(&[Lock::Account(survivor.sub), Lock::Account(source.sub)])?;
    let into = session::authenticate(work, survivor)?;
    let from = session::authenticate(work, source).map_err(|error| match error {
        Error::SessionEnded => not_signed_in(),
        other => other,
    })?;
    let (now, same) = (work.now(), into.account.id == from.account.id);
    let (survivor, source) = (party(work, &into, now)?, party(work, &from, now)?);
    match linking::may_merge(same, survivor, source) {
        Merging::Merge => {}
        Merging::Stale => return Err(into.stale(work)),
        Merging::OtherStale => return Err(Error::OtherStale),
        Merging::Same => return Err(Error::MergeRefused("Both sessions are of the same account.")),
        Merging::AdminGoes => {
            return Err(Error::MergeRefused("An admin's account does not go into another: merge the other way round."));
        }
        Merging::Undoable => {
            return Err(Error::MergeRefused(
                "Of the other account something was changed within 72 hours, which can still be undone: merge the other \
                 way round, or later.",
            ));
        }
        Merging::NotClaimed => return Err(not_signed_in()),
    }
    let (to, source) = (into.account.id, from.account.id);
    let identities = db::identities::list_proven(work, source)?;
    let conversations = db::conversations::count_of(work, source)?;
    let sessions_ended = db::sessions::count_live(work, source)?;
    let mut merge = Merge { account: into.account, source, identities, conversations, sessions_ended, done: false };
    if !preview {
        tell_both(work, to, source)?;
        merge.sessions_ended = carry_over(work, &merge.identities, source, to)?;
        if let (None, Some(name)) = (&merge.account.full_name, &from.account.full_name) {
            db::accounts::set_name(work, to, name)?;
        }
        merge.account = db::accounts::get(work, to)?;
        merge.done = true;
    }
    Ok(merge)
}

fn party(work: &mut Work<'_>, who: &SignedIn, now: Timestamp) -> Result<Party> {
    Ok(Party {
        claimed: who.account.state == AccountState::Claimed,
        fresh: who.is_fresh(now),
        admin: who.account.role == Role::Admin,
        undoable: undo_offers::is_open(work, who.account.id)?,
    })
}

fn not_signed_in() -> Error {
    Error::invalid(
        "/access_token",
        "invalid",
        "It is of no live session: sign in to the other account, and send that token.",
    )
}

/// Every proven address of both is told, and may undo it: the two are parted again (rule 13).
fn tell_both(work: &mut Work<'_>, to: AccountId, source: AccountId) -> Result<()> {
    let at = work.now();
    let came_in = undo_offers::remember_all(work, source)?;
    let told = ways_in::proven_addresses(work, source)?;
    undo_offers::tell(work, &came_in, told, |undo| MailContent::AccountsMerged { at, undo })?;
    let mut before = undo_offers::remember(work, to)?;
    before.came_in.push(came_in);
    let told = ways_in::proven_addresses(work, to)?;
    undo_offers::tell(work, &before, told, |undo| MailContent::AccountsMerged { at, undo })
}

/// Moves all that a claimed account has; gives how many of its sessions ended.
fn carry_over(work: &mut Work<'_>, identities: &[Identity], source: AccountId, to: AccountId) -> Result<usize> {
    db::accounts::raise_epoch(work, source)?;
    let ended = db::sessions::end_all(work, source, EndReason::Merged)?;
    db::challenges::void_of_account(work, source)?;
    // whoever asked to delete the one has not said so of what comes into it
    db::challenges::void_of_purpose(work, to, ChallengePurpose::DeleteAccount)?;
    db::social_flows::void_all(work, source)?;
    db::credentials::delete_all(work, source)?;
    let oldest = db::identities::list_proven(work, to)?.iter().filter_map(|identity| identity.owned_since).min();
    for identity in identities {
        if !work.holds(Lock::Identity(&identity.key)) {
            return Err(Error::Overtaken); // it came after they were held
        }
        db::identities::move_with_proofs(work, identity, to)?;
        db::identities::set_came_with(work, identity.id, source)?;
        // neither side was there before the other: which of the two is whose, nobody here can know
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
