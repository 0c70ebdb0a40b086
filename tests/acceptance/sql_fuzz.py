"""Random SQL asked of promlake and of PostgreSQL: columns, types, rows and SQLSTATE must be the same.

    python tests/acceptance/sql_fuzz.py --promlake target/release/promlake [--cases 2000] [--seed 1] [--show 3] [--floor SHARE]

Both have the same three small tables with NULL, NaN, infinities, duplicates and times around a change of the clock; the session's zone
changes. A case is a query of `sql_fuzz_queries.py`; its number and the seed make it again. What differs is told by kind, with the shortest
queries of each. `--floor` fails the script when fewer than that share of the cases is the same.

Needs PostgreSQL and psycopg (tests/peers installs them).
"""
import argparse
import collections
import math
import os
import re
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "corpora"))
import psycopg  # noqa: E402
from servers import Postgres, Promlake, folder  # noqa: E402
from sql_fuzz_queries import TABLES, ZONES, Queries  # noqa: E402

FLOATS, NUMERIC = (700, 701), 1700
# Sums of doubles depend on the order of their parts.
RELATIVE, ABSOLUTE = 1e-9, 1e-7
VALUES = ["0", "1", "-1", "0.5", "2.25", "'NaN'", "'Infinity'", "'-Infinity'", "1", "100", "-3.75", "1e6"]
TIMES = ["2026-03-28 23:30:00+00", "2026-03-29 00:30:00+00", "2026-03-29 01:00:00+00", "2026-03-29 01:30:00+00", "2026-01-31 12:00:00+00"]
SERIES = [("a", "x"), ("b", None), ("web-1", "eu"), (None, "x"), ("é", "us")]


def tables():
    """Rows of each table: time, value, host, zone."""
    for at, table in enumerate(TABLES):
        rows = []
        for of, (host, zone) in enumerate(SERIES[: 5 - at]):
            rows += [(time, VALUES[(of * 5 + when + at * 3) % len(VALUES)], host, zone) for when, time in enumerate(TIMES[: 5 - at])]
        yield table, rows


def load(promlake, postgres):
    quoted = lambda text: "NULL" if text is None else f"'{text}'"  # noqa: E731
    for table, rows in tables():
        values = ", ".join(f"('{time}', {value}, {quoted(host)}, {quoted(zone)})" for time, value, host, zone in rows)
        promlake.execute(f"INSERT INTO {table} (timestamp, value, host, zone) VALUES {values}")
        postgres.execute(f"CREATE TABLE {table} (timestamp timestamptz NOT NULL, value float8, host text, zone text)")
        postgres.execute(f"INSERT INTO {table} VALUES {values}")
        asked = f"SELECT count(*), count(host), count(zone) FROM {table}"
        one, other = (side.execute(asked).fetchall() for side in (promlake, postgres))
        if one != other:
            raise RuntimeError(f"{table} holds {one} in promlake and {other} in PostgreSQL")


