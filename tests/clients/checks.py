"""What the clients written in Python have in common: how an answer is compared, and the lines that are printed of it."""

import argparse
import contextlib
import datetime
import struct
import sys
import traceback
import uuid


class Checks:
    """A line for each: `ok` and its name, or `FAIL`, its name and what came instead."""

    def __init__(self, port, server):
        self.port, self.is_promlake, self.failed = port, server == "promlake", 0
        self.place = {"host": "127.0.0.1", "port": port, "user": "promlake", "dbname": "promlake"}
        self.url = f"postgresql://promlake@127.0.0.1:{port}/promlake"

    def tell(self, name, problem=None):
        self.failed += problem is not None
        print(f"ok   {name}" if problem is None else f"FAIL {name}: {' '.join(str(problem).split())[:600]}", flush=True)

    def same(self, name, wanted, ask):
        """`ask()` gives what is wanted, in the same types."""
        try:
            got = ask()
        except Exception as error:
            return self.tell(name, f"{type(error).__name__} {state_of(error) or ''}: {error}")
        return self.tell(name, None if is_same(got, wanted) else f"{got!r}, not {wanted!r}")

    def raises(self, name, state, ask):
        """`ask()` fails with this SQLSTATE."""
        try:
            got = ask()
        except Exception as error:
            found = state_of(error)
            return self.tell(name, None if found == state else f"{found} and not {state}: {type(error).__name__}: {error}")
        return self.tell(name, f"no error but {got!r}, not {state}")


def is_same(got, wanted):
    if isinstance(wanted, (list, tuple)):
        return type(got) is type(wanted) and len(got) == len(wanted) and all(map(is_same, got, wanted))
    if isinstance(wanted, dict):
        return type(got) is dict and list(got) == list(wanted) and all(is_same(got[key], wanted[key]) for key in wanted)
    if isinstance(wanted, uuid.UUID):
        return isinstance(got, uuid.UUID) and got == wanted
    if type(got) is not type(wanted):
        return False
    if isinstance(wanted, float):
        return struct.pack("<d", got) == struct.pack("<d", wanted) or (got != got and wanted != wanted)
    if isinstance(wanted, datetime.datetime):
        return got == wanted and got.utcoffset() == wanted.utcoffset()
    return got == wanted


def state_of(error):
    """The SQLSTATE, by the names that the drivers give it."""
    for at in (error, getattr(error, "orig", None)):
        for name in ("sqlstate", "pgcode"):
            if isinstance(state := getattr(at, name, None), str):
                return state
    # pyodbc.
    first = error.args[0] if error.args else None
    return first if isinstance(first, str) and len(first) == 5 else None


def main(work):
    """Runs `work(checks)`; each client is a program with the port as its argument."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--server", choices=("promlake", "postgres"), default="promlake")
    arguments = parser.parse_args()
    checks = Checks(arguments.port, arguments.server)
    with contextlib.suppress(KeyboardInterrupt):
        try:
            work(checks)
        except Exception as error:
            checks.tell("the client came to its end", f"{type(error).__name__} {state_of(error) or ''}: {error} {traceback.format_exc()[-300:]}")
    sys.exit(1 if checks.failed else 0)
