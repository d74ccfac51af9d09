//! A value and its schema: as much of JSON Schema (2020-12) as the document uses. A keyword that is new there fails.

use doorstep_core::clock::Timestamp;
use regex::Regex;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// All that is wrong with a value, by a schema of the document. A field that is not documented is wrong too.
pub fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut check = Check { document, found: Vec::new() };
    check.schema(schema, value, "");
    check.found
}

struct Check<'a> {
    document: &'a Value,
    found: Vec<String>,
}

impl Check<'_> {
    fn schema(&mut self, schema: &Value, value: &Value, at: &str) {
        if *schema == json!(true) {
            return;
        }
        let keywords = schema.as_object().unwrap_or_else(|| panic!("{at}: {schema} is no schema"));
        for (keyword, rule) in keywords {
            let fits = match keyword.as_str() {
                "$ref" => {
                    let target = self.document.pointer(rule.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
                    self.schema(target, value, at);
                    true
                }
                "oneOf" | "anyOf" => {
                    let choices = rule.as_array().unwrap().iter();
                    let fitting = choices.filter(|choice| faults(self.document, choice, value).is_empty()).count();
                    fitting == 1 || (keyword == "anyOf" && fitting > 1)
                }
                "items" => {
                    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.schema(rule, item, &format!("{at}/{n}"));
                    }
                    true
                }
                "properties" | "additionalProperties" => true,
                "dependentRequired" => {
                    for (name, others) in rule.as_object().unwrap() {
                        if let Some(fields) = value.as_object().filter(|fields| fields.contains_key(name)) {
                            let left_out = |other: &&Value| !fields.contains_key(other.as_str().unwrap());
                            let left_out = others.as_array().unwrap().iter().filter(left_out);
                            self.found.extend(left_out.map(|other| format!("{at}/{name} is there without {other}")));
                        }
                    }
                    true
                }
                "required" => {
                    for name in rule.as_array().unwrap().iter().map(|name| name.as_str().unwrap()) {
                        if value.as_object().is_some_and(|fields| !fields.contains_key(name)) {
                            self.found.push(format!("{at}/{name} is required and left out"));
                        }
                    }
                    true
                }
                simple => is_kept(simple, rule, value),
            };
            if !fits {
                self.found.push(format!("{at} is {value} where {keyword} is {rule}"));
            }
        }
        if let Some(fields) = value.as_object() {
            self.fields(keywords, fields, at);
        }
    }

    fn fields(&mut self, schema: &Map<String, Value>, fields: &Map<String, Value>, at: &str) {
        let documented = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        for (name, value) in fields {
            let at = format!("{at}/{name}");
            match (documented.and_then(|documented| documented.get(name)), others) {
                (Some(schema), _) => self.schema(schema, value, &at),
                (None, Some(others)) if *others != json!(false) => self.schema(others, value, &at),
                (None, None) if documented.is_none() => {}
                (None, _) => self.found.push(format!("{at} is not documented")),
            }
        }
    }
}

/// Whether a value keeps to a keyword that asks for nothing of what is inside.
fn is_kept(keyword: &str, rule: &Value, value: &Value) -> bool {
    let bound = || rule.as_f64().unwrap();
    let length = value.as_str().map(|text| text.chars().count()).or(value.as_array().map(Vec::len));
    let length = |of_text: bool| length.filter(|_| value.is_string() == of_text).map(|length| json!(length));
    let at_least = |n: Option<Value>| n.and_then(|n| n.as_f64()).is_none_or(|n| n >= bound());
    let at_most = |n: Option<Value>| n.and_then(|n| n.as_f64()).is_none_or(|n| n <= bound());
    match keyword {
        "type" => {
            rule.as_array().map_or_else(|| has_type(rule, value), |all| all.iter().any(|one| has_type(one, value)))
        }
        "enum" => rule.as_array().unwrap().contains(value),
        "minLength" => at_least(length(true)),
        "maxLength" => at_most(length(true)),
        "minItems" => at_least(length(false)),
        "maxItems" => at_most(length(false)),
        "minProperties" => at_least(value.as_object().map(|fields| json!(fields.len()))),
        "maxProperties" => at_most(value.as_object().map(|fields| json!(fields.len()))),
        "minimum" => at_least(Some(value.clone())),
        "maximum" => at_most(Some(value.clone())),
        "propertyNames" => *rule == json!({ "type": "string" }),
        "pattern" => value.as_str().is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text)),
        "format" => has_format(rule.as_str().unwrap(), value),
        "description" | "title" | "default" | "example" | "examples" => true,
        other => panic!("{other} is a keyword that nothing here checks"),
    }
}

