//! My password: the first one, or another.

use actix_web::{HttpResponse, put, web};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::sessions::SessionBody;
use crate::caller::FreshCustomer;
use crate::extract::Body;
use crate::flows;
use crate::problem::Problem;
use crate::state::State;

/// A new password, with the current one where there is one.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"current_password": "correct horse battery staple", "password": "another horse, another staple"}))]
pub struct PasswordChange {
    /// Needed where the account has a password.
    #[schema(nullable = false, format = Password, max_length = 256)]
    pub current_password: Option<String>,
    /// At least as many characters as `password_min_length` of `GET /v1/sign-in-options` says.
    #[schema(format = Password, max_length = 256)]
    pub password: String,
}

/// Set my password
///
/// Takes a fresh session, an address that was proven, and the current password where there is one. All other sessions
/// end, and every mailed secret is void; this session goes on with the tokens of the answer, and only with them. It is
/// fresh anew where the current password was sent. Every proven address is told. The password that it is already is taken
/// like any other, and does the same.
#[utoipa::path(
    tag = "Me", operation_id = "set_my_password",
    request_body = PasswordChange,
    responses((status = 200, description = "It is set; go on with these tokens", body = SessionBody)),
    extensions(("x-problems" = json!(["reauth_required", "weak_password", "address_needed", "method_disabled",
        "too_many_requests"]))),
)]
#[put("/v1/me/password")]
pub async fn set_my_password(
    state: web::Data<State>,
    customer: FreshCustomer,
    body: Body<PasswordChange>,
) -> Result<HttpResponse, Problem> {
    let PasswordChange { current_password, password } = body.value;
    let issued = flows::change_password(&state, &customer, current_password, &password).await?;
    Ok(HttpResponse::Ok().json(SessionBody::of(&state, &issued)?))
}
