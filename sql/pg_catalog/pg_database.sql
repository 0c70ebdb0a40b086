-- psql `\l`
SELECT CAST(16384 AS INT UNSIGNED) AS oid, 'promlake' AS datname, CAST(10 AS INT UNSIGNED) AS datdba, CAST(6 AS INT) AS encoding,
       'c' AS datlocprovider, false AS datistemplate, true AS datallowconn, CAST(-1 AS INT) AS datconnlimit,
       'C' AS datcollate, 'C' AS datctype, CAST(NULL AS TEXT) AS daticulocale, CAST(NULL AS TEXT) AS datacl,
       CAST(1663 AS INT UNSIGNED) AS dattablespace
