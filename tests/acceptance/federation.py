"""What other Prometheus servers ask promlake for, beside Prometheus itself over the same data.

    python tests/acceptance/federation.py --promlake target/release/promlake

1. The same samples are remote-written to both. `/federate` is the same byte by byte, for each format and escaping.
2. A third server, a Prometheus with nothing of its own and `remote_read` to promlake, answers queries as the one that has the
   samples, and as promlake does, save what versions of Prometheus do otherwise.

Needs Prometheus (tests/peers has Debian's); without it this is skipped, and said. Everything listens on loopback and is stopped
at the end.
"""
import argparse
import json
import math
import os
import struct
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(__file__))
from processes import Server, call, free_port  # noqa: E402

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
ACCEPTS = [None, "*/*", "text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
           "text/plain;escaping=allow-utf-8", "text/plain;escaping=dots", "text/plain;escaping=values", PROTOBUF,
           PROTOBUF + ";escaping=allow-utf-8", f"text/plain;q=0.3,{PROTOBUF};q=0.7;escaping=values"]
MATCHES = [["up"], ['{__name__=~".+"}'], ["{}"], ["up", '{job="a"}'], ['{"http.size"}'], ["absent"], [], ["x["], ["-up"], ['{a="b",}'], ["up offset 5m"]]
# A reader asks for series of its own zone, so the one with another is not among them.
QUERIES = [
    'up{job!="zoned"}', "requests_total", 'requests_total{code="500"}', "sum by (code) (rate(requests_total[5m]))", "max_over_time(requests_total[10m])",
    'count_over_time(up{job!="zoned"}[15m])', "gone", 'count by (__name__) ({__name__=~".+",job!="zoned"})', "latency", "histogram_count(rate(latency[5m]))",
    "histogram_quantile(0.9, sum(rate(latency[5m])))", "irate(latency[2m])", '{"http.size"}', "delta(gauge_histogram[5m])",
    "resets(requests_total[1h])", "histogram_sum(latency)",
]
# What promlake, which follows Prometheus 3.16, does otherwise than Debian's 3.5, and why.
NEWER = {"histogram_count(rate(latency[5m]))": "histograms are no longer extrapolated to before they were zero",
         "histogram_quantile(0.9, sum(rate(latency[5m])))": "the same"}
passed, failed = [], []


def check(name, ok, detail=""):
    (passed if ok else failed).append(name)
    if not ok:
        print(f"FAILED {name}: {detail}")


# --- Remote Write 1.0, encoded by hand

REMOTE_WRITE_1 = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"}


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def number(at, value):
    return varint(at << 3) + varint(value)


def zigzag(at, value):
    return number(at, (value << 1) ^ (value >> 63))


def double(at, value):
    return varint(at << 3 | 1) + struct.pack("<d", value)


def label_set(labels):
    return b"".join(field(1, field(1, name.encode()) + field(2, value.encode())) for name, value in sorted(labels.items()))


def sample(time_ms, value):
    return field(2, double(1, value) + number(2, time_ms))


def histogram(time_ms, counts, gauge=False, stale=False):
    """Whole counts in buckets side by side from the third on."""
    deltas = [count - before for count, before in zip(counts, [0, *counts])]
    total = sum(counts) + 1
    message = number(1, total) + double(3, STALE if stale else total * 1.5) + zigzag(4, 2) + double(5, 0.001) + number(6, 1)
    message += field(11, zigzag(1, 3) + number(2, len(counts)))
    message += field(12, b"".join(varint((delta << 1) ^ (delta >> 63)) for delta in deltas))
    return field(4, message + number(14, 3 if gauge else 0) + number(15, time_ms))


def snappy(message):
    """Snappy's block format with literals alone."""
    out = varint(len(message))
    for start in range(0, len(message), 1 << 16):
        part = message[start:start + (1 << 16)]
        out += bytes([61 << 2]) + struct.pack("<H", len(part) - 1) + part
    return out


def write(server, series):
    message = b"".join(field(1, label_set(labels) + b"".join(samples)) for labels, samples in series)
    status, body = call(server.url + "/api/v1/write", snappy(message), REMOTE_WRITE_1)
    if status not in (200, 204):
        raise SystemExit(f"{server.url}: {status} {body}")


