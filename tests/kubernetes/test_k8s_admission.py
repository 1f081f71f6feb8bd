"""The agents' accounts are held to their own fault: the API server is asked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from harness.platform.kubernetes.access import connect
from harness.platform.kubernetes.admission import digest_objects
from harness.platform.kubernetes.agent_pods import (
    AGENT_ACCOUNT,
    Work,
    agent_name,
    agent_pod,
    undo_account,
)
from harness.platform.kubernetes.api_changes import MARK
from harness.platform.undo import Burn
from tests.kubernetes.cluster.handle import Handle
from tests.kubernetes.cluster.workload import remove
from tests.kubernetes.roles import apply_agents

pytestmark = pytest.mark.kubernetes

NAMESPACE = "admission-test"
MINE, OTHER = "harness-a", "harness-a-b"
RECORD = {"wish": "hold", "heal": "{}", "node-x": "{}"}
OWN, RECORDED, METADATA = "own fault only", "harness recorded", "record's metadata"

Change = Callable[[], object]


@pytest.fixture(scope="module")
def place(cluster: Handle) -> Iterator[str]:
    """Two records, a ConfigMap of somebody else, a Deployment with a mark and one without."""
    apps: dict[str, dict[str, str]] = {
        "marked": {f"{MARK}{MINE}": NAMESPACE},
        "foreign": {f"{MARK}{MINE}": "elsewhere"},
        "plain": {},
    }
    cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    cluster.apply(
        [
            *(_object("v1", "ConfigMap", name, data=RECORD) for name in (MINE, OTHER, "app")),
            *(
                _object("apps/v1", "Deployment", n, labels, spec=_spec())
                for n, labels in apps.items()
            ),
        ]
    )
    apply_agents(cluster, NAMESPACE)
    yield NAMESPACE
    remove(cluster, NAMESPACE, wait=False)


def _object(
    version: str, kind: str, name: str, labels: Mapping[str, str] | None = None, **more: object
) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": dict(labels or {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def _spec() -> dict[str, Any]:
    pod = {"containers": [{"name": "c", "image": "none"}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod}
    return {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}


def as_agent(cluster: Handle, account: str, lease: str | None) -> client.ApiClient:
    """The API as a pod of this account has it; None: its token names no pod."""
    api = connect(None, cluster.kubeconfig)
    api.set_default_header("Impersonate-User", f"system:serviceaccount:{NAMESPACE}:{account}")
    api.set_default_header("Impersonate-Group", "system:authenticated")
    if lease is not None:
        key = "Impersonate-Extra-authentication.kubernetes.io%2Fpod-name"
        api.set_default_header(key, agent_name(lease, "node"))
    return api


def patch_record(api: client.ApiClient, name: str, body: Mapping[str, object]) -> Change:
    core = client.CoreV1Api(api)
    return lambda: core.patch_namespaced_config_map(name, NAMESPACE, dict(body))


def scale(api: client.ApiClient, name: str, **words: str) -> Change:
    apps, body = client.AppsV1Api(api), {"spec": {"replicas": 0, "minReadySeconds": 1}}
    return lambda: apps.patch_namespaced_deployment(name, NAMESPACE, body, **words)


def refused(change: Change, why: str) -> None:
    """Refused for this reason, once the API server has heard of the policy."""
    until = time.monotonic() + 20
    while True:
        said = ""
        try:
            change()
        except ApiException as problem:
            said = str(json.loads(problem.body)["message"])
        if said:
            assert why in said
            return
        assert time.monotonic() < until, f"nothing refused it: {why}"
        time.sleep(0.5)


def test_an_agent_answers_in_the_record_of_its_own_fault_and_nowhere_else(
    cluster: Handle, place: str
) -> None:
    mine, nobody = (as_agent(cluster, AGENT_ACCOUNT, lease) for lease in (MINE, None))
    answer = {"data": {"node-y": '{"state": "ready"}'}}
    for name in ("app", OTHER):
        refused(patch_record(mine, name, answer), OWN)
    refused(patch_record(nobody, MINE, answer), OWN)
    patch_record(mine, MINE, answer)()
    for changed in ({"heal": "forged"}, {"wish": "heal"}, {"wish": None}):
        refused(patch_record(mine, MINE, {"data": changed}), RECORDED)
    refused(patch_record(mine, MINE, {"data": {"new": "x"}}), "what a node shows")
    refused(patch_record(mine, MINE, {"data": {"node-y": "x" * 5_000}}), "characters")
    refused(patch_record(mine, MINE, {"metadata": {"labels": {"a": "b"}}}), METADATA)
    refused(patch_record(mine, MINE, {"metadata": {"annotations": {"a": "b"}}}), METADATA)


def test_an_agent_puts_back_what_its_own_fault_has_marked_and_nothing_else(
    cluster: Handle, place: str
) -> None:
    """A dry run changes nothing, and is how it tries before anything is marked."""
    mine, other = (as_agent(cluster, undo_account("scale"), lease) for lease in (MINE, OTHER))
    for api, name in ((mine, "plain"), (mine, "foreign"), (other, "marked")):
        refused(scale(api, name), "own fault has changed")
    scale(mine, "plain", dry_run="All")()
    scale(mine, "marked")()


def test_a_pod_whose_image_is_named_by_a_tag_is_refused_where_digests_are_asked_for(
    cluster: Handle, place: str
) -> None:
    """In this namespace only: the cluster's other tests name theirs by tags."""
    policy, binding = digest_objects()
    here = {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}
    spec: Any = binding["spec"]
    spec["matchResources"] = {"namespaceSelector": here}
    cluster.apply([policy, binding])
    core = client.CoreV1Api(connect(None, cluster.kubeconfig))

    def making(image: str) -> Change:
        pod = agent_pod(NAMESPACE, MINE, Work("node", Burn(workers=1)), image)
        return lambda: core.create_namespaced_pod(NAMESPACE, pod, dry_run="All")

    try:
        refused(making("codai-harness:dev"), "named by its digest")
        making("codai-harness@sha256:" + "0" * 64)()
    finally:
        for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
            cluster.kubectl("delete", kind, "codai-harness-digests")
