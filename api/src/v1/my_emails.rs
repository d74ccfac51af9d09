//! My emails: the addresses of the signed-in customer. Changing them takes a fresh session (rules 12 and 13).

use actix_web::{HttpResponse, delete, get, post};
use doorstep_core::adding_email::{self, Shown, Wanted};
use doorstep_core::clock::Timestamp;
use doorstep_core::own_emails::{self, OwnEmail, OwnEmailState};
use doorstep_core::page::Page;
use doorstep_core::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{pages, secrets};
use crate::caller::{Customer, FreshCustomer};
use crate::extract::{Body, Id, Idempotency};
use crate::problem::Problem;
use crate::words::EmailState;

/// One of my addresses.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyEmail, example = json!({
    "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b12", "email": "ada@example.org", "label": "Ada@Example.org",
    "state": "proven", "is_primary": true, "proven_at": "2026-01-02T03:14:05Z", "usable": true, "last_way_in": false,
    "expires_at": null, "asked_here": null
}))]
pub struct EmailBody {
    /// That of a pending address stays however often it is mailed, and is another once it is proven.
    pub id: Uuid,
    pub email: String,
    /// As it was first written, to be shown.
    pub label: String,
    #[schema(value_type = EmailState)]
    pub state: &'static str,
    pub is_primary: bool,
    /// Null while it is pending.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub proven_at: Option<Timestamp>,
    /// Forgot password works with it now.
    pub usable: bool,
    /// It cannot be removed: nothing that may be used now would be left.
    pub last_way_in: bool,
    /// Until when a pending address is here; the link of its last mail is good no longer than that. Null once it is proven.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// This session asked for it, and is the one that can prove it. Null once it is proven.
    pub asked_here: Option<bool>,
}

impl From<OwnEmail> for EmailBody {
    fn from(email: OwnEmail) -> Self {
        let body = Self {
            id: email.id,
            email: email.address.to_string(),
            label: email.label,
            state: "pending",
            is_primary: false,
            proven_at: None,
            usable: false,
            last_way_in: false,
            expires_at: None,
            asked_here: None,
        };
        match email.state {
            OwnEmailState::Proven { at, primary, usable, last_way_in } => {
                Self { state: "proven", is_primary: primary, proven_at: Some(at), usable, last_way_in, ..body }
            }
            OwnEmailState::Pending { expires_at, asked_here } => {
                Self { expires_at: Some(expires_at), asked_here: Some(asked_here), ..body }
            }
        }
    }
}

pages! {
    /// My addresses, the primary one first; all of them stand on one page.
    MyEmailPage of EmailBody;
}

/// List my addresses
///
/// Those that were proven, and those that are pending: asked for and still to be proven, for half an hour each.
#[utoipa::path(
    tag = "My emails", operation_id = "list_my_emails",
    responses((status = 200, description = "My addresses", body = MyEmailPage)),
)]
#[get("/v1/me/emails")]
pub async fn list_my_emails(customer: Customer) -> Result<HttpResponse, Problem> {
    let items = customer.read(own_emails::list).await?;
    Ok(HttpResponse::Ok().json(MyEmailPage::from(Page { items, next: None })))
}

/// An address to be added.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@lovelace.example"}))]
pub struct NewEmail {
    pub email: String,
    /// The id of a pending address that this one takes the place of: it was mistyped.
    #[schema(nullable = false)]
    pub replaces: Option<Uuid>,
}

/// Add an address
///
/// Takes a fresh session. Mails the address a link and a code; whichever is shown first, by this very session, adds it
/// (verify). Until then it is nobody's, and nothing is said of who else has it: an address of another account gets a
/// notice, and its owner alone can bring the two together (merge). Asked again, an older mail is void once the next one is
/// out. The link leads to the app's page (`[links] email`) and ends in `#id=…&token=…`, with the pending address's id; it is
/// good for 30 minutes, its code for 10 minutes and five tries.
///
/// An address gets 3 mails at once and then one an hour, and a caller may ask for 20 an hour. Beyond that the answer is
/// the same and no mail is sent: let a button to send it again wait. An account has 20 addresses at most.
#[utoipa::path(
    tag = "My emails", operation_id = "add_my_email",
    params(("Idempotency-Key" = Option<String>, Header, description = "Sent again with the same body, it mails nothing new",
        min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body = NewEmail,
    responses(
        (status = 202, description = "A mail is on its way, if there is one to send", body = EmailBody, example = json!({
            "id": "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b40", "email": "ada@lovelace.example",
            "label": "ada@lovelace.example", "state": "pending", "is_primary": false, "proven_at": null,
            "usable": false, "last_way_in": false, "expires_at": "2026-01-02T03:34:05Z", "asked_here": true})),
        (status = 200, description = "It was mine already", body = EmailBody),
    ),
    extensions(("x-problems" = json!(["reauth_required", "not_found", "too_many_addresses",
        "idempotency_key_reused"]))),
)]
#[post("/v1/me/emails")]
pub async fn add_my_email(
    customer: FreshCustomer,
    idempotency: Idempotency,
    body: Body<NewEmail>,
) -> Result<HttpResponse, Problem> {
    let key = idempotency.key(customer.name(), "add_my_email", body.fingerprint);
    let NewEmail { email, replaces } = body.value;
    let wanted = Wanted { address: secrets::address(&email)?, spelling: email.trim().to_owned(), replaces };
    let added = customer.write_by(move |work, claims| adding_email::ask(work, claims, &wanted, key.as_ref())).await?;
    Ok(answer(added))
}

