"""psycopg 3: values as text and in binary, named cursors, COPY both ways, pipelines, nested transactions, prepared statements."""

import asyncio
import datetime
import decimal
import threading
import time

import psycopg
from psycopg.rows import dict_row

import answers
from answers import MINUTE, T0
from checks import main

RUNAWAY = {
    "a series": "SELECT count(*) FROM generate_series(1, 10000000000) AS a(n) WHERE n % 7 = 8",
    "a join": "SELECT count(*) FROM clients_many a CROSS JOIN clients_many b WHERE a.value + b.value < -1",
    "a sort": "SELECT a.value FROM clients_many a CROSS JOIN clients_many b ORDER BY a.value + b.value LIMIT 5",
}
ENDLESS = "SELECT count(*) FROM generate_series(1, 10000000000) AS a(n) WHERE n % 7 = 8"


def work(checks):
    connection = psycopg.connect(**checks.place, autocommit=True)

    def ask(sql, values=None, binary=False):
        return connection.cursor(binary=binary).execute(sql, values).fetchall()

    print("-- text")
    answers.ask_all(checks, ask)
    print("-- binary, prepared")
    answers.ask_all(checks, lambda sql: connection.cursor(binary=True).execute(sql, prepare=True).fetchall())
    values = [1, 2**40, 1.5, "it's é", None, True, decimal.Decimal("1.20"), T0, T0.date(), datetime.time(1, 2, 3), datetime.timedelta(days=1, seconds=2), b"\x00\xff", [1, 2]]
    places = "%s, %s, %s, %s::text, %s::text, %s, %s, %s, %s, %s, %s, %s, %s"
    for name, binary in (("text", False), ("binary", True)):
        checks.same(f"values there and back as {name}", [tuple(values)], lambda binary=binary: ask(f"SELECT {places.replace('%s', '%b') if binary else places}", values, binary))
        checks.same(f"a span, {name}", [(11,)], lambda binary=binary: ask("SELECT count(*) FROM clients_temperature WHERE room = %s AND timestamp BETWEEN %s AND %s", ("bath", T0, T0 + 10 * MINUTE), binary))
        checks.same(f"= ANY of a list, {name}", [(122,)], lambda binary=binary: ask("SELECT count(*) FROM clients_temperature WHERE room = ANY(%s)", (["bath", "hall"],), binary))
        checks.same(f"LIMIT of a value, {name}", [(18.0,)], lambda binary=binary: ask("SELECT value FROM clients_temperature ORDER BY value, room LIMIT %s", (1,), binary))
        checks.same(f"an interval that is taken off, {name}", [(T0 - MINUTE,)], lambda binary=binary: ask("SELECT %s - %s", (T0, MINUTE), binary))
    if checks.is_promlake:
        checks.same("values in promql()", [("hall", 31.5)], lambda: ask("SELECT room, value FROM promql(%s, %s)", ('clients_temperature{room="hall"}', T0 + 50 * MINUTE)))
    checks.same("a named cursor", (60_000, 1_799_970_000.0), lambda: by_cursor(checks, False))
    checks.same("a named cursor, binary, with a value", (1000, 499_500.0), lambda: by_cursor(checks, True, "0"))
    checks.same("a stream of rows", 60_000, lambda: sum(1 for _ in connection.cursor().stream("SELECT value FROM clients_many")))
    checks.same("COPY TO as text", [("2026-01-01 00:00:00+00", "18", "bath", None)], lambda: copied(connection, "", None))
    checks.same("COPY TO in binary", [(T0, 18.0, "bath", None)], lambda: copied(connection, "(FORMAT binary)", ["timestamptz", "float8", "text", "text"]))
    checks.same("COPY TO of a whole metric", 60_000, lambda: whole(connection))
    checks.same("COPY FROM as text", [(1000, 499_500.0)], lambda: written(connection, ask, "text"))
    checks.same("COPY FROM in binary", [(1000, 499_500.0)], lambda: written(connection, ask, "binary"))
    checks.same("executemany", [(3, 6.0)], lambda: many(connection, ask))
    checks.same("a pipeline", ([(1,)], [("bath",)]), lambda: pipeline(connection))
    checks.same("a pipeline with an error in it", ("42703", [(3,)]), lambda: broken_pipeline(checks))
    checks.same("nested transactions", [(2,)], lambda: nested(checks))
    checks.same("rolled back", [(0,)], lambda: rolled_back(checks, ask))
    checks.same("prepared by itself after five", [61] * 8, lambda: [ask("SELECT count(*) FROM clients_temperature WHERE room = %s", ("bath",))[0][0] for _ in range(8)])
    checks.same("rows as dicts", [{"room": "bath", "max": 33.0}], lambda: connection.cursor(row_factory=dict_row).execute("SELECT room, max(value) FROM clients_temperature GROUP BY room ORDER BY room LIMIT 1").fetchall())
    checks.same("the zone of the session", ("Europe/Berlin", "2026-01-01T01:00:00+01:00"), lambda: zone(checks))
    checks.same("two statements in one", [[(1,)], [(2,)]], lambda: two(connection))
    checks.raises("cancel", "57014", lambda: cancelled(checks))
    for name, sql in RUNAWAY.items():
        checks.same(f"others are answered beside {name}", True, lambda sql=sql: beside(checks, sql))
    checks.same("asyncio", 60_000, lambda: asyncio.run(asynchronous(checks)))
    checks.same("an error has its place and its name", ("UndefinedColumn", "8"), lambda: place(connection))


