ALTER TABLE identities DROP COLUMN owned_since;
