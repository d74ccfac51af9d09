//! JSON and queries, read strictly: a list is a list, an object is an object, and every fault has a pointer.
//!
//! serde's derived structs also read a list, field by field in their order, at any depth, and leave out what is
//! missing. Here a document is read whole first, and a struct is then given nothing but an object. What is wrong is
//! said in our words, and not in those of serde or of a Rust type.

use std::fmt;

use doorstep_core::error::Fault;
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use crate::wrong::Wrong;

/// A document, with repeated fields still repeated.
pub enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
    /// A text of a query, which also stands for a number or for true and false.
    Parameter(String),
    /// What stands where something was wrong or missing, so that the rest can be looked at: it is anything.
    Anything,
}

/// So many faults of one document are said at once.
const MOST_FAULTS: usize = 10;

/// Reads a value, or says all that is wrong with it.
pub fn read<T: DeserializeOwned>(document: Node) -> Result<T, Vec<Fault>> {
    match read_what_is_good(document) {
        (Some(value), faults) if faults.is_empty() => Ok(value),
        (_, faults) => Err(faults),
    }
}

/// [`read`] for one who has more to say: with what is wrong comes the value, if there is one, in which anything stands for
/// what is wrong.
pub fn read_what_is_good<T: DeserializeOwned>(mut document: Node) -> (Option<T>, Vec<Fault>) {
    let mut faults: Vec<Fault> = Vec::new();
    let mut good = None;
    loop {
        let fault = match T::deserialize(At(&document)) {
            Ok(value) => {
                good = Some(value);
                break;
            }
            Err(wrong) => wrong.fault(),
        };
        let again = document.mend(&fault) && !faults.contains(&fault);
        // what is wrong with something that stands for another fault is no news
        if !faults.iter().any(|known| known.pointer == fault.pointer) {
            faults.push(fault);
        }
        if !again || faults.len() >= MOST_FAULTS {
            break;
        }
    }
    faults.sort_by(|a, b| a.pointer.cmp(&b.pointer));
    (good, faults)
}

impl Node {
    /// Takes the place of a fault out of the document; false where that would not help.
    fn mend(&mut self, fault: &Fault) -> bool {
        let Some((above, name)) = fault.pointer.rsplit_once('/') else { return false };
        let name = name.replace("~1", "/").replace("~0", "~");
        match self.find(above) {
            Some(Self::Object(fields)) => {
                let mut left = fields.iter_mut().filter(|(field, _)| *field == name);
                match (fault.code, left.next()) {
                    ("unknown_field", Some(_)) => fields.retain(|(field, _)| *field != name),
                    ("duplicate_field", Some(_)) => {
                        let mut seen = false;
                        fields.retain(|(field, _)| *field != name || !std::mem::replace(&mut seen, true));
                    }
                    (_, Some((_, Self::Anything))) => return false,
                    (_, Some((_, value))) => *value = Self::Anything,
                    (_, None) => fields.push((name, Self::Anything)),
                }
                true
            }
            Some(Self::List(items)) => {
                let item = name.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                item.map(|item| *item = Self::Anything).is_some()
            }
            _ => false,
        }
    }

    fn find(&mut self, pointer: &str) -> Option<&mut Self> {
        pointer.split('/').skip(1).try_fold(self, |node, name| {
            let name = name.replace("~1", "/").replace("~0", "~");
            match node {
                Self::Object(fields) => fields.iter_mut().find(|(field, _)| *field == name).map(|(_, value)| value),
                Self::List(items) => items.get_mut(name.parse::<usize>().ok()?),
                _ => None,
            }
        })
    }
}

/// PostgreSQL keeps no NUL in a text; said here once for all fields.
fn without_nul<E: de::Error>(text: String) -> Result<String, E> {
    if text.contains('\0') { Err(E::custom("a text contains U+0000")) } else { Ok(text) }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Whole)
    }
}

struct Whole;

impl<'de> Visitor<'de> for Whole {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        Number::from_f64(value).map(Node::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Node, E> {
        without_nul(text).map(Node::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut object = Vec::new();
        while let Some((name, value)) = fields.next_entry()? {
            object.push((without_nul(name)?, value));
        }
        Ok(Node::Object(object))
    }
}

/// A document on its way into a value.
#[derive(Clone, Copy)]
struct At<'a>(&'a Node);

struct Items<'a>(std::iter::Enumerate<std::slice::Iter<'a, Node>>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Wrong;

    fn next_element_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        let Some((index, item)) = self.0.next() else { return Ok(None) };
        seed.deserialize(At(item)).map(Some).map_err(|wrong| wrong.within(&index.to_string()))
    }
}

struct Fields<'a> {
    left: std::slice::Iter<'a, (String, Node)>,
    value: Option<&'a (String, Node)>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Wrong;

    fn next_key_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        self.value = self.left.next();
        let Some((name, _)) = self.value else { return Ok(None) };
        seed.deserialize(de::value::StrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        let Some((name, value)) = self.value else { return Err(de::Error::custom("a value without a name")) };
        seed.deserialize(At(value)).map_err(|wrong| wrong.within(name))
    }
}

/// Every field of a struct, each of them anything.
struct Holes(std::slice::Iter<'static, &'static str>);

impl<'de> MapAccess<'de> for Holes {
    type Error = Wrong;

    fn next_key_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        let Some(name) = self.0.next() else { return Ok(None) };
        seed.deserialize(de::value::StrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        seed.deserialize(At(&Node::Anything))
    }
}

fn number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Wrong> {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(value), ..) => visitor.visit_u64(value),
        (None, Some(value), _) => visitor.visit_i64(value),
        (None, None, value) => visitor.visit_f64(value.unwrap_or(f64::NAN)),
    }
}

/// Hints that only tell kinds of numbers apart.
macro_rules! numbers {
    ($($hint:ident)*) => {$(
        fn $hint<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            match self.0 {
                Node::Anything => visitor.visit_u64(0),
                Node::Parameter(text) => match text.parse() {
                    Ok(value) => visitor.visit_u64(value),
                    Err(_) => visitor.visit_str(text),
                },
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for At<'_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Number(value) => number(value, visitor),
            Node::Text(text) | Node::Parameter(text) => visitor.visit_str(text),
            Node::List(items) => visitor.visit_seq(Items(items.iter().enumerate())),
            Node::Object(fields) => visitor.visit_map(Fields { left: fields.iter(), value: None }),
            Node::Anything => visitor.visit_str(""),
        }
    }

    numbers! { deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_i32 deserialize_i64 }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Node::Anything => visitor.visit_bool(false),
            Node::Parameter(text) => match text.parse() {
                Ok(value) => visitor.visit_bool(value),
                Err(_) => visitor.visit_str(text),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Node::Anything => visitor.visit_seq(Items([].iter().enumerate())),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Node::Null | Node::Anything => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match self.0 {
            Node::Object(_) => self.deserialize_any(visitor),
            Node::Anything => visitor.visit_map(Holes(fields.iter())),
            _ => Err(Wrong::no_object(&visitor)),
        }
    }

    /// Enums are words here.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let word = match self.0 {
            Node::Text(word) | Node::Parameter(word) => word.as_str(),
            Node::Anything => words.first().copied().unwrap_or_default(),
            _ => return Err(Wrong::type_is_not(&format!("Use {}.", crate::wrong::one_of(words)))),
        };
        visitor.visit_enum(de::value::StrDeserializer::new(word))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct map identifier
        ignored_any
    }
}
