-- A merge is confirmed before, and not parted afterwards.

ALTER TABLE reading_grants DROP COLUMN came_with;
ALTER TABLE identities DROP COLUMN came_with;
DROP INDEX conversations_by_came_with;
ALTER TABLE conversations DROP COLUMN came_with;
