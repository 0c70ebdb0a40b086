"""psql: its backslash commands, variables, \\copy, \\gexec, \\watch, FETCH_COUNT, errors, one session interrupted."""

import signal
import subprocess
import time

from checks import main

ENDLESS = "SELECT count(*) FROM generate_series(1, 10000000000) AS a(n) WHERE n % 7 = 8"
# Commands that print nothing wrong, also where they find nothing.
QUIET = [
    r"\d", r"\d+", r"\dt", r"\dt+", r"\dv", r"\dm", r"\di", r"\ds", r"\dE", r"\dn", r"\dn+", r"\df", r"\df date_trunc", r"\da", r"\dT", r"\dT+", r"\do", r"\dC", r"\dD", r"\dx",
    r"\du", r"\dg", r"\dp", r"\ddp", r"\drds", r"\l", r"\l+", r"\db", r"\dc", r"\dd", r"\dF", r"\dL", r"\dy", r"\des", r"\dew", r"\deu", r"\det", r"\dRp", r"\dRs", r"\dX", r"\dO",
    r"\dconfig", r"\conninfo", r"\encoding", r"\z", r"\dP", r"\lo_list", r"\dA", r"\dAc",
]  # fmt: skip


def work(checks):
    def psql(*commands, options=()):
        argv = ["psql", "-X", "-A", "-t", "-h", "127.0.0.1", "-p", str(checks.port), "-U", "promlake", *options, "promlake"]
        done = subprocess.run([*argv, *(word for command in commands for word in ("-c", command))], capture_output=True, text=True, timeout=60)
        return done.stdout.strip() + done.stderr.strip()

    checks.same("a metric", "2026-01-01 00:00:00+00|18|bath|", lambda: psql("SELECT timestamp, value, room, level FROM clients_temperature ORDER BY room, timestamp LIMIT 1"))
    checks.same("odd numbers", "Infinity -Infinity 1e+300 -0 NaN 0.1 5e-324", lambda: psql("SELECT value FROM clients_odd ORDER BY kind").replace("\n", " "))
    described = "timestamp|timestamp with time zone||not null| value|double precision||| level|text||| room|text|||"
    checks.same(r"\d of a metric", sorted(described.split(" ")), lambda: sorted(psql(r"\d clients_temperature").replace("\n", " ").split(" ")))
    checks.same(r"\dt with a pattern", "public|clients_many|table|promlake public|clients_odd|table|promlake", lambda: psql(r"\dt clients_[mo]*").replace("\n", " "))
    checks.same(r"\d+ has the comment", True, lambda: "How warm a room is." in psql(r"\dt+ clients_temperature"))
    checks.same(r"\d of a name in mixed case", True, lambda: "Zone|text" in psql(r'\d "Clients_Mixed"'))
    checks.same(r"\d of what is not there", 'Did not find any relation named "nope".', lambda: psql(r"\d nope"))
    for command in QUIET:
        checks.same(command, True, lambda command=command: "ERROR" not in (text := psql(command)) or text)
    checks.same("\\gdesc", "timestamp|timestamp with time zone value|double precision", lambda: asked(psql, "SELECT timestamp, value FROM clients_temperature \\gdesc").replace("\n", " "))
    checks.same("\\gset and a variable", "bath", lambda: asked(psql, "SELECT min(room) AS lowest FROM clients_temperature \\gset\nSELECT :'lowest';"))
    checks.same("\\gexec", "1\n2", lambda: asked(psql, "SELECT 'SELECT ' || n FROM generate_series(1, 2) AS n \\gexec"))
    checks.same("\\crosstabview", True, lambda: "bath|18" in asked(psql, "SELECT room, timestamp::time::text AS at, value FROM clients_temperature WHERE timestamp = '2026-01-01' \\crosstabview"))
    checks.same("\\bind is not of psql 15, PREPARE is", "61", lambda: psql("PREPARE p(text) AS SELECT count(*) FROM clients_temperature WHERE room = $1", "EXECUTE p('bath')", options=["-q"]))
    checks.same("\\copy to a file", "COPY 183 183", lambda: psql(r"\copy clients_temperature TO 'out.csv' CSV") + f" {len(open('out.csv').readlines())}")
    checks.same("\\copy from a file", "2|3", lambda: copied_in(psql))
    checks.same("rows in parts", 60_000, lambda: len(asked(psql, "SELECT value FROM clients_many;", "-v", "FETCH_COUNT=7000").splitlines()))
    checks.same("ON_ERROR_ROLLBACK", "2psql:script.sql:2: ERROR:  division by zero", lambda: asked(psql, "BEGIN;\nSELECT 1 / 0;\nSELECT 2;\nCOMMIT;", "-q", "-v", "ON_ERROR_ROLLBACK=on").splitlines()[-1])
    checks.same("an error with its place", True, lambda: all(word in asked(psql, "\\set VERBOSITY verbose\nSELECT nope FROM clients_temperature;") for word in ("ERROR:  42703: column \"nope\" does not exist", "LINE 1: SELECT nope", "       ^")))
    checks.same("another table by a letter", True, lambda: "42P01" in asked(psql, "\\set VERBOSITY verbose\nSELECT * FROM clients_temperatur;"))
    checks.same("EXPLAIN", True, lambda: len(psql("EXPLAIN SELECT room, max(value) FROM clients_temperature GROUP BY room").splitlines()) > 1)
    checks.same("the zone of the session", "2026-01-01 09:00:00+09", lambda: psql("SET TimeZone = 'Asia/Tokyo'", "SELECT min(timestamp) FROM clients_temperature", options=["-q"]))
    checks.same("two queries in one command", "1\n2", lambda: psql("SELECT 1; SELECT 2"))
    checks.same("\\timing, \\x, \\pset", True, lambda: "Time:" in asked(psql, "\\timing on\n\\x on\n\\pset format aligned\nSELECT room FROM clients_temperature LIMIT 1;"))
    checks.same("html, csv and unaligned", "room,value\nbath,18", lambda: subprocess_csv(checks))
    checks.same("^C ends a query and not the session", True, lambda: interrupted(checks))
    checks.same("pg_isready", True, lambda: "accepting connections" in subprocess.run(["pg_isready", "-h", "127.0.0.1", "-p", str(checks.port)], capture_output=True, text=True).stdout)
    if checks.is_promlake:
        checks.same("promql", "hall|31.5", lambda: psql("SELECT room, value FROM promql('clients_temperature{room=\"hall\"}', '2026-01-01T00:50:00Z')"))


