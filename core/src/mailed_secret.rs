//! Sign-up, forgot password and claim: to ask for a mailed secret, to look at it, and to spend it.

use serde_json::json;
use zeroize::Zeroizing;

use crate::account::{Account, Role};
use crate::audit::{self, Action, Actor};
use crate::challenge::{self, Challenge, ChallengeDetail, ChallengePurpose, Presented, Shown};
use crate::db::{self, Lock, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::hashing::PasswordHash;
use crate::id::{AccountId, ChallengeId, IdentityId};
use crate::identity::{IdentityKey, Proof, ProofMethod};
use crate::limits;
use crate::linking::{self, Answer, Ask, Desk, Holder, House, Made, Outcome};
use crate::mail::{Mail, MailContent, MailedSecret};
use crate::outbox;
use crate::ownership::{self, Held, Proven};
use crate::secret::DeviceToken;
use crate::session::{self, Issued};
use crate::settings::{self, Method, Settings};
use crate::throttle::{self, Scope};
use crate::undo_offers;
use crate::ways_in::{self, WayIn};

/// Holds an address and the account of whoever has it, and looks.
fn hold_and_look_up(work: &mut Work<'_>, address: &EmailAddress) -> Result<Held> {
    ownership::hold_and_look_up(work, &IdentityKey::email(address))
}

fn house(settings: &Settings, address: &EmailAddress) -> House {
    House {
        road_on: settings.offers(&Method::Password).is_ok(),
        sign_up: settings.authentication.sign_up,
        admits: settings.admits(address),
    }
}

/// Asks for a mailed secret. The caller learns nothing from it, whoever holds the address (I7), and nothing of
/// an account changes (rule 2).
pub fn ask(work: &mut Work<'_>, what: Ask, address: &EmailAddress, locale: Option<&str>) -> Result<()> {
    if throttle::may_mail(work, what, address)? { mail(work, what, address, locale) } else { Ok(()) }
}

/// Mails what was asked for, where the limits allow it.
pub(crate) fn mail(work: &mut Work<'_>, what: Ask, address: &EmailAddress, locale: Option<&str>) -> Result<()> {
    let held = hold_address_and_look_up(work, address)?;
    let settings = settings::current(work)?;
    let answer = linking::answer_to(what, held.holder, house(&settings, address));
    let purpose = match (what, answer) {
        (Ask::PasswordReset, Answer::SignUpInstead) | (Ask::SignUp | Ask::SocialEmail | Ask::AddEmail, _) => {
            ChallengePurpose::SignUp
        }
        (Ask::PasswordReset, _) => ChallengePurpose::PasswordReset,
    };
    let detail = ChallengeDetail { locale: locale.map(str::to_owned), ..ChallengeDetail::default() };
    let (account, mailed) = (held.bound(), answer.carries_a_secret());
    let new = challenge::New { purpose, address, account, session: None, flow: None, detail: &detail, mailed };
    let (id, secret) = challenge::make(work, &new)?;
    post(work, address, &held, locale, (id, mailed), content(answer, secret))?;
    if what == Ask::PasswordReset { undo_offers::remind(work, address, held.holder) } else { Ok(()) }
}

/// Holds an address alone, and looks at who has it: nothing of an account changes by asking (rule 2).
pub(crate) fn hold_address_and_look_up(work: &mut Work<'_>, address: &EmailAddress) -> Result<Held> {
    let key = IdentityKey::email(address);
    work.hold(&[Lock::Identity(&key)])?;
    ownership::look_up(work, &key)
}

/// Puts a mail into the outbox, or as much work as if there were one.
pub(crate) fn post(
    work: &mut Work<'_>,
    address: &EmailAddress,
    held: &Held,
    locale: Option<&str>,
    (challenge, mailed): (ChallengeId, bool),
    content: Option<MailContent>,
) -> Result<()> {
    let Some(content) = content else { return outbox::post_nothing(work, challenge) };
    let owner = held.account.as_ref();
    let theirs = owner.and_then(|account| account.locale.clone());
    let mail = Mail { to: address.as_str().to_owned(), locale: theirs.or(locale.map(str::to_owned)), content };
    let until = work.now() + if mailed { limits::LINK_LIFE } else { limits::NOTICE_LIFE };
    outbox::post_mail(work, &mail, owner.map(|account| account.id), Some(challenge).filter(|_| mailed), until)
}

fn content(answer: Answer, secret: MailedSecret) -> Option<MailContent> {
    Some(match answer {
        Answer::SignUp => MailContent::SignUp { secret },
        Answer::SignUpInstead => MailContent::SignUpInstead { secret },
        Answer::Claim => MailContent::Claim { secret },
        Answer::Reset => MailContent::PasswordReset { secret },
        Answer::Notice => MailContent::AlreadyRegistered,
        Answer::SocialEmail | Answer::LinkNotice | Answer::AddEmail | Answer::AddEmailNotice | Answer::Nothing => {
            return None;
        }
    })
}

/// What a secret would do, for the page that asks for a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    pub address: EmailAddress,
    pub outcome: Outcome,
    pub expires_at: crate::clock::Timestamp,
    pub ways_in: Vec<WayIn>,
    pub password_min_length: usize,
}

