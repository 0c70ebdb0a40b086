"""promlake and Prometheus evaluate the same 300 rules over the same samples at the same times, and have the same results.

    python tests/acceptance/rules.py --promlake target/release/promlake [--prometheus BINARY] [--minutes 5] [-v]

Both read the same files, so that each group has the same offset, and receive the same samples a little before their time by remote
write. Meanwhile /api/v1/rules and /api/v1/alerts are compared with all of their parameters; in the end every sample that rules
recorded, ALERTS and ALERTS_FOR_STATE, where series end, what Alertmanagers were told, and the metrics of rules. At half time
both read changed files. What differs for a reason is in
EXPLAINED. An evaluation that one of both missed is counted, and what depends on it is left out.

Needs Prometheus (tests/peers installs it). Everything listens on loopback and is stopped at the end.
"""
import argparse
import bisect
import collections
import concurrent.futures
import contextlib
import json
import math
import os
import re
import shutil
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rules_corpus as corpus  # noqa: E402
from federation import REMOTE_WRITE_1, field, label_set, snappy  # noqa: E402
from processes import call, until  # noqa: E402
from servers import PROMETHEUS, Checks, Peer, Scribe, seconds  # noqa: E402

AHEAD_S = 2
# What a missed evaluation may show in: the longest `for`, and the windows of rules over rules.
SHAKEN_S = 70
FLAGS = ["--query.lookback-delta=20s", "--web.external-url=http://rules.example/prefix", "--web.route-prefix=/",
         "--rules.alert.resend-delay=10s", "--enable-feature=promql-experimental-functions"]
# Relative; a sum in another order rounds otherwise.
ROUNDING = 1e-13

# Rates of native histograms over a window that begins before the first sample, seconds after that.
FIRST_WINDOW_S = 32
NEWER_METRICS = re.compile(r"(# TYPE )?prometheus_(rule_(evaluation|group)_duration_histogram|notifications_latency_histogram)_seconds"
                           r"|prometheus_notifications_(queue_length|dropped_total)")


def zero_point(kind, what, ours, theirs):
    if kind != "recorded samples":
        return False
    series, at, since = what
    name = json.loads(series)["__name__"]
    expr = corpus.RECORDED[int(name[1:4])] if re.match(r"r\d{3}:h", name) else ""
    return at < since + FIRST_WINDOW_S and re.search(r"(rate|increase)\((native|custom)", expr) is not None


# What differs, and why: (reason, applies to the kind, what it is about, ours and theirs). promlake is Prometheus 3.16.
EXPLAINED = [
    ("newer: metrics of each Alertmanager, and classic histograms beside native ones",
     lambda kind, what, ours, theirs: kind == "metrics" and NEWER_METRICS.match(what[1])),
    ("Prometheus keeps some numbers of groups that are gone, and has none of what was never restored",
     lambda kind, what, ours, theirs: kind == "metrics" and re.match(r"prometheus_rule_group_last_(restore_duration|rule_duration_sum)", what[1])),
    ("newer: words about parameters that are NaN", lambda kind, what, ours, theirs: ours == "Parameter value is NaN"),
    ("newer: words about regular expressions",
     lambda kind, what, ours, theirs: str(ours).replace('invalid regular expression "(": ', "") == str(theirs)),
    ("newer: labels are there also where there are none", lambda kind, what, ours, theirs: kind == "rules" and (
        (ours, theirs) == ({}, None) or isinstance(ours, list) and [key for key in ours if key != "labels"] == theirs)),
    ("newer: the count of a histogram is looked at before its positive buckets", lambda kind, what, ours, theirs: (
        str(ours).startswith("observation count is") and str(theirs).startswith("positive side"))),
    ("newer: histograms are no longer extrapolated to before they were zero", zero_point),
]


