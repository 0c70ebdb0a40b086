"""promlake and Prometheus answer the same requests to their HTTP API alike: status, headers, shape, and content where the data says it.

    python tests/acceptance/api_requests.py --promlake target/release/promlake [--prometheus BINARY] [--only WORD] [--newer] [-v]

Four pairs of servers get the same configuration, pages, rules and samples (api_requests_data.py), and then the same requests, good and
bad ones: the tables are in api_requests_queries.py, …_names.py, …_routes.py and …_servers.py. What is another one at each moment, as
times and durations, is compared by kind; what differs in one answer and not in the next is what changed meanwhile. What differs for
a reason is in api_requests_explained.py. What Prometheus 3.5 does not have is held against api_requests_newer.py, all of it with --newer.

Needs Prometheus (tests/peers installs it). Everything listens on loopback and is stopped at the end.
"""
import argparse
import collections
import concurrent.futures
import contextlib
import difflib
import http.client
import json
import os
import re
import shutil
import sys
import tempfile
import time
import urllib.parse
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import api_requests_data as data  # noqa: E402
import api_requests_names as names  # noqa: E402
import api_requests_newer as newer  # noqa: E402
import api_requests_queries as queries  # noqa: E402
import api_requests_routes as routes  # noqa: E402
import api_requests_servers as servers_table  # noqa: E402
from api_requests_explained import EXPLAINED, as_newer, newer_yaml  # noqa: E402
from federation import REMOTE_WRITE_1  # noqa: E402
from processes import Pages, call, free_port, until  # noqa: E402
from rules import near  # noqa: E402
from servers import PROMETHEUS, Checks, Peer, Scribe  # noqa: E402

TIMEOUT_S = 30
# What is about now may be another thing a moment later; of all else twice is to see what is left to chance.
TRIES, TRIES_NOW = 2, 8
METHOD = re.compile(r"(GET|HEAD|POST\??|PUT\??|DELETE|PATCH|OPTIONS|BREW|MULTIPART|JSON)(?: |$)")
HEADERS = ["access-control-allow-headers", "access-control-allow-methods", "access-control-allow-origin", "access-control-expose-headers",
           "allow", "cache-control", "content-encoding", "content-type", "location", "retry-after", "vary", "x-content-type-options",
           "x-prometheus-remote-write-exemplars-written", "x-prometheus-remote-write-histograms-written",
           "x-prometheus-remote-write-samples-written", "x-prometheus-stopping"]
# What may not be built yet.
LATER = {"/api/v1/notifications"}
# Compared by kind, wherever they are.
VOLATILE = {"lastScrape", "lastScrapeDuration", "evaluationTime", "lastEvaluation", "activeAt", "keepFiringSince", "startTime", "serverTime",
            "lastConfigTime", "evalTotalTime", "resultSortTime", "queryPreparationTime", "innerEvalTime", "execQueueTime", "execTotalTime"}
