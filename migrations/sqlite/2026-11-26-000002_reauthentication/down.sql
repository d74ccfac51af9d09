DELETE FROM social_flows WHERE purpose = 'reauthenticate';
CREATE TABLE social_flows_with_two (
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
INSERT INTO social_flows_with_two SELECT * FROM social_flows;
DROP TABLE social_flows;
ALTER TABLE social_flows_with_two RENAME TO social_flows;
CREATE INDEX social_flows_by_account ON social_flows (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX social_flows_by_session ON social_flows (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX social_flows_by_expiry ON social_flows (expires_at);
