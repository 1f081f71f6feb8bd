"""A service that works for its answers, with an autoscaler that has something to do."""

from __future__ import annotations

import json
from typing import Any

from harness.catalog import load_catalog
from tests.kubernetes.cluster.handle import Handle

PORT = 3001
CPU_S = 0.004
"""What each answer costs: one pod of 200m carries 50 a second."""


def apply_elastic(
    cluster: Handle, namespace: str, *, autoscaled: bool = True, most: int = 5, percent: int = 40
) -> None:
    """Deploy `memorai` with one replica of 200m, shedding what it cannot take at once."""
    labels = {"app": "memorai", "app.kubernetes.io/name": "memorai"}
    metadata = {"name": "memorai", "namespace": namespace, "labels": labels}
    routes = [route.path for route in load_catalog().service("memorai").routes]
    plan = {
        "service": "memorai",
        "id": "$(POD)",
        "region": "us-east-1",
        "replication": "async",
        "routes": routes,
        "behaviour": {"latency_median_s": 0.02, "cpu_s": CPU_S, "concurrency": 12},
        "health_path": "/health",
        "listen": ["0.0.0.0", PORT],
        "database": None,
        # A Service balances connections: one that is kept would never reach a new pod.
        "closes": "always",
    }
    pod_name = {"fieldRef": {"fieldPath": "metadata.name"}}
    amount = {"cpu": "200m", "memory": "96Mi"}
    container: dict[str, Any] = {
        "name": "memorai",
        "image": cluster.image,
        "stdin": True,
        "command": ["python", "-m", "harness.platform.lab.service", json.dumps(plan)],
        "env": [{"name": "POD", "valueFrom": pod_name}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": PORT}, "periodSeconds": 2},
        "resources": {"requests": amount, "limits": {"cpu": "200m"}},
    }
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "memorai"}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "memorai"}},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"terminationGracePeriodSeconds": 2, "containers": [container]},
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": {"app": "memorai"}, "ports": [{"name": "http", "port": PORT}]},
        },
    ]
    if autoscaled:
        objects.append(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": metadata,
                "spec": {
                    "scaleTargetRef": target,
                    "minReplicas": 1,
                    "maxReplicas": most,
                    "metrics": [{"type": "Resource", "resource": cpu}],
                    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 10}},
                },
            }
        )
    cluster.apply(objects)
    where = f"--namespace={namespace}"
    cluster.kubectl("rollout", "status", "deployment/memorai", where, "--timeout=90s")
