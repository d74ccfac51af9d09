//! Devices that an account knows: by the token that each was given, or by what it is and where it is used. An owner hears of
//! any other.

use serde_json::json;

use crate::account::Account;
use crate::audit::{self, Action, Actor};
use crate::db::{self, Work};
use crate::device::{self, Device};
use crate::error::Result;
use crate::id::AccountId;
use crate::limits;
use crate::mail::MailContent;
use crate::secret::DeviceToken;
use crate::session::Session;
use crate::settings::Method;
use crate::{throttle, ways_in};

/// The device that a token is of, where the account knows it: it has signed in, or set the password by mail, since the last
/// recovery, is remembered, and was not disowned.
pub fn find(work: &mut Work<'_>, shown: Option<&str>, account: AccountId, epoch: i64) -> Result<Option<DeviceToken>> {
    let token = shown.and_then(|shown| DeviceToken::parse(shown, work.keyring()));
    match token.filter(|token| token.account == account && token.epoch == epoch) {
        Some(token) if db::devices::is_known(work, &token)? => Ok(Some(token)),
        _ => Ok(None),
    }
}

/// What is left of a device that was known a moment ago.
pub fn find_again(work: &mut Work<'_>, known: Option<DeviceToken>) -> Result<Option<DeviceToken>> {
    match known {
        Some(token) if db::devices::is_known(work, &token)? => Ok(Some(token)),
        _ => Ok(None),
    }
}

/// Tells the owner of a sign-in from a device that the account does not know: it has shown no device token of the account,
/// and none like it was used there lately. The first sign-in after the account became its owner's is expected.
pub fn tell_if_new(work: &mut Work<'_>, account: &Account, session: &Session, known: bool) -> Result<()> {
    if known || is_first(work, session)? {
        return Ok(());
    }
    let device = Device::of(work.origin().user_agent.as_deref());
    let network = work.origin().address.map(device::network_of);
    let since = work.now() - limits::DEVICE_REMEMBERED;
    if db::devices::is_like_known(work, session, (device.name().as_deref(), network.as_deref()), since)? {
        return Ok(());
    }
    let provider = match &session.method {
        Method::Provider(name) => work.providers().find(name).map(|provider| provider.title.clone()),
        Method::Password | Method::SignUp => None,
    };
    let detail = json!({ "session_id": session.id, "device": device.name(), "network": network });
    audit::record(work, Action::SessionNewDevice, Actor::Account(account.id), Some(account.id), &detail)?;
    if !throttle::may_tell_of_device(work, account.id)? {
        return Ok(());
    }
    let content = MailContent::NewDevice { at: work.now(), device, network, provider };
    ways_in::tell_proven_addresses(work, account.id, &content)
}

/// Whether it is the first session since a claim or recovery of a moment ago, of which every proven address was told.
fn is_first(work: &mut Work<'_>, session: &Session) -> Result<bool> {
    let began = db::accounts::epoch_began(work, session.account_id)?;
    let lately = began.is_some_and(|began| work.now().since(began) < limits::FIRST_SIGN_IN);
    Ok(lately && !db::devices::has_others(work, session)?)
}
