-- psql `\dx`; Grafana looks for timescaledb
SELECT CAST(0 AS INT UNSIGNED) AS oid, CAST('' AS TEXT) AS extname, CAST(0 AS INT UNSIGNED) AS extowner, CAST(0 AS INT UNSIGNED) AS extnamespace, false AS extrelocatable, CAST('' AS TEXT) AS extversion WHERE false
