"""A service to run, and a way to ask things from inside a lab."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from typing import IO, Any

import pytest

from harness.catalog.model import Route, Service
from harness.platform.lab.namespace import isolation
from harness.platform.lab.options import LabOptions
from harness.platform.lab.platform import Lab
from harness.platform.model import Fault
from harness.platform.undo import UndoRecord

HELPER = """
import ctypes, json, os, sys, time, traceback, httpx
from harness.platform.registry import attach
from harness.platform.undo import undo_record

def enter(namespaces):
    libc = ctypes.CDLL(None, use_errno=True)
    for each in [os.open(path, os.O_RDONLY) for path in namespaces]:
        if libc.setns(each, 0):
            raise OSError(ctypes.get_errno(), "setns")

def ask(requests):
    # A synchronous write waits 2 s for a region that is cut off.
    with httpx.Client(timeout=4, trust_env=False) as client:
        for method, url, body in requests:
            began = time.monotonic()
            try:
                answer = client.request(method, url, content=body)
                told = [answer.status_code, answer.text, dict(answer.headers)]
            except httpx.HTTPError as problem:
                told = [0, type(problem).__name__, {}]
            told[2]["elapsed"] = str(time.monotonic() - began)
            yield told

def heal(record):
    heal = undo_record(record)
    for _ in range(2):
        attach({"platform": "lab", "runtime": heal.undo.runtime}).heal(heal)
    yield "healed"

for line in sys.stdin:
    namespaces, verb, words = json.loads(line)
    if child := os.fork():
        print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])), flush=True)
        continue
    code = 1
    try:
        enter(namespaces)
        for each in {"ask": ask, "heal": heal}[verb](words):
            print(json.dumps(each))
        sys.stdout.flush()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
"""
"""Does each thing in a process of its own, forked from one that has imported what it takes."""


@cache
def _helper() -> subprocess.Popen[str]:
    """It ends with its standard input."""
    return subprocess.Popen(
        [sys.executable, "-c", HELPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _beside(namespaces: Sequence[str], verb: str, words: object) -> list[Any]:
    """What another process, in these namespaces, answers."""
    helper = _helper()
    assert helper.stdin is not None
    assert helper.stdout is not None
    helper.stdin.write(json.dumps([namespaces, verb, words]) + "\n")
    helper.stdin.flush()
    *answers, code = _lines(helper.stdout)
    assert code == 0, verb
    return answers


def _lines(stream: IO[str]) -> Iterator[Any]:
    """Up to the exit code, which is a number."""
    for line in stream:
        found = json.loads(line)
        yield found
        if isinstance(found, int):
            return


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what needs a namespace where there is none."""
    missing = isolation().missing
    if missing is not None:
        for item in items:
            if item.get_closest_marker("lab"):
                item.add_marker(pytest.mark.skip(reason=missing))


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
        answers = []
        for status, text, headers in _beside(self._namespaces(), "ask", requests):
            try:
                body = json.loads(text)
            except ValueError:
                body = text
            answers.append((status, body, headers))
        return answers

    def _namespaces(self) -> list[str]:
        if self.lab.exec_prefix[:1] != ("nsenter",):
            return []
        kinds = ("user", "net") if isolation().user else ("net",)
        return [f"/proc/{self.lab.pid}/ns/{kind}" for kind in kinds]

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
            proof = self.lab.verify(heal)
            assert proof.in_effect, proof
            yield heal
        finally:
            _beside((), "heal", asdict(heal))
        proof = self.lab.verify(heal)
        assert proof.in_effect is False, proof
        assert self.left() == []
        self.lab.wait_ready()

    def left(self) -> list[str]:
        """What is left of faults in this lab."""
        return [each for each in self.lab.residual_faults() if self.lab.directory.name in each]

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
