-- The whole house: every identity kind and every road has its room from the first migration on.
-- Twin of migrations/sqlite; text is COLLATE "C" so that both databases order by bytes.

CREATE TABLE instance (
    id              smallint PRIMARY KEY CHECK (id = 1),
    secret_check    bytea NOT NULL,
    created_at      timestamptz NOT NULL
);

CREATE TABLE settings (
    id              smallint PRIMARY KEY CHECK (id = 1),
    version         bigint NOT NULL,
    authentication  jsonb NOT NULL,
    updated_at      timestamptz NOT NULL
);

CREATE TABLE signing_keys (
    kid             text COLLATE "C" PRIMARY KEY,
    algorithm       text COLLATE "C" NOT NULL,
    sealed_private  bytea NOT NULL,
    public_jwk      jsonb NOT NULL,
    created_at      timestamptz NOT NULL,
    signs_from      timestamptz NOT NULL,
    verifies_until  timestamptz
);

CREATE TABLE accounts (
    id              uuid PRIMARY KEY,
    state           text COLLATE "C" NOT NULL CHECK (state IN ('unclaimed', 'claimed', 'disabled', 'merged', 'deleted')),
    role            text COLLATE "C" NOT NULL CHECK (role IN ('customer', 'admin')),
    security_epoch  bigint NOT NULL,
    version         bigint NOT NULL,
    full_name       text COLLATE "C",
    locale          text COLLATE "C",
    time_zone       text COLLATE "C",
    phone           text COLLATE "C",
    avatar_url      text COLLATE "C",
    custom          jsonb NOT NULL,
    notifications   jsonb NOT NULL,
    merged_into     uuid REFERENCES accounts (id),
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    claimed_at      timestamptz,
    disabled_at     timestamptz,
    CHECK ((state = 'merged') = (merged_into IS NOT NULL)),
    CHECK (state <> 'claimed' OR claimed_at IS NOT NULL),
    CHECK (state <> 'unclaimed' OR (role = 'customer' AND claimed_at IS NULL))
);

CREATE TABLE identities (
    id              uuid PRIMARY KEY,
    account_id      uuid NOT NULL REFERENCES accounts (id),
    kind            text COLLATE "C" NOT NULL CHECK (kind IN ('email', 'google', 'facebook', 'twitter', 'facebook_page', 'messenger', 'oidc', 'phone', 'external')),
    namespace       text COLLATE "C" NOT NULL,
    subject         text COLLATE "C" NOT NULL CHECK (subject <> ''),
    label           text COLLATE "C",
    name            text COLLATE "C",
    is_primary      boolean NOT NULL,
    observed_at     timestamptz NOT NULL,
    last_seen_at    timestamptz NOT NULL,
    UNIQUE (kind, namespace, subject)
);
CREATE INDEX identities_by_account ON identities (account_id);
CREATE UNIQUE INDEX identities_one_primary ON identities (account_id) WHERE is_primary;

CREATE TABLE proofs (
    id              uuid PRIMARY KEY,
    identity_id     uuid NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
    account_id      uuid NOT NULL REFERENCES accounts (id),
    method          text COLLATE "C" NOT NULL CHECK (method IN ('mailed_link', 'mailed_code', 'provider', 'signature')),
    challenge_id    uuid,
    proven_at       timestamptz NOT NULL
);
CREATE INDEX proofs_by_identity ON proofs (identity_id);
CREATE INDEX proofs_by_account ON proofs (account_id);

