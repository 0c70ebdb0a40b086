"""What once ended the server or made it stop answering, one after the other, and `up` asked after each.

    python tests/acceptance/killers.py --promlake target/release/promlake [--connections 20000]

Starts promlake over a folder, scraping an exporter of 1,100 series, and waits until there is a history. After each killer the
process is the same one, `up` is answered within ten seconds, and resident memory comes back to within 50 MB of what it was
before. Then connections are opened and closed, a hundred at a time, on both ports; memory and open files are level after them.
Needs psycopg in the Python that runs it. Everything listens on loopback and is stopped at the end.
"""
import argparse
import concurrent.futures
import http.client
import http.server
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import psycopg

from outages import ask, free_port, until, varint

SERIES = 1100
SLACK_BYTES = 50_000_000
BACK = 45


def exporter():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            now = time.time()
            body = "".join(f'killer{{i="{i}"}} {now + i}\n' for i in range(SERIES)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


class Server:
    def __init__(self, promlake, flags):
        self.dir = tempfile.mkdtemp(prefix="promlake-killers-")
        config = os.path.join(self.dir, "prometheus.yml")
        with open(config, "w") as f:
            f.write("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n"
                    f"- {{job_name: t, static_configs: [{{targets: ['127.0.0.1:{exporter()}']}}]}}\n")
        self.web, self.pg = free_port(), free_port()
        self.base = f"http://127.0.0.1:{self.web}"
        self.log = os.path.join(self.dir, "log")
        self.process = subprocess.Popen(
            [promlake, "--config.file", config, "--storage.url", os.path.join(self.dir, "lake"),
             f"--web.listen-address=127.0.0.1:{self.web}", f"--pg.listen-address=127.0.0.1:{self.pg}", *flags],
            stderr=open(self.log, "w"), stdout=subprocess.DEVNULL)
        until(60, "the server", lambda: ask(self.base + "/-/ready")[0] == 200)

    def get(self, path, timeout=300, **params):
        return ask(f"{self.base}{path}?{urllib.parse.urlencode(params)}", timeout)

    def usage(self):
        """Resident bytes and open files."""
        with open(f"/proc/{self.process.pid}/status") as f:
            lines = dict(line.split(":", 1) for line in f)
        return int(lines["VmRSS"].split()[0]) * 1024, len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def connect(self, **more):
        return psycopg.connect(f"host=127.0.0.1 port={self.pg} dbname=promlake user=t", autocommit=True, **more)

    def wire(self):
        """A socket whose session is open."""
        s = socket.create_connection(("127.0.0.1", self.pg), 60)
        start = b"\0\x03\0\0user\0t\0database\0promlake\0\0"
        s.sendall(struct.pack(">i", len(start) + 4) + start)
        read_until(s, b"Z")
        return s

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        shutil.rmtree(self.dir, ignore_errors=True)
        assert code == 0, f"it ended with {code}"


def message(kind, payload=b""):
    return kind + struct.pack(">i", len(payload) + 4) + payload


def read_until(s, kind):
    """The kinds of the messages up to one of `kind`, and the SQLSTATEs of errors among them."""
    kinds, states = b"", []
    while not kinds.endswith(kind):
        head = receive(s, 5)
        payload = receive(s, struct.unpack(">i", head[1:])[0] - 4)
        kinds += head[:1]
        if head[:1] == b"E":
            states += [part[1:].decode() for part in payload.split(b"\0") if part[:1] == b"C"]
    return kinds, states


def receive(s, length):
    data = b""
    while len(data) < length:
        part = s.recv(length - len(data))
        if not part:
            raise ConnectionError("hung up")
        data += part
    return data


KILLERS = []


def killer(run):
    KILLERS.append((run.__name__, run))
    return run


def sql(name, text, timeout_ms=20_000):
    """A statement that may fail, but by an answer."""

    def run(server):
        with server.connect() as db:
            db.execute(f"SET statement_timeout = {timeout_ms}")
            began = time.time()
            try:
                result = f"{len(db.execute(text).fetchall())} rows"
            except psycopg.Error as error:
                assert error.sqlstate, f"no answer: {error}"
                result = error.sqlstate
            took = time.time() - began
            assert took < timeout_ms / 1000 + 10, f"it took {took:.0f} s"
            assert db.execute("SELECT 1").fetchall() == [(1,)]
            return result

    KILLERS.append((name, run))


def promql(name, query, **params):
    path = "/api/v1/query_range" if "step" in params else "/api/v1/query"

    def run(server):
        if "step" in params:
            now = int(time.time())
            params.update(start=now - params.pop("back"), end=now)
        began = time.time()
        # As Grafana does it, since a URL has a limit.
        form = urllib.parse.urlencode({"query": query, **params}).encode()
        code, body = ask(server.base + path, 300, form)
        took = time.time() - began
        assert code in (200, 400, 422, 503), f"{code} {body[:200]}"
        assert took < 130, f"it took {took:.0f} s"
        return f"{code} {json.loads(body).get('error', f'{len(body)} bytes')[:90]} ({took:.1f} s)"

    KILLERS.append((name, run))


@killer
def execute_with_max_rows(server):
    s = server.wire()
    for statement in (b"SHOW TimeZone", b"SELECT * FROM generate_series(1, 10)", b"BEGIN"):
        for rows in (2**31 - 1, -1, -(2**31)):
            s.sendall(message(b"P", b"\0" + statement + b"\0\0\0") + message(b"B", b"\0\0" + b"\0" * 6)
                      + message(b"E", b"\0" + struct.pack(">i", rows)) + message(b"S"))
            kinds, _ = read_until(s, b"Z")
    return kinds


@killer
def binary_parameters_with_fewer_formats(server):
    s = server.wire()
    parse = message(b"P", b"\0SELECT $1::int + $2::int\0\0\0")
    for formats in ([1, 1, 1], [0, 1, 1, 0, 1], [7], [1] * 1000):
        values = struct.pack(">ii", 4, 1) + struct.pack(">ii", 4, 2)
        bind = struct.pack(f">h{len(formats)}h", len(formats), *formats) + struct.pack(">h", 2) + values + b"\0\0"
        s.sendall(parse + message(b"B", b"\0\0" + bind) + message(b"E", b"\0\0\0\0\0") + message(b"S"))
        kinds, states = read_until(s, b"Z")
    return kinds, states


@killer
def messages_that_claim_more_than_they_are(server):
    for first in (b"\x7f\xff\xff\xff\0\x03\0\0", b"\0\0\0\0\0\x03\0\0", struct.pack(">i", 11_000) + b"\0\x03\0\0"):
        with socket.create_connection(("127.0.0.1", server.pg), 30) as s:
            s.sendall(first)
            s.settimeout(20)
            assert b"SELECT" not in s.recv(1000)
    for claim in (2**31 - 1, 512 << 20, -1):
        s = server.wire()
        s.sendall(b"Q" + struct.pack(">i", claim) + b"SELECT 1")
        s.settimeout(20)
        s.recv(1000)
    # Numbers inside of a message.
    s = server.wire()
    s.sendall(message(b"P", b"\0SELECT 1\0\x7f\xff") + message(b"S"))
    s.recv(1000)
    for bind in (b"\0\0\x7f\xff", b"\0\0\0\0\x7f\xff", b"\0\0\0\0\0\1\x7f\xff\xff\xff", b"\0\0\0\0\0\0\x7f\xff"):
        s = server.wire()
        s.sendall(message(b"P", b"\0SELECT $1::int\0\0\0") + message(b"B", bind) + message(b"S"))
        s.recv(1000)
    return "all cut off"


@killer
def leaves_in_the_middle(server):
    slow = "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000) b"
    for i in range(20):
        s = server.wire()
        s.sendall(message(b"Q", slow.encode() + b"\0"))
        time.sleep(0.1)
        if i % 2:
            s.sendall(message(b"X"))
        s.close()
    until(20, "no query goes on", lambda: metric(server, "promlake_queries") in (None, 0.0))
    return "none goes on"


@killer
def cancels_a_message_of_many(server):
    with server.connect() as db:
        pid, secret = db.info.backend_pid, None
        slow = "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000) b;" * 5
        threading.Timer(1.0, db.cancel).start()
        began = time.time()
        try:
            db.execute(slow)
            return "not cancelled"
        except psycopg.Error as error:
            assert error.sqlstate == "57014", error
        took = time.time() - began
        assert took < 10, f"it took {took:.0f} s"
        return f"57014 after {took:.1f} s"


TERMS = 20_000
sql("plus", "SELECT " + "+".join(["1"] * TERMS))
sql("and", "SELECT " + " AND ".join(["true"] * TERMS))
sql("or", "SELECT " + " OR ".join(["a = 1"] * TERMS) + " FROM (SELECT 1 AS a) t")
sql("concat", "SELECT " + "||".join(["'a'"] * TERMS))
sql("parentheses", "SELECT " + "(" * TERMS + "1" + ")" * TERMS)
sql("subqueries", "SELECT " + "(SELECT " * 5000 + "1" + ")" * 5000)
sql("from_subqueries", "SELECT * FROM " + "(SELECT * FROM " * 2000 + "(SELECT 1) t" + ") t" * 2000)
sql("case", "SELECT " + "CASE WHEN true THEN " * 5000 + "1" + " END" * 5000)
sql("list", "SELECT " + "[" * 10_000 + "1" + "]" * 10_000)
sql("not", "SELECT " + "NOT " * TERMS + "true")
sql("minus", "SELECT " + "- " * TERMS + "1")
sql("cast", "SELECT 1" + "::int" * TERMS)
sql("union", " UNION ALL ".join(["SELECT 1"] * 5000))
sql("ctes", "WITH " + ", ".join(f"c{i} AS (SELECT * FROM c{i - 1})" if i else "c0 AS (SELECT 1)" for i in range(1000))
    + " SELECT * FROM c999")
sql("values", "VALUES " + ", ".join(["(1)"] * 200_000))
sql("in_list", "SELECT 1 WHERE 1 IN (" + ", ".join(map(str, range(200_000))) + ")")
sql("four_thousand_terms", "SELECT " + " AND ".join(f"i <> '{n}'" for n in range(4000)) + " FROM killer")
sql("joins", "SELECT count(*) FROM " + ", ".join(f"killer k{i}" for i in range(30)))
sql("cross_product", "SELECT count(*) FROM killer a, killer b, killer c")
sql("big_sort", "SELECT a.value FROM killer a, killer b ORDER BY random()")
sql("repeat", "SELECT length(repeat('x', 2000000000))")
sql("repeat_of_repeat", "SELECT length(repeat(repeat('x', 100000), 100000))")
sql("lpad", "SELECT length(lpad('x', 2000000000))")
sql("range", "SELECT array_length(generate_series(1, 2000000000))")
sql("array_resize", "SELECT array_length(array_resize([1], 2000000000, 1))")
sql("string_agg", "SELECT length(string_agg(repeat('x', 100000), '')) FROM generate_series(1, 1000000)")
sql("array_agg", "SELECT array_length(array_agg(x)) FROM generate_series(1, 500000000) t(x)")
sql("recursive", "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r")
sql("recursive_doubling", "WITH RECURSIVE r AS (SELECT 'x' AS t UNION ALL SELECT t || t FROM r) SELECT count(*) FROM r")
sql("wide_promql", "SELECT * FROM promql('count_over_time(up[292y:1ms])', now() - interval '1 h', now(), interval '1 s')")
sql("regular_expression", "SELECT 'a' ~ '" + "(a{1000}){1000}" + "'")

promql("subquery_of_292_years", "count_over_time(up[292y:1ms])")
promql("subquery_in_subquery", "max_over_time(count_over_time(killer[1h:1ms])[1h:1ms])")
promql("count_values", 'count_values("v", killer)', back=1000, step=1)
promql("count_values_of_many", 'count_values("v", killer + on () group_left () time())', back=10_000, step=1)
promql("group_left", "killer * on () group_left () (killer)", back=1000, step=1)
promql("or_of_many", " or ".join(["killer"] * 2000))
promql("plus_of_many", "+".join(["1"] * 20_000))
promql("nested", "(" * 50_000 + "1" + ")" * 50_000)
promql("unary", "-" * 50_000 + "1")
promql("aggregations", "sum(" * 10_000 + "up" + ")" * 10_000)
promql("label_replace", 'label_replace(killer, "a", "' + "$0" * 10_000 + '", "i", "(.*)")')
promql("label_join", "label_join(" * 200 + "killer" + ', "a", "-", "a", "a", "i")' * 200)
promql("regular_expression_of_matcher", 'killer{i=~"((((a{100}){100}){100}){100})"}')
promql("topk_of_many", "topk(1e300, killer)", back=10_000, step=1)
promql("steps", "killer", back=10**8, step="0.001")
promql("quantile_of_many", "quantile_over_time(0.9, killer[1d:1s])", back=1000, step=1)
promql("sort_by_label", "sort_by_label(killer, " + ", ".join(['"i"'] * 10_000) + ")")


@killer
def metadata_of_all(server):
    codes = []
    for path in ("/api/v1/series", "/api/v1/labels", "/api/v1/label/i/values", "/api/v1/status/tsdb"):
        codes.append(server.get(path, **{"match[]": '{__name__=~".+"}', "limit": 2**62})[0])
    assert all(code in (200, 400) for code in codes), codes
    return codes


@killer
def remote_write_nonsense(server):
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    bodies = {
        "claims 4 GiB": b"\xff\xff\xff\xff\x0f\0a",
        "claims 30 MB": varint(30_000_000) + b"\0a",
        "zeros": bytes(1000),
        "empty labels": varint(200_000) + b"\xf0" + bytes([59]) + b"\x0a\x00" * 30,
    }
    codes = {name: ask(server.base + "/api/v1/write", 60, body, headers)[0] for name, body in bodies.items()}
    assert all(400 <= code < 500 for code in codes.values()), codes
    return codes


@killer
def a_page_of_another_site(server):
    body, codes = b"\0", []
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        for path in ("/api/v1/write", "/-/quit", "/-/reload", "/api/v1/admin/tsdb/delete_series"):
            codes.append(ask(server.base + path, 10, body, headers)[0])
    assert all(code >= 400 for code in codes) and codes[0] == codes[4] == 403, codes
    return codes


@killer
def heads_without_end(server):
    sockets = []
    for i in range(400):
        s = socket.create_connection(("127.0.0.1", server.web if i % 2 else server.pg), 10)
        s.sendall(b"GET / HTTP/1.1\r\nA: " if i % 2 else b"\0\0")
        sockets.append(s)
    up(server)
    for s in sockets:
        s.close()
    return "answered meanwhile"


@killer
def slow_readers(server):
    sockets = []
    for _ in range(20):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", server.web))
        now = int(time.time())
        s.sendall(f"GET /api/v1/query_range?query=killer&start={now - 1000}&end={now}&step=1 HTTP/1.1\r\n"
                  "Host: localhost\r\n\r\n".encode())
        sockets.append(s)
    time.sleep(5)
    up(server)
    for s in sockets:
        s.close()
    return "answered meanwhile"


@killer
def big_bodies(server):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        def send(i):
            try:
                return ask(server.base + "/api/v1/query", 60, b"query=" + b"1+" * 8_000_000)[0]
            except OSError:
                return "cut off"
        codes = list(pool.map(send, range(24)))
    assert all(code in (400, 413, 503, 422, "cut off") for code in codes), codes
    return {code: codes.count(code) for code in set(codes)}


def metric(server, name):
    for line in server.get("/metrics")[1].splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    return None


def up(server):
    began = time.time()
    result = json.loads(server.get("/api/v1/query", 10, query="up")[1])["data"]["result"]
    assert result and result[0]["value"][1] == "1", result
    return time.time() - began


def storm(server, connections):
    """`connections` opened and closed, a hundred at a time: half of each port, used or not."""

    def one(i):
        match i % 4:
            case 0:
                socket.create_connection(("127.0.0.1", server.web), 60).close()
            case 1:
                c = http.client.HTTPConnection("127.0.0.1", server.web, timeout=60)
                c.request("GET", "/api/v1/query?query=up")
                assert c.getresponse().read()
                c.close()
            case 2:
                socket.create_connection(("127.0.0.1", server.pg), 60).close()
            case 3:
                s = server.wire()
                s.sendall(message(b"Q", b"SELECT 1\0"))
                read_until(s, b"Z")
                s.close()

    def tried(i):
        try:
            one(i)
        except ConnectionError:
            # All connections are taken for a moment.
            return 1
        return 0

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        return sum(pool.map(tried, range(connections)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--promlake", default="target/release/promlake")
    parser.add_argument("--connections", type=int, default=20_000)
    parser.add_argument("killers", nargs="*")
    arguments, flags = parser.parse_known_args()
    server, failed = Server(arguments.promlake, flags), []
    try:
        until(30, "series", lambda: json.loads(server.get("/api/v1/query", query="count(killer)")[1])["data"]["result"])
        time.sleep(20)
        for name, run in KILLERS:
            if arguments.killers and name not in arguments.killers:
                continue
            before = server.usage()
            try:
                result = run(server)
                assert server.process.poll() is None, "it ended"
                took = up(server)
                peak, _ = server.usage()
                # Ten seconds is how long the allocator keeps what was given back; the head grows meanwhile by what is scraped.
                until(BACK, f"memory of {peak >> 20} MiB back to {before[0] >> 20} MiB",
                      lambda: server.usage()[0] <= before[0] + SLACK_BYTES)
                print(f"ok   {name}: {result}; up after {took:.2f} s; {before[0] >> 20} MiB, {peak >> 20}, "
                      f"{server.usage()[0] >> 20}", flush=True)
            except (AssertionError, OSError, KeyError, ValueError, psycopg.Error) as error:
                failed.append(name)
                print(f"FAIL {name}: {type(error).__name__}: {str(error)[:300]}", flush=True)
                if server.process.poll() is not None:
                    print(f"     the server ended with {server.process.returncode}", flush=True)
                    server = Server(arguments.promlake, flags)
                    time.sleep(20)
        if arguments.connections:
            storm(server, 1000)
            time.sleep(15)
            before = server.usage()
            began = time.time()
            refused = storm(server, arguments.connections)
            took = time.time() - began
            until(30, "files closed", lambda: server.usage()[1] <= before[1] + 4)
            until(BACK, "memory back", lambda: server.usage()[0] <= before[0] + SLACK_BYTES // 2)
            after = server.usage()
            print(f"ok   {arguments.connections} connections in {took:.0f} s, {refused} refused: "
                  f"{before[0] >> 20} MiB and {before[1]} files before, {after[0] >> 20} and {after[1]} after", flush=True)
    except AssertionError as error:
        failed.append("connections")
        print(f"FAIL {error}", flush=True)
    finally:
        with open(server.log) as log:
            lines = log.readlines()
        panics = [line for line in lines if "panic" in line.lower()]
        print(f"{len(panics)} panics in the log" + "".join(f"\n     {line.strip()[:200]}" for line in panics[:5]))
        if server.process.poll() is None:
            server.end()
    print(f"{len(failed)} failed" + (": " + ", ".join(failed) if failed else ""))
    sys.exit(1 if failed or panics else 0)


if __name__ == "__main__":
    main()
