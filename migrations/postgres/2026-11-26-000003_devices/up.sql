-- A device is told by words of ours and by its network, and no longer by all that its program said and its address.

ALTER TABLE sessions RENAME COLUMN user_agent TO device;
ALTER TABLE sessions RENAME COLUMN address TO network;
UPDATE sessions SET device = NULL, network = NULL;
ALTER TABLE sessions ADD COLUMN device_knows boolean NOT NULL DEFAULT true;
UPDATE sessions SET device_knows = false WHERE method NOT IN ('password', 'sign_up');
CREATE INDEX sessions_by_account ON sessions (account_id, id);
