"""psycopg2: all values as text over the simple protocol; named cursors, COPY, states of transactions, cancel."""

import datetime
import io
import threading

import psycopg2
import psycopg2.extensions as ext
import psycopg2.extras

import answers
from answers import T0
from checks import main


def work(checks):
    psycopg2.extras.register_uuid()
    connection = psycopg2.connect(**checks.place)
    connection.autocommit = True

    def ask(sql, values=None):
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall()

    def bytes_of(sql):
        return [tuple(bytes(value) for value in row) for row in ask(sql)]

    answers.ask_all(checks, ask, without=["bytea"])
    checks.same("bytea", [(b"\x00\xff",)], lambda: bytes_of(answers.QUERIES["bytea"][0]))
    checks.same("values", [(1, "it's", None, T0, [1, 2])], lambda: ask("SELECT %s, %s, %s, %s::timestamptz, %s", (1, "it's", None, T0, [1, 2])))
    checks.same("= ANY of a list", [("bath",), ("hall",)], lambda: ask("SELECT DISTINCT room FROM clients_temperature WHERE room = ANY(%s) ORDER BY 1", (["bath", "hall"],)))
    checks.same("IN a tuple", [(122,)], lambda: ask("SELECT count(*) FROM clients_temperature WHERE room IN %s", (("bath", "hall"),)))
    checks.same("a span", [(11,)], lambda: ask("SELECT count(*) FROM clients_temperature WHERE room = 'bath' AND timestamp BETWEEN %s AND %s", (T0, T0 + datetime.timedelta(minutes=10))))
    checks.same("names and types", [("timestamp", 1184), ("value", 701), ("room", 25)], lambda: described(connection))
    checks.same("the version of the server", True, lambda: connection.server_version >= 150000)
    checks.same("parameters of the session", ("UTF8", "on", "ISO, MDY"), lambda: tuple(map(connection.get_parameter_status, ("client_encoding", "standard_conforming_strings", "DateStyle"))))
    checks.same("rows as dicts", [{"room": "bath", "n": 61}], lambda: as_dicts(connection))
    checks.same("a named cursor", (60_000, 1_799_970_000.0), lambda: by_cursor(checks))
    checks.same("a named cursor that is held", [(0.0,), (1.0,)], lambda: held(checks))
    checks.same("one that scrolls", [(1.0,), (0.0,)], lambda: scrolled(checks))
    checks.same("COPY TO", (183, "2026-01-01 00:00:00+00,18,bath"), lambda: copied_out(connection))
    checks.same("COPY FROM", [("b", 2, 3.5)], lambda: copied_in(connection, ask))
    checks.same("execute_values", [("c", 3, 6.0)], lambda: inserted(connection, ask))
    checks.same("the states of a transaction", (ext.TRANSACTION_STATUS_INTRANS, ext.TRANSACTION_STATUS_INERROR, "25P02", ext.TRANSACTION_STATUS_IDLE), lambda: states(checks))
    checks.same("a savepoint heals", [(2,)], lambda: savepoint(checks))
    checks.raises("cancel", "57014", lambda: cancelled(checks))
    checks.raises("statement_timeout", "57014", lambda: timed_out(checks))
    checks.same("where an error is", ("8", 'column "nope" does not exist'), lambda: place(connection))
    checks.raises("an unknown database", None, lambda: psycopg2.connect(**{**checks.place, "dbname": "nope"}))


def described(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT timestamp, value, room FROM clients_temperature LIMIT 0")
        return [(column.name, column.type_code) for column in cursor.description]


def as_dicts(connection):
    with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        cursor.execute("SELECT room, count(*) AS n FROM clients_temperature GROUP BY room ORDER BY room LIMIT 1")
        return [dict(row) for row in cursor.fetchall()]


def by_cursor(checks):
    with psycopg2.connect(**checks.place) as connection, connection.cursor(name="many") as cursor:
        cursor.itersize = 7000
        cursor.execute("SELECT timestamp, value FROM clients_many")
        rows = list(cursor)
        return len(rows), sum(value for _, value in rows)


def held(checks):
    connection = psycopg2.connect(**checks.place)
    cursor = connection.cursor(name="kept", withhold=True)
    cursor.execute("SELECT value FROM clients_many WHERE n = '0' ORDER BY timestamp")
    first = cursor.fetchone()
    connection.commit()
    return [first, cursor.fetchone()]


def scrolled(checks):
    with psycopg2.connect(**checks.place) as connection, connection.cursor(name="back", scrollable=True) as cursor:
        cursor.execute("SELECT value FROM clients_many WHERE n = '0' ORDER BY timestamp")
        cursor.scroll(1)
        second = cursor.fetchone()
        cursor.scroll(0, mode="absolute")
        return [second, cursor.fetchone()]


def copied_out(connection):
    out = io.StringIO()
    with connection.cursor() as cursor:
        cursor.copy_expert("COPY (SELECT timestamp, value, room FROM clients_temperature ORDER BY room, timestamp) TO STDOUT (FORMAT csv)", out)
    lines = out.getvalue().splitlines()
    return len(lines), lines[0]


def copied_in(connection, ask):
    rows = io.StringIO("2026-01-01 00:00:00+00\t1\tb\n2026-01-01 00:01:00+00\t2.5\tb\n")
    with connection.cursor() as cursor:
        cursor.copy_from(rows, "clients_empty", columns=("timestamp", "value", "host"))
    return ask("SELECT host, count(*), sum(value) FROM clients_empty WHERE host = 'b' GROUP BY host")


def inserted(connection, ask):
    rows = [(T0 + datetime.timedelta(minutes=at), float(at + 1), "c") for at in range(3)]
    with connection.cursor() as cursor:
        psycopg2.extras.execute_values(cursor, "INSERT INTO clients_empty (timestamp, value, host) VALUES %s", rows)
    return ask("SELECT host, count(*), sum(value) FROM clients_empty WHERE host = 'c' GROUP BY host")


def states(checks):
    connection = psycopg2.connect(**checks.place)
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    inside = connection.get_transaction_status()
    state = None
    try:
        cursor.execute("SELECT nope")
    except psycopg2.Error:
        failed = connection.get_transaction_status()
    try:
        cursor.execute("SELECT 1")
    except psycopg2.Error as error:
        state = error.pgcode
    connection.rollback()
    return inside, failed, state, connection.get_transaction_status()


def savepoint(checks):
    with psycopg2.connect(**checks.place) as connection, connection.cursor() as cursor:
        cursor.execute("SAVEPOINT a")
        try:
            cursor.execute("SELECT 1 / 0")
        except psycopg2.Error:
            cursor.execute("ROLLBACK TO SAVEPOINT a")
        cursor.execute("SELECT 2")
        return cursor.fetchall()


ENDLESS = "SELECT count(*) FROM generate_series(1, 10000000000) AS a(n) WHERE n % 7 = 8"


def cancelled(checks):
    connection = psycopg2.connect(**checks.place)
    timer = threading.Timer(0.5, connection.cancel)
    timer.start()
    connection.cursor().execute(ENDLESS)


def timed_out(checks):
    cursor = psycopg2.connect(**checks.place, options="-c statement_timeout=500").cursor()
    cursor.execute(ENDLESS)


def place(connection):
    try:
        connection.cursor().execute("SELECT nope FROM clients_temperature")
    except psycopg2.Error as error:
        return error.diag.statement_position, error.diag.message_primary


main(work)
