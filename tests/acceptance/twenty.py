"""promlake and Prometheus scrape the same twenty processes by one configuration, and have the same in the end.

    python tests/acceptance/twenty.py --promlake target/release/promlake [--prometheus BINARY] --seconds 600 [-v]

Node exporter, Pushgateway, Alertmanager and Prometheus are behind a proxy that gives one page an interval to both; the others are
made up in twenty_pages.py and misbehave. Targets come from the configuration, from files and over HTTP, and some come and go.
Meanwhile both are held at the same pages at times, and /api/v1/targets, /api/v1/scrape_pools and the metadata compared; in the end
`up`, what was scraped page by page, where series end, series, exemplars and requests are. What differs for a reason is in EXPLAINED.

It goes in minutes: in each, some targets leave and come back, a listener is closed for a while, and the targets are compared once.
Needs what tests/peers installs, and Debian's prometheus-pushgateway and prometheus-alertmanager. Everything listens on loopback
and is stopped at the end.
"""
import argparse
import bisect
import collections
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True

import twenty_pages as pages
from exposition import EXPLAINED as ODD_PAGES
from processes import Server, call, free_port
from twenty_configuration import HUGE_S, INTERVAL_S, ROOT, Configuration, feeds_of
from twenty_pages import CLIENTS, Process

DEBIAN = os.path.expanduser("~/.cache/promlake")
CYCLE_S = 60
LIVE = {
    "node": ("prometheus-node-exporter", ["--web.listen-address=127.0.0.1:{port}"]),
    "pushgateway": ("prometheus-pushgateway", ["--web.listen-address=127.0.0.1:{port}"]),
    "alertmanager": ("prometheus-alertmanager", [
        "--config.file={folder}/alertmanager.yml", "--storage.path={folder}/alertmanager", "--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address="]),
}
SYNTHETIC = re.compile(r"scrape_(samples_scraped|samples_post_metric_relabeling|series_added)")
NEWER = ("__scrape_native_histograms__", "__convert_classic_histograms_to_nhcb__", "__always_scrape_classic_histograms__")


def after_a_fault(d):
    """Who does not end the series that came before the fault has them a scrape longer."""
    return d.kind == "staleness" and d.failed and d.ours is None


def odd_page(d):
    pages = any(title.startswith(odd) for title in (d.title, d.before) if title for odd in ODD_PAGES)
    return d.feed.startswith("cases.") and (pages or d.kind == "series" and "p_gauge_hist" in d.series)


def of_any_age(d):
    old = isinstance(d.page, str) and time.time() - float(d.page[3:]) > 3600 and d.theirs is None
    return old or "scrape_series_added" in d.series and d.title in ("old", "om time", "pb times") and int(d.ours) > int(d.theirs)


# What differs, and why.
EXPLAINED = [
    ("labels of targets that came after 3.5", lambda d: d.kind == "newer labels"),
    ("a server that only this machine reaches has an address in its external URL, not a name",
     lambda d: d.series.endswith("globalUrl") and re.sub("//[^:/]+", "//127.0.0.1", d.theirs) == d.ours),
    ("a scrape that fails ends all series; Prometheus forgets to end those that came before the fault", after_a_fault),
    ("a line with a fault in its end is no sample; Prometheus counts it and refuses the scrape then",
     lambda d: "scrape_samples_scraped" in d.series and d.failed and int(d.theirs) == int(d.ours) + 1),
    ("Prometheus lists series of scrapes that it refused, without samples", lambda d: d.kind == "series" and d.theirs == "no samples"),
    ("Prometheus refuses samples from before its oldest block, and then their series is no new one", of_any_age),
    ("metadata of a family that no target has any more is what was stored last",
     lambda d: d.kind == "metadata" and d.theirs is None),
    ("a series that is refused as out of order is no new one for Prometheus",
     lambda d: "scrape_series_added" in d.series and d.ours is not None and int(d.ours) > int(d.theirs or 0)),
    ("an odd page, as exposition.py says", odd_page),
]


# --- What both have, page by page


