//! Signing in with a provider: what becomes of whoever arrives, and how the address is proven that a provider did
//! not give (rules 4, 7 and 8).

use serde_json::json;
use zeroize::Zeroizing;

use crate::account::Account;
use crate::audit::{self, Action, Actor};
use crate::challenge::{self, ChallengeDetail, ChallengePurpose};
use crate::clock::Timestamp;
use crate::db::{self, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::id::{ChallengeId, FlowId, IdentityId};
use crate::identity::{IdentityKey, Proof, ProofMethod};
use crate::known_device;
use crate::limits;
use crate::linking::{self, Answer, Arriving, Ask, House, Made, Outcome};
use crate::mail::{MailContent, Named};
use crate::mailed_secret;
use crate::outbox;
use crate::ownership::{self, How, Proven, Taken};
use crate::provider::{Arrival, ProviderName};
use crate::secret::{DeviceToken, FlowToken};
use crate::session::{self, Issued};
use crate::settings::{self, Method, Settings, SignUpPolicy};
use crate::social_flow::{self, Flow, FlowState};
use crate::throttle;
use crate::ways_in;

/// What whoever arrives gets.
#[derive(Debug)]
pub enum Finished {
    SignedIn(Box<Issued>),
    EmailRequired(Continue),
}

/// What it takes to prove an address, together with the code that is mailed there.
#[derive(Debug)]
pub struct Continue {
    pub continuation: Zeroizing<String>,
    pub expires_at: Timestamp,
    pub provider: ProviderName,
    /// The handle, for people.
    pub handle: Option<String>,
    /// An address that the provider gave and that proves nothing.
    pub email_hint: Option<EmailAddress>,
}

/// The place an arrival is sealed for.
const ARRIVAL: &str = "social flow arrival";

/// What of the settings bears on a provider and an address.
fn house(settings: &Settings, provider: &ProviderName, address: Option<&EmailAddress>) -> House {
    let creates = settings.provider(provider).may_create_accounts;
    House {
        road_on: settings.offers(&Method::Provider(provider.clone())).is_ok(),
        sign_up: if creates { settings.authentication.sign_up } else { SignUpPolicy::KnownOnly },
        admits: address.is_none_or(|address| settings.admits(address)),
    }
}

/// Decides what becomes of whoever the provider says has arrived, and does it, in one transaction.
pub fn finish(work: &mut Work<'_>, flow: FlowId, arrival: &Arrival, device_token: Option<&str>) -> Result<Finished> {
    let flow = db::social_flows::find(work, flow)?.ok_or(Error::FlowGone)?;
    let method = Method::Provider(flow.provider.clone());
    let settings = settings::current(work)?;
    let trusted = settings.provider(&flow.provider).email_counts;
    let address = linking::counts(arrival.key.kind, trusted, arrival.email.as_ref());
    let email = address.map(IdentityKey::email);
    let keys: Vec<&IdentityKey> = email.iter().chain([&arrival.key]).collect();
    ownership::hold(work, &keys, &[])?;
    let subject = ownership::look_up(work, &arrival.key)?;
    let held = email.as_ref().map(|key| ownership::look_up(work, key)).transpose()?;
    let house = house(&settings, &flow.provider, address);
    match linking::arrive(subject.holder, held.as_ref().map(|held| held.holder), house) {
        Arriving::Off => Err(Error::MethodOff(method)),
        Arriving::LinkRequired => refuse(work, &flow, Error::LinkRequired),
        Arriving::Closed => refuse(work, &flow, Error::AccountClosed),
        Arriving::EmailRequired => require_email(work, &flow, arrival).map(Finished::EmailRequired),
        Arriving::SignIn => {
            let Some(identity) = subject.identity else {
                return Err(Error::Broken("a subject that somebody holds is not there".to_owned()));
            };
            let account = db::accounts::get(work, identity.account_id)?;
            db::identities::see_again(work, &identity, arrival.label.as_deref(), arrival.name.as_deref())?;
            let device = known_device::find(work, device_token, account.id, account.security_epoch)?;
            let known = device.is_some();
            let issued = sign_in(work, &settings, &flow, FlowState::Presented, (&account, identity.id), device)?;
            let detail = json!({
                "session_id": issued.session.id, "method": method.kind(), "provider": method.provider(),
                "known_device": known,
            });
            audit::record(work, Action::SessionCreated, Actor::Account(account.id), Some(account.id), &detail)?;
            known_device::tell_if_new(work, &account, &issued.session, known)?;
            Ok(Finished::SignedIn(Box::new(issued)))
        }
        Arriving::OwnSubject => own(work, &settings, &flow, arrival, None),
        Arriving::OwnBoth => own(work, &settings, &flow, arrival, email.as_ref().map(|key| (key, None))),
    }
}

/// A refusal spends the flow all the same.
fn refuse(work: &mut Work<'_>, flow: &Flow, why: Error) -> Result<Finished> {
    if db::social_flows::end(work, flow.id, FlowState::Presented, FlowState::Spent, None)? {
        return Err(why.and_keep());
    }
    Err(Error::FlowGone)
}

fn require_email(work: &mut Work<'_>, flow: &Flow, arrival: &Arrival) -> Result<Continue> {
    let sealed = work.keyring().seal(ARRIVAL, &serde_json::to_vec(arrival)?)?;
    let expires_at = work.now() + limits::CONTINUATION_LIFE;
    if !db::social_flows::mark_email_required(work, flow.id, &sealed, expires_at)? {
        return Err(Error::FlowGone);
    }
    Ok(Continue {
        continuation: FlowToken::Continuation.reveal(flow.id, work.keyring()),
        expires_at,
        provider: flow.provider.clone(),
        handle: arrival.label.clone(),
        email_hint: arrival.email.as_ref().map(|email| email.address.clone()),
    })
}

/// Ends the flow, and opens the session it was for.
fn sign_in(
    work: &mut Work<'_>,
    settings: &Settings,
    flow: &Flow,
    from: FlowState,
    (account, identity): (&Account, IdentityId),
    device: Option<DeviceToken>,
) -> Result<Issued> {
    let method = Method::Provider(flow.provider.clone());
    let issued = session::open(work, settings, account, method, Some(identity), device)?;
    if !db::social_flows::end(work, flow.id, from, FlowState::Spent, Some(issued.session.id))? {
        return Err(Error::FlowGone);
    }
    Ok(issued)
}

/// Makes the subject, and the address where one is proven as well, an account's: with the address's code where it
/// was mailed one, else by the provider's word for it.
fn own(
    work: &mut Work<'_>,
    settings: &Settings,
    flow: &Flow,
    arrival: &Arrival,
    address: Option<(&IdentityKey, Option<ChallengeId>)>,
) -> Result<Finished> {
    let by_provider = Proof { method: ProofMethod::Provider, challenge: None, flow: Some(flow.id) };
    let (label, name) = (arrival.label.as_deref(), arrival.name.as_deref());
    let mut proven = Vec::new();
    if let Some((key, code)) = address {
        let method = if code.is_some() { ProofMethod::MailedCode } else { ProofMethod::Provider };
        proven.push(Proven {
            key,
            label: None,
            name: None,
            proof: Proof { method, challenge: code, flow: Some(flow.id) },
        });
    }
    proven.push(Proven { key: &arrival.key, label, name, proof: by_provider });
    let taken = ownership::take(work, &proven, None)?;
    let Some(identity) = taken.identities.last().copied() else {
        return Err(Error::Broken("nothing was taken".to_owned()));
    };
    let mailed = address.map(|(key, _)| EmailAddress::stored(&key.subject)).transpose()?;
    let ended = session::purge(work, taken.account, mailed.as_ref())?;
    tell(work, flow, arrival, &taken, ended)?;
    let account = db::accounts::get(work, taken.account)?;
    let issued = sign_in(work, settings, flow, flow.state, (&account, identity), None)?;
    Ok(Finished::SignedIn(Box::new(issued)))
}

/// Rule 9's last words.
fn tell(work: &mut Work<'_>, flow: &Flow, arrival: &Arrival, taken: &Taken, sessions_ended: usize) -> Result<()> {
    let action = if taken.how == How::Created { Action::AccountCreated } else { Action::AccountClaimed };
    let part = taken.how == How::ClaimedInPart;
    let detail = json!({
        "method": ProofMethod::Provider, "provider": flow.provider, "part": part, "sessions_ended": sessions_ended,
    });
    audit::record(work, action, Actor::Nobody, Some(taken.account), &detail)?;
    outbox::post_event(work, action.as_str(), taken.account, &json!({}))?;
    if taken.how == How::Created {
        return Ok(());
    }
    let named = Named::of_arrival(work.providers(), arrival);
    ways_in::tell_proven_addresses(work, taken.account, &MailContent::ClaimedByProvider { named, at: work.now() })
}

/// The flow behind a continuation, and who has arrived by it.
fn continued(work: &mut Work<'_>, continuation: &str) -> Result<(Flow, Arrival)> {
    let Some(id) = FlowToken::Continuation.parse(continuation, work.keyring()) else {
        throttle::before_try(work)?;
        return Err(Error::FlowUnknown.and_keep());
    };
    let flow = db::social_flows::find(work, id)?.ok_or(Error::FlowGone)?;
    social_flow::is_open(work, &flow.provider)?;
    let live = flow.state == FlowState::EmailRequired && work.now() < flow.expires_at;
    let (true, Some(sealed)) = (live, &flow.sealed) else { return Err(Error::FlowGone) };
    let arrival = serde_json::from_slice(&work.keyring().open(ARRIVAL, sealed)?)?;
    Ok((flow, arrival))
}

/// Mails a code to the address that somebody says is theirs. The answer is the same whoever has it (I7), and it is
/// good with the continuation alone (rule 4).
pub fn ask_email(work: &mut Work<'_>, continuation: &str, address: &EmailAddress, locale: Option<&str>) -> Result<()> {
    let (flow, arrival) = continued(work, continuation)?;
    if !throttle::may_mail(work, Ask::SocialEmail, address)? {
        return Ok(());
    }
    let held = mailed_secret::hold_address_and_look_up(work, address)?;
    let settings = settings::current(work)?;
    let answer = linking::answer_to(Ask::SocialEmail, held.holder, house(&settings, &flow.provider, Some(address)));
    let detail = ChallengeDetail { locale: locale.map(str::to_owned), ..ChallengeDetail::default() };
    let mailed = answer.carries_a_secret();
    let new = challenge::New {
        purpose: ChallengePurpose::SocialEmail,
        address,
        account: held.bound(),
        session: None,
        flow: Some(flow.id),
        detail: &detail,
        mailed,
    };
    let (id, secret) = challenge::make(work, &new)?;
    let named = Named::of_arrival(work.providers(), &arrival);
    let content = match answer {
        Answer::SocialEmail => {
            Some(MailContent::SocialEmail { code: secret.code, code_minutes: secret.code_minutes, named })
        }
        Answer::LinkNotice => Some(MailContent::LinkNotice { named }),
        _ => None,
    };
    mailed_secret::post(work, address, &held, locale, (id, mailed), content)
}

/// Spends the continuation and the code together: what both prove becomes one account's.
pub fn confirm_email(work: &mut Work<'_>, continuation: &str, code: &str) -> Result<Finished> {
    let (flow, arrival) = continued(work, continuation)?;
    let shown = challenge::recognise_for_flow(work, flow.id, &arrival.key, code)?;
    let email = IdentityKey::email(&shown.address);
    ownership::hold(work, &[&email, &arrival.key], &[])?;
    let (address, subject) = (ownership::look_up(work, &email)?, ownership::look_up(work, &arrival.key)?);
    let settings = settings::current(work)?;
    let made = Made { purpose: shown.purpose, held_by: shown.account_id.zip(shown.epoch) };
    let house = house(&settings, &flow.provider, Some(&shown.address));
    match linking::redeem_with_subject(made, address.bound(), address.holder, subject.holder, house) {
        Outcome::Create | Outcome::Claim | Outcome::ClaimPart => {}
        Outcome::Recover | Outcome::Refuse => return Err(Error::SecretGone),
    }
    challenge::spend(work, shown.id)?;
    own(work, &settings, &flow, &arrival, Some((&email, Some(shown.id))))
}
