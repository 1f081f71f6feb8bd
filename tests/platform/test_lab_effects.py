"""Each fault of the lab shows its effect to a client, hits what it names and leaves nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.catalog.model import Service
from harness.errors import CapabilityMissing, PlatformError
from harness.faults.registry import kinds
from harness.platform.lab import namespace, packets
from harness.platform.lab.options import LabOptions
from harness.platform.lab.platform import Lab
from harness.platform.model import Fault
from tests.platform.conftest import Inside

pytestmark = pytest.mark.lab

US, EU = "us-east-1", "eu-west-1"
FIRST, SECOND = f"memorai-{US}-0", f"memorai-{US}-1"
DOOR, US_DOOR = "edge-memorai-global", f"edge-memorai-{US}"
ITEM = "/api/memory/1"

needs_nft = pytest.mark.skipif(packets.means() != "nftables", reason="nftables is not installed")


@pytest.fixture(scope="module")
def lab(memorai: Service) -> Iterator[Lab]:
    """One lab of two regions for the faults of this file."""
    one = Lab(LabOptions(regions=2, replicas=2, edges=True))
    with one.provision(memorai):
        yield one


@pytest.fixture
def shared(lab: Lab, memorai: Service) -> Inside:
    """The lab, once every entry point has found everything behind it healthy again."""

    def sound() -> bool:
        health = lab.observe(memorai).health
        views = [word for name, word in health.items() if ">" in name]
        return len(views) == 6 and set(views) == {"healthy"}

    inside = Inside(lab)
    inside.until(sound)
    return inside


def url(inside: Inside, name: str, path: str = ITEM) -> str:
    return next(place.url for place in inside.lab.places if place.id == name) + path


def elapsed(answer: tuple[int, Any, dict[str, str]]) -> float:
    return float(answer[2]["elapsed"])


@pytest.mark.parametrize(
    ("kind", "arguments", "hit", "says"),
    [
        ("kill-replicas", {"region": US, "count": 1, "hold": True, "seed": 2}, FIRST, "ConnectE"),
        ("pause-replicas", {"region": US, "count": 1, "seed": 2}, FIRST, "ReadTimeout"),
        ("kill-edge", {"region": US, "hold": True}, US_DOOR, "ConnectError"),
        ("pause-edge", {"region": "global"}, DOOR, "ReadTimeout"),
    ],
)
def test_a_dead_process_refuses_and_a_stopped_one_hangs(
    shared: Inside, memorai: Service, kind: str, arguments: Mapping[str, Any], hit: str, says: str
) -> None:
    with shared.broken(memorai, kind, arguments) as heal:
        assert heal.targets == (hit,)
        status, error, _ = shared.get(url(shared, hit))
        assert status == 0
        assert error.startswith(says)
        assert shared.get(url(shared, f"memorai-{EU}-0"))[0] == 200
    assert shared.get(url(shared, hit))[0] == 200


def test_replicas_without_their_database_read_on_but_do_not_write(
    shared: Inside, memorai: Service
) -> None:
    """The cut is between addresses of one region: its database serves everybody else."""
    body = '{"id":"cut","value":1}'
    with shared.broken(memorai, "partition-dependency", {"region": US, "count": 1}) as heal:
        (link,) = heal.targets
        cut, _, database = link.partition("|")
        other = FIRST if cut == SECOND else SECOND
        assert database == f"database-{US}"
        answers = shared.ask(
            ("GET", url(shared, cut), None),
            ("POST", url(shared, cut, "/api/memory"), body),
            ("POST", url(shared, other, "/api/memory"), body),
        )
        assert [status for status, _, _ in answers] in ([200, 503, 201], [200, 0, 201])
        view = f"{US_DOOR}>{cut}"
        shared.until(lambda: shared.lab.observe(memorai).health[view] == "failed")
    shared.until(lambda: shared.lab.observe(memorai).health[view] == "healthy")


def test_an_isolated_region_is_left_by_the_global_edge(shared: Inside, memorai: Service) -> None:
    """Its processes are well and its own entry point answers; only nobody else reaches it."""
    entry_point = url(shared, DOOR)
    with shared.broken(memorai, "isolate-region", {"region": US}) as heal:
        assert heal.targets == (f"{US}|{EU}", f"{US}|global")
        shared.until(lambda: shared.get(entry_point)[2].get("x-region") == EU)
        assert shared.get(url(shared, US_DOOR))[2]["x-region"] == US
        health = shared.lab.observe(memorai).health
        assert (health[f"{DOOR}>{US}"], health[FIRST]) == ("failed", "ready")
    shared.until(lambda: shared.get(entry_point)[2].get("x-region") == US)


@needs_nft
def test_lost_packets_are_repeated_and_cost_time(shared: Inside, memorai: Service) -> None:
    """TCP's first repetition comes after 0.2 s."""
    arguments = {"regions": [US, "global"], "share": 0.1}
    with shared.broken(memorai, "lose-packets", arguments) as heal:
        assert heal.targets == (f"{US}|global",)
        answers = shared.many(60, url(shared, DOOR))
    assert max(map(elapsed, answers)) > 0.15
    assert sum(status == 200 for status, _, _ in answers) > 30


