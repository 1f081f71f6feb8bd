"""An outage on the lab: the reference service stands for each caller and calls what that calls."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from harness.catalog.model import Service
from harness.errors import PlatformError
from harness.outage.model import Answered, Caller, OutageVerdict, judge_outage
from harness.platform.lab.control import request
from harness.platform.lab.messages import Kill, Resume
from harness.platform.lab.options import LabOptions
from harness.platform.lab.platform import Lab
from harness.typed import adapter

SETTLE_S = 2.0
"""After the services run again: a caller's call that waits gives up after 1 s."""

START_S = 60.0
POLL_S = 0.05

Say = Callable[[str], None]
Wiring = Mapping[str, Sequence[str]]
"""service -> the services that it cannot answer without."""


def declared(services: Sequence[Service]) -> Wiring:
    """The wiring that the catalogue declares."""
    return {
        each.name: tuple(d for d in each.depends_on if d not in each.degrades_without)
        for each in services
    }


def run_outage(
    services: Sequence[Service],
    callers: Sequence[Caller],
    stage_s: float,
    say: Say = lambda text: None,
    wiring: Wiring | None = None,
) -> OutageVerdict:
    """Start the callers, kill the first of them for `stage_s`, and judge all.

    `wiring` is what the lab's services really do (default: as declared). Raises PlatformError.
    """
    by_name = {each.name: each for each in services}
    meant = [by_name[each.service] for each in callers]
    with _lab(meant) as lab:
        urls = {each.name: f"{lab.target(each).urls[0]}{_path(each)}" for each in meant}
        _wire(lab, urls, declared(meant) if wiring is None else wiring)
        victims = [p.id for p in lab.places if (p.kind, p.service) == ("replica", meant[0].name)]
        with _clients(lab, urls) as lines:
            say(f"all {len(meant)} services run")
            time.sleep(stage_s)
            fault_ns = time.monotonic_ns()
            request(lab.directory, Kill(victims, hold=True))
            say(f"{meant[0].name} is down")
            time.sleep(stage_s)
            request(lab.directory, Resume(victims))
            lab.wait_ready()
            time.sleep(SETTLE_S)
            healed_ns = time.monotonic_ns()
            say(f"{meant[0].name} is up again")
            time.sleep(stage_s)
    answers = [adapter(Answered).validate_json(line) for line in lines]
    return judge_outage(callers, answers, fault_ns, healed_ns)


@contextmanager
def _lab(services: Sequence[Service]) -> Iterator[Lab]:
    lab = Lab(LabOptions(replicas=1))
    lab.start(services)
    try:
        lab.wait_ready()
        yield lab
    finally:
        lab.stop()


def _path(service: Service) -> str:
    """A path that it serves, and so calls others for."""
    return next(r.path for r in service.routes if "GET" in r.methods and "{" not in r.path)


def _wire(lab: Lab, urls: Mapping[str, str], wiring: Wiring) -> None:
    for place in lab.places:
        calls = [urls[name] for name in wiring.get(place.service or "", ()) if name in urls]
        if place.kind == "replica" and calls:
            lab.behave([place.id], {**lab.options.behaviour.document(), "calls": calls})


def _await_answers(lines: Sequence[str], count: int) -> None:
    """Wait until so many have been given: an interpreter takes its time to start."""
    deadline = time.monotonic() + START_S
    while len(lines) < count:
        if time.monotonic() > deadline:
            raise PlatformError("the client of the outage gives no answers", "is it overloaded?")
        time.sleep(POLL_S)


@contextmanager
def _clients(lab: Lab, urls: Mapping[str, str]) -> Iterator[list[str]]:
    """The lines of the client, complete once this is left."""
    command = [*lab.exec_prefix, sys.executable, "-m", "harness.outage.client"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    lines: list[str] = []
    try:
        if child.stdin is None:
            raise AssertionError
        child.stdin.write(json.dumps(dict(urls)) + "\n")
        child.stdin.flush()
        reader = threading.Thread(target=lambda: lines.extend(child.stdout or ()))
        reader.start()
        _await_answers(lines, len(urls))
        yield lines
        child.stdin.close()
        reader.join()
        if child.wait():
            raise PlatformError("the client of the outage ended by itself", "look at its output")
    finally:
        child.kill()
        child.wait()
