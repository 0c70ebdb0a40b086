"""The history of a real Prometheus moved into a lake, and every series asked of both.

    python tests/acceptance/import.py --promlake target/release/promlake [--prometheus PATH] [--mbench PATH] [SCENARIO ...]

Scenarios, all of them without a name:

- history: a day of counters and gauges by remote write, which Prometheus compacts into blocks, and the rest of it in its log;
  with --mbench the fleet of that program. Some of it is deleted. Says how many samples a second of CPU the import takes.
- live: Prometheus scrapes itself each second, with native histograms, custom buckets, gauge histograms of rules, late
  samples, exemplars and blocks of 20 s, and is stopped.
- killed: the same history, and the import is killed again and again before it may end.
- beside: the import runs beside a server that has the same series, which sees it within seconds.
- openmetrics: a file of OpenMetrics, by what is in it.

Each one is imported twice, and the second time changes nothing. Needs what tests/peers installs. Everything listens on loopback
and is stopped at the end.
"""
import argparse
import glob
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

from outages import ask, field, free_port, until, varint

DAY = 86400
# Of the made-up history: 2026-01-01.
START = 1767225600
SERIES = 150


def snappy(payload):
    """Stored, not compressed: literals of up to 64 KiB."""
    out = varint(len(payload))
    for at in range(0, len(payload), 65536):
        part = payload[at:at + 65536]
        out += struct.pack("<BH", 61 << 2, len(part) - 1) + part
    return out


def write_request(series):
    """Remote Write 1.0 of pairs of labels and samples."""
    out = b""
    for labels, samples in series:
        inner = b""
        for name, value in sorted(labels.items()):
            inner += field(1, field(1, name.encode()) + field(2, value.encode()))
        for t, v in samples:
            inner += field(2, b"\x09" + struct.pack("<d", v) + b"\x10" + varint(t))
        out += field(1, inner)
    return snappy(out)


class Prometheus:
    """One over a folder; a second start goes on where the first ended."""

    def __init__(self, program, folder, config, *flags):
        self.port = free_port()
        os.makedirs(folder, exist_ok=True)
        path = folder + ".yml"
        with open(path, "w") as f:
            f.write(config.replace("SELF", f"127.0.0.1:{self.port}").replace("FOLDER", folder))
        self.base = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [program, f"--config.file={path}", f"--storage.tsdb.path={folder}", "--storage.tsdb.retention.time=10y",
             f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-remote-write-receiver", "--web.enable-admin-api",
             "--query.max-samples=500000000", *flags],
            stdout=subprocess.DEVNULL, stderr=open(folder + ".log", "a"))
        until(120, "Prometheus", lambda: ask(self.base + "/-/ready")[0] == 200)

    def write(self, series):
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
                   "X-Prometheus-Remote-Write-Version": "0.1.0"}
        status, text = ask(self.base + "/api/v1/write", 60, write_request(series), headers)
        assert status in (200, 204), f"{status}: {text}"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(120) == 0


class Promlake:
    def __init__(self, program, lake):
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        config = lake + ".yml"
        with open(config, "w") as f:
            f.write("scrape_configs: []\n")
        self.process = subprocess.Popen(
            [program, f"--config.file={config}", f"--storage.url={lake}", f"--web.listen-address=127.0.0.1:{self.port}",
             f"--pg.listen-address=127.0.0.1:{free_port()}", "--query.max-samples=500000000"],
            stdout=subprocess.DEVNULL, stderr=open(lake + ".log", "a"))
        until(60, "promlake", lambda: ask(self.base + "/-/ready")[0] == 200)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0


def get(base, path, **params):
    status, text = ask(f"{base}{path}?{urllib.parse.urlencode(params)}", 300)
    answer = json.loads(text)
    assert status == 200 and answer["status"] == "success", f"{path} {params}: {text[:500]}"
    return answer["data"]


def raw(base, name, end, seconds):
    """Every sample of a metric, by series."""
    result = get(base, "/api/v1/query", query=f'{{__name__="{name}"}}[{seconds}s]', time=end)["result"]
    return {json.dumps(r["metric"], sort_keys=True): (r.get("values", []), r.get("histograms", [])) for r in result}