@needs_nft
def test_connections_are_reset_for_a_share_or_for_all(shared: Inside, memorai: Service) -> None:
    with shared.broken(memorai, "reset-connections", {"region": US, "share": 0.3}) as heal:
        assert heal.targets == (FIRST, SECOND)
        errors = [error for status, error, _ in shared.many(60, url(shared, FIRST)) if not status]
        assert 5 <= len(errors) <= 50
        assert {"ReadError", "WriteError", "ConnectError", "RemoteProtocolError"} >= set(errors)
    with shared.broken(memorai, "reset-connections", {"edge": "global"}) as heal:
        assert heal.targets == (DOOR,)
        assert shared.get(url(shared, DOOR))[:2] == (0, "ConnectError")
        assert shared.get(url(shared, US_DOOR))[0] == 200


def test_an_edge_delays_and_aborts_the_share_asked_for(shared: Inside, memorai: Service) -> None:
    with shared.broken(memorai, "delay-requests", {"delay_s": 0.3}) as heal:
        assert heal.targets == (DOOR,)
        assert 0.3 <= elapsed(shared.get(url(shared, DOOR))) < 1.5
        assert elapsed(shared.get(url(shared, US_DOOR))) < 0.3
    arguments = {"edge": US, "share": 0.3, "status": 429}
    with shared.broken(memorai, "abort-requests", arguments) as heal:
        assert heal.targets == (US_DOOR,)
        answers = shared.many(200, url(shared, US_DOOR))
        assert 30 <= sum(status == 429 for status, _, _ in answers) <= 90
    assert {status for status, _, _ in shared.many(50, url(shared, US_DOOR))} == {200}


def test_slow_replicas_are_slow_in_their_share_and_after_a_restart(
    shared: Inside, memorai: Service
) -> None:
    arguments = {"region": US, "count": 1, "add_s": 0.3}
    with shared.broken(memorai, "slow-replicas", arguments) as heal:
        (slow,) = heal.targets
        other = FIRST if slow == SECOND else SECOND
        assert elapsed(shared.get(url(shared, slow))) >= 0.3
        assert elapsed(shared.get(url(shared, other))) < 0.3
        replicas = {each.id: each for each in shared.lab.replicas(memorai)}
        os.kill(replicas[slow].pid or 0, signal.SIGKILL)
        shared.until(lambda: shared.lab.health()[slow]["restarts"] > replicas[slow].restarts)
        shared.lab.wait_ready()
        assert elapsed(shared.get(url(shared, slow))) >= 0.3
    assert elapsed(shared.get(url(shared, slow))) < 0.3
    with shared.broken(memorai, "slow-replicas", {"region": EU, "add_s": 0.2, "share": 0.5}):
        answers = shared.many(40, url(shared, f"memorai-{EU}-0"))
        assert 8 <= sum(elapsed(answer) >= 0.2 for answer in answers) <= 32


def test_a_bad_release_is_rolled_out_in_part_and_rolled_back(
    shared: Inside, memorai: Service
) -> None:
    """Both ways by restarts, and only the replicas chosen have it."""
    before = {each.id: each.restarts for each in shared.lab.replicas(memorai)}
    arguments = {"region": US, "percent": 50, "error_ratio": 1.0}
    with shared.broken(memorai, "bad-release", arguments) as heal:
        (bad,) = heal.targets
        statuses = [shared.get(url(shared, each))[0] for each in (FIRST, SECOND)]
        assert sorted(statuses) == [200, 500]
        assert shared.lab.health()[bad]["restarts"] == before[bad] + 1
    after = {each.id: each.restarts for each in shared.lab.replicas(memorai)}
    assert after == before | {bad: before[bad] + 2}
    assert shared.get(url(shared, bad))[0] == 200


def test_a_rolling_restart_is_not_felt_behind_an_edge(shared: Inside, memorai: Service) -> None:
    """Drained first, one replica after the other; the heal waits for the one under way.

    The edges look once a second; on a busy machine a look is late.
    """
    before = {each.id: each.restarts for each in shared.lab.replicas(memorai)}
    arguments = {"region": US, "grace_s": 3.0}
    with shared.broken(memorai, "rolling-restart", arguments) as heal:
        statuses = set()
        while shared.lab.verify(heal).in_effect:
            statuses |= {status for status, _, _ in shared.many(100, url(shared, US_DOOR))}
            assert sum(shared.lab.health()[each]["health"] == "dead" for each in before) <= 1
        assert statuses == {200}
    after = {each.id: each.restarts for each in shared.lab.replicas(memorai)}
    assert after == before | {each: before[each] + 1 for each in (FIRST, SECOND)}


