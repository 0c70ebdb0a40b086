"""The corpora of `shared/cases`. Each is a function of the settings; it gives how many of how many pass, and what was printed."""

import json
import math
import os
import re
import sys
import time
import urllib.parse
import urllib.request

import data
from servers import Program, Promlake, folder, free_port, load_module, output_of


def counted(text, passed, failed):
    """Lines that say so."""
    good = len(re.findall(passed, text, re.M))
    return good, good + len(re.findall(failed, text, re.M)), text


def config(settings):
    text = output_of([sys.executable, os.path.join(settings.shared, "cases/config/run.py"), settings.promlake], 600)
    found = re.findall(r"^(\d+) passed, (\d+) failed", text, re.M)
    if not found:
        raise RuntimeError(f"no count:\n{text[-2000:]}")
    passed, failed = map(int, found[-1])
    return passed, passed + failed, text


def promql(settings):
    """In four storage states each."""
    env = {**os.environ, "PROMQLTEST_DIR": os.path.join(settings.shared, "cases/promql"), "PROMQLTEST_FILTER": "trouble", "PROMQLTEST_VERBOSE": "1"}
    text = output_of([settings.promql_test], 300, env=env)
    found = re.findall(r"^total: (\d+) passed, (\d+) failed", text, re.M)
    if not found:
        raise RuntimeError(f"no count:\n{text[-2000:]}")
    passed, failed = map(int, found[-1])
    return passed, passed + failed, text


def sql(settings):
    with folder() as directory, Promlake(settings.promlake, directory) as server:
        data.load(settings.shared, server.http)
        script = os.path.join(settings.shared, "cases/sql/run.sh")
        return counted(output_of(["bash", script, "127.0.0.1", str(server.pg), "promlake"], 120), r"^ok ", r"^FAIL ")


def wire(settings):
    with folder() as directory, Promlake(settings.promlake, directory) as server:
        script = os.path.join(settings.shared, "cases/pg/wire.py")
        return counted(output_of([sys.executable, script, "127.0.0.1", str(server.pg), "promlake"], 180), r"^ok ", r"^FAIL ")


# --- Expositions


def exposition(settings):
    """One server scrapes all of them, each as a job of its own."""
    here = os.path.join(settings.shared, "cases/exposition")
    names = sorted(name[: -len(".expected")] for name in os.listdir(here) if name.endswith(".expected"))
    port = free_port()
    config = "global: {scrape_interval: 2s, scrape_timeout: 2s}\nscrape_configs:\n"
    for name in names:
        config += f'- {{job_name: "{name}", metrics_path: /{name}, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}\n'
    lines, passed = [], 0
    exporter = Program([sys.executable, os.path.join(here, "serve.py"), str(port)], port)
    with exporter, folder() as directory, Promlake(settings.promlake, directory, config) as server:
        wait_until_scraped(server.http, names)
        for name in names:
            with open(os.path.join(here, name + ".expected"), encoding="utf-8") as f:
                why = wrong_exposition(server.http, name, f.read())
            passed += not why
            lines.append(f"{'FAIL' if why else 'ok  '} {name} {why}")
    return passed, len(names), "\n".join(lines)


def query(http, expr):
    url = f"{http}/api/v1/query?" + urllib.parse.urlencode({"query": expr})
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)["data"]["result"]


def wait_until_scraped(http, names):
    """Each job at least once, and what it gave with it, as that is one append."""
    deadline = time.monotonic() + 60
    while len(query(http, "up")) < len(names):
        if time.monotonic() > deadline:
            raise RuntimeError("not every job was scraped within a minute")
        time.sleep(0.2)


def wrong_exposition(http, name, expected):
    """What differs, or nothing."""
    up = re.search(r"^up: (\d)", expected, re.M)[1]
    got_up = query(http, f'up{{job="{name}"}}')[0]["value"][1]
    # Where nobody loses by it, lenient is fine.
    if got_up != up and not (name in ("08", "52", "54") and up == "0"):
        return f"up is {got_up}, not {up}"
    if up == "0" and got_up == "1":
        return ""
    wanted = {}
    for line in re.findall(r"^series: (.*)$", expected, re.M):
        labels, value = parse_series(line)
        wanted.setdefault(key(labels), []).append(value)
    got = {}
    for series in query(http, f'{{job="{name}",__name__!~"up|scrape_.*"}}[1m]'):
        got[key(series["metric"])] = [text for _, text in series["values"]]
    if set(got) != set(wanted):
        return f"series {sorted(got)}, not {sorted(wanted)}"
    for series, values in wanted.items():
        if {canonical(v) for v in got[series]} != {canonical(v) for v in values}:
            return f"{series} has the values {sorted(set(got[series]))}, not {values}"
    return ""