class Feeder(threading.Thread):
    """Sends each second what it has, to all, before it is due."""

    def __init__(self, servers):
        super().__init__(daemon=True)
        self.servers, self.ended, self.late, self.refused, self.n = servers, False, [], [], 0
        self.began = int(time.time()) + AHEAD_S + 2

    def run(self):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            while not self.ended:
                due = self.began + self.n + 0.137
                time.sleep(max(0, due - AHEAD_S - time.time()))
                series = corpus.series_of(self.n, int(due * 1000))
                body = snappy(b"".join(field(1, label_set(labels) + b"".join(samples)) for labels, samples in series))
                for status, answer in pool.map(lambda server: call(server.url + "/api/v1/write", body, REMOTE_WRITE_1), self.servers):
                    if status // 100 != 2:
                        self.refused.append((self.n, status, answer[:200]))
                if time.time() > due:
                    self.late.append(self.n)
                self.n += 1


class Groups:
    """Which group a rule is in, when it was evaluated, and what was missed."""

    def __init__(self, texts):
        self.of, self.beats = {}, {}
        for text in texts:
            for group in json.loads(text)["groups"]:
                beat = next((r["labels"]["of"] for r in group["rules"] if r.get("record") == "beat"), None)
                for rule in group["rules"]:
                    self.of[rule.get("record") or rule["alert"]] = beat

    def read(self, ours, theirs, since, end):
        window = f"beat[{int(end - since) + 1}s]"
        times = [collections.defaultdict(set), collections.defaultdict(set)]
        for server, found in zip((ours, theirs), times):
            for series in server.query(window, end):
                found[series["metric"]["of"]] |= {t for t, _ in series["values"] if t > since}
        self.missed = {}
        for of in times[0].keys() | times[1].keys():
            a, b = times[0].get(of, set()), times[1].get(of, set())
            self.beats[of], self.missed[of] = a & b, sorted(a ^ b)

    def group_of(self, metric):
        if metric["__name__"] == "beat":
            return metric["of"]
        return self.of.get(metric.get("alertname") if metric["__name__"].startswith("ALERTS") else metric["__name__"])

    def shaken(self, of, at):
        """Whether an evaluation was missed not long before."""
        missed = self.missed.get(of, [])
        place = bisect.bisect_right(missed, at + 1)
        return place > 0 and missed[place - 1] > at - SHAKEN_S


def near(a, b):
    """Whether both are the same but for rounding: texts of floats, or of what holds them."""
    try:
        x, y = float(a), float(b)
    except ValueError:
        numbers = r"-?(?:\d+\.?\d*(?:e[+-]?\d+)?|Inf|NaN)"
        one, other = re.findall(numbers, a), re.findall(numbers, b)
        same_text = re.sub(numbers, "#", a) == re.sub(numbers, "#", b)
        return same_text and len(one) == len(other) and all(near(p, q) for p, q in zip(one, other))
    return x == y or math.isnan(x) and math.isnan(y) or math.isclose(x, y, rel_tol=ROUNDING)


class Result:
    def __init__(self):
        self.alike, self.rounded, self.left_out = collections.Counter(), collections.Counter(), collections.Counter()
        self.differences, self.used = collections.defaultdict(list), collections.Counter()

    def compare(self, kind, of, what, ours, theirs):
        if ours == theirs:
            self.alike[kind] += 1
        elif isinstance(ours, str) and isinstance(theirs, str) and near(ours, theirs):
            self.rounded[kind] += 1
        elif reason := next((reason for reason, applies in EXPLAINED if applies(kind, what, ours, theirs)), None):
            self.used[reason] += 1
        else:
            self.differences[kind, of].append((what, ours, theirs))

    def tell(self, checks, verbose):
        for (kind, of), found in sorted(self.differences.items(), key=str):
            checks.check(f"{kind} of {of}", False, f"{len(found)} differ")
            for what, ours, theirs in found[: None if verbose else 3]:
                print(f"     {str(what)[:300]}\n       promlake   {str(ours)[:600]}\n       Prometheus {str(theirs)[:600]}")
        for kind, count in sorted(self.alike.items()):
            extra = f", {self.rounded[kind]} but for rounding" if self.rounded[kind] else ""
            extra += f", {self.left_out[kind]} left out" if self.left_out[kind] else ""
            print(f"ok   {kind}: {count} alike{extra}")
            # A comparison of little says little.
            checks.check(f"{kind}: most are compared", self.left_out[kind] < count / 2, self.left_out[kind]) if self.left_out[kind] else None
        for reason, count in self.used.most_common():
            print(f"     {count} differ: {reason}")


