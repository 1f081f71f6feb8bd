"""A fault of packets whose target is replaced meanwhile is told as not in effect."""

from __future__ import annotations

from typing import Any

import pytest

from harness.catalog.model import Service
from harness.chaos.ledger import Entry
from harness.chaos.observer import Observer
from harness.chaos.subprocesses import Inbox
from harness.platform.kubernetes.platform import Kubernetes
from harness.platform.model import Fault, Proof
from harness.platform.undo import UndoRecord
from tests.platform_kubernetes.fake import FakeApi
from tests.platform_kubernetes.test_whose_pods import OURS, PODS, add_pod, database

FAR = f"{PODS}/memorai-eu-west-1a"
DATABASE = f"{PODS}/memorai-database-0"


def set_address(api: FakeApi, path: str, address: str | None, **metadata: Any) -> None:
    pod = api.get(path)
    pod["status"]["podIP"] = address
    pod["metadata"].update(metadata)
    api.put(path, pod)


@pytest.fixture
def pods(api: FakeApi) -> None:
    """Two pods of the service and a database, each with an address of its own."""
    set_address(api, FAR, "10.0.0.3")
    add_pod(api, "memorai-database-0", database("memorai-database"))
    set_address(api, DATABASE, "10.0.0.7")


def planned(platform: Kubernetes, service: Service, kind: str, **given: Any) -> UndoRecord:
    return platform.plan_heal(service, Fault(kind, given), f"{kind}-1")


@pytest.mark.usefixtures("pods")
def test_a_cut_does_not_meet_a_dependency_that_came_back_at_another_address(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    heal = planned(platform, service, "partition-dependency")
    assert platform.replaced(service, heal) is None
    del api.objects[DATABASE]
    assert platform.replaced(service, heal) is None, "nothing to be reached meanwhile"
    add_pod(api, "memorai-database-0", database("memorai-database"))
    set_address(api, DATABASE, None)
    assert platform.replaced(service, heal) is None, "it has no address yet"
    set_address(api, DATABASE, "10.0.0.8")
    told = platform.replaced(service, heal)
    assert told == "memorai-database-0 at 10.0.0.8 came after the fault began and is not met"


@pytest.mark.usefixtures("pods")
def test_a_cut_does_not_meet_a_pod_that_the_service_gets_meanwhile(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    heal = planned(platform, service, "partition-dependency")
    add_pod(api, "memorai-new", {"app": "memorai"}, status={"podIP": "10.0.0.9"})
    assert "memorai-new at 10.0.0.9" in str(platform.replaced(service, heal))


@pytest.mark.usefixtures("pods")
@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("partition-regions", {}), ("lose-packets", {"share": 0.3}), ("delay-link", {}),
    ],
)  # fmt: skip
def test_a_link_meets_a_new_pod_within_the_nodes_subnets_and_no_other(
    platform: Kubernetes, service: Service, api: FakeApi, kind: str, given: dict[str, Any]
) -> None:
    heal = planned(platform, service, kind, regions=["us-east-1", "eu-west-1"], **given)
    add_pod(api, "memorai-new", {"app": "memorai"}, status={"podIP": "10.0.0.9"})
    assert platform.replaced(service, heal) is None
    set_address(api, f"{PODS}/memorai-new", "10.9.9.9")
    assert "memorai-new at 10.9.9.9" in str(platform.replaced(service, heal))


@pytest.mark.usefixtures("pods")
@pytest.mark.parametrize("kind", ["dns-failure", "reset-connections"])
def test_a_fault_of_some_pods_packets_meets_nothing_where_one_was_replaced(
    platform: Kubernetes, service: Service, api: FakeApi, kind: str
) -> None:
    heal = planned(platform, service, kind, region="us-east-1")
    set_address(api, FAR, "10.0.0.30")
    assert platform.replaced(service, heal) is None, "that one was no target"
    set_address(api, OURS, "10.0.0.20")
    assert "the pod at 10.0.0.1 was replaced" in str(platform.replaced(service, heal))


@pytest.mark.parametrize("kind", ["kill-replicas", "pause-replicas"])
def test_a_fault_of_a_pod_itself_is_not_about_what_comes_after_it(
    platform: Kubernetes, service: Service, api: FakeApi, kind: str
) -> None:
    heal = planned(platform, service, kind, region="us-east-1")
    set_address(api, OURS, "10.0.0.20", uid="uid-another")
    assert platform.replaced(service, heal) is None


def test_the_observer_says_that_a_fault_is_not_in_effect_while_it_holds(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rule is still there; the proof of the heal is not touched by it."""
    record, inbox = UndoRecord("cut-1", "partition-dependency"), Inbox()

    class Seen:
        def verify(self, heal: UndoRecord) -> Proof:
            return Proof(in_effect=True, statement="dropped")

        def replaced(self, service: Service, heal: UndoRecord) -> str | None:
            return "memorai-database-0 is not met"

    class Held:
        def entries(self) -> tuple[Entry, ...]:
            return (Entry("cut-1", "injected", record, {}, 0, 0),)

    Observer(Seen(), service, Held(), inbox)._prove()  # type: ignore[arg-type]
    event = inbox.get()
    assert (event["type"], event["in_effect"], event["replaced"]) == ("proof", False, True)  # type: ignore[typeddict-item]
