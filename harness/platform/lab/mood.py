"""A replica's behaviour carried out: seeded delays, refusals and false answers."""

from __future__ import annotations

import math
import random
import time
from typing import Any

from harness.platform.lab.options import Behaviour

Z99 = 2.3263478740408408
"""The standard normal's 99th percentile: a lognormal has sigma = ln(p99 / median) / Z99."""


class Mood:
    """Draws from one seeded generator per replica, so that replicas differ and runs repeat."""

    def __init__(self, behaviour: Behaviour, replica: str) -> None:
        self.behaviour = behaviour
        self._random = random.Random(f"{behaviour.seed} {replica}")  # noqa: S311 - no secret
        self._sigma = 0.0
        if behaviour.latency_p99_s is not None:
            self._sigma = math.log(behaviour.latency_p99_s / behaviour.latency_median_s) / Z99
        self.delays = (
            behaviour.latency_median_s > 0.0
            or bool(behaviour.slow)
            or behaviour.latency_add_s > 0.0
        )
        self._false = behaviour.error_ratio > 0.0 or behaviour.garbage_ratio > 0.0
        self._limited = behaviour.rate_limit is not None
        self._minute = 0
        self._used: dict[str, int] = {}

    def delay(self, route: str) -> float:
        """Seconds to wait before a request of this route is answered."""
        seconds = self.behaviour.latency_median_s
        if self._sigma:
            seconds *= math.exp(self._sigma * self._random.gauss(0.0, 1.0))
        slow = self.behaviour.slow.get(route)
        if slow is not None:
            seconds = seconds * slow.factor + slow.add_s
        slowed = self.behaviour.slowed
        if slowed >= 1.0 or self._random.random() < slowed:
            seconds = seconds * self.behaviour.latency_factor + self.behaviour.latency_add_s
        return seconds

    def refuse(self, scope: Any, in_flight: int) -> tuple[int, bytes] | None:
        """The answer to a request beyond a limit, None for one within."""
        limit = self.behaviour.concurrency
        if limit is not None and in_flight > limit:
            return 503, b'{"error":"too many requests in progress"}'
        if self._limited and self._over_rate(scope.headers.get("x-api-key") or ""):
            return 429, b'{"error":"rate limit of this API key"}'
        return None

    def _over_rate(self, key: str) -> bool:
        if key == self.behaviour.exempt_key:
            return False
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._used = minute, {}
        self._used[key] = self._used.get(key, 0) + 1
        return self._used[key] > (self.behaviour.rate_limit or 0)

    def falsify(self, status: int, body: bytes) -> tuple[int, bytes]:
        """The answer as it stands, or the error or garbage given in its place."""
        if self._false:
            draw = self._random.random()
            if draw < self.behaviour.error_ratio:
                return 500, b'{"error":"as the lab was told"}'
            if draw < self.behaviour.error_ratio + self.behaviour.garbage_ratio:
                return 200, b"\x00garbage"
        return status, body
