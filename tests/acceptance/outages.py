"""A store that fails in the ways of real ones, under scrapes and remote write, and nothing lost or doubled.

    python tests/acceptance/outages.py --promlake target/release/promlake [SCENARIO ...]

Each scenario starts moto, a proxy before it that fails as told, an exporter scraped every second, a sender that repeats a
request until it is acknowledged, and promlake. After the fault it checks that ingest goes on within 10 s, that
`/-/ready?for=write` told the truth, that no scrape is missing, and that every acknowledged sample is there once by PromQL,
SQL and (after a stop) DuckDB. Needs what tests/peers installs; `full_disk` also needs the right to mount a tmpfs.
Everything listens on loopback and is stopped at the end.
"""
import argparse
import glob
import http.client
import http.server
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from processes import free_port  # noqa: E402

SERIES = 20
WARM_UP = 8
RECOVERY = 10


def ask(url, timeout=10, data=None, headers=None):
    request = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until(seconds, what, condition):
    end = time.time() + seconds
    while time.time() < end:
        try:
            if (value := condition()) is not None and value is not False:
                return value
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


class Proxy:
    """Hands requests on, except as `mode` says."""

    def __init__(self, target):
        self.target, self.mode, self.port, self.server, self.faults = target, "ok", free_port(), None, 0
        self.listen()

    def listen(self):
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self, body):
                upstream = http.client.HTTPConnection("127.0.0.1", proxy.target, timeout=60)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("connection", "transfer-encoding")}
                upstream.request(self.command, self.path, body, headers)
                answer = upstream.getresponse()
                result = answer.status, answer.getheaders(), answer.read()
                upstream.close()
                return result

            def reply(self, status, headers, body):
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in ("connection", "transfer-encoding", "content-length", "server", "date"):
                        self.send_header(name, value)
                length = body if self.command != "HEAD" else b""
                names = {name.lower(): value for name, value in headers}
                self.send_header("Content-Length", names.get("content-length", "0") if self.command == "HEAD" else str(len(length)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                conditional = self.command == "PUT" and self.headers.get("If-None-Match")
                if proxy.mode == "refuse":
                    self.close_connection = True
                    return self.connection.close()
                if proxy.mode == "503":
                    proxy.faults += 1
                    return self.reply(503, [("Content-Type", "application/xml")], b"<Error><Code>SlowDown</Code></Error>")
                if proxy.mode == "409" and conditional and random.random() < 0.1:
                    proxy.faults += 1
                    error = b"<Error><Code>ConditionalRequestConflict</Code></Error>"
                    return self.reply(409, [("Content-Type", "application/xml")], error)
                if proxy.mode == "lost" and self.command == "PUT" and random.random() < 0.1:
                    proxy.faults += 1
                    self.forward(body)
                    self.close_connection = True
                    return self.connection.close()
                return self.reply(*self.forward(body))

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = any

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (OSError, http.client.HTTPException):
                    self.close_connection = True

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def fail(self, mode):
        self.mode = mode
        if mode == "refuse":
            self.server.shutdown()
            self.server.server_close()

    def mend(self):
        refused, self.mode = self.mode == "refuse", "ok"
        if refused:
            self.listen()


def varint(n):
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def write_request(rows):
    message = b""
    for labels, value, ms in rows:
        pairs = b"".join(field(1, field(1, n.encode()) + field(2, v.encode())) for n, v in labels)
        sample = b"\x09" + struct.pack("<d", value) + b"\x10" + varint(ms)
        message += field(1, pairs + field(2, sample))
    out = varint(len(message))
    for at in range(0, len(message), 60):
        part = message[at : at + 60]
        out += bytes([(len(part) - 1) << 2]) + part
    return out


class Sender(threading.Thread):
    """One request of a sample for each series, again and again until it is acknowledged, then the next."""

    def __init__(self, base):
        super().__init__(daemon=True)
        self.base, self.ended, self.acknowledged, self.acks, self.codes = base, False, [], [], {}

    def run(self):
        number = 0
        while not self.ended:
            number += 1
            ms = int(time.time() * 1000)
            labels = lambda i: [("__name__", "sent"), ("i", f"{i:02}")]
            body = write_request([(labels(i), float(number * 100 + i), ms) for i in range(SERIES)])
            headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
                       "X-Prometheus-Remote-Write-Version": "0.1.0"}
            while not self.ended:
                try:
                    code, _ = ask(self.base + "/api/v1/write", 35, body, headers)
                except (OSError, http.client.HTTPException):
                    code = 0
                self.codes[code] = self.codes.get(code, 0) + 1
                if code == 204:
                    self.acknowledged.append((ms, number))
                    self.acks.append(time.time())
                    break
                assert code in (0, 503), f"a sender was told {code}"
                time.sleep(0.5)
            time.sleep(0.2)


class Watcher(threading.Thread):
    """What the health pages say, twice a second."""

    def __init__(self, base):
        super().__init__(daemon=True)
        self.base, self.ended, self.seen = base, False, []

    def run(self):
        while not self.ended:
            codes = []
            for page in ("/-/healthy", "/-/ready", "/-/ready?for=write"):
                try:
                    codes.append(ask(self.base + page, 5)[0])
                except (OSError, http.client.HTTPException):
                    codes.append(0)
            self.seen.append((time.time(), *codes))
            time.sleep(0.5)


def exporter():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"exported {time.time()}\n".encode()
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


class World:
    def __init__(self, promlake, folder=None):
        self.promlake, self.children = promlake, []
        self.dir = tempfile.mkdtemp(prefix="promlake-outages-")
        self.target = exporter()
        self.lake, self.endpoint, self.proxy = folder, None, None
        self.env = dict(os.environ)
        if folder is None:
            s3 = free_port()
            moto = os.path.join(os.path.dirname(sys.executable), "moto_server")
            self.start(moto, "-H", "127.0.0.1", "-p", str(s3), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until(60, "moto", lambda: ask(f"http://127.0.0.1:{s3}/moto-api/"))
            put = urllib.request.Request(f"http://127.0.0.1:{s3}/bucket", method="PUT")
            urllib.request.urlopen(put)
            self.proxy, self.endpoint = Proxy(s3), f"127.0.0.1:{s3}"
            self.lake = "s3://bucket/lake"
            self.env.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_REGION="us-east-1",
                            AWS_ENDPOINT_URL=f"http://127.0.0.1:{self.proxy.port}", AWS_ALLOW_HTTP="true")
        self.config = os.path.join(self.dir, "prometheus.yml")
        with open(self.config, "w") as f:
            f.write("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n"
                    f"- {{job_name: t, static_configs: [{{targets: ['127.0.0.1:{self.target}']}}]}}\n")
        self.server, self.base, self.pg = self.serve()
        self.sender, self.watcher = Sender(self.base), Watcher(self.base)

    def start(self, *command, **more):
        child = subprocess.Popen(command, **more)
        self.children.append(child)
        return child

    def serve(self, *flags):
        web, pg = free_port(), free_port()
        self.log = os.path.join(self.dir, f"promlake-{web}.log")
        server = self.start(
            self.promlake, "--config.file", self.config, "--storage.url", self.lake,
            f"--web.listen-address=127.0.0.1:{web}", f"--pg.listen-address=127.0.0.1:{pg}",
            "--storage.flush-interval=20s", *flags, env=self.env, stderr=open(self.log, "w"), stdout=subprocess.DEVNULL)
        base = f"http://127.0.0.1:{web}"
        until(60, "the server", lambda: ask(base + "/-/ready")[0] == 200)
        return server, base, pg

    def promql(self, query):
        url = self.base + "/api/v1/query?query=" + urllib.parse.quote(query)
        return json.loads(ask(url, 60)[1])["data"]["result"]

    def sql(self, text):
        import psycopg

        with psycopg.connect(f"host=127.0.0.1 port={self.pg} dbname=promlake user=t") as db:
            return db.execute(text).fetchall()

    def end(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)
                child.terminate()
        for child in self.children:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def duckdb_rows(world):
    import importlib

    import duckdb

    def extension(name):
        folder = os.path.dirname(importlib.import_module(f"duckdb_extension_{name}").__file__)
        return glob.glob(f"{folder}/**/*.duckdb_extension", recursive=True)[0]

    db = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for name in ("httpfs", "delta"):
        db.execute(f"INSTALL '{extension(name)}'; LOAD {name}")
    if world.endpoint:
        db.execute("CREATE SECRET (TYPE s3, KEY_ID 'test', SECRET 'test', REGION 'us-east-1', "
                   f"ENDPOINT '{world.endpoint}', URL_STYLE 'path', USE_SSL false)")
    value = "coalesce(value, scaled / pow(10, scale))"
    return db.execute(f"SELECT epoch_ms(timestamp), {value} FROM delta_scan('{world.lake}/samples') "
                      "WHERE metric = 'sent'").fetchall()


def check_times(world, began, ended, alarm):
    """Ingest went on soon, and the pages told the truth."""
    first = next((at for at in world.sender.acks if at > ended), None)
    assert first is not None and first - ended < RECOVERY, f"first acknowledgement {first} after {ended}"
    for at, healthy, ready, write in world.watcher.seen:
        assert healthy == 200 and ready == 200, f"healthy {healthy}, ready {ready} at {at - began:.1f} s"
        if write != 200:
            assert alarm and began + 29 < at < ended + RECOVERY, f"ready for write {write} at {at - began:.1f} s"
    if alarm and ended - began > 45:
        told = [at for at, *_, write in world.watcher.seen if began + 45 < at < ended - 1]
        no = [at for at, *_, write in world.watcher.seen if write == 503 and at in told]
        assert told and len(no) == len(told), "the alarm was not told throughout"
    print(f"  first acknowledgement {first - ended:.1f} s after the fault", flush=True)


def check_scrapes(world):
    end = time.time()
    values = world.promql(f"up[{int(end - world.began) + 5}s]")[0]["values"]
    times = [at for at, _ in values if at > world.began]
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert max(gaps) < 3.5, f"a gap of {max(gaps):.1f} s between scrapes"
    assert end - times[-1] < 6, f"the last scrape is {end - times[-1]:.1f} s old"
    print(f"  {len(times)} scrapes, largest gap {max(gaps):.2f} s", flush=True)


def check_rows(world, expected, senders=1):
    expected = {(ms, float(number * 100 + i)) for ms, number in expected for i in range(SERIES)}
    found = [(round(float(at) * 1000), float(v))
             for series in world.promql("sent[1h]") for at, v in series["values"]]
    rows = [(int(ms), float(v)) for ms, v in world.sql(
        "SELECT (extract(epoch from timestamp) * 1000)::bigint, value FROM sent")]
    world.server.send_signal(signal.SIGTERM)
    assert world.server.wait(90) == 0, "the server did not stop cleanly"
    lake = [(int(ms), float(v)) for ms, v in duckdb_rows(world)]
    for name, got in (("PromQL", found), ("SQL", rows), ("DuckDB", lake)):
        lost = expected - set(got)
        # The last request of a sender may be durable and was not waited for.
        extra = len(got) - len(expected)
        assert not lost, f"{name} lacks {len(lost)} of {len(expected)}, as {sorted(lost)[:3]}"
        assert len(got) == len(set(got)), f"{name} has {len(got) - len(set(got))} twice"
        assert 0 <= extra <= SERIES * senders, f"{name} has {extra} more"
    print(f"  {len(expected)} acknowledged samples, each once by PromQL, SQL and DuckDB", flush=True)


def run(promlake, name, seconds, break_it, mend_it, folder=None, alarm=False):
    world = World(promlake, folder)
    world.began = time.time()
    try:
        world.sender.start()
        world.watcher.start()
        time.sleep(WARM_UP)
        began = time.time()
        break_it(world)
        time.sleep(seconds)
        mend_it(world)
        ended = time.time()
        time.sleep(RECOVERY + 12)
        world.watcher.ended = world.sender.ended = True
        world.sender.join(40)
        faults = f", {world.proxy.faults} faults" if world.proxy else ""
        print(f"{name}: answers to the sender {world.sender.codes}{faults}", flush=True)
        check_times(world, began, ended, alarm)
        check_scrapes(world)
        check_rows(world, world.sender.acknowledged)
    except BaseException:
        with open(world.log) as log:
            print("".join(log.readlines()[-25:]))
        raise
    finally:
        world.end()


def proxied(mode, seconds, alarm=False):
    def scenario(promlake, name):
        run(promlake, name, seconds, lambda w: w.proxy.fail(mode), lambda w: w.proxy.mend(), alarm=alarm)

    return scenario


def full_disk(promlake, name):
    folder = tempfile.mkdtemp(prefix="promlake-full-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], check=True)
    filler = os.path.join(folder, "filler")

    full = threading.Event()

    def keep_full():
        # What is deleted meanwhile gives no room: it is filled again.
        with open(filler, "wb", buffering=0) as f:
            while full.is_set():
                try:
                    f.write(bytes(4096))
                except OSError:
                    time.sleep(0.02)
        os.remove(filler)

    def fill(world):
        full.set()
        world.filling = threading.Thread(target=keep_full, daemon=True)
        world.filling.start()

    def free(world):
        full.clear()
        world.filling.join()

    try:
        run(promlake, name, 40, fill, free, os.path.join(folder, "lake"), alarm=True)
    finally:
        subprocess.run(["umount", folder], check=True)
        os.rmdir(folder)


def paused(promlake, name):
    """A process is stopped past its lease, another starts, flushes and writes, and the first goes on."""
    world = World(promlake)
    world.began = time.time()
    try:
        world.sender.start()
        time.sleep(WARM_UP)
        first = world.server, world.base
        first[0].send_signal(signal.SIGSTOP)
        stopped = time.time()
        # The sender waits for an answer that will not come; who sends is sure only of what was acknowledged.
        world.sender.ended = True
        time.sleep(32)
        expected = list(world.sender.acknowledged)
        world.server, world.base, world.pg = world.serve()
        print(f"{name}: the second process is ready {time.time() - stopped:.0f} s after the first was stopped", flush=True)
        second = Sender(world.base)
        second.start()
        time.sleep(25)
        first[0].send_signal(signal.SIGCONT)
        ms = int(time.time() * 1000)
        body = write_request([([("__name__", "sent"), ("i", "00")], 7.0, ms)])
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
        code, text = ask(first[1] + "/api/v1/write", 40, body, headers)
        assert code == 500 and "restart" in text, f"the first process answered {code}: {text}"
        until(10, "the first process says that it is not healthy", lambda: ask(first[1] + "/-/healthy")[0] == 503)
        assert ask(first[1] + "/-/ready?for=write")[0] == 503
        print(f"  the first process, back: {code} {text.strip()}", flush=True)
        time.sleep(5)
        second.ended = True
        second.join(40)
        check_rows(world, expected + second.acknowledged, 2)
    except BaseException:
        with open(world.log) as log:
            print("".join(log.readlines()[-25:]))
        raise
    finally:
        world.end()


SCENARIOS = {
    "refuse_2s": proxied("refuse", 2),
    "refuse_20s": proxied("refuse", 20),
    "refuse_120s": proxied("refuse", 120, alarm=True),
    "503_30s": proxied("503", 30, alarm=True),
    "409_tenth": proxied("409", 30),
    "lost_tenth": proxied("lost", 30),
    "full_disk": full_disk,
    "paused": paused,
}


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--promlake", default="target/release/promlake")
    args.add_argument("scenarios", nargs="*", default=[])
    args = args.parse_args()
    for name in args.scenarios or SCENARIOS:
        SCENARIOS[name](args.promlake, name)
    print("all scenarios passed")


if __name__ == "__main__":
    main()
