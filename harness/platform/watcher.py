"""What a platform tells of a service while a run goes on, asked once a second beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from harness.catalog.model import Service
from harness.errors import HarnessError
from harness.platform.model import Platform

PERIOD_S = 1.0

Message = dict[str, Any]


class Watcher:
    """A thread of its own: a slow answer delays neither the load nor a health check.

    A context manager. `tell` gets each piece of news as an event of a record, with both clocks.
    """

    def __init__(
        self, platform: Platform, service: Service, tell: Callable[[Message], None]
    ) -> None:
        self._look = platform.news(service)
        self._tell = tell
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def __enter__(self) -> Self:
        if self._look is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._look is not None:
            self._thread.join(2 * PERIOD_S)

    def _watch(self) -> None:
        while self._look is not None:
            try:
                found = self._look()
            except HarnessError as problem:
                found = [{"type": "platform_view", "ok": False, "reason": str(problem)}]
            now = {"wall_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()}
            for each in found:
                self._tell({**now, **each})
            if self._ended.wait(PERIOD_S):
                return
