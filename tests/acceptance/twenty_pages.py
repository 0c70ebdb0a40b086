"""What the processes of twenty.py serve: one page after the other, the same ones to both servers.

A feed is one path of a process. Its pages are numbered; each server gets them in their order, one a scrape. Who is ahead of the
other server gets its last page once more, so that both are at the same page or at its neighbour. Every request is remembered with
its page, by which the samples of both servers are compared, since their scrapes are at different times."""
import base64
import gzip
import http.server
import math
import os
import re
import ssl
import threading
import time
import urllib.request

from exposition_pages import (
    COUNTER, EVERYTHING, GAUGE, GAUGE_HISTOGRAM, HISTOGRAM, OPENMETRICS, PAGES, PROTOBUF, SUMMARY, TEXT, bucket, classic, counter,
    exemplar, family, gauge, native, native_float, stamp, summary,
)

CLIENTS = ("promlake", "Prometheus")
TOO_LONG_S = 2.5
USER, PASSWORD, TOKEN = "scraper", "pass word", "bearer-of-this-test"


class Answer:
    """A page. `cut` says how it is spoilt on its way: too short for its length, in the middle of its gzip, or of its chunks."""

    def __init__(self, body=b"", content_type=TEXT, status=200, wait_s=0, body_wait_s=0, cut="", gzip=False, location="",
                 title=""):
        self.body = body.encode() if isinstance(body, str) else body
        self.content_type, self.status, self.cut, self.gzip = content_type, status, cut, gzip
        self.wait_s, self.body_wait_s, self.location, self.title = wait_s, body_wait_s, location, title


# --- The pages of the misbehaving


def plain(n):
    return "# HELP page Number of the page.\n# TYPE page gauge\npage %d\n# TYPE work_total counter\nwork_total{kind=\"a\"} %d\n" % (n, 3 * n)


def slow(n, now):
    return Answer(plain(n), wait_s=[0, 0.5, 0, TOO_LONG_S, 0, 0][n % 6], body_wait_s=[0, 0, 0.5, 0, 0, TOO_LONG_S][n % 6])


def huge(n, now):
    first = 100 * n
    line = 'huge_bytes{{i="{}",path="/a/rather/long/path/of/{}/things",odd="{}"}} {}'.format
    lines = [line(i, i % 97, i % 2, i * 31 % 1009 + n) for i in range(first, first + 20000)]
    return Answer("# TYPE huge_bytes gauge\n" + "\n".join(lines) + "\n", gzip=True)


def truncated(n, now):
    whole = plain(n) + "".join(f'row{{i="{i}"}} {i + n}\n' for i in range(20))
    kinds = [
        Answer(whole), Answer(whole[:300], title="in a line"), Answer(whole, cut="length"), Answer(whole), Answer(whole, cut="chunks"),
        Answer(whole, cut="gzip"), Answer(whole[:-1], title="last line feed"), Answer(whole, OPENMETRICS, title="no eof"),
        Answer(whole + "# EOF\n", OPENMETRICS), Answer("", title="nothing"),
    ]
    return kinds[n % len(kinds)]


