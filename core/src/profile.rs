//! The profile: what the owner of an account reads and changes of it by themselves.

use crate::access_token::AccessClaims;
use crate::account::{self, Account, Change};
use crate::audit::{self, Action, Actor};
use crate::custom_field::{self, CustomFields};
use crate::custom_values::{Changed, CustomValues, Editor, ShownValues, ValueChange};
use crate::db::{self, Work};
use crate::error::{Error, Fault, Result};
use crate::id::AccountId;
use crate::notifications::{Chosen, NotificationChange, Notifications};
use crate::session::{self, SignedIn};

use serde_json::json;

/// An account with all that is kept of its profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub account: Account,
    pub chosen: Chosen,
    pub custom: CustomValues,
    /// Of the custom fields, as it was when this was read.
    pub fields_version: i64,
}

/// What its owner sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub account: Account,
    pub notifications: Notifications,
    pub custom: ShownValues,
}

impl Profile {
    fn of(kept: &Kept, fields: &CustomFields) -> Self {
        Self {
            account: kept.account.clone(),
            notifications: kept.chosen.all(),
            custom: kept.custom.for_customer(fields),
        }
    }
}

/// What the owner may change by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileChange {
    pub full_name: Change<String>,
    pub locale: Change<String>,
    pub time_zone: Change<String>,
    pub phone: Change<String>,
    pub avatar_url: Change<String>,
    pub notifications: NotificationChange,
    pub custom: ValueChange,
    /// What was found wrong with it before: said together with what else is.
    pub faults: Vec<Fault>,
}

impl ProfileChange {
    /// The names of the fields it touches: all that the audit trail keeps of it.
    fn fields(&self, custom: &Changed) -> Vec<String> {
        let fields = [
            ("full_name", self.full_name.is_change()),
            ("locale", self.locale.is_change()),
            ("time_zone", self.time_zone.is_change()),
            ("phone", self.phone.is_change()),
            ("avatar_url", self.avatar_url.is_change()),
        ];
        let own = fields.into_iter().filter_map(|(name, changed)| changed.then_some(name));
        let named = own.chain(self.notifications.fields()).map(str::to_owned);
        named.chain(custom.names()).collect()
    }

    fn check(&self) -> Result<()> {
        let checks: [(&str, Option<&String>, account::Check); 5] = [
            ("/full_name", self.full_name.value(), account::not_a_name),
            ("/locale", self.locale.value(), account::not_a_locale),
            ("/time_zone", self.time_zone.value(), account::not_a_time_zone),
            ("/phone", self.phone.value(), account::not_a_phone),
            ("/avatar_url", self.avatar_url.value(), account::not_an_avatar),
        ];
        let found = checks
            .into_iter()
            .filter_map(|(pointer, value, check)| Some(Fault::new(pointer, "invalid", check(value?)?)));
        let faults: Vec<Fault> = self.faults.iter().cloned().chain(found).collect();
        if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
    }

    fn apply(&self, to: &mut Kept) {
        let account = &mut to.account;
        self.full_name.map(|name| name.trim().to_owned()).apply(&mut account.full_name);
        self.locale.map(|text| account::canonical_locale(text)).apply(&mut account.locale);
        let zone = |text: &String| account::canonical_time_zone(text).unwrap_or(text).to_owned();
        self.time_zone.map(zone).apply(&mut account.time_zone);
        self.phone.apply(&mut account.phone);
        self.avatar_url.apply(&mut account.avatar_url);
        self.notifications.apply(&mut to.chosen);
    }
}

/// The signed-in person's profile. It comes with the session, in the one query that looks that up.
pub fn mine(work: &mut Work<'_>, claims: &AccessClaims) -> Result<Profile> {
    let (session, kept) = db::sessions::find_with_profile(work, claims.sid)?.ok_or(Error::SessionEnded)?;
    session::is_live(claims, &session, &kept.account)?;
    let fields = custom_field::of_version(work, kept.fields_version)?;
    Ok(Profile::of(&kept, &fields))
}

/// Changes the profile where `may` allows it, given what its owner sees of it now.
pub fn change(
    work: &mut Work<'_>,
    who: &SignedIn,
    change: &ProfileChange,
    may: impl Fn(&Profile) -> bool,
) -> Result<Profile> {
    let mut kept = db::accounts::get_kept(work, who.account.id)?;
    let fields = custom_field::of_version(work, kept.fields_version)?;
    let now = Profile::of(&kept, &fields);
    let mut custom = Changed::default();
    let values = kept.custom.change(&fields, &change.custom, Editor::Customer).map(|changed| custom = changed);
    Error::all([change.check(), values])?;
    if !may(&now) {
        return Err(Error::Changed);
    }
    let names = change.fields(&custom);
    if names.is_empty() {
        return Ok(now);
    }
    change.apply(&mut kept);
    db::accounts::update_profile(work, &kept)?;
    let (id, detail) = (kept.account.id, json!({ "fields": names }));
    audit::record(work, Action::AccountUpdated, Actor::Account(id), Some(id), &detail)?;
    crate::outbox::post_event(work, "account.updated", id, &detail)?;
    Ok(Profile::of(&db::accounts::get_kept(work, id)?, &fields))
}

/// The fields that a customer knows of.
pub fn list_fields(work: &mut Work<'_>, _: &SignedIn) -> Result<Vec<custom_field::CustomField>> {
    Ok(custom_field::current(work)?.shown().cloned().collect())
}

/// What an account that becomes part of another has of notification choices and custom fields goes there, where that
/// one has nothing of its own.
pub fn hand_over(work: &mut Work<'_>, from: AccountId, to: AccountId) -> Result<()> {
    let source = db::accounts::get_kept(work, from)?;
    let mut kept = db::accounts::get_kept(work, to)?;
    let before = kept.clone();
    let fields = custom_field::of_version(work, kept.fields_version)?;
    kept.custom.fill_gaps(&source.custom, &fields);
    kept.chosen = kept.chosen.or(source.chosen);
    if kept != before {
        db::accounts::update_profile(work, &kept)?;
    }
    db::accounts::forget_choices(work, from)
}

/// An identity has gone from an account that nobody owns, to an owner who has proven that one alone: what the desk has
/// said of the account may be about them, and is for nobody who comes by the rest (rule 10).
pub fn withhold(work: &mut Work<'_>, rest: AccountId) -> Result<()> {
    let mut custom = db::accounts::get_kept(work, rest)?.custom;
    if custom.is_empty() {
        return Ok(());
    }
    custom.withhold_all();
    db::accounts::store_custom(work, rest, &custom)
}
