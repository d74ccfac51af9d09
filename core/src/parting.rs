//! Two accounts that became one are two again (rule 13): each has what it had before, and what came to it since by what it
//! had. Whoever undoes a merge gets their own, and nothing of the other's, so it does not matter which of the two was the
//! thief, nor who was there first. It is the last word: what either could undo of the other's is void. Where one has lost all
//! its ways in meanwhile, those it had come back that are nobody's now.

use serde_json::json;

use crate::account::AccountState;
use crate::audit::{self, Action, Actor};
use crate::challenge::{ChallengeDetail, ChallengePurpose};
use crate::db::{self, Lock, Work};
use crate::error::{Error, Result};
use crate::id::AccountId;
use crate::identity::{IdentityKey, IdentityKind};
use crate::mail::MailContent;
use crate::undo_offers::WaysBefore;
use crate::{custom_field, limits, outbox, ways_in};

/// The account that one has become part of, where it can be parted from it: its owner's, and not closed to them.
pub fn survivor(work: &mut Work<'_>, source: AccountId) -> Result<Option<AccountId>> {
    match db::accounts::find_merged_into(work, source)? {
        Some(into) if db::accounts::get(work, into)?.state == AccountState::Claimed => Ok(Some(into)),
        _ => Ok(None),
    }
}

/// Whether an account that had an owner has come into this one and can still be parted from it, or could be if its owner had
/// been told.
pub fn is_open(work: &mut Work<'_>, survivor: AccountId) -> Result<bool> {
    let sources = db::leavers::list_merged_into(work, survivor)?;
    let undos = db::challenges::list_live_of_accounts(work, &sources, ChallengePurpose::EmailUndo)?;
    let since = work.now() - limits::UNDO_LIFE;
    Ok(!undos.is_empty() || db::leavers::were_owned_after(work, &sources, since)?)
}

/// The accounts that have come into this one and can be parted from it, as they were: by what their own addresses were
/// mailed, or the survivor's.
pub fn list_open(work: &mut Work<'_>, survivor: AccountId) -> Result<Vec<WaysBefore>> {
    let mut accounts = db::leavers::list_merged_into(work, survivor)?;
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    accounts.push(survivor);
    let undos = db::challenges::list_live_of_accounts(work, &accounts, ChallengePurpose::EmailUndo)?;
    let befores = undos.into_iter().filter_map(|undo| undo.detail.before);
    let known = befores.flat_map(|mut before| {
        let came_in = std::mem::take(&mut before.came_in);
        came_in.into_iter().chain(Some(before).filter(|before| before.choices.is_some()))
    });
    only_parts_of(work, survivor, known.collect())
}

/// What of its own the survivor had when an account came into it, or as soon after as one of its addresses was told of
/// something.
pub fn had_before(work: &mut Work<'_>, survivor: AccountId, source: AccountId) -> Result<Option<WaysBefore>> {
    let undos = db::challenges::list_live_of_account(work, survivor, ChallengePurpose::EmailUndo)?;
    let told = undos.into_iter().filter_map(|undo| undo.detail.before);
    let told = told.filter(|before| before.came_in.iter().any(|one| one.account == source));
    let mut had = told.min_by_key(|before| before.at);
    if let Some(had) = &mut had {
        let theirs: Vec<IdentityKey> =
            had.came_in.iter().flat_map(|one| &one.identities).map(|was| was.key.clone()).collect();
        had.identities.retain(|was| !theirs.contains(&was.key));
    }
    Ok(had)
}

/// Each of the accounts once, where it is part of the survivor.
pub fn only_parts_of(work: &mut Work<'_>, survivor: AccountId, all: Vec<WaysBefore>) -> Result<Vec<WaysBefore>> {
    let mut found: Vec<WaysBefore> = Vec::new();
    for one in all {
        let new = !found.iter().any(|other| other.account == one.account);
        if new && self::survivor(work, one.account)? == Some(survivor) {
            found.push(one);
        }
    }
    Ok(found)
}