CREATE TABLE credentials (
    id              uuid PRIMARY KEY,
    account_id      uuid NOT NULL REFERENCES accounts (id),
    kind            text COLLATE "C" NOT NULL CHECK (kind IN ('password', 'passkey', 'totp')),
    secret_hash     text COLLATE "C" NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE INDEX credentials_by_account ON credentials (account_id);
CREATE UNIQUE INDEX credentials_one_password ON credentials (account_id) WHERE kind = 'password';

CREATE TABLE sessions (
    id              uuid PRIMARY KEY,
    account_id      uuid NOT NULL REFERENCES accounts (id),
    epoch           bigint NOT NULL,
    method          text COLLATE "C" NOT NULL,
    identity_id     uuid REFERENCES identities (id) ON DELETE SET NULL,
    device_id       uuid NOT NULL,
    counter         bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    authenticated_at timestamptz NOT NULL,
    rotated_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    end_reason      text COLLATE "C",
    user_agent      text COLLATE "C",
    address         text COLLATE "C",
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);
CREATE INDEX sessions_live_by_account ON sessions (account_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_by_identity ON sessions (identity_id);

CREATE TABLE challenges (
    id              uuid PRIMARY KEY,
    purpose         text COLLATE "C" NOT NULL,
    address         text COLLATE "C" NOT NULL,
    state           text COLLATE "C" NOT NULL CHECK (state IN ('live', 'spent', 'void')),
    account_id      uuid REFERENCES accounts (id),
    session_id      uuid REFERENCES sessions (id),
    flow_id         uuid,
    epoch           bigint,
    token_hash      bytea UNIQUE,
    code_mac        bytea NOT NULL,
    code_tries      bigint NOT NULL,
    code_expires_at timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    detail          jsonb NOT NULL,
    created_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    CHECK ((state = 'live') = (ended_at IS NULL))
);
CREATE INDEX challenges_live_by_address ON challenges (address, purpose) WHERE state = 'live';
CREATE INDEX challenges_live_by_account ON challenges (account_id) WHERE state = 'live';
CREATE INDEX challenges_by_session ON challenges (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX challenges_by_expiry ON challenges (expires_at);

CREATE TABLE social_flows (
    id              uuid PRIMARY KEY,
    provider        text COLLATE "C" NOT NULL,
    purpose         text COLLATE "C" NOT NULL CHECK (purpose IN ('sign_in', 'link', 'reauthenticate')),
    state           text COLLATE "C" NOT NULL CHECK (state IN ('started', 'returned', 'spent', 'void')),
    session_id      uuid REFERENCES sessions (id),
    account_id      uuid REFERENCES accounts (id),
    epoch           bigint,
    redirect_uri    text COLLATE "C",
    app_challenge   text COLLATE "C",
    state_hash      bytea UNIQUE,
    nonce           text COLLATE "C",
    sealed          bytea,
    code_hash       bytea UNIQUE,
    continuation_hash bytea UNIQUE,
    code_expires_at timestamptz,
    expires_at      timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    ended_at        timestamptz
);
CREATE INDEX social_flows_by_account ON social_flows (account_id);
CREATE INDEX social_flows_by_session ON social_flows (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX social_flows_by_expiry ON social_flows (expires_at);

CREATE TABLE conversations (
    id              uuid PRIMARY KEY,
    account_id      uuid NOT NULL REFERENCES accounts (id),
    requester_id    uuid REFERENCES identities (id) ON DELETE SET NULL,
    started_by      uuid REFERENCES accounts (id),
    channel         text COLLATE "C" NOT NULL,
    source          text COLLATE "C",
    external_id     text COLLATE "C",
    follow_up_of    uuid REFERENCES conversations (id),
    subject         text COLLATE "C" NOT NULL,
    status          text COLLATE "C" NOT NULL CHECK (status IN ('open', 'pending', 'solved', 'closed')),
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    shown_at        timestamptz,
    UNIQUE (source, external_id)
);
CREATE INDEX conversations_shown ON conversations (account_id, shown_at, id);
CREATE INDEX conversations_by_requester ON conversations (requester_id);
CREATE INDEX conversations_by_update ON conversations (updated_at, id);
CREATE INDEX conversations_by_follow_up ON conversations (follow_up_of);

CREATE TABLE messages (
    id              uuid PRIMARY KEY,
    conversation_id uuid NOT NULL REFERENCES conversations (id),
    author          text COLLATE "C" NOT NULL CHECK (author IN ('requester', 'agent', 'stranger')),
    visibility      text COLLATE "C" NOT NULL CHECK (visibility IN ('shown', 'held', 'internal')),
    author_account_id uuid REFERENCES accounts (id),
    author_identity_id uuid REFERENCES identities (id) ON DELETE SET NULL,
    author_name     text COLLATE "C",
    body_text       text COLLATE "C" NOT NULL,
    body_html       text COLLATE "C",
    shown_html      text COLLATE "C",
    dmarc           text COLLATE "C",
    attachments     jsonb NOT NULL,
    sent_at         timestamptz NOT NULL,
    created_at      timestamptz NOT NULL
);
CREATE INDEX messages_by_conversation ON messages (conversation_id, sent_at, id);
CREATE INDEX messages_by_author_account ON messages (author_account_id);
CREATE INDEX messages_by_author_identity ON messages (author_identity_id);

CREATE TABLE read_marks (
    account_id      uuid NOT NULL REFERENCES accounts (id),
    conversation_id uuid NOT NULL REFERENCES conversations (id),
    read_at         timestamptz NOT NULL,
    PRIMARY KEY (account_id, conversation_id)
);
CREATE INDEX read_marks_by_conversation ON read_marks (conversation_id);

CREATE TABLE interactions (
    id              uuid PRIMARY KEY,
    source          text COLLATE "C" NOT NULL,
    external_id     text COLLATE "C" NOT NULL,
    channel         text COLLATE "C" NOT NULL,
    direction       text COLLATE "C" NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    outcome         text COLLATE "C" NOT NULL CHECK (outcome IN ('created', 'held')),
    account_id      uuid NOT NULL REFERENCES accounts (id),
    conversation_id uuid NOT NULL REFERENCES conversations (id),
    message_id      uuid NOT NULL REFERENCES messages (id),
    detail          jsonb NOT NULL,
    created_at      timestamptz NOT NULL,
    UNIQUE (source, external_id)
);
CREATE INDEX interactions_by_account ON interactions (account_id);
CREATE INDEX interactions_by_conversation ON interactions (conversation_id);

CREATE TABLE merge_suggestions (
    id              uuid PRIMARY KEY,
    account_id      uuid NOT NULL REFERENCES accounts (id),
    other_id        uuid NOT NULL REFERENCES accounts (id),
    reason          text COLLATE "C" NOT NULL,
    created_at      timestamptz NOT NULL,
    resolved_at     timestamptz,
    UNIQUE (account_id, other_id),
    CHECK (account_id <> other_id)
);
CREATE INDEX merge_suggestions_by_other ON merge_suggestions (other_id);

CREATE TABLE reading_grants (
    id              uuid PRIMARY KEY,
    account_id      uuid NOT NULL REFERENCES accounts (id),
    identity_id     uuid NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
    granted_by      uuid NOT NULL REFERENCES accounts (id),
    created_at      timestamptz NOT NULL,
    ended_at        timestamptz
);
CREATE INDEX reading_grants_by_account ON reading_grants (account_id);
CREATE INDEX reading_grants_by_identity ON reading_grants (identity_id);

CREATE TABLE api_keys (
    id              uuid PRIMARY KEY,
    name            text COLLATE "C" NOT NULL,
    secret_hash     bytea NOT NULL UNIQUE,
    scopes          jsonb NOT NULL,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz,
    revoked_at      timestamptz
);

CREATE TABLE audit_events (
    id              uuid PRIMARY KEY,
    action          text COLLATE "C" NOT NULL,
    actor           text COLLATE "C" NOT NULL CHECK (actor IN ('nobody', 'account', 'api_key', 'operator', 'system')),
    actor_id        uuid,
    account_id      uuid REFERENCES accounts (id),
    request_id      text COLLATE "C",
    address         text COLLATE "C",
    detail          jsonb NOT NULL,
    created_at      timestamptz NOT NULL
);
CREATE INDEX audit_events_by_account ON audit_events (account_id, id);
CREATE INDEX audit_events_by_time ON audit_events (created_at, id);

CREATE TABLE outbox (
    id              uuid PRIMARY KEY,
    kind            text COLLATE "C" NOT NULL CHECK (kind IN ('mail', 'event')),
    topic           text COLLATE "C" NOT NULL,
    state           text COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'done', 'expired')),
    account_id      uuid REFERENCES accounts (id),
    challenge_id    uuid REFERENCES challenges (id),
    sealed_payload  bytea,
    attempts        bigint NOT NULL,
    due_at          timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    last_error      text COLLATE "C",
    created_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    CHECK ((state = 'waiting') = (finished_at IS NULL))
);
CREATE INDEX outbox_waiting ON outbox (kind, due_at) WHERE state = 'waiting';
CREATE INDEX outbox_by_challenge ON outbox (challenge_id);
CREATE INDEX outbox_by_account ON outbox (account_id, id);
CREATE INDEX outbox_finished ON outbox (finished_at);

CREATE TABLE throttles (
    key             bytea PRIMARY KEY,
    failures        bigint NOT NULL,
    next_at         timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE INDEX throttles_by_update ON throttles (updated_at);

CREATE TABLE idempotency_keys (
    caller          text COLLATE "C" NOT NULL,
    route           text COLLATE "C" NOT NULL,
    key             text COLLATE "C" NOT NULL,
    fingerprint     bytea NOT NULL,
    result_id       uuid NOT NULL,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (caller, route, key)
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);
