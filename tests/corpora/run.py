#!/usr/bin/env python3
"""Runs the client checks and trouble cases that lie beside a checkout (`../shared/pg-tests`, `../shared/cases`), the README's
examples for other engines, and the rule files of Debian's packages against a binary, and compares how many pass with the floors of `.ci/floors`: fewer fail, more want the floor raised.

    ~/.cache/promlake/venv/bin/python tests/corpora/run.py --promlake BINARY --promql-test PROGRAM [--only NAME] [-v]

Needs what tests/peers installs. Exit status 1: a count is below its floor."""

import argparse
import os
import sys
import time
import traceback

sys.dont_write_bytecode = True

import cases
import grafana
import pg_tests
import readme
import rules

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORPORA = {
    "readme/examples": readme.examples,
    "packages/rules": rules.packages,
    "cases/config": cases.config,
    "cases/exposition": cases.exposition,
    "cases/promql": cases.promql,
    "cases/remote_write": cases.remote_write,
    "cases/sql": cases.sql,
    "cases/pg": cases.wire,
    "pg-tests/bi": pg_tests.bi,
    "pg-tests/captured": pg_tests.captured,
    "pg-tests/functions": pg_tests.functions,
    "pg-tests/psql": pg_tests.psql,
    "pg-tests/clients": pg_tests.clients,
    "pg-tests/cancel": pg_tests.cancel,
    "pg-tests/max_rows": pg_tests.max_rows,
    "grafana/sql": grafana.sql,
}


def read_floors(path):
    floors = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            words = line.split("#")[0].split()
            if words:
                floors[words[0]] = int(words[1])
    unknown = set(floors) ^ set(CORPORA)
    if unknown:
        sys.exit(f"{path}: not the names of the corpora: {', '.join(sorted(unknown))}")
    return floors


def run(name, settings, floor):
    """A line for the corpus, and whether it is below its floor."""
    began = time.monotonic()
    try:
        passed, total, text = CORPORA[name](settings)
    except Exception:
        passed, total, text = 0, 0, traceback.format_exc()
    if passed is None:
        print(f"SKIPPED: {name}: {text}", flush=True)
        return False
    verdict = "" if passed == floor else "; raise the floor" if passed > floor else "; BELOW THE FLOOR"
    print(f"{name}: {passed} of {total} pass, floor {floor}{verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    if settings.verbose or passed < floor:
        print("\n".join(f"    {line}" for line in text.splitlines()), flush=True)
    return passed < floor


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promlake", required=True, help="the binary", type=os.path.abspath)
    parser.add_argument("--promql-test", help="the program of tests/promql.rs", type=os.path.abspath)
    parser.add_argument("--shared", default=os.path.join(ROOT, "../shared"), type=os.path.abspath)
    parser.add_argument("--floors", default=os.path.join(ROOT, ".ci/floors"))
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="corpora whose name begins so")
    parser.add_argument("-v", "--verbose", action="store_true", help="print what each corpus prints")
    settings = parser.parse_args()
    settings.root = ROOT
    names = [name for name in CORPORA if not settings.only or name.startswith(tuple(settings.only))]
    if "cases/promql" in names and not settings.promql_test:
        parser.error("--promql-test is needed for cases/promql")
    floors = read_floors(settings.floors)
    below = [name for name in names if run(name, settings, floors[name])]
    print(f"corpora below their floor: {', '.join(below) if below else 'none'}")
    sys.exit(1 if below else 0)


main()
