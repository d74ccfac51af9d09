//! How an account becomes its owner's: what is proven together becomes one account's, with the history that came by
//! it, and the rest stays behind (rule 10).

use serde_json::json;

use crate::account::{Account, AccountState};
use crate::audit::{self, Action, Actor};
use crate::db::{self, Lock, Work};
use crate::error::{Error, Result};
use crate::id::{AccountId, IdentityId};
use crate::identity::{Identity, IdentityKey, IdentityKind, Proof};
use crate::linking::{self, Holder};
use crate::{merge, profile};

/// Who holds an identity, with what the use cases need of them.
#[derive(Debug, Clone)]
pub struct Held {
    pub holder: Holder,
    pub account: Option<Account>,
    pub identity: Option<Identity>,
}

impl Held {
    /// The account and its security epoch, for what is good for these alone.
    #[must_use]
    pub fn bound(&self) -> Option<(AccountId, i64)> {
        self.account.as_ref().map(|account| (account.id, account.security_epoch))
    }
}

/// Looks at who holds an identity. One query, whoever it is (I7).
pub fn look_up(work: &mut Work<'_>, key: &IdentityKey) -> Result<Held> {
    let found = db::identities::find_holder(work, key)?;
    Ok(match found {
        None => Held { holder: Holder::Nobody, account: None, identity: None },
        Some((identity, account, identities)) => {
            Held { holder: Holder::of(account.state, identities), account: Some(account), identity: Some(identity) }
        }
    })
}

/// Holds identities, and then the accounts of whoever has them together with others. Whose an identity is changes only
/// in a unit that holds it, so the accounts are the right ones.
pub fn hold(work: &mut Work<'_>, keys: &[&IdentityKey], others: &[AccountId]) -> Result<()> {
    let names: Vec<Lock<'_>> = keys.iter().map(|key| Lock::Identity(key)).collect();
    work.hold(&names)?;
    let mut accounts = others.to_vec();
    for key in keys {
        accounts.extend(db::identities::find(work, key)?.map(|identity| identity.account_id));
    }
    let locks: Vec<Lock<'_>> = accounts.into_iter().map(Lock::Account).collect();
    work.hold(&locks)
}

/// [`hold`] and [`look_up`] for one.
pub fn hold_and_look_up(work: &mut Work<'_>, key: &IdentityKey) -> Result<Held> {
    hold(work, &[key], &[])?;
    look_up(work, key)
}

/// One identity that somebody has just proven.
#[derive(Debug, Clone)]
pub struct Proven<'a> {
    pub key: &'a IdentityKey,
    pub label: Option<&'a str>,
    pub name: Option<&'a str>,
    pub proof: Proof,
}

/// How an account came to its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Created,
    Claimed,
    ClaimedInPart,
    /// It was theirs, and got more.
    Joined,
}

#[derive(Debug, Clone)]
pub struct Taken {
    pub account: AccountId,
    /// In the order they were proven in.
    pub identities: Vec<IdentityId>,
    pub how: How,
}

/// Makes identities that are nobody's, all proven at once, one account's: `into` a claimed one, else the one that
/// [`linking::home`] says. They and the accounts that have them are held.
pub fn take(work: &mut Work<'_>, proven: &[Proven<'_>], into: Option<AccountId>) -> Result<Taken> {
    let mut places = Vec::new();
    for one in proven {
        places.push(place(work, one.key, proven)?);
    }
    let homes: Vec<_> = places.iter().map(|place| place.as_ref().map(|(id, alone)| (id.account_id, *alone))).collect();
    let kept = linking::home(&homes);
    let (account, how) = match (into, kept) {
        (Some(account), _) => (account, How::Joined),
        (None, Some(account)) => {
            db::accounts::claim(work, account)?;
            // it can have none, and if it had one it would be no owner's
            db::credentials::delete_all(work, account)?;
            (account, How::Claimed)
        }
        (None, None) => {
            let seen = places.iter().flatten().find_map(|(identity, _)| identity.name.clone());
            let name = seen.or_else(|| proven.iter().find_map(|one| one.name.map(str::to_owned)));
            let how = if places.iter().all(Option::is_none) { How::Created } else { How::ClaimedInPart };
            (db::accounts::insert_claimed(work, name.as_deref())?.id, how)
        }
    };
    if let (How::Claimed, Some(name)) = (how, proven.iter().find_map(|one| one.name))
        && db::accounts::get(work, account)?.full_name.is_none()
    {
        db::accounts::set_name(work, account, name)?;
    }
    let mut identities = Vec::new();
    for (one, place) in proven.iter().zip(places) {
        let identity = bring(work, one, place.map(|(identity, _)| identity), account)?;
        db::proofs::insert(work, identity, account, one.proof)?;
        identities.push(identity);
    }
    let first_address = proven.iter().zip(&identities).find(|(one, _)| one.key.kind == IdentityKind::Email);
    if let (Some((_, identity)), None) = (first_address, db::accounts::get(work, account)?.primary_email) {
        db::identities::make_primary(work, account, *identity)?;
    }
    Ok(Taken { account, identities, how })
}

/// The unclaimed account that has an identity, and whether all else it has is proven as well.
fn place(work: &mut Work<'_>, key: &IdentityKey, proven: &[Proven<'_>]) -> Result<Option<(Identity, bool)>> {
    let Some(identity) = db::identities::find(work, key)? else { return Ok(None) };
    if db::accounts::get(work, identity.account_id)?.state != AccountState::Unclaimed {
        return Err(Error::Broken("an identity that has an owner was to be taken".to_owned()));
    }
    let all = db::identities::list(work, identity.account_id)?;
    let alone = all.iter().all(|other| proven.iter().any(|one| *one.key == other.key));
    Ok(Some((identity, alone)))
}

/// One identity comes to an account, with the conversations that came by it. What it leaves stays unclaimed, and the
/// desk is told that the two may be one person; an account that it leaves empty goes with it.
fn bring(work: &mut Work<'_>, one: &Proven<'_>, identity: Option<Identity>, to: AccountId) -> Result<IdentityId> {
    let Some(identity) = identity else {
        return Ok(db::identities::insert(work, to, one.key, one.label, one.name)?.id);
    };
    let from = identity.account_id;
    let handle = one.label.filter(|_| one.key.kind != IdentityKind::Email);
    db::identities::see_again(work, &identity, handle, None)?;
    if from == to {
        return Ok(identity.id);
    }
    db::identities::move_to(work, &identity, to)?;
    db::conversations::move_with_requester(work, identity.id, from, to)?;
    let detail = json!({ "identity_id": identity.id, "kind": identity.key.kind, "to": to });
    audit::record(work, Action::IdentityMoved, Actor::Nobody, Some(from), &detail)?;
    if db::identities::list(work, from)?.is_empty() {
        merge::move_all(work, from, to, Actor::Nobody)?;
    } else {
        profile::withhold(work, from)?;
        db::merge_suggestions::insert(work, to, from, "claimed_in_part")?;
    }
    Ok(identity.id)
}
