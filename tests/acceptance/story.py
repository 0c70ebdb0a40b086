"""The shop's story in real time: a shop is scraped, its rate and its 95th percentile are asked for, and its owner is told when it is slow.

    python tests/acceptance/story.py --promlake target/release/promlake [--for 2m] [--prometheus BINARY] [--no-restore]

1. A shop counts and times its requests, and is scraped every 5 s. The rate and the 95th percentile are what the shop knows them to
   be, in PromQL over HTTP and in SQL over the Postgres port. Its latency is raised: the alert is pending, fires after `--for`, and
   Debian's Alertmanager has it with its texts; the latency falls: it is resolved, once. SQL sees rules, alerts and their history.
2. What becomes of a pending alert after kill -9, beside Prometheus: `for: 2m` is below the grace period of 10 m and begins anew,
   `for: 15m` goes on, and so does `for: 2m` with a grace period of 0.

Needs psycopg, Debian's prometheus-alertmanager, and Prometheus for the second part. Everything listens on loopback and is stopped
at the end.
"""
import argparse
import bisect
import contextlib
import os
import random
import re
import shutil
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from processes import text_page, until  # noqa: E402
from servers import PROMETHEUS, Checks, Peer, Scribe, alertmanager, alertmanager_alerts, seconds  # noqa: E402

SCRAPE_S = 5
BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10]
PER_SECOND = {"/api/article": 20, "/api/cart": 5}
RATE = 'rate(http_requests_total{endpoint="/api/article"}[30s])'
P95 = "histogram_quantile(0.95, sum by (endpoint, le) (rate(http_request_duration_seconds_bucket[30s])))"
RULES = """
groups:
- name: shop
  interval: 5s
  rules:
  - {record: 'endpoint:http_requests:rate30s', expr: 'sum by (endpoint) (rate(http_requests_total[30s]))'}
  - {record: 'endpoint:http_request_duration_seconds:p95', expr: '%s'}
  - alert: ShopIsSlow
    expr: endpoint:http_request_duration_seconds:p95 > 1
    for: FOR
    labels: {severity: page, endpoint_name: '{{ reReplaceAll "^/api/" "" $labels.endpoint }}'}
    annotations:
      summary: '{{ $labels.endpoint }} takes {{ $value | humanizeDuration }} in the 95th percentile'
      rate: '{{ with query (printf "endpoint:http_requests:rate30s{endpoint=%%q}" $labels.endpoint) }}{{ . | first | value | printf "%%.0f" }} requests a second{{ end }}'
      link: '{{ $externalURL }}{{ graphLink "up" }} of {{ $externalLabels.shop }}'
""" % P95


class Shop:
    """Requests come evenly; `latency` is the mean of those of /api/article."""

    def __init__(self):
        self.latency, self.began = 0.2, time.time()
        self.counts = {endpoint: 0 for endpoint in PER_SECOND}
        self.buckets = {endpoint: [0] * (len(BUCKETS) + 1) for endpoint in PER_SECOND}
        self.sums = dict.fromkeys(PER_SECOND, 0.0)
        self.lock, self.random = threading.Lock(), random.Random(7)
        self.port = text_page(self.page).port
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            time.sleep(0.05)
            with self.lock:
                for endpoint, rate in PER_SECOND.items():
                    due = int((time.time() - self.began) * rate)
                    for _ in range(due - self.counts[endpoint]):
                        mean = self.latency if endpoint == "/api/article" else 0.05
                        took = mean * self.random.uniform(0.5, 1.5)
                        self.counts[endpoint] += 1
                        self.buckets[endpoint][bisect.bisect_left(BUCKETS, took)] += 1
                        self.sums[endpoint] += took

    def page(self):
        name, out = "http_request_duration_seconds", []
        with self.lock:
            out += ["# HELP http_requests_total Requests.", "# TYPE http_requests_total counter"]
            out += [f'http_requests_total{{endpoint="{e}"}} {n}' for e, n in self.counts.items()]
            out += [f"# HELP {name} How long they took.", f"# TYPE {name} histogram"]
            for e, counts in self.buckets.items():
                sums = [sum(counts[: i + 1]) for i in range(len(counts))]
                out += [f'{name}_bucket{{endpoint="{e}",le="{le}"}} {n}' for le, n in zip([*BUCKETS, "+Inf"], sums)]
                out += [f'{name}_sum{{endpoint="{e}"}} {self.sums[e]}', f'{name}_count{{endpoint="{e}"}} {sums[-1]}']
        return "\n".join(out) + "\n"


