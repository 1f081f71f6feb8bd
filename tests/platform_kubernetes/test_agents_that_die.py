"""Whatever is killed, and whenever: somebody is left who undoes the fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import PlatformError
from harness.platform.kubernetes import agent, agent_pool
from harness.platform.kubernetes.agent_pods import Work, agent_pod
from harness.platform.kubernetes.agent_pool import AgentPool
from harness.platform.kubernetes.cluster import Cluster
from harness.platform.undo import Burn, FillDisk, PutBack, UndoRecord
from tests.platform_kubernetes.fake import NAMESPACE, FakeApi
from tests.platform_kubernetes.kubelet import Kubelet, kill

NODE = "us-east-1a"
RECORD = UndoRecord("fault", "disk-pressure")


@pytest.fixture
def agents(platform: object, config: Path) -> AgentPool:
    """Of the namespace; the platform's times are short."""
    return AgentPool(Cluster(NAMESPACE, kubeconfig=str(config)), "image")


def test_what_a_killed_agent_did_is_undone_by_another(
    agents: AgentPool, kubelet: Kubelet, tmp_path: Path
) -> None:
    """Nothing of a container outlives its first process, so nobody else is left on the node."""
    work = Work(NODE, FillDisk(str(tmp_path), 1))
    agents.prepare("fault", [work], RECORD)
    agents.hold("fault", [NODE])
    (first,) = kubelet.running
    kill(first)
    assert list(tmp_path.glob("*.fill"))
    agents.release("fault", [work])
    assert not list(tmp_path.glob("*.fill"))
    assert len(kubelet.running) == 2
    assert agents.agents() == []


def test_agents_that_never_began_are_not_waited_for(
    agents: AgentPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their image is not there: what is told is that, and nothing is left."""
    monkeypatch.setattr(agent_pool, "READY_S", 0.3)
    monkeypatch.setattr(agent_pool, "HEALED_S", 1e9)
    with pytest.raises(PlatformError, match="not ready"):
        agents.prepare("fault", [Work(NODE, FillDisk("/nowhere", 1))], RECORD)
    assert agents.agents() == []
    assert agents.read("fault") is None


def test_a_node_that_is_gone_takes_its_fault_with_it(
    agents: AgentPool, api: FakeApi, kubelet: Kubelet, tmp_path: Path
) -> None:
    work = Work(NODE, FillDisk(str(tmp_path), 1))
    agents.prepare("fault", [work], RECORD)
    agents.hold("fault", [NODE])
    kubelet.stop()
    api.objects.pop(f"/api/v1/nodes/{NODE}")
    agents.release("fault", [work])
    assert agents.read("fault") is None


class Renewed:
    """A lease that is renewed by a machine whose clock is wrong."""

    def __init__(self) -> None:
        self.data: dict[str, Any] | None = {"wish": "hold", "renewed": "7"}

    def read(self) -> dict[str, Any] | None:
        """Its data."""
        return self.data


def test_only_a_lease_that_changes_no_more_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """No clock but the node's own is asked."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    kept = Renewed()
    watch = agent.Watch(kept, 900.0)  # type: ignore[arg-type]
    for number in range(20):
        kept.data = {"wish": "hold", "renewed": str(number)}
        now[0] += 5
        assert watch.look() == (None, "hold")
    now[0] += agent.STALE_S + 1
    assert "stale" in str(watch.look()[0])
    kept.data = None
    assert "gone" in str(watch.look()[0])


def plan_of(work: Work) -> dict[str, Any]:
    """What a kubelet makes of the plan: `$$` is a dollar, and nothing may be left to expand."""
    (container,) = agent_pod(NAMESPACE, "fault", work, "image").spec.containers
    (text,) = [each.value for each in container.env if each.name == "AGENT_PLAN"]
    assert "$" not in text.replace("$$", "")
    return dict(json.loads(text.replace("$$", "$")))


def test_a_plan_reaches_its_agent_letter_by_letter() -> None:
    """Kubernetes puts variables in the place of `$(NAME)` in a container's environment."""
    patch = {"url": "http://$(HOST):$$(PORT)", "word": "pa$$word$"}
    back = PutBack("node", NODE, "mark", {}, patch)
    assert plan_of(Work(NODE, back))["task"]["patch"] == patch


def test_nodes_of_one_pool_have_agents_of_different_names() -> None:
    """However long their names are, and wherever they differ."""
    pool = "gke-a-cluster-with-a-long-name-default-pool-of-its-own-1a2b3c4d-"
    names = {
        agent_pod(
            NAMESPACE, "harness-partition-regions-1", Work(pool + end, Burn()), "i"
        ).metadata.name
        for end in ("aaaa", "bbbb")
    }
    assert len(names) == 2
    assert all(len(name) <= 63 for name in names)
