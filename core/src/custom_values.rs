//! What an account has of the custom fields: read, shown and changed by the fields there are.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use crate::custom_field::{CustomField, CustomFields, FieldType, VisibleTo};
use crate::error::{self, Error, Fault, Result};
use crate::id::CustomFieldId;
use crate::limits;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FieldValue {
    Boolean(bool),
    Number(Number),
    /// Also a date and a choice.
    Text(String),
}

/// Values by the keys of their fields; none where nothing is set.
pub type ShownValues = BTreeMap<String, Option<FieldValue>>;

/// A change as it was sent: keys and values in their order, null to clear.
pub type ValueChange = Vec<(String, Value)>;

/// A value as an account keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Kept {
    /// The desk said it while nobody had the account, and then one of the identities it was said of went to an owner
    /// of its own. Whoever owns the rest may be somebody else: they do not see it until it is said again.
    Withheld {
        withheld: FieldValue,
    },
    Plain(FieldValue),
}

impl Kept {
    const fn value(&self) -> &FieldValue {
        match self {
            Self::Withheld { withheld: value } | Self::Plain(value) => value,
        }
    }
}

/// Who changes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Editor {
    Desk,
    Customer,
}

/// What a change has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changed {
    pub keys: Vec<String>,
    /// The account's owner sees something of it.
    pub shown: bool,
}

impl Changed {
    /// What has changed, as events name it.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.keys.iter().map(|key| format!("custom.{key}")).collect()
    }
}

/// All that an account has of custom fields.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CustomValues(BTreeMap<CustomFieldId, Kept>);

impl CustomValues {
    /// What the desk sees: every field.
    #[must_use]
    pub fn for_desk(&self, fields: &CustomFields) -> ShownValues {
        let value = |field: &CustomField| self.0.get(&field.id).map(|kept| kept.value().clone());
        fields.all.iter().map(|field| (field.key.clone(), value(field))).collect()
    }

    /// What the account's owner sees: the fields that are shown to customers, and no value that is withheld.
    #[must_use]
    pub fn for_customer(&self, fields: &CustomFields) -> ShownValues {
        fields.shown().map(|field| (field.key.clone(), self.plain(field).cloned())).collect()
    }

    /// The keys of values that the account's owner would see if they were not withheld.
    #[must_use]
    pub fn withheld(&self, fields: &CustomFields) -> Vec<String> {
        let withheld = |field: &&CustomField| matches!(self.0.get(&field.id), Some(Kept::Withheld { .. }));
        fields.shown().filter(withheld).map(|field| field.key.clone()).collect()
    }

    fn plain(&self, field: &CustomField) -> Option<&FieldValue> {
        match self.0.get(&field.id) {
            Some(Kept::Plain(value)) => Some(value),
            Some(Kept::Withheld { .. }) | None => None,
        }
    }

