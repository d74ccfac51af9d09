-- When a held message was released, and what customers think of how their conversations went.

ALTER TABLE messages ADD COLUMN released_at timestamptz;
CREATE INDEX messages_held ON messages (conversation_id) WHERE visibility = 'held';
ALTER TABLE conversations ADD COLUMN rating_offered_at timestamptz;
ALTER TABLE conversations ADD COLUMN rating_score smallint CHECK (rating_score BETWEEN 1 AND 5);
ALTER TABLE conversations ADD COLUMN rating_comment text;
ALTER TABLE conversations ADD COLUMN rated_at timestamptz CHECK ((rated_at IS NULL) = (rating_score IS NULL));
