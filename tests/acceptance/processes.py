"""Servers of the acceptance tests: started on loopback, waited for, killed and stopped; and pages that they scrape."""
import contextlib
import http.client
import http.server
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

STOP_S = 90


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def call(url, body=None, headers=None, with_type=False, method=None):
    """Status and body; with the content type between them where asked for."""
    request = urllib.request.Request(url, data=body, headers=headers or {}, method=method)
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        content = response.read()
        if with_type:
            return response.status, response.headers["Content-Type"], content
        return response.status, content


def until(seconds, what, condition):
    end = time.time() + seconds
    while time.time() < end:
        try:
            if value := condition():
                return value
        except (OSError, http.client.HTTPException, KeyError, IndexError, ValueError):
            pass
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


class Server:
    """A process that answers at `url` from when it is entered until it is left; may be killed and started again."""

    def __init__(self, argv, port, ready, folder, env=None):
        self.argv, self.port, self.folder, self.env = argv, port, folder, {**os.environ, **(env or {})}
        self.url, self.ready, self.starts = f"http://127.0.0.1:{port}", ready, 0

    def start(self):
        self.starts += 1
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen(self.argv, stdout=self.log, stderr=self.log, cwd=self.folder, env=self.env)

    def is_ready(self):
        with contextlib.suppress(OSError):
            return call(self.url + self.ready)[0] == 200

    def __enter__(self):
        self.start()
        end = time.time() + 60
        try:
            while not self.is_ready():
                if time.time() > end or self.process.poll() is not None:
                    raise SystemExit(f"{self.argv[0]} did not start, see {self.log.name}:\n" + "".join(self.logged()))
                time.sleep(0.1)
        except BaseException:
            # Nobody else would end it.
            self.process.kill()
            self.process.wait(30)
            raise
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        # The log of this life stays beside that of the next.
        self.log.close()
        os.replace(self.log.name, f"{self.log.name}.{self.starts}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(30)
                raise AssertionError(f"{self.argv[0]} did not stop within {STOP_S} s, see {self.log.name}") from None
        self.log.close()

    def restart(self):
        Server.__enter__(self)

    def __exit__(self, *_):
        self.stop()

    def logged(self):
        with open(os.path.join(self.folder, "log"), errors="replace") as log:
            return log.readlines()


class Pages:
    """Serves pages to those who scrape, on a port of its own: `page` makes of a path the content type and the text, or nothing."""

    def __init__(self, page):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                found = page(self.path)
                content_type, text = found or ("text/plain", "404 page not found\n")
                body = text.encode()
                with contextlib.suppress(ConnectionError):
                    self.send_response(200 if found else 404)
                    if content_type:
                        self.send_header("Content-Type", content_type)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def text_page(make):
    """The same page at every path, in Prometheus' text format."""
    return Pages(lambda _: ("text/plain; version=0.0.4", make()))
