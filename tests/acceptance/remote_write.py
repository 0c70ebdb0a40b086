"""A Prometheus that scrapes itself once a second and writes to two promlakes, to one with Remote Write 1.0 and to the other with
2.0, through restarts, kill -9 and an outage of theirs; in the end each has what Prometheus has, sample by sample.

    python tests/acceptance/remote_write.py --promlake target/release/promlake --seconds 300

Native histograms, exemplars and metadata are sent, too. Needs Prometheus 3.5 (tests/peers installs it). Everything listens on
loopback and is stopped at the end.
"""
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from processes import free_port  # noqa: E402

PROMETHEUS = os.path.expanduser("~/.cache/promlake/prometheus/usr/bin/prometheus")
MESSAGES = {"1.0": "prometheus.WriteRequest", "2.0": "io.prometheus.write.v2.Request"}


def get(url, deadline=60):
    end = time.time() + deadline
    while True:
        try:
            return urllib.request.urlopen(url, timeout=30).read()
        except OSError:
            if time.time() > end:
                raise
            time.sleep(0.1)


def query(base, expression, at):
    params = urllib.parse.urlencode({"query": expression, "time": f"{at:.3f}"})
    return json.loads(get(f"{base}/api/v1/query?{params}"))["data"]["result"]


def metric(base, name, **labels):
    """The sum of a metric's series that have these labels."""
    total = 0.0
    for line in get(f"{base}/metrics").decode().splitlines():
        if line.startswith((name + " ", name + "{")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
            total += float(line.rsplit(" ", 1)[1])
    return total


class Receiver:
    """A promlake that may be away."""

    def __init__(self, binary, folder, version):
        self.version, self.folder = version, os.path.join(folder, version)
        os.makedirs(self.folder)
        self.port, self.pg = free_port(), free_port()
        self.binary, self.process = binary, None
        self.base = f"http://127.0.0.1:{self.port}"
        self.config = os.path.join(self.folder, "prometheus.yml")
        with open(self.config, "w") as f:
            f.write("scrape_configs: []\n")

    def start(self):
        log = open(os.path.join(self.folder, "log"), "a")
        self.process = subprocess.Popen(
            [self.binary, "--config.file", self.config, "--storage.url", os.path.join(self.folder, "data"),
             f"--web.listen-address=127.0.0.1:{self.port}", f"--pg.listen-address=127.0.0.1:{self.pg}",
             "--storage.flush-interval=20s"],
            stdout=log, stderr=log, cwd=self.folder)
        get(f"{self.base}/-/ready")

    def stop(self, how):
        self.process.send_signal(how)
        self.process.wait(60)


def series_of(base, name, seconds, at):
    """Samples by labels and time; what a histogram is, as text."""
    selector = '{__name__="%s"}[%ds]' % (name.replace("\\", "\\\\").replace('"', '\\"'), seconds)
    found = {}
    for series in query(base, selector, at):
        key = json.dumps(series["metric"], sort_keys=True)
        for point in series.get("values", []):
            found[key, point[0]] = point[1]
        for point in series.get("histograms", []):
            found[key, point[0]] = json.dumps(point[1], sort_keys=True)
    return found


def compare(prometheus, receiver, began, ended):
    """How many samples of how many metrics there are, histograms apart; ends at the first difference."""
    seconds = int(ended - began)
    names = json.loads(get(f"{prometheus}/api/v1/label/__name__/values"))["data"]
    samples = histograms = 0
    wrong = []
    for name in names:
        expected = series_of(prometheus, name, seconds, ended)
        found = series_of(receiver.base, name, seconds, ended)
        samples += len(expected)
        histograms += sum(value.startswith("{") for value in expected.values())
        for key in expected.keys() | found.keys():
            if expected.get(key) != found.get(key):
                wrong.append(f"{key}: Prometheus has {expected.get(key)}, promlake {found.get(key)}")
    if wrong:
        lines = "\n".join(sorted(wrong)[:10])
        raise SystemExit(f"Remote Write {receiver.version}: {len(wrong)} of {samples} samples differ\n{lines}")
    return len(names), samples, histograms


def trouble(receivers, seconds, rng):
    """Takes the receivers away, by and by: restarts, kills, and for longer."""
    end = time.time() + seconds
    events = ["restart", "kill", "restart", "kill", "outage", "restart", "kill"]
    pause = (seconds - min(seconds / 6, 600)) / (len(events) + 1)
    for event in events:
        time.sleep(max(0, min(pause * rng.uniform(0.6, 1), end - time.time())))
        print(f"{event}, {int(end - time.time())} s to go", flush=True)
        for receiver in receivers:
            receiver.stop(signal.SIGKILL if event == "kill" else signal.SIGTERM)
        if event == "outage":
            time.sleep(min(seconds / 6, 600))
        for receiver in receivers:
            receiver.start()
    time.sleep(max(0, end - time.time()))


def settled(prometheus, version):
    return metric(prometheus, "prometheus_remote_storage_samples_pending", remote_name=version) == 0


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--promlake", default="target/release/promlake")
    args.add_argument("--prometheus", default=PROMETHEUS)
    args.add_argument("--seconds", type=int, default=120)
    args.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    args = args.parse_args()
    print(f"--seed {args.seed}")
    folder = tempfile.mkdtemp(prefix="promlake-remote-write-")
    receivers = [Receiver(os.path.abspath(args.promlake), folder, version) for version in MESSAGES]
    port = free_port()
    prometheus = f"http://127.0.0.1:{port}"
    queue = "queue_config: {max_backoff: 1s, min_backoff: 30ms, batch_send_deadline: 1s}"
    writes = "".join(
        f"- {{name: '{r.version}', url: '{r.base}/api/v1/write', protobuf_message: '{MESSAGES[r.version]}', "
        f"send_exemplars: true, send_native_histograms: true, {queue}}}\n" for r in receivers)
    config = os.path.join(folder, "prometheus.yml")
    with open(config, "w") as f:
        f.write(
            "global: {scrape_interval: 1s, scrape_timeout: 1s, "
            "scrape_protocols: [PrometheusProto, OpenMetricsText1.0.0, PrometheusText0.0.4]}\n"
            f"scrape_configs: [{{job_name: itself, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
            f"remote_write:\n{writes}")
    sender = None
    try:
        for receiver in receivers:
            receiver.start()
        log = open(os.path.join(folder, "log"), "w")
        sender = subprocess.Popen(
            [args.prometheus, f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb",
             f"--web.listen-address=127.0.0.1:{port}",
             "--enable-feature=native-histograms,exemplar-storage,metadata-wal-records"],
            stdout=log, stderr=log, cwd=folder)
        get(f"{prometheus}/-/ready")
        # What is scraped before the queues read the log is not sent.
        time.sleep(10)
        began = time.time()
        trouble(receivers, args.seconds, random.Random(args.seed))
        ended = time.time()
        deadline = time.time() + 120
        time.sleep(5)
        while not all(settled(prometheus, r.version) for r in receivers) and time.time() < deadline:
            time.sleep(1)
        time.sleep(3)
        for receiver in receivers:
            names, samples, histograms = compare(prometheus, receiver, began, ended)
            counts = {
                kind: int(metric(prometheus, f"prometheus_remote_storage_{kind}_total", remote_name=receiver.version))
                for kind in ("samples", "histograms", "exemplars", "samples_retried", "samples_failed", "samples_dropped")
            }
            if not histograms:
                raise SystemExit("Prometheus has scraped no native histogram of itself")
            print(f"Remote Write {receiver.version}: {samples} samples of {names} metrics agree, {histograms} of them "
                  f"native histograms; sender: {counts}")
    finally:
        for process in [sender] + [receiver.process for receiver in receivers]:
            if process and process.poll() is None:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()


if __name__ == "__main__":
    main()
