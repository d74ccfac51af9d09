-- The whole house: every identity kind and every road has its room from the first migration on.
-- Twin of migrations/postgres: uuid is BLOB, an instant is INTEGER microseconds since 1970, JSON is TEXT.

CREATE TABLE instance (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    secret_check    BLOB NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    version         INTEGER NOT NULL,
    authentication  TEXT NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;

CREATE TABLE signing_keys (
    kid             TEXT PRIMARY KEY,
    algorithm       TEXT NOT NULL,
    sealed_private  BLOB NOT NULL,
    public_jwk      TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    signs_from      INTEGER NOT NULL,
    verifies_until  INTEGER
) STRICT;

CREATE TABLE accounts (
    id              BLOB PRIMARY KEY,
    state           TEXT NOT NULL CHECK (state IN ('unclaimed', 'claimed', 'disabled', 'merged', 'deleted')),
    role            TEXT NOT NULL CHECK (role IN ('customer', 'admin')),
    security_epoch  INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    full_name       TEXT,
    locale          TEXT,
    time_zone       TEXT,
    phone           TEXT,
    avatar_url      TEXT,
    custom          TEXT NOT NULL,
    notifications   TEXT NOT NULL,
    merged_into     BLOB REFERENCES accounts (id),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    claimed_at      INTEGER,
    disabled_at     INTEGER,
    CHECK ((state = 'merged') = (merged_into IS NOT NULL)),
    CHECK (state <> 'claimed' OR claimed_at IS NOT NULL),
    CHECK (state <> 'unclaimed' OR (role = 'customer' AND claimed_at IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE identities (
    id              BLOB PRIMARY KEY,
    account_id      BLOB NOT NULL REFERENCES accounts (id),
    kind            TEXT NOT NULL CHECK (kind IN ('email', 'google', 'facebook', 'twitter', 'facebook_page', 'messenger', 'oidc', 'phone', 'external')),
    namespace       TEXT NOT NULL,
    subject         TEXT NOT NULL CHECK (subject <> ''),
    label           TEXT,
    name            TEXT,
    is_primary      INTEGER NOT NULL CHECK (is_primary IN (0, 1)),
    observed_at     INTEGER NOT NULL,
    last_seen_at    INTEGER NOT NULL,
    UNIQUE (kind, namespace, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_by_account ON identities (account_id);
CREATE UNIQUE INDEX identities_one_primary ON identities (account_id) WHERE is_primary;

CREATE TABLE proofs (
    id              BLOB PRIMARY KEY,
    identity_id     BLOB NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
    account_id      BLOB NOT NULL REFERENCES accounts (id),
    method          TEXT NOT NULL CHECK (method IN ('mailed_link', 'mailed_code', 'provider', 'signature')),
    challenge_id    BLOB,
    proven_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX proofs_by_identity ON proofs (identity_id);
CREATE INDEX proofs_by_account ON proofs (account_id);

CREATE TABLE credentials (
    id              BLOB PRIMARY KEY,
    account_id      BLOB NOT NULL REFERENCES accounts (id),
    kind            TEXT NOT NULL CHECK (kind IN ('password', 'passkey', 'totp')),
    secret_hash     TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX credentials_by_account ON credentials (account_id);
CREATE UNIQUE INDEX credentials_one_password ON credentials (account_id) WHERE kind = 'password';

CREATE TABLE sessions (
    id              BLOB PRIMARY KEY,
    account_id      BLOB NOT NULL REFERENCES accounts (id),
    epoch           INTEGER NOT NULL,
    method          TEXT NOT NULL,
    identity_id     BLOB REFERENCES identities (id) ON DELETE SET NULL,
    device_id       BLOB NOT NULL,
    counter         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    rotated_at      INTEGER NOT NULL,
    ended_at        INTEGER,
    end_reason      TEXT,
    user_agent      TEXT,
    address         TEXT,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_live_by_account ON sessions (account_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_by_identity ON sessions (identity_id);

CREATE TABLE challenges (
    id              BLOB PRIMARY KEY,
    purpose         TEXT NOT NULL,
    address         TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('live', 'spent', 'void')),
    account_id      BLOB REFERENCES accounts (id),
    session_id      BLOB REFERENCES sessions (id),
    flow_id         BLOB,
    epoch           INTEGER,
    token_hash      BLOB UNIQUE,
    code_mac        BLOB NOT NULL,
    code_tries      INTEGER NOT NULL,
    code_expires_at INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    detail          TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    ended_at        INTEGER,
    CHECK ((state = 'live') = (ended_at IS NULL))
) STRICT;
CREATE INDEX challenges_live_by_address ON challenges (address, purpose) WHERE state = 'live';
CREATE INDEX challenges_live_by_account ON challenges (account_id) WHERE state = 'live';
CREATE INDEX challenges_by_session ON challenges (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX challenges_by_expiry ON challenges (expires_at);

CREATE TABLE social_flows (
    id              BLOB PRIMARY KEY,
    provider        TEXT NOT NULL,
    purpose         TEXT NOT NULL CHECK (purpose IN ('sign_in', 'link', 'reauthenticate')),
    state           TEXT NOT NULL CHECK (state IN ('started', 'returned', 'spent', 'void')),
    session_id      BLOB REFERENCES sessions (id),
    account_id      BLOB REFERENCES accounts (id),
    epoch           INTEGER,
    redirect_uri    TEXT,
    app_challenge   TEXT,
    state_hash      BLOB UNIQUE,
    nonce           TEXT,
    sealed          BLOB,
    code_hash       BLOB UNIQUE,
    continuation_hash BLOB UNIQUE,
    code_expires_at INTEGER,
    expires_at      INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    ended_at        INTEGER
) STRICT;
CREATE INDEX social_flows_by_account ON social_flows (account_id);
CREATE INDEX social_flows_by_session ON social_flows (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX social_flows_by_expiry ON social_flows (expires_at);

CREATE TABLE conversations (
    id              BLOB PRIMARY KEY,
    account_id      BLOB NOT NULL REFERENCES accounts (id),
    requester_id    BLOB REFERENCES identities (id) ON DELETE SET NULL,
    started_by      BLOB REFERENCES accounts (id),
    channel         TEXT NOT NULL,
    source          TEXT,
    external_id     TEXT,
    follow_up_of    BLOB REFERENCES conversations (id),
    subject         TEXT NOT NULL,
    status          TEXT NOT NULL CHECK (status IN ('open', 'pending', 'solved', 'closed')),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    shown_at        INTEGER,
    UNIQUE (source, external_id)
) STRICT;
CREATE INDEX conversations_shown ON conversations (account_id, shown_at, id);
CREATE INDEX conversations_by_requester ON conversations (requester_id);
CREATE INDEX conversations_by_update ON conversations (updated_at, id);
CREATE INDEX conversations_by_follow_up ON conversations (follow_up_of);

CREATE TABLE messages (
    id              BLOB PRIMARY KEY,
    conversation_id BLOB NOT NULL REFERENCES conversations (id),
    author          TEXT NOT NULL CHECK (author IN ('requester', 'agent', 'stranger')),
    visibility      TEXT NOT NULL CHECK (visibility IN ('shown', 'held', 'internal')),
    author_account_id BLOB REFERENCES accounts (id),
    author_identity_id BLOB REFERENCES identities (id) ON DELETE SET NULL,
    author_name     TEXT,
    body_text       TEXT NOT NULL,
    body_html       TEXT,
    shown_html      TEXT,
    dmarc           TEXT,
    attachments     TEXT NOT NULL,
    sent_at         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX messages_by_conversation ON messages (conversation_id, sent_at, id);
CREATE INDEX messages_by_author_account ON messages (author_account_id);
CREATE INDEX messages_by_author_identity ON messages (author_identity_id);

CREATE TABLE read_marks (
    account_id      BLOB NOT NULL REFERENCES accounts (id),
    conversation_id BLOB NOT NULL REFERENCES conversations (id),
    read_at         INTEGER NOT NULL,
    PRIMARY KEY (account_id, conversation_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX read_marks_by_conversation ON read_marks (conversation_id);

CREATE TABLE interactions (
    id              BLOB PRIMARY KEY,
    source          TEXT NOT NULL,
    external_id     TEXT NOT NULL,
    channel         TEXT NOT NULL,
    direction       TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    outcome         TEXT NOT NULL CHECK (outcome IN ('created', 'held')),
    account_id      BLOB NOT NULL REFERENCES accounts (id),
    conversation_id BLOB NOT NULL REFERENCES conversations (id),
    message_id      BLOB NOT NULL REFERENCES messages (id),
    detail          TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    UNIQUE (source, external_id)
) STRICT;
CREATE INDEX interactions_by_account ON interactions (account_id);
CREATE INDEX interactions_by_conversation ON interactions (conversation_id);

CREATE TABLE merge_suggestions (
    id              BLOB PRIMARY KEY,
    account_id      BLOB NOT NULL REFERENCES accounts (id),
    other_id        BLOB NOT NULL REFERENCES accounts (id),
    reason          TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    resolved_at     INTEGER,
    UNIQUE (account_id, other_id),
    CHECK (account_id <> other_id)
) STRICT;
CREATE INDEX merge_suggestions_by_other ON merge_suggestions (other_id);

CREATE TABLE reading_grants (
    id              BLOB PRIMARY KEY,
    account_id      BLOB NOT NULL REFERENCES accounts (id),
    identity_id     BLOB NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
    granted_by      BLOB NOT NULL REFERENCES accounts (id),
    created_at      INTEGER NOT NULL,
    ended_at        INTEGER
) STRICT;
CREATE INDEX reading_grants_by_account ON reading_grants (account_id);
CREATE INDEX reading_grants_by_identity ON reading_grants (identity_id);

CREATE TABLE api_keys (
    id              BLOB PRIMARY KEY,
    name            TEXT NOT NULL,
    secret_hash     BLOB NOT NULL UNIQUE,
    scopes          TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER,
    revoked_at      INTEGER
) STRICT;

CREATE TABLE audit_events (
    id              BLOB PRIMARY KEY,
    action          TEXT NOT NULL,
    actor           TEXT NOT NULL CHECK (actor IN ('nobody', 'account', 'api_key', 'operator', 'system')),
    actor_id        BLOB,
    account_id      BLOB REFERENCES accounts (id),
    request_id      TEXT,
    address         TEXT,
    detail          TEXT NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_events_by_account ON audit_events (account_id, id);
CREATE INDEX audit_events_by_time ON audit_events (created_at, id);

CREATE TABLE outbox (
    id              BLOB PRIMARY KEY,
    kind            TEXT NOT NULL CHECK (kind IN ('mail', 'event')),
    topic           TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'expired')),
    account_id      BLOB REFERENCES accounts (id),
    challenge_id    BLOB REFERENCES challenges (id),
    sealed_payload  BLOB,
    attempts        INTEGER NOT NULL,
    due_at          INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    last_error      TEXT,
    created_at      INTEGER NOT NULL,
    finished_at     INTEGER,
    CHECK ((state = 'waiting') = (finished_at IS NULL))
) STRICT;
CREATE INDEX outbox_waiting ON outbox (kind, due_at) WHERE state = 'waiting';
CREATE INDEX outbox_by_challenge ON outbox (challenge_id);
CREATE INDEX outbox_by_account ON outbox (account_id, id);
CREATE INDEX outbox_finished ON outbox (finished_at);

CREATE TABLE throttles (
    key             BLOB PRIMARY KEY,
    failures        INTEGER NOT NULL,
    next_at         INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX throttles_by_update ON throttles (updated_at);

CREATE TABLE idempotency_keys (
    caller          TEXT NOT NULL,
    route           TEXT NOT NULL,
    key             TEXT NOT NULL,
    fingerprint     BLOB NOT NULL,
    result_id       BLOB NOT NULL,
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (caller, route, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);
