//! Challenges: a mailed secret with one purpose, one target and one end.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::account::Role;
use crate::clock::Timestamp;
use crate::db::types::words;
use crate::db::{self, Lock, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::id::{AccountId, ChallengeId, FlowId, SessionId};
use crate::identity::{IdentityKey, ProofMethod};
use crate::limits;
use crate::mail::MailedSecret;
use crate::secret::{MailedCode, OpaqueToken};
use crate::session::SignedIn;
use crate::throttle;
use crate::undo_offers::WaysBefore;

words! {
    /// What a secret is good for, and nothing else.
    pub enum ChallengePurpose {
        SignUp = "sign_up",
        PasswordReset = "password_reset",
        /// An operator's, to be an admin: nobody else's mail is to void it.
        AdminInvitation = "admin_invitation",
        /// The address for whom a provider gave none: its code is good with the flow's continuation alone.
        SocialEmail = "social_email",
        /// An address that a signed-in owner adds: good in the session that asked alone.
        AddEmail = "add_email",
        /// A session's holder shows that they are the owner: its code is good in that session alone.
        Reauthenticate = "reauthenticate",
        /// An owner deletes their account: good in the session that asked alone.
        DeleteAccount = "delete_account",
        /// Two accounts become one: good in the session that asked alone, and with the other account's code.
        Merge = "merge",
        /// Takes an account's ways in back to what they were before a change (rule 13). It outlives purges.
        EmailUndo = "email_undo",
    }
}

impl ChallengePurpose {
    const fn has_link(self) -> bool {
        !matches!(self, Self::SocialEmail | Self::Reauthenticate | Self::Merge)
    }
}

words! {
    pub enum ChallengeState {
        Live = "live",
        Spent = "spent",
        Void = "void",
    }
}

/// What a challenge carries to the moment it is spent; it dies with the challenge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeDetail {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// An operator's invitation: the role that goes with the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// An address to be added, as its owner wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spelling: Option<String>,
    /// What an address to be added is called, where it was asked for before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Uuid>,
    /// The account that this one is to become one with, and which of the two remains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<MergeOf>,
    /// What an undo brings back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<WaysBefore>,
}

/// What a code for a merge is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeOf {
    pub other: AccountId,
    pub survivor: AccountId,
}

/// A challenge as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    pub id: ChallengeId,
    pub purpose: ChallengePurpose,
    pub address: EmailAddress,
    pub state: ChallengeState,
    pub account_id: Option<AccountId>,
    pub session: Option<SessionId>,
    pub flow: Option<FlowId>,
    pub epoch: Option<i64>,
    pub code_mac: Vec<u8>,
    pub code_tries: i64,
    pub code_expires_at: Timestamp,
    pub expires_at: Timestamp,
    pub detail: ChallengeDetail,
}

/// A secret as somebody presents it.
#[derive(Clone)]
pub enum Presented {
    Token(String),
    Code { address: EmailAddress, code: String },
}

/// A challenge whose secret was presented rightly, and how. Nothing is spent yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub challenge: Challenge,
    pub how: ProofMethod,
}

/// What a challenge is made for.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    pub purpose: ChallengePurpose,
    pub address: &'a EmailAddress,
    /// Who has the address, or adds it, and in which epoch.
    pub account: Option<(AccountId, i64)>,
    /// The session in which alone it is good.
    pub session: Option<SessionId>,
    /// The flow with whose continuation alone its code is good.
    pub flow: Option<FlowId>,
    pub detail: &'a ChallengeDetail,
    /// Without it nobody will ever know the secret: the row only counts tries and expires as any other does.
    pub mailed: bool,
}

/// Makes a challenge, and its secret for the mail.
pub fn make(work: &mut Work<'_>, new: &New<'_>) -> Result<(ChallengeId, MailedSecret)> {
    let id: ChallengeId = work.new_id();
    let token = OpaqueToken::new(work.random());
    let code = MailedCode::new(work.random());
    let now = work.now();
    db::challenges::insert(
        work,
        &db::challenges::NewChallenge {
            id,
            purpose: new.purpose,
            address: new.address,
            account: new.account,
            session: new.session,
            flow: new.flow,
            // these codes have no link beside them: a click alone must do nothing (rule 4)
            token_hash: (new.mailed && new.purpose.has_link()).then(|| token.hash()),
            code_mac: code.mac(work.keyring(), id),
            code_expires_at: now + limits::CODE_LIFE,
            expires_at: now + limits::LINK_LIFE,
            detail: new.detail,
        },
    )?;
    let secret = MailedSecret {
        token: token.reveal(),
        code: code.reveal(),
        link_minutes: limits::LINK_LIFE.as_secs() / 60,
        code_minutes: limits::CODE_LIFE.as_secs() / 60,
    };
    Ok((id, secret))
}

