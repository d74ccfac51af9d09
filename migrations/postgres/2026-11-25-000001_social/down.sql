DROP INDEX conversations_by_starter;
ALTER TABLE proofs DROP COLUMN flow_id;
DROP INDEX challenges_live_by_flow;
DROP TABLE social_flows;
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
