-- psql `\d+ view`: rules
SELECT CAST(0 AS INT UNSIGNED) AS oid, CAST('' AS TEXT) AS rulename, CAST(0 AS INT UNSIGNED) AS ev_class, CAST('' AS TEXT) AS ev_type, CAST('' AS TEXT) AS ev_enabled, false AS is_instead WHERE false
