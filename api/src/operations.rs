//! For whoever runs it, and for services that verify our tokens: health, keys, the contract and its pages.

use std::sync::Arc;

use actix_web::http::header::{CACHE_CONTROL, ETag, EntityTag, IfNoneMatch};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, get, web};
use data_encoding::HEXLOWER;
use doorstep_core::keyring::sha256;
use doorstep_core::settings;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_swagger_ui::{Config as SwaggerConfig, serve};

use crate::caller::Asker;
use crate::problem::Problem;
use crate::problem_code::Code;
use crate::state::State;
use crate::words::HealthStatus;

/// The routes that the document describes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(get_jwks)
        .service(get_openid_configuration)
        .service(check_alive)
        .service(check_ready)
        .service(get_openapi);
}

/// The pages for people, which it does not.
pub fn pages(config: &mut web::ServiceConfig) {
    let swagger = SwaggerConfig::from("/openapi.json")
        .try_it_out_enabled(true)
        .validator_url("none")
        .persist_authorization(false);
    config
        .app_data(web::Data::new(Arc::new(swagger)))
        .service(explain_problem)
        .route("/docs", web::get().to(docs_home))
        .route("/docs/", web::get().to(docs_home))
        .route("/docs/{file:.*}", web::get().to(docs));
}

/// Read the keys
///
/// The public keys that verify access tokens (JWK Set, RFC 7517). A key stays here until nothing it signed is
/// alive.
#[utoipa::path(
    tag = "Keys", operation_id = "get_jwks", security(()),
    responses((status = 200, description = "A JSON Web Key Set", body = Object)),
)]
#[get("/.well-known/jwks.json")]
pub async fn get_jwks(state: web::Data<State>, _: Asker) -> HttpResponse {
    HttpResponse::Ok().json(state.tokens.keys().jwks())
}

/// Read the issuer's description
///
/// Enough of an OpenID provider's metadata for any library that verifies JWTs by their issuer.
#[utoipa::path(
    tag = "Keys", operation_id = "get_openid_configuration", security(()),
    responses((status = 200, description = "Issuer and where its keys are", body = Object)),
)]
#[get("/.well-known/openid-configuration")]
pub async fn get_openid_configuration(state: web::Data<State>, _: Asker) -> HttpResponse {
    let issuer = state.tokens.issuer();
    HttpResponse::Ok().json(json!({
        "issuer": issuer,
        "jwks_uri": format!("{}/.well-known/jwks.json", state.public_url),
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "subject_types_supported": ["public"],
        "response_types_supported": ["token"],
        "claims_supported": ["iss", "aud", "sub", "sid", "iat", "nbf", "exp", "jti", "epoch", "auth_time"],
    }))
}

/// All is well, or it would not be said.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "ok"}))]
pub struct Health {
    #[schema(value_type = HealthStatus)]
    pub status: &'static str,
}

/// Is it alive?
///
/// Answers where the process answers at all, and asks nobody.
#[utoipa::path(
    tag = "Operations", operation_id = "check_alive", security(()),
    responses((status = 200, description = "Alive", body = Health)),
)]
#[get("/healthz")]
pub async fn check_alive(_: Asker) -> HttpResponse {
    HttpResponse::Ok().json(Health { status: "ok" })
}

/// Is it ready?
///
/// Asks the database. While it is away: 503, and no traffic should be sent here.
#[utoipa::path(
    tag = "Operations", operation_id = "check_ready", security(()),
    responses((status = 200, description = "Ready", body = Health)),
)]
#[get("/readyz")]
pub async fn check_ready(state: web::Data<State>, Asker(origin): Asker) -> Result<HttpResponse, Problem> {
    state.read(&origin, settings::current).await?;
    Ok(HttpResponse::Ok().json(Health { status: "ok" }))
}

/// Read this document
#[utoipa::path(
    tag = "Operations", operation_id = "get_openapi", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
#[get("/openapi.json")]
pub async fn get_openapi(_: Asker) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(crate::openapi::COMMITTED)
}

/// A page about one kind of problem: where a problem's `type` leads.
#[get("/problems/{slug}")]
pub async fn explain_problem(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let slug = request.match_info().get("slug").unwrap_or_default();
    let code = Code::ALL.iter().find(|code| code.slug() == slug).ok_or_else(|| Problem::new(Code::NotFound))?;
    let page: Value = json!({
        "code": code.as_str(), "status": code.status(), "title": code.title(), "what_to_do": code.cure(),
    });
    Ok(HttpResponse::Ok().json(page))
}

type Swagger = web::Data<Arc<SwaggerConfig<'static>>>;

async fn docs_home(request: HttpRequest, swagger: Swagger) -> Result<HttpResponse, Problem> {
    docs_file(&request, "index.html", &swagger)
}

async fn docs(request: HttpRequest, swagger: Swagger) -> Result<HttpResponse, Problem> {
    docs_file(&request, request.match_info().get("file").unwrap_or_default(), &swagger)
}

/// A file that changes only with the binary: kept for a day, and then asked for by its tag.
fn asset(request: &HttpRequest, content_type: &str, bytes: Vec<u8>) -> HttpResponse {
    let tag = EntityTag::new_strong(HEXLOWER.encode(&sha256(&bytes)));
    let known = match request.get_header::<IfNoneMatch>() {
        Some(IfNoneMatch::Any) => true,
        Some(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(&tag)),
        None => false,
    };
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header(ETag(tag)).insert_header((CACHE_CONTROL, "public, max-age=86400"));
    if known { response.finish() } else { response.content_type(content_type).body(bytes) }
}

/// Swagger UI from inside the binary.
fn docs_file(
    request: &HttpRequest,
    name: &str,
    swagger: &Arc<SwaggerConfig<'static>>,
) -> Result<HttpResponse, Problem> {
    match serve(name, Arc::clone(swagger)) {
        Ok(Some(file)) if name == "index.html" => {
            let page = String::from_utf8_lossy(&file.bytes)
                .replace("<title>Swagger UI</title>", "<title>Doorstep API</title>")
                .replace("\"./", "\"/docs/")
                .replace("\"index.css", "\"/docs/index.css");
            Ok(HttpResponse::Ok().content_type(file.content_type).body(page))
        }
        Ok(Some(file)) => Ok(asset(request, &file.content_type, file.bytes.into_owned())),
        Ok(None) => Err(Problem::new(Code::NotFound)),
        Err(error) => {
            tracing::error!(%error, name, "a page of the documentation cannot be served");
            Err(Problem::new(Code::InternalError))
        }
    }
}
