"""OTLP metrics into promlake, beside those who take them as well.

    python tests/acceptance/otlp.py --promlake target/release/promlake

1. The OpenTelemetry SDK exports to it (protobuf, gzip), and what it measured is there.
2. For each translation strategy the same requests come as protobuf, encoded by OpenTelemetry's own library, and as JSON, to two
   servers: series and values are equal. With --prometheus, a build of Prometheus with the OTLP receiver (Debian's has none), they
   are equal to its own as well.
3. VictoriaMetrics with Prometheus' naming has the same series, save what the list below says.

Needs opentelemetry-exporter-otlp-proto-http in the Python that runs it, and VictoriaMetrics (tests/peers has both); what is
missing is skipped, and said. Everything listens on loopback and is stopped at the end.
"""
import argparse
import gzip
import json
import os
import re
import sys
import tempfile
import time
import urllib.parse

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

sys.path.insert(0, os.path.dirname(__file__))
from processes import Server, call, free_port  # noqa: E402

STRATEGIES = ["UnderscoreEscapingWithSuffixes", "NoUTF8EscapingWithSuffixes", "UnderscoreEscapingWithoutSuffixes", "NoTranslation"]
PATH = "/api/v1/otlp/v1/metrics"
CUMULATIVE = 2

# Series that VictoriaMetrics has otherwise, by a word in them, and why. It also makes neither job nor instance of a resource.
DIFFERENT_IN_VICTORIA = {
    "e_native": "exponential histograms become its own vmrange buckets",
    "e_fine": "the same",
    "target_info": "it keeps none",
    "collide": "of attributes that collide it keeps one",
    "with": "colons become underscores",
    "2xx": "a digit in front stays",
    "größe": "letters beyond ASCII stay",
    "gr_e": "the same, as it is here",
    "odd_unit": "units stay as they are",
}

passed, failed = [], []


def check(name, ok, detail=""):
    (passed if ok else failed).append(name)
    if not ok:
        print(f"FAILED {name}: {detail}")


def series(server, at):
    """Labels and values of all series, as sorted lines."""
    query = urllib.parse.urlencode({"query": '{__name__=~".+"}', "time": at, "latency_offset": "1ms"})
    status, body = call(f"{server.url}/api/v1/query?{query}")
    if status != 200:
        raise SystemExit(f"{server.url}: {status} {body}")
    lines = []
    for one in json.loads(body)["data"]["result"]:
        value = one["value"][1] if "value" in one else json.dumps(one["histogram"][1], sort_keys=True)
        lines.append(json.dumps(one["metric"], sort_keys=True, ensure_ascii=False) + " " + value)
    return sorted(lines)


def otlp_section(strategy):
    return f"""scrape_configs: []
otlp:
  translation_strategy: {strategy}
  promote_resource_attributes: [cloud.region, deployment.environment]
"""


def promlake(binary, folder, config):
    os.makedirs(folder)
    with open(os.path.join(folder, "prometheus.yml"), "w") as file:
        file.write(config)
    port = free_port()
    argv = [binary, "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}", "--web.enable-otlp-receiver",
            f"--pg.listen-address=127.0.0.1:{free_port()}", "--storage.url=./data"]
    return Server(argv, port, "/-/ready", folder)


def prometheus(binary, folder, config):
    os.makedirs(folder)
    with open(os.path.join(folder, "prometheus.yml"), "w") as file:
        file.write(config)
    port = free_port()
    argv = [binary, "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}", "--web.enable-otlp-receiver",
            "--storage.tsdb.path=data"]
    return Server(argv, port, "/-/ready", folder)


def victoria(binary, folder):
    os.makedirs(folder)
    port = free_port()
    argv = [binary, f"-httpListenAddr=127.0.0.1:{port}", "-storageDataPath=data", "-opentelemetry.usePrometheusNaming",
            "-opentelemetry.promoteAllResourceAttributes=false", "-opentelemetry.promoteScopeMetadata=false",
            "-opentelemetry.promoteResourceAttributes=cloud.region,deployment.environment"]
    return Server(argv, port, "/health", folder)


def text(value):
    return {"stringValue": value}


def attributes(pairs):
    return [{"key": key, "value": value} for key, value in pairs.items()]


