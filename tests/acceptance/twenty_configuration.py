"""The one configuration of twenty.py, for promlake and Prometheus: jobs of every kind, and what the files and the HTTP server list."""
import json
import os

import twenty_pages as pages
from twenty_pages import Feed

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INTERVAL_S, HUGE_S = 2, 6


def feeds_of(upstream):
    """All feeds by name: PROCESS.PATH."""
    made = {
        "node.all": pages.live(upstream["node"]), "pushgateway.all": pages.live(upstream["pushgateway"]),
        "alertmanager.all": pages.live(upstream["alertmanager"]), "prometheus.all": pages.live(upstream["prometheus"]),
        "slow.all": pages.slow, "huge.all": pages.huge, "truncated.all": pages.truncated, "types.all": pages.types,
        "utf8.all": pages.utf8, "vanishing.all": pages.vanishing, "vanishing.file": pages.coming, "vanishing.http": pages.coming,
        "duplicates.all": pages.duplicates, "protobuf.native": pages.protobuf, "protobuf.both": pages.protobuf,
        "openmetrics.all": pages.openmetrics, "openmetrics.text": pages.openmetrics, "times.all": pages.times,
        "times.tracked": pages.times, "times.ignored": pages.times, "errors.all": pages.errors, "errors.fallback": pages.errors,
        "secure.all": pages.just_plain, "secure.wrong": pages.just_plain, "secure.unknown": pages.just_plain,
        "moved.all": pages.moved, "moved.not": pages.moved, "refused.all": pages.just_plain, "limits.samples": pages.limited,
        "limits.labels": pages.limited, "limits.lengths": pages.limited, "limits.body": pages.limited, "limits.a": pages.limited,
        "limits.b": pages.limited, "secure.skip": pages.just_plain,
        **{name: make for name, (make, _) in pages.case_feeds().items()},
    }
    return {name: Feed(name, make) for name, make in made.items()}


PROTO = ["PrometheusProto", "OpenMetricsText1.0.0", "PrometheusText0.0.4"]
NATIVE = {"target_label": "__scrape_native_histograms__", "replacement": "true"}


def relabel(source, target, regex="(.*)", replacement="$1", action="replace"):
    return {"source_labels": source, "target_label": target, "regex": regex, "replacement": replacement, "action": action}


FROM_LABELS = [
    {"source_labels": ["tier"], "regex": "gone", "action": "drop"},
    {"source_labels": ["tier"], "regex": "odd|come", "action": "keep"},
    {"source_labels": ["want"], "target_label": "tier", "action": "dropequal"},
    relabel(["__path"], "__metrics_path__", "(.+)"),
    {"regex": "__pass_(.+)", "replacement": "by_${1}", "action": "labelmap"},
    {"source_labels": ["feed"], "target_label": "shard", "modulus": 4, "action": "hashmod"},
    {"source_labels": ["feed"], "target_label": "loud", "action": "uppercase"},
    {"source_labels": ["loud"], "target_label": "quiet", "action": "lowercase"},
    relabel(["feed", "shard"], "instance", "(.+);(.+)", "$1-on-$2"),
    relabel(["feed"], "__param_name", "(v|t).*", "$1"),
    relabel(["feed"], "__scrape_interval__", r"huge\..*", f"{HUGE_S}s"),
    relabel(["feed"], "__scrape_timeout__", r"huge\..*", f"{HUGE_S}s"),
    relabel(["feed"], "__scheme__", "none", "https"),
    {"regex": "want|__pass_.*", "action": "labeldrop"},
]


