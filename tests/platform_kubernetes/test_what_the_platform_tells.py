"""A run's record holds what the cluster did meanwhile: its pods' changes and its own events."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness._engine import NullServer
from harness.catalog.model import Service
from harness.cli import run
from harness.platform.kubernetes.platform import Kubernetes
from harness.record import RunRecord
from tests.platform_kubernetes.fake import LABELS, NAMESPACE, FakeApi
from tests.verdicts import VERDICTS

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
EVENTS = f"/api/v1/namespaces/{NAMESPACE}/events"
NODE_EVENTS = "/api/v1/namespaces/default/events"
POD = "memorai-us-east-1a"


@pytest.fixture
def look(platform: Kubernetes, service: Service) -> Look:
    """The cluster's news after a first look."""
    found = platform.events(service)
    assert found is not None
    assert not found()
    return found


def put_event(api: FakeApi, path: str, about: str, reason: str, **fields: Any) -> None:
    """An event of `Kind/name`, as the cluster's own controllers write one."""
    kind, _, name = about.partition("/")
    body = {
        "metadata": {"uid": f"uid-{about}-{reason}", "creationTimestamp": "2026-11-25T10:00:00Z"},
        "involvedObject": {"kind": kind, "name": name},
        "reason": reason,
        "type": "Warning",
        "message": f"{reason} of\n {name}",
        "count": 1,
        "firstTimestamp": "2026-11-25T10:00:00Z",
        "lastTimestamp": "2026-11-25T10:00:00Z",
        **fields,
    }
    api.put(f"{path}/{kind}-{name}-{reason}".lower(), body)


Look = Callable[[], Sequence[Any]]


def set_pod(
    api: FakeApi,
    name: str,
    *,
    ready: bool,
    restarts: int = 0,
    address: str | None = None,
    **metadata: Any,
) -> None:
    """A pod of the service in this state."""
    body: dict[str, Any] = {
        "metadata": {"labels": LABELS, "uid": f"uid-{name}", **metadata},
        "spec": {"nodeName": "us-east-1a", "containers": [{"name": "memorai"}]},
        "status": {
            "phase": "Running",
            "podIP": address,
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [
                {
                    "name": "memorai",
                    "image": "good:1",
                    "imageID": "",
                    "ready": ready,
                    "restartCount": restarts,
                }
            ],
        },
    }
    api.put(f"{PODS}/{name}", body)


def test_each_change_of_a_pod_is_told_once(look: Look, api: FakeApi) -> None:
    """Unready and restarted, ready again, ending, gone; and one that is new."""
    uid = f"uid-{POD.removeprefix('memorai-')}"
    heard = []
    states: tuple[dict[str, Any], ...] = (
        {"ready": False, "restarts": 1},
        {"ready": True, "restarts": 1},
        {"ready": True, "restarts": 1, "deletionTimestamp": "2026-11-25T10:00:00Z"},
    )
    for state in states:
        set_pod(api, POD, uid=uid, **state)
        heard += [(each["pod"], each["what"]) for each in (*look(), *look())]
    del api.objects[f"{PODS}/{POD}"]
    set_pod(api, "memorai-new", ready=False)
    heard += [(each["pod"], each["what"]) for each in look()]
    whats = ("restarted", "unready", "ready", "deleting")
    both = [("memorai-new", "added"), (POD, "deleted")]
    assert heard == [*((POD, what) for what in whats), *both]


def test_a_pod_that_comes_back_under_another_address_has_moved(look: Look, api: FakeApi) -> None:
    """As after its node's death; while it has none it is nowhere, and has not moved."""
    heard = []
    for address in ("10.0.0.1", None, "10.0.0.1", None, "10.0.0.2"):
        set_pod(api, "memorai-one", ready=True, address=address)
        heard += [each["what"] for each in (*look(), *look()) if each["pod"] == "memorai-one"]
    assert heard == ["added", "ready", "moved"]


def test_a_pod_made_anew_under_its_name_has_moved_where_its_address_is_new(
    look: Look, api: FakeApi
) -> None:
    """As each of a StatefulSet."""
    heard = []
    for uid, address in (("first", "10.0.0.1"), ("second", None), ("second", "10.0.0.2")):
        set_pod(api, "memorai-one", ready=True, uid=uid, address=address)
        heard += [each["what"] for each in (*look(), *look()) if each["pod"] == "memorai-one"]
    assert heard[-1] == "moved"
    assert heard.count("moved") == 1


