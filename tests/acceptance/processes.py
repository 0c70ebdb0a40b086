"""Servers of the acceptance tests: started on loopback, waited for, and stopped."""
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def call(url, body=None, headers=None, with_type=False):
    """Status and body; with the content type between them where asked for."""
    request = urllib.request.Request(url, data=body, headers=headers or {})
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        content = response.read()
        if with_type:
            return response.status, response.headers["Content-Type"], content
        return response.status, content


class Server:
    """A process that answers at `url` until it is left."""

    def __init__(self, argv, port, ready, folder):
        self.url, self.ready = f"http://127.0.0.1:{port}", ready
        self.log = open(os.path.join(folder, "log"), "wb")
        self.process = subprocess.Popen(argv, stdout=self.log, stderr=self.log, cwd=folder)

    def __enter__(self):
        end = time.time() + 60
        while True:
            try:
                if call(self.url + self.ready)[0] == 200:
                    return self
            except OSError:
                pass
            if time.time() > end or self.process.poll() is not None:
                raise SystemExit(f"{self.process.args[0]} did not start, see {self.log.name}:\n" + open(self.log.name).read())
            time.sleep(0.1)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
