"""Asks several services in turn until its standard input ends: `python -m harness.outage.client`.

It reads one line, JSON: URLs by service, and writes an `Answered` a line.
"""

import http.client
import json
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from urllib.parse import urlsplit

from harness.outage.model import Answered

EVERY_S = 0.05
"""Between two requests to one service."""

TIMEOUT_S = 3.0


def ask(service: str, url: str, ended: threading.Event, lock: threading.Lock) -> None:
    """Ask one service again and again, each time by a connection of its own."""
    parts = urlsplit(url)
    while not ended.wait(EVERY_S):
        at_ns = time.monotonic_ns()
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, TIMEOUT_S)
        try:
            connection.request("GET", parts.path, headers={"x-api-key": "load-test"})
            ok = 200 <= connection.getresponse().status < 300  # noqa: PLR2004 - success
        except (OSError, http.client.HTTPException):
            ok = False
        finally:
            connection.close()
        line = json.dumps(asdict(Answered(service, at_ns, ok)))
        with lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def main() -> None:
    """Ask until nobody listens any more."""
    urls: Mapping[str, str] = json.loads(sys.stdin.readline())
    ended, lock = threading.Event(), threading.Lock()
    threads = [threading.Thread(target=ask, args=(*each, ended, lock)) for each in urls.items()]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
