//! Custom fields: what else the desk wants to know of an account, and who may read and change it.

use std::sync::{Arc, PoisonError};

use serde_json::json;

use crate::audit::{self, Action, Actor};
use crate::clock::Timestamp;
use crate::db::types::words;
use crate::db::{self, Lock, Work};
use crate::error::{Error, Fault, Result};
use crate::id::CustomFieldId;
use crate::{limits, line};

words! {
    /// What its values are.
    pub enum FieldType {
        Text = "text",
        Number = "number",
        Boolean = "boolean",
        /// A day, without a time.
        Date = "date",
        /// One of a list of texts.
        Choice = "choice",
    }
}

words! {
    /// Who sees it besides the desk, which sees and changes all.
    pub enum VisibleTo {
        /// To a customer there is no such field.
        Desk = "desk",
        CustomerReads = "customer_reads",
        CustomerEdits = "customer_edits",
    }
}

/// A field as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomField {
    /// What values are kept by; another field with the same key has another.
    pub id: CustomFieldId,
    pub key: String,
    pub title: String,
    pub kind: FieldType,
    /// What a choice may be; empty for the other types.
    pub choices: Vec<String>,
    pub visible_to: VisibleTo,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl CustomField {
    /// Whether a customer knows of it.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        self.visible_to != VisibleTo::Desk
    }
}

/// All fields there are, and the number of their last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomFields {
    pub version: i64,
    /// In the order they were made.
    pub all: Vec<CustomField>,
}

impl CustomFields {
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&CustomField> {
        self.all.iter().find(|field| field.key == key)
    }

    #[must_use]
    pub fn has(&self, id: CustomFieldId) -> bool {
        self.all.iter().any(|field| field.id == id)
    }

    /// Those that a customer knows of.
    pub fn shown(&self) -> impl Iterator<Item = &CustomField> {
        self.all.iter().filter(|field| field.is_shown())
    }
}

/// The fields as they are in this transaction.
pub fn current(work: &mut Work<'_>) -> Result<Arc<CustomFields>> {
    let version = db::custom_fields::version(work)?;
    of_version(work, version)
}

/// The fields, for a use case that has read their version together with something else.
pub fn of_version(work: &mut Work<'_>, version: i64) -> Result<Arc<CustomFields>> {
    let known = work.shared.custom_fields.read().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(known) = known.filter(|known| known.version == version) {
        return Ok(known);
    }
    // read after their version: what came between is read again at the next version
    let fields = Arc::new(CustomFields { version, all: db::custom_fields::list(work)? });
    let mut cached = work.shared.custom_fields.write().unwrap_or_else(PoisonError::into_inner);
    *cached = Some(Arc::clone(&fields));
    Ok(fields)
}

/// One field, by its key.
pub fn get(work: &mut Work<'_>, key: &str) -> Result<CustomField> {
    current(work)?.find(key).cloned().ok_or(Error::NotFound("custom field"))
}

/// What a field is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub title: String,
    pub kind: FieldType,
    pub choices: Vec<String>,
    pub visible_to: VisibleTo,
}

impl Definition {
    fn trimmed(&self) -> Self {
        let trim = |text: &String| text.trim().to_owned();
        Self { title: trim(&self.title), choices: self.choices.iter().map(trim).collect(), ..self.clone() }
    }

    fn check(&self, key: &str) -> Result<()> {
        let mut faults = Vec::new();
        if !is_key(key) {
            let detail = "A key has 1 to 40 of a-z, 0-9 and _, and begins with a letter.";
            faults.push(Fault::new("/key", "invalid", detail));
        }
        if let Some(why) = not_a_label(&self.title) {
            faults.push(Fault::new("/title", "invalid", why));
        }
        match (self.kind, self.choices.len()) {
            (FieldType::Choice, 0) => {
                faults.push(Fault::new("/choices", "required", "Say what can be chosen."));
            }
            (FieldType::Choice, 1..=limits::CHOICES) | (_, 0) => {}
            (FieldType::Choice, _) => {
                let detail = format!("There are {} choices at most.", limits::CHOICES);
                faults.push(Fault::new("/choices", "invalid_length", detail));
            }
            (_, _) => faults.push(Fault::new("/choices", "invalid", "Only the type choice has choices.")),
        }
        for (n, choice) in self.choices.iter().enumerate().take(limits::CHOICES) {
            let twice = self.choices.iter().take(n).any(|other| other == choice);
            let why = not_a_label(choice).or(twice.then_some("This choice stands there more than once."));
            faults.extend(why.map(|why| Fault::new(format!("/choices/{n}"), "invalid", why)));
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
    }
}

/// `^[a-z][a-z0-9_]{0,39}$`.
fn is_key(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    text.len() <= 40 && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(word)
}

fn not_a_label(text: &str) -> Option<&'static str> {
    let why = "It has 1 to 100 characters, and none that is a control or is not seen.";
    (!line::is_line(text, 100)).then_some(why)
}

/// Makes a field, or changes the one of this key where `may` allows it; says whether it was made.
pub fn put(
    work: &mut Work<'_>,
    actor: Actor,
    key: &str,
    definition: &Definition,
    may: impl Fn(Option<&CustomField>) -> bool,
) -> Result<(CustomField, bool)> {
    let definition = &definition.trimmed();
    definition.check(key)?;
    work.hold(&[Lock::House])?;
    let fields = current(work)?;
    let found = fields.find(key);
    if !may(found) {
        return Err(Error::Changed);
    }
    match found {
        Some(field) => change(work, actor, field, definition).map(|field| (field, false)),
        None if fields.all.len() >= limits::CUSTOM_FIELDS => Err(Error::TooManyFields),
        None => make(work, actor, key, definition).map(|field| (field, true)),
    }
}

