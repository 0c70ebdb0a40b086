"""The corpora of `shared/pg-tests`, run against the binary and, where an answer has to be the same, against a PostgreSQL with the
same rows. They run from a copy, since their ports, the name of the database (ours is `promlake`) and that of the column with
the time (ours is `timestamp`) are written into them; both servers get the same copy."""

import os
import re
import shutil
import subprocess
import sys

import data
from cases import counted
from servers import Postgres, Promlake, folder, output_of

HERE = os.path.dirname(os.path.abspath(__file__))
# The ports in the scripts: of the server under test, and of PostgreSQL.
PORT, ORACLE_PORT = "55432", "55433"
CLIENTS = ("psycopg3", "psycopg2", "asyncpg", "pg8000", "adbc", "sqla", "cx")
CANCELS = ("cancel_simple_stream", "cancel_simple_compute", "cancel_ext_stream", "timeout_simple_stream", "disconnect")


class Copy:
    """The corpus in a folder of its own, a server under test, and, if wanted, PostgreSQL."""

    def __init__(self, settings, oracle=False):
        self.settings, self.oracle, self.ends = settings, oracle, []

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        self.server = self._enter(Promlake(self.settings.promlake, self._enter(folder())))
        data.load(self.settings.shared, self.server.http)
        self.postgres = self._enter(Postgres(self._enter(folder()))) if self.oracle else None
        ports = {PORT: str(self.server.pg), ORACLE_PORT: str(self.postgres.pg if self.postgres else 0)}
        self.path = self._enter(folder())
        source = os.path.join(self.settings.shared, "pg-tests")
        for name in os.listdir(source):
            if name.endswith((".py", ".sql", ".txt", ".jsonl")):
                with open(os.path.join(source, name), encoding="utf-8") as f:
                    text = f.read()
                text = re.sub("|".join(ports), lambda m: ports[m[0]], text)
                # In bytes of a message the name stands behind an escape.
                text = re.sub(r"(?:\b|(?<=\\0))metrics\b", "promlake", re.sub(r"\bts\b", "timestamp", text))
                with open(os.path.join(self.path, name), "w", encoding="utf-8") as f:
                    f.write(text)
        if self.postgres:
            load = ["psql", "-Xq", "-h", "127.0.0.1", "-p", ports[ORACLE_PORT], "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-f", "schema15.sql"]
            subprocess.run(load, check=True, capture_output=True, cwd=self.path)

    def _enter(self, context):
        entered = context.__enter__()
        self.ends.append(context)
        return entered

    def __exit__(self, *_):
        while self.ends:
            self.ends.pop().__exit__(None, None, None)

    def run(self, seconds, script, *args):
        return output_of([sys.executable, script, *map(str, args)], seconds, cwd=self.path, env={**os.environ, "BIGN": "200000"})

    @property
    def port(self):
        return self.server.pg


def bi(settings):
    with Copy(settings) as copy:
        return counted(copy.run(180, "corpus.py", copy.port, "bi.sql"), r"^ok\|", r"^FAIL\|")


def captured(settings):
    """Of the statements that PostgreSQL takes: no error, and the same columns."""
    with Copy(settings, oracle=True) as copy:
        text = copy.run(300, os.path.join(HERE, "replay.py"), "captured.jsonl", copy.postgres.pg, copy.port)
        return counted(text, r"^ok ", r"^FAIL ")


def functions(settings):
    """Of the expressions that PostgreSQL takes: the same value."""
    with Copy(settings, oracle=True) as copy:
        text = copy.run(180, "funcs.py")
        found = re.search(r"^same (\d+) differ (\d+) DF-fails (\d+)", text, re.M)
        if not found:
            raise RuntimeError(f"no count:\n{text[-2000:]}")
        same, differ, fail = map(int, found.groups())
        return same, same + differ + fail, text


def psql(settings):
    """Commands that end as with PostgreSQL: with the same SQLSTATE, or without any error."""
    with Copy(settings, oracle=True) as copy:
        text = copy.run(300, "psqlrun.py", copy.port, "ours.txt", "promlake")
        copy.run(300, "psqlrun.py", copy.postgres.pg, "theirs.txt", "promlake")
        ours, theirs = (psql_states(os.path.join(copy.path, name)) for name in ("ours.txt", "theirs.txt"))
    lines = [f"{'ok  ' if ours.get(at) == state else 'FAIL'} {at[1]} -> {ours.get(at)}, PostgreSQL {state}" for at, state in theirs.items()]
    return counted("\n".join([*lines, "", text]), r"^ok ", r"^FAIL ")


def psql_states(path):
    """By number and text of a command, what went wrong: a SQLSTATE, or else the message."""
    states = {}
    with open(path, encoding="utf-8") as f:
        for number, part in enumerate(re.split(r"^#### ", f.read(), flags=re.M)[1:]):
            command = part.split("\n", 1)[0].rsplit("   [", 1)[0]
            error = re.search(r"^!! (.*)$", part, re.M)
            state = error and re.search(r"\b(?:ERROR|FATAL|WARNING|NOTICE):\s+([0-9A-Z]{5}):", error[1])
            states[number, command] = state[1] if state else "" if not error else error[1]
    return states


def clients(settings):
    """Each driver against a server of its own, so that none suffers from another."""
    texts = []
    for client in CLIENTS:
        with Copy(settings) as copy:
            texts.append(copy.run(150, "pytests.py", copy.port, client))
    return counted("\n".join(texts), r"^[^|\n]+\|[^|\n]+\|ok\|", r"^[^|\n]+\|[^|\n]+\|FAIL\|")


def cancel(settings):
    """Ended by a cancel, a timeout or a client that is gone, and others are answered."""
    lines = []
    for kind in CANCELS:
        with Copy(settings) as copy:
            text = copy.run(60, "cancel.py", copy.port, kind).strip()
        ended = re.search(r"ERR 57014 (\d+\.?\d*)", text)
        right = text.endswith("others: ok") and (kind == "disconnect" or bool(ended) and float(ended[1]) < 5)
        lines.append(f"{'ok  ' if right else 'FAIL'} {text}")
    return counted("\n".join(lines), r"^ok ", r"^FAIL ")


def max_rows(settings):
    """Any number of rows may be asked for."""
    lines = []
    for rows in (0, 1, 1000, 2**31 - 1, -1):
        with Copy(settings) as copy:
            text = copy.run(30, "maxrows.py", rows).strip()
            alive = copy.server.process.poll() is None
        # All messages up to the one that the server is ready again.
        right = alive and re.fullmatch(rf"{rows} \[.*\(b'Z', b'I'\)\]", text)
        lines.append(f"{'ok  ' if right else 'FAIL'} {text}")
    return counted("\n".join(lines), r"^ok ", r"^FAIL ")