# --- Samples

def samples(server, name, since, end):
    out = {}
    selector = "{__name__=%s}[%ds]" % (json.dumps(name), int(end - since) + 1)
    for series in server.query(selector, end):
        points = series.get("values", []) + [(t, json.dumps(h, sort_keys=True)) for t, h in series.get("histograms", [])]
        out[json.dumps(series["metric"], sort_keys=True, ensure_ascii=False)] = {t: v for t, v in points if t > since}
    return out


def instants(server, name, since, end):
    """What the series of a metric are each second, between evaluations; that shows where they end."""
    found = server.data("/api/v1/query_range", query="{__name__=%s}" % json.dumps(name), start=since + 0.5, end=end, step=1)["result"]
    as_text = lambda series: json.dumps(series["metric"], sort_keys=True, ensure_ascii=False)
    return {as_text(series): {float(t): "there" for t, _ in series.get("values", []) + series.get("histograms", [])} for series in found}


def compare_samples(result, groups, ours, theirs, since, end):
    names = [set(server.data("/api/v1/label/__name__/values")) for server in (ours, theirs)]
    fed = {labels["__name__"] for n in range(100) for labels, _ in corpus.series_of(n, 0)}
    for name in sorted((names[0] | names[1]) - fed):
        kind = name if name.startswith("ALERTS") else "recorded samples"
        for kind, read in ((kind, samples), (f"ends of {kind}", instants)):
            found = [read(server, name, since, end) for server in (ours, theirs)]
            for series in found[0].keys() | found[1].keys():
                metric = json.loads(series)
                of = groups.group_of(metric)
                a, b = found[0].get(series, {}), found[1].get(series, {})
                for t in a.keys() | b.keys():
                    evaluated = of is not None and (read is instants or t in groups.beats[of])
                    if evaluated and not groups.shaken(of, t):
                        result.compare(kind, metric.get("alertname", name), (series, t, since), a.get(t), b.get(t))
                    else:
                        result.left_out[kind] += 1


# --- What the API says

def to_ms(text):
    """Prometheus has nanoseconds."""
    return math.floor(seconds(text) * 1000 + 1e-3)


SERIES = re.compile(r"\{[^{}]*\}")


def error_text(text):
    """Which two of many series it names depends on their order."""
    return SERIES.sub("{}", text) if "found duplicate series" in text else text


def one_alert(alert):
    return {**alert, "activeAt": to_ms(alert["activeAt"]), **({"keepFiringSince": to_ms(alert["keepFiringSince"])} if "keepFiringSince" in alert else {})}


def flat_rules(data):
    """All that is said of rules, one by one."""
    out = {}
    for group in data["groups"]:
        key = group["file"].rsplit("/", 1)[-1], group["name"]
        out[key, "keys"] = sorted(group)
        for name in ("interval", "limit", "file"):
            out[key, name] = group.get(name)
        out[key, "rules"] = [rule["name"] for rule in group["rules"]]
        for i, rule in enumerate(group["rules"]):
            at = (*key, i, rule["name"])
            out[at, "keys"] = sorted(rule)
            for name in ("query", "labels", "type", "health", "state", "duration", "keepFiringFor", "annotations"):
                out[at, name] = rule.get(name)
            out[at, "lastError"] = error_text(rule.get("lastError", ""))
            out[at, "alerts"] = len(rule["alerts"]) if rule.get("alerts") is not None else None
            for alert in rule.get("alerts") or []:
                out[at, "alert", json.dumps(alert["labels"], sort_keys=True)] = one_alert(alert)
    return out


def flat_alerts(data):
    return {("alert", json.dumps(a["labels"], sort_keys=True), a["activeAt"][:19]): one_alert(a) for a in data["alerts"]}