/// Looks at a secret without spending it.
pub fn inspect(work: &mut Work<'_>, desk: Desk, presented: &Presented) -> Result<Inspection> {
    let Shown { challenge, .. } = challenge::recognise(work, desk.takes(), presented)?;
    let settings = settings::current(work)?;
    let held = ownership::look_up(work, &IdentityKey::email(&challenge.address))?;
    let outcome = outcome(&settings, &held, &challenge);
    if outcome == Outcome::Refuse {
        return Err(Error::SecretGone);
    }
    let ways_in = match &held.account {
        Some(account) if outcome == Outcome::Recover => ways_in::list(work, account.id)?,
        _ => Vec::new(),
    };
    Ok(Inspection {
        address: challenge.address,
        outcome,
        expires_at: challenge.expires_at,
        ways_in,
        password_min_length: settings.password_policy("").min_length,
    })
}

/// Rule 8 on the facts of now.
fn outcome(settings: &Settings, held: &Held, challenge: &Challenge) -> Outcome {
    let made = Made { purpose: challenge.purpose, held_by: challenge.account_id.zip(challenge.epoch) };
    linking::redeem(made, held.bound(), held.holder, house(settings, &challenge.address))
}

/// Recognises a secret before the password is hashed; to be followed by [`confirm`].
pub fn recognise(work: &mut Work<'_>, desk: Desk, presented: &Presented) -> Result<Shown> {
    challenge::recognise(work, desk.takes(), presented)
}

/// What is given by whoever presents the secret, in the request that spends it.
#[derive(Debug, Clone)]
pub struct Confirm {
    pub challenge: ChallengeId,
    pub how: ProofMethod,
    pub password: PasswordHash,
    pub full_name: Option<String>,
    /// For an account that has none yet, or is made or claimed by this.
    pub locale: Option<String>,
    /// Drop every other way in.
    pub unlink_others: bool,
    /// Sign in as well: sign-up does, forgot password does not.
    pub sign_in: bool,
}

#[derive(Debug)]
pub struct Confirmed {
    pub outcome: Outcome,
    pub account: Account,
    pub ways_in: Vec<WayIn>,
    /// Whoever has just set the password is known to the account, however much somebody else guesses.
    pub device_token: Zeroizing<String>,
    /// Present where it was asked to sign in.
    pub session: Option<Issued>,
}

/// Spends a secret and sets the password: creates, claims or recovers (rules 8 to 10), in one transaction.
pub fn confirm(work: &mut Work<'_>, confirm: &Confirm) -> Result<Confirmed> {
    let address = db::challenges::get(work, confirm.challenge)?.address;
    if confirm.unlink_others {
        let key = IdentityKey::email(&address);
        let owner = db::identities::find(work, &key)?.map(|identity| identity.account_id);
        ways_in::hold_all(work, owner.as_slice(), &[&key])?;
    }
    let held = hold_and_look_up(work, &address)?;
    let challenge = challenge::spend(work, confirm.challenge)?;
    let settings = settings::current(work)?;
    let outcome = outcome(&settings, &held, &challenge);
    let (account, identity) = own(work, outcome, held, &challenge, confirm.how)?;
    db::credentials::put_password(work, account, &confirm.password)?;
    // the locale on the challenge was the asker's, for the mail; it dies there (rule 2)
    if let Some(name) = &confirm.full_name {
        db::accounts::set_name(work, account, name.trim())?;
    }
    if let Some(locale) = &confirm.locale
        && (outcome != Outcome::Recover || db::accounts::get(work, account)?.locale.is_none())
    {
        db::accounts::set_locale(work, account, locale)?;
    }
    let ended = session::purge(work, account, Some(&challenge.address))?;
    let dropped = if confirm.unlink_others { drop_others(work, account, identity)? } else { 0 };
    throttle::forget(work, Scope::Password(&challenge.address, Some(account)))?;
    tell(work, outcome, account, confirm.how, (ended, dropped))?;
    if let Some(role @ Role::Admin) = challenge.detail.role {
        db::accounts::set_role(work, account, role)?;
        audit::record(work, Action::AccountRoleChanged, Actor::Operator, Some(account), &json!({ "role": role }))?;
    }
    let account = db::accounts::get(work, account)?;
    let session = if confirm.sign_in {
        Some(session::open(work, &settings, &account, Method::SignUp, Some(identity), None)?)
    } else {
        None
    };
    let device = DeviceToken { device: work.new_id(), account: account.id, epoch: account.security_epoch, knows: true };
    Ok(Confirmed {
        outcome,
        ways_in: ways_in::list(work, account.id)?,
        device_token: device.reveal(work.keyring()),
        account,
        session,
    })
}

