"""The load child: Locust with the engine inside, one process or several."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness._engine import NullServer
from harness.load.driver import LoadProcess
from harness.load.plan import LoadPlan, plan_json
from harness.traffic.model import Request
from tests.load.conftest import Heard, hear, make_plan

pytestmark = pytest.mark.slow

OWNER = """
import sys
from pathlib import Path
from harness.load.driver import LoadProcess
from harness.load.plan import read_plan
with LoadProcess(read_plan(Path(sys.argv[1]))) as child:
    while not child.ended:
        print([message["type"] for message in child.poll(0.2)], flush=True)
"""


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    """One sound run that several tests look at."""
    server = NullServer()
    found = hear(make_plan(server.port, tmp_path_factory.mktemp("sound")))
    server.stop()
    return found


def test_a_run_is_conserved_and_its_slices_sum_to_its_totals(heard: Heard) -> None:
    """Offered = completed + failed + unfinished, in `end` and on both axes of the slices."""
    totals = heard.end["totals"]
    assert heard.end["conserved"] is True
    assert totals["offered"] == totals["completed"] + totals["failed"] + totals["unfinished"]
    assert totals["offered"] > 400
    for axis in ("due", "done"):
        for counter in ("offered", "completed", "failed", "unfinished"):
            assert heard.total(counter, axis) == totals[counter], (axis, counter)


def test_it_says_hello_start_ticks_probes_and_end_in_order(heard: Heard) -> None:
    """The stream that docs/contracts.md promises, and nothing a scenario prints within it."""
    kinds = [message["type"] for message in heard.messages]
    assert kinds[:2] == ["hello", "start"]
    assert kinds[-1] == "end"
    assert len(heard.of("tick")) >= 3
    assert heard.of("probe")
    assert all(tick["cpu"] is not None for tick in heard.of("tick"))


def test_two_workers_offer_exactly_what_one_does(heard: Heard, plan: LoadPlan) -> None:
    """The shards of one seeded schedule are the schedule."""
    pair = hear(replace(plan, workers=2, probe=False))
    assert pair.end["conserved"] is True
    assert pair.end["totals"]["offered"] == heard.end["totals"]["offered"]
    assert {message["worker"] for message in pair.of("slice")} == {0, 1}

    def mix(of: Heard) -> dict[str, int]:
        found: dict[str, int] = {}
        for message in of.of("slice"):
            piece = message["slice"]
            if piece["axis"] == "due":
                found[piece["endpoint"]] = found.get(piece["endpoint"], 0) + piece["offered"]
        return found

    assert mix(pair) == mix(heard)


def test_a_killed_worker_is_stated_with_the_part_that_is_unknown(plan: LoadPlan) -> None:
    """SIGKILL of one of two workers: which shard, from which second; the run is not conserved."""
    profile = replace(plan.profile, segments=(replace(plan.profile.segments[0], duration_s=8.0),))
    killed: list[int] = []

    def kill_one(child: LoadProcess, heard: Heard) -> None:
        reported = {
            message["worker"]
            for message in heard.of("slice")
            if message["slice"]["axis"] == "due" and message["slice"]["second"] >= 1
        }
        if not killed and reported == {0, 1}:
            workers = psutil.Process(child.pid).children()
            killed.append(workers[0].pid)
            workers[0].kill()

    heard = hear(replace(plan, profile=profile, workers=2), kill_one)
    (lost,) = heard.of("worker_lost")
    assert killed
    assert lost["shards"] == 2
    assert lost["from_second"] >= 1
    assert f"shard {lost['worker'] + 1} of 2" in lost["unknown"]
    assert heard.end["conserved"] is False
    assert heard.end["unknown"] == [lost["unknown"]]
    survivor = {
        message["worker"] for message in heard.of("slice") if message["slice"]["second"] > 6
    }
    assert survivor == {1 - lost["worker"]}


def test_stop_ends_the_arrivals_and_still_gives_the_totals(plan: LoadPlan) -> None:
    """Ctrl-C of the owner: a short drain, an `end`, and conservation."""
    profile = replace(plan.profile, segments=(replace(plan.profile.segments[0], duration_s=600.0),))
    asked: list[float] = []

    def stop(child: LoadProcess, heard: Heard) -> None:
        if not asked and heard.of("tick"):
            asked.append(time.monotonic())
            child.stop()

    heard = hear(replace(plan, profile=profile), stop)
    assert time.monotonic() - asked[0] < 20
    assert heard.end["conserved"] is True


@pytest.mark.parametrize("workers", [1, 2])
def test_the_owners_death_ends_the_child_and_its_workers(
    plan: LoadPlan, tmp_path: Path, workers: int
) -> None:
    """SIGKILL of the process that started it: nothing goes on loading."""
    profile = replace(plan.profile, segments=(replace(plan.profile.segments[0], duration_s=600.0),))
    file = tmp_path / "plan.json"
    file.write_bytes(plan_json(replace(plan, profile=profile, workers=workers)))
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(file)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    for line in owner.stdout:
        if "tick" in line:
            break
    family = psutil.Process(owner.pid).children(recursive=True)
    assert len(family) >= workers
    owner.kill()
    owner.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


FORGED = 100_000
STRANGER = f"""
import sys
from locust.rpc import Message, zmqrpc
done = {{"type": "done", "worker": 0, "slices": 0, "conserved": True, "totals": {{
    "offered": {FORGED}, "completed": {FORGED}, "failed": 0, "unfinished": 0}}}}
