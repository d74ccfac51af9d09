DROP INDEX challenges_by_address;
DROP INDEX challenges_by_account;
DROP INDEX accounts_admins;
DROP INDEX accounts_merged_into;
