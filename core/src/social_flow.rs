//! Social flows: one round trip to a provider, from the app that began it back to that app.
//!
//! `started → returned → presented → spent`; natively `started → presented → spent`; and between `presented` and
//! `spent` it is `email_required` where an address is still to be proven. What a flow hands out (state, code,
//! continuation) is its id with a MAC: what was made up is refused without the database, and nothing secret rests
//! in it. The browser carries the code alone; it is good for nothing without the app's own PKCE verifier.

use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::db::types::words;
use crate::db::{self, Work};
use crate::error::{Error, Result};
use crate::id::{AccountId, FlowId, SessionId};
use crate::keyring::{same, sha256};
use crate::limits;
use crate::provider::ProviderName;
use crate::secret::FlowToken;
use crate::session::{self, EndReason, SignedIn};
use crate::settings::{self, Method};
use crate::throttle;

words! {
    pub enum FlowPurpose {
        SignIn = "sign_in",
        /// To link an identity to the account of a session, which finishes it as well.
        Link = "link",
        /// To make a session fresh, which finishes it as well.
        Reauthenticate = "reauthenticate",
    }
}

words! {
    pub enum FlowState {
        Started = "started",
        /// The browser came back, and took a one-time code to the app.
        Returned = "returned",
        /// The app has shown the code, or a native token: the provider is being asked.
        Presented = "presented",
        /// The provider gave no address that counts: one is to be proven.
        EmailRequired = "email_required",
        Spent = "spent",
        Void = "void",
    }
}

/// A flow as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    pub id: FlowId,
    pub provider: ProviderName,
    pub purpose: FlowPurpose,
    pub state: FlowState,
    /// The session that began it, where there was one; else the one it opened.
    pub session_id: Option<SessionId>,
    /// Whose session that is which began it, and in which epoch.
    pub account: Option<(AccountId, i64)>,
    /// The app's redirect URI and PKCE challenge; none for a native one.
    pub app: Option<(String, String)>,
    /// What the provider gave, for as long as it is needed.
    pub sealed: Option<Vec<u8>>,
    pub code_expires_at: Option<Timestamp>,
    pub expires_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// The place a provider's code is sealed for.
const CODE: &str = "social flow code";

/// The S256 challenge of an app's PKCE (RFC 7636, section 4.2): 32 bytes in base64url.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeChallenge(String);

impl CodeChallenge {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        (bytes.len() == 32).then(|| Self(text.to_owned()))
    }
}

/// The challenge of a verifier.
fn s256(verifier: &str) -> String {
    BASE64URL_NOPAD.encode(&sha256(verifier.as_bytes()))
}

/// What a flow is for, and the session that it belongs to, where there is one.
#[derive(Debug, Clone, Copy)]
pub enum For<'a> {
    SignIn,
    Link(&'a SignedIn),
    Reauthenticate(&'a SignedIn),
}

impl<'a> For<'a> {
    const fn purpose(self) -> FlowPurpose {
        match self {
            Self::SignIn => FlowPurpose::SignIn,
            Self::Link(_) => FlowPurpose::Link,
            Self::Reauthenticate(_) => FlowPurpose::Reauthenticate,
        }
    }

    const fn who(self) -> Option<&'a SignedIn> {
        match self {
            Self::SignIn => None,
            Self::Link(who) | Self::Reauthenticate(who) => Some(who),
        }
    }

    /// Linking takes a session that is fresh (rule 12).
    fn require_fresh(self, work: &mut Work<'_>) -> Result<()> {
        match self {
            Self::Link(who) => who.require_fresh(work),
            Self::SignIn | Self::Reauthenticate(_) => Ok(()),
        }
    }
}

/// How the app will get its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum App {
    /// By a browser, at a URI that was looked for in the list of those allowed.
    Redirect { redirect_uri: String, challenge: CodeChallenge },
    /// It has a token of the provider's own SDK.
    Native,
}

