-- psql `\d name`: triggers
SELECT CAST(0 AS INT UNSIGNED) AS oid, CAST(0 AS INT UNSIGNED) AS tgrelid, CAST(0 AS INT UNSIGNED) AS tgparentid, CAST('' AS TEXT) AS tgname, CAST(0 AS INT UNSIGNED) AS tgfoid, CAST('' AS TEXT) AS tgenabled, false AS tgisinternal WHERE false
