//! Custom fields: what the desk defines, and what of it customers know.

use std::borrow::Cow;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, get, put};
use doorstep_core::audit::Actor;
use doorstep_core::clock::Timestamp;
use doorstep_core::custom_field::{self, CustomField, Definition, FieldType, VisibleTo};
use doorstep_core::custom_values::ValueChange;
use doorstep_core::page::Page;
use doorstep_core::profile;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use validator::Validate;

use super::pages;
use crate::caller::{Customer, DefineFields, Machine, ReadAccounts};
use crate::etag::{IfMatch, IfNoneMatch, tagged};
use crate::extract::{Body, Id};
use crate::problem::Problem;
use crate::words::{FieldTypeWord, VisibleToWord};

/// Values by the keys of their fields.
#[derive(Debug)]
pub enum CustomValues {}

impl PartialSchema for CustomValues {
    fn schema() -> RefOr<Schema> {
        let kinds = SchemaType::from_iter([Type::String, Type::Number, Type::Boolean, Type::Null]);
        let value =
            ObjectBuilder::new().schema_type(kinds).description(Some("By the field's type; null where nothing is set"));
        let example = serde_json::json!({ "shoe_size": 38.5, "tier": "gold" });
        ObjectBuilder::new()
            .description(Some("Values by the keys of their fields."))
            .additional_properties(Some(value))
            .examples([example])
            .into()
    }
}

impl ToSchema for CustomValues {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("CustomValues")
    }
}

/// A change of values: an object of anything, for what a key stands for is not known yet.
#[derive(Debug, Default)]
pub struct CustomChange(pub ValueChange);

impl<'de> Deserialize<'de> for CustomChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = ValueChange;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("Send an object of the values to change; null clears one of them, as in {\"tier\": null}.")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<ValueChange, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = fields.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }

        deserializer.deserialize_struct("custom", &[], Pairs).map(Self)
    }
}

/// A custom field.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CustomField, example = json!({
    "key": "tier", "title": "Customer tier", "type": "choice", "choices": ["silver", "gold"],
    "visible_to": "customer_reads", "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z"
}))]
pub struct FieldBody {
    pub key: String,
    pub title: String,
    #[schema(value_type = FieldTypeWord)]
    pub r#type: FieldType,
    /// What a choice may be; empty for the other types.
    pub choices: Vec<String>,
    #[schema(value_type = VisibleToWord)]
    pub visible_to: VisibleTo,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl From<CustomField> for FieldBody {
    fn from(field: CustomField) -> Self {
        Self {
            key: field.key,
            title: field.title,
            r#type: field.kind,
            choices: field.choices,
            visible_to: field.visible_to,
            created_at: field.created_at,
            updated_at: field.updated_at,
        }
    }
}

/// A custom field, as far as customers know it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyCustomField, example = json!({
    "key": "tier", "title": "Customer tier", "type": "choice", "choices": ["silver", "gold"], "editable": false
}))]
pub struct MyFieldBody {
    pub key: String,
    pub title: String,
    #[schema(value_type = FieldTypeWord)]
    pub r#type: FieldType,
    /// What a choice may be; empty for the other types.
    pub choices: Vec<String>,
    /// I may change it (`PATCH /v1/me`).
    pub editable: bool,
}

impl From<CustomField> for MyFieldBody {
    fn from(field: CustomField) -> Self {
        Self {
            key: field.key,
            title: field.title,
            r#type: field.kind,
            choices: field.choices,
            editable: field.visible_to == VisibleTo::CustomerEdits,
        }
    }
}

pages! {
    /// The custom fields, in the order they were made; all of them stand on one page.
    CustomFieldPage of FieldBody;
    /// The custom fields that support shows me, in the order they were made; all of them stand on one page.
    MyCustomFieldPage of MyFieldBody;
}

/// List the custom fields that I see
///
/// What stands in `custom` of my account: what each is called, what it may be, and whether I may change it.
#[utoipa::path(
    tag = "Me", operation_id = "list_my_custom_fields",
    responses((status = 200, description = "The fields that I see", body = MyCustomFieldPage)),
)]
#[get("/v1/me/custom-fields")]
pub async fn list_my_custom_fields(customer: Customer) -> Result<HttpResponse, Problem> {
    let items = customer.read(profile::list_fields).await?;
    Ok(HttpResponse::Ok().json(MyCustomFieldPage::from(Page { items, next: None })))
}

/// List the custom fields
#[utoipa::path(
    tag = "Accounts", operation_id = "list_custom_fields", security(("api_key" = ["accounts:read"])),
    responses((status = 200, description = "The fields", body = CustomFieldPage)),
)]
#[get("/v1/custom-fields")]
pub async fn list_custom_fields(desk: Machine<ReadAccounts>) -> Result<HttpResponse, Problem> {
    let items = desk.read(|work, _| Ok(custom_field::current(work)?.all.clone())).await?;
    Ok(HttpResponse::Ok().json(CustomFieldPage::from(Page { items, next: None })))
}

