//! The ways into an account: its password and the identities its owner has proven.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use crate::audit::{self, Action, Actor};
use crate::db::{self, Lock, Work};
use crate::error::{Error, Result};
use crate::id::{AccountId, IdentityId};
use crate::identity::{self, Identity, IdentityKey, IdentityKind};
use crate::limits;
use crate::mail::{Mail, MailContent};
use crate::outbox;
use crate::provider::ProviderName;
use crate::settings::{self, Method, Settings};

/// One way in. An email is one because whoever reads its mail can set a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WayIn {
    /// `password`, or the kind of the identity.
    pub method: &'static str,
    /// The provider's name, where it is signed in with one that is configured here.
    pub provider: Option<ProviderName>,
    pub identity_id: Option<IdentityId>,
    /// The address or handle, for people.
    pub label: Option<String>,
}

impl WayIn {
    #[must_use]
    pub const fn password() -> Self {
        Self { method: "password", provider: None, identity_id: None, label: None }
    }
}

/// Every way in that an account has now.
pub fn list(work: &mut Work<'_>, account: AccountId) -> Result<Vec<WayIn>> {
    let password = db::credentials::find_password(work, account)?.map(|_| WayIn::password());
    let proven = db::identities::list_proven(work, account)?.into_iter();
    let proven = proven.map(|identity| of_identity(work, &identity.key, identity.label.clone(), Some(identity.id)));
    Ok(password.into_iter().chain(proven).collect())
}

/// An identity as a way in, whether or not it is one at present.
#[must_use]
pub fn of_identity(work: &Work<'_>, key: &IdentityKey, label: Option<String>, id: Option<IdentityId>) -> WayIn {
    WayIn {
        method: key.kind.as_str(),
        provider: work.providers().of(key).map(|provider| provider.name.clone()),
        identity_id: id,
        label: identity::shown_label(key, label),
    }
}

/// The ways in that may be used now (rule 14): addresses while a password can be set by them, and identities whose
/// provider is here and on. A password is none without an address to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usable {
    pub identities: Vec<IdentityId>,
}

impl Usable {
    /// How many there are without one of them.
    #[must_use]
    pub fn without(&self, id: IdentityId) -> usize {
        self.identities.iter().filter(|other| **other != id).count()
    }
}

pub fn usable(work: &mut Work<'_>, account: AccountId) -> Result<Usable> {
    let settings = settings::current(work)?;
    usable_under(work, &settings, account)
}

/// [`usable`] if the settings were these.
pub fn usable_under(work: &mut Work<'_>, settings: &Settings, account: AccountId) -> Result<Usable> {
    let proven = db::identities::list_proven(work, account)?;
    let may = |identity: &Identity| match identity.key.kind {
        IdentityKind::Email => settings.offers(&Method::Password).is_ok(),
        _ => work
            .providers()
            .of(&identity.key)
            .is_some_and(|provider| settings.offers(&Method::Provider(provider.name.clone())).is_ok()),
    };
    Ok(Usable { identities: proven.iter().filter(|identity| may(identity)).map(|identity| identity.id).collect() })
}

/// Holds every identity of accounts, and others: to be called before anything else is held.
pub fn hold_all(work: &mut Work<'_>, accounts: &[AccountId], others: &[&IdentityKey]) -> Result<()> {
    let mut keys: Vec<IdentityKey> = others.iter().map(|key| (*key).clone()).collect();
    for account in accounts {
        keys.extend(db::identities::list(work, *account)?.into_iter().map(|identity| identity.key));
    }
    let locks: Vec<Lock<'_>> = keys.iter().map(Lock::Identity).collect();
    work.hold(&locks)
}

/// Drops every identity but those to keep, for what a stranger may have linked. Follows [`hold_all`].
pub fn drop_all_but(
    work: &mut Work<'_>,
    account: AccountId,
    keep: impl Fn(&Identity) -> bool,
    reason: &str,
) -> Result<Vec<Identity>> {
    let mine = db::identities::list_proven(work, account)?;
    let mut dropped = Vec::new();
    for identity in mine.into_iter().filter(|identity| !keep(identity)) {
        if !work.holds(Lock::Identity(&identity.key)) {
            return Err(Error::Overtaken); // it came after they were held
        }
        db::identities::delete(work, &identity)?;
        let detail = json!({ "kind": identity.key.kind, "reason": reason });
        audit::record(work, Action::IdentityUnlinked, Actor::Account(account), Some(account), &detail)?;
        outbox::post_event(work, "identity.unlinked", account, &json!({ "kind": identity.key.kind }))?;
        dropped.push(identity);
    }
    Ok(dropped)
}

/// Every proven address of an account.
pub fn proven_addresses(work: &mut Work<'_>, account: AccountId) -> Result<Vec<String>> {
    let proven = db::identities::list_proven(work, account)?.into_iter();
    let addresses = proven.filter(|identity| identity.key.kind == IdentityKind::Email);
    Ok(addresses.map(|identity| identity.key.subject).collect())
}

/// Mails addresses of an account.
pub fn tell(work: &mut Work<'_>, account: AccountId, addresses: Vec<String>, content: &MailContent) -> Result<()> {
    tell_within(work, account, addresses, content, limits::NOTICE_LIFE)
}

/// [`tell`] that is tried for so long.
pub fn tell_within(
    work: &mut Work<'_>,
    account: AccountId,
    addresses: Vec<String>,
    content: &MailContent,
    life: Duration,
) -> Result<()> {
    let locale = db::accounts::get(work, account)?.locale;
    let until = work.now() + life;
    for to in addresses {
        let mail = Mail { to, locale: locale.clone(), content: content.clone() };
        outbox::post_mail(work, &mail, Some(account), None, until)?;
    }
    Ok(())
}

/// Mails every proven address of an account.
pub fn tell_proven_addresses(work: &mut Work<'_>, account: AccountId, content: &MailContent) -> Result<()> {
    let addresses = proven_addresses(work, account)?;
    tell(work, account, addresses, content)
}
