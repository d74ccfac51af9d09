//! Who may undo a change of an account's ways in, and what it would go back to (rule 13): every address that was there
//! before the change is told of it, with a secret of its own.

use serde::{Deserialize, Serialize};

use crate::challenge::{ChallengeDetail, ChallengePurpose};
use crate::clock::Timestamp;
use crate::custom_values::CustomValues;
use crate::db::{self, Lock, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::id::{AccountId, ChallengeId};
use crate::identity::{Identity, IdentityKey, IdentityKind, Proof};
use crate::mail::{self, MailContent, MailedUndo};
use crate::notifications::Chosen;
use crate::secret::{MailedCode, OpaqueToken};
use crate::undo::comes_back;
use crate::{limits, linking, parting, ways_in};

/// The proven identities of an account as they were right before a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaysBefore {
    pub account: AccountId,
    /// When the change was made.
    pub at: Timestamp,
    pub identities: Vec<WasOwned>,
    /// What was chosen, and said of its owner, where the change is that the account goes into another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<Box<Choices>>,
    /// The accounts that are part of it, or become so by the change, and can still be parted from it. They are parted by
    /// whoever undoes anything of it: else one of two could take what is the other's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub came_in: Vec<WaysBefore>,
}

/// What an account that goes into another hands over, and does not keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    pub chosen: Chosen,
    pub custom: CustomValues,
}

/// An identity that an account's owner had proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WasOwned {
    pub key: IdentityKey,
    pub label: Option<String>,
    pub is_primary: bool,
    pub owned_since: Timestamp,
    pub proof: Proof,
}

impl WaysBefore {
    pub(crate) fn has(&self, key: &IdentityKey) -> bool {
        self.identities.iter().any(|was| was.key == *key)
    }

    /// Since when an address had been the account's.
    pub(crate) fn since(&self, address: &EmailAddress) -> Option<Timestamp> {
        let key = IdentityKey::email(address);
        self.identities.iter().find(|was| was.key == key).map(|was| was.owned_since)
    }
}

/// What an account's ways in are now: to be taken before they change.
pub fn remember(work: &mut Work<'_>, account: AccountId) -> Result<WaysBefore> {
    let proofs = db::proofs::list_last(work, account)?;
    let proven = db::identities::list_proven(work, account)?.into_iter().filter_map(|identity| {
        let (_, proof) = proofs.iter().find(|(id, _)| *id == identity.id)?;
        let Identity { key, label, is_primary, owned_since, .. } = identity;
        Some(WasOwned { key, label, is_primary, owned_since: owned_since?, proof: *proof })
    });
    let identities = proven.collect();
    let came_in = parting::list_open(work, account)?;
    Ok(WaysBefore { account, at: work.now(), identities, choices: None, came_in })
}

/// [`remember`] for an account that is about to go into another.
pub fn remember_all(work: &mut Work<'_>, account: AccountId) -> Result<WaysBefore> {
    let kept = db::accounts::get_kept(work, account)?;
    let choices = Some(Box::new(Choices { chosen: kept.chosen, custom: kept.custom }));
    Ok(WaysBefore { choices, ..remember(work, account)? })
}

/// A secret for one who may undo what has changed since; its address is held.
pub fn offer(work: &mut Work<'_>, before: &WaysBefore, to: &EmailAddress) -> Result<MailedUndo> {
    if !work.holds(Lock::Identity(&IdentityKey::email(to))) {
        return Err(Error::Overtaken); // it came after they were held
    }
    let id: ChallengeId = work.new_id();
    let token = OpaqueToken::new(work.random());
    let expires_at = work.now() + limits::UNDO_LIFE;
    let unknown_code = MailedCode::new(work.random());
    let new = db::challenges::NewChallenge {
        id,
        purpose: ChallengePurpose::EmailUndo,
        address: to,
        account: Some((before.account, db::accounts::get(work, before.account)?.security_epoch)),
        session: None,
        flow: None,
        token_hash: Some(token.hash()),
        code_mac: unknown_code.mac(work.keyring(), id),
        code_expires_at: work.now(),
        expires_at,
        detail: &ChallengeDetail { before: Some(before.clone()), ..ChallengeDetail::default() },
    };
    db::challenges::insert(work, &new)?;
    Ok(MailedUndo { token: token.reveal(), minutes: limits::UNDO_LIFE.as_secs() / 60 })
}

/// Mails addresses what has changed, each with an undo of its own.
pub fn tell(
    work: &mut Work<'_>,
    before: &WaysBefore,
    addresses: Vec<String>,
    content: impl Fn(MailedUndo) -> MailContent,
) -> Result<()> {
    for address in addresses {
        let undo = offer(work, before, &EmailAddress::stored(&address)?)?;
        ways_in::tell_within(work, before.account, vec![address], &content(undo), limits::UNDO_LIFE)?;
    }
    Ok(())
}

/// Tells the addresses that one who has been there since `kept_since` has dropped; those that were there before get an
/// undo, and so do all while accounts can be parted.
pub fn tell_dropped(
    work: &mut Work<'_>,
    before: &WaysBefore,
    kept_since: Timestamp,
    dropped: &[Identity],
) -> Result<()> {
    let at = work.now();
    for identity in dropped.iter().filter(|identity| identity.key.kind == IdentityKind::Email) {
        let told = vec![identity.key.subject.clone()];
        let address = mail::plain(&EmailAddress::stored(&identity.key.subject)?);
        let content = |undo| MailContent::EmailRemoved { address: address.clone(), at, undo };
        let parts = !before.came_in.is_empty();
        if parts || identity.owned_since.is_some_and(|since| linking::may_undo(&since, &kept_since)) {
            tell(work, before, told, |undo| content(Some(undo)))?;
        } else {
            ways_in::tell(work, before.account, told, &content(None))?;
        }
    }
    Ok(())
}

/// Ends the undos of whoever came after one who drops all others, but those that part accounts.
pub fn end_of_younger(work: &mut Work<'_>, account: AccountId, kept_since: Timestamp) -> Result<()> {
    for undo in db::challenges::list_live_of_account(work, account, ChallengePurpose::EmailUndo)? {
        let Some(before) = undo.detail.before.as_ref().filter(|before| before.came_in.is_empty()) else { continue };
        if !before.since(&undo.address).is_some_and(|since| linking::may_undo(&since, &kept_since)) {
            db::challenges::void(work, undo.id)?;
        }
    }
    Ok(())
}

/// An undo that is good now: of whom, and how far back it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    pub address: EmailAddress,
    /// Since when the address had been the account's.
    pub since: Timestamp,
    pub back_to: Timestamp,
}

/// Every undo of an account that its address can use.
pub fn list_open(work: &mut Work<'_>, account: AccountId) -> Result<Vec<Open>> {
    let mut open = Vec::new();
    for undo in db::challenges::list_live_of_account(work, account, ChallengePurpose::EmailUndo)? {
        let Some(before) = &undo.detail.before else { continue };
        let Some(since) = before.since(&undo.address) else { continue };
        if comes_back(work, account, &IdentityKey::email(&undo.address))? {
            open.push(Open { since, back_to: before.at, address: undo.address });
        }
    }
    Ok(open)
}

/// Whether something of an account can still be undone, or that another came into it.
pub fn is_open(work: &mut Work<'_>, account: AccountId) -> Result<bool> {
    let own = db::challenges::list_live_of_account(work, account, ChallengePurpose::EmailUndo)?;
    Ok(!own.is_empty() || parting::is_open(work, account)?)
}
