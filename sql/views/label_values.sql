-- Every value of every label of every metric, and how many series have it.
SELECT metric, label, value, count(*) AS series
FROM (
    SELECT metric, unnest(map_keys(labels)) AS label, unnest(map_values(labels)) AS value
    FROM promlake.series
) AS pairs
GROUP BY metric, label, value
