"""The entry point of a service: what its Ingress leads to is what is driven."""

from __future__ import annotations

import json

import httpx
import pytest

from harness.catalog import load_catalog
from harness.platform.kubernetes.platform import Kubernetes, Where
from tests.kubernetes.cluster import sidecar
from tests.kubernetes.cluster.handle import Handle
from tests.kubernetes.cluster.workload import Workload

pytestmark = pytest.mark.kubernetes

HOST = "memorai.codai.example"


def test_an_ingress_of_the_service_is_its_entry_point(
    cluster: Handle, memorai: str, namespace: str
) -> None:
    """An Envoy stands in for the controller, which would write the Ingress' address itself."""
    if cluster.status is None:
        pytest.skip("a user's cluster has no image with an Envoy")
    port = Workload().port
    envoy = sidecar.container(80, port, host="memorai", domain=HOST)
    rule = {
        "host": HOST,
        "http": {
            "paths": [
                {
                    "path": "/",
                    "pathType": "Prefix",
                    "backend": {"service": {"name": "memorai", "port": {"number": port}}},
                }
            ]
        },
    }
    here = {"namespace": namespace}
    cluster.apply(
        [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "front", **here},
                "spec": {"containers": [envoy], "terminationGracePeriodSeconds": 0},
            },
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": {"name": "front", **here},
                "spec": {"rules": [rule]},
            },
        ]
    )
    space = f"--namespace={namespace}"
    cluster.kubectl("wait", "pod/front", space, "--for=condition=Ready", "--timeout=60s")
    address = cluster.get("pod", "front", space)["status"]["podIP"]
    status = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}})
    words = ("ingress", "front", space, "--subresource=status", "--type=merge", "--patch", status)
    cluster.kubectl("patch", *words)

    platform = Kubernetes(Where(namespace, kubeconfig=str(cluster.kubeconfig)))
    found = platform.target(load_catalog().service("memorai"), "global")
    assert (found.urls, found.host) == ((f"http://{address}",), HOST)
    asked = f"{found.urls[0]}/ready"
    assert httpx.get(asked, headers={"host": HOST}, timeout=5).status_code == 200
    assert httpx.get(asked, timeout=5).status_code == 404, "it knows the service by its name only"
