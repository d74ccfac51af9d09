//! The OpenAPI 3.1 document: generated from the handlers, completed with every problem an operation can answer.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use actix_web::App;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_actix_web::AppExt;

use crate::problem::{FieldError, ProblemBody};
use crate::problem_code::Code;
use crate::schemas;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Doorstep",
        description = "The customer sign-in service of a help center. Whoever wrote to support already has an \
            account with that history in it; the first time they sign in it becomes theirs, and nobody else's.\n\n\
            Errors are problems (RFC 9457) with a stable `code`. Times are RFC 3339 in UTC, ids are UUIDs, unknown \
            fields and query parameters are refused. A body may have 64 KiB where an operation says nothing else. Lists take `limit` and `cursor` and give `items` and `next_cursor`. 429 and 503 \
            carry `Retry-After`. Every response carries `X-Request-Id`.\n\nAny operation may also answer 400 \
            `malformed_request`, where the request is no well-formed HTTP or its target is longer than 8,000 octets, and \
            any path 405 `method_not_allowed` with `Allow`, where it has no such method: see the \
            responses `MalformedRequest` and `MethodNotAllowed`. A field of an answer that may be null is always there.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ProblemBody<'_>, FieldError<'_>)),
    servers((url = "/", description = "Where this document came from")),
    modifiers(&Schemes),
    security(("access_token" = [])),
    tags(
        (name = "Sign-in options", description = "What a frontend may show now"),
        (name = "Sign-up", description = "A new account, or the one that support already keeps"),
        (name = "Forgot password", description = "A new password, or the first: it claims the account support keeps"),
        (name = "Sessions", description = "Sign in, refresh, sign out"),
        (name = "Social sign-in", description = "Google, Facebook, Twitter (X), and OpenID providers that the operator adds"),
        (name = "Identities", description = "What I sign in with: link, unlink, and merge"),
        (name = "Me", description = "The signed-in customer"),
        (name = "My emails", description = "The addresses of the signed-in customer: add, prove, choose, remove, undo"),
        (name = "Conversations", description = "What I wrote to support and what support answered"),
        (name = "Help desk", description = "For the help desk's back end, with an API key"),
        (name = "Accounts", description = "What the help desk knows of people, with an API key"),
        (name = "Admin", description = "For an account with the role `admin`: what holds for everybody"),
        (name = "Keys", description = "For services that verify access tokens"),
        (name = "Operations", description = "For whoever runs it"),
    )
)]
struct Document;

struct Schemes;

impl utoipa::Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        let bearer = |description: &str, format: Option<&str>| {
            let mut scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description));
            if let Some(format) = format {
                scheme = scheme.bearer_format(format);
            }
            SecurityScheme::Http(scheme.build())
        };
        components.add_security_scheme("access_token", bearer("A session's access token", Some("JWT")));
        components.add_security_scheme(
            "api_key",
            bearer("An API key: `dsk_…`. It needs the scope that stands with the operation", None),
        );
    }
}

/// The document, complete.
#[must_use]
pub fn document() -> Value {
    let (_, document) = App::new()
        .into_utoipa_app()
        .openapi(Document::openapi())
        .configure(crate::v1::routes)
        .configure(crate::operations::routes)
        .split_for_parts();
    let mut document = serde_json::to_value(document).unwrap_or_default();
    for operation in operations(&mut document) {
        add_problems(operation);
        add_headers(operation);
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten();
        parameters.filter_map(|parameter| parameter.get_mut("schema")).for_each(schemas::without_null);
        let body =
            operation.get_mut("requestBody").and_then(|body| body.pointer_mut("/content/application~1json/schema"));
        body.into_iter().for_each(schemas::without_null);
    }
    if let Some(components) = document.get_mut("components").and_then(Value::as_object_mut) {
        components.insert("headers".to_owned(), headers());
        let mut anywhere = Map::new();
        for (name, code) in [("MalformedRequest", Code::MalformedRequest), ("MethodNotAllowed", Code::MethodNotAllowed)]
        {
            let mut response = response(&[code], false);
            name_headers(&code.status().to_string(), &mut response);
            anywhere.insert(name.to_owned(), response);
        }
        components.insert("responses".to_owned(), Value::Object(anywhere));
    }
    schemas::require_what_answers_have(&mut document);
    schemas::tell_alternatives(&mut document);
    document
}

