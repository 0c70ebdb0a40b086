-- psql `\d name`: the default of a column; samples have none
SELECT CAST(0 AS INT UNSIGNED) AS oid, CAST(0 AS INT UNSIGNED) AS adrelid, CAST(0 AS SMALLINT) AS adnum, CAST('' AS TEXT) AS adbin WHERE false
