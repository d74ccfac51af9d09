//! Challenges: a mailed secret with one purpose, one target and one end.

use serde::{Deserialize, Serialize};

use crate::account::Role;
use crate::clock::Timestamp;
use crate::db::types::words;
use crate::db::{self, Lock, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::id::{AccountId, ChallengeId};
use crate::identity::{IdentityKey, ProofMethod};
use crate::limits;
use crate::mail::MailedSecret;
use crate::secret::{MailedCode, MailedToken};
use crate::throttle;

words! {
    /// What a secret is good for, and nothing else.
    pub enum ChallengePurpose {
        SignUp = "sign_up",
        PasswordReset = "password_reset",
        /// An operator's, to be an admin: nobody else's mail is to void it.
        AdminInvitation = "admin_invitation",
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
}

/// A challenge as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    pub id: ChallengeId,
    pub purpose: ChallengePurpose,
    pub address: EmailAddress,
    pub state: ChallengeState,
    pub account_id: Option<AccountId>,
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

/// Makes a challenge, and its secret for the mail. Without `mailed` nobody will ever know the secret: the row
/// only counts tries and expires as any other does.
pub fn make(
    work: &mut Work<'_>,
    purpose: ChallengePurpose,
    address: &EmailAddress,
    account: Option<(AccountId, i64)>,
    detail: &ChallengeDetail,
    mailed: bool,
) -> Result<(ChallengeId, MailedSecret)> {
    let id: ChallengeId = work.new_id();
    let token = MailedToken::new(work.random());
    let code = MailedCode::new(work.random());
    let now = work.now();
    db::challenges::insert(
        work,
        &db::challenges::NewChallenge {
            id,
            purpose,
            address,
            account,
            token_hash: mailed.then(|| token.hash()),
            code_mac: code.mac(work.keyring(), id),
            code_expires_at: now + limits::CODE_LIFE,
            expires_at: now + limits::LINK_LIFE,
            detail,
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
pub fn recognise(work: &mut Work<'_>, purposes: &[ChallengePurpose], presented: &Presented) -> Result<Shown> {
    match presented {
        Presented::Token(text) => {
            let found = match MailedToken::parse(text) {
                Some(token) => db::challenges::find_by_token(work, &token.hash())?,
                None => None,
            };
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
    let open: Vec<Challenge> = live
        .into_iter()
        .filter(|c| purposes.contains(&c.purpose) && is_live(c, now))
        .filter(|c| c.code_tries < limits::CODE_TRIES && now < c.code_expires_at)
        .collect();
    let code = MailedCode::parse(code);
    let matches = |challenge: &Challenge| {
        let expected = code.as_ref().map(|code| code.mac(work.keyring(), challenge.id));
        expected.is_some_and(|mac| crate::keyring::same(&mac, &challenge.code_mac))
    };
    match open.iter().position(matches) {
        Some(found) => open
            .into_iter()
            .nth(found)
            .map(|challenge| Shown { challenge, how: ProofMethod::MailedCode })
            .ok_or(Error::SecretUnknown),
        None => {
            let tried: Vec<ChallengeId> = open.iter().map(|challenge| challenge.id).collect();
            db::challenges::count_try(work, address, &tried)?;
            Err(Error::SecretUnknown.and_keep())
        }
    }
}

fn is_live(challenge: &Challenge, now: Timestamp) -> bool {
    challenge.state == ChallengeState::Live && now < challenge.expires_at
}

/// Spends a challenge: of all who try, exactly one succeeds (I6).
pub fn spend(work: &mut Work<'_>, id: ChallengeId) -> Result<Challenge> {
    if db::challenges::spend(work, id)? { db::challenges::get(work, id) } else { Err(Error::SecretGone) }
}
