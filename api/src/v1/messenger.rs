//! The messenger widget's history, claimed by what the desk's server has signed.

use actix_web::{HttpResponse, post, web};
use doorstep_core::Error;
use doorstep_core::identity::{IdentityKey, NotAnIdentity};
use doorstep_core::messenger::{self, Identify};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;
use validator::Validate;

use super::identities::IdentityBody;
use crate::caller::FreshCustomer;
use crate::extract::Body;
use crate::problem::Problem;
use crate::state::State;

/// What the desk's server says of a device.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "device_id": "5f0c8d1e-3b1a", "timestamp": 1_767_323_045,
    "signature": "1f7a9e0d5c3b8a64f2e1d0c9b8a7968574635241302f1e0d1c2b3a4958677685"
}))]
pub struct MessengerIdentify {
    /// The widget's id of the browser or app, as it was pushed.
    #[schema(min_length = 8, max_length = 128)]
    pub device_id: String,
    /// When it was signed: seconds since 1970. It is good for five minutes.
    pub timestamp: i64,
    /// HMAC-SHA256 with the messenger's secret, in hexadecimal, of `doorstep-messenger-v1:{timestamp}:{account id}:{device_id}`.
    #[schema(min_length = 64, max_length = 64)]
    pub signature: String,
}

/// Claim what I said in the messenger
///
/// With a fresh session, and what the help desk's server has signed: that this device is this account's. The identity is mine
/// from then on, with the conversations that came by it; every proven address is told. What another account owns stays
/// there (409 `identity_taken`). While it is linked the same again answers the same; once it was unlinked, that takes
/// a new signature.
#[utoipa::path(
    tag = "Identities", operation_id = "identify_messenger",
    request_body = MessengerIdentify,
    responses((status = 200, description = "It is linked", body = IdentityBody)),
    extensions(("x-problems" = json!(["reauth_required", "identity_taken", "not_found"]))),
)]
#[post("/v1/me/identities/messenger")]
pub async fn identify_messenger(
    state: web::Data<State>,
    customer: FreshCustomer,
    body: Body<MessengerIdentify>,
) -> Result<HttpResponse, Problem> {
    let secrets = Arc::clone(&state.messenger);
    if secrets.is_empty() {
        return Err(Error::NotFound("messenger").into());
    }
    let MessengerIdentify { device_id, timestamp, signature } = body.value;
    let device = IdentityKey::messenger(&device_id)
        .map_err(|NotAnIdentity(why)| Error::invalid("/device_id", "invalid", why))?;
    let said = Identify { device, timestamp, signature };
    let linked = customer.write_by(move |work, claims| messenger::identify(work, claims, &secrets, &said)).await?;
    Ok(HttpResponse::Ok().json(IdentityBody::from(linked)))
}