def asked(psql, text, *options):
    """As a script, since a backslash command ends a query only there."""
    with open("script.sql", "w", encoding="utf-8") as file:
        file.write(text + "\n")
    return psql(options=["-f", "script.sql", *options])


def copied_in(psql):
    with open("in.csv", "w", encoding="utf-8") as file:
        file.write("2026-01-01 00:00:00+00,1,psql\n2026-01-01 00:01:00+00,2,psql\n")
    psql(r"\copy clients_empty (timestamp, value, host) FROM 'in.csv' CSV")
    return psql("SELECT count(*), sum(value) FROM clients_empty WHERE host = 'psql'")


def subprocess_csv(checks):
    argv = ["psql", "-X", "--csv", "-h", "127.0.0.1", "-p", str(checks.port), "-U", "promlake", "promlake"]
    argv += ["-c", "SELECT room, value FROM clients_temperature ORDER BY value LIMIT 1"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60).stdout.strip()


def interrupted(checks):
    argv = ["psql", "-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-p", str(checks.port), "-U", "promlake", "promlake"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    process.stdin.write(f"{ENDLESS};\n")
    process.stdin.flush()
    time.sleep(1)
    # From a terminal psql goes on after it; from a pipe it ends when it has said so.
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=30)[0]
    return "canceling statement due to user request" in out or "Cancel request sent" in out or out


main(work)
