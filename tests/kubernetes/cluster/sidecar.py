"""An Envoy that requests come in through: beside the service, as in a mesh, or before it."""

from __future__ import annotations

import json
from typing import Any

from tests.kubernetes.cluster.images import ENVOY_IMAGE

ADMIN_PORT = 15000
_TYPES = "type.googleapis.com/envoy.extensions.filters"


def container(
    port: int, upstream: int, host: str = "127.0.0.1", domain: str = "*"
) -> dict[str, Any]:
    """The container that takes requests for `domain` at `port` and hands them to the upstream."""
    return {
        "name": "envoy",
        "image": ENVOY_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["envoy", "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"],
        "args": ["--config-yaml", json.dumps(_bootstrap(port, upstream, host, domain))],
        "ports": [{"name": "http", "containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
    }


def _bootstrap(port: int, upstream: int, host: str, domain: str) -> dict[str, Any]:
    never = {"numerator": 0}
    fault = {
        "@type": f"{_TYPES}.http.fault.v3.HTTPFault",
        "delay": {"fixed_delay": "1s", "percentage": never},
        "abort": {"http_status": 503, "percentage": never},
    }
    manager = {
        "@type": f"{_TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "inbound",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "service",
                    "domains": [domain],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "service"}}],
                }
            ]
        },
        "http_filters": [
            {"name": "envoy.filters.http.fault", "typed_config": fault},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}.http.router.v3.Router"},
            },
        ],
    }
    chain = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {
        "admin": {"address": _at("127.0.0.1", ADMIN_PORT)},
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
        "static_resources": {
            "listeners": [
                {
                    "name": "inbound",
                    "address": _at("0.0.0.0", port),
                    "filter_chains": [{"filters": [chain]}],
                }
            ],
            "clusters": [
                {
                    "name": "service",
                    "type": "STRICT_DNS",
                    "load_assignment": {
                        "cluster_name": "service",
                        "endpoints": [
                            {"lb_endpoints": [{"endpoint": {"address": _at(host, upstream)}}]}
                        ],
                    },
                }
            ],
        },
    }


def _at(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
