"""An Envoy that requests come in through: beside the service, as in a mesh, or before it."""

from __future__ import annotations

import json
from typing import Any

from tests.kubernetes.cluster.images import ENVOY_IMAGE

ADMIN_PORT = 15000
_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_TYPES = f"{_EXTENSIONS}.filters"
_ACCESS_LOG = {
    "name": "envoy.access_loggers.stdout",
    "typed_config": {"@type": f"{_EXTENSIONS}.access_loggers.stream.v3.StdoutAccessLog"},
}


def container(
    port: int,
    upstream: int,
    host: str = "127.0.0.1",
    domain: str = "*",
    tls: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """The container that takes requests for `domain` at `port` and hands them to the upstream.

    `tls`, a certificate and its key (PEM): it takes them encrypted, by HTTP/2 too, and logs each.
    """
    return {
        "name": "envoy",
        "image": ENVOY_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["envoy", "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"],
        "args": ["--config-yaml", json.dumps(_bootstrap(port, upstream, host, domain, tls))],
        "ports": [{"name": "http", "containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
    }


def _bootstrap(
    port: int, upstream: int, host: str, domain: str, tls: tuple[str, str] | None
) -> dict[str, Any]:
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
        **({} if tls is None else {"access_log": [_ACCESS_LOG]}),
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
                    "filter_chains": [{"filters": [chain], **_encrypted(tls)}],
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


def _encrypted(tls: tuple[str, str] | None) -> dict[str, Any]:
    """What a filter chain has besides where it takes TLS."""
    if tls is None:
        return {}
    certificate, key = ({"inline_string": text} for text in tls)
    context = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificates": [{"certificate_chain": certificate, "private_key": key}],
    }
    kind = f"{_EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext"
    typed = {"@type": kind, "common_tls_context": context}
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": typed}}


def _at(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
