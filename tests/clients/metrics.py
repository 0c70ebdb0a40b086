"""The metrics that the clients ask for: by remote write into promlake, and as tables into PostgreSQL."""

import datetime
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "acceptance"))
from federation import REMOTE_WRITE_1, field, label_set, number, sample, snappy  # noqa: E402
from processes import call  # noqa: E402

# 2026-01-01T00:00:00Z.
START_S = 1_767_225_600
ODD = {
    "+inf": "Infinity", "-inf": "-Infinity", "huge": "1e300", "minus zero": "-0", "nan": "NaN", "tenth": "0.1", "tiny": "5e-324",
}  # fmt: skip
MANY_SERIES, MANY_SAMPLES = 60, 1000
COLUMNS = {"clients_temperature": ["room", "level"], "clients_odd": ["kind"], "Clients_Mixed": ["Zone"], "clients_many": ["n"], "clients_empty": ["host"], "up": ["instance", "job"]}
HELP = "How warm a room is."
GAUGE = 2


def all_of_them():
    """Of each its name, labels and samples: seconds and value."""
    for at, room in enumerate(("bath", "hall", "kitchen")):
        labels = {"room": room, **({"level": "1"} if room == "hall" else {})}
        yield "clients_temperature", labels, [(START_S + 60 * minute, 18 + at + minute / 4) for minute in range(61)]
    for kind, value in ODD.items():
        yield "clients_odd", {"kind": kind}, [(START_S, float(value))]
    yield "Clients_Mixed", {"Zone": "Nürn\"b'erg"}, [(START_S, 7.0)]
    for n in range(MANY_SERIES):
        yield "clients_many", {"n": str(n)}, [(START_S + 15 * at, float(n * MANY_SAMPLES + at)) for at in range(MANY_SAMPLES)]
    # Of just now, for the page for newcomers.
    yield "up", {"instance": "localhost:9090", "job": "promlake"}, [(int(time.time()) - 15 * at, 1.0) for at in range(20)]
    # Written to by COPY and INSERT, and so there before.
    yield "clients_empty", {"host": "a"}, [(START_S, 0.0)]


def into_promlake(http):
    body = b"".join(
        field(1, label_set({"__name__": name, **labels}) + b"".join(sample(1000 * at, value) for at, value in samples)) for name, labels, samples in all_of_them()
    )
    body += field(3, number(1, GAUGE) + field(2, b"clients_temperature") + field(4, HELP.encode()))
    status, text = call(f"{http}/api/v1/write", snappy(body), REMOTE_WRITE_1)
    if status not in (200, 204):
        raise RuntimeError(f"remote write answers {status}: {text}")


def into_postgres(port):
    import psycopg

    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres", autocommit=True) as server:
        server.execute("CREATE ROLE promlake SUPERUSER LOGIN")
        server.execute("CREATE DATABASE promlake OWNER promlake")
    with psycopg.connect(host="127.0.0.1", port=port, user="promlake", dbname="promlake") as server:
        for name, labels in COLUMNS.items():
            columns = "".join(f', "{label}" text' for label in labels)
            server.execute(f'CREATE TABLE "{name}" (timestamp timestamptz NOT NULL, value float8{columns})')
        for name, labels, samples in all_of_them():
            with server.cursor().copy(f'COPY "{name}" FROM STDIN') as copy:
                for at, value in samples:
                    copy.write_row([_utc(at), value, *(labels.get(column) for column in COLUMNS[name])])
        server.execute(f"COMMENT ON TABLE clients_temperature IS '{HELP}'")


def _utc(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
