"""The metrics that the SQL corpora ask for, by remote write."""

import os

from servers import load_module

# 2026-01-01T00:00:00Z, where `schema15.sql` begins.
START_MS = 1_767_225_600_000


def load(shared, http):
    """Raises unless all is taken."""
    rw = load_module(os.path.join(shared, "cases/remote_write/rw.py"))
    for all_series in (cpu_usage(), http_requests_total(), of_sql_cases()):
        body = b"".join(rw.series(sorted(labels.items()), samples) for labels, samples in all_series)
        status, text, _ = rw.post(http, rw.snappy(body))
        if status not in (200, 204):
            raise RuntimeError(f"remote write answers {status}: {text}")


def cpu_usage():
    for host in range(4):
        samples = [(float(i % 100), START_MS + i * 10_000) for i in range(host, 10_000, 4)]
        yield {"__name__": "cpu_usage", "host": f"h{host}"}, samples


def http_requests_total():
    for instance in range(3):
        samples = [(float(i), START_MS + i * 15_000) for i in range(instance, 1_000, 3)]
        labels = {"__name__": "http_requests_total", "job": "api", "instance": f"i{instance}", "code": "200"}
        yield labels, samples


def of_sql_cases():
    yield {"__name__": "Sql_Upper"}, [(1.0, START_MS)]
    for host, low, high in (("a", 1, 8), ("b", 6, 12)):
        samples = [(float(value), START_MS + value * 10_000) for value in range(low, high + 1)]
        yield {"__name__": "sql_prune", "host": host}, samples
