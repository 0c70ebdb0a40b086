"""A node exporter scraped every 2 s into an S3 bucket, and the same count out of psql, PromQL and DuckDB.

    python tests/acceptance/pipeline.py --promlake target/release/promlake --seconds 300

Needs prometheus-node-exporter and psql on the path, and moto, duckdb==1.5.5 and its delta and httpfs extensions in the
Python that runs it (tests/peers installs all of them). Everything listens on loopback and is stopped at the end.
"""
import argparse
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from processes import free_port  # noqa: E402


def get(url, deadline=30):
    end = time.time() + deadline
    while True:
        try:
            return urllib.request.urlopen(url, timeout=5).read()
        except OSError:
            if time.time() > end:
                raise
            time.sleep(0.1)


def extension(name):
    import importlib

    folder = os.path.dirname(importlib.import_module(f"duckdb_extension_{name}").__file__)
    return glob.glob(f"{folder}/**/*.duckdb_extension", recursive=True)[0]


def duckdb_count(endpoint, bucket, until_ms):
    import duckdb

    db = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for name in ("httpfs", "delta"):
        db.execute(f"INSTALL '{extension(name)}'; LOAD {name}")
    db.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID 'test', SECRET 'test', REGION 'us-east-1', ENDPOINT '{endpoint}', "
        "URL_STYLE 'path', USE_SSL false)"
    )
    return db.execute(
        f"SELECT count(*) FROM delta_scan('s3://{bucket}/lake/samples') "
        f"WHERE metric = 'node_cpu_seconds_total' AND epoch_ms(timestamp) <= {until_ms}"
    ).fetchone()[0]


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--promlake", default="target/release/promlake")
    args.add_argument("--seconds", type=int, default=300)
    args = args.parse_args()
    children = []

    def start(*command, **more):
        child = subprocess.Popen(command, **more)
        children.append(child)
        return child

    try:
        run(args, start)
    finally:
        for child in reversed(children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in children:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()


def run(args, start):
    s3, exporter, http, pg = (free_port() for _ in range(4))
    moto = os.path.join(os.path.dirname(sys.executable), "moto_server")
    start(moto, "-H", "127.0.0.1", "-p", str(s3), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    start(
        "prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{exporter}", "--log.level=error",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    get(f"http://127.0.0.1:{s3}/moto-api/")
    get(f"http://127.0.0.1:{exporter}/metrics")
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{s3}/metrics-bucket", method="PUT"))

    folder = tempfile.mkdtemp(prefix="promlake-pipeline-")
    config = os.path.join(folder, "prometheus.yml")
    with open(config, "w") as f:
        f.write(
            "global: {scrape_interval: 2s, scrape_timeout: 2s}\n"
            "scrape_configs:\n"
            f"- {{job_name: node, static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]}}\n"
            f"- {{job_name: promlake, static_configs: [{{targets: ['127.0.0.1:{http}']}}]}}\n"
        )
    env = dict(os.environ, AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_REGION="us-east-1",
               AWS_ENDPOINT_URL=f"http://127.0.0.1:{s3}", AWS_ALLOW_HTTP="true")
    server = start(
        args.promlake, "--config.file", config, "--storage.url", "s3://metrics-bucket/lake",
        "--web.listen-address", f"127.0.0.1:{http}", "--pg.listen-address", f"127.0.0.1:{pg}",
        "--storage.flush-interval", "60s", env=env,
    )
    get(f"http://127.0.0.1:{http}/-/ready")
    for left in range(args.seconds, 0, -30):
        print(f"scraping for {left} s more", flush=True)
        time.sleep(min(30, left))

    until_ms = int(time.time() * 1000) - 5_000
    sql = f"SELECT count(*) FROM node_cpu_seconds_total WHERE timestamp <= to_timestamp_millis({until_ms})"
    psql = int(subprocess.run(
        ["psql", "-h", "127.0.0.1", "-p", str(pg), "-U", "tester", "promlake", "-Atc", sql],
        check=True, capture_output=True, text=True,
    ).stdout)
    query = f"sum(count_over_time(node_cpu_seconds_total[1d] @ {until_ms / 1000}))"
    body = get(f"http://127.0.0.1:{http}/api/v1/query?query=" + urllib.parse.quote(query))
    promql = int(json.loads(body)["data"]["result"][0]["value"][1])
    server.send_signal(signal.SIGTERM)
    if server.wait(60) != 0:
        sys.exit("the server did not stop cleanly")
    lake = duckdb_count(f"127.0.0.1:{s3}", "metrics-bucket", until_ms)
    print(f"psql {psql}, PromQL {promql}, DuckDB {lake}")
    if not psql == promql == lake or psql == 0:
        sys.exit("the three counts differ")


if __name__ == "__main__":
    main()