client = zmqrpc.Client("127.0.0.1", int(sys.argv[1]), "stranger")
client.send(Message("harness_hello", {{"pid": 1, "wall_ns": 0}}, "stranger"))
client.send(Message("harness_done", {{"messages": [done]}}, "stranger"))
client.close()
"""
"""Who reaches the master's port and knows its protocol, but not the run's token."""


@pytest.mark.parametrize("workers", [1, 2])
def test_the_load_in_a_container_ends_when_its_owner_is_not_heard_of(
    plan: LoadPlan, tmp_path: Path, workers: int
) -> None:
    """It goes on while the heartbeat changes, then drains and says why it ended early."""
    profile = replace(plan.profile, segments=(replace(plan.profile.segments[0], duration_s=600.0),))
    file, beat = tmp_path / "plan.json", tmp_path / "beat"
    file.write_bytes(plan_json(replace(plan, profile=profile, workers=workers)))
    beat.write_text("")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    load = [sys.executable, "-m", "harness.load", str(file)]
    words = ["--serve", port, "--heartbeat", str(beat), "--stale", "4"]
    children = [subprocess.Popen([*load, *words], stdout=subprocess.PIPE, text=True)]
    for _ in range(workers if workers > 1 else 0):
        to = ["--master-host", "127.0.0.1", "--master-port", port]
        children.append(subprocess.Popen([*load, *to], text=True))
    try:
        master = children[0]
        assert master.stdout is not None
        ticks, last = 0, time.monotonic()
        heard: dict[str, Any] = {}
        for line in master.stdout:
            message = json.loads(line)
            if message["type"] == "tick" and ticks < 7:
                ticks, last = ticks + 1, time.monotonic()
                beat.write_text(str(ticks))
                if ticks == 3 and workers > 1:
                    subprocess.run([sys.executable, "-c", STRANGER, port], check=True)
            heard[message["type"]] = message
        assert ticks == 7, "longer than it waits for a beat"
        assert time.monotonic() - last < 30
        assert message["type"] == "end"
        assert message["totals"]["completed"] < FORGED
        assert ("strangers" in heard) is (workers > 1)
        assert message["conserved"] is True
        assert message["errors"] == ["the load ended early: its owner was not heard of for 4 s"]
        for child in children:
            child.wait(30)
    finally:
        for child in children:
            child.kill()


def test_journeys_are_counted_by_the_engine_like_everything_else(journey_plan: LoadPlan) -> None:
    """Each request of a journey is an endpoint; a journey that raises is one `journey` error."""
    heard = hear(journey_plan)
    due = [message["slice"] for message in heard.of("slice") if message["slice"]["axis"] == "due"]
    count = dict.fromkeys(("step one", "step two", "stumble"), 0)
    errors: dict[str, int] = {}
    for piece in due:
        if piece["endpoint"] in count:
            count[piece["endpoint"]] += piece["offered"]
        for kind, number in piece["errors"].items():
            errors[kind] = errors.get(kind, 0) + number
    assert count["step one"] == count["step two"] > 0
    assert errors == {"journey": count["stumble"]}
    assert heard.end["conserved"] is True


def test_declared_names_beyond_the_bound_are_grouped_while_the_load_goes_on(
    plan: LoadPlan,
) -> None:
    names = [f"GET /orders/{number}" for number in range(400)]
    requests = tuple(Request(name, "GET", name.partition(" ")[2]) for name in names)
    segment = replace(plan.profile.segments[0], duration_s=1.0, from_rate=1000.0, to_rate=1000.0)
    traffic = replace(plan.traffic, requests=requests)
    heard = hear(replace(plan, traffic=traffic, profile=replace(plan.profile, segments=(segment,))))
    seen = {message["slice"]["endpoint"] for message in heard.of("slice")}
    assert seen <= {*names[:200], "GET /orders/{orders_id}"}
    assert "GET /orders/{orders_id}" in seen
    assert heard.total("offered") == heard.end["totals"]["offered"]


def test_a_child_that_is_killed_is_reported_and_not_silent(plan: LoadPlan) -> None:
    """The last message says that it died, with what it last wrote to standard error."""

    def kill(child: LoadProcess, heard: Heard) -> None:
        if heard.of("tick"):
            child.kill()

    heard = hear(plan, kill)
    assert heard.messages[-1]["type"] == "child_died"
    assert heard.messages[-1]["code"] == -signal.SIGKILL


def test_a_scenario_that_raises_is_told_in_one_line(plan: LoadPlan, tmp_path: Path) -> None:
    """The child ends with exit code 2 and names file and line."""
    broken = tmp_path / "broken.py"
    broken.write_text("import harness\nraise RuntimeError('no database')\n")
    heard = hear(replace(plan, traffic=replace(plan.traffic, source=str(broken))))
    assert heard.messages[-1]["type"] == "child_died"
    assert heard.messages[-1]["code"] == 2
    assert "broken.py:2: RuntimeError: no database" in heard.stderr
    assert "Traceback" not in heard.stderr


@pytest.mark.parametrize("text", ["", "{", "[]", '{"target": 3}'])
def test_a_plan_that_cannot_be_read_is_one_line_and_exit_code_two(
    text: str, tmp_path: Path
) -> None:
    """Nothing starts; the file is named."""
    file = tmp_path / "plan.json"
    file.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "harness.load", str(file)],
        capture_output=True,
        text=True,
        stdin=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr
