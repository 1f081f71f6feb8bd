"""What a platform tells of a service while a run goes on, asked once a second beside it."""

import time
from collections.abc import Callable
from typing import Self

from harness.catalog.model import Service
from harness.errors import HarnessError
from harness.events import Reported
from harness.periodic import Periodic
from harness.platform.model import Observability

PERIOD_S = 1.0


class Watcher(Periodic):
    """Asks in a thread of its own: a slow answer delays neither the load nor a health check.

    A context manager. `tell` gets each piece of news as an event of a record, with both clocks,
    and at the end the last lines of the replicas' logs.
    """

    def __init__(
        self, platform: Observability, service: Service, tell: Callable[[Reported], None]
    ) -> None:
        super().__init__(self._watch, PERIOD_S, 2 * PERIOD_S)
        self._platform, self._service = platform, service
        self._look = platform.events(service)
        self._tell = tell

    def __enter__(self) -> Self:
        return self if self._look is None else super().__enter__()

    def _watch(self) -> None:
        try:
            found = self._look() if self._look is not None else ()
        except HarnessError as problem:
            found = [{"type": "platform_view", "ok": False, "reason": str(problem)}]
        for each in found:
            self._stamped(each)

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        for where, lines in self._platform.log_ends(self._service).items():
            self._stamped({"type": "log", "where": where, "lines": list(lines)})

    def _stamped(self, event: Reported) -> None:
        event["wall_ns"], event["monotonic_ns"] = time.time_ns(), time.monotonic_ns()
        self._tell(event)