def settled(result, kind, servers, ask, flat, tries=8):
    """Asks both at once, again and again: what differs once is what changed meanwhile."""
    waiting, ours, theirs = None, {}, {}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for i in range(tries):
            ours, theirs = [flat(data) for data in pool.map(ask, servers)]
            differing = {k for k in ours.keys() | theirs.keys() if not same(ours.get(k), theirs.get(k))}
            waiting = differing if waiting is None else waiting & differing
            if not waiting:
                break
            time.sleep(0.73)
    for key in ours.keys() | theirs.keys():
        if key in waiting:
            result.compare(kind, key[1] if kind == "rules" else key[0], key, ours.get(key), theirs.get(key))
        else:
            result.alike[kind] += 1
    # Those that were there in other rounds alone are alike then.
    return len(waiting)


def same(a, b):
    if a == b:
        return True
    return a is not None and b is not None and near(json.dumps(a, sort_keys=True), json.dumps(b, sort_keys=True))


def requests(directory):
    one, two = f"{directory}/rules-1.yml", f"{directory}/rules-2.yml"
    good = [
        {}, {"type": "alert"}, {"type": "record"}, {"type": "ALERT"}, {"type": ""}, {"rule_name[]": "Hot"}, {"rule_name[]": ["Hot", "chain:1", "never"]},
        {"rule_name[]": "never"}, {"rule_name[]": ""}, {"rule_group[]": "chain"}, {"rule_group[]": ["chain", "alerts"]}, {"rule_group[]": "never"},
        {"rule_group[]": ""}, {"file[]": one}, {"file[]": two}, {"file[]": [one, two]}, {"file[]": "rules-1.yml"}, {"file[]": two, "rule_group[]": "chain"},
        {"file[]": two, "type": "alert"}, {"rule_group[]": "more alerts", "type": "record"}, {"rule_name[]": "Hot", "type": "record"},
        {"match[]": '{severity="page"}'}, {"match[]": '{severity="of the group"}'}, {"match[]": ['{severity="page"}', '{of="chain"}']},
        {"match[]": '{severity=~".+", job="replaced"}'}, {"match[]": '{severity=""}', "rule_group[]": "alerts"}, {"match[]": '{value="{{ $value }}"}'},
        {"match[]": 'Hot'}, {"match[]": '{__name__="Hot"}'}, {"match[]": '{alertname="Hot"}'}, {"match[]": '{of=~"chain|second"}', "type": "record"},
        {"match[]": '{severity!="page"}', "type": "alert"}, {"exclude_alerts": "true"}, {"exclude_alerts": "1", "type": "alert"}, {"exclude_alerts": "T"},
        {"exclude_alerts": "false", "rule_group[]": "alerts"}, {"exclude_alerts": "", "rule_group[]": "alerts"}, {"exclude_alerts": "TRUE", "file[]": two},
        {"group_limit": "1"}, {"group_limit": "3"}, {"group_limit": "1000"}, {"group_limit": "2", "type": "alert"}, {"group_limit": "1", "rule_group[]": "chain"},
        {"rule_name": "Hot"}, {"unknown": "1", "file[]": two},
    ]
    bad = [
        {"type": "x"}, {"type": "alerts"}, {"exclude_alerts": "yes"}, {"exclude_alerts": "2"}, {"group_limit": "x"}, {"group_limit": "0"}, {"group_limit": "-1"},
        {"group_limit": "1.5"}, {"group_limit": "99999999999999999999"}, {"group_limit": "2147483648"}, {"group_next_token": "x"},
        {"group_limit": "1", "group_next_token": "x"}, {"group_limit": "", "group_next_token": ""}, {"group_limit": "+2"}, {"match[]": "{"},
        {"match[]": "{}"}, {"match[]": ""}, {"match[]": '{severity=~"("}'}, {"match[]": "rate(up[5m])"}, {"match[]": 'up[5m]'},
        {"match[]": ['{severity="page"}', "{"]}, {"type": "x", "group_limit": "x"}, {"exclude_alerts": "yes", "type": "x"},
    ]
    return good + bad