def requests(now):
    """Requests with points of all kinds, as the JSON of Python's protobuf library."""
    at = str(now * 10**9)
    point = lambda **more: {"timeUnixNano": at, **more}
    gauge = lambda name, unit, **more: {"name": name, "unit": unit, "gauge": {"dataPoints": [point(asDouble=1.5, **more)]}}

    def counter(name, unit, monotonic=True):
        points = [point(asInt="7", startTimeUnixNano=str((now - 60) * 10**9))]
        return {"name": name, "unit": unit,
                "sum": {"aggregationTemporality": CUMULATIVE, "isMonotonic": monotonic, "dataPoints": points}}

    metrics = [
        gauge("system.memory.usage", "By"), gauge("system.cpu.utilization", "1"), gauge("queue.ratio", "1"),
        gauge("temperature", "Cel"), gauge("speed", "m/s"), gauge("flow", "{packet}/s"), gauge("2xx.share", "%"),
        gauge("already_seconds", "s"), gauge("a__b...c", ""), gauge("with:colon", ""), gauge("größe", "m"),
        gauge("odd.unit", "foo bar/baz$"), gauge("annotated", "{request}"), gauge("bytes.read", "By"),
        counter("http.requests", "1"), counter("http.requests.total", ""), counter("network.io", "By"),
        counter("total.seconds", "s"), counter("connections", "{connection}", monotonic=False), counter("ops", "1/s"),
        gauge("labels", "", attributes=attributes({
            "http.method": text("GET"), "_private": text("p"), "0digit": text("d"), "int": {"intValue": "-5"},
            "bool": {"boolValue": True}, "double": {"doubleValue": 2.5}, "empty": text(""), "job": text("mine"), "ünicode": text("ü")})),
        gauge("collide", "", attributes=attributes({"a.b": text("1"), "a_b": text("2")})),
        {"name": "latency", "unit": "ms", "description": "How long", "histogram": {
            "aggregationTemporality": CUMULATIVE, "dataPoints": [point(
                count="6", sum=9.5, bucketCounts=["1", "2", "3"], explicitBounds=[0.5, 10], attributes=attributes({"route": text("/")}))]}},
        {"name": "e.native", "unit": "s", "exponentialHistogram": {
            "aggregationTemporality": CUMULATIVE, "dataPoints": [point(
                count="11", sum=20, scale=3, zeroCount="1", positive={"offset": -3, "bucketCounts": ["1", "0", "4", "0", "0", "0", "2"]},
                negative={"offset": 5, "bucketCounts": ["3"]})]}},
        {"name": "e.fine", "unit": "s", "exponentialHistogram": {
            "aggregationTemporality": CUMULATIVE, "dataPoints": [point(
                count="10", sum=20, scale=11, positive={"offset": 17, "bucketCounts": ["1"] * 10})]}},
        {"name": "rpc", "unit": "s", "summary": {"dataPoints": [point(
            count="4", sum=10, quantileValues=[{"quantile": 0.5, "value": 2}, {"quantile": 0.99, "value": 3}])]}},
    ]
    resources = [
        {"service.name": text("shop"), "service.namespace": text("eu"), "service.instance.id": text("i-1"), "host.name": text("h1"),
         "cloud.region": text("eu-1")},
        {"service.name": text("bare")},
        {"service.instance.id": text("i-2"), "deployment.environment": text("prod"), "process.pid": {"intValue": "77"}},
    ]
    return [{"resourceMetrics": [{
        "resource": {"attributes": attributes(resource)},
        "scopeMetrics": [{"scope": {"name": "library", "version": "1"}, "metrics": metrics}],
    }]} for resource in resources]


def send(server, request, kind, path=PATH):
    if kind == "json":
        body, content_type = json.dumps(request).encode(), "application/json"
    else:
        body = json_format.ParseDict(request, ExportMetricsServiceRequest()).SerializeToString()
        content_type = "application/x-protobuf"
    headers = {"Content-Type": content_type, "Content-Encoding": "gzip"}
    return call(server.url + path, gzip.compress(body), headers)


def difference(mine, others):
    return [f"- {line}" for line in sorted(set(others) - set(mine))] + [f"+ {line}" for line in sorted(set(mine) - set(others))]


