-- Views over a promlake lake for DuckDB (1.5 with its delta extension). Name the lake first:
--   SET VARIABLE lake = 's3://bucket/prefix';        -- or '/srv/data'
--   .read duckdb.sql
--   SELECT time_bucket(INTERVAL '1 hour', timestamp) AS hour, avg(value)
--   FROM promlake_samples WHERE metric = 'up' AND labels['job'] = 'node' GROUP BY hour;
-- Filter by `day` as well where you can: it chooses partitions.

INSTALL delta;
LOAD delta;

-- Every series on the days it has samples; listed once.
CREATE OR REPLACE VIEW promlake_series AS
SELECT day, metric, series_id, any_value(labels) AS labels
FROM delta_scan(getvariable('lake') || '/series')
GROUP BY day, metric, series_id;

-- One row for each sample. A number is stored as a double or as scaled / 10^scale; a native histogram
-- (`histogram`) has no value. Samples sent twice may be here twice until their day is merged.
CREATE OR REPLACE VIEW promlake_samples AS
SELECT
    s.timestamp,
    coalesce(s.value, s.scaled / pow(10, s.scale)) AS value,
    s.metric,
    l.labels,
    s.series_id,
    s.histogram,
    s.start_timestamp,
    s.day
FROM delta_scan(getvariable('lake') || '/samples') AS s
JOIN promlake_series AS l ON l.day = s.day AND l.metric = s.metric AND l.series_id = s.series_id;

-- Type, unit and help of each metric family.
CREATE OR REPLACE VIEW promlake_metrics AS
SELECT family, max(kind) AS kind, max(unit) AS unit, max(help) AS help
FROM delta_scan(getvariable('lake') || '/metadata')
GROUP BY family;

-- Exemplars with the labels of their series.
CREATE OR REPLACE VIEW promlake_exemplars AS
SELECT DISTINCT e.timestamp, e.value, e.metric, l.labels AS series_labels, e.labels, e.series_id, e.day
FROM delta_scan(getvariable('lake') || '/exemplars') AS e
JOIN promlake_series AS l ON l.day = e.day AND l.metric = e.metric AND l.series_id = e.series_id;

-- Every change of the state of an alert: inactive, pending or firing.
CREATE OR REPLACE VIEW promlake_alert_history AS
SELECT time, alert, labels, annotations, from_state, to_state, value, rule_group, file, node, day
FROM delta_scan(getvariable('lake') || '/alert_history');