def request_shape(answer):
    """Names and keys of an answer; of an error all."""
    status, body = answer
    if body.get("status") != "success":
        return {"error": (status, body)}
    groups = body["data"]["groups"]
    shape = {"status": status, "keys": sorted(body["data"]), "token": "groupNextToken" in body["data"]}
    shape["groups"] = [(g["file"], g["name"], [(r["name"], r["type"], isinstance(r.get("alerts"), list)) for r in g["rules"]]) for g in groups]
    return shape


def compare_requests(result, servers, directory):
    for parameters in requests(directory):
        name = "&".join(f"{k}={v}" for k, v in parameters.items())
        ask = lambda server: server.get("/api/v1/rules", **parameters)
        settled(result, "requests for rules", servers, ask, lambda answer: {("rules", name, k): v for k, v in request_shape(answer).items()}, tries=4)
    for limit in (1, 4):
        pages = []
        for server in servers:
            token, seen = None, []
            while len(seen) < 50:
                data = server.data("/api/v1/rules", group_limit=limit, **({"group_next_token": token} if token else {}))
                token = data.get("groupNextToken")
                # What a token is differs by version.
                seen.append([[(g["file"], g["name"]) for g in data["groups"]], bool(token)])
                if not token:
                    break
            pages.append(seen)
        result.compare("requests for rules", "pages", f"pages of {limit}", *pages)
    for method in ("POST", "DELETE"):
        for path in ("/api/v1/rules", "/api/v1/alerts"):
            result.compare("requests for rules", "methods", f"{method} {path}", *[call(server.url + path, method=method)[0] for server in servers])


# --- What Alertmanagers were told, and metrics

def compare_posts(result, groups, scribes, since, end):
    told, edge = [], set()
    for scribe in scribes:
        posts = collections.defaultdict(list)
        for at, alert in scribe.posts:
            key = json.dumps({**alert, "startsAt": to_ms(alert["startsAt"]), "endsAt": to_ms(alert["endsAt"])}, sort_keys=True)
            posts[key].append(at)
            if at < since or abs(at - end) < 1:
                edge.add(key)
        told.append({key: [at for at in ats if at < end] for key, ats in posts.items()})
    for key in told[0].keys() | told[1].keys():
        name, counts = json.loads(key)["labels"]["alertname"], [len(one.get(key, [])) for one in told]
        ats = [at for one in told for at in one.get(key, [])]
        if key in edge or not ats or any(groups.shaken(groups.of[name], at) for at in ats):
            result.left_out["notifications"] += 1
        else:
            result.compare("notifications", name, key, *counts)


def metrics(server):
    out = {}
    for line in call(f"{server.url}/metrics")[1].decode().splitlines():
        if line.startswith(("prometheus_rule_", "prometheus_notifications_")):
            name, value = line.rsplit(" ", 1)
            name = re.sub(r'127\.0\.0\.1:\d+', "alertmanager", name)
            steady = re.match(r"prometheus_(rule_group_(rules|interval_seconds|last_evaluation_samples)|notifications_(alertmanagers|queue_capacity|dropped|errors))", name)
            out["metrics", name] = float(value) if steady else "there"
        elif re.match(r"# TYPE prometheus_(rule|notifications)_", line):
            out["metrics", line] = "there"
    return out


def write_all(directory, files):
    for name, text in files.items():
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(text)


def offsets(server, interval=1):
    """When groups are evaluated within the interval, by the times of their last evaluation."""
    return {s["metric"]["of"]: round(float(s["value"][1]) % interval, 3) for s in server.query("timestamp(beat)")}


def reload_all(servers):
    """Where no group is evaluated for the longest, so that both have read the rules when the next one is."""
    times = sorted(offsets(servers[0]).values())
    gap, at = max((b - a, a) for a, b in zip(times, [*times[1:], times[0] + 1]))
    time.sleep((at + min(0.1, gap / 3) - time.time()) % 1)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda server: server.reload(), servers))


