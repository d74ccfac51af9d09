DELETE FROM social_flows WHERE purpose = 'reauthenticate';
ALTER TABLE social_flows DROP CONSTRAINT social_flows_purpose_check;
ALTER TABLE social_flows ADD CONSTRAINT social_flows_purpose_check CHECK (purpose IN ('sign_in', 'link'));
ALTER TABLE social_flows DROP CONSTRAINT social_flows_check2;
ALTER TABLE social_flows ADD CONSTRAINT social_flows_check2
    CHECK (purpose <> 'link' OR (account_id IS NOT NULL AND epoch IS NOT NULL));