/// Read a custom field
#[utoipa::path(
    tag = "Accounts", operation_id = "get_custom_field", security(("api_key" = ["accounts:read"])),
    params(
        ("key" = String, Path, description = "The field's key", example = "tier"),
        ("If-None-Match" = Option<String>, Header, description = "ETags that I have: what has one of them is not sent again"),
    ),
    responses(
        (status = 200, description = "The field", body = FieldBody,
            headers(("ETag" = String, description = "Send it as If-Match with a change"))),
        (status = 304, description = "It is what `If-None-Match` names",
            headers(("ETag" = String, description = "Send it as If-Match with a change"))),
    ),
    extensions(("x-problems" = json!(["not_found"]))),
)]
#[get("/v1/custom-fields/{key}")]
pub async fn get_custom_field(
    desk: Machine<ReadAccounts>,
    Id(key): Id<String>,
    known: IfNoneMatch,
) -> Result<HttpResponse, Problem> {
    let field = desk.read(move |work, _| custom_field::get(work, &key)).await?;
    known.answer(&FieldBody::from(field))
}

/// What a custom field is to be.
#[derive(Debug, DeriveDeserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "title": "Customer tier", "type": "choice", "choices": ["silver", "gold"], "visible_to": "customer_reads"
}))]
pub struct FieldDefinition {
    #[schema(min_length = 1, max_length = 100)]
    pub title: String,
    #[schema(value_type = FieldTypeWord)]
    pub r#type: FieldType,
    /// Needed for the type `choice`, and only there: 1 to 100 texts of 1 to 100 characters.
    #[serde(default)]
    #[schema(required = false, max_items = 100)]
    pub choices: Vec<String>,
    #[schema(value_type = VisibleToWord)]
    pub visible_to: VisibleTo,
}

/// Define a custom field
///
/// Makes the field, or changes the one of this key; it holds at once, on all instances. There are 50 at most.
///
/// What accounts have of it stays: a value that is no choice any more is kept, and shown, until it is changed. Shown to
/// customers, a field is shown with all that was ever said in it. The type alone does not change: delete the field, and
/// make it anew.
#[utoipa::path(
    tag = "Accounts", operation_id = "put_custom_field", security(("api_key" = ["custom_fields:write"])),
    params(
        ("key" = String, Path, description = "`^[a-z][a-z0-9_]{0,39}$`", example = "tier"),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read: change only that version"),
    ),
    request_body = FieldDefinition,
    responses(
        (status = 200, description = "It is changed", body = FieldBody,
            headers(("ETag" = String, description = "Send it as If-Match with the next change"))),
        (status = 201, description = "It is made", body = FieldBody,
            headers(("ETag" = String, description = "Send it as If-Match with the next change"))),
    ),
    extensions(("x-problems" = json!(["precondition_failed", "too_many_custom_fields"]))),
)]
#[put("/v1/custom-fields/{key}")]
pub async fn put_custom_field(
    desk: Machine<DefineFields>,
    Id(key): Id<String>,
    only: IfMatch,
    body: Body<FieldDefinition>,
) -> Result<HttpResponse, Problem> {
    let FieldDefinition { title, r#type, choices, visible_to } = body.value;
    let definition = Definition { title, kind: r#type, choices, visible_to };
    let put = desk.write(move |work, by| {
        let may = |now: Option<&CustomField>| only.allows(|| now.cloned().map(FieldBody::from));
        custom_field::put(work, Actor::ApiKey(by.id), &key, &definition, may)
    });
    let (field, made) = put.await?;
    tagged(if made { StatusCode::CREATED } else { StatusCode::OK }, &FieldBody::from(field))
}

/// Delete a custom field
///
/// What accounts have of it is gone from every answer at once, and erased within minutes. A field that is made later
/// with the same key begins empty.
#[utoipa::path(
    tag = "Accounts", operation_id = "delete_custom_field", security(("api_key" = ["custom_fields:write"])),
    params(
        ("key" = String, Path, description = "The field's key", example = "tier"),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read: delete only that version"),
    ),
    responses((status = 204, description = "It is deleted")),
    extensions(("x-problems" = json!(["not_found", "precondition_failed"]))),
)]
#[delete("/v1/custom-fields/{key}")]
pub async fn delete_custom_field(
    desk: Machine<DefineFields>,
    Id(key): Id<String>,
    only: IfMatch,
) -> Result<HttpResponse, Problem> {
    let deleted = desk.write(move |work, by| {
        let may = |now: &CustomField| only.allows(|| Some(FieldBody::from(now.clone())));
        custom_field::delete(work, Actor::ApiKey(by.id), &key, may)
    });
    deleted.await?;
    Ok(HttpResponse::NoContent().finish())
}