SHORT = {"version_1": REMOTE_WRITE_1, "snappy": data.SNAPPY_FORM, "version_2": {
    "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request", "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "2.0.0"}}


class Request:
    """A line of a table."""

    def __init__(self, server, path, line, bodies):
        self.server, self.line, self.headers, self.body = server, line, {}, None
        self.compared, text = re.match(r"(~{0,2}) ?(.*)", line, re.S).groups()
        text, *headers = text.split(" | ")
        for header in headers:
            if header.startswith("$"):
                self.headers.update(SHORT[header[1:]])
            else:
                name, value = header.split(":", 1)
                self.headers[name] = value.strip()
        text, _, body = text.partition("<- ") if "<- " in text else (text, "", None)
        method = METHOD.match(text)
        self.method, self.form = (method[1], text[method.end():].strip()) if method else ("GET", text)
        if body is not None:
            self.body = bodies[body[1:]] if body.startswith("@") else body.encode()
        self.path = path
        self.changes = self.method.startswith(("POST", "PUT")) and re.search(r"/(-|admin|write|otlp)(/|$)", path + self.form) is not None
        self.tries = TRIES_NOW if "$n" in self.form or re.search(r"/(targets|rules|alerts|tsdb)\b", path + self.form) else TRIES
        self.route = path or "/".join(self.form.split("?")[0].split("/")[:4]) or "/"

    def made(self, folder, now):
        """Method, target, headers and body at a time."""
        text = with_times(self.form, now).replace("$folder", folder)
        verbatim = text.startswith(("/", "?"))
        pairs = [] if verbatim else [part.partition("=") for part in text.split("&")] if text else []
        form = "&".join(quoted(name) + is_set + quoted(value) for name, is_set, value in pairs)
        headers, body, method = dict(self.headers), self.body, self.method
        target = self.path + (text.replace(" ", "%20") if verbatim else "?" + form if form else "")
        if method in ("POST", "PUT") and not verbatim and body is None:
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
            target, body = self.path, form.encode()
        elif method == "MULTIPART":
            part = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
            method, target, body = "POST", self.path, ("".join(part.format(name, value) for name, _, value in pairs) + "--b--\r\n").encode()
            headers["Content-Type"] = "multipart/form-data; boundary=b"
        elif method == "JSON":
            method, target, body = "POST", self.path, json.dumps({name: value for name, _, value in pairs}).encode()
            headers["Content-Type"] = "application/json"
        method = method.rstrip("?")
        if method in ("POST", "PUT", "PATCH") and body is None:
            body = b""
        return method, target, {name: value for name, value in headers.items() if value or name != "Content-Type"}, body

    def __str__(self):
        return f"{self.server}: {self.path} {self.line}" if self.path else f"{self.server}: {self.line}"


def quoted(text):
    return urllib.parse.quote_plus(text)


def with_times(text, now):
    def at(found):
        offset = float(found[2] or 0)
        if found[1] == "r":
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(data.T + offset))
        moment = (data.T if found[1] == "t" else int(now)) + offset
        return f"{moment:.3f}".rstrip("0").rstrip(".")

    return re.sub(r"\$([trn])([+-]\d+(?:\.\d+)?)?(?![a-z])", at, text)


class Connection(http.client.HTTPConnection):
    """Takes targets that are not ASCII."""

    def _encode_request(self, request):
        return request.encode()


class Answer:
    def __init__(self, server, made, stream=False):
        method, target, headers, body = made
        connection = Connection("127.0.0.1", server.port, timeout=TIMEOUT_S)
        try:
            connection.putrequest(method, target, skip_host="Host" in headers, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            with contextlib.suppress(ConnectionError):
                connection.send(body or b"")
            response = connection.getresponse()
            self.status, raw = response.status, b"" if stream else response.read()
            found = collections.defaultdict(list)
            for name, value in response.getheaders():
                found[name.lower()].append(value)
            self.headers = {name: ", ".join(values) for name, values in found.items()}
            for name in {"allow", "vary"} & self.headers.keys():
                self.headers[name] = ", ".join(sorted({value.strip().lower() for value in self.headers[name].split(",")}))
        except (OSError, http.client.HTTPException) as error:
            self.status, self.headers, raw = f"no answer: {type(error).__name__}", {}, b""
        finally:
            connection.close()
        self.body = unpacked(raw, self.headers.get("content-encoding"))
        for old, new in ((f":{server.port}", ":PORT"), (f"%3A{server.port}", "%3APORT"), (server.folder, "FOLDER")):
            self.body = self.body.replace(old.encode(), new.encode())
            self.headers = {name: value.replace(old, new) for name, value in self.headers.items()}


def unpacked(raw, encoding):
    if encoding == "snappy":
        # Prometheus has the header also on errors, which are text.
        with contextlib.suppress(IndexError, ValueError):
            return data.unsnap(raw)
        return raw
    return zlib.decompress(raw, zlib.MAX_WBITS | 32) if encoding in ("gzip", "deflate") and raw else raw


# --- What of an answer is compared

def kind_of(value):
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value):
        return "no time" if value.startswith("0001-") else "a time"
    names_of = {str: "a text", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}
    return names_of[type(value)]


def shape(value):
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        found = {json.dumps(shape(inner), sort_keys=True) for inner in value}
        return [json.loads(text) for text in sorted(found)]
    return kind_of(value)


def steady(value):
    if isinstance(value, dict):
        return {key: kind_of(inner) if key in VOLATILE else steady(inner) for key, inner in value.items()}
    return [steady(inner) for inner in value] if isinstance(value, list) else value


def in_order(request, body):
    """Lists that have no order are given one."""
    text = lambda value: json.dumps(value, sort_keys=True)
    found = body.get("data") if isinstance(body, dict) else None
    for name in ("warnings", "infos"):
        if isinstance(body, dict) and name in body:
            body[name].sort()
    if isinstance(found, list) and request.route.endswith(("/series", "/targets/metadata", "/scrape_pools")):
        found.sort(key=text)
    if not isinstance(found, dict):
        return body
    ordered = re.search(r"\b(sort\w*|topk)\(", request.form)
    if isinstance(found.get("result"), list) and found.get("resultType") == "vector" and not ordered:
        found["result"].sort(key=text)
    for name in ("activeTargets", "droppedTargets", "alerts"):
        if isinstance(found.get(name), list):
            found[name].sort(key=lambda one: (one.get("scrapePool", ""), one.get("scrapeUrl", ""), text(one.get("labels")), text(one)))
    if request.route.endswith("/metadata"):
        for entries in found.values():
            entries.sort(key=text)
    for group in found.get("groups") or []:
        for rule in group["rules"]:
            if rule.get("alerts"):
                rule["alerts"].sort(key=lambda alert: text(alert["labels"]))
    return body


def families(body):
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", body.decode(), re.M))


def content(request, answer):
    """What is compared of a body."""
    if request.compared == "~~":
        return None
    if answer.headers.get("content-type", "").startswith("application/json"):
        try:
            body = in_order(request, json.loads(answer.body))
        except ValueError:
            return answer.body.decode(errors="replace")
        return shape(body) if request.compared else steady(body)
    return answer.body.decode(errors="backslashreplace")


class Difference:
    """One aspect of two answers: `status`, `header NAME`, or a path into the body."""

    def __init__(self, request, aspect, ours, theirs, status):
        self.request, self.aspect, self.ours, self.theirs, self.status = request, aspect, ours, theirs, status
        self.line, self.path, self.server, self.method = request.line, request.route, request.server, request.method.rstrip("?")

    def key(self):
        return self.aspect


MISSING = "(nothing)"


def unlike(path, ours, theirs):
    if path == "body.data.yaml" and isinstance(ours, str) and isinstance(theirs, str):
        ours, theirs = newer_yaml(ours, theirs)
        if ours == theirs:
            return
        lines = [line for line in difflib.unified_diff(theirs.splitlines(), ours.splitlines(), lineterm="", n=0) if line[:2] not in ("--", "++", "@@")]
        ours, theirs = [[line[1:] for line in lines if line[0] == sign] for sign in "+-"]
        yield path, "\n".join(ours), "\n".join(theirs)
        return
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in list(theirs) + [key for key in ours if key not in theirs]:
            yield from unlike(f"{path}.{key}", ours.get(key, MISSING), theirs.get(key, MISSING))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, pair in enumerate(zip(ours, theirs)):
            yield from unlike(f"{path}[{i}]", *pair)
    elif ours != theirs and not (
            path.startswith("body.data.result") and isinstance(ours, str) and isinstance(theirs, str) and near(ours, theirs)):
        yield path, ours, theirs


def differences(request, ours, theirs):
    found = [("status", ours.status, theirs.status)] if ours.status != theirs.status else []
    for name in HEADERS:
        pair = ours.headers.get(name, MISSING), as_newer(request, name, theirs.headers.get(name, MISSING))
        if pair[0] != pair[1]:
            found.append((f"header {name}", *pair))
    if "/metrics" in request.form and request.compared and theirs.status == 200:
        both = families(ours.body), families(theirs.body)
        found += unlike("types", *({name: one[name] for name in both[0].keys() & both[1].keys()} for one in both))
    found += unlike("body", content(request, ours), content(request, theirs))
    return [Difference(request, *one, (ours.status, theirs.status)) for one in found]


class Result:
    def __init__(self):
        self.asked, self.alike, self.used = collections.Counter(), collections.Counter(), collections.Counter()
        self.failed = []

    def take(self, request, found):
        self.asked[request.route] += 1
        unexplained = []
        for one in found:
            reason = next((reason for reason, applies in EXPLAINED if applies(one)), None)
            if reason:
                self.used[reason] += 1
            else:
                unexplained.append(one)
        if unexplained:
            self.failed.append((request, unexplained))
        else:
            self.alike[request.route, bool(found)] += 1

    def tell(self, verbose, whole):
        short = lambda value: json.dumps(value, ensure_ascii=False)[: 5000 if verbose else 300]
        for request, found in self.failed:
            print(f"FAIL {str(request)[:200]}")
            for one in found[: None if verbose else 4]:
                print(f"     {one.aspect}\n       promlake   {short(one.ours)}\n       Prometheus {short(one.theirs)}")
        for route, count in sorted(self.asked.items()):
            same, explained = self.alike[route, False], self.alike[route, True]
            print(f"{route}: {count} asked, {same} alike, {explained} explained, {count - same - explained} not")
        for reason, count in self.used.most_common():
            print(f"     {count} differences: {reason}")
        unused = [reason for reason, _ in EXPLAINED if not self.used[reason]] if whole else []
        for reason in unused:
            print(f"FAIL nothing differs any more: {reason}")
        total = sum(self.asked.values())
        print(f"{total} requests, {total - len(self.failed)} as Prometheus or explained, {len(self.failed)} not")
        return not self.failed and not unused


# --- Running

def ask(pool, pair, request, result):
    """Both at once; again while they differ, as far as that changes nothing."""
    waiting, began = None, time.time()
    for _ in range(request.tries):
        now = time.time()
        answers = list(pool.map(lambda server: Answer(server, request.made(server.folder, now)), pair))
        found = differences(request, *answers)
        waiting = found if waiting is None else [one for one in found if one.key() in {other.key() for other in waiting}]
        if not waiting or request.changes or all(any(applies(one) for _, applies in EXPLAINED) for one in waiting):
            break
        time.sleep(0.3)
    result.take(request, waiting)
    if time.time() - began > 20:
        print(f"     {time.time() - began:.1f} s: {str(request)[:150]}", flush=True)


def started(stack, args, folder, name, config, *flags, ours=(), **more):
    """Both servers of a pair; `ours` are flags that Debian's Prometheus does not have."""
    pair = []
    for kind, binary in (("promlake", args.promlake), ("prometheus", args.prometheus)):
        own = os.path.join(folder, name, kind)
        os.makedirs(own)
        data.write_files(own, args.pages)
        pair.append(stack.enter_context(Peer(kind, binary, own, config, *flags, *(ours if kind == "promlake" else ()), **more)))
    return pair


def settle(pair):
    """Until targets are scraped, rules evaluated, and alerts there."""
    for server in pair:
        scraped = lambda: all(target["health"] != "unknown" for target in server.data("/api/v1/targets")["activeTargets"])
        until(60, f"{server.kind} has scraped its targets", scraped)
        evaluated = lambda: all(not rule["lastEvaluation"].startswith("0001") for rule in server.rules().values())
        until(60, f"{server.kind} has evaluated its rules", lambda: len(server.rules()) > 5 and evaluated())
        until(60, f"{server.kind} has alerts", lambda: server.query('ALERTS{alertname="Firing"}', time.time()))


def main_pair(stack, args, folder, manager):
    closed = free_port()
    whole = json.loads(data.configuration(args.pages, closed, manager))
    # First the samples of the past, which Prometheus takes as long as it has nothing newer.
    empty = json.dumps({key: value for key, value in whole.items() if key in ("global", "storage")})
    flags = ["--web.enable-admin-api", "--web.user-assets=assets", "--web.external-url=http://prom.example:9090/",
             "--web.route-prefix=/", "--enable-feature=exemplar-storage,promql-per-step-stats", "--web.page-title=Requests"]
    ours = ["--web.enable-otlp-receiver", *(["--enable-feature=search-api"] if args.newer else [])]
    pair = started(stack, args, folder, "main", empty, *flags, ours=ours)
    for server in pair:
        for body in data.first_writes():
            status, answer = call(server.url + "/api/v1/write", body, REMOTE_WRITE_1)
            if status not in (200, 204):
                raise AssertionError(f"{server.kind}: {status} {answer[:300]}")
        server.configure(json.dumps(whole, ensure_ascii=False, indent=1))
        server.reload()
    settle(pair)
    # Each target twice more, the slowest every three seconds.
    time.sleep(7)
    return pair


def small(args):
    job = {"job_name": "files", "file_sd_configs": [{"files": ["targets/*.json"]}]}
    return {"global": {"scrape_interval": "2s", "scrape_timeout": "2s"}, "scrape_configs": [job]}


def run(args, checks, folder):
    bodies, scribe, result = data.bodies(), Scribe(), Result()
    pages = Pages(lambda path: data.PAGES.get(path.partition("?")[0]))
    args.pages = pages.port
    table = queries.TABLE + names.TABLE + routes.TABLE + servers_table.TABLE
    lines = [(server, path, line) for server, path, text in table for line in text.strip("\n").split("\n") if not line.startswith("#")]
    requests = [Request(*line, bodies) for line in lines if args.newer or line[1] not in LATER]
    wanted = [request for request in requests if args.only in str(request)]
    config = json.dumps(small(args))
    of_agent = json.dumps({**small(args), "remote_write": [{"url": f"http://127.0.0.1:{free_port()}/write"}]})
    receives_not = "--no-web.enable-remote-write-receiver"
    makes = {
        "main": lambda stack: main_pair(stack, args, folder, scribe.port),
        "bare": lambda stack: started(
            stack, args, folder, "bare", config, "--web.cors.origin=https://(good|better)\\.example", receives_not, allowed=False),
        "agent": lambda stack: started(
            stack, args, folder, "agent", of_agent, "--agent", "--storage.remote.flush-deadline=1s", receives_not, allowed=False),
        "prefix": lambda stack: started(
            stack, args, folder, "prefix", config, "--web.external-url=http://prom.example/outer/", "--web.route-prefix=/inner",
            "--web.user-assets=assets", prefix="/inner"),
    }
    try:
        ask_all(args, checks, result, makes, wanted, bodies)
    finally:
        checks.check("requests", result.tell(args.verbose, not args.only), f"{sum(result.asked.values())} asked")


def ask_all(args, checks, result, makes, wanted, bodies):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, make in makes.items():
            of_pair = [request for request in wanted if request.server == name]
            expected = [one for one in newer.expectations(args.newer) if one.server == name and args.only in one.line]
            if not of_pair and not expected:
                continue
            with contextlib.ExitStack() as stack:
                pair = make(stack)
                if name != "main":
                    until(30, "a target", lambda: all(server.data("/api/v1/targets")["activeTargets"][0]["health"] == "up" for server in pair))
                print(f"     {name}: {len(of_pair)} requests", flush=True)
                met = 0
                for one in expected:
                    request = Request(name, "", one.line, bodies)
                    met += newer.check(checks, one, Answer(pair[0], request.made(pair[0].folder, time.time()), one.stream))
                if expected:
                    print(f"     {name}: {met} of {len(expected)} of what is newer is as expected", flush=True)
                for request in of_pair:
                    ask(pool, pair, request, result)

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--promlake", default="target/release/promlake")
    parser.add_argument("--prometheus", default=PROMETHEUS)
    parser.add_argument("--only", default="", help="requests with this text, as `bare:` or `/api/v1/series`")
    parser.add_argument("--newer", action="store_true", help="also what came after 3.5 and may not be built yet")
    parser.add_argument("--keep", action="store_true", help="the folder with logs")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    folder, checks = tempfile.mkdtemp(prefix="promlake-requests-"), Checks()
    try:
        run(args, checks, folder)
    except AssertionError as error:
        checks.check("the run", False, error)
    finally:
        if args.keep:
            print(f"logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(checks.end())


if __name__ == "__main__":
    main()
