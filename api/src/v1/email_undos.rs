//! The undo of a change of addresses: by the link of the mail that told of it, without being signed in (rule 13).

use actix_web::{HttpResponse, post, web};
use doorstep_core::clock::Timestamp;
use doorstep_core::undo;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::me::AccountBody;
use super::secrets::WayInBody;
use crate::caller::Asker;
use crate::extract::Body;
use crate::flows::{self, UndoAsked};
use crate::problem::Problem;
use crate::state::State;

/// Presents the link of a mail that told of a change.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "Yk3v…"}))]
pub struct UndoPresented {
    /// What stands behind `#token=` in the mail's link. It is good for 72 hours.
    pub token: String,
}

/// What an undo would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "email": "ada@example.org", "expires_at": "2026-01-05T03:14:05Z", "back_to": "2026-01-02T03:14:05Z",
    "password_min_length": 15,
    "ways_in": [{"method": "email", "provider": null, "identity_id": null, "label": "ada@example.org"}],
    "ways_in_dropped": [
        {"method": "password", "provider": null, "identity_id": null, "label": null},
        {"method": "email", "provider": null, "identity_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b40", "label": "ada@lovelace.example"}]
}))]
pub struct UndoInspected {
    /// The address it was mailed to.
    pub email: String,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// The ways in go back to what they were right before this instant.
    #[schema(value_type = String, format = DateTime)]
    pub back_to: Timestamp,
    /// Characters that a new password must have.
    #[schema(example = 15)]
    pub password_min_length: usize,
    /// The ways in there would be, beside a password that is set with it.
    pub ways_in: Vec<WayInBody>,
    /// The ways in that would go: what was added since, and the password there is.
    pub ways_in_dropped: Vec<WayInBody>,
}

/// Look at an undo
///
/// Says what the link would do, and spends nothing. Where several changes were told to its address, it takes back all of
/// them that are not older than 72 hours.
#[utoipa::path(
    tag = "My emails", operation_id = "inspect_email_undo", security(()),
    request_body = UndoPresented,
    responses((status = 200, description = "What it would do", body = UndoInspected)),
    extensions(("x-problems" = json!(["secret_not_found", "secret_expired", "too_many_requests"]))),
)]
#[post("/v1/email-undos/inspect")]
pub async fn inspect_email_undo(
    state: web::Data<State>,
    Asker(origin): Asker,
    body: Body<UndoPresented>,
) -> Result<HttpResponse, Problem> {
    let token = body.value.token;
    let inspection = state.write_forgettably(&origin, move |work| undo::inspect(work, &token)).await?;
    Ok(HttpResponse::Ok().json(UndoInspected {
        email: inspection.address.to_string(),
        expires_at: inspection.expires_at,
        back_to: inspection.back_to,
        password_min_length: inspection.password_min_length,
        ways_in: inspection.ways_in.into_iter().map(WayInBody::from).collect(),
        ways_in_dropped: inspection.drops.into_iter().map(WayInBody::from).collect(),
    }))
}

/// Undoes what the mail told of.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "Yk3v…", "password": "correct horse battery staple"}))]
pub struct UndoConfirmation {
    /// What stands behind `#token=` in the mail's link. It is good for 72 hours.
    pub token: String,
    /// A new password, of at least as many characters as `password_min_length` of `GET /v1/sign-in-options` says. Without one the account has none afterwards, for whoever made the change may know it; forgot
    /// password gives another.
    #[schema(nullable = false, format = Password, max_length = 256)]
    pub password: Option<String>,
    /// Drop every way in but the address of the mail, those that were there before included. False where it is left out.
    #[serde(default)]
    pub unlink_others: bool,
}

/// It is undone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "account": {"id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b11", "role": "customer", "full_name": "Ada Lovelace",
        "primary_email": "ada@example.org", "locale": "en", "time_zone": null, "phone": null, "avatar_url": null,
        "created_at": "2026-01-02T03:04:05Z", "claimed_at": "2026-01-02T03:14:05Z", "updated_at": "2026-01-02T03:14:05Z"},
    "ways_in": [{"method": "password", "provider": null, "identity_id": null, "label": null},
        {"method": "email", "provider": null, "identity_id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b12", "label": "ada@example.org"}],
    "device_token": "ddt1_…"
}))]
pub struct UndoConfirmed {
    pub account: AccountBody,
    /// Every way into the account there is now.
    pub ways_in: Vec<WayInBody>,
    /// Keep it and send it with the next sign-in: it lets this device through while somebody else guesses.
    pub device_token: String,
}

/// Undo a change of addresses
///
/// Spends the link. What was removed comes back, unless it is another account's by now; what was added goes; the password
/// is replaced, or removed; every session and every other secret ends, and every proven address is told. Nobody is
/// signed in by this. A refused password spends nothing.
#[utoipa::path(
    tag = "My emails", operation_id = "confirm_email_undo", security(()),
    request_body = UndoConfirmation,
    responses((status = 200, description = "It is undone", body = UndoConfirmed)),
    extensions(("x-problems" = json!(["weak_password", "method_disabled", "secret_not_found", "secret_expired",
        "too_many_requests"]))),
)]
#[post("/v1/email-undos/confirm")]
pub async fn confirm_email_undo(
    state: web::Data<State>,
    Asker(origin): Asker,
    body: Body<UndoConfirmation>,
) -> Result<HttpResponse, Problem> {
    let UndoConfirmation { token, password, unlink_others } = body.value;
    let undone = flows::undo(&state, &origin, UndoAsked { token, password, unlink_others }).await?;
    Ok(HttpResponse::Ok().json(UndoConfirmed {
        account: undone.account.into(),
        ways_in: undone.ways_in.into_iter().map(WayInBody::from).collect(),
        device_token: undone.device_token.to_string(),
    }))
}
