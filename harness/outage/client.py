"""Asks several services in turn until its standard input ends: `python -m harness.outage.client`.

It reads one line, JSON: URLs by service, and writes an `Answered` a line.
"""

import json
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict

from harness.chaos import probe_client
from harness.chaos.probe_client import Endpoint
from harness.outage.model import Answered

EVERY_S = 0.05
"""Between two requests to one service."""

TIMEOUT_S = 3.0


def ask(service: str, url: str, ended: threading.Event, lock: threading.Lock) -> None:
    """Ask one service again and again, each time by a connection of its own."""
    endpoint = Endpoint(service, url)
    while not ended.wait(EVERY_S):
        at_ns = time.monotonic_ns()
        connection = endpoint.connect(TIMEOUT_S)
        answer = probe_client.ask(connection, endpoint, "", {"x-api-key": "load-test"})
        connection.close()
        line = json.dumps(asdict(Answered(service, at_ns, answer.ok)))
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
