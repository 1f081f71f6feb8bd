"""What an agent is to do, and how: from its plan to the action that carries the task out.

Standard library only, as the agent itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from harness.platform.kubernetes.actions import (
    Action,
    Envoys,
    burn,
    delaying,
    fill_disk,
    kill_node,
    node_processes,
    packets,
    pause,
    pod_processes,
    relay,
)
from harness.platform.kubernetes.inverse import is_marked, patch_of
from harness.platform.kubernetes.packets import (
    between_chains,
    cut_chains,
    mark_of,
    name_chains,
    reset_chains,
)
from harness.platform.undo import (
    PLAN_SCHEMA,
    Burn,
    CutBetween,
    CutNames,
    CutNode,
    Delay,
    FillDisk,
    KillOnNode,
    PauseOnNode,
    PausePods,
    PutBack,
    RelayTo,
    ResetPort,
    SetEnvoy,
    Task,
    task_of,
)

PUT_BACK_S = 300.0
"""How long an undo by the API is tried again: the server that it takes may be what is down."""

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
Json = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What to do on this node."""

    namespace: str
    lease: str
    node: str
    own_uid: str
    deadline_s: float
    task: Task
    undo: bool = False
    """Whether another agent did it and is dead: there is only something to undo."""

    @classmethod
    def parse(cls, text: str, own_uid: str) -> Plan:
        """The plan of AGENT_PLAN; raises ValueError for one of another schema or task."""
        words = json.loads(text)
        if words.pop("schema", None) != PLAN_SCHEMA:
            raise ValueError("the plan is of another version: use one image for all")
        return cls(own_uid=own_uid, task=task_of(words.pop("task")), **words)


# -- the API server --------------------------------------------------------------------------------


class Api:
    """The cluster's API server, asked with the pod's own account."""

    def __init__(self) -> None:
        host = os.environ["KUBERNETES_SERVICE_HOST"]
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        self._address = os.environ.get("AGENT_API") or f"https://{host}:{port}"
        self._token = (SERVICE_ACCOUNT / "token").read_text()
        self._context = ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt"))

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        kind: str = "merge-patch",
    ) -> Json | None:
        """The answer, None where the object is gone; raises OSError with the server's words."""
        request = urllib.request.Request(  # noqa: S310 - the cluster's own API server
            self._address + path,
            data=json.dumps(body).encode() if body is not None else None,
            method=method,
            headers={
                "authorization": f"Bearer {self._token}",
                "content-type": f"application/{kind}+json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=3, context=self._context) as answer:  # noqa: S310
                found: Json = json.loads(answer.read())
                return found
        except urllib.error.HTTPError as problem:
            if problem.code == HTTPStatus.NOT_FOUND:
                return None
            words = problem.read().decode(errors="replace")
            with contextlib.suppress(ValueError, AttributeError):
                words = str(json.loads(words).get("message"))
            raise OSError(f"{method} {path}: {problem.code}: {words}") from None


def put_back(plan: Plan, back: PutBack) -> Action:
    """Undo a change that the harness makes by the API, where the change's mark still is."""
    api, kind, name = Api(), back.kind, back.name
    group = "argoproj.io/v1alpha1" if kind == "rollout" else "apps/v1"
    space = f"/apis/{group}/namespaces/{plan.namespace}"
    path = f"/api/v1/nodes/{name}" if kind == "node" else f"{space}/{kind}s/{name}"
    merge = "merge-patch" if kind == "rollout" else "strategic-merge-patch"

    def send(patch: Mapping[str, object], query: str = "") -> None:
        api.call("PATCH", path + query, patch, merge)

    def undo() -> None:
        patch = patch_of(back, api.call("GET", path) or {})
        if patch is not None:
            send(patch)

    def shows() -> tuple[bool, str]:
        there = is_marked(back, api.call("GET", path) or {})
        return there, f"{kind} {name} is {'changed' if there else 'as it was'}"

    return Action(
        do=lambda: None,
        undo=undo,
        shows=shows,
        check=lambda: send(back.patch, "?dryRun=All"),
        foreign=True,
        undo_s=PUT_BACK_S,
    )


def action_of(plan: Plan) -> Action:
    """What carries the task of a plan out."""
    match plan.task:
        case CutNode() | CutBetween() | ResetPort() | CutNames() | Delay() as task:
            return _of_packets(task, plan)
        case PutBack() as back:
            return put_back(plan, back)
        case RelayTo(host=host, port=port):
            return relay(host, port)
        case Burn(workers=workers, megabytes=megabytes):
            return burn(workers, megabytes, plan.node)
        case FillDisk(path=path, megabytes=megabytes):
            return fill_disk(path, megabytes)
        case task:
            return _of_processes(task, plan)


def _of_processes(task: PauseOnNode | KillOnNode | PausePods | SetEnvoy, plan: Plan) -> Action:
    match task:
        case PauseOnNode():
            return pause(lambda: node_processes(plan.own_uid), plan.node)
        case KillOnNode():
            return kill_node(plan.own_uid, plan.node)
        case PausePods(uids=uids):
            return pause(lambda: pod_processes(uids), "the pods")
        case SetEnvoy(uids=uids, values=values, admin_port=port):
            return Envoys(uids, values, port).action()


def _of_packets(task: CutNode | CutBetween | ResetPort | CutNames | Delay, plan: Plan) -> Action:
    mark = mark_of(plan.lease)
    match task:
        case CutNode():
            return packets(mark, cut_chains, f"everything of {plan.node}")
        case CutBetween(near=near, far=far, share=share):
            return packets(mark, lambda: between_chains(near, far, share), "traffic between them")
        case ResetPort(addresses=to, port=port, share=share):
            return packets(
                mark,
                lambda: reset_chains(to, port, share),
                "what is sent to them",
                "answered by a reset",
            )
        case CutNames(addresses=addresses):
            return packets(mark, lambda: name_chains(addresses), "their name resolution")
        case Delay(near=near, far=far, delay_s=delay_s):
            return delaying(mark, near, far, delay_s)