def test_events_of_the_services_own_objects_and_of_nodes_are_told(look: Look, api: FakeApi) -> None:
    """With reason, object, message, count and times; of nobody else's."""
    put_event(api, EVENTS, f"Pod/{POD}", "Unhealthy", count=3)
    put_event(api, EVENTS, "Deployment/memorai", "ScalingReplicaSet")
    put_event(api, EVENTS, "ReplicaSet/memorai-7d4b9", "FailedCreate")
    put_event(api, EVENTS, "Pod/logai-1", "Unhealthy")
    put_event(api, EVENTS, "Deployment/logai", "ScalingReplicaSet")
    put_event(api, NODE_EVENTS, "Node/us-east-1a", "NodeNotReady")
    told = {each["object"]: each for each in look()}
    assert set(told) == {
        f"Pod/{POD}",
        "Deployment/memorai",
        "ReplicaSet/memorai-7d4b9",
        "Node/us-east-1a",
    }
    assert told[f"Pod/{POD}"] == {
        "type": "platform_event",
        "level": "Warning",
        "object": f"Pod/{POD}",
        "reason": "Unhealthy",
        "message": f"Unhealthy of {POD}",
        "count": 3,
        "first": "2026-11-25T10:00:00Z",
        "last": "2026-11-25T10:00:00Z",
    }


def test_an_event_is_told_again_only_when_it_happened_again(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    """What was there before the run is no news."""
    put_event(api, EVENTS, f"Pod/{POD}", "Unhealthy")
    look: Look | None = platform.events(service)
    assert look is not None
    assert not look()
    assert not look()
    put_event(api, EVENTS, f"Pod/{POD}", "Unhealthy", count=2, lastTimestamp="2026-11-25T10:00:09Z")
    (again,) = look()
    assert (again["count"], again["last"]) == (2, "2026-11-25T10:00:09Z")
    assert not look()


def test_events_of_a_pod_that_came_and_went_between_are_told_with_its_successor(
    look: Look, api: FakeApi
) -> None:
    """The scheduler's own form: a time and no count."""
    set_pod(api, "memorai-new", ready=True)
    put_event(
        api, EVENTS, "Pod/memorai-new", "Scheduled",
        count=None, firstTimestamp=None, lastTimestamp=None,
        eventTime="2026-11-25T10:00:01.5Z",
    )  # fmt: skip
    (event,) = [each for each in look() if each["type"] == "platform_event"]
    assert (event["count"], event["first"]) == (1, "2026-11-25T10:00:01.5Z")


def test_who_may_not_see_the_nodes_events_is_told_once_and_sees_the_rest(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    api.denied.add(("list", NODE_EVENTS))
    look: Look | None = platform.events(service)
    assert look is not None
    (first,) = look()
    assert (first["type"], first["ok"]) == ("platform_view", False)
    put_event(api, EVENTS, f"Pod/{POD}", "Unhealthy")
    assert [each["reason"] for each in look()] == ["Unhealthy"]


def test_an_api_server_that_refuses_is_told_once_and_that_it_answers_again(
    look: Look, api: FakeApi
) -> None:
    api.denied.add(("list", "pods"))
    (lost,) = look()
    assert lost["ok"] is False
    assert "403" in lost["reason"]
    assert not look()
    api.denied.clear()
    assert [each["ok"] for each in look()] == [True]


@pytest.fixture
def null_server() -> Iterator[str]:
    server = NullServer()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


def test_a_performance_run_has_it_in_its_record_its_page_and_its_json(
    api: FakeApi,
    config: Path,
    null_server: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The pod restarts while the load runs."""
    ended = threading.Event()

    def disturb() -> None:
        events = "memorai/*/events.jsonl"
        while not any('"tick"' in found.read_text() for found in tmp_path.glob(events)):
            if ended.wait(0.05):
                return
        set_pod(api, POD, uid="uid-us-east-1a", ready=True, restarts=1)
        put_event(api, EVENTS, f"Pod/{POD}", "<BackOff>")

    thread = threading.Thread(target=disturb, daemon=True)
    thread.start()
    code = run(
        [
            *("perf", "memorai", "--platform", "kubernetes", "--namespace", NAMESPACE),
            *("--kubeconfig", str(config), "--target", null_server, "--profile", "poisson"),
            *("--rate", "20", "--duration", "5s", "--quiet", "--json"),
            *("--results", str(tmp_path)),
        ]
    )
    ended.set()
    thread.join()
    assert code in VERDICTS
    shown = json.loads(capsys.readouterr().out)["platform_events"]
    assert [each.get("what") or each["reason"] for each in shown] == ["restarted", "<BackOff>"]
    (directory,) = (tmp_path / "memorai").iterdir()
    (event,) = RunRecord.load(directory).events_of("platform_event")
    assert event["t"] > 0
    page = (directory / "report.html").read_text()
    assert "Platform events" in page
    assert "&lt;BackOff&gt;" in page
