"""The Dockerfile makes an image that does what the locally made one does."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException, ImageNotFound

from tests.kubernetes.cluster.keeper import PROJECT

pytestmark = [pytest.mark.docker, pytest.mark.slow]

# There is no registry: a Debian with Python stands in for `python:3.11-slim-bookworm`. It has this
# machine's certificates, since the packages come from where this machine gets them.
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PACKAGES = "python3,python3-pip,python-is-python3,ca-certificates"
BASE_COMMAND = [
    "mmdebstrap",
    "--quiet",
    "--variant=apt",
    f"--include={PACKAGES}",
    f'--customize-hook=cp {CERTIFICATES} "$1/etc/ssl/certs/host.crt"',
    "bookworm",
]
BASE_VARIABLES = ["PIP_BREAK_SYSTEM_PACKAGES=1", "PIP_CERT=/etc/ssl/certs/host.crt"]
CONTEXT = ("pyproject.toml", "README.md", "deploy", "requirements", "harness", "scenarios")
CONTEXT_ENGINE = ("engine/Cargo.toml", "engine/src", "experiments", "services")
BUILD_LIMIT_S = 600
TRIED = (
    "set -e; harness services >/dev/null; locust --version; nft --version; nsenter --version; "
    "python -c 'import harness._engine, harness.platform.lab.service, kubernetes'; "
    "kill -0 1; ip -V; ls $HARNESS_HOME/scenarios/memorai.py"
)


def run(command: list[str], directory: Path, **environment: str) -> None:
    done = subprocess.run(
        command,
        cwd=directory,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=BUILD_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    """A Docker engine that answers."""
    for program in ("docker", "mmdebstrap", "cargo"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} on PATH")
    try:
        client = docker.from_env(timeout=300)
        client.ping()
    except DockerException as problem:
        reason = str(problem).splitlines()[0]
        pytest.skip(f"no Docker engine ({reason}); export DOCKER_HOST=$(.ci/docker-engine start)")
    yield client
    client.close()


@pytest.fixture(scope="module")
def base(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The stand-in for the base image, kept by the engine."""
    recipe = "\n".join([*BASE_COMMAND, *BASE_VARIABLES])
    tag = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    name = f"codai-harness-base:{tag}"
    try:
        engine.images.get(name)
    except ImageNotFound:
        root = tmp_path_factory.mktemp("base") / "root.tar"
        run([*BASE_COMMAND, str(root)], root.parent)
        changes = [f"ENV {variable}" for variable in BASE_VARIABLES]
        engine.api.import_image_from_file(
            str(root), repository="codai-harness-base", tag=tag, changes=changes
        )
    return name


@pytest.fixture(scope="module")
def built(
    engine: docker.DockerClient, base: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The image that the two commands at the Dockerfile's head make in a clean checkout."""
    context = tmp_path_factory.mktemp("context")
    unwanted = shutil.ignore_patterns("__pycache__", "*.so")
    for name in (*CONTEXT, *CONTEXT_ENGINE):
        source, target = PROJECT / name, context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=unwanted)
        else:
            shutil.copy(source, target)
    maturin = [sys.executable, "-m", "maturin", "build", "--release", "--out", "dist"]
    run(maturin, context, CARGO_TARGET_DIR=str(PROJECT / "engine" / "target"))
    tag = "codai-harness:dockerfile-test"
    words = ["--network=host", f"--build-arg=BASE={base}", f"--tag={tag}"]
    command = ["docker", "build", *words, "-f", "deploy/images/Dockerfile", "."]
    run(command, context, DOCKER_BUILDKIT="0")
    yield tag
    engine.images.remove(tag, force=True)


def test_the_dockerfile_makes_an_image_for_workers_and_helpers(
    engine: docker.DockerClient, built: str
) -> None:
    """Harness, engine, Locust, the reference service and the helpers' tools are in it."""
    said = engine.containers.run(built, ["sh", "-c", TRIED], remove=True, stderr=True).decode()
    assert "locust" in said
    assert "nftables" in said
