#!/usr/bin/env python3
"""Templates of alerts: Prometheus' texts and ours, byte by byte.

A Prometheus and a promlake on the loopback get one alerting rule per template of the corpus, and their API shows the
annotations. What they refuse to load they name in their logs.

    templates.py --promlake BINARY            compares, and fails where they differ
    templates.py --record                     writes Prometheus' texts and answers to queries into the corpus
    templates.py --promlake BINARY --random N [--seed S]
                                              compares N templates made at random, right and wrong ones
"""

import argparse
import codecs
import itertools
import json
import pathlib
import random
import re
import shutil
import sys
import tempfile
import urllib.parse

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from processes import call, text_page, until  # noqa: E402
from servers import PROMETHEUS, Peer  # noqa: E402

CORPUS = pathlib.Path(__file__).resolve().parents[2] / "src/template/corpus.json"

# Where pointers are printed, ours is always the same one, in any base, and Go's another one each time.
OUR_ADDRESS = re.compile("c000000000|824633720832|14000000000000|1100000000000000000000000000000000000000", re.I)
ADDRESS = re.compile(r" *\+?(0[xXbo]?)?[0-9a-fA-F]{7,}")


def is_same(theirs, ours):
    if OUR_ADDRESS.search(ours):
        theirs, ours = ADDRESS.sub("ADDRESS", theirs), ADDRESS.sub("ADDRESS", ours)
    return theirs == ours


# Go's replacement of what is no UTF-8, byte by byte.
codecs.register_error("go", lambda error: ("\ufffd" * (error.end - error.start), error.end))

EXTERNAL_LABELS = {"region": "eu", "replica": "a"}
LABELS = {"instance": "web-1.example.com:9090", "job": "api", "city": "Zürich ✓", "quote": "it's \"<b>&\\", "mit.punkt": "ja"}
VALUES = {
    "float": "1234.5678", "nan": "NaN", "inf": "Inf", "ninf": "-Inf", "big": "1e21", "small": "1.5e-7", "neg": "-42", "zero": "0",
    "int": "3", "huge": "1.7976931348623157e308", "half": "0.5",
}
# In the order of their labels: neither server promises one, Prometheus has that in which they came and promlake this.
SERIES = [
    ({"job": "api", "instance": "web-1:80", "code": "200"}, "12"),
    ({"job": "web", "instance": "web-0:80", "code": "301"}, "0.25"),
    ({"job": "web", "instance": "web-3:80", "code": "404"}, "7000000"),
    ({"job": "api", "instance": "web-2:80", "code": "500"}, "1500.5"),
]
# With custom buckets, which Prometheus makes of a classic histogram.
HISTOGRAM = {"bounds": [1, 2.5, 10], "buckets": [1, 2, 3, 4], "count": 10, "sum": 18.4}
HISTOGRAM_LABELS = {"__name__": "hist", "job": "hist", "instance": "h"}


# promlake tells this many mistakes of a file.
TOLD = 40


class Server(Peer):
    """A Prometheus, or a promlake if its binary is given, with its own folder and port; entered, it need not become ready."""

    # That of the corpus has what promlake's flag does not take.
    external_url = "http://prom.example.org:9090/sub/path/"

    def __init__(self, folder, rules, promlake=None):
        self.ready_text = "msg=ready" if promlake else "Server is ready"
        folder.mkdir(parents=True)
        (folder / "rules.json").write_text(yaml(rules))
        configuration = {
            "global": {"evaluation_interval": "1s", "external_labels": EXTERNAL_LABELS},
            "rule_files": [str(folder / "rules.json")],
            "scrape_configs": [{
                "job_name": "hist", "scrape_interval": "1s", "scrape_timeout": "1s", "convert_classic_histograms_to_nhcb": True,
                "static_configs": [{"targets": [f"127.0.0.1:{text_page(page).port}"], "labels": {"instance": "h"}}],
            }],
        }
        flags = [f"--web.external-url={self.external_url}", "--web.route-prefix=/", *([] if promlake else ["--log.format=json"])]
        super().__init__("promlake" if promlake else "prometheus", promlake or PROMETHEUS, str(folder), json.dumps(configuration), *flags)

    def __enter__(self):
        self.start()
        return self

    def get(self, path, **parameters):
        _, body = call(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}")
        # Prometheus hands on what is no UTF-8.
        return json.loads(body.decode(errors="go"))

    def wait(self, what, condition, seconds=60):
        try:
            return until(seconds, what, condition)
        except AssertionError as error:
            sys.exit(f"{error}:\n" + "".join(self.logged())[-4000:])


