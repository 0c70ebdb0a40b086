"""promlake, Prometheus and Alertmanagers for the acceptance tests of rules: how they are started, asked, killed and written down."""
import http.client
import http.server
import json
import os
import socket
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from processes import Server, call, free_port  # noqa: E402

PROMETHEUS = os.path.expanduser("~/.cache/promlake/prometheus/usr/bin/prometheus")
ALERTMANAGER = "/usr/bin/prometheus-alertmanager"
ALERTMANAGER_CONFIG = """
route: {receiver: hook, group_by: ['...'], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: 'http://127.0.0.1:PORT/hook', send_resolved: true}]}]
"""


class Checks:
    """Prints a line for each, and counts those that fail."""

    def __init__(self):
        self.failed = []

    def check(self, name, ok, detail=""):
        if not ok:
            self.failed.append(name)
        print(f"{'ok  ' if ok else 'FAIL'} {name}{': ' + str(detail) if str(detail) else ''}", flush=True)
        return ok

    def end(self):
        print(f"{len(self.failed)} failed" + (": " + "; ".join(self.failed) if self.failed else ""))
        return 1 if self.failed else 0


class Peer(Server):
    """promlake or Prometheus with one configuration and a folder of its own."""

    def __init__(self, kind, binary, folder, config, *flags, storage=None, env=None, allowed=True, prefix=""):
        """`allowed`: samples may be written, and the server be reloaded. `prefix` is that of routes."""
        os.makedirs(folder, exist_ok=True)
        self.kind, self.pg = kind, free_port()
        port = free_port()
        argv = [os.path.abspath(binary), "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}", *flags]
        if allowed:
            argv += ["--web.enable-remote-write-receiver", "--web.enable-lifecycle"]
        if "--agent" in flags:
            argv += ["--storage.agent.path=data"]
        elif kind == "promlake":
            argv += [f"--pg.listen-address=127.0.0.1:{self.pg}", f"--storage.url={storage or './data'}"]
        else:
            argv += ["--storage.tsdb.path=data"]
        if kind == "prometheus":
            argv += ["--enable-feature=native-histograms"]
        super().__init__(argv, port, "/-/ready", folder, env)
        self.url += prefix
        self.configure(config)

    def configure(self, config):
        with open(os.path.join(self.folder, "prometheus.yml"), "w", encoding="utf-8") as file:
            file.write(config)

    def get(self, path, **parameters):
        """Status and decoded body."""
        status, body = call(f"{self.url}{path}?{urllib.parse.urlencode(parameters, doseq=True)}")
        return status, json.loads(body)

    def data(self, path, **parameters):
        status, body = self.get(path, **parameters)
        if status != 200:
            raise AssertionError(f"{self.kind} {path} {parameters}: {status} {json.dumps(body)[:500]}")
        return body["data"]

    def query(self, expression, at=None):
        return self.data("/api/v1/query", query=expression, **({} if at is None else {"time": f"{at:.3f}"}))["result"]

    def alerts(self, name=None):
        return [a for a in self.data("/api/v1/alerts")["alerts"] if name in (None, a["labels"]["alertname"])]

    def rules(self):
        return {rule["name"]: rule for group in self.data("/api/v1/rules")["groups"] for rule in group["rules"]}

    def metric(self, name, **labels):
        """The sum of a metric's series that have these labels."""
        total = 0.0
        for line in call(f"{self.url}/metrics")[1].decode().splitlines():
            if line.startswith((name + " ", name + "{")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def reload(self):
        status, body = call(f"{self.url}/-/reload", b"")
        if status != 200:
            raise AssertionError(f"{self.kind}: reload: {status} {body[:500]}")


class Scribe:
    """Takes alerts as an Alertmanager does and writes down each with the time of its post; hands them on to another, if there is one.

    `/hook` takes what an Alertmanager tells a webhook.
    """

    def __init__(self, upstream=None, now=time.time):
        self.upstream, self.port, self.now = upstream, free_port(), now
        self.posts, self.hooks, self.failed, self.server = [], [], 0, None
        self.open = []
        self.listen()

    def listen(self):
        scribe = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                scribe.open.append(self.connection)

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = 200, b""
                if self.path == "/hook":
                    scribe.hooks += [(time.time(), alert) for alert in json.loads(body)["alerts"]]
                else:
                    at = scribe.now()
                    if scribe.upstream:
                        status, answer = call(f"http://127.0.0.1:{scribe.upstream}{self.path}", body, {"Content-Type": "application/json"})
                    scribe.posts += [(at, alert) for alert in json.loads(body)]
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (OSError, http.client.HTTPException):
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def leave(self):
        """Nobody listens, and nobody who was connected is."""
        self.server.shutdown()
        self.server.server_close()
        for connection in self.open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open.clear()

    def come_back(self):
        self.listen()

    def of(self, name, since=0):
        return [(at, alert) for at, alert in self.posts if alert["labels"]["alertname"] == name and at >= since]


def seconds(text):
    """Of a time in RFC 3339, since the epoch."""
    import datetime
    import re

    # Nanoseconds are more than Python reads.
    text = re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00"))
    return datetime.datetime.fromisoformat(text).timestamp()


def alertmanager(folder, hook_port):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "alertmanager.yml"), "w") as file:
        file.write(ALERTMANAGER_CONFIG.replace("PORT", str(hook_port)))
    port = free_port()
    return Server([ALERTMANAGER, "--config.file=alertmanager.yml", "--storage.path=data", f"--web.listen-address=127.0.0.1:{port}",
                   "--cluster.listen-address="], port, "/-/ready", folder)


def alertmanager_alerts(server, name):
    alerts = json.loads(call(f"{server.url}/api/v2/alerts")[1])
    return [a for a in alerts if a["labels"]["alertname"] == name]
