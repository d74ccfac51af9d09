-- What was dropped does not come back, and nothing read it.
SELECT 1;