def strategies(args, folder):
    for strategy in STRATEGIES:
        now = int(time.time()) - 5
        config = otlp_section(strategy)
        with promlake(args.promlake, f"{folder}/{strategy}-a", config) as binary, promlake(args.promlake, f"{folder}/{strategy}-b", config) as plain:
            for request in requests(now):
                for server, kind in [(binary, "protobuf"), (plain, "json")]:
                    status, body = send(server, request, kind)
                    check(f"{strategy} {kind}: accepted", status == 200, f"{status} {body}")
            mine = series(binary, now)
            check(f"{strategy}: JSON is as protobuf", mine == series(plain, now), "\n".join(difference(series(plain, now), mine)))
            check(f"{strategy}: all is there", len(mine) > 90, f"{len(mine)} series")
            if args.prometheus:
                with prometheus(args.prometheus, f"{folder}/{strategy}-p", config) as peer:
                    for request in requests(now):
                        send(peer, request, "protobuf")
                    others = series(peer, now)
                    check(f"{strategy}: as Prometheus", mine == others, "\n" + "\n".join(difference(mine, others)))
            if args.victoria and strategy == STRATEGIES[0]:
                beside_victoria(args, folder, now, mine)


def beside_victoria(args, folder, now, mine):
    with victoria(args.victoria, f"{folder}/victoria") as peer:
        for request in requests(now):
            status, body = send(peer, request, "protobuf", "/opentelemetry/v1/metrics")
            check("VictoriaMetrics: accepted", status in (200, 204), f"{status} {body}")
        call(peer.url + "/internal/force_flush")
        others = series(peer, now)

    def comparable(lines):
        kept = [line for line in lines if not any(word in line for word in DIFFERENT_IN_VICTORIA)]
        return sorted(re.sub(r'"(instance|job)": "[^"]*"(, )?', "", line).replace(', }', '}') for line in kept)

    check("as VictoriaMetrics", comparable(mine) == comparable(others), "\n" + "\n".join(difference(comparable(mine), comparable(others))))


def sdk(args, folder):
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
    from opentelemetry.sdk.resources import Resource

    with promlake(args.promlake, f"{folder}/sdk", otlp_section(STRATEGIES[0])) as server:
        exporter = OTLPMetricExporter(endpoint=server.url + PATH, compression=Compression.Gzip)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
        views = [View(instrument_name="fine", aggregation=ExponentialBucketHistogramAggregation())]
        resource = Resource.create({"service.name": "sdk", "service.instance.id": "1", "host.name": "h"})
        provider = MeterProvider(metric_readers=[reader], resource=resource, views=views)
        meter = provider.get_meter("acceptance", "1.0")
        meter.create_counter("jobs.done", unit="1").add(5, {"kind": "a"})
        coarse, fine = meter.create_histogram("coarse", unit="s"), meter.create_histogram("fine", unit="s")
        for value in [0.1, 1.0, 7.5, 900.0]:
            coarse.record(value)
            fine.record(value)
        check("SDK: exported", provider.force_flush(), "the exporter reported a failure")
        expected = {
            'jobs_done_total{job="sdk",instance="1",kind="a"}': "5",
            'coarse_seconds_bucket{le="10"}': "3",
            "coarse_seconds_sum": "908.6",
            "histogram_count(fine_seconds)": "4",
            "histogram_sum(fine_seconds)": "908.6",
            'target_info{host_name="h"}': "1",
        }
        for query, value in expected.items():
            _, body = call(f"{server.url}/api/v1/query?" + urllib.parse.urlencode({"query": query}))
            values = [one["value"][1] for one in json.loads(body)["data"]["result"]]
            check(f"SDK: {query}", values == [value], values)
        provider.shutdown()


def main():
    cache = os.path.expanduser(os.environ.get("XDG_CACHE_HOME", "~/.cache")) + "/promlake"
    parser = argparse.ArgumentParser()
    parser.add_argument("--promlake", required=True)
    parser.add_argument("--prometheus", help="one with --web.enable-otlp-receiver")
    parser.add_argument("--victoria", default=f"{cache}/victoria-metrics/usr/bin/victoria-metrics")
    args = parser.parse_args()
    args.promlake = os.path.abspath(args.promlake)
    if not args.prometheus:
        print("skipped: comparison with Prometheus' own receiver, which Debian's build has not; give one by --prometheus")
    if not os.path.exists(args.victoria):
        print(f"skipped: comparison with VictoriaMetrics, {args.victoria} is missing; run tests/peers")
        args.victoria = None
    with tempfile.TemporaryDirectory() as folder:
        sdk(args, folder)
        strategies(args, folder)
    print(f"{len(passed)} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
