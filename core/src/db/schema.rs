//! The tables as diesel sees them: one description for both databases, written after `migrations/`.

mod machines;

pub use machines::{api_keys, audit_events, idempotency_keys, outbox, throttles};

diesel::table! {
    use diesel::sql_types::{Binary, SmallInt};
    use crate::db::types::Moment;

    instance (id) {
        id -> SmallInt,
        secret_check -> Binary,
        created_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, SmallInt};
    use crate::db::types::{Doc, Moment};

    settings (id) {
        id -> SmallInt,
        version -> BigInt,
        authentication -> Doc,
        updated_at -> Moment,
        custom_fields_version -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Nullable, Text};
    use crate::db::types::{Doc, Moment};

    signing_keys (kid) {
        kid -> Text,
        algorithm -> Text,
        sealed_private -> Binary,
        public_jwk -> Doc,
        created_at -> Moment,
        signs_from -> Moment,
        verifies_until -> Nullable<Moment>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use crate::db::types::{Doc, Moment, Uid};

    accounts (id) {
        id -> Uid,
        state -> Text,
        role -> Text,
        security_epoch -> BigInt,
        version -> BigInt,
        full_name -> Nullable<Text>,
        locale -> Nullable<Text>,
        time_zone -> Nullable<Text>,
        phone -> Nullable<Text>,
        avatar_url -> Nullable<Text>,
        custom -> Doc,
        notifications -> Doc,
        merged_into -> Nullable<Uid>,
        created_at -> Moment,
        updated_at -> Moment,
        claimed_at -> Nullable<Moment>,
        epoch_began_at -> Nullable<Moment>,
        disabled_at -> Nullable<Moment>,
    }
}

diesel::table! {
    use diesel::sql_types::{Nullable, Text};
    use crate::db::types::{Doc, Moment, Uid};

    custom_fields (id) {
        id -> Uid,
        key -> Text,
        title -> Text,
        kind -> Text,
        choices -> Doc,
        visible_to -> Text,
        created_at -> Moment,
        updated_at -> Moment,
        deleted_at -> Nullable<Moment>,
        erased_to -> Nullable<Uid>,
    }
}

diesel::table! {
    use diesel::sql_types::{Bool, Nullable, Text};
    use crate::db::types::{Moment, Uid};

    identities (id) {
        id -> Uid,
        account_id -> Uid,
        kind -> Text,
        namespace -> Text,
        subject -> Text,
        label -> Nullable<Text>,
        name -> Nullable<Text>,
        is_primary -> Bool,
        observed_at -> Moment,
        last_seen_at -> Moment,
        owned_since -> Nullable<Moment>,
    }
}

diesel::table! {
    use diesel::sql_types::{Nullable, Text};
    use crate::db::types::{Moment, Uid};

    proofs (id) {
        id -> Uid,
        identity_id -> Uid,
        account_id -> Uid,
        method -> Text,
        challenge_id -> Nullable<Uid>,
        flow_id -> Nullable<Uid>,
        proven_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::{Text};
    use crate::db::types::{Moment, Uid};

    credentials (id) {
        id -> Uid,
        account_id -> Uid,
        kind -> Text,
        secret_hash -> Text,
        created_at -> Moment,
        updated_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Bool, Nullable, Text};
    use crate::db::types::{Moment, Uid};

    sessions (id) {
        id -> Uid,
        account_id -> Uid,
        epoch -> BigInt,
        method -> Text,
        identity_id -> Nullable<Uid>,
        device_id -> Uid,
        counter -> BigInt,
        created_at -> Moment,
        authenticated_at -> Moment,
        rotated_at -> Moment,
        ended_at -> Nullable<Moment>,
        end_reason -> Nullable<Text>,
        device -> Nullable<Text>,
        network -> Nullable<Text>,
        device_knows -> Bool,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Nullable, Text};
    use crate::db::types::{Doc, Moment, Uid};

    challenges (id) {
        id -> Uid,
        purpose -> Text,
        address -> Text,
        state -> Text,
        account_id -> Nullable<Uid>,
        session_id -> Nullable<Uid>,
        flow_id -> Nullable<Uid>,
        epoch -> Nullable<BigInt>,
        token_hash -> Nullable<Binary>,
        code_mac -> Binary,
        code_tries -> BigInt,
        code_expires_at -> Moment,
        expires_at -> Moment,
        detail -> Doc,
        created_at -> Moment,
        ended_at -> Nullable<Moment>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Nullable, Text};
    use crate::db::types::{Moment, Uid};

    social_flows (id) {
        id -> Uid,
        provider -> Text,
        purpose -> Text,
        state -> Text,
        session_id -> Nullable<Uid>,
        account_id -> Nullable<Uid>,
        epoch -> Nullable<BigInt>,
        redirect_uri -> Nullable<Text>,
        app_challenge -> Nullable<Text>,
        sealed -> Nullable<Binary>,
        code_expires_at -> Nullable<Moment>,
        expires_at -> Moment,
        created_at -> Moment,
        ended_at -> Nullable<Moment>,
    }
}

diesel::table! {
    use diesel::sql_types::{Nullable, SmallInt, Text};
    use crate::db::types::{Moment, Uid};

    conversations (id) {
        id -> Uid,
        account_id -> Uid,
        requester_id -> Nullable<Uid>,
        started_by -> Nullable<Uid>,
        channel -> Text,
        source -> Nullable<Text>,
        external_id -> Nullable<Text>,
        follow_up_of -> Nullable<Uid>,
        subject -> Text,
        status -> Text,
        created_at -> Moment,
        updated_at -> Moment,
        shown_at -> Nullable<Moment>,
        rating_offered_at -> Nullable<Moment>,
        rating_score -> Nullable<SmallInt>,
        rating_comment -> Nullable<Text>,
        rated_at -> Nullable<Moment>,
    }
}

diesel::table! {
    use diesel::sql_types::{Nullable, Text};
    use crate::db::types::{Doc, Moment, Uid};

    messages (id) {
        id -> Uid,
        conversation_id -> Uid,
        author -> Text,
        visibility -> Text,
        author_account_id -> Nullable<Uid>,
        author_identity_id -> Nullable<Uid>,
        author_name -> Nullable<Text>,
        body_text -> Text,
        body_html -> Nullable<Text>,
        shown_html -> Nullable<Text>,
        dmarc -> Nullable<Text>,
        attachments -> Doc,
        sent_at -> Moment,
        created_at -> Moment,
        released_at -> Nullable<Moment>,
    }
}

diesel::table! {
    use crate::db::types::{Moment, Uid};

    read_marks (account_id, conversation_id) {
        account_id -> Uid,
        conversation_id -> Uid,
        read_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::{Text};
    use crate::db::types::{Doc, Moment, Uid};

    interactions (id) {
        id -> Uid,
        source -> Text,
        external_id -> Text,
        channel -> Text,
        direction -> Text,
        outcome -> Text,
        account_id -> Uid,
        conversation_id -> Uid,
        message_id -> Uid,
        detail -> Doc,
        created_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::{Nullable, Text};
    use crate::db::types::{Moment, Uid};

    merge_suggestions (id) {
        id -> Uid,
        account_id -> Uid,
        other_id -> Uid,
        reason -> Text,
        created_at -> Moment,
        resolved_at -> Nullable<Moment>,
    }
}

diesel::table! {
    use diesel::sql_types::{Nullable};
    use crate::db::types::{Moment, Uid};

    reading_grants (id) {
        id -> Uid,
        account_id -> Uid,
        identity_id -> Uid,
        granted_by -> Uid,
        created_at -> Moment,
        ended_at -> Nullable<Moment>,
    }
}

diesel::joinable!(sessions -> accounts (account_id));
diesel::joinable!(messages -> conversations (conversation_id));
diesel::joinable!(proofs -> identities (identity_id));

diesel::allow_tables_to_appear_in_same_query!(
    instance,
    settings,
    signing_keys,
    accounts,
    custom_fields,
    identities,
    proofs,
    credentials,
    sessions,
    challenges,
    social_flows,
    conversations,
    messages,
    read_marks,
    interactions,
    merge_suggestions,
    reading_grants,
    api_keys,
    audit_events,
    outbox,
    throttles,
    idempotency_keys,
);