/// 202 while something is still to come.
fn answer(email: OwnEmail) -> HttpResponse {
    let mut response = match email.state {
        OwnEmailState::Pending { .. } => HttpResponse::Accepted(),
        OwnEmailState::Proven { .. } => HttpResponse::Ok(),
    };
    response.json(EmailBody::from(email))
}

/// Presents what was mailed to the address.
///
/// Exactly one of `token` and `code`: `{"token": "…"}` or `{"code": "ABCD-EFGH"}`.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "ABCD-EFGH"}))]
pub struct EmailVerification {
    /// What stands behind `token=` in the mail's link, `…#id=…&token=…`; `id` is that of the pending address. It is good for
    /// 30 minutes.
    #[schema(nullable = false)]
    pub token: Option<String>,
    /// The mail's code, in any case, with or without its dash. It is good for 10 minutes and five tries.
    #[schema(nullable = false)]
    pub code: Option<String>,
}

/// Prove an address
///
/// By the very session that asked for it, still fresh: a link that is opened elsewhere proves nothing, and its code can
/// be typed here. The address is mine from now on, with the conversations that came by it, under another id. Every
/// address that was mine before is told, and may undo it for 72 hours. What was mailed is void once the
/// address has become another account's.
#[utoipa::path(
    tag = "My emails", operation_id = "verify_my_email",
    params(("email" = Uuid, Path, description = "The pending address's id")),
    request_body = EmailVerification,
    responses((status = 200, description = "It is mine", body = EmailBody)),
    extensions(("x-problems" = json!(["reauth_required", "not_found", "secret_not_found", "secret_expired",
        "too_many_requests"]))),
)]
#[post("/v1/me/emails/{email}/verify")]
pub async fn verify_my_email(
    customer: FreshCustomer,
    id: Id<Uuid>,
    body: Body<EmailVerification>,
) -> Result<HttpResponse, Problem> {
    let shown = match (body.value.token, body.value.code) {
        (Some(token), None) => Shown::Token(token),
        (None, Some(code)) => Shown::Code(code),
        _ => return Err(Error::invalid("", "token_or_code", "Send either token or code.").into()),
    };
    let id = id.0;
    let proven = customer.write_by(move |work, claims| adding_email::prove(work, claims, id, &shown)).await?;
    Ok(HttpResponse::Ok().json(EmailBody::from(proven)))
}

/// Mail a pending address again
///
/// Takes a fresh session, which can prove it from now on. What was mailed to it before is void once the next mail is out.
/// Beyond the limits (see add) the answer is the same, nothing is mailed, and the last mail stays good until it is too old.
#[utoipa::path(
    tag = "My emails", operation_id = "resend_my_email",
    params(("email" = Uuid, Path, description = "The pending address's id")),
    responses((status = 202, description = "A mail is on its way, if there is one to send", body = EmailBody)),
    extensions(("x-problems" = json!(["reauth_required", "not_found"]))),
)]
#[post("/v1/me/emails/{email}/resend")]
pub async fn resend_my_email(customer: FreshCustomer, id: Id<Uuid>) -> Result<HttpResponse, Problem> {
    let id = id.0;
    customer.write_by(move |work, claims| adding_email::ask_again(work, claims, id)).await.map(answer)
}

/// Make an address the primary one
///
/// Takes a fresh session, and an address that was proven. The primary address is the one that support sees and writes
/// to. Every proven address is told, and the one that was primary may undo it for 72 hours.
#[utoipa::path(
    tag = "My emails", operation_id = "make_my_email_primary",
    params(("email" = Uuid, Path, description = "The address's id")),
    responses((status = 200, description = "It is the primary one", body = EmailBody)),
    extensions(("x-problems" = json!(["reauth_required", "not_found", "too_many_requests"]))),
)]
#[post("/v1/me/emails/{email}/make-primary")]
pub async fn make_my_email_primary(customer: FreshCustomer, id: Id<Uuid>) -> Result<HttpResponse, Problem> {
    let id = id.0;
    let primary = customer.write_by(move |work, claims| own_emails::make_primary(work, claims, id)).await?;
    Ok(HttpResponse::Ok().json(EmailBody::from(primary)))
}

/// Remove an address
///
/// Takes a fresh session. A pending one is given up. A proven one is nobody's then; history that came by it stays. It is
/// told, and may undo it for 72 hours. The primary one stays while there are others (409 `primary_stays`), and so does
/// the last way in that may be used now (409 `last_way_in`). With the last address the password goes: there would be
/// nothing left to type beside it.
#[utoipa::path(
    tag = "My emails", operation_id = "remove_my_email",
    params(("email" = Uuid, Path, description = "The address's id")),
    responses((status = 204, description = "Removed")),
    extensions(("x-problems" = json!(["reauth_required", "not_found", "primary_stays", "last_way_in",
        "too_many_requests"]))),
)]
#[delete("/v1/me/emails/{email}")]
pub async fn remove_my_email(customer: FreshCustomer, id: Id<Uuid>) -> Result<HttpResponse, Problem> {
    let id = id.0;
    customer.write_by(move |work, claims| own_emails::remove(work, claims, id)).await?;
    Ok(HttpResponse::NoContent().finish())
}
