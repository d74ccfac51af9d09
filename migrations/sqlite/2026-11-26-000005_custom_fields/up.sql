-- Fields of an account that the desk has defined. accounts.custom has their values by the id, not by the key: what was
-- kept under a deleted field never comes back with another of the same key.

CREATE TABLE custom_fields (
    id              BLOB PRIMARY KEY,
    key             TEXT NOT NULL CHECK (key <> ''),
    title           TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('text', 'number', 'boolean', 'date', 'choice')),
    choices         TEXT NOT NULL,
    visible_to      TEXT NOT NULL CHECK (visible_to IN ('desk', 'customer_reads', 'customer_edits')),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    -- from then on it is nowhere to be seen, and its values are erased account by account
    deleted_at      INTEGER,
    -- the last account that was looked at
    erased_to       BLOB
) STRICT;
CREATE UNIQUE INDEX custom_fields_by_key ON custom_fields (key) WHERE deleted_at IS NULL;

ALTER TABLE settings ADD COLUMN custom_fields_version INTEGER NOT NULL DEFAULT 1;
