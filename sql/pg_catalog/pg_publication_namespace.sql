-- psql `\d name`: publications of a schema
SELECT CAST(0 AS INT UNSIGNED) AS oid, CAST(0 AS INT UNSIGNED) AS pnpubid, CAST(0 AS INT UNSIGNED) AS pnnspid WHERE false
