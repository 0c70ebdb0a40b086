"""What the page for newcomers has for Python, as it stands there: it runs and prints something."""

import contextlib
import io
import os
import re

from checks import main

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/server/pg/CLIENTS.md")


def work(checks):
    with open(PAGE, encoding="utf-8") as file:
        blocks = re.findall(r"```python\n(.*?)```", file.read(), re.S)
    for code in blocks:
        name = re.search(r"^import (?!asyncio)(\w+)", code, re.M)[1]
        # Only promlake has `promql()`.
        if checks.is_promlake or "promql(" not in code:
            checks.same(name, True, lambda code=code: printed(code.replace("9432", str(checks.port))))


def printed(code):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {"__name__": "page"})
    return len(out.getvalue()) > 5 or out.getvalue()


main(work)
