"""What Grafana's data source for PostgreSQL sends, against the binary and a PostgreSQL with the same rows: its statements among
`shared/pg-tests/bi.sql`, and the rest of what its editor asks for and its macros make. Statements go by the simple protocol, as
Grafana sends them, and rows are told by the tag SELECT."""

import os
import re

from psycopg import pq

from cases import counted
from pg_tests import Copy

FROM, TO = "'2026-01-01T00:00:00Z'", "'2026-01-01T06:00:00.123Z'"
WITHIN = f"timestamp BETWEEN {FROM} AND {TO}"
SEARCHED = """quote_ident(table_schema) IN (
  SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
  FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1),
                       array_upper(string_to_array(current_setting('search_path'),','),1)) as i,
       string_to_array(current_setting('search_path'),',') s)"""
# What Grafana makes of a type of PostgreSQL, by its number; of all others a string.
KINDS = {16: "boolean", 20: "integer", 21: "integer", 23: "integer", 700: "number", 701: "number", 1700: "number", 1082: "time", 1114: "time", 1184: "time"}
# Of these only the rows with such a word are compared: there are other tables and schemas, and our version is one of our own.
WORDS = {
    "version": b"no row",
    "schemas": b"public",
    "tables (search_path)": b"cpu_usage",
    "tables of a schema": b"cpu_usage",
    "tables, those on the search path first": b"cpu_usage",
}
# Name, and the statement.
STATEMENTS = [
    ("ping", "-- ping"),
    ("tables of a schema", "SELECT quote_ident(table_name) AS \"table\" FROM information_schema.tables WHERE quote_ident(table_schema) = 'public' ORDER BY 1"),
    ("tables, those on the search path first", f"""SELECT CASE WHEN {SEARCHED} THEN quote_ident(table_name)
       ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS "table"
       FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog')
       ORDER BY CASE WHEN {SEARCHED} THEN 0 ELSE 1 END, 1"""),
    ("columns on the search path", f"""SELECT quote_ident(column_name) AS "column", data_type AS "type" FROM information_schema.columns
       WHERE CASE WHEN array_length(parse_ident('cpu_usage'),1) = 2
         THEN quote_ident(table_schema) = (parse_ident('cpu_usage'))[1] AND quote_ident(table_name) = (parse_ident('cpu_usage'))[2]
         ELSE quote_ident(table_name) = 'cpu_usage' AND {SEARCHED} END"""),
    ("$__time", f'SELECT timestamp AS "time", host AS metric, value FROM cpu_usage WHERE {WITHIN} ORDER BY 1 LIMIT 100'),
    ("$__timeFrom and $__timeTo", f'SELECT timestamp AS "time", value FROM cpu_usage WHERE timestamp >= {FROM} AND timestamp < {TO} ORDER BY 1'),
    ("$__timeGroup of a series each", f"""SELECT floor(extract(epoch from timestamp)/60)*60 AS "time", host AS metric, avg(value) AS value
       FROM cpu_usage WHERE {WITHIN} GROUP BY floor(extract(epoch from timestamp)/60)*60, host ORDER BY 1, 2"""),
    ("$__timeGroup of parts of seconds", f'SELECT floor(extract(epoch from timestamp)/0.5)*0.5 AS "time", max(value) FROM cpu_usage WHERE {WITHIN} GROUP BY 1 ORDER BY 1'),
    ("$__unixEpochGroupAlias", f'SELECT floor((extract(epoch from timestamp))/3600)*3600 AS "time", count(*) AS value FROM cpu_usage WHERE {WITHIN} GROUP BY 1 ORDER BY 1'),
    ("$__unixEpochNanoFilter", """SELECT extract(epoch from timestamp)*1000000000 AS "time", value FROM cpu_usage
       WHERE extract(epoch from timestamp)*1000000000 >= 1767225600000000000
       AND extract(epoch from timestamp)*1000000000 <= 1767229200123000000 ORDER BY 1"""),
    ("a window over $__timeGroup", f"""SELECT floor(extract(epoch from timestamp)/300)*300 AS "time",
       avg(value) - lag(avg(value)) OVER (ORDER BY floor(extract(epoch from timestamp)/300)*300) AS change
       FROM cpu_usage WHERE {WITHIN} GROUP BY 1 ORDER BY 1"""),
    ("builder: aggregates by a column", "SELECT AVG(value) AS \"avg\", MAX(value), COUNT(value), host FROM public.cpu_usage WHERE value > 10 GROUP BY host ORDER BY host DESC LIMIT 50"),
    ("builder: quoted names", "SELECT \"timestamp\" AS \"time\", \"value\" FROM \"public\".\"cpu_usage\" WHERE (\"host\" = 'h1' AND \"value\" >= 50) ORDER BY \"timestamp\" LIMIT 50"),
    ("variable: values of a column", "SELECT DISTINCT host FROM cpu_usage ORDER BY host"),
    ("variable: texts and values", "SELECT DISTINCT upper(host) AS __text, host AS __value FROM cpu_usage ORDER BY 1"),
    ("several values of a variable", f"SELECT timestamp AS \"time\", value AS \"h1 and h2\" FROM cpu_usage WHERE {WITHIN} AND host IN ('h1','h2') ORDER BY 1"),
    ("annotations", f"""SELECT extract(epoch from timestamp) AS time, 'of ' || host AS text, host || ',cpu' AS tags
       FROM cpu_usage WHERE {WITHIN} AND value = 99 ORDER BY 1"""),
    ("annotations with an end", f"""SELECT min(timestamp) AS time, max(timestamp) AS timeend, host AS text
       FROM cpu_usage WHERE {WITHIN} GROUP BY host ORDER BY host"""),
    ("alert: a number of a query", f"SELECT avg(value) AS value, host FROM cpu_usage WHERE {WITHIN} GROUP BY host HAVING avg(value) > 1 ORDER BY host"),
    ("nothing is found", "SELECT timestamp AS \"time\", value FROM cpu_usage WHERE timestamp > '2030-01-01T00:00:00Z'"),
]


