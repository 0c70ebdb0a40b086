-- psql `\d name`: extended statistics
SELECT CAST(0 AS INT UNSIGNED) AS oid, CAST(0 AS INT UNSIGNED) AS stxrelid, CAST('' AS TEXT) AS stxname, CAST(0 AS INT UNSIGNED) AS stxnamespace, CAST(0 AS INT UNSIGNED) AS stxowner, CAST(0 AS INT) AS stxstattarget, CAST('' AS TEXT) AS stxkeys, CAST('' AS TEXT) AS stxkind WHERE false
