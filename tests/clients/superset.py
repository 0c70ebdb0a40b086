#!/usr/bin/env python3
"""Apache Superset asks promlake: a database is added by its REST API, a dataset is made and synchronised, charts are asked with time
filters and every grain, SQL Lab runs, fails and is stopped, and a chart is drawn in a headless Chromium.

    tests/clients/superset.py --promlake BINARY [--screenshot FILE.png]
    tests/clients/superset.py --postgres

Not part of CI. Needs Superset 6 with psycopg2 in ~/.cache/promlake/superset-venv (PROMLAKE_SUPERSET_VENV names another) and Debian's
chromium (`tests/clients/peers --superset` installs both), a minute to prepare its metadata, and 2 GB of memory. Everything listens on loopback and is
stopped at the end. Without a session whoever asks this Superset is its admin, so that Chromium needs no cookie.
"""
import argparse
import contextlib
import datetime
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
VENV = os.environ.get("PROMLAKE_SUPERSET_VENV", os.path.expanduser("~/.cache/promlake/superset-venv"))
if os.path.realpath(sys.prefix) != os.path.realpath(VENV):
    python = os.path.join(VENV, "bin/python")
    if not os.path.exists(python):
        sys.exit(f"no {python}; run tests/clients/peers --superset")
    os.execv(python, [python, "-B", os.path.abspath(__file__), *sys.argv[1:]])
sys.path[:] = [path for path in sys.path if os.path.realpath(path or ".") != HERE]  # This file has the name of the package.
sys.path += [HERE, os.path.join(os.path.dirname(HERE), "corpora")]
from servers import end, folder, free_port  # noqa: E402
from answers import T0  # noqa: E402
from checks import Checks  # noqa: E402
from serving import server_of  # noqa: E402

CONFIGURATION = """
SECRET_KEY = {secret!r}
SQLALCHEMY_DATABASE_URI = "sqlite:///{folder}/superset.db"
WTF_CSRF_ENABLED = False
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
AUTH_RATE_LIMITED = False
SQLLAB_TIMEOUT = 60
SUPERSET_WEBSERVER_TIMEOUT = 60


def FLASK_APP_MUTATOR(app):
    @app.before_request
    def sign_in():
        from flask import request
        from flask_login import current_user, login_user

        if "Authorization" not in request.headers and not request.path.startswith("/static") and not current_user.is_authenticated:
            login_user(app.appbuilder.sm.find_user("admin"))
"""
PASSWORD = "admin"
ENDLESS = {
    "a query is stopped": "SELECT count(*) FROM generate_series(1, 10000000000) AS a(n) WHERE n % 7 = 8",
    "a join is stopped": "SELECT count(*) FROM clients_many a CROSS JOIN clients_many b CROSS JOIN clients_many c WHERE a.value + b.value + c.value < 0",
}
HOUR = "2026-01-01T00:00:00 : 2026-01-01T01:00:00"
# The grains of Superset for PostgreSQL, and the seconds or what begins anew.
GRAINS = {"PT1S": 1, "PT5S": 5, "PT30S": 30, "PT1M": 60, "PT5M": 300, "PT10M": 600, "PT15M": 900, "PT30M": 1800, "PT1H": 3600, "P1D": "day", "P1W": "week", "P1M": "month", "P3M": "quarter", "P1Y": "year"}


