"""promlake and Prometheus scrape the same odd pages, and make the same of them.

    python tests/acceptance/exposition.py --promlake target/release/promlake [--prometheus BINARY] [--only WORD] [--floor N] [-v]

Every page of exposition_pages.py, and of ../shared/cases/exposition where that lies beside the checkout, is a job of its own on
both servers. Once both have had all bodies of a page it compares `up` and what the target is said to be, every series with its
values, what ended, the synthetic series, and exemplars. `EXPLAINED` lists what differs for a reason. Without --promlake
it prints what Prometheus makes of the pages. Everything listens on loopback and is stopped at the end.
"""
import argparse
import glob
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True

from exposition_pages import PAGES, Page
from processes import free_port

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEBIAN = os.path.expanduser("~/.cache/promlake/prometheus/usr/bin/prometheus")
INTERVAL_S = 1

BEHIND = "samples behind the newest of their series are stored"
LINE = "a line with a fault in its end is no sample; Prometheus counts it and refuses the scrape then"

# What differs, and why; by page, or by the beginning of its name.
EXPLAINED = {
    "cut off": "a scrape that fails ends all series; Prometheus forgets to end those that came before the fault",
    "pb native not wanted": "3.5 takes native histograms of all jobs or none, 3.16 by scrape_native_histograms",
    "pb native of unknown schema": "3.5 computes with schemas it does not know, 3.16 refuses them",
    "times tracked": "a sample that is refused since its time is taken still says that its series is there",
    "a time comes": BEHIND,
    "out of order": BEHIND,
    "bad utf-8 in a": LINE,
    "om blank behind": LINE,
    "om exemplar without braces": LINE,
    "pb native of wrong count": LINE,
    "pb native of negative count": LINE,
    "pb native of missing buckets": LINE,
    "nhcb pb": "3.5 does not convert gauge histograms, 3.16 does",
}


def beside_the_checkout():
    """The cases that lie beside a checkout, as pages."""
    pages = {}
    for path in sorted(glob.glob(os.path.join(ROOT, "../shared/cases/exposition/*.expected"))):
        expected = open(path, encoding="utf-8").read()
        name = os.path.basename(path)[: -len(".expected")]
        content_type = re.search(r"^content-type: ?(.*)$", expected, re.M)[1]
        pages[f"case {name}"] = Page([open(path[: -len("expected")] + "txt", "rb").read()], content_type)
    return pages