def data(now_ms):
    """Two hours of series that grow, fall, end and change."""
    start, step = now_ms - 7_200_000, 15_000
    times = range(start, now_ms - 20_000, step)
    series = []
    for code in ["200", "404", "500"]:
        value = lambda i: (i % 300) * 7.25 + len(code) if code == "500" else i * 1.1
        labels = {"__name__": "requests_total", "code": code, "job": "a", "instance": "h:80"}
        series.append((labels, [sample(t, value(i)) for i, t in enumerate(times)]))
    for job, odd in [("a", 1.0), ("b", math.nan), ("c", -math.inf)]:
        series.append(({"__name__": "up", "job": job}, [sample(t + i % 7, odd if i % 50 == 0 else 1) for i, t in enumerate(times)]))
    series.append(({"__name__": "up", "job": "zoned", "zone": "own"}, [sample(t, 0.125) for t in times]))
    series.append(({"__name__": "gone", "job": "a"}, [sample(t, 5) for t in times[:400]] + [sample(times[401], STALE)]))
    series.append(({"__name__": "old", "job": "a"}, [sample(t, 5) for t in times[:100]]))
    series.append(({"__name__": "http.size", "a b": 'x"\\\n', "job": "a"}, [sample(t, 1e6 * i) for i, t in enumerate(times)]))
    # With a reset, more buckets as time goes on, and an end that comes back.
    counts = lambda i: [i % 200, i % 200 * 2] + [i % 200] * (i // 150)
    series.append(({"__name__": "latency", "job": "a"}, [histogram(t, counts(i), stale=i == 250) for i, t in enumerate(times)]))
    series.append(({"__name__": "gauge_histogram", "job": "a"}, [histogram(t, [5 + i % 3, 9 - i % 5], gauge=True) for i, t in enumerate(times)]))
    return series


# --- Servers

def start(kind, binary, folder, config, *flags):
    os.makedirs(folder)
    with open(os.path.join(folder, "prometheus.yml"), "w") as file:
        file.write(config)
    port = free_port()
    argv = [binary, "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}", *flags]
    if kind == "promlake":
        argv += [f"--pg.listen-address=127.0.0.1:{free_port()}", "--storage.url=./data"]
    else:
        argv += ["--storage.tsdb.path=data", "--enable-feature=native-histograms"]
    return Server(argv, port, "/-/ready", folder)


def federate(server, accept, matches):
    query = urllib.parse.urlencode([("match[]", match) for match in matches])
    return call(f"{server.url}/federate?{query}", headers={"Accept": accept} if accept else {}, with_type=True)


def result(server, path, params):
    _, body = call(f"{server.url}/api/v1/{path}?" + urllib.parse.urlencode(params))
    answer = json.loads(body)
    if answer["status"] != "success":
        return answer
    return sorted(answer["data"]["result"], key=lambda one: json.dumps(one["metric"], sort_keys=True))


def alike(a, b):
    """Equal, but for what versions of Prometheus round differently in the last digit."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(alike, a, b))
    try:
        return a == b or math.isclose(float(a), float(b), rel_tol=1e-13)
    except (TypeError, ValueError):
        return False


def main():
    cache = os.path.expanduser(os.environ.get("XDG_CACHE_HOME", "~/.cache")) + "/promlake"
    parser = argparse.ArgumentParser()
    parser.add_argument("--promlake", required=True)
    parser.add_argument("--flag", action="append", default=[], help="of promlake, as --flag=--storage.flush-interval=1s; repeatable")
    parser.add_argument("--prometheus", default=f"{cache}/prometheus/usr/bin/prometheus")
    args = parser.parse_args()
    if not os.path.exists(args.prometheus):
        print(f"skipped: {args.prometheus} is missing; run tests/peers\n0 passed, 0 failed, 1 skipped")
        return
    binary = os.path.abspath(args.promlake)
    labels = "scrape_configs: []\nglobal: {external_labels: {zone: ie, replica: r1}}\n"
    with tempfile.TemporaryDirectory() as folder:
        with start("promlake", binary, f"{folder}/promlake", labels, *args.flag) as mine, \
                start("prometheus", args.prometheus, f"{folder}/peer", labels, "--web.enable-remote-write-receiver") as peer:
            now_ms = int(time.time()) * 1000
            for server in (mine, peer):
                write(server, data(now_ms))
            # Flags may move the samples into files.
            time.sleep(3 if args.flag else 0)
            for accept in ACCEPTS:
                for matches in MATCHES:
                    got, expected = federate(mine, accept, matches), federate(peer, accept, matches)
                    check(f"federate {matches} as {accept}", got == expected, f"\n  {got}\n  {expected}")
            remote = labels + f"remote_read: [{{url: '{mine.url}/api/v1/read', read_recent: true}}]\n"
            with start("prometheus", args.prometheus, f"{folder}/reader", remote) as reader:
                for query in QUERIES:
                    instant = {"query": query, "time": now_ms / 1000 - 30}
                    span = {"query": query, "start": now_ms / 1000 - 7000, "end": now_ms / 1000, "step": 47}
                    for path, params in [("query", instant), ("query_range", span)]:
                        read, stored = result(reader, path, params), result(peer, path, params)
                        detail = lambda a, b: f"\n  {str(a)[:2000]}\n  {str(b)[:2000]}"
                        check(f"{path} {query}", read == stored and (read or query == "gone"), detail(read, stored))
                        if query not in NEWER:
                            own = result(mine, path, params)
                            check(f"{path} {query} here", alike(read, own), detail(read, own))
    print(f"{len(passed)} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