def run(args, checks, folder):
    directory, result = os.path.join(folder, "rules"), Result()
    os.makedirs(directory)
    files, changed = corpus.files(), corpus.files(changed=True)
    write_all(directory, files)
    groups, scribes = Groups([*changed.values(), *files.values()]), [Scribe(), Scribe()]
    config = lambda scribe: (
        "global: {evaluation_interval: 4s, external_labels: {region: test, 'team': outside}}\nstorage: {tsdb: {out_of_order_time_window: 0s}}\n"
        f"rule_files: ['{directory}/rules-*.yml']\n"
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{scribe.port}']}}]}}]}}\n")
    binaries = {"promlake": args.promlake, "prometheus": args.prometheus}
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Peer(kind, binary, os.path.join(folder, kind), config(scribe), *FLAGS, *args.flag))
                   for (kind, binary), scribe in zip(binaries.items(), scribes)]
        ours, theirs = servers
        # Nothing is written of alerts before the third evaluation.
        evaluated = lambda server: all(not g["lastEvaluation"].startswith("0001") for g in server.data("/api/v1/rules")["groups"])
        until(30, "all groups are evaluated", lambda: all(evaluated(server) for server in servers))
        time.sleep(11)
        both = [offsets(server, 60) for server in servers]
        differing = {of: (at, both[1].get(of)) for of, at in both[0].items() if abs((at - both[1].get(of, -1)) % 1) > 0.0015}
        if not checks.check("groups have the offsets that they have in Prometheus", both[0] and not differing, list(differing.items())[:3]):
            return
        feeder = Feeder(servers)
        feeder.start()
        # The evaluations about the first sample are not compared.
        since, end = feeder.began + 2, time.time() + args.minutes * 60
        half, before = time.time() + args.minutes * 30, True
        while time.time() < end:
            if before and time.time() > half:
                before = False
                write_all(directory, changed)
                reload_all(servers)
                print("     both have read changed rules", flush=True)
            time.sleep(min(max(0, end - time.time()), 20))
            count = settled(result, "rules", servers, lambda server: server.data("/api/v1/rules"), flat_rules)
            count += settled(result, "alerts", servers, lambda server: server.data("/api/v1/alerts"), flat_alerts)
            print(f"     {int(end - time.time())} s to go; {count} differ at /api/v1/rules and alerts", flush=True)
        compare_requests(result, servers, directory)
        settled(result, "metrics", servers, metrics, lambda data: data)
        end = time.time() - 1
        time.sleep(4)
        feeder.ended = True
        groups.read(ours, theirs, since, end)
        for of, missed in sorted(groups.missed.items()):
            alike = len(groups.beats[of])
            if not checks.check(f"evaluations of {of}", alike and len(missed) <= 2 + alike * 0.05, f"{alike} alike, {len(missed)} of one server alone"):
                print("     " + " ".join(f"{t:.3f}" for t in missed[:5]), sorted(groups.beats[of])[:3])
        compare_samples(result, groups, ours, theirs, since, end)
        compare_posts(result, groups, scribes, since, end)
        checks.check("samples came in time", not feeder.late, feeder.late[:10])
        checks.check("samples were taken", not feeder.refused, feeder.refused[:3])
    result.tell(checks, args.verbose)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--promlake", default="target/release/promlake")
    parser.add_argument("--prometheus", default=PROMETHEUS)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--flag", action="append", default=[], help="for both servers, as --flag=--enable-feature=concurrent-rule-eval")
    parser.add_argument("--keep", action="store_true", help="the folder with logs")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    if any("concurrent-rule-eval" in flag for flag in args.flag):
        side_by_side = lambda kind, what, ours, theirs: kind == "recorded samples" and '"e:again"' in what[0]
        EXPLAINED.append(("two rules side by side write one series: either is the first", side_by_side))
    folder, checks = tempfile.mkdtemp(prefix="promlake-rules-"), Checks()
    try:
        run(args, checks, folder)
    except AssertionError as error:
        checks.check("the run", False, error)
    finally:
        if args.keep:
            print(f"logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(checks.end())


if __name__ == "__main__":
    main()
