//! The tables of machines: their keys, the trail of what was done, what is to leave the house, and limits.

diesel::table! {
    use diesel::sql_types::{Binary, Nullable, Text};
    use crate::db::types::{Doc, Moment, Uid};

    api_keys (id) {
        id -> Uid,
        name -> Text,
        secret_hash -> Binary,
        scopes -> Doc,
        created_at -> Moment,
        expires_at -> Nullable<Moment>,
        revoked_at -> Nullable<Moment>,
    }
}

diesel::table! {
    use diesel::sql_types::{Nullable, Text};
    use crate::db::types::{Doc, Moment, Uid};

    audit_events (id) {
        id -> Uid,
        action -> Text,
        actor -> Text,
        actor_id -> Nullable<Uid>,
        account_id -> Nullable<Uid>,
        request_id -> Nullable<Text>,
        address -> Nullable<Text>,
        detail -> Doc,
        created_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Nullable, Text};
    use crate::db::types::{Moment, Uid};

    outbox (id) {
        id -> Uid,
        kind -> Text,
        topic -> Text,
        state -> Text,
        account_id -> Nullable<Uid>,
        challenge_id -> Nullable<Uid>,
        sealed_payload -> Nullable<Binary>,
        attempts -> BigInt,
        due_at -> Moment,
        expires_at -> Moment,
        last_error -> Nullable<Text>,
        created_at -> Moment,
        finished_at -> Nullable<Moment>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary};
    use crate::db::types::Moment;

    throttles (key) {
        key -> Binary,
        failures -> BigInt,
        next_at -> Moment,
        updated_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Text};
    use crate::db::types::{Moment, Uid};

    idempotency_keys (caller, route, key) {
        caller -> Text,
        route -> Text,
        key -> Text,
        fingerprint -> Binary,
        result_id -> Uid,
        created_at -> Moment,
    }
}
