//! What a frontend may show now.

use actix_web::{HttpResponse, get, web};
use doorstep_core::settings;
use doorstep_core::settings::{Method, SignUpPolicy};
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Asker;
use crate::problem::Problem;
use crate::state::State;
use crate::words::SignUpOffer;

/// The ways to sign in that are offered now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"password": true, "password_min_length": 15, "sign_up": "open", "providers": []}))]
pub struct SignInOptions {
    /// Email and password, forgot password included.
    pub password: bool,
    /// Characters that a new password must have.
    pub password_min_length: usize,
    #[schema(value_type = SignUpOffer, example = "open")]
    pub sign_up: &'static str,
    /// The buttons to show, in this order.
    pub providers: Vec<ProviderOption>,
}

/// A provider to sign in with.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProviderOption {
    /// Stands in `/v1/social/{provider}/…`.
    #[schema(example = "google")]
    pub provider: String,
    #[schema(example = "Google")]
    pub name: String,
}

/// Read what to show
#[utoipa::path(
    tag = "Sign-in options", operation_id = "get_sign_in_options", security(()),
    responses((status = 200, description = "What is offered now", body = SignInOptions)),
)]
#[get("/v1/sign-in-options")]
pub async fn get_sign_in_options(state: web::Data<State>, Asker(origin): Asker) -> Result<HttpResponse, Problem> {
    let settings = state.read(&origin, settings::current).await?;
    let password = settings.offers(Method::Password).is_ok();
    let sign_up = match settings.authentication.sign_up {
        _ if settings.offers(Method::SignUp).is_err() => "off",
        SignUpPolicy::Open => "open",
        SignUpPolicy::KnownOnly => "known_only",
    };
    Ok(HttpResponse::Ok().json(SignInOptions {
        password,
        password_min_length: settings.password_policy(&state.site_name).min_length,
        sign_up,
        providers: Vec::new(),
    }))
}