/// Recognises a presented secret of one of the purposes, without spending it. A wrong one is counted.
///
/// Only who shows the token of a link learns that it is no longer good: nobody comes by 256 bits by guessing. Every code that
/// is not a live one is unknown, whether it is wrong, used, replaced or too old: else an address that something was mailed to
/// would differ from one that nothing was (I7).
pub fn recognise(work: &mut Work<'_>, purposes: &[ChallengePurpose], presented: &Presented) -> Result<Shown> {
    match presented {
        Presented::Token(text) => {
            let found = find_by_token(work, text)?;
            let Some(challenge) = found.filter(|challenge| purposes.contains(&challenge.purpose)) else {
                throttle::before_try(work)?;
                return Err(Error::SecretUnknown.and_keep());
            };
            if !is_live(&challenge, work.now()) {
                return Err(Error::SecretGone);
            }
            Ok(Shown { challenge, how: ProofMethod::MailedLink })
        }
        Presented::Code { address, code } => recognise_code(work, purposes, address, code),
    }
}

/// Recognises the token of a link that is good in the session alone that asked for it, by the same rule; nothing is spent.
/// The try was counted before.
pub(crate) fn recognise_in_session(
    work: &mut Work<'_>,
    purpose: ChallengePurpose,
    who: &SignedIn,
    token: &str,
) -> Result<Challenge> {
    let theirs = |c: &Challenge| c.purpose == purpose && c.session == Some(who.session.id);
    let found = find_by_token(work, token)?.filter(theirs).ok_or_else(|| Error::SecretUnknown.and_keep())?;
    let same_epoch = found.epoch == Some(who.account.security_epoch);
    if same_epoch && is_live(&found, work.now()) { Ok(found) } else { Err(Error::SecretGone) }
}

fn find_by_token(work: &mut Work<'_>, text: &str) -> Result<Option<Challenge>> {
    match OpaqueToken::parse(text) {
        Some(token) => db::challenges::find_by_token(work, &token.hash()),
        None => Ok(None),
    }
}

/// Looks for the code among the live challenges of the address. To one who does not know it, an address with no
/// challenge, a code that ran out of tries and a wrong code are one answer.
fn recognise_code(
    work: &mut Work<'_>,
    purposes: &[ChallengePurpose],
    address: &EmailAddress,
    code: &str,
) -> Result<Shown> {
    throttle::before_try(work)?;
    work.hold(&[Lock::Identity(&IdentityKey::email(address))])?;
    let now = work.now();
    let live = db::challenges::list_live(work, address)?;
    let open = live.into_iter().filter(|c| purposes.contains(&c.purpose) && takes_codes(c, now)).collect();
    let challenge = match_code(work, open, code)?;
    Ok(Shown { challenge, how: ProofMethod::MailedCode })
}

/// Recognises the code that was mailed for a flow, whose continuation was shown with it; nothing is spent. Holds the
/// addresses that codes were mailed to, and the subject that has arrived.
pub fn recognise_for_flow(work: &mut Work<'_>, flow: FlowId, subject: &IdentityKey, code: &str) -> Result<Challenge> {
    throttle::before_try(work)?;
    let asked = db::challenges::list_live_of_flow(work, flow)?;
    let emails: Vec<IdentityKey> = asked.iter().map(|challenge| IdentityKey::email(&challenge.address)).collect();
    let locks: Vec<Lock<'_>> = emails.iter().chain([subject]).map(Lock::Identity).collect();
    work.hold(&locks)?;
    let now = work.now();
    // one that was asked for meanwhile, at an address that is not held, is not what this code is for
    let held = |c: &Challenge| emails.iter().any(|email| email.subject == c.address.as_str());
    let live = db::challenges::list_live_of_flow(work, flow)?;
    let open = live.into_iter().filter(|c| takes_codes(c, now) && held(c)).collect();
    match_code(work, open, code)
}

/// Of the challenges whose codes may still be tried, the one whose code it is; a wrong one counts for all of them.
pub(crate) fn match_code(work: &mut Work<'_>, open: Vec<Challenge>, code: &str) -> Result<Challenge> {
    let code = MailedCode::parse(code);
    let matches = |challenge: &Challenge| {
        let expected = code.as_ref().map(|code| code.mac(work.keyring(), challenge.id));
        expected.is_some_and(|mac| crate::keyring::same(&mac, &challenge.code_mac))
    };
    let found = open.iter().position(matches);
    if found.is_none() {
        for challenge in &open {
            db::challenges::count_try(work, &challenge.address, challenge.id)?;
        }
    }
    found.and_then(|found| open.into_iter().nth(found)).ok_or_else(|| Error::SecretUnknown.and_keep())
}

pub(crate) fn takes_codes(challenge: &Challenge, now: Timestamp) -> bool {
    is_live(challenge, now) && challenge.code_tries < limits::CODE_TRIES && now < challenge.code_expires_at
}

pub(crate) fn is_live(challenge: &Challenge, now: Timestamp) -> bool {
    challenge.state == ChallengeState::Live && now < challenge.expires_at
}

/// Spends a challenge: of all who try, exactly one succeeds (I6).
pub fn spend(work: &mut Work<'_>, id: ChallengeId) -> Result<Challenge> {
    if db::challenges::spend(work, id)? { db::challenges::get(work, id) } else { Err(Error::SecretGone) }
}
