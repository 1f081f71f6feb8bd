"""One run at a time breaks things in a namespace: who holds the Lease `codai-harness` there.

A holder renews it every few seconds. Whether one lives is told by whether its Lease changes, not by
its clock: no two machines need the same time. One that is silent for the Lease's duration is gone.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from harness.errors import PlatformError
from harness.platform.kubernetes.access import TIMEOUT_S, is_gone, quietly, telling
from harness.platform.kubernetes.cluster import MANAGED, OURS, Cluster
from harness.units import format_duration

NAME = "codai-harness"
DURATION_S = 15
RENEW_S = 5.0
POLL_S = 0.5
CONFLICT = 409


@contextmanager
def exclusive(
    cluster: Cluster, say: Callable[[str], None], lost: Callable[[], None]
) -> Iterator[None]:
    """Hold the namespace for as long as what is inside runs.

    Raises PlatformError naming the holder where another run has it. `lost` is called from another
    thread when another took it over, which it does only after this one was silent for long.
    """
    lease = _Lease(cluster, say)
    lease.take()
    ended = threading.Event()
    renewer = threading.Thread(target=lease.keep, args=(ended, lost), daemon=True)
    renewer.start()
    try:
        yield
    finally:
        ended.set()
        renewer.join()
        lease.release()


class _Lease:
    """The Lease as this run holds it; `_version` None: it does not."""

    def __init__(self, cluster: Cluster, say: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._say = say
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._acquired = ""
        self._version: str | None = None

    def take(self) -> None:
        """Make it or take it over; raises PlatformError when its holder lives."""
        self._acquired = _now()
        while self._version is None:
            found = self._read()
            if found is not None and found.spec.holder_identity and not self._is_silent(found):
                raise PlatformError(
                    f"namespace {self._cluster.namespace}: {found.spec.holder_identity} has been "
                    f"breaking things here for {_age(found)}",
                    "wait until it ends, or end it there",
                )
            self._version = self._write(found.metadata.resource_version if found else None)

    def keep(self, ended: threading.Event, lost: Callable[[], None]) -> None:
        """Renew it until the end; an API server that does not answer is asked again."""
        while not ended.wait(RENEW_S):
            try:
                self._version = self._write(self._version) or self._regain()
            except PlatformError:
                continue
            if self._version is None:
                self._say(f"another run took over namespace {self._cluster.namespace}: stopping")
                lost()
                return

    def release(self) -> None:
        """Remove it if it is still ours; one that cannot be removed is soon taken for silent."""
        if self._version is None:
            return
        options = client.V1DeleteOptions(
            preconditions=client.V1Preconditions(resource_version=self._version)
        )
        quietly(
            lambda: self._cluster.coordination.delete_namespaced_lease(
                NAME, self._cluster.namespace, body=options, _request_timeout=TIMEOUT_S
            )
        )

    def _regain(self) -> str | None:
        """Write it anew if nobody else has it: an answer may have been lost, or the Lease removed.

        None when another has it.
        """
        found = self._read()
        if found is None:
            return self._write(None)
        if found.spec.holder_identity == self._holder:
            return self._write(found.metadata.resource_version)
        return None

    def _is_silent(self, found: Any) -> bool:
        """Whether nobody changes it for as long as it says that a holder may be silent."""
        self._say(f"looking whether {found.spec.holder_identity} still runs")
        deadline = time.monotonic() + (found.spec.lease_duration_seconds or DURATION_S)
        while time.monotonic() < deadline:
            time.sleep(POLL_S)
            now = self._read()
            if now is None:
                return True
            if now.metadata.resource_version != found.metadata.resource_version:
                return False
        return True

    def _read(self) -> Any:
        with telling(f"lease {NAME}"):
            try:
                return self._cluster.coordination.read_namespaced_lease(
                    NAME, self._cluster.namespace, _request_timeout=TIMEOUT_S
                )
            except ApiException as problem:
                if is_gone(problem):
                    return None
                raise

    def _write(self, version: str | None) -> str | None:
        """Make it (no version) or write over that very version; None when somebody was faster."""
        body = {
            "metadata": {"name": NAME, "labels": {MANAGED: OURS}, "resourceVersion": version},
            "spec": {
                "holderIdentity": self._holder,
                "leaseDurationSeconds": DURATION_S,
                "acquireTime": self._acquired,
                "renewTime": _now(),
            },
        }
        api, namespace = self._cluster.coordination, self._cluster.namespace
        with telling(f"lease {NAME}"):
            try:
                if version is None:
                    made = api.create_namespaced_lease(namespace, body, _request_timeout=TIMEOUT_S)
                else:
                    made = api.replace_namespaced_lease(
                        NAME, namespace, body, _request_timeout=TIMEOUT_S
                    )
            except ApiException as problem:
                if problem.status == CONFLICT or is_gone(problem):
                    return None
                raise
        return str(made.metadata.resource_version)


def _now() -> str:
    """As the API server wants it: always with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _age(found: Any) -> str:
    since = found.spec.acquire_time
    seconds = (datetime.now(UTC) - since).total_seconds() if since else 0.0
    return format_duration(max(seconds, 0.0))
