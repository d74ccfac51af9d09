-- Fields of an account that the desk has defined. accounts.custom has their values by the id, not by the key: what was
-- kept under a deleted field never comes back with another of the same key.

CREATE TABLE custom_fields (
    id              uuid PRIMARY KEY,
    key             text COLLATE "C" NOT NULL CHECK (key <> ''),
    title           text COLLATE "C" NOT NULL,
    kind            text COLLATE "C" NOT NULL CHECK (kind IN ('text', 'number', 'boolean', 'date', 'choice')),
    choices         jsonb NOT NULL,
    visible_to      text COLLATE "C" NOT NULL CHECK (visible_to IN ('desk', 'customer_reads', 'customer_edits')),
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    -- from then on it is nowhere to be seen, and its values are erased account by account
    deleted_at      timestamptz,
    -- the last account that was looked at
    erased_to       uuid
);
CREATE UNIQUE INDEX custom_fields_by_key ON custom_fields (key) WHERE deleted_at IS NULL;

ALTER TABLE settings ADD COLUMN custom_fields_version bigint NOT NULL DEFAULT 1;
