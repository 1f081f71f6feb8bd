"""Every pod that the harness starts, or ships a manifest of, has the rights that it needs only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from harness.load.kubernetes import manifests
from harness.load.kubernetes.options import JobOptions
from harness.platform.kubernetes import admission, relay
from harness.platform.kubernetes.agent_pods import (
    CAPABILITIES,
    DEADLINE_S,
    Work,
    agent_name,
    agent_pod,
    undo_account,
)
from harness.platform.kubernetes.faults import on_cluster
from harness.platform.undo import API, Burn, FillDisk, PutBack, RelayTo
from tests.kubernetes import policies
from tests.kubernetes.enforced import rules
from tests.record import synthetic

DEPLOY = Path(__file__).parents[2] / "deploy"
DIGEST = "registry.example/codai-harness@sha256:" + "0" * 64
ON_NODE = ("agent on a node", "agent that fills a disk")


def _plain(pod: client.V1Pod) -> dict[str, Any]:
    found: dict[str, Any] = client.ApiClient(client.Configuration()).sanitize_for_serialization(pod)
    return dict(found["spec"])


def _agents() -> Iterator[tuple[str, dict[str, Any]]]:
    works = {
        ON_NODE[0]: Work("node", Burn(workers=1)),
        ON_NODE[1]: Work("node", FillDisk("/tmp", 1)),
        "agent that undoes": Work(API, PutBack("node", "n", "m", {}, {}), undo_account("scale")),
        "relay": Work("node", RelayTo("198.18.0.1", 80)),
    }
    for name, work in works.items():
        yield name, _plain(agent_pod("space", "harness-x", work, DIGEST))


def _jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    plan, options = synthetic.plan(), JobOptions("space", image=DIGEST)
    for name, job in {
        "load master": manifests.master_job(plan, options, "r", {}),
        "load worker": manifests.worker_job(plan, options, "r", {}, "198.18.0.9"),
    }.items():
        yield name, _of_job(job)


def _of_job(job: dict[str, Any]) -> dict[str, Any]:
    spec = dict(job["spec"]["template"]["spec"])
    return {"activeDeadlineSeconds": job["spec"].get("activeDeadlineSeconds"), **spec}


def _shipped() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(DEPLOY.rglob("*.yaml")):
        for each in yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader):
            name = f"{path.name} {each['kind']} {each['metadata']['name']}"
            if each["kind"] in {"Deployment", "StatefulSet", "DaemonSet"}:
                spec = each["spec"]["template"]["spec"]
                yield name, {"activeDeadlineSeconds": "a service has none", **spec}
            elif each["kind"] == "CronJob":
                yield name, _of_job(each["spec"]["jobTemplate"])
            else:
                assert each["kind"] not in {"Job", "Pod", "ReplicaSet"}, (
                    f"{name} is looked at nowhere"
                )


PODS = dict([*_agents(), *_jobs(), *_shipped()])


@pytest.mark.parametrize("name", PODS)
def test_a_pod_can_write_nowhere_but_in_its_volumes_and_ends_by_itself(name: str) -> None:
    pod = PODS[name]
    assert pod.get("activeDeadlineSeconds")
    assert not any("hostPath" in each for each in pod.get("volumes", ()))
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert not container["securityContext"].get("privileged")


@pytest.mark.parametrize("name", PODS)
def test_a_pod_drops_every_capability_but_those_that_agents_on_nodes_need(name: str) -> None:
    pod = PODS[name]
    for container in pod["containers"]:
        context = container["securityContext"]
        kept = context["capabilities"].get("add", [])
        assert context["capabilities"]["drop"] == ["ALL"]
        if name in ON_NODE:
            assert kept == list(CAPABILITIES)
        else:
            assert kept == []
            assert context["allowPrivilegeEscalation"] is False
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert not {"hostPID", "hostNetwork", "hostIPC"} & pod.keys()


def test_an_agent_that_fills_a_disk_writes_into_a_volume_on_its_node() -> None:
    """The one place where it can write; the others have none."""
    pods = dict(_agents())
    (disk,) = pods[ON_NODE[1]].pop("volumes")
    (container,) = pods[ON_NODE[1]]["containers"]
    assert disk == {"name": "disk", "emptyDir": {}}
    assert container["volumeMounts"] == [{"name": "disk", "mountPath": "/tmp"}]
    assert not any("volumes" in pod for pod in pods.values())


def test_what_an_agent_on_a_node_may_do_is_decided_here() -> None:
    """Each is a way out of the container: to add one takes a reason."""
    assert set(CAPABILITIES) == {
        "SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN", "KILL", "SETUID", "SETGID", "DAC_OVERRIDE",
    }  # fmt: skip
    assert DEADLINE_S == 900


@pytest.mark.parametrize("name", [name for name, _ in (*_agents(), *_jobs())])
def test_an_image_named_by_its_digest_reaches_the_pod_so(name: str) -> None:
    assert {each["image"] for each in PODS[name]["containers"]} == {DIGEST}


LABELS: dict[str, Any] = {
    **{role: manifests.labels("r", role) for role in ("worker", "master")},
    "worker of another run": manifests.labels("s", "worker"),
    "agent": agent_pod("space", "x", Work("node", RelayTo("h", 1)), DIGEST).metadata.labels,
    "service": {"app": "memorai"},
    "outside": None,
}


@pytest.mark.parametrize(
    ("source", "pod", "port", "taken"),
    [
        ("worker", "master", manifests.PORT, True),
        ("worker of another run", "master", manifests.PORT, True),  # the token tells them apart
        ("worker", "master", manifests.PORT + 1, False),
        ("service", "master", manifests.PORT, False),
        ("agent", "master", manifests.PORT, False),
        ("outside", "master", manifests.PORT, False),
        ("master", "worker", manifests.PORT, False),
        ("worker", "worker", manifests.PORT, False),
        ("service", "worker", 80, False),
        ("outside", "agent", relay.PORT, True),
        ("service", "agent", relay.PORT, True),
        ("service", "agent", 22, False),
        ("worker", "service", 3001, True),
        ("outside", "service", 3001, True),
    ],
)
def test_the_shipped_network_policies_take_what_the_harness_needs_and_nothing_else(
    source: str, pod: str, port: int, *, taken: bool
) -> None:
    """They are about who connects to pods of ours; what those begin is not restricted."""
    assert policies.allows(policies.shipped(), LABELS[source], LABELS[pod], port) is taken


def test_a_policy_with_what_the_tests_do_not_know_is_not_passed_over() -> None:
    """A port range or a block of addresses would be open, and no test would say so."""
    every = policies.shipped()
    every[0]["spec"]["ingress"] = [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]
    with pytest.raises(ValueError, match="ipBlock"):
        policies.allows(every, None, LABELS["worker"], 80)
    every[0]["spec"]["policyTypes"] = ["Egress"]
    with pytest.raises(ValueError, match="Egress"):
        policies.openings(every, LABELS["worker"])


def test_the_rules_that_enforce_policies_follow_the_pods() -> None:
    pods = {"10.0.0.1": LABELS["master"], "10.0.0.2": LABELS["worker"], "10.0.0.3": {}}
    text = rules(policies.shipped(), pods)
    lines = [line for line in text.splitlines() if line.startswith("ip daddr")]
    assert lines == [
        "ip daddr 10.0.0.1 tcp dport 5557 ip saddr { 10.0.0.2 } accept",
        "ip daddr 10.0.0.1 counter drop",
        "ip daddr 10.0.0.2 counter drop",
    ]


def test_the_policy_knows_an_agents_lease_by_the_name_of_its_pod() -> None:
    """`admission` has the form of the name in a regular expression."""
    (pattern,) = {
        found
        for rule in admission.RECORD_RULES.values()
        for found in re.findall(r"request\.name \+ '([^']+)'", rule)
    }
    for undo in (False, True):
        work = Work("node", Burn(workers=1))
        name = agent_pod("space", "harness-a.b", work, DIGEST, undo=undo).metadata.name
        assert re.search("^harness-a.b" + pattern, name)
        assert not re.search("^harness-a" + pattern, name)
    assert re.search("^harness-a" + pattern, agent_name("harness-a", "node"))


def test_the_policies_are_about_the_accounts_of_all_agents() -> None:
    for each in admission.objects():
        if each["kind"] != "ValidatingAdmissionPolicy":
            continue
        spec: Any = each["spec"]
        (condition,) = spec["matchConditions"]
        (pattern,) = re.findall(r"matches\('([^']+)'\)", condition["expression"])
        for account in ("codai-harness-agent", *map(undo_account, on_cluster())):
            assert re.search(pattern, f"system:serviceaccount:space:{account}")
        for other in ("codai-harness", "default", "codai-harness-agent-2"):
            assert not re.search(pattern, f"system:serviceaccount:space:{other}")
        assert spec["failurePolicy"] == "Fail"