def sql(settings):
    """The same columns, of types that are one to Grafana, and the same rows."""
    with Copy(settings, oracle=True) as copy:
        with open(os.path.join(copy.path, "bi.sql"), encoding="utf-8") as f:
            found = re.findall(r"^-- grafana: (.*)\n(.*)\n", f.read(), re.M)
        texts = []
        for name, statement in [*found, *STATEMENTS]:
            statement = with_all_rows(statement)
            ours, theirs = answer(copy.port, statement), answer(copy.postgres.pg, without_timescale(statement))
            why = difference(name, ours, theirs)
            texts.append(f"{'FAIL' if why else 'ok  '} {name}{': ' + why if why else ''}")
    return counted("\n".join(texts), r"^ok ", r"^FAIL ")


def with_all_rows(statement):
    """A limit without an order gives any rows."""
    return statement if "ORDER BY" in statement else re.sub(r" LIMIT \d+$", "", statement)


def without_timescale(statement):
    """The same for a PostgreSQL that does not have TimescaleDB."""
    return re.sub(r"time_bucket\('([\d.]+)s',(\w+)\)", r"date_bin('\1 s', \2, 'epoch')", statement)


def answer(port, statement):
    """The error, the tag, the columns with what Grafana makes of their types, and the rows as texts."""
    connection = pq.PGconn.connect(f"host=127.0.0.1 port={port} user=postgres dbname=promlake connect_timeout=10".encode())
    try:
        result = connection.exec_(statement.encode())
        if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.EMPTY_QUERY):
            return {"error": (result.error_message or connection.error_message).decode("utf-8", "replace").strip().split("\n")[0]}
        columns = [(result.fname(at).decode(), KINDS.get(result.ftype(at), "string")) for at in range(result.nfields)]
        rows = [tuple(result.get_value(row, at) for at in range(result.nfields)) for row in range(result.ntuples)]
        return {"status": pq.ExecStatus(result.status).name, "tag": (result.command_status or b"").decode(), "columns": columns, "rows": rows}
    finally:
        connection.finish()


def difference(name, ours, theirs):
    if "error" in theirs:
        raise RuntimeError(f"{name}: PostgreSQL itself says {theirs['error']}")
    if "error" in ours:
        return ours["error"]
    if name in WORDS:
        for each in (ours, theirs):
            each["rows"] = [row for row in each["rows"] if WORDS[name] in row]
            each["tag"] = each["tag"].split(" ")[0]
    # Without an order in the statement there is none.
    rows = [[list(map(value, row)) for row in each.pop("rows")] for each in (ours, theirs)]
    if ours != theirs:
        return f"{ours}, not {theirs}"
    if rows[0] != rows[1] and sorted(rows[0], key=repr) != sorted(rows[1], key=repr):
        at = next(at for at, pair in enumerate(zip(*rows)) if pair[0] != pair[1])
        return f"row {at} is {rows[0][at]}, not {rows[1][at]}"
    return ""


def value(text):
    """Grafana makes a float64 of any number, so 1.50 and 1.5 are one."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text.decode("utf-8", "replace")