def parse_series(line):
    """`name{a="b"} value @time (remark)`, as labels and the value."""
    name, braces, rest = re.match(r'([^{\s]+)(\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?\s+(.*)', line).groups()
    unescape = lambda text: re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text)
    pairs = re.findall(r'([^,{"=]+)="((?:[^"\\]|\\.)*)"', braces or "")
    return {"__name__": name, **{label: unescape(value) for label, value in pairs}}, rest.split()[0]


def key(labels):
    """Without the labels of the target."""
    return tuple(sorted((k, v) for k, v in labels.items() if k not in ("job", "instance")))


def canonical(text):
    value = float(text)
    return "NaN" if math.isnan(value) else (value, math.copysign(1, value))


# --- Remote write


def remote_write(settings):
    """`rw.py` makes requests; what is right is what Prometheus 3.5.3 answered to the same ones, save that it stores
    what it refuses for its Content-Encoding."""
    rw = load_module(os.path.join(settings.shared, "cases/remote_write/rw.py"))
    with folder() as directory, Promlake(settings.promlake, directory) as server:
        return write_cases(rw, server.http)


def write_cases(rw, http):
    now = int(time.time() * 1000)
    one = lambda name, value=1.0, at=now: rw.series([("__name__", name)], [(value, at)])
    cases = [
        ("a sample", rw.snappy(one("rw_a")), {}, 2),
        ("the same again", rw.snappy(one("rw_a")), {}, 2),
        ("the same time and another value", rw.snappy(one("rw_a", 2.0)), {}, 4),
        ("nothing", rw.snappy(b""), {}, 2),
        ("metadata alone", rw.snappy(rw.metadata(1, "rw_a", "words")), {}, 2),
        ("several samples of a series", rw.snappy(rw.series([("__name__", "rw_b")], [(1.0, now - 2000), (2.0, now - 1000), (3.0, now)])), {}, 2),
        ("special values", rw.snappy(one("rw_c", float("inf"), now - 1) + one("rw_d", float("nan"))), {}, 2),
        ("a stale marker behind a sample", rw.snappy(rw.series([("__name__", "rw_e")], [(1.0, now - 1000), (rw.STALE, now)])), {}, 2),
        ("a name in UTF-8", rw.snappy(one("räume.warm")), {}, 2),
        ("10,000 series", rw.snappy(b"".join(rw.series([("__name__", "rw_many"), ("n", str(n))], [(1.0, now)]) for n in range(10_000))), {}, 2),
        ("no Content-Encoding", rw.snappy(one("rw_f")), {"Content-Encoding": None}, 2),
        ("snappy's stream format", rw.framed(one("rw_g0")), {}, 4),
        ("not compressed", one("rw_g1"), {}, 4),
        ("no protobuf", rw.snappy(b"\xff\xff\xff\xff"), {}, 4),
        ("a length that is not so", rw.snappy(one("rw_g2"))[:-3], {}, 4),
        ("another Content-Type", rw.snappy(one("rw_g3")), {"Content-Type": "application/json"}, 4),
        ("another Content-Encoding", rw.snappy(one("rw_g4")), {"Content-Encoding": "gzip"}, 4),
    ]
    lines, passed = [], 0
    for about, body, headers, wanted in cases:
        status, text, _ = rw.post(http, body, **headers)
        right = status // 100 == wanted
        passed += right
        lines.append(f"{'ok  ' if right else 'FAIL'} {about}: {status} {text.strip()[:100]}")
    answers = [("rw_a", ["1"]), ("rw_b", ["3"]), ("rw_c", ["+Inf"]), ("rw_d", ["NaN"]), ("rw_e", []), ('{__name__=~"rw_g."}', []), ("count(rw_many)", ["10000"]), ('{"räume.warm"}', ["1"])]
    for expr, wanted in answers:
        got = [series["value"][1] for series in query(http, expr)]
        passed += got == wanted
        lines.append(f"{'ok  ' if got == wanted else 'FAIL'} {expr}: {got}")
    return passed, len(cases) + len(answers), "\n".join(lines)
