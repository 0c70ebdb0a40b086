-- psql `\d name`: row security policies
SELECT CAST(0 AS INT UNSIGNED) AS oid, CAST('' AS TEXT) AS polname, CAST(0 AS INT UNSIGNED) AS polrelid, CAST('' AS TEXT) AS polcmd, false AS polpermissive, CAST('' AS TEXT) AS polroles, CAST('' AS TEXT) AS polqual, CAST('' AS TEXT) AS polwithcheck WHERE false