/// Drops every way in but the address that was just proven. Whoever is dropped is told, and may undo it where they were
/// there before (rule 13).
fn drop_others(work: &mut Work<'_>, account: AccountId, keeper: IdentityId) -> Result<usize> {
    let before = undo_offers::remember(work, account)?;
    let dropped = ways_in::drop_all_but(work, account, |identity| identity.id == keeper, "unlink_others")?;
    let kept = db::identities::list_proven(work, account)?.into_iter().find(|identity| identity.id == keeper);
    if let Some(since) = kept.and_then(|identity| identity.owned_since) {
        db::identities::make_primary(work, account, keeper)?;
        undo_offers::end_of_younger(work, account, since)?;
        undo_offers::tell_dropped(work, &before, since, &dropped)?;
    }
    Ok(dropped.len())
}

/// Makes the address's account its owner's; gives the account and the identity that was proven.
fn own(
    work: &mut Work<'_>,
    outcome: Outcome,
    held: Held,
    challenge: &Challenge,
    how: ProofMethod,
) -> Result<(AccountId, IdentityId)> {
    let proof = Proof { method: how, challenge: Some(challenge.id), flow: None };
    match (outcome, held.account, held.identity) {
        (Outcome::Create | Outcome::Claim | Outcome::ClaimPart, ..) => {
            let key = IdentityKey::email(&challenge.address);
            let taken = ownership::take(work, &[Proven { key: &key, label: None, name: None, proof }], None)?;
            let identity = taken.identities.first().copied().ok_or(Error::SecretGone)?;
            Ok((taken.account, identity))
        }
        (Outcome::Recover, Some(account), Some(identity)) => {
            db::proofs::insert(work, identity.id, account.id, proof)?;
            Ok((account.id, identity.id))
        }
        (Outcome::Recover | Outcome::Refuse, ..) => Err(Error::SecretGone),
    }
}

/// Rule 9's last words: the audit trail, the event, and a mail to every proven address.
fn tell(
    work: &mut Work<'_>,
    outcome: Outcome,
    account: AccountId,
    how: ProofMethod,
    (sessions_ended, dropped): (usize, usize),
) -> Result<()> {
    let action = match outcome {
        Outcome::Create => Action::AccountCreated,
        Outcome::Claim | Outcome::ClaimPart => Action::AccountClaimed,
        Outcome::Recover | Outcome::Refuse => Action::AccountRecovered,
    };
    let detail = json!({
        "method": how, "part": outcome == Outcome::ClaimPart,
        "sessions_ended": sessions_ended, "ways_in_dropped": dropped,
    });
    audit::record(work, action, Actor::Nobody, Some(account), &detail)?;
    outbox::post_event(
        work,
        if outcome == Outcome::Recover { "account.updated" } else { action.as_str() },
        account,
        &json!({}),
    )?;
    if outcome == Outcome::Create {
        return Ok(());
    }
    ways_in::tell_proven_addresses(work, account, &MailContent::PasswordSet { at: work.now() })
}

/// An operator's invitation to be an admin. The account holds no role until it is claimed (rule 1); an account
/// that is claimed already gets the role at once, and no secret.
pub fn invite_admin(work: &mut Work<'_>, address: &EmailAddress) -> Result<(AccountId, Option<MailedSecret>)> {
    let held = hold_and_look_up(work, address)?;
    let account = match (held.holder, held.account) {
        (Holder::Closed, _) => return Err(Error::invalid("/email", "closed", "This account is disabled.")),
        (Holder::Claimed, Some(account)) => {
            db::accounts::set_role(work, account.id, Role::Admin)?;
            let detail = json!({ "role": Role::Admin });
            audit::record(work, Action::AccountRoleChanged, Actor::Operator, Some(account.id), &detail)?;
            return Ok((account.id, None));
        }
        (_, Some(account)) => account.id,
        (_, None) => {
            let account = db::accounts::insert_unclaimed(work, None)?.id;
            db::identities::insert(work, account, &IdentityKey::email(address), None, None)?;
            account
        }
    };
    let detail = ChallengeDetail { role: Some(Role::Admin), ..ChallengeDetail::default() };
    let epoch = db::accounts::get(work, account)?.security_epoch;
    let new = challenge::New {
        purpose: ChallengePurpose::AdminInvitation,
        address,
        account: Some((account, epoch)),
        session: None,
        flow: None,
        detail: &detail,
        mailed: true,
    };
    let (_, secret) = challenge::make(work, &new)?;
    audit::record(work, Action::AdminInvited, Actor::Operator, Some(account), &json!({}))?;
    Ok((account, Some(secret)))
}