/// What the provider is told at the beginning.
pub struct Begun {
    pub id: FlowId,
    pub expires_at: Timestamp,
    pub state: Zeroizing<String>,
    pub nonce: String,
    pub pkce_challenge: String,
}

/// Begins a flow. It changes no account.
pub fn begin(work: &mut Work<'_>, provider: &ProviderName, app: App, what: For<'_>) -> Result<Begun> {
    is_open(work, provider)?;
    what.require_fresh(work)?;
    let who = what.who();
    throttle::before_flow(work)?;
    let app = match app {
        App::Redirect { redirect_uri, challenge } => Some((redirect_uri, challenge.0)),
        App::Native => None,
    };
    let flow = Flow {
        id: work.new_id(),
        provider: provider.clone(),
        purpose: what.purpose(),
        state: FlowState::Started,
        session_id: who.map(|who| who.session.id),
        account: who.map(|who| (who.account.id, who.account.security_epoch)),
        app,
        sealed: None,
        code_expires_at: None,
        expires_at: work.now() + limits::FLOW_LIFE,
        ended_at: None,
    };
    db::social_flows::insert(work, &flow)?;
    let keys = work.keyring();
    Ok(Begun {
        id: flow.id,
        expires_at: flow.expires_at,
        state: FlowToken::State.reveal(flow.id, keys),
        nonce: FlowToken::nonce(flow.id, keys),
        pkce_challenge: s256(&FlowToken::verifier(flow.id, keys)),
    })
}

/// Rule 14: whether a provider is there, and on.
pub fn is_open(work: &mut Work<'_>, provider: &ProviderName) -> Result<()> {
    work.providers().find(provider).ok_or(Error::NotFound("provider"))?;
    settings::current(work)?.offers(&Method::Provider(provider.clone()))
}

/// What the browser brings from the provider.
pub enum FromProvider {
    Code(Zeroizing<String>),
    Cancelled,
    Refused,
}

/// Where the browser is sent, and with what.
pub struct BackToApp {
    pub flow: FlowId,
    pub redirect_uri: String,
    /// The one-time code, or why there is none: `cancelled` or `refused`.
    pub code: Result<Zeroizing<String>, &'static str>,
}

/// The provider sent the browser back. It may be anybody's browser: nothing is done but to keep what it brought for
/// the app that began.
pub fn come_back(
    work: &mut Work<'_>,
    provider: &ProviderName,
    state: &str,
    brought: &FromProvider,
) -> Result<BackToApp> {
    let id = FlowToken::State.parse(state, work.keyring()).ok_or(Error::FlowUnknown)?;
    let flow = db::social_flows::find(work, id)?.ok_or(Error::FlowGone)?;
    let started = flow.state == FlowState::Started && work.now() < flow.expires_at;
    let (true, true, Some((redirect_uri, _))) = (flow.provider == *provider, started, flow.app) else {
        return Err(Error::FlowGone);
    };
    let refused = match brought {
        FromProvider::Code(_) => is_open(work, provider).is_err().then_some("refused"),
        FromProvider::Cancelled => Some("cancelled"),
        FromProvider::Refused => Some("refused"),
    };
    let (moved, code) = match (brought, refused) {
        (FromProvider::Code(code), None) => {
            let sealed = work.keyring().seal(CODE, code.as_bytes())?;
            let until = work.now() + limits::FLOW_CODE_LIFE;
            let moved = db::social_flows::mark_returned(work, id, &sealed, until)?;
            (moved, Ok(FlowToken::Code.reveal(id, work.keyring())))
        }
        (_, why) => {
            let moved = db::social_flows::end(work, id, FlowState::Started, FlowState::Void, None)?;
            (moved, Err(why.unwrap_or("refused")))
        }
    };
    if moved { Ok(BackToApp { flow: id, redirect_uri, code }) } else { Err(Error::FlowGone) }
}

/// What the app has shown is right: the provider can be asked.
pub struct Presented {
    pub flow: FlowId,
    pub provider: ProviderName,
    /// The provider's code; none for a native token, which the app has.
    pub code: Option<Zeroizing<String>>,
    pub verifier: Zeroizing<String>,
    pub nonce: String,
}