fn make(work: &mut Work<'_>, actor: Actor, key: &str, definition: &Definition) -> Result<CustomField> {
    let Definition { title, kind, choices, visible_to } = definition.clone();
    let now = work.now();
    let id = work.new_id();
    let field =
        CustomField { id, key: key.to_owned(), title, kind, choices, visible_to, created_at: now, updated_at: now };
    db::custom_fields::insert(work, &field)?;
    let detail = json!({ "key": key, "type": kind, "visible_to": visible_to });
    audit::record(work, Action::CustomFieldCreated, actor, None, &detail)?;
    Ok(field)
}

/// What accounts have of it stays as it is: only the type, which says what that is, cannot change.
fn change(work: &mut Work<'_>, actor: Actor, before: &CustomField, definition: &Definition) -> Result<CustomField> {
    if definition.kind != before.kind {
        let detail = "It stays as it is: delete the field, which erases what accounts have of it, and make it anew.";
        return Err(Error::invalid("/type", "fixed", detail));
    }
    let changed: Vec<&str> = [
        ("title", definition.title != before.title),
        ("choices", definition.choices != before.choices),
        ("visible_to", definition.visible_to != before.visible_to),
    ]
    .into_iter()
    .filter_map(|(name, changed)| changed.then_some(name))
    .collect();
    if changed.is_empty() {
        return Ok(before.clone());
    }
    let Definition { title, choices, visible_to, .. } = definition.clone();
    let field = CustomField { title, choices, visible_to, updated_at: work.now(), ..before.clone() };
    db::custom_fields::update(work, &field)?;
    let detail = json!({ "key": field.key, "changed": changed, "visible_to": field.visible_to });
    audit::record(work, Action::CustomFieldUpdated, actor, None, &detail)?;
    Ok(field)
}

/// Deletes a field where `may` allows it: at once it is nowhere to be seen, and what accounts have of it is erased
/// within minutes ([`crate::house::tidy`]).
pub fn delete(work: &mut Work<'_>, actor: Actor, key: &str, may: impl Fn(&CustomField) -> bool) -> Result<()> {
    work.hold(&[Lock::House])?;
    let field = get(work, key)?;
    if !may(&field) {
        return Err(Error::Changed);
    }
    db::custom_fields::mark_deleted(work, field.id)?;
    audit::record(work, Action::CustomFieldDeleted, actor, None, &json!({ "key": key }))
}

/// Erases what the next accounts have of a field that was deleted; says whether there is more to do.
pub fn erase(work: &mut Work<'_>, accounts: i64) -> Result<bool> {
    let before = work.now() - limits::FIELD_AFTERLIFE;
    if db::custom_fields::find_to_erase(work, before)?.is_none() {
        return Ok(false);
    }
    work.hold(&[Lock::House])?;
    let Some((field, after)) = db::custom_fields::find_to_erase(work, before)? else { return Ok(false) };
    let next = db::accounts::list_custom_after(work, after, accounts)?;
    let theirs: Vec<_> = next.iter().filter(|(_, values)| values.has(field)).map(|(id, _)| *id).collect();
    work.hold(&theirs.iter().copied().map(Lock::Account).collect::<Vec<_>>())?;
    for id in theirs {
        let mut values = db::accounts::get_kept(work, id)?.custom;
        values.forget(field);
        db::accounts::store_custom(work, id, &values)?;
    }
    match next.last() {
        Some((last, _)) => db::custom_fields::erased_to(work, field, *last)?,
        None => db::custom_fields::delete(work, field)?,
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(kind: FieldType, choices: &[&str]) -> Definition {
        let choices = choices.iter().map(|&choice| choice.to_owned()).collect();
        Definition { title: "Size".to_owned(), kind, choices, visible_to: VisibleTo::Desk }
    }

    fn faults(key: &str, definition: &Definition) -> Vec<String> {
        match definition.check(key) {
            Ok(()) => Vec::new(),
            Err(Error::Invalid(faults)) => faults.into_iter().map(|fault| fault.pointer).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_key_is_a_plain_word() {
        let text = definition(FieldType::Text, &[]);
        for good in ["a", "tier", "shoe_size2", &"a".repeat(40)] {
            assert_eq!(faults(good, &text), Vec::<String>::new(), "{good}");
        }
        for bad in ["", "A", "1a", "_a", "a-b", "a b", "a/b", "ä", "a\0", "a\n", &"a".repeat(41)] {
            assert_eq!(faults(bad, &text), ["/key"], "{bad:?}");
        }
    }

    #[test]
    fn only_a_choice_has_choices() {
        let row = |kind, choices: &[&str]| faults("size", &definition(kind, choices));
        let none: [&str; 0] = [];
        assert_eq!(row(FieldType::Choice, &["S", "M"]), none);
        assert_eq!(row(FieldType::Choice, &[]), ["/choices"]);
        assert_eq!(row(FieldType::Text, &["S"]), ["/choices"]);
        assert_eq!(row(FieldType::Choice, &["S", "", "S", "a\nb"]), ["/choices/1", "/choices/2", "/choices/3"]);
        let many: Vec<String> = (0..=limits::CHOICES).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(row(FieldType::Choice, &many), ["/choices"]);
        assert_eq!(row(FieldType::Choice, &many[1..]), none);
    }
}
