"""What promlake answers where Prometheus 3.5 has nothing to compare with: statuses and shapes of Prometheus 3.16, by its sources.

Of a body, a type stands for any value of it, a list of one for any number of such, `"?name"` for a name that may be missing, a
function for what it is true of; all else is as it is. Those below LATER are asked for with --newer only.
"""
import collections
import json
import re
import urllib.parse

Expectation = collections.namedtuple("Expectation", "server line status content_type body stream", defaults=[False])
JSON, TEXT, NDJSON, NUMBER = "application/json", "text/plain; charset=utf-8", "application/x-ndjson; charset=utf-8", (int, float)
LABELS = dict


def of_text(text):
    """A body that the regular expression matches."""
    return lambda body: isinstance(body, str) and re.fullmatch(text, body, re.S) is not None


def answer(data, **more):
    return 200, JSON, {"status": "success", "data": data, **more}


def error(status, kind, text):
    return status, JSON, {"status": "error", "errorType": kind, "error": text}


def bad(text):
    return error(400, "bad_data", text)


def plain(status, text):
    return status, TEXT, text


def lines(*results, more=False, warnings=None):
    """Of search: batches of results, and what comes behind."""
    return 200, NDJSON, [*[{"results": batch} for batch in results], {"status": "success", "has_more": more, **({"warnings": warnings} if warnings else {})}]


def names_of(*names, **more):
    return [{"name": name, **more} for name in names]


RULE = {"?source_labels": [str], "separator": str, "regex": str, "?modulus": int, "?target_label": str, "replacement": str, "action": str}
STEPS = "/api/v1/targets/relabel_steps"
POOL = "/api/v1/scrape_pools/config"
OTLP = "/api/v1/otlp/v1/metrics"
# OTLP wants a message, which is empty; Prometheus sends none.
TAKEN = (200, None, lambda body: body in ("", {}))

# (server, request) and what is answered.
NOW = [
    ("main", f"{POOL}?scrapePool=down", answer({"yaml": of_text(r"job_name: down\n.*scrape_interval: 2s\n.*static_configs:\n.*")})),
    ("main", f"{POOL}?scrapePool=", bad("no scrapePool parameter provided")),
    ("main", POOL, bad("no scrapePool parameter provided")),
    ("main", f"{POOL}?scrapePool=absent", bad('error retrieving scrape config: scrape pool "absent" not found')),
    ("main", f'{STEPS}?scrapePool=pages&labels={{"drop":"yes","__address__":"a"}}', answer({"steps": [{"rule": RULE, "output": LABELS, "keep": bool}]})),
    ("main", f'{STEPS}?scrapePool=down&labels={{"a":"b"}}', answer({"steps": []})),
    ("main", f"{STEPS}?labels={{}}", bad("no scrapePool parameter provided")),
    ("main", f"{STEPS}?scrapePool=down", bad("no labels parameter provided")),
    ("main", f"{STEPS}?scrapePool=down&labels=x", lambda status, body: status == 400 and body["error"].startswith("error parsing labels: ")),
    ("main", f'{STEPS}?scrapePool=absent&labels={{"a":"b"}}', bad('error retrieving scrape config: scrape pool "absent" not found')),
    ("main", f"POST? {OTLP} <- @otlp | Content-Type: application/json", TAKEN),
    ("main", f"POST? {OTLP} <- @otlp gzip | Content-Type: application/json | Content-Encoding: gzip", TAKEN),
    ("main", f"POST? {OTLP} <- @otlp empty | Content-Type: application/json", TAKEN),
    ("main", f"POST? {OTLP} <- @nothing | Content-Type: application/x-protobuf", TAKEN),
    ("main", f"POST? {OTLP} <- @otlp | Content-Type: application/json | Content-Encoding: zstd",
     plain(400, 'unsupported compression: zstd. Only "gzip" or no compression supported\n')),
    ("main", f"POST? {OTLP} <- @otlp | Content-Type: text/plain",
     plain(400, "unsupported content type: text/plain, supported: [application/json, application/x-protobuf]\n")),
    ("main", f"POST? {OTLP} <- @otlp",
     plain(400, "unsupported content type: , supported: [application/json, application/x-protobuf]\n")),
    ("main", f"POST? {OTLP} <- @otlp bad | Content-Type: application/json", lambda status, body: status == 400),
    ("main", f"POST? {OTLP} <- @not protobuf | Content-Type: application/x-protobuf", lambda status, body: status == 400),
    ("main", f"POST? {OTLP} <- @otlp delta | Content-Type: application/json", lambda status, body: status == 500 and "temporality" in body),
    ("main", OTLP, lambda status, body: status == 405),
    ("bare", f"POST? {OTLP} <- @otlp | Content-Type: application/json",
     plain(404, "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n")),
    ("main", "/api/v1/query?query=1&time=5&stats=yes", answer({"resultType": "scalar", "result": [5, "1"], "stats": dict}, warnings=[
        'value "yes" for parameter "stats" is deprecated and will be rejected in the next major release, use "true" or "all"'])),
    ("main", "/api/v1/status/tsdb?limit=10001", bad("limit must not exceed 10000")),
    ("main", "DELETE /api/v1/series?match[]=up", lambda status, body: status == 405),
    ("main", "/api/v1/rules?group_limit=1", answer({
        "groups": [dict], "groupNextToken": lambda token: isinstance(token, str) and re.fullmatch("[0-9a-f]{64}", token) is not None})),
]