/// The app shows the one-time code and its verifier. Of all who do, one is let through.
pub fn present_code(work: &mut Work<'_>, code: &str, verifier: &str, what: For<'_>) -> Result<Presented> {
    let Some(id) = FlowToken::Code.parse(code, work.keyring()) else { return wrong(work, what) };
    let flow = find_for(work, id, what)?;
    let right = flow.app.as_ref().is_some_and(|(_, challenge)| same(s256(verifier).as_bytes(), challenge.as_bytes()));
    if !right {
        return wrong(work, what);
    }
    if flow.state == FlowState::Spent {
        return shown_again(work, &flow);
    }
    let live = flow.code_expires_at.is_some_and(|until| work.now() < until);
    let (FlowState::Returned, true, Some(sealed)) = (flow.state, live, &flow.sealed) else {
        return Err(Error::FlowGone);
    };
    let code = work.keyring().open(CODE, sealed)?;
    let code = Zeroizing::new(String::from_utf8_lossy(&code).into_owned());
    present(work, &flow, Some(code))
}

/// What was made up is counted of a stranger. Whoever is signed in is known, and has their account held, before which
/// nothing that is counted of a caller may be.
fn wrong(work: &mut Work<'_>, what: For<'_>) -> Result<Presented> {
    if what.who().is_none() {
        throttle::before_try(work)?;
    }
    Err(Error::FlowUnknown.and_keep())
}

/// A code is shown that has opened a session long ago: somebody has copied it (RFC 6749, section 4.1.2).
fn shown_again(work: &mut Work<'_>, flow: &Flow) -> Result<Presented> {
    let long_ago = flow.ended_at.is_some_and(|ended| work.now().since(ended) >= limits::LOST_ANSWER);
    match (flow.purpose, flow.session_id) {
        (FlowPurpose::SignIn, Some(session)) if long_ago => {
            session::end_by_id(work, session, EndReason::Reused)?;
            Err(Error::FlowGone.and_keep())
        }
        _ => Err(Error::FlowGone),
    }
}

/// The app has a token of the provider's SDK, made for the nonce that this flow gave it.
pub fn present_native(
    work: &mut Work<'_>,
    flow: FlowId,
    provider: Option<&ProviderName>,
    what: For<'_>,
) -> Result<Presented> {
    let flow = find_for(work, flow, what)?;
    if provider.is_some_and(|provider| *provider != flow.provider) {
        return Err(Error::FlowUnknown);
    }
    if flow.state != FlowState::Started || flow.app.is_some() || flow.expires_at <= work.now() {
        return Err(Error::FlowGone);
    }
    present(work, &flow, None)
}

fn present(work: &mut Work<'_>, flow: &Flow, code: Option<Zeroizing<String>>) -> Result<Presented> {
    is_open(work, &flow.provider)?;
    if !db::social_flows::mark_presented(work, flow.id, flow.state)? {
        return Err(Error::FlowGone);
    }
    let keys = work.keyring();
    let (verifier, nonce) = (FlowToken::verifier(flow.id, keys), FlowToken::nonce(flow.id, keys));
    Ok(Presented { flow: flow.id, provider: flow.provider.clone(), code, verifier, nonce })
}

/// A flow to sign in with is anybody's who knows its secrets; any other is its session's, in its epoch, and good for
/// what it was made for; one to link with while that session is fresh (rule 12).
pub fn find_for(work: &mut Work<'_>, id: FlowId, what: For<'_>) -> Result<Flow> {
    let flow = db::social_flows::find(work, id)?.ok_or(Error::FlowUnknown)?;
    let theirs = what.who().is_none_or(|who| {
        flow.session_id == Some(who.session.id) && flow.account == Some((who.account.id, who.account.security_epoch))
    });
    if flow.purpose != what.purpose() || !theirs {
        return Err(Error::FlowUnknown);
    }
    what.require_fresh(work)?;
    Ok(flow)
}
