"""SQLAlchemy 2 over psycopg2, psycopg 3 and asyncpg: reflection, Core queries, and pandas."""

import asyncio
import datetime

import pandas
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from answers import HOUR, MINUTE, T0
from checks import main

METRICS = ["Clients_Mixed", "clients_empty", "clients_many", "clients_odd", "clients_temperature"]


def work(checks):
    for driver in ("psycopg2", "psycopg"):
        print(f"-- {driver}")
        engine = sa.create_engine(checks.url.replace("://", f"+{driver}://"))
        reflection(checks, engine)
        core(checks, engine)
        frames(checks, engine)
        engine.dispose()
    print("-- asyncpg")
    checks.same("asyncio", [("bath", 61)], lambda: asyncio.run(asynchronous(checks.url.replace("://", "+asyncpg://"))))


def reflection(checks, engine):
    inspector = sa.inspect(engine)
    checks.same("the schema", "public", lambda: inspector.default_schema_name)
    checks.same("schemas", True, lambda: {"public", "information_schema"} <= set(inspector.get_schema_names()))
    checks.same("tables", METRICS, lambda: sorted(name for name in inspector.get_table_names() if "lients" in name))
    checks.same("views", [], lambda: [name for name in inspector.get_view_names() if "lients" in name])
    wanted = [("timestamp", "TIMESTAMP", True, False), ("value", "DOUBLE PRECISION", None, True), ("level", "TEXT", None, True), ("room", "TEXT", None, True)]
    checks.same("columns", sorted(wanted), lambda: sorted((c["name"], str(c["type"]), getattr(c["type"], "timezone", None), c["nullable"]) for c in inspector.get_columns("clients_temperature")))
    checks.same("the comment", "How warm a room is.", lambda: inspector.get_table_comment("clients_temperature")["text"].split(" (")[0])
    checks.same("no keys", ([], [], [], []), lambda: (inspector.get_pk_constraint("clients_temperature")["constrained_columns"], inspector.get_foreign_keys("clients_temperature"), inspector.get_indexes("clients_temperature"), inspector.get_unique_constraints("clients_temperature")))
    checks.same("no check constraints", [], lambda: inspector.get_check_constraints("clients_temperature"))
    checks.same("has_table", (True, False), lambda: (inspector.has_table("clients_temperature"), inspector.has_table("nope")))
    checks.same("enums and domains", ([], []), lambda: (inspector.get_enums(), [d for d in inspector.get_domains()]))

    def reflected():
        metadata = sa.MetaData()
        metadata.reflect(engine)
        return sorted(name for name in metadata.tables if "lients" in name)

    checks.same("all of it", METRICS, reflected)


def core(checks, engine):
    table = sa.Table("clients_temperature", sa.MetaData(), autoload_with=engine)
    mixed = sa.Table("Clients_Mixed", sa.MetaData(), autoload_with=engine)

    def rows(statement):
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(statement)]

    hour = sa.func.date_trunc("hour", table.c.timestamp).label("hour")
    checks.same("by hour", [(T0, 180, 26.375), (T0 + HOUR, 3, 34.0)], lambda: rows(sa.select(hour, sa.func.count(), sa.func.avg(table.c.value)).group_by(hour).order_by(hour)))
    checks.same("IN", [("bath",), ("hall",)], lambda: rows(sa.select(table.c.room).where(table.c.room.in_(["bath", "hall"])).distinct().order_by(table.c.room)))
    checks.same("a span", [(11,)], lambda: rows(sa.select(sa.func.count()).where(table.c.room == "bath", table.c.timestamp.between(T0, T0 + 10 * MINUTE))))
    checks.same("an interval", [(T0 - HOUR,)], lambda: rows(sa.select(sa.func.min(table.c.timestamp) - datetime.timedelta(hours=1))))
    checks.same("ILIKE, CASE, extract", [("cold", 2), ("warm", 2)], lambda: rows(warm(table)))
    checks.same("a CTE with row_number", [("bath", 33.0), ("hall", 34.0), ("kitchen", 35.0)], lambda: rows(newest(table)))
    checks.same("names in mixed case", [("Nürn\"b'erg", 7.0)], lambda: rows(sa.select(mixed.c.Zone, mixed.c.value)))
    checks.same("offset and limit", [(18.5,)], lambda: rows(sa.select(table.c.value).where(table.c.room == "bath").order_by(table.c.timestamp).limit(1).offset(2)))
    checks.raises("an error", "42703", lambda: rows(sa.text("SELECT nope FROM clients_temperature")))
    checks.same("insert", [("sa", 1.0)], lambda: inserted(engine, rows))
    checks.same("a nested transaction", [(2,)], lambda: nested(engine))

    def streamed():
        with engine.connect().execution_options(stream_results=True, max_row_buffer=5000) as connection:
            return sum(1 for _ in connection.execute(sa.text("SELECT timestamp, value FROM clients_many")))

    checks.same("streamed", 60_000, streamed)
    checks.same("the level of isolation", True, lambda: isolated(engine))


