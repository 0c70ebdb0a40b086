"""Servers for the corpora: the binary under test, PostgreSQL as what is right, and what a corpus brings itself. All are on loopback
with folders of their own; a `with` block ends them by their pid."""

import contextlib
import glob
import importlib.util
import os
import pwd
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

DEADLINE_S = 60


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def folder():
    path = tempfile.mkdtemp(prefix="promlake-corpora-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def end(process, signal_number=signal.SIGTERM):
    """Asks first, then kills."""
    if process.poll() is None:
        process.send_signal(signal_number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_port(port, process, name):
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{name} does not listen on port {port} within {DEADLINE_S} s")


class Promlake:
    """The binary with an empty lake. `http` is its URL, `pg` the port of the Postgres protocol."""

    def __init__(self, binary, directory, config="scrape_configs: []\n", flags=()):
        file = os.path.join(directory, "prometheus.yml")
        with open(file, "w") as f:
            f.write(config)
        args = [binary, f"--config.file={file}", f"--storage.url={os.path.join(directory, 'data')}"]
        args += ["--web.listen-address=127.0.0.1:0", "--pg.listen-address=127.0.0.1:0", *flags]
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", cwd=directory)
        self.log, self.lines = [], queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.http = self._word_behind("HTTP API on ")
        self.pg = int(self._word_behind("Postgres protocol on ").rsplit(":", 1)[1])
        self._word_behind("msg=ready")

    def _read(self):
        for line in self.process.stderr:
            self.lines.put(line)
        self.lines.put(None)

    def _word_behind(self, text):
        for line in self.log:
            if text in line:
                return line.split(text, 1)[1].split('"')[0].split(" ")[0].strip()
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise RuntimeError(f"no {text!r} in the log:\n{''.join(self.log[-20:])}")
            self.log.append(line)
            if text in line:
                return line.split(text, 1)[1].split('"')[0].split(" ")[0].strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)


class Postgres:
    """A PostgreSQL of this machine with a cluster of its own; `pg` is its port. It refuses to run as root, so where this runs as
    root it is the user `postgres`."""

    def __init__(self, directory):
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda p: int(p.split("/")[4]))
        if not programs:
            raise RuntimeError("no PostgreSQL server; run tests/peers")
        bin_folder = os.path.dirname(programs[-1])
        user = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(directory, entry.pw_uid, entry.pw_gid)
            user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "env": {**os.environ, "HOME": directory}}
        cluster = os.path.join(directory, "cluster")
        init = ["initdb", "-D", cluster, "-U", "postgres", "-A", "trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run([os.path.join(bin_folder, init[0]), *init[1:]], check=True, capture_output=True, cwd=directory, **user)
        self.pg = free_port()
        args = [programs[-1], "-D", cluster, "-p", str(self.pg), "-h", "127.0.0.1", "-k", directory, "-c", "fsync=off", "-c", "timezone=UTC"]
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=directory, **user)
        wait_for_port(self.pg, self.process, "postgres")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Fast: sessions are ended.
        end(self.process, signal.SIGINT)


class Program:
    """A server that listens on a port it is given."""

    def __init__(self, args, port, **options):
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        wait_for_port(port, self.process, args[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)


def load_module(path):
    """A Python file of a corpus, without leaving a compiled one beside it."""
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def output_of(args, seconds, **options):
    """What a program prints, both ways together, also when it took too long: then its whole process group is killed."""
    process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, **options)
    try:
        out = process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out = process.communicate()[0] + f"\nended after {seconds} s\n".encode()
    return out.decode("utf-8", "replace")
