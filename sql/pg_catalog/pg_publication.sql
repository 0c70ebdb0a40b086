-- psql `\d name`: publications
SELECT CAST(0 AS INT UNSIGNED) AS oid, CAST('' AS TEXT) AS pubname, CAST(0 AS INT UNSIGNED) AS pubowner, false AS puballtables, false AS pubinsert, false AS pubupdate, false AS pubdelete, false AS pubtruncate, false AS pubviaroot WHERE false