METRICS, NAMES, VALUES = "/api/v1/search/metric_names", "/api/v1/search/label_names", "/api/v1/search/label_values"
OF_PAST = "start=$t-3600&end=$t"
FEATURES = {"api": 15, "otlp_receiver": 2, "prometheus": 4, "promql": 21, "promql_functions": 90, "promql_operators": 35, "rules": 3,
            "scrape": 3, "service_discovery_providers": 37, "templating_functions": 29, "tsdb": 8, "ui": 2}


def has_features(data):
    return set(FEATURES) <= set(data) and all(isinstance(on, bool) for group in data.values() for on in group.values())


FAMILY = {"name": str, "?help": str, "type": str, "?unit": str, "metric": [dict]}
BLOCK = {"ulid": str, "minTime": int, "maxTime": int, "stats": dict, "compaction": dict, "version": int}

LATER = [
    # Search.
    ("main", f"{METRICS}?{OF_PAST}&match[]={{__name__=~\"http_.*\",job=\"api\"}}",
     lines(names_of("http_inprogress", "http_requests_total", "http_seconds_bucket", "http_seconds_count", "http_seconds_sum"))),
    ("main", f"POST {METRICS}", lines([{"name": str}], more=bool)),
    ("main", f"{METRICS}?{OF_PAST}&search[]=http_req", lines(names_of("http_requests_total"))),
    ("main", f"{METRICS}?{OF_PAST}&search[]=HTTP_REQ", lines([])),
    ("main", f"{METRICS}?{OF_PAST}&search[]=HTTP_REQ&case_sensitive=false", lines(names_of("http_requests_total"))),
    ("main", f"{METRICS}?{OF_PAST}&search[]=http_req&search[]=machine&sort_by=alpha&sort_dir=dsc",
     lines(names_of("machine_info", "http_requests_total"))),
    ("main", f"{METRICS}?{OF_PAST}&search[]=http_req&include_score=true", lines([{"name": "http_requests_total", "score": NUMBER}])),
    ("main", f"{METRICS}?{OF_PAST}&search[]=hrt&fuzz_alg=subsequence&sort_by=score&include_score=1", lines([{"name": str, "score": NUMBER}], more=bool)),
    ("main", f"{METRICS}?{OF_PAST}&search[]=http_reqests&fuzz_alg=jarowinkler&fuzz_threshold=90&sort_by=score",
     lambda status, body: status == 200 and body[0]["results"][0] == {"name": "http_requests_total"}),
    ("main", f"{METRICS}?{OF_PAST}&match[]={{job=\"api\",__name__=~\"http_.*\"}}&limit=2", lines(names_of("http_inprogress", "http_requests_total"), more=True)),
    ("main", f"{METRICS}?{OF_PAST}&match[]={{job=\"api\",__name__=~\"http_.*\"}}&limit=3&batch_size=2",
     lines(names_of("http_inprogress", "http_requests_total"), names_of("http_seconds_bucket"), more=True)),
    ("main", f"{METRICS}?{OF_PAST}&match[]={{job=\"api\",__name__=~\"http_.*\"}}&batch_size=100000",
     lines(names_of("http_inprogress", "http_requests_total", "http_seconds_bucket", "http_seconds_count", "http_seconds_sum"))),
    ("main", f"{METRICS}?search[]=page_temperature&include_metadata=true",
     lines([{"name": "page_temperature_celsius", "type": "gauge"}])),
    ("main", f"{METRICS}?search[]=nothing_like_it", lines([])),
    ("main", f"{METRICS}?start=1&end=1", lines([])),
    ("main", f"{METRICS}?search[]=&{OF_PAST}&match[]=machine_info", lines(names_of("machine_info"))),
    ("main", f"{METRICS}?start=2&end=1", bad("end timestamp must not be before start timestamp")),
    ("main", f"{METRICS}?start=x", bad('invalid time value for \'start\': cannot parse "x" to a valid timestamp')),
    ("main", f"{METRICS}?match[]={{}}", bad("match[] must contain at least one non-empty matcher")),
    ("main", f"{METRICS}?match[]={{", lambda status, body: status == 400 and "parse error" in body["error"]),
    ("main", f"{METRICS}?" + "&".join(["search[]=a"] * 33), bad("too many search[] terms: got 33, maximum is 32")),
    ("main", f"{METRICS}?fuzz_threshold=101", bad('invalid fuzz_threshold "101": must be 0-100')),
    ("main", f"{METRICS}?fuzz_threshold=x", bad('invalid fuzz_threshold "x": must be 0-100')),
    ("main", f"{METRICS}?fuzz_alg=x", bad('unsupported fuzz_alg "x": must be one of [subsequence jarowinkler]')),
    ("main", f"{METRICS}?case_sensitive=x", bad('invalid case_sensitive "x": must be boolean')),
    ("main", f"{METRICS}?include_score=x", bad('invalid include_score "x": must be boolean')),
    ("main", f"{METRICS}?include_metadata=x", bad('invalid include_metadata "x": must be boolean')),
    ("main", f"{METRICS}?sort_by=x", bad('invalid sort_by "x" for metric_names: must be "alpha" or "score"')),
    ("main", f"{METRICS}?sort_by=score", bad("sort_by=score requires search[] to be set")),
    ("main", f"{METRICS}?sort_dir=asc", bad("sort_dir is only valid when sort_by is set")),
    ("main", f"{METRICS}?sort_by=score&sort_dir=asc&search[]=a", bad("sort_dir is not supported for sort_by=score")),
    ("main", f"{METRICS}?sort_by=alpha&sort_dir=desc", bad('invalid sort_dir "desc": must be "asc" or "dsc"')),
    ("main", f"{METRICS}?limit=0", bad('invalid limit "0": must be a positive integer')),
    ("main", f"{METRICS}?limit=x", bad('invalid limit "x": must be a positive integer')),
    ("main", f"{METRICS}?limit=10001", bad("limit 10001 exceeds the configured maximum (10000, see --web.search.max-limit)")),
    ("main", f"{METRICS}?batch_size=0", bad('invalid batch_size "0": must be a positive integer')),
    ("main", f"{NAMES}?{OF_PAST}&match[]=http_requests_total", lines(names_of("__name__", "code", "instance", "job"))),
    ("main", f"{NAMES}?{OF_PAST}&match[]=http_requests_total&search[]=o", lines(names_of("code", "job"))),
    ("main", f"{NAMES}?sort_by=x", bad('invalid sort_by "x" for label_names: must be "alpha" or "score"')),
    ("main", f"{VALUES}?{OF_PAST}&label=code", lines([{"value": "200"}, {"value": "404"}, {"value": "500"}])),
    ("main", f"{VALUES}?{OF_PAST}&label=code&search[]=0&search[]=5&sort_by=alpha&sort_dir=dsc&limit=2",
     lines([{"value": "500"}, {"value": "404"}], more=True)),
    ("main", f"{VALUES}?{OF_PAST}&label=absent", lines([])),
    ("main", VALUES, bad('missing required parameter "label"')),
    ("main", f"{VALUES}?label=code&limit=-1", bad('invalid limit "-1": must be a positive integer')),
    ("main", f"DELETE {METRICS}", lambda status, body: status == 405),
    ("bare", METRICS, error(500, "unavailable", "search API disabled")),
    ("bare", f"{VALUES}?limit=x", error(500, "unavailable", "search API disabled")),
    # What there is.
    ("main", "/api/v1/features", answer(has_features)),
    # What `admin` stands for is not built, whatever the flag says.
    ("main", "/api/v1/features", answer(lambda data: not data["api"]["admin"] and data["api"]["lifecycle"] and data["api"]["query_warnings"])),
    ("main", "/api/v1/features", answer(lambda data: data["promql_functions"]["rate"] and data["promql_operators"][">="])),
    ("bare", "/api/v1/features", answer(lambda data: not data["api"]["admin"] and not data["api"]["lifecycle"])),
    ("agent", "/api/v1/features", answer(lambda data: data["prometheus"]["agent_mode"])),
    ("main", "POST /api/v1/features", lambda status, body: status == 405),
    # Notifications.
    ("main", "/api/v1/notifications", answer([{"text": str, "date": str, "active": bool}])),
    ("main", "/api/v1/notifications/live", (200, "text/event-stream", ""), True),
    # The status of the server.
    ("main", "/api/v1/status/self_metrics", answer([FAMILY])),
    ("main", "/api/v1/status/self_metrics?metric_name_pattern=prometheus_build_info", answer([
        {"name": "prometheus_build_info", "help": str, "type": "GAUGE", "metric": [{"label": [{"name": str, "?value": str}], "gauge": {"value": 1}}]}])),
    ("main", "/api/v1/status/self_metrics?metric_name_pattern=build_info", answer([])),
    ("main", "/api/v1/status/self_metrics?metric_name_pattern=(",
     lambda status, body: status == 400 and body["error"].startswith("invalid metric_name_pattern: error parsing regexp: ")),
    ("main", "/api/v1/status/tsdb/blocks", answer({"blocks": lambda blocks: blocks is None or all(fits([BLOCK], blocks))})),
    ("agent", "/api/v1/status/tsdb/blocks", error(422, "execution", "unavailable with Prometheus Agent")),
    ("main", "/api/v1/openapi.yaml", (200, "application/yaml; charset=utf-8", of_text(r"openapi: 3\.1\.0\n.*/query_range:.*"))),
    ("main", "/api/v1/openapi.yaml?openapi_version=3.2", (200, "application/yaml; charset=utf-8", of_text(r"openapi: 3\.2\.0\n.*/query_range:.*"))),
    ("main", "/api/v1/openapi.yaml?openapi_version=x", (200, "application/yaml; charset=utf-8", of_text(r"openapi: 3\.1\.0\n.*"))),
    # Start timestamps.
    ("main", "/api/v1/query?query=1&time=5 | X-Prometheus-Use-Start-Timestamps: true", answer({"resultType": "scalar", "result": [5, "1"]})),
    ("main", "/api/v1/query?query=1&time=5 | X-Prometheus-Use-Start-Timestamps: F", answer({"resultType": "scalar", "result": [5, "1"]})),
    ("main", "/api/v1/query?query=1&time=5 | X-Prometheus-Use-Start-Timestamps: yes", lambda status, body: status == 400 and body["error"].startswith(
        "error parsing X-Prometheus-Use-Start-Timestamps header: ")),
    ("main", "/api/v1/query_range?query=1&start=1&end=2&step=1 | X-Prometheus-Use-Start-Timestamps: ja",
     lambda status, body: status == 400 and body["error"].startswith("error parsing X-Prometheus-Use-Start-Timestamps header: ")),
]


