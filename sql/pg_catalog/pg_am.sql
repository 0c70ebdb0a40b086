-- psql `\d name`: LEFT JOIN pg_catalog.pg_am am ON (c.relam = am.oid)
SELECT CAST(2 AS INT UNSIGNED) AS oid, 'heap' AS amname, 'heap_tableam_handler' AS amhandler, 't' AS amtype