def types(n, now):
    kind = ["counter", "gauge", "histogram", "summary", "untyped", "", "nonsense"][n // 2 % 7]
    text = f"# HELP shape Of the kind {kind} at {n // 4}.\n" + (f"# TYPE shape {kind}\n" if kind else "")
    text += {
        "histogram": f'shape_bucket{{le="1"}} {n}\nshape_bucket{{le="+Inf"}} {2 * n}\nshape_sum {n}.5\nshape_count {2 * n}\n',
        "summary": f'shape{{quantile="0.5"}} {n}\nshape_sum {n}.5\nshape_count {2 * n}\n',
    }.get(kind, f"shape {n}\n")
    if n % 3 == 0:
        other = f"# TYPE size_bytes gauge\n# UNIT size_bytes bytes\n# HELP size_bytes A size.\nsize_bytes {n}\n# EOF\n"
        return Answer(other, OPENMETRICS)
    return Answer(text + plain(n))


def utf8(n, now):
    kinds = [
        f'fine{{name="größe",emoji="🦀"}} {n}\n{{"http.größe","label.é"="ü"}} {n}\n# HELP "http.größe" Größe\n'.encode(),
        b'fine{name="gr\xf6\xdfe"} 1\n', b"f\xffne 1\n", f"fine {n}\nother 2\n".encode(), b"# HELP fine \xff\xfe\nfine 3\n",
        b'fine{n\xc3="1"} 1\n', f'a.b {n}\n'.encode(), b'fine{name="\xed\xa0\x80"} 1\n', b'fine{name="\xc0\xaf"} 1\n',
        f'fine{{name="a\\nb\\"c\\\\d"}} {n}\n{{"with blank"}} 1\n'.encode(), b'{"\xff"} 1\n', "fine{name=\"\uffff\u200b\0\"} 1\n".encode(),
    ]
    return Answer(plain(n).encode() + kinds[n % len(kinds)] + b"after 1\n", title=f"kind {n % len(kinds)}")


def vanishing(n, now):
    if n % 23 == 22:
        return Answer("")
    return Answer(plain(n) + "".join(f'there{{i="{i}"}} {n}\n' for i in range(8) if n + i & 1 << i % 5) + (f"once_{n} 1\n" if n % 4 == 0 else ""))


def coming(n, now):
    return Answer(plain(n) + f'there{{i="{n % 2}"}} {n}\n')


def duplicates(n, now):
    kinds = [
        f"twin {n}\ntwin {n}\n", f"twin {n}\ntwin {n + 1}\ntwin {n + 2}\n", f'twin{{a="1",b="2"}} {n}\ntwin{{b="2",a="1"}} {n + 1}\n',
        f'twin{{job="x",instance="y",feed2="z"}} {n}\ntwin{{exported_job="w",job="x"}} 2\n',
        "# TYPE twin gauge\n# TYPE twin counter\ntwin 1\n# HELP twin a\n# HELP twin b\n",
        f"twin 1 {now - 400}\ntwin 2 {now - 300}\ntwin 3 {now - 400}\n",
    ]
    # Samples with times of their own are of a series of their own.
    return Answer(plain(n) + kinds[n % 6].replace("twin", "timed" if n % 6 == 5 else "twin"), title=f"kind {n % 6}")


def protobuf(n, now):
    first = family("latency", HISTOGRAM, native(6 + n, 12.5, [1, 1, -1, 1 + n], a="1"), native(9, 3.5, [2, 1], zero=4, a="2"), help="native")
    exemplars = family("seen", HISTOGRAM, native(5, 2.5, [1, 1, 0], exemplar(16, 2, stamp(3, now // 1000), trace=str(n))))
    plain_ones = family("page", GAUGE, gauge(n), help="Number of the page.") + family(
        "jobs_total", COUNTER, counter(n, exemplar(2, 1, trace=f"t{n}"), stamp(3, now // 1000 - 60), kind="a"))
    both = family("both", HISTOGRAM, native(6, 12.5, [1, 1, -1, 1], bucket(1, 2), bucket(2, 5)))
    kinds = [
        EVERYTHING, first + exemplars + both, first, family("latency", HISTOGRAM, classic(7 + n, 9.5, [(0.1, 1), (1, 3)], a="1")),
        family("latency", GAUGE_HISTOGRAM, native(3, 1, [1, 1], a="1")), family("latency", GAUGE, gauge(n, a="1")),
        EVERYTHING[:-30], first + family("float", HISTOGRAM, native_float(6.5, 12.5, [1.5, 0, 3], zero=2)),
        family("rank", SUMMARY, summary(3 + n, 6.5, [(0.5, 2), (0.99, math.nan)])), b"",
    ]
    return Answer(plain_ones + kinds[n % len(kinds)], PROTOBUF, gzip=n % 2 == 0, title=f"kind {n % len(kinds)}")


def openmetrics(n, now):
    created = now // 1000 - 100
    return Answer(
        "# HELP requests Requests.\n# TYPE requests counter\n"
        f'requests_total{{code="200"}} {n} # {{trace_id="t{n}"}} 0.5 {now / 1000}\nrequests_created{{code="200"}} {created}\n'
        f'requests_total{{code="500"}} {n // 3} # {{trace_id="u{n // 3}"}} 1\n'
        "# TYPE size_bytes histogram\n# UNIT size_bytes bytes\n# HELP size_bytes Sizes.\n"
        f'size_bytes_bucket{{le="10"}} {n} # {{trace_id="b{n}"}} 3\nsize_bytes_bucket{{le="+Inf"}} {n + 2} # {{}} 11\n'
        f"size_bytes_sum {n * 4}\nsize_bytes_count {n + 2}\nsize_bytes_created {created}\n"
        '# TYPE build info\nbuild_info{version="1"} 1\n# TYPE state stateset\nstate{state="on"} %d\nstate{state="off"} %d\n' % (n % 2, 1 - n % 2)
        + '# TYPE queue gaugehistogram\nqueue_bucket{le="1"} 1\nqueue_bucket{le="+Inf"} 2\nqueue_gcount 2\nqueue_gsum 3\n'
        + ("# TYPE new unknown\nnew 1\n" if n % 3 == 0 else "") + "# EOF\n", OPENMETRICS)


def times(n, now):
    parts = [f"now {n} {now}", f"back {n} {now - 30000 * (n % 3)}", f"still 7 {now // 20000 * 20000}", f"past {n} {now - 50000}", f"without {n}"]
    if n % 10 == 5:
        parts += [f"old {n} {now - 7 * 86400000}", f"future {n} {now + 3600000}"]
    return Answer("\n".join(parts[n % 4 == 3:]) + "\n", title="old" if n % 10 == 5 else "")


def errors(n, now):
    kinds = [
        Answer(plain(n)), Answer(plain(n), status=500), Answer(plain(n), status=404), Answer("<html>", "text/html"), Answer(plain(n), ""),
        Answer(plain(n), status=204), Answer(plain(n), "text/plain; version=9"), Answer(plain(n), status=503), Answer("no metrics here\n"),
        Answer(plain(n), "application/json"), Answer(plain(n), status=429), Answer(plain(n), status=206),
    ]
    return kinds[n % len(kinds)]


def moved(n, now):
    to = f"/moved/{n}"
    kinds = [(302, to), (301, to + "?x=y"), (200, ""), (307, to), (308, to), (302, "/loop"), (302, ""), (303, to)]
    status, location = kinds[n % len(kinds)]
    return Answer(plain(n), status=status, location=location, gzip=True)


def limited(n, now):
    """Grows over the limits on samples, labels, and lengths, of each at times of its own."""
    more = "".join(f',l{i}="1"' for i in range(n % 4))
    wide = f'wide{{{"long_" * (n % 3)}name="{"v" * (10 * (n % 5))}"{more}}} {n}\n'
    return Answer(plain(n) + wide + "".join(f'there{{i="{i}"}} {n}\n' for i in range(n % 7)))


def just_plain(n, now):
    return Answer(plain(n))


def cases(pages):
    """The bodies of pages of exposition_pages.py, again and again."""
    bodies = [(name, page, body) for name, page in pages for body in page.bodies]

    def page(n, now):
        name, page, body = bodies[n % len(bodies)]
        body = re.sub(rb"@NOW([-+]\d+)?@", lambda m: str(now + int(m[1] or 0)).encode(), body).replace(b"@NOW_S@", str(now // 1000).encode())
        return Answer(body, page.content_type, title=name)

    return page


def case_feeds():
    """Feeds of all exposition cases, and what their jobs say: those with times, with options, and the others in four parts."""
    groups = {}
    for i, (name, page) in enumerate(sorted(PAGES.items(), key=lambda item: "future" in item[0])):
        timed = "time" in name or any(b"@NOW" in body for body in page.bodies)
        groups.setdefault((page.job, "times" if timed else "" if page.job else i % 4), []).append((name, page))
    return {f"cases.{i}": (cases(pages), job) for i, ((job, _), pages) in enumerate(groups.items())}


def live(url):
    """A page of an exporter that is asked anew for each number, and in the kind that is wanted."""

    def page(n, now, kind, query):
        accepts = {"protobuf": PROTOBUF, "openmetrics": "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8", "text": TEXT}
        request = urllib.request.Request(url + ("?" + query if query else ""), headers={"Accept": accepts[kind]})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return Answer(answer.read(), answer.headers["Content-Type"], gzip=True)
        except OSError:
            return Answer(status=502)

    page.live = True
    return page


# --- Feeds and the processes that serve them


def kind_of(accept):
    return "protobuf" if "vnd.google" in accept.split(",")[0] else "openmetrics" if "openmetrics" in accept else "text"


class Feed:
    def __init__(self, name, make):
        self.name, self.make, self.lock = name, make, threading.RLock()
        self.life, self.limit, self.cache, self.titles = 0, None, {}, {}
        self.at = {client: (0, -1, 0) for client in CLIENTS}
        self.log = {client: [] for client in CLIENTS}
        self.asked = {client: set() for client in CLIENTS}

    def next(self, client, path, headers):
        """The page that a request gets; it is its next one unless that is too far ahead."""
        with self.lock:
            if client not in self.at:
                return self.get(0, headers, path)
            (life, page, again), now = self.at[client], time.time()
            ahead = min(p for _, p, _ in self.at.values()) + 1
            following = page + 1
            if following > ahead or self.limit is not None and following > self.limit:
                self.at[client] = (self.life, page, again + 1)
            else:
                self.at[client] = (self.life, following, 0)
            self.log[client].append((now, self.at[client]))
            kept = ("Accept", "Accept-Encoding", "X-Prometheus-Scrape-Timeout-Seconds", "Authorization")
            self.asked[client].add((path, *[headers.get(name) for name in kept]))
            return self.get(self.at[client][1], headers, path)

    def get(self, page, headers, path):
        with self.lock:
            kind = kind_of(headers.get("Accept", ""))
            if (page, kind) not in self.cache:
                self.cache = {k: v for k, v in self.cache.items() if k[0] >= page - 2}
                more = (kind, path.partition("?")[2]) if hasattr(self.make, "live") else ()
                self.cache[page, kind] = self.make(page, int(time.time() * 1000), *more)
                self.titles[page] = self.cache[page, kind].title
            return self.cache[page, kind]

    def hold(self):
        with self.lock:
            self.limit = max(0, *[page for _, page, _ in self.at.values()])

    def held(self):
        with self.lock:
            return all(page == self.limit for _, page, _ in self.at.values())

    def release(self):
        with self.lock:
            self.limit = None

    def new_life(self):
        """Both start with the same page once nobody asks any more."""
        with self.lock:
            self.life += 1
            last = max(page for _, page, _ in self.at.values())
            self.at = {client: (self.life, last, 0) for client in CLIENTS}
            self.limit = None


class Process:
    """Serves the feeds of its name below /metrics. `check` says whether a request's credentials are wrong, and
    `listing` what is found over HTTP, of which every fourth answer fails."""

    def __init__(self, port, feeds, tls=None, check=lambda headers: False, closes=False, listing=None):
        self.port, self.feeds, self.tls, self.check, self.closes, self.listing = port, feeds, tls, check, closes, listing
        self.listed = 0
        self.open()

    def open(self):
        process = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path, client = self.path.partition("?")[0], self.headers.get("User-Agent", "").split("/")[0]
                if path == "/loop":
                    return self.answer(Answer(status=302, location="/loop"))
                if path.startswith("/moved/"):
                    page = next(iter(process.feeds.values())).get(int(path[7:]), self.headers, self.path)
                    return self.answer(Answer(page.body, page.content_type, gzip=True))
                if path == "/targets" and process.listing:
                    process.listed += 1
                    status = 401 if process.check(self.headers) else 500 if process.listed % 4 == 0 else 200
                    return self.answer(Answer(process.listing(), "application/json", status))
                feed = process.feeds.get(path[len("/metrics/"):])
                if not feed:
                    return self.answer(Answer(status=404))
                answer = feed.next(client, self.path, self.headers)
                self.answer(Answer("who is that", status=401) if process.check(self.headers) else answer)

            def answer(self, answer):
                time.sleep(answer.wait_s)
                body = answer.body
                self.send_response(answer.status)
                if answer.content_type:
                    self.send_header("Content-Type", answer.content_type)
                if answer.location:
                    self.send_header("Location", answer.location)
                if answer.cut == "gzip" or answer.gzip and "gzip" in self.headers.get("Accept-Encoding", ""):
                    body = gzip.compress(body, 1)
                    body = body[: len(body) // 2] if answer.cut == "gzip" else body
                    self.send_header("Content-Encoding", "gzip")
                if answer.status == 204:
                    body = b""
                elif answer.cut == "chunks":
                    self.send_header("Transfer-Encoding", "chunked")
                    body = b"%x\r\n" % len(body) + body + b"\r\n40\r\nrow 1\n"
                else:
                    self.send_header("Content-Length", str(len(body) + (50 if answer.cut == "length" else 0)))
                if answer.cut or process.closes:
                    self.send_header("Connection", "close")
                self.end_headers()
                time.sleep(answer.body_wait_s)
                self.wfile.write(body)
                self.close_connection |= bool(answer.cut) or process.closes

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

            def handle_error(self, *_):
                """Who waits no longer hangs up in the middle."""

        self.server = Server(("127.0.0.1", self.port), Handler)
        if self.tls:
            self.server.socket = self.tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def tls(folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "server.crt"), os.path.join(folder, "server.key"))
    context.load_verify_locations(os.path.join(folder, "ca.crt"))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def bearer(headers):
    return headers.get("Authorization") != f"Bearer {TOKEN}"


def basic(headers):
    return headers.get("Authorization") != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
