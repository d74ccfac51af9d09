-- With which account something came, so that a merge can be taken back.

ALTER TABLE conversations ADD COLUMN came_with BLOB;
CREATE INDEX conversations_by_came_with ON conversations (came_with) WHERE came_with IS NOT NULL;
ALTER TABLE identities ADD COLUMN came_with BLOB;
ALTER TABLE reading_grants ADD COLUMN came_with BLOB;