def duration(text):
    parts = re.findall(r"(\d+)(ms|s|m|h)", text)
    return sum(int(n) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit] for n, unit in parts)


def config(shop, alertmanager_port, interval=SCRAPE_S):
    alerting = f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager_port}']}}]}}]}}\n"
    return (f"global: {{scrape_interval: {interval}s, scrape_timeout: 1s, external_labels: {{shop: books}}}}\n"
            f"scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['127.0.0.1:{shop.port}']}}]}}]\n"
            f"rule_files: [rules.yml]\n{alerting if alertmanager_port else ''}")


def write_rules(folder, text):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "rules.yml"), "w") as file:
        file.write(text)


def story(checks, args, folder):
    shop, hook = Shop(), Scribe()
    check = checks.check
    with contextlib.ExitStack() as stack:
        manager = stack.enter_context(alertmanager(os.path.join(folder, "alertmanager"), hook.port))
        scribe = Scribe(int(manager.url.rsplit(":", 1)[1]))
        home = os.path.join(folder, "promlake")
        write_rules(home, RULES.replace("FOR", args.hold))
        server = Peer("promlake", args.promlake, home, config(shop, scribe.port), "--rules.alert.resend-delay=8s",
                      "--web.external-url=http://shop.example/lake/", "--web.route-prefix=/")
        stack.enter_context(server)
        until(60, "a rate", lambda: server.query(RATE))
        time.sleep(35)
        answers(check, server, shop)
        check("nothing is pending while it is fast", server.alerts() == [], server.alerts())

        shop.latency = raised = 3.0
        began = time.time()
        pending = until(60, "the alert is pending", lambda: [a for a in server.alerts("ShopIsSlow") if a["state"] == "pending"])[0]
        since = seconds(pending["activeAt"])
        check("the alert is pending soon after the latency rose", 0 < since - began < 35, f"{since - began:.1f} s")
        check("Alertmanager is not told of a pending alert", not alertmanager_alerts(manager, "ShopIsSlow"))
        hold = duration(args.hold)
        firing = until(hold + 30, "the alert fires", lambda: [a for a in server.alerts("ShopIsSlow") if a["state"] == "firing"])[0]
        check(f"it fires after {args.hold}", -1 < time.time() - since - hold < SCRAPE_S + 3, f"{time.time() - since:.1f} s after it was pending")
        check("it has been active since the same time", firing["activeAt"] == pending["activeAt"], firing["activeAt"])
        told = until(10, "Alertmanager has it", lambda: alertmanager_alerts(manager, "ShopIsSlow"))[0]
        labels = {"alertname": "ShopIsSlow", "endpoint": "/api/article", "endpoint_name": "article", "severity": "page", "shop": "books"}
        check("Alertmanager has its labels", told["labels"] == labels, told["labels"])
        texts = told["annotations"]
        summary = re.fullmatch(r"/api/article takes ([\d.]+)s in the 95th percentile", texts.get("summary", ""))
        check("its summary is rendered", summary and 1 < float(summary[1]) <= 5, texts.get("summary"))
        check("a query within a template is", re.fullmatch(r"(19|20|21) requests a second", texts.get("rate", "")), texts.get("rate"))
        link = "http://shop.example/lake/graph?g0.expr=up&g0.tab=0 of books"
        check("links, and labels from outside", texts.get("link", "").replace("/lake//graph", "/lake/graph") == link, texts.get("link"))
        check("generatorURL leads here", told["generatorURL"].startswith("http://shop.example/lake/graph?g0.expr=endpoint%3Ahttp"), told["generatorURL"])
        check("it began when it fired", abs(seconds(told["startsAt"]) - since - hold) < SCRAPE_S + 1, told["startsAt"])
        fired_sql(check, server)
        # It stays, and is told again.
        time.sleep(25)
        told_again = [at for at, alert in scribe.of("ShopIsSlow")]
        gaps = [b - a for a, b in zip(told_again, told_again[1:])]
        check("it is told again with the second evaluation", len(gaps) >= 2 and all(abs(gap - 10) < 2 for gap in gaps), [f"{gap:.1f} s" for gap in gaps])
        check("never as something that ended", all(seconds(a["endsAt"]) > at for at, a in scribe.of("ShopIsSlow")))

        shop.latency = 0.2
        fell = time.time()
        until(60, "the alert is gone", lambda: server.alerts("ShopIsSlow") == [])
        check("it is resolved when the shop is fast again", time.time() - fell < 45, f"{time.time() - fell:.1f} s, raised was {raised}")
        until(20, "Alertmanager resolves it", lambda: not alertmanager_alerts(manager, "ShopIsSlow"))
        until(20, "the webhook hears of it", lambda: [a for _, a in hook.hooks if a["status"] == "resolved"])
        said = [a["status"] for _, a in hook.hooks]
        check("the webhook heard of it once, and once of its end", said == ["firing", "resolved"], said)
        values = [v for s in server.query('ALERTS{alertname="ShopIsSlow"}[10m]') for v in s["values"]]
        expected = (time.time() - since) / 5 - 2
        check("ALERTS has a sample of each evaluation", len(values) >= (fell - since) / 5 - 1 and len(values) < expected + 3, len(values))
        started = server.query('ALERTS_FOR_STATE{alertname="ShopIsSlow"}[10m]')[0]["values"]
        check("ALERTS_FOR_STATE is when it became active", {float(v) for _, v in started} == {float(int(since))}, {v for _, v in started})
        ended_sql(check, server, since)


