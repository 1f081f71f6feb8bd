"""`harness reap` on a cluster: from any machine, with what the cluster itself remembers."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.catalog.model import Service
from harness.cli import run
from harness.platform.kubernetes.agent_pool import AgentPool
from harness.platform.kubernetes.platform import Kubernetes
from harness.platform.model import Fault
from harness.platform.undo import UndoRecord
from tests.platform_kubernetes.fake import DEPLOYMENT, LEASE, NAMESPACE, NODE, FakeApi
from tests.platform_kubernetes.kubelet import doomed
from tests.platform_kubernetes.test_one_run_at_a_time import wait_for

CHANGES = (
    Fault("scale", {"replicas": 5}),
    Fault("drain-node", {"node": "us-east-1a"}),
    Fault("bad-release", {"image": "bad:2"}),
)


@pytest.fixture
def left(
    platform: Kubernetes, service: Service, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> list[UndoRecord]:
    """Three changes of a run on another machine, dead since, whose agents have died as well."""
    monkeypatch.setattr(AgentPool, "_renew", lambda self, lease: None)
    api.kubelet = doomed(api)
    heals = [platform.plan_heal(service, fault, f"{fault.kind}-1") for fault in CHANGES]
    for fault, heal in zip(CHANGES, heals, strict=True):
        platform.inject(service, fault, heal)
    return heals


def reaped(
    config: Path, capsys: pytest.CaptureFixture[str], *words: str, command: str = "reap"
) -> tuple[int, dict[str, Any]]:
    """Its exit code and what it found."""
    where = ("--platform", "kubernetes", "--namespace", NAMESPACE, "--kubeconfig", str(config))
    code = run([command, *where, "--json", *words])
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


def changed(api: FakeApi) -> list[Any]:
    """What the changes above have changed."""
    spec = api.get(DEPLOYMENT)["spec"]
    image = spec["template"]["spec"]["containers"][0]["image"]
    return [spec["replicas"], image, api.get(NODE)["spec"].get("unschedulable")]


def test_everything_that_the_cluster_remembers_is_undone(
    left: list[UndoRecord],
    platform: Kubernetes,
    api: FakeApi,
    config: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert changed(api) == [5, "bad:2", True]
    code, found = reaped(config, capsys)
    assert code == 0, found
    assert {each["fault_id"] for each in found["undone"]} == {heal.fault_id for heal in left}
    assert changed(api) == [2, "good:1", None]
    assert platform.residual_faults() == ()
    assert reaped(config, capsys) == (0, {**found, "undone": []})


def test_a_change_is_undone_by_its_mark_though_its_lease_is_gone(
    left: list[UndoRecord],
    platform: Kubernetes,
    api: FakeApi,
    config: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Somebody cleared the ConfigMaps and pods away and forgot the cordon."""
    for path in [p for p in api.objects if "/harness-" in p]:
        api.objects.pop(path)
    code, _ = reaped(config, capsys)
    assert code == 0
    assert changed(api) == [2, "good:1", None]


def test_a_run_that_lives_keeps_its_faults(
    left: list[UndoRecord],
    platform: Kubernetes,
    api: FakeApi,
    config: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with platform.exclusive():
        words = ("--platform", "kubernetes", "--namespace", NAMESPACE, "--kubeconfig", str(config))
        assert run(["reap", *words]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
    assert "has been breaking things here" in lines[-1]
    assert changed(api) == [5, "bad:2", True]


def test_halt_ends_the_run_that_lives_and_undoes_its_faults(
    left: list[UndoRecord],
    platform: Kubernetes,
    api: FakeApi,
    config: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Asked again, it finds nothing to end."""

    def living() -> None:
        with platform.exclusive():
            wait_for(lambda: platform.halted() is not None)
            platform.heal(left[0])

    thread = threading.Thread(target=living)
    thread.start()
    wait_for(lambda: LEASE in api.objects)
    code, found = reaped(config, capsys, command="halt")
    thread.join()
    assert code == 0, found
    assert {each["fault_id"] for each in found["undone"]} == {heal.fault_id for heal in left}
    assert found["undone"][0]["fault_id"] == left[0].fault_id
    assert [each["killed"] for each in found["stopped"]] == [False]
    assert changed(api) == [2, "good:1", None]
    assert reaped(config, capsys, command="halt") == (0, {**found, "undone": [], "stopped": []})


def test_another_namespaces_cordon_is_not_ours(
    left: list[UndoRecord], platform: Kubernetes, api: FakeApi, config: Path
) -> None:
    """A run over there may be alive: nodes are everybody's."""
    node = api.get(NODE)
    node["metadata"]["labels"] = dict.fromkeys(node["metadata"]["labels"], "elsewhere")
    api.put(NODE, node)
    assert not [each for each in platform.residual_faults() if each.startswith("node")]


def test_a_lease_and_a_mark_that_cannot_be_read_are_told_as_left(
    left: list[UndoRecord],
    platform: Kubernetes,
    api: FakeApi,
    config: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And keep nobody from undoing the others."""
    for path in [p for p in api.objects if "/harness-" in p]:
        api.objects.pop(path)
    node = api.get(NODE)
    node["metadata"]["annotations"] = {}
    api.put(NODE, node)
    lease = f"/api/v1/namespaces/{NAMESPACE}/configmaps/harness-odd"
    labels = {"app.kubernetes.io/managed-by": "codai-harness", "harness.codai/kind": "fault"}
    api.put(lease, {"metadata": {"labels": labels}, "data": {"heal": "{"}})
    code, found = reaped(config, capsys)
    assert code == 1
    assert sorted(found["leftovers"]) == [
        "lease harness-odd",
        "node us-east-1a is changed by harness-drain-node-1",
    ]
    assert changed(api) == [2, "good:1", True]


@pytest.mark.parametrize(
    "forged",
    [
        {"change": {}, "undo": {"kind": "node", "name": NODE, "patch": {"spec": {"taints": []}}}},
        {"works": [{"node": "us-east-1a", "action": "burn", "arguments": {}, "account": "ci"}]},
        {"works": [{"node": "us-east-1a", "action": "run", "arguments": {}}], "change": {}},
    ],
    ids=["another patch", "another account, of another's lease", "another action"],
)
def test_a_forged_lease_changes_nothing_and_is_shown(
    forged: dict[str, Any],
    platform: Kubernetes,
    api: FakeApi,
    config: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whoever may write ConfigMaps may write anything into one."""
    name = "memorai-config"
    labels = {"app.kubernetes.io/managed-by": "codai-harness", "harness.codai/kind": "fault"}
    arguments = {"service": "memorai", "works": [], "lease": name, "targets": [], **forged}
    record = {"fault_id": "scale-1", "kind": "scale", "arguments": arguments}
    lease = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{name}"
    api.put(lease, {"metadata": {"labels": labels}, "data": {"heal": json.dumps(record)}})
    before = {path: json.dumps(each) for path, each in api.objects.items() if "leases" not in path}
    code, found = reaped(config, capsys)
    assert (code, found["undone"], found["leftovers"]) == (1, [], [f"lease {name}"])
    after = {path: json.dumps(each) for path, each in api.objects.items() if "leases" not in path}
    assert after == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--platform", "kubernetes"], "add --namespace"),
        (["--namespace", NAMESPACE], "add --platform kubernetes"),
        (["--platform", "kubernetes", "--namespace", "kube-system"], "belongs to the cluster"),
    ],
)
def test_what_was_left_out_is_one_line(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["reap", *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line