def expectations(later):
    """Those that are asked for; `later` says whether also what may not be built yet."""
    for server, line, expected, *stream in NOW + (LATER if later else []):
        status, content_type, body = (None, None, expected) if callable(expected) else expected
        line = line.translate({ord(c): urllib.parse.quote(c) for c in '"{}'})
        yield Expectation(server, line, status, content_type, body, bool(stream))


def fits(expected, got, path="body"):
    """What is not as expected, as texts."""
    if isinstance(expected, tuple) or isinstance(expected, type):
        return [] if isinstance(got, expected) and (expected is bool or not isinstance(got, bool)) else [f"{path} is {got!r:.200}"]
    if callable(expected):
        return [] if expected(got) else [f"{path} is {got!r:.200}"]
    if isinstance(expected, dict) and isinstance(got, dict):
        known = {name.lstrip("?"): (inner, name.startswith("?")) for name, inner in expected.items()}
        out = [f"{path}.{name} is more" for name in got.keys() - known.keys()]
        out += [f"{path}.{name} is missing" for name, (_, may) in known.items() if name not in got and not may]
        return out + [text for name, (inner, _) in known.items() if name in got for text in fits(inner, got[name], f"{path}.{name}")]
    if isinstance(expected, list) and isinstance(got, list):
        any_number = len(expected) == 1 and not is_constant(expected[0])
        pairs = [(expected[0], one) for one in got] if any_number else list(zip(expected, got))
        out = [] if any_number or len(expected) == len(got) else [f"{path} has {len(got)} and not {len(expected)}"]
        return out + [text for i, pair in enumerate(pairs) for text in fits(*pair, f"{path}[{i}]")]
    return [] if expected == got else [f"{path} is {got!r:.200} and not {expected!r:.200}"]


