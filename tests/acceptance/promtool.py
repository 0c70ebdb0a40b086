"""promlake under the name promtool beside promtool itself: the same command lines, asked of the same servers.

    python tests/acceptance/promtool.py --promlake target/release/promlake

The same samples are remote-written to a Prometheus and to a promlake, and both programs ask both of them. Exit code, standard output
and standard error are the same byte by byte, but for what EXPLAINED gives a reason for; a reason that nothing needs any more is a
failure as well. `promlake query …` prints what `promtool query …` does. Needs Prometheus and promtool of Debian (tests/peers); without
them this is skipped, and said. Everything listens on loopback and is stopped at the end.
"""
import argparse
import http.server
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import federation  # noqa: E402
from processes import free_port  # noqa: E402
from servers import PROMETHEUS, Peer  # noqa: E402

PROMTOOL = next((path for path in [os.path.join(os.path.dirname(PROMETHEUS), "promtool"), shutil.which("promtool")] if path and os.path.exists(path)), "promtool")
CONFIG = "global: {scrape_interval: 1h}\n"
# Of open-sesame.
USERS = "basic_auth_users: {grafana: $2a$05$vwFRG6OzxfFomXpbT6lELemLOmUd5C8TM32HCl0ZkPC31iVTQ3HPG}\n"
RULES = """
groups:
- name: shop
  rules:
  - {record: 'job:up:sum', expr: sum by (job) (up)}
  - alert: Down
    expr: up == 0
    for: 5m
    labels: {severity: page}
    annotations: {summary: '{{ $labels.instance }} is {{ $value }}'}
"""
TWICE = """
groups:
- name: a
  rules:
  - {record: r, expr: up, labels: {b: c}}
  - {record: r, expr: up, labels: {b: c}}
"""
GOOD_TEST = """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- name: alerts
  input_series: [{series: 'up{job="a",instance="x:1"}', values: '1 0x9 1'}]
  alert_rule_test:
  - {eval_time: 5m, alertname: Down}
  - eval_time: 6m
    alertname: Down
    exp_alerts: [{exp_labels: {severity: page, job: a, instance: 'x:1'}, exp_annotations: {summary: 'x:1 is 0'}}]
  promql_expr_test: [{expr: 'job:up:sum', eval_time: 1m, exp_samples: [{labels: 'job:up:sum{job="a"}', value: 0}]}]
"""
BAD_TEST = GOOD_TEST.replace("severity: page, ", "severity: ticket, ").replace("value: 0", "value: 3")
FILES = {
    "rules.yml": RULES, "twice.yml": TWICE, "empty.yml": "", "good-test.yml": GOOD_TEST, "bad-test.yml": BAD_TEST,
    "prometheus.yml": "rule_files: [rules.yml]\nscrape_configs: [{job_name: a, static_configs: [{targets: ['a:1']}]}]\n",
    "slow.yml": "scrape_configs: [{job_name: a, scrape_interval: 10m}]\n",
    "web.yml": USERS, "no-such-key.yml": "no_such_key: 1\n",
    "client.yml": "basic_auth: {username: grafana, password: open-sesame}\n",
    "wrong-client.yml": "basic_auth: {username: grafana, password: geheim}\n",
    "header-client.yml": "http_headers: {X-Zone: {values: [here]}}\n",
    "good.prom": "# HELP a_total A\n# TYPE a_total counter\na_total{x=\"1\"} 1\na_total{x=\"2\"} 1\n",
    "bad.prom": "a_ms 1\n# TYPE b_total gauge\nb_total{le=\"1\"} 1\n",
    "broken.prom": "a{\n",
    "pushed.prom": "# HELP pushed_total A\n# TYPE pushed_total counter\npushed_total{job=\"q\"} 7\n# TYPE pushed_h histogram\n"
                   "pushed_h_bucket{le=\"1.0\"} 1\npushed_h_bucket{le=\"+Inf\"} 2\npushed_h_sum 3\npushed_h_count 2\n"
                   "# TYPE pushed_s summary\npushed_s{quantile=\"0.50\"} 1\npushed_s_sum 3\npushed_s_count 2\n",
}