def page():
    """Exposes the histogram."""
    counts = list(itertools.accumulate(HISTOGRAM["buckets"]))
    bounds = [*HISTOGRAM["bounds"], "+Inf"]
    lines = ["# TYPE hist histogram", *(f'hist_bucket{{le="{bound}"}} {count}' for bound, count in zip(bounds, counts))]
    return "\n".join([*lines, f"hist_sum {HISTOGRAM['sum']}", f"hist_count {HISTOGRAM['count']}", ""])


def yaml(data):
    """JSON, but with YAML's escapes of what needs two of JSON's."""
    pair = lambda found: f"\\U{ord(json.loads(f'{chr(34)}{found[0]}{chr(34)}')):08x}"
    return re.sub(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}", pair, json.dumps(data))


def alert(number, text, subject):
    return {"alert": "A", "expr": "hist" if subject == "hist" else f"subject_{subject}", "labels": {"case": str(number)},
            "annotations": {"t": text}}


def rules(cases):
    """A group that makes the series, and the alerts in another one."""
    series = [{"record": f"subject_{name}", "expr": f"vector({value})", "labels": LABELS} for name, value in VALUES.items()]
    series += [{"record": "requests_total", "expr": f"vector({value})", "labels": labels} for labels, value in SERIES]
    alerts = [alert(number, text, subject) for number, (subject, text) in cases]
    return {"groups": [{"name": "series", "rules": series}, {"name": "alerts", "rules": alerts}]}


def refused(folder, cases, promlake=None):
    """Messages to the templates that are none, by number."""
    with Server(folder, rules(cases), promlake) as server:
        server.wait("verdict on the rules", lambda: server.process.poll() is not None or server.ready_text in "".join(server.logged()))
        lines = "".join(server.logged()).splitlines()
    if not promlake:
        # All mistakes are one message, a line each.
        lines = [line for text in lines if text.startswith("{") for line in json.loads(text).get("err", "").split("\n")]
    mistake = re.compile(r'group "alerts", rule (\d+), "A": annotation "t": (.*)')
    found = [mistake.search(line) for line in lines]
    return {cases[int(f[1]) - 1][0]: f[2] for f in found if f}


def texts(server, count):
    groups = server.get("/api/v1/rules", type="alert")["data"]["groups"]
    out = {}
    for group in groups:
        for rule in group["rules"]:
            for active in rule["alerts"]:
                out[int(rule["labels"]["case"])] = active["annotations"].get("t", "")
            if rule.get("lastError"):
                print("rule", rule["labels"]["case"], rule["lastError"], file=sys.stderr)
    return out if len(out) >= count else None


def answer(server, query):
    """Of a query, as templates get it."""
    got = server.get("/api/v1/query", query=query)
    if got["status"] != "success":
        return {"error": got["error"].removeprefix('invalid parameter "query": ')}
    kind, result = got["data"]["resultType"], got["data"]["result"]
    if kind == "scalar":
        return {"samples": [[{}, result[1]]]}
    if kind != "vector":
        return {"error": "rule result is not a vector or scalar"}
    return {"samples": [[s["metric"], s["value"][1] if "value" in s else HISTOGRAM] for s in result]}


def theirs(corpus, folder, cases):
    """Prometheus' text or message of each template, and its answers to the corpus' queries."""
    expected = refused(folder / "check", cases)
    good = [case for case in cases if case[0] not in expected]
    with Server(folder / "run", rules(good)) as server:
        server.wait("API", lambda: server.get("/api/v1/status/buildinfo"))
        expected |= server.wait("alerts", lambda: texts(server, len(good)))
        corpus["queries"] = {query: answer(server, query) for query in corpus["queries"]}
    return expected