class Scrapes:
    """When a server scraped a feed, and which page it got, by the request that came then: (life, page, how often before)."""

    def __init__(self, times, log, interval):
        self.times, self.interval = sorted(times), interval
        got = {bisect.bisect_right(self.times, at + 0.02) - 1: key for at, key in log}
        self.keys, life, without = [], 0, 0
        for i in range(len(self.times)):
            if i in got:
                life, without = got[i][0], 0 if got[i][0] != life else without
                self.keys.append(got[i])
            else:
                self.keys.append((life, "no request", without))
                without += 1
        self.by_time = dict(zip(self.times, self.keys))

    def before(self, at):
        """The scrape that was the newest then, or how long there has been none."""
        i = bisect.bisect_right(self.times, at) - 1
        past = int((at - self.times[i]) / self.interval)
        return self.keys[i] if past == 0 else (self.keys[i][0], "gone", past)

    def missed(self):
        gaps = zip(self.times, self.times[1:], self.keys, self.keys[1:])
        return sum(round((b - a) / self.interval) - 1 for a, b, x, y in gaps if x[0] == y[0] and b - a > 1.5 * self.interval)


def data(server, path, **parameters):
    status, body = call(f"{server.url}{path}?{urllib.parse.urlencode(parameters, doseq=True)}")
    if status != 200:
        raise SystemExit(f"{server.url}{path} {parameters}: {status} {body[:500]}")
    return json.loads(body)["data"]


def text(metric):
    return json.dumps(metric, sort_keys=True, ensure_ascii=False)


def kind_of(metric):
    name = metric.get("__name__", "")
    return "up" if name == "up" else "synthetic series" if SYNTHETIC.fullmatch(name) else "samples"


class View:
    """All that a server has of a feed, by kind, series and scrape."""

    def __init__(self, server, feed, begin, end):
        interval = HUGE_S if feed.name.startswith("huge") else INTERVAL_S
        selector = '{feed="%s"}' % feed.name
        found = data(server, "/api/v1/query", query=f"{selector}[{int(end)}s]", time=end)["result"]
        log = [(at, key) for at, key in feed.log[server.client] if at < end]
        self.scrapes = Scrapes({t for s in found if s["metric"]["__name__"] == "up" for t, _ in s["values"]}, log, interval)
        # Series with times of their own are those with samples at other times than those of scrapes.
        self.kinds, self.timed, self.raw = collections.defaultdict(dict), set(), collections.defaultdict(dict)
        for series in found:
            key, values = text(series["metric"]), {}
            for at, value in series.get("values", []) + [(at, text(h)) for at, h in series.get("histograms", [])]:
                values[self.scrapes.by_time.get(at, f"at {at}")] = value
            if series["metric"]["__name__"] == "scrape_duration_seconds":
                values = dict.fromkeys(values, "some")
            self.kinds[kind_of(series["metric"])][key] = values
            if any(isinstance(k, str) for k in values):
                self.timed.add(key)
            self.raw[key] = {self.at(k): value for k, value in values.items()}
        # In the middle between two scrapes it shows whether a series has ended.
        start = (self.scrapes.times or [begin])[0] + interval / 2
        for series in data(server, "/api/v1/query_range", query=selector, start=start, end=end, step=interval)["result"]:
            values = series.get("values", []) + series.get("histograms", [])
            self.kinds["staleness"][text(series["metric"])] = {self.scrapes.before(at): "there" for at, _ in values}
        self.cells = {self.scrapes.before(start + i * interval) for i in range(int((end - start) / interval) + 1)}
        self.series = {text(s) for s in data(server, "/api/v1/series", **{"match[]": selector}, start=begin, end=end)}
        for series in data(server, "/api/v1/query_exemplars", query=selector, start=0, end=end):
            for e in series["exemplars"]:
                what = f"{text(series['seriesLabels'])} {text(e['labels'])} {e['value']}"
                key = self.scrapes.by_time.get(e["timestamp"], f"at {e['timestamp']}")
                self.kinds["exemplars"].setdefault(what, {})[key] = "there"
                self.raw[what][e["timestamp"]] = "there"
                self.timed.add(what)

    def at(self, key):
        return float(key[3:]) if isinstance(key, str) else self.scrapes.times[self.scrapes.keys.index(key)]


Difference = collections.namedtuple("Difference", "kind feed page title before failed series ours theirs")


