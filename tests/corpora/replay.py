"""replay.py STATEMENTS ORACLE PORT: statements that clients sent, one a line as JSON, to PostgreSQL and to the server under test.
Of those that PostgreSQL takes, a line each: whether the other takes it and describes the same columns. With parameters a
statement is prepared and described, otherwise run."""

import json
import re
import sys

from psycopg import pq

ERRORS = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE)


def answer(port, sql):
    """The error, or nothing, and the names of the columns."""
    options = "-c statement_timeout=10000"
    conninfo = f"host=127.0.0.1 port={port} user=postgres dbname=promlake connect_timeout=10 options='{options}'"
    connection = pq.PGconn.connect(conninfo.encode())
    try:
        if connection.status != pq.ConnStatus.OK:
            return connection.error_message.decode("utf-8", "replace"), []
        if re.search(r"\$\d", sql):
            result = connection.prepare(b"s", sql.encode())
            if result.status not in ERRORS:
                result = connection.describe_prepared(b"s")
        else:
            result = connection.exec_(sql.encode())
        if result.status in ERRORS:
            return result.error_message.decode("utf-8", "replace") or "an error", []
        return "", [result.fname(at).decode() for at in range(result.nfields)]
    finally:
        connection.finish()


def main():
    file, oracle, port = sys.argv[1:]
    with open(file, encoding="utf-8") as f:
        statements = [json.loads(line)["sql"] for line in f]
    for number, sql in enumerate(statements, 1):
        refused, columns = answer(oracle, sql)
        if refused:
            continue
        error, got = answer(port, sql)
        why = error.split("\n")[0] if error else "" if got == columns else f"columns {got}, not {columns}"
        print(f"{'FAIL' if why else 'ok  '} {number} {why} | {' '.join(sql.split())[:120]}", flush=True)


main()
