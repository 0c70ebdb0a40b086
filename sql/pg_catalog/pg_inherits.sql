-- psql `\d name`: parents and partitions
SELECT CAST(0 AS INT UNSIGNED) AS inhrelid, CAST(0 AS INT UNSIGNED) AS inhparent, CAST(0 AS INT) AS inhseqno, false AS inhdetachpending WHERE false
