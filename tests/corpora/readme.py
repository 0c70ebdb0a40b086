"""The README's examples for other engines, over a lake that the binary has made: each must give what PromQL gives."""

import glob
import importlib
import io
import os
import re
import contextlib
import time

from servers import Promlake, folder, load_module

# Decimals, which are stored as integers, one that is none, and whole numbers; the highest of each.
VALUES = {"readme_decimal": [0.5, 12345.67, 3.25], "readme_double": [1 / 3, 0.1 + 0.2], "readme_whole": [1.0, 2.0, 7.0]}


def examples(settings):
    passed, lines = 0, []
    with folder() as directory:
        make_lake(settings, directory)
        for name, rows_of in (("duckdb", duckdb_rows), ("duckdb.sql", view_rows), ("polars", polars_rows)):
            with contextlib.chdir(directory):
                rows = rows_of(settings)
            got = {row[0]: row[1:] for row in rows if row[0] in VALUES}
            wanted = {metric: (len(values), max(values)) for metric, values in VALUES.items()}
            passed += got == wanted
            lines.append(f"{'ok  ' if got == wanted else 'FAIL'} {name} {got}, not {wanted}" if got != wanted else f"ok   {name}")
    return passed, len(lines), "\n".join(lines)


def make_lake(settings, directory):
    """In `data` of the folder; a stop flushes."""
    rw = load_module(os.path.join(settings.shared, "cases/remote_write/rw.py"))
    now = int(time.time() * 1000)
    body = b"".join(rw.series([("__name__", metric)], [(value, now - 1000 * (len(values) - at)) for at, value in enumerate(values)]) for metric, values in VALUES.items())
    with Promlake(settings.promlake, directory) as server:
        status, text, _ = rw.post(server.http, rw.snappy(body))
        if status not in (200, 204):
            raise RuntimeError(f"remote write answers {status}: {text}")


def block(settings, language, first):
    """The README's block of this language that begins with this comment."""
    with open(os.path.join(settings.root, "README.md"), encoding="utf-8") as f:
        found = re.search(rf"```{language}\n{re.escape(first)}.*?\n(.*?)```", f.read(), re.S)
    if not found:
        raise RuntimeError(f"no block of {language} that begins with {first!r}")
    return found[1]


def duckdb():
    """With its extension from the package, since it would be fetched."""
    import duckdb as package

    extension = os.path.dirname(importlib.import_module("duckdb_extension_delta").__file__)
    db = package.connect()
    db.execute("SET enable_progress_bar = false")
    db.execute(f"LOAD '{glob.glob(extension + '/**/*.duckdb_extension', recursive=True)[0]}'")
    return db


def without_install(sql):
    return re.sub(r"(INSTALL|LOAD) delta;", "", sql)


def duckdb_rows(settings):
    return duckdb().execute(without_install(block(settings, "sql", "-- DuckDB"))).fetchall()


def view_rows(settings):
    db = duckdb()
    db.execute("SET VARIABLE lake = './data'")
    with open(os.path.join(settings.root, "sql/lake/duckdb.sql"), encoding="utf-8") as f:
        db.execute(without_install(f.read()))
    return db.execute("SELECT metric, count(*), max(value) FROM promlake_samples GROUP BY metric").fetchall()


def polars_rows(settings):
    """What it prints is looked at by its last expression."""
    code = block(settings, "python", "# Polars").rstrip()
    before, last = code.rsplit("\n", 1)
    names = {}
    exec(before, names)
    frame = eval(re.fullmatch(r"print\((.*)\)", last)[1], names)
    with contextlib.redirect_stdout(io.StringIO()):
        exec(last, names)
    return frame.rows()