class Result:
    def __init__(self):
        self.alike, self.differences, self.used = collections.Counter(), [], collections.Counter()
        self.feeds = collections.defaultdict(set)

    def count(self, kind, feed, times=1):
        self.alike[kind] += times
        self.feeds[kind].add(feed)

    def compare(self, kind, feed, page, series, ours, theirs, titles=None, failed=()):
        if ours == theirs:
            self.count(kind, feed)
            return
        number = page[1] if isinstance(page, tuple) and isinstance(page[1], int) else None
        title, before = [(titles or {}).get(n, "") for n in (number, number - 1)] if number is not None else ("", "")
        self.explain(Difference(kind, feed, page, title, before, page in failed, series, ours, theirs))

    def explain(self, difference):
        for reason, applies in EXPLAINED:
            if applies(difference):
                self.used[reason] += 1
                return
        self.differences.append(difference)

    def print(self, verbose):
        groups = collections.defaultdict(list)
        for d in self.differences:
            groups[d.kind, d.feed].append(d)
        for (kind, feed), found in sorted(groups.items()):
            print(f"FAIL {kind} of {feed}: {len(found)} differ")
            for d in found[: None if verbose else 3]:
                where = f" on {d.page} {d.title!r} (before {d.before!r})" if d.page else ""
                print(f"    {d.series[:300]!r}{where}: promlake {str(d.ours)[:300]}, Prometheus {str(d.theirs)[:300]}")


def compare_feed(result, feed, ours, theirs):
    name = feed.name
    shared = set(ours.scrapes.keys) & set(theirs.scrapes.keys)
    if len(shared) < 3:
        raise SystemExit(f"{name} was not scraped by both: {ours.scrapes.keys} {theirs.scrapes.keys}")
    for key in set(ours.scrapes.keys) ^ set(theirs.scrapes.keys):
        if isinstance(key[1], int) and key[2] == 0 or key[2] == 0 and key[1] == "no request":
            result.compare("pages", name, key, "scrape", key in ours.scrapes.keys, key in theirs.scrapes.keys, feed.titles)
    result.count("pages", name, len(shared))
    cells = ours.cells & theirs.cells
    down = [{key for ups in view.kinds["up"].values() for key, value in ups.items() if value == "0"} for view in (ours, theirs)]
    failed = down[0] & down[1]
    for kind in ("up", "synthetic series", "samples", "staleness", "exemplars"):
        mine, peer = ours.kinds[kind], theirs.kinds[kind]
        for series in mine.keys() | peer.keys():
            a, b = mine.get(series, {}), peer.get(series, {})
            if series in ours.timed | theirs.timed:
                if kind == "staleness":
                    continue
                # Times of a page may happen to be those of a scrape.
                same = {at for at, value in ours.raw[series].items() if theirs.raw[series].get(at) == value}
                result.count(kind, name, len(same))
                a = {key: value for key, value in a.items() if ours.at(key) not in same}
                b = {key: value for key, value in b.items() if theirs.at(key) not in same}
            keys = cells if kind == "staleness" else {k for k in a.keys() | b.keys() if k in shared or isinstance(k, str)}
            for key in keys:
                result.compare(kind, name, key, series, a.get(key), b.get(key), feed.titles, failed)
    sampled = set().union(*[series.keys() for series in theirs.kinds.values()])
    for series in ours.series | theirs.series:
        peer = series in theirs.series and (series in sampled or "no samples")
        result.compare("series", name, None, series, series in ours.series, peer)
    for one in feed.asked["promlake"] | feed.asked["Prometheus"]:
        result.compare("requests", name, None, str(one), one in feed.asked["promlake"], one in feed.asked["Prometheus"])


# --- What both say of their targets


def said(server):
    """What is said of targets and metadata, one by one: by kind, feed, and what it is."""
    out = {}
    targets = data(server, "/api/v1/targets", state="any")
    for target in targets["activeTargets"]:
        feed, what = target["labels"].get("feed", ""), f"{target['scrapePool']} {target['labels'].get('generation', '')}"
        out["newer labels", feed, what] = [label for label in NEWER if target["discoveredLabels"].pop(label, None)]
        for field in ("discoveredLabels", "labels", "scrapeUrl", "globalUrl", "health", "scrapeInterval", "scrapeTimeout"):
            out["targets", feed, f"{what} {field}"] = target[field]
        out["targets", feed, f"{what} error"] = bool(target["lastError"])
        out["targets", feed, f"{what} fields"] = sorted(target)
    for target in targets["droppedTargets"]:
        labels = {label: value for label, value in target["discoveredLabels"].items() if label not in NEWER}
        out["dropped targets", labels.get("feed", ""), f"{target.get('scrapePool')} {text(labels)}"] = sorted(target)
    for pool, count in targets["droppedTargetCounts"].items():
        out["dropped targets", "all", pool] = count
    for metric, entries in data(server, "/api/v1/metadata").items():
        out["metadata", "all", metric] = sorted(map(text, entries))
    for entry in data(server, "/api/v1/targets/metadata", match_target='{job!=""}'):
        feed, what = entry["target"].get("feed"), f"{entry.get('metric')} of {text(entry['target'])}"
        out["targets' metadata", feed, what] = {k: entry.get(k) for k in ("type", "help", "unit")}
    for entry in data(server, "/api/v1/targets/metadata", match_target='{feed=~"types.*"}', metric="shape"):
        out["metadata of a metric", "types.all", text(entry["target"])] = text(entry)
    out["scrape pools", "all", ""] = data(server, "/api/v1/scrape_pools")["scrapePools"]
    return out


