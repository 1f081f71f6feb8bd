"""The pods of agents: what one is to do, and with which rights."""

import json
import secrets
import zlib
from dataclasses import asdict, dataclass

from kubernetes import client
from kubernetes.utils.quantity import parse_quantity

from harness.catalog.pods import NONE, PodSettings
from harness.platform.kubernetes.cluster import MANAGED, OURS
from harness.platform.kubernetes.packets import AGENT_UID
from harness.platform.undo import API, PLAN_SCHEMA, Burn, FillDisk, PutBack, RelayTo, Task

KIND = "harness.codai/kind"
OF_LEASE = "harness.codai/lease"
DEADLINE_S = 900.0
"""No fault holds longer than this, whatever happens to everybody else."""

CONTAINER = "agent"
MODULE = "harness.platform.kubernetes.agent"
AGENT_ACCOUNT = "codai-harness-agent"
CAPABILITIES = ("SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN", "KILL", "SETUID", "SETGID", "DAC_OVERRIDE")
LOCK = "/dev/shm/xtables.lock"  # noqa: S108 - the container's own
"""Of iptables, whose usual place is on the root file system, which cannot be written."""


UNMESHED = {
    "sidecar.istio.io/inject": "false",
    "linkerd.io/inject": "disabled",
    "kuma.io/sidecar-injection": "disabled",
    "consul.hashicorp.com/connect-inject": "false",
}
"""Labels and annotations by which meshes leave a pod alone: an agent asks the API server only, and
a proxy that starts late or never ends would keep it from that."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one agent is to do on one node."""

    node: str
    task: Task
    account: str = AGENT_ACCOUNT


def undoing(kind: str, back: PutBack) -> Work:
    """The work of the agent that carries a change's inverse out, with the kind's own account."""
    return Work(API, back, undo_account(kind))


def undo_account(kind: str) -> str:
    """The account of the agent that undoes faults of this kind."""
    return f"codai-harness-undo-{kind}"


def agent_pod(
    namespace: str,
    lease: str,
    work: Work,
    image: str,
    pods: PodSettings = NONE,
    *,
    undo: bool = False,
) -> client.V1Pod:
    """The pod of one agent, with no more rights than its work takes, and what `pods` sets.

    With `undo` it is the second there: it undoes what the first, which is dead, has done.
    """
    plan = {
        "schema": PLAN_SCHEMA,
        "namespace": namespace,
        "lease": lease,
        "node": work.node,
        "deadline_s": DEADLINE_S,
        "task": asdict(work.task),
        "undo": undo,
    }
    text = json.dumps(plan).replace("$", "$$")  # a kubelet would put variables in their place
    uid = client.V1ObjectFieldSelector(field_path="metadata.uid")
    pod, container = _place(work, pods)
    return client.V1Pod(
        metadata=client.V1ObjectMeta(
            name=agent_name(lease, work.node) + (f"-{secrets.token_hex(3)}" if undo else ""),
            labels={**UNMESHED, **pods.labels, MANAGED: OURS, KIND: "agent", OF_LEASE: lease},
            annotations=dict(UNMESHED),
        ),
        spec=client.V1PodSpec(
            service_account_name=work.account,
            priority_class_name=pods.priorityClassName,
            enable_service_links=False,
            active_deadline_seconds=int(DEADLINE_S) + 60,
            termination_grace_period_seconds=5,
            containers=[
                client.V1Container(
                    name=CONTAINER,
                    image=image,
                    image_pull_policy="IfNotPresent",
                    env=[
                        client.V1EnvVar(
                            name="AGENT_UID", value_from=client.V1EnvVarSource(field_ref=uid)
                        ),
                        client.V1EnvVar(name="AGENT_PLAN", value=text),
                        client.V1EnvVar(name="XTABLES_LOCKFILE", value=LOCK),
                    ],
                    resources=_resources(work.task, pods),
                    **container,
                )
            ],
            **pod,
        ),
    )


def _resources(task: Task, pods: PodSettings) -> dict[str, dict[str, str]]:
    """What an agent asks for and may take; a limit does not keep it from what its task takes."""
    found = pods.resources({"cpu": "10m", "memory": "32Mi"})
    limits = found.get("limits", {})
    for name, amount in taken(task).items():
        if name in limits:
            limit = parse_quantity(limits[name])
            limits[name] = str(int(limit) + amount if name != "cpu" else max(limit, amount))
    return found


def taken(task: Task) -> dict[str, int]:
    """What a task takes of its node on purpose: resource -> cores or bytes."""
    match task:
        case Burn(workers=workers, megabytes=megabytes):
            found = {"cpu": workers, "memory": megabytes << 20}
        case FillDisk(megabytes=megabytes):
            found = {"ephemeral-storage": megabytes << 20}
        case _:
            found = {}
    return {name: amount for name, amount in found.items() if amount}


def _place(work: Work, pods: PodSettings) -> tuple[dict[str, object], dict[str, object]]:
    """(pod, container) as the work needs them."""
    if work.node == API:
        return _unprivileged(
            restart_policy="OnFailure",
            node_selector=pods.selected,
            tolerations=pods.tolerated or None,
        )
    if isinstance(work.task, RelayTo):
        return _unprivileged(
            node_name=work.node, restart_policy="Never", tolerations=pods.tolerated or None
        )
    return _on_the_node(work)


def _on_the_node(work: Work) -> tuple[dict[str, object], dict[str, object]]:
    """(pod, container): on its node whatever that is tainted with, never restarted."""
    pod: dict[str, object] = {
        "node_name": work.node,
        "host_pid": True,
        "host_network": True,
        "restart_policy": "Never",
        "tolerations": [client.V1Toleration(operator="Exists")],
    }
    container: dict[str, object] = {
        "command": ["nsenter", "--target", "1", "--cgroup", "--", "python"],
        "args": ["-m", MODULE],
        "security_context": client.V1SecurityContext(
            run_as_user=0,
            privileged=False,
            app_armor_profile=client.V1AppArmorProfile(type="Unconfined"),
            seccomp_profile=client.V1SeccompProfile(type="Unconfined"),
            read_only_root_filesystem=True,
            capabilities=client.V1Capabilities(drop=["ALL"], add=list(CAPABILITIES)),
        ),
    }
    if isinstance(work.task, FillDisk):  # its root file system cannot be written
        disk = client.V1EmptyDirVolumeSource()
        pod["volumes"] = [client.V1Volume(name="disk", empty_dir=disk)]
        mount = client.V1VolumeMount(name="disk", mount_path=work.task.path)
        container["volume_mounts"] = [mount]
    return pod, container


def _unprivileged(**words: object) -> tuple[dict[str, object], dict[str, object]]:
    """(pod, container): no rights on any node."""
    pod = {
        **words,
        "security_context": client.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=AGENT_UID,
            run_as_group=AGENT_UID,
            seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault"),
        ),
    }
    container = {
        "command": ["python", "-m", MODULE],
        "security_context": client.V1SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=client.V1Capabilities(drop=["ALL"]),
        ),
    }
    return pod, container


def agent_name(lease: str, node: str) -> str:
    """Nodes of one pool may have long names that differ in their last letters."""
    return f"{lease}-{zlib.crc32(node.encode()):08x}"
