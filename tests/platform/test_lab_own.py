"""A program of the user's as the replicas of a lab: started, broken, restarted and ended."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.catalog.model import Service
from harness.errors import PlatformError
from harness.platform.lab import namespace
from harness.platform.lab.options import LabOptions
from harness.platform.lab.platform import Lab
from harness.platform.model import Fault
from harness.project import url_service
from harness.session.own import parse_lab
from tests.platform.conftest import Inside

pytestmark = pytest.mark.lab

SERVER = """
import http.server, os, signal, subprocess, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 200 if self.path == "/health" or not BAD else 500
        self.send_response(status)
        self.end_headers()
        self.wfile.write(f"{os.environ['HARNESS_REPLICA']} {os.getpid()}".encode())
    def log_message(self, *words):
        pass
BAD = "bad" in sys.argv
def serve():
    print("listening", flush=True)
    at = ("127.0.0.1", int(os.environ["PORT"]))
    http.server.ThreadingHTTPServer(at, Handler).serve_forever()
"""

Begin = Callable[..., Inside]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Starts labs of a program and ends them after the test."""
    labs: list[Lab] = []

    def start(
        body: str = "serve()", *, edges: bool = False, replicas: int = 1, **words: object
    ) -> Inside:
        (tmp_path / "server.py").write_text(SERVER + textwrap.dedent(body))
        given = {"command": f"{sys.executable} server.py", "ready_within": "20s", **words}
        program, shape = parse_lab({**given, "replicas": replicas}, "mine", tmp_path)
        lab = Lab(LabOptions(edges=edges, program=program, **shape))
        labs.append(lab)
        lab.start((mine(),))
        lab.wait_ready()
        return Inside(lab)

    yield start
    for lab in labs:
        lab.stop()


def mine() -> Service:
    return url_service("mine", "http://127.0.0.1/")


def test_its_replicas_answer_behind_the_edge_and_nothing_of_them_is_left(begin: Begin) -> None:
    inside = begin(edges=True, replicas=2)
    front = inside.lab.target(mine(), "global").urls[0]
    inside.until(lambda: len({inside.get(f"{front}/")[1].split()[0] for _ in range(4)}) == 2)
    assert inside.lab.log_ends(mine())["mine-us-east-1-0"] == ("listening",)
    network = namespace.network_of(inside.lab.pid or 0)
    inside.lab.stop()
    assert network is not None
    assert not namespace.members(network)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("echo no database >&2; exit 7", "ended with exit code 7 .no database"),
        ("no-such-program", "ended with exit code 127 .*not found"),
        (f"{sys.executable} -m http.server $PORT", "answers with status 404"),
        (f"{sys.executable} -m http.server 8123 --bind ::1", r"listens at \[::1\]:8123"),
    ],
)
def test_one_that_does_not_start_is_refused_in_one_line(
    begin: Begin, command: str, says: str
) -> None:
    with pytest.raises(PlatformError, match=says) as refusal:
        begin(command=command, ready_within="3s")
    assert "\n" not in str(refusal.value)


FORKS = """
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(sleep, start_new_session=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
serve()
"""


def test_a_kill_takes_all_that_it_started_and_it_comes_back(begin: Begin) -> None:
    inside = begin(FORKS, stop_within="500ms")
    network = namespace.network_of(inside.lab.pid or 0) or ""
    before = len(namespace.members(network))
    url = inside.lab.target(mine()).urls[0]
    old = inside.get(f"{url}/")[1]
    with inside.broken(mine(), "kill-replicas"):
        pass
    assert inside.get(f"{url}/")[1] != old
    inside.until(lambda: len(namespace.members(network)) == before)


def test_a_pause_stops_it_and_its_heal_lets_it_go_on(begin: Begin) -> None:
    inside = begin()
    url = inside.lab.target(mine()).urls[0]
    with inside.broken(mine(), "pause-replicas"):
        assert inside.get(f"{url}/")[0] == 0
    assert inside.get(f"{url}/")[0] == 200


def test_a_rollout_of_the_bad_release_starts_the_second_command(begin: Begin) -> None:
    inside = begin(FORKS, stop_within="300ms", bad_release=f"{sys.executable} server.py bad")
    url = inside.lab.target(mine()).urls[0]
    with inside.broken(mine(), "bad-release", {"error_ratio": 1.0, "grace_s": 0.1}):
        assert inside.get(f"{url}/")[0] == 500
    assert inside.get(f"{url}/")[0] == 200


def test_a_bad_release_that_never_gets_ready_stops_the_rollout_and_is_in_effect(
    begin: Begin,
) -> None:
    inside = begin(replicas=2, bad_release="exec sleep 600", stop_within="300ms")
    wanted = {"count": 2, "error_ratio": 1.0, "grace_s": 0.1}
    with inside.broken(mine(), "bad-release", wanted):
        states = [each.health for each in inside.lab.replicas(mine())]
        assert sorted(states) == ["ready", "starting"]


def test_one_that_is_never_restarted_stays_down_until_the_heal(begin: Begin) -> None:
    inside = begin(restart="never")
    lab = inside.lab
    heal = lab.plan_heal(mine(), Fault("kill-replicas"), "kill-1")
    lab.inject(mine(), Fault("kill-replicas"), heal)
    inside.until(lambda: lab.replicas(mine())[0].health == "dead")
    lab.heal(heal)
    inside.until(lambda: lab.replicas(mine())[0].health == "ready")


def test_an_address_that_it_depends_on_is_cut_off_from_every_replica(begin: Begin) -> None:
    inside = begin(edges=True, replicas=2, dependencies=["127.0.0.7:5432"])
    with inside.broken(mine(), "partition-dependency") as heal:
        assert heal.targets == (
            "mine-us-east-1-0|127.0.0.7:5432",
            "mine-us-east-1-1|127.0.0.7:5432",
        )


def test_what_needs_the_reference_service_is_not_applicable(begin: Begin) -> None:
    lab = begin().lab
    for kind in ("slow-replicas", "kill-database", "bad-release", "partition-dependency"):
        assert lab.capabilities()[kind]
    assert lab.lacks("sync")
    assert lab.lacks("async") is None