/// The headers that many answers have.
fn headers() -> Value {
    let header = |about: &str, schema: Value| json!({ "description": about, "required": true, "schema": schema });
    json!({
        "X-Request-Id": header("Tell it to the operator; a problem has it as `request_id`",
            json!({ "type": "string", "format": "uuid" })),
        "WWW-Authenticate": header("The scheme to use (RFC 6750)", json!({ "type": "string", "examples": ["Bearer"] })),
        "Allow": header("The methods there are", json!({ "type": "string", "examples": ["GET, PATCH"] })),
        "Retry-After": header("Seconds to wait", json!({ "type": "integer", "minimum": 1 })),
    })
}

fn add_headers(operation: &mut Map<String, Value>) {
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten();
    responses.for_each(|(status, response)| name_headers(status, response));
}

fn name_headers(status: &str, response: &mut Value) {
    let Some(response) = response.as_object_mut() else { return };
    let headers = response.entry("headers").or_insert_with(|| json!({}));
    let of_status: &[&str] = match status {
        "401" => &["X-Request-Id", "WWW-Authenticate"],
        "405" => &["X-Request-Id", "Allow"],
        "429" | "503" => &["X-Request-Id", "Retry-After"],
        _ => &["X-Request-Id"],
    };
    for name in of_status {
        if let Some(headers) = headers.as_object_mut() {
            headers.insert((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
        }
    }
}

/// The document as it is committed and served.
#[must_use]
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

/// The document as it was committed, which is what is served: to make it anew takes longer than all else at a start.
pub const COMMITTED: &str = include_str!("../../openapi/openapi.json");

/// An operation, as far as a request shows which one it is for.
pub struct Operation {
    template: String,
    pub method: String,
    /// Something may stand in its query.
    pub takes_query: bool,
}

static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(known);

fn known() -> Vec<Operation> {
    let document: Value = serde_json::from_str(COMMITTED).unwrap_or_default();
    let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
    let operations = |(template, item): (&String, &Value)| -> Vec<Operation> {
        let of = |(method, operation): (&String, &Value)| Operation {
            template: template.clone(),
            method: method.to_uppercase(),
            takes_query: takes_query(operation.get("parameters")),
        };
        item.as_object().into_iter().flatten().map(of).collect()
    };
    paths.flat_map(operations).collect()
}

fn takes_query(parameters: Option<&Value>) -> bool {
    let parameters = parameters.and_then(Value::as_array);
    parameters.is_some_and(|all| all.iter().any(|one| one.get("in").is_some_and(|place| place == "query")))
}

/// The operations of a path.
pub fn operations_of(path: &str) -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(move |operation| matches(&operation.template, path))
}

fn matches(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(part), Some(text)) if part == text || (part.starts_with('{') && !text.is_empty()) => {}
            _ => return false,
        }
    }
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    document
        .get_mut("paths")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(|paths| paths.values_mut())
        .filter_map(Value::as_object_mut)
        .flat_map(|item| item.values_mut())
        .filter_map(Value::as_object_mut)
}

/// The one operation whose query may have anything in it: what a provider adds is its own affair, and to be ignored
/// (RFC 6749, section 4.1.2).
const LENIENT: &str = "come_back_from_provider";