def checkpoint(result, servers, feeds, name):
    """With both at the same pages. Who scraped a page a second more often forgets metadata earlier: alike once is alike."""
    hold(feeds)
    deadline, settled, waiting = time.time() + 3 * INTERVAL_S, set(), {}
    while time.time() < deadline:
        ours, theirs = [said(server) for server in servers]
        keys = ours.keys() | theirs.keys()
        waiting = {k: (ours.get(k), theirs.get(k)) for k in keys if k not in settled and ours.get(k) != theirs.get(k)}
        settled |= keys - waiting.keys()
        if not waiting:
            break
        time.sleep(0.2)
    for kind, feed, _ in settled:
        result.count(kind, feed)
    for (kind, feed, what), (a, b) in waiting.items():
        result.compare(kind, feed, None, f"at checkpoint {name}: {what}", a, b)
    for feed in feeds:
        feed.release()


def wait(condition, seconds, what):
    deadline = time.time() + seconds
    while not condition():
        if time.time() > deadline:
            raise SystemExit(f"not within {seconds} s: {what()}")
        time.sleep(0.1)


SILENT = ("secure.unknown", "limits.a", "limits.b")


def hold(feeds):
    for feed in feeds:
        feed.hold()
    behind = lambda: [f.name for f in feeds if not f.held() and f.name not in SILENT]
    wait(lambda: not behind(), 40, lambda: f"both servers at the same page of {behind()}")


# --- The run


def push(url, n):
    """What batch jobs push: groups that change, lose metrics, and are deleted."""
    body = f'# TYPE batch_last_seconds gauge\nbatch_last_seconds{{step="{n % 3}"}} {n}\n' + (f"batch_rows_total {n * 7}\n" if n % 2 else "")
    for path in ("job/batch/instance/one", "job/batch", f"job/nightly/shard/{n % 2}"):
        request = urllib.request.Request(f"{url}/metrics/{path}", data=body.encode(), method="PUT" if n % 2 else "POST")
        urllib.request.urlopen(request, timeout=5).close()
    urllib.request.urlopen(urllib.request.Request(f"{url}/metrics/job/nightly/shard/{(n + 1) % 2}", method="DELETE"), timeout=5).close()


def away(servers, names):
    return not any(t["labels"].get("feed") in names for s in servers for t in data(s, "/api/v1/targets", state="active")["activeTargets"])


def cycle(n, world, result):
    """Pushes; takes targets and a listener away and gives them back; compares what is said."""
    push(world.pushgateway, n)
    leaving = [world.feeds[name] for name in ("vanishing.file", "vanishing.http", "refused.all")]
    hold(leaving)
    world.processes["refused"].close()
    world.configuration.discovered(with_coming=False)
    wait(lambda: away(world.servers, ("vanishing.file", "vanishing.http")), 40, lambda: "targets that are gone are gone")
    # Two more scrapes are waited for before series are ended, and a tenth of one.
    time.sleep(4.5 * INTERVAL_S)
    for feed in leaving:
        feed.new_life()
    world.configuration.generation += 1
    world.configuration.discovered(with_coming=True)
    world.processes["refused"].open()
    push(world.pushgateway, n + 1)
    time.sleep(4 * INTERVAL_S)
    checkpoint(result, world.servers, list(world.feeds.values()), n)


