-- To whom a push went: nothing reads it, and whoever was copied is named where they cannot be found when they leave.

UPDATE interactions SET detail = json_remove(detail, '$.recipients')
WHERE json_type(detail, '$.recipients') IS NOT NULL;
