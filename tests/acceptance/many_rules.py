"""What 5,000 rules every 15 seconds cost: promlake, Prometheus, and VictoriaMetrics with vmalert, one after the other.

    python tests/acceptance/many_rules.py --promlake target/release/promlake [--settle 75] [--seconds 60] [--only promlake,prometheus]

50 hosts with 100 series each are scraped every 15 seconds; 4,000 recording rules and 1,000 alerts are evaluated over them in 100 groups.
After `--settle` seconds CPU time is read from the kernel, and after `--seconds` more again, with the most memory until then. All of them
have the same pages and rule files. What evaluations failed or were missed fails the script; of CPU it tells ratios and judges nothing, as
a machine that is shared would.

Needs Prometheus and VictoriaMetrics (tests/peers installs them); one that is not there is left out and told.
"""
import argparse
import contextlib
import json
import math
import os
import re
import shutil
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from processes import Pages, Server, call, free_port  # noqa: E402
from servers import PROMETHEUS, Checks, Peer, Scribe  # noqa: E402

VICTORIA = os.path.expanduser("~/.cache/promlake/victoria-metrics/usr/bin")
HOSTS, INTERVAL_S = 50, 15
# Of each host 80 recording rules and 20 alerts, so many of them in a group.
RECORDS, ALERTS, PER_GROUP = 80, 20, 50
MODES = ["user", "system", "idle", "iowait", "irq"]
TICKS = os.sysconf("SC_CLK_TCK")


def page(path):
    """Of a host: 40 counters by CPU and mode, 30 gauges, two histograms of 15 lines."""
    host = int(path.rsplit("/", 1)[1])
    now = time.time()
    lines = ["# TYPE cpu_seconds_total counter"]
    for cpu in range(8):
        lines += [f'cpu_seconds_total{{cpu="{cpu}",mode="{mode}"}} {now * (i + 1 + cpu / 10) % 1e9:.2f}' for i, mode in enumerate(MODES)]
    lines.append("# TYPE disk_used_bytes gauge")
    lines += [f'disk_used_bytes{{device="d{i}"}} {1e9 * (1 + math.sin(now / 60 + i + host)):.0f}' for i in range(30)]
    lines.append("# TYPE request_seconds histogram")
    for endpoint in ("/a", "/b"):
        total = int(now * 10 % 1e9)
        lines += [f'request_seconds_bucket{{endpoint="{endpoint}",le="{2.0 ** (i - 6)}"}} {total * (i + 1) // 13}' for i in range(12)]
        lines += [f'request_seconds_bucket{{endpoint="{endpoint}",le="+Inf"}} {total}', f'request_seconds_sum{{endpoint="{endpoint}"}} {total * 0.3:.1f}',
                  f'request_seconds_count{{endpoint="{endpoint}"}} {total}']
    return "text/plain; version=0.0.4", "\n".join(lines) + "\n"


def expressions(host):
    """What people record and alert on, of one host."""
    at = f'host="h{host}"'
    records = [f'sum by (mode) (rate(cpu_seconds_total{{{at},cpu="{cpu}"}}[5m]))' for cpu in range(8)]
    records += [f'avg(rate(cpu_seconds_total{{{at},mode="{mode}"}}[{window}m]))' for mode in MODES for window in (1, 2, 5, 10)]
    records += [f'disk_used_bytes{{{at},device="d{i}"}} / 2e9' for i in range(20)]
    records += [f'max_over_time(disk_used_bytes{{{at},device="d{i}"}}[10m])' for i in range(20)]
    records += [f'histogram_quantile({q}, sum by (le) (rate(request_seconds_bucket{{{at},endpoint="{endpoint}"}}[5m])))'
                for endpoint in ("/a", "/b") for q in (0.5, 0.9, 0.95, 0.99)]
    records += [f'sum(rate(request_seconds_count{{{at}}}[{window}m]))' for window in (1, 2, 5, 10)]
    alerts = [f'disk_used_bytes{{{at},device="d{i}"}} > 1.9e9' for i in range(10)]
    alerts += [f'rate(request_seconds_count{{{at},endpoint="{endpoint}"}}[5m]) > 1000' for endpoint in ("/a", "/b")]
    alerts += [f'avg by (cpu) (rate(cpu_seconds_total{{{at},cpu="{cpu}",mode="idle"}}[5m])) < 0.1' for cpu in range(7)]
    alerts += [f'up{{{at}}} == 0']
    assert len(records) == RECORDS and len(alerts) == ALERTS
    return records, alerts


def rule_file():
    rules = []
    for host in range(HOSTS):
        records, alerts = expressions(host)
        rules += [{"record": f"host:r{i}", "expr": expr, "labels": {"host": f"h{host}"}} for i, expr in enumerate(records)]
        rules += [{"alert": f"A{i}", "expr": expr, "for": "1m", "labels": {"host": f"h{host}"}, "annotations": {"summary": "{{ $value }}"}}
                  for i, expr in enumerate(alerts)]
    groups = [{"name": f"g{at // PER_GROUP}", "interval": f"{INTERVAL_S}s", "rules": rules[at:at + PER_GROUP]}
              for at in range(0, len(rules), PER_GROUP)]
    return json.dumps({"groups": groups})


