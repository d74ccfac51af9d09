//! What an admin changes of Security > Authentication: checked as a whole, and never so that they could not sign in again.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::access_token::AccessClaims;
use crate::audit::{self, Action, Actor};
use crate::db::{self, Lock, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Fault, Result};
use crate::identity::IdentityKind;
use crate::provider::Providers;
use crate::session::{self, SignedIn};
use crate::settings::{self, Authentication, LEAST_PASSWORD_LENGTH, Method, Settings};
use crate::ways_in;

/// The longest password that an admin may ask for: nobody shall be unable to choose one.
const MOST_PASSWORD_LENGTH: u16 = 64;
/// A session must outlive its access tokens.
const LEAST_SESSION: u64 = 600;
/// A year.
const MOST_SESSION: u64 = 365 * 86_400;
/// Domains in a list.
const MOST_DOMAINS: usize = 1_000;
/// People are counted no further.
const MOST_PEOPLE: usize = 1_000;

/// How many people can sign in now, and could not under other settings (rule 14); a thousand where there are more. A read of
/// its own, for it may look at many.
pub fn left_out(work: &mut Work<'_>, who: &SignedIn, new: &Authentication) -> Result<usize> {
    // what cannot be confirmed is said first
    can_still_sign_in(work, who, new)?;
    let now = ways(&*settings::current(work)?, work.providers());
    let then = ways(&Settings { version: 0, authentication: new.clone() }, work.providers());
    let lost: Vec<_> = now.into_iter().filter(|way| !then.contains(way)).collect();
    db::people::count_left_out(work, &lost, &then, MOST_PEOPLE)
}

/// The identities that people may sign in with, by kind and namespace.
fn ways(settings: &Settings, providers: &Providers) -> Vec<(IdentityKind, String)> {
    let email = settings.offers(&Method::Password).is_ok().then(|| (IdentityKind::Email, String::new()));
    let on = providers.iter().filter(|one| settings.offers(&Method::Provider(one.name.clone())).is_ok());
    email.into_iter().chain(on.map(|one| (one.kind, one.namespace.clone()))).collect()
}

/// Replaces the settings where `may` allows it, given what they are now. Whoever does it must be able to sign in under them.
pub fn change(
    work: &mut Work<'_>,
    claims: &AccessClaims,
    new: &Authentication,
    may: impl Fn(&Settings) -> bool,
) -> Result<Arc<Settings>> {
    let new = checked(new, work.providers())?;
    work.hold(&[Lock::House])?;
    let who = session::authenticate_to_write(work, claims)?;
    who.require_admin(work)?;
    who.require_fresh(work)?;
    let before = settings::current(work)?;
    if !may(&before) {
        return Err(Error::Changed);
    }
    let changed = differences(&before.authentication, &new)?;
    if changed.is_empty() {
        return Ok(before);
    }
    can_still_sign_in(work, &who, &new)?;
    let after = settings::replace(work, &new)?;
    let detail = json!({ "changed": changed });
    audit::record(work, Action::SettingsChanged, Actor::Account(who.account.id), None, &detail)?;
    Ok(after)
}

fn can_still_sign_in(work: &mut Work<'_>, who: &SignedIn, new: &Authentication) -> Result<()> {
    let after = Settings { version: 0, authentication: new.clone() };
    let none = ways_in::usable_under(work, &after, who.account.id)?.identities.is_empty();
    if none { Err(Error::AdminLeftOut) } else { Ok(()) }
}

/// What has changed, each with what it was and what it is.
fn differences(before: &Authentication, after: &Authentication) -> Result<Map<String, Value>> {
    let (before, after) = (serde_json::to_value(before)?, serde_json::to_value(after)?);
    let Value::Object(after) = after else { return Ok(Map::new()) };
    let other = after.into_iter().filter(|(name, value)| before.get(name) != Some(value));
    Ok(other.map(|(name, value)| (name.clone(), json!({ "from": before.get(&name), "to": value }))).collect())
}

/// The settings as they are kept, or everything that is wrong with them.
fn checked(new: &Authentication, providers: &Providers) -> Result<Authentication> {
    let mut faults = Vec::new();
    let mut range = |pointer: &str, value: u64, least: u64, most: u64| {
        if !(least..=most).contains(&value) {
            faults.push(Fault::new(pointer, "out_of_range", format!("Use {least} to {most}.")));
        }
    };
    let length = new.password_min_length;
    range("/password_min_length", length.into(), LEAST_PASSWORD_LENGTH.into(), MOST_PASSWORD_LENGTH.into());
    range("/session_absolute_seconds", new.session_absolute_seconds, LEAST_SESSION, MOST_SESSION);
    let longest_idle = new.session_absolute_seconds.clamp(LEAST_SESSION, MOST_SESSION);
    range("/session_idle_seconds", new.session_idle_seconds, LEAST_SESSION, longest_idle);
    for provider in providers.iter().filter(|one| !new.providers.contains_key(&one.name)) {
        faults.push(Fault::new(format!("/providers/{}", provider.name), "required", "Say what holds of it."));
    }
    for (name, setting) in &new.providers {
        if providers.find(name).is_none() {
            faults.push(Fault::new(format!("/providers/{name}"), "unknown", "No such provider is configured here."));
        } else if setting.email_counts && name.kind() != IdentityKind::Google {
            let pointer = format!("/providers/{name}/email_counts");
            faults.push(Fault::new(pointer, "not_allowed", "Google's word alone may count for an address."));
        }
    }
    let allowed_domains = domains("/allowed_domains", &new.allowed_domains, &mut faults);
    let blocked_domains = domains("/blocked_domains", &new.blocked_domains, &mut faults);
    if faults.is_empty() {
        Ok(Authentication { allowed_domains, blocked_domains, ..new.clone() })
    } else {
        Err(Error::Invalid(faults))
    }
}

/// Domains as those of canonical addresses are written, each once.
fn domains(pointer: &str, written: &[String], faults: &mut Vec<Fault>) -> Vec<String> {
    if written.len() > MOST_DOMAINS {
        faults.push(Fault::new(pointer, "invalid_length", format!("Use at most {MOST_DOMAINS} domains.")));
        return Vec::new();
    }
    let mut read = BTreeSet::new();
    for (index, domain) in written.iter().enumerate() {
        match EmailAddress::parse(&format!("x@{domain}")) {
            Ok(address) if address.local_part() == "x" => drop(read.insert(address.domain().to_owned())),
            _ => faults.push(Fault::new(format!("{pointer}/{index}"), "invalid", "Write a domain: shop.example.")),
        }
    }
    read.into_iter().collect()
}