/// Parts an account, as it was before it became part of its survivor, by the wish of one of the two; the other is told. Both
/// are held, and all their identities.
pub fn part(work: &mut Work<'_>, before: &WaysBefore, survivor: AccountId, by: AccountId) -> Result<()> {
    let source = before.account;
    // those that had become part of the source before: what came with them is the source's
    let mut came_with = vec![source];
    came_with.extend(db::leavers::list_merged_into(work, source)?);
    db::accounts::mark_parted(work, source)?;
    bring_identities(work, before, survivor)?;
    db::conversations::move_back(work, &came_with, survivor, source)?;
    db::reading_grants::move_back(work, &came_with, survivor, source)?;
    bring_choices(work, before)?;
    choose_primary(work, survivor)?;
    end_undos_of_each_other(work, before, survivor)?;
    for (account, other) in [(source, survivor), (survivor, source)] {
        if account != by {
            ways_in::tell_proven_addresses(work, account, &MailContent::AccountsParted { at: work.now() })?;
        }
        audit::record(work, Action::AccountParted, Actor::Nobody, Some(account), &json!({ "from": other }))?;
        outbox::post_event(work, "account.parted", account, &json!({ "from": other }))?;
    }
    Ok(())
}

/// What the source had, and the survivor has still, with the conversations that came by it.
fn bring_identities(work: &mut Work<'_>, before: &WaysBefore, survivor: AccountId) -> Result<()> {
    let source = before.account;
    for identity in db::identities::list_proven(work, survivor)? {
        let Some(was) = before.identities.iter().find(|was| was.key == identity.key) else { continue };
        if !work.holds(Lock::Identity(&identity.key)) {
            return Err(Error::Overtaken); // it came after they were held
        }
        db::identities::move_with_proofs(work, &identity, source)?;
        db::identities::set_owned_since(work, source, identity.id, was.owned_since)?;
        db::conversations::move_with_requester(work, identity.id, survivor, source)?;
        if was.is_primary {
            db::identities::make_primary(work, source, identity.id)?;
        }
    }
    choose_primary(work, source)
}

/// An account that has addresses has a primary one.
fn choose_primary(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    let mine = db::identities::list_proven(work, account)?;
    let mut emails = mine.iter().filter(|identity| identity.key.kind == IdentityKind::Email).peekable();
    match emails.peek().copied() {
        Some(first) if !emails.any(|email| email.is_primary) => db::identities::make_primary(work, account, first.id),
        _ => Ok(()),
    }
}

fn bring_choices(work: &mut Work<'_>, before: &WaysBefore) -> Result<()> {
    let Some(choices) = &before.choices else { return Ok(()) };
    let mut kept = db::accounts::get_kept(work, before.account)?;
    let fields = custom_field::of_version(work, kept.fields_version)?;
    kept.custom.fill_gaps(&choices.custom, &fields);
    kept.chosen = kept.chosen.or(choices.chosen);
    db::accounts::update_profile(work, &kept)
}

/// The survivor's undos that were mailed to the source's addresses since they became one are void, and the others bring
/// back nothing of the source.
fn end_undos_of_each_other(work: &mut Work<'_>, before: &WaysBefore, survivor: AccountId) -> Result<()> {
    for undo in db::challenges::list_live_of_account(work, survivor, ChallengePurpose::EmailUndo)? {
        let Some(mut theirs) = undo.detail.before.clone().filter(|theirs| theirs.at >= before.at) else { continue };
        if before.has(&IdentityKey::email(&undo.address)) {
            db::challenges::void(work, undo.id)?;
            continue;
        }
        theirs.identities.retain(|was| !before.has(&was.key));
        theirs.came_in.retain(|source| source.account != before.account);
        db::challenges::set_detail(work, undo.id, &ChallengeDetail { before: Some(theirs), ..undo.detail })?;
    }
    Ok(())
}
