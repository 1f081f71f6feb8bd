"""The Docker engine and the image that these tests need; without them they are skipped."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException
from testcontainers.core.config import testcontainers_config
from testcontainers.core.network import Network

from tests.servers.authority import Authority
from tests.servers.image import ImageUnavailableError, ensure_image

# The reaper is an image from a registry; each container here is removed by its own `with`.
testcontainers_config.ryuk_disabled = True


@pytest.fixture(scope="session")
def image() -> str:
    """The image with every server, on a Docker engine that answers."""
    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except DockerException as error:
        first = str(error).splitlines()[0]
        pytest.skip(f"no Docker engine ({first}); export DOCKER_HOST=$(.ci/docker-engine start)")
    try:
        return ensure_image(client)
    except ImageUnavailableError as error:
        pytest.skip(str(error))
    finally:
        client.close()


@pytest.fixture
def network(image: str) -> Iterator[Network]:
    """A network of one test's own, in which no other test's container takes an address."""
    with Network() as network:
        yield network


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that only these tests trust."""
    return Authority(tmp_path_factory.mktemp("authority"))