class Superset:
    """A Superset with its metadata in a folder."""

    def __init__(self, directory):
        self.directory, self.port = directory, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        configuration = os.path.join(directory, "superset_config.py")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(secret=secrets.token_hex(), folder=directory))
        self.environment = {**os.environ, "SUPERSET_CONFIG_PATH": configuration, "FLASK_APP": "superset.app:create_app()", "HOME": directory, "SUPERSET_HOME": directory, "PYTHONDONTWRITEBYTECODE": "1"}

    def command(self, *words):
        done = subprocess.run([os.path.join(VENV, "bin/superset"), *words], env=self.environment, cwd=self.directory, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"superset {words[0]}: {done.stdout[-1000:]}{done.stderr[-2000:]}")

    def __enter__(self):
        self.command("db", "upgrade")
        self.command("fab", "create-admin", "--username", "admin", "--firstname", "a", "--lastname", "b", "--email", "a@example.org", "--password", PASSWORD)
        self.command("init")
        self.log = open(os.path.join(self.directory, "log"), "wb")
        argv = [os.path.join(VENV, "bin/gunicorn"), "--bind", f"127.0.0.1:{self.port}", "--worker-class", "gthread", "--workers", "1", "--threads", "12", "--timeout", "120", "superset.app:create_app()"]
        self.process = subprocess.Popen(argv, env=self.environment, cwd=self.directory, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 120
        while True:
            try:
                if urllib.request.urlopen(f"{self.url}/health", timeout=5).read() == b"OK":
                    break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    end(self.process)
                    raise RuntimeError(f"Superset does not start:\n{self.logged()}") from None
                time.sleep(0.5)
        status, answer = self.post("/api/v1/security/login", {"username": "admin", "password": PASSWORD, "provider": "db", "refresh": False}, token=None)
        self.token = answer["access_token"]
        return self

    def __exit__(self, *_):
        end(self.process, signal.SIGTERM)

    def logged(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as file:
            return file.read()[-3000:]

    def call(self, method, path, body=None, token=""):
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers, method=method), timeout=120) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", "replace")
            with contextlib.suppress(ValueError):
                return error.code, json.loads(text)
            return error.code, text

    def post(self, path, body, token=""):
        return self.call("POST", path, body, token)

    def done(self, method, path, body=None):
        status, answer = self.call(method, path, body)
        if status not in (200, 201):
            raise RuntimeError(f"{method} {path}: {status} {json.dumps(answer)[:800]}")
        return answer


