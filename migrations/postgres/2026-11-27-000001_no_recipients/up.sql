-- To whom a push went: nothing reads it, and whoever was copied is named where they cannot be found when they leave.

UPDATE interactions SET detail = detail - 'recipients' WHERE jsonb_exists(detail, 'recipients');
