-- psql `\d name` of a foreign table
SELECT CAST(0 AS INT UNSIGNED) AS oid, CAST('' AS TEXT) AS srvname, CAST(0 AS INT UNSIGNED) AS srvowner, CAST(0 AS INT UNSIGNED) AS srvfdw WHERE false