class Exporter:
    """Serves the pages by their number; each client gets the bodies of a page in their order, the last one again and again."""

    def __init__(self, pages):
        self.pages, self.port, self.asked, self.lock = pages, free_port(), {}, threading.Lock()
        self.started = int(time.time() * 1000)
        exporter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                page = exporter.pages[int(self.path.strip("/"))]
                client = self.headers.get("User-Agent", "").split("/")[0]
                with exporter.lock:
                    count = exporter.asked.get((client, self.path), 0)
                    exporter.asked[client, self.path] = count + 1
                body = exporter.with_times(page.bodies[min(count, len(page.bodies) - 1)])
                self.send_response(200)
                if page.content_type:
                    self.send_header("Content-Type", page.content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 1024
            daemon_threads = True

            def handle_error(self, *_):
                """Servers that end hang up in the middle."""

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def with_times(self, body):
        """Times are those of the start, so that both servers get the same ones."""
        now = self.started
        body = re.sub(rb"@NOW([-+]\d+)?@", lambda m: str(now + int(m[1] or 0)).encode(), body)
        return body.replace(b"@NOW_S@", str(now // 1000).encode())

    def all_seen(self, client):
        """Each body, and the last one three times."""
        with self.lock:
            return all(self.asked.get((client, f"/{i}"), 0) >= len(p.bodies) + 2 for i, p in enumerate(self.pages))

    def freeze(self):
        self.server.shutdown()


class Server:
    def __init__(self, binary, folder, client, config, flags):
        os.makedirs(folder)
        file = os.path.join(folder, "prometheus.yml")
        with open(file, "w", encoding="utf-8") as f:
            f.write(config)
        self.client, self.url = client, f"http://127.0.0.1:{(port := free_port())}"
        args = [binary, f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}", *flags]
        self.log = open(os.path.join(folder, "log"), "w")
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd=folder)
        deadline = time.time() + 30
        while True:
            try:
                with urllib.request.urlopen(self.url + "/-/ready", timeout=2):
                    return
            except (OSError, urllib.error.HTTPError):
                if time.time() > deadline or self.process.poll() is not None:
                    sys.exit(f"{binary} is not ready:\n{open(self.log.name).read()[-3000:]}")
                time.sleep(0.2)

    def get(self, path, **parameters):
        url = f"{self.url}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def end(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


def config(pages, port, prometheus):
    lines = [f"global: {{scrape_interval: {INTERVAL_S}s, scrape_timeout: {INTERVAL_S}s}}", "scrape_configs:"]
    for i, (name, page) in enumerate(pages.items()):
        job = [f"job_name: {json.dumps(name)}, metrics_path: /{i}"]
        job.append(f'static_configs: [{{targets: ["127.0.0.1:{port}"]}}]')
        if page.native and not prometheus:
            job.append("scrape_native_histograms: true")
        if page.job:
            job.append(page.job)
        lines.append(f"- {{{', '.join(job)}}}")
    return "\n".join(lines) + "\n"


SYNTHETIC = re.compile(r"up|scrape_(samples_scraped|samples_post_metric_relabeling)")


def labels_of(metric):
    return json.dumps({k: v for k, v in sorted(metric.items()) if k not in ("job", "instance")}, ensure_ascii=False)


def view(server, name, end):
    """What a server made of a page."""
    selector = '{job=%s}' % json.dumps(name)
    out = {}
    for series in server.get("/api/v1/query", query=selector, time=end)["result"]:
        metric = series["metric"]["__name__"]
        if metric.startswith("scrape_") and not SYNTHETIC.fullmatch(metric):
            continue
        value = series["value"][1] if "value" in series else series["histogram"][1]
        out["now " + labels_of(series["metric"])] = value
    for series in server.get("/api/v1/query", query=selector + "[10m]", time=end)["result"]:
        metric = series["metric"]["__name__"]
        if metric.startswith("scrape_"):
            continue
        values = [v for _, v in series.get("values", []) + series.get("histograms", [])]
        distinct = [v for i, v in enumerate(values) if i == 0 or v != values[i - 1]]
        out["all " + labels_of(series["metric"])] = distinct
    # A series is new once, unless it is refused or drops out again; the last value says whether it still is.
    added = server.get("/api/v1/query", query=f"scrape_series_added{selector}", time=end)["result"]
    out["series added"] = added[0]["value"][1] if added else None
    for series in server.get("/api/v1/query_exemplars", query=selector, start=0, end=end + 3600):
        for e in series["exemplars"]:
            out[f"exemplar {labels_of(series['seriesLabels'])} {json.dumps(e['labels'], sort_keys=True)} {e['value']}"] = True
    return out


def healths(server):
    targets = server.get("/api/v1/targets", state="active")["activeTargets"]
    return {t["scrapePool"]: (t["health"], t["lastError"]) for t in targets}


def differences(ours, theirs):
    for key in sorted(set(ours) | set(theirs)):
        if ours.get(key) != theirs.get(key):
            yield f"{key}: promlake {ours.get(key)}, Prometheus {theirs.get(key)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promlake", type=os.path.abspath, help="the binary; without it only Prometheus is asked")
    parser.add_argument("--prometheus", default=DEBIAN, type=os.path.abspath)
    parser.add_argument("--only", default="", help="pages whose name has this in it")
    parser.add_argument("--floor", type=int, help="fail only where fewer pages agree")
    parser.add_argument("-v", "--verbose", action="store_true", help="what each page became, and the errors")
    args = parser.parse_args()
    if not os.path.exists(args.prometheus):
        print(f"SKIPPED: exposition: there is no {args.prometheus}")
        return
    pages = {n: p for n, p in {**PAGES, **beside_the_checkout()}.items() if args.only in n}
    exporter = Exporter(list(pages.values()))
    servers, failed, used = [], [], set()
    with tempfile.TemporaryDirectory(prefix="promlake-exposition-") as folder:
        try:
            path = os.path.join(folder, "prometheus")
            flags = [f"--storage.tsdb.path={path}/data", "--enable-feature=exemplar-storage,native-histograms"]
            theirs = Server(args.prometheus, path, "Prometheus", config(pages, exporter.port, True), flags)
            servers.append(theirs)
            if args.promlake:
                path = os.path.join(folder, "promlake")
                flags = [f"--storage.url={path}/data", "--pg.listen-address=127.0.0.1:0"]
                servers.append(Server(args.promlake, path, "promlake", config(pages, exporter.port, False), flags))
            deadline = time.time() + 60
            while not all(exporter.all_seen(server.client) for server in servers):
                if time.time() > deadline:
                    sys.exit("not every page was scraped within a minute")
                time.sleep(0.2)
            time.sleep(INTERVAL_S)
            end = time.time()
            states = [healths(server) for server in servers]
            for name in pages:
                views = [view(server, name, end) for server in servers]
                for server, seen, state in zip(servers, views, states):
                    seen["health"] = state[name][0]
                    if args.verbose:
                        print(f"{name} [{server.client}]: {state[name][1]}")
                        print("".join(f"    {k}: {v}\n" for k, v in sorted(seen.items())), end="")
                wrong = list(differences(views[1], views[0])) if args.promlake else []
                reason = next((r for prefix, r in EXPLAINED.items() if name.startswith(prefix)), None)
                if wrong and reason:
                    used.add(reason)
                elif wrong:
                    failed.append(name)
                    print(f"FAIL {name}: promlake says {states[1][name][1]!r}, Prometheus {states[0][name][1]!r}")
                    print("".join(f"    {line}\n" for line in wrong), end="")
        finally:
            for server in servers:
                server.end()
            exporter.freeze()
    for reason in set(EXPLAINED.values()) - used if args.promlake and not args.only else []:
        failed.append(reason)
        print(f"FAIL nothing differs any more: {reason}")
    print(f"{len(pages) - len(failed)} of {len(pages)} pages agree, {len(used)} reasons why others differ")
    agree = len(pages) - len(failed)
    if args.floor and agree > args.floor:
        print(f"raise the floor, which is {args.floor}")
    sys.exit(agree < args.floor if args.floor else bool(failed))


if __name__ == "__main__":
    main()
