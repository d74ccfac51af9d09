//! Security > Authentication: what an admin sets at run time, for all instances at once.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, put, web};
use doorstep_core::error::{self, Fault};
use doorstep_core::provider::{ProviderName, Providers};
use doorstep_core::settings::{self, Authentication, ProviderSettings, Settings, SignUpPolicy, UnknownRequesters};
use doorstep_core::{Error, Result, settings_change};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use crate::caller::Admin;
use crate::etag::{IfMatch, IfNoneMatch, tagged};
use crate::extract::{Body, Query};
use crate::problem::{More, Problem};
use crate::problem_code::Code;
use crate::state::State;
use crate::words::{SignUpWord, UnknownRequestersWord};

/// Who may sign in, and how.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "sign_up": "open", "password_sign_in": true, "social_sign_on": true,
    "providers": {"google": {"enabled": true, "may_create_accounts": true, "email_counts": true},
                  "twitter": {"enabled": true, "may_create_accounts": false, "email_counts": false}},
    "password_min_length": 15, "session_idle_seconds": 1_209_600, "session_absolute_seconds": 2_592_000,
    "allowed_domains": [], "blocked_domains": ["mailinator.example"], "unknown_requesters": "accept"
}))]
pub struct AuthenticationSettings {
    #[schema(value_type = SignUpWord)]
    pub sign_up: SignUpPolicy,
    /// Email and password, forgot password and sign-up included.
    pub password_sign_in: bool,
    /// Signing in with providers as a whole.
    pub social_sign_on: bool,
    /// Each provider that is configured here, by its name.
    pub providers: BTreeMap<String, ProviderSwitches>,
    /// Characters that a new password must have. An admin whose own is shorter chooses another by forgot password at their next
    /// sign-in (403 `admin_password_required`).
    #[schema(minimum = 8, maximum = 64)]
    pub password_min_length: u16,
    /// A session that is not refreshed for so long ends; at most the absolute lifetime.
    #[schema(minimum = 600, maximum = 31_536_000)]
    pub session_idle_seconds: u64,
    /// A session ends so long after it was opened, whatever is done with it.
    #[schema(minimum = 600, maximum = 31_536_000)]
    pub session_absolute_seconds: u64,
    /// Where not empty, only addresses of these domains may make or claim an account. Subdomains are domains of their own.
    #[schema(max_items = 1000)]
    pub allowed_domains: Vec<String>,
    /// Addresses of these may not, unless their domain is allowed.
    #[schema(max_items = 1000)]
    pub blocked_domains: Vec<String>,
    #[schema(value_type = UnknownRequestersWord)]
    pub unknown_requesters: UnknownRequesters,
}

/// What holds of one provider.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"enabled": true, "may_create_accounts": true, "email_counts": false}))]
pub struct ProviderSwitches {
    /// Off, it is off at every step: to begin, to come back, to link, and to go on with a session that it opened.
    pub enabled: bool,
    /// People whom nobody has met may make an account by it.
    pub may_create_accounts: bool,
    /// An address that it vouches for needs no mailed code. Google alone may have this.
    pub email_counts: bool,
}

impl AuthenticationSettings {
    fn of(settings: &Settings, providers: &Providers) -> Self {
        let switches = |name: &ProviderName| {
            let ProviderSettings { enabled, may_create_accounts, email_counts } = settings.provider(name);
            ProviderSwitches { enabled, may_create_accounts, email_counts }
        };
        let now = settings.authentication.clone();
        Self {
            sign_up: now.sign_up,
            password_sign_in: now.password_sign_in,
            social_sign_on: now.social_sign_on,
            providers: providers.iter().map(|one| (one.name.to_string(), switches(&one.name))).collect(),
            password_min_length: now.password_min_length,
            session_idle_seconds: now.session_idle_seconds,
            session_absolute_seconds: now.session_absolute_seconds,
            allowed_domains: now.allowed_domains,
            blocked_domains: now.blocked_domains,
            unknown_requesters: now.unknown_requesters,
        }
    }

