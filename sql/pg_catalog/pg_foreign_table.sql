-- psql `\d name` of a foreign table
SELECT CAST(0 AS INT UNSIGNED) AS ftrelid, CAST(0 AS INT UNSIGNED) AS ftserver, CAST('' AS TEXT) AS ftoptions WHERE false
