-- Views over a promlake lake for ClickHouse, whose deltaLake functions read Delta tables. Replace the URL and,
-- where the bucket wants them, add the keys; for a folder use deltaLakeLocal('/srv/data/samples').
--   SELECT toStartOfHour(timestamp) AS hour, avg(value) FROM promlake_samples
--   WHERE metric = 'up' AND labels['job'] = 'node' GROUP BY hour;

CREATE OR REPLACE VIEW promlake_series AS
SELECT day, metric, series_id, any(labels) AS labels
FROM deltaLake('https://bucket.s3.amazonaws.com/prefix/series')
GROUP BY day, metric, series_id;

-- A number is stored as a double or as scaled / 10^scale; a native histogram has no value.
CREATE OR REPLACE VIEW promlake_samples AS
SELECT
    s.timestamp AS timestamp,
    coalesce(s.value, s.scaled / exp10(s.scale)) AS value,
    s.metric AS metric,
    l.labels AS labels,
    s.series_id AS series_id,
    s.day AS day
FROM deltaLake('https://bucket.s3.amazonaws.com/prefix/samples') AS s
INNER JOIN promlake_series AS l ON l.day = s.day AND l.metric = s.metric AND l.series_id = s.series_id;

CREATE OR REPLACE VIEW promlake_metrics AS
SELECT family, max(kind) AS kind, max(unit) AS unit, max(help) AS help
FROM deltaLake('https://bucket.s3.amazonaws.com/prefix/metadata')
GROUP BY family;

-- Every change of the state of an alert: inactive, pending or firing.
CREATE OR REPLACE VIEW promlake_alert_history AS
SELECT time, alert, labels, annotations, from_state, to_state, value, rule_group, file, node, day
FROM deltaLake('https://bucket.s3.amazonaws.com/prefix/alert_history');
