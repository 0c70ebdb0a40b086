"""What is asked with every driver of Python, with the rows that PostgreSQL gives; and statements that fail."""

import datetime
import decimal
import math
import uuid

UTC = datetime.timezone.utc
# Of `metrics.py`.
T0 = datetime.datetime(2026, 1, 1, tzinfo=UTC)
MINUTE, HOUR = datetime.timedelta(minutes=1), datetime.timedelta(hours=1)

QUERIES = {
    "a metric": (
        "SELECT timestamp, value, room, level FROM clients_temperature WHERE room = 'hall' ORDER BY timestamp LIMIT 2",
        [(T0, 19.0, "hall", "1"), (T0 + MINUTE, 19.25, "hall", "1")],
    ),
    "a label that is missing is NULL": (
        "SELECT room, level FROM clients_temperature WHERE timestamp = '2026-01-01 00:10:00Z' ORDER BY room",
        [("bath", None), ("hall", "1"), ("kitchen", None)],
    ),
    "groups": (
        "SELECT room, count(*), avg(value), min(value), max(value), sum(value) FROM clients_temperature GROUP BY room ORDER BY room",
        [("bath", 61, 25.5, 18.0, 33.0, 1555.5), ("hall", 61, 26.5, 19.0, 34.0, 1616.5), ("kitchen", 61, 27.5, 20.0, 35.0, 1677.5)],
    ),
    "by hour": (
        "SELECT date_trunc('hour', timestamp) AS hour, count(*) FROM clients_temperature GROUP BY 1 ORDER BY 1",
        [(T0, 180), (T0 + HOUR, 3)],
    ),
    "a window": (
        "SELECT room, value - lag(value) OVER (PARTITION BY room ORDER BY timestamp) AS step FROM clients_temperature ORDER BY room, timestamp LIMIT 2",
        [("bath", None), ("bath", 0.25)],
    ),
    "a join": (
        "SELECT a.room, b.value - a.value FROM clients_temperature a JOIN clients_temperature b USING (timestamp) "
        "WHERE a.room = 'bath' AND b.room = 'kitchen' AND a.timestamp < '2026-01-01 00:01:00Z'",
        [("bath", 2.0)],
    ),
    "percentile_cont": ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FROM clients_temperature WHERE room = 'bath'", [(25.5,)]),
    "odd numbers": (
        "SELECT kind, value FROM clients_odd ORDER BY kind",
        [("+inf", math.inf), ("-inf", -math.inf), ("huge", 1e300), ("minus zero", -0.0), ("nan", math.nan), ("tenth", 0.1), ("tiny", 5e-324)],
    ),
    "names in mixed case": ('SELECT "Zone", value FROM "Clients_Mixed"', [("Nürn\"b'erg", 7.0)]),
    "numbers": (
        "SELECT 1::int2, 2, 3::int8, 1.5::float4, 2.5::float8, 12.30::numeric, 9223372036854775807",
        [(1, 2, 3, 1.5, 2.5, decimal.Decimal("12.30"), 9223372036854775807)],
    ),
    "texts": ("SELECT 'x'::text, 'yyyyyy'::varchar(2), 'é€😀', '', NULL, true, NULL::boolean", [("x", "yy", "é€😀", "", None, True, None)]),
    "times": (
        "SELECT DATE '2026-02-28', TIMESTAMP '2026-02-28 12:34:56.789012', TIMESTAMPTZ '2026-02-28 12:34:56+02', TIME '12:34:56', INTERVAL '1 day 02:03:04'",
        [
            (
                datetime.date(2026, 2, 28),
                datetime.datetime(2026, 2, 28, 12, 34, 56, 789012),
                datetime.datetime(2026, 2, 28, 10, 34, 56, tzinfo=UTC),
                datetime.time(12, 34, 56),
                datetime.timedelta(days=1, hours=2, minutes=3, seconds=4),
            )
        ],
    ),
    "times written short": ("SELECT '2026-01-01Z'::timestamptz, '2026-01-01 00:10Z'::timestamptz", [(T0, T0 + 10 * MINUTE)]),
    "arrays": ("SELECT ARRAY[1, 2, NULL], ARRAY['a', 'b,\"c', NULL], ARRAY[1.5::float8]", [([1, 2, None], ["a", 'b,"c', None], [1.5])]),
    "array_agg": ("SELECT array_agg(DISTINCT room ORDER BY room) FROM clients_temperature", [(["bath", "hall", "kitchen"],)]),
    "jsonb": ("SELECT '{\"a\": [1, null]}'::jsonb", [({"a": [1, None]},)]),
    "bytea": (r"SELECT '\x00ff'::bytea", [(b"\x00\xff",)]),
    "uuid": ("SELECT '6e9ea4f6-5e49-4e0c-a0c5-6f7b8f6c9a01'::uuid", [(uuid.UUID("6e9ea4f6-5e49-4e0c-a0c5-6f7b8f6c9a01"),)]),
    "no rows": ("SELECT timestamp, value FROM clients_temperature WHERE room = 'cellar'", []),
    "a gap filled": (
        "SELECT minute, count(t.value) FROM generate_series('2026-01-01 00:59Z'::timestamptz, '2026-01-01 01:02Z', '1 minute') AS minute "
        "LEFT JOIN clients_temperature t ON t.timestamp = minute GROUP BY 1 ORDER BY 1",
        [(T0 + 59 * MINUTE, 3), (T0 + HOUR, 3), (T0 + 61 * MINUTE, 0), (T0 + 62 * MINUTE, 0)],
    ),
}
# What only promlake has.
PROMQL = {
    "promql": (
        "SELECT timestamp, room, value FROM promql('max_over_time(clients_temperature{room=\"bath\"}[5m])', "
        "'2026-01-01T00:10:00Z', '2026-01-01T00:11:00Z', interval '1 minute') ORDER BY timestamp",
        [(T0 + 10 * MINUTE, "bath", 20.5), (T0 + 11 * MINUTE, "bath", 20.75)],
    ),
}
ERRORS = {
    "no such table": ("SELECT * FROM nope", "42P01"),
    "no such column": ("SELECT nope FROM clients_temperature", "42703"),
    "no such function": ("SELECT nope(1)", "42883"),
    "syntax": ("SELEC 1", "42601"),
    "division by zero": ("SELECT 1 / 0", "22012"),
    "text that is no number": ("SELECT 'a'::int", "22P02"),
    "an integer too large": ("SELECT 2147483647 + 1", "22003"),
    "not grouped": ("SELECT room, max(value) FROM clients_temperature", "42803"),
    "text and number": ("SELECT count(*) FROM clients_temperature WHERE room = 5", "42883"),
    "a zone that is not there": ("SET TimeZone = 'Mars/Olympus'", "22023"),
}


def ask_all(checks, ask, fail=None, other=(), without=()):
    """`ask(sql)` gives rows as tuples; `fail(sql)` the same, of what has an error. `other` has a driver's own values, `without` what it cannot."""
    other = dict(other)
    queries = {**QUERIES, **(PROMQL if checks.is_promlake else {})}
    for name, (sql, rows) in queries.items():
        if name not in without:
            checks.same(name, other.get(name, rows), lambda sql=sql: ask(sql))
    for name, (sql, state) in ERRORS.items():
        if name not in without:
            checks.raises(name, state, lambda sql=sql: (fail or ask)(sql))