def test_neighbours_burn_where_the_replicas_run(shared: Inside, memorai: Service) -> None:
    """On their cores, never on the load's, within the bound of memory that was given."""
    if shared.lab.capabilities()["cpu-pressure"]:
        pytest.skip("the load has no core of its own here")
    network = namespace.network_of(shared.lab.pid or 0) or ""
    for kind, arguments in (
        ("cpu-pressure", {"region": US, "workers": 2}),
        ("memory-pressure", {"region": US, "megabytes": 64}),
    ):
        with shared.broken(memorai, kind, arguments):
            burners = [pid for pid in namespace.members(network) if b"burner" in cmdline(pid)]
            assert len(burners) == arguments.get("workers", 1)
            if kind == "memory-pressure":
                shared.until(lambda pids=burners: 64e6 < memory(pids[0]) < 120e6)  # type: ignore[misc]
            assert shared.get(url(shared, FIRST))[0] == 200
        assert not [pid for pid in namespace.members(network) if b"burner" in cmdline(pid)]


def test_busy_neighbours_tell_the_processor_time_that_they_took(
    shared: Inside, memorai: Service
) -> None:
    """Stopped ones run and take nothing more."""
    if shared.lab.capabilities()["cpu-pressure"]:
        pytest.skip("the load has no core of its own here")
    network = namespace.network_of(shared.lab.pid or 0) or ""
    with shared.broken(memorai, "cpu-pressure", {"region": US, "workers": 2}) as heal:

        def taken() -> float:
            return shared.lab.verify(heal).taken_s or 0.0

        shared.until(lambda: taken() > 0.5)
        burners = [pid for pid in namespace.members(network) if b"burner" in cmdline(pid)]
        truth = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in burners)
        for pid in burners:
            os.kill(pid, signal.SIGSTOP)
        shared.until(lambda: taken() == taken())
        still = taken()
        assert truth <= still * len(shared.lab.local_processes().cores) + 0.05  # type: ignore[union-attr]
        assert shared.lab.verify(heal).in_effect
        assert taken() == still
    assert shared.lab.verify(heal).taken_s is None


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def memory(pid: int) -> float:
    return 4096.0 * int(Path(f"/proc/{pid}/statm").read_text().split()[1])


def test_a_fault_of_a_stopped_edge_is_not_called_undone(
    shared: Inside, memorai: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be asked, and would still have the fault once it runs again."""
    monkeypatch.setattr("harness.platform.lab.injectors.PATIENCE_S", 0.3)
    delay = shared.lab.plan_heal(memorai, Fault("delay-requests", {"edge": US}), "f1")
    shared.lab.inject(memorai, Fault("delay-requests", {"edge": US}), delay)
    with shared.broken(memorai, "pause-edge", {"region": US}):
        with pytest.raises(PlatformError, match="not undone"):
            shared.lab.heal(delay)
        shared.lab.heal(shared.lab.plan_heal(memorai, Fault("pause-edge", {"region": US}), "f2"))
        shared.lab.heal(delay)
    assert shared.lab.verify(delay).in_effect is False


def test_an_observation_counts_what_each_region_answered(shared: Inside, memorai: Service) -> None:
    """Health checks are not counted, a restarted edge goes on counting from where it was."""

    def served() -> int:
        return (shared.lab.observe(memorai).served or {})[US]

    shared.until(lambda: served() == served())  # an earlier test's requests are all counted
    start = served()
    shared.many(30, url(shared, DOOR))
    shared.until(lambda: served() == start + 30)
    with shared.broken(memorai, "kill-edge", {"region": US}):
        assert served() == start + 30
    assert {status for status, _, _ in shared.many(10, url(shared, US_DOOR))} == {200}
    shared.until(lambda: served() == start + 40)


def test_what_cannot_be_done_here_says_why(shared: Inside, memorai: Service) -> None:
    """Nothing is imitated: a clock jump, or a delayed link where the kernel has no netem."""
    missing = shared.lab.capabilities()
    assert set(kinds()) == set(missing)
    assert "wall clock" in (missing["clock-jump"] or "")
    assert "netem" in (missing["delay-link"] or "")
    heal = shared.lab.plan_heal(memorai, Fault("pause-edge", {"region": US}), "f1")
    with pytest.raises(CapabilityMissing, match="wall clock"):
        shared.lab.inject(memorai, Fault("clock-jump"), heal)


@pytest.mark.parametrize(
    ("kind", "arguments", "says"),
    [
        ("eat-replicas", {}, "no fault 'eat-replicas'"),
        ("kill-replicas", {"cuont": 1}, "no argument 'cuont'"),
        ("fail-region", {"region": US, "mode": "burn"}, "give one of pause, kill"),
        ("lose-packets", {"regions": [US, EU], "share": 2}, "give a number"),
        ("cpu-pressure", {"workers": 9}, "whole number 1 to 8"),
        ("kill-replicas", {"hold": "yes"}, "true or false"),
        ("slow-replicas", {}, "neither add_s nor factor"),
        ("bad-release", {}, "nothing is worse"),
        ("abort-requests", {"edge": "mars"}, "no region 'mars'"),
    ],
)
def test_arguments_that_cannot_be_are_named(
    shared: Inside, memorai: Service, kind: str, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(PlatformError, match=says):
        shared.lab.plan_heal(memorai, Fault(kind, arguments), "f1")
