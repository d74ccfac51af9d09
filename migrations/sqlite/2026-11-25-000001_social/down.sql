DROP INDEX conversations_by_starter;
ALTER TABLE proofs DROP COLUMN flow_id;
DROP INDEX challenges_live_by_flow;
DROP TABLE social_flows;
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
