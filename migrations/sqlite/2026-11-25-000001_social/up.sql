-- Signing in with providers. A flow keeps no secret: what it hands out describes itself and carries a MAC.
-- Nothing was ever written to the table this replaces.

DROP TABLE social_flows;
CREATE TABLE social_flows (
    id              BLOB PRIMARY KEY,
    provider        TEXT NOT NULL,
    purpose         TEXT NOT NULL CHECK (purpose IN ('sign_in', 'link')),
    state           TEXT NOT NULL CHECK (state IN ('started', 'returned', 'presented', 'email_required', 'spent', 'void')),
    session_id      BLOB REFERENCES sessions (id) ON DELETE SET NULL,
    account_id      BLOB REFERENCES accounts (id),
    epoch           INTEGER,
    redirect_uri    TEXT,
    app_challenge   TEXT,
    sealed          BLOB,
    code_expires_at INTEGER,
    expires_at      INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    ended_at        INTEGER,
    CHECK ((state IN ('spent', 'void')) = (ended_at IS NOT NULL)),
    CHECK ((redirect_uri IS NULL) = (app_challenge IS NULL)),
    CHECK (purpose <> 'link' OR (account_id IS NOT NULL AND epoch IS NOT NULL))
) STRICT;
CREATE INDEX social_flows_by_account ON social_flows (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX social_flows_by_session ON social_flows (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX social_flows_by_expiry ON social_flows (expires_at);

CREATE INDEX challenges_live_by_flow ON challenges (flow_id) WHERE state = 'live';
ALTER TABLE proofs ADD COLUMN flow_id BLOB;
CREATE INDEX conversations_by_starter ON conversations (started_by);
