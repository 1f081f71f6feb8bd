"""A small API server and the platform on it, with times that a test can wait for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.catalog import load_catalog
from harness.catalog.model import Service
from harness.platform.kubernetes import agent_pool, namespace_lock
from harness.platform.kubernetes.platform import Kubernetes, Where
from tests.platform_kubernetes.fake import NAMESPACE, FakeApi, kubeconfig, serving
from tests.platform_kubernetes.kubelet import Kubelet


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """The API server."""
    with serving() as found:
        yield found


@pytest.fixture
def config(api: FakeApi, tmp_path: Path) -> Path:
    """The way to it."""
    return kubeconfig(tmp_path / "kubeconfig", api.url)


@pytest.fixture
def platform(config: Path, monkeypatch: pytest.MonkeyPatch) -> Kubernetes:
    """The platform, and no ledger; who holds its namespace is silent after a second."""
    monkeypatch.setenv("XDG_STATE_HOME", str(config.parent / "state"))
    monkeypatch.setattr(namespace_lock, "DURATION_S", 1)
    monkeypatch.setattr(namespace_lock, "RENEW_S", 0.2)
    monkeypatch.setattr(namespace_lock, "POLL_S", 0.05)
    monkeypatch.setattr(agent_pool, "RENEW_S", 0.5)
    monkeypatch.setattr(agent_pool, "POLL_S", 0.05)
    return Kubernetes(Where(NAMESPACE, kubeconfig=str(config)))


@pytest.fixture(scope="session")
def service() -> Service:
    """The catalogue's memorai."""
    return load_catalog().service("memorai")


@pytest.fixture
def kubelet(api: FakeApi, tmp_path: Path) -> Iterator[Kubelet]:
    """Runs the agents; a lease is stale after two seconds without a renewal."""
    directory = tmp_path / "account"
    directory.mkdir()
    made = Kubelet(api, directory, stale_s=2.0)
    yield made
    made.stop()
