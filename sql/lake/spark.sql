-- Views over a promlake lake for Spark SQL with Delta Lake. Replace the path.
--   SELECT date_trunc('hour', timestamp) AS hour, avg(value) FROM promlake_samples
--   WHERE metric = 'up' AND labels['job'] = 'node' GROUP BY hour;

CREATE OR REPLACE TEMPORARY VIEW promlake_series AS
SELECT day, metric, series_id, any_value(labels) AS labels
FROM delta.`s3a://bucket/prefix/series`
GROUP BY day, metric, series_id;

-- A number is stored as a double or as scaled / 10^scale; a native histogram has no value.
CREATE OR REPLACE TEMPORARY VIEW promlake_samples AS
SELECT
    s.timestamp,
    coalesce(s.value, s.scaled / power(10, s.scale)) AS value,
    s.metric,
    l.labels,
    s.series_id,
    s.histogram,
    s.start_timestamp,
    s.day
FROM delta.`s3a://bucket/prefix/samples` AS s
JOIN promlake_series AS l ON l.day = s.day AND l.metric = s.metric AND l.series_id = s.series_id;

CREATE OR REPLACE TEMPORARY VIEW promlake_metrics AS
SELECT family, max(kind) AS kind, max(unit) AS unit, max(help) AS help
FROM delta.`s3a://bucket/prefix/metadata`
GROUP BY family;

-- Every change of the state of an alert: inactive, pending or firing.
CREATE OR REPLACE TEMPORARY VIEW promlake_alert_history AS
SELECT time, alert, labels, annotations, from_state, to_state, value, rule_group, file, node, day
FROM delta.`s3a://bucket/prefix/alert_history`;