def compare(prometheus, promlake, end, seconds):
    """All metrics, all series, all samples; returns how many."""
    times = {"start": end - seconds, "end": end}
    names = get(prometheus, "/api/v1/label/__name__/values", **times)
    ours = get(promlake, "/api/v1/label/__name__/values", **times)
    # The index of a block has names whose samples were all deleted.
    count = histograms = 0
    for name in sorted(set(names) | set(ours)):
        want, got = raw(prometheus, name, end, seconds), raw(promlake, name, end, seconds)
        if want != got:
            for labels in sorted(set(want) | set(got)):
                a, b = want.get(labels), got.get(labels)
                if a != b:
                    for what, x, y in zip(("values", "histograms"), a or ([], []), b or ([], [])):
                        differ = next((p for p in zip(x, y) if p[0] != p[1]), None)
                        print(f"{labels}: {len(x)} and {len(y)} {what}, first difference {differ}")
                    break
            raise AssertionError(f"{name} differs")
        count += sum(len(v) + len(h) for v, h in want.values())
        histograms += sum(len(h) for _, h in want.values())
    return len(names), count, histograms


def promlake_import(program, *args, env=None, expect=0):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([program, "import", *args], capture_output=True, text=True, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert done.returncode == expect, f"it ended with {done.returncode}:\n{done.stderr}"
    imported = re.search(r"imported (\d+) samples", done.stderr)
    return done.stderr, int(imported[1]) if imported else None, cpu


def rows(lake):
    """Rows of all live files of samples, by the log; and how many files."""
    live = {}
    for path in sorted(glob.glob(os.path.join(lake, "samples/_delta_log/*.json"))):
        with open(path) as f:
            for line in f:
                action = json.loads(line)
                if "add" in action:
                    live[action["add"]["path"]] = json.loads(action["add"]["stats"])["numRecords"]
                if "remove" in action:
                    live.pop(action["remove"]["path"], None)
    return sum(live.values()), len(live)


def made_up(prometheus):
    """A day of samples each 15 s, in requests of ten minutes."""
    noise = random.Random(7)
    labels = [{"__name__": f"made_up_{'total' if i % 3 else 'gauge'}", "job": f"job-{i % 7}", "instance": str(i)}
              for i in range(SERIES)]
    counters = [0.0] * SERIES
    for start in range(0, DAY, 600):
        series = []
        for i, pairs in enumerate(labels):
            samples = []
            for t in range(start, start + 600, 15):
                # A series that comes late, one that ends early, and one with holes.
                if i == 1 and t < DAY // 2 or i == 2 and t > DAY // 3 or i == 3 and t % 3600 < 1800:
                    continue
                counters[i] = 0.0 if noise.random() < 1e-4 else counters[i] + noise.choice((0, 0, 1, 1.5, 12.25))
                value = counters[i] if i % 3 else noise.gauss(50, 9) if i % 2 else float(t // 3600)
                value = math.inf if i == 6 and t % 7200 == 0 else value
                samples.append(((START + t) * 1000 + noise.randrange(-3, 4), value))
            if samples:
                series.append((pairs, samples))
        prometheus.write(series)


def history(options, home):
    """A stopped Prometheus with a day in blocks and its log. Returns its folder."""
    folder = os.path.join(home, "history")
    prometheus = Prometheus(options.prometheus, folder, "global: {}\n")
    if options.mbench:
        subprocess.run([options.mbench, "load", "--url", prometheus.base + "/api/v1/write", "--hosts", str(options.hosts),
                        "--seconds", str(DAY)], check=True, stdout=subprocess.DEVNULL)
    else:
        made_up(prometheus)
    until(180, "blocks", lambda: len(glob.glob(os.path.join(folder, "01*/meta.json"))) >= 2)
    name = "node_load1" if options.mbench else "made_up_gauge"
    status, text = ask(f"{prometheus.base}/api/v1/admin/tsdb/delete_series?" + urllib.parse.urlencode(
        {"match[]": f'{{__name__="{name}"}}', "start": START + 3600, "end": START + 7200}), 60, b"")
    assert status == 204, text
    prometheus.stop()
    return folder


def check(options, home, folder, end, seconds, *, name="lake", after=None):
    """Imports, compares, imports again. Prometheus answers from a copy, as the folder is locked while it runs."""
    lake = os.path.join(home, name)
    text, samples, cpu = promlake_import(options.promlake, "tsdb", folder, f"--storage.url={lake}")
    before = rows(lake)
    assert before[0] == samples, f"{before[0]} rows, {samples} samples"
    text, again, _ = promlake_import(options.promlake, "tsdb", folder, f"--storage.url={lake}")
    assert again == 0 and rows(lake) == before, text
    copy = os.path.join(home, name + "-copy")
    shutil.copytree(folder, copy)
    prometheus, promlake = Prometheus(options.prometheus, copy, "global: {}\n"), Promlake(options.promlake, lake)
    try:
        names, count, histograms = compare(prometheus.base, promlake.base, end, seconds)
        if after:
            after(prometheus, promlake)
    finally:
        promlake.stop()
        prometheus.stop()
    print(f"{samples} samples imported in {cpu:.2f} s of CPU, {samples / cpu / 1e6:.2f} M a second; "
          f"{names} metrics with {count} samples alike, {histograms} of them histograms", flush=True)


def scenario_history(options, home):
    folder = history(options, home)
    blocks = [os.path.basename(os.path.dirname(m)) for m in glob.glob(os.path.join(folder, "01*/meta.json"))]
    print(f"{len(blocks)} blocks, {len(os.listdir(os.path.join(folder, 'wal')))} files of the log")
    check(options, home, folder, START + DAY + 60, DAY + 120)


LIVE = """
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
storage: {tsdb: {out_of_order_time_window: 1h}}
rule_files: ['FOLDER.rules.yml']
scrape_configs:
- job_name: native
  static_configs: [{targets: ['SELF']}]
- job_name: custom
  convert_classic_histograms_to_nhcb: true
  static_configs: [{targets: ['SELF']}]
- job_name: classic
  static_configs: [{targets: ['SELF']}]
"""
RULES = """
groups:
- name: g
  rules:
  - {record: rate_of_native, expr: 'rate(prometheus_http_request_duration_seconds{job="native"}[5s])'}
  - {record: half_of_native, expr: 'prometheus_http_request_duration_seconds{job="native"} / 2'}
  - {record: always, expr: 'vector(time())'}
"""


def scenario_live(options, home):
    folder = os.path.join(home, "live")
    os.makedirs(folder)
    with open(folder + ".rules.yml", "w") as f:
        f.write(RULES)
    prometheus = Prometheus(
        options.prometheus, folder, LIVE,
        "--enable-feature=native-histograms,exemplar-storage,metadata-wal-records,memory-snapshot-on-shutdown",
        "--storage.tsdb.min-block-duration=20s", "--storage.tsdb.max-block-duration=40s")
    began = time.time()
    while time.time() < began + options.seconds:
        now = int(time.time() * 1000)
        # Late by up to ten minutes, and a series that has nothing else.
        prometheus.write([({"__name__": "always"}, [(now - 600_000 + 500, 1.25)]),
                          ({"__name__": "late_only"}, [(now, 1.0)])])
        prometheus.write([({"__name__": "late_only"}, [(now - 300_000, 2.0)])])
        get(prometheus.base, "/api/v1/query", query="up")
        time.sleep(0.5)
    text, _, _ = promlake_import(options.promlake, "tsdb", folder, f"--storage.url={home}/refused", expect=1)
    assert "in use by a running Prometheus" in text and not os.path.exists(f"{home}/refused"), text
    prometheus.stop()
    for part in ("wal", "wbl", "chunks_head"):
        print(f"{part}: {len(os.listdir(os.path.join(folder, part)))} files", end=", ")
    print(f"{len(glob.glob(os.path.join(folder, '01*/meta.json')))} blocks")

    def after(prometheus, promlake):
        want = {m: v[0] for m, v in get(prometheus.base, "/api/v1/metadata").items()}
        got = get(promlake.base, "/api/v1/metadata")
        print(f"metadata of {len(got)} metrics")
        for name, metadata in want.items():
            assert got[name][0] == metadata, f"{name}: {metadata} and {got[name]}"

    check(options, home, folder, int(time.time()) + 5, 3600, name="live-lake", after=after)


def scenario_killed(options, home):
    folder = history(options, home)
    lake = os.path.join(home, "killed")
    whole = os.path.join(home, "whole")
    _, expected, _ = promlake_import(options.promlake, "tsdb", folder, f"--storage.url={whole}")
    killed = 0
    for _ in range(40):
        process = subprocess.Popen([options.promlake, "import", "tsdb", folder, f"--storage.url={lake}"],
                                   stderr=subprocess.DEVNULL)
        try:
            process.wait(random.uniform(0.05, options.kill_within))
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
    promlake_import(options.promlake, "tsdb", folder, f"--storage.url={lake}")
    assert rows(lake) == rows(whole), f"{rows(lake)} and {rows(whole)}"
    print(f"killed {killed} times, {expected} samples in {rows(lake)[1]} files all the same")
    check(options, home, folder, START + DAY + 60, DAY + 120, name="killed-checked")


def scenario_beside(options, home):
    folder = history(options, home)
    lake = os.path.join(home, "beside")
    promlake = Promlake(options.promlake, lake)
    try:
        assert get(promlake.base, "/api/v1/query", query='count({__name__!=""})', time=START + 3600)["result"] == []
        promlake_import(options.promlake, "tsdb", folder, f"--storage.url={lake}")
        began = time.time()
        until(15, "the import", lambda: get(promlake.base, "/api/v1/query", query='count({__name__!=""})',
                                            time=START + 3600)["result"] != [])
        print(f"seen after {time.time() - began:.1f} s")
        copy = folder + "-copy"
        shutil.copytree(folder, copy)
        prometheus = Prometheus(options.prometheus, copy, "global: {}\n")
        try:
            print("%d metrics with %d samples alike" % compare(prometheus.base, promlake.base, START + DAY + 60, DAY + 120)[:2])
        finally:
            prometheus.stop()
    finally:
        promlake.stop()


def scenario_openmetrics(options, home):
    path, lake = os.path.join(home, "history.om"), os.path.join(home, "openmetrics")
    expected = {}
    with open(path, "w") as f:
        for name in ("a_seconds", "b_total"):
            f.write(f"# HELP {name.removesuffix('_total')} of {name}\n"
                    f"# TYPE {name.removesuffix('_total')} {'counter' if name == 'b_total' else 'gauge'}\n")
            for i in range(50):
                for at in range(2000):
                    t, v = START + at * 60, at * (i + 0.25)
                    f.write(f'{name}{{i="{i}"}} {v} {t}\n')
                    expected.setdefault((name, str(i)), []).append([t, v])
        f.write("# EOF\n")
    args = ("openmetrics", path, f"--storage.url={lake}", "--label=from=file")
    _, samples, cpu = promlake_import(options.promlake, *args)
    before = rows(lake)
    assert samples == before[0] == 200_000
    assert promlake_import(options.promlake, *args)[1] == 0 and rows(lake) == before
    promlake = Promlake(options.promlake, lake)
    try:
        for name in ("a_seconds", "b_total"):
            for labels, (values, _) in raw(promlake.base, name, START + 2000 * 60, 2001 * 60).items():
                labels = json.loads(labels)
                assert labels["from"] == "file"
                want = expected[name, labels["i"]]
                assert [[t, float(v)] for t, v in values] == [[t, float(v)] for t, v in want], f"{labels} differs"
    finally:
        promlake.stop()
    with open(path, "a") as f:
        f.write("late 1 1\n")
    text, _, _ = promlake_import(options.promlake, *args, expect=1)
    assert "line 200005: unexpected data after # EOF" in text, text
    print(f"{samples} samples in {cpu:.2f} s of CPU")


def main():
    cached = os.path.expanduser("~/.cache/promlake/prometheus/usr/bin/prometheus")
    parser = argparse.ArgumentParser()
    parser.add_argument("--promlake", required=True)
    parser.add_argument("--prometheus", default=cached)
    parser.add_argument("--mbench")
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=75)
    parser.add_argument("--kill-within", type=float, default=1.5)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("scenarios", nargs="*")
    options = parser.parse_args()
    options.promlake = os.path.abspath(options.promlake)
    every = {name.removeprefix("scenario_"): f for name, f in globals().items() if name.startswith("scenario_")}
    for name in options.scenarios or every:
        home = tempfile.mkdtemp(prefix=f"promlake-import-{name}-")
        print(f"--- {name}", flush=True)
        try:
            every[name](options, home)
        finally:
            if options.keep:
                print(f"kept {home}")
            else:
                shutil.rmtree(home, ignore_errors=True)
    print("all right")


if __name__ == "__main__":
    sys.exit(main())
