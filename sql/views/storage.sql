-- What the lake holds for each day.
SELECT
    day,
    count(*) AS files,
    sum(rows) AS samples,
    sum(size_bytes) AS bytes,
    CAST(sum(size_bytes) AS DOUBLE) / CAST(sum(rows) AS DOUBLE) AS bytes_per_sample
FROM promlake.files
GROUP BY day
