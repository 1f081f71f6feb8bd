"""Argo Rollouts: their replicas by the subresource `scale`, their marks by the object itself.

Kubernetes' client has no types for them, and the API server no strategic merge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict

from kubernetes import client

from harness.platform.kubernetes.access import allowed
from harness.platform.kubernetes.objects import Workload

if TYPE_CHECKING:
    from harness.platform.kubernetes.cluster import Cluster

GROUP, VERSION, PLURAL = "argoproj.io", "v1alpha1", "rollouts"


class _Replicas(TypedDict, total=False):
    replicas: int


class _Scale(TypedDict):
    spec: _Replicas
    status: _Replicas


class _Object(TypedDict):
    metadata: Mapping[str, object]


class _Objects(TypedDict):
    items: list[_Object]


def find(cluster: Cluster, name: str) -> Workload | None:
    """The Rollout of that name, as its subresource `scale` shows it; None where there is none."""
    found: _Scale | None = allowed(
        f"rollout {name}",
        lambda: cluster.custom.get_namespaced_custom_object_scale(
            GROUP, VERSION, cluster.namespace, PLURAL, name
        ),
    )
    if found is None:
        return None
    there = found["status"].get("replicas", 0)
    return Workload(
        kind="rollout",
        replicas=found["spec"].get("replicas", 0),
        paused=False,
        strategy="Rollout",
        taken=there,
        there=there,
        available=there,
    )


def read(cluster: Cluster, name: str) -> object:
    """The object itself; raises ApiException."""
    return cluster.custom.get_namespaced_custom_object(
        GROUP, VERSION, cluster.namespace, PLURAL, name
    )


def patch(cluster: Cluster, name: str, body: Mapping[str, object]) -> None:
    """Change it by a merge of what is given; raises ApiException."""
    cluster.custom.patch_namespaced_custom_object(
        GROUP,
        VERSION,
        cluster.namespace,
        PLURAL,
        name,
        dict(body),
        _content_type="application/merge-patch+json",
    )


def known(cluster: Cluster) -> list[client.V1ObjectMeta]:
    """The metadata of every Rollout of the namespace."""
    found: _Objects | None = allowed(
        "rollouts",
        lambda: cluster.custom.list_namespaced_custom_object(
            GROUP, VERSION, cluster.namespace, PLURAL
        ),
    )
    names = ("name", "labels", "annotations")
    return [
        client.V1ObjectMeta(**{name: item["metadata"].get(name) for name in names})
        for item in (found["items"] if found else ())
    ]