def is_constant(expected):
    if isinstance(expected, dict):
        return not any(name.startswith("?") for name in expected) and all(map(is_constant, expected.values()))
    return is_constant(expected[0]) if isinstance(expected, list) and expected else isinstance(expected, (str, int, float))


def check(checks, expectation, answer):
    content_type = answer.headers.get("content-type", "")
    body = answer.body.decode(errors="replace")
    if content_type.startswith(JSON):
        body = json.loads(body)
    elif content_type.startswith("application/x-ndjson"):
        body = [json.loads(line) for line in body.splitlines()]
    wrong = []
    if expectation.status is None:
        try:
            wrong = [] if expectation.body(answer.status, body) else [f"{answer.status} {body!r:.200}"]
        except (KeyError, IndexError, TypeError, AttributeError) as failure:
            wrong = [f"{answer.status} {body!r:.200}: {type(failure).__name__}"]
    else:
        wrong += [] if answer.status == expectation.status else [f"status {answer.status} and not {expectation.status}"]
        wrong += [] if expectation.content_type in (None, content_type) else [f"content type {content_type!r}"]
        wrong += fits(expectation.body, body)
    if wrong:
        checks.check(f"{expectation.server}: {expectation.line[:120]}", False, "; ".join(wrong[:3]))
    return not wrong
