"""The server that clients ask: promlake, or a PostgreSQL with the same tables, which shows that the checks themselves are right."""

import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "corpora"))
from servers import Postgres, Promlake, folder  # noqa: E402
import metrics  # noqa: E402, I001 (it puts a folder with other `servers` before)


@contextlib.contextmanager
def server_of(binary):
    """Its port; without a binary of promlake it is PostgreSQL. On loopback, in a folder that is gone afterwards."""
    with folder() as directory:
        if binary:
            with Promlake(binary, directory, flags=["--pg.enable-writes"]) as server:
                metrics.into_promlake(server.http)
                yield server.pg
        else:
            with Postgres(directory) as server:
                metrics.into_postgres(server.pg)
                yield server.pg