def ours(folder, cases, expected, promlake):
    """The same of promlake. Which templates are none is told by Prometheus; those that promlake takes all the same have
    no message."""
    wrong = {number for number, _ in refused(folder / "check-own", cases, promlake).items()}
    wrong |= {number for number, text in expected.items() if text.startswith("template: ")}
    bad = [case for case in cases if case[0] in wrong]
    got = {}
    for part in range(0, len(bad), TOLD):
        got |= refused(folder / f"check-{part}", bad[part:part + TOLD], promlake)
    good = [case for case in cases if case[0] not in wrong]
    with Server(folder / "run-own", rules(good), promlake) as server:
        server.wait("API", lambda: server.get("/api/v1/status/buildinfo"))
        return got | server.wait("alerts", lambda: texts(server, len(good)))


class Random:
    """Templates of all kinds of parts, many of which do not go together."""

    OPERANDS = [
        "$labels", "$value", ".", "$", ".Value", ".Labels", "$labels.job", ".Labels.instance", "$labels.nope", "$externalLabels", "$externalURL",
        ".Nope", "nil", "true", "false", "0", "1", "2", "-3", "1.5", "1e21", "0.0001", "'x'", "0x1F", "2i", '""', '"abc"', '"job"', '"a\\tb é"',
        "`raw`", '"5"', '"1h30m"', '"(a)(b)?"', '"a.b:80"', "$x", "$y", "pathPrefix", "externalURL", "print", "args", "$.Labels.job",
        '(query "requests_total")', '(first (query "requests_total"))', '(query "nothing")', "(toTime 5)", "(toTime 1435065584.128).UTC",
        "(args 1 $labels nil)", "(index \"abc\" 1)", '(safeHtml "<b>")', "($labels)", "(.Value)", "(args 1).nope", "(toTime 5).Month",
        "((toTime 100).Sub (toTime 5))", "$labels.job.x", ".Value.Foo", '(first (query "requests_total")).Labels', "(args 7).arg0",
    ]
    FUNCTIONS = [
        ("and", 2), ("or", 2), ("not", 1), ("len", 1), ("index", 2), ("slice", 2), ("print", 2), ("println", 1), ("html", 1), ("js", 1), ("urlquery", 1),
        ("eq", 2), ("ne", 2), ("lt", 2), ("le", 2), ("gt", 2), ("ge", 2), ("call", 1), ("first", 1), ("label", 2), ("value", 1), ("strvalue", 1),
        ("sortByLabel", 2), ("args", 2), ("reReplaceAll", 3), ("match", 2), ("safeHtml", 1), ("title", 1), ("toUpper", 1), ("toLower", 1), ("graphLink", 1),
        ("stripPort", 1), ("stripDomain", 1), ("humanize", 1), ("humanize1024", 1), ("humanizeDuration", 1), ("humanizePercentage", 1),
        ("humanizeTimestamp", 1), ("toTime", 1), ("parseDuration", 1), ("pathPrefix", 0), ("externalURL", 0), ("nosuch", 1),
    ]
    FLAGS, VERBS = ["", "", "", "-", "+", "#", "0", " ", "+#", "-0", "# "], "vvvvTtbcdoOqxXUeEfFgGsspw%z!é"
    NOISE = ["{{", "}}", "|", "(", ")", ".", "$", "\"", "`", "\n", " ", "-", ":=", "=", ",", "end", "else", "'", "/*", "*/", "é", "\\", "break"]

    def __init__(self, seed):
        self.random = random.Random(seed)

    def template(self):
        text = self.list(self.random.choice([1, 2, 2, 3]))
        # Prometheus would count the nanoseconds for a minute.
        text = re.sub(r"(range[^{}]*)\(\(toTime 100\)\.Sub \(toTime 5\)\)", r"\1(toTime 5).Month", text)
        for _ in range(self.random.choice([0, 0, 0, 0, 1, 2])):
            at, to = self.random.randrange(len(text) + 1), self.random.randrange(6)
            text = text[:at] + self.random.choice([*self.NOISE, "", ""]) + text[at + to:]
        return text

    def list(self, depth):
        return "".join(self.item(depth) for _ in range(self.random.choice([1, 1, 2, 3])))

    def item(self, depth):
        pipe, inner = self.pipe(depth), lambda: self.list(depth - 1) if depth > 0 else self.action(0)
        otherwise = lambda: self.random.choice(["", "", "{{else}}" + inner(), "{{else if " + self.pipe(1) + "}}" + inner()])
        return self.random.choice([
            lambda: self.random.choice(["x", " a\n b ", "\n", "é ", "{"]), lambda: self.action(depth), lambda: self.action(depth), lambda: self.action(depth),
            lambda: "{{if " + pipe + "}}" + inner() + otherwise() + "{{end}}",
            lambda: "{{with " + self.random.choice(["", "$x := "]) + pipe + "}}" + inner() + "{{end}}",
            lambda: "{{range " + self.random.choice(["", "$x := ", "$y, $x := "]) + pipe + "}}" + inner()
            + self.random.choice(["", "", "{{break}}", "{{if eq . 1}}{{continue}}{{end}};"]) + self.random.choice(["", "{{else}}none"]) + "{{end}}",
            lambda: "{{$x := " + pipe + "}}", lambda: "{{$y := " + pipe + "}}{{$y = " + self.pipe(depth) + "}}",
            lambda: '{{block "b" ' + pipe + "}}" + inner().replace("$x", ".").replace("$y", ".") + "{{end}}",
        ])()

    def action(self, depth):
        left, right = self.random.choice([("{{", "}}"), ("{{ ", " }}"), ("{{- ", " -}}"), ("{{", " -}}\n"), ("{{\n", "\n}}")])
        return left + self.pipe(depth) + right

    def pipe(self, depth):
        commands = [self.command(depth)]
        while self.random.random() < 0.25:
            name, count = self.random.choice(self.FUNCTIONS)
            commands.append(" ".join([name, *(self.operand(depth) for _ in range(max(0, count - 1)))]))
        return " | ".join(commands)

    def command(self, depth):
        kind = self.random.random()
        if kind < 0.35:
            return self.operand(depth)
        if kind < 0.6:
            verbs = self.random.randrange(1, 4)
            return f'printf "{"".join(self.verb() for _ in range(verbs))}" ' + " ".join(self.operand(depth) for _ in range(verbs))
        name, count = self.random.choice(self.FUNCTIONS)
        count += self.random.choice([0] * 12 + [1, -1])
        return " ".join([name, *(self.operand(depth) for _ in range(count))])

    def verb(self):
        number = lambda: self.random.choice(["", "", "", "3", "8", "12", "[1]", "[2]", "*"])
        precision = self.random.choice(["", "", "", "." + number()])
        return "%" + self.random.choice(self.FLAGS) + number() + precision + self.random.choice(self.VERBS) + self.random.choice(["", "|", " "])

    def operand(self, depth):
        if depth > 0 and self.random.random() < 0.15:
            return "(" + self.pipe(depth - 1) + ")" + self.random.choice(["", "", "", ".Foo", ".job", ".Value"])
        return self.random.choice(self.OPERANDS)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--promlake", type=pathlib.Path)
    arguments.add_argument("--record", action="store_true")
    arguments.add_argument("--random", type=int, metavar="N")
    arguments.add_argument("--seed", type=int, default=1)
    arguments = arguments.parse_args()
    if arguments.record:
        Server.external_url = "http://prom.example.org:9090/sub/path%20x/"
    elif not arguments.promlake:
        sys.exit("--promlake BINARY is needed to compare")
    corpus = json.loads(CORPUS.read_text())
    if arguments.random and not arguments.record:
        made = Random(arguments.seed)
        subjects = list(VALUES)
        corpus["templates"] = [{"subject": made.random.choice(subjects), "text": made.template()} for _ in range(arguments.random)]
    cases = [(number, (case["subject"], case["text"])) for number, case in enumerate(corpus["templates"])]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="templates-"))
    try:
        expected = theirs(corpus, folder, cases)
        got = {} if arguments.record else ours(folder, cases, expected, arguments.promlake.resolve())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.record:
        for number, case in enumerate(corpus["templates"]):
            case["expected"] = expected[number]
        corpus["queries"] = dict(sorted(corpus["queries"].items()))
        lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in corpus["templates"])
        rest = json.dumps({k: v for k, v in corpus.items() if k != "templates"}, ensure_ascii=False, indent=1)
        CORPUS.write_text(rest.removesuffix("\n}") + f',\n "templates": [\n{lines}\n]}}\n')
        return
    different = 0
    for number, case in enumerate(corpus["templates"]):
        if not is_same(expected[number], got.get(number, "(no text)")):
            different += 1
            print(f"{case['subject']}: {case['text']!r}\n  theirs {expected[number]!r}\n  ours   {got.get(number)!r}")
    print(f"{len(cases) - different} of {len(cases)} templates agree")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
