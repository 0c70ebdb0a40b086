"""Why promlake and Prometheus 3.5 answer some requests otherwise. promlake is Prometheus 3.16.

Each reason is one for which promlake stays as it is. What is only not yet as it should be stands in no list: it fails.
"""
import re

MISSING = "(nothing)"
# Routes whose answers Prometheus does not compress.
NEVER_COMPRESSED = re.compile(r"/api/v1/(status/walreplay|notifications|read|write)")


def as_newer(request, name, value):
    """A header of an answer of Prometheus 3.5, as Prometheus 3.16 has it, and with the one that promlake has everywhere."""
    if name == "x-content-type-options":
        return "nosniff"
    if name == "vary" and not NEVER_COMPRESSED.search(request.route):
        return {"origin": "accept-encoding, origin", MISSING: "accept-encoding" if request.route.endswith("/federate") else MISSING}.get(value, value)
    return value


# Of the configuration as it is printed: what newer versions have more, and our own default of the storage section.
YAML_OURS = re.compile(
    r"^ *(scrape_native_histograms: false|extra_scrape_metrics: false|label_name_\w+: true|metric_name_(validation|escaping)_scheme: .*)\n"
    r"|^storage:\n  tsdb:\n    out_of_order_time_window: 1h\n|^  - PrometheusProto\n", re.M)
# What is Go's, and the formats that 3.5 chooses by a feature flag: of the global section, and protobuf.
YAML_THEIRS = re.compile(
    # The third is a field of Prometheus' that nobody meant to be printed.
    r"^runtime:\n  gogc: 75\n|^    outofordertimewindow: .*\n|^ *metric_name_(validation|escaping)_scheme: .*\n"
    r"|^  scrape_protocols:\n(  - .*\n)+(?=  evaluation_interval)|^  - PrometheusProto\n", re.M)


def newer_yaml(ours, theirs):
    """Two printed configurations without what one of the versions does not print."""
    return YAML_OURS.sub("", ours), YAML_THEIRS.sub("", theirs)


# --- What a difference is

def body(d):
    return d.aspect.startswith("body")


def texts(pattern, replaced=""):
    """Texts that are the same once something of ours is replaced."""
    return lambda d: body(d) and isinstance(d.ours, str) and isinstance(d.theirs, str) and re.sub(pattern, replaced, d.ours) == d.theirs


def at(pattern, applies=lambda d: True):
    """Requests whose path and line have this."""
    return lambda d: re.search(pattern, f"{d.request.path} {d.line}") is not None and applies(d)


def header(name, applies=lambda d: True):
    return lambda d: d.aspect == f"header {name}" and applies(d)


def statuses(*pairs):
    return lambda d: d.status in pairs


def only_ours(*names):
    return lambda d: d.theirs == MISSING and d.aspect.rsplit(".", 1)[-1] in names


def values(text):
    return set(text.split(", ")) - {MISSING}


def without_series(text):
    return re.sub(r"\{[^{}]*\}", "{}", str(text))


def is_health(d):
    return body(d) and re.match(r"Prometheus (Server|Agent) is ", str(d.theirs)) is not None and str(d.ours).startswith("promlake is ")


TREE = only_ours("anchored", "smoothed", "offsetExpr", "rangeExpr", "stepExpr", "fillValues")
TARGET_LABELS = only_ours("__always_scrape_classic_histograms__", "__convert_classic_histograms_to_nhcb__", "__scrape_native_histograms__")
FAR = r"time=(-?inf|Inf|NaN|-?1e308|9999-|0000-|-292273086|292277025|-?9223372036854775)|(start|end)=(Inf|NaN|-?1e300|-?292)"

