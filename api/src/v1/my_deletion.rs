//! Goodbye: I delete my account.

use actix_web::{HttpResponse, delete, post};
use doorstep_core::Error;
use doorstep_core::adding_email::Shown;
use doorstep_core::clock::Timestamp;
use doorstep_core::goodbye::{self, Asked};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use crate::caller::FreshCustomer;
use crate::extract::Body;
use crate::problem::Problem;

/// A mail is on its way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"email": "ada@example.org", "expires_at": "2026-01-02T03:34:05Z"}))]
pub struct DeletionAsked {
    /// Where the link and the code were mailed to.
    pub email: String,
    /// Until when the link is good. The code is good for 10 minutes.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Delete my account
///
/// Takes a fresh session. Mails a link and a code to my primary address, or, where a change of addresses can still be
/// undone, to whoever was there first; whichever is shown by this very session, still fresh, deletes the account (`POST
/// /v1/me/deletion/confirm`). An account without an address is deleted at once (204), by a session that was made fresh again
/// (`reauthenticate`) within the last minute. The last admin's account stays (409 `last_admin`). Where all
/// addresses came within 72 hours, to an account that is older, none of them confirms it (409 `address_too_new`). The
/// link leads to the app's page (`[links] delete_account`) and ends in `#token=…`; it is good for 30 minutes, its code for 10
/// minutes and five tries.
///
/// Deleted is all that tells of me: names, addresses, what I sign in with, devices, and what only I was to see. Support
/// keeps what was said in conversations, without me. It cannot be undone; what was linked is nobody's afterwards, and
/// whoever writes to support again begins anew.
#[utoipa::path(
    tag = "Me", operation_id = "delete_me",
    responses(
        (status = 202, description = "A mail is on its way, within the limits", body = DeletionAsked),
        (status = 204, description = "It is deleted"),
    ),
    extensions(("x-problems" = json!(["reauth_required", "last_admin", "address_too_new"]))),
)]
#[delete("/v1/me")]
pub async fn delete_me(customer: FreshCustomer) -> Result<HttpResponse, Problem> {
    Ok(match customer.write_by(goodbye::ask).await? {
        Asked::Confirm { address, expires_at } => {
            HttpResponse::Accepted().json(DeletionAsked { email: address.to_string(), expires_at })
        }
        Asked::Deleted => HttpResponse::NoContent().finish(),
    })
}

/// Presents what was mailed.
///
/// Exactly one of `token` and `code`: `{"token": "…"}` or `{"code": "ABCD-EFGH"}`.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "ABCD-EFGH"}))]
pub struct DeletionConfirmation {
    /// What stands behind `#token=` in the mail's link. It is good for 30 minutes.
    #[schema(nullable = false)]
    pub token: Option<String>,
    /// The mail's code, in any case, with or without its dash. It is good for 10 minutes and five tries.
    #[schema(nullable = false)]
    pub code: Option<String>,
}

/// Confirm that my account is deleted
///
/// By the very session that asked, still fresh. Every address that was mine is told. A merge in between calls it off.
#[utoipa::path(
    tag = "Me", operation_id = "confirm_deletion",
    request_body = DeletionConfirmation,
    responses((status = 204, description = "It is deleted")),
    extensions(("x-problems" = json!(["reauth_required", "secret_not_found", "secret_expired", "last_admin",
        "address_too_new", "too_many_requests"]))),
)]
#[post("/v1/me/deletion/confirm")]
pub async fn confirm_deletion(
    customer: FreshCustomer,
    body: Body<DeletionConfirmation>,
) -> Result<HttpResponse, Problem> {
    let shown = match (body.value.token, body.value.code) {
        (Some(token), None) => Shown::Token(token),
        (None, Some(code)) => Shown::Code(code),
        _ => return Err(Error::invalid("", "token_or_code", "Send either token or code.").into()),
    };
    customer.write_by(move |work, claims| goodbye::confirm(work, claims, &shown)).await?;
    Ok(HttpResponse::NoContent().finish())
}
