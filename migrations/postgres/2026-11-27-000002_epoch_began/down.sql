ALTER TABLE accounts DROP COLUMN epoch_began_at;
