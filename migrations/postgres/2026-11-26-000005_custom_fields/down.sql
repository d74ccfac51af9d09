ALTER TABLE settings DROP COLUMN custom_fields_version;
DROP TABLE custom_fields;
