"""Where a Service is reached: one answer for every command."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.catalog import load_catalog
from harness.errors import PlatformError
from harness.platform.kubernetes.cluster import Cluster
from harness.platform.kubernetes.platform import Kubernetes, Where
from harness.session.cluster import LoadLocation, service_target
from tests.platform_kubernetes.fake import NAMESPACE, SERVICE, kubeconfig, serving


@pytest.mark.parametrize(
    ("spec", "url"),
    [
        ({"clusterIP": "10.0.0.2", "ports": [{"port": 3001}]}, "http://10.0.0.2:3001"),
        (
            {"clusterIP": "10.0.0.2", "ports": [{"port": 80}, {"port": 3001}]},
            "http://10.0.0.2:3001",
        ),
        ({"clusterIP": "10.0.0.2", "ports": [{"port": 80}]}, "http://10.0.0.2:80"),
        ({"clusterIP": "fd00::2", "ports": [{"port": 3001}]}, "http://[fd00::2]:3001"),
        ({"clusterIP": "None", "ports": [{"port": 3001}]}, None),
    ],
)
def test_load_jobs_and_the_platform_drive_the_same_address(
    spec: dict[str, object], url: str | None, tmp_path: Path
) -> None:
    """The catalogue's port where the Service has it, an IPv6 address in brackets."""
    service = load_catalog().service("memorai")
    with serving() as api:
        api.put(SERVICE, {"spec": spec})
        config = str(kubeconfig(tmp_path / "k", api.url))
        platform = Kubernetes(Where(NAMESPACE, kubeconfig=config))
        cluster = Cluster(NAMESPACE, kubeconfig=config)
        if url is None:
            with pytest.raises(PlatformError, match="is headless"):
                platform.target(service)
            with pytest.raises(PlatformError, match="is headless"):
                service_target(cluster, service, LoadLocation(NAMESPACE, None))
            return
        assert platform.target(service).urls == (url,)
        found = service_target(cluster, service, LoadLocation(NAMESPACE, None))
        assert found.urls == (url,)
        assert "load from this machine" in found.description