def near(a, b, by=0.1):
    return abs(a - b) <= by * abs(b)


def answers(check, server, shop):
    at = time.time() - 1
    value = float(server.query(RATE, at)[0]["value"][1])
    check("the rate is what the shop knows", near(value, PER_SECOND["/api/article"]), f"{value:.2f} a second")
    p95 = {s["metric"]["endpoint"]: float(s["value"][1]) for s in server.query(P95, at)}
    # Uniform from half to one and a half of 0.2 s: the 95th percentile is 0.29, in the bucket from 0.25 to 0.5.
    check("the 95th percentile is in its bucket", 0.25 <= p95["/api/article"] <= 0.5 and p95["/api/cart"] <= 0.1, p95)
    for name, query in (("rate", RATE), ("95th percentile", P95)):
        over_http = sorted((s["metric"].get("endpoint"), float(s["value"][1])) for s in server.query(query, at))
        over_sql = sorted(sql(server, "SELECT endpoint, value FROM promql(%s, to_timestamp(%s::double precision))", query, round(at, 3)))
        check(f"SQL has the same {name}", over_http == over_sql, f"{over_http} {over_sql}")
    start, end = int(at) - 30, int(at)
    ranged = server.data("/api/v1/query_range", query=P95, start=start, end=end, step=5)["result"]
    over_http = sorted((s["metric"]["endpoint"], float(t), float(v)) for s in ranged for t, v in s["values"])
    rows = sql(server, "SELECT endpoint, extract(epoch FROM timestamp)::double precision, value FROM "
               "promql(%s, to_timestamp(%s), to_timestamp(%s), interval '5 s')", P95, start, end)
    check("and over a range", over_http == sorted(rows), f"{len(over_http)} values, {len(rows)} rows")
    recorded = {s["metric"]["endpoint"]: float(s["value"][1]) for s in server.query("endpoint:http_request_duration_seconds:p95")}
    check("rules have recorded it", recorded.keys() == p95.keys() and near(recorded["/api/article"], p95["/api/article"], 0.2), recorded)


def sql(server, text, *values):
    import psycopg

    with psycopg.connect(f"host=127.0.0.1 port={server.pg} dbname=promlake user=t") as db:
        return db.execute(psycopg.sql.SQL(text).format() if not values else inline(db, text, values)).fetchall()


def inline(db, text, values):
    """Table functions take constants, not parameters."""
    import psycopg

    parts, rest = [], text.split("%s")
    for before, value in zip(rest, values):
        parts += [psycopg.sql.SQL(before), psycopg.sql.Literal(value)]
    return psycopg.sql.Composed([*parts, psycopg.sql.SQL(rest[-1])]).as_string(db)


def sql_rows(check, server, name, text):
    import psycopg

    try:
        return sql(server, text)
    except psycopg.Error as error:
        check(name, False, str(error).splitlines()[0])
        return None


def fired_sql(check, server):
    rows = sql_rows(check, server, "SQL lists rules", "SELECT * FROM promlake.rules")
    if rows is not None:
        check("SQL lists rules", len(rows) == 3, rows[:1])
    rows = sql_rows(check, server, "SQL lists alerts", "SELECT * FROM promlake.alerts")
    if rows is not None:
        check("SQL lists alerts", len(rows) == 1 and "firing" in str(rows), rows)


