DROP INDEX sessions_by_account;
ALTER TABLE sessions DROP COLUMN device_knows;
ALTER TABLE sessions RENAME COLUMN network TO address;
ALTER TABLE sessions RENAME COLUMN device TO user_agent;