# {url} is one server after the other, {auth} one that asks for a user, {odd} one that answers oddly, {at} a time within the samples.
QUERIES = [
    "query instant --time={at} {url} 1.5",
    "query instant --time={at} {url} '\"a<b>\"'",
    "query instant --time={at} {url} odd",
    "query -o json instant --time={at} {url} odd",
    "query --format=json instant --time={at} {url} '1/0'",
    "query instant --time={at} {url} 'sort(odd)'",
    "query instant --time={at} {url} nothing",
    "query -o json instant --time={at} {url} nothing",
    "query instant -o json --time={at} {url} 1",
    "query instant --time={at} {url} 'vector(1)'",
    "query instant --time={at} {url} '0/0'",
    "query instant --time={at} {url} '-1e-300'",
    "query instant --time={at} {url} latency",
    "query -o json instant --time={at} {url} latency",
    "query instant --time={at} {url} gauge_histogram",
    "query instant --time={at} {url} '-gauge_histogram'",
    "query instant --time={at} {url} 'latency * 0.3'",
    "query instant --time={at} {url} 'histogram_count(latency)'",
    "query instant --time={at} {url} 'up{{job=\"a\"}}[1m]'",
    "query -o json instant --time={at} {url} '{{__name__=~\"up|latency\",job=\"a\"}}[30s]'",
    "query instant --time={at} {url} '{{__name__=~\"up|http.size|latency\"}}[1m]'",
    "query instant --time={at} {url} 'sum by (job) (up)'",
    "query instant --time={at} {url} 'up[2m:30s]'",
    "query instant --time={at} {url} '{{\"http.size\"}}'",
    "query -o json instant --time={at} {url} '{{\"http.size\"}}'",
    "query instant --time={at}.0005 {url} 'time()'",
    "query instant --time=2024-01-01T00:00:00.25Z {url} 'time()'",
    "query instant --time=1e9 {url} 'time()'",
    "query instant --time=0x10p4 {url} 'time()'",
    "query instant --time=-1.5 {url} 'time()'",
    "query instant --time=x {url} 1",
    "query instant --time=2024-01-01 {url} 1",
    "query instant {url} 'sum('",
    "query -o json instant {url} 'sum('",
    "query instant {url} 'up[5m'",
    "query instant --time={at} {url} 'up / on(job) group_left requests_total'",
    "query instant --time={at} {url} 'label_replace(up, \"a\", \"b\", \"c\", \"(\")'",
    "query instant --time={at} {url} 'histogram_quantile(0.9, up)'",
    "query instant --time={at} {url} 'rate(up[5m])'",
    "query instant --time {at} {url} 1",
    "query instant --time={at} {url} -- -1",
    "query instant --time={at} {url}/ up",
    "query instant {url}/nope up",
    "query instant --time={at} --header=X-A=b {url} up",
    "query range --start={at} --end={at}.5 {url} up",
    "query range --start={early} --end={at} --step=15s {url} 'sum(up)'",
    "query range --start={early} --end={at} --step=15s {url} odd",
    "query -o json range --start={early} --end={at} --step=15s {url} odd",
    "query range --start={early} --end={at} --step=15s {url} latency",
    "query -o json range --start={early} --end={at} --step=15s {url} latency",
    "query range --start={early} --end={at} --step=15s {url} 1",
    "query range --start={early} --end={at} --step=15s {url} nothing",
    "query range --start={early} --end={at} --step=1.5s {url} 'time()'",
    "query range --start={early} --end={at} --step=1d {url} 'time()'",
    "query range --start={early} --end={at} --step=0 {url} 'time()'",
    "query range --start={hours} --end={at} {url} 'time()'",
    "query range --end={at} {url} 'time()'",
    "query range --start={early} --end={at} --step=-5m {url} 1",
    "query range --start={early} --end={at} --step=1ms {url} 1",
    "query range --start={at} --end={at} {url} 1",
    "query range --start={at} --end={early} {url} 1",
    "query range --start=x --end={at} {url} 1",
    "query range --end=x {url} 1",
    "query range --start={early} --end={at} --header=X-A:b --header X-B=c {url} up",
    "query range --start={early} --end={at} {url} 'up{{'",
    "query series --match=up {url}",
    "query -o json series --match=up --match='odd{{kind=\"nan\"}}' {url}",
    "query series --match='{{__name__=~\"odd|http.size\"}}' {url}",
    "query series --match=nothing {url}",
    "query -o json series --match=nothing {url}",
    "query series --match=old --start={early} {url}",
    "query series --match=up --start={early} --end={at} {url}",
    "query series --match=up --start={early} --end=2024-01-01T00:00:00Z {url}",
    "query series --match='up[' {url}",
    "query series --match='{{}}' {url}",
    "query series --match=up --start=x {url}",
    "query series --match=up --end=x {url}",
    "query labels {url} job",
    "query -o json labels {url} job",
    "query labels {url} __name__",
    "query labels {url} nothing",
    "query -o json labels {url} nothing",
    "query labels --match=odd {url} kind",
    "query labels --match=odd --match=up {url} a1",
    "query labels --start={early} --end={at} {url} job",
    "query labels --end=2024-01-01T00:00:00Z {url} job",
    "query labels --match='up[' {url} kind",
    "query labels --start=x {url} kind",
    "query labels {url} 'a b'",
    "query analyze --server={url} --type=histogram --match=classic_bucket --time={at} --duration=5m",
    "query analyze --server={url} --type=histogram --match=latency --time={at} --duration=1h",
    "query analyze --server={url} --type=histogram --match=latency --match=classic_bucket --match=up --match=gauge_histogram --time={at} --duration=5m",
    "query analyze --server={url} --type=histogram --match='{{__name__=~\"classic.*|latency\"}}' --time={at} --duration=90s",
    "query analyze --server={url} --type=histogram --match=nothing --time={at}",
    "query analyze --server={url} --type=histogram --match=classic_bucket --time={at} --duration=15s",
    "query analyze --server={url} --type=histogram --match='sum(up)' --time={at}",
    "query analyze --server={url} --type=summary --match=latency",
    "query analyze --server={url} --type=histogram --match=up --time=x",
    "query --http.config.file={dir}/header-client.yml instant --time={at} {url} up",
    "check healthy --url={url}",
    "check ready --url={url}",
    "check healthy --url={url}/nope",
]
OTHERS = [
    "query instant --time={at} --http.config.file={dir}/client.yml {auth} up",
    "query --http.config.file={dir}/client.yml series --match=up {auth}",
    "query --http.config.file={dir}/client.yml labels {auth} job",
    "query instant --http.config.file={dir}/wrong-client.yml {auth} up",
    "query instant {auth} up",
    "query labels {auth} job",
    "check ready --http.config.file={dir}/client.yml --url={auth}",
    "check ready --url={auth}",
    "query instant http://127.0.0.1:1 up",
    "query range --start=1 --end=2 http://127.0.0.1:1 up",
    "query series --match=up http://127.0.0.1:1",
    "query labels --start=1 --end=2 --match=a --match=b http://127.0.0.1:1 job",
    "query analyze --server=http://127.0.0.1:1 --type=histogram --match=up",
    "check healthy --url=http://127.0.0.1:1",
    "query instant http://ada:geheim@127.0.0.1:1 up",
    "query instant --time=1 {odd}/403 up",
    "query instant --time=1 {odd}/405 up",
    "query instant --time=1 {odd}/422 up",
    "query instant --time=1 {odd}/500 up",
    "query instant --time=1 {odd}/503 up",
    "query instant --time=1 {odd}/error up",
    "query instant --time=1 {odd}/inconsistent up",
    "query instant --time=1 {odd}/html up",
    "query instant --time=1 {odd}/empty up",
    "query instant --time=1 {odd}/warnings up",
    "query labels --start=1 --end=2 {odd}/values job",
    "query labels --start=1 --end=2 {odd}/null job",
    "query -o json labels --start=1 --end=2 {odd}/null job",
    "query series --match=up {odd}/labels",
    "query -o json series --match=up {odd}/labels",
    "query",
    "query foo",
    "query instant",
    "query instant http://a",
    "query instant http://a up more",
    "query instant --odd http://a up",
    "query instant http://a -1",
    "query -o xml instant http://a up",
    "query series http://a",
    "query analyze --server=http://a --type=histogram",
    "query range --step=1m --step=1m http://a up",
    "query range --step=5 http://a up",
    "query range --step=1y http://a up",
    "query range --header=a http://a up",
    "query range http://a up --step",
    "query instant 127.0.0.1:1 up",
    "query instant ftp://a 1",
    "query --http.config.file=/no/such instant http://a 1",
    "foo",
    "--odd",
    "check",
    "test",
    "check rules {dir}/rules.yml",
    "check rules rules.yml twice.yml",
    "check rules --lint-fatal twice.yml",
    "check rules --lint=none --lint-fatal twice.yml",
    "check rules --lint=odd rules.yml",
    "check rules empty.yml",
    "check rules < rules.yml",
    "check config prometheus.yml",
    "check config --syntax-only prometheus.yml",
    "check config --lint=too-long-scrape-interval slow.yml",
    "check config --lint=all --lint-fatal slow.yml",
    "check config no-such-key.yml",
    "check web-config web.yml",
    "check web-config no-such-key.yml",
    "check metrics < good.prom",
    "check metrics < bad.prom",
    "check metrics < broken.prom",
    "check metrics --extended < good.prom",
    "test rules good-test.yml",
    "test rules bad-test.yml",
    "test rules --run=nothing bad-test.yml",
    "test rules --diff bad-test.yml",
    "test rules good-test.yml bad-test.yml",
    "promql format up",
    "--experimental promql format 'sum by(job) (rate(a{{b=\"c\",d=~\"5..\"}}[5m])) / ignoring(code) sum(rate(http_requests_total_of_all_kinds[5m]))'",
    "--experimental promql format 'sum('",
    "promql --experimental label-matchers set 'up{{a=\"b\"}} + sum(x)' job j",
    "--experimental promql label-matchers set --type='=~' 'rate(up{{a=\"b\"}}[5m])' a 'j\"x'",
    "--experimental promql label-matchers set -t '!=' 'up{{a=\"b\"}}' __name__ j",
    "--experimental promql label-matchers set -t x up a j",
    "--experimental promql label-matchers set 'sum(' a j",
    "--experimental promql label-matchers delete 'up{{a=\"b\",c=\"d\"}} + x{{a=\"b\"}}' a",
    "--experimental promql label-matchers delete '{{a=\"b\"}}' a",
    "--experimental promql label-matchers delete 'up{{a=\"b\"}}' __name__",
    "--experimental promql label-matchers",
    "push",
    "push metrics",
    "push metrics http://127.0.0.1:1/w pushed.prom",
    "push metrics {odd}/500 pushed.prom",
    "push metrics {odd}/500 < pushed.prom",
    "push metrics {odd}/ok pushed.prom good.prom",
    "push metrics {odd}/ok < broken.prom",
    "push metrics http://a /no/such",
    "debug all http://127.0.0.1:1",
    "tsdb list data",
]
JSON_WORDS = "what is wrong with JSON is in the words of another parser"
URL_WORDS = "what is wrong with a URL is in words of our own, and the scheme may be left out"
RULE_WORDS = "mistakes in configurations and rules have a form of their own, with all of them"
NOTES = "notes of the server are told also where promtool drops them"
EXPLAINED = [
    (r"^query.*'\"a<b>\"'", "promtool takes no strings, which is a gap of its library"),
    (r"^query instant .*--header", "promtool 3.5.3 has headers for ranges only; later versions have them here too"),
    (r"/(html|empty) up$", JSON_WORDS),
    (r"/null job$", "an answer that is null has nothing in it; promtool's library cannot read it"),
    (r"label-matchers delete '{a=", "promtool prints nothing for a selector without matchers"),
    (r"^push metrics .*/500", "the text of a server's error is shown without the blanks around it"),
    (r"^(debug|tsdb) ", "promlake has no such command, and says so"),
    (r"^(check|push) metrics .*broken.prom", "what is wrong with an exposition is said in the words of Prometheus' own parser"),
    (r"^query instant (127.0.0.1:1|ftp://a) ", URL_WORDS),
    (r"histogram_quantile\(0.9, up\)|rate\(up|/warnings up$", NOTES),
    (r"^check (config|web-config) no-such-key.yml", RULE_WORDS),
]


