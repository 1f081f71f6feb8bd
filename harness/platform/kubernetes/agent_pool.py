"""A fault's lease in the cluster and the agents that hold the fault while it is renewed.

An agent on a node carries the fault out and undoes it. A change by the API is made by the harness;
its one agent, anywhere in the cluster, only undoes it.

The lease is a ConfigMap: `wish` (wait, hold, heal), `renewed` (Unix seconds), `heal` (the ledger's
entry, so that any harness can undo it) and, per node, what its agent shows.
"""

import threading
import time
from collections.abc import Mapping, Sequence

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from harness.catalog.pods import NONE, PodSettings
from harness.errors import PlatformError
from harness.platform.kubernetes.access import is_gone, quietly, telling
from harness.platform.kubernetes.agent_pods import (
    CONTAINER,
    KIND,
    OF_LEASE,
    Work,
    agent_name,
    agent_pod,
)
from harness.platform.kubernetes.cluster import MANAGED, OURS, Cluster
from harness.platform.kubernetes.preflight import Demand, Resources, check_limits, demand
from harness.platform.undo import API, RelayTo, Shown, UndoRecord
from harness.typed import adapter
from harness.units import counted

READY_S = 40.0
EFFECT_S = 15.0
HEALED_S = 60.0
RENEW_S = 4.0
POLL_S = 0.25