def ask(connection, sql):
    """SQLSTATE and message, or types and rows as texts."""
    result = connection.pgconn.exec_(sql.encode())
    if result.status not in (psycopg.pq.ExecStatus.TUPLES_OK, psycopg.pq.ExecStatus.COMMAND_OK):
        state = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"?????"
        message = result.error_field(psycopg.pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message
        return state.decode(), message.decode("utf-8", "replace"), None
    types = [result.ftype(at) for at in range(result.nfields)]
    names = [result.fname(at).decode() for at in range(result.nfields)]
    text = lambda value: None if value is None else value.decode("utf-8", "replace")  # noqa: E731
    rows = [[text(result.get_value(row, at)) for at in range(result.nfields)] for row in range(result.ntuples)]
    return None, (names, types), rows


def is_same(one, other, kind):
    if one == other or one is None or other is None:
        return one == other
    if kind in FLOATS or kind == NUMERIC:
        a, b = float(one), float(other)
        return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return False


def sorted_rows(rows, types):
    """Any order that is the same for rows that are."""
    rounded = lambda cell, kind: f"{float(cell) + 0.0:.6g}" if cell is not None and kind in FLOATS else cell  # noqa: E731
    return sorted(rows, key=lambda row: [(cell is None, rounded(cell, kind) or "") for cell, kind in zip(row, types)])


def difference(mine, right, ordered):
    """What differs, in a few words that are the same for the same fault; None where nothing does."""
    if mine[0] or right[0]:
        if mine[0] == right[0]:
            return None
        if not mine[0]:
            return f"taken, PostgreSQL says {right[0]} {right[1]}"
        without_names = re.sub(r"\"[^\"]*\"|'[^']*'|\d+", "…", mine[1])[:90]
        return f"refused with {mine[0]} {without_names}" + (f", PostgreSQL says {right[0]}" if right[0] else "")
    (my_names, my_types), (names, types) = mine[1], right[1]
    if my_names != names:
        return "other names"
    if my_types != types:
        pairs = sorted({f"{a} for {b}" for a, b in zip(my_types, types) if a != b})
        return "other types: " + ", ".join(pairs)
    if len(mine[2]) != len(right[2]):
        return "other number of rows"
    my_rows, rows = (mine[2], right[2]) if ordered else (sorted_rows(mine[2], types), sorted_rows(right[2], types))
    for my_row, row in zip(my_rows, rows):
        for my_cell, cell, kind in zip(my_row, row, types):
            if not is_same(my_cell, cell, kind):
                return f"another value of type {kind}" + (", or in another order" if ordered else "")
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promlake", required=True)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--show", type=int, default=3, help="queries shown of each kind")
    parser.add_argument("--floor", type=float, default=0.0)
    args = parser.parse_args()
    kinds, same, refused_by_both = collections.defaultdict(list), 0, 0
    with folder() as one, folder() as two, Promlake(os.path.abspath(args.promlake), one, flags=["--pg.enable-writes"]) as server, Postgres(two) as oracle:
        mine = psycopg.connect(f"host=127.0.0.1 port={server.pg} dbname=promlake user=fuzz", autocommit=True)
        right = psycopg.connect(f"host=127.0.0.1 port={oracle.pg} dbname=postgres user=postgres", autocommit=True)
        load(mine, right)
        for side in (mine, right):
            side.execute("SET statement_timeout = '20s'")
        for case in range(args.first, args.first + args.cases):
            zone = ZONES[case // 50 % len(ZONES)]
            if case % 50 == 0 or case == args.first:
                for side in (mine, right):
                    side.execute(f"SET TimeZone = '{zone}'")
            sql, ordered = Queries(args.seed * 1_000_003 + case).query()
            answers = ask(mine, sql), ask(right, sql)
            kind = difference(*answers, ordered)
            if kind is None:
                same += 1
                refused_by_both += bool(answers[0][0])
            else:
                kinds[kind].append((len(sql), case, zone, sql, answers))
            if server.process.poll() is not None:
                print(f"the server ended in case {case}: {sql}")
                return 1
            if (case + 1) % 1000 == 0:
                print(f"{case + 1 - args.first} cases, {same} the same", flush=True)
    for kind, cases in sorted(kinds.items(), key=lambda item: -len(item[1])):
        print(f"\n{len(cases)} x {kind}")
        for _, case, zone, sql, (my, pg) in sorted(cases)[: args.show]:
            print(f"  case {case}, {zone}: {sql}")
            if my[0] or pg[0] or "value" in kind or "rows" in kind:
                print(f"    promlake   {str(my[1] if my[0] else my[2])[:300]}\n    PostgreSQL {str(pg[1] if pg[0] else pg[2])[:300]}")
    print(f"\n{args.cases} cases, {same} the same ({refused_by_both} of them refused by both with one SQLSTATE), {args.cases - same} not, of {len(kinds)} kinds")
    return 0 if same >= args.floor * args.cases else 1


if __name__ == "__main__":
    sys.exit(main())