def samples(now_ms):
    series = federation.data(now_ms)
    times = range(now_ms - 600_000, now_ms, 15_000)
    for le, rate in [("0.1", 1), ("0.5", 1), ("1", 3), ("+Inf", 4)]:
        for job in ["a", "b"]:
            labels = {"__name__": "classic_bucket", "le": le, "job": job}
            series.append((labels, [federation.sample(t, i * rate) for i, t in enumerate(times)]))
    odd = {"nan": math.nan, "inf": math.inf, "ninf": -math.inf, "tiny": 1.5e-9, "huge": 1.5e25, "zero": -0.0, "big": 123456789.0}
    for kind, value in odd.items():
        labels = {"__name__": "odd", "kind": kind, "a1": "x", "a": "<&>\u2028é\x01"}
        series.append((labels, [federation.sample(t, value) for t in times]))
    return series


class Odd(http.server.BaseHTTPRequestHandler):
    """Answers by the first part of the path."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        first = self.path.split("/")[1]
        good = {"status": "success", "data": {"resultType": "scalar", "result": [1, "2"]}}
        status, body = {
            "error": (200, {"status": "error", "errorType": "execution", "error": "no\nway"}),
            "inconsistent": (422, good),
            "html": (200, "<html>"),
            "empty": (200, ""),
            "warnings": (200, {**good, "warnings": ["PromQL warning: w"], "infos": ["PromQL info: i"]}),
            "values": (200, {"status": "success", "data": ["b", "a", "<&>"], "warnings": ["w"]}),
            "null": (200, {"status": "success", "data": None}),
            "labels": (200, {"status": "success", "data": [{"b": "c", "__name__": "x", "a": "é\u2028\n"}, {}]}),
            "ok": (204, ""),
            "405": (405 if self.command == "POST" else 200, good),
            "422": (422, {"status": "error", "errorType": "execution", "error": "no"}),
        }.get(first, (int(first) if first.isdigit() else 404, "  boom \n"))
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, *_):
        pass


def run(program, line, directory):
    """Exit code, standard output and standard error."""
    words = shlex.split(line)
    stdin = subprocess.DEVNULL
    if "<" in words:
        stdin = open(os.path.join(directory, words[words.index("<") + 1]), "rb")
        words = words[:words.index("<")]
    done = subprocess.run([program, *words], cwd=directory, stdin=stdin, capture_output=True, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def comparable(line, result):
    """Without what is by chance: the order of the histograms of a selector."""
    code, out, errors = result
    if line.startswith("query analyze"):
        classic = iter(sorted(re.findall(r"^- .*\(classic\): .*$", out, re.M)))
        out = re.sub(r"^- .*\(classic\): .*$", lambda _: next(classic), out, flags=re.M)
    return code, out, errors


class Comparison:
    def __init__(self, verbose):
        self.verbose, self.same, self.failed, self.used = verbose, 0, [], set()

    def compare(self, name, shown, ours, theirs):
        reason = next((n for n, (pattern, _) in enumerate(EXPLAINED) if re.search(pattern, shown)), None)
        if ours == theirs:
            self.same += 1
            if self.verbose:
                print(f"ok   {name}: {shown}")
        elif reason is not None:
            self.used.add(reason)
            if self.verbose:
                print(f"else {name}: {shown}: {EXPLAINED[reason][1]}")
        else:
            self.failed.append(shown)
            print(f"FAIL {name}: {shown}\n  ours   {ours}\n  theirs {theirs}", flush=True)


def pushed(promtool, link, peer, directory):
    """What each program pushes, as the server has it then."""
    found = []
    for program in [promtool, link]:
        zone = f"z{len(found)}"
        got = run(program, f"push metrics --label=job=push --label=zone={zone} --label=job=push {peer.url}/api/v1/write pushed.prom", directory)
        if got[0] != 0:
            return [got]
        values = {}
        for one in peer.query(f'{{zone="{zone}"}}'):
            labels = {name: value for name, value in one["metric"].items() if name != "zone"}
            values[json.dumps(labels, sort_keys=True)] = one["value"][1]
        found.append(values)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--promlake", required=True)
    parser.add_argument("--promtool", default=PROMTOOL)
    parser.add_argument("--prometheus", default=PROMETHEUS)
    parser.add_argument("--only", default="", help="command lines that this regular expression finds something in")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    for program in [args.promtool, args.prometheus]:
        if not os.path.exists(program):
            print(f"SKIPPED: there is no {program}; tests/peers brings Debian's")
            return 0
    comparison = Comparison(args.verbose)
    odd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    threading.Thread(target=odd.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        directory = os.path.join(folder, "files")
        os.makedirs(directory)
        for name, text in FILES.items():
            with open(os.path.join(directory, name), "w") as file:
                file.write(text)
        link = os.path.join(folder, "promtool")
        os.symlink(os.path.abspath(args.promlake), link)
        at = int(time.time()) - 60
        values = {"dir": directory, "odd": f"http://127.0.0.1:{odd.server_port}", "at": at, "early": at - 60, "hours": at - 7000}
        prometheus = Peer("prometheus", args.prometheus, os.path.join(folder, "prometheus"), CONFIG)
        promlake = Peer("promlake", args.promlake, os.path.join(folder, "promlake"), CONFIG)
        guarded = Peer("prometheus", args.prometheus, os.path.join(folder, "guarded"), CONFIG, f"--web.config.file={directory}/web.yml")
        with prometheus, promlake:
            guarded.start()
            try:
                data = samples((at + 60) * 1000)
                for peer in [prometheus, promlake]:
                    federation.write(peer, data)
                values["auth"] = guarded.url
                for template in QUERIES:
                    for peer in [prometheus, promlake]:
                        one(comparison, args, link, directory, peer.kind, template, {**values, "url": peer.url})
                for template in OTHERS:
                    one(comparison, args, link, directory, "", template, values)
                if not args.only:
                    for peer in [prometheus, promlake]:
                        comparison.compare(peer.kind, "what is pushed", *pushed(args.promtool, link, peer, directory)[::-1])
            finally:
                guarded.process.terminate()
                guarded.process.wait(30)
                guarded.log.close()
    odd.shutdown()
    print(f"{comparison.same} alike, {len(comparison.failed)} not, {len(comparison.used)} of {len(EXPLAINED)} reasons for what differs")
    unused = [reason for n, (_, reason) in enumerate(EXPLAINED) if n not in comparison.used]
    if unused and not args.only:
        print("no longer needed:", *unused, sep="\n  ")
        return 1
    return 1 if comparison.failed else 0


def one(comparison, args, link, directory, name, template, values):
    if not re.search(args.only, template):
        return
    line = template.format(**values)
    shown = template.replace("{{", "{").replace("}}", "}")
    theirs = comparable(line, run(args.promtool, line, directory))
    ours = comparable(line, run(link, line, directory))
    comparison.compare(name, shown, ours, theirs)
    # promlake's own name has its own words about command lines.
    if line.startswith("query") and not theirs[2].startswith("promtool: error"):
        own = comparable(line, run(args.promlake, line, directory))
        comparison.compare(f"{name} as promlake", shown, own, ours)


if __name__ == "__main__":
    sys.exit(main())
