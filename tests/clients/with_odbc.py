"""psqlODBC, by pyodbc: values, the catalogue calls that Tableau and Excel make, parameters, cursors, errors."""

import datetime
import decimal
import glob

import pyodbc

import answers
from answers import T0
from checks import main

# ODBC has no zones: times come as the session's.
PLAIN = T0.replace(tzinfo=None)
OTHER = {
    "a metric": [(PLAIN, 19.0, "hall", "1"), (PLAIN + answers.MINUTE, 19.25, "hall", "1")],
    "times written short": [(PLAIN, PLAIN + 10 * answers.MINUTE)],
    "by hour": [(PLAIN, 180), (PLAIN + answers.HOUR, 3)],
    "a gap filled": [(PLAIN + minute * answers.MINUTE, n) for minute, n in ((59, 3), (60, 3), (61, 0), (62, 0))],
    "promql": [(PLAIN + 10 * answers.MINUTE, "bath", 20.5), (PLAIN + 11 * answers.MINUTE, "bath", 20.75)],
    "texts": [("x", "yy", "é€😀", "", None, "1", None)],
    "times": [(datetime.date(2026, 2, 28), datetime.datetime(2026, 2, 28, 12, 34, 56, 789012), datetime.datetime(2026, 2, 28, 10, 34, 56), datetime.time(12, 34, 56), "1 day 02:03:04")],
    "arrays": [("{1,2,NULL}", '{a,"b,\\"c",NULL}', "{1.5}")],
    "array_agg": [("{bath,hall,kitchen}",)],
    "jsonb": [('{"a": [1, null]}',)],
    "uuid": [("6E9EA4F6-5E49-4E0C-A0C5-6F7B8F6C9A01",)],
}


def work(checks):
    driver = glob.glob("/usr/lib/*/odbc/psqlodbcw.so")[0]
    place = f"Driver={driver};Server=127.0.0.1;Port={checks.port};Database=promlake;Uid=promlake"
    connection = pyodbc.connect(place, autocommit=True)

    def ask(sql, *values):
        return [tuple(row) for row in connection.cursor().execute(sql, *values).fetchall()]

    # An integer that is a number there has its own SQLSTATEs; those of the server come through.
    answers.ask_all(checks, ask, other=OTHER)
    checks.same("values", [(1, 1.5, "it's é", decimal.Decimal("1.20"))], lambda: ask("SELECT ?::int, ?::float8, ?::text, ?::numeric", 1, 1.5, "it's é", decimal.Decimal("1.20")))
    checks.same("a span", [(11,)], lambda: ask("SELECT count(*) FROM clients_temperature WHERE room = ? AND timestamp BETWEEN ? AND ?", "bath", PLAIN, PLAIN + 10 * answers.MINUTE))
    checks.same("tables", ["Clients_Mixed", "clients_empty", "clients_many", "clients_odd", "clients_temperature"], lambda: sorted(row.table_name for row in connection.cursor().tables(schema="public") if "lients" in row.table_name))
    checks.same("kinds of tables", ["TABLE"], lambda: [row.table_type for row in connection.cursor().tables(table="clients_temperature")])
    checks.same("columns", [("level", "text"), ("room", "text"), ("timestamp", "timestamptz"), ("value", "float8")], lambda: sorted((row.column_name, row.type_name) for row in connection.cursor().columns(table="clients_temperature")))
    checks.same("columns in mixed case", ["Zone", "timestamp", "value"], lambda: sorted(row.column_name for row in connection.cursor().columns(table="Clients_Mixed")))
    checks.same("primary keys", [], lambda: list(connection.cursor().primaryKeys("clients_temperature")))
    checks.same("foreign keys", [], lambda: list(connection.cursor().foreignKeys("clients_temperature")))
    checks.same("statistics", True, lambda: len(list(connection.cursor().statistics("clients_temperature"))) <= 1)
    checks.same("procedures", True, lambda: len(list(connection.cursor().procedures())) >= 0)
    checks.same("kinds of types", True, lambda: any(row[0] == "timestamptz" for row in connection.cursor().getTypeInfo()))
    checks.same("what the driver knows of the server", ("PostgreSQL", "promlake"), lambda: (connection.getinfo(pyodbc.SQL_DBMS_NAME), connection.getinfo(pyodbc.SQL_DATABASE_NAME)))
    checks.same("description", [("timestamp", datetime.datetime), ("value", float), ("room", str)], lambda: [column[:2] for column in connection.cursor().execute("SELECT timestamp, value, room FROM clients_temperature LIMIT 0").description])
    for name, options in (("as it is", ""), ("by declare and fetch", ";UseDeclareFetch=1;Fetch=7000"), ("prepared on the server", ";UseServerSidePrepare=1"), ("by the simple protocol", ";UseServerSidePrepare=0")):
        checks.same(f"a whole metric {name}", (60_000, 1_799_970_000.0), lambda options=options: whole(place + options))
    checks.same("executemany", [(3, 6.0)], lambda: many(connection, ask))
    checks.same("an error in a transaction", [("42703", "25P02", [(1,)])], lambda: [failed(place)])
    connection.close()


def whole(place):
    with pyodbc.connect(place) as connection:
        rows = connection.cursor().execute("SELECT timestamp, value FROM clients_many WHERE value >= ?", 0.0).fetchall()
        return len(rows), sum(row[1] for row in rows)


def many(connection, ask):
    rows = [(PLAIN + at * answers.MINUTE, float(at + 1), "odbc") for at in range(3)]
    connection.cursor().executemany("INSERT INTO clients_empty (timestamp, value, host) VALUES (?, ?, ?)", rows)
    return ask("SELECT count(*), sum(value) FROM clients_empty WHERE host = 'odbc'")


def failed(place):
    """psqlODBC rolls back a statement that fails by a savepoint of its own, unless told to leave that to the caller."""
    states = []
    with pyodbc.connect(place + ";Protocol=7.4-0") as connection:
        for sql in ("SELECT nope FROM clients_temperature", "SELECT 1"):
            try:
                connection.cursor().execute(sql)
            except pyodbc.Error as error:
                states.append(error.args[0])
        connection.rollback()
        return *states, [tuple(row) for row in connection.cursor().execute("SELECT 1").fetchall()]


main(work)
