"""Breaking a service of a cluster, and waiting for what that shows."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from harness.catalog.model import Service
from harness.platform.kubernetes.platform import Kubernetes
from harness.platform.model import Fault, Proof
from harness.platform.undo import UndoRecord

BROKEN: list[UndoRecord] = []
"""What the test in hand has broken."""


def until(holds: Callable[[], bool], within_s: float = 30.0) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within_s, "it did not come to hold"
        time.sleep(0.2)
    return time.monotonic() - began


def answers(url: str, timeout_s: float = 1.0) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", "/api/memory/recall/1")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def broken(platform: Kubernetes, service: Service, kind: str, **words: Any) -> UndoRecord:
    """The fault, injected and shown by the platform itself."""
    fault = Fault(kind, words)
    heal = platform.plan_heal(service, fault, f"{kind}-{time.time_ns() % 10**9}")
    BROKEN.append(heal)
    platform.inject(service, fault, heal)
    proof = platform.verify(heal)
    assert proof.in_effect, proof.statement
    return heal


def undone(platform: Kubernetes, heal: UndoRecord, within_s: float = 60.0) -> None:
    """Healed, twice, with proof."""
    platform.heal(heal)
    platform.heal(heal)
    last: list[Proof] = []

    def gone() -> bool:
        last[:] = [platform.verify(heal)]
        return not last[0].in_effect

    until(gone, within_s)
