-- psql `\d name`: publications of a table
SELECT CAST(0 AS INT UNSIGNED) AS oid, CAST(0 AS INT UNSIGNED) AS prpubid, CAST(0 AS INT UNSIGNED) AS prrelid, CAST('' AS TEXT) AS prqual, CAST('' AS TEXT) AS prattrs WHERE false
