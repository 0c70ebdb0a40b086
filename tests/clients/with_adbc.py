"""ADBC's driver: results are Arrow, read by COPY in binary; its catalogue calls; parameters; what is written from Arrow."""

import datetime

import adbc_driver_postgresql.dbapi as adbc
import pyarrow

from answers import MINUTE, T0
from checks import main

STATES = {"no such table": ("SELECT * FROM nope", "42P01"), "no such column": ("SELECT nope FROM clients_temperature", "42703"), "syntax": ("SELEC 1", "42601"), "division by zero": ("SELECT 1 / 0", "22012")}


def work(checks):
    connection = adbc.connect(checks.url, autocommit=True)

    def table(sql, values=None):
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetch_arrow_table()

    def rows(sql, values=None):
        return [tuple(row.values()) for row in table(sql, values).to_pylist()]

    first = "SELECT timestamp, value, room, level FROM clients_temperature ORDER BY room, timestamp LIMIT 1"
    checks.same("types", ["timestamp[us, tz=UTC]", "double", "string", "string"], lambda: [str(field.type) for field in table(first).schema])
    checks.same("rows", [(T0, 18.0, "bath", None)], lambda: [(row[0].astimezone(datetime.timezone.utc), *row[1:]) for row in rows(first)])
    checks.same("groups", [("bath", 61, 25.5), ("hall", 61, 26.5), ("kitchen", 61, 27.5)], lambda: rows("SELECT room, count(*), avg(value) FROM clients_temperature GROUP BY room ORDER BY room"))
    checks.same("a whole metric", (60_000, 1_799_970_000.0), lambda: summed(table("SELECT timestamp, value FROM clients_many")))
    checks.same("small types", (["int16", "int32", "int64", "float", "double", "bool", "date32[day]", "time64[us]", "binary"], (1, 2, 3, 1.5, 2.5, True, datetime.date(2026, 2, 28), datetime.time(12, 0), b"\x00")), lambda: small(table))
    checks.same("arrays", [([1, 2], ["a", None])], lambda: rows("SELECT ARRAY[1, 2] AS a, ARRAY['a', NULL] AS b"))
    checks.same("numeric is text", ["12.30"], lambda: [str(value) for value in table("SELECT 12.30::numeric").column(0).to_pylist()])
    checks.same("an interval", 1, lambda: table("SELECT INTERVAL '1 day 02:03:04'").num_rows)
    checks.same("no rows", (0, 4), lambda: (lambda found: (found.num_rows, found.num_columns))(table("SELECT timestamp, value, room, level FROM clients_temperature WHERE room = 'cellar'")))
    checks.same("values", [(61,)], lambda: rows("SELECT count(*) FROM clients_temperature WHERE room = $1", ("bath",)))
    checks.same("values of other types", [(11,)], lambda: rows("SELECT count(*) FROM clients_temperature WHERE room = 'bath' AND value < $1 AND timestamp <= $2", (100.0, T0 + 10 * MINUTE)))
    checks.same("a schema without running it", ["timestamp", "value", "room"], lambda: described(connection))
    checks.same("the schema of a table", True, lambda: {"timestamp", "value", "room", "level"} == set(connection.adbc_get_table_schema("clients_temperature").names))
    checks.same("objects down to columns", ["level", "room", "timestamp", "value"], lambda: objects(connection))
    checks.same("kinds of tables", True, lambda: "table" in connection.adbc_get_table_types())
    checks.same("info", True, lambda: "PostgreSQL" in connection.adbc_get_info()["vendor_name"])
    for name, (sql, state) in STATES.items():
        checks.raises(name, state, lambda sql=sql: rows(sql))
    checks.same("written from Arrow", [(3, 6.0)], lambda: ingested(connection, rows))
    if checks.is_promlake:
        checks.same("promql", [("hall", 31.5)], lambda: rows("SELECT room, value FROM promql('clients_temperature{room=\"hall\"}', '2026-01-01T00:50:00Z')"))
    connection.close()


def summed(found):
    return found.num_rows, pyarrow.compute.sum(found["value"]).as_py()


def small(table):
    found = table("SELECT 1::int2, 2, 3::int8, 1.5::float4, 2.5::float8, true, DATE '2026-02-28', TIME '12:00', '\\x00'::bytea")
    return [str(field.type) for field in found.schema], tuple(column[0].as_py() for column in found.columns)


def described(connection):
    with connection.cursor() as cursor:
        return cursor.adbc_execute_schema("SELECT timestamp, value, room FROM clients_temperature").names


def objects(connection):
    found = connection.adbc_get_objects(depth="columns", table_name_filter="clients_temperature").read_all().to_pylist()
    schemas = [schema for catalog in found for schema in catalog["catalog_db_schemas"] or []]
    tables = [table for schema in schemas for table in schema["db_schema_tables"] or []]
    return sorted(column["column_name"] for table in tables for column in table["table_columns"])


def ingested(connection, rows):
    times = pyarrow.array([T0 + at * MINUTE for at in range(3)], pyarrow.timestamp("us", tz="UTC"))
    batch = pyarrow.table({"timestamp": times, "value": [1.0, 2.0, 3.0], "host": ["adbc"] * 3})
    with connection.cursor() as cursor:
        cursor.adbc_ingest("clients_empty", batch, mode="append")
    return rows("SELECT count(*), sum(value) FROM clients_empty WHERE host = 'adbc'")


import pyarrow.compute  # noqa: E402

main(work)