def by_cursor(checks, binary, n=None):
    with psycopg.connect(**checks.place) as connection, connection.cursor(name="many", binary=binary) as cursor:
        cursor.itersize = 7000
        cursor.execute("SELECT timestamp, value FROM clients_many" + (" WHERE n = %s" if n else ""), [n] if n else None)
        rows = list(cursor)
        return len(rows), sum(value for _, value in rows)


def copied(connection, options, types):
    with connection.cursor().copy(f"COPY (SELECT timestamp, value, room, level FROM clients_temperature ORDER BY room, timestamp LIMIT 1) TO STDOUT {options}") as copy:
        if types:
            copy.set_types(types)
        return list(copy.rows())


def whole(connection):
    with connection.cursor().copy("COPY clients_many TO STDOUT") as copy:
        return sum(1 for _ in copy.rows())


def written(connection, ask, format):
    with connection.cursor().copy(f"COPY clients_empty (timestamp, value, host) FROM STDIN (FORMAT {format})") as copy:
        if format == "binary":
            copy.set_types(["timestamptz", "float8", "text"])
        for at in range(1000):
            copy.write_row((T0 + at * MINUTE, float(at), f"copy {format}"))
    return ask("SELECT count(*), sum(value) FROM clients_empty WHERE host = %s", (f"copy {format}",))


def many(connection, ask):
    connection.cursor().executemany(
        "INSERT INTO clients_empty (timestamp, value, host) VALUES (%s, %s, %s)", [(T0 + at * MINUTE, float(at + 1), "many") for at in range(3)]
    )
    return ask("SELECT count(*), sum(value) FROM clients_empty WHERE host = 'many'")


def pipeline(connection):
    with connection.pipeline():
        one = connection.execute("SELECT 1")
        other = connection.execute("SELECT DISTINCT room FROM clients_temperature WHERE room = %s", ["bath"])
    return one.fetchall(), other.fetchall()


def broken_pipeline(checks):
    with psycopg.connect(**checks.place, autocommit=True) as connection:
        try:
            with connection.pipeline():
                connection.execute("SELECT nope FROM clients_temperature")
                connection.execute("SELECT 2")
        except psycopg.Error as error:
            return error.sqlstate, connection.execute("SELECT 3").fetchall()


def nested(checks):
    with psycopg.connect(**checks.place) as connection:
        with connection.transaction():
            try:
                with connection.transaction():
                    connection.execute("SELECT 1 / 0")
            except psycopg.errors.DivisionByZero:
                pass
            return connection.execute("SELECT 2").fetchall()


def rolled_back(checks, ask):
    with psycopg.connect(**checks.place) as connection:
        connection.execute("INSERT INTO clients_empty (timestamp, value, host) VALUES (%s, 1, 'gone')", [T0])
        connection.rollback()
    return ask("SELECT count(*) FROM clients_empty WHERE host = 'gone'")


def zone(checks):
    with psycopg.connect(**checks.place, options="-c TimeZone=Europe/Berlin") as connection:
        row = connection.execute("SELECT min(timestamp) FROM clients_temperature").fetchone()
        return connection.info.timezone.key, row[0].isoformat()


def two(connection):
    cursor, results = connection.execute("SELECT 1; SELECT 2"), []
    while True:
        results.append(cursor.fetchall())
        if not cursor.nextset():
            return results


def cancelled(checks):
    with psycopg.connect(**checks.place) as connection:
        threading.Timer(0.5, connection.cancel_safe).start()
        connection.execute(ENDLESS)


def beside(checks, sql):
    """Two of them. A second each is much for `SELECT 1`, on a machine whose cores are busy."""
    runaways = [psycopg.connect(**checks.place, autocommit=True) for _ in range(2)]

    def run(runaway):
        try:
            runaway.execute(sql)
        except psycopg.errors.QueryCanceled:
            pass

    def stop():
        for runaway in runaways:
            runaway.cancel_safe()

    threads = [threading.Thread(target=run, args=[runaway]) for runaway in runaways]
    # They are ended all the same where the other one waits for them.
    timer = threading.Timer(8, stop)
    slowest = 0.0
    with psycopg.connect(**checks.place, autocommit=True) as other:
        for thread in [*threads, timer]:
            thread.start()
        time.sleep(1)
        for _ in range(10):
            began = time.monotonic()
            other.execute("SELECT 1").fetchall()
            slowest = max(slowest, time.monotonic() - began)
    timer.cancel()
    stop()
    for thread in threads:
        thread.join()
    for runaway in runaways:
        runaway.close()
    return slowest < 1 or f"SELECT 1 waits for {slowest:.1f} s"


async def asynchronous(checks):
    async with await psycopg.AsyncConnection.connect(**checks.place) as connection, connection.cursor(name="a") as cursor:
        await cursor.execute("SELECT value FROM clients_many")
        return sum([1 async for _ in cursor])


def place(connection):
    try:
        connection.execute("SELECT nope FROM clients_temperature")
    except psycopg.Error as error:
        return type(error).__name__, error.diag.statement_position


main(work)
