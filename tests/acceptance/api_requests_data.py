"""What both servers of api_requests.py have: one configuration with rules, pages that they scrape, and samples that they are sent.

`T` is the time of the last samples. Before it is an hour of samples by remote write, the same for both; series named `live_…` go on
beyond it, so that queries about now have values. Pages never change, so that what was scraped is the same at every time, too.
"""
import gzip
import json
import math
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from federation import STALE, double, field, histogram, label_set, number, sample, snappy, varint  # noqa: E402
from rules_corpus import custom_histogram  # noqa: E402

T = int(time.time() // 60) * 60 - 60
STEP_S = 15
PAGES = {
    "/plain": ("text/plain; version=0.0.4", """\
# HELP page_requests_total Requests that were "answered"\\nand counted.
# TYPE page_requests_total counter
page_requests_total{code="200",path="/a"} 12
page_requests_total{code="500",path="C:\\\\x \\"y\\""} 3
# TYPE page_temperature_celsius gauge
page_temperature_celsius{room="kitchen"} 21.5
page_temperature_celsius{room="hall"} -3e-7
# HELP page_seconds How long.
# TYPE page_seconds histogram
page_seconds_bucket{le="0.1"} 1
page_seconds_bucket{le="1"} 4
page_seconds_bucket{le="+Inf"} 5
page_seconds_sum 3.5
page_seconds_count 5
# TYPE page_rpc summary
page_rpc{quantile="0.5"} 0.25
page_rpc_sum 10
page_rpc_count 7
page_untyped 1e21
"""),
    "/other": ("text/plain; version=0.0.4", """\
# HELP page_requests_total Another text.
# TYPE page_requests_total gauge
page_requests_total{code="200"} 1
# TYPE page_other gauge
page_other{exported="x",job="own"} NaN
page_other{exported="y"} +Inf
"""),
    "/openmetrics": ("application/openmetrics-text; version=1.0.0; charset=utf-8", """\
# HELP om_bytes Bytes.
# TYPE om_bytes counter
# UNIT om_bytes bytes
om_bytes_total{a="1"} 17 # {trace_id="abc"} 0.5 1700000000.5
om_bytes_created{a="1"} 1700000000
# TYPE om_state stateset
om_state{om_state="on"} 1
# TYPE om_build info
om_build_info{version="1"} 1
# TYPE "http.metric" gauge
{"http.metric","a.label"="b"} 4
# EOF
"""),
    "/broken": ("text/plain; version=0.0.4", "page_fine 1\npage_broken{a=} 2\n"),
    "/untyped": ("", "page_without_type 1\n"),
    "/many": ("text/plain; version=0.0.4", "".join(f'page_many{{n="{n}"}} {n}\n' for n in range(12))),
}

RULES = {
    "one.yml": {"groups": [
        {"name": "recorded", "interval": "1s", "labels": {"of": "group"}, "rules": [
            {"record": "rule:requests:sum", "expr": "sum by (job) (live_requests)", "labels": {"kind": "sum"}},
            {"record": "rule:one", "expr": "vector(1)"},
            {"record": "rule:failing", "expr": "live_requests * on () group_left () live_pair"},
            {"record": "rule:empty", "expr": "absent_series > 1"}]},
        {"name": "alerts", "interval": "1s", "rules": [
            {"alert": "Firing", "expr": "live_requests > 50", "labels": {"severity": "page", "text": "{{ $labels.instance }}"},
             "annotations": {"summary": "{{ $labels.instance }} has {{ $value }}", "odd": "<&>\"\\"}},
            {"alert": "Pending", "expr": "live_requests", "for": "1h", "keep_firing_for": "90s", "labels": {"severity": "info"}},
            {"alert": "Inactive", "expr": "live_requests > 1e9", "for": "1m", "annotations": {"summary": "never"}},
            {"alert": "BrokenText", "expr": "vector(2.5)", "annotations": {"summary": "{{ $labels.instance | toTime }}"}},
            {"alert": "Failing", "expr": "live_pair + on (x) live_pair"}]},
        {"name": "limited", "interval": "1s", "limit": 1, "rules": [{"record": "rule:limited", "expr": "live_requests"}]}]},
    "two.yml": {"groups": [
        {"name": "alerts", "interval": "2s", "query_offset": "1s", "rules": [
            {"alert": "Firing", "expr": "vector(7)", "labels": {"severity": "mail"}},
            {"record": "rule:shifted", "expr": "live_requests"}]},
        {"name": "größe \"x\"", "interval": "2s", "rules": [{"record": "rule:utf8", "expr": "{\"live.utf8\"}"}]}]},
}


def configuration(pages_port, closed_port, manager_port):
    """As JSON, which is YAML."""
    pages = f"127.0.0.1:{pages_port}"
    page = lambda path, **labels: {"targets": [pages], "labels": {"__metrics_path__": path, "page": path[1:], **labels}}
    job = lambda name, *groups, **more: {"job_name": name, "static_configs": list(groups), **more}
    return json.dumps({
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s", "query_log_file": "",
                   "external_labels": {"region": "test", "replica": "a"}},
        "storage": {"tsdb": {"out_of_order_time_window": "30m"}, "exemplars": {"max_exemplars": 1000}},
        "rule_files": ["rules/*.yml"],
        "alerting": {
            "alert_relabel_configs": [{"regex": "replica", "action": "labeldrop"}],
            "alertmanagers": [
                {"static_configs": [{"targets": [f"127.0.0.1:{manager_port}", f"127.0.0.1:{manager_port}"]}], "path_prefix": "/am", "timeout": "3s"},
                {"static_configs": [{"targets": ["kept.invalid:1", "dropped.invalid:1"]}],
                 "relabel_configs": [{"source_labels": ["__address__"], "regex": "dropped.*", "action": "drop"}]}]},
        "scrape_configs": [
            job("pages", page("/plain"), page("/other", zone="z"), page("/gone", drop="yes"), page("/off", drop="no"), relabel_configs=[
                {"source_labels": ["drop"], "regex": "yes", "action": "drop"},
                {"source_labels": ["drop"], "regex": "no", "action": "drop"},
                {"source_labels": ["page"], "target_label": "instance", "replacement": "page-$1"},
                {"source_labels": ["page"], "target_label": "shard", "modulus": 3, "action": "hashmod"},
                {"regex": "z(.)ne", "replacement": "label_$1", "action": "labelmap"}]),
            job("openmetrics", page("/openmetrics")),
            job("custom buckets", page("/plain"), convert_classic_histograms_to_nhcb=True, metric_relabel_configs=[
                {"source_labels": ["__name__"], "regex": "page_seconds.*", "action": "keep"}]),
            job("down", {"targets": [f"127.0.0.1:{closed_port}"]}),
            job("broken", page("/broken")),
            job("missing", page("/nowhere")),
            job("untyped", page("/untyped")),
            job("limited", page("/many"), sample_limit=5),
            job("honored", page("/other"), honor_labels=True, scrape_interval="3s", params={"a": ["b c", "d"]}),
            {"job_name": "files", "file_sd_configs": [{"files": ["targets/*.json"]}]},
            job("nothing"),
            job("all dropped", page("/plain"), page("/other"), relabel_configs=[{"action": "drop", "source_labels": ["__address__"], "regex": ".*"}]),
            job("größe.x", page("/many"), scrape_interval="3s", metric_relabel_configs=[
                {"source_labels": ["n"], "regex": "1.", "action": "drop"}]),
        ],
    }, ensure_ascii=False, indent=1)