def scrapes(pages):
    jobs = [{"job_name": f"h{i}", "metrics_path": f"/{i}", "static_configs": [{"targets": [f"127.0.0.1:{pages}"], "labels": {"host": f"h{i}"}}]}
            for i in range(HOSTS)]
    return {"global": {"scrape_interval": f"{INTERVAL_S}s"}, "scrape_configs": jobs}


def cpu_seconds(server):
    with open(f"/proc/{server.process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def most_memory(server):
    with open(f"/proc/{server.process.pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1]) / 1024


def of_rules(server):
    """promlake or Prometheus, which evaluate by themselves: failed, missed, evaluations, and the groups' last durations together."""
    total = lambda name: server.metric(f"prometheus_rule_{name}")
    return total("evaluation_failures_total"), total("group_iterations_missed_total"), total("evaluations_total"), total("group_last_duration_seconds")


def of_vmalert(server):
    metrics = call(f"{server.url}/metrics")[1].decode()
    total = lambda name: sum(float(line.rsplit(" ", 1)[1]) for line in metrics.splitlines() if line.startswith(name))
    return (total("vmalert_execution_errors_total"), total("vmalert_iteration_missed_total"),
            total("vmalert_execution_total"), total("vmalert_iteration_duration_seconds_sum"))


def own(kind, binary, folder, pages, manager):
    config = {**scrapes(pages), "rule_files": ["rules.yml"],
              "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{manager}"]}]}]}}
    server = Peer(kind, binary, folder, json.dumps(config))
    with open(os.path.join(folder, "rules.yml"), "w") as file:
        file.write(rule_file())
    return [server], of_rules


def victoria(folder, pages, manager):
    os.makedirs(folder)
    for name, text in (("scrapes.yml", json.dumps(scrapes(pages))), ("rules.yml", rule_file())):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    port, alerts = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    of_alerts = os.path.join(folder, "vmalert")
    os.makedirs(of_alerts)
    store = Server([f"{VICTORIA}/victoria-metrics", "-promscrape.config=scrapes.yml", f"-httpListenAddr=127.0.0.1:{port}",
                    "-storageDataPath=data"], port, "/health", folder)
    evaluator = Server([f"{VICTORIA}/vmalert", "-rule=../rules.yml", f"-datasource.url={url}", f"-remoteWrite.url={url}",
                        f"-notifier.url=http://127.0.0.1:{manager}", f"-evaluationInterval={INTERVAL_S}s",
                        f"-httpListenAddr=127.0.0.1:{alerts}"], alerts, "/health", of_alerts)
    return [store, evaluator], of_vmalert


def measure(args, checks, name, servers, counts):
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.enter_context(server)
        time.sleep(args.settle)
        before, begun = [cpu_seconds(server) for server in servers], time.time()
        done = counts(servers[-1])[2]
        time.sleep(args.seconds)
        spent = sum(cpu_seconds(server) for server in servers) - sum(before)
        cores = spent / (time.time() - begun)
        memory = sum(most_memory(server) for server in servers)
        failed, missed, evaluated, duration = counts(servers[-1])
        rate = (evaluated - done) / (time.time() - begun)
        due = HOSTS * (RECORDS + ALERTS) / INTERVAL_S
        checks.check(f"{name}: evaluations", failed == missed == 0 and rate > 0.9 * due,
                     f"{rate:.0f} a second of {due:.0f}, {failed:.0f} failed, {missed:.0f} iterations missed")
        print(f"     {name}: {cores:.4f} cores, at most {memory:.0f} MiB, groups took {duration:.2f} s", flush=True)
        return cores, memory


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--promlake", default="target/release/promlake")
    parser.add_argument("--prometheus", default=PROMETHEUS)
    parser.add_argument("--only", default="promlake,prometheus,victoria-metrics")
    parser.add_argument("--settle", type=float, default=75)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--keep", action="store_true", help="the folder with logs")
    args = parser.parse_args()
    folder, checks, pages, scribe, found = tempfile.mkdtemp(prefix="promlake-many-rules-"), Checks(), Pages(page), Scribe(), {}
    makes = {
        "promlake": (args.promlake, lambda at: own("promlake", args.promlake, at, pages.port, scribe.port)),
        "prometheus": (args.prometheus, lambda at: own("prometheus", args.prometheus, at, pages.port, scribe.port)),
        "victoria-metrics": (f"{VICTORIA}/vmalert", lambda at: victoria(at, pages.port, scribe.port)),
    }
    try:
        for name in args.only.split(","):
            binary, make = makes[name]
            if not os.path.exists(binary):
                print(f"     {name} is left out: there is no {binary}")
                continue
            found[name] = measure(args, checks, name, *make(os.path.join(folder, name)))
    except AssertionError as error:
        checks.check("the run", False, error)
    finally:
        if args.keep:
            print(f"logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if "promlake" in found:
        for name in found.keys() - {"promlake"}:
            ratios = [ours / theirs for ours, theirs in zip(found["promlake"], found[name])]
            print(f"     promlake beside {name}: {ratios[0]:.2f} x its CPU, {ratios[1]:.2f} x its memory")
    sys.exit(checks.end())


if __name__ == "__main__":
    main()
