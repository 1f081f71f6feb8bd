"""What captured chains cost beside plain templates: `python -m benchmarks.chains`.

Both send to the engine's own null server from as many users in a closed loop, in turns; a chain's
second request carries a value of the first answer's JSON. Printed are the medians of requests/s
and of the engine's CPU time a request.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping

from harness import _engine

ROUNDS, SECONDS, USERS = 7, 2.0, 32
LEAST_SHARE = 0.6
"""Of plain templates' throughput that chains are to reach."""

_HEADERS = [["authorization", "Bearer 0123456789"]]
_PLAIN = {
    "requests": [
        {"name": "a", "path": "/a", "headers": _HEADERS},
        {"name": "b", "path": "/b", "headers": _HEADERS},
    ]
}
_CHAIN = {
    "chains": [
        {
            "name": "ab",
            "steps": [
                {
                    "name": "a", "path": "/a", "headers": _HEADERS,
                    "capture": {"v": {"kind": "json", "pointer": "/ok"}},
                },
                {"name": "b", "path": "/b", "headers": [["x-value", "{v}"]]},
            ],
        }
    ]
}  # fmt: skip


def _run(server: _engine.NullServer, model: Mapping[str, object]) -> tuple[float, float]:
    """(requests/s, CPU seconds a request)"""
    plan = {
        **model,
        "arrivals": {"kind": "closed", "users": USERS, "duration_s": SECONDS},
        "targets": [f"http://127.0.0.1:{server.port}"],
        "connections_per_target": USERS,
    }
    engine = _engine.Engine(json.dumps(plan))
    engine.start()
    engine.join()
    found = engine.snapshot()
    if found["completed"] != found["offered"] or not found["conserved"]:
        raise AssertionError(found)
    return found["completed"] / SECONDS, (found["cpu_ns"] or 0) / 1e9 / found["completed"]


def main() -> int:
    """Print both and their ratio; 1 where chains are below what they are to reach."""
    server = _engine.NullServer()
    plain, chains = [], []
    for _ in range(ROUNDS):
        plain.append(_run(server, _PLAIN))
        chains.append(_run(server, _CHAIN))
    server.stop()
    rates = [statistics.median(rate for rate, _ in runs) for runs in (plain, chains)]
    costs = [statistics.median(cost for _, cost in runs) for runs in (plain, chains)]
    for name, rate, cost in zip(("templates", "chains"), rates, costs, strict=True):
        print(f"{name:<10} {rate:>9,.0f} requests/s  {cost * 1e6:5.2f} us of CPU a request")
    share = rates[1] / rates[0]
    print(f"chains reach {share:.0%} of templates ({costs[0] / costs[1]:.0%} by CPU)")
    return int(share < LEAST_SHARE)


if __name__ == "__main__":
    sys.exit(main())
