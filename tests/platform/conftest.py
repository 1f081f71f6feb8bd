"""A service to run, and a way to ask things from inside a lab."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import pytest

from harness.catalog.model import Route, Service
from harness.platform.lab.namespace import isolation
from harness.platform.lab.options import LabOptions
from harness.platform.lab.platform import Lab
from harness.platform.model import Fault
from harness.platform.undo import UndoRecord

ASK = """
import json, sys, time, httpx
with httpx.Client(timeout=2) as client:
    for method, url, body in json.load(sys.stdin):
        began = time.monotonic()
        try:
            answer = client.request(method, url, content=body)
            told = [answer.status_code, answer.text, dict(answer.headers)]
        except httpx.HTTPError as problem:
            told = [0, type(problem).__name__, {}]
        told[2]["elapsed"] = str(time.monotonic() - began)
        print(json.dumps(told))
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what needs a namespace where there is none."""
    missing = isolation().missing
    if missing is not None:
        for item in items:
            if item.get_closest_marker("lab"):
                item.add_marker(pytest.mark.skip(reason=missing))


HEAL = """
import json, sys
from harness.platform import attach
from harness.platform.undo import undo_record
heal = undo_record(json.load(sys.stdin))
for _ in range(2):
    attach({"platform": "lab", "runtime": heal.undo.runtime}).heal(heal)
"""


@pytest.fixture(scope="session")
def memorai() -> Service:
    """A service with two routes and two replicas."""
    return Service(
        name="memorai",
        tier="foundation",
        core_app=True,
        port=3001,
        purpose="memory",
        replicas=2,
        cpu=1.0,
        memory="1Gi",
        health_path="/api/health",
        routes=(Route("/api/memory"), Route("/api/mfa/{action}")),
        regions=("us-east-1", "eu-west-1", "ap-southeast-1"),
        environments=(),
        objectives=(),
        primary="p95",
    )


class Inside:
    """Asks over HTTP from inside a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def ask(self, *requests: tuple[str, str, str | None]) -> list[tuple[int, Any, dict[str, str]]]:
        """Status, body (decoded where it is JSON) and headers of each request, in order."""
        done = subprocess.run(
            [*self.lab.exec_prefix, sys.executable, "-c", ASK],
            input=json.dumps(requests),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        answers = []
        for line in done.stdout.splitlines():
            status, text, headers = json.loads(line)
            try:
                body = json.loads(text)
            except ValueError:
                body = text
            answers.append((status, body, headers))
        return answers

    def get(self, url: str) -> tuple[int, Any, dict[str, str]]:
        """One GET."""
        return self.ask(("GET", url, None))[0]

    def many(self, count: int, url: str) -> list[tuple[int, Any, dict[str, str]]]:
        """The same GET many times over one connection; `elapsed` (s) is among the headers."""
        return self.ask(*[("GET", url, None)] * count)

    @contextmanager
    def broken(
        self, service: Service, kind: str, arguments: Mapping[str, Any] | None = None
    ) -> Iterator[UndoRecord]:
        """A fault that is proven, healed twice by another process, and of which nothing is left."""
        fault = Fault(kind, arguments or {})
        heal = self.lab.plan_heal(service, fault, f"{kind}-1")
        try:
            self.lab.inject(service, fault, heal)
            proof = self.lab.proof(heal)
            assert proof.in_effect, proof
            yield heal
        finally:
            subprocess.run(
                [sys.executable, "-c", HEAL], input=json.dumps(asdict(heal)), text=True, check=True
            )
        proof = self.lab.proof(heal)
        assert proof.in_effect is False, proof
        assert self.left() == []
        self.lab.wait_ready()

    def left(self) -> list[str]:
        """What is left of faults in this lab."""
        return [each for each in self.lab.leftovers() if self.lab.directory.name in each]

    def until(self, holds: Callable[[], bool], within_s: float = 15.0) -> None:
        """Wait until a condition holds; fails when it does not in time."""
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, "it did not come true in time"
            time.sleep(0.05)


@pytest.fixture
def start(memorai: Service) -> Iterator[Callable[..., Inside]]:
    """Starts labs of memorai and ends them after the test."""
    labs: list[Lab] = []

    def begin(options: LabOptions | None = None, services: Sequence[Service] = ()) -> Inside:
        lab = Lab(options or LabOptions())
        lab.start(services or (memorai,))
        labs.append(lab)
        lab.wait_ready()
        return Inside(lab)

    yield begin
    for lab in labs:
        lab.stop()
