-- psql `\d+`: comments
SELECT CAST(0 AS INT UNSIGNED) AS objoid, CAST(0 AS INT UNSIGNED) AS classoid, CAST(0 AS INT) AS objsubid, CAST('' AS TEXT) AS description WHERE false
