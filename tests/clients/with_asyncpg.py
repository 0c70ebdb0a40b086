"""asyncpg: everything prepared and in binary, its questions about types, cursors, COPY, pools, timeouts."""

import asyncio
import datetime
import decimal
import io
import json

import asyncpg

import answers
from answers import MINUTE, T0
from checks import main

ENDLESS = "SELECT count(*) FROM generate_series(1, 10000000000) AS a(n) WHERE n % 7 = 8"


def work(checks):
    place = {"host": "127.0.0.1", "port": checks.port, "user": "promlake", "database": "promlake", "ssl": False}
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(**place))

        def ask(sql, *values):
            return [tuple(row) for row in runner.run(connection.fetch(sql, *values))]

        def json_of(sql):
            return [(json.loads(value),) for (value,) in ask(sql)]

        answers.ask_all(checks, ask, without=["jsonb"])
        checks.same("jsonb", answers.QUERIES["jsonb"][1], lambda: json_of(answers.QUERIES["jsonb"][0]))
        values = [1, 1.5, "it's é", None, True, decimal.Decimal("1.20"), T0, T0.date(), datetime.timedelta(days=1, seconds=2), b"\0", [1, 2], ["a", None]]
        places = "$1::int8, $2::float8, $3::text, $4::text, $5::bool, $6::numeric, $7::timestamptz, $8::date, $9::interval, $10::bytea, $11::int4[], $12::text[]"
        checks.same("values there and back", [tuple(values)], lambda: ask(f"SELECT {places}", *values))
        checks.same("values typed by their places", [(11,)], lambda: ask("SELECT count(*) FROM clients_temperature WHERE room = $1 AND timestamp BETWEEN $2 AND $2 + $3::interval", "bath", T0, 10 * MINUTE))
        checks.same("= ANY of a list", [(122,)], lambda: ask("SELECT count(*) FROM clients_temperature WHERE room = ANY($1)", ["bath", "hall"]))
        checks.same("LIMIT of a value", [(18.0,)], lambda: ask("SELECT value FROM clients_temperature ORDER BY value, room LIMIT $1", 1))
        checks.same("int8[] and numeric[]", [([1, 2], [decimal.Decimal("1.5")])], lambda: ask("SELECT ARRAY[1, 2]::int8[], ARRAY[1.5]::numeric[]"))
        checks.same("the types of columns", ["timestamptz", "float8", "text"], lambda: runner.run(types(connection)))
        checks.same("a cursor", (60_000, 1_799_970_000.0), lambda: runner.run(by_cursor(connection)))
        checks.same("COPY TO of a query", 61, lambda: runner.run(copied_out(connection)))
        checks.same("COPY FROM in binary", [(3, 6.0)], lambda: runner.run(copied_in(connection)))
        checks.same("executemany", [(2, 3.0)], lambda: runner.run(many(connection)))
        checks.same("nested transactions", 2, lambda: runner.run(nested(connection)))
        checks.same("a pool's connections are reset", [61, 61, 61], lambda: runner.run(pooled(place)))
        checks.same("settings of the server", "UTF8", lambda: connection.get_settings().client_encoding)
        checks.same("an explicit SET is told", "Europe/Berlin", lambda: runner.run(zone(connection)))
        checks.same("a timeout of the client", "TimeoutError, then 1", lambda: runner.run(timed_out(connection)))
        checks.same("a record", (1, "a"), lambda: runner.run(composite(connection)))
        runner.run(connection.close())


async def types(connection):
    statement = await connection.prepare("SELECT timestamp, value, room FROM clients_temperature")
    return [attribute.type.name for attribute in statement.get_attributes()]


async def by_cursor(connection):
    async with connection.transaction():
        count, total = 0, 0.0
        async for row in connection.cursor("SELECT timestamp, value FROM clients_many", prefetch=7000):
            count, total = count + 1, total + row["value"]
        return count, total


async def copied_out(connection):
    out = io.BytesIO()
    await connection.copy_from_query("SELECT timestamp, value FROM clients_temperature WHERE room = $1", "bath", output=out, format="csv")
    return len(out.getvalue().splitlines())


async def copied_in(connection):
    rows = [(T0 + at * MINUTE, float(at + 1), "asyncpg") for at in range(3)]
    await connection.copy_records_to_table("clients_empty", records=rows, columns=["timestamp", "value", "host"])
    return [tuple(row) for row in await connection.fetch("SELECT count(*), sum(value) FROM clients_empty WHERE host = 'asyncpg'")]


async def many(connection):
    rows = [(T0 + at * MINUTE, float(at + 1), "many") for at in range(2)]
    await connection.executemany("INSERT INTO clients_empty (timestamp, value, host) VALUES ($1, $2, $3)", rows)
    return [tuple(row) for row in await connection.fetch("SELECT count(*), sum(value) FROM clients_empty WHERE host = 'many'")]


async def nested(connection):
    async with connection.transaction():
        try:
            async with connection.transaction():
                await connection.execute("SELECT 1 / 0")
        except asyncpg.DivisionByZeroError:
            return await connection.fetchval("SELECT 2")


async def pooled(place):
    async with asyncpg.create_pool(**place, min_size=1, max_size=2) as pool:
        return await asyncio.gather(*(pool.fetchval("SELECT count(*) FROM clients_temperature WHERE room = $1", "bath") for _ in range(3)))


async def zone(connection):
    await connection.execute("SET TimeZone = 'Europe/Berlin'")
    told = connection.get_settings().TimeZone
    await connection.execute("RESET TimeZone")
    return told


async def timed_out(connection):
    try:
        await connection.fetch(ENDLESS, timeout=0.5)
    except TimeoutError:
        return f"TimeoutError, then {await connection.fetchval('SELECT 1')}"


async def composite(connection):
    """It has no columns with names."""
    row = await connection.fetchval("SELECT ROW(1, 'a')")
    return tuple(row)


main(work)
