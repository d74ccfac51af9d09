-- A round trip to a provider may also make a session fresh. It belongs to that session, as one to link does.
-- SQLite changes no CHECK: the table is made anew.

CREATE TABLE social_flows_with_three (
    id              BLOB PRIMARY KEY,
    provider        TEXT NOT NULL,
    purpose         TEXT NOT NULL CHECK (purpose IN ('sign_in', 'link', 'reauthenticate')),
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
    CHECK (purpose = 'sign_in' OR (account_id IS NOT NULL AND epoch IS NOT NULL))
) STRICT;
INSERT INTO social_flows_with_three SELECT * FROM social_flows;
DROP TABLE social_flows;
ALTER TABLE social_flows_with_three RENAME TO social_flows;
CREATE INDEX social_flows_by_account ON social_flows (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX social_flows_by_session ON social_flows (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX social_flows_by_expiry ON social_flows (expires_at);
