"""The master's log as one stream, over as many connections as it takes."""

import threading
import time
from collections.abc import Callable, Iterator

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from harness.load.kubernetes.lines import Lines
from harness.load.kubernetes.manifests import CONTAINER
from harness.messages import LoadMessage

RECONNECT_S = 0.5
SILENCE_S = (5.0, 15.0)
"""To connect, and without a byte of the log (a line comes each second) before a new connection."""

OVERLAP_S = 5
"""What a new connection asks for before the last line heard; the numbers drop what comes twice."""

AFTER_POD_S = 10.0
"""How long the log of an ended pod is still asked for its last lines."""


class Follower:
    """Reads one pod's log until its `end` message, its end, or `limit_s`.

    `ended` tells whether the pod was seen ended; `closing` breaks the reading off.
    """

    def __init__(
        self,
        core: client.CoreV1Api,
        namespace: str,
        pod: str,
        *,
        closing: threading.Event,
        ended: Callable[[], bool],
        limit_s: float,
    ) -> None:
        self._core = core
        self._namespace = namespace
        self._pod = pod
        self._closing = closing
        self._ended = ended
        self._until = time.monotonic() + limit_s
        self._heard: float | None = None
        self._whole = False
        self.connections = 0
        self.lines = Lines()

    def messages(self) -> Iterator[LoadMessage]:
        """Each numbered message once, in order; the last is `end` if there was one."""
        give_up = self._until
        while not self._closing.is_set() and time.monotonic() < give_up:
            try:
                for message in self._connection():
                    yield message
                    if message["type"] == "end":
                        return
            except _Gap:
                self._whole = True  # from the log's beginning; what is not there is lost
                continue
            except (ApiException, urllib3.exceptions.HTTPError, OSError, ValueError):
                pass  # whatever it was, the next connection tells
            if self._ended():
                give_up = min(give_up, time.monotonic() + AFTER_POD_S)
            self._closing.wait(RECONNECT_S)

    def _connection(self) -> Iterator[LoadMessage]:
        since, self._whole = (None if self._whole else self._since()), False
        self.lines.restart()
        self.connections += 1
        response = self._core.read_namespaced_pod_log(
            self._pod,
            self._namespace,
            container=CONTAINER,
            follow=True,
            _preload_content=False,
            _request_timeout=SILENCE_S,
            **({"since_seconds": since} if since else {}),
        )
        first = since is not None
        try:
            for chunk in response.stream(1 << 16, decode_content=False):
                if first and self.lines.has_gap(chunk):
                    raise _Gap
                first = False
                for message in self.lines.feed(chunk):
                    self._heard = time.monotonic()
                    yield message
        finally:
            response.close()
            response.release_conn()

    def _since(self) -> int | None:
        """How far back to ask, in seconds; None for the whole log."""
        if self._heard is None:
            return None
        return round(time.monotonic() - self._heard) + OVERLAP_S


class _Gap(Exception):  # noqa: N818 - not an error: the log is asked again
    """A fresh connection's first line is not the next one."""
