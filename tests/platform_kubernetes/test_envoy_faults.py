"""HTTP faults by the Envoy beside a service, entered by its network and asked for its own word."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import cast

import pytest

from harness.catalog import load_catalog
from harness.errors import CapabilityMissing, PlatformError
from harness.platform.envoy import Admin, aborting, delaying, within
from harness.platform.kubernetes import actions
from harness.platform.kubernetes.cluster import Cluster
from harness.platform.kubernetes.faults import resolve
from harness.platform.kubernetes.objects import Node, Pod
from harness.platform.kubernetes.view import View
from harness.platform.lab import edge
from harness.platform.model import Fault
from harness.platform.undo import SetEnvoy
from tests.kubernetes.cluster import sidecar

PORT, UPSTREAM = 3001, 4001


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The process of a sidecar in a network of its own, with nothing behind it."""
    if os.geteuid() != 0:
        pytest.skip("a network namespace of its own takes root")
    words = sidecar.container(PORT, UPSTREAM)
    (config,) = [text for text in words["args"] if text.startswith("{")]
    file = tmp_path_factory.mktemp("envoy") / "envoy.json"
    file.write_text(json.dumps(json.loads(config)))
    start = f"ip link set lo up && exec {edge.binary()} --config-path {file} --concurrency 1"
    process = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", start],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 30
        while not _answers(process.pid):
            assert time.monotonic() < until
            time.sleep(0.1)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _answers(pid: int) -> bool:
    try:
        return asked(pid)[0] == 503
    except OSError:
        return False


def asked(pid: int) -> tuple[int, float]:
    """Status and seconds of one request from within the network."""

    def ask() -> tuple[int, float]:
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
        connection.request("GET", "/")
        status = connection.getresponse().status
        connection.close()
        return status, time.monotonic() - began

    return within(pid, ask)


@pytest.mark.lab
def test_requests_wait_and_are_refused_until_the_keys_are_taken_away(envoy: int) -> None:
    admin = Admin(envoy)
    for values in (delaying(1.0, 0.3), aborting(1.0, 429)):
        admin.check(values)
        before = admin.injected()
        admin.set(values)
        assert values.items() <= admin.values().items()
        status, took = asked(envoy)
        assert (took >= 0.29) if "delay" in next(iter(values)) else (status == 429)
        assert admin.injected() == before + 1
        admin.set(dict.fromkeys(values, ""))
        assert admin.values() == {}
    status, took = asked(envoy)
    assert status == 503
    assert took < 0.29


@pytest.mark.lab
def test_a_share_below_one_percent_is_not_rounded_up_to_it(envoy: int) -> None:
    """Of 2,000 requests 1 % would be 20: six or fewer come one time in 4,000."""
    admin, values = Admin(envoy), aborting(0.0005, 429)
    try:
        admin.set(values)
        assert values.items() <= admin.values().items()
        before = admin.injected()
        assert sum(asked(envoy)[0] == 429 for _ in range(2000)) == admin.injected() - before <= 6
        admin.set(aborting(0.125, 429))
        assert 25 <= sum(asked(envoy)[0] == 429 for _ in range(400)) <= 80
    finally:
        admin.set(dict.fromkeys(values, ""))


def test_an_envoy_that_was_restarted_meanwhile_injects_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has forgotten the fault; its pod is the same, and so is the fault's target."""
    known: dict[int, dict[str, str]] = {1: {}, 2: {}}

    class Remembering:
        def __init__(self, pid: int, ports: object) -> None:
            self._pid = pid

        def values(self) -> dict[str, str]:
            return known[self._pid]

        def set(self, values: dict[str, str]) -> None:
            known[self._pid] = dict(values)

    monkeypatch.setattr(actions, "Admin", Remembering)
    monkeypatch.setattr(actions.Envoys, "_pids", lambda _: [*known])
    action = actions.Envoys(["uid"], {"delay": "100"}, None).action()
    action.do()
    del known[1]
    known[3] = {}
    action.keep()
    assert known == {2: {"delay": "100"}, 3: {"delay": "100"}}


def test_an_envoy_that_does_not_take_a_part_of_a_percent_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Old ones keep the words of the address as they are."""
    admin, asked = object.__new__(Admin), list[str]()
    monkeypatch.setattr(admin, "_ask", lambda method, path: asked.append(path))
    monkeypatch.setattr(admin, "values", lambda: {"fault.http.abort.abort_percent": "%7B"})
    with pytest.raises(OSError, match="whole percents only"):
        admin.set(aborting(0.001, 503))
    assert len(asked) == 1


@pytest.mark.lab
def test_a_network_without_an_envoy_says_so(envoy: int) -> None:
    with pytest.raises(OSError, match="no Envoy administration on 9: name admin_port"):
        Admin(envoy, [9])
    with pytest.raises(FileNotFoundError):
        Admin(2**22 + 1)


def view(*, with_envoy: bool) -> View:
    node = Node("a", "us-east-1", "us-east-1a", ("10.0.0.1",), (), "True", unschedulable=False)
    pods = [
        Pod(
            f"m-{n}",
            f"u-{n}",
            "a",
            "10.1.0.1",
            {},
            ready=True,
            phase="Running",
            restarts=0,
            deleting=False,
            envoy=with_envoy,
        )
        for n in range(2)
    ]
    return View(cast("Cluster", None), load_catalog().service("memorai"), {"a": node}, pods)


def test_the_edge_of_a_region_is_the_envoys_of_its_pods() -> None:
    fault = Fault("delay-requests", {"edge": "us-east-1", "share": 0.5, "delay_s": 0.3})
    found = resolve(fault, view(with_envoy=True))
    (task,) = found.agents.values()
    assert isinstance(task, SetEnvoy)
    assert found.targets == ("m-0", "m-1")
    assert task.uids == ["u-0", "u-1"]
    assert task.values["fault.http.delay.fixed_delay_percent"] == "50"


def test_without_an_envoy_an_http_fault_is_not_applicable() -> None:
    with pytest.raises(CapabilityMissing, match="2 of 2 pods have none"):
        resolve(Fault("abort-requests", {"share": 0.5}), view(with_envoy=False))


@pytest.mark.parametrize(
    ("kind", "words", "says"),
    [
        ("delay-requests", {"delay_s": 0}, "delay_s 0"),
        ("delay-requests", {"share": 2}, "share 2"),
        ("abort-requests", {"status": 200}, "status 200"),
        ("abort-requests", {"edge": "mars"}, "0 of 0 ready replicas"),
        ("delay-link", {"regions": ["a", "b"], "delay_s": "long"}, "delay_s 'long'"),
        ("delay-link", {"regions": ["us-east-1"]}, "give two of them"),
        ("kill-replicas", {"count": "two"}, "count 'two'; give a whole number"),
        ("kill-replicas", {"region": ["us-east-1"]}, "region \\['us-east-1'\\]; give a name"),
        (
            "cpu-pressure",
            {"count": 1, "workers": "many"},
            "workers 'many'; give a whole number 1 to 64",
        ),
    ],
)
def test_arguments_that_cannot_be_are_named(kind: str, words: dict[str, object], says: str) -> None:
    with pytest.raises(PlatformError, match=says):
        resolve(Fault(kind, words), view(with_envoy=True))