class Configuration:
    def __init__(self, folder, ports, sd_port):
        self.folder, self.ports, self.sd_port, self.jobs = folder, ports, sd_port, []
        self.generation = 0
        native = {"relabel_configs": [NATIVE], "scrape_protocols": PROTO}
        collected = ["cpu", "meminfo", "loadavg", "filefd", "time", "netdev", "diskstats"]
        self.job("node", ["node.all"], params={"collect[]": collected}, metric_relabel_configs=[
            {"source_labels": ["__name__"], "regex": "node_scrape_.*", "action": "drop"},
            {"source_labels": ["cpu", "mode"], "target_label": "part", "modulus": 7, "action": "hashmod"},
            relabel(["device"], "device", "(l)(.*)", "$2-${1}x"), relabel(["mode"], "__name__", "idle", "node_cpu_idle_seconds_total"),
            {"source_labels": ["mode"], "target_label": "mode", "action": "uppercase"}])
        self.job("pushed", ["pushgateway.all"], honor_labels=True)
        self.job("alerts", ["alertmanager.all"], **native, metric_relabel_configs=[
            {"source_labels": ["__name__"], "regex": "(alertmanager|go|process|page)_.*", "action": "keep"},
            {"source_labels": ["integration"], "target_label": "receiver_name", "action": "keepequal"},
            {"regex": "vers.*", "action": "labeldrop"}])
        self.job("itself", ["prometheus.all"], metric_relabel_configs=[
            {"regex": "(handl)(er)", "replacement": "${1}ing", "action": "labelmap"}, {"regex": "handler", "action": "labeldrop"},
            {"source_labels": ["slice"], "regex": "inner_eval", "action": "drop"}])
        self.job("huge", [], "file", relabel_configs=FROM_LABELS, sample_limit=50000, metric_relabel_configs=[
            {"regex": "__name__|i|path|feed|job|instance", "action": "labelkeep"}])
        self.job("files", [], "file", relabel_configs=FROM_LABELS)
        basic = {"username": pages.USER, "password_file": self.write("password", pages.PASSWORD)}
        self.job("found", [], "http", relabel_configs=FROM_LABELS, basic_auth=basic)
        self.job("proto", ["protobuf.native"], **native)
        self.job("proto-both", ["protobuf.both"], **native, always_scrape_classic_histograms=True)
        self.job("text-only", ["openmetrics.text"], scrape_protocols=["PrometheusText0.0.4"], enable_compression=False)
        self.job("tracked", ["times.tracked"], track_timestamps_staleness=True)
        self.job("ignored", ["times.ignored"], honor_timestamps=False)
        self.job("fallback", ["errors.fallback"], fallback_scrape_protocol="PrometheusText0.0.4")
        tls = os.path.join(ROOT, "tests/tls/")
        known = {"ca_file": tls + "ca.crt", "cert_file": tls + "client.crt", "key_file": tls + "client.key"}
        unknown = {**known, "ca_file": tls + "stranger.crt"}
        token = self.write("token", pages.TOKEN)
        self.job("secure", ["secure.all"], scheme="https", tls_config=known, authorization={"credentials_file": token})
        self.job("secure-wrong", ["secure.wrong"], scheme="https", tls_config=known, authorization={"credentials": "wrong"})
        self.job("secure-unknown", ["secure.unknown"], scheme="https", tls_config=unknown)
        self.job("secure-skip", ["secure.skip"], scheme="https", tls_config={**unknown, "insecure_skip_verify": True},
                 authorization={"type": "Bearer", "credentials": pages.TOKEN})
        self.job("moved-not", ["moved.not"], follow_redirects=False, basic_auth=basic)
        self.job("refused", ["refused.all"])
        self.job("limits-samples", ["limits.samples"], sample_limit=6)
        self.job("limits-labels", ["limits.labels"], label_limit=6)
        self.job("limits-lengths", ["limits.lengths"], label_name_length_limit=10, label_value_length_limit=30)
        self.job("limits-body", ["limits.body"], body_size_limit="250B")
        self.job("limits-targets", ["limits.a", "limits.b"], target_limit=1)
        for name, (_, said) in pages.case_feeds().items():
            self.job(name, [name], **native)
            self.jobs[-1] = self.jobs[-1][:-1] + (f", {said}}}" if said else "}")
        self.discovered(with_coming=True)
        self.text = "\n".join([
            f"global: {{scrape_interval: {INTERVAL_S}s, scrape_timeout: 1500ms, external_labels: {{region: test}}, scrape_protocols: "
            "[OpenMetricsText1.0.0, OpenMetricsText0.0.1, PrometheusText1.0.0, PrometheusText0.0.4]}",
            "storage: {tsdb: {out_of_order_time_window: 0s}}", "scrape_configs:", *[f"- {job}" for job in self.jobs], ""])

    def write(self, name, text):
        """Whole at once, since it is read whenever it changes."""
        path = os.path.join(self.folder, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path + ".new", path)
        return path

    def address(self, feed):
        return f"127.0.0.1:{self.ports[feed.split('.')[0]]}"

    def job(self, name, feeds, found="static", **more):
        if found == "static":
            labels = lambda feed: {"feed": feed, "__metrics_path__": "/metrics/" + feed.split(".")[1]}
            more["static_configs"] = [{"targets": [self.address(feed)], "labels": labels(feed)} for feed in feeds]
        elif found == "file":
            more["file_sd_configs"] = [{"files": [f"{self.folder}/{name}-*.json"], "refresh_interval": "5s"}]
        else:
            more["http_sd_configs"] = [{"url": f"http://127.0.0.1:{self.sd_port}/targets", "refresh_interval": "2s",
                                        "basic_auth": {"username": pages.USER, "password": pages.PASSWORD}}]
        self.jobs.append(json.dumps({"job_name": name, **more}))

    def group(self, feed, tier="odd", **more):
        return {"targets": [self.address(feed)], "labels": {
            "feed": feed, "tier": tier, "__path": "/metrics/" + feed.split(".")[1], "__pass_file": "yes", "want": "nothing", **more}}

    def discovered(self, with_coming):
        """What the files and the HTTP server list. Those that come and go are new ones each time, and a file is broken meanwhile."""
        dropped = [self.group("errors.gone", "gone"), self.group("errors.other", "other"), self.group("errors.equal", "odd", want="odd")]
        coming = lambda feed: [self.group(feed, "come", generation=str(self.generation))] if with_coming else []
        self.write("huge-1.json", json.dumps([self.group("huge.all")]))
        odd = json.dumps([self.group(f + ".all") for f in ("slow", "truncated", "types", "utf8", "vanishing")] + dropped)
        self.write("files-odd.json", odd if with_coming else odd[:-3])
        self.write("files-coming.json", json.dumps(coming("vanishing.file")))
        found = [self.group(f + ".all") for f in ("duplicates", "openmetrics", "times", "errors", "moved")]
        self.http = json.dumps(found + coming("vanishing.http") + dropped[:1])
