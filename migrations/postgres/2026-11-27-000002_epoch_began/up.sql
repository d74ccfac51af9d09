-- Whether a sign-in is the first since a claim or recovery of a moment ago.

ALTER TABLE accounts ADD COLUMN epoch_began_at timestamptz;