def write_files(folder, pages_port):
    """What the configuration names, beside it."""
    for name in ("rules", "targets", "assets"):
        os.makedirs(os.path.join(folder, name))
    for name, rules in RULES.items():
        with open(os.path.join(folder, "rules", name), "w", encoding="utf-8") as file:
            json.dump(rules, file, ensure_ascii=False)
    targets = [{"targets": [f"127.0.0.1:{pages_port}"], "labels": {"__metrics_path__": "/many", "found": "by file"}}]
    with open(os.path.join(folder, "targets/a.json"), "w") as file:
        json.dump(targets, file)
    with open(os.path.join(folder, "assets/hello.txt"), "w") as file:
        file.write("hello\n")


# --- Remote write

def exemplar(at_ms, value, **labels):
    """Of Remote Write 1.0."""
    return field(3, label_set(labels) + double(2, value) + number(3, at_ms))


def metadata(kind, name, text, unit):
    return field(3, number(1, kind) + field(2, name.encode()) + field(4, text.encode()) + field(5, unit.encode()))


def series_of():
    """Labels and encoded samples of all series, in the order of their times."""
    start = T - 3600
    times = range(start * 1000, T * 1000 + 1, STEP_S * 1000)
    out = []

    def put(name, value, over=times, **labels):
        out.append(({"__name__": name, **labels}, [sample(t, value(i)) for i, t in enumerate(over)]))

    for i, instance in enumerate(["h1:80", "h2:80", "h3:80"]):
        for code, weight in (("200", 10), ("404", 1.5), ("500", 0.25)):
            fallen = lambda n, i=i, weight=weight: math.floor((n % 100 if i == 2 else n) * weight * (i + 1))
            put("http_requests_total", fallen, job="api" if i < 2 else "batch", instance=instance, code=code)
        put("http_inprogress", lambda n, i=i: 5 + 4 * math.sin(n / (9 + i)), job="api" if i < 2 else "batch", instance=instance)
        put("machine_info", lambda _: 1, instance=instance, kernel=f"6.{i}", role="web" if i else "db")
    for n, value in enumerate([math.nan, math.inf, -math.inf, 1e21, 1e20, 1e-6, 9.9e-7, -0.0, 0.1 + 0.2, 123456789.125]):
        put("odd_values", lambda _, value=value: value, n=str(n))
    for le, share in (("0.1", 0.5), ("0.5", 0.8), ("1", 0.95), ("+Inf", 1)):
        put("http_seconds_bucket", lambda n, share=share: math.floor(n * 20 * share), job="api", le=le)
    put("http_seconds_sum", lambda n: n * 3.25, job="api")
    put("http_seconds_count", lambda n: n * 20, job="api")
    put("http.size", lambda n: n * 1000, **{"a b": "x\"\\\n", "job": "api", "größe": "ü"})
    put("with_dup", lambda n: n, a="1", b="x")
    put("with_dup", lambda n: n + 1, a="1", b="y")
    out.append(({"__name__": "ended", "job": "api"}, [sample(t, 5) for t in times[:120]] + [sample(times[120], STALE)]))
    out.append(({"__name__": "old", "job": "api"}, [sample(t, 6) for t in times[:100]]))
    pauses = [sample(t, STALE if i % 40 == 20 else i) for i, t in enumerate(times) if i % 40 <= 20]
    out.append(({"__name__": "paused", "job": "api"}, pauses))
    counts = lambda i: [i % 150, i % 150 * 2] + [i % 150] * (i // 100)
    out.append(({"__name__": "latency", "job": "api"}, [histogram(t, counts(i)) for i, t in enumerate(times)]))
    out.append(({"__name__": "latency", "job": "batch"}, [histogram(t, [i, 3]) for i, t in enumerate(times)]))
    out.append(({"__name__": "queue_depth", "job": "api"}, [histogram(t, [5 + i % 3, 9 - i % 5], gauge=True) for i, t in enumerate(times)]))
    out.append(({"__name__": "custom", "job": "api"}, [custom_histogram(t, [0.1, 1, 10], [i, 2 * i, i, 3]) for i, t in enumerate(times)]))
    mixed = [sample(t, i) if i % 20 < 10 else histogram(t, [i, 3]) for i, t in enumerate(times)]
    out.append(({"__name__": "mixed", "job": "api"}, mixed))
    # They go on as far as Prometheus takes samples of the time to come.
    live = range(start * 1000, int(time.time() + 580) * 1000, STEP_S * 1000)
    for i in range(3):
        put("live_requests", lambda _, i=i: 40 * (i + 1), live, job="api" if i < 2 else "batch", instance=f"h{i}:80")
    put("live_pair", lambda _: 1, live, pair="a")
    put("live_pair", lambda _: 2, live, pair="b")
    put("live.utf8", lambda _: 3, live, **{"a.b": "c"})
    return out


def first_writes():
    """Bodies of Remote Write 1.0, in their order: samples, metadata, exemplars, and what comes behind the newest."""
    whole = lambda series: b"".join(field(1, label_set(labels) + b"".join(samples)) for labels, samples in series)
    told = b"".join([
        metadata(1, "http_requests_total", "Requests.", ""), metadata(2, "http_inprogress", "Now \"in\" progress.", ""),
        metadata(3, "http_seconds", "How long.", "seconds"), metadata(5, "http.size", "Größe", "bytes")])
    labels = {"__name__": "http_requests_total", "job": "api", "instance": "h1:80", "code": "200"}
    at = [(T - 1800 + 60 * i) * 1000 for i in range(5)]
    exemplars = b"".join(exemplar(t, i * 1.5, trace_id=f"t{i}") for i, t in enumerate(at)) + exemplar(at[4] + 500, 9, **{"span.id": "é", "b": ""})
    others = {"__name__": "http_seconds_bucket", "job": "api", "le": "0.5"}
    told_of = field(1, label_set(labels) + exemplars) + field(1, label_set(others) + exemplar(at[2], 0.3, trace_id="b"))
    behind = [({"__name__": "behind", "job": "api"}, [sample((T - 60) * 1000, 1)])]
    late = [({"__name__": "behind", "job": "api"}, [sample((T - 600) * 1000, 2), sample((T - 90) * 1000, 3)])]
    return [snappy(body) for body in (whole(series_of()), told, told_of, whole(behind), whole(late))]


def version_2(symbols, *series):
    """A request of Remote Write 2.0."""
    return snappy(b"".join(field(4, symbol.encode()) for symbol in symbols) + b"".join(field(5, one) for one in series))


def packed(*numbers):
    return b"".join(varint(n) for n in numbers)


SYMBOLS = ["", "__name__", "second_total", "job", "api", "Of the second.", "bytes", "trace_id", "x"]
OF_SECOND = field(1, packed(1, 2, 3, 4))
SAMPLE_2 = field(2, double(1, 4) + number(2, T * 1000))
EXEMPLAR_2 = field(4, field(1, packed(7, 8)) + double(2, 1.5) + number(3, T * 1000))
METADATA_2 = field(5, number(1, 1) + number(3, 5) + number(4, 6))


def write_1(name, at_s, value=1.0, **labels):
    return field(1, label_set({"__name__": name, **labels}) + sample(int(at_s * 1000), value))


def bodies():
    """Bodies of requests by the name that a table gives them."""
    selector = lambda *matchers: b"".join(field(3, number(1, kind) + field(2, name.encode()) + field(3, value.encode())) for kind, name, value in matchers)
    read = lambda *matchers, start=T - 120, end=T: field(1, number(1, start * 1000) + number(2, end * 1000) + selector(*matchers))
    otlp = {"resourceMetrics": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}, "scopeMetrics": [{
        "scope": {"name": "s"}, "metrics": [{"name": "otlp.gauge", "unit": "By", "gauge": {"dataPoints": [
            {"timeUnixNano": str(T * 10**9), "asDouble": 1.5, "attributes": [{"key": "a.b", "value": {"intValue": "7"}}]}]}}]}]}]}
    delta = json.loads(json.dumps(otlp).replace('"gauge": {', '"sum": {"aggregationTemporality": 1, "isMonotonic": true, '))
    good = write_1("written", T, job="w")
    return {
        "write": snappy(good), "empty write": snappy(b""), "not snappy": good, "not protobuf": snappy(b"\xff\xff\xff"), "nothing": b"",
        "short": snappy(good)[:-3], "gzipped": gzip.compress(good),
        "no name": snappy(field(1, label_set({"job": "w"}) + sample(T * 1000, 1))),
        "no labels": snappy(field(1, sample(T * 1000, 1))),
        "label twice": snappy(field(1, field(1, field(1, b"__name__") + field(2, b"d")) + (field(1, field(1, b"a") + field(2, b"1"))) * 2 + sample(T * 1000, 1))),
        "empty label name": snappy(write_1("written", T, **{"": "x"})), "bad utf-8": snappy(write_1("written", T).replace(b"written", b"writt\xff\xfe")),
        "utf-8 name": snappy(write_1("größe.written", T, **{"a b": "c"})),
        "too old": snappy(write_1("written", T - 7 * 86400, job="old")), "ahead": snappy(write_1("written", T + 86400, job="w")),
        "other value": snappy(write_1("written", T, 2.0, job="w")),
        "same again": snappy(good), "huge": b"\xff\xff\xff\x7f" + b"x" * 100, "claims 1 GB": varint(1 << 30) + b"x" * 1000,
        "write 2": version_2(SYMBOLS, OF_SECOND + SAMPLE_2 + EXEMPLAR_2 + METADATA_2),
        "write 2 bad reference": version_2(SYMBOLS, field(1, packed(1, 99)) + SAMPLE_2),
        "write 2 odd references": version_2(SYMBOLS, field(1, packed(1, 2, 3)) + SAMPLE_2),
        "write 2 no first symbol": version_2(SYMBOLS[1:], field(1, packed(0, 1)) + SAMPLE_2),
        "write 2 nothing in it": version_2(SYMBOLS, OF_SECOND), "write 2 empty": snappy(b""),
        "write 2 both": version_2(SYMBOLS, OF_SECOND + SAMPLE_2 + field(3, number(1, 0) + number(15, T * 1000))),
        "read": snappy(read((0, "__name__", "http_requests_total"), (0, "code", "500"))),
        "read two": snappy(read((0, "__name__", "old")) + read((2, "__name__", "http_in.*"), (3, "job", "b.*"))),
        "read nothing": snappy(b""), "read bad": snappy(read((2, "__name__", "("))), "read kind": snappy(read((7, "a", "b"))),
        "read chunks": snappy(read((0, "__name__", "http_requests_total")) + number(2, 1)),
        "read external": snappy(read((0, "__name__", "machine_info"), (0, "region", "test"))),
        "read backwards": snappy(read((0, "__name__", "machine_info"), start=T, end=T - 60)),
        "otlp": json.dumps(otlp).encode(), "otlp delta": json.dumps(delta).encode(), "otlp bad": b"{", "otlp empty": b"{}",
        "otlp gzip": gzip.compress(json.dumps(otlp).encode()),
        "11 MB": b"query=up&x=" + b"x" * (11 << 20), "1 MB": b"query=1&x=" + b"x" * (1 << 20),
        "20 kB": b"query=" + b"1%2B" * 5000 + b"1",
        "form gzip": gzip.compress(b"query=1"),
    }


SNAPPY_FORM = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}


def unsnap(body):
    """Decodes Snappy's block format."""
    at, shift, length = 0, 0, 0
    while True:
        length |= (body[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if body[at - 1] < 0x80:
            break
    out = bytearray()
    while at < len(body):
        tag = body[at]
        at += 1
        if tag & 3 == 0:
            size = tag >> 2
            if size >= 60:
                more = size - 59
                size = int.from_bytes(body[at:at + more], "little")
                at += more
            out += body[at:at + size + 1]
            at += size + 1
            continue
        if tag & 3 == 1:
            size, offset, at = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | body[at], at + 1
        else:
            wide = 2 if tag & 3 == 2 else 4
            size, offset, at = (tag >> 2) + 1, int.from_bytes(body[at:at + wide], "little"), at + wide
        for _ in range(size):
            out.append(out[-offset])
    if len(out) != length:
        raise ValueError(f"{len(out)} bytes and not {length}")
    return bytes(out)