class AgentPool:
    """The leases and agents of one namespace."""

    def __init__(self, cluster: Cluster, image: str, pods: PodSettings = NONE) -> None:
        self._cluster = cluster
        self._image = image
        self._pods = pods

    # -- holding ---------------------------------------------------------------------------------

    def prepare(self, lease: str, works: Sequence[Work], record: UndoRecord) -> None:
        """Write the lease, start an agent on every node, wait until all of them are ready.

        The lease is renewed from now on, for as long as this process lives. Raises PlatformError
        naming the node whose agent is not ready; everything is taken back then.
        """
        self._create(lease, record)
        threading.Thread(target=self._renew, args=(lease,), daemon=True).start()
        try:
            for work in works:
                self._start(lease, work)
            self._await(lease, [w.node for w in works], {"ready"}, READY_S, "ready")
        except BaseException:
            self.release(lease, works)
            raise

    def hold(self, lease: str, nodes: Sequence[str]) -> None:
        """Give all agents the word at once."""
        self._patch(lease, {"wish": "hold", "renewed": str(time.time())})
        self._await(lease, nodes, {"in-effect", "no-effect"}, EFFECT_S, "in effect")

    def _renew(self, lease: str) -> None:
        while True:
            time.sleep(RENEW_S)
            try:
                data = self.read(lease)
                if data is None or data.get("wish") == "heal":
                    return
                self._patch(lease, {"renewed": str(time.time())})
            except PlatformError:
                continue

    def release(self, lease: str, works: Sequence[Work]) -> None:
        """Tell the agents to undo, wait until each says so, remove them and the lease; idempotent.

        Where an agent is dead, another one undoes what it did. One that only undoes by the API has
        nothing left to do: the caller has done it. Raises PlatformError naming a node where it is
        not undone.
        """
        data = self.read(lease)
        if data is not None:
            self._patch(lease, {"wish": "heal"})
            if data.get("wish") != "wait":  # else no agent has begun
                self._await_undone(lease, [work for work in works if work.node != API])
        self._remove(lease, agents=bool(works))

    def _await_undone(self, lease: str, works: Sequence[Work]) -> None:
        deadline = time.monotonic() + HEALED_S
        again: set[str] = set()
        while True:
            problem = None
            try:
                waiting = self._not_undone(lease, works, again)
            except PlatformError as failed:
                waiting, problem = list(works), failed
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise problem or self._late(lease, waiting[0].node, "healed", HEALED_S)
            time.sleep(POLL_S)

    def _not_undone(self, lease: str, works: Sequence[Work], again: set[str]) -> list[Work]:
        """Where it is not; a dead agent's node gets another that undoes, once."""
        shown = self.shown(lease)
        waiting = [
            work for work in works if shown.get(work.node, ("", ""))[0] not in {"healed", "failed"}
        ]
        if not waiting:
            return []
        alive, nodes = self._living(lease), self._cluster.nodes()
        left = []
        for work in waiting:
            if work.node not in nodes:
                continue  # what it was is gone with it
            dead = not any(name.startswith(agent_name(lease, work.node)) for name in alive)
            if dead and isinstance(work.task, RelayTo):
                continue
            if dead and work.node not in again:
                again.add(work.node)
                self._start(lease, work, undo=True)
            left.append(work)
        return left

    def _living(self, lease: str) -> set[str]:
        """The names of the lease's pods whose container has not ended."""
        with telling("agents"):
            found = self._cluster.core.list_namespaced_pod(
                self._cluster.namespace, label_selector=f"{KIND}=agent,{OF_LEASE}={lease}"
            )
        return {
            item.metadata.name
            for item in found.items
            if item.status.phase not in {"Failed", "Succeeded"}
            and not any(
                each.state and each.state.terminated
                for each in item.status.container_statuses or ()
            )
        }

    def rehearse(self, works: Sequence[Work]) -> Demand:
        """Ask the API server whether it would take the agents' pods; raises PlatformError.

        It is asked for one of a kind; what all of them take, as admitted, is returned.
        """
        admitted: dict[str, list[Resources]] = {}
        for work in {work.task.action: work for work in works}.values():
            pod = self._pod("harness-rehearsal", work)
            with telling(f"agent on {work.node}"):
                found = self._cluster.core.create_namespaced_pod(
                    self._cluster.namespace, pod, dry_run="All"
                )
            containers = self._cluster.api.sanitize_for_serialization(found.spec.containers)
            resources = {each["name"]: each.get("resources") or {} for each in containers}
            check_limits(work.task, resources[CONTAINER])
            admitted[work.task.action] = [*resources.values()]
        return demand(counted(len(works), "agent"), [admitted[w.task.action] for w in works])

    def _pod(self, lease: str, work: Work, *, undo: bool = False) -> client.V1Pod:
        namespace = self._cluster.namespace
        return agent_pod(namespace, lease, work, self._image, self._pods, undo=undo)

    # -- looking ---------------------------------------------------------------------------------

    def read(self, lease: str) -> dict[str, str] | None:
        """The lease's data, None when it is gone."""
        with telling(f"lease {lease}"):
            try:
                found = self._cluster.core.read_namespaced_config_map(
                    lease, self._cluster.namespace
                )
            except ApiException as problem:
                if is_gone(problem):
                    return None
                raise
        return dict(found.data or {})

    def shown(self, lease: str) -> dict[str, tuple[str, str]]:
        """Node -> (state, statement) as its agent told last."""
        found: dict[str, tuple[str, str]] = {}
        for key, value in (self.read(lease) or {}).items():
            if key.startswith("node-"):
                node = key.removeprefix("node-")
                try:
                    shown = adapter(Shown).validate_json(value)
                except ValueError:  # nobody but an agent should write there
                    raise PlatformError(
                        f"lease {lease}: what stands there of {node} is no agent's",
                        "see who else may write ConfigMaps",
                    ) from None
                found[node] = (shown.state, shown.statement)
        return found

    def address(self, lease: str, node: str) -> str:
        """The address of an agent's pod, which may speak before its kubelet has told it.

        Raises PlatformError where it gets none.
        """
        name = agent_name(lease, node)
        deadline = time.monotonic() + READY_S
        while True:
            with telling(f"agent on {node}"):
                pod = self._cluster.core.read_namespaced_pod(name, self._cluster.namespace)
            if pod.status.pod_ip:
                return str(pod.status.pod_ip)
            if time.monotonic() > deadline:
                raise PlatformError(f"{name} has no address", "see kubectl describe pod")
            time.sleep(POLL_S)

    def all(self) -> list[tuple[str, dict[str, str]]]:
        """(name, data) of every lease of the namespace."""
        with telling("leases"):
            found = self._cluster.core.list_namespaced_config_map(
                self._cluster.namespace, label_selector=f"{MANAGED}={OURS},{KIND}=fault"
            )
        return [(item.metadata.name, dict(item.data or {})) for item in found.items]

    def agents(self) -> list[str]:
        """The agents' pods that are there."""
        with telling("agents"):
            found = self._cluster.core.list_namespaced_pod(
                self._cluster.namespace, label_selector=f"{MANAGED}={OURS},{KIND}=agent"
            )
        return [item.metadata.name for item in found.items]

    # -- steps -----------------------------------------------------------------------------------

    def _create(self, lease: str, record: UndoRecord) -> None:
        body = client.V1ConfigMap(
            metadata=client.V1ObjectMeta(name=lease, labels={MANAGED: OURS, KIND: "fault"}),
            data={
                "wish": "wait",
                "renewed": str(time.time()),
                "heal": self._cluster.seal.sealed(record),
            },
        )
        with telling(f"lease {lease}"):
            self._cluster.core.create_namespaced_config_map(self._cluster.namespace, body)

    def _patch(self, lease: str, data: Mapping[str, str]) -> None:
        with telling(f"lease {lease}"):
            try:
                self._cluster.core.patch_namespaced_config_map(
                    lease, self._cluster.namespace, {"data": dict(data)}
                )
            except ApiException as problem:
                if not is_gone(problem):
                    raise

    def _start(self, lease: str, work: Work, *, undo: bool = False) -> None:
        with telling(f"agent on {work.node}"):
            self._cluster.core.create_namespaced_pod(
                self._cluster.namespace, self._pod(lease, work, undo=undo)
            )

    def _await(
        self, lease: str, nodes: Sequence[str], states: set[str], limit_s: float, word: str
    ) -> None:
        deadline = time.monotonic() + limit_s
        while True:
            try:
                shown = self.shown(lease)
            except PlatformError:  # part of the API may be what has just been broken
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)
                continue
            failed = [f"{n}: {t}" for n, (s, t) in shown.items() if s in {"failed", "remains"}]
            if failed:
                raise PlatformError(f"agent on {failed[0]}", "see the pod's log")
            waiting = [node for node in nodes if shown.get(node, ("", ""))[0] not in states]
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise self._late(lease, waiting[0], word, limit_s)
            time.sleep(POLL_S)

    def _late(self, lease: str, node: str, word: str, limit_s: float) -> PlatformError:
        said = ": ".join(self.shown(lease).get(node, ("it said nothing",)))
        return PlatformError(
            f"the agent on {node} was not {word} after {limit_s:g} s "
            f"({said}; {self._why(lease, node)})",
            "see kubectl describe pod; it undoes the fault when its lease is stale",
        )

    def _why(self, lease: str, node: str) -> str:
        with telling("agent"):
            try:
                pod = self._cluster.core.read_namespaced_pod(
                    agent_name(lease, node), self._cluster.namespace
                )
            except ApiException as problem:
                return "it is gone" if is_gone(problem) else str(problem.reason)
        for status in pod.status.container_statuses or ():
            state = status.state.waiting or status.state.terminated
            if state is not None:
                return f"{state.reason}: {state.message or ''}".strip()
        return str(pod.status.phase)

    def _remove(self, lease: str, *, agents: bool) -> None:
        """An account that may inject no fault with agents may not delete them either."""
        core, namespace = self._cluster.core, self._cluster.namespace
        problem = None
        if agents:
            problem = quietly(
                lambda: core.delete_collection_namespaced_pod(
                    namespace,
                    label_selector=f"{KIND}=agent,{OF_LEASE}={lease}",
                    grace_period_seconds=0,
                )
            )
        problem = problem or quietly(lambda: core.delete_namespaced_config_map(lease, namespace))
        if problem is not None:
            raise PlatformError(f"lease {lease}: {problem}", "harness reap --platform kubernetes")