    fn read(self) -> Result<Authentication> {
        let mut providers = BTreeMap::new();
        let mut faults = Vec::new();
        for (name, switches) in self.providers {
            let ProviderSwitches { enabled, may_create_accounts, email_counts } = switches;
            match name.parse::<ProviderName>() {
                Ok(name) => {
                    providers.insert(name, ProviderSettings { enabled, may_create_accounts, email_counts });
                }
                Err(_) => {
                    let at = error::pointer("/providers", &name);
                    faults.push(Fault::new(at, "unknown", "No such provider is configured here."));
                }
            }
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        Ok(Authentication {
            sign_up: self.sign_up,
            password_sign_in: self.password_sign_in,
            social_sign_on: self.social_sign_on,
            providers,
            password_min_length: self.password_min_length,
            session_idle_seconds: self.session_idle_seconds,
            session_absolute_seconds: self.session_absolute_seconds,
            allowed_domains: self.allowed_domains,
            blocked_domains: self.blocked_domains,
            unknown_requesters: self.unknown_requesters,
        })
    }
}

/// Read Security > Authentication
#[utoipa::path(
    tag = "Admin", operation_id = "get_authentication_settings",
    params(("If-None-Match" = Option<String>, Header, description = "ETags that I have: what has one of them is not sent again")),
    responses(
        (status = 200, description = "The settings", body = AuthenticationSettings,
            headers(("ETag" = String, description = "Send it as If-Match with a change"))),
        (status = 304, description = "It is what `If-None-Match` names",
            headers(("ETag" = String, description = "Send it as If-Match with a change"))),
    ),
    extensions(("x-problems" = json!(["admin_required", "admin_password_required"]))),
)]
#[get("/v1/admin/settings/authentication")]
pub async fn get_authentication_settings(
    state: web::Data<State>,
    admin: Admin,
    known: IfNoneMatch,
) -> Result<HttpResponse, Problem> {
    let settings = admin.read(|work, _| settings::current(work)).await?;
    known.answer(&AuthenticationSettings::of(&settings, &state.providers.providers()))
}

/// Whether people may be left without a way in.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConfirmQuery {
    /// Do it although people are left without a way in: after 409 `people_left_out`, which says how many.
    pub confirm: Option<bool>,
}

/// Change Security > Authentication
///
/// All of it, with a fresh session, and with the `ETag` of what was read (`If-Match`). It holds on every instance at once:
/// what is turned off is off at every step, and sessions that it opened end at their next refresh. Where people who can
/// sign in now could not any more, that is said first (409 `people_left_out`), and done with `?confirm=true`. Whoever
/// changes it must be able to sign in afterwards (409 `admin_left_out`).
#[utoipa::path(
    tag = "Admin", operation_id = "put_authentication_settings",
    params(
        ConfirmQuery,
        ("If-Match" = String, Header, description = "The ETag that was read: change only that version"),
    ),
    request_body = AuthenticationSettings,
    responses((status = 200, description = "The settings as they are now", body = AuthenticationSettings,
        headers(("ETag" = String, description = "Send it as If-Match with the next change")))),
    extensions(("x-problems" = json!(["admin_required", "admin_password_required", "reauth_required", "precondition_required", "precondition_failed",
        "people_left_out", "admin_left_out"]))),
)]
#[put("/v1/admin/settings/authentication")]
pub async fn put_authentication_settings(
    state: web::Data<State>,
    admin: Admin,
    only: IfMatch,
    Query(query): Query<ConfirmQuery>,
    body: Body<AuthenticationSettings>,
) -> Result<HttpResponse, Problem> {
    // who may not gets one answer
    admin.read(|_, _| Ok(())).await?;
    let only = only.required()?;
    let new = body.value.read()?;
    if !query.confirm.unwrap_or(false) {
        let asked = new.clone();
        let people = admin.search(move |work, who| settings_change::left_out(work, who, &asked)).await?;
        if people > 0 {
            return Err(Problem { more: More::People(people), ..Problem::new(Code::PeopleLeftOut) });
        }
    }
    let providers = state.providers.providers();
    let changed = admin.write_by(move |work, claims| {
        let may = |now: &Settings| only.allows(|| Some(AuthenticationSettings::of(now, &providers)));
        settings_change::change(work, claims, &new, may)
    });
    tagged(StatusCode::OK, &AuthenticationSettings::of(&*changed.await?, &state.providers.providers()))
}
