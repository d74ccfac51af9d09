-- To find all that there is of somebody who leaves.

CREATE INDEX accounts_merged_into ON accounts (merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX accounts_admins ON accounts (id) WHERE role = 'admin';
CREATE INDEX challenges_by_account ON challenges (account_id);
CREATE INDEX challenges_by_address ON challenges (address);
