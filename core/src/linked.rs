//! The identities of a signed-in owner: to list, to link and to unlink them (rule 12).

use serde_json::json;

use crate::access_token::AccessClaims;
use crate::audit::{self, Action, Actor};
use crate::clock::Timestamp;
use crate::db::{self, Work};
use crate::error::{Error, Result};
use crate::id::{AccountId, FlowId, IdentityId};
use crate::identity::{Identity, IdentityKey, IdentityKind, Proof, ProofMethod};
use crate::linking::{self, Linking, Removal};
use crate::mail::{MailContent, Named};
use crate::outbox;
use crate::ownership::{self, Proven};
use crate::provider::{Arrival, ProviderName};
use crate::session::{self, EndReason, SignedIn};
use crate::social_flow::{self, FlowState, For};
use crate::ways_in::{self, Usable};

/// An identity as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedIdentity {
    pub identity: Identity,
    /// The provider it signs in with, where one is configured here.
    pub provider: Option<ProviderName>,
    pub proven_at: Timestamp,
    /// It can be signed in with now (rule 14).
    pub usable: bool,
    /// The session that asks was opened with it, and would end with it.
    pub opened_this_session: bool,
    /// Without it nothing that may be used now would be left.
    pub last_way_in: bool,
}

/// The owner's identities, addresses included.
pub fn list(work: &mut Work<'_>, who: &SignedIn) -> Result<Vec<LinkedIdentity>> {
    let usable = ways_in::usable(work, who.account.id)?;
    let opened = db::sessions::identity_of(work, who.session.id)?;
    let proven = db::identities::list_with_proof(work, who.account.id)?.into_iter();
    Ok(proven.map(|(identity, proven_at)| describe(work, identity, proven_at, &usable, opened)).collect())
}

fn describe(
    work: &Work<'_>,
    identity: Identity,
    proven_at: Timestamp,
    usable: &Usable,
    opened: Option<IdentityId>,
) -> LinkedIdentity {
    let provider = work.providers().of(&identity.key).map(|provider| provider.name.clone());
    LinkedIdentity {
        provider,
        proven_at,
        usable: usable.identities.contains(&identity.id),
        opened_this_session: opened == Some(identity.id),
        last_way_in: linking::unlink(usable.without(identity.id)) == Removal::LastWayIn,
        identity,
    }
}

/// Links whoever has arrived to the account of the session that began the flow and now finishes it.
pub fn link(work: &mut Work<'_>, claims: &AccessClaims, flow: FlowId, arrival: &Arrival) -> Result<LinkedIdentity> {
    ownership::hold(work, &[&arrival.key], &[claims.sub])?;
    let who = session::authenticate_to_write(work, claims)?;
    let account = who.account.id;
    let flow = social_flow::find_for(work, flow, For::Link(&who))?;
    social_flow::is_open(work, &flow.provider)?;
    if !db::social_flows::end(work, flow.id, FlowState::Presented, FlowState::Spent, None)? {
        return Err(Error::FlowGone);
    }
    let proof = Proof { method: ProofMethod::Provider, challenge: None, flow: Some(flow.id) };
    let proven = Proven { key: &arrival.key, label: arrival.label.as_deref(), name: arrival.name.as_deref(), proof };
    match becoming(work, &proven, account)? {
        Linking::Attach => {
            let named = Named::of_arrival(work.providers(), arrival);
            let mail = MailContent::IdentityLinked { named, at: work.now() };
            attach(work, &proven, account, Some(&flow.provider), &mail)?;
        }
        Linking::Already => {}
        Linking::Taken => return Err(Error::IdentityTaken.and_keep()),
    }
    find(work, &who, &arrival.key)
}

/// What becomes of an identity that the owner of an account has proven.
pub(crate) fn becoming(work: &mut Work<'_>, proven: &Proven<'_>, account: AccountId) -> Result<Linking> {
    let held = ownership::look_up(work, proven.key)?;
    let same = held.account.as_ref().is_some_and(|holder| holder.id == account);
    Ok(linking::link(held.holder, same))
}

/// Links what is nobody's own, and tells every proven address.
pub(crate) fn attach(
    work: &mut Work<'_>,
    proven: &Proven<'_>,
    account: AccountId,
    provider: Option<&ProviderName>,
    mail: &MailContent,
) -> Result<()> {
    let taken = ownership::take(work, std::slice::from_ref(proven), Some(account))?;
    let detail = json!({ "kind": proven.key.kind, "provider": provider, "identity_id": taken.identities.first() });
    audit::record(work, Action::IdentityLinked, Actor::Account(account), Some(account), &detail)?;
    outbox::post_event(work, "identity.linked", account, &detail)?;
    ways_in::tell_proven_addresses(work, account, mail)
}

/// One of the owner's identities.
pub(crate) fn find(work: &mut Work<'_>, who: &SignedIn, key: &IdentityKey) -> Result<LinkedIdentity> {
    let account = who.account.id;
    let usable = ways_in::usable(work, account)?;
    let mine = db::identities::list_with_proof(work, account)?;
    let (identity, proven_at) = mine
        .into_iter()
        .find(|(identity, _)| identity.key == *key)
        .ok_or_else(|| Error::Broken("what was linked is not there".to_owned()))?;
    let opened = db::sessions::identity_of(work, who.session.id)?;
    Ok(describe(work, identity, proven_at, &usable, opened))
}

/// Unlinks an identity, and ends the sessions it has opened. It is nobody's then; history that was opened stays.
pub fn unlink(work: &mut Work<'_>, claims: &AccessClaims, id: IdentityId) -> Result<()> {
    let before = db::identities::find_of(work, claims.sub, id)?;
    if let Some(identity) = &before {
        ownership::hold(work, &[&identity.key], &[claims.sub])?;
    }
    let who = session::authenticate_to_write(work, claims)?;
    who.require_fresh(work)?;
    let account = who.account.id;
    let mine = db::identities::find_of(work, account, id)?;
    let identity = mine.ok_or(Error::NotFound("identity"))?;
    remove(work, account, &identity, Actor::Account(account))
}

/// Takes an identity from an account that has an owner, who is told; at whose asking is for the trail.
pub(crate) fn remove(work: &mut Work<'_>, account: AccountId, identity: &Identity, by: Actor) -> Result<()> {
    if identity.key.kind == IdentityKind::Email {
        return Err(Error::AddressStays);
    }
    if linking::unlink(ways_in::usable(work, account)?.without(identity.id)) == Removal::LastWayIn {
        return Err(Error::LastWayIn);
    }
    let ended = db::sessions::end_of_identity(work, account, identity.id, EndReason::Unlinked)?;
    db::identities::delete(work, identity)?;
    let detail = json!({ "kind": identity.key.kind, "sessions_ended": ended });
    audit::record(work, Action::IdentityUnlinked, by, Some(account), &detail)?;
    outbox::post_event(work, "identity.unlinked", account, &json!({ "kind": identity.key.kind }))?;
    let (at, named) = (work.now(), Named::of(work.providers(), &identity.key, identity.label.as_deref()));
    let mail = match identity.key.kind {
        IdentityKind::Messenger => MailContent::MessengerUnlinked { at },
        _ => MailContent::IdentityUnlinked { named, at },
    };
    ways_in::tell_proven_addresses(work, account, &mail)
}
