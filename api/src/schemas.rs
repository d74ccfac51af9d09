//! What utoipa cannot know of a schema: which fields an answer always has, and what a header or a query cannot be.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

const SCHEMAS: &str = "#/components/schemas/";

/// In what is only ever answered, a field that may be null is always there; one that may be left out is never null.
pub fn require_what_answers_have(document: &mut Value) {
    let asked = reachable(document, |operation| operation.get("requestBody"));
    let answered = reachable(document, |operation| operation.get("responses"));
    for name in answered.difference(&asked) {
        let Some(schema) = schemas(document).and_then(|schemas| schemas.get_mut(name)) else { continue };
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let nullable: Vec<Value> =
            properties.filter(|(_, property)| may_be_null(property)).map(|(name, _)| json!(name)).collect();
        let Some(schema) = schema.as_object_mut() else { continue };
        if let Some(required) = schema.entry("required").or_insert_with(|| json!([])).as_array_mut() {
            required.extend(nullable);
        }
        if schema.get("required").is_some_and(|required| *required == json!([])) {
            schema.remove("required");
        }
    }
}

/// Fields that a request has together or not at all.
const TOGETHER: [(&str, &str); 3] = [("email", "code"), ("code", "code_verifier"), ("redirect_uri", "code_challenge")];

/// What is sent in one of several ways says which fields go together. Never by `oneOf`, which the descriptions say in its
/// place: generators leave out what has one beside its properties, or make a type of each way.
pub fn tell_alternatives(document: &mut Value) {
    let asked = reachable(document, |operation| operation.get("requestBody"));
    for name in asked {
        let found = schemas(document).and_then(|schemas| schemas.get_mut(&name)).and_then(Value::as_object_mut);
        let Some(schema) = found else { continue };
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { continue };
        let required = schema.get("required").and_then(Value::as_array);
        let optional = |name: &str| {
            properties.contains_key(name) && required.is_none_or(|required| !required.iter().any(|word| word == name))
        };
        let pairs = TOGETHER.iter().filter(|(one, other)| optional(one) && optional(other));
        let together: Map<String, Value> = pairs
            .flat_map(|(one, other)| [((*one).to_owned(), json!([other])), ((*other).to_owned(), json!([one]))])
            .collect();
        let one_of_two = properties.len() == 2 && optional("token") && optional("code");
        if !together.is_empty() {
            schema.insert("dependentRequired".to_owned(), Value::Object(together));
        }
        if one_of_two {
            schema.insert("minProperties".to_owned(), json!(1));
            schema.insert("maxProperties".to_owned(), json!(1));
        }
    }
}

/// A header or a parameter is there or not; it is never null.
pub fn without_null(schema: &mut Value) {
    if let Some(kinds) = schema.get_mut("type")
        && let Some(kind) = kinds.as_array().and_then(|kinds| kinds.iter().find(|kind| *kind != "null")).cloned()
    {
        *kinds = kind;
    }
    let other = |choices: &Value| choices.as_array()?.iter().find(|choice| !may_be_null(choice)).cloned();
    if let Some(only) = schema.get("oneOf").and_then(other) {
        *schema = only;
    }
}

fn may_be_null(schema: &Value) -> bool {
    let null = json!("null");
    schema.get("type").is_some_and(|kind| *kind == null || kind.as_array().is_some_and(|kinds| kinds.contains(&null)))
        || ["oneOf", "anyOf"].iter().any(|choice| {
            schema.get(choice).and_then(Value::as_array).is_some_and(|choices| choices.iter().any(may_be_null))
        })
}

fn schemas(document: &mut Value) -> Option<&mut Map<String, Value>> {
    document.pointer_mut("/components/schemas")?.as_object_mut()
}

/// The names of all schemas that a part of the operations leads to.
fn reachable(document: &Value, part: fn(&Value) -> Option<&Value>) -> BTreeSet<String> {
    let items = document.get("paths").and_then(Value::as_object).into_iter().flatten();
    let operations = items.filter_map(|(_, item)| item.as_object()).flatten();
    let mut waiting: Vec<String> = Vec::new();
    operations.filter_map(|(_, operation)| part(operation)).for_each(|part| named_in(part, &mut waiting));
    let mut found = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        if let Some(schema) = document.pointer("/components/schemas").and_then(|schemas| schemas.get(&name))
            && found.insert(name)
        {
            named_in(schema, &mut waiting);
        }
    }
    found
}

fn named_in(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value.as_str() {
            Some(target) if name == "$ref" => names.extend(target.strip_prefix(SCHEMAS).map(str::to_owned)),
            _ => named_in(value, names),
        }),
        Value::Array(items) => items.iter().for_each(|item| named_in(item, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_always_have_is_required_and_what_is_asked_is_left() {
        let fields = json!({ "a": { "type": ["string", "null"] }, "b": { "type": "string" },
            "c": { "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/Inner" }] } });
        let mut document = json!({
            "paths": { "/x": { "post": {
                "requestBody": { "$ref": "#/components/schemas/Asked" },
                "responses": { "200": { "$ref": "#/components/schemas/Answered" } },
            } } },
            "components": { "schemas": {
                "Asked": { "properties": { "a": { "type": ["string", "null"] } } }, "Answered": { "properties": fields, "required": ["b"] },
                "Inner": { "properties": { "d": { "type": ["integer", "null"] } } },
            } },
        });
        require_what_answers_have(&mut document);
        let required = |name: &str| document.pointer(&format!("/components/schemas/{name}/required")).cloned();
        assert_eq!(required("Asked"), None);
        assert_eq!(required("Answered"), Some(json!(["b", "a", "c"])));
        assert_eq!(required("Inner"), Some(json!(["d"])));
    }

    #[test]
    fn what_is_sent_together_or_alone_is_told() {
        let text = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), json!({}))).collect::<Map<_, _>>();
        let asked = |name: &str| json!({ "requestBody": { "$ref": format!("#/components/schemas/{name}") } });
        let mut document = json!({
            "paths": { "/x": { "post": asked("Either"), "put": asked("Secret"), "patch": asked("Needed") } },
            "components": { "schemas": {
                "Either": { "properties": text(&["token", "code"]) },
                "Secret": { "properties": text(&["token", "email", "code", "password"]), "required": ["password"] },
                "Needed": { "properties": text(&["code", "code_verifier"]), "required": ["code", "code_verifier"] },
            } },
        });
        tell_alternatives(&mut document);
        let of = |name: &str| document.pointer(&format!("/components/schemas/{name}")).unwrap();
        assert_eq!(
            (of("Either").get("minProperties"), of("Either").get("maxProperties")),
            (Some(&json!(1)), Some(&json!(1)))
        );
        assert_eq!(of("Secret").get("dependentRequired"), Some(&json!({ "email": ["code"], "code": ["email"] })));
        assert_eq!(of("Needed").as_object().unwrap().len(), 2);
    }

    #[test]
    fn a_parameter_is_never_null() {
        let rows = [
            (json!({ "type": ["integer", "null"], "minimum": 1 }), json!({ "type": "integer", "minimum": 1 })),
            (json!({ "oneOf": [{ "type": "null" }, { "$ref": "x" }] }), json!({ "$ref": "x" })),
            (json!({ "type": "string" }), json!({ "type": "string" })),
        ];
        for (mut schema, expected) in rows {
            without_null(&mut schema);
            assert_eq!(schema, expected);
        }
    }
}
