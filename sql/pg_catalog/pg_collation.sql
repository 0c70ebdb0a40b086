-- psql `\d name`: the collation of a column where it is not its type's own
SELECT CAST(100 AS INT UNSIGNED) AS oid, 'default' AS collname, CAST(11 AS INT UNSIGNED) AS collnamespace,
       CAST(10 AS INT UNSIGNED) AS collowner, 'd' AS collprovider, true AS collisdeterministic,
       CAST(-1 AS INT) AS collencoding, CAST(NULL AS TEXT) AS collcollate, CAST(NULL AS TEXT) AS collctype
