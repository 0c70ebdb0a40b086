"""connectorx by each of its protocols, and Polars' read_database_uri by connectorx and ADBC, read_database by a connection."""

import connectorx
import polars
import psycopg

from checks import main

QUERY = "SELECT timestamp, value, room, level FROM clients_temperature ORDER BY room, timestamp"
ODD = "SELECT value FROM clients_odd ORDER BY kind"


def work(checks):
    for protocol in ("binary", "csv", "cursor", "simple"):
        print(f"-- connectorx, {protocol}")

        def read(sql, protocol=protocol, **more):
            return connectorx.read_sql(checks.url, sql, protocol=protocol, return_type="arrow", **more)

        checks.same("rows", (183, 4849.5), lambda: (lambda found: (found.num_rows, sum(found["value"].to_pylist())))(read(QUERY)))
        checks.same("a label that is missing", (61, 122), lambda: (lambda level: (level.count("1"), level.count(None)))(read(QUERY)["level"].to_pylist()))
        checks.same("types", ["double", "string", "int64", "bool"], lambda: [str(kind).replace("large_", "") for kind in read("SELECT 1.5::float8, 'a'::text, 3::int8, true").schema.types])
        checks.same("odd numbers", "[inf, -inf, 1e+300, -0.0, nan, 0.1, 5e-324]", lambda: repr(read(ODD)[0].to_pylist()))
        checks.same("no such column", True, lambda: "nope" in failing(lambda: read("SELECT nope FROM clients_temperature")))
    checks.same("in four parts by a number", (60_000, 1_799_970_000.0), lambda: parts(checks))
    print("-- polars")
    for engine in ("connectorx", "adbc"):

        def read(sql=QUERY, engine=engine):
            return polars.read_database_uri(sql, checks.url, engine=engine)

        checks.same(f"{engine}: rows and types", (183, ["Datetime", "Float64", "String", "String"]), lambda: (len(found := read()), [str(kind).split("(")[0] for kind in found.dtypes]))
        checks.same(f"{engine}: by room", [("bath", 25.5), ("hall", 26.5), ("kitchen", 27.5)], lambda: read().group_by("room").agg(polars.col("value").mean()).sort("room").rows())
        checks.same(f"{engine}: a whole metric", 60_000, lambda: len(read("SELECT * FROM clients_many")))
        if checks.is_promlake:
            checks.same(f"{engine}: promql", [(31.5,)], lambda: read("SELECT value FROM promql('clients_temperature{room=\"hall\"}', '2026-01-01T00:50:00Z')").rows())

    def by_connection():
        with psycopg.connect(**checks.place) as connection:
            return polars.read_database("SELECT room, max(value) AS highest FROM clients_temperature GROUP BY room ORDER BY room", connection).rows()

    checks.same("read_database", [("bath", 33.0), ("hall", 34.0), ("kitchen", 35.0)], by_connection)


def failing(ask):
    try:
        return f"no error, {ask()}"
    except Exception as error:
        return str(error)


def parts(checks):
    sql = "SELECT value, n::int8 AS n FROM clients_many"
    found = connectorx.read_sql(checks.url, sql, partition_on="n", partition_num=4, return_type="arrow")
    return found.num_rows, sum(found["value"].to_pylist())


main(work)
