//! Who may undo a change of an account's ways in, and what it would go back to (rule 13): every address that was there
//! before the change is told of it, with a secret of its own.

use serde::{Deserialize, Serialize};

use crate::account::AccountState;
use crate::challenge::{ChallengeDetail, ChallengePurpose};
use crate::clock::Timestamp;
use crate::db::{self, Lock, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::id::{AccountId, ChallengeId};
use crate::identity::{Identity, IdentityKey, IdentityKind, Proof};
use crate::linking::{self, Holder};
use crate::mail::{self, MailContent, MailedUndo};
use crate::secret::{MailedCode, OpaqueToken};
use crate::{limits, ways_in};

/// The proven identities of an account as they were right before a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaysBefore {
    pub account: AccountId,
    /// When the change was made.
    pub at: Timestamp,
    pub identities: Vec<WasOwned>,
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
    Ok(WaysBefore { account, at: work.now(), identities: proven.collect() })
}

/// A secret for one who may undo what has changed since, for 72 hours; its address is held.
pub fn offer(work: &mut Work<'_>, before: &WaysBefore, to: &EmailAddress) -> Result<MailedUndo> {
    let until = work.now() + limits::UNDO_LIFE;
    offer_until(work, before, to, until)
}

fn offer_until(work: &mut Work<'_>, before: &WaysBefore, to: &EmailAddress, until: Timestamp) -> Result<MailedUndo> {
    if !work.holds(Lock::Identity(&IdentityKey::email(to))) {
        return Err(Error::Overtaken); // it came after they were held
    }
    let id: ChallengeId = work.new_id();
    let token = OpaqueToken::new(work.random());
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
        expires_at: until,
        detail: &ChallengeDetail { before: Some(before.clone()), ..ChallengeDetail::default() },
    };
    db::challenges::insert(work, &new)?;
    Ok(MailedUndo { token: token.reveal(), minutes: until.since(work.now()).as_secs() / 60 })
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

/// Tells the reader of an address once more that it was removed from an account, while they can take it back, and for no
/// longer: whoever asks for a new password has perhaps not read what they were mailed. The address is held.
pub fn remind(work: &mut Work<'_>, address: &EmailAddress, holder: Holder) -> Result<()> {
    let Some((_, seen)) = lost(work, address)?.filter(|_| linking::comes_back(holder, false)) else { return Ok(()) };
    work.hold(&[Lock::Account(seen.account)])?;
    // it may have been ended before the account was held
    let Some((until, before)) = lost(work, address)?.filter(|(_, before)| before.account == seen.account) else {
        return Ok(());
    };
    if db::accounts::get(work, before.account)?.state != AccountState::Claimed {
        return Ok(());
    }
    let undo = offer_until(work, &before, address, until)?;
    let content = MailContent::EmailRemoved { address: mail::plain(address), at: before.at, undo: Some(undo) };
    let left = until.since(work.now());
    ways_in::tell_within(work, before.account, vec![address.to_string()], &content, left)
}

/// What an address has lost and can still take back, and until when.
fn lost(work: &mut Work<'_>, address: &EmailAddress) -> Result<Option<(Timestamp, WaysBefore)>> {
    let (now, live) = (work.now(), db::challenges::list_live(work, address)?);
    let undos = live.into_iter().filter(|one| one.purpose == ChallengePurpose::EmailUndo && one.expires_at > now);
    let lost = undos.filter_map(|undo| Some((undo.expires_at, undo.detail.before?)));
    Ok(lost.max_by_key(|(until, _)| *until))
}

/// Ends what undoes the changes of an account that were made at an instant or later.
pub fn end_since(work: &mut Work<'_>, account: AccountId, at: Timestamp) -> Result<()> {
    for undo in db::challenges::list_live_of_account(work, account, ChallengePurpose::EmailUndo)? {
        if undo.detail.before.as_ref().is_none_or(|before| before.at >= at) {
            db::challenges::void(work, undo.id)?;
        }
    }
    Ok(())
}

/// Tells the addresses that one who has been there since `kept_since` has dropped; those that were there before get an
/// undo.
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
        if identity.owned_since.is_some_and(|since| linking::may_undo(&since, &kept_since)) {
            tell(work, before, told, |undo| content(Some(undo)))?;
        } else {
            ways_in::tell(work, before.account, told, &content(None))?;
        }
    }
    Ok(())
}

/// Ends the undos of whoever came after one who drops all others.
pub fn end_of_younger(work: &mut Work<'_>, account: AccountId, kept_since: Timestamp) -> Result<()> {
    for undo in db::challenges::list_live_of_account(work, account, ChallengePurpose::EmailUndo)? {
        let since = undo.detail.before.as_ref().and_then(|before| before.since(&undo.address));
        if !since.is_some_and(|since| linking::may_undo(&since, &kept_since)) {
            db::challenges::void(work, undo.id)?;
        }
    }
    Ok(())
}

/// An undo that is live: of whom, and how far back it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    pub address: EmailAddress,
    /// Since when the address had been the account's.
    pub since: Timestamp,
    pub back_to: Timestamp,
}

/// Every undo of an account that is live, also of an address that is another account's by now: whoever reads it has not
/// stopped to be who was there.
pub fn list_open(work: &mut Work<'_>, account: AccountId) -> Result<Vec<Open>> {
    let live = db::challenges::list_live_of_account(work, account, ChallengePurpose::EmailUndo)?;
    let open = live.into_iter().filter_map(|undo| {
        let before = undo.detail.before.as_ref()?;
        Some(Open { since: before.since(&undo.address)?, back_to: before.at, address: undo.address })
    });
    Ok(open.collect())
}
