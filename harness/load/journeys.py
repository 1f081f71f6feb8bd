"""Python journeys: started by the engine's schedule, walked by greenlets, counted by the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gevent
from locust.env import Environment

from harness._engine import Engine
from harness.traffic.model import TrafficModel

POLL_S = 0.002
"""How often due journeys are looked for; the wait until then shows as their lag."""

_MILLISECOND_NS = 1_000_000
_Times = tuple[int, int, int]
"""due, sent, done in nanoseconds from the start."""
_KINDS = {
    "ConnectionRefusedError": "refused",
    "ConnectionResetError": "reset",
    "ConnectTimeout": "connect_timeout",
    "timeout": "timeout",
    "TimeoutError": "timeout",
    "gaierror": "resolve",
    "SSLError": "tls",
    "HTTPConnectionClosed": "eof",
    "CatchResponseError": "check",
}


@dataclass(slots=True)
class _Walk:
    """One journey under way: when its next request is due."""

    name: str
    due_ns: int


class Journeys:
    """Takes due journeys from the engine and walks each in a greenlet of its own."""

    def __init__(self, environment: Environment, engine: Engine, model: TrafficModel) -> None:
        self._environment = environment
        self._engine = engine
        self._methods = {journey.name: journey.method for journey in model.journeys}
        self._walks: dict[Any, _Walk] = {}
        self._idle: list[Any] = []
        self._group = gevent.pool.Group()
        self.endpoints: set[str] = set()
        """Endpoints that Locust's own statistics have already counted."""

    def start(self) -> None:
        """Begin to look for due journeys; nothing when the model has none."""
        if self._methods:
            self._environment.events.request.add_listener(self._on_request)
            self._group.spawn(self._watch)

    def stop(self) -> None:
        """End every journey under way."""
        if self._methods:
            self._environment.events.request.remove_listener(self._on_request)
            self._group.kill()

    def _watch(self) -> None:
        while True:
            for arrival, name, due_ns in self._engine.take_journeys():
                self._group.spawn(self._walk, arrival, name, due_ns)
            gevent.sleep(POLL_S)

    def _walk(self, arrival: int, name: str, due_ns: int) -> None:
        user = self._idle.pop() if self._idle else self._new_user()
        walk = _Walk(name, due_ns)
        self._walks[gevent.getcurrent()] = walk
        try:
            getattr(user, self._methods[name])()
        except Exception:  # noqa: BLE001 - a team's code; its failure is a figure, not ours
            now = self._engine.now_ns()
            self._record(name, (walk.due_ns, now, now), "journey", 0)
        finally:
            del self._walks[gevent.getcurrent()]
            self._idle.append(user)
            self._engine.journey_done(arrival)

    def _new_user(self) -> Any:
        user = self._environment.user_classes[0](self._environment)
        user.on_start()
        return user

    def _on_request(
        self,
        name: str,
        response_time: float,
        response_length: int,
        exception: Exception | None,
        response: Any = None,
        **_: Any,
    ) -> None:
        walk = self._walks.get(gevent.getcurrent())
        if walk is None:
            return
        done = self._engine.now_ns()
        sent = max(walk.due_ns, done - round(response_time * _MILLISECOND_NS))
        times = (walk.due_ns, sent, done)
        self._record(name, times, _kind(exception, response), response_length)
        walk.due_ns = done

    def _record(self, name: str, times: _Times, error: str | None, length: int) -> None:
        due, sent, done = times
        self.endpoints.add(name)
        self._engine.record(name, due, sent, done, done, error, length)


def _kind(exception: Exception | None, response: Any) -> str | None:
    """The engine's error kind for what Locust's HTTP client raised; None for success."""
    status = getattr(response, "status_code", 0) or 0
    if exception is None:
        return None
    if status >= 300:  # noqa: PLR2004 - HTTP: not a success
        return f"status_{status // 100}xx"
    return _KINDS.get(type(exception).__name__, "protocol")
