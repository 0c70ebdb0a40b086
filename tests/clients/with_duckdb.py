"""DuckDB's postgres extension: ATTACH, joins with its own tables, filters pushed down, COPY in binary by several connections."""

import glob
import importlib
import math
import os
import shutil

import duckdb

from answers import MINUTE, T0
from checks import main


def work(checks):
    module = os.path.dirname(importlib.import_module("duckdb_extension_postgres").__file__)
    db = duckdb.connect()
    db.execute("SET enable_progress_bar = false; SET TimeZone = 'UTC'")
    # DuckDB looks for a function named as the file, and the package has named the file by the extension's other name.
    shutil.copy(glob.glob(module + "/**/*.duckdb_extension", recursive=True)[0], "postgres_scanner.duckdb_extension")
    db.execute(f"LOAD '{os.path.abspath('postgres_scanner.duckdb_extension')}'")
    place = f"host=127.0.0.1 port={checks.port} user=promlake dbname=promlake"

    def ask(sql):
        return db.execute(sql).fetchall()

    checks.same("postgres_query", [("bath", 61)], lambda: attached(ask, place) or ask("FROM postgres_query('lake', 'SELECT room, count(*) AS n FROM clients_temperature GROUP BY room ORDER BY room LIMIT 1')"))
    checks.same("tables", ["Clients_Mixed", "clients_empty", "clients_many", "clients_odd", "clients_temperature"], lambda: sorted(row[0] for row in ask("SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = 'public' AND table_name ILIKE 'clients%'")))
    checks.same("columns", [("level", "VARCHAR"), ("room", "VARCHAR"), ("timestamp", "TIMESTAMP WITH TIME ZONE"), ("value", "DOUBLE")], lambda: sorted((row[0], row[1]) for row in ask("DESCRIBE lake.public.clients_temperature")))
    checks.same("rows", [(T0.timestamp(), 18.0, "bath", None)], lambda: ask("SELECT epoch(timestamp), value, room, level FROM lake.public.clients_temperature ORDER BY room, timestamp LIMIT 1"))
    checks.same("a filter", [(11,)], lambda: ask("SELECT count(*) FROM lake.public.clients_temperature WHERE room = 'bath' AND timestamp <= TIMESTAMPTZ '2026-01-01 00:10:00+00'"))
    checks.same("IS NULL and IN", [(61,)], lambda: ask("SELECT count(*) FROM lake.public.clients_temperature WHERE level IS NULL AND room IN ('bath', 'hall')"))
    checks.same("a whole metric", [(60_000, 1_799_970_000.0)], lambda: ask("SELECT count(*), sum(value) FROM lake.public.clients_many"))
    checks.same("names in mixed case", [("Nürn\"b'erg", 7.0)], lambda: ask('SELECT "Zone", value FROM lake.public."Clients_Mixed"'))
    checks.same("odd numbers", [math.inf, -math.inf, 1e300, -0.0, math.nan, 0.1, 5e-324], lambda: [row[0] for row in ask("SELECT value FROM lake.public.clients_odd ORDER BY kind")])
    checks.same("a join with a table of DuckDB", [("A", 25.5), ("B", 26.5)], lambda: joined(ask))
    checks.same("postgres_scan", [(183,)], lambda: ask(f"SELECT count(*) FROM postgres_scan('{place}', 'public', 'clients_temperature')"))
    checks.same("inserted", [(2, 3.0)], lambda: inserted(ask))
    checks.same("a transaction", [(183,)], lambda: transaction(ask))
    checks.same("an error of the server", True, lambda: "nope" in failing(lambda: ask("FROM postgres_query('lake', 'SELECT nope FROM clients_temperature')")))
    if checks.is_promlake:
        checks.same("promql", [("hall", 31.5)], lambda: ask("FROM postgres_query('lake', 'SELECT room, value FROM promql(''clients_temperature{room=\"hall\"}'', ''2026-01-01T00:50:00Z'')')"))


def attached(ask, place):
    ask(f"ATTACH '{place}' AS lake (TYPE postgres)")


def joined(ask):
    ask("CREATE TABLE owners AS SELECT * FROM (VALUES ('bath', 'A'), ('hall', 'B')) AS t(room, owner)")
    return ask("SELECT owner, avg(value) FROM lake.public.clients_temperature JOIN owners USING (room) GROUP BY owner ORDER BY owner")


def inserted(ask):
    ask(f"INSERT INTO lake.public.clients_empty (timestamp, value, host) VALUES ('{T0.isoformat()}', 1, 'duck'), ('{(T0 + MINUTE).isoformat()}', 2, 'duck')")
    return ask("SELECT count(*), sum(value) FROM lake.public.clients_empty WHERE host = 'duck'")


def transaction(ask):
    ask("BEGIN")
    found = ask("SELECT count(*) FROM lake.public.clients_temperature")
    ask("COMMIT")
    return found


def failing(ask):
    try:
        return f"no error, {ask()}"
    except Exception as error:
        return str(error)


main(work)
