//! The devices of a signed-in owner: to list and to end them, and to tell the owner of a new one.

use serde_json::json;

use crate::account::Account;
use crate::audit::{self, Actor};
use crate::clock::Timestamp;
use crate::db::{self, Work};
use crate::device::{self, Device};
use crate::error::{Error, Result};
use crate::id::SessionId;
use crate::limits;
use crate::mail::MailContent;
use crate::page::{Cursor, Page, PageAsk};
use crate::session::{self, EndReason, Session, SignedIn};
use crate::settings::{self, Method, Settings};
use crate::{throttle, ways_in};

/// A session as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnSession {
    pub session: Session,
    /// It is the one that asks.
    pub current: bool,
    /// In our words; none where its program did not say what it is.
    pub device: Option<String>,
    /// The network it signed in from.
    pub network: Option<String>,
    /// When it ends if it is not used before.
    pub expires_at: Timestamp,
}

/// The owner's live sessions, the newest first.
pub fn list(work: &mut Work<'_>, who: &SignedIn, ask: PageAsk) -> Result<Page<OwnSession>> {
    let settings = settings::current(work)?;
    let live = live_since(work, &settings);
    let rows = db::sessions::list_live(work, &who.account, live, ask)?;
    let page = ask.page(rows, |(session, ..)| Cursor { at: session.created_at, id: session.id.0 });
    Ok(page.map(|(session, device, network)| OwnSession {
        current: session.id == who.session.id,
        expires_at: session::expires_at(&settings, &session),
        session,
        device,
        network,
    }))
}

/// A session that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastSession {
    pub session: Session,
    pub device: Option<String>,
    pub network: Option<String>,
}

/// The owner's sessions that are not live any more, for as long as they are kept, the newest first.
pub fn list_past(work: &mut Work<'_>, who: &SignedIn, ask: PageAsk) -> Result<Page<PastSession>> {
    let settings = settings::current(work)?;
    let live = live_since(work, &settings);
    let rows = db::sessions::list_past(work, &who.account, live, ask)?;
    let page = ask.page(rows, |(session, ..)| Cursor { at: session.created_at, id: session.id.0 });
    Ok(page.map(|(session, device, network)| PastSession { session, device, network }))
}

/// Writes down that everything held of somebody is about to be handed out, and gives the time.
pub fn begin_export(work: &mut Work<'_>, who: &SignedIn) -> Result<Timestamp> {
    let account = who.account.id;
    throttle::before_change(work, account)?;
    audit::record(work, "account.exported", Actor::Account(account), Some(account), &json!({}))?;
    Ok(work.now())
}

/// Since when a session must have been used, and begun, to be good still.
fn live_since(work: &Work<'_>, settings: &Settings) -> (Timestamp, Timestamp) {
    let now = work.now();
    (now - settings.session_idle(), now - settings.session_absolute())
}

/// Ends one of the owner's sessions; the one that asks is signed out by it.
pub fn end(work: &mut Work<'_>, who: &SignedIn, id: SessionId) -> Result<()> {
    let settings = settings::current(work)?;
    let live = live_since(work, &settings);
    let found = db::sessions::find_live(work, &who.account, live, id)?.ok_or(Error::NotFound("session"))?;
    let current = found.id == who.session.id;
    session::end(work, &found, if current { EndReason::SignedOut } else { EndReason::SignedOutElsewhere })
}

/// Ends all of the owner's sessions but the one that asks; gives how many there were.
pub fn end_others(work: &mut Work<'_>, who: &SignedIn) -> Result<usize> {
    let others = db::sessions::list_others(work, &who.session)?;
    for other in &others {
        session::end(work, other, EndReason::SignedOutElsewhere)?;
    }
    Ok(others.len())
}

/// Tells the owner of a sign-in from a device that the account does not know: it has shown no device token of the
/// account, and none like it has signed in from there lately. The first sign-in of all tells nobody anything.
pub fn tell_if_new(work: &mut Work<'_>, account: &Account, session: &Session, known: bool) -> Result<()> {
    if known || !db::sessions::has_others(work, session)? {
        return Ok(());
    }
    let device = Device::of(work.origin().user_agent.as_deref());
    let network = work.origin().address.map(device::network_of);
    let since = work.now() - limits::DEVICE_REMEMBERED;
    if db::sessions::has_like(work, session, (device.name().as_deref(), network.as_deref()), since)? {
        return Ok(());
    }
    let provider = match &session.method {
        Method::Provider(name) => work.providers().find(name).map(|provider| provider.title.clone()),
        Method::Password | Method::SignUp => None,
    };
    let detail = json!({ "session_id": session.id, "device": device.name(), "network": network });
    audit::record(work, "session.new_device", Actor::Account(account.id), Some(account.id), &detail)?;
    let content = MailContent::NewDevice { at: work.now(), device, network, provider };
    ways_in::tell_proven_addresses(work, account.id, &content)
}
