"""promlake as the sender of remote write: kills and an outage, and nothing lost or doubled.

    python tests/acceptance/forward.py --promlake target/release/promlake --to promlake --message 2.0 --minutes 60
    python tests/acceptance/forward.py --promlake target/release/promlake --to victoria-metrics --message 1.0 \
        --victoria-metrics ~/.cache/promlake/victoria-metrics/usr/bin/victoria-metrics

Exporters of the script's own are scraped every second by one promlake, which sends what it has through a proxy to another
promlake or to VictoriaMetrics (deduplication at 1 ms). Meanwhile the sender is killed with -9, the receiver is
restarted, and the proxy refuses everything for a while. At the end all samples of both are compared, with their times
and values. Everything listens on loopback and is stopped at the end.
"""
import argparse
import contextlib
import json
import math
import os
import random
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from processes import Server, free_port, text_page, until  # noqa: E402

TARGETS = 4
STALE = 0x7FF0000000000002


def exporter(series):
    """A page whose values change with each scrape."""
    scrapes = [0]

    def page():
        scrapes[0] += 1
        lines = ["# HELP work_total What was done.\n# TYPE work_total counter\n"]
        lines += [f'work_total{{n="{n}"}} {scrapes[0] * 1000 + n}\n' for n in range(series)]
        # Some come and go, so that there are staleness markers.
        if scrapes[0] // 20 % 2:
            lines += [f'fleeting{{n="{n}"}} {scrapes[0] + n / 8}\n' for n in range(5)]
        return "".join(lines)

    return text_page(page).port


class Proxy:
    """Hands connections on while it is up."""

    def __init__(self, target):
        self.target, self.up, self.port, self.open = target, True, free_port(), set()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            if not self.up:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self.open |= {client, server}
            for a, b in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            self.open.discard(one)
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def away(self):
        self.up = False
        for one in list(self.open):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def back(self):
        self.up = True


def get(url, timeout=30):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


def bits(text):
    value = float(text)
    return "NaN" if math.isnan(value) else struct.pack(">d", value)


def of_promlake(port, start, end):
    """All samples of a promlake, but for staleness markers, which no API shows."""
    found = {}
    step = 60
    for to in range(int(start) + step, int(end) + step + 1, step):
        query = urllib.parse.urlencode({"query": '{__name__=~".+"}[%ds]' % step, "time": str(to)})
        body = json.loads(get(f"http://127.0.0.1:{port}/api/v1/query?{query}", 120))
        for series in body["data"]["result"]:
            labels = tuple(sorted(series["metric"].items()))
            for at, value in series["values"]:
                key = (labels, round(at * 1000))
                if key in found:
                    raise AssertionError(f"twice: {key}")
                found[key] = bits(value)
    return found


def of_victoria_metrics(port, start, end):
    query = urllib.parse.urlencode({"match[]": '{__name__!=""}', "start": str(start), "end": str(end + 120)})
    found = {}
    for line in get(f"http://127.0.0.1:{port}/api/v1/export?{query}", 300).splitlines():
        series = json.loads(line)
        labels = tuple(sorted(series["metric"].items()))
        for at, value in zip(series["timestamps"], series["values"]):
            if value is None:
                continue
            key = (labels, at)
            if key in found:
                raise AssertionError(f"twice: {key}")
            found[key] = bits(value)
    return found


