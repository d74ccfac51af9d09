//! The kinds of problems: a word for each that never changes, its status, and what a caller can do about it.

use actix_web::http::StatusCode;

macro_rules! problems {
    ($($code:ident = $word:literal, $status:literal, $title:literal, $cure:literal;)*) => {
        /// What can go wrong, one word each. The words never change; new ones may come.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($code),* }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$code),*];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $word),* }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$code => $status),* }
            }

            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$code => $title),* }
            }

            /// What a caller can do about it.
            #[must_use]
            pub const fn cure(self) -> &'static str {
                match self { $(Self::$code => $cure),* }
            }
        }
    };
}

problems! {
    MalformedJson = "malformed_json", 400, "The body is not the JSON it should be",
        "Send one JSON object with the fields of the documentation; unknown and repeated fields are refused.";
    MalformedRequest = "malformed_request", 400, "The request is not well formed",
        "Send well-formed HTTP; a request target and headers have bounds.";
    Unauthorized = "unauthorized", 401, "This needs a valid credential",
        "Send Authorization: Bearer with an access token (or an API key, where the operation takes one). Refresh the session or sign in again.";
    InvalidCredentials = "invalid_credentials", 401, "The address or the password is wrong",
        "Ask for both again, and offer forgot password. The answer is the same whether or not the address has an account.";
    SessionEnded = "session_ended", 401, "The session has ended",
        "Sign in again. The refresh token is none of ours, too old, or was used twice, or its session was ended.";
    ProviderRefused = "provider_refused", 401, "The provider did not confirm the sign-in",
        "Begin a new flow. What the provider gave is not good, or was made for somebody else; the detail says more. It says nothing of your own access token: do not refresh.";
    OriginNotAllowed = "origin_not_allowed", 403, "This web origin may not call from a browser",
        "Add the origin to server.cors_origins, exactly as browsers send it; there, Authorization, Content-Type, Idempotency-Key, If-Match and If-None-Match may be sent.";
    InsufficientScope = "insufficient_scope", 403, "The API key may not do this",
        "Use a key with the scope that the detail names.";
    MethodDisabled = "method_disabled", 403, "This way to sign in is turned off",
        "Read GET /v1/sign-in-options and show only what it offers.";
    AdminRequired = "admin_required", 403, "This takes an admin",
        "Sign in with an account that has the role admin: an operator invites one by doorstep admin create.";
    AdminPasswordRequired = "admin_password_required", 403, "An admin needs a password of today's length",
        "Choose one by forgot password, as long as the settings ask for. An admin without one changes nothing here.";
    ReauthRequired = "reauth_required", 403, "This takes a fresh session",
        "Make it fresh with POST /v1/me/reauthenticate, by one of methods, or let the person sign in again, and do it within 10 minutes. A refresh does not make a session fresh.";
    AccountClosed = "account_closed", 403, "The account is closed",
        "Nobody can sign in to it, by any way. Support can say why.";
    NotFound = "not_found", 404, "There is nothing here",
        "Check the path and the id. What belongs to somebody else is answered like this too.";
    SecretNotFound = "secret_not_found", 404, "The link or code is not right",
        "Let the person check the code or the link, and offer a new mail. A code is answered like this when it is wrong, was used, was replaced by a newer mail, is older than ten minutes, or was spent by five wrong ones. The mail's link lasts longer, and wrong codes do not spend it.";
    FlowNotFound = "flow_not_found", 404, "This sign-in is not known",
        "Begin a new flow. A code is good with the verifier of its own flow alone; linking, and making a session fresh, with the session that began it.";
    MethodNotAllowed = "method_not_allowed", 405, "The resource has no such method",
        "Use one of the methods in the Allow header.";
    RequestTimeout = "request_timeout", 408, "The request took too long to arrive",
        "Send the whole body within 15 seconds.";
    LinkRequired = "link_required", 409, "Sign in by the way you have, then link",
        "An account has the provider's address already. Let the person sign in to it by the way they have (forgot password gives them one), and link the provider on their profile.";
    IdentityTaken = "identity_taken", 409, "It belongs to another account",
        "It stays where it is. Whoever has both accounts can sign in to the other and merge the two.";
    NotLinked = "not_linked", 409, "It is none of the account's",
        "Let the person sign in at the provider with what is linked to the account: GET /v1/me/identities.";
    AddressNeeded = "address_needed", 409, "This needs an address that was proven",
        "Let the person prove an email address first.";
    AddressStays = "address_stays", 409, "An address is not unlinked",
        "Remove it with DELETE /v1/me/emails/{id}: the address is told, and may undo it for 72 hours.";
    PrimaryStays = "primary_stays", 409, "The primary address stays while there are others",
        "Make another address the primary one first.";
    TooManyAddresses = "too_many_addresses", 409, "The account has as many addresses as it may",
        "Remove an address, or give up one that is still to be proven.";
    TooManyCustomFields = "too_many_custom_fields", 409, "There are as many custom fields as there may be",
        "Delete one first: there are 50 at most.";
    LastAdmin = "last_admin", 409, "It is the last admin's account",
        "Let an operator invite another admin first, and let them sign in.";
    AdminLeftOut = "admin_left_out", 409, "You could not sign in any more",
        "Leave a method on by which your own account is signed in to, or link one that stays.";
    PeopleLeftOut = "people_left_out", 409, "People would be left without a way in",
        "people says how many have no other way to sign in, and 1000 where there are more. Do it anyway with ?confirm=true.";
    LastWayIn = "last_way_in", 409, "It is the last way in",
        "Link another provider or prove an address first, so that the account can still be signed in to.";
    MergeRefused = "merge_refused", 409, "These accounts cannot become one",
        "The detail says why.";
    AddressTooNew = "address_too_new", 409, "The account's addresses came within 72 hours",
        "Wait until 72 hours have passed since the first came: whoever has copied a token may have added it.";
    RatingNotOffered = "rating_not_offered", 409, "There is nothing to rate",
        "Support has not asked what its customer thinks of this conversation, or asks no more.";
    SecretExpired = "secret_expired", 410, "The link was used, replaced, or is too old",
        "Offer a new mail, where one can be asked for. A right code is answered like this only where what it was mailed for has become impossible since.";
    AccountMerged = "account_merged", 410, "The account has become part of another",
        "Go on with that one: survivor_id is its id, and the Link header leads to it.";
    AccountDeleted = "account_deleted", 410, "The account was deleted",
        "Its owner has deleted it. Forget what you keep of it.";
    FlowExpired = "flow_expired", 410, "The flow was finished, given up, or is too old",
        "Begin a new flow.";
    PreconditionFailed = "precondition_failed", 412, "It has changed since it was read",
        "Read it again, and repeat the change with the new ETag.";
    PreconditionRequired = "precondition_required", 428, "Say which version you have read",
        "Read it, and send its ETag as If-Match: what is replaced as a whole is not replaced unseen.";
    PayloadTooLarge = "payload_too_large", 413, "The body is too large",
        "Send less; the detail says how much this operation takes.";
    UnsupportedMediaType = "unsupported_media_type", 415, "The body is of another type",
        "Send Content-Type: application/json.";
    ValidationFailed = "validation_failed", 422, "Some fields are not valid",
        "Each entry of errors points to a field and says what is wrong with it.";
    NativeNotSupported = "native_not_supported", 422, "The provider's tokens cannot be taken",
        "Begin a flow with redirect_uri, in a browser.";
    WeakPassword = "weak_password", 422, "The password is refused",
        "Each entry of errors gives a reason. Nothing was changed, and a mailed link or code is still good.";
    IdempotencyKeyReused = "idempotency_key_reused", 422, "The idempotency key came with another request",
        "Use a new key for a new request; repeat a request with the very same body.";
    TooManyRequests = "too_many_requests", 429, "Too many attempts",
        "Wait for as many seconds as Retry-After says.";
    InternalError = "internal_error", 500, "Something broke on our side",
        "Try again later, and tell the operator the request_id.";
    ProviderFailed = "provider_failed", 502, "The provider cannot be reached, or answers nonsense",
        "Begin a new flow later, or offer another way to sign in.";
    Overloaded = "overloaded", 503, "Too much is going on at the moment",
        "Try again after as many seconds as Retry-After says.";
    Unavailable = "unavailable", 503, "A part of the service is away",
        "Try again after as many seconds as Retry-After says.";
    ProviderBusy = "provider_busy", 503, "The provider is left alone for a moment",
        "It has failed several times. Begin a new flow after as many seconds as Retry-After says, or offer another way to sign in.";
    ProviderTimeout = "provider_timeout", 504, "The provider took too long",
        "Begin a new flow later, or offer another way to sign in.";
}

impl Code {
    /// The last part of the problem's `type`.
    #[must_use]
    pub fn slug(self) -> String {
        self.as_str().replace('_', "-")
    }

    #[must_use]
    pub fn http_status(self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
