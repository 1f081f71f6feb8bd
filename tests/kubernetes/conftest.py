"""The cluster that the tests marked `kubernetes` share, and the service on it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.catalog import load_catalog
from harness.catalog.model import Service
from harness.errors import PlatformError
from harness.platform.kubernetes.platform import IMAGE_VARIABLE, Kubernetes, Where
from tests.kubernetes.breaking import BROKEN, until
from tests.kubernetes.cluster import handle, keeper
from tests.kubernetes.cluster.errors import ClusterError
from tests.kubernetes.cluster.handle import Handle
from tests.kubernetes.cluster.requirements import missing
from tests.kubernetes.cluster.workload import Workload, apply_memorai, remove
from tests.kubernetes.roles import apply_agents

LONGEST = ("test_k8s_documented.py", "test_scale_test.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first: beside it other workers do the rest."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handle]:
    """The user's cluster (HARNESS_TEST_KUBECONFIG) or one that lives as long as this session."""
    if (users := handle.of_user()) is not None:
        yield users
        return
    if why := missing():
        pytest.skip(why)
    log = tmp_path_factory.mktemp("cluster") / "keeper.log"
    with log.open("wb") as file:
        try:
            kept = keeper.Kept(tethered=True, log=file)
        except ClusterError as problem:
            said = log.read_text(errors="replace")[-2000:]
            raise ClusterError(f"{problem}\n{said}") from None
    yield handle.of_status(kept.status)
    kept.end()


@pytest.fixture
def namespace(cluster: Handle) -> Iterator[str]:
    """A name of its own, removed after the test with all that is in it."""
    name = f"{Workload().namespace}-{secrets.token_hex(3)}"
    yield name
    remove(cluster, name, wait=False)


@pytest.fixture
def memorai(cluster: Handle, namespace: str) -> str:
    """The sound service; the address at which this host reaches it."""
    return apply_memorai(cluster, Workload(namespace=namespace))


@pytest.fixture
def project() -> Path:
    """The project's root directory."""
    return keeper.PROJECT


@pytest.fixture(scope="session")
def service() -> Service:
    """The catalogue's memorai."""
    return load_catalog().service("memorai")


@pytest.fixture(scope="module")
def address(cluster: Handle, request: pytest.FixtureRequest) -> Iterator[str]:
    """The sound service in the module's NAMESPACE; each test heals what it broke."""
    shared: str = request.module.NAMESPACE
    deployed = apply_memorai(cluster, Workload(namespace=shared))
    apply_agents(cluster, shared)
    yield deployed
    remove(cluster, shared, wait=False)


@pytest.fixture
def platform(
    cluster: Handle,
    address: str,
    service: Service,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Kubernetes]:
    """The platform of that namespace, where each test leaves every pod ready and nothing behind."""
    shared: str = request.module.NAMESPACE
    monkeypatch.setenv(IMAGE_VARIABLE, cluster.image)
    found = Kubernetes(Where(shared, kubeconfig=str(cluster.kubeconfig)))
    BROKEN.clear()
    yield found
    try:
        until(lambda: sum(each.health == "ready" for each in found.replicas(service)) >= 4, 90)
        assert found.residual_faults() == ()
    except AssertionError:
        for heal in BROKEN:  # what one test left is not the next one's failure
            with suppress(PlatformError):
                found.heal(heal)
        raise
