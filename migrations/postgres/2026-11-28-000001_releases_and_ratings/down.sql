ALTER TABLE conversations DROP COLUMN rated_at;
ALTER TABLE conversations DROP COLUMN rating_comment;
ALTER TABLE conversations DROP COLUMN rating_score;
ALTER TABLE conversations DROP COLUMN rating_offered_at;
DROP INDEX messages_held;
ALTER TABLE messages DROP COLUMN released_at;
