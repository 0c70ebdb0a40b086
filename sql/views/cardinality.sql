-- How many series each metric has.
SELECT metric, count(*) AS series
FROM promlake.series
GROUP BY metric