def warm(table):
    how = sa.case((table.c.value > 34.25, "warm"), else_="cold").label("how")
    late = sa.extract("minute", table.c.timestamp) > 55
    return sa.select(how, sa.func.count()).where(table.c.room.ilike("KIT%"), late).group_by(how).order_by(how)


def newest(table):
    number = sa.func.row_number().over(partition_by=table.c.room, order_by=table.c.timestamp.desc()).label("number")
    ranked = sa.select(table.c.room, table.c.value, number).cte("ranked")
    return sa.select(ranked.c.room, ranked.c.value).where(ranked.c.number == 1).order_by(ranked.c.room)


def inserted(engine, rows):
    table = sa.Table("clients_empty", sa.MetaData(), autoload_with=engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"timestamp": T0, "value": 1.0, "host": "sa"}])
    return rows(sa.select(table.c.host, table.c.value).where(table.c.host == "sa").distinct())


def nested(engine):
    with engine.begin() as connection:
        try:
            with connection.begin_nested():
                connection.execute(sa.text("SELECT 1 / 0"))
        except sa.exc.DBAPIError:
            pass
        return [tuple(row) for row in connection.execute(sa.text("SELECT 2"))]


def isolated(engine):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return connection.execute(sa.text("SELECT 1")).scalar() == 1 and isinstance(connection.get_isolation_level(), str)


def frames(checks, engine):
    def kinds(frame):
        return [str(kind).split("[")[0] for kind in frame.dtypes]

    frame = pandas.read_sql("SELECT timestamp, room, value FROM clients_temperature ORDER BY timestamp, room", engine)
    checks.same("read_sql: rows and types", (183, ["datetime64", "str", "float64"], 26.5), lambda: (len(frame), kinds(frame), float(frame["value"].mean())))
    checks.same("read_sql with values", 11, lambda: len(pandas.read_sql(sa.text("SELECT * FROM clients_temperature WHERE room = :room AND timestamp <= :end"), engine, params={"room": "bath", "end": T0 + 10 * MINUTE})))
    checks.same("read_sql in chunks", [25_000, 25_000, 10_000], lambda: [len(part) for part in pandas.read_sql("SELECT * FROM clients_many", engine, chunksize=25_000)])
    checks.same("read_sql_table", (183, ["level", "room", "timestamp", "value"]), lambda: (len(table := pandas.read_sql_table("clients_temperature", engine)), sorted(table.columns)))
    checks.same("a frame by time", [21.625, 29.125, 33.0], lambda: [float(mean) for mean in frame[frame["room"] == "bath"].set_index("timestamp")["value"].resample("30min").mean()])


async def asynchronous(url):
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        rows = await connection.execute(sa.text("SELECT room, count(*) FROM clients_temperature WHERE room = :room GROUP BY room"), {"room": "bath"})
        found = [tuple(row) for row in rows]
    await engine.dispose()
    return found


main(work)