/// What an operation itself can answer, and what any operation of its kind can.
fn problem_codes(operation: &mut Map<String, Value>) -> Vec<Code> {
    let own = operation.remove("x-problems");
    let named = |code: &Code| {
        own.as_ref().and_then(Value::as_array).is_some_and(|codes| codes.iter().any(|word| word == code.as_str()))
    };
    let public = operation.get("security").is_some_and(|security| *security == json!([{}]));
    let by_key = operation.get("security").is_some_and(|security| security.to_string().contains("api_key"));
    let body = operation.contains_key("requestBody");
    let lenient = operation.get("operationId").is_some_and(|name| name == LENIENT);
    let plain = operation.get("tags").is_some_and(|tags| tags.to_string().contains("Keys"));
    let general = |code: &Code| match code {
        Code::Unauthorized => !public,
        Code::InsufficientScope => by_key,
        Code::MalformedJson | Code::PayloadTooLarge | Code::UnsupportedMediaType | Code::RequestTimeout => body,
        // a query may be wrong, also where there should be none
        Code::ValidationFailed => !lenient,
        Code::Overloaded | Code::Unavailable => !plain,
        Code::InternalError => true,
        _ => false,
    };
    Code::ALL.iter().filter(|code| named(code) || general(code)).copied().collect()
}

fn add_problems(operation: &mut Map<String, Value>) {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in problem_codes(operation) {
        by_status.entry(code.status()).or_default().push(code);
    }
    let has_body = operation.contains_key("requestBody");
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for (status, codes) in by_status {
        responses.insert(status.to_string(), response(&codes, has_body));
    }
}

fn response(codes: &[Code], has_body: bool) -> Value {
    let words: Vec<String> = codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.title())).collect();
    let examples: Map<String, Value> =
        codes.iter().map(|code| (code.as_str().to_owned(), example(*code, has_body))).collect();
    json!({
        "description": words.join("; "),
        "content": { "application/problem+json": {
            "schema": { "$ref": "#/components/schemas/Problem" },
            "examples": examples,
        } },
    })
}

fn example(code: Code, has_body: bool) -> Value {
    let mut value = json!({
        "type": format!("https://auth.shop.example/problems/{}", code.slug()),
        "title": code.title(), "status": code.status(), "code": code.as_str(), "detail": code.cure(),
        "request_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11",
    });
    let (name, more) = match code {
        Code::ReauthRequired => ("methods", json!(["password", "mail", "google"])),
        Code::WeakPassword => (
            "errors",
            json!([{ "pointer": "/password", "code": "too_short",
                "detail": "Use at least 15 characters; a few words with spaces do well." }]),
        ),
        Code::ValidationFailed if has_body => (
            "errors",
            json!([{ "pointer": "/email", "code": "invalid_email",
                "detail": "An address looks like ada@example.org." }]),
        ),
        Code::ValidationFailed => {
            ("errors", json!([{ "pointer": "/page", "code": "unknown_field", "detail": "There is no such field." }]))
        }
        _ => return json!({ "value": value }),
    };
    if let Some(value) = value.as_object_mut() {
        value.insert(name.to_owned(), more);
    }
    json!({ "value": value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
                Value::String(target) if name == "$ref" => found.push(target.clone()),
                other => references(other, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn no_reference_dangles() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50);
        for target in found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target} is nowhere");
        }
    }

    #[test]
    fn every_operation_says_who_may_call_it_and_how_it_answers() {
        let mut document = document();
        let mut names = Vec::new();
        for operation in operations(&mut document) {
            let name = operation.get("operationId").unwrap().as_str().unwrap().to_owned();
            assert!(operation.get("summary").is_some(), "{name} has no summary");
            let responses = operation.get("responses").unwrap().as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2') || status.starts_with('3')), "{name}");
            assert!(responses.contains_key("500"), "{name}");
            for (status, response) in responses.iter().filter(|(status, _)| status.as_str() >= "400") {
                assert!(response.pointer("/content/application~1problem+json/examples").is_some(), "{name} {status}");
            }
            names.push(name);
        }
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
    }

    #[test]
    fn what_is_served_is_what_the_handlers_say() {
        assert!(COMMITTED == text(), "write openapi/openapi.json anew: just openapi");
    }

    #[test]
    fn a_schema_of_a_body_has_an_example() {
        let document = document();
        let schemas = document.pointer("/components/schemas").unwrap().as_object().unwrap();
        for (name, schema) in schemas {
            let object = schema.get("properties").is_some();
            let page = name.ends_with("Page");
            let told = schema.get("example").is_some()
                || schema.get("properties").is_some_and(|properties| properties.to_string().contains("\"example"));
            assert!(!object || page || told, "{name} has no example");
        }
    }
}
