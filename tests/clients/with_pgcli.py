"""pgcli in a terminal: its questions about the catalogue for completion, a completion, special commands, a query, an error."""

import os
import queue
import sys

import pexpect
from pgspecial.main import PGSpecial

from checks import main


def work(checks):
    program = os.path.join(os.path.dirname(sys.executable), "pgcli")
    argv = ["-h", "127.0.0.1", "-p", str(checks.port), "-U", "promlake", "promlake", "--less-chatty"]
    environment = {**os.environ, "TERM": "dumb", "PAGER": "cat", "COLUMNS": "200", "LINES": "50"}
    terminal = pexpect.spawn(program, argv, env=environment, encoding="utf-8", timeout=20, dimensions=(50, 200))
    terminal.expect("promlake> ")

    def say(text, *wanted):
        terminal.sendline(text)
        for one in wanted:
            terminal.expect(one)
        return True

    checks.same("a query", True, lambda: say("SELECT room, max(value) FROM clients_temperature GROUP BY room ORDER BY room;", "room", "bath", "33.0", "kitchen", "35.0", "SELECT 3"))
    checks.same("\\d of a metric", True, lambda: say("\\d clients_temperature", "timestamp with time zone", "double precision"))
    checks.same("\\dt", True, lambda: say("\\dt clients_*", "clients_many", "table", "promlake"))
    checks.same("\\l", True, lambda: say("\\l", "promlake", "UTF8"))
    checks.same("\\du", True, lambda: say("\\du", "rolname|role", "promlake"))
    checks.same("\\dn, \\df and \\dT", True, lambda: say("\\dn", "public") and say("\\df date_trunc", "date_trunc") and say("\\dT timestamptz", "timestamp with time zone|SELECT 0"))
    checks.same("an error", True, lambda: say("SELECT nope FROM clients_temperature;", 'column "nope" does not exist'))
    checks.same("goes on after it", True, lambda: say("SELECT 40 + 2 AS answer;", "42"))
    checks.same("completes metrics, labels and functions", [True, True, True], lambda: completed(checks))
    checks.same("its log tells of no error", [], lambda: complaints())
    terminal.sendcontrol("c")
    terminal.sendline("\\q")
    terminal.expect(pexpect.EOF)
    terminal.close()


def completed(checks):
    """Its completer by itself, with what it asks for in the background: a terminal that tests can read has no menu."""
    from pgcli.completion_refresher import CompletionRefresher
    from pgcli.pgexecute import PGExecute
    from prompt_toolkit.document import Document

    execute = PGExecute("promlake", "promlake", None, "127.0.0.1", str(checks.port), None)
    ready = queue.Queue()
    CompletionRefresher().refresh(execute, PGSpecial(), ready.put)
    completer = ready.get(timeout=30)

    def offers(text, wanted):
        offered = [one.text for one in completer.get_completions(Document(text), None)]
        return wanted in offered or offered[:20]

    return [
        offers("SELECT * FROM clients_temp", "clients_temperature"),
        offers("SELECT * FROM clients_temperature WHERE ro", "room"),
        offers("SELECT date_tru", "DATE_TRUNC"),
    ]


def complaints():
    """What it asked for in the background and did not get."""
    path = os.path.join(os.environ["XDG_CONFIG_HOME"], "pgcli", "log")
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file if "ERROR" in line and "nope" not in line]


main(work)