fn has_type(documented: &Value, value: &Value) -> bool {
    match documented.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("a type called {other}"),
    }
}

fn has_format(documented: &str, value: &Value) -> bool {
    match (documented, value) {
        ("uuid", Value::String(text)) => text.parse::<Uuid>().is_ok(),
        ("date-time", Value::String(text)) => text.ends_with('Z') && Timestamp::parse(text).is_some(),
        ("int32", Value::Number(n)) => n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        ("uuid" | "date-time" | "int32" | "int64" | "password", _) => true,
        (other, _) => panic!("a format called {other}"),
    }
}

/// Every schema of the document with a value that is an example of it, and where it stands.
pub fn examples(document: &Value) -> Vec<(String, Value, Value)> {
    let mut found = Vec::new();
    let components = &document["components"];
    for (name, schema) in components["schemas"].as_object().unwrap() {
        of_schema(schema, &format!("/schemas/{name}"), &mut found);
    }
    for (name, header) in components["headers"].as_object().unwrap() {
        of_content(header, &format!("/headers/{name}"), &mut found);
    }
    for (name, response) in components["responses"].as_object().unwrap() {
        of_message(response, &format!("/responses/{name}"), &mut found);
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                of_content(parameter, &format!("{at} {}", parameter["name"]), &mut found);
            }
            of_message(&operation["requestBody"], &at, &mut found);
            for (status, response) in operation["responses"].as_object().unwrap() {
                of_message(response, &format!("{at} {status}"), &mut found);
            }
        }
    }
    found
}

/// A body, with its headers where it has any.
fn of_message(message: &Value, at: &str, found: &mut Vec<(String, Value, Value)>) {
    let parts = ["content", "headers"].into_iter().filter_map(|part| message[part].as_object()).flatten();
    parts.for_each(|(name, part)| of_content(part, &format!("{at} {name}"), found));
}

/// What has a schema and examples beside it: a media type, a header, a parameter.
fn of_content(content: &Value, at: &str, found: &mut Vec<(String, Value, Value)>) {
    let named = content["examples"].as_object().into_iter().flatten().map(|(_, example)| example["value"].clone());
    let all = content.get("example").cloned().into_iter().chain(named);
    found.extend(all.map(|example| (at.to_owned(), content["schema"].clone(), example)));
    of_schema(&content["schema"], at, found);
}

fn of_schema(schema: &Value, at: &str, found: &mut Vec<(String, Value, Value)>) {
    let one = [schema.get("example"), schema.get("default")].into_iter().flatten();
    let all = one.chain(schema["examples"].as_array().into_iter().flatten());
    found.extend(all.map(|example| (at.to_owned(), schema.clone(), example.clone())));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        of_schema(property, &format!("{at}/{name}"), found);
    }
    for inner in [&schema["items"], &schema["additionalProperties"]].into_iter().filter(|inner| inner.is_object()) {
        of_schema(inner, at, found);
    }
    let choices = ["oneOf", "anyOf"].into_iter().filter_map(|choice| schema[choice].as_array()).flatten();
    choices.for_each(|choice| of_schema(choice, at, found));
}

/// The check itself tells what is wrong.
#[test]
fn a_schema_finds_what_is_missing_strange_and_of_another_type() {
    let schema = json!({ "type": "object", "required": ["a", "b"], "properties": {
        "a": { "type": ["string", "null"], "pattern": "^[a-z]+$", "maxLength": 3 },
        "b": { "type": "array", "items": { "type": "integer", "minimum": 1 }, "maxItems": 2 },
    } });
    let wrong = |value: Value| faults(&json!({}), &schema, &value).len();
    assert_eq!(wrong(json!({ "a": null, "b": [1] })), 0);
    assert_eq!(wrong(json!({ "a": 1, "b": ["x", 2.5], "c": 1 })), 4);
    assert_eq!(wrong(json!({ "a": "x" })), 1);
    assert_eq!(wrong(json!({ "a": "Xxxx", "b": [0, 1, 2] })), 4);
    assert_eq!(wrong(json!([])), 1);
    let either = json!({ "properties": { "a": { "type": "string" }, "b": { "format": "uuid" } },
        "oneOf": [{ "required": ["a"] }, { "required": ["b"] }] });
    let wrong = |value: Value| faults(&json!({}), &either, &value).len();
    assert_eq!(wrong(json!({ "a": "x" })), 0);
    assert_eq!(wrong(json!({ "a": "x", "b": "x" })), 2);
    assert_eq!(wrong(json!({ "b": "x", "a": 1 })), 3);
}
