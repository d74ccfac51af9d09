//! The help desk's view of an account: all there is to know, also of people who never came.

use serde_json::json;

use crate::account::{Account, AccountState};
use crate::api_key::ApiKey;
use crate::audit::{self, Action, Actor};
use crate::clock::Timestamp;
use crate::custom_field;
use crate::custom_values::{Editor, ShownValues, ValueChange};
use crate::db::{self, Lock, Work};
use crate::error::{Error, Result};
use crate::id::AccountId;
use crate::identity::Identity;
use crate::notifications::Notifications;
use crate::outbox;

/// What the desk sees.
#[derive(Debug, Clone)]
pub struct DeskAccount {
    pub account: Account,
    pub notifications: Notifications,
    pub custom: ShownValues,
    /// The keys of values that the owner does not see until they are said again.
    pub withheld: Vec<String>,
    /// Each with when its owner last proved it; never, where it was only observed.
    pub identities: Vec<(Identity, Option<Timestamp>)>,
}

/// An account; of one that became part of another, the survivor is said (rule 15).
pub fn get(work: &mut Work<'_>, id: AccountId) -> Result<DeskAccount> {
    let kept = db::accounts::find_kept(work, id)?.ok_or(Error::NotFound("account"))?;
    match kept.account.state {
        AccountState::Unclaimed | AccountState::Claimed | AccountState::Disabled => {}
        AccountState::Merged | AccountState::Deleted => return Err(gone(work, id)?),
    }
    let fields = custom_field::of_version(work, kept.fields_version)?;
    Ok(DeskAccount {
        notifications: kept.chosen.all(),
        custom: kept.custom.for_desk(&fields),
        withheld: kept.custom.withheld(&fields),
        identities: db::identities::list_with_any_proof(work, id)?,
        account: kept.account,
    })
}

/// Where an account is that is here no more.
pub(crate) fn gone(work: &mut Work<'_>, id: AccountId) -> Result<Error> {
    let mut at = id;
    while let Some(next) = db::accounts::find_merged_into(work, at)? {
        at = next;
    }
    Ok(match db::accounts::get(work, at)?.state {
        AccountState::Deleted => Error::AccountDeleted,
        _ => Error::AccountMerged(at),
    })
}

/// Says something of an account by its custom fields, where `may` allows it, given what the desk sees now.
pub fn change(
    work: &mut Work<'_>,
    key: &ApiKey,
    id: AccountId,
    change: &ValueChange,
    may: impl Fn(&DeskAccount) -> bool,
) -> Result<DeskAccount> {
    work.hold(&[Lock::Account(id)])?;
    let now = get(work, id)?;
    let mut kept = db::accounts::get_kept(work, id)?;
    let fields = custom_field::of_version(work, kept.fields_version)?;
    let changed = kept.custom.change(&fields, change, Editor::Desk)?;
    if !may(&now) {
        return Err(Error::Changed);
    }
    if changed.keys.is_empty() {
        return Ok(now);
    }
    if changed.shown {
        db::accounts::update_profile(work, &kept)?;
    } else {
        // its owner is not to learn of it, not even by a time or a tag
        db::accounts::store_custom(work, id, &kept.custom)?;
    }
    // an action of its own: what the owner may see of the trail has nothing of the fields of the desk alone
    let detail = json!({ "fields": changed.names() });
    audit::record(work, Action::AccountCustomUpdated, Actor::ApiKey(key.id), Some(id), &detail)?;
    outbox::post_event(work, "account.updated", id, &detail)?;
    get(work, id)
}