class Peer(Server):
    """promlake or Prometheus, by the name that it scrapes with."""

    def __init__(self, client, binary, port, folder, config, *flags):
        self.client = client
        path = os.path.join(folder, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(config)
        super().__init__([binary, f"--config.file={path}", f"--web.listen-address=127.0.0.1:{port}", *flags], port, "/-/ready", folder)


class World:
    """Everything that runs; `stack` stops it."""

    def __init__(self, args, programs, folder, stack):
        below = lambda name: os.makedirs(os.path.join(folder, name)) or os.path.join(folder, name)
        upstream, port = {}, free_port()
        for name, (_, argv) in LIVE.items():
            own, at = below(name), free_port()
            with open(os.path.join(own, "alertmanager.yml"), "w", encoding="utf-8") as file:
                file.write("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
            argv = [programs[name]] + [a.format(port=at, folder=own) for a in argv]
            server = stack.enter_context(Server(argv, at, "/" if name == "node" else "/-/ready", own))
            upstream[name] = server.url + "/metrics"
            if name == "pushgateway":
                self.pushgateway = server.url
        upstream["prometheus"] = f"http://127.0.0.1:{port}/metrics"
        self.feeds = feeds_of(upstream)
        by_process = collections.defaultdict(dict)
        for name, feed in self.feeds.items():
            by_process[name.split(".")[0]][name.split(".")[1]] = feed
        ports = {name: free_port() for name in by_process}
        discovery = free_port()
        self.configuration = Configuration(below("common"), ports, discovery)
        certificates = os.path.join(ROOT, "tests/tls")
        special = {"secure": {"tls": pages.tls(certificates), "check": pages.bearer}, "refused": {"closes": True},
                   "moved": {"check": pages.basic}}
        self.processes = {name: Process(ports[name], feeds, **special.get(name, {})) for name, feeds in by_process.items()}
        Process(discovery, {}, check=pages.basic, listing=lambda: self.configuration.http)
        mine, peer = below("promlake"), below("peer")
        # Prometheus first, since it is one of the processes, too.
        theirs = Peer("Prometheus", args.prometheus, port, peer, self.configuration.text, f"--storage.tsdb.path={peer}/data",
                      "--enable-feature=exemplar-storage,native-histograms")
        stack.enter_context(theirs)
        ours = Peer("promlake", args.promlake, free_port(), mine, self.configuration.text,
                    f"--storage.url={mine}/data", f"--pg.listen-address=127.0.0.1:{free_port()}")
        self.servers = [stack.enter_context(ours), theirs]


def program(name):
    beside = os.path.join(DEBIAN, name, "usr/bin", name)
    return shutil.which(name) or (beside if os.path.exists(beside) else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promlake", default="target/release/promlake", type=os.path.abspath)
    parser.add_argument("--prometheus", default=os.path.join(DEBIAN, "prometheus/usr/bin/prometheus"), type=os.path.abspath)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("-v", "--verbose", action="store_true", help="all that differs")
    parser.add_argument("--keep", action="store_true", help="leave the folder with logs and data")
    args = parser.parse_args()
    programs = {name: program(binary) for name, (binary, _) in LIVE.items()}
    missing = [name for name, path in {**programs, args.prometheus: os.path.exists(args.prometheus)}.items() if not path]
    if missing:
        print(f"SKIPPED: twenty: missing are {', '.join(missing)}")
        return
    result = Result()
    folder = tempfile.mkdtemp(prefix="promlake-twenty-")
    try:
        with contextlib.ExitStack() as stack:
            begin = time.time()
            world = World(args, programs, folder, stack)
            feeds = list(world.feeds.values())
            for n in range(max(1, args.seconds // CYCLE_S)):
                due = begin + (n + 1) * CYCLE_S
                cycle(n, world, result)
                print(f"cycle {n} took {CYCLE_S - due + time.time():.0f} s, {len(result.differences)} differ", flush=True)
                time.sleep(max(0, due - time.time()))
            hold(feeds)
            time.sleep(2 * INTERVAL_S)
            end = time.time()
            time.sleep(INTERVAL_S)
            missed = collections.Counter()
            for feed in feeds:
                ours, theirs = [View(server, feed, begin, end) for server in world.servers]
                compare_feed(result, feed, ours, theirs)
                for client, view in zip(CLIENTS, (ours, theirs)):
                    missed[client] += view.scrapes.missed()
            print(f"{len(world.processes)} processes, {len(feeds)} feeds; scrapes missed: {dict(missed)}")
            if missed["promlake"] > missed["Prometheus"] + result.alike["pages"] // 100:
                result.differences.append(Difference("missed scrapes", "all", None, "", "", False, "", missed["promlake"], missed["Prometheus"]))
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    result.print(args.verbose)
    for kind, count in sorted(result.alike.items()):
        print(f"{kind}: {len(result.feeds[kind])} feeds, {count:,} alike, {sum(d.kind == kind for d in result.differences):,} not")
    for reason, count in result.used.items():
        print(f"explained, {count:,} times: {reason}")
    unused = {reason for reason, _ in EXPLAINED} - result.used.keys() if args.seconds >= 600 else set()
    for reason in unused:
        print(f"FAIL nothing differs any more: {reason}")
    sys.exit(bool(result.differences or unused))


if __name__ == "__main__":
    main()