def counters(port):
    rows = {}
    for line in get(f"http://127.0.0.1:{port}/metrics").splitlines():
        if line.startswith(("prometheus_remote_storage_", "promlake_remote_write_")) and "_bucket" not in line:
            name, value = line.rsplit(" ", 1)
            name = name.split("{")[0]
            rows[name] = rows.get(name, 0) + float(value)
    return rows


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--promlake", default="target/release/promlake")
    binary = "~/.cache/promlake/victoria-metrics/usr/bin/victoria-metrics"
    args.add_argument("--victoria-metrics", default=os.path.expanduser(binary))
    args.add_argument("--to", choices=["promlake", "victoria-metrics"], default="promlake")
    args.add_argument("--message", choices=["1.0", "2.0"], default="1.0")
    args.add_argument("--minutes", type=float, default=10)
    args.add_argument("--outage", type=float, help="seconds; by default a sixth of the time, up to ten minutes")
    args.add_argument("--kills", type=int, default=3)
    args.add_argument("--restarts", type=int, default=3, help="of the receiver")
    args.add_argument("--series", type=int, default=200, help="of each of the targets")
    args.add_argument("--flag", action="append", default=[], help="further flags of the sender")
    args.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    args = args.parse_args()
    print(f"seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="promlake-forward-") as folder, contextlib.ExitStack() as stack:
        run(args, folder, stack)


def run(args, folder, stack):
    chance = random.Random(args.seed)
    targets = [f"127.0.0.1:{exporter(args.series)}" for _ in range(TARGETS)]
    receiver_port, sender_port = free_port(), free_port()
    proxy = Proxy(receiver_port)
    base = f"http://127.0.0.1:{receiver_port}"
    homes = [os.path.join(folder, name) for name in ("receiver", "sender")]
    for home in homes:
        os.makedirs(home)
    if args.to == "promlake":
        with open(os.path.join(homes[0], "empty.yml"), "w") as file:
            file.write("scrape_configs: []\n")
        argv = [
            os.path.abspath(args.promlake), f"--web.listen-address=127.0.0.1:{receiver_port}", "--pg.listen-address=127.0.0.1:0",
            "--storage.url=./data", "--config.file=empty.yml", "--storage.flush-interval=60s",
        ]
    else:
        argv = [
            os.path.abspath(args.victoria_metrics), f"-httpListenAddr=127.0.0.1:{receiver_port}", "-storageDataPath=vm",
            "-dedup.minScrapeInterval=1ms", "-retentionPeriod=1d",
        ]
    receiver = Server(argv, receiver_port, "/-/ready" if args.to == "promlake" else "/health", homes[0])
    config = os.path.join(homes[1], "sender.yml")
    message = "io.prometheus.write.v2.Request" if args.message == "2.0" else "prometheus.WriteRequest"
    with open(config, "w") as file:
        file.write(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
            f"remote_write: [{{url: 'http://127.0.0.1:{proxy.port}/api/v1/write', protobuf_message: {message}}}]\n"
            f"scrape_configs: [{{job_name: work, static_configs: [{{targets: {json.dumps(targets)}}}]}}]\n"
        )
    argv = [
        os.path.abspath(args.promlake), f"--web.listen-address=127.0.0.1:{sender_port}", "--pg.listen-address=127.0.0.1:0",
        "--storage.url=./data", "--config.file=sender.yml", "--storage.flush-interval=60s", *args.flag,
    ]
    sender = Server(argv, sender_port, "/-/ready", homes[1])
    stack.enter_context(receiver)
    stack.enter_context(sender)

    seconds = args.minutes * 60
    outage = min(600, seconds / 6) if args.outage is None else args.outage
    # The outage is in the middle, and one of the kills within it.
    events = [(seconds * 0.4, "away"), (seconds * 0.4 + outage, "back")]
    events += [(seconds * 0.4 + outage / 2, "kill")] if args.kills else []
    events += [(chance.uniform(0.05, 0.9) * seconds, "kill") for _ in range(args.kills - 1)]
    events += [(chance.uniform(0.05, 0.9) * seconds, "restart") for _ in range(args.restarts)]
    begin = time.time()
    for at, event in sorted(events):
        time.sleep(max(0, begin + at - time.time()))
        print(f"{time.time() - begin:6.1f} s: {event}", flush=True)
        if event == "away":
            proxy.away()
        elif event == "back":
            proxy.back()
        elif event == "kill":
            sender.kill()
            time.sleep(1)
            sender.restart()
        else:
            receiver.kill() if args.to == "promlake" and chance.random() < 0.5 else receiver.stop()
            time.sleep(1)
            receiver.restart()
    time.sleep(max(0, begin + seconds - time.time()))

    # Nothing more comes in; the rest goes out.
    with open(config) as file:
        text = file.read().split("scrape_configs")[0] + "scrape_configs: []\n"
    with open(config, "w") as file:
        file.write(text)
    sender.process.send_signal(signal.SIGHUP)
    time.sleep(2)

    def nothing_pends():
        rows = counters(sender_port)
        return rows["prometheus_remote_storage_samples_pending"] == 0 and rows["promlake_remote_write_behind_objects"] == 0

    until(300, "everything is sent", nothing_pends)
    time.sleep(2)
    end = time.time()
    if args.to == "victoria-metrics":
        get(f"{base}/internal/force_flush")
    sent = of_promlake(sender_port, begin - 60, end)
    read = of_promlake if args.to == "promlake" else of_victoria_metrics
    got = read(receiver_port, begin - 60, end)
    for name, value in sorted(counters(sender_port).items()):
        if value and name.endswith(("_total", "_pending", "shards")):
            print(f"  {name} {value:.0f}")
    lost = sent.keys() - got.keys()
    more = got.keys() - sent.keys()
    other = [key for key in sent.keys() & got.keys() if sent[key] != got[key]]
    print(f"{len(sent)} samples in the sender, {len(got)} in the receiver: {len(lost)} lost, {len(more)} more, "
          f"{len(other)} with another value")
    for what, keys in (("lost", lost), ("more", more), ("other", other)):
        for key in sorted(keys, key=lambda key: key[1])[:3]:
            print(f"  {what}: {dict(key[0])} @{key[1]} (after {key[1] / 1000 - begin:.1f} s)")
    if lost or more or other or len(sent) < seconds * TARGETS * args.series * 0.5:
        sys.exit("the two differ")


if __name__ == "__main__":
    main()
