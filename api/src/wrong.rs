//! What is wrong with one place of a document, in our words.

use std::fmt;

use doorstep_core::error::{Fault, pointer};
use serde::de::{self, Expected, Unexpected};

/// A fault that is still on its way up to the document's root.
#[derive(Debug)]
pub struct Wrong(Fault);

impl Wrong {
    fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self(Fault::new("", code, detail))
    }

    pub fn type_is_not(detail: &str) -> Self {
        Self::new("wrong_type", detail)
    }

    /// Something else stands where an object should; a visitor of ours says in a sentence what to send.
    pub fn no_object(expected: &dyn Expected) -> Self {
        let own = expected.to_string();
        Self::type_is_not(if own.ends_with('.') { &own } else { "Send an object." })
    }

    /// The same, seen from what holds it.
    pub fn within(mut self, name: &str) -> Self {
        self.0.pointer.insert_str(0, &pointer("", name));
        self
    }

    pub fn fault(self) -> Fault {
        self.0
    }
}

/// What a visitor waits for, as a sentence. Ours say one; serde's name a Rust type.
fn wish(expected: &dyn Expected) -> String {
    let expected = expected.to_string();
    match expected.as_str() {
        "a string" => "Send a text.".to_owned(),
        "a boolean" => "Send true or false.".to_owned(),
        "a sequence" => "Send a list.".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "Send a whole number, 0 or more.".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "Send a whole number.".to_owned(),
        "a formatted UUID string" | "a UUID string" => "Send an id (a UUID).".to_owned(),
        sentence if sentence.ends_with('.') => expected,
        _ => "Send a value of the documented type.".to_owned(),
    }
}

/// `a, b or c`.
pub fn one_of(words: &[&str]) -> String {
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// A message as a sentence of at most 300 characters.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars().filter(|c| !c.is_control()).take(300);
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    let mut detail: String = first.into_iter().chain(letters).collect();
    if !detail.ends_with('.') {
        detail.push('.');
    }
    detail
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        if message.starts_with("UUID parsing failed") {
            return Self::new("invalid", "Send an id (a UUID).");
        }
        Self::new("invalid", sentence(&message))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new("wrong_type", wish(expected))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new("out_of_range", wish(expected))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::new("wrong_type", wish(expected))
    }

    fn unknown_variant(_: &str, words: &'static [&'static str]) -> Self {
        Self::new("not_one_of", format!("Use {}.", one_of(words)))
    }

    fn unknown_field(field: &str, fields: &'static [&'static str]) -> Self {
        let there = if fields.is_empty() { String::new() } else { format!("; there are {}", fields.join(", ")) };
        Self::new("unknown_field", format!("There is no such field{there}.")).within(field)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new("required", "This field is needed.").within(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new("duplicate_field", "It stands there more than once.").within(field)
    }
}
