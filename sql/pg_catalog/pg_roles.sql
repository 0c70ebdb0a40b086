-- psql `\du`, DBeaver: the one role, which reads everything and writes nothing
SELECT CAST(10 AS INT UNSIGNED) AS oid, 'promlake' AS rolname, false AS rolsuper, true AS rolinherit, false AS rolcreaterole,
       false AS rolcreatedb, true AS rolcanlogin, false AS rolreplication, CAST(-1 AS INT) AS rolconnlimit,
       CAST(NULL AS TIMESTAMP) AS rolvaliduntil, false AS rolbypassrls