    #[must_use]
    pub fn has(&self, field: CustomFieldId) -> bool {
        self.0.contains_key(&field)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn forget(&mut self, field: CustomFieldId) {
        self.0.remove(&field);
    }

    /// Every value is withheld from whoever comes to own the account.
    pub fn withhold_all(&mut self) {
        for kept in self.0.values_mut() {
            *kept = Kept::Withheld { withheld: kept.value().clone() };
        }
    }

    /// Takes what another account has of the fields of which this one has nothing.
    pub fn fill_gaps(&mut self, other: &Self, fields: &CustomFields) {
        for field in &fields.all {
            if let (false, Some(kept)) = (self.has(field.id), other.0.get(&field.id)) {
                self.0.insert(field.id, kept.clone());
            }
        }
    }

    /// Changes values, or says all that is wrong with the change. What is left of deleted fields goes with it.
    pub fn change(&mut self, fields: &CustomFields, change: &ValueChange, by: Editor) -> Result<Changed> {
        let read = read(fields, change, by)?;
        self.0.retain(|id, _| fields.has(*id));
        let mut changed = Changed::default();
        for (field, value) in read {
            let value = value.map(Kept::Plain);
            // to its owner one that is withheld is not there, and so cannot be cleared
            let unseen = by == Editor::Customer && value.is_none() && self.plain(field).is_none();
            if unseen || self.0.get(&field.id) == value.as_ref() {
                continue;
            }
            changed.keys.push(field.key.clone());
            changed.shown |= field.is_shown();
            match value {
                Some(value) => drop(self.0.insert(field.id, value)),
                None => drop(self.0.remove(&field.id)),
            }
        }
        Ok(changed)
    }
}

/// So many faults of one change are said at once.
const MOST_FAULTS: usize = 10;

/// What a change means, field by field. To a customer a field of the desk alone is none, and is answered as such.
fn read<'a>(
    fields: &'a CustomFields,
    change: &ValueChange,
    by: Editor,
) -> Result<Vec<(&'a CustomField, Option<FieldValue>)>> {
    let (mut read, mut faults, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (key, value) in change {
        let field = fields.find(key).filter(|field| by == Editor::Desk || field.is_shown());
        let value = match field {
            _ if !seen.insert(key) => Err(("duplicate_field", "It stands there more than once.".to_owned())),
            None => Err(("unknown_field", "There is no such field.".to_owned())),
            Some(field) if by == Editor::Customer && field.visible_to != VisibleTo::CustomerEdits => {
                Err(("read_only", "Only support changes it.".to_owned()))
            }
            Some(field) => value_of(field, value).map(|value| (field, value)),
        };
        match value {
            Ok(value) => read.push(value),
            Err((code, why)) => faults.push(Fault::new(error::pointer("/custom", key), code, why)),
        }
    }
    faults.truncate(MOST_FAULTS);
    if faults.is_empty() { Ok(read) } else { Err(Error::Invalid(faults)) }
}

type Refused = (&'static str, String);

fn value_of(field: &CustomField, value: &Value) -> Result<Option<FieldValue>, Refused> {
    let wrong_type = |what: &str| Err(("wrong_type", what.to_owned()));
    let value = match (field.kind, value) {
        (_, Value::Null) => return Ok(None),
        (FieldType::Boolean, Value::Bool(value)) => FieldValue::Boolean(*value),
        (FieldType::Boolean, _) => return wrong_type("Send true or false."),
        (FieldType::Number, Value::Number(number)) => FieldValue::Number(a_number(number)?),
        (FieldType::Number, _) => return wrong_type("Send a number."),
        (FieldType::Text, Value::String(text)) => FieldValue::Text(a_text(text)?),
        (FieldType::Date, Value::String(text)) => FieldValue::Text(a_date(text)?),
        (FieldType::Choice, Value::String(text)) => FieldValue::Text(a_choice(text, &field.choices)?),
        (FieldType::Text | FieldType::Date | FieldType::Choice, _) => return wrong_type("Send a text."),
    };
    Ok(Some(value))
}

/// Up to 10^15 either way, 15 digits and 9 decimal places: so many come back as they were sent from any double, any
/// database and any reader of JSON.
fn a_number(number: &Number) -> Result<Number, Refused> {
    const MOST: f64 = 1e15;
    let refused = || ("out_of_range", "Send a number between -10^15 and 10^15.".to_owned());
    let value = number.as_f64().filter(|value| value.abs() <= MOST).ok_or_else(refused)?;
    let rounded = format!("{value:.14e}").parse::<f64>().ok().and_then(|value| format!("{value:.9}").parse().ok());
    let value: f64 = rounded.ok_or_else(refused)?;
    // one spelling for each: 2.0 is 2, and there is no negative zero, which jsonb does not know
    let whole = if value.fract() == 0.0 { format!("{value:.0}").parse::<i64>().ok() } else { None };
    whole.map(Number::from).or_else(|| Number::from_f64(value)).ok_or_else(refused)
}

fn a_text(text: &str) -> Result<String, Refused> {
    if !(1..=limits::CUSTOM_TEXT).contains(&text.chars().count()) {
        let why = format!("It has 1 to {} characters; null clears it.", limits::CUSTOM_TEXT);
        return Err(("invalid_length", why));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(("control_characters", "It has no control characters but line feeds.".to_owned()));
    }
    Ok(text.to_owned())
}

/// A `full-date` of RFC 3339 that is in the calendar.
fn a_date(text: &str) -> Result<String, Refused> {
    let shape = text.bytes().enumerate().all(|(n, b)| if matches!(n, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| shape && text.len() == 10);
    match date {
        Some(_) => Ok(text.to_owned()),
        None => Err(("invalid", "Send a day such as 2026-01-31 (RFC 3339).".to_owned())),
    }
}

fn a_choice(text: &str, choices: &[String]) -> Result<String, Refused> {
    if choices.iter().any(|choice| choice == text) {
        return Ok(text.to_owned());
    }
    Err(("not_one_of", "It is none of the field's choices.".to_owned()))
}

#[cfg(test)]
#[path = "custom_values_tests.rs"]
mod tests;