def ended_sql(check, server, since):
    text = ("SELECT from_state, to_state, extract(epoch FROM time)::double precision FROM promlake.alert_history "
            "WHERE alert = 'ShopIsSlow' ORDER BY time")
    expected = [("inactive", "pending"), ("pending", "firing"), ("firing", "inactive")]
    rows = sql_rows(check, server, "SQL has the history", text)
    if rows is not None:
        # It is written every three seconds.
        with contextlib.suppress(AssertionError):
            until(10, "the history is whole", lambda: len(sql(server, text)) >= len(expected))
        rows = sql(server, text)
        steps = [(a, b) for a, b, _ in rows]
        check("SQL has the history", steps == expected and abs(rows[0][2] - since) < 0.01, rows)


# --- Restoration

RESTORED = """
groups:
- name: restored
  interval: 2s
  rules:
  - {alert: Short, expr: 'up == 1', for: 2m}
  - {alert: Long, expr: 'up == 1', for: 15m, labels: {severity: page}}
  - {alert: Named, expr: 'up == 1', for: 15m, labels: {severity: '{{ $value }}'}}
  - {alert: Fast, expr: 'up == 1', for: 4s}
"""


def restoration(checks, args, folder):
    shop = Shop()
    grace = {"default": [], "0": ["--rules.alert.for-grace-period=0s"]}
    with contextlib.ExitStack() as stack:
        peers = {}
        for kind, binary in (("promlake", args.promlake), ("prometheus", args.prometheus)):
            for name, flags in grace.items():
                home = os.path.join(folder, f"{kind}-{name}")
                write_rules(home, RESTORED)
                peers[kind, name] = stack.enter_context(Peer(kind, binary, home, config(shop, None, 2), *flags))
        before = {key: until(40, f"{key} has alerts", lambda: waiting(peer)) for key, peer in peers.items()}
        # Until the first samples are written, and long enough to tell what goes on from what is new.
        time.sleep(20)
        killed = {}
        for key, peer in peers.items():
            killed[key] = time.time()
            peer.kill()
        time.sleep(args.down)
        for peer in peers.values():
            peer.restart()
        back = time.time()
        # Two evaluations, and then what was there is looked up.
        time.sleep(15)
        for alert in ("Short", "Long", "Named", "Fast"):
            for (kind, name), peer in peers.items():
                now = waiting(peer)[alert]
                active, was = now[1], before[kind, name][alert][1]
                away = back - killed[kind, name]
                goes_on = name == "0" or alert in ("Long", "Named")
                if kind == "prometheus" and alert == "Named":
                    # It looks for the template as the label's value, and finds nothing.
                    goes_on = False
                if not goes_on:
                    ok, what = active > killed[kind, name] + args.down - 1, "begins anew"
                elif alert == "Fast":
                    # It fired, so it has been active all the time.
                    ok, what = active == int(was) and now[0] == "firing", "fires as before"
                else:
                    # What the server was away for does not count.
                    ok, what = -1 <= active - was <= away + 8, "goes on"
                state = f"{now[0]}, active {active - was:+.1f} s against before, {away:.0f} s away"
                checks.check(f"{alert} of {kind} with a grace period of {name} {what}", ok, state)
        for alert in ("Long", "Short"):
            for name in grace:
                ours, theirs = [waiting(peers[kind, name])[alert][1] - before[kind, name][alert][1] for kind in ("promlake", "prometheus")]
                checks.check(f"{alert} with a grace period of {name} is as in Prometheus", abs(ours - theirs) < 8, f"{ours:+.1f} s and {theirs:+.1f} s")


def waiting(peer):
    found = {a["labels"]["alertname"]: (a["state"], seconds(a["activeAt"])) for a in peer.alerts()}
    return found if len(found) == 4 else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--promlake", default="target/release/promlake")
    parser.add_argument("--prometheus", default=PROMETHEUS)
    parser.add_argument("--for", dest="hold", default="30s")
    parser.add_argument("--down", type=float, default=10, help="seconds that a killed server is away")
    parser.add_argument("--no-story", action="store_true")
    parser.add_argument("--no-restore", action="store_true")
    parser.add_argument("--keep", action="store_true", help="the folder with logs")
    args = parser.parse_args()
    folder, checks = tempfile.mkdtemp(prefix="promlake-story-"), Checks()
    try:
        if not args.no_story:
            story(checks, args, folder)
        if not args.no_restore:
            restoration(checks, args, folder)
    except AssertionError as error:
        checks.check("the story", False, error)
    finally:
        if args.keep:
            print(f"logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(checks.end())


if __name__ == "__main__":
    main()
