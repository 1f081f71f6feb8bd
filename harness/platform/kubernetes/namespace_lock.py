"""One run at a time breaks things in a namespace: who holds the Lease `codai-harness` there.

A holder renews it every few seconds. Whether one lives is told by whether its Lease changes, not by
its clock: no two machines need the same time. One that is silent for the Lease's duration is gone.
Who wants the holder to end names itself in the Lease's annotation; the holder sees it when it
renews the Lease.
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

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from harness.errors import PlatformError
from harness.platform.kubernetes.access import is_gone, quietly, telling
from harness.platform.kubernetes.cluster import MANAGED, OURS, Cluster
from harness.units import format_duration

NAME = "codai-harness"
DURATION_S = 15
RENEW_S = 2.0
"""As often as Kubernetes' own leader election by default; so soon is a request to end seen."""

POLL_S = 0.5
ATTEMPTS = 5
"""How often it is made where the answer says that it was not: busy servers are so for a while."""

CONFLICT = 409
ASKED = "harness.codai/halt"
EVICT_S = 90.0
"""How long a holder that was asked to end may take, which undoes its faults meanwhile."""


@contextmanager
def exclusive(
    cluster: Cluster,
    say: Callable[[str], None],
    lost: Callable[[], None],
    asked: Callable[[str], None],
) -> Iterator[None]:
    """Hold the namespace for as long as what is inside runs.

    Raises PlatformError naming the holder where another run has it. From another thread `asked`
    is called with the name of who wants this run to end, and `lost` when another took the
    namespace over, which it does only after this one was silent, or did not end, for long.
    """
    lease = _Lease(cluster, say)
    lease.take()
    with _held(lease, lost, asked):
        yield


@contextmanager
def evicting(cluster: Cluster, say: Callable[[str], None], who: str) -> Iterator[str | None]:
    """Ask the holder to end, wait for it, and hold the namespace; gives the holder's name or None.

    One that has not ended after `EVICT_S` seconds loses it.
    """
    lease = _Lease(cluster, say)
    holder = lease.evict(who)
    with _held(lease, lambda: None, lambda who: None):
        yield holder


@contextmanager
def _held(lease: _Lease, lost: Callable[[], None], asked: Callable[[str], None]) -> Iterator[None]:
    ended = threading.Event()
    renewer = threading.Thread(target=lease.keep, args=(ended, lost, asked), daemon=True)
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
        """Make it or take it over; raises PlatformError when its holder lives.

        One that bears this run's name was made though the answer said otherwise.
        """
        self._acquired, left = _now(), ATTEMPTS
        while self._version is None:
            found = self._read()
            holder = found.spec.holder_identity if found is not None else None
            if holder == self._holder:
                self._version = str(found.metadata.resource_version)
                return
            if holder:
                self._say(f"looking whether {holder} still runs")
            if holder and not self._is_silent(found):
                raise PlatformError(
                    f"namespace {self._cluster.namespace}: {holder} has been "
                    f"breaking things here for {_age(found)}",
                    "wait until it ends, or end it: harness halt",
                )
            try:
                self._version = self._write(found.metadata.resource_version if found else None)
            except PlatformError:
                left -= 1
                if not left:
                    raise
                time.sleep(POLL_S)

    def evict(self, who: str) -> str | None:
        """Take it as soon as its holder has ended or is silent, which is asked to end once."""
        deadline = time.monotonic() + EVICT_S
        self._acquired = _now()
        holder: str | None = None
        while self._version is None:
            found = self._read()
            now = found.spec.holder_identity if found is not None else None
            if now and now != holder:
                self._say(f"asking {now} to end")
                if self._write(found.metadata.resource_version, asking=(found, who)) is not None:
                    holder = now
            elif not now or time.monotonic() > deadline or self._is_silent(found):
                self._version = self._write(found.metadata.resource_version if found else None)
        return holder

    def keep(
        self, ended: threading.Event, lost: Callable[[], None], asked: Callable[[str], None]
    ) -> None:
        """Renew it until the end; an API server that does not answer is asked again."""
        while not ended.wait(RENEW_S):
            try:
                self._version = self._write(self._version) or self._regain(asked)
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
                NAME, self._cluster.namespace, body=options
            )
        )

    def _regain(self, asked: Callable[[str], None]) -> str | None:
        """Write it anew if nobody else has it: an answer may have been lost, or the Lease removed.

        None when another has it; a conflict alone does not say so. What somebody asked in it is
        passed on.
        """
        while True:
            found = self._read()
            if found is not None and found.spec.holder_identity != self._holder:
                return None
            if found and (who := (found.metadata.annotations or {}).get(ASKED)):
                asked(str(who))
            version = self._write(found.metadata.resource_version if found else None)
            if version is not None:
                return version
            time.sleep(POLL_S)

    def _is_silent(self, found: client.V1Lease) -> bool:
        """Whether nobody changes it for as long as it says that a holder may be silent."""
        deadline = time.monotonic() + (found.spec.lease_duration_seconds or DURATION_S)
        while time.monotonic() < deadline:
            time.sleep(POLL_S)
            now = self._read()
            if now is None:
                return True
            if now.metadata.resource_version != found.metadata.resource_version:
                return False
        return True

    def _read(self) -> client.V1Lease:
        with telling(f"lease {NAME}"):
            try:
                return self._cluster.coordination.read_namespaced_lease(
                    NAME, self._cluster.namespace
                )
            except ApiException as problem:
                if is_gone(problem):
                    return None
                raise

    def _write(
        self, version: str | None, asking: tuple[client.V1Lease, str] | None = None
    ) -> str | None:
        """Make it (no version) or write over that very version; None when somebody was faster.

        `asking`: the Lease as its holder has it, and who asks in it that the holder end.
        """
        metadata = {"name": NAME, "labels": {MANAGED: OURS}, "resourceVersion": version}
        holder, since = self._holder, self._acquired
        if asking is not None:
            holder, since = asking[0].spec.holder_identity, _text(asking[0].spec.acquire_time)
            metadata["annotations"] = {ASKED: asking[1]}
        body = {
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": DURATION_S,
                "acquireTime": since,
                "renewTime": _now(),
            },
        }
        api, namespace = self._cluster.coordination, self._cluster.namespace
        with telling(f"lease {NAME}"):
            try:
                if version is None:
                    made = api.create_namespaced_lease(namespace, body)
                else:
                    made = api.replace_namespaced_lease(NAME, namespace, body)
            except ApiException as problem:
                if problem.status == CONFLICT or is_gone(problem):
                    return None
                raise
        return str(made.metadata.resource_version)


def _now() -> str:
    return _text(datetime.now(UTC))


def _text(at: datetime | None) -> str:
    """As the API server wants it: always with microseconds."""
    return (at or datetime.now(UTC)).isoformat(timespec="microseconds")


def _age(found: client.V1Lease) -> str:
    since = found.spec.acquire_time
    seconds = (datetime.now(UTC) - since).total_seconds() if since else 0.0
    return format_duration(max(seconds, 0.0))
