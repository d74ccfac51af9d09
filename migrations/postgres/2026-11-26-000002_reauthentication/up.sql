-- A round trip to a provider may also make a session fresh. It belongs to that session, as one to link does.

ALTER TABLE social_flows DROP CONSTRAINT social_flows_purpose_check;
ALTER TABLE social_flows ADD CONSTRAINT social_flows_purpose_check
    CHECK (purpose IN ('sign_in', 'link', 'reauthenticate'));
ALTER TABLE social_flows DROP CONSTRAINT social_flows_check2;
ALTER TABLE social_flows ADD CONSTRAINT social_flows_check2
    CHECK (purpose = 'sign_in' OR (account_id IS NOT NULL AND epoch IS NOT NULL));
