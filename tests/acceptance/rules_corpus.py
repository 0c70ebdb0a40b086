"""What rules.py feeds both servers with, second by second, and the rules that they evaluate over it."""
import json
import math
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from federation import STALE, double, field, histogram, number, sample, varint, zigzag  # noqa: E402

STALE_FLOAT = STALE


def custom_histogram(time_ms, bounds, counts):
    """A histogram with buckets of its own."""
    deltas = [count - before for count, before in zip(counts, [0, *counts])]
    message = number(1, sum(counts)) + double(3, sum(counts) * 0.7) + zigzag(4, -53)
    message += field(11, zigzag(1, 0) + number(2, len(counts)))
    message += field(12, b"".join(varint((delta << 1) ^ (delta >> 63)) for delta in deltas))
    message += field(16, b"".join(struct.pack("<d", bound) for bound in bounds))
    return field(4, message + number(15, time_ms))


def series_of(n, at_ms):
    """Series of second `n`, with their samples at `at_ms`."""
    out = []

    def put(name, value, **labels):
        out.append(({"__name__": name, **labels}, [sample(at_ms, value)]))

    for i in range(4):
        for code, weight in (("200", 10), ("404", 1.5), ("500", 0.25)):
            # One of them begins anew now and then.
            age = n % 70 if i == 3 else n
            put("requests_total", math.floor(age * weight * (i + 1)), instance=f"h{i}:80", code=code, job="api" if i < 3 else "batch")
        put("up", 0 if i == 2 and n % 60 > 40 else 1, instance=f"h{i}:80", job="api" if i < 3 else "batch")
        put("memory_bytes", (i + 1) * 2**30 + n * 2**20 * (i - 1.5), instance=f"h{i}:80", job="api" if i < 3 else "batch")
        put("memory_limit_bytes", 4 * 2**30, instance=f"h{i}:80")
    for i, room in enumerate(["kitchen", "hall", "attic", "cellar", "bath"]):
        put("temperature_celsius", 20 + 8 * math.sin((n + i * 11) / 9) + i / 7, room=room, floor=str(i // 2))
    # Highs of five to forty seconds, so that some alerts only wait and some fire.
    for i in range(6):
        put("queue_length", 100 + i if (n // (5 + 7 * i)) % 2 else 3 + i / 3, queue=f"q{i}", team="red" if i % 2 else "blue")
    for endpoint, mean in (("/a", 0.2), ("/b", 0.9 + 0.8 * math.sin(n / 20))):
        total = 0
        for bound in (0.1, 0.5, 1, 2.5):
            total = math.floor(n * 8 * (1 - math.exp(-bound / max(mean, 0.05))))
            put("latency_seconds_bucket", total, endpoint=endpoint, le=str(bound))
        put("latency_seconds_bucket", n * 8, endpoint=endpoint, le="+Inf")
        put("latency_seconds_count", n * 8, endpoint=endpoint)
        put("latency_seconds_sum", n * 8 * mean, endpoint=endpoint)
        counts = [n + 1, 2 * n + 3, n // 2 + 1, n % 200 + n]
        out.append(({"__name__": "native_seconds", "endpoint": endpoint}, [histogram(at_ms, counts)]))
        out.append(({"__name__": "native_gauge", "endpoint": endpoint}, [histogram(at_ms, [5 + n % 7, 3, 9 + n % 5], gauge=True)]))
        out.append(({"__name__": "custom_seconds", "endpoint": endpoint}, [custom_histogram(at_ms, [0.1, 1, 5], [n, n * 2, n // 3, n // 9])]))
    # Series that come and go: with a marker of their end, and without.
    for i in range(4):
        phase = n % (40 + 10 * i)
        if phase < 12 + 3 * i:
            put("fleeting", n + i, i=str(i))
        elif phase == 12 + 3 * i and i % 2 == 0:
            put("fleeting", STALE_FLOAT, i=str(i))
    if n % 45 < 25:
        put("sometimes", 1, kind="a")
    elif n % 45 == 25:
        put("sometimes", STALE_FLOAT, kind="a")
    for i, value in enumerate([math.nan, math.inf, -math.inf, -0.0, 1e300, 5e-324]):
        put("odd", value, i=str(i))
    # For duplicates once a label is gone.
    for a in "xy":
        for b in "pq":
            put("pair", ord(a) + n % 3 + ord(b) / 10, a=a, b=b)
    put("build_info", 1, version="1.2.3", revision="abc", instance="h0:80")
    put("build_info", 1, version="1.3.0", revision="def", instance="h1:80")
    put("http.size", n * 3.5, **{"a b": 'x"\\\n', "job": "api"})
    put("seconds", n)
    return out


def record(name, expr, **labels):
    return {"record": name, "expr": expr, **({"labels": labels} if labels else {})}


def alert(name, expr, hold=None, keep=None, labels=None, **annotations):
    rule = {"alert": name, "expr": expr}
    for key, value in (("for", hold), ("keep_firing_for", keep), ("labels", labels), ("annotations", annotations)):
        if value:
            rule[key] = value
    return rule


RECORDED = """
requests_total
requests_total offset 7s
requests_total{code="500"} > 20
rate(requests_total[30s])
irate(requests_total[10s])
increase(requests_total[20s])
delta(temperature_celsius[15s])
idelta(temperature_celsius[15s])
deriv(temperature_celsius[20s])
predict_linear(temperature_celsius[20s], 60)
double_exponential_smoothing(temperature_celsius[20s], 0.5, 0.3)
resets(requests_total[1m])
changes(queue_length[30s])
sum(rate(requests_total[30s]))
sum by (job) (rate(requests_total[30s]))
sum by (job, code) (rate(requests_total[30s]))
sum without (instance) (rate(requests_total[30s]))
avg by (floor) (temperature_celsius)
min by (floor) (temperature_celsius)
max by (floor) (temperature_celsius)
count by (code) (requests_total)
stddev by (floor) (temperature_celsius)
stdvar(temperature_celsius)
group by (job) (up)
quantile(0.9, temperature_celsius)
quantile by (floor) (0.3, temperature_celsius)
topk(2, temperature_celsius)
bottomk by (floor) (1, temperature_celsius)
count_values("length", queue_length)
count(limitk(2, requests_total))
limit_ratio(0.5, requests_total)
avg_over_time(temperature_celsius[10s])
min_over_time(temperature_celsius[10s])
max_over_time(temperature_celsius[10s])
sum_over_time(temperature_celsius[10s])
count_over_time(fleeting[20s])
stddev_over_time(temperature_celsius[10s])
stdvar_over_time(temperature_celsius[10s])
mad_over_time(temperature_celsius[10s])
quantile_over_time(0.7, temperature_celsius[10s])
last_over_time(fleeting[20s])
present_over_time(fleeting[20s])
absent_over_time(sometimes[5s])
absent(sometimes)
absent(never{job="x", instance=~"y.*"})
absent(requests_total)
max_over_time(rate(requests_total[10s])[30s:5s])
avg_over_time((temperature_celsius > 20)[30s:3s] offset 2s)
sum by (endpoint) (rate(latency_seconds_bucket{le="+Inf"}[30s]))
histogram_quantile(0.95, rate(latency_seconds_bucket[30s]))
histogram_quantile(0.5, sum by (le) (rate(latency_seconds_bucket[30s])))
histogram_fraction(0, 0.5, rate(native_seconds[30s]))
rate(latency_seconds_sum[30s]) / rate(latency_seconds_count[30s])
native_seconds
native_gauge
custom_seconds
rate(native_seconds[30s])
sum(rate(native_seconds[30s]))
sum by (endpoint) (custom_seconds)
avg(native_gauge)
histogram_count(native_seconds)
histogram_sum(native_seconds)
histogram_avg(native_gauge)
histogram_stddev(native_gauge)
histogram_quantile(0.9, native_seconds)
histogram_quantile(0.9, custom_seconds)
histogram_fraction(0, 1, native_gauge)
native_gauge * 2
native_seconds + native_seconds
native_gauge - native_gauge offset 3s
sum_over_time(native_gauge[5s])
last_over_time(native_gauge[5s])
increase(custom_seconds[20s])
fleeting
fleeting{i="1"}
fleeting or temperature_celsius
fleeting and sometimes
fleeting unless on (i) odd{i="1"}
sometimes
memory_bytes / on (instance) memory_limit_bytes
memory_bytes / on (instance) group_left () memory_limit_bytes
requests_total * on (instance) group_left (version) build_info
memory_bytes > bool on (instance) memory_limit_bytes
up == 0
up == bool 0
temperature_celsius % 7
temperature_celsius ^ 2
-temperature_celsius
temperature_celsius atan2 pair
pair atan2 on (a, b) pair
odd
odd + 1
odd > 0
clamp(odd, -5, 5)
clamp_max(temperature_celsius, 20)
clamp_min(temperature_celsius, 20)
round(temperature_celsius, 0.5)
floor(temperature_celsius)
ceil(temperature_celsius)
abs(odd)
sgn(odd)
sqrt(temperature_celsius)
exp(temperature_celsius / 10)
ln(temperature_celsius)
log2(temperature_celsius)
log10(temperature_celsius)
sin(temperature_celsius)
cos(temperature_celsius)
tan(temperature_celsius)
asinh(temperature_celsius)
deg(temperature_celsius)
rad(temperature_celsius)
label_replace(up, "host", "$1", "instance", "(.*):.*")
label_replace(up, "job", "", "job", ".*")
label_join(up, "both", "-", "job", "instance")
sort_desc(temperature_celsius)
timestamp(temperature_celsius)
timestamp(fleeting offset 5s)
scalar(queue_length{queue="q0"})
scalar(queue_length)
vector(1)
vector(time())
time()
1 + 2 * 3
pi()
vector(scalar(seconds) % 10)
minute()
hour(vector(0))
day_of_week(seconds)
day_of_year(vector(1.7e9))
days_in_month()
month()
year(timestamp(up))
{"http.size"}
{"http.size", "a b"=~"x.*"} * 2
{__name__=~"memory_.*"} / 2^30
{__name__=~"temp.*|queue_length"}
count({__name__=~".+_total"})
requests_total @ end()
requests_total @ start()
sum(requests_total) by (job) / ignoring (job) group_left () sum(requests_total)
count(count by (room) (temperature_celsius))
sum(temperature_celsius > bool 20) / count(temperature_celsius)
rate(requests_total[1s])
temperature_celsius{room!~"kitchen|hall"}
temperature_celsius{room=~"(?i)ATTIC"}
up{instance=~"h[0-1]:.*", job!=""}
topk(1, sum by (job) (rate(requests_total[20s])))
1 - avg by (job) (up)
info(up)
""".strip().splitlines()

# Words of the errors hold for both; where one names series, in any order.
ERRORS = [
    record("e:many", "temperature_celsius * on () queue_length"),
    record("e:one_side", "temperature_celsius + on (floor) group_left () queue_length"),
    record("e:many_left", "requests_total / on (instance) memory_limit_bytes"),
    record("e:same_labels", "pair", a="z", b="z"),
    record("e:no_label", "sum without (a) (pair) or pair", b="one"),
    record("e:regex", 'label_replace(up, "x", "$1", "job", "(")'),
    record("e:label", 'label_join(up, "0 9-", "", "job")'),
    record("e:label_utf8", 'label_replace(up, "with space", "$1", "job", "(.*)")'),
    record("e:string", '"text"'),
    record("e:matrix", "up[5s]"),
    record("e:parameter", "topk(scalar(never), up)"),
    record("e:replaced", 'label_replace(pair, "a", "same", "", "")'),
    record("e:stays_well", "up"),
    record("e:again", "seconds"),
    record("e:again", "seconds + 1"),
    record("e:nameless", "rate(up[5s]) or up"),
    record("e:quantile", "quantile(1.5, up)"),
    record("e:count_values", 'count_values("0", up)'),
    alert("SameLabels", "pair", labels={"a": "z", "b": "z"}),
    alert("ErrorInTime", "temperature_celsius * on () queue_length", hold="2s"),
    alert("SometimesError", "up * on (job) group_left () (sometimes + on () group_right () up)", summary="{{ $value }}"),
    alert("StringResult", '"text"'),
    alert("MatrixResult", "up[5s]"),
]

TEMPLATES = [
    "{{ $value }}", "{{ $value | humanize }}", "{{ $value | humanize1024 }}B", "{{ $value | humanizePercentage }}",
    "{{ $value | humanizeDuration }}", "{{ $value | humanizeTimestamp }}", "{{ printf \"%.2f\" $value }}", "{{ printf \"%d\" $value }}",
    "{{ printf \"%8.3f|%-8.1e|%+g|%v|%q\" $value $value $value $value $labels.queue }}", "{{ $labels.queue }} of {{ .Labels.team }}",
    "{{ $labels.nothing }}", "{{ $labels }}", "{{ .Value }}", "{{ $externalLabels.region }}", "{{ .ExternalLabels }}", "{{ $externalURL }}",
    "{{ pathPrefix }}", "{{ externalURL }}", "{{ graphLink \"up == 1\" }}", "{{ tableLink \"rate(x[5m])\" }}", "{{ $labels.queue | toUpper }}",
    "{{ title \"hello world\" }}", "{{ toLower \"ÄB\" }}", "{{ if gt $value 102.0 }}high{{ else if gt $value 100.5 }}middle{{ else }}low{{ end }}",
    "{{ if match \"q[0-2]\" $labels.queue }}first{{ else }}last{{ end }}", "{{ reReplaceAll \"q(.)\" \"queue-$1\" $labels.queue }}",
    "{{ with query \"sum(up)\" }}{{ . | first | value }}{{ end }}",
    "{{ range query \"sort(temperature_celsius)\" }}{{ .Labels.room }}={{ printf \"%.1f\" .Value }} {{ end }}",
    "{{ range sortByLabel \"queue\" (query \"queue_length\") }}{{ label \"queue\" . }}:{{ value . }};{{ end }}",
    "{{ query \"never\" | len }}", "{{ with query \"never\" }}some{{ else }}none{{ end }}", "{{ query \"never\" | first }}", "{{ query \"up ==\" }}",
    "{{ (query \"build_info{instance='h0:80'}\" | first).Labels.version }}", "{{ strvalue (index (query \"build_info{instance='h0:80'}\") 0) }}",
    "{{ $x := $labels.queue }}{{ $x }}{{ $x = \"b\" }}{{ $x }}", "{{ define \"t\" }}<{{ . }}>{{ end }}{{ template \"t\" $value }}",
    "{{ args 1 \"a\" | printf \"%v\" }}", "{{ safeHtml \"<b>\" }}<i>{{ \"<u>\" }}", "{{ stripPort \"h:80\" }} {{ stripDomain \"a.example.org:80\" }}",
    "{{ parseDuration \"1h30m\" }}", "{{ toTime $value }}", "{{ (toTime 1.5e9).Year }}", "{{ index $labels \"queue\" }}",
    "{{ eq $labels.team \"red\" }} {{ ne $value 1.0 }} {{ and true false }} {{ or \"\" \"b\" }} {{ not false }}", "{{ len $labels.queue }}",
    "{{ printf \"%s\" $value }}", "{{ 1 | humanize }}", "{{ humanize \"1e9\" }}", "{{ humanizeDuration \"abc\" }}", "{{ slice $labels.queue 1 }}",
    "{{- /* nothing */ -}}  trimmed {{- \"!\" }}", "{{ `raw` }}{{ 'x' }}{{ 0x10 }}{{ 1_000 }}", "{{ printf \"%t %c %U %x %X %o %b\" true 65 65 255 255 8 5 }}",
    "{{ html \"<a>\" }} {{ js \"it's\" }} {{ urlquery \"a b&c\" }}", "{{ $value | printf \"%5.1f%%\" }}", "{{ print $value \"a\" 1 2 }}|{{ println 1 }}",
    "{{ range $i, $s := query \"sort(up)\" }}{{ if $i }}, {{ end }}{{ $s.Labels.instance }}{{ end }}", "plain text, no action: { } {{\"{{\"}}",
    "{{ first (query \"queue_length\" | sortByLabel \"queue\") | label \"queue\" }}", "{{ range query \"never\" }}x{{ else }}empty{{ end }}",
    "{{ with $labels }}{{ .queue }}{{ end }}", "{{ $labels.queue.x }}", "{{ template \"missing\" }}", "{{ index $labels \"queue\" \"x\" }}",
    "{{ range $k, $v := $labels }}{{ $k }}={{ $v }},{{ end }}", "{{ range query \"sort(up)\" }}{{ break }}{{ end }}done",
    "{{ query \"native_gauge{endpoint='/a'}\" | first | value }}", "{{ query \"up offset 1h\" | first | value }}",
    "{{ $value | humanize | humanize }}", "{{ 5 | printf \"%d of %d\" 3 }}", "{{ printf \"%*d\" 5 3 }}", "{{ call $labels }}",
]


def groups():
    """Groups of rules, as they stand in the file. The rules of a name are all in one group."""
    recorded = [record(f"r{i:03}:{'h' if 'native' in expr or 'custom' in expr else 'f'}", expr) for i, expr in enumerate(RECORDED)]
    made = []
    for i, interval in enumerate(["1s", "2s", "3s", "5s", "2s", "1s"]):
        made.append({"name": f"recorded-{i}", "interval": interval, "rules": recorded[i::6] + [record("beat", "vector(1)", of=f"recorded-{i}")]})
    made[1]["labels"] = {"group": "two", "team": "of the group"}
    made[1]["rules"].append(record("labels:own", "up", team="of the rule", job="other"))
    made[2]["query_offset"] = "3s"
    made[4]["query_offset"] = "1500ms"
    chain = [record("chain:0", "sum by (job) (up)"), record("chain:1", "chain:0 * 2"), record("chain:2", "chain:1 + chain:0"),
             record("chain:3", "max_over_time(chain:2[10s])"), record("chain:4", "(seconds % 20 < 4) * 0 or on () (chain:4 + 1)"),
             record("chain:5", "count_over_time(chain:0[5s])"), record("chain:6", "changes(chain:2[20s])"),
             record("chain:7", "chain:0 unless on () (seconds % 20 > 10)"), record("chain:8", "absent(chain:7)"),
             record("chain:9", "timestamp(chain:0)"), record("chain:native", "sum(rate(native_seconds[20s]))"),
             record("chain:quantile", "histogram_quantile(0.9, chain:native)"),
             record("chain:late", "chain:later"), record("chain:later", "sum(up)"), record("beat", "vector(1)", of="chain")]
    made.append({"name": "chain", "interval": "2s", "rules": chain})
    queue = "queue_length > 50"
    alerts = [alert(f"Queue{hold or '0s'}{keep or ''}", queue, hold, keep, {"severity": "page"}, summary="{{ $labels.queue }} is {{ $value }}")
              for hold in (None, "1s", "5s", "9s", "20s", "1m") for keep in (None, "3s", "30s")]
    made.append({"name": "alerts", "interval": "1s", "rules": alerts + [record("beat", "vector(1)", of="alerts")]})
    more = [alert("Absent", "absent(sometimes)", "4s", description="{{ $labels }} {{ $value }}"),
            alert("Down", "up == 0", "3s", None, {"job": "replaced", "empty": "", "instance": ""}), alert("Hot", "temperature_celsius > 25", "4s", "4s"),
            alert("Flicker", "fleeting % 2 == 0", None, "2s"), alert("Fleeting", "fleeting", "6s", None, {"i": "{{ $labels.i }}{{ $labels.i }}"}),
            alert("Value", queue, "2s", None, {"value": "{{ $value }}"}), alert("NaN", "odd"), alert("Native", "native_gauge", "2s", None, None, v="{{ $value }}"),
            alert("Custom", "custom_seconds", None, None, None, v="{{ $value }}"), alert("Named", '{"http.size"}', None, None, None, all="{{ $labels }}"),
            alert("Scalar", "scalar(seconds) % 20", None), alert("Time", "vector(time()) and on () (seconds >= 0)"), alert("Bool", "up == bool 0", "2s"),
            alert("NameLabel", "up", None, None, {"alertname_of": "{{ $labels.alertname }}|{{ $labels.__name__ }}"}, n="{{ $labels.__name__ }}"),
            alert("ManyLabels", "build_info", None, None, {"a": "{{ $labels.version }}", "version": "x"}, order="{{ $labels }}"),
            record("active:firing", 'count by (alertname) (ALERTS{alertstate="firing",alertname=~"Down|Hot|Absent"})'),
            record("active:pending", 'count by (alertname) (ALERTS{alertstate="pending",alertname=~"Down|Hot|Absent"})'),
            record("active:since", 'max by (alertname) (ALERTS_FOR_STATE{alertname=~"Down|Hot|Absent"})'),
            record("active:states", 'count_over_time(ALERTS{alertname="Hot"}[10s])'),
            alert("OfAlerts", 'ALERTS{alertname="Hot",alertstate="firing"}', "2s", None, {"severity": "meta"}, was="{{ $labels.alertname }} {{ $labels.room }}"),
            alert("OfRecorded", "active:firing > 1"), record("beat", "vector(1)", of="more")]
    made.append({"name": "more alerts", "interval": "2s", "rules": more, "labels": {"grouped": "yes", "severity": "of the group"}})
    late = [alert("Offset", queue, "4s", None, None, at="{{ query \"seconds\" | first | value }}"), record("late:alerts", 'ALERTS{alertname="Offset"}'),
            record("late:seconds", "seconds"), record("beat", "vector(1)", of="late")]
    made.append({"name": "late", "interval": "2s", "query_offset": "4s", "rules": late})
    texts = [alert(f"Text{i:02}", 'queue_length{queue=~"q[05]"} > 50', None, None, {"of": text} if i % 4 == 3 and "query" not in text else None, text=text, and_then="end")
             for i, text in enumerate(TEMPLATES)]
    made.append({"name": "texts", "interval": "3s", "rules": texts + [record("beat", "vector(1)", of="texts")]})
    limited = [record("limited:few", "up{job='api'}"), record("limited:many", "requests_total"), record("limited:some", "fleeting or up{job='batch'}"),
               alert("LimitedFew", "queue_length > 101.5", "2s"), alert("LimitedMany", "queue_length"), alert("LimitedSome", queue, "2s"),
               record("beat", "vector(1)", of="limited")]
    made.append({"name": "limited", "interval": "1s", "limit": 3, "rules": limited})
    made.append({"name": "errors", "interval": "2s", "rules": ERRORS + [record("beat", "vector(1)", of="errors")]})
    made.append({"name": "", "interval": "5s", "rules": [record("unnamed:up", "up"), record("beat", "vector(1)", of="unnamed")]})
    made[-1]["name"] = "a name; of {many} \"characters\" ä"
    made.append({"name": "default interval", "rules": [record("default:up", "sum(up)"), record("beat", "vector(1)", of="default")]})
    made.append({"name": "empty", "rules": []})
    return made


def changed_groups():
    """The same after a change: rules are gone, new, or other ones under their names, and so are groups."""
    made = {group["name"]: group for group in groups()}
    del made["late"], made["recorded-0"]["rules"][3:20:4]
    made["recorded-1"]["rules"].reverse()
    made["recorded-2"]["labels"] = {"came": "later"}
    made["limited"]["limit"] = 4
    for rule in made["alerts"]["rules"]:
        if rule.get("for") in ("5s", "9s"):
            rule["for"] = {"5s": "8s", "9s": "3s"}[rule["for"]]
        if "annotations" in rule:
            rule["annotations"] = {"summary": "changed: {{ $value }}", "more": "{{ $labels.team }}"}
    made["alerts"]["rules"] = [rule for rule in made["alerts"]["rules"] if not rule.get("alert", "").startswith("Queue20s")]
    for rule in made["more alerts"]["rules"]:
        if rule.get("alert") == "Down":
            rule["labels"] = {"job": "replaced again"}
        if rule.get("alert") == "Hot":
            rule["expr"] = "temperature_celsius > 24"
    chain = made["chain"]["rules"]
    chain[1]["expr"], chain[2]["expr"] = "chain:0 * 3", "chain:1 - chain:0"
    added = [record("added:up", "up"), alert("Added", "up == 0"), record("beat", "vector(1)", of="added")]
    return [*made.values(), {"name": "added", "interval": "1s", "rules": added}]


def files(changed=False):
    """Two files, so that groups of one name are in both."""
    made = changed_groups() if changed else groups()
    second = [{"name": "chain", "interval": "1s", "rules": [record("second:up", "up"), alert("Second", "up == 0"), record("beat", "vector(1)", of="second")]}]
    return {"rules-1.yml": json.dumps({"groups": made}, indent=1), "rules-2.yml": json.dumps({"groups": second})}
