//! The sessions of a signed-in owner, each on a device: to list and to end them.

use serde_json::json;

use crate::account::Account;
use crate::audit::{self, Action, Actor};
use crate::clock::Timestamp;
use crate::db::{self, Work};
use crate::error::{Error, Result};
use crate::id::SessionId;
use crate::page::{List, Page, PageAsk};
use crate::session::{self, EndReason, Session, SignedIn};
use crate::settings::{self, Settings};
use crate::throttle;

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
    list_of(work, &who.account, Some(who.session.id), ask)
}

/// The live sessions of an account, the newest first, one of which may be the one that asks.
pub(crate) fn list_of(
    work: &mut Work<'_>,
    account: &Account,
    asks: Option<SessionId>,
    ask: PageAsk,
) -> Result<Page<OwnSession>> {
    let ask = ask.of(List::within("sessions", account.id.0))?;
    let settings = settings::current(work)?;
    let live = live_since(work, &settings);
    let rows = db::sessions::list_live(work, account, live, ask)?;
    let page = ask.page(rows, |(session, ..)| (session.created_at, session.id.0));
    Ok(page.map(|(session, device, network)| OwnSession {
        current: Some(session.id) == asks,
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
    let ask = ask.of(List::named("my past sessions"))?;
    let settings = settings::current(work)?;
    let live = live_since(work, &settings);
    let rows = db::sessions::list_past(work, &who.account, live, ask)?;
    let page = ask.page(rows, |(session, ..)| (session.created_at, session.id.0));
    Ok(page.map(|(session, device, network)| PastSession { session, device, network }))
}

/// Writes down that everything held of somebody is about to be handed out, and gives the time.
pub fn begin_export(work: &mut Work<'_>, who: &SignedIn) -> Result<Timestamp> {
    let account = who.account.id;
    throttle::before_export(work, account)?;
    audit::record(work, Action::AccountExported, Actor::Account(account), Some(account), &json!({}))?;
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

/// Ends all of the owner's sessions but the one that asks; gives how many there were. The devices of those that have run
/// out are no longer known either.
pub fn end_others(work: &mut Work<'_>, who: &SignedIn) -> Result<usize> {
    let settings = settings::current(work)?;
    let (used, begun) = live_since(work, &settings);
    let epoch = who.account.security_epoch;
    let mut ended = 0;
    for other in db::sessions::list_others(work, &who.session)? {
        ended += usize::from(other.epoch == epoch && other.rotated_at > used && other.created_at > begun);
        session::end(work, &other, EndReason::SignedOutElsewhere)?;
    }
    Ok(ended)
}