def bucket(at, grain):
    """Where PostgreSQL's date_trunc, and Superset's floor of seconds, begin a bucket; in milliseconds as Superset answers."""
    if isinstance(grain, int):
        at = datetime.datetime.fromtimestamp(at.timestamp() // grain * grain, datetime.timezone.utc)
    elif grain == "week":
        at = (at - datetime.timedelta(days=at.weekday())).replace(hour=0, minute=0)
    elif grain == "day":
        at = at.replace(hour=0, minute=0)
    else:
        at = at.replace(month=1, day=1, hour=0, minute=0)
    return int(at.timestamp() * 1000)


def wanted(grain, minutes=60):
    """Averages of the three rooms together by bucket; each minute has 19 + minute / 4."""
    groups = {}
    for minute in range(minutes):
        groups.setdefault(bucket(T0 + datetime.timedelta(minutes=minute), grain), []).append(19 + minute / 4)
    return {at: sum(values) / len(values) for at, values in groups.items()}


def query_of(dataset, grain=None, series=(), span=HOUR, metrics=None, **more):
    axis = {"timeGrain": grain, "columnType": "BASE_AXIS", "sqlExpression": "timestamp", "label": "timestamp", "expressionType": "SQL"}
    average = {"expressionType": "SIMPLE", "column": {"column_name": "value"}, "aggregate": "AVG", "label": "average"}
    query = {
        "filters": [{"col": "timestamp", "op": "TEMPORAL_RANGE", "val": span}],
        "columns": ([axis] if grain else []) + list(series),
        "metrics": [average] if metrics is None else metrics,
        "orderby": [],
        "row_limit": 10_000,
        **more,
    }
    return {"datasource": {"id": dataset, "type": "table"}, "force": True, "queries": [query], "result_format": "json", "result_type": "full"}


def work(checks, superset, port, screenshot):
    uri = f"postgresql+psycopg2://promlake@127.0.0.1:{port}/promlake"
    checks.same("the connection is tested", 200, lambda: superset.post("/api/v1/database/test_connection/", {"database_name": "lake", "sqlalchemy_uri": uri})[0])
    database = superset.done("POST", "/api/v1/database/", {"database_name": "lake", "sqlalchemy_uri": uri, "expose_in_sqllab": True, "allow_run_async": False})["id"]
    checks.same("schemas", True, lambda: "public" in (found := superset.done("GET", f"/api/v1/database/{database}/schemas/")["result"]) or found)
    tables = lambda: [one["value"] for one in superset.done("GET", f"/api/v1/database/{database}/tables/?q=(force:!t,schema_name:public)")["result"]]  # noqa: E731
    checks.same("tables", ["Clients_Mixed", "clients_empty", "clients_many", "clients_odd", "clients_temperature"], lambda: sorted(name for name in tables() if "lients" in name))
    told = lambda: superset.done("GET", f"/api/v1/database/{database}/table_metadata/?name=clients_temperature&schema=public")  # noqa: E731
    checks.same("columns of a table", ["level TEXT", "room TEXT", "timestamp TIMESTAMP", "value DOUBLE_PRECISION"], lambda: sorted(f"{one['name']} {one['type']}" for one in told()["columns"]))
    checks.same("its comment", True, lambda: str(told().get("comment")).startswith("How warm a room is."))
    dataset = superset.done("POST", "/api/v1/dataset/", {"database": database, "schema": "public", "table_name": "clients_temperature"})["id"]
    checks.same("the dataset is synchronised", 200, lambda: superset.call("PUT", f"/api/v1/dataset/{dataset}/refresh")[0])
    columns = lambda: {one["column_name"]: (one["type"], one["is_dttm"]) for one in superset.done("GET", f"/api/v1/dataset/{dataset}")["result"]["columns"]}  # noqa: E731
    checks.same("its columns", [("level", ("TEXT", False)), ("room", ("TEXT", False)), ("timestamp", ("TIMESTAMP WITH TIME ZONE", True)), ("value", ("DOUBLE PRECISION", False))], lambda: sorted(columns().items()))
    charts(checks, superset, dataset)
    virtual(checks, superset, database)
    sql_lab(checks, superset, database)
    drawn(checks, superset, dataset, screenshot)


def charts(checks, superset, dataset):
    def ask(*words, **more):
        result = superset.done("POST", "/api/v1/chart/data", query_of(dataset, *words, **more))["result"][0]
        if result.get("error"):
            raise RuntimeError(result["error"])
        return result

    for grain, meaning in GRAINS.items():
        checks.same(f"a chart by {grain}", wanted(meaning), lambda grain=grain: dict(sorted((int(row["timestamp"]), row["average"]) for row in ask(grain)["data"])))
    checks.same("types of a chart's columns", [2, 0], lambda: ask("PT15M")["coltypes"])
    checks.same("by room", {"bath": 25.375, "hall": 26.375, "kitchen": 27.375}, lambda: dict(sorted((row["room"], row["average"]) for row in ask(None, ["room"])["data"])))
    checks.same("by time and room", 12, lambda: len(ask("PT15M", ["room"])["data"]))
    checks.same("no time filter", 183, lambda: ask(None, [], span="No filter", metrics=[{"expressionType": "SQL", "sqlExpression": "count(*)", "label": "n"}])["data"][0]["n"])
    checks.same("the last day has nothing", [], lambda: ask("PT1H", [], span="Last day")["data"])
    filters = [{"col": "timestamp", "op": "TEMPORAL_RANGE", "val": HOUR}, {"col": "room", "op": "IN", "val": ["bath", "hall"]}, {"col": "value", "op": ">=", "val": 30}, {"col": "room", "op": "ILIKE", "val": "%A%"}]
    checks.same("filters", 12 + 16, lambda: ask(None, [], filters=filters, metrics=[{"expressionType": "SQL", "sqlExpression": "count(*)", "label": "n"}])["data"][0]["n"])
    checks.same("IS NULL", 120, lambda: ask(None, [], filters=[filters[0], {"col": "level", "op": "IS NULL"}], metrics=[{"expressionType": "SQL", "sqlExpression": "count(*)", "label": "n"}])["data"][0]["n"])
    many = [{"expressionType": "SIMPLE", "column": {"column_name": "value"}, "aggregate": word, "label": word} for word in ("MIN", "MAX", "SUM", "COUNT", "COUNT_DISTINCT")]
    checks.same("aggregates", {"MIN": 18.0, "MAX": 34.75, "SUM": 4747.5, "COUNT": 180, "COUNT_DISTINCT": 68}, lambda: ask(None, [], metrics=many)["data"][0])
    checks.same("the largest series", ["kitchen"] * 4, lambda: [row["room"] for row in ask("PT15M", ["room"], series_columns=["room"], series_limit=1, series_limit_metric=many[1])["data"]])
    checks.same("samples", 5, lambda: len(ask(None, ["timestamp", "room", "value"], metrics=[], row_limit=5)["data"]))
    checks.same("HAVING", 2, lambda: len(ask(None, ["room"], extras={"having": "avg(value) > 26", "where": ""})["data"]))
    rolling = [{"operation": "pivot", "options": {"index": ["timestamp"], "columns": ["room"], "aggregates": {"average": {"operator": "mean"}}}}, {"operation": "flatten"}]
    checks.same("pivoted by Superset", 4, lambda: len(ask("PT15M", ["room"], post_processing=rolling)["data"]))
    checks.same("compared with an hour before", 2, lambda: len(ask("PT1H", [], span="2026-01-01T00:00:00 : 2026-01-01T02:00:00", time_offsets=["1 hour ago"])["data"]))
    checks.same("values of a filter", ["bath", "hall", "kitchen"], lambda: sorted(superset.done("GET", f"/api/v1/datasource/table/{dataset}/column/room/values/")["result"]))


def virtual(checks, superset, database):
    """Datasets of queries, one of PromQL where there is any."""
    queries = {"a dataset of a query": "SELECT date_trunc('minute', timestamp) AS minute, max(value) AS highest FROM clients_temperature GROUP BY 1"}
    if checks.is_promlake:
        # Superset writes the names of functions in upper case.
        promql = "promql('max by (room) (clients_temperature)', '2026-01-01T00:00:00Z', '2026-01-01T01:00:00Z', interval '1 minute')"
        queries["a dataset of PromQL"] = f"SELECT timestamp AS minute, room, value AS highest FROM {promql}"

    def highest(name):
        made = superset.done("POST", "/api/v1/dataset/", {"database": database, "schema": "public", "table_name": name, "sql": queries[name]})["id"]
        query = query_of(made, None, [], filters=[], metrics=[{"expressionType": "SQL", "sqlExpression": "max(highest)", "label": "n"}])
        return superset.done("POST", "/api/v1/chart/data", query)["result"][0]["data"][0]["n"]

    for name in queries:
        checks.same(name, 35.0, lambda name=name: highest(name))


def sql_lab(checks, superset, database):
    def run(sql, client="a1"):
        return superset.post("/api/v1/sqllab/execute/", {"database_id": database, "sql": sql, "schema": "public", "client_id": client, "runAsync": False, "queryLimit": 1000, "tab": "t", "expand_data": True})

    checks.same("SQL Lab", [{"room": room, "n": 61} for room in ("bath", "hall", "kitchen")], lambda: (lambda status, answer: answer.get("data", answer))(*run("SELECT room, count(*) AS n FROM clients_temperature GROUP BY room ORDER BY room", "a2")))
    checks.same("types in SQL Lab", ["DATETIME", "FLOAT", "STRING"], lambda: [kind_of(one) for one in run("SELECT timestamp, value, room FROM clients_temperature", "a3")[1]["columns"]])
    checks.same("an error in SQL Lab", True, lambda: 'resolve the column "nope"' in json.dumps(told := run("SELECT nope FROM clients_temperature", "a4")[1]).replace("\\", "") or told)
    checks.same("its cost is estimated or not, without a failure", True, lambda: superset.post("/api/v1/sqllab/estimate/", {"database_id": database, "sql": "SELECT 1", "schema": "public"})[0] < 500)
    for name, sql in ENDLESS.items():
        checks.same(name, True, lambda name=name, sql=sql: stopped(checks, superset, run, sql, name.replace(" ", "")[:11]))


def kind_of(column):
    return {0: "FLOAT", 1: "STRING", 2: "DATETIME", 3: "BOOLEAN"}.get(column.get("type_generic"), column.get("type"))


def stopped(checks, superset, run, sql, client):
    """It is seen to run, ends within seconds of the button, and the server is idle afterwards."""
    import psycopg2

    answer = {}

    def execute():
        with contextlib.suppress(TimeoutError):
            answer["got"] = run(sql, client)

    thread = threading.Thread(target=execute)
    began = time.monotonic()
    thread.start()
    connection = psycopg2.connect(**checks.place)
    connection.autocommit = True
    cursor = connection.cursor()

    def running():
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND position(%s IN query) > 0 AND pid <> pg_backend_pid()", [sql[:60]])
        return cursor.fetchone()[0]

    while not running() and thread.is_alive() and time.monotonic() - began < 20:
        time.sleep(0.1)
    time.sleep(0.5)
    pressed = time.monotonic()
    status, told = superset.post("/api/v1/query/stop", {"client_id": client})
    thread.join(40)
    took, together = time.monotonic() - pressed, time.monotonic() - began
    left = running()
    connection.close()
    states = [one["status"] for one in superset.done("GET", "/api/v1/query/")["result"] if sql[:60] in one["sql"]]
    # Superset notes that it is stopped only once the server was asked to end it, and calls it failed where that was faster.
    return (status == 200 and not thread.is_alive() and took < 5 and together < 30 and left == 0 and states in (["stopped"], ["failed"])) or (status, told, took, together, left, states, str(answer)[:300])


def drawn(checks, superset, dataset, screenshot):
    """A chart is saved and looked at as a visitor would."""
    parameters = {
        "viz_type": "echarts_timeseries_line", "datasource": f"{dataset}__table", "x_axis": "timestamp", "time_grain_sqla": "PT5M", "groupby": ["room"],
        "metrics": [{"expressionType": "SIMPLE", "column": {"column_name": "value"}, "aggregate": "AVG", "label": "average"}],
        "adhoc_filters": [{"clause": "WHERE", "subject": "timestamp", "operator": "TEMPORAL_RANGE", "comparator": HOUR, "expressionType": "SIMPLE"}],
        "row_limit": 10_000, "show_legend": True, "markerEnabled": True,
    }  # fmt: skip
    chart = superset.done("POST", "/api/v1/chart/", {"slice_name": "rooms", "viz_type": "echarts_timeseries_line", "datasource_id": dataset, "datasource_type": "table", "params": json.dumps(parameters)})["id"]
    checks.same("a chart is saved", "rooms", lambda: superset.done("GET", f"/api/v1/chart/{chart}")["result"]["slice_name"])
    if screenshot:
        checks.same("a picture of it", True, lambda: picture(superset, f"/explore/?slice_id={chart}", screenshot))


def picture(superset, path, screenshot):
    argv = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage", "--window-size=1500,950", "--virtual-time-budget=60000", "--timeout=60000"]
    argv += [f"--user-data-dir={superset.directory}/chromium", f"--screenshot={screenshot}", superset.url + path]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=180, env={**os.environ, "HOME": superset.directory})
    return (os.path.exists(screenshot) and os.path.getsize(screenshot) > 20_000) or done.stderr[-500:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promlake", metavar="BINARY", type=os.path.abspath)
    parser.add_argument("--postgres", action="store_true", help="ask PostgreSQL instead")
    parser.add_argument("--screenshot", metavar="FILE", type=os.path.abspath)
    arguments = parser.parse_args()
    if bool(arguments.promlake) == arguments.postgres:
        parser.error("either --promlake or --postgres")
    with server_of(arguments.promlake) as port, folder() as directory, Superset(directory) as superset:
        checks = Checks(port, "promlake" if arguments.promlake else "postgres")
        try:
            work(checks, superset, port, arguments.screenshot)
        except Exception as error:
            checks.tell("Superset came to its end", f"{type(error).__name__}: {error}")
    sys.exit(1 if checks.failed else 0)


main()
