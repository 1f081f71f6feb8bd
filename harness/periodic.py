"""Something done again and again beside its caller."""

import threading
from collections.abc import Callable
from typing import Self


class Periodic:
    """A thread that calls `act` at once and then every `period_s`; a context manager.

    Leaving it ends the thread, which is waited for at most `grace_s`: a call under way may hang.
    """

    def __init__(self, act: Callable[[], None], period_s: float, grace_s: float) -> None:
        self._act = act
        self._period_s = period_s
        self._grace_s = grace_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(self._grace_s)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._act()
            self._ended.wait(self._period_s)
