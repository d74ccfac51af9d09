//! What a frontend may show now.

use actix_web::{HttpResponse, get, web};
use doorstep_core::provider::Provider;
use doorstep_core::settings;
use doorstep_core::settings::{Method, Settings, SignUpPolicy};
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Asker;
use crate::problem::Problem;
use crate::state::State;
use crate::words::SignUpOffer;

/// The ways to sign in that are offered now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"password": true, "password_min_length": 15, "sign_up": "open",
    "providers": [{"provider": "google", "name": "Google", "native": true}]}))]
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
    /// An app may send a token of the provider's own SDK.
    pub native: bool,
}

/// Read what to show
#[utoipa::path(
    tag = "Sign-in options", operation_id = "get_sign_in_options", security(()),
    responses((status = 200, description = "What is offered now", body = SignInOptions)),
)]
#[get("/v1/sign-in-options")]
pub async fn get_sign_in_options(state: web::Data<State>, Asker(origin): Asker) -> Result<HttpResponse, Problem> {
    let settings = state.read(&origin, settings::current).await?;
    let password = settings.offers(&Method::Password).is_ok();
    let sign_up = match settings.authentication.sign_up {
        _ if settings.offers(&Method::SignUp).is_err() => "off",
        SignUpPolicy::Open => "open",
        SignUpPolicy::KnownOnly => "known_only",
    };
    Ok(HttpResponse::Ok().json(SignInOptions {
        password,
        password_min_length: settings.password_policy(&state.site_name).min_length,
        sign_up,
        providers: offered(&state, &settings),
    }))
}

/// The providers that are configured and on.
fn offered(state: &State, settings: &Settings) -> Vec<ProviderOption> {
    let all = state.providers.providers();
    let on = all.iter().filter(|provider| settings.offers(&Method::Provider(provider.name.clone())).is_ok());
    let option = |provider: &Provider| ProviderOption {
        provider: provider.name.to_string(),
        name: provider.title.clone(),
        native: state.providers.get(&provider.name).is_some_and(|client| client.takes_native()),
    };
    on.map(option).collect()
}