EXPLAINED = [
    # HTTP.
    ("who answers GET answers HEAD, with the same headers (RFC 9110, section 9.1)",
     lambda d: d.method == "HEAD" and (d.status[1] == 405 or d.aspect == "header content-type" and d.theirs == MISSING)),
    ("the same, so HEAD is among the methods that are allowed",
     header("allow", lambda d: "head" in d.ours and values(d.ours) - {"head"} == values(d.theirs) - {"delete", "head"})),
    ("whatever an answer is about, it is compressed where that is asked for",
     header("vary", lambda d: values(d.ours) - values(d.theirs) == {"accept-encoding"})),
    ("all answers of a route say what they vary by",
     header("vary", lambda d: d.status == (405, 405) and values(d.ours) - values(d.theirs) <= {"origin", "accept-encoding"})),
    ("pages of other sites may not write, so answers there vary by who asks",
     at("/(read|write|otlp)", header("vary", lambda d: values(d.ours) - values(d.theirs) <= {"origin", "accept-encoding"}))),
    ("a form in parts is a form wherever there may be one, and one that cannot be read is told",
     at("MULTIPART|multipart/form-data", lambda d: body(d) or d.status == (200, 400))),
    ("of two encodings that a client takes, the one that we prefer", at("deflate, gzip", header("content-encoding", lambda d: d.ours == "gzip"))),
    ("Prometheus says snappy also of errors, which are none", header("content-encoding", lambda d: (d.ours, d.theirs) == (MISSING, "snappy"))),
    ("where pages of any origin may read, that is said so; Prometheus means to, and compares with another pattern than its own",
     header("access-control-allow-origin", lambda d: d.ours == "*" and d.theirs == d.request.headers.get("Origin"))),
    ("an origin that may not read is not told how it could",
     at(r"Origin: https://(bad|good\.example\.evil)", lambda d: d.aspect.startswith("header access-control") and d.ours == MISSING)),
    ("pages of other sites may not change anything", at("Origin|Sec-Fetch-Site", lambda d: d.status[0] == 403)),
    ("names that lead here and are not known are not answered to: pages of any site could read by them", at("Host: evil", statuses((421, 200)))),
    ("a body that is too long is refused; Prometheus takes it for none", at("@11 MB", statuses((413, 400)))),
    ("Prometheus leads those who end a path with / to one that it does not have", at("^ ?(/inner)?/api", statuses((404, 301), (400, 301)))),
    ("a label's name may have a /", at("a%2Fb", statuses((200, 404)))),
    ("JSON is said to be JSON", at("/version", statuses((200, 200)))),
    ("text is said to be text, also where there is none", at("/-/reload", header("content-type", lambda d: d.theirs == MISSING))),

    # What promlake is not, or is besides.
    ("our name is another", is_health),
    ("all names of our own metrics are such that none is escaped", header("content-type", lambda d: d.theirs == f"{d.ours}; escaping=underscores")),
    ("own metrics come as OpenMetrics where that is asked for",
     at("/metrics.*openmetrics", header("content-type", lambda d: d.ours.startswith("application/openmetrics")))),
    ("Debian's Prometheus has no pages", at("/(query|agent)", statuses((200, 404)))),
    ("consoles are not built, and what Go tells of itself cannot be", at(r"^ (~~ )?/(consoles|debug)\b")),
    ("folders are not listed", at("^ /user/$", statuses((404, 200)))),
    ("snapshots are not built", at("/admin/tsdb/snapshot", lambda d: d.status[0] == 404 and d.status[1] in (200, 204, 400))),
    ("an agent keeps no samples, and says so everywhere",
     lambda d: d.server == "agent" and statuses((422, 500), (422, 400))(d) and at("/federate|/read")(d)),
    ("operators on top of each other are at most 512", at("@20 kB", lambda d: d.status == (400, 200))),
    ("flags of our own, and newer ones", at("status/flags", lambda d: body(d) and d.theirs == MISSING)),
    ("more is said of the build, and of writes that fail", only_ours("application", "applicationVersion", "rustVersion", "storageWriteError")),
    ("metadata of remote write and OTLP is kept and shown", at("/metadata", lambda d: re.match(r"body\.data\.(http|otlp|second)[._]", d.aspect) and d.theirs == MISSING)),
    ("a server that only this machine reaches has an address in its external URL, not a name",
     lambda d: d.aspect.endswith(".globalUrl") and re.sub("//[^:/]+", "//127.0.0.1", d.theirs) == d.ours),
    ("samples may be of any age", at("@too old", statuses((204, 400)))),

    # What came after 3.5.
    ("newer: words about regular expressions", texts(r'invalid regular expression ".*?": ')),
    ("newer: words about parameters that are NaN", at("NaN", lambda d: d.ours == "Parameter value is NaN")),
    ("newer: durations may be computed", texts(r"number, duration, step\(\), or range\(\)", "number or duration")),
    ("newer: histograms with buckets of their own are told as classic ones", at(r"^/federate match\[\]=custom", body)),
    ("newer: anchored", at("anchored", lambda d: body(d) or d.status == (422, 400))),
    ("newer: which series are named of those that are too many does not change from one time to the next",
     lambda d: body(d) and "found duplicate series" in str(d.ours) and without_series(d.ours) == without_series(d.theirs)),
    ("newer: samples that are read are counted", only_ours("samplesRead", "samplesReadPerStep")),
    ("newer: words about stats that are neither true nor all", lambda d: 'for parameter "stats" is deprecated' in str(d.ours)),
    ("newer: sort does nothing over a range", lambda d: "sort is ineffective for range queries" in str(d.ours)),
    ("newer: more of the tree", at("/parse_query", TREE)),
    ("newer: labels of targets", TARGET_LABELS),
    ("newer: labels are there also where there are none", at("/rules", lambda d: d.ours == {} and only_ours("labels")(d))),
    ("newer: a token is of 256 bits", lambda d: d.aspect.endswith("groupNextToken") and (len(d.ours), len(d.theirs)) == (64, 40)),
    ("newer: series are not deleted by DELETE", at("/series DELETE", lambda d: d.status[0] == 405)),
    ("newer: words about messages that are not known", texts("unknown type for", "unknown")),
    ("newer: an error of a write is told once", at("@gzipped", lambda d: body(d) and d.theirs.startswith(d.ours))),
    ("newer: series without samples are refused", at("@write 2 nothing in it", statuses((400, 204)))),
    ("newer: a bad reference is an error; 3.5 panics", at("@write 2 (bad|odd) ref", lambda d: str(d.status[1]).startswith("no answer"))),

    # Where Prometheus is odd.
    ("a time is what it says, or an error; Prometheus lets it overflow", at(FAR)),
    ("a step below a millisecond is none; Prometheus divides by it where it gets so far", at(r"step=0\.000[15]$", lambda d: d.status[0] == 400)),
    ("nothing is between an end and a start behind it; Prometheus does not look", at(r"start=\$t&end=\$t-60|@read backwards", body)),
    ("a query that is late from its beginning: Prometheus names where it notices", at(r"timeout=(0|-1)$", lambda d: d.status[0] == 503)),
    ("what is wrong with a request is not the fault of the server", at("@read (bad|kind)", statuses((400, 500)))),
    ("words of a parser or decoder", lambda d: body(d) and ("while parsing" in str(d.theirs) or d.theirs == "unexpected EOF\n")),
]
