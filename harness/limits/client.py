"""The clients of a limited API, one after the other: `python -m harness.limits.client`.

It reads what is asked (`Asked`) on standard input and writes the answers (`Measured`), both JSON.
Behind a target's `exec_prefix` it runs where the target can be reached.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

from harness.catalog.model import RateLimit
from harness.chaos import probe_client
from harness.chaos.probe_client import Endpoint
from harness.limits.model import BURSTS, EXTRA, OTHERS, OVERLOAD, Answer, Asked, Measured
from harness.typed import adapter

TIMEOUT_S = 10.0
TOGETHER = 4
"""Requests of the overloaded key for one of another key."""

Ask = Callable[[str], Answer]


def measure(
    asked: Asked,
    ask: Ask,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Measured:
    """Ask as each key in turn; a full run takes a little more than two windows."""
    limit = asked.limit
    bursts = tuple(
        tuple(ask(key) for _ in range(limit.requests + EXTRA)) for key in asked.keys[:BURSTS]
    )
    key, *others = asked.keys[BURSTS : BURSTS + 1 + OTHERS]
    overload, beside = [], []
    count = round(OVERLOAD * limit.requests)
    began = clock()
    for number in range(count):
        sleep(max(0.0, began + number * limit.window_s / count - clock()))
        overload.append(ask(key))
        turn, rest = divmod(number, TOGETHER)
        if rest == 0:  # a tenth of the limit for each of them
            beside.append(ask(others[turn % OTHERS]))
    span_s = clock() - began
    recovery = _recovery(key, limit, ask, sleep)
    return Measured(bursts, tuple(overload), tuple(beside), recovery, span_s)


def _recovery(
    key: str, limit: RateLimit, ask: Ask, sleep: Callable[[float], None]
) -> tuple[Answer, ...]:
    """Ask until the key is refused, then once more after as long as that refusal says."""
    for _ in range(limit.requests + EXTRA):
        last = ask(key)
        if not last.admitted:
            break
    said = seconds_of(last.retry_after)
    sleep(limit.window_s if said is None else min(said, 2 * limit.window_s))
    return (last, ask(key))


def seconds_of(text: str | None) -> float | None:
    """A Retry-After in seconds (RFC 9110, section 10.2.3); None for a date, and for nonsense."""
    digits = (text or "").strip()
    return float(digits) if digits.isascii() and digits.isdigit() else None


def asker(asked: Asked) -> Ask:
    """Asks over one connection, which opens itself anew when it was closed."""
    endpoint = Endpoint(
        "limits", asked.url, asked.host, asked.ca_file, asked.verify, server_name=asked.server_name
    )
    connection = endpoint.connect(TIMEOUT_S)
    began = time.monotonic()

    def ask(key: str) -> Answer:
        at_s = time.monotonic() - began
        found = probe_client.ask(connection, endpoint, asked.path, {asked.limit.header: key})
        return Answer(at_s, found.status, found.retry_after, found.error)

    return ask


def main() -> None:
    """Measure what standard input asks for."""
    asked = adapter(Asked).validate_json(sys.stdin.read())
    json.dump(asdict(measure(asked, asker(asked))), sys.stdout)


if __name__ == "__main__":
    main()
